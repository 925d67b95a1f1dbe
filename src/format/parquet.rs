//! Typed rows of a file (Parquet) → the declared columns: by name, lossless casts only. Called by
//! `source::file` and by readers of history. Never guesses: a column that cannot be converted
//! without loss is an error that names file and column.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, PrimitiveArray,
    RecordBatch, RecordBatchOptions, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch, kernels};
use arrow::datatypes::{
    DataType, Field, Float32Type, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit,
    TimestampMicrosecondType, TimestampNanosecondType, UInt64Type,
};

use crate::error::{Error, Result};
use crate::model::key::canonical_f64;

use super::rejection::{Reason, Rejection, sql_type};

/// Rows in the declared types, without those that NOT NULL forbids.
pub struct Conformed {
    pub rows: RecordBatch,
    /// Which rows of the input they are; `None` = all of them.
    pub kept: Option<Vec<u32>>,
    /// The others, in order.
    pub rejected: Vec<(u32, Rejection)>,
}

/// Checks that every declared column can be read from a file of schema `found`.
pub fn check_schema(found: &Schema, declared: &Schema, file: &str) -> Result<()> {
    for field in declared.fields() {
        match found.index_of(field.name()) {
            Ok(at) => {
                let from = found.field(at).data_type();
                if !is_lossless(from, field.data_type()) {
                    return Err(mismatch(from, field, file));
                }
            }
            Err(_) if field.is_nullable() => {}
            Err(_) => {
                let (name, names) = (field.name(), names(found));
                return Err(Error::data(format!("{file}: column '{name}' NOT NULL is missing"))
                    .with_hint(format!("the file has: {names}")));
            }
        }
    }
    Ok(())
}

/// Brings a batch of `file` into `declared`. A NULL where NOT NULL was declared rejects the row:
/// as `event_time` in that column, as `decode` elsewhere.
pub fn conform(
    batch: &RecordBatch,
    declared: &SchemaRef,
    event_time: Option<&str>,
    file: &str,
) -> Result<Conformed> {
    check_schema(batch.schema_ref(), declared, file)?;
    let mut columns = Vec::with_capacity(declared.fields().len());
    let mut bad: Vec<Option<Rejection>> = Vec::new();
    for field in declared.fields() {
        let column = match batch.column_by_name(field.name()) {
            Some(column) => cast_column(column, field, file)?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        if !field.is_nullable() && column.null_count() > 0 {
            let is_event = event_time == Some(field.name());
            bad.resize(batch.num_rows(), None);
            for (row, slot) in bad.iter_mut().enumerate() {
                if column.is_null(row) {
                    judge_null(slot, field, is_event);
                }
            }
        }
        columns.push(column);
    }
    let (kept, rejected) = split(bad);
    let columns = match &kept {
        None => columns,
        Some(rows) => take_rows(&columns, rows)?,
    };
    let count = kept.as_ref().map_or(batch.num_rows(), Vec::len);
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let rows = RecordBatch::try_new_with_options(Arc::clone(declared), columns, &options)?;
    Ok(Conformed { rows, kept, rejected })
}

fn judge_null(slot: &mut Option<Rejection>, field: &Field, is_event: bool) {
    let text = format!("column '{}' NOT NULL is NULL", field.name());
    match slot {
        // A decode error of any column comes before one of the event time.
        Some(earlier) if earlier.reason == Reason::Decode || is_event => {}
        _ if is_event => *slot = Some(Rejection::event_time(text)),
        _ => *slot = Some(Rejection::decode(text)),
    }
}

fn split(bad: Vec<Option<Rejection>>) -> (Option<Vec<u32>>, Vec<(u32, Rejection)>) {
    if bad.iter().all(Option::is_none) {
        return (None, Vec::new());
    }
    let (mut kept, mut rejected) = (Vec::new(), Vec::new());
    for (row, slot) in (0u32..).zip(bad) {
        match slot {
            None => kept.push(row),
            Some(rejection) => rejected.push((row, rejection)),
        }
    }
    (Some(kept), rejected)
}

fn take_rows(columns: &[ArrayRef], rows: &[u32]) -> Result<Vec<ArrayRef>> {
    let indices = arrow::array::UInt32Array::from(rows.to_vec());
    Ok(columns
        .iter()
        .map(|column| arrow::compute::take(column, &indices, None))
        .collect::<Result<_, _>>()?)
}

/// Keeps the rows that are `true`.
pub fn keep_rows(batch: &RecordBatch, keep: Vec<bool>) -> Result<RecordBatch> {
    Ok(filter_record_batch(batch, &BooleanArray::from(keep))?)
}

/// Converts one column to the declared type of `field`; an error names `file` and the column.
pub fn cast_column(column: &ArrayRef, field: &Field, file: &str) -> Result<ArrayRef> {
    let (from, to) = (column.data_type(), field.data_type());
    if !is_lossless(from, to) {
        return Err(mismatch(from, field, file));
    }
    let named = |error: String| {
        let (name, expected) = (field.name(), sql_type(to));
        Error::data(format!(
            "{file}: column '{name}' does not fit {expected} without loss: {error}"
        ))
    };
    let column = match (from, to) {
        (DataType::Dictionary(..), _) => decode_dictionary(column)?,
        _ => Arc::clone(column),
    };
    let converted = match (column.data_type(), to) {
        (from, to) if from == to => column,
        (DataType::Timestamp(..), DataType::Timestamp(..)) => {
            to_micros(&column, to).map_err(|e| named(e.message().to_owned()))?
        }
        (from, DataType::Float64) if is_integer(from) => integer_to_double(&column, &named)?,
        _ => checked_cast(&column, to).map_err(|e| named(e.message().to_owned()))?,
    };
    Ok(canonical_floats(converted))
}

fn mismatch(from: &DataType, field: &Field, file: &str) -> Error {
    let (name, to) = (field.name(), sql_type(field.data_type()));
    Error::data(format!("{file}: column '{name}' is {from} in the file, declared as {to}"))
        .with_hint("declare the column with the type of the file, or rewrite the file")
}

fn names(schema: &Schema) -> String {
    schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ")
}

fn is_integer(data_type: &DataType) -> bool {
    data_type.is_integer()
}

/// Whether values of `from` can be held by `to`; narrower integers and decimals are checked value
/// by value.
fn is_lossless(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        (a, b) if a == b => true,
        (T::Dictionary(_, value), to) => is_lossless(value, to),
        (T::Null, _) => true,
        (from, to) if is_integer(from) && is_integer(to) => true,
        (from, T::Float64) if is_integer(from) => true,
        (T::Int8 | T::Int16 | T::UInt8 | T::UInt16, T::Float32) => true,
        (T::Float16, T::Float32) | (T::Float16 | T::Float32, T::Float64) => true,
        (from, T::Decimal128(_, scale)) if is_integer(from) => *scale >= 0,
        (
            T::Decimal32(_, from) | T::Decimal64(_, from) | T::Decimal128(_, from),
            T::Decimal128(_, to),
        ) => to >= from,
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Utf8) => true,
        (T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_), T::Binary) => true,
        (T::Date64, T::Date32) => true,
        (T::Timestamp(..), T::Timestamp(..)) => true,
        (T::Date32 | T::Date64, T::Timestamp(TimeUnit::Microsecond, _)) => true,
        (T::List(from) | T::LargeList(from) | T::FixedSizeList(from, _), T::List(to)) => {
            is_lossless(from.data_type(), to.data_type())
        }
        _ => false,
    }
}

