//! One Arrow value as text a person can read, and back: the encoding of hash fields in Redis, of
//! the parts of online keys and, quoted where JSON asks for it, of values over HTTP.
//!
//! Integers and decimals plain, floats in the shortest form that reads back to the same bits
//! (`NaN`, `inf`, `-inf`), `true|false`, dates `YYYY-MM-DD`, timestamps RFC 3339 with `Z`, bytes
//! base64 (standard alphabet, padded), lists and maps JSON. NULL has no text: the field is absent.
//! Must never go through a number type narrower than the value's own.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, GenericListArray, LargeBinaryArray, MapArray,
    OffsetSizeTrait, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Decimal256Type, FieldRef,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, Result};
use crate::limits::ERROR_VALUE_BYTES;
use crate::model::time::{DAY_US, EventTime};

/// Whether values of this type have a text form.
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

fn plain<T: ArrowPrimitiveType>(array: &dyn Array, row: usize, out: &mut String)
where
    T::Native: std::fmt::Display,
{
    // Writing to a String cannot fail.
    let _ = write!(out, "{}", array.as_primitive::<T>().value(row));
}

fn float(x: f64, shortest: impl std::fmt::Debug, out: &mut String) {
    let _ = match x {
        x if x.is_nan() => write!(out, "NaN"),
        x if x.is_infinite() => write!(out, "{}", if x > 0.0 { "inf" } else { "-inf" }),
        _ => write!(out, "{shortest:?}"),
    };
}

fn no_text(data_type: &DataType) -> Error {
    Error::not_yet(format!("an online value of type {data_type}"))
        .with_hint("select a column of a scalar type or a list of one")
}

/// Appends the text of a value; `row` must not be NULL there.
pub fn write_text(array: &dyn Array, row: usize, out: &mut String) -> Result<()> {
    use DataType as T;
    match array.data_type() {
        T::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
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
        T::Decimal128(..) => {
            out.push_str(&array.as_primitive::<Decimal128Type>().value_as_string(row));
        }
        T::Decimal256(..) => {
            out.push_str(&array.as_primitive::<Decimal256Type>().value_as_string(row));
        }
        T::Date32 => {
            let days = i64::from(array.as_primitive::<Date32Type>().value(row));
            out.push_str(&EventTime(days.saturating_mul(DAY_US)).date());
        }
        T::Timestamp(TimeUnit::Microsecond, _) => {
            let at = EventTime(array.as_primitive::<TimestampMicrosecondType>().value(row));
            let _ = write!(out, "{at}");
        }
        T::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        T::LargeUtf8 => out.push_str(array.as_string::<i64>().value(row)),
        T::Utf8View => out.push_str(array.as_string_view().value(row)),
        T::Binary => STANDARD.encode_string(array.as_binary::<i32>().value(row), out),
        T::LargeBinary => STANDARD.encode_string(array.as_binary::<i64>().value(row), out),
        T::BinaryView => STANDARD.encode_string(array.as_binary_view().value(row), out),
        T::List(_) => write_list(&array.as_list::<i32>().value(row), out)?,
        T::LargeList(_) => write_list(&array.as_list::<i64>().value(row), out)?,
        T::Map(..) => write_map(&array.as_map().value(row), out)?,
        other => return Err(no_text(other)),
    }
    Ok(())
}

fn write_list(items: &ArrayRef, out: &mut String) -> Result<()> {
    out.push('[');
    for item in 0..items.len() {
        if item > 0 {
            out.push(',');
        }
        write_json(items, item, out)?;
    }
    out.push(']');
    Ok(())
}

/// Pairs as a JSON object; keys as their text.
fn write_map(pairs: &StructArray, out: &mut String) -> Result<()> {
    let mut before = '{';
    for pair in 0..pairs.len() {
        out.push(before);
        before = ',';
        let mut key = String::new();
        write_text(pairs.column(0), pair, &mut key)?;
        write_json_string(&key, out);
        out.push(':');
        write_json(pairs.column(1), pair, out)?;
    }
    out.push_str(if before == '{' { "{}" } else { "}" });
    Ok(())
}

/// Appends a value as JSON: numbers in full, NaN and ±inf as strings, NULL as `null`.
pub fn write_json(array: &dyn Array, row: usize, out: &mut String) -> Result<()> {
    use DataType as T;
    if array.data_type() == &T::Null || array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    let bare = match array.data_type() {
        T::Float32 => array.as_primitive::<Float32Type>().value(row).is_finite(),
        T::Float64 => array.as_primitive::<Float64Type>().value(row).is_finite(),
        T::Boolean | T::Decimal128(..) | T::Decimal256(..) => true,
        T::List(_) | T::LargeList(_) | T::Map(..) => true,
        other => other.is_integer(),
    };
    if bare {
        return write_text(array, row, out);
    }
    let mut text = String::new();
    write_text(array, row, &mut text)?;
    write_json_string(&text, out);
    Ok(())
}

/// Appends a JSON string literal. No tree of JSON values in between: this is on the path of every
/// answer.
pub fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') {
        let (plain, from) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = from.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(control) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Cuts a quoted value to what an error message may show.
pub fn shown(text: &str) -> &str {
    match text.char_indices().find(|(at, c)| at + c.len_utf8() > ERROR_VALUE_BYTES) {
        Some((at, _)) => text.get(..at).unwrap_or(text),
        None => text,
    }
}

