//! The analysed logical plan of a feature → its parts: filter, entity key, calls of aggregates
//! with their frames, output expressions. Projections are inlined on the way.
//!
//! Columns of the row are qualified by [`ROW`]; the result of call i is the column `a<i>`
//! qualified by [`SLOT`].

//!
//! | file | what is in it |
//! |---|---|
//! | `lower/call` | calls: columns, constants and conditions told apart |
//! | `lower/frame` | frames |

mod call;
mod frame;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::{
    AggregateFunctionParams, Case, NullTreatment, Sort, WindowFunction, WindowFunctionParams,
};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, WindowFrame, lit};

pub use self::call::Call;
use self::call::{CallParts, fold, known_kind, lag_distance};
use self::frame::extent;
pub use self::frame::frame_code;
use super::check::CheckedQuery;
use super::check_call::other_partition;
use super::checked::{Checked, ErrorCounter, Operation};
use super::dataflow::{Exclude, FrameExtent, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use super::expression::{any, planning_error};
use super::registered;
use crate::aggregate::kind::{AggregateKind, Direction};
use crate::error::{Error, Result};
use crate::model::time::SECOND_US;
use crate::sql::window::WindowShape;

pub const ROW: &str = "row";
pub const SLOT: &str = "slot";

/// A trailing frame whose tie-breakers are still expressions.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameCall {
    pub extent: FrameExtent,
    pub exclude: Exclude,
    pub rows_max: Option<u64>,
    /// (expression, descending, nulls first)
    pub ties: Vec<(Expr, bool, bool)>,
}

/// The parts of a feature's query.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    pub filter: Option<Expr>,
    /// Over ROW and SLOT columns, group windows only.
    pub having: Option<Expr>,
    /// Without the window bounds; `None` until an OVER or a GROUP BY said it.
    pub keys: Option<Vec<Expr>>,
    pub frames: Vec<FrameCall>,
    pub calls: Vec<Call>,
    /// Name and expression over ROW and SLOT columns, in SELECT order.
    pub outputs: Vec<(String, Expr)>,
}

pub fn lower(plan: &LogicalPlan, checked: &CheckedQuery, errors: &ErrorCounter) -> Result<Lowered> {
    let mut lowering = Lowering { checked, parts: Lowered::default(), errors };
    let outputs = lowering.outputs(plan)?;
    let names = plan.schema().fields().iter().map(|field| field.name().clone());
    lowering.parts.outputs = names.zip(outputs).collect();
    in_select_order(lowering.parts)
}

/// Numbers calls and frames by their first use in the SELECT; drops what nothing uses.
fn in_select_order(parts: Lowered) -> Result<Lowered> {
    let mut order: Vec<String> = Vec::new();
    for expr in parts.outputs.iter().map(|(_, expr)| expr).chain(&parts.having) {
        any(expr, |part| {
            if let Expr::Column(column) = part
                && is_slot(part)
                && !order.contains(&column.name)
            {
                order.push(column.name.clone());
            }
            false
        });
    }
    let mut ordered = Lowered { filter: parts.filter, keys: parts.keys, ..Lowered::default() };
    let having = parts.having.map(|having| (String::new(), having));
    let old = |name: &String| name.strip_prefix('a').and_then(|index| index.parse::<usize>().ok());
    for call in order.iter().filter_map(old).filter_map(|index| parts.calls.get(index)) {
        let mut call = call.clone();
        if let Some(frame) = parts.frames.get(call.frame) {
            let known = ordered.frames.iter().position(|other| other == frame);
            call.frame = known.unwrap_or(ordered.frames.len());
            if known.is_none() {
                ordered.frames.push(frame.clone());
            }
        }
        ordered.calls.push(call);
    }
    for (name, expr) in parts.outputs.into_iter().chain(having) {
        let renamed = expr.transform_up(|part| {
            let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
            match order.iter().position(|name| is_slot(&part) && *name == column.name) {
                Some(index) => Ok(Transformed::yes(slot_column(index))),
                None => Ok(Transformed::no(part)),
            }
        });
        let renamed = renamed.map_err(planning_error)?.data;
        // Every column of a feature has a name.
        if name.is_empty() {
            ordered.having = Some(renamed);
        } else {
            ordered.outputs.push((name, renamed));
        }
    }
    Ok(ordered)
}

