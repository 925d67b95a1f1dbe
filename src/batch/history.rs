//! The history of a source as a plan of admitted batches: which kind it is, how it is judged
//! (semantics §1), and how it is read. Called by `backfill` and by plain SELECTs.
//!
//! | kind | how rows are judged | read |
//! |---|---|---|
//! | archive of the engine | never again: they were admitted | in parallel, pruned by time |
//! | files of a file source | in their own order, as a stream does | in order |
//! | foreign, with `_partition`, `_offset` | in log order, as a stream does | sorted by them |
//! | foreign, without | not at all: complete history | in order |

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::prelude::{SessionContext, col, lit};
use tokio::sync::mpsc::Sender;

use crate::batch::map_exec::MapExec;
use crate::catalog::source::{Connector, Format, SourceDef};
use crate::error::{Error, Result};
use crate::limits::BATCH_ROWS;
use crate::model::batch::{OFFSET_COLUMN, PARTITION_COLUMN, TIMESTAMP_COLUMN};
use crate::model::time::EventTime;
use crate::offline::archive;
use crate::offline::reader;
use crate::offline::store::Location;
use crate::source::admit::{Admission, Compute, Counts, Floors, Judgement};
use crate::source::file::FileSource;
use crate::source::intake::Intake;
use crate::source::records::{Records, RowOffsets, Rows};
use crate::source::source::{Chunk, Source};

/// How the rows of a history were or are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryKind {
    Archive,
    Files,
    Log { timestamps: bool },
    Complete,
}

impl fmt::Display for HistoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Archive => "the engine's own archive: rows already admitted",
            Self::Files => "files judged in their own order",
            Self::Log { timestamps: true } => {
                "foreign history with positions and timestamps: judged like the stream"
            }
            Self::Log { timestamps: false } => {
                "foreign history with positions: judged like the stream, without the future guard"
            }
            Self::Complete => {
                "complete history: every row is admitted (equality with the stream is not promised)"
            }
        })
    }
}

/// The history of one source.
#[derive(Clone)]
pub struct History {
    pub def: Arc<SourceDef>,
    pub kind: HistoryKind,
    url: String,
    compute: Option<Compute>,
    counts: Arc<Mutex<Counts>>,
    floors: Arc<Floors>,
}

impl History {
    /// Finds the history of a source and says which kind it is.
    pub async fn find(def: &Arc<SourceDef>, compute: Option<Compute>) -> Result<Self> {
        let options = &def.options;
        let (url, kind) = match (&options.history, options.connector) {
            (Some(url), _) => (url.clone(), kind_of(def, url).await?),
            (None, Connector::File) => match &options.path {
                Some(path) => (path.clone(), HistoryKind::Files),
                None => return Err(Error::internal("a file source without a path")),
            },
            (None, _) => {
                return Err(Error::usage(format!("source '{}' has no history", def.name))
                    .with_hint(
                        "declare it with 'history' = '<URL of Parquet>' (and 'archive' = 'true' to \
                     have the engine write it)",
                    ));
            }
        };
        let counts = Arc::new(Mutex::new(Counts::default()));
        Ok(Self { def: def.clone(), kind, url, compute, counts, floors: Arc::default() })
    }

    /// The floors that an engine has set while it read the same log: they are part of it.
    #[must_use]
    pub fn with_floors(mut self, floors: Floors) -> Self {
        self.floors = Arc::new(floors);
        self
    }

    /// Verdicts so far; complete once the plan has been read to its end.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A plan of admitted batches (`SourceDef::admitted_schema`), rows with an event time before
    /// `from` or at and after `to` left out where that is free.
    pub async fn admitted(
        &self,
        context: &SessionContext,
        from: Option<EventTime>,
        to: Option<EventTime>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match self.kind {
            HistoryKind::Archive => self.archived(context, from, to, Vec::new()).await,
            HistoryKind::Files => self.sequential(Judgement::Stream, self.def.clone()),
            HistoryKind::Complete => {
                let mut def = SourceDef::clone(&self.def);
                def.options.path = Some(self.url.clone());
                def.options.format = Format::Parquet;
                self.sequential(Judgement::Complete, Arc::new(def))
            }
            HistoryKind::Log { .. } => self.log(context).await,
        }
    }

    /// All of it, and rows of the archive that no file holds yet.
    pub async fn admitted_with(
        &self,
        context: &SessionContext,
        pending: Vec<RecordBatch>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match self.kind {
            HistoryKind::Archive => self.archived(context, None, None, pending).await,
            _ => self.admitted(context, None, None).await,
        }
    }

