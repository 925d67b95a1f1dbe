//! Sessions of one key. A pane holds events closer than the gap to each other, from its first to
//! its last; an event that comes late may close the distance between two panes, which then are one
//! session though they stay two panes. So cells are never merged: a session is a run of panes,
//! each closer than the gap to the next, as a hopping window is. Distance equal to the gap is two
//! sessions (semantics §2).

use super::panes::{Closing, NOT_DUE, Panes, Window};

impl Panes {
    /// The cell for an event; `make` gives one for a new pane, which comes back as true.
    #[inline]
    pub fn session_cell(&mut self, gap: i64, time: i64, make: impl FnOnce() -> u32) -> (u32, bool) {
        let at = match self.starts.last() {
            Some(start) if *start <= time => self.starts.len(),
            _ => self.starts.partition_point(|start| *start <= time),
        };
        if let Some(left) = at.checked_sub(1)
            && time < self.lasts[left].saturating_add(gap)
        {
            self.lasts[left] = self.lasts[left].max(time);
            return (self.cells[left], false);
        }
        if at < self.starts.len() && self.starts[at] < time.saturating_add(gap) {
            self.starts[at] = time;
            return (self.cells[at], false);
        }
        let cell = make();
        self.starts.insert(at, time);
        self.lasts.insert(at, time);
        self.cells.insert(at, cell);
        (cell, true)
    }

    /// Whether pane `i` and the next one are one session.
    fn joined(&self, gap: i64, i: usize) -> bool {
        i + 1 < self.starts.len() && self.starts[i + 1] < self.lasts[i].saturating_add(gap)
    }

    /// The session that begins with pane `i`, and the pane after it.
    fn session(&self, gap: i64, i: usize) -> (Window, usize) {
        let mut last = i;
        while self.joined(gap, last) {
            last += 1;
        }
        let (start, end) = (self.starts[i], self.lasts[last].saturating_add(gap));
        let (lo, hi) = (self.first + i as u64, self.first + last as u64 + 1);
        (Window { start, end, lo, hi }, last + 1)
    }

    /// The newest session that ends at or before `time`.
    pub(super) fn newest_session(&self, gap: i64, time: i64) -> Option<Window> {
        let mut next = self.starts.len();
        while next > 0 {
            let mut begin = next - 1;
            while begin > 0 && self.joined(gap, begin - 1) {
                begin -= 1;
            }
            let (window, _) = self.session(gap, begin);
            if window.end <= time {
                return Some(window);
            }
            next = begin;
        }
        None
    }

    pub(super) fn reopen_sessions(&mut self, gap: i64, time: i64) {
        let mut i = 0;
        self.due = NOT_DUE;
        while i < self.starts.len() {
            let (window, next) = self.session(gap, i);
            if window.end > time {
                self.due = window.end;
                break;
            }
            i = next;
        }
        self.closed = self.first + i as u64;
    }

    pub(super) fn close_sessions(
        &mut self,
        gap: i64,
        key: u32,
        until: i64,
        room: usize,
        closing: &mut Closing,
    ) -> bool {
        let (mut i, mut listed) = ((self.closed - self.first) as usize, 0);
        loop {
            if i == self.starts.len() {
                self.due = NOT_DUE;
                return true;
            }
            let (window, next) = self.session(gap, i);
            self.due = window.end;
            if window.end > until {
                return true;
            }
            if listed == room {
                return false;
            }
            closing.push(key, window);
            listed += 1;
            self.closed = window.hi;
            i = next;
        }
    }
}
