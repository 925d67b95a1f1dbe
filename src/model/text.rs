//! One Arrow value as text a person can read, and as JSON: the fields of hashes in Redis, answers
//! over HTTP, results of the command line, produced messages, typed rows among dead letters.
//!
//! Integers and decimals plain, floats in the shortest form that reads back to the same bits
//! (`NaN`, `inf`, `-inf`), `true|false`, dates `YYYY-MM-DD`, timestamps RFC 3339, bytes base64
//! (standard alphabet, padded), lists and maps JSON. In JSON, NaN and the infinities are strings
//! and NULL is `null`. Must never go through a number type narrower than the value's own.

use std::fmt::{Arguments, Write};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, FieldRef,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

use crate::error::Result;
use crate::model::time::{DAY_US, EventTime};

/// RFC 3339 with the shortest of 0, 3, 6 or 9 digits.
const TIMESTAMP: &str = "%Y-%m-%dT%H:%M:%S%.f";
const TIMESTAMP_UTC: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// Where text goes; that cannot fail.
pub trait Text {
    fn put(&mut self, text: &str);
    fn put_formatted(&mut self, text: Arguments<'_>);
}

impl Text for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }

    fn put_formatted(&mut self, text: Arguments<'_>) {
        let _ = self.write_fmt(text);
    }
}

impl Text for Vec<u8> {
    fn put(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }

    fn put_formatted(&mut self, text: Arguments<'_>) {
        let _ = std::io::Write::write_fmt(self, text);
    }
}

/// How values of other types are shown, and those of any type in a table of text.
pub fn display_options(null: &'static str) -> FormatOptions<'static> {
    FormatOptions::new()
        .with_null(null)
        .with_timestamp_format(Some(TIMESTAMP))
        .with_timestamp_tz_format(Some(TIMESTAMP_UTC))
        .with_duration_format(DurationFormat::Pretty)
}

/// Whether the text of values of this type is exact: it reads back to the same value.
pub fn has_text(data_type: &DataType) -> bool {
    use DataType as T;
    match data_type {
        T::Null | T::Boolean | T::Date32 | T::Timestamp(TimeUnit::Microsecond, _) => true,
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Binary | T::LargeBinary | T::BinaryView => true,
        T::Float32 | T::Float64 | T::Decimal128(..) | T::Decimal256(..) => true,
        T::List(item) | T::LargeList(item) => has_text(item.data_type()),
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(fields) => fields.iter().all(|field| has_text(field.data_type())),
            _ => false,
        },
        other => other.is_integer(),
    }
}

fn plain<T: ArrowPrimitiveType>(array: &dyn Array, row: usize, out: &mut impl Text)
where
    T::Native: std::fmt::Display,
{
    out.put_formatted(format_args!("{}", array.as_primitive::<T>().value(row)));
}

fn float(x: f64, shortest: impl std::fmt::Debug, out: &mut impl Text) {
    match x {
        x if x.is_nan() => out.put("NaN"),
        x if x.is_infinite() => out.put(if x > 0.0 { "inf" } else { "-inf" }),
        _ => out.put_formatted(format_args!("{shortest:?}")),
    }
}

fn bytes(bytes: &[u8], out: &mut impl Text) {
    out.put_formatted(format_args!("{}", Base64Display::new(bytes, &STANDARD)));
}

/// The text of a value where that is a slice of it.
fn as_str(array: &dyn Array, row: usize) -> Option<&str> {
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(array.as_string_view().value(row)),
        _ => None,
    }
}

/// Appends the text of a value; `row` must not be NULL there.
pub fn write_text(array: &dyn Array, row: usize, out: &mut impl Text) -> Result<()> {
    use DataType as T;
    if let Some(text) = as_str(array, row) {
        out.put(text);
        return Ok(());
    }
    match array.data_type() {
        T::Boolean => out.put(if array.as_boolean().value(row) { "true" } else { "false" }),
        T::Int8 => plain::<Int8Type>(array, row, out),
        T::Int16 => plain::<Int16Type>(array, row, out),
        T::Int32 => plain::<Int32Type>(array, row, out),
        T::Int64 => plain::<Int64Type>(array, row, out),
        T::UInt8 => plain::<UInt8Type>(array, row, out),
        T::UInt16 => plain::<UInt16Type>(array, row, out),
        T::UInt32 => plain::<UInt32Type>(array, row, out),
        T::UInt64 => plain::<UInt64Type>(array, row, out),
        T::Float32 => {
            let x = array.as_primitive::<Float32Type>().value(row);
            float(f64::from(x), x, out);
        }
        T::Float64 => {
            let x = array.as_primitive::<Float64Type>().value(row);
            float(x, x, out);
        }
        T::Decimal128(..) => out.put(&array.as_primitive::<Decimal128Type>().value_as_string(row)),
        T::Decimal256(..) => out.put(&array.as_primitive::<Decimal256Type>().value_as_string(row)),
        T::Date32 => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(row));
            out.put(&EventTime(days.saturating_mul(DAY_US)).date());
        }
        T::Timestamp(TimeUnit::Microsecond, _) => {
            let at = EventTime(array.as_primitive::<TimestampMicrosecondType>().value(row));
            out.put_formatted(format_args!("{at}"));
        }
        T::Binary => bytes(array.as_binary::<i32>().value(row), out),
        T::LargeBinary => bytes(array.as_binary::<i64>().value(row), out),
        T::BinaryView => bytes(array.as_binary_view().value(row), out),
        T::List(_) => write_list(&array.as_list::<i32>().value(row), out)?,
        T::LargeList(_) => write_list(&array.as_list::<i64>().value(row), out)?,
        T::Map(..) => write_map(&array.as_map().value(row), out)?,
        T::Struct(fields) => {
            let columns = array.as_struct().columns();
            write_object(fields.iter().zip(columns), row, out)?;
        }
        _ => {
            let options = display_options("null");
            let text = ArrayFormatter::try_new(array, &options)?.value(row).try_to_string()?;
            out.put(&text);
        }
    }
    Ok(())
}

