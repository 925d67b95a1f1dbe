//! Functions of numbers, and of values as numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, Int64Builder, ListBuilder};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use xxhash_rust::xxh3::xxh3_64;

use super::failed;
use crate::error::Result;
use crate::model::key::{ordered_bits, write_key};

/// `f` of three doubles on the rows where none is NULL.
fn three(args: &[ArrayRef], f: impl Fn(f64, f64, f64) -> Option<f64>) -> ArrayRef {
    let [x, y, z] = [0, 1, 2].map(|i| args[i].as_primitive::<Float64Type>());
    let rows = x.iter().zip(y).zip(z);
    let result = rows.map(|((x, y), z)| f(x?, y?, z?));
    Arc::new(Float64Array::from_iter(result))
}

pub fn zscore(args: &[ArrayRef]) -> Result<ArrayRef> {
    Ok(three(args, |x, mean, deviation| (deviation != 0.0).then(|| (x - mean) / deviation)))
}

pub fn min_max_scale(args: &[ArrayRef]) -> Result<ArrayRef> {
    Ok(three(args, |x, low, high| (low != high).then(|| (x - low) / (high - low))))
}

/// In the one order of floats: NaN is clipped to the upper bound.
pub fn clip(args: &[ArrayRef]) -> Result<ArrayRef> {
    let crossed = || failed("clip with a lower bound above the upper one");
    if *args[0].data_type() == DataType::Int64 {
        let [x, low, high] = [0, 1, 2].map(|i| args[i].as_primitive::<Int64Type>());
        let rows = x.iter().zip(low).zip(high);
        let clipped = rows.map(|((x, low), high)| match (x, low, high) {
            (Some(_), Some(low), Some(high)) if low > high => Err(crossed()),
            (Some(x), Some(low), Some(high)) => Ok(Some(x.clamp(low, high))),
            _ => Ok(None),
        });
        return Ok(Arc::new(clipped.collect::<Result<Int64Array>>()?));
    }
    let [x, low, high] = [0, 1, 2].map(|i| args[i].as_primitive::<Float64Type>());
    let rows = x.iter().zip(low).zip(high);
    let clipped = rows.map(|((x, low), high)| match (x, low, high) {
        (Some(x), Some(low), Some(high)) => {
            let [a, b, c] = [x, low, high].map(ordered_bits);
            match (b > c, a < b, a > c) {
                (true, ..) => Err(crossed()),
                (_, true, _) => Ok(Some(low)),
                (_, _, true) => Ok(Some(high)),
                _ => Ok(Some(x)),
            }
        }
        _ => Ok(None),
    });
    Ok(Arc::new(clipped.collect::<Result<Float64Array>>()?))
}

/// NaN is above every edge.
pub fn bucketize(args: &[ArrayRef]) -> Result<ArrayRef> {
    let columns: Vec<&Float64Array> = args.iter().map(|array| array.as_primitive()).collect();
    let bucket = |row: usize| {
        if columns.iter().any(|column| column.is_null(row)) {
            return Ok(None);
        }
        let edges = || columns[1..].iter().map(|column| column.value(row));
        if !edges().zip(edges().skip(1)).all(|(a, b)| a < b) {
            return Err(failed("bucketize takes edges in ascending order"));
        }
        let x = columns[0].value(row);
        Ok(Some(edges().filter(|edge| x.is_nan() || *edge <= x).count() as i64))
    };
    Ok(Arc::new((0..args[0].len()).map(bucket).collect::<Result<Int64Array>>()?))
}

/// NULL is none of the values.
pub fn one_hot(args: &[ArrayRef]) -> Result<ArrayRef> {
    let item = Field::new("item", DataType::Int64, true);
    let mut lists = ListBuilder::new(Int64Builder::new()).with_field(item);
    let (mut wanted, mut found) = (Vec::new(), Vec::new());
    for row in 0..args[0].len() {
        wanted.clear();
        write_key(&args[..1], row, &mut wanted)?;
        for value in 1..args.len() {
            found.clear();
            write_key(&args[value..=value], row, &mut found)?;
            let equal = args[0].is_valid(row) && wanted == found;
            lists.values().append_value(i64::from(equal));
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

/// xxh3 of the canonical bytes of the value, modulo n: what entity keys are hashed by.
pub fn hash_bucket(args: &[ArrayRef]) -> Result<ArrayRef> {
    let counts = args[1].as_primitive::<Int64Type>();
    let mut bytes = Vec::new();
    let mut bucket = |row: usize| {
        if args[0].is_null(row) || counts.is_null(row) {
            return Ok(None);
        }
        let count = u64::try_from(counts.value(row)).ok().filter(|count| *count > 0);
        let count = count.ok_or_else(|| failed("hash_bucket takes a number of buckets above 0"))?;
        bytes.clear();
        write_key(&args[..1], row, &mut bytes)?;
        Ok(Some((xxh3_64(&bytes) % count) as i64))
    };
    Ok(Arc::new((0..args[0].len()).map(&mut bucket).collect::<Result<Int64Array>>()?))
}
