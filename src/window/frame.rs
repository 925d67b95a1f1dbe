//! Which rows the trailing frames of consecutive rows cover, as ascending bounds `[lo, hi)` of
//! row numbers. Linear over a run: bounds only move forward. Called by `operator::trailing_window`.

use std::ops::Range;

/// Bounds, one entry per result.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    pub lo: Vec<u64>,
    pub hi: Vec<u64>,
}

impl Bounds {
    pub fn clear(&mut self) {
        self.lo.clear();
        self.hi.clear();
    }

    pub fn push(&mut self, lo: u64, hi: u64) {
        self.lo.push(lo);
        self.hi.push(hi);
    }

    pub fn len(&self) -> usize {
        self.lo.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lo.is_empty()
    }

    pub fn last(&self) -> Option<(u64, u64)> {
        self.lo.last().copied().zip(self.hi.last().copied())
    }

    /// As slots take them.
    pub fn slices(&self) -> (&[u64], &[u64]) {
        (&self.lo, &self.hi)
    }
}

/// RANGE frames `[t − preceding_us, t]` of the rows `rows`, peers included; `None` begins at
/// row 0 and never moves. `time` gives the time of a row, ascending; rows end at `end`; `was` is
/// what the frame before the first of `rows` covered.
#[inline]
pub fn range_bounds(
    time: impl Fn(u64) -> i64,
    rows: Range<u64>,
    end: u64,
    preceding_us: Option<i64>,
    was: (u64, u64),
    bounds: &mut Bounds,
) {
    let (mut lo, mut hi) = was;
    for row in rows {
        let now = time(row);
        if let Some(preceding) = preceding_us {
            let from = now.saturating_sub(preceding);
            if lo < hi && time(hi - 1) < from {
                lo = hi;
            }
            while time(lo.min(row)) < from {
                lo += 1;
            }
        }
        if hi <= row {
            hi = row + 1;
            while hi < end && time(hi) == now {
                hi += 1;
            }
        }
        bounds.push(lo, hi);
    }
}

/// ROWS frames of the places `places`: `preceding` places before and the place itself; `None`
/// begins at place 0.
pub fn rows_bounds(places: Range<u64>, preceding: Option<u64>, bounds: &mut Bounds) {
    for place in places {
        bounds.push(preceding.map_or(0, |n| place.saturating_sub(n)), place + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_frames_cover_both_ends_and_all_peers() {
        let times = [1, 1, 3, 5, 5, 9];
        let time = |row: u64| times[row as usize];
        let mut bounds = Bounds::default();
        range_bounds(time, 0..6, 6, Some(2), (0, 0), &mut bounds);
        assert_eq!(bounds.lo, [0, 0, 0, 2, 2, 5]);
        assert_eq!(bounds.hi, [2, 2, 3, 5, 5, 6]);
        // The same in two calls.
        let mut halves = Bounds::default();
        range_bounds(time, 0..4, 6, Some(2), (0, 0), &mut halves);
        range_bounds(time, 4..6, 6, Some(2), halves.last().unwrap(), &mut halves);
        assert_eq!((halves.lo, halves.hi), (bounds.lo, bounds.hi));
    }

    #[test]
    fn frames_without_an_end_begin_at_row_0() {
        let mut bounds = Bounds::default();
        range_bounds(|row| row as i64, 3..5, 5, None, (0, 3), &mut bounds);
        rows_bounds(3..5, None, &mut bounds);
        rows_bounds(0..3, Some(1), &mut bounds);
        assert_eq!(bounds.lo, [0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(bounds.hi, [4, 5, 4, 5, 1, 2, 3]);
    }
}
