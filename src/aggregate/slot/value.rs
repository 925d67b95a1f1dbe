//! How single values are held outside arrays: as words in rows, as ordered Rust values in
//! accumulators, and in result columns that become arrays again. Used by slots and by `state`.

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, IntervalUnit};

use super::rows::Rows;
use crate::aggregate::datum::Datum;
use crate::aggregate::encoding::take;
use crate::error::Result;
use crate::model::key::{canonical_f64, from_ordered_bits, ordered_bits};

/// What the words of a column mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Physical {
    /// One word, two's complement: integers, dates, times, timestamps, durations.
    Int,
    /// One word: unsigned integers, booleans.
    UInt,
    /// One word, the bits of the canonical double.
    Float,
    /// Two words, low first: decimals.
    Wide,
    /// One word, the number of an interned byte string: text, bytes, and every other type in
    /// Arrow's row format.
    Bytes,
}

impl Physical {
    pub fn of(data_type: &DataType) -> Self {
        use DataType as T;
        match data_type {
            T::Boolean | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => Self::UInt,
            T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Date32 | T::Date64 => Self::Int,
            T::Time32(_) | T::Time64(_) | T::Timestamp(..) | T::Duration(_) => Self::Int,
            T::Interval(IntervalUnit::YearMonth) => Self::Int,
            T::Float16 | T::Float32 | T::Float64 => Self::Float,
            T::Decimal128(..) => Self::Wide,
            _ => Self::Bytes,
        }
    }

    /// Words a value takes in a row.
    pub fn words(self) -> usize {
        if self == Self::Wide { 2 } else { 1 }
    }
}

/// A value with the one order of the engine (semantics §3).
pub(super) trait Value:
    Clone + Ord + Hash + Send + Sync + std::fmt::Debug + 'static
{
    /// From a row whose validity bit is set.
    fn read(rows: &Rows, row: &[u64], at: usize) -> Self;
    fn push(&self, column: &mut Column);
    /// Appends its bytes (part of checkpoints).
    fn encode(&self, out: &mut Vec<u8>);
    /// # Errors
    /// `Data` if the bytes end too early.
    fn decode(input: &mut &[u8]) -> Result<Self>;
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// A double as an integer of the same order (`model::key::ordered_bits`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Float(pub i64);

impl Float {
    pub fn of(x: f64) -> Self {
        Self(ordered_bits(canonical_f64(x)))
    }

    #[inline]
    pub fn get(self) -> f64 {
        from_ordered_bits(self.0)
    }
}

fn eight(input: &mut &[u8]) -> Result<[u8; 8]> {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(take(input, 8)?);
    Ok(bytes)
}

impl Value for i64 {
    #[inline]
    fn read(_: &Rows, row: &[u64], at: usize) -> Self {
        row[at] as i64
    }
    #[inline]
    fn push(&self, column: &mut Column) {
        column.push_word(*self as u64);
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    fn decode(input: &mut &[u8]) -> Result<Self> {
        Ok(Self::from_le_bytes(eight(input)?))
    }
}

impl Value for u64 {
    #[inline]
    fn read(_: &Rows, row: &[u64], at: usize) -> Self {
        row[at]
    }
    #[inline]
    fn push(&self, column: &mut Column) {
        column.push_word(*self);
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    fn decode(input: &mut &[u8]) -> Result<Self> {
        Ok(Self::from_le_bytes(eight(input)?))
    }
}

impl Value for Float {
    #[inline]
    fn read(_: &Rows, row: &[u64], at: usize) -> Self {
        Self(ordered_bits(f64::from_bits(row[at])))
    }
    #[inline]
    fn push(&self, column: &mut Column) {
        column.push_word(self.get().to_bits());
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.get().to_bits().to_le_bytes());
    }
    fn decode(input: &mut &[u8]) -> Result<Self> {
        let bits = u64::from_le_bytes(eight(input)?);
        Ok(Self(ordered_bits(canonical_f64(f64::from_bits(bits)))))
    }
}

impl Value for i128 {
    #[inline]
    fn read(_: &Rows, row: &[u64], at: usize) -> Self {
        (u128::from(row[at]) | u128::from(row[at + 1]) << 64) as i128
    }
    #[inline]
    fn push(&self, column: &mut Column) {
        column.push_wide(*self);
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }
    fn decode(input: &mut &[u8]) -> Result<Self> {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(take(input, 16)?);
        Ok(Self::from_le_bytes(bytes))
    }
}

impl Value for Arc<[u8]> {
    #[inline]
    fn read(rows: &Rows, row: &[u64], at: usize) -> Self {
        rows.texts[row[at] as usize].clone()
    }
    fn push(&self, column: &mut Column) {
        column.push_bytes(self.clone());
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.len() as u64).to_le_bytes());
        out.extend_from_slice(self);
    }
    fn decode(input: &mut &[u8]) -> Result<Self> {
        let length = u64::from_le_bytes(eight(input)?);
        Ok(take(input, length as usize)?.into())
    }
    fn heap_bytes(&self) -> usize {
        self.len() + 2 * size_of::<usize>()
    }
}

