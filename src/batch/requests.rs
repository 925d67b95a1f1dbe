//! Requests for values among the rows of history: `f(key, t)` for many keys and times in one pass.
//!
//! Rows and requests come as one stream of step batches, sorted by key and time; a request is a
//! row whose partition is a marker and whose offset is its number. Rows of a key go into the same
//! operators as in a stream, and requests are probes of them, so no value is computed by another
//! way. Memory is that of a batch and of one key, whose old rows are dropped as time goes on.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions,
    TimestampMicrosecondArray, UInt8Array, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::model::batch::timestamp_type;
use crate::model::key::write_key;
use crate::model::time::EventTime;
use crate::operator::answer::{Reader, Status};
use crate::operator::operator::{Bound, Operator};
use crate::plan::dataflow::WindowSpec;
use crate::state::key_index::key_runs;
use crate::state::row::times;

/// Partition of a request that comes before the rows of its own time.
const BEFORE: i32 = -1;
/// Partition of a request that comes after the rows of its own time.
const AFTER: i32 = i32::MAX;
/// Rows of one key after which what no later request can see is dropped.
const TRIM_ROWS: usize = 1 << 18;

/// One operator over the rows of a pass, and who reads its results.
#[derive(Clone, Debug)]
pub struct Asked {
    pub window: WindowSpec,
    /// For each value column of the window's step batch, that of the pass.
    pub values: Vec<usize>,
    pub readers: Vec<Reader>,
}

/// How rows and requests of one pass lie in its stream.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Types of the key columns.
    pub key_types: Vec<DataType>,
    pub bound: Bound,
    /// The time at which a row was known stands after the value columns, and the stream is
    /// sorted by it instead of event time.
    pub by_knowledge: bool,
}

impl Layout {
    /// The partition that marks a request.
    pub fn marker(&self) -> i32 {
        match self.bound {
            // What a probe may see is also bounded by event time; knowledge is up to and with t.
            Bound::Strict if !self.by_knowledge => BEFORE,
            _ => AFTER,
        }
    }

    /// The columns the stream is sorted by.
    pub fn order(&self, columns: usize) -> Vec<usize> {
        let keys = self.key_types.len();
        let time = if self.by_knowledge { columns - 1 } else { keys };
        (0..keys).chain([time, keys + 1, keys + 2]).collect()
    }
}

/// The schema of answers: `request` (its number), then for each reader its output columns, the
/// status as a number, and the time of the newest row.
pub fn answer_schema(asked: &[Asked]) -> SchemaRef {
    let mut fields = vec![Field::new("request", DataType::Int64, false)];
    for reader in asked.iter().flat_map(|asked| &asked.readers) {
        let own = reader.output.schema.fields().iter();
        let own: Vec<DataType> = own.map(|field| field.data_type().clone()).collect();
        for data_type in own.into_iter().chain([DataType::UInt8, timestamp_type()]) {
            fields.push(Field::new(format!("c{}", fields.len()), data_type, true));
        }
    }
    Arc::new(Schema::new(fields))
}

/// A status as the number in an answer, and back.
pub fn status_code(status: Status) -> u8 {
    match status {
        Status::NotFound => 0,
        Status::Expired => 1,
        Status::Present => 2,
    }
}

pub fn status_of(code: u8) -> Status {
    match code {
        2 => Status::Present,
        1 => Status::Expired,
        _ => Status::NotFound,
    }
}

/// Answers the requests of one partition of a pass.
pub struct Prober {
    layout: Layout,
    asked: Arc<Vec<Asked>>,
    schema: SchemaRef,
    operators: Vec<Box<dyn Operator>>,
    /// Rows are in the operators.
    fed: bool,
    /// The key that may go on in the next batch.
    open: Option<Vec<u8>>,
    /// Rows of that key after its last request so far: needed only if there is another.
    held: Vec<RecordBatch>,
    held_rows: usize,
    /// Rows of that key in the operators since they were last trimmed.
    untrimmed: usize,
}

impl Prober {
    /// # Errors
    /// `NotSupported` for what no operator can keep or compute.
    pub fn new(layout: Layout, asked: Arc<Vec<Asked>>) -> Result<Self> {
        let schema = answer_schema(&asked);
        let operators = build(&asked)?;
        Ok(Self {
            layout,
            asked,
            schema,
            operators,
            fed: false,
            open: None,
            held: Vec::new(),
            held_rows: 0,
            untrimmed: 0,
        })
    }

