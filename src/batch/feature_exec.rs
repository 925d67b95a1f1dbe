//! An operator as a node of a DataFusion plan: the history side of "one operator, two drivers".
//!
//! The node asks for its input hash-partitioned by the entity key and sorted by (key, time, log
//! order); DataFusion's shuffle and spilling sort provide both, so memory is that of one key and
//! every core works. It computes nothing itself: `Operator::on_sorted` does, as in a stream.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::StreamExt;

use crate::error::Result;
use crate::operator::operator::Operator;
use crate::plan::dataflow::{Projection, WindowSpec};

/// Runs one operator per partition over sorted step batches and projects its results.
#[derive(Debug)]
pub struct FeatureExec {
    feature: String,
    input: Arc<dyn ExecutionPlan>,
    window: WindowSpec,
    output: Projection,
    properties: Arc<PlanProperties>,
}

impl FeatureExec {
    /// Puts shuffle, sort and operator on top of `steps` (a plan of step batches).
    ///
    /// `partitions` is the number of operators that run side by side.
    pub fn over(
        feature: &str,
        steps: Arc<dyn ExecutionPlan>,
        window: WindowSpec,
        output: Projection,
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let keys = window.key_types().len();
        let shuffled = shuffle(steps, keys, partitions)?;
        // By key columns, `_time`, `_partition`, `_offset`: the order `on_sorted` asks for.
        let sorted = sort(shuffled, &(0..keys + 3).collect::<Vec<_>>())?;
        Ok(Arc::new(Self::new(feature, sorted, window, output)))
    }

    fn new(
        feature: &str,
        input: Arc<dyn ExecutionPlan>,
        window: WindowSpec,
        output: Projection,
    ) -> Self {
        let partitions = input.output_partitioning().partition_count();
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(output.schema.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Self { feature: feature.to_owned(), input, window, output, properties }
    }

    fn with_input(&self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self::new(&self.feature, input, self.window.clone(), self.output.clone())
    }
}

/// Columns of the step batch as expressions.
fn columns(schema: &SchemaRef, columns: &[usize]) -> Vec<Arc<dyn PhysicalExpr>> {
    let column = |i: &usize| Arc::new(Column::new(schema.field(*i).name(), *i)) as _;
    columns.iter().map(column).collect()
}

/// Rows of equal values in the first `keys` columns into the same of `partitions` partitions.
pub(super) fn shuffle(
    steps: Arc<dyn ExecutionPlan>,
    keys: usize,
    partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let single = steps.output_partitioning().partition_count() == 1;
    let by = match (keys, partitions) {
        (0, _) | (_, 1) if single => return Ok(steps),
        (0, _) | (_, 1) => Partitioning::RoundRobinBatch(1),
        _ => {
            let by: Vec<usize> = (0..keys).collect();
            Partitioning::Hash(columns(&steps.schema(), &by), partitions)
        }
    };
    Ok(Arc::new(RepartitionExec::try_new(steps, by)?))
}

/// Sorts each partition by columns, ascending.
pub(super) fn sort(input: Arc<dyn ExecutionPlan>, by: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
    let by = columns(&input.schema(), by).into_iter().map(PhysicalSortExpr::new_default);
    let Some(by) = LexOrdering::new(by) else { return Ok(input) };
    Ok(Arc::new(SortExec::new(by, input).with_preserve_partitioning(true)))
}

impl DisplayAs for FeatureExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.window {
            WindowSpec::Trailing(_) => "trailing",
            WindowSpec::Group(_) => "group",
            WindowSpec::Chain(_) => "chain",
        };
        write!(f, "FeatureExec feature={} window={kind}", self.feature)
    }
}

impl ExecutionPlan for FeatureExec {
    fn name(&self) -> &str {
        "FeatureExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.with_input(children.swap_remove(0))))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DfResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let operator = crate::operator::build(&self.window, false)?;
        let run = Run { input, operator, output: self.output.clone(), ready: vec![], done: false };
        let stream = futures::stream::try_unfold(run, |mut run| async move {
            let next = run.next().await?;
            Ok(next.map(|batch| (batch, run)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.output.schema.clone(), stream)))
    }
}

/// One running partition.
struct Run {
    input: SendableRecordBatchStream,
    operator: Box<dyn Operator>,
    output: Projection,
    /// Result batches not handed on yet, in reverse.
    ready: Vec<RecordBatch>,
    done: bool,
}

impl Run {
    async fn next(&mut self) -> DfResult<Option<RecordBatch>> {
        loop {
            if let Some(result) = self.ready.pop() {
                return Ok(Some(self.output.evaluate(&result)?));
            }
            if self.done {
                return Ok(None);
            }
            match self.input.next().await {
                Some(step) => self.operator.on_sorted(&step?, false, &mut self.ready)?,
                None => {
                    let empty = RecordBatch::new_empty(self.input.schema());
                    self.operator.on_sorted(&empty, true, &mut self.ready)?;
                    self.done = true;
                }
            }
            self.ready.reverse();
        }
    }
}