/// Values of a result column.
#[derive(Clone, Debug)]
pub enum Values {
    Words(Vec<u64>),
    Wide(Vec<i128>),
    Bytes(Vec<Option<Arc<[u8]>>>),
    /// Lists, and maps as keys and values in turn.
    Lists(Vec<Option<Arc<[Datum]>>>),
}

/// A result column under construction.
#[derive(Debug)]
pub struct Column {
    values: Values,
    nulls: NullBufferBuilder,
}

impl Column {
    pub fn new(physical: Physical) -> Self {
        let values = match physical {
            Physical::Wide => Values::Wide(Vec::new()),
            Physical::Bytes => Values::Bytes(Vec::new()),
            _ => Values::Words(Vec::new()),
        };
        Self { values, nulls: NullBufferBuilder::new(0) }
    }

    /// A column of lists or maps whose values are pushed whole.
    pub fn of_lists() -> Self {
        Self { values: Values::Lists(Vec::new()), nulls: NullBufferBuilder::new(0) }
    }

    pub fn push_list(&mut self, value: Arc<[Datum]>) {
        if let Values::Lists(values) = &mut self.values {
            values.push(Some(value));
        }
        self.nulls.append_non_null();
    }

    pub fn push_datum(&mut self, value: &Datum) {
        match value {
            Datum::Null => self.push_null(),
            Datum::Int(x) => self.push_word(*x as u64),
            Datum::UInt(x) => self.push_word(*x),
            Datum::Float(bits) => self.push_word(from_ordered_bits(*bits).to_bits()),
            Datum::Wide(high, low) => self.push_wide(i128::from(*high) << 64 | i128::from(*low)),
            Datum::Bytes(bytes) => self.push_bytes(bytes.clone()),
        }
    }

    #[inline]
    pub fn push_word(&mut self, word: u64) {
        if let Values::Words(words) = &mut self.values {
            words.push(word);
        }
        self.nulls.append_non_null();
    }

    #[inline]
    pub fn push_wide(&mut self, value: i128) {
        if let Values::Wide(values) = &mut self.values {
            values.push(value);
        }
        self.nulls.append_non_null();
    }

    #[inline]
    pub fn push_bytes(&mut self, value: Arc<[u8]>) {
        if let Values::Bytes(values) = &mut self.values {
            values.push(Some(value));
        }
        self.nulls.append_non_null();
    }

    #[inline]
    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Words(words) => words.push(0),
            Values::Wide(values) => values.push(0),
            Values::Bytes(values) => values.push(None),
            Values::Lists(values) => values.push(None),
        }
        self.nulls.append_null();
    }

    /// Once more the value pushed last.
    #[inline]
    pub fn repeat(&mut self) {
        let Some(last) = self.nulls.len().checked_sub(1) else { return };
        match &mut self.values {
            Values::Words(words) => words.push(words[last]),
            Values::Wide(values) => values.push(values[last]),
            Values::Bytes(values) => values.push(values[last].clone()),
            Values::Lists(values) => values.push(values[last].clone()),
        }
        self.nulls.append(self.nulls.is_valid(last));
    }

    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nulls.is_empty()
    }

    /// What was pushed, and leaves the column empty.
    pub fn take(&mut self) -> (Values, Option<NullBuffer>) {
        let values = match &mut self.values {
            Values::Words(words) => Values::Words(std::mem::take(words)),
            Values::Wide(values) => Values::Wide(std::mem::take(values)),
            Values::Bytes(values) => Values::Bytes(std::mem::take(values)),
            Values::Lists(values) => Values::Lists(std::mem::take(values)),
        };
        (values, self.nulls.finish())
    }
}
