//! Values read back from their text (`model::text`): the fields of hashes in Redis, answers over
//! HTTP.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, GenericListArray, LargeBinaryArray, MapArray, OffsetSizeTrait,
    StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Error, Result};
use crate::limits::ERROR_VALUE_BYTES;
use crate::model::text::has_text;
use crate::model::time::EventTime;

fn no_text(data_type: &DataType) -> Error {
    Error::not_yet(format!("an online value of type {data_type}"))
        .with_hint("select a column of a scalar type or a list of one")
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

/// Reads texts written by `model::text::write_text` back as an array of `data_type`; `None` gives
/// NULL.
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
