//! Trailing windows over the results of group windows: `AVG(n) OVER (… ORDER BY window_end …)`
//! over counts per minute. A window that closes becomes a row of the second operator, at the time
//! of its end. What is final and what is current follows from closed windows; a probe also sees
//! the windows that are still open at the watermark but ended before the time asked for, as every
//! probe of a group window does.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::follow::Follow;
use super::group_window::GroupWindow;
use super::having::HavingWindow;
use super::joined::{joined, no_rows_of_second, rows_of_second, split};
use super::operator::{Bound, Current, Operator, Probed};
use super::trailing_window::TrailingWindow;
use crate::error::Result;
use crate::model::time::EventTime;
use crate::plan::dataflow::{ChainSpec, GroupSpec};
use crate::state::snapshot::Snapshot;

/// The first operator.
#[derive(Debug)]
enum First {
    All(Box<GroupWindow>),
    Having(Box<HavingWindow>),
}

/// The operator of a [`ChainSpec`] over group windows.
#[derive(Debug)]
pub struct Chain {
    spec: ChainSpec,
    /// Key columns.
    keys: usize,
    first: First,
    second: TrailingWindow,
}

impl First {
    fn operator(&self) -> &dyn Operator {
        match self {
            Self::All(operator) => operator.as_ref(),
            Self::Having(operator) => operator.as_ref(),
        }
    }

    fn operator_mut(&mut self) -> &mut dyn Operator {
        match self {
            Self::All(operator) => operator.as_mut(),
            Self::Having(operator) => operator.as_mut(),
        }
    }

    /// Results of the windows that are open and end at or before the time of a request.
    fn open(&self, keys: &[ArrayRef], lasts: &[i64]) -> Result<RecordBatch> {
        match self {
            Self::All(operator) => operator.open_results(keys, lasts),
            Self::Having(operator) => {
                let (results, mask) = operator.open_results(keys, lasts)?;
                Ok(filter_record_batch(&results, &mask)?)
            }
        }
    }
}

/// Closed windows end at or before a watermark, so later ones are later than it.
fn after(watermark: EventTime) -> EventTime {
    match watermark {
        EventTime::NEG_INFINITY => watermark,
        EventTime(us) => EventTime(us.saturating_add(1)),
    }
}

impl Chain {
    /// An operator without rows over the group windows `group`; `current` asks for current values.
    ///
    /// # Errors
    /// As those of the two operators.
    pub fn new(spec: &ChainSpec, group: &GroupSpec, current: bool) -> Result<Self> {
        let first = match &group.having {
            None => First::All(Box::new(GroupWindow::new(group, false)?)),
            Some(having) => First::Having(Box::new(HavingWindow::new(group, having, false)?)),
        };
        let second = TrailingWindow::new(&spec.second, current)?;
        Ok(Self { spec: spec.clone(), keys: group.key_types.len(), first, second })
    }

    /// Results of the first operator as rows of the second: their place is the start of the
    /// window, which tells the windows of a key of equal end apart.
    fn steps(&self, results: &RecordBatch) -> Result<RecordBatch> {
        let rows = results.num_rows();
        let mut columns = self.spec.between.evaluate(results)?.columns().to_vec();
        let starts = results.column(self.keys);
        let starts = starts.as_primitive::<TimestampMicrosecondType>();
        columns.push(Arc::new(Int32Array::from(vec![0; rows])));
        let starts: Int64Array = starts.reinterpret_cast::<Int64Type>();
        columns.push(Arc::new(starts));
        rows_of_second(&self.spec, columns)
    }
}

impl Operator for Chain {
    fn on_batch(&mut self, step: &RecordBatch) -> Result<()> {
        self.first.operator_mut().on_batch(step)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Vec<RecordBatch>) -> Result<()> {
        let mut results = Vec::new();
        self.first.operator_mut().on_watermark(watermark, &mut results)?;
        for batch in results {
            let steps = self.steps(&batch)?;
            if steps.num_rows() > 0 {
                self.second.on_batch(&steps)?;
            }
        }
        self.second.on_watermark(after(watermark), out)
    }

    fn on_sorted(
        &mut self,
        step: &RecordBatch,
        finish: bool,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        let mut results = Vec::new();
        self.first.operator_mut().on_sorted(step, finish, &mut results)?;
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
        self.second.drain_current()
    }

    fn follow(&mut self, follow: Follow) {
        self.second.follow(follow);
    }

    fn refresh(&mut self, at: EventTime) {
        self.second.refresh(at);
    }

    fn touch_all(&mut self) {
        self.second.touch_all();
    }

    fn probe(&self, keys: &[ArrayRef], times: &[EventTime], bound: Bound) -> Result<Probed> {
        let last = |time: &EventTime| match bound {
            Bound::Strict => time.0.saturating_sub(1),
            Bound::Inclusive => time.0,
        };
        let lasts: Vec<i64> = times.iter().map(last).collect();
        let open = self.first.open(keys, &lasts)?;
        if open.num_rows() == 0 {
            return self.second.probe(keys, times, bound);
        }
        // What those windows will change is computed beside the state, for these keys only.
        let mut beside = TrailingWindow::new(&self.spec.second, false)?;
        beside.restore(&self.second.snapshot_of_keys(keys, times.len())?)?;
        let steps = self.steps(&open)?;
        if steps.num_rows() > 0 {
            beside.on_batch(&steps)?;
        }
        beside.probe(keys, times, bound)
    }

    fn keys(&self) -> Result<(Vec<ArrayRef>, usize)> {
        self.first.operator().keys()
    }

    fn snapshot(&self) -> Result<Snapshot> {
        joined(self.first.operator().snapshot()?, self.second.snapshot()?)
    }

    fn follow_changes(&mut self) {
        self.first.operator_mut().follow_changes();
        self.second.follow_changes();
    }

    fn changes(&mut self) -> Result<Option<Snapshot>> {
        match (self.first.operator_mut().changes()?, self.second.changes()?) {
            (Some(first), Some(second)) => joined(first, second).map(Some),
            _ => Ok(None),
        }
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let (first, mut second) = split(snapshot);
        self.first.operator_mut().restore(&first)?;
        second.watermark = second.watermark.map(|us| after(EventTime(us)).0);
        self.second.restore(&second)
    }

    fn state_bytes(&self) -> usize {
        self.first.operator().state_bytes() + self.second.state_bytes()
    }

    fn key_count(&self) -> usize {
        self.first.operator().key_count()
    }
}

#[cfg(test)]
pub mod tests;
