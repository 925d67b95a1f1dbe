//! Slots over panes: a cell per (key, pane) that grows with its rows, and per key a state that
//! slides over cells. Called by `operator::group_window`.

use std::fmt;
use std::hint::black_box;

use arrow::array::ArrayRef;

use super::accumulate::{Accumulate, place_of, slide_panes};
use super::rows::{PaneRun, Rows};
use super::sliding::{AHEAD, Output};
use super::value::Column;
use crate::aggregate::encoding::finish;
use crate::error::Result;

/// Accumulators of one kind over panes, with their result columns.
pub trait PaneSlot: fmt::Debug + Send {
    /// Makes room for cells and states; new ones are empty.
    fn resize(&mut self, cells: usize, states: usize);
    fn reset_cell(&mut self, cell: usize);
    fn reset_state(&mut self, state: usize);
    /// Adds row `i` of `rows` to cell `cells[i]`; `u32::MAX` means that it belongs to no window.
    fn add(&mut self, cells: &[u32], rows: &Rows);
    /// Moves states over panes: for each run, one result per pair of bounds is pushed.
    fn slide(&mut self, runs: &[PaneRun], bounds: (&[u64], &[u64]));
    /// As [`Self::slide`], with states made for the occasion, one after the other.
    fn peek(&self, runs: &[PaneRun], bounds: (&[u64], &[u64])) -> Box<dyn PaneSlot>;
    /// Finished columns by the number of their slot; the columns are empty afterwards.
    ///
    /// # Errors
    /// `Data` if Arrow cannot build one.
    fn take(&mut self, out: &mut [Option<ArrayRef>]) -> Result<()>;
    /// Results so far that did not fit their type.
    fn overflow(&self) -> u64;
    fn encode(&self, cell: usize, out: &mut Vec<u8>);
    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// `Data` if the bytes are damaged.
    fn decode(&mut self, cell: usize, bytes: &[u8]) -> Result<()>;
    /// Estimate of the bytes of one cell.
    fn cell_bytes(&self) -> usize;
}

#[derive(Debug)]
pub(super) struct Paned<A: Accumulate> {
    rule: A,
    cells: Vec<A::Cell>,
    states: Vec<A::State>,
    outputs: Vec<Output>,
    columns: Vec<Column>,
    overflow: u64,
}

impl<A: Accumulate> Paned<A> {
    pub fn new(rule: A, outputs: Vec<Output>) -> Self {
        let columns = Output::columns(&outputs);
        Self { rule, cells: Vec::new(), states: Vec::new(), outputs, columns, overflow: 0 }
    }
}

impl<A: Accumulate> PaneSlot for Paned<A> {
    fn resize(&mut self, cells: usize, states: usize) {
        if self.cells.len() < cells {
            self.cells.resize_with(cells, || self.rule.cell());
        }
        if self.states.len() < states {
            self.states.resize_with(states, || self.rule.state());
        }
    }

    fn reset_cell(&mut self, cell: usize) {
        self.cells[cell] = self.rule.cell();
    }

    fn reset_state(&mut self, state: usize) {
        self.states[state] = self.rule.state();
    }

    fn add(&mut self, cells: &[u32], rows: &Rows) {
        for (row, cell) in rows.words.chunks_exact(rows.stride).zip(cells) {
            if *cell == u32::MAX {
                continue;
            }
            if let Some(value) = self.rule.read(rows, row) {
                self.rule.add(&mut self.cells[*cell as usize], place_of(row), value);
            }
        }
    }

    fn slide(&mut self, runs: &[PaneRun], bounds: (&[u64], &[u64])) {
        let Self { rule, cells, states, columns, overflow, .. } = self;
        for runs in runs.chunks(AHEAD) {
            let touch = |run: &PaneRun| rule.touch(&states[run.state]);
            black_box(runs.iter().map(touch).fold(0, u64::wrapping_add));
            for run in runs {
                let state = &mut states[run.state];
                *overflow += slide_panes(rule, state, cells, run, bounds, columns);
            }
        }
    }

    fn peek(&self, runs: &[PaneRun], bounds: (&[u64], &[u64])) -> Box<dyn PaneSlot> {
        let mut peek = Self::new(self.rule.clone(), self.outputs.clone());
        let mut state = self.rule.state();
        for run in runs {
            let columns = &mut peek.columns;
            slide_panes(&self.rule, &mut state, &self.cells, run, bounds, columns);
        }
        Box::new(peek)
    }

    fn take(&mut self, out: &mut [Option<ArrayRef>]) -> Result<()> {
        Output::take(&self.outputs, &mut self.columns, out)
    }

    fn overflow(&self) -> u64 {
        self.overflow
    }

    fn encode(&self, cell: usize, out: &mut Vec<u8>) {
        self.rule.encode_cell(&self.cells[cell], out);
    }

    fn decode(&mut self, cell: usize, mut bytes: &[u8]) -> Result<()> {
        self.cells[cell] = self.rule.decode_cell(&mut bytes)?;
        finish(bytes)
    }

    fn cell_bytes(&self) -> usize {
        size_of::<A::Cell>()
    }
}
