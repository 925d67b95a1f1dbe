//! Labels: rows with an entity key and a time, whatever types they came in. Keys become those of
//! the feature without loss or are refused; times become µs UTC, finer digits floored.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray, new_null_array};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::util::display::array_value_to_string;

use crate::error::{Error, Result};
use crate::limits::ERROR_VALUE_BYTES;
use crate::model::time::{DAY_US, EventTime};
use crate::plan::dataflow::canonical;
use crate::sql::types::type_name;

/// What kind of value a type holds; keys are cast within a kind only.
#[derive(PartialEq)]
enum Kind {
    Number,
    Text,
    Bytes,
    Boolean,
    Time,
    Other,
}

fn kind(data_type: &DataType) -> Kind {
    use DataType as T;
    match data_type {
        T::Utf8 | T::LargeUtf8 | T::Utf8View => Kind::Text,
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => Kind::Bytes,
        T::Boolean => Kind::Boolean,
        T::Date32 | T::Date64 | T::Timestamp(..) => Kind::Time,
        t if t.is_numeric() => Kind::Number,
        _ => Kind::Other,
    }
}

/// A value of a column as an error shows it.
fn shown(array: &ArrayRef, row: usize) -> String {
    let mut text = array_value_to_string(array, row).unwrap_or_default();
    if text.len() > ERROR_VALUE_BYTES {
        let cut = (0..=ERROR_VALUE_BYTES).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(cut.unwrap_or(0));
        text.push('…');
    }
    text
}

/// The label column `name` as a key column of type `to`: the same values, or an error that names
/// the first that has no equal there. Numbers match numbers of any width, times match times; text
/// never matches numbers.
pub fn key_column(array: &ArrayRef, to: &DataType, name: &str) -> Result<ArrayRef> {
    let from = array.data_type();
    if from == to {
        return Ok(canonical(array.clone()));
    }
    if let DataType::Dictionary(_, values) = from {
        return key_column(&cast(array, values)?, to, name);
    }
    if *from == DataType::Null {
        return Ok(new_null_array(to, array.len()));
    }
    if kind(from) != kind(to) || kind(from) == Kind::Other {
        return Err(Error::usage(format!(
            "column '{name}' of the labels is {}, the key is {}",
            type_name(from),
            type_name(to)
        ))
        .with_hint(format!("write CAST({name} AS {}) in the labels", type_name(to))));
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let there = cast_with_options(array, to, &options)?;
    let back = cast_with_options(&there, from, &options)?;
    let same = not_distinct(&back, &canonical(array.clone()))?;
    let lost = (0..array.len()).find(|row| {
        let null = there.is_null(*row) != array.is_null(*row);
        null || (!same.value(*row) && !is_zero_or_nan(array, *row))
    });
    match lost {
        None => Ok(canonical(there)),
        Some(row) => Err(Error::usage(format!(
            "column '{name}' of the labels, row {row}: {} is no {}, which the key is",
            shown(array, row),
            type_name(to)
        ))
        .with_hint("correct the labels, or cast the column there")),
    }
}

/// −0 and NaN, which have several bit patterns, of which the engine knows one.
fn is_zero_or_nan(array: &ArrayRef, row: usize) -> bool {
    use arrow::datatypes::{Float32Type, Float64Type};
    let float = match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).into(),
        _ => return false,
    };
    float.is_nan() || float == 0.0
}

/// The label column `name` as times: timestamps and dates as they are (without a zone: UTC), text
/// as RFC 3339. NULL stays NULL.
pub fn time_column(array: &ArrayRef, name: &str) -> Result<TimestampMicrosecondArray> {
    use TimeUnit as U;
    let data_type = array.data_type();
    let times: TimestampMicrosecondArray = match data_type {
        DataType::Dictionary(_, values) => return time_column(&cast(array, values)?, name),
        DataType::Null => TimestampMicrosecondArray::from(vec![None; array.len()]),
        DataType::Timestamp(U::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().clone()
        }
        DataType::Timestamp(U::Nanosecond, _) => {
            let times = array.as_primitive::<TimestampNanosecondType>();
            times.unary(|t| t.div_euclid(1_000))
        }
        DataType::Timestamp(U::Millisecond, _) => {
            let times = array.as_primitive::<TimestampMillisecondType>();
            times.unary(|t| t.saturating_mul(1_000))
        }
        DataType::Timestamp(U::Second, _) => {
            array.as_primitive::<TimestampSecondType>().unary(|t| t.saturating_mul(1_000_000))
        }
        DataType::Date32 => array.as_primitive::<Date32Type>().unary(|day| i64::from(day) * DAY_US),
        DataType::Date64 => array.as_primitive::<Date64Type>().unary(|ms| ms.saturating_mul(1_000)),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = cast(array, &DataType::Utf8)?;
            let mut times = Vec::with_capacity(texts.len());
            for (row, text) in texts.as_string::<i32>().iter().enumerate() {
                let time = text.map(|text| {
                    EventTime::parse(text).ok_or_else(|| {
                        let value = shown(array, row);
                        Error::usage(format!(
                            "column '{name}' of the labels, row {row}: '{value}' is no time"
                        ))
                        .with_hint("write it as in 2026-03-01T10:00:00Z")
                    })
                });
                times.push(time.transpose()?.map(|time| time.0));
            }
            TimestampMicrosecondArray::from(times)
        }
        other => {
            return Err(Error::usage(format!(
                "the time column '{name}' of the labels is {}, expected a TIMESTAMP",
                type_name(other)
            ))
            .with_hint("numbers do not say what they count: TO_TIMESTAMP_MILLIS(x) does"));
        }
    };
    Ok(times.with_timezone("UTC"))
}

/// One array from a column of several batches.
pub fn whole(parts: &[ArrayRef], data_type: &DataType) -> Result<ArrayRef> {
    match parts {
        [] => Ok(new_null_array(data_type, 0)),
        [one] => Ok(one.clone()),
        many => {
            let arrays: Vec<&dyn Array> = many.iter().map(|part| part.as_ref()).collect();
            Ok(Arc::clone(&arrow::compute::concat(&arrays)?))
        }
    }
}

#[cfg(test)]
mod tests;
