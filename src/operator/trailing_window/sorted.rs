//! History read key by key: rows sorted by (key, time, partition, offset), one key in memory.
//! The same kernel as the stream: all keys that lie whole in a batch are one call per slot, over
//! the encoded batch itself; only the key that goes on in the next batch is copied.

use std::collections::VecDeque;
use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat;

use super::TrailingWindow;
use super::front::Piece;
use super::keys::KeyRows;
use crate::aggregate::slot::Rows;
use crate::error::Result;
use crate::model::key::write_key;
use crate::state::key_index::key_runs;

/// The only state used: fronts start afresh with each key.
const STATE: usize = 0;

/// Where the reading stands.
#[derive(Debug, Default)]
pub struct Sorted {
    /// Canonical bytes of the key that may go on.
    key: Option<Vec<u8>>,
    rows: KeyRows,
    /// Some of its rows have been through the fronts.
    begun: bool,
    /// Columns of rows without a result yet that results repeat: keys, time, carried columns.
    waiting: VecDeque<Vec<ArrayRef>>,
}

impl TrailingWindow {
    pub(super) fn sorted_batch(
        &mut self,
        step: &RecordBatch,
        finish: bool,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        assert!(self.index.is_empty(), "history by key begins in an operator without state");
        self.finals.resize(STATE + 1);
        let key_count = self.plan.key_count();
        let (keys, rest) = step.columns().split_at(key_count);
        let mut words = std::mem::take(&mut self.words);
        self.plan.layout.encode(rest, &mut self.interner, &mut words)?;
        self.wait(keys, rest);
        let mut ranges = key_runs(keys, step.num_rows())?;
        let stride = self.plan.layout.stride();
        let cut = |range: &Range<usize>| &words[range.start * stride..range.end * stride];
        let mut key = Vec::new();
        let mut goes_on = false;
        if let Some(first) = ranges.first() {
            write_key(keys, first.start, &mut key)?;
            goes_on = self.sorted.key.as_deref() == Some(key.as_slice());
        }
        if goes_on {
            self.append(cut(&ranges.remove(0)));
        }
        let ended = finish || !ranges.is_empty();
        // The last key may go on in the next batch: its rows are kept.
        let mut next = None;
        if !finish && let Some(last) = ranges.pop() {
            key.clear();
            write_key(keys, last.start, &mut key)?;
            let mut rows = KeyRows::default();
            rows.buffer.extend(cut(&last));
            next = Some((key, rows));
        }
        let whole: Vec<&[u64]> = ranges.iter().map(cut).collect();
        self.advance_sorted(ended, &whole, next, out)?;
        for words in whole {
            self.plan.layout.release(words, &mut self.interner);
        }
        self.words = words;
        Ok(())
    }

    /// Adds rows to the key that goes on.
    fn append(&mut self, words: &[u64]) {
        self.sorted.rows.buffer.extend(words);
        if self.plan.ordered {
            self.sorted.rows.find_tie(self.plan.layout.stride());
        }
    }

