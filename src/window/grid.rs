//! The windows of TUMBLE, HOP and CUMULATE, and the panes they are cut into, so that a window is
//! a run of whole panes. Negative times round down. Called by `operator::group_window`.

use super::calendar::Calendar;
use crate::error::{Error, Result};
use crate::sql::window::WindowShape;

/// Windows by their place in time; all lengths in µs. Panes are numbered in order of time.
#[derive(Clone, Debug)]
pub enum Grid {
    /// `[start, start + size)` with `start = offset + k slide` for every whole k. Pane `n` is
    /// `[offset + n pane, offset + (n+1) pane)`.
    Slide { size: i64, slide: i64, offset: i64, pane: i64 },
    /// `[start, start + j step)` with `start = offset + k size` and `start + j step` at most the
    /// next start. Panes are steps.
    Cumulate { size: i64, step: i64, offset: i64 },
    /// Each pane is a window.
    Calendar(Calendar),
}

/// Beyond this, sums of times and lengths could leave 64 bits.
pub const LENGTH_MAX: i64 = 1 << 61;
/// Beyond every event time and every window; safe to calculate with.
const FAR: i64 = 1 << 62;

impl Grid {
    /// The grid of a shape; `None` for sessions and counts of rows, which have none.
    ///
    /// # Errors
    /// `Usage` if a length is not positive or beyond 73,000 years, or the zone is unknown.
    pub fn new(shape: &WindowShape) -> Result<Option<Self>> {
        Ok(Some(match shape {
            WindowShape::Grid { slide_us, size_us, offset_us } => {
                let (size, slide) = (length("size", *size_us)?, length("slide", *slide_us)?);
                let offset = offset_us.rem_euclid(slide);
                Self::Slide { size, slide, offset, pane: gcd(size, slide) }
            }
            WindowShape::Cumulate { step_us, size_us, offset_us } => {
                let (size, step) = (length("size", *size_us)?, length("step", *step_us)?);
                if size % step != 0 {
                    return Err(Error::usage("the size of CUMULATE is no multiple of its step"));
                }
                Self::Cumulate { size, step, offset: offset_us.rem_euclid(size) }
            }
            WindowShape::Calendar { unit, count, zone } => {
                Self::Calendar(Calendar::new(*unit, *count, zone)?)
            }
            WindowShape::Session { .. } | WindowShape::Count { .. } => return Ok(None),
        }))
    }

    /// Whether every window is one pane.
    pub fn is_tumbling(&self) -> bool {
        match self {
            Self::Slide { size, pane, .. } => size == pane,
            Self::Cumulate { size, step, .. } => size == step,
            Self::Calendar(_) => true,
        }
    }

    /// The pane that a time falls into.
    #[inline]
    pub fn pane_of(&self, time: i64) -> i64 {
        match self {
            Self::Slide { offset, pane, .. } => (time - offset).div_euclid(*pane),
            Self::Cumulate { offset, step, .. } => (time - offset).div_euclid(*step),
            Self::Calendar(calendar) => calendar.pane_of(time),
        }
    }

    /// Whether a pane lies in any window; not so in the gaps of `slide > size`.
    #[inline]
    pub fn is_covered(&self, number: i64) -> bool {
        match self {
            Self::Slide { size, slide, pane, .. } => {
                slide <= size || (number * pane).rem_euclid(*slide) < *size
            }
            _ => true,
        }
    }

    /// End of the first window that covers a (covered) pane.
    #[inline]
    pub fn first_end(&self, number: i64) -> i64 {
        match self {
            Self::Slide { size, slide, offset, pane } => {
                // The least k with k slide + size >= (number + 1) pane.
                let k = -(size - (number + 1) * pane).div_euclid(*slide);
                offset + k * slide + size
            }
            Self::Cumulate { offset, step, .. } => offset + (number + 1) * step,
            Self::Calendar(calendar) => calendar.start(number + 1),
        }
    }

    /// End of the last window that covers a (covered) pane.
    #[inline]
    pub fn last_end(&self, number: i64) -> i64 {
        match self {
            Self::Slide { size, slide, offset, pane } => {
                offset + (number * pane).div_euclid(*slide) * slide + size
            }
            Self::Cumulate { size, step, offset } => {
                offset + ((number * step).div_euclid(*size) + 1) * size
            }
            Self::Calendar(calendar) => calendar.start(number + 1),
        }
    }

    /// The start of the window that ends at `end`.
    #[inline]
    pub fn start(&self, end: i64) -> i64 {
        match self {
            Self::Slide { size, .. } => end - size,
            Self::Cumulate { size, offset, .. } => {
                offset + (end - 1 - offset).div_euclid(*size) * size
            }
            Self::Calendar(calendar) => calendar.start(calendar.pane_of(end - 1)),
        }
    }