fn slot_column(index: usize) -> Expr {
    Expr::Column(Column::new(Some(SLOT), format!("a{index}")))
}

struct Lowering<'a> {
    checked: &'a CheckedQuery,
    parts: Lowered,
    errors: &'a ErrorCounter,
}

impl Lowering<'_> {
    /// The expressions behind the columns of `plan`, in order.
    fn outputs(&mut self, plan: &LogicalPlan) -> Result<Vec<Expr>> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let fields = scan.source.schema();
                let column = |name: &String| Expr::Column(Column::new(Some(ROW), name));
                Ok(fields.fields().iter().map(|field| column(field.name())).collect())
            }
            LogicalPlan::SubqueryAlias(alias) => self.outputs(&alias.input),
            LogicalPlan::Projection(projection) => {
                let inputs = self.outputs(&projection.input)?;
                let schema = projection.input.schema();
                projection.expr.iter().map(|e| inline(e, schema, &inputs)).collect()
            }
            LogicalPlan::Filter(filter) => {
                let inputs = self.outputs(&filter.input)?;
                let predicate = inline(&filter.predicate, filter.input.schema(), &inputs)?;
                if self.parts.keys.is_some() {
                    if self.checked.window.is_none() {
                        return Err(Error::not_yet("a condition on the results of windows"));
                    }
                    self.parts.having = Some(predicate);
                    return Ok(inputs);
                }
                self.parts.filter = Some(match self.parts.filter.take() {
                    Some(first) => first.and(predicate),
                    None => predicate,
                });
                Ok(inputs)
            }
            LogicalPlan::Window(window) => {
                let mut outputs = self.outputs(&window.input)?;
                let inputs = outputs.clone();
                for expr in &window.window_expr {
                    outputs.push(self.window_call(expr, window.input.schema(), &inputs)?);
                }
                Ok(outputs)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            other => Err(Error::not_yet(format!("{} in a feature", other.display()))),
        }
    }

    fn window_call(&mut self, expr: &Expr, schema: &DFSchema, inputs: &[Expr]) -> Result<Expr> {
        let Expr::WindowFunction(function) = expr.clone().unalias_nested().data else {
            return Err(Error::internal(format!("no window function: {expr}")));
        };
        let WindowFunction { fun, params } = *function;
        let WindowFunctionParams { args, partition_by, order_by, window_frame, .. } = &params;
        let keys = inline_all(partition_by, schema, inputs)?;
        let different = self.parts.keys.as_ref().is_some_and(|first| !same(first, &keys));
        if different {
            let error = Error::not_supported(
                "windows of one feature with different PARTITION BY: its rows belong to one entity",
            )
            .with_hint("give every OVER the same PARTITION BY, or write two features");
            let span = self.checked.select().and_then(other_partition);
            return Err(match span {
                Some(span) => error.with_span(span),
                None => error,
            });
        }
        if self.parts.keys.is_none() {
            self.parts.keys = Some(keys);
        }
        let mut frame = self.frame(window_frame, order_by, schema, inputs)?;
        let kind = known_kind(fun.name())?;
        let call = CallParts {
            kind,
            own: registered::own(fun.name()),
            args: inline_all(args, schema, inputs)?,
            distinct: params.distinct,
            order: Vec::new(),
            filter: params.filter.as_deref().map(|f| inline(f, schema, inputs)).transpose()?,
            null_treatment: params.null_treatment,
        };
        if kind == AggregateKind::Lag {
            // It looks at places, whatever the frame: the frame of its own is as long as that.
            let preceding = match call.null_treatment {
                Some(NullTreatment::IgnoreNulls) => return self.lag_of_known(frame, call),
                _ => Some(lag_distance(&call.args)?),
            };
            frame.extent = FrameExtent::Rows { preceding, until: 0 };
        }
        match kind {
            AggregateKind::RowNumber | AggregateKind::Rank | AggregateKind::DenseRank => {
                self.number(kind, frame)
            }
            AggregateKind::Rate => {
                let seconds = frame_length(frame.extent).filter(|us| *us > 0).map(seconds);
                self.rate(seconds, Some(frame), call)
            }
            _ => {
                let frame = self.add_frame(frame);
                self.add_call(frame, call)
            }
        }
    }

    fn aggregate(
        &mut self,
        aggregate: &datafusion::logical_expr::logical_plan::Aggregate,
    ) -> Result<Vec<Expr>> {
        let inputs = self.outputs(&aggregate.input)?;
        let schema = aggregate.input.schema();
        let groups = inline_all(&aggregate.group_expr, schema, &inputs)?;
        let (bounds, keys): (Vec<_>, Vec<_>) =
            groups.iter().cloned().partition(|group| self.checked.is_bound(group));
        if bounds.is_empty() {
            return Err(Error::internal("a GROUP BY without the window"));
        }
        let mut distinct_keys: Vec<Expr> = Vec::new();
        for key in keys {
            if !distinct_keys.contains(&key) {
                distinct_keys.push(key);
            }
        }
        self.parts.keys = Some(distinct_keys);
        let mut outputs = groups;
        for expr in &aggregate.aggr_expr {
            let Expr::AggregateFunction(function) = expr.clone().unalias_nested().data else {
                return Err(Error::internal(format!("no aggregate function: {expr}")));
            };
            let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } =
                function.params;
            let kind = known_kind(function.func.name())?;
            let call = CallParts {
                kind,
                own: registered::own(function.func.name()),
                args: inline_all(&args, schema, &inputs)?,
                distinct,
                order: self.order(&order_by, schema, &inputs)?,
                filter: filter.map(|f| inline(&f, schema, &inputs)).transpose()?,
                null_treatment,
            };
            outputs.push(match (kind, &self.checked.window) {
                (AggregateKind::Rate, Some(window)) => {
                    let seconds = match &window.shape {
                        WindowShape::Grid { size_us, .. } => Some(seconds(*size_us)),
                        WindowShape::Count { .. } => None,
                        _ => Some(self.window_seconds()),
                    };
                    self.rate(seconds, None, call)?
                }
                _ => self.add_call(0, call)?,
            });
        }
        Ok(outputs)
    }

    /// ORDER BY inside a call; by event time alone it is the total order.
    fn order(
        &self,
        order: &[Sort],
        schema: &DFSchema,
        inputs: &[Expr],
    ) -> Result<Vec<(Expr, Direction)>> {
        let mut sorts = Vec::with_capacity(order.len());
        for sort in order {
            let expr = inline(&sort.expr, schema, inputs)?;
            let (descending, nulls_first) = (!sort.asc, sort.nulls_first);
            sorts.push((expr, Direction { descending, nulls_first }));
        }
        match sorts.as_slice() {
            [(only, direction)] if !direction.descending && self.checked.is_event_time(only) => {
                Ok(Vec::new())
            }
            _ => Ok(sorts),
        }
    }

    /// ROW_NUMBER, RANK and DENSE_RANK, as counts.
    fn number(&mut self, kind: AggregateKind, frame: FrameCall) -> Result<Expr> {
        let range = |preceding_us| FrameCall {
            extent: FrameExtent::Range { preceding_us, until_us: 0 },
            exclude: Exclude::NoOthers,
            rows_max: None,
            ties: Vec::new(),
        };
        if kind != AggregateKind::RowNumber && !frame.ties.is_empty() {
            return Err(Error::not_yet(format!("{kind} ordered by more than the event time"))
                .with_hint("ROW_NUMBER() numbers rows in that order"));
        }
        let time = Expr::Column(Column::new(Some(ROW), &self.checked.source.watermark.column));
        let number = match kind {
            AggregateKind::RowNumber => {
                let extent = FrameExtent::Rows { preceding: None, until: 0 };
                self.count(FrameCall { extent, ..frame }, None)
            }
            AggregateKind::Rank => {
                // The rows up to here, without those of equal time, and one.
                let (all, equal) =
                    (self.count(range(None), None), self.count(range(Some(0)), None));
                let before = self.checked_call(Operator::Minus, all, equal);
                self.checked_call(Operator::Plus, before, lit(1i64))
            }
            _ => self.count(range(None), Some(time)),
        };
        Ok(self.cast(number, DataType::UInt64))
    }

    fn checked_call(&self, operator: Operator, left: Expr, right: Expr) -> Expr {
        Checked::call(Operation::Binary(operator), vec![left, right], self.errors)
    }

    /// COUNT(*) or COUNT(DISTINCT argument) over a frame.
    fn count(&mut self, frame: FrameCall, argument: Option<Expr>) -> Expr {
        let frame = self.add_frame(frame);
        let distinct = argument.is_some();
        self.slot(Call { argument, distinct, ..Call::new(frame, AggregateKind::Count) })
    }

    /// LAG of the values that are not NULL: the last, or n-th last, of those before the row.
    fn lag_of_known(&mut self, mut frame: FrameCall, mut call: CallParts) -> Result<Expr> {
        let distance = lag_distance(&call.args)?;
        let default = (call.args.len() > 2).then(|| call.args.remove(2));
        call.args.truncate(1);
        call.kind = AggregateKind::LastValue;
        if distance > 1 {
            call.kind = AggregateKind::NthValue;
            call.args.push(lit(-distance.cast_signed()));
        }
        frame.extent = FrameExtent::Rows { preceding: None, until: 1 };
        let frame = self.add_frame(frame);
        let known = self.add_call(frame, call)?;
        let Some(default) = default else { return Ok(known) };
        let none = known.clone().is_null();
        let found = (Box::new(none), Box::new(default));
        Ok(Expr::Case(Case::new(None, vec![found], Some(Box::new(known)))))
    }

    /// SUM divided by the seconds of the window.
    fn rate(
        &mut self,
        seconds: Option<Expr>,
        frame: Option<FrameCall>,
        mut call: CallParts,
    ) -> Result<Expr> {
        let Some(seconds) = seconds else {
            return Err(Error::not_supported("RATE over a window without a length in time")
                .with_hint("use RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW"));
        };
        let frame = frame.map_or(0, |frame| self.add_frame(frame));
        call.kind = AggregateKind::Sum;
        let sum = self.add_call(frame, call)?;
        let sum = self.cast(sum, DataType::Float64);
        Ok(self.checked_call(Operator::Divide, sum, seconds))
    }

    /// The length in seconds of the group window at hand, from its bounds.
    fn window_seconds(&self) -> Expr {
        let bound = |name: &str| {
            let bound = Expr::Column(Column::new(Some(ROW), name));
            self.cast(bound, DataType::Int64)
        };
        let (start, end) = (bound(WINDOW_START_COLUMN), bound(WINDOW_END_COLUMN));
        let us = self.checked_call(Operator::Minus, end, start);
        let us = self.cast(us, DataType::Float64);
        self.checked_call(Operator::Divide, us, lit(SECOND_US as f64))
    }

    fn cast(&self, expr: Expr, to: DataType) -> Expr {
        Checked::call(Operation::Cast(to), vec![expr], self.errors)
    }

    /// The column of a call.
    fn add_call(&mut self, frame: usize, parts: CallParts) -> Result<Expr> {
        let order = parts.order.iter().map(|(expr, _)| expr);
        if parts.args.iter().chain(&parts.filter).chain(order).any(|e| any(e, is_slot)) {
            return Err(Error::not_yet("a window over the result of a window"));
        }
        let time = Expr::Column(Column::new(Some(ROW), &self.checked.source.watermark.column));
        let call = fold(frame, parts, time)?;
        Ok(self.slot(call))
    }

    /// The column of a call, reusing an equal one.
    fn slot(&mut self, call: Call) -> Expr {
        let index = match self.parts.calls.iter().position(|other| *other == call) {
            Some(index) => index,
            None => {
                self.parts.calls.push(call);
                self.parts.calls.len() - 1
            }
        };
        slot_column(index)
    }

    fn frame(
        &mut self,
        frame: &WindowFrame,
        order_by: &[Sort],
        schema: &DFSchema,
        inputs: &[Expr],
    ) -> Result<FrameCall> {
        let (extent, exclude, rows_max) = extent(frame)?;
        let mut ties = Vec::new();
        for sort in order_by.iter().skip(1) {
            let expr = inline(&sort.expr, schema, inputs)?;
            if any(&expr, is_slot) {
                return Err(Error::not_yet("a window ordered by the result of a window"));
            }
            ties.push((expr, !sort.asc, sort.nulls_first));
        }
        Ok(FrameCall { extent, exclude, rows_max, ties })
    }

    /// The number of a frame, that of an equal one if there is one.
    fn add_frame(&mut self, frame: FrameCall) -> usize {
        match self.parts.frames.iter().position(|other| *other == frame) {
            Some(index) => index,
            None => {
                self.parts.frames.push(frame);
                self.parts.frames.len() - 1
            }
        }
    }
}

