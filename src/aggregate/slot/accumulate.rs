//! What one kind of accumulator does, and the loops that move it over rows and panes. The loops
//! are written once and compiled for each kind and value type; `sliding` and `paned` keep the
//! states.

use std::fmt;

use super::rows::{PaneRun, Rows, Run};
use super::value::Column;
use crate::error::Result;

/// Where a row stands in the total order: event time, partition, offset.
pub type Place = (i64, u32, i64);

/// The words of a row that hold its place (`state::row` lays them out).
#[inline]
pub fn place_of(row: &[u64]) -> Place {
    (row[0] as i64, (row[1] >> 32) as u32, row[2] as i64)
}

/// A kind of accumulator: the rule, without the states.
///
/// # Contract
/// - `State` depends on the rows (or cells) in it only, never on the way it got there.
/// - `leave` takes back what was entered, oldest first; kinds with `LEAVES == false` learn of it
///   in `settle` instead.
pub(super) trait Accumulate: Clone + fmt::Debug + Send + Sync + 'static {
    type Value;
    /// Over the rows of a frame, moving.
    type State: Clone + fmt::Debug + Send + Sync;
    /// Over the rows of a pane, growing.
    type Cell: Clone + fmt::Debug + Send + Sync;

    const LEAVES: bool;

    fn state(&self) -> Self::State;
    fn clear(&self, state: &mut Self::State);
    /// The value of a row, `None` if the row does not count.
    fn read(&self, rows: &Rows, row: &[u64]) -> Option<Self::Value>;
    fn enter(&self, state: &mut Self::State, seq: u64, value: Self::Value);
    fn leave(&self, state: &mut Self::State, value: Self::Value);
    /// The state now covers `[lo, hi)`; `read` gives the value at a place.
    fn settle(
        &self,
        state: &mut Self::State,
        lo: u64,
        hi: u64,
        read: impl Fn(u64) -> Option<Self::Value>,
    );
    /// A row was put in at place `seq`, inside what the state covers.
    fn insert(&self, state: &mut Self::State, seq: u64, value: Option<Self::Value>);
    /// A row was put in before everything the state covers.
    fn shift(&self, state: &mut Self::State);
    /// Pushes the results; returns how many did not fit their type.
    fn emit(&self, state: &Self::State, columns: &mut [Column]) -> u64;

    fn cell(&self) -> Self::Cell;
    fn add(&self, cell: &mut Self::Cell, place: Place, value: Self::Value);
    fn enter_cell(&self, state: &mut Self::State, seq: u64, cell: &Self::Cell);
    fn leave_cell(&self, state: &mut Self::State, cell: &Self::Cell);
    /// What `settle` reads where places are panes.
    fn read_cell(&self, cell: &Self::Cell) -> Option<Self::Value>;

    fn encode_state(&self, state: &Self::State, out: &mut Vec<u8>);
    fn decode_state(&self, input: &mut &[u8]) -> Result<Self::State>;
    fn encode_cell(&self, cell: &Self::Cell, out: &mut Vec<u8>);
    fn decode_cell(&self, input: &mut &[u8]) -> Result<Self::Cell>;
    fn state_bytes(&self, state: &Self::State) -> usize;
    /// Reads a little of a state, so that it is on its way from memory when it is needed.
    fn touch(&self, state: &Self::State) -> u64;
}

/// Moves the state of a run over rows, one result after the other.
#[inline]
pub(super) fn slide_rows<A: Accumulate>(
    rule: &A,
    state: &mut A::State,
    run: &Run,
    bounds: (&[u64], &[u64]),
    columns: &mut [Column],
) -> u64 {
    if run.fresh {
        rule.clear(state);
    }
    let rows = &run.rows;
    let read = |seq: u64| rule.read(rows, rows.row(seq));
    let (mut from, mut to) = run.was;
    let (mut overflow, mut last) = (0, 0);
    let (los, his) = (&bounds.0[run.results.clone()], &bounds.1[run.results.clone()]);
    for (i, (&lo, &hi)) in los.iter().zip(his).enumerate() {
        if i > 0 && lo == from && hi == to {
            columns.iter_mut().for_each(Column::repeat);
            overflow += last;
            continue;
        }
        if lo > from {
            if lo >= to {
                // Nothing stays: cheaper than taking out, and big states become small again.
                rule.clear(state);
                to = lo;
            } else if A::LEAVES {
                for seq in from..lo {
                    if let Some(value) = read(seq) {
                        rule.leave(state, value);
                    }
                }
            }
            from = lo;
        }
        for seq in to..hi {
            if let Some(value) = read(seq) {
                rule.enter(state, seq, value);
            }
        }
        to = to.max(hi);
        rule.settle(state, lo, hi, read);
        last = rule.emit(state, columns);
        overflow += last;
    }
    overflow
}

/// Moves the state of a run over panes, one window after the other.
#[inline]
pub(super) fn slide_panes<A: Accumulate>(
    rule: &A,
    state: &mut A::State,
    cells: &[A::Cell],
    run: &PaneRun,
    bounds: (&[u64], &[u64]),
    columns: &mut [Column],
) -> u64 {
    if run.fresh {
        rule.clear(state);
    }
    let cell = |seq: u64| &cells[run.cells[(seq - run.first) as usize] as usize];
    let (mut from, mut to) = run.was;
    let mut overflow = 0;
    for i in run.results.clone() {
        let (lo, hi) = (bounds.0[i], bounds.1[i]);
        if lo > from {
            if lo >= to {
                rule.clear(state);
                to = lo;
            } else if A::LEAVES {
                (from..lo).for_each(|seq| rule.leave_cell(state, cell(seq)));
            }
            from = lo;
        }
        (to..hi).for_each(|seq| rule.enter_cell(state, seq, cell(seq)));
        to = to.max(hi);
        rule.settle(state, lo, hi, |seq| rule.read_cell(cell(seq)));
        overflow += rule.emit(state, columns);
    }
    overflow
}
