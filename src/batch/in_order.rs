//! The admitted rows of a history in order of event time, whatever their files: how new features
//! take it in before they go on with the stream.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::prelude::SessionContext;

use crate::batch::history::{History, HistoryKind};
use crate::error::{Error, Result};
use crate::model::batch::{OFFSET_COLUMN, PARTITION_COLUMN};

/// Reads a history by (event time, partition, offset); sorts spill as `context` allows. `pending`
/// are rows of the archive that no file holds yet.
///
/// # Errors
/// `Unsupported` for history that the engine did not write: its rows may be others than the
/// stream's.
pub async fn in_order(
    context: &SessionContext,
    history: &History,
    pending: Vec<RecordBatch>,
) -> Result<SendableRecordBatchStream> {
    if !matches!(history.kind, HistoryKind::Archive | HistoryKind::Files) {
        let name = &history.def.name;
        return Err(Error::not_supported(format!(
            "'bootstrap' = 'history' from the history of '{name}', which the engine did not write"
        ))
        .with_hint("`skewless backfill` computes features over it; the stream begins anew"));
    }
    let rows = history.admitted_with(context, pending).await?;
    let schema = rows.schema();
    let mut order = Vec::new();
    for name in [history.def.watermark.column.as_str(), PARTITION_COLUMN, OFFSET_COLUMN] {
        order.push(PhysicalSortExpr::new(col(name, &schema)?, SortOptions::default()));
    }
    let order = LexOrdering::new(order).ok_or_else(|| Error::internal("an order of nothing"))?;
    let sorted = SortExec::new(order.clone(), rows).with_preserve_partitioning(true);
    let merged: Arc<dyn ExecutionPlan> =
        Arc::new(SortPreservingMergeExec::new(order, Arc::new(sorted)));
    Ok(execute_stream(merged, context.task_ctx())?)
}
