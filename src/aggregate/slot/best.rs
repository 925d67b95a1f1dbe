//! MIN and MAX.

use std::marker::PhantomData;

use super::accumulate::{Accumulate, Place};
use super::rows::{Lens, Rows, is_valid};
use super::value::{Column, Value};
use crate::aggregate::encoding::take;
use crate::aggregate::extreme::Extreme;
use crate::error::Result;

/// The least or greatest value of a column.
#[derive(Clone, Debug)]
pub(super) struct Best<V> {
    pub lens: Lens,
    pub max: bool,
    /// Nothing ever leaves the frame: keep the one best value, not the queue behind it.
    pub unbounded: bool,
    pub of: PhantomData<V>,
}

impl<V: Value> Best<V> {
    /// Whether a frame that keeps everything can forget `new` beside `old`.
    #[inline]
    fn beats(&self, new: &V, old: Option<&V>) -> bool {
        old.is_none_or(|old| if self.max { new > old } else { new < old })
    }

    fn push(&self, state: &mut Extreme<V>, seq: u64, value: V) {
        if !self.unbounded {
            state.push_back(seq, value);
        } else if self.beats(&value, state.front()) {
            state.clear();
            state.push_back(seq, value);
        }
    }
}

impl<V: Value> Accumulate for Best<V> {
    type Value = V;
    type State = Extreme<V>;
    type Cell = Option<V>;
    const LEAVES: bool = false;

    fn state(&self) -> Extreme<V> {
        if self.max { Extreme::max() } else { Extreme::min() }
    }

    #[inline]
    fn clear(&self, state: &mut Extreme<V>) {
        state.clear();
    }

    #[inline]
    fn read(&self, rows: &Rows, row: &[u64]) -> Option<V> {
        is_valid(row, &self.lens).then(|| V::read(rows, row, self.lens.at))
    }

    #[inline]
    fn enter(&self, state: &mut Extreme<V>, seq: u64, value: V) {
        self.push(state, seq, value);
    }

    #[inline]
    fn leave(&self, _: &mut Extreme<V>, _: V) {}

    #[inline]
    fn settle(&self, state: &mut Extreme<V>, lo: u64, _: u64, _: impl Fn(u64) -> Option<V>) {
        if !self.unbounded {
            state.drop_before(lo);
        }
    }

    fn insert(&self, state: &mut Extreme<V>, seq: u64, value: Option<V>) {
        if self.unbounded {
            if let Some(value) = value {
                self.push(state, seq, value);
            }
            return;
        }
        state.shift_from(seq);
        if let Some(value) = value {
            state.insert(seq, value);
        }
    }

    fn shift(&self, state: &mut Extreme<V>) {
        state.shift_from(0);
    }

    #[inline]
    fn emit(&self, state: &Extreme<V>, columns: &mut [Column]) -> u64 {
        for column in columns {
            match state.front() {
                Some(value) => value.push(column),
                None => column.push_null(),
            }
        }
        0
    }

    fn cell(&self) -> Option<V> {
        None
    }

    #[inline]
    fn add(&self, cell: &mut Option<V>, _: Place, value: V) {
        if self.beats(&value, cell.as_ref()) {
            *cell = Some(value);
        }
    }

    #[inline]
    fn enter_cell(&self, state: &mut Extreme<V>, seq: u64, cell: &Option<V>) {
        if let Some(value) = cell {
            self.push(state, seq, value.clone());
        }
    }

    #[inline]
    fn leave_cell(&self, _: &mut Extreme<V>, _: &Option<V>) {}

    fn read_cell(&self, cell: &Option<V>) -> Option<V> {
        cell.clone()
    }

    fn encode_state(&self, state: &Extreme<V>, out: &mut Vec<u8>) {
        self.encode_cell(&state.front().cloned(), out);
    }

    fn decode_state(&self, input: &mut &[u8]) -> Result<Extreme<V>> {
        let mut state = self.state();
        if let Some(value) = self.decode_cell(input)? {
            state.push_back(0, value);
        }
        Ok(state)
    }

    fn encode_cell(&self, cell: &Option<V>, out: &mut Vec<u8>) {
        out.push(u8::from(cell.is_some()));
        if let Some(value) = cell {
            value.encode(out);
        }
    }

    fn decode_cell(&self, input: &mut &[u8]) -> Result<Option<V>> {
        if take(input, 1)?[0] == 0 { Ok(None) } else { V::decode(input).map(Some) }
    }

    fn state_bytes(&self, state: &Extreme<V>) -> usize {
        state.size_bytes() + state.front().map_or(0, V::heap_bytes) * state.len()
    }

    #[inline]
    fn touch(&self, state: &Extreme<V>) -> u64 {
        state.entries().next().map_or(0, |entry| entry.0)
    }
}
