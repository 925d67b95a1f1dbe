//! Trailing windows over the results of trailing windows of the same key: `AVG(gap) OVER (…)` over
//! `time_since_last() OVER (…) AS gap`. A row of the inner windows that becomes final is a row of
//! the outer ones, at its time and place. What a probe or a current value needs of rows that are
//! not final yet is computed beside the state, for the keys asked for.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter;

use super::follow::Follow;
use super::joined::{joined, no_rows_of_second, rows_of_second, split};
use super::operator::{Bound, Current, Operator, Probed};
use super::trailing_window::TrailingWindow;
use crate::error::Result;
use crate::model::time::EventTime;
use crate::plan::dataflow::{ChainSpec, TrailingSpec};
use crate::state::key_index::KeyIndex;
use crate::state::snapshot::Snapshot;

/// The operator of a [`ChainSpec`] over trailing windows.
#[derive(Debug)]
pub struct Nested {
    spec: ChainSpec,
    first: TrailingWindow,
    second: TrailingWindow,
    follow: Option<Follow>,
    /// How far serving time has come, and how far of that values were looked at.
    asked: i64,
    refreshed: i64,
    /// Every key counts as touched.
    all: bool,
}

/// Keys, each once.
struct Keys(KeyIndex);

impl Keys {
    fn new(spec: &ChainSpec) -> Result<Self> {
        Ok(Self(KeyIndex::new(&spec.second.key_types)?))
    }

    fn add(&mut self, (keys, count): &(Vec<ArrayRef>, usize)) -> Result<()> {
        self.0.insert(keys, *count, &mut Vec::new())
    }

    /// In an order that depends on the keys only, and their number.
    fn all(&self) -> Result<(Vec<ArrayRef>, usize)> {
        let slots = self.0.sorted();
        Ok((self.0.gather(&slots)?, slots.len()))
    }
}

impl Nested {
    /// An operator without rows over the windows `first`; `current` asks for current values.
    ///
    /// # Errors
    /// As those of the two operators.
    pub fn new(spec: &ChainSpec, first: &TrailingSpec, current: bool) -> Result<Self> {
        let made = |spec: &TrailingSpec| match current {
            true => TrailingWindow::noting(spec),
            false => TrailingWindow::new(spec, false),
        };
        let (first, second) = (made(first)?, made(&spec.second)?);
        let (asked, refreshed) = (i64::MIN, i64::MIN);
        Ok(Self { spec: spec.clone(), first, second, follow: None, asked, refreshed, all: false })
    }

    /// Results of the first operator as rows of the second.
    fn steps(&self, results: &RecordBatch) -> Result<RecordBatch> {
        rows_of_second(&self.spec, self.spec.between.evaluate(results)?.columns().to_vec())
    }

    /// The second operator with what is known of some keys, rows that are not final included.
    fn beside(&self, keys: &[ArrayRef], rows: usize, noting: bool) -> Result<TrailingWindow> {
        let mut beside = match noting {
            true => TrailingWindow::noting(&self.spec.second)?,
            false => TrailingWindow::new(&self.spec.second, false)?,
        };
        if let Some(follow) = &self.follow {
            beside.follow(follow.clone());
        }
        self.second.copy_keys(keys, rows, &mut beside)?;
        for results in self.first.unfinished_results(keys, rows)? {
            let steps = self.steps(&results)?;
            if steps.num_rows() > 0 {
                beside.on_batch(&steps)?;
            }
        }
        Ok(beside)
    }

    /// Adds the keys whose values change after `refreshed` and up to `asked`.
    fn add_changed(&mut self, touched: &mut Keys) -> Result<()> {
        let at = EventTime(self.asked);
        let before = std::mem::replace(&mut self.refreshed, self.asked);
        if self.follow.is_none() {
            return Ok(());
        }
        self.second.refresh(at);
        let (keys, changed) = self.second.take_touched()?;
        // Rows that are not final are not in the second operator: keys that have any are looked
        // at beside it.
        let waiting = self.first.unfinished()?;
        let mut known = Keys::new(&self.spec)?;
        known.add(&waiting)?;
        let (mut own, mut scratch) = (Vec::with_capacity(changed), Vec::new());
        for row in 0..changed {
            own.push(known.0.find(&keys, row, &mut scratch)?.is_none());
        }
        let own = BooleanArray::from(own);
        let keys = keys.iter().map(|column| Ok(filter(column, &own)?));
        touched.add(&(keys.collect::<Result<_>>()?, own.true_count()))?;
        let (waiting, count) = waiting;
        if count > 0 {
            let mut beside = self.beside(&waiting, count, true)?;
            beside.take_touched()?;
            if before > i64::MIN {
                beside.refresh(EventTime(before));
                beside.take_touched()?;
            }
            beside.refresh(at);
            touched.add(&beside.take_touched()?)?;
        }
        Ok(())
    }
}

