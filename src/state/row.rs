//! Rows as fixed-width groups of words: event time, partition and validity bits, offset, further
//! validity bits, values. Encoded from step batches, kept by `buffer`, read by slots through
//! `Lens`es, decoded for snapshots and for columns that results carry. Row-major, because a row
//! enters and leaves a frame as a whole.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::BooleanBufferBuilder;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, NullArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};

use super::intern::Interner;
use crate::aggregate::slot::{Argument, Codec, Column, Lens, Physical, is_valid};
use crate::error::Result;
use crate::model::key::ordered_bits;

/// Words before values: time, partition and the first validity bits, offset.
const HEAD: usize = 3;
/// Validity bits beside the partition.
const HEAD_BITS: usize = 32;

/// How a value column lies in a row.
#[derive(Debug)]
enum Form {
    /// Validity bit and value.
    Value(Codec),
    /// The validity bit alone: nobody asks for the value.
    Flag,
    /// The column has no values.
    Null,
}

#[derive(Debug)]
struct RowColumn {
    form: Form,
    lens: Lens,
}

/// Where everything lies in a row.
#[derive(Debug)]
pub struct RowLayout {
    columns: Vec<RowColumn>,
    types: Vec<DataType>,
    stride: usize,
    /// Columns whose words are numbers of interned byte strings.
    interned: Vec<usize>,
}

impl RowLayout {
    /// The layout for value columns of these types; of columns in `flags` only "not NULL" is
    /// kept.
    ///
    /// # Errors
    /// `NotSupported` for a type that cannot be kept.
    pub fn new(types: &[DataType], flags: &[bool]) -> Result<Self> {
        let extra = types.len().saturating_sub(HEAD_BITS).div_ceil(64);
        let (mut at, mut columns, mut interned) = (HEAD + extra, Vec::new(), Vec::new());
        for (i, data_type) in types.iter().enumerate() {
            let form = match data_type {
                DataType::Null => Form::Null,
                _ if flags.get(i).copied().unwrap_or(false) => Form::Flag,
                _ => Form::Value(Codec::new(data_type)?),
            };
            let (valid_word, valid_bit) = match i.checked_sub(HEAD_BITS) {
                None => (1, i),
                Some(rest) => (HEAD + rest / 64, rest % 64),
            };
            let lens = Lens { at, valid_word, valid_bit: valid_bit as u32 };
            if let Form::Value(codec) = &form {
                at += codec.physical().words();
                if codec.physical() == Physical::Bytes {
                    interned.push(i);
                }
            }
            columns.push(RowColumn { form, lens });
        }
        Ok(Self { columns, types: types.to_vec(), stride: at, interned })
    }

    /// Words per row.
    pub fn stride(&self) -> usize {
        self.stride
    }

    pub fn lens(&self, column: usize) -> Lens {
        self.columns[column].lens
    }

    /// The value columns as slots take them.
    pub fn arguments(&self) -> Vec<Argument> {
        let argument = |(column, data_type): (&RowColumn, &DataType)| Argument {
            lens: column.lens,
            data_type: data_type.clone(),
        };
        self.columns.iter().zip(&self.types).map(argument).collect()
    }

    /// The type a column has in a snapshot: its own, or BOOLEAN if only a flag is kept.
    pub fn stored_type(&self, column: usize) -> DataType {
        match self.columns[column].form {
            Form::Flag => DataType::Boolean,
            _ => self.types[column].clone(),
        }
    }

    /// Encodes the columns of a step batch from `_time` on into `out` (emptied first). Byte
    /// strings are acquired once per row.
    ///
    /// # Errors
    /// `Data` if Arrow cannot convert a column.
    pub fn encode(
        &self,
        columns: &[ArrayRef],
        interner: &mut Interner,
        out: &mut Vec<u64>,
    ) -> Result<()> {
        assert_eq!(columns.len(), HEAD + self.columns.len(), "columns of a step batch");
        let (rows, stride) = (columns[0].len(), self.stride);
        out.clear();
        out.resize(rows * stride, 0);
        let times = times(&columns[0]);
        let partitions = columns[1].as_primitive::<Int32Type>().values();
        let offsets = columns[2].as_primitive::<Int64Type>().values();
        let heads = times.iter().zip(partitions).zip(offsets);
        for (row, ((time, partition), offset)) in out.chunks_exact_mut(stride).zip(heads) {
            row[0] = *time as u64;
            row[1] = u64::from(*partition as u32) << 32;
            row[2] = *offset as u64;
        }
        for (column, array) in self.columns.iter().zip(&columns[HEAD..]) {
            self.encode_column(column, array, interner, out)?;
        }
        Ok(())
    }

