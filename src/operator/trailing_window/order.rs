//! The order of rows of equal event time where a frame has tie-breakers. Rows are stored by
//! (time, partition, offset); only where times are equal can a frame's order differ, and only
//! there is anything sorted.

use std::cmp::Ordering;

use super::plan::Plan;
use crate::aggregate::slot::{FrameOrder, Rows};
use crate::plan::dataflow::TieBreak;

/// Compares two rows of equal time; rows that tie keep log order.
fn compare(plan: &Plan, ties: &[TieBreak], rows: &Rows, a: u64, b: u64) -> Ordering {
    let (left, right) = (rows.row(a), rows.row(b));
    for tie in ties {
        let lens = plan.layout.lens(tie.column);
        let valid = |row: &[u64]| crate::aggregate::slot::is_valid(row, &lens);
        let ordering = match (valid(left), valid(right)) {
            (true, true) => {
                let ordering = plan.layout.compare(tie.column, left, right, rows.texts);
                if tie.descending { ordering.reverse() } else { ordering }
            }
            (false, false) => Ordering::Equal,
            (false, true) if tie.nulls_first => Ordering::Less,
            (false, true) => Ordering::Greater,
            (true, false) if tie.nulls_first => Ordering::Greater,
            (true, false) => Ordering::Less,
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    a.cmp(&b)
}

#[inline]
fn time(rows: &Rows, row: u64) -> i64 {
    rows.row(row)[0] as i64
}

/// The first row with the time of row `row`.
pub fn group_start(rows: &Rows, mut row: u64) -> u64 {
    let now = time(rows, row);
    while row > rows.first && time(rows, row - 1) == now {
        row -= 1;
    }
    row
}

/// The order of the places `[from, to)`, extended down to whole groups of equal time; `None` if
/// it is the stored one. `tie` is the last row with the time of the one before it (0: none).
pub fn frame_order(
    plan: &Plan,
    ties: &[TieBreak],
    rows: &Rows,
    from: u64,
    to: u64,
    tie: u64,
) -> Option<FrameOrder> {
    if ties.is_empty() || tie == 0 || tie < from || from >= to {
        return None;
    }
    let start = group_start(rows, from.max(rows.first));
    let mut order: Vec<u64> = (start..to).collect();
    let mut begin = start;
    while begin < to {
        let now = time(rows, begin);
        let mut end = begin + 1;
        while end < to && time(rows, end) == now {
            end += 1;
        }
        if end - begin > 1 {
            let group = &mut order[(begin - start) as usize..(end - start) as usize];
            group.sort_unstable_by(|a, b| compare(plan, ties, rows, *a, *b));
        }
        begin = end;
    }
    Some(FrameOrder { start, rows: order })
}

/// The newest of the rows before `end` in the order of the anchor; `None` without rows.
pub fn anchor(plan: &Plan, rows: &Rows, end: u64) -> Option<u64> {
    let last = end.checked_sub(1).filter(|last| *last >= rows.first)?;
    if plan.anchor_ties.is_empty() {
        return Some(last);
    }
    let group = group_start(rows, last)..=last;
    group.max_by(|a, b| compare(plan, &plan.anchor_ties, rows, *a, *b))
}

/// The place in a frame's order of row `row`, of which all rows of equal time lie before `end`.
pub fn place(plan: &Plan, ties: &[TieBreak], rows: &Rows, row: u64, end: u64) -> u64 {
    if ties.is_empty() {
        return row;
    }
    let (start, now) = (group_start(rows, row), time(rows, row));
    let group = (start..end).take_while(|other| time(rows, *other) == now);
    start + group.filter(|other| compare(plan, ties, rows, *other, row).is_lt()).count() as u64
}
