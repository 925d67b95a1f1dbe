//! The plan of a feature as data: what to evaluate per row, which state to keep, what to emit.
//!
//! ```text
//! admitted batch ── Preparation (filter, expressions) ──► step batch
//! step batch ── operator (TrailingSpec | GroupSpec) ──► result batch
//! result batch ── Projection (post) ──► final rows / current values
//! ```
//!
//! *Step batch*: key columns `k0…`, then `_time` (µs UTC, not NULL), `_partition` (Int32),
//! `_offset` (Int64), then value columns `v0…` (aggregate arguments, tie-breakers, current-row
//! columns, each expression once).
//! *Result batch* of a trailing window: key columns, `_time`, value columns named in
//! `TrailingSpec::carried`, one column `a0…` per slot. Of a group window: key columns,
//! `window_start`, `window_end`, one column `a0…` per slot. Of a window over windows: those of the
//! outer one, a trailing window whose rows are the results of the inner one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use crate::aggregate::kind::AggregateSpec;
use crate::error::Result;
use crate::model::batch::{OFFSET_COLUMN, PARTITION_COLUMN, timestamp_type};
use crate::model::key::canonical_f64;
use crate::plan::checked::ErrorCounter;
use crate::plan::describe::Description;
use crate::sql::window::WindowShape;

/// Names of the fixed columns of a step batch, after the key columns.
pub const TIME_COLUMN: &str = "_time";
pub const WINDOW_START_COLUMN: &str = "window_start";
pub const WINDOW_END_COLUMN: &str = "window_end";

/// Expressions evaluated over a batch. Expressions never fail on a row: planning has wrapped
/// whatever could (see `plan::lenient`); floats in the result are canonical.
#[derive(Clone, Debug)]
pub struct Projection {
    pub expressions: Vec<Arc<dyn PhysicalExpr>>,
    pub schema: SchemaRef,
}

impl Projection {
    /// Evaluates over `input` (whose schema the expressions were made for).
    pub fn evaluate(&self, input: &RecordBatch) -> Result<RecordBatch> {
        let rows = input.num_rows();
        let mut columns = Vec::with_capacity(self.expressions.len());
        for (expression, field) in self.expressions.iter().zip(self.schema.fields()) {
            let array = canonical(expression.evaluate(input)?.into_array(rows)?);
            columns.push(if array.data_type() == field.data_type() {
                array
            } else {
                arrow::compute::cast(&array, field.data_type())?
            });
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

/// One zero and one NaN in float columns; other columns as they are.
pub fn canonical(array: ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float64 => {
            let floats = array.as_primitive::<Float64Type>();
            let odd = |x: &f64| x.is_nan() || x.to_bits() == (-0.0f64).to_bits();
            if floats.values().iter().any(odd) {
                Arc::new(floats.unary::<_, Float64Type>(canonical_f64))
            } else {
                array
            }
        }
        DataType::Float32 => {
            let floats = array.as_primitive::<Float32Type>();
            let fix = |x: f32| if x.is_nan() { f32::NAN } else { x + 0.0 };
            Arc::new(floats.unary::<_, Float32Type>(fix))
        }
        _ => array,
    }
}

/// Admitted batch → step batch.
#[derive(Clone, Debug)]
pub struct Preparation {
    /// WHERE; rows where it is not true are dropped.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    pub projection: Projection,
}

impl Preparation {
    pub fn evaluate(&self, admitted: &RecordBatch) -> Result<RecordBatch> {
        let Some(filter) = &self.filter else { return self.projection.evaluate(admitted) };
        let mask = filter.evaluate(admitted)?.into_array(admitted.num_rows())?;
        let mask = true_mask(mask.as_boolean());
        if mask.true_count() == mask.len() {
            return self.projection.evaluate(admitted);
        }
        self.projection.evaluate(&filter_record_batch(admitted, &mask)?)
    }
}

/// The extent of a trailing frame; it ends at the current row or before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrameExtent {
    /// `[t − preceding, t − until]`, both ends closed, peers included; `None` = UNBOUNDED
    /// PRECEDING; `until <= preceding`.
    Range { preceding_us: Option<i64>, until_us: i64 },
    /// From `preceding` rows before the row (`None` = UNBOUNDED PRECEDING) up to `until` rows
    /// before it, 0 being the row itself; `until <= preceding`.
    Rows { preceding: Option<u64>, until: u64 },
}

/// Rows around the current one that a RANGE frame leaves out. `EXCLUDE GROUP` needs no word of
/// its own: such a frame ends a microsecond before the row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Exclude {
    #[default]
    NoOthers,
    /// The row itself, not its peers.
    CurrentRow,
    /// Its peers, not the row itself.
    Ties,
}

