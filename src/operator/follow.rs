//! Current values that follow time: which keys have another value merely because time has passed
//! (semantics §4, refresh). Operators hold one entry per key in a timer, for a moment not later
//! than the next change of its value; only keys that are due are looked at. Nothing here reads a
//! clock: the driver says how far serving time has come.

use crate::state::timer::Timer;

/// No change is to come.
pub const UNCHANGING: i64 = i64::MAX;

/// What of an operator's values is written to stores, and so has to follow time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Follow {
    /// Trailing windows: the frames that those who are written read from.
    pub frames: Vec<usize>,
    /// How old the newest row (or `window_end`) may be before values change for it, µs.
    pub reaches: Vec<i64>,
}

/// The timer, and how far time has come.
#[derive(Debug)]
pub struct Following {
    follow: Option<Follow>,
    timer: Timer,
    refreshed: i64,
}

impl Default for Following {
    fn default() -> Self {
        Self { follow: None, timer: Timer::new(), refreshed: i64::MIN }
    }
}

impl Following {
    /// From now on values follow time.
    pub fn start(&mut self, follow: Follow) {
        self.follow = Some(follow);
    }

    /// What is followed, if anything is.
    pub fn follow(&self) -> Option<&Follow> {
        self.follow.as_ref()
    }

    /// The time a value holds for whose newest row is of `newest`.
    pub fn as_of(&self, newest: i64) -> i64 {
        newest.max(self.refreshed)
    }

    /// The first of the moments after `at` at which the newest row gets out of reach.
    pub fn out_of_reach(&self, newest: i64, at: i64) -> i64 {
        let reaches = self.follow.iter().flat_map(|follow| &follow.reaches);
        let moments = reaches.map(|reach| newest.saturating_add(*reach).saturating_add(1));
        moments.filter(|moment| *moment > at).min().unwrap_or(UNCHANGING)
    }

    /// Sees to it that a key is due at `next` or before; `registered` is the moment of its entry.
    pub fn register(&mut self, slot: u32, next: i64, registered: &mut i64) {
        if next < *registered {
            *registered = next;
            self.timer.push(next, slot);
        }
    }

    /// Time has come to `at`: every entry due by then, as (moment, key), stale ones too. Time
    /// that has come already is ignored.
    pub fn advance(&mut self, at: i64) -> Vec<(i64, u32)> {
        let mut due = Vec::new();
        if at <= self.refreshed || self.follow.is_none() {
            return due;
        }
        self.timer.advance(at.saturating_add(1), |moment, slot| due.push((moment, slot)));
        due.sort_unstable_by_key(|(_, slot)| *slot);
        due
    }

    /// Values of keys that are asked for now hold for `at`.
    pub fn set(&mut self, at: i64) {
        self.refreshed = self.refreshed.max(at);
    }

    /// Estimate of the bytes held.
    pub fn size_bytes(&self) -> usize {
        self.timer.size_bytes()
    }
}

#[cfg(test)]
mod tests;
