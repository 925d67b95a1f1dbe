//! The panes of one key in order of time, and the windows that come next for it.

use crate::window::frame::Bounds;
use crate::window::grid::Grid;

/// No window is waiting.
pub const NOT_DUE: i64 = i64::MAX;

/// The panes of one key that have rows. A pane has a number, counted from the first ever; it
/// keeps it while panes before it are dropped.
#[derive(Debug)]
pub struct Panes {
    /// On the grid (`Grid::pane_of`), ascending.
    pub starts: Vec<i64>,
    /// The cell of each.
    pub cells: Vec<u32>,
    /// Number of the first.
    pub first: u64,
    /// End of the next window to close, or [`NOT_DUE`]; the timer holds an entry for it.
    pub due: i64,
    /// Numbers of the panes in the sliding state.
    pub was: (u64, u64),
    /// A window was closed since current values were last taken.
    pub touched: bool,
}

impl Default for Panes {
    fn default() -> Self {
        let (starts, cells) = (Vec::new(), Vec::new());
        Self { starts, cells, first: 0, due: NOT_DUE, was: (0, 0), touched: false }
    }
}

/// Windows to emit: which key each belongs to, its end, its panes.
#[derive(Debug, Default)]
pub struct Windows {
    pub keys: Vec<u32>,
    pub ends: Vec<i64>,
    pub bounds: Bounds,
}

impl Panes {
    /// The cell of a pane; `make` gives one for a new pane, which comes back as true.
    #[inline]
    pub fn cell(&mut self, pane: i64, make: impl FnOnce() -> u32) -> (u32, bool) {
        let at = match self.starts.last() {
            Some(last) if *last == pane => return (self.cells[self.cells.len() - 1], false),
            Some(last) if *last > pane => match self.starts.binary_search(&pane) {
                Ok(at) => return (self.cells[at], false),
                Err(at) => at,
            },
            _ => self.starts.len(),
        };
        let cell = make();
        self.starts.insert(at, pane);
        self.cells.insert(at, cell);
        (cell, true)
    }

    fn number(&self, pane: i64) -> u64 {
        self.first + self.starts.partition_point(|start| *start < pane) as u64
    }

    /// Numbers of the panes of the window that ends at `end`.
    pub fn window(&self, grid: &Grid, end: i64) -> (u64, u64) {
        let (from, to) = grid.panes(end);
        (self.number(from), self.number(to))
    }

    /// End of the newest window with rows that ends at or before `time`.
    pub fn newest_end(&self, grid: &Grid, time: i64) -> Option<i64> {
        let end = grid.end_at_or_before(time);
        let closed = self.starts.partition_point(|pane| grid.first_end(*pane) <= end);
        let newest = self.starts[..closed].last()?;
        Some(end.min(grid.last_end(*newest)))
    }

    /// End of the oldest window with rows that ends after `time`, or [`NOT_DUE`].
    pub fn next_end(&self, grid: &Grid, time: i64) -> i64 {
        let after = grid.end_at_or_before(time) + grid.slide();
        let open = self.starts.iter().find(|pane| grid.last_end(**pane) >= after);
        open.map_or(NOT_DUE, |pane| grid.first_end(*pane).max(after))
    }

    /// Lists windows that end at or before `until`, at most `room`, and moves `due` on; false if
    /// there are more.
    pub fn close(
        &mut self,
        grid: &Grid,
        key: u32,
        until: i64,
        room: usize,
        windows: &mut Windows,
    ) -> bool {
        let (mut end, step) = (self.due, grid.slide_panes());
        if end == NOT_DUE || end > until {
            return true;
        }
        let count = self.starts.len();
        let (mut from, mut to) = grid.panes(end);
        let mut lo = self.starts.partition_point(|start| *start < from);
        let mut hi = self.starts.partition_point(|start| *start < to);
        for _ in 0..room {
            windows.keys.push(key);
            windows.ends.push(end);
            windows.bounds.push(self.first + lo as u64, self.first + hi as u64);
            (from, to, end) = (from + step, to + step, end + grid.slide());
            while lo < count && self.starts[lo] < from {
                lo += 1;
            }
            while hi < count && self.starts[hi] < to {
                hi += 1;
            }
            if lo >= hi {
                // A stretch without rows.
                if lo == count {
                    self.due = NOT_DUE;
                    return true;
                }
                end = grid.first_end(self.starts[lo]).max(end);
                (from, to) = grid.panes(end);
                hi = self.starts.partition_point(|start| *start < to);
            }
            self.due = end;
            if end > until {
                return true;
            }
        }
        false
    }

    /// Drops the panes that neither a later window nor a probe from `horizon` on can ask for:
    /// those before the newest window with rows that ended before it. Gives up their cells.
    /// The sliding state holds no pane before them, for the window it covers is no older.
    pub fn drop_old(&mut self, grid: &Grid, horizon: i64, free: &mut Vec<u32>) {
        let Some(end) = self.newest_end(grid, horizon.saturating_sub(1)) else { return };
        let keep = self.number(grid.panes(end).0);
        let gone = keep.saturating_sub(self.first) as usize;
        if gone > 0 {
            self.starts.drain(..gone);
            free.extend(self.cells.drain(..gone));
            self.first = keep;
        }
    }
}
