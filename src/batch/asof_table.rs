//! The rows of an ASOF join: every row of the left side once, in order, with the feature's values
//! or the newest row of the right side at its time. Planned by `asof`, computed by
//! `point_in_time`, as everything that depends on a time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use arrow::array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as DfResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions, collect,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, displayable,
};
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};

use crate::batch::history::History;
use crate::batch::label_files::in_order;
use crate::batch::labels::{key_column, time_column, whole};
use crate::batch::map_exec::MapExec;
use crate::batch::point_in_time::{Pass, Requests, pass_schema, run};
use crate::batch::requests::{Asked, Layout};
use crate::batch::training_set::{Lookup, Wanted, features_at};
use crate::error::{Error, Result};
use crate::model::key::is_key_type;
use crate::operator::answer::Reader;
use crate::operator::operator::Bound;
use crate::plan::dataflow::{FeaturePlan, Projection, TrailingSpec, WindowSpec};
use crate::sql::types::type_name;

/// The right side of a join.
#[derive(Clone)]
pub enum Right {
    Feature {
        plan: Arc<FeaturePlan>,
        history: Box<History>,
    },
    /// Keys, the time, partition and offset if `ordered` (else rows are in order), then the
    /// columns.
    Relation {
        plan: LogicalPlan,
        ordered: bool,
    },
}

/// A join as a table.
pub struct AsofTable {
    /// The columns of the left side, `keys` key columns, the time.
    left: LogicalPlan,
    left_columns: usize,
    keys: usize,
    right: Right,
    bound: Bound,
    /// The columns of the left side, then of the right one.
    schema: SchemaRef,
}

impl AsofTable {
    pub fn new(
        left: LogicalPlan,
        left_columns: usize,
        keys: usize,
        right: Right,
        bound: Bound,
        schema: SchemaRef,
    ) -> Self {
        Self { left, left_columns, keys, right, bound, schema }
    }
}

impl fmt::Debug for AsofTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsofTable").field("bound", &self.bound).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for AsofTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let state = session.as_any().downcast_ref::<SessionState>();
        let state = state.ok_or_else(|| Error::internal("an ASOF JOIN in another session"))?;
        let context = SessionContext::new_with_state(state.clone());
        let ordered = in_order(&context).state();
        let left = ordered.create_physical_plan(&self.left).await?;
        let right = match &self.right {
            Right::Feature { plan, history } => {
                RightExec::Feature { plan: plan.clone(), history: history.clone() }
            }
            Right::Relation { plan, ordered: true } => {
                RightExec::Relation { plan: state.create_physical_plan(plan).await?, ordered: true }
            }
            Right::Relation { plan, ordered: false } => RightExec::Relation {
                plan: ordered.create_physical_plan(plan).await?,
                ordered: false,
            },
        };
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = projection.cloned().unwrap_or(all);
        let schema = Arc::new(self.schema.project(&columns)?);
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        let join = Join {
            context,
            left,
            left_columns: self.left_columns,
            keys: self.keys,
            right,
            bound: self.bound,
            columns,
            schema,
        };
        Ok(Arc::new(AsofExec { join: Arc::new(join), properties }))
    }
}

#[derive(Clone)]
enum RightExec {
    Feature { plan: Arc<FeaturePlan>, history: Box<History> },
    Relation { plan: Arc<dyn ExecutionPlan>, ordered: bool },
}

