//! Answers and errors as JSON: numbers in full, NaN and ±inf as strings, timestamps RFC 3339,
//! NULL null. Must never go through a JSON number type, which would cut decimals.

use std::fmt::Write;

use crate::error::{Error, Kind, Result};
use crate::model::text::{write_json_row, write_json_string};
use crate::model::time::EventTime;
use crate::serve::engine::{Answers, Status};

/// One entity: `{"feature","key","as_of","values","status"}`.
pub fn answer(answers: &Answers, at: usize, out: &mut String) -> Result<()> {
    out.push_str("{\"feature\":");
    write_json_string(&answers.feature, out);
    out.push_str(",\"key\":");
    write_json_row(&answers.keys, at, out)?;
    out.push_str(",\"as_of\":");
    time(answers.as_of.get(at).copied().flatten(), out);
    out.push_str(",\"values\":");
    write_json_row(&answers.values, at, out)?;
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
    use super::*;

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
