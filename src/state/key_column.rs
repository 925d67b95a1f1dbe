//! Canonical key bytes back to arrays: the inverse of `model::key::write_key`. Called by
//! `key_index`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryBuilder, BooleanArray, NullArray, make_array};
use arrow::array::{Float32Array, Float64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::error::{Error, Result};

/// One array per type, one row per key.
///
/// # Errors
/// `Internal` if the bytes are not those of such a key.
pub fn decode_keys(types: &[DataType], keys: &[&[u8]]) -> Result<Vec<ArrayRef>> {
    let mut rest = keys.to_vec();
    types.iter().map(|data_type| decode_column(data_type, &mut rest)).collect()
}

/// Takes one column off the front of every key.
fn decode_column(data_type: &DataType, keys: &mut [&[u8]]) -> Result<ArrayRef> {
    use DataType as T;
    Ok(match data_type {
        T::Null => {
            keys.iter_mut().try_for_each(|key| head(key, 1).map(drop))?;
            Arc::new(NullArray::new(keys.len()))
        }
        T::Boolean => {
            let values = each(keys, 1, |bytes| bytes[0] != 0)?;
            Arc::new(BooleanArray::from(values))
        }
        T::Int8 => ints::<Int8Type>(data_type, keys, |x| x as i8)?,
        T::Int16 => ints::<Int16Type>(data_type, keys, |x| x as i16)?,
        T::Int32 | T::Date32 => ints::<Int32Type>(data_type, keys, |x| x as i32)?,
        T::Int64 | T::Timestamp(..) => ints::<Int64Type>(data_type, keys, |x| x)?,
        T::UInt8 => ints::<UInt8Type>(data_type, keys, |x| x as u8)?,
        T::UInt16 => ints::<UInt16Type>(data_type, keys, |x| x as u16)?,
        T::UInt32 => ints::<UInt32Type>(data_type, keys, |x| x as u32)?,
        T::UInt64 => ints::<UInt64Type>(data_type, keys, |x| x as u64)?,
        T::Float32 => {
            let narrow = |bytes: &[u8]| f64::from_bits(word(bytes)) as f32;
            Arc::new(Float32Array::from(each(keys, 8, narrow)?))
        }
        T::Float64 => {
            Arc::new(Float64Array::from(each(keys, 8, |bytes| f64::from_bits(word(bytes)))?))
        }
        T::Decimal128(..) => {
            let value = |bytes: &[u8]| {
                (u128::from(word(bytes)) | u128::from(word(&bytes[8..])) << 64) as i128
            };
            retyped(
                data_type,
                &PrimitiveArray::<Decimal128Type>::from_iter(each(keys, 16, value)?),
            )?
        }
        _ => texts(data_type, keys)?,
    })
}

/// The first `length` bytes of a key, and moves past them.
fn head<'a>(key: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let (head, tail) = key
        .split_at_checked(length)
        .ok_or_else(|| Error::internal("canonical key bytes end too early"))?;
    *key = tail;
    Ok(head)
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(word)
}

fn each<T>(
    keys: &mut [&[u8]],
    length: usize,
    value: impl Fn(&[u8]) -> T,
) -> Result<Vec<Option<T>>> {
    let mut out = Vec::with_capacity(keys.len());
    for key in keys {
        out.push(if head(key, 1)?[0] == 0 { None } else { Some(value(head(key, length)?)) });
    }
    Ok(out)
}

fn ints<T: ArrowPrimitiveType>(
    data_type: &DataType,
    keys: &mut [&[u8]],
    narrow: impl Fn(i64) -> T::Native,
) -> Result<ArrayRef> {
    let values = each(keys, 8, |bytes| narrow(word(bytes) as i64))?;
    retyped(data_type, &PrimitiveArray::<T>::from_iter(values))
}

fn retyped(data_type: &DataType, array: &dyn Array) -> Result<ArrayRef> {
    Ok(make_array(array.to_data().into_builder().data_type(data_type.clone()).build()?))
}

fn texts(data_type: &DataType, keys: &mut [&[u8]]) -> Result<ArrayRef> {
    let mut builder = BinaryBuilder::new();
    for key in keys {
        if head(key, 1)?[0] == 0 {
            builder.append_null();
        } else {
            let mut length = [0; 4];
            length.copy_from_slice(head(key, 4)?);
            builder.append_value(head(key, u32::from_le_bytes(length) as usize)?);
        }
    }
    let array = builder.finish();
    if *data_type == DataType::Binary {
        return Ok(Arc::new(array));
    }
    Ok(cast(&array, data_type)?)
}
