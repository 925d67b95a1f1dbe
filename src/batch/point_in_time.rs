//! `f(key, t)` for a list of keys and times over history, in one pass: the heart of training sets
//! and ASOF joins.
//!
//! ```text
//! rows (step batches) ── only keys asked for ─┐
//! requests ───────────────────────────────────┴─ Repartition(hash key) ─ Sort(key, time)
//!     ─ Prober (the operators, probed) ─ answers ─ back into the order of the requests
//! ```
//!
//! History is shuffled and sorted by DataFusion, spilling where memory ends; requests and their
//! answers are held in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch,
    TimestampMicrosecondArray, UInt64Array, new_null_array,
};
use arrow::compute::{concat, filter_record_batch, take};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType, UInt8Type};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use hashbrown::HashSet;
use tokio::task::JoinSet;

use crate::batch::backfill::streams;
use crate::batch::feature_exec::{shuffle, sort};
use crate::batch::map_exec::MapExec;
use crate::batch::requests::{Asked, Layout, Prober, empty_answer, status_of};
use crate::error::{Error, Result};
use crate::limits::BATCH_ROWS;
use crate::model::batch::{OFFSET_COLUMN, PARTITION_COLUMN, timestamp_type};
use crate::model::key::{key_hash, write_key};
use crate::model::time::EventTime;
use crate::operator::answer::Status;
use crate::plan::dataflow::TIME_COLUMN;

/// Name of the column that says when a row was known.
pub const KNOWN_COLUMN: &str = "_known";
/// Rows looked at before it is decided whether leaving out keys is worth the trouble.
const FILTER_TRIAL_ROWS: u64 = 1 << 16;

/// What is asked: a key and a time per request.
#[derive(Clone, Debug)]
pub struct Requests {
    /// Of the key's types, all of the same length.
    pub keys: Vec<ArrayRef>,
    /// µs.
    pub times: TimestampMicrosecondArray,
}

/// One shuffle of rows by one key, and everything that is computed from it.
#[derive(Debug)]
pub struct Pass {
    pub layout: Layout,
    /// Step batches of [`pass_schema`].
    pub rows: Arc<dyn ExecutionPlan>,
    pub asked: Vec<Asked>,
    pub requests: Requests,
}

/// What one reader found, in the order of the requests.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its output columns.
    pub columns: Vec<ArrayRef>,
    pub status: Vec<Status>,
    /// Time of the newest row (or `window_end`) at or before each request, in reach or not.
    pub newest: TimestampMicrosecondArray,
}

/// The schema of the rows of a pass: key columns, `_time`, `_partition`, `_offset`, the values,
/// and `_known` when sorted by knowledge.
pub fn pass_schema(layout: &Layout, values: &[arrow::datatypes::DataType]) -> SchemaRef {
    let numbered = |prefix: &'static str, types: &[arrow::datatypes::DataType]| {
        let field = |(i, t): (usize, &arrow::datatypes::DataType)| {
            Field::new(format!("{prefix}{i}"), t.clone(), true)
        };
        types.iter().enumerate().map(field).collect::<Vec<_>>()
    };
    let mut fields = numbered("k", &layout.key_types);
    fields.push(Field::new(TIME_COLUMN, timestamp_type(), false));
    fields.push(Field::new(PARTITION_COLUMN, arrow::datatypes::DataType::Int32, false));
    fields.push(Field::new(OFFSET_COLUMN, arrow::datatypes::DataType::Int64, false));
    fields.extend(numbered("v", values));
    if layout.by_knowledge {
        fields.push(Field::new(KNOWN_COLUMN, timestamp_type(), false));
    }
    Arc::new(Schema::new(fields))
}

impl Requests {
    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers of the requests that can match something: no part of the key and no time is NULL.
    fn valid(&self) -> Vec<usize> {
        let valid = |row: &usize| {
            self.times.is_valid(*row) && self.keys.iter().all(|key| key.is_valid(*row))
        };
        (0..self.len()).filter(valid).collect()
    }

