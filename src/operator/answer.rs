//! From what an operator's probe gives to what a feature answers: the feature's reach and `ttl`
//! applied (semantics §4), its output computed. Every read of a value comes through here:
//! serving, `get`, plain SELECTs, training sets. State groups share operators, so an operator may
//! hold rows longer than one of its features looks back; here nobody sees that.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{filter_record_batch, nullif};
use arrow::datatypes::TimestampMicrosecondType;

use super::operator::Probed;
use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::plan::dataflow::{FeaturePlan, Projection, WindowSpec};
use crate::plan::reach::Reach;
use crate::plan::share::Member;

/// What is known about an entity at a time. Information: values are promised, the difference
/// between the first two is not (rows out of reach may be forgotten).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// No row (or window) within reach.
    NotFound,
    /// There is one, but it is older than the feature's `ttl`.
    Expired,
    Present,
}

impl Status {
    /// As it is written in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::Expired => "EXPIRED",
            Self::Present => "PRESENT",
        }
    }

    /// Reads what [`Self::name`] wrote.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::NotFound, Self::Expired, Self::Present].into_iter().find(|s| s.name() == name)
    }
}

/// How values come out of a group's result batches for one reader.
#[derive(Clone, Debug)]
pub struct Reader {
    pub output: Projection,
    pub reach: Reach,
    /// Per output column: an entity key, which `ttl` leaves as it is.
    keys: Vec<bool>,
    /// Columns of the result batch anchored at the newest row: its time and carried columns.
    anchored: std::ops::Range<usize>,
}

/// The answers to a probe, one per request.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Output rows.
    pub rows: RecordBatch,
    pub status: Vec<Status>,
    /// Time (or `window_end`) of the newest row held at or before the time asked for, within
    /// reach or not.
    pub newest: Vec<Option<i64>>,
}

impl Answered {
    /// Whether a row lies within reach of any request.
    pub fn is_present(&self) -> bool {
        self.status.contains(&Status::Present)
    }

    /// Whether any request found a row, within reach or not.
    pub fn is_known(&self) -> bool {
        self.newest.iter().any(Option::is_some)
    }
}

impl Reader {
    /// The reader of a feature whose rows come out of result batches of `window` by `output`.
    pub fn of(plan: &FeaturePlan, window: &WindowSpec, output: &Projection) -> Self {
        let fields = output.schema.fields().iter();
        let keys = fields.map(|field| plan.key_columns.contains(field.name())).collect();
        Self { output: output.clone(), reach: plan.reach(), keys, anchored: anchored(window) }
    }

    /// A reader without a limit that gives result columns as `output` says.
    pub fn unlimited(window: &WindowSpec, output: Projection) -> Self {
        let keys = vec![false; output.expressions.len()];
        Self { output, reach: Reach::UNLIMITED, keys, anchored: anchored(window) }
    }

    /// Keeps the output columns with these numbers, in this order.
    pub fn select(&self, columns: &[usize]) -> Result<Self> {
        let expressions = columns.iter().map(|i| self.output.expressions[*i].clone()).collect();
        let schema = std::sync::Arc::new(self.output.schema.project(columns)?);
        Ok(Self {
            output: Projection { expressions, schema },
            keys: columns.iter().map(|i| self.keys[*i]).collect(),
            ..self.clone()
        })
    }

    /// The answers to requests at `times`.
    pub fn answer(&self, probed: &Probed, times: &[EventTime]) -> Result<Answered> {
        let from = |time: &EventTime| self.reach.from(time.0);
        let found = probed.newest.iter().zip(times);
        let status = found.map(|(newest, time)| match newest {
            Some(newest) if *newest >= from(time) => Status::Present,
            Some(_) if self.reach.is_ttl() => Status::Expired,
            _ => Status::NotFound,
        });
        let status: Vec<Status> = status.collect();
        let missing: BooleanArray =
            status.iter().map(|status| Some(*status != Status::Present)).collect();
        let any = missing.true_count() > 0;
        let mut rows = match any {
            true => self.masked(&probed.rows, &missing)?,
            false => self.output.evaluate(&probed.rows)?,
        };
        if any && self.reach.is_ttl() {
            let columns = rows.columns().iter().zip(&self.keys);
            let columns = columns.map(|(column, key)| match key {
                true => Ok(column.clone()),
                false => Ok(nullif(column, &missing)?),
            });
            rows = with_columns(&rows, columns.collect::<Result<_>>()?)?;
        }
        Ok(Answered { rows, status, newest: probed.newest.clone() })
    }

    /// The output over result rows whose anchored columns are NULL where nothing is in reach.
    fn masked(&self, result: &RecordBatch, missing: &BooleanArray) -> Result<RecordBatch> {
        let mut columns = result.columns().to_vec();
        for column in &mut columns[self.anchored.clone()] {
            if column.null_count() < column.len() {
                *column = nullif(column, missing)?;
            }
        }
        self.output.evaluate(&with_columns(result, columns)?)
    }

    /// The output of result rows of `Operator::probe_all`, those within reach of `at` only.
    pub fn present(&self, result: &RecordBatch, at: EventTime) -> Result<RecordBatch> {
        let newest = newest_of(result)?;
        let times = vec![at; newest.len()];
        let present = vec![true; newest.len()];
        let probed = Probed { rows: result.clone(), present, newest };
        let answered = self.answer(&probed, &times)?;
        let keep = answered.status.iter().map(|status| Some(*status == Status::Present));
        Ok(filter_record_batch(&answered.rows, &keep.collect())?)
    }
}

impl Member {
    /// The reader of this member of a group whose operator runs `window`.
    pub fn reader(&self, window: &WindowSpec) -> Reader {
        Reader::of(&self.plan, window, &self.output)
    }
}

/// Time and carried columns of a result batch; nothing of a group window is anchored at a row.
fn anchored(window: &WindowSpec) -> std::ops::Range<usize> {
    let keys = window.key_types().len();
    match window {
        WindowSpec::Trailing(spec) => keys..keys + 1 + spec.carried.len(),
        WindowSpec::Chain(spec) => keys..keys + 1 + spec.second.carried.len(),
        WindowSpec::Group(_) => keys..keys,
    }
}

/// The times that result rows hold for.
fn newest_of(result: &RecordBatch) -> Result<Vec<Option<i64>>> {
    use crate::plan::dataflow::{TIME_COLUMN, WINDOW_END_COLUMN};
    let column = result.column_by_name(TIME_COLUMN);
    let column = column.or_else(|| result.column_by_name(WINDOW_END_COLUMN));
    let times = column.and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let times = times.ok_or_else(|| Error::internal("a result batch without a time column"))?;
    Ok(times.iter().collect())
}

fn with_columns(rows: &RecordBatch, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), columns, &options)?)
}

#[cfg(test)]
pub mod tests;