impl Operator for Nested {
    fn on_batch(&mut self, step: &RecordBatch) -> Result<()> {
        self.first.on_batch(step)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Vec<RecordBatch>) -> Result<()> {
        let mut results = Vec::new();
        self.first.on_watermark(watermark, &mut results)?;
        for batch in results {
            let steps = self.steps(&batch)?;
            if steps.num_rows() > 0 {
                self.second.on_batch(&steps)?;
            }
        }
        self.second.on_watermark(watermark, out)
    }

    fn on_sorted(
        &mut self,
        step: &RecordBatch,
        finish: bool,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        let mut results = Vec::new();
        self.first.on_sorted(step, finish, &mut results)?;
        for batch in results {
            let steps = self.steps(&batch)?;
            self.second.on_sorted(&steps, false, out)?;
        }
        if finish {
            self.second.on_sorted(&no_rows_of_second(&self.spec), true, out)?;
        }
        Ok(())
    }

    fn drain_current(&mut self) -> Result<Option<Current>> {
        let mut touched = Keys::new(&self.spec)?;
        touched.add(&self.first.take_touched()?)?;
        // Becoming final changes no current value, but keeps a key until it is taken.
        let of_final = self.second.take_touched()?;
        if std::mem::take(&mut self.all) {
            touched.add(&of_final)?;
        }
        if self.asked > self.refreshed {
            self.add_changed(&mut touched)?;
        }
        let (keys, count) = touched.all()?;
        if count == 0 {
            return Ok(None);
        }
        // A value holds for the newest row that the inner windows have seen: a row that comes late
        // can change results so that the outer WHERE leaves less, or nothing, and time must not go
        // back in stores. A key that the outer windows have forgotten has the value of nothing,
        // but only from the horizon on.
        let seen = self.first.newest_of(&keys, count)?;
        let held = self.second.newest_of(&keys, count)?;
        let as_of = seen.into_iter().zip(held).map(|(seen, held)| {
            let forgotten =
                if held.is_none() { self.second.horizon().saturating_sub(1) } else { i64::MIN };
            let newest = seen.max(held).unwrap_or(i64::MIN);
            EventTime(newest.max(self.refreshed).max(forgotten))
        });
        let as_of: Vec<EventTime> = as_of.collect();
        let beside = self.beside(&keys, count, false)?;
        let Probed { rows, newest, .. } = beside.probe_held(&keys, &as_of, Bound::Inclusive)?;
        Ok(Some(Current { rows, as_of, newest }))
    }

    fn follow(&mut self, follow: Follow) {
        self.second.follow(follow.clone());
        self.follow = Some(follow);
    }

    /// Looked at when current values are asked for.
    fn refresh(&mut self, at: EventTime) {
        self.asked = self.asked.max(at.0);
    }

    fn touch_all(&mut self) {
        self.first.touch_all();
        self.second.touch_all();
        self.all = true;
    }

    fn probe(&self, keys: &[ArrayRef], times: &[EventTime], bound: Bound) -> Result<Probed> {
        match self.first.is_finished(keys, times.len())? {
            true => self.second.probe(keys, times, bound),
            false => self.beside(keys, times.len(), false)?.probe(keys, times, bound),
        }
    }

    fn keys(&self) -> Result<(Vec<ArrayRef>, usize)> {
        let mut known = Keys::new(&self.spec)?;
        known.add(&self.first.keys()?)?;
        known.add(&self.second.keys()?)?;
        known.all()
    }

    fn snapshot(&self) -> Result<Snapshot> {
        joined(self.first.snapshot()?, self.second.snapshot()?)
    }

    fn follow_changes(&mut self) {
        self.first.follow_changes();
        self.second.follow_changes();
    }

    fn changes(&mut self) -> Result<Option<Snapshot>> {
        match (self.first.changes()?, self.second.changes()?) {
            (Some(first), Some(second)) => joined(first, second).map(Some),
            _ => Ok(None),
        }
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let (first, second) = split(snapshot);
        self.first.restore(&first)?;
        self.second.restore(&second)
    }

    fn state_bytes(&self) -> usize {
        self.first.state_bytes() + self.second.state_bytes()
    }

    fn key_count(&self) -> usize {
        self.first.key_count().max(self.second.key_count())
    }
}

#[cfg(test)]
mod tests;
