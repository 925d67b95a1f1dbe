//! COUNT(*) and COUNT(x) where nothing else of x is asked for: a counter.

use super::accumulate::{Accumulate, Place};
use super::rows::{Lens, Rows, is_valid};
use super::value::Column;
use crate::aggregate::encoding::{read_count, write_count};
use crate::error::Result;

/// Counts rows, or rows where a column is not NULL.
#[derive(Clone, Debug)]
pub(super) struct Count {
    pub lens: Option<Lens>,
}

impl Accumulate for Count {
    type Value = ();
    type State = u64;
    type Cell = u64;
    const LEAVES: bool = true;

    fn state(&self) -> u64 {
        0
    }

    fn clear(&self, state: &mut u64) {
        *state = 0;
    }

    #[inline]
    fn read(&self, _: &Rows, row: &[u64]) -> Option<()> {
        match &self.lens {
            Some(lens) => is_valid(row, lens).then_some(()),
            None => Some(()),
        }
    }

    #[inline]
    fn enter(&self, state: &mut u64, _: u64, (): ()) {
        *state += 1;
    }

    #[inline]
    fn leave(&self, state: &mut u64, (): ()) {
        *state -= 1;
    }

    #[inline]
    fn settle(&self, _: &mut u64, _: u64, _: u64, _: impl Fn(u64) -> Option<()>) {}

    fn insert(&self, state: &mut u64, _: u64, value: Option<()>) {
        *state += u64::from(value.is_some());
    }

    fn shift(&self, _: &mut u64) {}

    #[inline]
    fn emit(&self, state: &u64, columns: &mut [Column]) -> u64 {
        columns.iter_mut().for_each(|column| column.push_word(*state));
        0
    }

    fn cell(&self) -> u64 {
        0
    }

    #[inline]
    fn add(&self, cell: &mut u64, _: Place, (): ()) {
        *cell += 1;
    }

    #[inline]
    fn enter_cell(&self, state: &mut u64, _: u64, cell: &u64) {
        *state += cell;
    }

    #[inline]
    fn leave_cell(&self, state: &mut u64, cell: &u64) {
        *state -= cell;
    }

    fn read_cell(&self, _: &u64) -> Option<()> {
        None
    }

    fn encode_state(&self, state: &u64, out: &mut Vec<u8>) {
        write_count(*state, out);
    }

    fn decode_state(&self, input: &mut &[u8]) -> Result<u64> {
        read_count(input)
    }

    fn encode_cell(&self, cell: &u64, out: &mut Vec<u8>) {
        write_count(*cell, out);
    }

    fn decode_cell(&self, input: &mut &[u8]) -> Result<u64> {
        read_count(input)
    }

    fn state_bytes(&self, _: &u64) -> usize {
        size_of::<u64>()
    }

    #[inline]
    fn touch(&self, state: &u64) -> u64 {
        *state
    }
}
