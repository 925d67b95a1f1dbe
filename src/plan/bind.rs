//! SQL of a feature → [`FeaturePlan`]: check the statement, resolve names and types with
//! DataFusion, lower the analysed plan, assemble what runs. Everything is checked here; nothing
//! is stored. Callers run it on a thread with a large stack (`limits::PLANNING_STACK_BYTES`).

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, Result as DataFusionResult, TableReference, plan_err};
use datafusion::logical_expr::logical_plan::builder::LogicalTableSource;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::Analyzer;
use datafusion::sql::planner::SqlToRel;
use sqlparser::ast::{
    Expr as SqlExpr, Interval, NamedWindowExpr, Query, Select, SetExpr, Spanned as _, Statement,
    TableFactor, Value, WindowFrameBound, WindowSpec, WindowType, visit_expressions_mut,
};

use super::check_frame::frame_of;
use super::checked::ErrorCounter;
use super::dataflow::{FeaturePlan, FrameExtent, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use super::expression::planning_error;
use super::{assemble, call, chained, check, lower, named, session, spelling, subquery, with};
use crate::catalog::source::SourceDef;
use crate::error::{Error, Result};
use crate::model::batch::{is_place, system_fields, timestamp_type};
use crate::sql::diagnostic::suggestion;
use crate::sql::relations::table;

/// The catalog as planning sees it.
pub trait SourceLookup {
    /// The source called `name` (folded), or an error that says what there is.
    fn source(&self, name: &str) -> Result<Arc<SourceDef>>;
    /// Names of all sources.
    fn names(&self) -> Vec<String>;
}

/// Plans feature `name` version `version` from its SELECT. Errors carry a span into `query`'s
/// text where there is one.
pub fn plan_feature(
    sources: &dyn SourceLookup,
    name: &str,
    version: u32,
    query: &Query,
) -> Result<FeaturePlan> {
    let errors = ErrorCounter::default();
    let mut query = query.clone();
    with::inline(&mut query)?;
    named::write_out(&mut query)?;
    spelling::rewrite(&mut query)?;
    match chained::inner(&query) {
        Some(_) => chained::plan(sources, name, version, &query, &errors),
        None => plan_part(sources, (name, version), &query, Part::Outer, &errors),
    }
}

/// Which SELECT of windows over windows is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The only one, or the one whose rows are those of the feature.
    Outer,
    /// The one below: its rows keep their places in the log where they have one.
    Inner,
}

/// One SELECT without windows over windows, its calls in the one spelling.
pub(super) fn plan_part(
    sources: &dyn SourceLookup,
    feature: (&str, u32),
    query: &Query,
    part: Part,
    errors: &ErrorCounter,
) -> Result<FeaturePlan> {
    let checked = check::check(query, sources)?;
    let planned = logical_plan(&checked, errors).and_then(|plan| {
        let lowered = lower::lower(&plan, &checked, errors)?;
        assemble::assemble(feature, &checked, lowered, part, errors)
    });
    planned.map_err(|error| refused(error, &checked))
}

/// Names and types resolved, casts made explicit, fallible expressions made lenient.
fn logical_plan(checked: &check::CheckedQuery, errors: &ErrorCounter) -> Result<LogicalPlan> {
    let context = FeatureContext {
        table: checked.source.name.clone(),
        schema: relation_schema(&checked.source, checked.window.is_some())?,
    };
    let statement = Statement::Query(Box::new(plain_query(checked)));
    let plan = SqlToRel::new(&context).sql_statement_to_plan(statement).map_err(planning_error)?;
    analyse(plan, errors)
}

/// Type coercion and the lenient rules.
pub(super) fn analyse(plan: LogicalPlan, errors: &ErrorCounter) -> Result<LogicalPlan> {
    Analyzer::with_rules(session::analyzer_rules(errors))
        .execute_and_check(plan, session::options(), |_, _| {})
        .map_err(planning_error)
}

/// Errors that name no place point at the clause they are about, or at the SELECT list.
fn refused(error: Error, checked: &check::CheckedQuery) -> Error {
    if error.span().is_some() {
        return error;
    }
    let selection = checked.select().and_then(|select| select.selection.as_ref());
    let first = checked.items.first().and_then(|item| item.span);
    let span = match selection {
        Some(condition) if error.message().starts_with("WHERE ") => {
            Some(crate::sql::token::span_of(condition.span()))
        }
        _ => first,
    };
    match span {
        Some(span) => error.with_span(span),
        None => error,
    }
}