    /// Takes the next batch of the stream and appends answers.
    pub fn push(&mut self, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<()> {
        let keys = &batch.columns()[..self.layout.key_types.len()];
        let runs = key_runs(keys, batch.num_rows())?;
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(()) };
        let mut key = Vec::new();
        write_key(keys, first.start, &mut key)?;
        let mut rest = 0;
        if self.open.as_ref() == Some(&key) {
            let ends = runs.len() > 1;
            self.stretch(batch, &runs[..1], !ends, out)?;
            rest = 1;
            if !ends {
                return Ok(());
            }
        }
        self.end_key()?;
        key.clear();
        write_key(keys, last.start, &mut key)?;
        self.open = Some(key);
        self.stretch(batch, &runs[rest..], true, out)
    }

    /// Forgets the key that was open: nothing of it is asked any more.
    fn end_key(&mut self) -> Result<()> {
        if self.fed {
            self.operators = build(&self.asked)?;
            self.fed = false;
        }
        self.held.clear();
        (self.held_rows, self.untrimmed) = (0, 0);
        Ok(())
    }

    /// Feeds the rows of some keys and answers their requests. With `open`, the last key may go
    /// on. Rows held from before are of the first key.
    fn stretch(
        &mut self,
        batch: &RecordBatch,
        runs: &[Range<usize>],
        open: bool,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        let keys = self.layout.key_types.len();
        let marker = self.layout.marker();
        let markers = batch.column(keys + 1).as_primitive::<Int32Type>().values();
        let event_times = times(batch.column(keys));
        let (mut rows, mut requests) = (Vec::new(), Vec::new());
        for run in runs {
            let is_request = |row: &usize| markers[*row] == marker;
            let Some(last) = run.clone().rev().find(is_request) else { continue };
            if run.start == runs[0].start {
                self.feed_held()?;
            }
            // The newest time asked for so far that is not answered yet.
            let mut asked = i64::MIN;
            let stretch = event_times.iter().enumerate().take(last + 1).skip(run.start);
            for (row, time) in stretch {
                if is_request(&row) {
                    requests.push(row as u32);
                    asked = asked.max(*time);
                    continue;
                }
                if *time <= asked && self.layout.by_knowledge {
                    // Known too late for them, but not too new: they are answered first.
                    self.feed(batch, &mut rows)?;
                    self.answer(batch, &mut requests, out)?;
                    asked = i64::MIN;
                }
                rows.push(row as u32);
            }
        }
        let own = runs.last().filter(|_| open).cloned().unwrap_or(0..0);
        let fed = rows.iter().rev().take_while(|row| own.contains(&(**row as usize))).count();
        self.feed(batch, &mut rows)?;
        self.answer(batch, &mut requests, out)?;
        if open {
            let is_request = |row: &usize| markers[*row] == marker;
            let from = own.clone().rev().find(is_request).map_or(own.start, |last| last + 1);
            self.untrimmed += fed;
            self.hold(batch.slice(from, own.end - from))?;
            let first_held = self.held.first().map(|held| times(held.column(keys))[0]);
            self.trim(first_held.unwrap_or(event_times[own.end - 1]))?;
        }
        Ok(())
    }

    fn hold(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() > 0 {
            self.held_rows += rows.num_rows();
            self.held.push(rows);
        }
        // More than this would be kept for a request that may never come.
        if self.held_rows >= TRIM_ROWS { self.feed_held() } else { Ok(()) }
    }

    fn feed_held(&mut self) -> Result<()> {
        for batch in std::mem::take(&mut self.held) {
            let mut rows = (0..batch.num_rows() as u32).collect();
            self.feed(&batch, &mut rows)?;
        }
        self.untrimmed += std::mem::take(&mut self.held_rows);
        Ok(())
    }

    /// Once a key is long: what only times before `now` can see is dropped; nothing to come is
    /// older. By knowledge nothing may be dropped: a row of any time can become known later.
    fn trim(&mut self, now: i64) -> Result<()> {
        if self.untrimmed < TRIM_ROWS || self.layout.by_knowledge {
            return Ok(());
        }
        let mut finals = Vec::new();
        for operator in &mut self.operators {
            operator.on_watermark(EventTime(now), &mut finals)?;
            finals.clear();
        }
        self.untrimmed = 0;
        Ok(())
    }

