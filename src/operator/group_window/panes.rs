//! The panes of one key in order of time, and the windows that come next for it. On a grid a pane
//! is a cell of the grid; see `sessions` and `counts` for panes without one.

use crate::operator::follow::UNCHANGING;
use crate::window::frame::Bounds;
use crate::window::grid::Grid;

/// No window is waiting.
pub const NOT_DUE: i64 = i64::MAX;

/// Which windows there are.
#[derive(Clone, Debug)]
pub enum Windows {
    Grid(Grid),
    /// Sessions with this gap.
    Session(i64),
    /// So many rows of a key.
    Count(usize),
}

/// The panes of one key that have rows. A pane has a number, counted from the first ever; it
/// keeps it while panes before it are dropped.
#[derive(Debug)]
pub struct Panes {
    /// On the grid (`Grid::pane_of`), or times of the first events; ascending.
    pub starts: Vec<i64>,
    /// Sessions: times of the last events. Empty elsewhere.
    pub lasts: Vec<i64>,
    /// Counted rows: their places in the log. Empty elsewhere.
    pub places: Vec<(i32, i64)>,
    /// The cell of each.
    pub cells: Vec<u32>,
    /// Number of the first.
    pub first: u64,
    /// Number of the first pane whose session, or window of rows, is open. 0 on a grid.
    pub closed: u64,
    /// No window closes before this time, or [`NOT_DUE`]; the timer holds an entry for it.
    pub due: i64,
    /// Numbers of the panes in the sliding state.
    pub was: (u64, u64),
    /// A window was closed since current values were last taken.
    pub touched: bool,
    /// The moment it is registered for in the timer of values that follow time.
    pub changes: i64,
}

impl Default for Panes {
    fn default() -> Self {
        Self {
            starts: Vec::new(),
            lasts: Vec::new(),
            places: Vec::new(),
            cells: Vec::new(),
            first: 0,
            closed: 0,
            due: NOT_DUE,
            was: (0, 0),
            touched: false,
            changes: UNCHANGING,
        }
    }
}

/// A window of a key: its place in time, and the numbers of its panes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub start: i64,
    pub end: i64,
    pub lo: u64,
    pub hi: u64,
}

impl Window {
    /// Stands for no window.
    pub const NOTHING: Self = Self { start: 0, end: 0, lo: 0, hi: 0 };
}

/// Windows to emit: which key each belongs to, its place in time, its panes.
#[derive(Debug, Default)]
pub struct Closing {
    pub keys: Vec<u32>,
    pub starts: Vec<i64>,
    pub ends: Vec<i64>,
    pub bounds: Bounds,
}

impl Closing {
    pub fn push(&mut self, key: u32, window: Window) {
        self.keys.push(key);
        self.starts.push(window.start);
        self.ends.push(window.end);
        self.bounds.push(window.lo, window.hi);
    }

    pub fn clear(&mut self) {
        self.keys.clear();
        self.starts.clear();
        self.ends.clear();
        self.bounds.clear();
    }
}

impl Panes {
    /// The cell of a pane on a grid; `make` gives one for a new pane, which comes back as true.
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

    /// The window of a grid that ends at `end`.
    fn window(&self, grid: &Grid, end: i64) -> Window {
        let (from, to) = grid.panes(end);
        Window { start: grid.start(end), end, lo: self.number(from), hi: self.number(to) }
    }

    /// The newest window with rows that ends at or before `time`.
    pub fn newest(&self, windows: &Windows, time: i64) -> Option<Window> {
        let grid = match windows {
            Windows::Grid(grid) => grid,
            Windows::Session(gap) => return self.newest_session(*gap, time),
            Windows::Count(size) => return self.newest_count(*size, time),
        };
        let end = grid.end_at_or_before(time);
        let closed = self.starts.partition_point(|pane| grid.first_end(*pane) <= end);
        let newest = self.starts[..closed].last()?;
        Some(self.window(grid, end.min(grid.last_end(*newest))))
    }

    /// Finds `due` anew: the windows that end after `time` are open.
    pub fn reopen(&mut self, windows: &Windows, time: i64) {
        let grid = match windows {
            Windows::Grid(grid) => grid,
            Windows::Session(gap) => return self.reopen_sessions(*gap, time),
            Windows::Count(size) => return self.reopen_counts(*size, time),
        };
        let after = if time == i64::MIN { i64::MIN } else { grid.end_after(time) };
        let open = self.starts.iter().find(|pane| grid.last_end(**pane) >= after);
        self.due = open.map_or(NOT_DUE, |pane| grid.first_end(*pane).max(after));
    }

    /// Lists windows that end at or before `until`, at most `room`, and moves `due` on; false if
    /// there are more.
    pub fn close(
        &mut self,
        windows: &Windows,
        key: u32,
        until: i64,
        room: usize,
        closing: &mut Closing,
    ) -> bool {
        let grid = match windows {
            Windows::Grid(grid) => grid,
            Windows::Session(gap) => return self.close_sessions(*gap, key, until, room, closing),
            Windows::Count(size) => return self.close_counts(*size, key, until, room, closing),
        };
        let mut end = self.due;
        if end == NOT_DUE || end > until {
            return true;
        }
        let count = self.starts.len();
        let (from, to) = grid.panes(end);
        let mut lo = self.starts.partition_point(|start| *start < from);
        let mut hi = self.starts.partition_point(|start| *start < to);
        for _ in 0..room {
            let (start, first) = (grid.start(end), self.first);
            closing.push(key, Window { start, end, lo: first + lo as u64, hi: first + hi as u64 });
            end = grid.end_after(end);
            let (mut from, mut to) = grid.panes(end);
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
                debug_assert!(from <= self.starts[lo], "a window that lacks its pane");
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
    pub fn drop_old(&mut self, windows: &Windows, horizon: i64, free: &mut Vec<u32>) {
        let Some(window) = self.newest(windows, horizon.saturating_sub(1)) else { return };
        let gone = window.lo.saturating_sub(self.first) as usize;
        if gone > 0 {
            self.starts.drain(..gone);
            self.lasts.drain(..gone.min(self.lasts.len()));
            self.places.drain(..gone.min(self.places.len()));
            free.extend(self.cells.drain(..gone));
            self.first = window.lo;
        }
    }
}
