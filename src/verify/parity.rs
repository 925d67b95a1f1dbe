//! Compares two sets of rows as multisets, bit by bit: no tolerance, floats by their bits.
//! Called by `demo`, by tests, and by whoever wants to know whether two outputs are equal.

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};

/// What a comparison found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parity {
    /// Rows on the larger side.
    pub compared: u64,
    /// Rows that only the left side has.
    pub only_left: u64,
    /// Rows that only the right side has.
    pub only_right: u64,
}

impl Parity {
    /// Rows without an equal partner; a changed row counts once.
    pub fn different(&self) -> u64 {
        self.only_left.max(self.only_right)
    }

    pub fn equal(&self) -> bool {
        self.different() == 0
    }
}

/// 128-bit digests of the rows of one side, in any order.
///
/// The digest is of the row's bytes in the arrow-row encoding, which keeps every float bit, so
/// two different rows collide with probability 2^-128.
#[derive(Debug)]
pub struct Digests {
    schema: SchemaRef,
    converter: RowConverter,
    digests: Vec<u128>,
}

impl Digests {
    /// Starts a side whose rows have the columns of `schema`.
    pub fn new(schema: SchemaRef) -> Result<Self> {
        let fields = schema.fields().iter().map(|f| SortField::new(f.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        Ok(Self { schema, converter, digests: Vec::new() })
    }

    /// Adds rows; columns are found by name, types that differ only in encoding are cast.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            let Some(column) = batch.column_by_name(field.name()) else {
                return Err(Error::data(format!("column '{}' is missing", field.name())));
            };
            columns.push(if column.data_type() == field.data_type() {
                column.clone()
            } else {
                cast(column, field.data_type())?
            });
        }
        if columns.is_empty() {
            self.digests.extend(std::iter::repeat_n(0, batch.num_rows()));
            return Ok(());
        }
        let rows = self.converter.convert_columns(&columns)?;
        self.digests.extend(rows.iter().map(|row| xxh3_128(row.as_ref())));
        Ok(())
    }

    pub fn rows(&self) -> u64 {
        self.digests.len() as u64
    }
}

/// Compares two sides as multisets.
pub fn compare(mut left: Digests, mut right: Digests) -> Parity {
    left.digests.sort_unstable();
    right.digests.sort_unstable();
    let (mut l, mut r) = (left.digests.iter().peekable(), right.digests.iter().peekable());
    let (mut only_left, mut only_right) = (0, 0);
    loop {
        match (l.peek(), r.peek()) {
            (Some(a), Some(b)) if a == b => {
                l.next();
                r.next();
            }
            (Some(a), Some(b)) if a < b => {
                only_left += 1;
                l.next();
            }
            (_, Some(_)) => {
                only_right += 1;
                r.next();
            }
            (Some(_), None) => {
                only_left += 1;
                l.next();
            }
            (None, None) => break,
        }
    }
    Parity { compared: left.rows().max(right.rows()), only_left, only_right }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array};

    use super::*;

    fn side(rows: &[(i64, f64)]) -> Digests {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0)));
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.1)));
        let batch = RecordBatch::try_from_iter([("k", keys), ("v", values)]).unwrap();
        let mut side = Digests::new(batch.schema()).unwrap();
        side.push(&batch).unwrap();
        side
    }

    #[test]
    fn order_does_not_matter_but_every_bit_and_every_copy_does() {
        let rows = [(1, 0.1), (2, 0.2), (2, 0.2)];
        assert!(compare(side(&rows), side(&[(2, 0.2), (1, 0.1), (2, 0.2)])).equal());
        assert_eq!(compare(side(&rows), side(&rows[..2])).different(), 1);
        let next = f64::from_bits(0.1f64.to_bits() + 1);
        let found = compare(side(&rows), side(&[(1, next), (2, 0.2), (2, 0.2)]));
        assert_eq!((found.only_left, found.only_right, found.different()), (1, 1, 1));
        assert!(!compare(side(&[(1, 0.0)]), side(&[(1, -0.0)])).equal());
    }
}