    /// The oldest and newest time asked for.
    pub fn span(&self) -> Option<(EventTime, EventTime)> {
        let oldest = arrow::compute::min(&self.times)?;
        Some((EventTime(oldest), EventTime(arrow::compute::max(&self.times)?)))
    }

    /// As rows of a pass.
    fn steps(&self, layout: &Layout, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let valid = self.valid();
        let mut batches = Vec::new();
        for chunk in valid.chunks(BATCH_ROWS) {
            let rows = UInt64Array::from_iter_values(chunk.iter().map(|row| *row as u64));
            let mut columns = Vec::with_capacity(schema.fields().len());
            for key in &self.keys {
                columns.push(take(key, &rows, None)?);
            }
            let times = take(&self.times, &rows, None)?;
            let times = times.as_primitive::<TimestampMicrosecondType>().clone();
            let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
            columns.push(times.clone());
            columns.push(Arc::new(Int32Array::from(vec![layout.marker(); chunk.len()])));
            let numbers = chunk.iter().map(|row| *row as i64);
            columns.push(Arc::new(Int64Array::from_iter_values(numbers)));
            let values = schema.fields().len() - columns.len() - usize::from(layout.by_knowledge);
            for field in schema.fields().iter().skip(columns.len()).take(values) {
                columns.push(new_null_array(field.data_type(), chunk.len()));
            }
            if layout.by_knowledge {
                columns.push(times);
            }
            batches.push(RecordBatch::try_new(schema.clone(), columns)?);
        }
        Ok(batches)
    }
}

/// Runs some passes side by side (their rows may come from one scan, which waits for all of
/// them); gives what each reader of each pass found. `done` counts requests answered.
pub async fn run(
    context: &SessionContext,
    passes: Vec<Pass>,
    done: &Arc<AtomicU64>,
) -> Result<Vec<Vec<Found>>> {
    let mut running = JoinSet::new();
    let count = passes.len();
    for (number, pass) in passes.into_iter().enumerate() {
        let (context, done) = (context.clone(), done.clone());
        running.spawn(async move { Ok::<_, Error>((number, pass.run(&context, &done).await?)) });
    }
    let mut found: Vec<Option<Vec<Found>>> = vec![None; count];
    while let Some(ended) = running.join_next().await {
        let (number, answers) = ended.map_err(|e| Error::internal(format!("a pass: {e}")))??;
        found[number] = Some(answers);
    }
    let all: Option<Vec<_>> = found.into_iter().collect();
    all.ok_or_else(|| Error::internal("a pass without an end"))
}

impl Pass {
    /// The plan whose partitions are ready for a [`Prober`].
    fn sorted(&self, partitions: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.rows.schema();
        let requests = self.requests.steps(&self.layout, &schema)?;
        let wanted = Arc::new(Wanted::new(&requests, &self.layout)?);
        let map = move |rows: &RecordBatch| wanted.keep(rows);
        let rows = self.rows.clone();
        let rows = Arc::new(MapExec::new("AskedExec", rows, schema.clone(), Arc::new(map)));
        let requests = MemorySourceConfig::try_new_exec(&[requests], schema.clone(), None)?;
        let both = UnionExec::try_new(vec![rows, requests])?;
        let keys = self.layout.key_types.len();
        let partitions = if keys == 0 { 1 } else { partitions };
        // Without a key one partition gets everything, in whatever order: it is sorted next.
        let shuffled = match partitions {
            1 => Arc::new(CoalescePartitionsExec::new(both)),
            _ => shuffle(both, keys, partitions)?,
        };
        sort(shuffled, &self.layout.order(schema.fields().len()))
    }

    async fn run(self, context: &SessionContext, done: &Arc<AtomicU64>) -> Result<Vec<Found>> {
        let partitions = context.state().config().target_partitions();
        let sorted = self.sorted(partitions)?;
        let asked = Arc::new(self.asked);
        let mut running = JoinSet::new();
        for mut stream in streams(context, sorted.as_ref())? {
            let mut prober = Prober::new(self.layout.clone(), asked.clone())?;
            let done = done.clone();
            running.spawn(async move {
                let mut answers = Vec::new();
                while let Some(batch) = stream.next().await {
                    let before = answers.len();
                    prober.push(&batch?, &mut answers)?;
                    let new: usize = answers[before..].iter().map(RecordBatch::num_rows).sum();
                    done.fetch_add(new as u64, Relaxed);
                }
                Ok::<_, Error>(answers)
            });
        }
        let mut answers = vec![empty_answer(&self.layout, &asked)?];
        while let Some(ended) = running.join_next().await {
            answers.append(&mut ended.map_err(|e| Error::internal(format!("a pass: {e}")))??);
        }
        in_order(self.requests.len(), &asked, answers)
    }
}

