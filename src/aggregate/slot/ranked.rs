//! MEDIAN, PERCENTILE_CONT, PERCENTILE_DISC and MODE: the values of a frame in their order of
//! size. Entering and leaving is a binary search and a move; results of one argument share a state.

use super::accumulate::{Accumulate, Place};
use super::rows::{Lens, Rows, is_valid};
use super::value::{Column, Float, Value};
use crate::aggregate::encoding::{read_count, write_count};
use crate::error::Result;

/// One result over sorted values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ranking {
    pub rank: Rank,
    pub distinct: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rank {
    Median,
    /// Between two values in proportion.
    Cont(f64),
    /// The first value with at least this fraction of the values up to it.
    Disc(f64),
    Mode,
}

/// Values that have values between them.
pub(super) trait Between: Value {
    fn mean(&self, other: &Self) -> Self;
    /// `self + (other − self) · fraction`.
    fn between(&self, other: &Self, fraction: f64) -> Self;
}

impl Between for Float {
    /// Rounded once.
    fn mean(&self, other: &Self) -> Self {
        let (a, b) = (self.get(), other.get());
        let sum = a + b;
        // Halving is exact unless the sum was: a sum that small is.
        let mean = if sum.is_infinite() { a * 0.5 + b * 0.5 } else { sum * 0.5 };
        Self::of(mean)
    }

    /// In DOUBLE, in this order; a difference beyond the range is taken apart.
    fn between(&self, other: &Self, fraction: f64) -> Self {
        let (a, b) = (self.get(), other.get());
        if fraction == 0.0 || a.to_bits() == b.to_bits() {
            return *self;
        }
        let wide = (b - a).is_infinite() && a.is_finite() && b.is_finite();
        Self::of(if wide { a * (1.0 - fraction) + b * fraction } else { a + (b - a) * fraction })
    }
}

/// Only the middle of two decimals is asked for.
impl Between for i128 {
    /// Half away from zero.
    fn mean(&self, other: &Self) -> Self {
        if (*self < 0) != (*other < 0) {
            let sum = self + other;
            return sum / 2 + sum % 2;
        }
        let magnitude = (self.unsigned_abs() + other.unsigned_abs()).div_ceil(2);
        if *self < 0 { -(magnitude as i128) } else { magnitude as i128 }
    }

    fn between(&self, other: &Self, _: f64) -> Self {
        self.mean(other)
    }
}

/// Never asked for what lies between.
macro_rules! not_between {
    ($($type:ty),*) => {$(
        impl Between for $type {
            fn mean(&self, _: &Self) -> Self {
                self.clone()
            }
            fn between(&self, _: &Self, _: f64) -> Self {
                self.clone()
            }
        }
    )*};
}
not_between!(i64, u64, std::sync::Arc<[u8]>);

/// The sorted values of a column.
#[derive(Clone, Debug)]
pub(super) struct Ranked<V> {
    pub lens: Lens,
    pub filter: Option<Lens>,
    pub results: Vec<Ranking>,
    pub of: std::marker::PhantomData<V>,
}

/// The result over ascending values, of which there is one at least.
fn result<V: Between>(rank: Rank, values: &[V]) -> V {
    let last = values.len() - 1;
    match rank {
        Rank::Median => {
            let (low, high) = (last / 2, values.len() / 2);
            if low == high { values[low].clone() } else { values[low].mean(&values[high]) }
        }
        Rank::Cont(p) => {
            let place = p * last as f64;
            let low = (place.floor() as usize).min(last);
            let high = (low + 1).min(last);
            values[low].between(&values[high], place - low as f64)
        }
        Rank::Disc(p) => {
            let place = (p * values.len() as f64).ceil() as usize;
            values[place.saturating_sub(1).min(last)].clone()
        }
        Rank::Mode => {
            let runs = values.chunk_by(|a, b| a == b);
            let longest = runs.rev().max_by_key(|run| run.len());
            longest.map_or_else(|| values[0].clone(), |run| run[0].clone())
        }
    }
}