    fn encode_column(
        &self,
        column: &RowColumn,
        array: &ArrayRef,
        interner: &mut Interner,
        out: &mut [u64],
    ) -> Result<()> {
        let (stride, lens) = (self.stride, column.lens);
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let bit = 1u64 << lens.valid_bit;
        match (&column.form, &nulls) {
            (Form::Null, _) => return Ok(()),
            (_, None) => {
                out.chunks_exact_mut(stride).for_each(|row| row[lens.valid_word] |= bit);
            }
            (_, Some(nulls)) => {
                for i in nulls.valid_indices() {
                    out[i * stride + lens.valid_word] |= bit;
                }
            }
        }
        let Form::Value(codec) = &column.form else { return Ok(()) };
        let valid = |i: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(i));
        match codec.physical() {
            Physical::Wide => codec.wide(array, |i, value| {
                if valid(i) {
                    out[i * stride + lens.at] = value as u64;
                    out[i * stride + lens.at + 1] = (value >> 64) as u64;
                }
            }),
            Physical::Bytes => codec.bytes(array, |i, bytes| {
                out[i * stride + lens.at] = interner.acquire(bytes);
            })?,
            _ if nulls.is_none() => codec.words(array, |i, word| out[i * stride + lens.at] = word),
            _ => codec.words(array, |i, word| {
                if valid(i) {
                    out[i * stride + lens.at] = word;
                }
            }),
        }
        Ok(())
    }

    /// Gives back the byte strings of rows that are forgotten.
    pub fn release(&self, words: &[u64], interner: &mut Interner) {
        if self.interned.is_empty() {
            return;
        }
        for row in words.chunks_exact(self.stride) {
            for column in &self.interned {
                let lens = &self.columns[*column].lens;
                if is_valid(row, lens) {
                    interner.release(row[lens.at]);
                }
            }
        }
    }

    /// One more reference for each byte string of rows that are copied.
    pub fn retain(&self, words: &[u64], interner: &mut Interner) {
        if self.interned.is_empty() {
            return;
        }
        for row in words.chunks_exact(self.stride) {
            for column in &self.interned {
                let lens = &self.columns[*column].lens;
                if is_valid(row, lens) {
                    interner.retain(row[lens.at]);
                }
            }
        }
    }

    /// A value column over some rows, `None` giving NULL, as an array of its stored type.
    ///
    /// # Errors
    /// `Data` if Arrow cannot build it.
    pub fn decode<'a>(
        &self,
        column: usize,
        rows: impl Iterator<Item = Option<&'a [u64]>>,
        texts: &[Arc<[u8]>],
    ) -> Result<ArrayRef> {
        let RowColumn { form, lens } = &self.columns[column];
        let rows = rows.map(|row| row.filter(|row| is_valid(row, lens)));
        let codec = match form {
            Form::Null => return Ok(Arc::new(NullArray::new(rows.count()))),
            Form::Flag => {
                let mut bits = BooleanBufferBuilder::new(0);
                rows.for_each(|row| bits.append(row.is_some()));
                let bits = bits.finish();
                return Ok(Arc::new(BooleanArray::new(bits.clone(), Some(bits.into()))));
            }
            Form::Value(codec) => codec,
        };
        let mut values = Column::new(codec.physical());
        match codec.physical() {
            Physical::Wide => rows.for_each(|row| match row {
                Some(row) => values.push_wide(wide(row, lens.at)),
                None => values.push_null(),
            }),
            Physical::Bytes => rows.for_each(|row| match row {
                Some(row) => values.push_bytes(texts[row[lens.at] as usize].clone()),
                None => values.push_null(),
            }),
            _ => rows.for_each(|row| match row {
                Some(row) => values.push_word(row[lens.at]),
                None => values.push_null(),
            }),
        }
        codec.finish(&mut values)
    }

    /// Compares the values of two rows that both have one.
    pub fn compare(&self, column: usize, a: &[u64], b: &[u64], texts: &[Arc<[u8]>]) -> Ordering {
        let RowColumn { form, lens } = &self.columns[column];
        let at = lens.at;
        let Form::Value(codec) = form else { return Ordering::Equal };
        match codec.physical() {
            Physical::Int => (a[at] as i64).cmp(&(b[at] as i64)),
            Physical::UInt => a[at].cmp(&b[at]),
            Physical::Float => {
                let ordered = |row: &[u64]| ordered_bits(f64::from_bits(row[at]));
                ordered(a).cmp(&ordered(b))
            }
            Physical::Wide => wide(a, at).cmp(&wide(b, at)),
            Physical::Bytes => texts[a[at] as usize].cmp(&texts[b[at] as usize]),
        }
    }
}

fn wide(row: &[u64], at: usize) -> i128 {
    (u128::from(row[at]) | u128::from(row[at + 1]) << 64) as i128
}

/// The values of a `_time` column.
pub fn times(array: &ArrayRef) -> &[i64] {
    match array.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => times.values(),
        None => array.as_primitive::<Int64Type>().values(),
    }
}

/// Partition and offset of a row, for snapshots.
pub fn position(row: &[u64]) -> (i32, i64) {
    ((row[1] >> 32) as u32 as i32, row[2] as i64)
}

#[cfg(test)]
mod tests;
