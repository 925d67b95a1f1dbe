//! How far each frame of each key has moved: the rows in its accumulators, and the accumulators.
//! There is one front for final rows and, where current values are wanted, one for them.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;

use super::order::frame_order;
use super::plan::{Plan, excludes};
use crate::aggregate::slot::{FrameOrder, Rows, Run, Slot};
use crate::error::Result;
use crate::plan::dataflow::FrameExtent;
use crate::window::frame::{Bounds, RangeFrame, range_bounds, rows_bounds};

/// One frame of a front.
#[derive(Debug)]
pub struct FrameFront {
    pub frame: usize,
    pub slots: Vec<Box<dyn Slot>>,
    /// By key: the rows in the accumulators, as places of the frame's order.
    pub bounds: Vec<(u64, u64)>,
}

/// All frames that have slots.
#[derive(Debug, Default)]
pub struct Front {
    pub frames: Vec<FrameFront>,
}

/// A stretch of rows of one key, one result for each.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    pub rows: Rows<'a>,
    pub state: usize,
    /// The key begins here.
    pub fresh: bool,
    /// The last row with the time of the one before it (0: none).
    pub tie: u64,
    pub start: u64,
    pub end: u64,
}

impl Front {
    /// An empty front over the frames that `wanted` selects.
    ///
    /// # Errors
    /// `NotSupported` for an aggregate over a type it has no meaning for.
    pub fn new(plan: &Plan, wanted: impl Fn(usize) -> bool) -> Result<Self> {
        let mut frames = Vec::new();
        for frame in (0..plan.spec.frames.len()).filter(|frame| wanted(*frame)) {
            let slots = plan.slots(frame)?;
            if !slots.is_empty() {
                frames.push(FrameFront { frame, slots, bounds: Vec::new() });
            }
        }
        Ok(Self { frames })
    }

    pub fn resize(&mut self, states: usize) {
        for frame in &mut self.frames {
            if frame.bounds.len() < states {
                frame.bounds.resize(states, (0, 0));
                frame.slots.iter_mut().for_each(|slot| slot.resize(states));
            }
        }
    }

    pub fn reset(&mut self, state: usize) {
        for frame in &mut self.frames {
            frame.bounds[state] = (0, 0);
            frame.slots.iter_mut().for_each(|slot| slot.reset(state));
        }
    }

    /// A row was put in at number `row`, before rows that may be in the accumulators.
    pub fn insert(&mut self, state: usize, rows: &Rows, row: u64) {
        for frame in &mut self.frames {
            let (lo, hi) = &mut frame.bounds[state];
            if row >= *hi {
                continue;
            }
            let inside = row >= *lo;
            *hi += 1;
            *lo += u64::from(!inside);
            for slot in &mut frame.slots {
                slot.insert(state, rows, row, inside);
            }
        }
    }

    /// Moves over pieces, each state at most once unless fresh, and gives the result columns of
    /// its slots in the order of the rows.
    ///
    /// # Errors
    /// `Data` if Arrow cannot build a column.
    pub fn advance(
        &mut self,
        plan: &Plan,
        pieces: &[Piece],
        out: &mut [Option<ArrayRef>],
    ) -> Result<()> {
        for frame in &mut self.frames {
            frame.advance(plan, pieces, out)?;
        }
        Ok(())
    }

    /// Estimate of the bytes held for `keys` keys, from the states of a few.
    pub fn state_bytes(&self, keys: usize) -> usize {
        let mut bytes = 0;
        for frame in &self.frames {
            let sample = frame.bounds.len().min(32);
            for slot in &frame.slots {
                let held: usize = (0..sample).map(|state| slot.state_bytes(state)).sum();
                bytes += held * keys / sample.max(1);
            }
            bytes += keys * size_of::<(u64, u64)>();
        }
        bytes
    }

    pub fn overflow(&self) -> u64 {
        let slots = self.frames.iter().flat_map(|frame| &frame.slots);
        slots.map(|slot| slot.overflow()).sum()
    }
}

impl FrameFront {
    fn advance(
        &mut self,
        plan: &Plan,
        pieces: &[Piece],
        out: &mut [Option<ArrayRef>],
    ) -> Result<()> {
        let spec = &plan.spec.frames[self.frame];
        if excludes(spec) {
            return self.advance_excluding(plan, pieces, out);
        }
        let mut bounds = Bounds::default();
        let mut runs = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let was = if piece.fresh { (0, 0) } else { self.bounds[piece.state] };
            let begin = bounds.len();
            let places = piece.start..piece.end;
            match spec.extent {
                FrameExtent::Range { preceding_us, until_us } => {
                    let rows = &piece.rows;
                    let time = |row: u64| rows.row(row)[0] as i64;
                    let frame = RangeFrame { preceding_us, until_us, rows_max: spec.rows_max };
                    range_bounds(time, places, rows.end(), frame, was, &mut bounds);
                }
                FrameExtent::Rows { preceding, until } => {
                    rows_bounds(places, preceding, until, &mut bounds);
                }
            }
            if bounds.len() > begin {
                self.bounds[piece.state] = bounds.last().unwrap_or(was);
            } else if piece.fresh {
                self.bounds[piece.state] = was;
            }
            runs.push(Run {
                rows: piece.rows,
                state: piece.state,
                fresh: piece.fresh,
                was,
                results: begin..bounds.len(),
            });
        }
        let orders: Vec<Option<FrameOrder>> = if spec.ties.is_empty() {
            Vec::new()
        } else {
            let order = |(piece, run): (&Piece, &Run)| {
                let from = run.was.0.min(piece.start).max(piece.rows.first);
                frame_order(plan, &spec.ties, &piece.rows, from, piece.end, piece.tie)
            };
            pieces.iter().zip(&runs).map(order).collect()
        };
        for (run, order) in runs.iter_mut().zip(&orders) {
            run.rows.order = order.as_ref();
        }
        for slot in &mut self.slots {
            slot.slide(&runs, bounds.slices());
        }
        let permutation = permutation(pieces, &runs, &orders, bounds.len());
        take_columns(&mut self.slots, permutation, out)
    }
}

/// Finished columns of slots, in another order if one is given.
///
/// # Errors
/// `Data` if Arrow cannot build a column.
pub fn take_columns(
    slots: &mut [Box<dyn Slot>],
    permutation: Option<UInt32Array>,
    out: &mut [Option<ArrayRef>],
) -> Result<()> {
    let Some(permutation) = permutation else {
        return slots.iter_mut().try_for_each(|slot| slot.take(out));
    };
    let mut columns = vec![None; out.len()];
    slots.iter_mut().try_for_each(|slot| slot.take(&mut columns))?;
    for (column, out) in columns.into_iter().zip(out) {
        if let Some(column) = column {
            *out = Some(take(&column, &permutation, None)?);
        }
    }
    Ok(())
}

/// Where the result of each row is, if the frame's order is not the stored one.
fn permutation(
    pieces: &[Piece],
    runs: &[Run],
    orders: &[Option<FrameOrder>],
    results: usize,
) -> Option<UInt32Array> {
    if orders.iter().all(Option::is_none) {
        return None;
    }
    let mut indices: Vec<u32> = (0..results as u32).collect();
    for ((piece, run), order) in pieces.iter().zip(runs).zip(orders) {
        let Some(order) = order else { continue };
        for (i, place) in (piece.start..piece.end).enumerate() {
            let row = (order.row(place) - piece.start) as usize;
            indices[run.results.start + row] = (run.results.start + i) as u32;
        }
    }
    Some(indices.into())
}
