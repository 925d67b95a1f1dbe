//! From analysed expressions to what runs: the types that may leave an expression, simplification,
//! and physical expressions. Called by the other files of this room only.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use super::checked::{Checked, ErrorCounter, Operation};
use super::dataflow::Projection;
use crate::aggregate::kind::map_type;
use crate::error::{Error, Result};
use crate::model::batch::timestamp_type;
use crate::sql::diagnostic::suggestion;

/// The one type in which a value of `data_type` is kept and handed out: text as `Utf8`, bytes as
/// `Binary`, timestamps as µs UTC. An error for types that no column can have.
pub fn canonical_type(data_type: &DataType) -> Result<DataType> {
    use DataType as T;
    Ok(match data_type {
        T::Utf8 | T::LargeUtf8 | T::Utf8View => T::Utf8,
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => T::Binary,
        T::Timestamp(..) => timestamp_type(),
        T::Dictionary(_, values) => canonical_type(values)?,
        T::Boolean | T::Date32 | T::Float32 | T::Float64 => data_type.clone(),
        T::Float16 => T::Float32,
        T::Date64 => T::Date32,
        t if t.is_integer() => t.clone(),
        T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) => T::Decimal128(*p, *s),
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) | T::ListView(item) => {
            T::List(Arc::new(Field::new("item", canonical_type(item.data_type())?, true)))
        }
        T::Map(entries, _) => match entries.data_type() {
            T::Struct(fields) if fields.len() == 2 => map_type(
                canonical_type(fields[0].data_type())?,
                canonical_type(fields[1].data_type())?,
            ),
            _ => return Err(Error::internal("a map whose entries are no pairs")),
        },
        T::Null => {
            return Err(Error::usage("a NULL without a type")
                .with_hint("give it one, for example CAST(NULL AS DOUBLE)"));
        }
        T::Duration(_) => {
            return Err(Error::not_supported("a column cannot hold the difference of two times")
                .with_hint(
                    "take a number, for example EXTRACT(EPOCH FROM a) - EXTRACT(EPOCH FROM b)",
                ));
        }
        T::Decimal256(..) => {
            return Err(Error::not_supported("DECIMAL of more than 38 digits")
                .with_hint("cast to DECIMAL(38, s) or DOUBLE"));
        }
        other => {
            return Err(Error::not_supported(format!("a column of type {other}")).with_hint(
                "columns are BOOLEAN, integers, REAL, DOUBLE, DECIMAL, VARCHAR, BYTEA, DATE, \
                 TIMESTAMP or arrays of these",
            ));
        }
    })
}

/// `expr` as a value of its canonical type.
pub fn canonicalise(expr: Expr, schema: &DFSchema, errors: &ErrorCounter) -> Result<Expr> {
    let from = expr.get_type(schema).map_err(planning_error)?;
    let to = canonical_type(&from)?;
    if from == to {
        return Ok(expr);
    }
    Ok(Checked::call(Operation::Cast(to), vec![expr], errors))
}

/// Folds constants and simplifies; the expression unchanged where that does not work.
pub fn simplify(expr: Expr, schema: &DFSchemaRef) -> Expr {
    let context = SimplifyContext::builder().with_schema(schema.clone()).build();
    let before = expr.get_type(schema).ok();
    match ExprSimplifier::new(context).simplify(expr.clone()) {
        Ok(simple) if simple.get_type(schema).ok() == before => simple,
        _ => expr,
    }
}

/// Named expressions over `schema` as a projection that never fails on a row. Fields are
/// nullable: a probe may find no row.
pub fn projection(
    expressions: &[(String, Expr)],
    schema: &DFSchema,
    not_null: &[&str],
) -> Result<Projection> {
    let mut fields = Vec::with_capacity(expressions.len());
    let mut physical = Vec::with_capacity(expressions.len());
    for (name, expr) in expressions {
        let data_type = expr.get_type(schema).map_err(planning_error)?;
        fields.push(Field::new(name, data_type, !not_null.contains(&name.as_str())));
        physical.push(physical_expr(expr, schema)?);
    }
    let projection = Projection { expressions: physical, schema: Arc::new(Schema::new(fields)) };
    // What cannot be evaluated at all says so now, not in the stream.
    let input: SchemaRef = Arc::new(schema.as_arrow().clone());
    projection.evaluate(&arrow::array::RecordBatch::new_empty(input))?;
    Ok(projection)
}