fn unreadable(text: &str, data_type: &DataType) -> Error {
    Error::data(format!("`{}` is not the text of a {data_type}", shown(text)))
        .with_hint("the value was written by something else: delete the field or the key")
}

/// Reads texts written by [`write_text`] back as an array of `data_type`; `None` gives NULL.
pub fn read_text(texts: &[Option<String>], data_type: &DataType) -> Result<ArrayRef> {
    use DataType as T;
    match data_type {
        T::Timestamp(TimeUnit::Microsecond, zone) => {
            let times = each(texts, |text| {
                EventTime::parse(text).map(|t| t.0).ok_or_else(|| unreadable(text, data_type))
            })?;
            let array = TimestampMicrosecondArray::from(times);
            Ok(Arc::new(array.with_timezone_opt(zone.clone())))
        }
        T::Binary | T::LargeBinary | T::BinaryView => {
            let bytes =
                each(texts, |text| STANDARD.decode(text).map_err(|_| unreadable(text, data_type)))?;
            let bytes = bytes.iter().map(Option::as_deref).collect::<Vec<_>>();
            match data_type {
                T::Binary => Ok(Arc::new(BinaryArray::from(bytes))),
                T::LargeBinary => Ok(Arc::new(LargeBinaryArray::from(bytes))),
                _ => Ok(arrow::compute::cast(&BinaryArray::from(bytes), data_type)?),
            }
        }
        T::List(item) => read_lists::<i32>(texts, item),
        T::LargeList(item) => read_lists::<i64>(texts, item),
        T::Map(entries, sorted) => read_maps(texts, entries, *sorted),
        other if has_text(other) => {
            let strings = StringArray::from_iter(texts.iter().map(Option::as_deref));
            let options = CastOptions { safe: false, ..CastOptions::default() };
            Ok(cast_with_options(&strings, data_type, &options)?)
        }
        other => Err(no_text(other)),
    }
}

fn each<V>(texts: &[Option<String>], read: impl Fn(&str) -> Result<V>) -> Result<Vec<Option<V>>> {
    texts.iter().map(|text| text.as_deref().map(&read).transpose()).collect()
}

fn read_lists<O: OffsetSizeTrait>(texts: &[Option<String>], item: &FieldRef) -> Result<ArrayRef> {
    let (mut items, mut lengths) = (Vec::new(), Vec::with_capacity(texts.len()));
    for text in texts {
        let before = items.len();
        if let Some(text) = text {
            split_json_list(text, &mut items)
                .ok_or_else(|| Error::data(format!("`{}` is not a JSON list", shown(text))))?;
        }
        lengths.push(items.len() - before);
    }
    let values = read_text(&items, item.data_type())?;
    let nulls = NullBuffer::from_iter(texts.iter().map(Option::is_some));
    let offsets = OffsetBuffer::<O>::from_lengths(lengths);
    Ok(Arc::new(GenericListArray::<O>::try_new(item.clone(), offsets, values, Some(nulls))?))
}

fn read_maps(texts: &[Option<String>], entries: &FieldRef, sorted: bool) -> Result<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(no_text(entries.data_type()));
    };
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    let mut lengths = Vec::with_capacity(texts.len());
    for text in texts {
        let before = keys.len();
        if let Some(text) = text {
            split_json_object(text, &mut keys, &mut values)
                .ok_or_else(|| Error::data(format!("`{}` is not a JSON object", shown(text))))?;
        }
        lengths.push(keys.len() - before);
    }
    let columns =
        vec![read_text(&keys, fields[0].data_type())?, read_text(&values, fields[1].data_type())?];
    let pairs = StructArray::try_new(fields.clone(), columns, None)?;
    let nulls = NullBuffer::from_iter(texts.iter().map(Option::is_some));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, Some(nulls), sorted)?))
}

/// Appends the texts of every key and value.
fn split_json_object(
    text: &str,
    keys: &mut Vec<Option<String>>,
    values: &mut Vec<Option<String>>,
) -> Option<()> {
    let mut json = jiter::Jiter::new(text.as_bytes());
    let mut next = json.next_object().ok()?.map(str::to_owned);
    while let Some(key) = next {
        keys.push(Some(key));
        let peek = json.peek().ok()?;
        values.push(json_value(&mut json, peek)?);
        next = json.next_key().ok()?.map(str::to_owned);
    }
    json.finish().ok()
}

/// The text of the next value: a string unquoted, everything else as written, `null` nothing.
fn json_value(json: &mut jiter::Jiter, peek: jiter::Peek) -> Option<Option<String>> {
    let start = json.current_index();
    if peek == jiter::Peek::String {
        return Some(Some(json.known_str().ok()?.to_owned()));
    }
    json.known_skip(peek).ok()?;
    let raw = std::str::from_utf8(json.slice_to_current(start)).ok()?.trim();
    Some((raw != "null").then(|| raw.to_owned()))
}

/// Appends the text of every element of a JSON list: strings unquoted, everything else as
/// written, `None` for null. `None` if the text is not a JSON list.
pub fn split_json_list(text: &str, items: &mut Vec<Option<String>>) -> Option<()> {
    let mut json = jiter::Jiter::new(text.as_bytes());
    let mut next = json.next_array().ok()?;
    while let Some(peek) = next {
        items.push(json_value(&mut json, peek)?);
        next = json.array_step().ok()?;
    }
    json.finish().ok()
}

#[cfg(test)]
mod tests;
