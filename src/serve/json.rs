//! Answers and errors as JSON: numbers in full, NaN and ±inf as strings, timestamps RFC 3339,
//! NULL null. Must never go through a JSON number type, which would cut decimals.

use std::fmt::Write;

use arrow::array::RecordBatch;

use crate::error::{Error, Kind, Result};
use crate::model::time::EventTime;
use crate::online::text::{write_json, write_json_string};
use crate::serve::engine::{Answers, Status};

/// One row as an object of its columns, in order.
pub fn row(rows: &RecordBatch, row: usize, out: &mut String) -> Result<()> {
    out.push('{');
    for (at, (field, column)) in rows.schema_ref().fields().iter().zip(rows.columns()).enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_json_string(field.name(), out);
        out.push(':');
        write_json(column.as_ref(), row, out)?;
    }
    out.push('}');
    Ok(())
}

/// One entity: `{"feature","key","as_of","values","status"}`.
pub fn answer(answers: &Answers, at: usize, out: &mut String) -> Result<()> {
    out.push_str("{\"feature\":");
    write_json_string(&answers.feature, out);
    out.push_str(",\"key\":");
    row(&answers.keys, at, out)?;
    out.push_str(",\"as_of\":");
    time(answers.as_of.get(at).copied().flatten(), out);
    out.push_str(",\"values\":");
    row(&answers.values, at, out)?;
    out.push_str(",\"status\":\"");
    out.push_str(answers.status.get(at).copied().unwrap_or(Status::NotFound).name());
    out.push_str("\"}");
    Ok(())
}

/// A time as RFC 3339, or null.
pub fn time(time: Option<EventTime>, out: &mut String) {
    let _ = match time {
        // Writing to a String cannot fail, and RFC 3339 has nothing to escape.
        Some(time) => write!(out, "\"{time}\""),
        None => write!(out, "null"),
    };
}

const KINDS: [(Kind, &str); 8] = [
    (Kind::Usage, "usage"),
    (Kind::NotSupported, "not_supported"),
    (Kind::Data, "data"),
    (Kind::Unavailable, "unavailable"),
    (Kind::Exhausted, "exhausted"),
    (Kind::Fenced, "fenced"),
    (Kind::Interrupted, "interrupted"),
    (Kind::Internal, "internal"),
];

/// `{"error":{"kind","message","hint"}}`.
pub fn error(error: &Error) -> String {
    let kind = KINDS.iter().find(|(kind, _)| *kind == error.kind()).map_or("", |(_, name)| name);
    serde_json::json!({
        "error": { "kind": kind, "message": error.message(), "hint": error.hint() }
    })
    .to_string()
}

/// The error in a body written by [`error`]; anything else is shown as it is.
pub fn read_error(status: u16, body: &str) -> Error {
    let parsed: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let text = |key: &str| parsed.pointer(&format!("/error/{key}")).and_then(|v| v.as_str());
    let Some(message) = text("message") else {
        let shown = crate::online::text::shown(body);
        return Error::unavailable(format!("the engine answered {status}: {shown}"));
    };
    let kind = KINDS.iter().find(|(_, name)| Some(*name) == text("kind"));
    let error = Error::new(kind.map_or(Kind::Unavailable, |(kind, _)| *kind), message);
    match text("hint") {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    };

    use super::*;

    #[test]
    fn values_keep_every_digit() {
        let decimal = Decimal128Array::from(vec![12_345_678_901_234_567_890_123_456i128])
            .with_precision_and_scale(38, 3)
            .unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("i", Arc::new(Int64Array::from(vec![i64::MAX]))),
            ("d", Arc::new(decimal)),
            ("f", Arc::new(Float64Array::from(vec![0.1 + 0.2]))),
            ("big", Arc::new(Float64Array::from(vec![1e22]))),
            ("nan", Arc::new(Float64Array::from(vec![f64::NAN]))),
            ("inf", Arc::new(Float64Array::from(vec![f64::NEG_INFINITY]))),
            ("null", Arc::new(Int64Array::from(vec![None]))),
            ("a \"b\"", Arc::new(StringArray::from(vec!["x\n\u{1}\""]))),
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"))),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, column)| (name, column, true)),
        );
        let mut out = String::new();
        row(&rows.unwrap(), 0, &mut out).unwrap();
        assert_eq!(
            out,
            "{\"i\":9223372036854775807,\"d\":12345678901234567890123.456,\
             \"f\":0.30000000000000004,\"big\":1e22,\"nan\":\"NaN\",\"inf\":\"-inf\",\
             \"null\":null,\"a \\\"b\\\"\":\"x\\n\\u0001\\\"\",\"t\":\"1970-01-01T00:00:00Z\"}"
        );
        serde_json::from_str::<serde_json::Value>(&out).unwrap();
    }

    #[test]
    fn errors_cross_the_wire_unchanged() {
        for (kind, _) in KINDS {
            let before = Error::new(kind, "what \"was\" wrong").with_hint("do this");
            let after = read_error(500, &error(&before));
            assert_eq!((after.kind(), after.message()), (before.kind(), before.message()));
            assert_eq!(after.hint(), before.hint());
        }
        assert!(read_error(502, "<html>").message().contains("502"));
    }
}