/// One more ORDER BY column after the event time: breaks ties before log order does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TieBreak {
    /// Value column of the step batch.
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrameSpec {
    pub extent: FrameExtent,
    /// ROWS frames only; empty = event time, then log order.
    pub ties: Vec<TieBreak>,
    /// RANGE frames that end at the current row only.
    pub exclude: Exclude,
    /// RANGE frames only: of the rows that are left at most so many, the newest in the total order.
    pub rows_max: Option<u64>,
}

impl FrameSpec {
    /// A frame without further conditions.
    pub fn of(extent: FrameExtent) -> Self {
        Self { extent, ties: Vec::new(), exclude: Exclude::NoOthers, rows_max: None }
    }

    /// `RANGE BETWEEN preceding PRECEDING AND CURRENT ROW`.
    pub fn range(preceding_us: Option<i64>) -> Self {
        Self::of(FrameExtent::Range { preceding_us, until_us: 0 })
    }

    /// `ROWS BETWEEN preceding PRECEDING AND CURRENT ROW`.
    pub fn rows(preceding: Option<u64>) -> Self {
        Self::of(FrameExtent::Rows { preceding, until: 0 })
    }

    pub fn is_rows(&self) -> bool {
        matches!(self.extent, FrameExtent::Rows { .. })
    }

    /// Where a frame of the rows `[lo, end)` begins under MAXSIZE.
    pub fn newest(&self, lo: u64, end: u64) -> u64 {
        self.rows_max.map_or(lo, |most| lo.max(end.saturating_sub(most)))
    }

    /// Whether rows never leave the frame.
    pub fn is_unbounded(&self) -> bool {
        self.rows_max.is_none()
            && matches!(
                self.extent,
                FrameExtent::Range { preceding_us: None, .. }
                    | FrameExtent::Rows { preceding: None, .. }
            )
    }
}

/// One accumulator: an aggregate over a frame (`frame` is 0 for group windows).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SlotSpec {
    pub frame: usize,
    pub aggregate: AggregateSpec,
}

/// A trailing-window operator: one buffer per key, many frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailingSpec {
    pub key_types: Vec<DataType>,
    /// Types of the value columns of the step batch.
    pub value_types: Vec<DataType>,
    pub frames: Vec<FrameSpec>,
    pub slots: Vec<SlotSpec>,
    /// Value columns that the post expressions read (current-row columns), in result order.
    pub carried: Vec<usize>,
}

/// A group-window operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    pub key_types: Vec<DataType>,
    pub value_types: Vec<DataType>,
    pub shape: WindowShape,
    pub slots: Vec<SlotSpec>,
    pub having: Option<Having>,
}

/// HAVING: a condition over result batches.
#[derive(Clone, Debug)]
pub struct Having(pub Arc<dyn PhysicalExpr>);

impl PartialEq for Having {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref() == other.0.as_ref()
    }
}

impl Eq for Having {}

impl Having {
    /// Where it is true; NULL is not.
    ///
    /// # Errors
    /// `Data` if the condition cannot be evaluated.
    pub fn mask(&self, results: &RecordBatch) -> Result<BooleanArray> {
        let mask = self.0.evaluate(results)?.into_array(results.num_rows())?;
        Ok(true_mask(mask.as_boolean()))
    }
}

/// NULL is not true; the kernel takes only masks that have NULLs.
fn true_mask(mask: &BooleanArray) -> BooleanArray {
    match mask.null_count() {
        0 => mask.clone(),
        _ => arrow::compute::prep_null_mask_filter(mask),
    }
}

/// The operator whose results are the rows of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstSpec {
    Group(GroupSpec),
    Trailing(TrailingSpec),
}

impl FirstSpec {
    fn value_types(&self) -> &[DataType] {
        match self {
            Self::Group(spec) => &spec.value_types,
            Self::Trailing(spec) => &spec.value_types,
        }
    }
}

/// A trailing window over the results of a window of the same key.
#[derive(Clone, Debug)]
pub struct ChainSpec {
    pub first: FirstSpec,
    /// Result batch of the first → the columns that the second can name; of a trailing window
    /// then `_partition` and `_offset` of the row.
    pub between: Projection,
    /// The schema of those columns and the system columns.
    pub schema: SchemaRef,
    /// Such a batch → step batch of the second.
    pub preparation: Preparation,
    pub second: TrailingSpec,
}

impl PartialEq for ChainSpec {
    fn eq(&self, other: &Self) -> bool {
        let filters = (&self.preparation.filter, &other.preparation.filter);
        let filtered = match filters {
            (Some(a), Some(b)) => a.as_ref() == b.as_ref(),
            (None, None) => true,
            _ => false,
        };
        let (ours, theirs) = (&self.preparation.projection, &other.preparation.projection);
        filtered
            && self.first == other.first
            && self.second == other.second
            && self.between.expressions == other.between.expressions
            && ours.expressions == theirs.expressions
    }
}

