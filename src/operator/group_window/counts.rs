//! Windows of so many rows of one key. A pane is one row, in its place in the total order; a window
//! is a run of `size` panes, beginning at every `size`-th. A row that comes late moves those after
//! it on, so nothing is merged here either. A window ends a microsecond after its last row: it is
//! final once nothing can come before that.

use super::panes::{NOT_DUE, Panes, Window};

/// Time, partition and offset of a row.
pub type Place = (i64, i32, i64);

impl Panes {
    /// The cell for a row.
    pub fn count_cell(&mut self, place: Place, make: impl FnOnce() -> u32) -> u32 {
        let (time, partition, offset) = place;
        let before = |at: usize| (self.starts[at], self.places[at].0, self.places[at].1) < place;
        let mut at = self.starts.len();
        if at > 0 && !before(at - 1) {
            let (mut low, mut high) = (0, at - 1);
            while low < high {
                let middle = (low + high) / 2;
                if before(middle) { low = middle + 1 } else { high = middle }
            }
            at = low;
        }
        let cell = make();
        self.starts.insert(at, time);
        self.places.insert(at, (partition, offset));
        self.cells.insert(at, cell);
        cell
    }

    /// The window that begins with pane `i`, if all its rows are there.
    fn counted(&self, size: usize, i: usize) -> Option<Window> {
        let last = self.starts.get(i + size - 1)?;
        let (lo, hi) = (self.first + i as u64, self.first + (i + size) as u64);
        Some(Window { start: self.starts[i], end: last.saturating_add(1), lo, hi })
    }

    /// The end of the first open window, if all its rows are there.
    pub fn count_due(&self, size: usize) -> Option<i64> {
        self.counted(size, (self.closed - self.first) as usize).map(|window| window.end)
    }

    /// The number of panes in whole windows that end at or before `time`. The first pane begins a
    /// window: panes are dropped by windows.
    fn ended(&self, size: usize, time: i64) -> usize {
        self.starts.partition_point(|start| *start < time) / size * size
    }

    /// The newest window that ends at or before `time`.
    pub(super) fn newest_count(&self, size: usize, time: i64) -> Option<Window> {
        self.counted(size, self.ended(size, time).checked_sub(size)?)
    }

    /// The windows that end after `after`, at or before `until`, ascending.
    pub(super) fn counts_between(&self, size: usize, after: i64, until: i64) -> Vec<Window> {
        let (from, to) = (self.ended(size, after), self.ended(size, until));
        (from..to).step_by(size).filter_map(|i| self.counted(size, i)).collect()
    }

    pub(super) fn reopen_counts(&mut self, size: usize, time: i64) {
        self.closed = self.first + self.ended(size, time) as u64;
        self.due = self.count_due(size).unwrap_or(NOT_DUE);
    }

    pub(super) fn close_counts(
        &mut self,
        size: usize,
        key: u32,
        until: i64,
        room: usize,
        closing: &mut super::panes::Closing,
    ) -> bool {
        for _ in 0..room {
            let Some(window) = self.counted(size, (self.closed - self.first) as usize) else {
                self.due = NOT_DUE;
                return true;
            };
            self.due = window.end;
            if window.end > until {
                return true;
            }
            closing.push(key, window);
            self.closed = window.hi;
        }
        self.due = self.count_due(size).unwrap_or(NOT_DUE);
        self.due > until
    }
}
