//! Writes rows by day, exactly once, in the steps of a checkpoint: *prepare* makes whole, durable
//! files under names no reader looks at; after the manifest is written, *publish* moves them to
//! their names and may be repeated for ever; *abort* drops what was prepared and not committed.
//! Final rows, the archive and dead letters are all written by [`DatedWriter`].

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::failpoint;
use crate::model::epoch::Epoch;
use crate::offline::layout::{self, DayOf, STAGING};
use crate::offline::parquet_file::{Metadata, encode_blocking};
use crate::offline::store::{Location, Stores};
use crate::plan::dataflow::FeaturePlan;

/// A file that is whole and durable but not visible yet. Written into the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedFile {
    /// URL of the directory that both paths are relative to.
    pub base: String,
    pub staged: String,
    pub target: String,
    pub bytes: u64,
    pub rows: u64,
}

/// What one writer writes.
#[derive(Clone, Debug)]
pub struct DatedSpec {
    pub location: Location,
    pub schema: SchemaRef,
    pub day: DayOf,
    /// Distinguishes the writers of one location (lane or shard) in file names.
    pub writer: String,
    /// Key-value pairs in every footer.
    pub metadata: Metadata,
}

impl DatedSpec {
    /// The final rows of a feature below its offline store; `writer` names the lane.
    pub fn of(plan: &FeaturePlan, store: &Location, writer: &str) -> Result<Self> {
        let schema = plan.schema().clone();
        let names = [("skewless.feature", plan.feature.clone())];
        let names = names.into_iter().chain([("skewless.version", plan.version.to_string())]);
        Ok(Self {
            location: store.child(&layout::feature_folder(&plan.feature, plan.version))?,
            day: DayOf::time_columns(&schema, &plan.time_column)?,
            schema,
            writer: writer.to_owned(),
            metadata: names.map(|(key, value)| (key.to_owned(), value)).collect(),
        })
    }
}

#[derive(Debug, Default)]
struct Day {
    batches: Vec<RecordBatch>,
    rows: u64,
}

/// Buffers rows by day until told to stage them.
#[derive(Debug)]
pub struct DatedWriter {
    spec: DatedSpec,
    days: BTreeMap<Option<i64>, Day>,
    /// Rows carried that no checkpoint holds yet.
    unsaved: Vec<RecordBatch>,
    /// A checkpoint holds the other rows carried.
    saved: bool,
    bytes: usize,
    rows: u64,
    staged: Vec<PreparedFile>,
    /// Epoch of the staged files and the next sequence number in it.
    naming: (Epoch, u32),
}

impl DatedWriter {
    pub fn new(spec: DatedSpec) -> Self {
        Self {
            spec,
            days: BTreeMap::new(),
            unsaved: Vec::new(),
            saved: false,
            bytes: 0,
            rows: 0,
            staged: Vec::new(),
            naming: (Epoch(0), 0),
        }
    }

