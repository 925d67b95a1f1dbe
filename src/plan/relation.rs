//! TUMBLE and HOP in ad-hoc SELECTs: a relation planner that computes the windows of history rows
//! with plain expressions. Features never come here; their operator assigns windows itself.
//!
//! DataFusion looks tables up before planning and does not see a name inside `TUMBLE(t, …)`, so
//! [`prepare`] writes it as a sub-query, which it does see, and the planner reads it back.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Int64Type, TimestampMicrosecondType};
use datafusion::common::{Column, Result as DataFusionResult, UnnestOptions};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, cast, lit,
};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{CopyToSource, DFParserBuilder, Statement};
use sqlparser::ast::{
    Expr as SqlExpr, FunctionArg, FunctionArgExpr, Query, SetExpr, TableAlias, TableFactor,
    VisitMut, VisitorMut,
};

use super::dataflow::{WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use super::spelling;
use crate::error::{Error, Result};
use crate::model::batch::timestamp_type;
use crate::sql::dialect::DIALECT;
use crate::sql::parser::parse_query;
use crate::sql::window::{WindowCall, WindowKind, WindowShape, normalise, window_call};

/// One statement of ad-hoc SQL.
pub fn parse(context: &SessionContext, text: &str) -> Result<Statement> {
    let limit = context.state().config_options().sql_parser.recursion_limit;
    let mut parser = DFParserBuilder::new(text)
        .with_dialect(&DIALECT)
        .with_recursion_limit(limit.get())
        .build()?;
    let statement = parser.parse_statement()?;
    Ok(statement)
}

/// Group windows in the form that the session's planner reads.
pub fn prepare(statement: &mut Statement) -> Result<()> {
    let flow = match statement {
        Statement::Statement(inner) => {
            spelling::rewrite_any(inner.as_mut())?;
            VisitMut::visit(inner.as_mut(), &mut Encoder)
        }
        Statement::Explain(explain) => return prepare(&mut explain.statement),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => {
                spelling::rewrite_any(query)?;
                VisitMut::visit(query, &mut Encoder)
            }
            CopyToSource::Relation(_) => return Ok(()),
        },
        _ => return Ok(()),
    };
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// One spelling of windows, the table in it visible as a sub-query.
struct Encoder;

impl VisitorMut for Encoder {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        match normalise(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match encode(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn encode(factor: &mut TableFactor) -> Result<()> {
    if table_of_encoded(factor).is_some() {
        return Ok(());
    }
    let Some(call) = window_call(factor)? else { return Ok(()) };
    if call.query.is_some() {
        return Err(Error::not_yet("a sub-query as the input of a window in a plain query")
            .with_hint("name the source; filter with WHERE beside GROUP BY")
            .with_span(call.span));
    }
    let query = parse_query(&format!("SELECT * FROM {}", call.table))?;
    if let TableFactor::Table { args: Some(args), .. } = factor
        && let Some(FunctionArg::Unnamed(first)) = args.args.first_mut()
    {
        *first = FunctionArgExpr::Expr(SqlExpr::Subquery(query));
    }
    Ok(())
}

/// The table factor inside an encoded window call.
fn table_of_encoded(factor: &TableFactor) -> Option<TableFactor> {
    let TableFactor::Table { name, args: Some(args), .. } = factor else { return None };
    WindowKind::of(&name.to_string())?;
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(SqlExpr::Subquery(query)))) =
        args.args.first()
    else {
        return None;
    };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let relation = &select.from.first()?.relation;
    // Nothing but what `encode` writes.
    let same = parse_query(&format!("SELECT * FROM {relation}")).is_ok_and(|plain| plain == *query);
    same.then(|| relation.clone())
}

/// The window call of an encoded factor.
fn decode(factor: &TableFactor) -> Result<Option<(WindowCall, TableFactor)>> {
    let Some(table) = table_of_encoded(factor) else { return Ok(None) };
    let TableFactor::Table { name, .. } = &table else { return Ok(None) };
    let parts = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect::<Vec<_>>();
    let mut plain = factor.clone();
    if let TableFactor::Table { args: Some(args), .. } = &mut plain
        && let Some(FunctionArg::Unnamed(first)) = args.args.first_mut()
    {
        *first = FunctionArgExpr::Expr(SqlExpr::CompoundIdentifier(parts));
    }
    Ok(window_call(&plain)?.map(|call| (call, table)))
}

/// Plans TUMBLE and HOP.
#[derive(Debug)]
pub struct WindowFunctions;

impl RelationPlanner for WindowFunctions {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DataFusionResult<RelationPlanning> {
        let Some((call, table)) = decode(&relation)? else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let input = context.plan(table.clone())?;
        let time = context.sql_to_expr(SqlExpr::Identifier(call.time.clone()), input.schema())?;
        let time = cast(time, timestamp_type());
        let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        let builder = LogicalPlanBuilder::from(input);
        let mut with_start = columns.clone();
        let WindowShape::Grid { slide_us, size_us, offset_us } = call.shape else {
            return Err(Error::not_yet("windows other than TUMBLE and HOP in a plain query")
                .with_hint("write a feature, and read its HISTORY(…)")
                .with_span(call.span)
                .into());
        };
        let grid = [lit(slide_us), lit(offset_us)];
        let builder = if size_us == slide_us {
            let start = Assign::Floor.call([vec![time], grid.to_vec()].concat());
            with_start.push(start.alias(WINDOW_START_COLUMN));
            builder.project(with_start)?
        } else {
            let args = [vec![time, lit(size_us)], grid.to_vec()].concat();
            with_start.push(Assign::Starts.call(args).alias(WINDOW_START_COLUMN));
            builder.project(with_start)?.unnest_column_with_options(
                Column::new_unqualified(WINDOW_START_COLUMN),
                UnnestOptions::new(),
            )?
        };
        let start = Expr::Column(Column::new_unqualified(WINDOW_START_COLUMN));
        let end = Assign::Add.call(vec![start.clone(), lit(size_us)]);
        let mut all = columns;
        all.push(start);
        all.push(end.alias(WINDOW_END_COLUMN));
        let builder = builder.project(all)?;
        // Without an alias the columns carry the name of the table.
        let (plan, alias) = match call.alias {
            Some(alias) => (builder.build()?, Some(alias)),
            None => (builder.alias(unqualified_name(&table))?.build()?, None::<TableAlias>),
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn unqualified_name(table: &TableFactor) -> String {
    let TableFactor::Table { name, .. } = table else { return String::new() };
    let last = name.0.last().and_then(|part| part.as_ident());
    last.map(super::check::fold).unwrap_or_default()
}

/// The functions behind the windows, for registration.
pub fn window_udfs() -> impl Iterator<Item = Arc<ScalarUDF>> {
    [Assign::Floor, Assign::Starts, Assign::Add]
        .into_iter()
        .map(|assign| Arc::new(ScalarUDF::new_from_impl(assign.udf())))
}

/// Arithmetic of window bounds, µs since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Assign {
    /// (time, slide, offset) → the newest start at or before time.
    Floor,
    /// (time, size, slide, offset) → every start whose window holds time, oldest first.
    Starts,
    /// (time, µs) → time + µs.
    Add,
}

impl Assign {
    fn name(self) -> &'static str {
        match self {
            Self::Floor => "window_floor",
            Self::Starts => "window_starts",
            Self::Add => "window_add",
        }
    }

    fn udf(self) -> AssignUdf {
        let arguments = match self {
            Self::Floor => 3,
            Self::Starts => 4,
            Self::Add => 2,
        };
        AssignUdf { assign: self, signature: Signature::any(arguments, Volatility::Immutable) }
    }

    fn call(self, args: Vec<Expr>) -> Expr {
        ScalarUDF::new_from_impl(self.udf()).call(args)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AssignUdf {
    assign: Assign,
    signature: Signature,
}

impl ScalarUDFImpl for AssignUdf {
    fn name(&self) -> &str {
        self.assign.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> DataFusionResult<DataType> {
        Ok(match self.assign {
            Assign::Starts => DataType::List(Arc::new(Field::new("item", timestamp_type(), true))),
            _ => timestamp_type(),
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [time, numbers @ ..] = arrays.as_slice() else {
            return Err(DataFusionError::Internal("a window without a time".to_owned()));
        };
        let times = time.as_primitive::<TimestampMicrosecondType>();
        let number = |index: usize, row: usize| {
            numbers.get(index).map_or(0, |a: &ArrayRef| a.as_primitive::<Int64Type>().value(row))
        };
        let value = |row: usize| times.is_valid(row).then(|| times.value(row));
        let array: ArrayRef = if self.assign == Assign::Starts {
            let timestamps = TimestampMicrosecondBuilder::new().with_data_type(timestamp_type());
            let field = Field::new("item", timestamp_type(), true);
            let mut lists = ListBuilder::new(timestamps).with_field(field);
            for row in 0..times.len() {
                let Some(time) = value(row) else {
                    lists.append_null();
                    continue;
                };
                let (size, slide, offset) = (number(0, row), number(1, row), number(2, row));
                for start in starts(time, size, slide, offset) {
                    lists.values().append_value(start);
                }
                lists.append(true);
            }
            Arc::new(lists.finish())
        } else {
            let bound = |row: usize| {
                let time = value(row)?;
                match self.assign {
                    Assign::Add => time.checked_add(number(0, row)),
                    _ => Some(floor(time, number(0, row), number(1, row))),
                }
            };
            let mut builder = TimestampMicrosecondBuilder::new().with_data_type(timestamp_type());
            (0..times.len()).for_each(|row| builder.append_option(bound(row)));
            Arc::new(builder.finish())
        };
        Ok(ColumnarValue::Array(array))
    }
}

/// The newest start at or before `time`; negative times round down.
fn floor(time: i64, slide: i64, offset: i64) -> i64 {
    time - (time - offset).rem_euclid(slide.max(1))
}

fn starts(time: i64, size: i64, slide: i64, offset: i64) -> Vec<i64> {
    let newest = floor(time, slide, offset);
    let mut starts = Vec::new();
    let mut start = newest;
    while start > time - size {
        starts.push(start);
        start -= slide.max(1);
    }
    starts.reverse();
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_starts_cover_the_time_and_round_negative_times_down() {
        assert_eq!(starts(10, 10, 5, 0), [5, 10]);
        assert_eq!(starts(9, 10, 5, 0), [0, 5]);
        assert_eq!(starts(-1, 10, 5, 0), [-10, -5]);
        assert_eq!(starts(7, 2, 5, 0), [] as [i64; 0], "slide > size leaves gaps");
        assert_eq!(starts(7, 5, 5, 2), [7]);
        assert_eq!(floor(-1, 10, 0), -10);
    }
}