/// The length in µs of a frame that has one. One that ends a microsecond before the row is
/// everything before the row's time: as long as one that ends with it.
fn frame_length(extent: FrameExtent) -> Option<i64> {
    match extent {
        FrameExtent::Range { preceding_us, until_us: 1 } => preceding_us,
        FrameExtent::Range { preceding_us, until_us } => preceding_us.map(|us| us - until_us),
        FrameExtent::Rows { .. } => None,
    }
}

fn seconds(us: i64) -> Expr {
    lit(us as f64 / SECOND_US as f64)
}

pub fn is_slot(expr: &Expr) -> bool {
    let slot = |c: &Column| c.relation.as_ref().is_some_and(|r| r.table() == SLOT);
    matches!(expr, Expr::Column(column) if slot(column))
}

pub fn is_row(expr: &Expr) -> bool {
    let row = |c: &Column| c.relation.as_ref().is_some_and(|r| r.table() == ROW);
    matches!(expr, Expr::Column(column) if row(column))
}

/// Equal as sets: PARTITION BY a, b and b, a are one key.
fn same(left: &[Expr], right: &[Expr]) -> bool {
    left.iter().all(|e| right.contains(e)) && right.iter().all(|e| left.contains(e))
}

fn inline_all(list: &[Expr], schema: &DFSchema, inputs: &[Expr]) -> Result<Vec<Expr>> {
    list.iter().map(|e| inline(e, schema, inputs)).collect()
}

/// Replaces the columns of `schema` by the expressions behind them, and drops aliases.
fn inline(expr: &Expr, schema: &DFSchema, inputs: &[Expr]) -> Result<Expr> {
    let inlined = expr.clone().transform_up(|part| {
        Ok(match part {
            Expr::Column(column) => {
                Transformed::yes(inputs[schema.index_of_column(&column)?].clone())
            }
            Expr::Alias(alias) => Transformed::yes(*alias.expr),
            other => Transformed::no(other),
        })
    });
    Ok(bare(inlined.map_err(planning_error)?.data))
}

/// Without canonicalisation on top: what a projection gives is canonical in any case, and a key
/// in PARTITION BY must equal the same expression in the SELECT.
fn bare(expr: Expr) -> Expr {
    match expr {
        Expr::ScalarFunction(mut call)
            if call.args.len() == 1
                && Checked::of(&call.func)
                    .is_some_and(|checked| checked.operation == Operation::Canonical) =>
        {
            bare(call.args.swap_remove(0))
        }
        other => other,
    }
}
