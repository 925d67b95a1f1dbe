//! Frames of which peers see different rows (EXCLUDE CURRENT ROW, EXCLUDE TIES). A row without
//! peers needs nothing special. For a group of peers the moving states stop before the group; a
//! copy of them goes on for each row of the group, in an order in which what that row leaves out
//! stands behind the end of its frame. So nothing is ever taken out of the middle; a group of g
//! peers costs g copies and g² values. Called by `front`; `probe` shares the order.

use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::compute::interleave;

use super::front::{FrameFront, Piece};
use super::plan::Plan;
use crate::aggregate::slot::{FrameOrder, Rows, Run, Slot};
use crate::error::Result;
use crate::plan::dataflow::{Exclude, FrameExtent, FrameSpec};
use crate::window::frame::{Bounds, RangeFrame, range_bounds};

/// The order of a group of peers for the frame of its row `row`, and the end of that frame in it.
pub fn without(exclude: Exclude, row: u64, group: Range<u64>) -> (u64, FrameOrder) {
    let (start, end) = (group.start, group.end);
    let others = group.filter(|other| *other != row);
    match exclude {
        Exclude::NoOthers => (end, FrameOrder { start, rows: (start..end).collect() }),
        Exclude::CurrentRow => (end - 1, FrameOrder { start, rows: others.chain([row]).collect() }),
        Exclude::Ties => {
            let rows = std::iter::once(row).chain(others).collect();
            (start + 1, FrameOrder { start, rows })
        }
    }
}

/// Columns by slot, as slots give them.
type Columns = Vec<Option<ArrayRef>>;

/// What is collected while pieces are gone through.
#[derive(Default)]
struct Walk<'a> {
    /// Runs the states have not been moved over yet, and their bounds.
    runs: Vec<Run<'a>>,
    bounds: Bounds,
    /// Results of the moving states so far.
    results: usize,
    /// Results of copies, one entry per group of peers.
    copies: Vec<Columns>,
    /// For each row: which columns its result is in (0: the moving states; i + 1: the copies of
    /// group i), and where in them.
    places: Vec<(usize, usize)>,
}

impl FrameFront {
    /// As `advance`. Rows of equal time lie in one piece.
    pub(super) fn advance_excluding(
        &mut self,
        plan: &Plan,
        pieces: &[Piece],
        out: &mut [Option<ArrayRef>],
    ) -> Result<()> {
        let mut walk = Walk::default();
        for piece in pieces {
            self.walk(plan, piece, &mut walk, out.len())?;
        }
        self.flush(&mut walk);
        let mut columns: Columns = vec![None; out.len()];
        self.slots.iter_mut().try_for_each(|slot| slot.take(&mut columns))?;
        for (i, column) in columns.into_iter().enumerate() {
            let Some(column) = column else { continue };
            let copies = walk.copies.iter().filter_map(|copies| copies[i].as_deref());
            let sources: Vec<_> = std::iter::once(column.as_ref()).chain(copies).collect();
            out[i] = Some(interleave(&sources, &walk.places)?);
        }
        Ok(())
    }

    /// Goes through the rows of one piece.
    fn walk<'a>(
        &mut self,
        plan: &Plan,
        piece: &Piece<'a>,
        walk: &mut Walk<'a>,
        width: usize,
    ) -> Result<()> {
        let spec = &plan.spec.frames[self.frame];
        let FrameExtent::Range { preceding_us, .. } = spec.extent else { return Ok(()) };
        let (start, end) = (piece.start, piece.end);
        let mut was = if piece.fresh { (0, 0) } else { self.bounds[piece.state] };
        let mut whole = Bounds::default();
        let frame = RangeFrame { preceding_us, until_us: 0, rows_max: None };
        let time = |row: u64| piece.rows.row(row)[0] as i64;
        range_bounds(time, start..end, piece.rows.end(), frame, was, &mut whole);
        let (mut row, mut begin, mut fresh) = (start, walk.bounds.len(), piece.fresh);
        while row < end {
            let (lo, peers) = (whole.lo[(row - start) as usize], whole.hi[(row - start) as usize]);
            let single = peers == row + 1;
            let own = single && spec.exclude == Exclude::Ties;
            let end_of_row = row + u64::from(own);
            walk.bounds.push(spec.newest(lo, end_of_row), end_of_row);
            if single {
                walk.places.push((0, walk.results + walk.bounds.len() - 1));
                row += 1;
                continue;
            }
            // The states stop before the group.
            self.note(piece, fresh, was, begin, walk);
            self.flush(walk);
            (was, fresh, begin) = ((spec.newest(lo, row), row), false, 0);
            walk.copies.push(self.copies(spec, lo, piece, was, row..peers, width)?);
            let group = walk.copies.len();
            walk.places.extend((0..(peers - row) as usize).map(|i| (group, i)));
            row = peers;
        }
        if walk.bounds.len() > begin {
            self.note(piece, fresh, was, begin, walk);
        }
        Ok(())
    }

    /// Notes the bounds from number `begin` on as a run of the state of a piece.
    fn note<'a>(
        &mut self,
        piece: &Piece<'a>,
        fresh: bool,
        was: (u64, u64),
        begin: usize,
        walk: &mut Walk<'a>,
    ) {
        let (rows, state, results) = (piece.rows, piece.state, begin..walk.bounds.len());
        walk.runs.push(Run { rows, state, fresh, was, results });
        self.bounds[state] = walk.bounds.last().unwrap_or(was);
    }

    /// Moves the states over the runs noted.
    fn flush(&mut self, walk: &mut Walk) {
        for slot in &mut self.slots {
            slot.slide(&walk.runs, walk.bounds.slices());
        }
        walk.results += walk.bounds.len();
        walk.runs.clear();
        walk.bounds.clear();
    }

    /// The results of a group of peers whose frames begin at `lo`, from copies of the state that
    /// stands before it.
    fn copies(
        &self,
        spec: &FrameSpec,
        lo: u64,
        piece: &Piece,
        was: (u64, u64),
        group: Range<u64>,
        width: usize,
    ) -> Result<Columns> {
        let orders: Vec<(u64, FrameOrder)> =
            group.clone().map(|row| without(spec.exclude, row, group.clone())).collect();
        let mut bounds = Bounds::default();
        orders.iter().for_each(|(end, _)| bounds.push(spec.newest(lo, *end), *end));
        let runs = orders.iter().enumerate().map(|(state, (_, order))| {
            let rows = Rows { order: Some(order), ..piece.rows };
            Run { rows, state, fresh: false, was, results: state..state + 1 }
        });
        let runs: Vec<Run> = runs.collect();
        let states = vec![Some(piece.state); orders.len()];
        let mut columns: Columns = vec![None; width];
        for slot in &self.slots {
            let mut copy: Box<dyn Slot> = slot.fork(&states);
            copy.slide(&runs, bounds.slices());
            copy.take(&mut columns)?;
        }
        Ok(columns)
    }
}