impl Eq for ChainSpec {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowSpec {
    Trailing(TrailingSpec),
    Group(GroupSpec),
    Chain(Box<ChainSpec>),
}

impl WindowSpec {
    pub fn key_types(&self) -> &[DataType] {
        match self {
            Self::Trailing(spec) => &spec.key_types,
            Self::Group(spec) => &spec.key_types,
            Self::Chain(spec) => &spec.second.key_types,
        }
    }

    pub fn value_types(&self) -> &[DataType] {
        match self {
            Self::Trailing(spec) => &spec.value_types,
            Self::Group(spec) => &spec.value_types,
            Self::Chain(spec) => spec.first.value_types(),
        }
    }

    /// The schema of step batches: `k0…`, `_time`, `_partition`, `_offset`, `v0…`.
    pub fn step_schema(&self) -> SchemaRef {
        let mut fields = numbered("k", self.key_types());
        fields.push(Field::new(TIME_COLUMN, timestamp_type(), false));
        fields.push(Field::new(PARTITION_COLUMN, DataType::Int32, false));
        fields.push(Field::new(OFFSET_COLUMN, DataType::Int64, false));
        fields.extend(numbered("v", self.value_types()));
        Arc::new(Schema::new(fields))
    }

    /// The schema of result batches. Trailing: `k0…`, `_time`, the carried columns as `v<number
    /// of the value column>`, `a0…` by number of the slot. Group: `k0…`, `window_start`,
    /// `window_end`, `a0…`. Times are nullable: a probe that finds nothing has none.
    pub fn result_schema(&self) -> SchemaRef {
        let trailing = match self {
            Self::Group(_) => None,
            Self::Trailing(spec) => Some(spec),
            Self::Chain(spec) => Some(&spec.second),
        };
        let mut fields = numbered("k", self.key_types());
        let slots = match (trailing, self) {
            (Some(spec), _) => {
                fields.push(Field::new(TIME_COLUMN, timestamp_type(), true));
                for column in &spec.carried {
                    let data_type = spec.value_types[*column].clone();
                    fields.push(Field::new(format!("v{column}"), data_type, true));
                }
                spec.slots.as_slice()
            }
            (None, Self::Group(spec)) => {
                fields.push(Field::new(WINDOW_START_COLUMN, timestamp_type(), true));
                fields.push(Field::new(WINDOW_END_COLUMN, timestamp_type(), true));
                spec.slots.as_slice()
            }
            (None, _) => &[],
        };
        let types: Vec<_> = slots.iter().map(|slot| slot.aggregate.output.clone()).collect();
        fields.extend(numbered("a", &types));
        Arc::new(Schema::new(fields))
    }
}

/// Nullable fields `<prefix>0…`.
fn numbered(prefix: &str, types: &[DataType]) -> Vec<Field> {
    let field = |(i, data_type): (usize, &DataType)| {
        Field::new(format!("{prefix}{i}"), data_type.clone(), true)
    };
    types.iter().enumerate().map(field).collect()
}

/// A feature ready to run.
#[derive(Clone, Debug)]
pub struct FeaturePlan {
    pub feature: String,
    pub version: u32,
    pub source: String,
    /// Names of the key columns in the output, in order of the entity key; empty = one global
    /// entity.
    pub key_columns: Vec<String>,
    /// The source column each key column is, as it is; `None` = an expression.
    pub key_sources: Vec<Option<String>>,
    pub preparation: Preparation,
    pub window: WindowSpec,
    /// Result batch → final rows.
    pub output: Projection,
    /// The output columns that are no keys and no time columns: what is written online.
    pub value_columns: Vec<String>,
    /// Names in the output of the event-time column (trailing), or of window start and end.
    pub time_column: TimeColumns,
    /// Values of entities without rows for so long are NULL when read, µs (`plan::reach`).
    pub ttl_us: Option<i64>,
    /// Same (source, filter, key) text: such plans may share one state group.
    pub sharing: String,
    pub fingerprint: String,
    /// Warnings and remarks for EXPLAIN.
    pub notes: Vec<String>,
    /// The plan in words.
    pub description: Description,
    /// Rows on which an expression failed and is NULL (`expression_errors{feature}`).
    pub errors: ErrorCounter,
}

/// The time column(s) of a final row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeColumns {
    Event(String),
    Window { start: String, end: String },
}

impl FeaturePlan {
    /// Schema of the final rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.output.schema
    }
}
