//! BIT_AND, BIT_OR and BIT_XOR: how many values have each bit, so that values can leave.

use super::accumulate::{Accumulate, Place};
use super::rows::{Lens, Rows, is_valid};
use super::value::Column;
use crate::aggregate::encoding::{read_count, write_count};
use crate::aggregate::kind::AggregateKind;
use crate::error::Result;

/// Bits of the integers in a column.
#[derive(Clone, Debug)]
pub(super) struct Bits {
    pub lens: Lens,
    pub filter: Option<Lens>,
    pub results: Vec<AggregateKind>,
}

/// Values, and values with each bit.
#[derive(Clone, Debug)]
pub(super) struct BitCounts {
    values: u64,
    with: [u64; 64],
}

impl BitCounts {
    const NONE: Self = Self { values: 0, with: [0; 64] };

    fn change(&mut self, mut bits: u64, by: u64) {
        self.values = self.values.wrapping_add(by);
        while bits != 0 {
            let bit = bits.trailing_zeros() as usize;
            self.with[bit] = self.with[bit].wrapping_add(by);
            bits &= bits - 1;
        }
    }

    fn merge(&mut self, other: &Self, sign: u64) {
        self.values = self.values.wrapping_add(other.values.wrapping_mul(sign));
        for (own, other) in self.with.iter_mut().zip(&other.with) {
            *own = own.wrapping_add(other.wrapping_mul(sign));
        }
    }

    fn result(&self, kind: AggregateKind) -> u64 {
        let set = |count: &u64| match kind {
            AggregateKind::BitAnd => *count == self.values,
            AggregateKind::BitOr => *count > 0,
            _ => *count & 1 == 1,
        };
        (0..64).filter(|bit| set(&self.with[*bit])).fold(0, |all, bit| all | 1 << bit)
    }
}

impl Accumulate for Bits {
    type Value = u64;
    type State = Box<BitCounts>;
    type Cell = Box<BitCounts>;
    const LEAVES: bool = true;

    fn state(&self) -> Self::State {
        Box::new(BitCounts::NONE)
    }

    fn clear(&self, state: &mut Self::State) {
        **state = BitCounts::NONE;
    }

    #[inline]
    fn read(&self, _: &Rows, row: &[u64]) -> Option<u64> {
        let passes = |filter: &Lens| is_valid(row, filter) && row[filter.at] != 0;
        (self.filter.as_ref().is_none_or(passes) && is_valid(row, &self.lens))
            .then(|| row[self.lens.at])
    }

    #[inline]
    fn enter(&self, state: &mut Self::State, _: u64, value: u64) {
        state.change(value, 1);
    }

    #[inline]
    fn leave(&self, state: &mut Self::State, value: u64) {
        state.change(value, u64::MAX);
    }

    #[inline]
    fn settle(&self, _: &mut Self::State, _: u64, _: u64, _: impl Fn(u64) -> Option<u64>) {}

    fn insert(&self, state: &mut Self::State, _: u64, value: Option<u64>) {
        if let Some(value) = value {
            state.change(value, 1);
        }
    }

    fn shift(&self, _: &mut Self::State) {}

    fn emit(&self, state: &Self::State, columns: &mut [Column]) -> u64 {
        for (kind, column) in self.results.iter().zip(columns) {
            match state.values {
                0 => column.push_null(),
                _ => column.push_word(state.result(*kind)),
            }
        }
        0
    }

    fn cell(&self) -> Self::Cell {
        self.state()
    }

    fn add(&self, cell: &mut Self::Cell, _: Place, value: u64) {
        cell.change(value, 1);
    }

    fn enter_cell(&self, state: &mut Self::State, _: u64, cell: &Self::Cell) {
        state.merge(cell, 1);
    }

    fn leave_cell(&self, state: &mut Self::State, cell: &Self::Cell) {
        state.merge(cell, u64::MAX);
    }

    fn read_cell(&self, _: &Self::Cell) -> Option<u64> {
        None
    }

    fn encode_state(&self, state: &Self::State, out: &mut Vec<u8>) {
        write_count(state.values, out);
        state.with.iter().for_each(|count| write_count(*count, out));
    }

    fn decode_state(&self, input: &mut &[u8]) -> Result<Self::State> {
        let mut state = self.state();
        state.values = read_count(input)?;
        for count in &mut state.with {
            *count = read_count(input)?;
        }
        Ok(state)
    }

    fn encode_cell(&self, cell: &Self::Cell, out: &mut Vec<u8>) {
        self.encode_state(cell, out);
    }

    fn decode_cell(&self, input: &mut &[u8]) -> Result<Self::Cell> {
        self.decode_state(input)
    }

    fn state_bytes(&self, _: &Self::State) -> usize {
        size_of::<BitCounts>() + size_of::<Self::State>()
    }

    #[inline]
    fn touch(&self, state: &Self::State) -> u64 {
        state.values
    }
}