/// Everything needed to compute a join.
struct Join {
    context: SessionContext,
    left: Arc<dyn ExecutionPlan>,
    left_columns: usize,
    keys: usize,
    right: RightExec,
    bound: Bound,
    /// Columns to give, of those of both sides.
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Join {
    /// The columns of the right side to give, by their numbers there.
    fn wanted(&self) -> Vec<usize> {
        let right = self.columns.iter().filter(|column| **column >= self.left_columns);
        right.map(|column| column - self.left_columns).collect()
    }

    async fn rows(&self) -> Result<Vec<RecordBatch>> {
        let left = collect(self.left.clone(), self.context.task_ctx()).await?;
        let schema = self.left.schema();
        let column = |i: usize| {
            let parts: Vec<ArrayRef> = left.iter().map(|rows| rows.column(i).clone()).collect();
            whole(&parts, schema.field(i).data_type())
        };
        let keys = (0..self.keys).map(|key| column(self.left_columns + key));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let times = time_column(&column(self.left_columns + self.keys)?, "of MATCH_CONDITION")?;
        let right = match &self.right {
            RightExec::Feature { plan, history } => {
                self.values(plan, history, keys, &times).await?
            }
            RightExec::Relation { plan, ordered } => {
                self.newest(plan.clone(), *ordered, keys, times).await?
            }
        };
        let (mut rows, mut start) = (Vec::with_capacity(left.len()), 0);
        for batch in &left {
            let count = batch.num_rows();
            let mut theirs = right.iter();
            let column = |column: &usize| match *column < self.left_columns {
                true => Ok(batch.column(*column).clone()),
                false => {
                    let array = theirs.next();
                    let array = array.ok_or_else(|| Error::internal("a column got lost"))?;
                    Ok(array.slice(start, count))
                }
            };
            let columns = self.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            let schema = self.schema.clone();
            rows.push(RecordBatch::try_new_with_options(schema, columns, &options)?);
            start += count;
        }
        Ok(rows)
    }

    /// The values of a feature; its key columns are those asked for.
    async fn values(
        &self,
        plan: &Arc<FeaturePlan>,
        history: &History,
        keys: Vec<ArrayRef>,
        times: &arrow::array::TimestampMicrosecondArray,
    ) -> Result<Vec<ArrayRef>> {
        let types = plan.window.key_types();
        let keys = keys.iter().zip(types).zip(&plan.key_columns);
        let keys = keys.map(|((key, to), name)| key_column(key, to, name));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let key_of = |column: &usize| {
            let name = plan.schema().field(*column).name();
            plan.key_columns.iter().position(|key| key == name)
        };
        let wanted = self.wanted();
        let values: Vec<usize> = wanted.iter().copied().filter(|c| key_of(c).is_none()).collect();
        let feature = Wanted {
            plan: FeaturePlan::clone(plan),
            columns: values,
            keys: keys.clone(),
            key_names: Vec::new(),
        };
        let histories = BTreeMap::from([(plan.source.clone(), history.clone())]);
        let lookup = Lookup { bound: self.bound, known_lag_us: None };
        let done = Arc::default();
        let context = &self.context;
        let found = features_at(context, &[feature], &histories, times, lookup, &done).await?;
        let mut found = found.into_iter().flat_map(|found| found.columns);
        let column = |column: &usize| match key_of(column) {
            Some(key) => Ok(keys[key].clone()),
            None => found.next().ok_or_else(|| Error::internal("a value got lost")),
        };
        wanted.iter().map(column).collect()
    }

    /// The columns of the newest row, NULL where there is none.
    async fn newest(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        ordered: bool,
        keys: Vec<ArrayRef>,
        times: arrow::array::TimestampMicrosecondArray,
    ) -> Result<Vec<ArrayRef>> {
        let schema = plan.schema();
        let fixed = self.keys + if ordered { 3 } else { 1 };
        let key_types = schema.fields().iter().take(self.keys).map(|f| key_type(f.data_type()));
        let key_types = key_types.collect::<Result<Vec<DataType>>>()?;
        let keys = keys.iter().zip(&key_types).enumerate();
        let keys = keys.map(|(i, (key, to))| key_column(key, to, &format!("key {}", i + 1)));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let wanted: Vec<usize> = self.wanted().iter().map(|column| fixed + column).collect();
        let types = wanted.iter().map(|column| plain_type(schema.field(*column).data_type()));
        let value_types: Vec<DataType> = types.collect();
        let window = WindowSpec::Trailing(TrailingSpec {
            key_types: key_types.clone(),
            value_types: value_types.clone(),
            frames: Vec::new(),
            slots: Vec::new(),
            carried: (0..value_types.len()).collect(),
        });
        let result = window.result_schema();
        let carried: Vec<usize> = (self.keys + 1..result.fields().len()).collect();
        let column = |i: &usize| Arc::new(Column::new(result.field(*i).name(), *i)) as _;
        let output = Projection {
            expressions: carried.iter().map(column).collect(),
            schema: Arc::new(result.project(&carried)?),
        };
        let readers = vec![Reader::unlimited(&window, output)];
        let values = (0..value_types.len()).collect();
        let layout = Layout { key_types, bound: self.bound, by_knowledge: false };
        let steps = Steps {
            keys: self.keys,
            ordered,
            wanted,
            next: AtomicI64::new(0),
            schema: pass_schema(&layout, &value_types),
        };
        let schema = steps.schema.clone();
        let map = move |rows: &RecordBatch| steps.of(rows);
        let plan = if ordered { plan } else { Arc::new(CoalescePartitionsExec::new(plan)) };
        let rows = Arc::new(MapExec::new("VersionsExec", plan, schema, Arc::new(map)));
        let requests = Requests { keys, times };
        let pass = Pass { layout, rows, asked: vec![Asked { window, values, readers }], requests };
        let found = run(&self.context, vec![pass], &Arc::default()).await?;
        let found = found.into_iter().flatten().flat_map(|found| found.columns);
        // Back to the declared types: text may have come in another representation.
        let declared = self.columns.iter().enumerate().filter(|(_, c)| **c >= self.left_columns);
        let declared = declared.map(|(at, _)| self.schema.field(at).data_type());
        found.zip(declared).map(|(array, to)| Ok(cast(&array, to)?)).collect()
    }
}

/// The one representation of a type in rows.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        other => other.clone(),
    }
}

