//! COUNT, SUM, AVG, VAR and STDDEV of the distinct values of a column.

use std::fmt;
use std::marker::PhantomData;

use super::accumulate::{Accumulate, Place};
use super::rows::{Lens, Rows, is_valid};
use super::sum::{SumResult, SumResults};
use super::value::{Column, Float, Value};
use crate::aggregate::distinct::Distinct;
use crate::aggregate::encoding::{read_count, write_count};
use crate::aggregate::kind::AggregateKind;
use crate::aggregate::moments::{
    DecimalMoments, DecimalSums, FloatMoments, FloatSums, IntMoments, IntSums,
};
use crate::error::Result;

/// Sums that follow the distinct values as they come and go.
pub(super) trait Tally<V>: Clone + Default + fmt::Debug + Send + Sync + 'static {
    fn appear(&mut self, value: &V);
    fn vanish(&mut self, value: &V);
    fn push(&self, result: SumResult, column: &mut Column) -> bool;
}

/// For COUNT(DISTINCT) alone.
#[derive(Clone, Debug, Default)]
pub(super) struct NoSums;

impl<V> Tally<V> for NoSums {
    #[inline]
    fn appear(&mut self, _: &V) {}
    #[inline]
    fn vanish(&mut self, _: &V) {}
    fn push(&self, _: SumResult, column: &mut Column) -> bool {
        column.push_null();
        false
    }
}

macro_rules! tally {
    ($moments:ty, $value:ty, $number:expr) => {
        impl Tally<$value> for $moments {
            #[inline]
            fn appear(&mut self, value: &$value) {
                self.add($number(*value));
            }
            #[inline]
            fn vanish(&mut self, value: &$value) {
                self.sub($number(*value));
            }
            fn push(&self, result: SumResult, column: &mut Column) -> bool {
                SumResults::push(self, result, column)
            }
        }
    };
}
tally!(FloatSums, Float, Float::get);
tally!(FloatMoments, Float, Float::get);
tally!(IntSums, i64, i128::from);
tally!(IntMoments, i64, i128::from);
tally!(IntSums, u64, i128::from);
tally!(IntMoments, u64, i128::from);
tally!(DecimalSums, i128, i128::from);
tally!(DecimalMoments, i128, i128::from);

/// The distinct values of a column and their sums.
#[derive(Clone, Debug)]
pub(super) struct Unique<V, T> {
    pub lens: Lens,
    pub results: Vec<SumResult>,
    pub of: PhantomData<(V, T)>,
}

impl<V: Value, T: Tally<V>> Accumulate for Unique<V, T> {
    type Value = V;
    type State = (Distinct<V>, T);
    type Cell = Distinct<V>;
    const LEAVES: bool = true;

    fn state(&self) -> Self::State {
        Default::default()
    }

    fn clear(&self, state: &mut Self::State) {
        state.0.clear();
        state.1 = T::default();
    }

    #[inline]
    fn read(&self, rows: &Rows, row: &[u64]) -> Option<V> {
        is_valid(row, &self.lens).then(|| V::read(rows, row, self.lens.at))
    }

    #[inline]
    fn enter(&self, (values, sums): &mut Self::State, _: u64, value: V) {
        if values.add(value.clone()) {
            sums.appear(&value);
        }
    }

    #[inline]
    fn leave(&self, (values, sums): &mut Self::State, value: V) {
        if values.sub(&value) {
            sums.vanish(&value);
        }
    }

    #[inline]
    fn settle(&self, _: &mut Self::State, _: u64, _: u64, _: impl Fn(u64) -> Option<V>) {}

    fn insert(&self, state: &mut Self::State, seq: u64, value: Option<V>) {
        if let Some(value) = value {
            self.enter(state, seq, value);
        }
    }

    fn shift(&self, _: &mut Self::State) {}

    fn emit(&self, (values, sums): &Self::State, columns: &mut [Column]) -> u64 {
        let mut overflow = 0;
        for (result, column) in self.results.iter().zip(columns) {
            if result.kind == AggregateKind::Count {
                column.push_word(values.len() as u64);
            } else {
                overflow += u64::from(sums.push(*result, column));
            }
        }
        overflow
    }

    fn cell(&self) -> Distinct<V> {
        Distinct::new()
    }

    #[inline]
    fn add(&self, cell: &mut Distinct<V>, _: Place, value: V) {
        cell.add(value);
    }

    fn enter_cell(&self, (values, sums): &mut Self::State, _: u64, cell: &Distinct<V>) {
        values.merge(cell, |value| sums.appear(value));
    }

    fn leave_cell(&self, (values, sums): &mut Self::State, cell: &Distinct<V>) {
        values.unmerge(cell, |value| sums.vanish(value));
    }

    fn read_cell(&self, _: &Distinct<V>) -> Option<V> {
        None
    }

    fn encode_state(&self, state: &Self::State, out: &mut Vec<u8>) {
        self.encode_cell(&state.0, out);
    }

    fn decode_state(&self, input: &mut &[u8]) -> Result<Self::State> {
        let mut state = self.state();
        let cell = self.decode_cell(input)?;
        self.enter_cell(&mut state, 0, &cell);
        Ok(state)
    }

    fn encode_cell(&self, cell: &Distinct<V>, out: &mut Vec<u8>) {
        write_count(cell.len() as u64, out);
        for (value, times) in cell.sorted() {
            value.encode(out);
            write_count(times, out);
        }
    }

    fn decode_cell(&self, input: &mut &[u8]) -> Result<Distinct<V>> {
        let mut cell = Distinct::new();
        for _ in 0..read_count(input)? {
            let value = V::decode(input)?;
            cell.add_many(value, read_count(input)?);
        }
        Ok(cell)
    }

    fn state_bytes(&self, state: &Self::State) -> usize {
        state.0.size_bytes() + size_of::<T>()
    }

    #[inline]
    fn touch(&self, state: &Self::State) -> u64 {
        state.0.len() as u64
    }
}
