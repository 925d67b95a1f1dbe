//! Entity keys: canonical bytes, their hash, key groups and shards.
//!
//! Canonical bytes of a key (format version 1), column after column: `0` for NULL, else `1` and
//! the value — integers, dates and timestamps as 8 bytes little endian (two's complement, wider
//! than declared, so that INT 5 and BIGINT 5 are one key), unsigned likewise, decimals as 16
//! bytes, booleans as 1, floats as the 8 bytes of the canonical double (one zero, one NaN), text
//! and bytes as a length (u32) and the bytes. Changing this changes where state lives: bump
//! [`KEY_FORMAT`].

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};

/// Version of the canonical bytes and of the hash.
pub const KEY_FORMAT: u32 = 1;
/// Number of key groups; fixed for ever, lanes own ranges of them.
pub const KEY_GROUPS: usize = 256;

/// The unit of state, snapshot, restore and output names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shard {
    KeyGroup(u8),
    /// Under `partitioned.by`: the source partition.
    Partition(u32),
}

/// The stable hash of canonical key bytes.
pub fn key_hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// The key group of a hash.
pub fn key_group(hash: u64) -> u8 {
    (hash >> 56) as u8
}

/// One zero, one NaN: the only float bits that sources, keys and aggregates know.
pub fn canonical_f64(x: f64) -> f64 {
    if x.is_nan() {
        f64::NAN
    } else if x == 0.0 {
        0.0
    } else {
        x
    }
}

/// Maps a float to an integer of the same order: −inf < … < +inf < NaN.
pub fn ordered_bits(x: f64) -> i64 {
    let bits = canonical_f64(x).to_bits() as i64;
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The inverse of [`ordered_bits`].
pub fn from_ordered_bits(bits: i64) -> f64 {
    f64::from_bits((bits ^ (((bits >> 63) as u64) >> 1) as i64) as u64)
}

/// Whether a column of this type can be (part of) an entity key.
pub fn is_key_type(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(
        data_type,
        T::Boolean
            | T::Int8
            | T::Int16
            | T::Int32
            | T::Int64
            | T::UInt8
            | T::UInt16
            | T::UInt32
            | T::UInt64
            | T::Float32
            | T::Float64
            | T::Decimal128(..)
            | T::Utf8
            | T::LargeUtf8
            | T::Utf8View
            | T::Binary
            | T::LargeBinary
            | T::Date32
            | T::Timestamp(TimeUnit::Microsecond, _)
            | T::Null
    )
}

/// Appends the canonical bytes of row `row` of every key column.
pub fn write_key(columns: &[ArrayRef], row: usize, out: &mut Vec<u8>) -> Result<()> {
    for column in columns {
        if column.is_null(row) || column.data_type() == &DataType::Null {
            out.push(0);
            continue;
        }
        out.push(1);
        write_value(column.as_ref(), row, out)?;
    }
    Ok(())
}

fn int<T: ArrowPrimitiveType>(array: &dyn Array, row: usize, out: &mut Vec<u8>)
where
    T::Native: Into<i64>,
{
    let value: i64 = array.as_primitive::<T>().value(row).into();
    out.extend_from_slice(&value.to_le_bytes());
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn write_value(array: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<()> {
    use DataType as T;
    match array.data_type() {
        T::Boolean => out.push(u8::from(array.as_boolean().value(row))),
        T::Int8 => int::<Int8Type>(array, row, out),
        T::Int16 => int::<Int16Type>(array, row, out),
        T::Int32 => int::<Int32Type>(array, row, out),
        T::Int64 => int::<Int64Type>(array, row, out),
        T::UInt8 => int::<UInt8Type>(array, row, out),
        T::UInt16 => int::<UInt16Type>(array, row, out),
        T::UInt32 => int::<UInt32Type>(array, row, out),
        T::UInt64 => {
            out.extend_from_slice(&array.as_primitive::<UInt64Type>().value(row).to_le_bytes());
        }
        T::Float32 => {
            let x = f64::from(array.as_primitive::<Float32Type>().value(row));
            out.extend_from_slice(&canonical_f64(x).to_bits().to_le_bytes());
        }
        T::Float64 => {
            let x = array.as_primitive::<Float64Type>().value(row);
            out.extend_from_slice(&canonical_f64(x).to_bits().to_le_bytes());
        }
        T::Decimal128(..) => {
            out.extend_from_slice(&array.as_primitive::<Decimal128Type>().value(row).to_le_bytes());
        }
        T::Date32 => int::<Date32Type>(array, row, out),
        T::Timestamp(TimeUnit::Microsecond, _) => int::<TimestampMicrosecondType>(array, row, out),
        T::Utf8 => sized(array.as_string::<i32>().value(row).as_bytes(), out),
        T::LargeUtf8 => sized(array.as_string::<i64>().value(row).as_bytes(), out),
        T::Utf8View => sized(array.as_string_view().value(row).as_bytes(), out),
        T::Binary => sized(array.as_binary::<i32>().value(row), out),
        T::LargeBinary => sized(array.as_binary::<i64>().value(row), out),
        other => return Err(Error::not_supported(format!("a key of type {other}"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, Int64Array, StringArray, StringViewArray};

    use super::*;

    fn key(column: ArrayRef, row: usize) -> Vec<u8> {
        let mut out = Vec::new();
        write_key(&[column], row, &mut out).unwrap();
        out
    }

    #[test]
    fn equal_values_of_different_arrow_types_are_one_key() {
        assert_eq!(
            key(Arc::new(Int32Array::from(vec![5])), 0),
            key(Arc::new(Int64Array::from(vec![5])), 0)
        );
        assert_eq!(
            key(Arc::new(StringArray::from(vec!["a long enough text"])), 0),
            key(Arc::new(StringViewArray::from(vec!["a long enough text"])), 0)
        );
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        assert_eq!(key(floats.clone(), 0), key(floats.clone(), 1));
        assert_eq!(key(floats.clone(), 2), key(floats, 3));
    }

    #[test]
    fn the_hash_is_stable_across_versions() {
        // Pinned: state on disk is found by it.
        let bytes = key(Arc::new(Int64Array::from(vec![42])), 0);
        assert_eq!(bytes, [1, 42, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(key_group(key_hash(&bytes)), key_group(xxh3_64(&bytes)));
    }

    #[test]
    fn float_order_puts_nan_last_and_zeros_together() {
        let sorted = [f64::NEG_INFINITY, -1.5, -f64::MIN_POSITIVE, 0.0, 1e-300, 2.0, f64::INFINITY];
        for pair in sorted.windows(2) {
            assert!(ordered_bits(pair[0]) < ordered_bits(pair[1]));
        }
        assert!(ordered_bits(f64::INFINITY) < ordered_bits(-f64::NAN));
        assert_eq!(ordered_bits(-0.0), ordered_bits(0.0));
        for x in sorted {
            assert_eq!(from_ordered_bits(ordered_bits(x)).to_bits(), x.to_bits());
        }
    }
}
