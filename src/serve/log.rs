//! The log of values served (`'log' = 'sample 1%'`): key, time, values and definition version, as
//! Parquet, so that what a model was given can be compared with what history says.
//!
//! ```text
//! <home>/log/<feature>/date=2026-03-01/part-<wall time, µs>-<n>.parquet
//! ```
//! Which rows are kept is a function of key and time alone: the same question is kept everywhere
//! or nowhere, and two features of one key are kept together. Writing happens in a task of its
//! own; an answer never waits for it. What does not fit its queue is dropped and counted. Rows of
//! the last minute are lost in a crash: it is a sample.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{
    ArrayRef, AsArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock;
use crate::error::Result;
use crate::model::batch::{AS_OF_COLUMN, timestamp_type};
use crate::model::key::{key_hash, write_key};
use crate::model::time::{DAY_US, EventTime};
use crate::offline::layout::segment;
use crate::offline::parquet_file::encode_blocking;
use crate::offline::store::Location;
use crate::serve::engine::Answers;
use crate::serve::exposition::Exposition;

/// Answers waiting for the writer.
const QUEUE: usize = 4_096;
/// Rows of a feature that make a file.
const ROWS_PER_FILE: usize = 50_000;
/// Rows of a feature kept while they cannot be written.
const ROWS_MAX: usize = 500_000;
/// Between two files at most.
const INTERVAL: Duration = Duration::from_secs(60);
const VERSION_COLUMN: &str = "_version";
const STATUS_COLUMN: &str = "_status";
/// Shares are counted in these.
const WHOLE: u32 = 1_000_000;

/// A feature whose values are logged.
#[derive(Clone, Debug)]
pub struct Logged {
    pub feature: String,
    pub version: u32,
    /// Parts per million.
    pub share: u32,
}

#[derive(Debug, Default)]
struct Counters {
    written: AtomicU64,
    dropped: AtomicU64,
}

/// Takes answers in; see the module.
#[derive(Debug)]
pub struct FeatureLog {
    features: BTreeMap<String, Logged>,
    queue: Mutex<Option<mpsc::Sender<(String, RecordBatch)>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    counters: Arc<Counters>,
}

impl FeatureLog {
    /// Starts the writer on the current Tokio runtime, if there is anything to log. `root` is a
    /// directory or URL.
    pub fn start(root: &str, features: Vec<Logged>) -> Result<Option<Self>> {
        if features.is_empty() {
            return Ok(None);
        }
        let root = Location::resolve(root)?;
        let mut places = BTreeMap::new();
        for logged in &features {
            let place = root.child(&segment(&logged.feature))?;
            places.insert(logged.feature.clone(), Place::new(place));
        }
        let counters = Arc::new(Counters::default());
        let (queue, rows) = mpsc::channel(QUEUE);
        let writer = Writer { rows, places, counters: counters.clone(), files: 0 };
        Ok(Some(Self {
            features: features.into_iter().map(|l| (l.feature.clone(), l)).collect(),
            queue: Mutex::new(Some(queue)),
            writer: Mutex::new(Some(tokio::spawn(writer.run()))),
            counters,
        }))
    }

    /// Keeps the sampled rows of an answer; never waits.
    pub fn record(&self, answers: &Answers) -> Result<()> {
        let Some(logged) = self.features.get(&answers.feature) else { return Ok(()) };
        let mut kept = Vec::new();
        let mut bytes = Vec::new();
        for (row, as_of) in (0u32..).zip(&answers.as_of) {
            let Some(as_of) = as_of else { continue };
            bytes.clear();
            write_key(answers.keys.columns(), row as usize, &mut bytes)?;
            if sampled(&mut bytes, *as_of, logged.share) {
                kept.push(row);
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let rows = rows(answers, logged.version, kept)?;
        let count = rows.num_rows() as u64;
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = queue.as_ref().map(|queue| queue.try_send((answers.feature.clone(), rows)));
        if !matches!(sent, Some(Ok(()))) {
            self.counters.dropped.fetch_add(count, Relaxed);
        }
        Ok(())
    }

    /// Writes what is left; answers after this are not logged.
    pub async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A panic there is no reason to stop badly.
            let _ = writer.await;
        }
    }

    pub fn write_metrics(&self, out: &mut Exposition) {
        let (written, dropped) = (&self.counters.written, &self.counters.dropped);
        let help = "Served rows written to the log.";
        out.single("skewless_log_rows_total", "counter", help, written.load(Relaxed));
        let help = "Served rows that the log could not take.";
        out.single("skewless_log_dropped_total", "counter", help, dropped.load(Relaxed));
    }
}