    async fn archived(
        &self,
        context: &SessionContext,
        from: Option<EventTime>,
        to: Option<EventTime>,
        pending: Vec<RecordBatch>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let location = Location::resolve(&self.url)?;
        let schema = archive::schema(&self.def);
        let table = reader::table(context, &location, schema).await?;
        let mut frame = context.read_table(table)?;
        if !pending.is_empty() {
            frame = frame.union(context.read_batches(pending)?)?;
        }
        let time = || col(datafusion::common::Column::from_name(&self.def.watermark.column));
        let at = |t: EventTime| {
            let utc = Some("UTC".into());
            lit(datafusion::common::ScalarValue::TimestampMicrosecond(Some(t.0), utc))
        };
        if let Some(from) = from {
            frame = frame.filter(time().gt_eq(at(from)))?;
        }
        if let Some(to) = to {
            frame = frame.filter(time().lt(at(to)))?;
        }
        let scan = frame.create_physical_plan().await?;
        let admission = Admission::new(self.def.clone(), Judgement::Stream, self.compute.clone())?;
        let (stored, counts) = (self.def.stored_schema(), self.counts.clone());
        let map = move |rows: &RecordBatch| {
            let read = rows.num_rows() as u64;
            let counted = Counts { read, admitted: read, ..Counts::default() };
            counts.lock().unwrap_or_else(PoisonError::into_inner).add(&counted);
            let (own, system) = rows.columns().split_at(stored.fields().len());
            let options =
                arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            let own = RecordBatch::try_new_with_options(stored.clone(), own.to_vec(), &options)?;
            let [partition, offset, timestamp] = system else {
                return Err(Error::internal("an archive without its system columns"));
            };
            admission.derive(own, [partition.clone(), offset.clone(), timestamp.clone()])
        };
        let schema = self.def.admitted_schema();
        Ok(Arc::new(MapExec::new("ArchiveExec", scan, schema, Arc::new(map))))
    }

    /// Files in order, judged by `judgement`.
    fn sequential(
        &self,
        judgement: Judgement,
        def: Arc<SourceDef>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (compute, counts) = (self.compute.clone(), self.counts.clone());
        // Opened here so that a missing file is an error before anything runs.
        FileSource::new(&def)?;
        self.leaf(Arc::new(move |sender: &Sender<_>| {
            let mut source = FileSource::new(&def)?;
            let starts = source.starts()?;
            source.seek(&starts)?;
            let mut intake = Intake::new(def.clone(), judgement, compute.clone())?;
            loop {
                let polled = source.poll(BATCH_ROWS, Duration::ZERO)?;
                for chunk in &polled.chunks {
                    if !judge(&mut intake, chunk, &counts, sender)? {
                        return Ok(());
                    }
                }
                if polled.end_of_input && polled.chunks.is_empty() {
                    return Ok(());
                }
            }
        }))
    }

    /// Foreign history with positions: sorted by them, then judged.
    async fn log(&self, context: &SessionContext) -> Result<Arc<dyn ExecutionPlan>> {
        let frame = foreign(context, &self.url).await?;
        let order = [PARTITION_COLUMN, OFFSET_COLUMN]
            .map(|name| col(datafusion::common::Column::from_name(name)).sort(true, false));
        let batches = frame.sort(order.to_vec())?.execute_stream().await?;
        let handle = tokio::runtime::Handle::current();
        let batches = Arc::new(Mutex::new(Some(batches)));
        let (def, compute, counts) = (self.def.clone(), self.compute.clone(), self.counts.clone());
        let (file, floors): (Arc<str>, _) = (self.url.as_str().into(), self.floors.clone());
        self.leaf(Arc::new(move |sender: &Sender<_>| {
            let taken = batches.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(mut batches) = taken else {
                return Err(Error::internal("a history is read once"));
            };
            let mut intake = Intake::new(def.clone(), Judgement::Stream, compute.clone())?;
            for (partition, floors) in floors.iter() {
                floors.iter().for_each(|f| intake.admission_mut().set_floor(*partition, *f));
            }
            while let Some(batch) = handle.block_on(futures::StreamExt::next(&mut batches)) {
                for chunk in chunks(&batch?, &file)? {
                    if !judge(&mut intake, &chunk, &counts, sender)? {
                        return Ok(());
                    }
                }
            }
            Ok(())
        }))
    }

