//! Trailing windows over the results of group windows: `AVG(n) OVER (… ORDER BY window_end …)`
//! over counts per minute. A window that closes becomes a row of the second operator, at the time
//! of its end. What is final and what is current follows from closed windows; a probe also sees
//! the windows that are still open at the watermark but ended before the time asked for, as every
//! probe of a group window does.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

use super::follow::Follow;
use super::group_window::GroupWindow;
use super::having::HavingWindow;
use super::operator::{Bound, Current, Operator, Probed};
use super::trailing_window::TrailingWindow;
use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::plan::dataflow::ChainSpec;
use crate::state::snapshot::{GONE_TABLE, KEYS_TABLE, Snapshot, SnapshotTable, THEN_PREFIX};

/// Tables of the second operator, by the names they have there.
const THEN: [(&str, &str); 3] =
    [(KEYS_TABLE, "then_keys"), ("rows", "then_rows"), (GONE_TABLE, "then_gone")];

/// The first operator.
#[derive(Debug)]
enum First {
    All(Box<GroupWindow>),
    Having(Box<HavingWindow>),
}

/// The operator of a [`ChainSpec`].
#[derive(Debug)]
pub struct Chain {
    spec: ChainSpec,
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

/// The state of both operators.
fn joined(mut first: Snapshot, second: Snapshot) -> Result<Snapshot> {
    first.format = first.format << 8 | second.format;
    for table in second.tables {
        let name = THEN.iter().find(|(name, _)| *name == table.name);
        let (_, name) = name.ok_or_else(|| {
            Error::internal(format!("no name for the table {} of a chain", table.name))
        })?;
        first.tables.push(SnapshotTable { name, ..table });
    }
    let then = |(name, value)| (format!("{THEN_PREFIX}{name}"), value);
    first.globals.extend(second.globals.into_iter().map(then));
    Ok(first)
}

/// Closed windows end at or before a watermark, so later ones are later than it.
fn after(watermark: EventTime) -> EventTime {
    match watermark {
        EventTime::NEG_INFINITY => watermark,
        EventTime(us) => EventTime(us.saturating_add(1)),
    }
}

impl Chain {
    /// An operator without rows; `current` asks for current values.
    ///
    /// # Errors
    /// As those of the two operators.
    pub fn new(spec: &ChainSpec, current: bool) -> Result<Self> {
        let first = match &spec.first.having {
            None => First::All(Box::new(GroupWindow::new(&spec.first, false)?)),
            Some(having) => First::Having(Box::new(HavingWindow::new(&spec.first, having, false)?)),
        };
        let second = TrailingWindow::new(&spec.second, current)?;
        Ok(Self { spec: spec.clone(), first, second })
    }

    /// Results of the first operator as rows of the second: their place is the start of the
    /// window, which tells the windows of a key of equal end apart.
    fn steps(&self, results: &RecordBatch) -> Result<RecordBatch> {
        let rows = results.num_rows();
        let mut columns = self.spec.between.evaluate(results)?.columns().to_vec();
        let starts = results.column(self.spec.first.key_types.len());
        let starts = starts.as_primitive::<TimestampMicrosecondType>();
        columns.push(Arc::new(Int32Array::from(vec![0; rows])));
        let starts: Int64Array = starts.reinterpret_cast::<Int64Type>();
        columns.push(Arc::new(starts));
        let never = TimestampMicrosecondArray::from(vec![None::<i64>; rows]);
        columns.push(Arc::new(never.with_timezone("UTC")));
        let batch = RecordBatch::try_new(self.spec.schema.clone(), columns)?;
        self.spec.preparation.evaluate(&batch)
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
            let schema = self.spec.preparation.projection.schema.clone();
            self.second.on_sorted(&RecordBatch::new_empty(schema), true, out)?;
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
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for table in &snapshot.tables {
            match THEN.iter().find(|(_, then)| *then == table.name) {
                Some((name, _)) => second.push(SnapshotTable { name, ..table.clone() }),
                None => first.push(table.clone()),
            }
        }
        let (mut globals, mut then) = (snapshot.globals.clone(), BTreeMap::new());
        globals.retain(|name, value| match name.strip_prefix(THEN_PREFIX) {
            Some(name) => {
                then.insert(name.to_owned(), *value);
                false
            }
            None => true,
        });
        let (format, watermark) = (snapshot.format, snapshot.watermark);
        let first = Snapshot { format: format >> 8, watermark, globals, tables: first };
        self.first.operator_mut().restore(&first)?;
        let watermark = watermark.map(|us| after(EventTime(us)).0);
        let (format, globals, tables) = (format & 255, then, second);
        self.second.restore(&Snapshot { format, watermark, globals, tables })
    }

    fn state_bytes(&self) -> usize {
        self.first.operator().state_bytes() + self.second.state_bytes()
    }

    fn key_count(&self) -> usize {
        self.first.operator().key_count()
    }
}

#[cfg(test)]
mod tests;