/// Whether a row is kept: by a hash of key and time, nothing else.
fn sampled(key: &mut Vec<u8>, as_of: EventTime, share: u32) -> bool {
    key.extend_from_slice(&as_of.0.to_le_bytes());
    let drawn = (u128::from(key_hash(key)) * u128::from(WHOLE)) >> 64;
    drawn < u128::from(share)
}

/// Key columns, `_as_of`, `_status`, `_version`, value columns.
fn rows(answers: &Answers, version: u32, kept: Vec<u32>) -> Result<RecordBatch> {
    let times: TimestampMicrosecondArray = answers.as_of.iter().map(|t| t.map(|t| t.0)).collect();
    let status: StringArray = answers.status.iter().map(|s| Some(s.name())).collect();
    let version = i32::try_from(version).unwrap_or(i32::MAX);
    let versions = Int32Array::from(vec![version; answers.as_of.len()]);
    let mut fields: Vec<Arc<Field>> = answers.keys.schema_ref().fields().iter().cloned().collect();
    let mut columns: Vec<ArrayRef> = answers.keys.columns().to_vec();
    fields.push(Arc::new(Field::new(AS_OF_COLUMN, timestamp_type(), true)));
    columns.push(Arc::new(times.with_timezone("UTC")));
    fields.push(Arc::new(Field::new(STATUS_COLUMN, DataType::Utf8, false)));
    columns.push(Arc::new(status));
    fields.push(Arc::new(Field::new(VERSION_COLUMN, DataType::Int32, false)));
    columns.push(Arc::new(versions));
    // Columns of a probe may be declared more strictly than those of another answer.
    let values = answers.values.schema_ref().fields().iter();
    fields.extend(values.map(|field| Arc::new(field.as_ref().clone().with_nullable(true))));
    columns.extend(answers.values.columns().iter().cloned());
    let all = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    Ok(take_record_batch(&all, &UInt32Array::from(kept))?)
}

/// Where the rows of a feature go, and those not written yet.
struct Place {
    location: Location,
    days: BTreeMap<i64, Vec<RecordBatch>>,
    rows: usize,
}

impl Place {
    fn new(location: Location) -> Self {
        Self { location, days: BTreeMap::new(), rows: 0 }
    }

    fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        let times = rows.column_by_name(AS_OF_COLUMN);
        let Some(times) = times.and_then(|t| t.as_primitive_opt::<TimestampMicrosecondType>())
        else {
            return Ok(());
        };
        let mut by_day: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for row in 0..times.len() {
            let day = times.value(row).div_euclid(DAY_US);
            by_day.entry(day).or_default().push(row as u32);
        }
        for (day, rows_of) in by_day {
            let part = take_record_batch(rows, &UInt32Array::from(rows_of))?;
            self.rows += part.num_rows();
            self.days.entry(day).or_default().push(part);
        }
        Ok(())
    }
}

struct Writer {
    rows: mpsc::Receiver<(String, RecordBatch)>,
    places: BTreeMap<String, Place>,
    counters: Arc<Counters>,
    files: u64,
}

impl Writer {
    async fn run(mut self) {
        let mut timer = tokio::time::interval(INTERVAL);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        timer.tick().await;
        loop {
            tokio::select! {
                next = self.rows.recv() => match next {
                    Some((feature, rows)) => self.take(&feature, &rows).await,
                    None => return self.write(0).await,
                },
                _ = timer.tick() => self.write(0).await,
            }
        }
    }

    async fn take(&mut self, feature: &str, rows: &RecordBatch) {
        let count = rows.num_rows() as u64;
        let Some(place) = self.places.get_mut(feature) else { return };
        let fits = place.rows + rows.num_rows() <= ROWS_MAX;
        if !fits || place.take(rows).is_err() {
            self.counters.dropped.fetch_add(count, Relaxed);
        }
        if place.rows >= ROWS_PER_FILE && place.rows % ROWS_PER_FILE < rows.num_rows() {
            self.write(ROWS_PER_FILE).await;
        }
    }

    /// Writes every feature with at least so many rows; what fails is tried again later.
    async fn write(&mut self, at_least: usize) {
        for (feature, place) in &mut self.places {
            if place.rows == 0 || place.rows < at_least {
                continue;
            }
            while let Some((day, batches)) = place.days.first_key_value() {
                let day = *day;
                self.files += 1;
                match write_file(&place.location, day, batches, self.files).await {
                    Ok(rows) => {
                        self.counters.written.fetch_add(rows as u64, Relaxed);
                        place.rows -= rows;
                        place.days.remove(&day);
                    }
                    Err(error) => {
                        tracing::warn!(%feature, %error, "served values are not logged");
                        break;
                    }
                }
            }
        }
    }
}

