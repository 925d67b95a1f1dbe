//! The windows of TUMBLE and HOP: `[start, start + size)` with `start = offset + k slide` for
//! every whole k, and the panes they are cut into, so that a window is a run of whole panes.
//! Negative times round down. Called by `operator::group_window`.

use crate::error::{Error, Result};

/// Windows on a grid; all lengths in µs. Pane `n` is `[offset + n pane, offset + (n+1) pane)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    size: i64,
    slide: i64,
    offset: i64,
    pane: i64,
}

/// Beyond this, sums of times and lengths could leave 64 bits.
const LENGTH_MAX: i64 = 1 << 61;
/// Beyond every event time and every window; safe to calculate with.
const FAR: i64 = 1 << 62;

impl Grid {
    /// # Errors
    /// `Usage` if a length is not positive or beyond 73,000 years.
    pub fn new(size_us: i64, slide_us: i64, offset_us: i64) -> Result<Self> {
        for (what, length) in [("size", size_us), ("slide", slide_us)] {
            if !(1..=LENGTH_MAX).contains(&length) {
                return Err(Error::usage(format!(
                    "the {what} of a window is {length} µs, which is not between 1 µs and 73,000 \
                     years"
                )));
            }
        }
        let pane = gcd(size_us, slide_us);
        Ok(Self { size: size_us, slide: slide_us, offset: offset_us.rem_euclid(slide_us), pane })
    }

    pub fn size(&self) -> i64 {
        self.size
    }

    pub fn slide(&self) -> i64 {
        self.slide
    }

    /// Panes from one window to the next.
    pub fn slide_panes(&self) -> i64 {
        self.slide / self.pane
    }

    /// Whether every window is one pane.
    pub fn is_tumbling(&self) -> bool {
        self.size == self.pane
    }

    /// The pane that a time falls into.
    #[inline]
    pub fn pane_of(&self, time: i64) -> i64 {
        (time - self.offset).div_euclid(self.pane)
    }

    /// Whether a pane lies in any window; not so in the gaps of `slide > size`.
    #[inline]
    pub fn is_covered(&self, pane: i64) -> bool {
        self.slide <= self.size || (pane * self.pane).rem_euclid(self.slide) < self.size
    }

    /// End of the first window that covers a (covered) pane.
    #[inline]
    pub fn first_end(&self, pane: i64) -> i64 {
        // The least k with k slide + size >= (pane + 1) pane.
        let k = -(self.size - (pane + 1) * self.pane).div_euclid(self.slide);
        self.offset + k * self.slide + self.size
    }

    /// End of the last window that covers a (covered) pane.
    #[inline]
    pub fn last_end(&self, pane: i64) -> i64 {
        self.offset + (pane * self.pane).div_euclid(self.slide) * self.slide + self.size
    }

    /// The panes `[from, to)` of the window that ends at `end`.
    #[inline]
    pub fn panes(&self, end: i64) -> (i64, i64) {
        let to = (end - self.offset).div_euclid(self.pane);
        (to - self.size / self.pane, to)
    }

    /// The greatest end of a window at or before `time`; infinities are taken for times far away.
    #[inline]
    pub fn end_at_or_before(&self, time: i64) -> i64 {
        let time = time.clamp(-FAR, FAR);
        let first = self.offset + self.size;
        time - (time - first).rem_euclid(self.slide)
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panes_and_windows_agree_with_their_definition() {
        for size in 1..9 {
            for slide in 1..9 {
                for offset in [-20, -3, 0, 1, 7] {
                    check(size, slide, offset);
                }
            }
        }
    }

    fn check(size: i64, slide: i64, offset: i64) {
        let grid = Grid::new(size, slide, offset).unwrap();
        for time in -30..30 {
            // Windows that cover the time, by definition.
            let starts = (-100..100).map(|k| offset + k * slide);
            let covering: Vec<i64> = starts.filter(|s| *s <= time && time < s + size).collect();
            let pane = grid.pane_of(time);
            assert_eq!(grid.is_covered(pane), !covering.is_empty(), "{grid:?} {time}");
            if let (Some(first), Some(last)) = (covering.first(), covering.last()) {
                assert_eq!(grid.first_end(pane), first + size, "{grid:?} {time}");
                assert_eq!(grid.last_end(pane), last + size, "{grid:?} {time}");
                for start in &covering {
                    let (from, to) = grid.panes(start + size);
                    assert!((from..to).contains(&pane), "{grid:?} {time}");
                }
            }
            let ends = (-100..100).map(|k| offset + k * slide + size);
            let before = ends.filter(|end| *end <= time).max().unwrap();
            assert_eq!(grid.end_at_or_before(time), before, "{grid:?} {time}");
        }
    }

    #[test]
    fn windows_without_length_are_refused() {
        assert!(Grid::new(0, 1, 0).is_err());
        assert!(Grid::new(1, -1, 0).is_err());
    }
}
