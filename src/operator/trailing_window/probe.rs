//! Values at a time asked for, computed fresh: the same slots over the rows held, without moving
//! any front. Frames without a beginning start from what is final.

use std::ops::Range;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;

use super::front::{FrameFront, Front};
use super::order::{frame_order, place};
use super::plan::{Plan, is_unbounded};
use crate::aggregate::slot::{FrameOrder, Rows, Run, Slot};
use crate::error::Result;
use crate::plan::dataflow::FrameExtent;
use crate::window::frame::Bounds;

/// One request. Requests of one key lie together, ascending in time.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The key, if it is known.
    pub key: Option<usize>,
    pub rows: Rows<'a>,
    pub tie: u64,
    pub final_end: u64,
    /// Rows before this number are seen; rows of equal time are seen together.
    pub end: u64,
    pub time: i64,
    /// The newest row seen.
    pub anchor: Option<u64>,
}

/// The result columns of some frames of a front for each request, in the order of `asks`.
///
/// # Errors
/// `Data` if Arrow cannot build a column.
pub fn evaluate(
    plan: &Plan,
    finals: &Front,
    wanted: impl Fn(usize) -> bool,
    asks: &[Ask],
    out: &mut [Option<ArrayRef>],
) -> Result<()> {
    let groups = groups(asks);
    for front in finals.frames.iter().filter(|front| wanted(front.frame)) {
        evaluate_frame(plan, front, asks, &groups, out)?;
    }
    Ok(())
}

/// Stretches of requests of one key.
fn groups(asks: &[Ask]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (i, ask) in asks.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if ask.key.is_some() && asks[group.start].key == ask.key => {
                group.end = i + 1;
            }
            _ => groups.push(i..i + 1),
        }
    }
    groups
}

fn evaluate_frame(
    plan: &Plan,
    front: &FrameFront,
    asks: &[Ask],
    groups: &[Range<usize>],
    out: &mut [Option<ArrayRef>],
) -> Result<()> {
    let spec = &plan.spec.frames[front.frame];
    let unbounded = is_unbounded(spec.extent);
    let mut bounds = Bounds::default();
    for ask in asks {
        let (lo, hi) = match spec.extent {
            FrameExtent::Range { preceding_us: None } => (0, ask.end.max(ask.final_end)),
            FrameExtent::Range { preceding_us: Some(preceding) } => {
                (first_from(&ask.rows, ask.end, ask.time.saturating_sub(preceding)), ask.end)
            }
            FrameExtent::Rows { preceding } => match ask.anchor {
                // No row is seen yet, so none is final either.
                None if unbounded => (0, 0),
                None => (ask.rows.first, ask.rows.first),
                Some(row) => {
                    let at = place(plan, &spec.ties, &ask.rows, row, ask.end);
                    (preceding.map_or(0, |n| at.saturating_sub(n)), at + 1)
                }
            },
        };
        bounds.push(lo, hi);
    }
    let order = |group: &Range<usize>| {
        let first = &asks[group.start];
        let from = if unbounded { first.final_end } else { bounds.lo[group.start] };
        let to = asks[group.end - 1].end;
        frame_order(plan, &spec.ties, &first.rows, from.max(first.rows.first), to, first.tie)
    };
    let orders: Vec<Option<FrameOrder>> = groups.iter().map(order).collect();
    let run = |(state, (group, order))| run(state, group, order, asks, unbounded);
    let runs: Vec<Run> = groups.iter().zip(&orders).enumerate().map(run).collect();
    let states: Vec<Option<usize>> =
        groups.iter().map(|group| asks[group.start].key.filter(|_| unbounded)).collect();
    for slot in &front.slots {
        let mut fork: Box<dyn Slot> = slot.fork(&states);
        fork.slide(&runs, bounds.slices());
        fork.take(out)?;
    }
    Ok(())
}

fn run<'a>(
    state: usize,
    group: &Range<usize>,
    order: &'a Option<FrameOrder>,
    asks: &[Ask<'a>],
    unbounded: bool,
) -> Run<'a> {
    let ask = &asks[group.start];
    let mut rows = ask.rows;
    rows.order = order.as_ref();
    let was = if unbounded && ask.key.is_some() { (0, ask.final_end) } else { (0, 0) };
    Run { rows, state, fresh: false, was, results: group.clone() }
}

/// The first row before `end` with a time of at least `time`.
fn first_from(rows: &Rows, end: u64, time: i64) -> u64 {
    let (mut low, mut high) = (rows.first, end.max(rows.first));
    while low < high {
        let middle = low + (high - low) / 2;
        if (rows.row(middle)[0] as i64) < time {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Result columns from the order of evaluation back to that of the requests: `order[i]` is the
/// request that was evaluated as the i-th.
///
/// # Errors
/// `Data` if Arrow cannot build a column.
pub fn in_request_order(columns: Vec<ArrayRef>, order: &[usize]) -> Result<Vec<ArrayRef>> {
    if order.iter().enumerate().all(|(i, request)| i == *request) {
        return Ok(columns);
    }
    let mut places = vec![0u32; order.len()];
    for (i, request) in order.iter().enumerate() {
        places[*request] = i as u32;
    }
    let places = UInt32Array::from(places);
    columns.iter().map(|column| Ok(take(column, &places, None)?)).collect()
}
