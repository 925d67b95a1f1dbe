//! COVAR, CORR, REGR_*, SKEWNESS and KURTOSIS over frames: one exact state for all results of the
//! same arguments.

use std::marker::PhantomData;

use super::accumulate::{Accumulate, Place};
use super::rows::{Lens, Rows, is_valid};
use super::value::Column;
use crate::aggregate::joint::Joint;
use crate::aggregate::kind::AggregateKind;
use crate::error::Result;
use crate::model::key::canonical_f64;

/// Exact sums over one or two DOUBLE columns.
#[derive(Clone, Debug)]
pub(super) struct JointSums<J> {
    /// Both the same where one column is asked for.
    pub lenses: [Lens; 2],
    pub filter: Option<Lens>,
    pub results: Vec<AggregateKind>,
    pub of: PhantomData<J>,
}

impl<J: Joint> Accumulate for JointSums<J> {
    type Value = [f64; 2];
    type State = J;
    type Cell = J;
    const LEAVES: bool = true;

    fn state(&self) -> J {
        J::default()
    }

    fn clear(&self, state: &mut J) {
        *state = J::default();
    }

    #[inline]
    fn read(&self, _: &Rows, row: &[u64]) -> Option<[f64; 2]> {
        let passes = |filter: &Lens| is_valid(row, filter) && row[filter.at] != 0;
        let counts = self.filter.as_ref().is_none_or(passes)
            && self.lenses.iter().all(|lens| is_valid(row, lens));
        counts.then(|| self.lenses.map(|lens| f64::from_bits(row[lens.at])))
    }

    #[inline]
    fn enter(&self, state: &mut J, _: u64, value: [f64; 2]) {
        state.change(value, false);
    }

    #[inline]
    fn leave(&self, state: &mut J, value: [f64; 2]) {
        state.change(value, true);
    }

    #[inline]
    fn settle(&self, _: &mut J, _: u64, _: u64, _: impl Fn(u64) -> Option<[f64; 2]>) {}

    fn insert(&self, state: &mut J, _: u64, value: Option<[f64; 2]>) {
        if let Some(value) = value {
            state.change(value, false);
        }
    }

    fn shift(&self, _: &mut J) {}

    fn emit(&self, state: &J, columns: &mut [Column]) -> u64 {
        for (kind, column) in self.results.iter().zip(columns) {
            if *kind == AggregateKind::RegrCount {
                column.push_word(state.count());
                continue;
            }
            match state.result(*kind) {
                Some(x) => column.push_word(canonical_f64(x).to_bits()),
                None => column.push_null(),
            }
        }
        0
    }

    fn cell(&self) -> J {
        J::default()
    }

    #[inline]
    fn add(&self, cell: &mut J, _: Place, value: [f64; 2]) {
        cell.change(value, false);
    }

    fn enter_cell(&self, state: &mut J, _: u64, cell: &J) {
        state.merge(cell, false);
    }

    fn leave_cell(&self, state: &mut J, cell: &J) {
        state.merge(cell, true);
    }

    fn read_cell(&self, _: &J) -> Option<[f64; 2]> {
        None
    }

    fn encode_state(&self, state: &J, out: &mut Vec<u8>) {
        state.encode(out);
    }

    fn decode_state(&self, input: &mut &[u8]) -> Result<J> {
        J::decode(input)
    }

    fn encode_cell(&self, cell: &J, out: &mut Vec<u8>) {
        cell.encode(out);
    }

    fn decode_cell(&self, input: &mut &[u8]) -> Result<J> {
        J::decode(input)
    }

    fn state_bytes(&self, state: &J) -> usize {
        size_of::<J>() + state.heap_bytes()
    }

    #[inline]
    fn touch(&self, state: &J) -> u64 {
        state.count()
    }
}
