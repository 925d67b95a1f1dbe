//! One scan, several readers: the batches of a plan go to every copy of it, so that history is
//! read and judged once however many features are computed from it.
//!
//! All copies must be read at the same time, each to its end: a copy that nobody reads holds the
//! others up.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result as DfResult;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::error::Result;

/// Batches on their way to one copy.
const QUEUE: usize = 2;

type Item = DfResult<RecordBatch>;

/// Copies of a plan. They are alike; none may be run twice.
pub fn copies(plan: Arc<dyn ExecutionPlan>, count: usize) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
    if count == 1 {
        return Ok(vec![plan]);
    }
    let partitions = plan.output_partitioning().partition_count();
    let mut streams: Vec<Vec<Arc<dyn PartitionStream>>> = vec![Vec::new(); count];
    for partition in 0..partitions {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(QUEUE)).unzip();
        let source =
            Arc::new(Source { plan: plan.clone(), partition, senders: Mutex::new(Some(senders)) });
        for (streams, receiver) in streams.iter_mut().zip(receivers) {
            let receiver = Mutex::new(Some(receiver));
            streams.push(Arc::new(Copy { source: source.clone(), receiver }));
        }
    }
    let schema = plan.schema();
    let copy = |partitions| -> Result<Arc<dyn ExecutionPlan>> {
        let none: Vec<datafusion::physical_expr::LexOrdering> = Vec::new();
        let schema = schema.clone();
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, none, false, None)?))
    };
    streams.into_iter().map(copy).collect()
}

/// One partition of the plan, started by the first copy that is read.
struct Source {
    plan: Arc<dyn ExecutionPlan>,
    partition: usize,
    senders: Mutex<Option<Vec<mpsc::Sender<Item>>>>,
}

impl Source {
    fn start(&self, context: &Arc<TaskContext>) -> DfResult<()> {
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut senders) = senders else { return Ok(()) };
        let mut batches = self.plan.execute(self.partition, context.clone())?;
        tokio::spawn(async move {
            while let Some(batch) = batches.next().await {
                let shared = match batch {
                    Ok(batch) => Ok(batch),
                    Err(error) => Err(Arc::new(error)),
                };
                let mut open = Vec::with_capacity(senders.len());
                for sender in senders {
                    let item = shared.clone().map_err(DataFusionError::Shared);
                    if sender.send(item).await.is_ok() {
                        open.push(sender);
                    }
                }
                senders = open;
                if senders.is_empty() || shared.is_err() {
                    return;
                }
            }
        });
        Ok(())
    }
}

struct Copy {
    source: Arc<Source>,
    receiver: Mutex<Option<mpsc::Receiver<Item>>>,
}

impl fmt::Debug for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "copy of partition {}", self.source.partition)
    }
}

impl PartitionStream for Copy {
    fn schema(&self) -> &SchemaRef {
        self.source.plan.properties().eq_properties.schema()
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        let schema = self.schema().clone();
        let started = match (receiver, self.source.start(&context)) {
            (Some(receiver), Ok(())) => Ok(receiver),
            (None, _) => Err(DataFusionError::Internal("a copy is read twice".to_owned())),
            (_, Err(error)) => Err(error),
        };
        let receiver = match started {
            Ok(receiver) => receiver,
            Err(error) => {
                let failed = futures::stream::once(async { Err(error) });
                return Box::pin(RecordBatchStreamAdapter::new(schema, failed));
            }
        };
        let batches = futures::stream::unfold(receiver, |mut receiver| async move {
            let item = receiver.recv().await?;
            Some((item, receiver))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn every_copy_gets_every_batch_in_order() {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int64, false)]));
        let batch = |from: i64| {
            let column: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 3));
            RecordBatch::try_new(schema.clone(), vec![column]).unwrap()
        };
        let parts = [(0..20).map(batch).collect::<Vec<_>>(), (50..55).map(batch).collect()];
        let plan = MemorySourceConfig::try_new_exec(&parts, schema.clone(), None).unwrap();
        let context = SessionContext::new().task_ctx();
        let mut readers = Vec::new();
        for copy in copies(plan, 3).unwrap() {
            for (partition, expected) in parts.iter().enumerate() {
                let stream = copy.execute(partition, context.clone()).unwrap();
                let expected = expected.clone();
                readers.push(tokio::spawn(async move {
                    let found: Vec<_> = stream.map(Result::unwrap).collect().await;
                    assert_eq!(found, expected);
                }));
            }
        }
        for reader in readers {
            reader.await.unwrap();
        }
    }
}
