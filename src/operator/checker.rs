//! Asserts the contract of [`Operator`] around any operator. Always on in tests; drivers may wrap
//! operators in debug builds. It changes nothing that the operator sees or gives.

use std::collections::HashSet;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};

use super::follow::Follow;
use super::operator::{Bound, Current, Operator, Probed};
use crate::error::Result;
use crate::model::time::EventTime;
use crate::plan::dataflow::WindowSpec;
use crate::state::row::times;
use crate::state::snapshot::Snapshot;

/// An operator under supervision.
pub struct Checker {
    inner: Box<dyn Operator>,
    step: SchemaRef,
    result: SchemaRef,
    keys: usize,
    trailing: bool,
    chained: bool,
    watermark: EventTime,
    positions: HashSet<(i32, i64)>,
    /// Rows that have no final row yet (trailing windows), by time.
    waiting: Vec<i64>,
    restored: bool,
}

impl Checker {
    pub fn new(inner: Box<dyn Operator>, spec: &WindowSpec) -> Self {
        Self {
            inner,
            step: spec.step_schema(),
            result: spec.result_schema(),
            keys: spec.key_types().len(),
            trailing: matches!(spec, WindowSpec::Trailing(_)),
            chained: matches!(spec, WindowSpec::Chain(_)),
            watermark: EventTime::NEG_INFINITY,
            positions: HashSet::new(),
            waiting: Vec::new(),
            restored: false,
        }
    }

    fn take_in(&mut self, step: &RecordBatch) {
        assert_eq!(step.schema(), self.step, "the schema of a step batch");
        let partitions = step.column(self.keys + 1).as_primitive::<Int32Type>();
        let offsets = step.column(self.keys + 2).as_primitive::<Int64Type>();
        for (row, time) in times(step.column(self.keys)).iter().enumerate() {
            assert!(*time >= self.watermark.0, "a row at {time} behind the watermark");
            let position = (partitions.value(row), offsets.value(row));
            assert!(self.positions.insert(position), "position {position:?} comes twice");
            self.waiting.push(*time);
        }
    }

    fn give_out(&mut self, batches: &[RecordBatch], watermark: EventTime) {
        let mut results = 0;
        for batch in batches {
            assert_eq!(batch.schema(), self.result, "the schema of a result batch");
            assert!(batch.num_rows() > 0, "an empty result batch");
            results += batch.num_rows();
            if self.trailing {
                let late = times(batch.column(self.keys)).iter().any(|t| *t >= watermark.0);
                assert!(!late, "a final row at or after the watermark");
            } else {
                let end = self.keys + usize::from(!self.chained);
                let ends = times(batch.column(end));
                let held = |end: &i64| *end <= watermark.0;
                assert!(ends.iter().all(held), "a window is closed before its end");
            }
        }
        if self.trailing && !self.restored {
            let before = self.waiting.len();
            self.waiting.retain(|time| *time >= watermark.0);
            assert_eq!(results, before - self.waiting.len(), "one final row per row");
        }
    }
}

impl Operator for Checker {
    fn on_batch(&mut self, step: &RecordBatch) -> Result<()> {
        self.take_in(step);
        self.inner.on_batch(step)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Vec<RecordBatch>) -> Result<()> {
        assert!(watermark >= self.watermark, "the watermark goes back");
        self.watermark = watermark;
        let mut batches = Vec::new();
        self.inner.on_watermark(watermark, &mut batches)?;
        self.give_out(&batches, watermark);
        out.append(&mut batches);
        Ok(())
    }

    fn on_sorted(
        &mut self,
        step: &RecordBatch,
        finish: bool,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        self.take_in(step);
        let begin = out.len();
        self.inner.on_sorted(step, finish, out)?;
        let rows = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum();
        let results: usize = rows(&out[begin..]);
        if self.trailing {
            assert!(results <= self.waiting.len(), "more final rows than rows");
            self.waiting.truncate(self.waiting.len() - results);
            assert!(!finish || self.waiting.is_empty(), "rows without a final row");
        }
        Ok(())
    }

    fn touch_all(&mut self) {
        self.inner.touch_all();
    }

    fn drain_current(&mut self) -> Result<Option<Current>> {
        let drained = self.inner.drain_current()?;
        if let Some(Current { rows, as_of, newest }) = &drained {
            assert_eq!(rows.schema(), self.result, "the schema of a batch of current values");
            let same = as_of.len() == rows.num_rows() && newest.len() == rows.num_rows();
            assert!(same, "one time per current value");
            let mut times = as_of.iter().zip(newest);
            assert!(
                times.all(|(at, newest)| newest.is_none_or(|newest| at.0 >= newest)),
                "a value before its newest row"
            );
        }
        assert!(self.inner.drain_current()?.is_none(), "a key is drained twice");
        Ok(drained)
    }

    fn follow(&mut self, follow: Follow) {
        self.inner.follow(follow);
    }

    fn refresh(&mut self, at: EventTime) {
        self.inner.refresh(at);
    }

    fn probe(&self, keys: &[ArrayRef], times: &[EventTime], bound: Bound) -> Result<Probed> {
        let probed = self.inner.probe(keys, times, bound)?;
        assert_eq!(probed.rows.schema(), self.result, "the schema of a probe");
        assert_eq!(probed.rows.num_rows(), times.len(), "one row per request");
        assert_eq!(probed.present.len(), times.len(), "one presence per request");
        assert_eq!(probed.newest.len(), times.len(), "one newest time per request");
        for (newest, time) in probed.newest.iter().zip(times) {
            let seen = match bound {
                Bound::Strict => newest.is_none_or(|newest| newest < time.0),
                Bound::Inclusive => newest.is_none_or(|newest| newest <= time.0),
            };
            assert!(seen, "a probe at {time} sees what comes after it");
        }
        Ok(probed)
    }

    fn keys(&self) -> Result<(Vec<ArrayRef>, usize)> {
        self.inner.keys()
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.inner.snapshot()
    }

    fn follow_changes(&mut self) {
        self.inner.follow_changes();
    }

    fn changes(&mut self) -> Result<Option<Snapshot>> {
        self.inner.changes()
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.restored = true;
        self.watermark = EventTime(snapshot.watermark.unwrap_or(i64::MIN));
        self.inner.restore(snapshot)
    }

    fn state_bytes(&self) -> usize {
        self.inner.state_bytes()
    }

    fn key_count(&self) -> usize {
        self.inner.key_count()
    }
}
