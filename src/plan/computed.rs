//! Computed columns of a source: `column AS (expression)` over its other columns. Evaluated once,
//! right after decoding, so that every reader sees the same values. Called by `source` (compiled)
//! and `catalog` (types).

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::logical_plan::{EmptyRelation, Projection as ProjectionNode};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use sqlparser::ast::Expr as SqlExpr;

use super::bind::{FeatureContext, analyse};
use super::check_call::check_scalar;
use super::checked::ErrorCounter;
use super::dataflow::Projection;
use super::expression::{
    canonicalise, column, nondeterministic, planning_error, projection, simplify,
};
use crate::catalog::source::{ColumnKind, SourceDef};
use crate::error::{Error, Result};
use crate::sql::parser::parse_expr;

/// What turns a batch of [`SourceDef::stored_schema`] into one of [`SourceDef::schema`].
#[derive(Clone, Debug)]
pub struct Computed {
    pub projection: Projection,
    /// Rows on which an expression failed (its value is NULL).
    pub errors: ErrorCounter,
}

/// The computed columns of a source, ready to evaluate; `None` if it has none.
pub fn compile_computed(def: &SourceDef) -> Result<Option<Computed>> {
    if !def.columns.iter().any(|c| matches!(c.kind, ColumnKind::Computed(_))) {
        return Ok(None);
    }
    let errors = ErrorCounter::default();
    let stored =
        DFSchema::try_from(def.stored_schema().as_ref().clone()).map_err(planning_error)?;
    let stored = Arc::new(stored);
    let mut columns = Vec::with_capacity(def.columns.len());
    for declared in &def.columns {
        let expr = resolve(def, &declared.name, &mut Vec::new(), &errors)?;
        columns.push((declared.name.clone(), simplify(expr, &stored)));
    }
    let mut projection = projection(&columns, &stored, &[])?;
    projection.schema = def.schema();
    errors.reset();
    Ok(Some(Computed { projection, errors }))
}

/// The expression of a column over stored columns only.
fn resolve(
    def: &SourceDef,
    name: &str,
    within: &mut Vec<String>,
    errors: &ErrorCounter,
) -> Result<Expr> {
    let Some(declared) = def.column(name) else {
        return Err(Error::usage(format!("no such column: {name}")));
    };
    let ColumnKind::Computed(text) = &declared.kind else { return Ok(column(name)) };
    if within.iter().any(|outer| outer == name) {
        within.push(name.to_owned());
        return Err(Error::usage(format!(
            "computed columns of {} depend on each other: {}",
            def.name,
            within.join(" → ")
        )));
    }
    within.push(name.to_owned());
    let located = |error: Error| error.context(format!("computed column {name}"));
    let expr = parse_expr(text).map_err(located)?;
    let expr = plan_expr(&expr, &def.schema(), errors).map_err(located)?;
    let resolved = expr.transform_up(|part| {
        Ok(match part {
            Expr::Column(c) => Transformed::yes(resolve(def, &c.name, within, errors)?),
            other => Transformed::no(other),
        })
    });
    let resolved = resolved.map_err(planning_error)?.data;
    within.pop();
    Ok(resolved)
}

/// Type and nullability of an expression over `schema`: canonical, and nullable wherever the
/// expression can fail on a row.
pub fn infer(expr: &SqlExpr, schema: &Schema) -> Result<(DataType, bool)> {
    let errors = ErrorCounter::default();
    let planned = plan_expr(expr, schema, &errors)?;
    let schema = DFSchema::try_from(schema.clone()).map_err(planning_error)?;
    let data_type = planned.get_type(&schema).map_err(planning_error)?;
    let nullable = planned.nullable(&schema).map_err(planning_error)?;
    Ok((data_type, nullable))
}

/// A deterministic scalar expression over `schema`, analysed, of a canonical type.
fn plan_expr(expr: &SqlExpr, schema: &Schema, errors: &ErrorCounter) -> Result<Expr> {
    check_scalar(expr)?;
    let context = FeatureContext { table: String::new(), schema: Arc::new(schema.clone()) };
    let row = Arc::new(DFSchema::try_from(schema.clone()).map_err(planning_error)?);
    let planned = SqlToRel::new(&context)
        .sql_to_expr(expr.clone(), &row, &mut PlannerContext::new())
        .map_err(planning_error)?;
    if let Some(name) = nondeterministic(&planned) {
        return Err(Error::not_supported(format!(
            "{name} in a computed column: its value changes with the time of evaluation"
        )));
    }
    let input = EmptyRelation { produce_one_row: false, schema: row.clone() };
    let plan = ProjectionNode::try_new(
        vec![planned.alias("value")],
        Arc::new(LogicalPlan::EmptyRelation(input)),
    )
    .map_err(planning_error)?;
    let analysed = analyse(LogicalPlan::Projection(plan), errors)?;
    let Some(planned) = analysed.expressions().into_iter().next() else {
        return Err(Error::internal("an analysed expression got lost"));
    };
    let planned = planned.unalias_nested().data;
    canonicalise(planned, &row, errors)
}

#[cfg(test)]
mod tests;
