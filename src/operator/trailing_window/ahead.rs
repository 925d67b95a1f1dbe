//! What `nested` asks of the windows whose results are its rows: which keys have changed, and the
//! results of rows that are not final yet, as if nothing more came before them.

use arrow::array::{ArrayRef, RecordBatch};

use super::TrailingWindow;
use super::keys::NOT_DUE;
use crate::error::Result;
use crate::model::time::EventTime;
use crate::operator::operator::Operator as _;

/// Keys that have changed, and the times of their newest rows.
#[derive(Debug, Default)]
pub(in crate::operator) struct Touched {
    pub keys: Vec<ArrayRef>,
    pub newest: Vec<i64>,
}

impl TrailingWindow {
    /// The keys touched since the last call, for an operator made by [`Self::noting`].
    pub(in crate::operator) fn take_touched(&mut self) -> Result<Touched> {
        let touched = std::mem::take(&mut self.touched);
        let stride = self.plan.layout.stride();
        let mut times = Vec::with_capacity(touched.len());
        for slot in &touched {
            let key = &mut self.keys[*slot as usize];
            key.touched = false;
            let newest = key.newest(stride).unwrap_or(i64::MIN);
            times.push(newest);
            self.changes.mark(*slot);
            self.watch(*slot, self.following.as_of(newest));
            self.expire_later(*slot);
        }
        Ok(Touched { keys: self.index.gather(&touched)?, newest: times })
    }

    /// The keys that have rows which are not final.
    pub(in crate::operator) fn unfinished(&self) -> Result<(Vec<ArrayRef>, usize)> {
        let mut slots = self.index.sorted();
        slots.retain(|slot| self.keys[*slot as usize].due != NOT_DUE);
        Ok((self.index.gather(&slots)?, slots.len()))
    }

    /// The results of the rows of some keys (`rows` rows of key columns) that are not final.
    pub(in crate::operator) fn unfinished_results(
        &self,
        keys: &[ArrayRef],
        rows: usize,
    ) -> Result<Vec<RecordBatch>> {
        let mut results = Vec::new();
        let mut scratch = Vec::new();
        let mut waiting = false;
        for row in 0..rows {
            let slot = self.index.find(keys, row, &mut scratch)?;
            waiting |= slot.is_some_and(|slot| self.keys[slot as usize].due != NOT_DUE);
        }
        if waiting {
            let mut beside = Self::new(&self.plan.spec, false)?;
            beside.restore(&self.snapshot_of_keys(keys, rows)?)?;
            beside.on_watermark(EventTime::INFINITY, &mut results)?;
        }
        Ok(results)
    }
}