pub fn physical_expr(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    let props = ExecutionProps::new();
    create_physical_expr(expr, schema, &props, &PhysicalPlanningContext::default())
        .map_err(planning_error)
}

/// Whether any part of `expr` satisfies `is`.
pub fn any(expr: &Expr, mut is: impl FnMut(&Expr) -> bool) -> bool {
    let mut found = false;
    let walked = expr.apply(|part| {
        found = is(part);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walked.is_err()
}

/// A function in `expr` whose value is not decided by its arguments alone.
pub fn nondeterministic(expr: &Expr) -> Option<String> {
    let mut name = None;
    any(expr, |part| match part {
        Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
            name = Some(call.func.name().to_owned());
            true
        }
        Expr::ScalarVariable(_, names) => {
            name = Some(names.join("."));
            true
        }
        _ => false,
    });
    name
}

/// A column without qualifier.
pub fn column(name: impl Into<String>) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// An error of planning: without the names of the planner's passes, with its span.
pub fn planning_error(error: DataFusionError) -> Error {
    match error {
        DataFusionError::Context(_, inner) => planning_error(*inner),
        DataFusionError::Diagnostic(diagnostic, inner) => {
            let own = planning_error(*inner);
            match diagnostic.span {
                Some(span) => own.with_span(span.into()),
                None => own,
            }
        }
        DataFusionError::Collection(mut all) if !all.is_empty() => {
            planning_error(all.swap_remove(0))
        }
        DataFusionError::SchemaError(inner, _) => schema_error(&inner),
        DataFusionError::Internal(message) => Error::usage(first_sentence(&message)),
        DataFusionError::Plan(message) => plan_error(&message),
        DataFusionError::Execution(message) => Error::usage(first_sentence(&message)),
        DataFusionError::NotImplemented(message) => Error::not_yet(first_sentence(&message)),
        other => Error::from(other),
    }
}

/// The two messages of DataFusion that users meet often, in our words.
fn plan_error(message: &str) -> Error {
    let between = |start: &str, end: &str| {
        let (_, rest) = message.split_once(start)?;
        Some(rest.split_once(end)?.0.to_owned())
    };
    let bare = |name: String| name.rsplit_once('.').map_or(name.clone(), |(_, last)| last.into());
    if let Some(name) = between("column \"", "\" must appear in the GROUP BY") {
        return not_grouped(&bare(name));
    }
    if message.starts_with("Cannot create filter with non-boolean predicate") {
        return Error::usage("WHERE takes a condition that is true or false")
            .with_hint("compare the value with something");
    }
    Error::usage(first_sentence(message))
}

/// Without lists of candidates and debug output.
fn first_sentence(message: &str) -> String {
    let mut message = message.trim();
    for noise in ["No function matches", "You might need", "\n", "Substring {"] {
        if let Some((first, _)) = message.split_once(noise)
            && !first.trim().is_empty()
        {
            message = first.trim();
        }
    }
    message.trim_end_matches(['.', ' ']).to_owned()
}

/// A column beside aggregates that is neither.
pub fn not_grouped(name: &str) -> Error {
    Error::usage(format!("{name} is neither grouped nor aggregated"))
        .with_hint("add it to the GROUP BY, or aggregate it: LAST_VALUE(x)")
}

fn schema_error(error: &datafusion::common::SchemaError) -> Error {
    use datafusion::common::SchemaError as S;
    match error {
        S::FieldNotFound { field, valid_fields } => {
            let error = Error::usage(format!("no such column: {}", field.name));
            match suggestion(&field.name, valid_fields.iter().map(|f| f.name.as_str())) {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        }
        other => Error::usage(other.to_string()),
    }
}
