//! History read key by key: the panes of a key are closed when it ends; memory is that of one
//! key and one batch.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat, take};

use super::panes::{Closing, Panes};
use super::{GroupWindow, places};
use crate::aggregate::slot::Rows;
use crate::error::Result;
use crate::limits::BATCH_ROWS;
use crate::model::key::write_key;
use crate::state::key_index::key_runs;

/// The only state used: it starts afresh with each key.
const STATE: usize = 0;

/// The key that may go on in the next batch.
#[derive(Debug, Default)]
pub struct Sorted {
    /// Canonical bytes, and the key columns of one row.
    key: Option<(Vec<u8>, Vec<ArrayRef>)>,
    panes: Panes,
}

impl Sorted {
    /// No key is being read.
    pub fn is_idle(&self) -> bool {
        self.key.is_none()
    }
}

impl GroupWindow {
    pub(super) fn sorted_batch(
        &mut self,
        step: &RecordBatch,
        finish: bool,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        assert!(self.index.is_empty(), "history by key begins in an operator without state");
        let (keys, rest) = step.columns().split_at(self.spec.key_types.len());
        let mut ranges = key_runs(keys, step.num_rows())?;
        let mut bytes = Vec::new();
        let mut goes_on = false;
        if let Some(first) = ranges.first() {
            write_key(keys, first.start, &mut bytes)?;
            goes_on = self.sorted.key.as_ref().is_some_and(|(key, _)| *key == bytes);
        }
        // Panes of the keys of this batch; the first is that of the key before.
        let mut panes = vec![std::mem::take(&mut self.sorted.panes)];
        let mut cells = Vec::with_capacity(step.num_rows());
        let mut places = places(rest);
        for (i, range) in ranges.iter().enumerate() {
            if i > 0 || !goes_on {
                panes.push(Panes::default());
            }
            let at = panes.len() - 1;
            for place in places.by_ref().take(range.len()) {
                cells.push(self.pane_cell(&mut panes[at], place).0);
            }
        }
        self.add_rows(rest, &cells)?;
        // Row 0 is the key before, if there is one; the others begin at their first rows.
        let before = self.sorted.key.as_ref().map(|(_, columns)| columns.clone());
        if goes_on {
            ranges.remove(0);
        }
        let columns = representatives(before.as_deref(), keys, &ranges)?;
        let shift = usize::from(before.is_none());
        if !finish && panes.len() > 1 {
            let last = panes.pop().unwrap_or_default();
            self.close_keys(panes, &columns, shift, out)?;
            let row = columns.first().map_or(0, |column| column.len() - 1);
            bytes.clear();
            write_key(keys, step.num_rows() - 1, &mut bytes)?;
            let key = columns.iter().map(|column| column.slice(row, 1)).collect();
            self.sorted.key = Some((bytes, key));
            self.sorted.panes = last;
        } else if finish {
            self.close_keys(panes, &columns, shift, out)?;
            self.sorted.key = None;
        } else {
            self.sorted.panes = panes.pop().unwrap_or_default();
        }
        Ok(())
    }

    /// Adds the rows of a batch to their cells.
    pub(super) fn add_rows(&mut self, rest: &[ArrayRef], cells: &[u32]) -> Result<()> {
        let states = if self.is_tumbling() { 1 } else { self.keys.len().max(1) };
        let mut words = std::mem::take(&mut self.words);
        self.layout.encode(rest, &mut self.interner, &mut words)?;
        let (stride, texts) = (self.layout.stride(), self.interner.texts());
        let rows = Rows { words: &words, stride, first: 0, texts, order: None };
        for slot in &mut self.slots {
            slot.resize(self.cells, states);
            slot.add(cells, &rows);
        }
        self.layout.release(&words, &mut self.interner);
        self.words = words;
        Ok(())
    }

    /// Closes every window of keys that have ended. Key `i` has row `i - shift` of `columns`.
    fn close_keys(
        &mut self,
        mut panes: Vec<Panes>,
        columns: &[ArrayRef],
        shift: usize,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        for key in &mut panes {
            key.reopen(&self.windows, i64::MIN);
        }
        let mut windows = Closing::default();
        for i in 0..panes.len() {
            loop {
                let room = BATCH_ROWS - windows.ends.len();
                let key = (i as u32).wrapping_sub(shift as u32);
                let done = panes[i].close(&self.windows, key, i64::MAX, room, &mut windows);
                if windows.ends.len() >= BATCH_ROWS {
                    self.emit_sorted(&mut panes, shift, columns, &mut windows, out)?;
                }
                if done {
                    break;
                }
            }
        }
        self.emit_sorted(&mut panes, shift, columns, &mut windows, out)?;
        for key in panes {
            self.free_cells(&key.cells);
        }
        Ok(())
    }

    fn emit_sorted(
        &mut self,
        panes: &mut [Panes],
        shift: usize,
        columns: &[ArrayRef],
        windows: &mut Closing,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        if windows.ends.is_empty() {
            return Ok(());
        }
        let of = |key: u32| (&panes[key.wrapping_add(shift as u32) as usize], STATE, true);
        let runs = super::runs(windows, of);
        for slot in &mut self.slots {
            slot.slide(&runs, windows.bounds.slices());
        }
        let indices = UInt32Array::from(std::mem::take(&mut windows.keys));
        let keys: Result<Vec<ArrayRef>> =
            columns.iter().map(|column| Ok(take(column, &indices, None)?)).collect();
        let mut slots = vec![None; self.spec.slots.len()];
        self.slots.iter_mut().try_for_each(|slot| slot.take(&mut slots))?;
        let times = windows.starts.iter().copied().zip(windows.ends.iter().copied());
        out.push(self.result_batch(keys?, times.map(Some), slots)?);
        windows.clear();
        Ok(())
    }
}

/// The key columns of the key before (if any) and of the first row of each range.
fn representatives(
    before: Option<&[ArrayRef]>,
    keys: &[ArrayRef],
    ranges: &[Range<usize>],
) -> Result<Vec<ArrayRef>> {
    let starts = UInt32Array::from_iter_values(ranges.iter().map(|range| range.start as u32));
    let column = |(i, column): (usize, &ArrayRef)| {
        let firsts = take(column, &starts, None)?;
        Ok(match before {
            None => firsts,
            Some(before) => concat(&[before[i].as_ref(), firsts.as_ref()])?,
        })
    };
    keys.iter().enumerate().map(column).collect()
}
