//! Growing columns that can take back a half-written row: what the decoders write into. Filled
//! by `value`, never by arrow's builders, because those cannot be truncated.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, ListArray, NullBufferBuilder,
    PrimitiveArray, StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, FieldRef, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

use crate::error::{Error, Result};

use super::rejection::Problem;

/// Values by Arrow type. Offsets start with 0 and have one more entry than there are rows.
#[derive(Debug)]
pub(crate) enum Values {
    Boolean(Vec<bool>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    UInt8(Vec<u8>),
    UInt16(Vec<u16>),
    UInt32(Vec<u32>),
    UInt64(Vec<u64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    /// Unscaled values; precision and scale.
    Decimal(Vec<i128>, u8, i8),
    Date(Vec<i32>),
    Timestamp(Vec<i64>),
    Text(Bytes),
    Binary(Bytes),
    List(Vec<i32>, Box<Column>),
}

/// Variable-length values end to end.
#[derive(Debug)]
pub(crate) struct Bytes {
    offsets: Vec<i32>,
    pub data: Vec<u8>,
}

impl Bytes {
    fn new() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }

    /// Ends the value whose bytes were appended to `data`.
    #[inline]
    pub(crate) fn close(&mut self) {
        // Checked by the decoders: a batch holds far fewer than 2^31 bytes.
        self.offsets.push(self.data.len() as i32);
    }

    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.data.extend_from_slice(value);
        self.close();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.data.truncate(self.offsets.last().map_or(0, |end| *end as usize));
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let mut next = Vec::with_capacity(self.offsets.len());
        next.push(0);
        let offsets = std::mem::replace(&mut self.offsets, next);
        let data = renew(&mut self.data);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(data))
    }
}

/// One column under construction.
#[derive(Debug)]
pub(crate) struct Column {
    pub field: FieldRef,
    pub values: Values,
    valid: NullBufferBuilder,
}

/// Takes the vector, leaving an empty one with room for as much again.
fn renew<T>(values: &mut Vec<T>) -> Vec<T> {
    let next = Vec::with_capacity(values.len());
    std::mem::replace(values, next)
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(renew(values)), nulls)?;
    Ok(Arc::new(array.with_data_type(data_type.clone())))
}

impl Column {
    /// Refuses types that no source column can have.
    pub(crate) fn new(field: &FieldRef) -> Result<Self> {
        use DataType as T;
        let values = match field.data_type() {
            T::Boolean => Values::Boolean(Vec::new()),
            T::Int8 => Values::Int8(Vec::new()),
            T::Int16 => Values::Int16(Vec::new()),
            T::Int32 => Values::Int32(Vec::new()),
            T::Int64 => Values::Int64(Vec::new()),
            T::UInt8 => Values::UInt8(Vec::new()),
            T::UInt16 => Values::UInt16(Vec::new()),
            T::UInt32 => Values::UInt32(Vec::new()),
            T::UInt64 => Values::UInt64(Vec::new()),
            T::Float32 => Values::Float32(Vec::new()),
            T::Float64 => Values::Float64(Vec::new()),
            T::Decimal128(precision, scale) => Values::Decimal(Vec::new(), *precision, *scale),
            T::Date32 => Values::Date(Vec::new()),
            T::Timestamp(TimeUnit::Microsecond, _) => Values::Timestamp(Vec::new()),
            T::Utf8 => Values::Text(Bytes::new()),
            T::Binary => Values::Binary(Bytes::new()),
            T::List(item) => Values::List(vec![0], Box::new(Self::new(item)?)),
            other => {
                return Err(Error::not_supported(format!(
                    "column '{}' of type {other} in a source",
                    field.name()
                )));
            }
        };
        Ok(Self { field: Arc::clone(field), values, valid: NullBufferBuilder::new(0) })
    }

    pub(crate) fn len(&self) -> usize {
        self.valid.len()
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        row < self.len() && !self.valid.is_valid(row)
    }

    /// Marks the row whose value was just pushed to `values` as not NULL.
    #[inline]
    pub(crate) fn mark_valid(&mut self) {
        self.valid.append_non_null();
    }

