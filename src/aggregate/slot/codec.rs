//! Arrays to words and back, for every column type. Values come back as exactly the declared
//! type. Called by `state` (rows) and by slots (results).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Float32Array, Float64Array, ListArray,
    MapArray, PrimitiveArray, StructArray, make_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Decimal128Type, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow::row::{RowConverter, SortField};

use super::value::{Column, Physical, Values};
use crate::aggregate::datum::Datum;
use crate::error::{Error, Result};
use crate::model::key::canonical_f64;

/// Translates the values of one column type.
#[derive(Debug)]
pub struct Codec {
    data_type: DataType,
    physical: Physical,
    /// For types that are neither numbers nor text.
    rows: Option<RowConverter>,
}

impl Codec {
    /// # Errors
    /// `NotSupported` for a type that Arrow's row format does not know.
    pub fn new(data_type: &DataType) -> Result<Self> {
        let physical = Physical::of(data_type);
        let rows = if physical == Physical::Bytes && !is_text(data_type) {
            let field = SortField::new(data_type.clone());
            if !RowConverter::supports_fields(std::slice::from_ref(&field)) {
                return Err(Error::not_supported(format!("a column of type {data_type}")));
            }
            Some(RowConverter::new(vec![field])?)
        } else {
            None
        };
        Ok(Self { data_type: data_type.clone(), physical, rows })
    }

    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    pub fn physical(&self) -> Physical {
        self.physical
    }

    /// Whether values are text or bytes, so that their order is that of the SQL type.
    pub fn is_ordered(&self) -> bool {
        self.rows.is_none()
    }

    /// Calls `put(row, word)` for each row of a column of one word per value; NULLs give any
    /// word.
    pub fn words(&self, array: &dyn Array, mut put: impl FnMut(usize, u64)) {
        use DataType as T;
        match array.data_type() {
            T::Boolean => {
                for (i, x) in array.as_boolean().values().iter().enumerate() {
                    put(i, u64::from(x));
                }
            }
            T::Float64 => native::<Float64Type>(array, put, |x| canonical_f64(x).to_bits()),
            T::Float32 => {
                native::<Float32Type>(array, put, |x| canonical_f64(f64::from(x)).to_bits());
            }
            T::Float16 => {
                native::<Float16Type>(array, put, |x| canonical_f64(f64::from(x)).to_bits());
            }
            T::UInt8 => native::<UInt8Type>(array, put, u64::from),
            T::UInt16 => native::<UInt16Type>(array, put, u64::from),
            T::UInt32 => native::<UInt32Type>(array, put, u64::from),
            T::UInt64 => native::<UInt64Type>(array, put, |x| x),
            T::Int8 => native::<Int8Type>(array, put, |x| i64::from(x) as u64),
            T::Int16 => native::<Int16Type>(array, put, |x| i64::from(x) as u64),
            T::Int32 => native::<Int32Type>(array, put, |x| i64::from(x) as u64),
            other if other.primitive_width() == Some(4) => {
                for (i, x) in raw::<i32>(array).iter().enumerate() {
                    put(i, i64::from(*x) as u64);
                }
            }
            _ => {
                for (i, x) in raw::<i64>(array).iter().enumerate() {
                    put(i, *x as u64);
                }
            }
        }
    }

    /// Calls `put(row, value)` for each row of a decimal column.
    pub fn wide(&self, array: &dyn Array, mut put: impl FnMut(usize, i128)) {
        for (i, x) in array.as_primitive::<Decimal128Type>().values().iter().enumerate() {
            put(i, *x);
        }
    }