fn write_list(items: &ArrayRef, out: &mut impl Text) -> Result<()> {
    out.put("[");
    for item in 0..items.len() {
        if item > 0 {
            out.put(",");
        }
        write_json(items, item, out)?;
    }
    out.put("]");
    Ok(())
}

/// Pairs as a JSON object; keys as their text.
fn write_map(pairs: &StructArray, out: &mut impl Text) -> Result<()> {
    out.put("{");
    for pair in 0..pairs.len() {
        if pair > 0 {
            out.put(",");
        }
        let mut key = String::new();
        write_text(pairs.column(0), pair, &mut key)?;
        write_json_string(&key, out);
        out.put(":");
        write_json(pairs.column(1), pair, out)?;
    }
    out.put("}");
    Ok(())
}

fn write_object<'a>(
    columns: impl Iterator<Item = (&'a FieldRef, &'a ArrayRef)>,
    row: usize,
    out: &mut impl Text,
) -> Result<()> {
    out.put("{");
    for (at, (field, column)) in columns.enumerate() {
        if at > 0 {
            out.put(",");
        }
        write_json_string(field.name(), out);
        out.put(":");
        write_json(column, row, out)?;
    }
    out.put("}");
    Ok(())
}

/// Appends one row as a JSON object of its columns, in order.
pub fn write_json_row(rows: &RecordBatch, row: usize, out: &mut impl Text) -> Result<()> {
    write_object(rows.schema_ref().fields().iter().zip(rows.columns()), row, out)
}

/// Appends a value as JSON. No tree of JSON values in between: this is on the path of every
/// answer.
pub fn write_json(array: &dyn Array, row: usize, out: &mut impl Text) -> Result<()> {
    use DataType as T;
    if array.data_type() == &T::Null || array.is_null(row) {
        out.put("null");
        return Ok(());
    }
    let bare = match array.data_type() {
        T::Float32 => array.as_primitive::<Float32Type>().value(row).is_finite(),
        T::Float64 => array.as_primitive::<Float64Type>().value(row).is_finite(),
        T::List(_) | T::LargeList(_) | T::Map(..) | T::Struct(_) | T::Boolean => true,
        other => other.is_integer() || other.is_decimal(),
    };
    if bare {
        return write_text(array, row, out);
    }
    if let Some(text) = as_str(array, row) {
        write_json_string(text, out);
        return Ok(());
    }
    let mut text = String::new();
    write_text(array, row, &mut text)?;
    write_json_string(&text, out);
    Ok(())
}

/// Appends a JSON string literal.
pub fn write_json_string(text: &str, out: &mut impl Text) {
    out.put("\"");
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') {
        let (plain, from) = rest.split_at(at);
        out.put(plain);
        let mut chars = from.chars();
        match chars.next() {
            Some('"') => out.put("\\\""),
            Some('\\') => out.put("\\\\"),
            Some('\n') => out.put("\\n"),
            Some('\r') => out.put("\\r"),
            Some('\t') => out.put("\\t"),
            Some(control) => out.put_formatted(format_args!("\\u{:04x}", u32::from(control))),
            None => {}
        }
        rest = chars.as_str();
    }
    out.put(rest);
    out.put("\"");
}

/// A text as a JSON string literal.
pub fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_json_string(text, &mut out);
    out
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
        )
        .unwrap();
        let mut out = String::new();
        write_json_row(&rows, 0, &mut out).unwrap();
        assert_eq!(
            out,
            "{\"i\":9223372036854775807,\"d\":12345678901234567890123.456,\
             \"f\":0.30000000000000004,\"big\":1e22,\"nan\":\"NaN\",\"inf\":\"-inf\",\
             \"null\":null,\"a \\\"b\\\"\":\"x\\n\\u0001\\\"\",\"t\":\"1970-01-01T00:00:00Z\"}"
        );
        serde_json::from_str::<serde_json::Value>(&out).unwrap();
        let mut bytes = Vec::new();
        write_json_row(&rows, 0, &mut bytes).unwrap();
        assert_eq!(bytes, out.as_bytes());
    }
}