    /// Takes rows in; they are carried until [`Self::stage`].
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        // Checks the types; names and nullability of the file are the writer's.
        let rows = &RecordBatch::try_new(self.spec.schema.clone(), rows.columns().to_vec())?;
        let days = self.spec.day.days(rows);
        if days.iter().all(|day| *day == days[0]) {
            self.keep(days[0], rows.clone());
            return Ok(());
        }
        let mut by_day: BTreeMap<Option<i64>, Vec<u32>> = BTreeMap::new();
        for (row, day) in (0u32..).zip(&days) {
            by_day.entry(*day).or_default().push(row);
        }
        for (day, indices) in by_day {
            self.keep(day, take_record_batch(rows, &UInt32Array::from(indices))?);
        }
        Ok(())
    }

    fn keep(&mut self, day: Option<i64>, rows: RecordBatch) {
        let sizes = rows.columns().iter();
        // A slice of a larger array counts with its own rows only.
        self.bytes +=
            sizes.map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum::<usize>();
        self.rows += rows.num_rows() as u64;
        let kept = self.days.entry(day).or_default();
        kept.rows += rows.num_rows() as u64;
        self.unsaved.push(rows.clone());
        kept.batches.push(rows);
    }

    /// The columns it writes.
    pub fn schema(&self) -> &SchemaRef {
        &self.spec.schema
    }

    /// Bytes carried.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows carried.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The rows carried.
    pub fn carried(&self) -> impl Iterator<Item = &RecordBatch> {
        self.days.values().flat_map(|day| &day.batches)
    }

    /// The rows carried, for the checkpoint that does not write them as files; [`Self::write`]
    /// takes them back after a restart. True: only those that come on top of what the last
    /// checkpoint holds; never if `whole` are wanted.
    pub fn save(&mut self, whole: bool) -> (bool, Vec<RecordBatch>) {
        let unsaved = std::mem::take(&mut self.unsaved);
        let adds = self.saved && !whole;
        self.saved = self.rows > 0;
        match adds {
            true => (true, unsaved),
            false => (false, self.carried().cloned().collect()),
        }
    }

    /// Writes the rows carried as prepared files of `epoch`, the next checkpoint to commit.
    /// After an error the rows not yet written are still carried.
    pub async fn stage(&mut self, epoch: Epoch) -> Result<()> {
        assert!(epoch >= self.naming.0, "epochs only grow");
        if epoch > self.naming.0 {
            assert!(self.staged.is_empty(), "staged files belong to the epoch they are named for");
            self.naming = (epoch, 0);
        }
        // What a checkpoint holds of them is of no use any more.
        self.saved = false;
        self.unsaved.clear();
        while let Some((day, kept)) = self.days.first_key_value() {
            let (day, rows) = (*day, kept.rows);
            let (schema, metadata) = (self.spec.schema.clone(), self.spec.metadata.clone());
            let bytes = encode_blocking(schema, kept.batches.clone(), metadata).await?;
            let target = layout::published(day, epoch, &self.spec.writer, self.naming.1);
            let file = PreparedFile {
                base: self.spec.location.url().to_owned(),
                staged: layout::staged(&target),
                target,
                bytes: bytes.len() as u64,
                rows,
            };
            let files = self.spec.location.files();
            let named = |e: Error| e.context(format!("writing below {}", file.base));
            files.put(&file.staged, bytes).await.map_err(named)?;
            failpoint::pass("sink.half_prepared")?;
            self.naming.1 += 1;
            self.staged.push(file);
            self.days.remove(&day);
            self.rows -= rows;
        }
        self.bytes = 0;
        Ok(())
    }

    /// Stages what is carried and hands over every file staged for `epoch`.
    pub async fn prepare(&mut self, epoch: Epoch) -> Result<Vec<PreparedFile>> {
        self.stage(epoch).await?;
        Ok(self.take_staged())
    }

    /// Hands over the files staged so far (early, because of their size), leaving rows carried.
    pub fn take_staged(&mut self) -> Vec<PreparedFile> {
        std::mem::take(&mut self.staged)
    }
}

/// Gives prepared files their names. Repeatable: a file already published is left alone.
pub async fn publish(stores: &Stores, files: &[PreparedFile]) -> Result<()> {
    for file in files {
        let location = stores.resolve(&file.base)?;
        let store = location.files();
        let named = |e: Error| e.context(format!("publishing {}/{}", file.base, file.target));
        if store.length(&file.staged).await.map_err(named)?.is_some() {
            match store.rename(&file.staged, &file.target).await {
                Ok(()) => {
                    failpoint::pass("sink.half_published")?;
                    continue;
                }
                // An engine that takes over publishes the same files: it may just have done so.
                Err(_) if matches!(store.length(&file.staged).await, Ok(None)) => {}
                Err(error) => return Err(named(error)),
            }
        }
        match store.length(&file.target).await.map_err(named)? {
            Some(bytes) if bytes == file.bytes => {}
            found => return Err(lost(file, found)),
        }
    }
    Ok(())
}

fn lost(file: &PreparedFile, found: Option<u64>) -> Error {
    let what = match found {
        Some(bytes) => format!("has {bytes} bytes instead of {}", file.bytes),
        None => "is gone, prepared and published".to_owned(),
    };
    Error::data(format!("the committed file {}/{} {what}", file.base, file.target))
        .with_hint("something else changed the offline store: restore the file, or run a backfill")
}

/// Whether one of the files is already visible under its name.
pub async fn any_published(stores: &Stores, files: &[PreparedFile]) -> Result<bool> {
    for file in files {
        if stores.resolve(&file.base)?.files().length(&file.target).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Drops what engines before `generation` prepared below a location for epochs later than
/// `committed`. Called at the start, after the committed epoch was published, and before any
/// writer of the location.
pub async fn abort_after(location: &Location, committed: Epoch, generation: u64) -> Result<u64> {
    let files = location.files();
    let mut dropped = 0;
    if failpoint::broken("keep what was not committed") {
        return publish_all(location).await;
    }
    for entry in files.list(STAGING).await? {
        // One that slept here for long finds files of its successor.
        let successors = layout::generation_of(&entry.path).is_some_and(|of| of > generation)
            && !failpoint::broken("drop what a successor has prepared");
        if !successors && layout::epoch_of(&entry.path).is_none_or(|epoch| epoch > committed) {
            files.delete(&entry.path).await?;
            dropped += 1;
        }
    }
    Ok(dropped)
}

/// What recovery must never do.
async fn publish_all(location: &Location) -> Result<u64> {
    let files = location.files();
    for entry in files.list(STAGING).await? {
        let target = entry.path.trim_start_matches(STAGING).trim_matches('/');
        let target = target.trim_end_matches(layout::PENDING);
        files.rename(&entry.path, target).await?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
