//! What `nested` asks of the windows whose results are its rows: which keys have changed, and the
//! results of rows that are not final yet, as if nothing more came before them.

use arrow::array::{ArrayRef, RecordBatch};

use super::TrailingWindow;
use super::keys::NOT_DUE;
use crate::error::Result;
use crate::model::time::EventTime;
use crate::operator::operator::Operator as _;

impl TrailingWindow {
    /// Probes strictly before this time could miss rows that are gone.
    pub(in crate::operator) fn horizon(&self) -> i64 {
        self.horizon
    }

    /// The keys touched since the last call, for an operator made by [`Self::noting`].
    pub(in crate::operator) fn take_touched(&mut self) -> Result<(Vec<ArrayRef>, usize)> {
        let touched = std::mem::take(&mut self.touched);
        let stride = self.plan.layout.stride();
        for slot in &touched {
            let key = &mut self.keys[*slot as usize];
            key.touched = false;
            let newest = key.newest(stride).unwrap_or(i64::MIN);
            self.changes.mark(*slot);
            self.watch(*slot, self.following.as_of(newest));
            self.expire_later(*slot);
        }
        Ok((self.index.gather(&touched)?, touched.len()))
    }

    /// The times of the newest rows of keys, `None` for keys without rows.
    pub(in crate::operator) fn newest_of(
        &self,
        keys: &[ArrayRef],
        rows: usize,
    ) -> Result<Vec<Option<i64>>> {
        let (mut scratch, stride) = (Vec::new(), self.plan.layout.stride());
        let mut newest = Vec::with_capacity(rows);
        for row in 0..rows {
            let slot = self.index.find(keys, row, &mut scratch)?;
            newest.push(slot.and_then(|slot| self.keys[slot as usize].newest(stride)));
        }
        Ok(newest)
    }

    /// The keys that have rows which are not final.
    pub(in crate::operator) fn unfinished(&self) -> Result<(Vec<ArrayRef>, usize)> {
        let waits = |slot: &u32| self.keys[*slot as usize].due != NOT_DUE;
        let mut slots: Vec<u32> = (0..self.keys.len() as u32).filter(waits).collect();
        self.index.sort(&mut slots);
        Ok((self.index.gather(&slots)?, slots.len()))
    }

    /// Whether every row of some keys (`rows` rows of key columns) is final.
    pub(in crate::operator) fn is_finished(&self, keys: &[ArrayRef], rows: usize) -> Result<bool> {
        let mut scratch = Vec::new();
        for row in 0..rows {
            let slot = self.index.find(keys, row, &mut scratch)?;
            if slot.is_some_and(|slot| self.keys[slot as usize].due != NOT_DUE) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The results of the rows of some keys that are not final.
    pub(in crate::operator) fn unfinished_results(
        &self,
        keys: &[ArrayRef],
        rows: usize,
    ) -> Result<Vec<RecordBatch>> {
        let mut results = Vec::new();
        if !self.is_finished(keys, rows)? {
            let mut beside = Self::new(&self.plan.spec, false)?;
            self.copy_keys(keys, rows, &mut beside)?;
            beside.on_watermark(EventTime::INFINITY, &mut results)?;
        }
        Ok(results)
    }

    /// Puts the state of some keys into an empty operator of the same windows, which takes rows
    /// of any time then. What is final follows from each key, not from the watermark: state that
    /// was put together from parts has keys that are further than it.
    pub(in crate::operator) fn copy_keys(
        &self,
        keys: &[ArrayRef],
        rows: usize,
        into: &mut Self,
    ) -> Result<()> {
        let mut snapshot = self.snapshot_of_keys(keys, rows)?;
        snapshot.watermark = Some(i64::MAX);
        into.restore(&snapshot)?;
        into.watermark = i64::MIN;
        let (mut scratch, stride) = (Vec::new(), self.plan.layout.stride());
        for row in 0..rows {
            let here = self.index.find(keys, row, &mut scratch)?;
            let Some((here, there)) = here.zip(into.index.find(keys, row, &mut scratch)?) else {
                continue;
            };
            let (own, copy) = (&self.keys[here as usize], &mut into.keys[there as usize]);
            copy.final_end = own.final_end - own.buffer.first();
            if own.due != NOT_DUE && copy.due == NOT_DUE {
                copy.due = copy.buffer.time(stride, copy.final_end);
                into.waiting.push(copy.due, there);
            }
        }
        Ok(())
    }
}