fn checked_cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(column, to, &options)?)
}

fn decode_dictionary(column: &ArrayRef) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Dictionary(_, value) => checked_cast(column, value),
        _ => Ok(Arc::clone(column)),
    }
}

/// To µs: coarser units must fit, finer digits are floored (also before 1970).
fn to_micros(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let micros: ArrayRef = match column.as_primitive_opt::<TimestampNanosecondType>() {
        Some(nanos) => {
            let floored: PrimitiveArray<TimestampMicrosecondType> =
                nanos.unary(|ns| ns.div_euclid(1_000));
            Arc::new(floored)
        }
        None => checked_cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None))?,
    };
    let micros = micros.as_primitive::<TimestampMicrosecondType>().clone();
    Ok(Arc::new(micros.with_data_type(to.clone())))
}

/// Integers up to 2^53 in size are exact doubles; larger ones must happen to be.
fn integer_to_double(column: &ArrayRef, named: &impl Fn(String) -> Error) -> Result<ArrayRef> {
    let doubles = checked_cast(column, &DataType::Float64)?;
    let back = match column.data_type() {
        DataType::Int64 => checked_cast(&doubles, &DataType::Int64)
            .ok()
            .is_some_and(|b| b.as_primitive::<Int64Type>() == column.as_primitive::<Int64Type>()),
        DataType::UInt64 => checked_cast(&doubles, &DataType::UInt64)
            .ok()
            .is_some_and(|b| b.as_primitive::<UInt64Type>() == column.as_primitive::<UInt64Type>()),
        _ => true,
    };
    if back {
        Ok(doubles)
    } else {
        Err(named("an integer beyond 2^53 is not an exact double".to_owned()))
    }
}

/// −0.0 is stored as 0.0 and every NaN as the canonical one (semantics §3).
fn canonical_floats(column: ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            let floats: Float64Array =
                kernels::arity::unary(column.as_primitive::<Float64Type>(), canonical_f64);
            Arc::new(floats)
        }
        DataType::Float32 => {
            let canonical = |x: f32| if x.is_nan() { f32::NAN } else { x + 0.0 };
            let floats: Float32Array =
                kernels::arity::unary(column.as_primitive::<Float32Type>(), canonical);
            Arc::new(floats)
        }
        DataType::List(item) if item.data_type().is_floating() => {
            let lists = column.as_list::<i32>();
            let values = canonical_floats(Arc::clone(lists.values()));
            let (item, offsets) = (Arc::clone(item), lists.offsets().clone());
            let nulls = lists.nulls().cloned();
            match arrow::array::ListArray::try_new(item, offsets, values, nulls) {
                Ok(lists) => Arc::new(lists),
                Err(_) => column,
            }
        }
        _ => column,
    }
}

#[cfg(test)]
mod tests;
