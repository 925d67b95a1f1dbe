//! Rows → JSON text: what `produce` sends and what a dead letter keeps of a typed row. Written so
//! that `json` with default options reads the same row back, except where JSON has no word for a
//! value (NaN and the infinities become strings).

use std::io::Write as _;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, Result};
use crate::model::time::{DAY_US, EventTime};

/// Appends row `row` as one JSON object; NULLs are written as `null`.
pub fn write_row(batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<()> {
    let mut before = b'{';
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        out.push(before);
        before = b',';
        write_text(field.name(), out);
        out.push(b':');
        write_value(column, row, out)?;
    }
    if before == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

fn display<T: ArrowPrimitiveType>(array: &dyn Array, row: usize, out: &mut Vec<u8>)
where
    T::Native: std::fmt::Display,
{
    append(out, array.as_primitive::<T>().value(row));
}

/// Writing to a vector cannot fail.
fn append(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    let _ = write!(out, "{value}");
}

/// Appends one value in its JSON form: numbers plain, floats shortest round-trip, times RFC 3339,
/// bytes base64, lists as arrays.
pub fn write_value(array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
    use DataType as T;
    if array.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match array.data_type() {
        T::Null => out.extend_from_slice(b"null"),
        T::Boolean => append(out, array.as_boolean().value(row)),
        T::Int8 => display::<Int8Type>(array, row, out),
        T::Int16 => display::<Int16Type>(array, row, out),
        T::Int32 => display::<Int32Type>(array, row, out),
        T::Int64 => display::<Int64Type>(array, row, out),
        T::UInt8 => display::<UInt8Type>(array, row, out),
        T::UInt16 => display::<UInt16Type>(array, row, out),
        T::UInt32 => display::<UInt32Type>(array, row, out),
        T::UInt64 => display::<UInt64Type>(array, row, out),
        T::Float32 => {
            let x = array.as_primitive::<Float32Type>().value(row);
            float(x.is_finite(), f64::from(x), x, out);
        }
        T::Float64 => {
            let x = array.as_primitive::<Float64Type>().value(row);
            float(x.is_finite(), x, x, out);
        }
        T::Decimal128(..) => {
            let text = array.as_primitive::<Decimal128Type>().value_as_string(row);
            out.extend_from_slice(text.as_bytes());
        }
        T::Date32 => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(row));
            append(out, format_args!("\"{}\"", EventTime(days * DAY_US).date()));
        }
        T::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            append(out, format_args!("\"{}\"", EventTime(micros)));
        }
        T::Utf8 => write_text(array.as_string::<i32>().value(row), out),
        T::LargeUtf8 => write_text(array.as_string::<i64>().value(row), out),
        T::Utf8View => write_text(array.as_string_view().value(row), out),
        T::Binary => write_text(&STANDARD.encode(array.as_binary::<i32>().value(row)), out),
        T::LargeBinary => write_text(&STANDARD.encode(array.as_binary::<i64>().value(row)), out),
        T::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let mut before = b'[';
            for item in 0..items.len() {
                out.push(before);
                before = b',';
                write_value(&items, item, out)?;
            }
            if before == b'[' {
                out.push(b'[');
            }
            out.push(b']');
        }
        other => return Err(Error::not_supported(format!("a column of type {other} as JSON"))),
    }
    Ok(())
}

/// `shortest` prints the digits that read back as the same float.
fn float(finite: bool, x: f64, shortest: impl std::fmt::Debug, out: &mut Vec<u8>) {
    if finite {
        let _ = write!(out, "{shortest:?}");
    } else {
        let word = if x.is_nan() {
            "NaN"
        } else if x > 0.0 {
            "inf"
        } else {
            "-inf"
        };
        write_text(word, out);
    }
}

/// A JSON string with its quotes.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => append(out, format_args!("\\u{byte:04x}")),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