    /// A NULL whatever the column allows: the caller checks, or takes the row back.
    pub(crate) fn push_null(&mut self) {
        match &mut self.values {
            Values::Boolean(v) => v.push(false),
            Values::Int8(v) => v.push(0),
            Values::Int16(v) => v.push(0),
            Values::Int32(v) | Values::Date(v) => v.push(0),
            Values::Int64(v) | Values::Timestamp(v) => v.push(0),
            Values::UInt8(v) => v.push(0),
            Values::UInt16(v) => v.push(0),
            Values::UInt32(v) => v.push(0),
            Values::UInt64(v) => v.push(0),
            Values::Float32(v) => v.push(0.0),
            Values::Float64(v) => v.push(0.0),
            Values::Decimal(v, ..) => v.push(0),
            Values::Text(v) | Values::Binary(v) => v.close(),
            Values::List(offsets, child) => offsets.push(child.len() as i32),
        }
        self.valid.append_null();
    }

    /// A NULL where the column allows it.
    #[inline]
    pub(crate) fn accept_null(&mut self) -> Result<(), Problem> {
        if !self.field.is_nullable() {
            return Err(Problem::Null);
        }
        self.push_null();
        Ok(())
    }

    /// Back to `rows` rows, also after a value that was written but not marked.
    pub(crate) fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(v) => v.truncate(rows),
            Values::Int8(v) => v.truncate(rows),
            Values::Int16(v) => v.truncate(rows),
            Values::Int32(v) | Values::Date(v) => v.truncate(rows),
            Values::Int64(v) | Values::Timestamp(v) => v.truncate(rows),
            Values::UInt8(v) => v.truncate(rows),
            Values::UInt16(v) => v.truncate(rows),
            Values::UInt32(v) => v.truncate(rows),
            Values::UInt64(v) => v.truncate(rows),
            Values::Float32(v) => v.truncate(rows),
            Values::Float64(v) => v.truncate(rows),
            Values::Decimal(v, ..) => v.truncate(rows),
            Values::Text(v) | Values::Binary(v) => v.truncate(rows),
            Values::List(offsets, child) => {
                offsets.truncate(rows + 1);
                child.truncate(offsets.last().map_or(0, |end| *end as usize));
            }
        }
        if self.valid.len() > rows {
            self.valid.truncate(rows);
        }
    }

    /// The rows so far as an array of the field's type; the column starts again at 0 rows.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        let (nulls, kind) = (self.valid.finish(), self.field.data_type());
        Ok(match &mut self.values {
            Values::Boolean(v) => Arc::new(BooleanArray::new(BooleanBuffer::from(renew(v)), nulls)),
            Values::Int8(v) => primitive::<Int8Type>(v, nulls, kind)?,
            Values::Int16(v) => primitive::<Int16Type>(v, nulls, kind)?,
            Values::Int32(v) => primitive::<Int32Type>(v, nulls, kind)?,
            Values::Int64(v) => primitive::<Int64Type>(v, nulls, kind)?,
            Values::UInt8(v) => primitive::<UInt8Type>(v, nulls, kind)?,
            Values::UInt16(v) => primitive::<UInt16Type>(v, nulls, kind)?,
            Values::UInt32(v) => primitive::<UInt32Type>(v, nulls, kind)?,
            Values::UInt64(v) => primitive::<UInt64Type>(v, nulls, kind)?,
            Values::Float32(v) => primitive::<Float32Type>(v, nulls, kind)?,
            Values::Float64(v) => primitive::<Float64Type>(v, nulls, kind)?,
            Values::Date(v) => primitive::<Date32Type>(v, nulls, kind)?,
            Values::Timestamp(v) => primitive::<TimestampMicrosecondType>(v, nulls, kind)?,
            Values::Decimal(v, precision, scale) => Arc::new(
                Decimal128Array::try_new(ScalarBuffer::from(renew(v)), nulls)?
                    .with_precision_and_scale(*precision, *scale)?,
            ),
            Values::Text(v) => {
                let (offsets, data) = v.take();
                Arc::new(StringArray::try_new(offsets, data, nulls)?)
            }
            Values::Binary(v) => {
                let (offsets, data) = v.take();
                Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
            }
            Values::List(offsets, child) => {
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                let (item, items) = (Arc::clone(&child.field), child.finish()?);
                Arc::new(ListArray::try_new(item, offsets, items, nulls)?)
            }
        })
    }
}