fn key_type(data_type: &DataType) -> Result<DataType> {
    let plain = match plain_type(data_type) {
        DataType::Timestamp(..) => crate::model::batch::timestamp_type(),
        other => other,
    };
    if is_key_type(&plain) && plain != DataType::Null {
        return Ok(plain);
    }
    Err(Error::not_supported(format!("an ASOF JOIN by a key of type {}", type_name(data_type)))
        .with_hint("keys are numbers, text, bytes, booleans, dates and timestamps"))
}

/// Rows of the right side → step batches; rows without a key or a time match nothing.
struct Steps {
    keys: usize,
    ordered: bool,
    wanted: Vec<usize>,
    /// Number of the next row, where their order is that of the plan.
    next: AtomicI64,
    schema: SchemaRef,
}

impl Steps {
    fn of(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let count = rows.num_rows();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (key, field) in rows.columns().iter().take(self.keys).zip(self.schema.fields()) {
            columns.push(key_column(key, field.data_type(), field.name())?);
        }
        let times = time_column(rows.column(self.keys), "of the right side")?;
        let valid = |row: usize| {
            times.is_valid(row) && columns.iter().all(|key: &ArrayRef| key.is_valid(row))
        };
        let valid: BooleanArray = (0..count).map(|row| Some(valid(row))).collect();
        columns.push(Arc::new(times));
        if self.ordered {
            columns.extend(rows.columns()[self.keys + 1..self.keys + 3].iter().cloned());
        } else {
            let first = self.next.fetch_add(count as i64, Relaxed);
            columns.push(Arc::new(Int32Array::from(vec![0; count])));
            columns.push(Arc::new(Int64Array::from_iter_values(first..first + count as i64)));
        }
        for (column, field) in
            self.wanted.iter().zip(self.schema.fields().iter().skip(self.keys + 3))
        {
            columns.push(cast(rows.column(*column), field.data_type())?);
        }
        // The time of a row that matches nothing may be NULL, which the schema rules out.
        let keep = filter_columns(&columns, &valid)?;
        Ok(RecordBatch::try_new(self.schema.clone(), keep)?)
    }
}

fn filter_columns(columns: &[ArrayRef], keep: &BooleanArray) -> Result<Vec<ArrayRef>> {
    if keep.true_count() == keep.len() {
        return Ok(columns.to_vec());
    }
    columns.iter().map(|column| Ok(arrow::compute::filter(column, keep)?)).collect()
}

/// A join as a node of a plan. Its sides are planned already and hidden from the optimizer: their
/// order of rows is part of the answer.
struct AsofExec {
    join: Arc<Join>,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for AsofExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsofExec")
    }
}

impl DisplayAs for AsofExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = match self.join.bound {
            Bound::Strict => "before",
            Bound::Inclusive => "at or before",
        };
        let right = match &self.join.right {
            RightExec::Feature { plan, .. } => format!("feature {}", plan.feature),
            RightExec::Relation { .. } => "the newest row".to_owned(),
        };
        let left = displayable(self.join.left.as_ref()).one_line().to_string();
        write!(f, "AsofExec: {right} {bound} each row of {}", left.trim())
    }
}

impl ExecutionPlan for AsofExec {
    fn name(&self) -> &str {
        "AsofExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DfResult<TreeNodeRecursion>,
    ) -> DfResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let join = self.join.clone();
        let rows = futures::stream::once(async move {
            let rows = join.rows().await.map_err(DataFusionError::from)?;
            Ok::<_, DataFusionError>(futures::stream::iter(rows).map(Ok))
        });
        let schema = self.join.schema.clone();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows.try_flatten())))
    }
}
