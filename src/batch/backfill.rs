//! Backfill: the final rows of one feature over history, as the stream gives them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::SessionContext;

use crate::batch::feature_exec::FeatureExec;
use crate::batch::history::{History, HistoryKind};
use crate::batch::map_exec::MapExec;
use crate::error::{Error, Result};
use crate::model::time::{DAY_US, EventTime};
use crate::offline::output::{OutputSummary, OutputTarget};
use crate::offline::parquet_file::Metadata;
use crate::plan::dataflow::{
    FeaturePlan, FirstSpec, FrameExtent, TimeColumns, TrailingSpec, WindowSpec,
};
use crate::source::admit::Counts;
use crate::sql::window::{CalendarUnit, WindowShape};

/// Which final rows: those a stream emits while its watermark goes from `from` to `to`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    pub from: Option<EventTime>,
    /// `None` = the end of history is the end of input: every window closes.
    pub to: Option<EventTime>,
}

/// What a backfill read and wrote.
#[derive(Clone, Copy, Debug)]
pub struct BackfillSummary {
    pub kind: HistoryKind,
    pub counts: Counts,
    pub written: OutputSummary,
}

/// Rows so far, for progress lines.
#[derive(Debug, Default)]
pub struct BackfillProgress {
    pub written: AtomicU64,
}

/// A plan of the final rows of `feature` over `history`.
pub async fn final_rows(
    context: &SessionContext,
    feature: &FeaturePlan,
    history: &History,
    range: TimeRange,
) -> Result<Arc<dyn ExecutionPlan>> {
    let from = range.from.and_then(|from| Some(from.saturating_sub(reach_us(&feature.window)?)));
    let admitted = history.admitted(context, from, range.to).await?;
    let preparation = feature.preparation.clone();
    let schema = preparation.projection.schema.clone();
    let steps = move |rows: &RecordBatch| preparation.evaluate(rows);
    let steps = Arc::new(MapExec::new("PrepareExec", admitted, schema, Arc::new(steps)));
    let partitions = context.state().config().target_partitions();
    let (window, output) = (feature.window.clone(), feature.output.clone());
    let rows = FeatureExec::over(&feature.feature, steps, window, output, partitions)?;
    if range == TimeRange::default() {
        return Ok(rows);
    }
    let within = Within::new(feature, range)?;
    let schema = rows.schema();
    let map = move |rows: &RecordBatch| within.keep(rows);
    Ok(Arc::new(MapExec::new("RangeExec", rows, schema, Arc::new(map))))
}

/// Writes the final rows of `feature` over `history` to `target`.
pub async fn backfill(
    context: &SessionContext,
    feature: &FeaturePlan,
    history: &History,
    range: TimeRange,
    target: &OutputTarget,
    progress: Arc<BackfillProgress>,
) -> Result<BackfillSummary> {
    let rows = final_rows(context, feature, history, range).await?;
    let schema = rows.schema();
    let count = move |batch: &RecordBatch| {
        progress.written.fetch_add(batch.num_rows() as u64, Relaxed);
        Ok(batch.clone())
    };
    let rows = MapExec::new("CountExec", rows, schema.clone(), Arc::new(count));
    let streams = streams(context, &rows)?;
    let written = target.write(schema, streams, &metadata(feature)).await?;
    Ok(BackfillSummary { kind: history.kind, counts: history.counts(), written })
}

/// One stream per partition of a plan.
pub fn streams(
    context: &SessionContext,
    plan: &dyn ExecutionPlan,
) -> Result<Vec<SendableRecordBatchStream>> {
    let partitions = plan.output_partitioning().partition_count();
    let open = |partition| Ok(plan.execute(partition, context.task_ctx())?);
    (0..partitions).map(open).collect()
}

/// Footer of files of final rows.
pub fn metadata(feature: &FeaturePlan) -> Metadata {
    vec![
        ("skewless.feature".to_owned(), feature.feature.clone()),
        ("skewless.version".to_owned(), feature.version.to_string()),
        ("skewless.fingerprint".to_owned(), feature.fingerprint.clone()),
    ]
}

/// How far before its own time a final row looks, µs; `None` = without bound.
fn reach_us(window: &WindowSpec) -> Option<i64> {
    match window {
        WindowSpec::Group(spec) => longest_window(&spec.shape),
        WindowSpec::Trailing(spec) => longest_frame(spec),
        WindowSpec::Chain(spec) => {
            let first = match &spec.first {
                FirstSpec::Group(spec) => longest_window(&spec.shape)?,
                FirstSpec::Trailing(spec) => longest_frame(spec)?,
            };
            Some(longest_frame(&spec.second)?.saturating_add(first))
        }
    }
}

/// Whether the event time of final rows is the end of a window: that of windows over group windows.
fn ends_windows(window: &WindowSpec) -> bool {
    matches!(window, WindowSpec::Chain(spec) if matches!(spec.first, FirstSpec::Group(_)))
}

fn longest_window(shape: &WindowShape) -> Option<i64> {
    match shape {
        WindowShape::Grid { size_us, .. } | WindowShape::Cumulate { size_us, .. } => Some(*size_us),
        WindowShape::Calendar { unit, count, .. } => {
            let days = if *unit == CalendarUnit::Day { 1 } else { 31 };
            // A clock is never set by more than a day.
            Some((count * days + 2) * DAY_US)
        }
        WindowShape::Session { .. } | WindowShape::Count { .. } => None,
    }
}

fn longest_frame(spec: &TrailingSpec) -> Option<i64> {
    let reach = |extent: FrameExtent| match extent {
        FrameExtent::Range { preceding_us, .. } => preceding_us,
        FrameExtent::Rows { preceding: Some(0), .. } => Some(0),
        FrameExtent::Rows { .. } => None,
    };
    spec.frames.iter().try_fold(0, |most, f| Some(reach(f.extent)?.max(most)))
}

/// Keeps the final rows of a time range.
struct Within {
    column: usize,
    range: TimeRange,
    /// The column is the end of a window: `(from, to]` instead of `[from, to)`.
    window_end: bool,
}

impl Within {
    fn new(feature: &FeaturePlan, range: TimeRange) -> Result<Self> {
        let (name, window_end) = match &feature.time_column {
            TimeColumns::Event(name) => (name, ends_windows(&feature.window)),
            TimeColumns::Window { end, .. } => (end, true),
        };
        Ok(Self { column: feature.schema().index_of(name)?, range, window_end })
    }

    fn keep(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let times = rows.column(self.column).as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| Error::internal("final rows without a time"))?;
        let shift = i64::from(self.window_end);
        let from = self.range.from.map_or(i64::MIN, |t| t.0.saturating_add(shift));
        let to = self.range.to.map_or(i64::MAX, |t| t.0.saturating_add(shift));
        let inside = (0..rows.num_rows()).map(|row| {
            let t = times.value(row);
            Some(from <= t && (t < to || to == i64::MAX))
        });
        Ok(filter_record_batch(rows, &BooleanArray::from_iter(inside))?)
    }
}