    fn leaf(&self, read: ReadFn) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.def.admitted_schema();
        let stream = Arc::new(Sequential { schema: schema.clone(), read });
        let none: Vec<datafusion::physical_expr::LexOrdering> = Vec::new();
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![stream], None, none, false, None)?))
    }
}

/// Reads everything and sends admitted batches; stops quietly when nobody listens any more.
type ReadFn = Arc<dyn Fn(&Sender<DfResult>) -> Result<()> + Send + Sync>;
type DfResult = datafusion::common::Result<RecordBatch>;

struct Sequential {
    schema: SchemaRef,
    read: ReadFn,
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("history in order")
    }
}

impl PartitionStream for Sequential {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.schema.clone(), 4);
        let (sender, read) = (builder.tx(), self.read.clone());
        builder.spawn_blocking(move || Ok(read(&sender)?));
        builder.build()
    }
}

/// Judges a chunk and sends what was admitted; false when nobody listens any more.
fn judge(
    intake: &mut Intake,
    chunk: &Chunk,
    counts: &Mutex<Counts>,
    sender: &Sender<DfResult>,
) -> Result<bool> {
    let mut judged = Vec::new();
    intake.take(chunk, &mut judged)?;
    for admitted in judged {
        counts.lock().unwrap_or_else(PoisonError::into_inner).add(&admitted.counts);
        if admitted.rows.num_rows() > 0 && sender.blocking_send(Ok(admitted.rows)).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The kind of the Parquet files at `url`, from the first of them.
async fn kind_of(def: &SourceDef, url: &str) -> Result<HistoryKind> {
    let location = Location::resolve(url)?;
    if let Some(first) = reader::files(&location).await.unwrap_or_default().first()
        && archive::is_archive(&archive::read_metadata(&location, &first.path).await?)
    {
        return Ok(HistoryKind::Archive);
    }
    if def.options.archive {
        // Nothing archived yet: an empty archive.
        return Ok(HistoryKind::Archive);
    }
    let frame = foreign(&SessionContext::new(), url).await?;
    let has = |name: &str| frame.schema().has_column_with_unqualified_name(name);
    Ok(if has(PARTITION_COLUMN) && has(OFFSET_COLUMN) {
        HistoryKind::Log { timestamps: has(TIMESTAMP_COLUMN) }
    } else {
        HistoryKind::Complete
    })
}

async fn foreign(context: &SessionContext, url: &str) -> Result<datafusion::dataframe::DataFrame> {
    if let Ok(location) = Location::resolve(url) {
        location.register(&context.runtime_env())?;
    }
    let options = datafusion::prelude::ParquetReadOptions::default();
    context.read_parquet(url, options).await.map_err(|e| Error::from(e).context(url))
}

/// Cuts a batch sorted by (`_partition`, `_offset`) into chunks of one partition each.
fn chunks(batch: &RecordBatch, file: &Arc<str>) -> Result<Vec<Chunk>> {
    let position = |name: &str, data_type| -> Result<_> {
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| Error::data(format!("{file}: column '{name}' is missing")))?;
        if column.null_count() > 0 {
            return Err(Error::data(format!("{file}: column '{name}' holds NULL")));
        }
        Ok(arrow::compute::cast(column, data_type)?)
    };
    let partitions = position(PARTITION_COLUMN, &arrow::datatypes::DataType::Int32)?;
    let offsets = position(OFFSET_COLUMN, &arrow::datatypes::DataType::Int64)?;
    let partitions = partitions.as_primitive::<Int32Type>().values();
    let offsets = offsets.as_primitive::<Int64Type>();
    let timestamps = match batch.column_by_name(TIMESTAMP_COLUMN) {
        Some(column) => Some(arrow::compute::cast(column, &crate::model::batch::timestamp_type())?),
        None => None,
    };
    let mut chunks = Vec::new();
    let mut start = 0;
    while start < batch.num_rows() {
        let same = partitions[start..].iter().take_while(|p| **p == partitions[start]).count();
        let partition = u32::try_from(partitions[start])
            .map_err(|_| Error::data(format!("{file}: a negative '{PARTITION_COLUMN}'")))?;
        let own = offsets.slice(start, same);
        let rows = Rows {
            batch: batch.slice(start, same),
            timestamps: timestamps
                .as_ref()
                .map(|t| t.as_primitive::<TimestampMicrosecondType>().slice(start, same)),
            file: file.clone(),
            offsets: RowOffsets::Each(own.clone()),
        };
        let next_offset = own.value(same - 1) + 1;
        chunks.push(Chunk { partition, records: Records::Rows(rows), next_offset });
        start += same;
    }
    Ok(chunks)
}