    fn feed(&mut self, batch: &RecordBatch, rows: &mut Vec<u32>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows = UInt32Array::from(std::mem::take(rows));
        let fixed = self.layout.key_types.len() + 3;
        let mut taken: Vec<Option<ArrayRef>> = vec![None; batch.num_columns()];
        let mut column = |i: usize| -> Result<ArrayRef> {
            let array = match taken[i].take() {
                Some(array) => array,
                None => rows_of(batch.column(i), &rows)?,
            };
            taken[i] = Some(array.clone());
            Ok(array)
        };
        for (asked, operator) in self.asked.iter().zip(&mut self.operators) {
            let columns = (0..fixed).chain(asked.values.iter().map(|value| fixed + value));
            let columns = columns.map(&mut column).collect::<Result<Vec<_>>>()?;
            let step = RecordBatch::try_new(asked.window.step_schema(), columns)?;
            operator.on_batch(&step)?;
        }
        self.fed = true;
        Ok(())
    }

    fn answer(
        &self,
        batch: &RecordBatch,
        requests: &mut Vec<u32>,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        if requests.is_empty() {
            return Ok(());
        }
        let rows = UInt32Array::from(std::mem::take(requests));
        let keys = self.layout.key_types.len();
        let columns = batch.columns()[..keys + 3].iter().map(|column| rows_of(column, &rows));
        let mut columns = columns.collect::<Result<Vec<_>>>()?;
        let numbers = columns.pop().ok_or_else(|| Error::internal("a request without a number"))?;
        let at: Vec<EventTime> = times(&columns[keys]).iter().map(|t| EventTime(*t)).collect();
        columns.truncate(keys);
        let mut answers: Vec<ArrayRef> = vec![numbers];
        for (asked, operator) in self.asked.iter().zip(&self.operators) {
            answers.extend(answers_of(operator.as_ref(), asked, &columns, &at, self.layout.bound)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(at.len()));
        out.push(RecordBatch::try_new_with_options(self.schema.clone(), answers, &options)?);
        Ok(())
    }
}

fn rows_of(column: &ArrayRef, rows: &UInt32Array) -> Result<ArrayRef> {
    // A stretch without gaps is shared, not copied.
    let (first, count) = (rows.value(0) as usize, rows.len());
    if rows.value(count - 1) as usize - first + 1 == count {
        return Ok(column.slice(first, count));
    }
    Ok(take(column, rows, None)?)
}

fn build(asked: &[Asked]) -> Result<Vec<Box<dyn Operator>>> {
    asked.iter().map(|asked| crate::operator::build(&asked.window, false)).collect()
}

/// The columns of every reader's answers.
fn answers_of(
    operator: &dyn Operator,
    asked: &Asked,
    keys: &[ArrayRef],
    at: &[EventTime],
    bound: Bound,
) -> Result<Vec<ArrayRef>> {
    let probed = operator.probe(keys, at, bound)?;
    let mut columns = Vec::new();
    for reader in &asked.readers {
        let answered = reader.answer(&probed, at)?;
        columns.extend(answered.rows.columns().iter().cloned());
        let status = answered.status.iter().map(|status| status_code(*status));
        columns.push(Arc::new(UInt8Array::from_iter_values(status)));
        let newest = TimestampMicrosecondArray::from(answered.newest).with_timezone("UTC");
        columns.push(Arc::new(newest));
    }
    Ok(columns)
}

/// The answer to an unknown key: one row, request 0.
pub fn empty_answer(layout: &Layout, asked: &[Asked]) -> Result<RecordBatch> {
    let keys = layout.key_types.iter().map(|key| arrow::array::new_null_array(key, 1));
    let keys: Vec<ArrayRef> = keys.collect();
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![0]))];
    for (asked, operator) in asked.iter().zip(build(asked)?) {
        let at = [EventTime(0)];
        columns.extend(answers_of(operator.as_ref(), asked, &keys, &at, layout.bound)?);
    }
    Ok(RecordBatch::try_new(answer_schema(asked), columns)?)
}
