//! Current values: of each touched key at its newest row, where one front moves on, or at the time
//! last refreshed to if that is later; and which keys a later time touches. A value changes when
//! a row leaves a frame, when one enters a frame that ends before the current row, and when the
//! newest row gets out of reach; each moment follows from the rows, so nothing of it is saved.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::interleave;

use super::TrailingWindow;
use super::front::{Front, Piece};
use super::plan::excludes;
use super::probe::{Ask, evaluate, first_from};
use crate::error::Result;
use crate::model::time::EventTime;
use crate::operator::follow::UNCHANGING;
use crate::operator::operator::{Bound, Current};
use crate::plan::dataflow::FrameExtent;

impl TrailingWindow {
    pub(super) fn take_current(&mut self) -> Result<Option<Current>> {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return Ok(None);
        }
        let stride = self.plan.layout.stride();
        let newest: Vec<i64> =
            touched.iter().filter_map(|slot| self.keys[*slot as usize].newest(stride)).collect();
        assert_eq!(newest.len(), touched.len(), "a touched key without rows");
        let as_of = newest.iter().map(|newest| EventTime(self.following.as_of(*newest)));
        let as_of: Vec<EventTime> = as_of.collect();
        let rows = self.current_batch(&touched, &newest, &as_of)?;
        for (slot, at) in touched.iter().zip(&as_of) {
            self.keys[*slot as usize].touched = false;
            self.changes.mark(*slot);
            self.watch(*slot, at.0);
            self.expire_later(*slot);
        }
        Ok(Some(Current { rows, as_of, newest: newest.into_iter().map(Some).collect() }))
    }

    /// Result rows of touched keys at these times.
    fn current_batch(
        &mut self,
        touched: &[u32],
        newest: &[i64],
        as_of: &[EventTime],
    ) -> Result<RecordBatch> {
        let mut columns = vec![None; self.plan.spec.slots.len()];
        if let Some(mut current) = self.current.take() {
            // Also where another time is asked for: rows behind the front are dropped.
            let done = self.advance_current(&mut current, touched, &mut columns);
            self.current = Some(current);
            done?;
        }
        let asks = touched.iter().zip(as_of);
        let asks = asks.map(|(slot, at)| self.ask(Some(*slot), at.0, Bound::Inclusive));
        let asks: Vec<Ask> = asks.collect();
        let frames = &self.current.as_ref().map_or(&[][..], |current| &current.frames);
        let fresh = |frame: usize| frames.iter().all(|moving| moving.frame != frame);
        evaluate(&self.plan, &self.finals, fresh, &asks, &mut columns)?;
        let later: Vec<usize> =
            (0..asks.len()).filter(|row| as_of[*row].0 > newest[*row]).collect();
        if !later.is_empty() {
            let mut others = vec![None; columns.len()];
            let later_asks: Vec<Ask> = later.iter().map(|row| asks[*row]).collect();
            evaluate(&self.plan, &self.finals, |f| !fresh(f), &later_asks, &mut others)?;
            replace(&mut columns, &others, &later, asks.len())?;
        }
        let mut repeated = self.index.gather(touched)?;
        let rows = asks.iter().map(|ask| ask.anchor.map(|row| ask.rows.row(row)));
        repeated.extend(self.anchored(rows)?);
        self.result_batch(repeated, columns, touched.len())
    }

    /// Moves the front of current values to the newest row of each key.
    fn advance_current(
        &self,
        current: &mut Front,
        touched: &[u32],
        columns: &mut [Option<ArrayRef>],
    ) -> Result<()> {
        let stride = self.plan.layout.stride();
        let texts = self.interner.texts();
        let piece = |slot: &u32| {
            let key = &self.keys[*slot as usize];
            let rows = key.rows(&self.plan, texts);
            let end = key.buffer.end(stride);
            let state = *slot as usize;
            Piece { rows, state, fresh: false, tie: key.tie, start: end - 1, end }
        };
        let pieces: Vec<Piece> = touched.iter().map(piece).collect();
        current.advance(&self.plan, &pieces, columns)
    }

    /// Touches the keys whose values change by `at`.
    pub(super) fn refresh_to(&mut self, at: i64) {
        let stride = self.plan.layout.stride();
        for (moment, slot) in self.following.advance(at) {
            let key = &mut self.keys[slot as usize];
            // An entry that another one came before, or of a key that had this slot.
            if key.changes != moment {
                continue;
            }
            key.changes = UNCHANGING;
            let newest = key.newest(stride).unwrap_or(i64::MIN);
            let since = self.following.as_of(newest);
            let next = self.next_change(slot, since);
            let key = &mut self.keys[slot as usize];
            if next > at {
                self.following.register(slot, next, &mut key.changes);
                self.expire_later(slot);
            } else if !key.touched {
                key.touched = true;
                self.touched.push(slot);
                self.changes.mark(slot);
            }
        }
        self.following.set(at);
    }

    /// Registers a key whose value is known at its newest row or at `at`, whichever is later.
    pub(super) fn watch(&mut self, slot: u32, at: i64) {
        if self.following.follow().is_none() {
            return;
        }
        let newest = self.keys[slot as usize].newest(self.plan.layout.stride());
        let next = self.next_change(slot, at.max(newest.unwrap_or(i64::MIN)));
        let key = &mut self.keys[slot as usize];
        self.following.register(slot, next, &mut key.changes);
    }

    /// The first moment after `at` at which the value of a key is another one than at `at`, which
    /// is not before its newest row.
    fn next_change(&self, slot: u32, at: i64) -> i64 {
        let key = &self.keys[slot as usize];
        let (Some(follow), Some(newest)) =
            (self.following.follow(), key.newest(self.plan.layout.stride()))
        else {
            return UNCHANGING;
        };
        let rows = key.rows(&self.plan, &[]);
        let time = |row: u64| rows.row(row)[0] as i64;
        let mut next = self.following.out_of_reach(newest, at);
        let mut may = |moment: i64| {
            if moment > at {
                next = next.min(moment);
            }
        };
        for frame in &follow.frames {
            let spec = &self.plan.spec.frames[*frame];
            let FrameExtent::Range { preceding_us, until_us } = spec.extent else { continue };
            if excludes(spec) {
                // What is left out at the newest row is not left out after it.
                may(newest.saturating_add(1));
            }
            let until = at.saturating_sub(until_us).saturating_add(1);
            let end = if until_us == 0 { rows.end() } else { first_from(&rows, rows.end(), until) };
            if end < rows.end() {
                may(time(end).saturating_add(until_us));
            }
            let Some(preceding) = preceding_us else { continue };
            let first = first_from(&rows, end, at.saturating_sub(preceding));
            let first = spec.newest(first, end);
            if first < end {
                may(time(first).saturating_add(preceding).saturating_add(1));
            }
        }
        next
    }
}

/// Puts the rows of `others` in the places `at` of `columns`.
fn replace(
    columns: &mut [Option<ArrayRef>],
    others: &[Option<ArrayRef>],
    at: &[usize],
    rows: usize,
) -> Result<()> {
    let mut from: Vec<(usize, usize)> = (0..rows).map(|row| (0, row)).collect();
    for (i, row) in at.iter().enumerate() {
        from[*row] = (1, i);
    }
    for (column, other) in columns.iter_mut().zip(others) {
        if let (Some(ours), Some(theirs)) = (&column, other) {
            *column = Some(interleave(&[ours.as_ref(), theirs.as_ref()], &from)?);
        }
    }
    Ok(())
}
