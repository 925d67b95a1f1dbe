//! Values at a time asked for, computed fresh: the same slots over the rows held, without moving
//! any front. Frames without a beginning start from what is final.

use std::ops::Range;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;

use super::exclude::without;
use super::front::{FrameFront, Front};
use super::order::{frame_order, group_start, place};
use super::plan::{Plan, excludes};
use crate::aggregate::slot::{FrameOrder, Rows, Run, Slot};
use crate::error::Result;
use crate::plan::dataflow::{FrameExtent, FrameSpec};
use crate::window::frame::Bounds;

/// One request. Requests of one key lie together, ascending in time.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The key, if it is known.
    pub key: Option<usize>,
    pub rows: Rows<'a>,
    pub tie: u64,
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
    // Where peers have different frames, every request has an order of its own.
    let single: Vec<Range<usize>> = (0..asks.len()).map(|i| i..i + 1).collect();
    for front in finals.frames.iter().filter(|front| wanted(front.frame)) {
        let own = excludes(&plan.spec.frames[front.frame]);
        evaluate_frame(plan, front, asks, if own { &single } else { &groups }, out)?;
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
    let unbounded = spec.is_unbounded();
    // What the state of a key holds already, if it is used.
    let held = |ask: &Ask| ask.key.filter(|_| unbounded).map_or(0, |key| front.bounds[key].1);
    let mut bounds = Bounds::default();
    for ask in asks {
        let (lo, hi) = covered(plan, spec, ask);
        bounds.push(lo, hi.max(held(ask)));
    }
    let order = |group: &Range<usize>| {
        let first = &asks[group.start];
        if let Some((_, order)) = excluding(spec, first) {
            return Some(order);
        }
        let from = if unbounded { held(first) } else { bounds.lo[group.start] };
        let to = asks[group.end - 1].end;
        frame_order(plan, &spec.ties, &first.rows, from.max(first.rows.first), to, first.tie)
    };
    let orders: Vec<Option<FrameOrder>> = groups.iter().map(order).collect();
    let runs = groups.iter().zip(&orders).enumerate().map(|(state, (group, order))| {
        let mut rows = asks[group.start].rows;
        rows.order = order.as_ref();
        let was = (0, held(&asks[group.start]));
        Run { rows, state, fresh: false, was, results: group.clone() }
    });
    let runs: Vec<Run> = runs.collect();
    let states: Vec<Option<usize>> =
        groups.iter().map(|group| asks[group.start].key.filter(|_| unbounded)).collect();
    for slot in &front.slots {
        let mut fork: Box<dyn Slot> = slot.fork(&states);
        fork.slide(&runs, bounds.slices());
        fork.take(out)?;
    }
    Ok(())
}

/// The places that the frame of a request covers.
fn covered(plan: &Plan, spec: &FrameSpec, ask: &Ask) -> (u64, u64) {
    let first = ask.rows.first;
    match spec.extent {
        FrameExtent::Range { preceding_us, until_us } => {
            let until = ask.time.saturating_sub(until_us);
            let end = match until_us {
                0 => ask.end,
                _ => first_from(&ask.rows, ask.end, until.saturating_add(1)),
            };
            let from = |us: i64| first_from(&ask.rows, end, ask.time.saturating_sub(us));
            let lo = preceding_us.map_or(if spec.is_unbounded() { 0 } else { first }, from);
            let end = excluding(spec, ask).map_or(end, |(end, _)| end);
            (spec.newest(lo, end), end)
        }
        FrameExtent::Rows { preceding, until } => match ask.anchor {
            // No row is seen yet, so none is final either.
            None if spec.is_unbounded() => (0, 0),
            None => (first, first),
            Some(row) => {
                let at = place(plan, &spec.ties, &ask.rows, row, ask.end);
                let lo = preceding.map_or(0, |n| at.saturating_sub(n));
                (lo, (at + 1).saturating_sub(until))
            }
        },
    }
}

/// Where peers have different frames and a request falls on its newest row: the end of the
/// frame, and the order in which what that row leaves out stands behind it.
fn excluding(spec: &FrameSpec, ask: &Ask) -> Option<(u64, FrameOrder)> {
    let anchor = ask.anchor.filter(|row| ask.rows.row(*row)[0] as i64 == ask.time)?;
    let group = group_start(&ask.rows, anchor)..ask.end;
    excludes(spec).then(|| without(spec.exclude, anchor, group))
}

/// The first row before `end` with a time of at least `time`.
pub fn first_from(rows: &Rows, end: u64, time: i64) -> u64 {
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
