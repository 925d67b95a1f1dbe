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

/// A RANGE frame `[t − preceding, t − until]`, both ends closed, and of that the newest rows only.
#[derive(Clone, Copy, Debug)]
pub struct RangeFrame {
    /// `None` begins at row 0.
    pub preceding_us: Option<i64>,
    /// `0 <= until <= preceding`; 0 ends at the current row, peers included.
    pub until_us: i64,
    /// At most so many rows, the newest.
    pub rows_max: Option<u64>,
}

/// The frames of the rows `rows`. `time` gives the time of a row, ascending; rows end at `end`;
/// `was` is what the frame before the first of `rows` covered.
#[inline]
pub fn range_bounds(
    time: impl Fn(u64) -> i64,
    rows: Range<u64>,
    end: u64,
    frame: RangeFrame,
    was: (u64, u64),
    bounds: &mut Bounds,
) {
    let (mut lo, mut hi) = was;
    for row in rows {
        let now = time(row);
        let from = frame.preceding_us.map_or(i64::MIN, |preceding| now.saturating_sub(preceding));
        if lo < hi && frame.preceding_us.is_some() && time(hi - 1) < from {
            lo = hi;
        }
        if frame.until_us == 0 {
            hi = hi.max(row + 1);
        }
        let until = now.saturating_sub(frame.until_us);
        while hi < end && time(hi) <= until {
            hi += 1;
        }
        if frame.preceding_us.is_some() {
            while lo < hi && time(lo) < from {
                lo += 1;
            }
        }
        if let Some(most) = frame.rows_max {
            lo = lo.max(hi.saturating_sub(most));
        }
        bounds.push(lo, hi);
    }
}

/// ROWS frames of the places `places`: from `preceding` places before (`None`: from place 0) up
/// to `until` places before, `until <= preceding`; 0 is the place itself.
pub fn rows_bounds(places: Range<u64>, preceding: Option<u64>, until: u64, bounds: &mut Bounds) {
    for place in places {
        let lo = preceding.map_or(0, |n| place.saturating_sub(n));
        bounds.push(lo, (place + 1).saturating_sub(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: [i64; 10] = [1, 1, 3, 5, 5, 9, 10, 10, 10, 30];

    #[test]
    fn range_frames_cover_what_their_definition_says() {
        for preceding_us in [None, Some(0), Some(2), Some(4), Some(9), Some(100)] {
            for until_us in [0, 1, 2, 4] {
                for rows_max in [None, Some(1), Some(3)] {
                    if preceding_us.is_none_or(|preceding| until_us <= preceding) {
                        check(RangeFrame { preceding_us, until_us, rows_max });
                    }
                }
            }
        }
    }

    /// In one call and in two.
    fn check(frame: RangeFrame) {
        let time = |row: u64| TIMES[row as usize];
        let end = TIMES.len() as u64;
        let mut bounds = Bounds::default();
        range_bounds(time, 0..end, end, frame, (0, 0), &mut bounds);
        for row in 0..end {
            let from = frame.preceding_us.map_or(i64::MIN, |p| time(row) - p);
            let within = |other: &u64| (from..=time(row) - frame.until_us).contains(&time(*other));
            let mut rows: Vec<u64> = (0..end).filter(within).collect();
            let most = frame.rows_max.map_or(rows.len(), |n| rows.len().min(n as usize));
            rows.drain(..rows.len() - most);
            let found = bounds.lo[row as usize]..bounds.hi[row as usize];
            assert_eq!(found.collect::<Vec<_>>(), rows, "{frame:?} row {row}");
        }
        let mut halves = Bounds::default();
        range_bounds(time, 0..4, end, frame, (0, 0), &mut halves);
        range_bounds(time, 4..end, end, frame, halves.last().unwrap(), &mut halves);
        assert_eq!((halves.lo, halves.hi), (bounds.lo, bounds.hi));
    }

    #[test]
    fn rows_frames_count_places() {
        let mut bounds = Bounds::default();
        rows_bounds(3..5, None, 0, &mut bounds);
        rows_bounds(0..3, Some(1), 0, &mut bounds);
        rows_bounds(0..5, Some(3), 2, &mut bounds);
        assert_eq!(bounds.lo, [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
        assert_eq!(bounds.hi, [4, 5, 1, 2, 3, 0, 0, 1, 2, 3]);
    }
}