    /// The panes `[from, to)` of the window that ends at `end`.
    #[inline]
    pub fn panes(&self, end: i64) -> (i64, i64) {
        match self {
            Self::Slide { size, offset, pane, .. } => {
                let to = (end - offset).div_euclid(*pane);
                (to - size / pane, to)
            }
            Self::Cumulate { offset, step, .. } => {
                ((self.start(end) - offset) / step, (end - offset) / step)
            }
            Self::Calendar(calendar) => {
                let number = calendar.pane_of(end - 1);
                (number, number + 1)
            }
        }
    }

    /// The greatest end of a window at or before `time`; infinities are taken for times far away.
    #[inline]
    pub fn end_at_or_before(&self, time: i64) -> i64 {
        let time = time.clamp(-FAR, FAR);
        match self {
            Self::Slide { size, slide, offset, .. } => {
                time - (time - offset - size).rem_euclid(*slide)
            }
            Self::Cumulate { step, offset, .. } => time - (time - offset).rem_euclid(*step),
            Self::Calendar(calendar) => calendar.start(calendar.pane_of(time)),
        }
    }

    /// The least end of a window after `time`.
    #[inline]
    pub fn end_after(&self, time: i64) -> i64 {
        match self {
            Self::Slide { slide, .. } => self.end_at_or_before(time) + slide,
            Self::Cumulate { step, .. } => self.end_at_or_before(time) + step,
            Self::Calendar(calendar) => calendar.end_after(time),
        }
    }
}

/// A length that can be calculated with.
///
/// # Errors
/// `Usage` if it is not positive or beyond 73,000 years.
pub fn length(what: &str, us: i64) -> Result<i64> {
    if (1..=LENGTH_MAX).contains(&us) {
        return Ok(us);
    }
    Err(Error::usage(format!(
        "the {what} of a window is {us} µs, which is not between 1 µs and 73,000 years"
    )))
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::window::CalendarUnit;

    #[test]
    fn panes_and_windows_agree_with_their_definition() {
        for size in 1..9 {
            for slide in 1..9 {
                for offset in [-20, -3, 0, 1, 7] {
                    let shape =
                        WindowShape::Grid { slide_us: slide, size_us: size, offset_us: offset };
                    let starts = (-100..100).map(|k| offset + k * slide);
                    check(&shape, starts.map(|start| (start, start + size)).collect());
                }
            }
        }
    }

    #[test]
    fn windows_that_cumulate_grow_by_steps_and_begin_anew() {
        for step in 1..4 {
            for steps in 1..5 {
                for offset in [-5, 0, 2] {
                    let size = step * steps;
                    let shape =
                        WindowShape::Cumulate { step_us: step, size_us: size, offset_us: offset };
                    let starts = (-100..100).map(|k| offset + k * size);
                    let grown = |start| (1..=steps).map(move |j| (start, start + j * step));
                    check(&shape, starts.flat_map(grown).collect());
                }
            }
        }
    }

    /// Against all windows around 0, in order of their ends.
    fn check(shape: &WindowShape, windows: Vec<(i64, i64)>) {
        let grid = Grid::new(shape).unwrap().unwrap();
        for time in -30..30 {
            let covering: Vec<&(i64, i64)> =
                windows.iter().filter(|(start, end)| *start <= time && time < *end).collect();
            let pane = grid.pane_of(time);
            assert_eq!(grid.is_covered(pane), !covering.is_empty(), "{grid:?} {time}");
            if let (Some(first), Some(last)) = (covering.first(), covering.last()) {
                assert_eq!(grid.first_end(pane), first.1, "{grid:?} {time}");
                assert_eq!(grid.last_end(pane), last.1, "{grid:?} {time}");
                for (start, end) in covering {
                    let (from, to) = grid.panes(*end);
                    assert!((from..to).contains(&pane), "{grid:?} {time}");
                    assert_eq!(grid.start(*end), *start, "{grid:?} {time}");
                }
            }
            let ends = || windows.iter().map(|(_, end)| *end);
            let before = ends().filter(|end| *end <= time).max().unwrap();
            assert_eq!(grid.end_at_or_before(time), before, "{grid:?} {time}");
            let after = ends().filter(|end| *end > time).min().unwrap();
            assert_eq!(grid.end_after(time), after, "{grid:?} {time}");
        }
    }

    #[test]
    fn windows_without_length_are_refused() {
        let shape = |size_us, slide_us| WindowShape::Grid { slide_us, size_us, offset_us: 0 };
        assert!(Grid::new(&shape(0, 1)).is_err());
        assert!(Grid::new(&shape(1, -1)).is_err());
        let zone = "Europe/Nowhere".to_owned();
        let shape = WindowShape::Calendar { unit: CalendarUnit::Day, count: 1, zone };
        assert!(Grid::new(&shape).is_err());
    }
}