    /// Moves the fronts over what is ready: the key that went on, all of it if it has ended, then
    /// whole keys, then the beginning of the next one.
    fn advance_sorted(
        &mut self,
        ended: bool,
        whole: &[&[u64]],
        mut next: Option<(Vec<u8>, KeyRows)>,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        let Self { plan, finals, interner, sorted, .. } = self;
        let stride = plan.layout.stride();
        let texts = interner.texts();
        let mut pieces = Vec::with_capacity(whole.len() + 2);
        let old = &sorted.rows;
        let old_end = if ended { old.buffer.end(stride) } else { ready(old, stride) };
        if old_end > old.final_end {
            pieces.push(Piece {
                rows: old.rows(plan, texts),
                state: STATE,
                fresh: !sorted.begun,
                tie: old.tie,
                start: old.final_end,
                end: old_end,
            });
        }
        for words in whole {
            let rows = Rows { words, stride, first: 0, texts, order: None };
            let tie = if plan.ordered { last_tie(words, stride) } else { 0 };
            let end = rows.end();
            pieces.push(Piece { rows, state: STATE, fresh: true, tie, start: 0, end });
        }
        if let Some((_, rows)) = &mut next {
            if plan.ordered {
                rows.find_tie(stride);
            }
            let end = ready(rows, stride);
            if end > 0 {
                let (tie, rows) = (rows.tie, rows.rows(plan, texts));
                pieces.push(Piece { rows, state: STATE, fresh: true, tie, start: 0, end });
            }
        }
        let results = pieces.iter().map(|piece| (piece.end - piece.start) as usize).sum();
        let mut columns = vec![None; plan.spec.slots.len()];
        finals.advance(plan, &pieces, &mut columns)?;
        if results > 0 {
            let repeated = sorted.take(results)?;
            out.push(self.result_batch(repeated, columns, results)?);
        }
        if ended {
            self.release(0..u64::MAX);
            self.sorted.rows = KeyRows::default();
            self.sorted.key = None;
            self.sorted.begun = false;
        } else {
            self.sorted.rows.final_end = old_end;
            self.sorted.begun |= old_end > 0;
        }
        if let Some((key, mut rows)) = next {
            rows.final_end = ready(&rows, stride);
            self.sorted.begun = rows.final_end > 0;
            self.sorted.key = Some(key);
            self.sorted.rows = rows;
        }
        let rows = &self.sorted.rows;
        if self.sorted.begun {
            let keep = rows.keep_from(&self.plan, STATE, &self.finals, None);
            self.release(0..keep);
        }
        Ok(())
    }

    /// Forgets rows of the key that goes on.
    fn release(&mut self, numbers: Range<u64>) {
        let stride = self.plan.layout.stride();
        let buffer = &mut self.sorted.rows.buffer;
        let to = numbers.end.min(buffer.end(stride));
        self.plan.layout.release(buffer.before(stride, to), &mut self.interner);
        buffer.drop_before(stride, to);
    }

    /// Keeps the columns that results repeat until the results are there.
    fn wait(&mut self, keys: &[ArrayRef], rest: &[ArrayRef]) {
        let carried = self.plan.spec.carried.iter().map(|column| &rest[3 + column]);
        let columns = keys.iter().chain([&rest[0]]).chain(carried).cloned().collect();
        if !rest[0].is_empty() {
            self.sorted.waiting.push_back(columns);
        }
    }
}

impl Sorted {
    /// No key is being read.
    pub fn is_idle(&self) -> bool {
        self.key.is_none()
    }

    /// The repeated columns of the next `results` rows.
    fn take(&mut self, results: usize) -> Result<Vec<ArrayRef>> {
        let mut parts: Vec<Vec<ArrayRef>> = Vec::new();
        let mut missing = results;
        while missing > 0
            && let Some(front) = self.waiting.front_mut()
        {
            let rows = front.first().map_or(0, |column| column.len());
            if rows <= missing {
                missing -= rows;
                parts.extend(self.waiting.pop_front());
            } else {
                parts.push(front.iter().map(|column| column.slice(0, missing)).collect());
                for column in front {
                    *column = column.slice(missing, rows - missing);
                }
                missing = 0;
            }
        }
        assert_eq!(missing, 0, "results without rows");
        if parts.len() == 1 {
            return Ok(parts.swap_remove(0));
        }
        let column = |i: usize| {
            let arrays: Vec<&dyn arrow::array::Array> =
                parts.iter().map(|part| part[i].as_ref()).collect();
            Ok(concat(&arrays)?)
        };
        (0..parts[0].len()).map(column).collect()
    }
}

/// The number after the last row that no row still to come can be a peer of.
fn ready(rows: &KeyRows, stride: usize) -> u64 {
    let Some(newest) = rows.newest(stride) else { return 0 };
    rows.buffer.partition_point(stride, 0, |row| (row[0] as i64) < newest)
}

/// The last row with the time of the one before it (0: none).
fn last_tie(words: &[u64], stride: usize) -> u64 {
    let time = |row: usize| words[row * stride];
    let rows = 1..(words.len() / stride).max(1);
    rows.rev().find(|row| time(*row) == time(*row - 1)).unwrap_or(0) as u64
}