/// Answers of all partitions → columns in the order of the requests. The first answer is that to
/// requests that match nothing.
fn in_order(requests: usize, asked: &[Asked], answers: Vec<RecordBatch>) -> Result<Vec<Found>> {
    let mut places = vec![0u64; requests];
    let mut at = 0u64;
    for (i, batch) in answers.iter().enumerate() {
        for number in batch.column(0).as_primitive::<Int64Type>().values() {
            if i > 0 {
                let place = &mut places[*number as usize];
                assert_eq!(*place, 0, "a request answered twice");
                *place = at;
            }
            at += 1;
        }
    }
    let places = UInt64Array::from(places);
    let column = |i: usize| -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = answers.iter().map(|a| a.column(i).as_ref()).collect();
        Ok(take(&concat(&parts)?, &places, None)?)
    };
    let (mut found, mut next) = (Vec::new(), 1);
    for reader in asked.iter().flat_map(|asked| &asked.readers) {
        let own = reader.output.expressions.len();
        let columns = (next..next + own).map(column).collect::<Result<Vec<_>>>()?;
        let status = column(next + own)?;
        let status = status.as_primitive::<UInt8Type>().values().iter();
        let newest = column(next + own + 1)?;
        found.push(Found {
            columns,
            status: status.map(|code| status_of(*code)).collect(),
            newest: newest.as_primitive::<TimestampMicrosecondType>().clone(),
        });
        next += own + 2;
    }
    Ok(found)
}

/// Leaves out rows that no request can see: other keys, and times after all of them. Which rows
/// go makes no difference to any answer, so it stops when it does not help.
#[derive(Debug)]
struct Wanted {
    keys: usize,
    hashes: HashSet<u64>,
    newest: i64,
    seen: AtomicU64,
    kept: AtomicU64,
}

impl Wanted {
    fn new(requests: &[RecordBatch], layout: &Layout) -> Result<Self> {
        let keys = layout.key_types.len();
        let (mut hashes, mut newest, mut bytes) = (HashSet::new(), i64::MIN, Vec::new());
        for batch in requests {
            let times = batch.column(keys).as_primitive::<TimestampMicrosecondType>();
            newest = newest.max(arrow::compute::max(times).unwrap_or(i64::MIN));
            for row in 0..batch.num_rows() {
                bytes.clear();
                write_key(&batch.columns()[..keys], row, &mut bytes)?;
                hashes.insert(key_hash(&bytes));
            }
        }
        let (seen, kept) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { keys, hashes, newest, seen, kept })
    }

    fn keep(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let (seen, kept) = (self.seen.load(Relaxed), self.kept.load(Relaxed));
        if seen >= FILTER_TRIAL_ROWS && kept > seen / 10 * 7 {
            return Ok(rows.clone());
        }
        let times = rows.column(self.keys).as_primitive::<TimestampMicrosecondType>().values();
        let mut bytes = Vec::new();
        let mut mask = Vec::with_capacity(rows.num_rows());
        for (row, time) in times.iter().enumerate() {
            bytes.clear();
            write_key(&rows.columns()[..self.keys], row, &mut bytes)?;
            mask.push(*time <= self.newest && self.hashes.contains(&key_hash(&bytes)));
        }
        let mask = BooleanArray::from(mask);
        self.seen.fetch_add(rows.num_rows() as u64, Relaxed);
        self.kept.fetch_add(mask.true_count() as u64, Relaxed);
        Ok(filter_record_batch(rows, &mask)?)
    }
}

#[cfg(test)]
mod tests;