impl<V: Between> Accumulate for Ranked<V> {
    type Value = V;
    type State = Vec<V>;
    type Cell = Vec<V>;
    const LEAVES: bool = true;

    fn state(&self) -> Vec<V> {
        Vec::new()
    }

    fn clear(&self, state: &mut Vec<V>) {
        state.clear();
    }

    #[inline]
    fn read(&self, rows: &Rows, row: &[u64]) -> Option<V> {
        let passes = |filter: &Lens| is_valid(row, filter) && row[filter.at] != 0;
        if !self.filter.as_ref().is_none_or(passes) || !is_valid(row, &self.lens) {
            return None;
        }
        Some(V::read(rows, row, self.lens.at))
    }

    #[inline]
    fn enter(&self, state: &mut Vec<V>, _: u64, value: V) {
        let at = state.partition_point(|other| *other <= value);
        state.insert(at, value);
    }

    #[inline]
    fn leave(&self, state: &mut Vec<V>, value: V) {
        let at = state.partition_point(|other| *other < value);
        assert!(state.get(at) == Some(&value), "a value leaves that is not there");
        state.remove(at);
    }

    #[inline]
    fn settle(&self, _: &mut Vec<V>, _: u64, _: u64, _: impl Fn(u64) -> Option<V>) {}

    fn insert(&self, state: &mut Vec<V>, seq: u64, value: Option<V>) {
        if let Some(value) = value {
            self.enter(state, seq, value);
        }
    }

    fn shift(&self, _: &mut Vec<V>) {}

    fn emit(&self, state: &Vec<V>, columns: &mut [Column]) -> u64 {
        let mut different: Option<Vec<V>> = None;
        for (ranking, column) in self.results.iter().zip(columns) {
            if state.is_empty() {
                column.push_null();
            } else if ranking.distinct {
                let different = different.get_or_insert_with(|| {
                    let mut values = state.clone();
                    values.dedup();
                    values
                });
                result(ranking.rank, different).push(column);
            } else {
                result(ranking.rank, state).push(column);
            }
        }
        0
    }

    fn cell(&self) -> Vec<V> {
        Vec::new()
    }

    fn add(&self, cell: &mut Vec<V>, _: Place, value: V) {
        self.enter(cell, 0, value);
    }

    fn enter_cell(&self, state: &mut Vec<V>, _: u64, cell: &Vec<V>) {
        state.extend_from_slice(cell);
        // Two ascending runs: merged in one pass.
        state.sort();
    }

    fn leave_cell(&self, state: &mut Vec<V>, cell: &Vec<V>) {
        let mut gone = cell.iter().peekable();
        state.retain(|value| gone.next_if(|next| *next == value).is_none());
        assert!(gone.next().is_none(), "values leave that are not there");
    }

    fn read_cell(&self, _: &Vec<V>) -> Option<V> {
        None
    }

    fn encode_state(&self, state: &Vec<V>, out: &mut Vec<u8>) {
        write_count(state.len() as u64, out);
        state.iter().for_each(|value| value.encode(out));
    }

    fn decode_state(&self, input: &mut &[u8]) -> Result<Vec<V>> {
        let mut state = Vec::new();
        for _ in 0..read_count(input)? {
            state.push(V::decode(input)?);
        }
        state.sort();
        Ok(state)
    }

    fn encode_cell(&self, cell: &Vec<V>, out: &mut Vec<u8>) {
        self.encode_state(cell, out);
    }

    fn decode_cell(&self, input: &mut &[u8]) -> Result<Vec<V>> {
        self.decode_state(input)
    }

    fn state_bytes(&self, state: &Vec<V>) -> usize {
        let heap: usize = state.iter().map(V::heap_bytes).sum();
        size_of::<Vec<V>>() + state.capacity() * size_of::<V>() + heap
    }

    #[inline]
    fn touch(&self, state: &Vec<V>) -> u64 {
        state.len() as u64
    }
}
