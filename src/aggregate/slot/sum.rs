//! COUNT, SUM, AVG, VAR and STDDEV of one argument over one frame: one exact state, computed
//! once, many results.

use std::marker::PhantomData;

use super::accumulate::{Accumulate, Place};
use super::rows::{Lens, Rows, is_valid};
use super::value::Column;
use crate::aggregate::encoding::{read_count, take, write_count};
use crate::aggregate::kind::AggregateKind;
use crate::aggregate::moments::{
    DecimalMoments, DecimalSums, FloatMoments, FloatSums, IntMoments, IntSums, Moments, Overflow,
};
use crate::error::Result;

/// One result of a state of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SumResult {
    pub kind: AggregateKind,
    pub form: SumForm,
}

/// What SUM looks like, and what a decimal result needs to know of its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SumForm {
    Float,
    Int,
    UInt,
    /// Precision and scale of the argument.
    Decimal(u8, i8),
}

/// How a numeric column is read.
pub(super) trait Number: Clone + std::fmt::Debug + Send + Sync + 'static {
    type Value: Copy;
    fn read(row: &[u64], at: usize) -> Self::Value;
}

#[derive(Clone, Debug)]
pub(super) struct FloatNumber;
#[derive(Clone, Debug)]
pub(super) struct IntNumber;
#[derive(Clone, Debug)]
pub(super) struct UIntNumber;
#[derive(Clone, Debug)]
pub(super) struct WideNumber;

impl Number for FloatNumber {
    type Value = f64;
    #[inline]
    fn read(row: &[u64], at: usize) -> f64 {
        f64::from_bits(row[at])
    }
}
impl Number for IntNumber {
    type Value = i128;
    #[inline]
    fn read(row: &[u64], at: usize) -> i128 {
        i128::from(row[at] as i64)
    }
}
impl Number for UIntNumber {
    type Value = i128;
    #[inline]
    fn read(row: &[u64], at: usize) -> i128 {
        i128::from(row[at])
    }
}
impl Number for WideNumber {
    type Value = i128;
    #[inline]
    fn read(row: &[u64], at: usize) -> i128 {
        (u128::from(row[at]) | u128::from(row[at + 1]) << 64) as i128
    }
}

/// Pushes results of a state of sums; true if one did not fit its type.
pub(super) trait SumResults {
    fn push(&self, result: SumResult, column: &mut Column) -> bool;
}

#[inline]
fn push_float(value: Option<f64>, column: &mut Column) -> bool {
    match value {
        Some(x) => column.push_word(x.to_bits()),
        None => column.push_null(),
    }
    false
}

#[inline]
fn push_checked<T>(
    value: Result<Option<T>, Overflow>,
    column: &mut Column,
    push: impl Fn(&mut Column, T),
) -> bool {
    match value {
        Ok(Some(x)) => push(column, x),
        Ok(None) => column.push_null(),
        Err(Overflow) => {
            column.push_null();
            return true;
        }
    }
    false
}

macro_rules! float_results {
    ($type:ty, $($kind:ident => $method:ident),*) => {
        impl SumResults for $type {
            #[inline]
            fn push(&self, result: SumResult, column: &mut Column) -> bool {
                match result.kind {
                    AggregateKind::Sum => push_float(self.sum(), column),
                    AggregateKind::Avg => push_float(self.avg(), column),
                    $(AggregateKind::$kind => push_float(self.$method(), column),)*
                    _ => {
                        column.push_word(self.count());
                        false
                    }
                }
            }
        }
    };
}
float_results!(FloatSums,);
float_results!(FloatMoments, VarPop => var_pop, VarSamp => var_samp,
    StddevPop => stddev_pop, StddevSamp => stddev_samp);

macro_rules! int_results {
    ($type:ty, $($kind:ident => $method:ident),*) => {
        impl SumResults for $type {
            #[inline]
            fn push(&self, result: SumResult, column: &mut Column) -> bool {
                match result.kind {
                    AggregateKind::Sum => {
                        if result.form == SumForm::UInt {
                            push_checked(self.sum_u64(), column, Column::push_word)
                        } else {
                            let push = |column: &mut Column, x| column.push_word(x as u64);
                            push_checked(self.sum_i64(), column, push)
                        }
                    }
                    AggregateKind::Avg => push_float(self.avg(), column),
                    $(AggregateKind::$kind => push_float(self.$method(), column),)*
                    _ => {
                        column.push_word(self.count());
                        false
                    }
                }
            }
        }
    };
}
int_results!(IntSums,);
int_results!(IntMoments, VarPop => var_pop, VarSamp => var_samp,
    StddevPop => stddev_pop, StddevSamp => stddev_samp);

