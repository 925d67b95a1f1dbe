//! Current values of group windows: the newest window closed. It changes as time passes only
//! where the newest window gets out of a feature's reach.

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;

use super::{GroupWindow, Window, times_of};
use crate::error::Result;
use crate::model::time::EventTime;
use crate::operator::follow::UNCHANGING;
use crate::operator::operator::Current;

impl GroupWindow {
    pub(super) fn take_current(&mut self) -> Result<Option<Current>> {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return Ok(None);
        }
        let requests: Vec<_> = touched.iter().map(|slot| (Some(*slot), self.watermark)).collect();
        let (windows, slots) = self.newest(&requests)?;
        let batch = self.result_batch(self.index.gather(&touched)?, times_of(&windows), slots)?;
        let (mut as_of, mut newest) = (Vec::new(), Vec::new());
        for (slot, window) in touched.iter().zip(&windows) {
            self.keys[*slot as usize].touched = false;
            self.changes.mark(*slot);
            let Some(window) = window else { continue };
            let at = self.following.as_of(window.end);
            as_of.push(EventTime(at));
            newest.push(Some(window.end));
            self.watch_window(*slot, *window, at);
        }
        // A key touched by `touch_all` may not have a closed window yet.
        if newest.len() == batch.num_rows() {
            return Ok(Some(Current { rows: batch, as_of, newest }));
        }
        let closed: BooleanArray = windows.iter().map(|window| Some(window.is_some())).collect();
        let rows = filter_record_batch(&batch, &closed)?;
        Ok((closed.true_count() > 0).then_some(Current { rows, as_of, newest }))
    }

    fn newest_window(&self, slot: u32) -> Option<Window> {
        self.keys[slot as usize].newest(&self.windows, self.watermark)
    }

    /// Touches the keys whose newest window gets out of reach by `at`.
    pub(super) fn refresh_to(&mut self, at: i64) {
        for (moment, slot) in self.following.advance(at) {
            if self.keys[slot as usize].changes != moment {
                continue;
            }
            self.keys[slot as usize].changes = UNCHANGING;
            let Some(window) = self.newest_window(slot) else { continue };
            let since = self.following.as_of(window.end);
            let next = self.following.out_of_reach(window.end, since);
            let panes = &mut self.keys[slot as usize];
            if next > at {
                self.following.register(slot, next, &mut panes.changes);
            } else if !panes.touched {
                panes.touched = true;
                self.touched.push(slot);
                self.changes.mark(slot);
            }
        }
        self.following.set(at);
    }

    /// Registers a key whose value is known at its newest window or at `at`.
    pub(super) fn watch(&mut self, slot: u32, at: i64) {
        if self.following.follow().is_some()
            && let Some(window) = self.newest_window(slot)
        {
            self.watch_window(slot, window, at);
        }
    }

    fn watch_window(&mut self, slot: u32, window: Window, at: i64) {
        let next = self.following.out_of_reach(window.end, at.max(window.end));
        self.following.register(slot, next, &mut self.keys[slot as usize].changes);
    }
}