/// One whole file; the number of its rows.
async fn write_file(
    location: &Location,
    day: i64,
    batches: &[RecordBatch],
    number: u64,
) -> Result<usize> {
    let Some(first) = batches.first() else { return Ok(0) };
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let bytes = encode_blocking(first.schema(), batches.to_vec(), Vec::new()).await?;
    let date = EventTime(day.saturating_mul(DAY_US)).date();
    let written_at = clock::wall_now().0;
    let path = format!("date={date}/part-{written_at}-{number}.parquet");
    location.files().create(&path, bytes).await?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Float64Array, Int64Array};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;
    use crate::serve::engine::Status;

    fn answers(ids: Vec<i64>, as_of: i64) -> Answers {
        let rows = ids.len();
        let values: Float64Array = ids.iter().map(|id| (*id > 0).then_some(*id as f64)).collect();
        let id: ArrayRef = Arc::new(Int64Array::from(ids));
        let values: ArrayRef = Arc::new(values);
        Answers {
            feature: "spend/é".to_owned(),
            keys: RecordBatch::try_from_iter([("id", id)]).unwrap(),
            values: RecordBatch::try_from_iter([("v", values)]).unwrap(),
            as_of: vec![Some(EventTime(as_of)); rows],
            event_time: vec![None; rows],
            status: vec![Status::Present; rows],
        }
    }

    fn logged(share: u32) -> Vec<Logged> {
        vec![Logged { feature: "spend/é".to_owned(), version: 3, share }]
    }

    /// (id, as_of, version, value) of every file below a directory.
    fn read(root: &std::path::Path) -> Vec<(i64, i64, i32, Option<f64>)> {
        let mut out = Vec::new();
        let pattern = format!("{}/spend%2Fé/date=*/part-*.parquet", root.display());
        for path in glob::glob(&pattern).unwrap() {
            let file = std::fs::File::open(path.unwrap()).unwrap();
            for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
                let batch = batch.unwrap();
                let column = |name: &str| batch.column_by_name(name).unwrap();
                for row in 0..batch.num_rows() {
                    let values = column("v").as_primitive::<arrow::datatypes::Float64Type>();
                    out.push((
                        column("id").as_primitive::<arrow::datatypes::Int64Type>().value(row),
                        column("_as_of").as_primitive::<TimestampMicrosecondType>().value(row),
                        column("_version").as_primitive::<arrow::datatypes::Int32Type>().value(row),
                        values.is_valid(row).then(|| values.value(row)),
                    ));
                }
            }
        }
        out.sort_by_key(|row| (row.1, row.0));
        out
    }

    #[tokio::test]
    async fn every_answer_is_kept_by_day_when_all_are_wanted() {
        let root = tempfile::tempdir().unwrap();
        let log = FeatureLog::start(root.path().to_str().unwrap(), logged(WHOLE)).unwrap().unwrap();
        log.record(&answers(vec![0, 1], 5)).unwrap();
        log.record(&answers(vec![2], DAY_US)).unwrap();
        let other = Answers { feature: "other".to_owned(), ..answers(vec![9], 5) };
        log.record(&other).unwrap();
        log.close().await;
        let expected = [(0, 5, 3, None), (1, 5, 3, Some(1.0)), (2, DAY_US, 3, Some(2.0))];
        assert_eq!(read(root.path()), expected);
        let days = glob::glob(&format!("{}/*/date=*", root.path().display())).unwrap();
        let days: Vec<_> = days.map(|d| d.unwrap().file_name().unwrap().to_owned()).collect();
        assert_eq!(days, ["date=1970-01-01", "date=1970-01-02"]);
        let mut out = Exposition::default();
        log.record(&answers(vec![1], 5)).unwrap();
        log.write_metrics(&mut out);
        let text = out.finish();
        assert!(text.contains("\nskewless_log_rows_total 3\n"), "{text}");
        assert!(text.contains("\nskewless_log_dropped_total 1\n"), "{text}");
    }

    #[tokio::test]
    async fn the_sample_depends_on_key_and_time_only_and_has_its_share() {
        let ids: Vec<i64> = (0..20_000).collect();
        let mut kept = Vec::new();
        for chunk in [20_000, 7] {
            let root = tempfile::tempdir().unwrap();
            let log = FeatureLog::start(root.path().to_str().unwrap(), logged(100_000));
            let log = log.unwrap().unwrap();
            for ids in ids.chunks(chunk) {
                log.record(&answers(ids.to_vec(), 77)).unwrap();
                tokio::task::yield_now().await;
            }
            log.close().await;
            kept.push(read(root.path()));
        }
        assert_eq!(kept[0], kept[1]);
        // 2,000 expected, standard deviation 42: a hash that is no hash is far away.
        assert!((1_750..2_250).contains(&kept[0].len()), "{}", kept[0].len());
        assert!(FeatureLog::start("x", Vec::new()).unwrap().is_none());
    }
}