/// The columns a SELECT over `source` can name.
fn relation_schema(source: &SourceDef, windowed: bool) -> Result<SchemaRef> {
    let schema = source.schema();
    if !windowed {
        return Ok(schema);
    }
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    for name in [WINDOW_START_COLUMN, WINDOW_END_COLUMN] {
        if schema.column_with_name(name).is_some() {
            return Err(Error::usage(format!(
                "column {name} of source {} has the name of a window bound",
                source.name
            ))
            .with_hint("rename the column in the source"));
        }
        fields.push(Arc::new(Field::new(name, timestamp_type(), false)));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The query as DataFusion reads it: its window function replaced by the table it reads, the
/// intervals of its frames in the one spelling that DataFusion takes there.
fn plain_query(checked: &check::CheckedQuery) -> Query {
    let mut plain = checked.query.clone();
    let SetExpr::Select(select) = plain.body.as_mut() else { return plain };
    plain_intervals(select);
    if let Some(call) = &checked.window
        && let Some(query) = &call.query
        && let Some(from) = select.from.first_mut()
    {
        let mut subquery = query.clone();
        subquery::add_bounds(&mut subquery);
        let (alias, lateral, sample) = (call.alias.clone(), false, None);
        from.relation = TableFactor::Derived { lateral, subquery, alias, sample };
        return plain;
    }
    if let Some(from) = select.from.first_mut()
        && !matches!(from.relation, TableFactor::Derived { .. })
    {
        let alias = match &from.relation {
            TableFactor::Table { alias, .. } | TableFactor::TableFunction { alias, .. } => {
                alias.clone()
            }
            _ => None,
        };
        from.relation = table(&checked.source.name);
        if let TableFactor::Table { alias: own, .. } = &mut from.relation {
            *own = alias;
        }
    }
    plain
}

fn plain_intervals(select: &mut Select) {
    for definition in &mut select.named_window {
        if let NamedWindowExpr::WindowSpec(spec) = &mut definition.1 {
            plain_interval(spec);
        }
    }
    let visited: ControlFlow<()> = visit_expressions_mut(&mut select.projection, |expr| {
        if let SqlExpr::Function(function) = expr
            && let Some(WindowType::WindowSpec(spec)) = &mut function.over
        {
            plain_interval(spec);
        }
        ControlFlow::Continue(())
    });
    debug_assert!(visited.is_continue(), "the closure never breaks");
}

fn plain_interval(spec: &mut WindowSpec) {
    let Some(frame) = &mut spec.window_frame else { return };
    // `check_call` has read every frame before; one it refused does not come here.
    let Ok(read) = frame_of(frame) else { return };
    let bound = |text: String| {
        let value = Value::SingleQuotedString(text);
        let interval = Interval {
            value: Box::new(SqlExpr::Value(value.into())),
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        };
        WindowFrameBound::Preceding(Some(Box::new(SqlExpr::Interval(interval))))
    };
    let number = |rows: u64| {
        let value = SqlExpr::Value(Value::Number(rows.to_string(), false).into());
        WindowFrameBound::Preceding(Some(Box::new(value)))
    };
    match read.extent {
        FrameExtent::Range { preceding_us, until_us } => {
            if let Some(us) = preceding_us {
                frame.start_bound = bound(format!("{us} microseconds"));
            }
            let code = lower::frame_code(read.exclude, read.rows_max);
            frame.end_bound = Some(match (code, until_us) {
                (0, 0) => WindowFrameBound::CurrentRow,
                _ => bound(format!("{code} months {until_us} microseconds")),
            });
        }
        FrameExtent::Rows { until, .. } => {
            frame.end_bound = Some(match until {
                0 => WindowFrameBound::CurrentRow,
                _ => number(until),
            });
        }
    }
}

/// What SqlToRel asks while a feature is planned: one table, our aggregates, all scalar functions.
pub(super) struct FeatureContext {
    pub table: String,
    pub schema: SchemaRef,
}

impl ContextProvider for FeatureContext {
    fn get_table_source(&self, name: TableReference) -> DataFusionResult<Arc<dyn TableSource>> {
        if name.table() != self.table {
            return plan_err!("no such source: {}", name.table());
        }
        Ok(Arc::new(LogicalTableSource::new(self.schema.clone())))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        session::functions().expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(session::Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        session::functions().scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        call::planned(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        match call::kind_of(name) {
            Some(_) => None,
            None => session::functions().window_functions().get(name).cloned(),
        }
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        session::options()
    }

    fn udf_names(&self) -> Vec<String> {
        session::functions().scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        call::names().map(str::to_owned).collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The source called `name`, with a suggestion when there is none.
pub(super) fn find_source(sources: &dyn SourceLookup, name: &str) -> Result<Arc<SourceDef>> {
    sources.source(name).map_err(|error| {
        if error.hint().is_some() {
            return error;
        }
        let names = sources.names();
        match suggestion(name, names.iter().map(String::as_str)) {
            None => error.with_hint("create it first: CREATE SOURCE …"),
            Some(hint) => error.with_hint(hint),
        }
    })
}

/// The schema of the rows a feature's expressions read, every column qualified by [`lower::ROW`];
/// `places` adds `_partition` and `_offset`.
pub(super) fn row_schema(source: &SourceDef, windowed: bool, places: bool) -> Result<DFSchema> {
    let mut schema = relation_schema(source, windowed)?;
    if places {
        let place = system_fields().into_iter().filter(|field| is_place(field.name()));
        let fields = schema.fields().iter().cloned().chain(place);
        schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    }
    DFSchema::try_from_qualified_schema(lower::ROW, &schema).map_err(planning_error)
}

#[cfg(test)]
mod tests;
