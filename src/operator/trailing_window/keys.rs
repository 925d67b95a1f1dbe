//! The rows of each key, and what is known about them: which are final, which are still needed.

use std::sync::Arc;

use super::front::Front;
use super::order::group_start;
use super::plan::Plan;
use crate::aggregate::slot::Rows;
use crate::operator::follow::UNCHANGING;
use crate::plan::dataflow::FrameExtent;
use crate::state::buffer::RowBuffer;

/// No row is waiting.
pub const NOT_DUE: i64 = i64::MAX;

/// The rows of one key.
#[derive(Debug)]
pub struct KeyRows {
    pub buffer: RowBuffer,
    /// Number of the first row that is not final.
    pub final_end: u64,
    /// The time it is registered for in the timer of waiting rows, or [`NOT_DUE`].
    pub due: i64,
    /// The last row with the time of the one before it (0: none).
    pub tie: u64,
    /// Registered in the timer of keys to forget.
    pub expiring: bool,
    /// Changed since current values were last taken.
    pub touched: bool,
    /// The moment it is registered for in the timer of values that follow time.
    pub changes: i64,
}

impl Default for KeyRows {
    fn default() -> Self {
        Self {
            buffer: RowBuffer::default(),
            final_end: 0,
            due: NOT_DUE,
            tie: 0,
            expiring: false,
            touched: false,
            changes: UNCHANGING,
        }
    }
}

impl KeyRows {
    /// Puts a row in its place; returns its number.
    #[inline]
    pub fn insert(&mut self, stride: usize, row: &[u64]) -> u64 {
        let number = self.buffer.insert(stride, row, self.final_end);
        let end = self.buffer.end(stride);
        if self.tie >= number && self.tie != 0 {
            self.tie += 1;
        }
        let time = row[0] as i64;
        if number > self.buffer.first() && self.buffer.time(stride, number - 1) == time {
            self.tie = self.tie.max(number);
        }
        if number + 1 < end && self.buffer.time(stride, number + 1) == time {
            self.tie = self.tie.max(number + 1);
        }
        number
    }

    /// Finds the last tie anew.
    pub fn find_tie(&mut self, stride: usize) {
        let rows = self.buffer.first() + 1..self.buffer.end(stride).max(1);
        let time = |row| self.buffer.time(stride, row);
        let tie = rows.rev().find(|row| time(*row) == time(*row - 1));
        self.tie = tie.unwrap_or(0);
    }

    /// Reads a little of the newest row, so that it is on its way from memory when it is needed:
    /// with many keys nearly every key is a cache miss, and the processor waits for misses in
    /// parallel only if they are close in the program.
    #[inline]
    pub fn touch(&self) -> u64 {
        self.buffer.words().last().map_or(0, |word| *word) ^ self.due as u64
    }

    pub fn rows<'a>(&'a self, plan: &Plan, texts: &'a [Arc<[u8]>]) -> Rows<'a> {
        self.buffer.rows(plan.layout.stride(), texts, None)
    }

    /// Time of the newest row.
    pub fn newest(&self, stride: usize) -> Option<i64> {
        let end = self.buffer.end(stride);
        (end > self.buffer.first()).then(|| self.buffer.time(stride, end - 1))
    }

    /// The first row that something can still ask for: frames of later rows, fronts that have
    /// not moved yet, and probes, which need the newest final row.
    pub fn keep_from(
        &self,
        plan: &Plan,
        state: usize,
        finals: &Front,
        current: Option<&Front>,
    ) -> u64 {
        let mut keep = self.final_end;
        if self.final_end > self.buffer.first() {
            keep -= 1;
        }
        let rows = self.rows(plan, &[]);
        for frame in &finals.frames {
            let spec = &plan.spec.frames[frame.frame];
            let (lo, hi) = frame.bounds[state];
            keep = keep.min(if spec.is_unbounded() { hi } else { lo });
            if let FrameExtent::Rows { preceding: Some(preceding), .. } = spec.extent
                && plan.ordered
                && self.final_end > rows.first
            {
                // The newest row of the anchor may come first among its equals in this frame.
                let group = group_start(&rows, self.final_end - 1);
                keep = keep.min(group.saturating_sub(preceding));
            }
        }
        for frame in current.into_iter().flat_map(|front| &front.frames) {
            let (lo, hi) = frame.bounds[state];
            let unbounded = plan.spec.frames[frame.frame].is_unbounded();
            keep = keep.min(if unbounded { hi } else { lo });
        }
        keep = keep.max(rows.first);
        if plan.whole_groups && keep < rows.end() { group_start(&rows, keep) } else { keep }
    }
}
