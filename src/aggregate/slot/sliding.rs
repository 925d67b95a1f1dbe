//! Slots over the rows of trailing frames: one state per key, moved by runs. Called by
//! `operator::trailing_window`.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use arrow::array::ArrayRef;

use super::accumulate::{Accumulate, slide_rows};
use super::codec::Codec;
use super::rows::{Rows, Run};
use super::value::Column;
use crate::aggregate::encoding::finish;
use crate::error::Result;

/// States whose memory is asked for together: with many keys nearly every state is a cache miss,
/// and the processor waits for misses in parallel only if they are close in the program.
pub(super) const AHEAD: usize = 64;

/// Which result of the specification a column is, and how it becomes an array.
#[derive(Clone, Debug)]
pub struct Output {
    pub slot: usize,
    pub codec: Arc<Codec>,
    /// The rule pushes lists or maps whole, not their bytes.
    pub whole_lists: bool,
}

impl Output {
    pub(super) fn columns(outputs: &[Self]) -> Vec<Column> {
        let column = |output: &Self| match output.whole_lists {
            true => Column::of_lists(),
            false => Column::new(output.codec.physical()),
        };
        outputs.iter().map(column).collect()
    }

    /// Finished columns by the number of their slot.
    pub(super) fn take(
        outputs: &[Self],
        columns: &mut [Column],
        out: &mut [Option<ArrayRef>],
    ) -> Result<()> {
        for (output, column) in outputs.iter().zip(columns) {
            out[output.slot] = Some(output.codec.finish(column)?);
        }
        Ok(())
    }
}

/// Accumulators of one kind over one frame, one state per key, with their result columns.
pub trait Slot: fmt::Debug + Send {
    /// Makes room for states `0..states`; new ones are empty.
    fn resize(&mut self, states: usize);
    /// Empties a state.
    fn reset(&mut self, state: usize);
    /// Moves states: for each run, one result per pair of bounds is pushed.
    fn slide(&mut self, runs: &[Run], bounds: (&[u64], &[u64]));
    /// A row was put in at place `seq` of a state's rows: inside what the state covers, or
    /// before it.
    fn insert(&mut self, state: usize, rows: &Rows, seq: u64, inside: bool);
    /// Finished columns by the number of their slot; the columns are empty afterwards.
    ///
    /// # Errors
    /// `Data` if Arrow cannot build one.
    fn take(&mut self, out: &mut [Option<ArrayRef>]) -> Result<()>;
    /// Empty copy with one state per entry of `from`, cloned from that state of `self` if given.
    fn fork(&self, from: &[Option<usize>]) -> Box<dyn Slot>;
    /// Results so far that did not fit their type.
    fn overflow(&self) -> u64;
    /// Appends a state that holds all rows so far (UNBOUNDED frames).
    fn encode(&self, state: usize, out: &mut Vec<u8>);
    /// Reads what [`Self::encode`] wrote; its rows count as row 0.
    ///
    /// # Errors
    /// `Data` if the bytes are damaged.
    fn decode(&mut self, state: usize, bytes: &[u8]) -> Result<()>;
    /// Estimate of the bytes held by one state.
    fn state_bytes(&self, state: usize) -> usize;
}

#[derive(Debug)]
pub(super) struct Sliding<A: Accumulate> {
    rule: A,
    states: Vec<A::State>,
    outputs: Vec<Output>,
    columns: Vec<Column>,
    overflow: u64,
}

impl<A: Accumulate> Sliding<A> {
    pub fn new(rule: A, outputs: Vec<Output>) -> Self {
        let columns = Output::columns(&outputs);
        Self { rule, states: Vec::new(), outputs, columns, overflow: 0 }
    }
}

impl<A: Accumulate> Slot for Sliding<A> {
    fn resize(&mut self, states: usize) {
        if self.states.len() < states {
            self.states.resize_with(states, || self.rule.state());
        }
    }

    fn reset(&mut self, state: usize) {
        self.states[state] = self.rule.state();
    }

    fn slide(&mut self, runs: &[Run], bounds: (&[u64], &[u64])) {
        let Self { rule, states, columns, overflow, .. } = self;
        for runs in runs.chunks(AHEAD) {
            let touch = |run: &Run| rule.touch(&states[run.state]);
            black_box(runs.iter().map(touch).fold(0, u64::wrapping_add));
            for run in runs {
                *overflow += slide_rows(rule, &mut states[run.state], run, bounds, columns);
            }
        }
    }

    fn insert(&mut self, state: usize, rows: &Rows, seq: u64, inside: bool) {
        let state = &mut self.states[state];
        if inside {
            let value = self.rule.read(rows, rows.row(seq));
            self.rule.insert(state, seq, value);
        } else {
            self.rule.shift(state);
        }
    }

    fn take(&mut self, out: &mut [Option<ArrayRef>]) -> Result<()> {
        Output::take(&self.outputs, &mut self.columns, out)
    }

    fn fork(&self, from: &[Option<usize>]) -> Box<dyn Slot> {
        let clone = |state: &Option<usize>| match state {
            Some(state) => self.states[*state].clone(),
            None => self.rule.state(),
        };
        let mut fork = Self::new(self.rule.clone(), self.outputs.clone());
        fork.states = from.iter().map(clone).collect();
        Box::new(fork)
    }

    fn overflow(&self) -> u64 {
        self.overflow
    }

    fn encode(&self, state: usize, out: &mut Vec<u8>) {
        self.rule.encode_state(&self.states[state], out);
    }

    fn decode(&mut self, state: usize, mut bytes: &[u8]) -> Result<()> {
        self.states[state] = self.rule.decode_state(&mut bytes)?;
        finish(bytes)
    }

    fn state_bytes(&self, state: usize) -> usize {
        self.states.get(state).map_or(0, |state| self.rule.state_bytes(state))
    }
}
