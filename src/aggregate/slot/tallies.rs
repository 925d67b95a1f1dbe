//! The APPROX_* sketches over frames (`aggregate::sketch`): results of one argument share a state.

use super::accumulate::{Accumulate, Place};
use super::rows::{Lens, Rows, is_valid};
use super::value::{Column, Physical};
use crate::aggregate::datum::Datum;
use crate::aggregate::sketch::{Buckets, Form};
use crate::error::Result;

/// The values of a column by bucket.
#[derive(Clone, Debug)]
pub(super) struct Tallies {
    pub lens: Lens,
    pub physical: Physical,
    pub filter: Option<Lens>,
    pub form: Form,
    /// Of quantiles, which.
    pub results: Vec<f64>,
}

impl Accumulate for Tallies {
    type Value = i32;
    type State = Buckets;
    type Cell = Buckets;
    const LEAVES: bool = true;

    fn state(&self) -> Buckets {
        Buckets::default()
    }

    fn clear(&self, state: &mut Buckets) {
        *state = Buckets::default();
    }

    fn read(&self, rows: &Rows, row: &[u64]) -> Option<i32> {
        let passes = |filter: &Lens| is_valid(row, filter) && row[filter.at] != 0;
        if !self.filter.as_ref().is_none_or(passes) || !is_valid(row, &self.lens) {
            return None;
        }
        Some(self.form.bucket(&Datum::read(rows, row, &self.lens, self.physical)))
    }

    fn enter(&self, state: &mut Buckets, _: u64, value: i32) {
        state.add(self.form, value, 1);
    }

    fn leave(&self, state: &mut Buckets, value: i32) {
        state.sub(self.form, value, 1);
    }

    fn settle(&self, _: &mut Buckets, _: u64, _: u64, _: impl Fn(u64) -> Option<i32>) {}

    fn insert(&self, state: &mut Buckets, seq: u64, value: Option<i32>) {
        if let Some(value) = value {
            self.enter(state, seq, value);
        }
    }

    fn shift(&self, _: &mut Buckets) {}

    fn emit(&self, state: &Buckets, columns: &mut [Column]) -> u64 {
        for (p, column) in self.results.iter().zip(columns) {
            match self.form {
                Form::Distinct => column.push_word(state.distinct()),
                Form::Quantiles => match state.quantile(*p) {
                    Some(x) => column.push_word(x.to_bits()),
                    None => column.push_null(),
                },
            }
        }
        0
    }

    fn cell(&self) -> Buckets {
        Buckets::default()
    }

    fn add(&self, cell: &mut Buckets, _: Place, value: i32) {
        cell.add(self.form, value, 1);
    }

    fn enter_cell(&self, state: &mut Buckets, _: u64, cell: &Buckets) {
        state.merge(self.form, cell);
    }

    fn leave_cell(&self, state: &mut Buckets, cell: &Buckets) {
        state.unmerge(self.form, cell);
    }

    fn read_cell(&self, _: &Buckets) -> Option<i32> {
        None
    }

    fn encode_state(&self, state: &Buckets, out: &mut Vec<u8>) {
        state.encode(out);
    }

    fn decode_state(&self, input: &mut &[u8]) -> Result<Buckets> {
        Buckets::decode(self.form, input)
    }

    fn encode_cell(&self, cell: &Buckets, out: &mut Vec<u8>) {
        cell.encode(out);
    }

    fn decode_cell(&self, input: &mut &[u8]) -> Result<Buckets> {
        Buckets::decode(self.form, input)
    }

    fn state_bytes(&self, state: &Buckets) -> usize {
        size_of::<Buckets>() + state.heap_bytes()
    }

    fn touch(&self, state: &Buckets) -> u64 {
        state.count()
    }
}