macro_rules! decimal_results {
    ($type:ty, $($kind:ident => $method:ident),*) => {
        impl SumResults for $type {
            fn push(&self, result: SumResult, column: &mut Column) -> bool {
                let (precision, scale) = match result.form {
                    SumForm::Decimal(precision, scale) => (precision, scale),
                    _ => (38, 0),
                };
                match result.kind {
                    AggregateKind::Sum => {
                        push_checked(self.sum(precision, scale), column, Column::push_wide)
                    }
                    AggregateKind::Avg => {
                        push_checked(self.avg(precision, scale), column, Column::push_wide)
                    }
                    $(AggregateKind::$kind => push_float(self.$method(scale), column),)*
                    _ => {
                        column.push_word(self.count());
                        false
                    }
                }
            }
        }
    };
}
decimal_results!(DecimalSums,);
decimal_results!(DecimalMoments, VarPop => var_pop, VarSamp => var_samp,
    StddevPop => stddev_pop, StddevSamp => stddev_samp);

/// Appends encoded moments with their length before them.
pub(super) fn write_moments<M: Moments>(moments: &M, out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    moments.encode(&mut bytes);
    write_count(bytes.len() as u64, out);
    out.extend_from_slice(&bytes);
}

/// Reads what [`write_moments`] wrote.
pub(super) fn read_moments<M: Moments>(input: &mut &[u8]) -> Result<M> {
    let length = read_count(input)?;
    M::decode(take(input, length as usize)?)
}

/// Sums of the numbers in a column.
#[derive(Clone, Debug)]
pub(super) struct Sum<N, M> {
    pub lens: Lens,
    pub results: Vec<SumResult>,
    pub of: PhantomData<(N, M)>,
}

impl<N, M> Accumulate for Sum<N, M>
where
    N: Number,
    M: Moments<Value = N::Value> + SumResults,
{
    type Value = N::Value;
    type State = M;
    type Cell = M;
    const LEAVES: bool = true;

    fn state(&self) -> M {
        M::default()
    }

    #[inline]
    fn clear(&self, state: &mut M) {
        *state = M::default();
    }

    #[inline]
    fn read(&self, _: &Rows, row: &[u64]) -> Option<N::Value> {
        is_valid(row, &self.lens).then(|| N::read(row, self.lens.at))
    }

    #[inline]
    fn enter(&self, state: &mut M, _: u64, value: N::Value) {
        state.add(value);
    }

    #[inline]
    fn leave(&self, state: &mut M, value: N::Value) {
        state.sub(value);
    }

    #[inline]
    fn settle(&self, _: &mut M, _: u64, _: u64, _: impl Fn(u64) -> Option<N::Value>) {}

    fn insert(&self, state: &mut M, _: u64, value: Option<N::Value>) {
        if let Some(value) = value {
            state.add(value);
        }
    }

    fn shift(&self, _: &mut M) {}

    #[inline]
    fn emit(&self, state: &M, columns: &mut [Column]) -> u64 {
        let mut overflow = 0;
        for (result, column) in self.results.iter().zip(columns) {
            overflow += u64::from(state.push(*result, column));
        }
        overflow
    }

    fn cell(&self) -> M {
        M::default()
    }

    #[inline]
    fn add(&self, cell: &mut M, _: Place, value: N::Value) {
        cell.add(value);
    }

    #[inline]
    fn enter_cell(&self, state: &mut M, _: u64, cell: &M) {
        state.merge(cell);
    }

    #[inline]
    fn leave_cell(&self, state: &mut M, cell: &M) {
        state.unmerge(cell);
    }

    fn read_cell(&self, _: &M) -> Option<N::Value> {
        None
    }

    fn encode_state(&self, state: &M, out: &mut Vec<u8>) {
        write_moments(state, out);
    }

    fn decode_state(&self, input: &mut &[u8]) -> Result<M> {
        read_moments(input)
    }

    fn encode_cell(&self, cell: &M, out: &mut Vec<u8>) {
        write_moments(cell, out);
    }

    fn decode_cell(&self, input: &mut &[u8]) -> Result<M> {
        read_moments(input)
    }

    fn state_bytes(&self, state: &M) -> usize {
        size_of::<M>() + state.heap_bytes()
    }

    #[inline]
    fn touch(&self, state: &M) -> u64 {
        state.count()
    }
}