    /// Calls `put(row, bytes)` for each row that is not NULL.
    ///
    /// # Errors
    /// `Data` if Arrow cannot convert the column.
    pub fn bytes(&self, array: &ArrayRef, mut put: impl FnMut(usize, &[u8])) -> Result<()> {
        use DataType as T;
        let nulls = array.logical_nulls();
        let valid = |i: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(i));
        if let Some(converter) = &self.rows {
            let rows = converter.convert_columns(std::slice::from_ref(array))?;
            (0..rows.num_rows()).filter(|i| valid(*i)).for_each(|i| put(i, rows.row(i).data()));
            return Ok(());
        }
        macro_rules! each {
            ($values:expr, $bytes:expr) => {{
                let values = $values;
                (0..values.len())
                    .filter(|i| valid(*i))
                    .for_each(|i| put(i, $bytes(values.value(i))))
            }};
        }
        match array.data_type() {
            T::Utf8 => each!(array.as_string::<i32>(), str::as_bytes),
            T::LargeUtf8 => each!(array.as_string::<i64>(), str::as_bytes),
            T::Utf8View => each!(array.as_string_view(), str::as_bytes),
            T::Binary => each!(array.as_binary::<i32>(), std::convert::identity),
            T::LargeBinary => each!(array.as_binary::<i64>(), std::convert::identity),
            T::BinaryView => each!(array.as_binary_view(), std::convert::identity),
            other => return Err(Error::internal(format!("{other} is not text"))),
        }
        Ok(())
    }

    /// The values of a column as an array of the declared type, and empties it.
    ///
    /// # Errors
    /// `Data` if Arrow cannot build it.
    pub fn finish(&self, column: &mut Column) -> Result<ArrayRef> {
        let (values, nulls) = column.take();
        match values {
            Values::Words(words) => self.finish_words(words, nulls),
            Values::Wide(wide) => {
                let array = PrimitiveArray::<Decimal128Type>::new(wide.into(), nulls);
                self.retyped(&array)
            }
            Values::Bytes(values) => self.finish_bytes(&values),
            Values::Lists(values) => self.finish_lists(&values, nulls),
        }
    }

    fn finish_words(&self, words: Vec<u64>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        use DataType as T;
        fn ints<T: ArrowPrimitiveType>(
            words: &[u64],
            nulls: Option<NullBuffer>,
            f: impl Fn(u64) -> T::Native,
        ) -> PrimitiveArray<T> {
            PrimitiveArray::new(words.iter().map(|w| f(*w)).collect(), nulls)
        }
        let array: ArrayRef = match &self.data_type {
            T::Boolean => {
                let bits = BooleanBuffer::collect_bool(words.len(), |i| words[i] != 0);
                return Ok(Arc::new(BooleanArray::new(bits, nulls)));
            }
            T::Float64 => {
                let values = words.into_iter().map(f64::from_bits).collect::<Vec<_>>();
                return Ok(Arc::new(Float64Array::new(values.into(), nulls)));
            }
            T::Float32 => {
                let narrow = |w: &u64| f64::from_bits(*w) as f32;
                let values = words.iter().map(narrow).collect::<Vec<_>>();
                return Ok(Arc::new(Float32Array::new(values.into(), nulls)));
            }
            T::Float16 => {
                let values = words.into_iter().map(f64::from_bits).collect::<Vec<_>>();
                return Ok(cast(&Float64Array::new(values.into(), nulls), &T::Float16)?);
            }
            T::UInt8 => Arc::new(ints::<UInt8Type>(&words, nulls, |w| w as u8)),
            T::UInt16 => Arc::new(ints::<UInt16Type>(&words, nulls, |w| w as u16)),
            T::UInt32 => Arc::new(ints::<UInt32Type>(&words, nulls, |w| w as u32)),
            T::UInt64 => Arc::new(PrimitiveArray::<UInt64Type>::new(words.into(), nulls)),
            T::Int8 => Arc::new(ints::<Int8Type>(&words, nulls, |w| w as i8)),
            T::Int16 => Arc::new(ints::<Int16Type>(&words, nulls, |w| w as i16)),
            other if other.primitive_width() == Some(4) => {
                return self.retyped(&ints::<Int32Type>(&words, nulls, |w| w as i32));
            }
            _ => {
                let values = words.into_iter().map(|w| w as i64).collect::<Vec<_>>();
                return self.retyped(&PrimitiveArray::<Int64Type>::new(values.into(), nulls));
            }
        };
        Ok(array)
    }

    /// The same buffers under the declared type (timestamps, dates, decimals of a precision).
    fn retyped(&self, array: &dyn Array) -> Result<ArrayRef> {
        let data = array.to_data().into_builder().data_type(self.data_type.clone());
        Ok(make_array(data.build()?))
    }

    fn finish_lists(
        &self,
        values: &[Option<Arc<[Datum]>>],
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        let flat = || values.iter().flatten().flat_map(|list| list.iter());
        let lengths = values.iter().map(|list| list.as_ref().map_or(0, |list| list.len()));
        match &self.data_type {
            DataType::List(item) => {
                let items = finished(item.data_type(), flat())?;
                let offsets = OffsetBuffer::from_lengths(lengths);
                Ok(Arc::new(ListArray::try_new(item.clone(), offsets, items, nulls)?))
            }
            DataType::Map(entry, sorted) => {
                let DataType::Struct(fields) = entry.data_type() else {
                    return Err(Error::internal("a map whose entries are no pairs"));
                };
                let keys = finished(fields[0].data_type(), flat().step_by(2))?;
                let items = finished(fields[1].data_type(), flat().skip(1).step_by(2))?;
                let entries = StructArray::try_new(fields.clone(), vec![keys, items], None)?;
                let offsets = OffsetBuffer::from_lengths(lengths.map(|length| length / 2));
                let map = MapArray::try_new(entry.clone(), offsets, entries, nulls, *sorted)?;
                Ok(Arc::new(map))
            }
            other => Err(Error::internal(format!("{other} is no list"))),
        }
    }

    fn finish_bytes(&self, values: &[Option<Arc<[u8]>>]) -> Result<ArrayRef> {
        if let Some(converter) = &self.rows {
            let null = arrow::array::new_null_array(&self.data_type, 1);
            let null = converter.convert_columns(&[null])?;
            let parser = converter.parser();
            let row = |value: &Option<Arc<[u8]>>| match value {
                Some(bytes) => parser.parse(bytes).owned(),
                None => null.row(0).owned(),
            };
            let rows: Vec<_> = values.iter().map(row).collect();
            let array = converter.convert_rows(rows.iter().map(|row| row.row()))?.swap_remove(0);
            return if array.data_type() == &self.data_type {
                Ok(array)
            } else {
                Ok(cast(&array, &self.data_type)?)
            };
        }
        let length = values.iter().flatten().map(|bytes| bytes.len()).sum();
        let mut builder = BinaryBuilder::with_capacity(values.len(), length);
        for value in values {
            builder.append_option(value.as_deref());
        }
        let array = builder.finish();
        if self.data_type == DataType::Binary {
            return Ok(Arc::new(array));
        }
        Ok(cast(&array, &self.data_type)?)
    }
}

/// Values as an array of a type.
fn finished<'a>(data_type: &DataType, values: impl Iterator<Item = &'a Datum>) -> Result<ArrayRef> {
    let codec = Codec::new(data_type)?;
    let mut column = Column::new(codec.physical());
    values.for_each(|value| column.push_datum(value));
    codec.finish(&mut column)
}

fn is_text(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(
        data_type,
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Binary | T::LargeBinary | T::BinaryView
    )
}

fn native<T: ArrowPrimitiveType>(
    array: &dyn Array,
    mut put: impl FnMut(usize, u64),
    word: impl Fn(T::Native) -> u64,
) {
    for (i, x) in array.as_primitive::<T>().values().iter().enumerate() {
        put(i, word(*x));
    }
}

/// The values of a primitive array whatever its logical type.
fn raw<T: ArrowNativeType>(array: &dyn Array) -> ScalarBuffer<T> {
    let data = array.to_data();
    ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len())
}
