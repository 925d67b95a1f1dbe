//! Generated rows: a log of one partition whose row n is a pure function of the seed and n, so it
//! can be read again from any offset. For demos, benchmarks and tests. `named` makes rows for any
//! declared schema, `nexmark` the three streams of that benchmark.

mod named;
mod nexmark;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use self::named::Named;
use self::nexmark::Nexmark;
use crate::catalog::source::{Generator, SourceDef};
use crate::error::{Error, Result};
use crate::format::column::Column;
use crate::format::json::batch;
use crate::model::batch::Position;
use crate::model::time::SECOND_US;

use super::records::{Records, RowOffsets, Rows};
use super::source::{Chunk, Polled, Source};

/// 2026-01-01T00:00:00Z.
const START_US: i64 = 1_767_225_600 * SECOND_US;

/// What makes the values of a row.
enum Maker {
    Named(Named),
    Nexmark(Box<Nexmark>),
}

/// Generates the rows of a source.
pub struct DatagenSource {
    schema: SchemaRef,
    columns: Vec<Column>,
    maker: Maker,
    seed: u64,
    rows: Option<u64>,
    rate: Option<u64>,
    next: u64,
}

impl DatagenSource {
    pub fn new(def: &SourceDef) -> Result<Self> {
        let schema = def.physical_schema();
        let columns = schema.fields().iter().map(Column::new).collect::<Result<Vec<_>>>()?;
        let rate = def.options.datagen_rate.filter(|rate| *rate > 0);
        let maker = match def.options.generator {
            Generator::Names => Maker::Named(Named::new(def, &columns, rate)),
            kind => Maker::Nexmark(Box::new(Nexmark::new(kind, &columns, rate)?)),
        };
        let (seed, rows) = (def.options.datagen_seed, def.options.datagen_rows);
        Ok(Self { schema, columns, maker, seed, rows, rate, next: 0 })
    }

    /// Rows per second of wall time that the runtime should keep to; `None` = no limit.
    pub fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// Rows `first..first + count`.
    fn generate(&mut self, first: u64, count: u64) -> Result<RecordBatch> {
        let base = ChaCha8Rng::seed_from_u64(self.seed);
        for n in first..first + count {
            // A stream of random numbers per row: any row can be made without those before it.
            let mut random = base.clone();
            random.set_stream(n);
            match &mut self.maker {
                Maker::Named(named) => named.row(n, &mut random, &mut self.columns)?,
                Maker::Nexmark(nexmark) => nexmark.row(n, &mut random, &mut self.columns)?,
            }
        }
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
        batch(&self.schema, arrays, count as usize)
    }
}

/// Uniform in `0..bound`; the bias of the remainder is of no interest here.
fn below(random: u64, bound: i64) -> i64 {
    (random % bound.max(1).cast_unsigned()).cast_signed()
}

impl Source for DatagenSource {
    fn partitions(&self) -> Vec<u32> {
        vec![0]
    }

    fn starts(&mut self) -> Result<Vec<Position>> {
        Ok(vec![Position { partition: 0, offset: 0 }])
    }

    /// Without `rows` the log has no end.
    fn ends(&mut self) -> Result<Vec<Position>> {
        let offset = self.rows.map_or(i64::MAX, u64::cast_signed);
        Ok(vec![Position { partition: 0, offset }])
    }

    fn seek(&mut self, positions: &[Position]) -> Result<()> {
        match positions {
            [] => self.next = u64::MAX,
            [Position { partition: 0, offset }] if *offset >= 0 => {
                self.next = offset.cast_unsigned();
            }
            other => return Err(Error::internal(format!("no such position: {other:?}"))),
        }
        Ok(())
    }

    fn poll(&mut self, rows_max: usize, _timeout: Duration) -> Result<Polled> {
        let end = self.rows.unwrap_or(i64::MAX.cast_unsigned());
        let count = (rows_max.max(1) as u64).min(end.saturating_sub(self.next));
        let mut polled = Polled::default();
        if count > 0 {
            let first = self.next;
            let rows = Rows {
                batch: self.generate(first, count)?,
                offsets: RowOffsets::From(first.cast_signed()),
                timestamps: None,
                file: Arc::from("datagen"),
            };
            self.next += count;
            let next_offset = self.next.cast_signed();
            let records = Records::Rows(rows);
            polled.chunks.push(Chunk { partition: 0, records, next_offset });
        }
        polled.end_of_input = self.next >= end;
        Ok(polled)
    }
}

#[cfg(test)]
mod tests;
