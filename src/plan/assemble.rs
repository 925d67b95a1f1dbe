//! The parts of a query → [`FeaturePlan`]: which columns the step batch holds, which slots read
//! them, how the output is computed from the result batch, names, notes.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable};
use sqlparser::ast::Spanned as _;

use super::bind::{Part, row_schema};
use super::check::CheckedQuery;
use super::checked::{Checked, ErrorCounter, Operation};
use super::dataflow::{
    FeaturePlan, FrameSpec, GroupSpec, Having, Preparation, Projection, SlotSpec, TIME_COLUMN,
    TieBreak, TrailingSpec, WindowSpec,
};
use super::expression::{
    any, canonical_type, canonicalise, column, nondeterministic, not_grouped, physical_expr,
    planning_error, projection, simplify,
};
use super::lower::{Lowered, ROW, is_row, is_slot};
use super::output::{self, Output};
use super::{describe, fingerprint};
use crate::aggregate::datum::Datum;
use crate::aggregate::kind::{AggregateKind, AggregateSpec, check_constants, result_of};
use crate::aggregate::own::Own;
use crate::aggregate::table::Constant;
use crate::aggregate::udaf;
use crate::error::{Error, Result};
use crate::model::batch::{OFFSET_COLUMN, PARTITION_COLUMN};
use crate::model::key::is_key_type;
use crate::sql::token::At as _;

pub fn assemble(
    (name, version): (&str, u32),
    checked: &CheckedQuery,
    lowered: Lowered,
    part: Part,
    errors: &ErrorCounter,
) -> Result<FeaturePlan> {
    let windowed = checked.window.is_some();
    let places = part == Part::Inner && !windowed;
    let schema = Arc::new(row_schema(&checked.source, windowed, places)?);
    let mut parts = Parts::new(checked, schema, errors, lowered)?;
    let slots = parts.slots()?;
    let frames = parts.frames()?;
    let outputs = output::outputs(&parts.lowered, checked)?;
    let mut posts = parts.posts(&outputs)?;
    let named = posts.len();
    if places {
        for name in [PARTITION_COLUMN, OFFSET_COLUMN] {
            let place = Expr::Column(Column::new(Some(ROW), name));
            posts.push((name.to_owned(), parts.carry(place)?));
        }
    }
    let mut window = parts.window(frames, slots);
    let having = parts.having(&window)?;
    if let (WindowSpec::Group(spec), Some((_, having))) = (&mut window, &having) {
        spec.having = Some(having.clone());
    }
    let preparation = parts.preparation()?;
    let (mut posts, output) = parts.output(posts, &window)?;
    posts.truncate(named);
    let having = having.map(|(condition, _)| condition);
    let description = describe::describe(&parts, &window, &posts, having.as_ref());
    // What planning itself folded has been counted on the way; rows have not.
    let mut notes = describe::notes(&parts, &window, &posts);
    if errors.get() > 0 {
        notes.push("warning: a constant expression fails; it is NULL in every row".to_owned());
        errors.reset();
    }
    let column_of = |key: &Expr| match key {
        Expr::Column(column) => Some(column.name.clone()),
        _ => None,
    };
    let key_sources = parts.keys.iter().map(column_of).collect();
    let mut plan = FeaturePlan {
        feature: name.to_owned(),
        version,
        source: checked.source.name.clone(),
        key_columns: outputs.key_columns,
        key_sources,
        preparation,
        window,
        output,
        value_columns: outputs.value_columns,
        time_column: outputs.time,
        ttl_us: None,
        sharing: description.sharing(),
        fingerprint: String::new(),
        notes,
        description,
        errors: errors.clone(),
    };
    plan.fingerprint = fingerprint::fingerprint(&plan, &checked.source);
    Ok(plan)
}

/// What is known about the step batch while it is put together.
pub struct Parts<'a> {
    pub checked: &'a CheckedQuery,
    pub lowered: Lowered,
    /// Columns of the row, qualified by `lower::ROW`.
    pub schema: DFSchemaRef,
    pub filter: Option<Expr>,
    pub keys: Vec<Expr>,
    pub key_types: Vec<DataType>,
    pub values: Vec<Expr>,
    pub value_types: Vec<DataType>,
    /// Indices into `values`.
    pub carried: Vec<usize>,
    errors: &'a ErrorCounter,
}

impl<'a> Parts<'a> {
    fn new(
        checked: &'a CheckedQuery,
        schema: DFSchemaRef,
        errors: &'a ErrorCounter,
        lowered: Lowered,
    ) -> Result<Self> {
        let mut parts = Self {
            checked,
            schema,
            filter: None,
            keys: Vec::new(),
            key_types: Vec::new(),
            values: Vec::new(),
            value_types: Vec::new(),
            carried: Vec::new(),
            errors,
            lowered,
        };
        parts.check_deterministic()?;
        parts.filter = match parts.lowered.filter.clone() {
            Some(filter) => Some(parts.row_expr(filter)?),
            None => None,
        };
        for key in parts.lowered.keys.clone().unwrap_or_default() {
            let key = parts.row_expr(key)?;
            let data_type = key.get_type(&parts.schema).map_err(planning_error)?;
            if !is_key_type(&data_type) {
                let name = describe::row_text(&key);
                return Err(Error::not_supported(format!("{name} of type {data_type} as a key"))
                    .with_hint("keys are numbers, text, bytes, booleans, dates and timestamps"));
            }
            parts.keys.push(key);
            parts.key_types.push(data_type);
        }
        Ok(parts)
    }

    fn check_deterministic(&self) -> Result<()> {
        let lowered = &self.lowered;
        let calls = lowered.calls.iter().flat_map(|call| {
            let order = call.order.iter().map(|(expr, _)| expr);
            call.argument.iter().chain(&call.more).chain(&call.filter).chain(order)
        });
        let ties = lowered.frames.iter().flat_map(|f| f.ties.iter().map(|(e, ..)| e));
        let outputs = lowered.outputs.iter().map(|(_, e)| e);
        let keys = lowered.keys.iter().flatten();
        let filters = lowered.filter.iter().chain(&lowered.having);
        for expr in filters.chain(calls).chain(ties).chain(outputs).chain(keys) {
            if let Some(name) = nondeterministic(expr) {
                return Err(Error::not_supported(format!(
                    "{name} in a feature: its value changes with the time of evaluation"
                ))
                .with_hint("use the event time"));
            }
        }
        Ok(())
    }

    /// Simplified, and of a type that can be kept.
    fn row_expr(&self, expr: Expr) -> Result<Expr> {
        let expr = simplify(expr, &self.schema);
        Ok(simplify(canonicalise(expr, &self.schema, self.errors)?, &self.schema))
    }

    /// The value column holding `expr`; equal expressions share one.
    fn value(&mut self, expr: Expr) -> Result<usize> {
        let expr = self.row_expr(expr)?;
        if let Some(index) = self.values.iter().position(|other| *other == expr) {
            return Ok(index);
        }
        self.value_types.push(expr.get_type(&self.schema).map_err(planning_error)?);
        self.values.push(expr);
        Ok(self.values.len() - 1)
    }

    fn slots(&mut self) -> Result<Vec<SlotSpec>> {
        let mut slots = Vec::with_capacity(self.lowered.calls.len());
        for call in self.lowered.calls.clone() {
            let argument = match call.argument {
                // COUNT(x) of what is never NULL counts rows.
                Some(argument)
                    if call.kind == AggregateKind::Count
                        && !call.distinct
                        && !argument.nullable(&self.schema).map_err(planning_error)? =>
                {
                    None
                }
                Some(argument) => Some(self.value(argument)?),
                None => None,
            };
            let mut more = Vec::with_capacity(call.more.len() + call.order.len());
            for expr in call.more {
                more.push(self.value(expr)?);
            }
            let arguments = argument.iter().chain(&more);
            let mut inputs: Vec<DataType> =
                arguments.map(|index| self.value_types[*index].clone()).collect();
            let mut order = Vec::with_capacity(call.order.len());
            for (expr, direction) in call.order {
                more.push(self.value(expr)?);
                order.push(direction);
            }
            let filter = match call.filter {
                Some(filter) => Some(self.value(filter)?),
                None => None,
            };
            if inputs.is_empty() {
                inputs.push(DataType::Null);
            }
            let located = |error| self.located_call(error, slots.len());
            let output = match &call.own {
                Some(own) => own_result(own, if argument.is_some() { &inputs } else { &[] }),
                None => result_of(call.kind, call.distinct, &inputs),
            };
            let output = output.map_err(located)?;
            let constants = constants(call.kind, &call.constants, &inputs[0]).map_err(located)?;
            let aggregate = AggregateSpec {
                kind: call.kind,
                argument,
                more,
                order,
                constants,
                filter,
                own: call.own,
                distinct: call.distinct,
                ignore_nulls: call.ignore_nulls,
                input: inputs.swap_remove(0),
                output,
            };
            slots.push(SlotSpec { frame: call.frame, aggregate });
        }
        Ok(slots)
    }

    /// An error of call `index`, at the column that uses it.
    fn located_call(&self, error: Error, index: usize) -> Error {
        let slot = format!("a{index}");
        let uses = |expr: &Expr| {
            any(expr, |part| matches!(part, Expr::Column(c) if is_slot(part) && c.name == slot))
        };
        let name = self.lowered.outputs.iter().find(|(_, expr)| uses(expr)).map(|(name, _)| name);
        match name.and_then(|name| self.checked.span_of(name)) {
            Some(span) => error.with_span(span),
            None => error,
        }
    }

    fn frames(&mut self) -> Result<Vec<FrameSpec>> {
        let mut frames = Vec::with_capacity(self.lowered.frames.len());
        for frame in self.lowered.frames.clone() {
            let mut ties = Vec::with_capacity(frame.ties.len());
            for (expr, descending, nulls_first) in frame.ties {
                ties.push(TieBreak { column: self.value(expr)?, descending, nulls_first });
            }
            let (exclude, rows_max) = (frame.exclude, frame.rows_max);
            frames.push(FrameSpec { extent: frame.extent, ties, exclude, rows_max });
        }
        Ok(frames)
    }

    /// The output expressions over the columns of the result batch.
    fn posts(&mut self, outputs: &output::Outputs) -> Result<Vec<(String, Expr)>> {
        let mut posts = Vec::with_capacity(outputs.columns.len());
        for Output { name, expr } in &outputs.columns {
            let post = self.post(expr.clone(), false).map_err(|error| {
                match self.checked.span_of(name) {
                    Some(span) => error.context(format!("column {name}")).with_span(span),
                    None => error.context(format!("column {name}")),
                }
            })?;
            // A cast that the SELECT asks for stays.
            let post = if is_cast(expr) { post } else { without_cast(post) };
            posts.push((name.clone(), post));
        }
        Ok(posts)
    }

    /// Replaces keys, bounds, the event time and slots by columns of the result batch, and what
    /// remains of the current row by carried columns. `lazy`: inside a CASE, where a fallible
    /// expression must not be evaluated for every row.
    fn post(&mut self, expr: Expr, lazy: bool) -> Result<Expr> {
        let raw = self.lowered.keys.iter().flatten().position(|key| *key == expr);
        if let Some(index) = raw {
            return self.kept(format!("k{index}"), &self.key_types[index], &expr);
        }
        if let Expr::Column(c) = &expr {
            if is_slot(&expr) {
                return Ok(column(c.name.clone()));
            }
            if self.checked.is_bound(&expr) {
                return Ok(column(c.name.clone()));
            }
            if self.checked.window.is_none() && self.checked.is_event_time(&expr) {
                return Ok(column(TIME_COLUMN));
            }
        }
        if matches!(expr, Expr::Literal(..)) {
            return Ok(expr);
        }
        let of_row = any(&expr, is_row) && !any(&expr, is_slot) && !self.only_known(&expr);
        let fallible = any(&expr, is_fallible);
        if of_row && (matches!(expr, Expr::Column(_)) || !(lazy && fallible)) {
            let data_type = expr.get_type(&self.schema).map_err(planning_error)?;
            match canonical_type(&data_type) {
                Ok(_) => return self.carry(expr),
                Err(error) if matches!(expr, Expr::Column(_)) => return Err(error),
                // Say, an interval between two columns: carry the columns.
                Err(_) => {}
            }
        }
        let lazy = lazy || matches!(expr, Expr::Case(_)) || short_circuits(&expr);
        let mapped = expr.map_children(|child| Ok(Transformed::yes(self.post(child, lazy)?)));
        Ok(mapped.map_err(planning_error)?.data)
    }

    /// Whether every column of the row in `expr` is a key, a bound or the event time.
    fn only_known(&self, expr: &Expr) -> bool {
        let keys = self.lowered.keys.as_deref().unwrap_or_default();
        let mut known = true;
        let walked = expr.apply(|part| {
            if keys.contains(part) || self.checked.is_bound(part) {
                // Whatever a key is computed from is of no interest.
                return Ok(TreeNodeRecursion::Jump);
            }
            known &= !is_row(part);
            Ok(if known { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        known && walked.is_ok()
    }

    /// A column of the result batch with the value `expr` had on the current row.
    fn carry(&mut self, expr: Expr) -> Result<Expr> {
        if self.checked.window.is_some() {
            return Err(not_grouped(&describe::row_text(&expr)));
        }
        let index = self.value(expr.clone())?;
        if !self.carried.contains(&index) {
            self.carried.push(index);
        }
        self.kept(format!("v{index}"), &self.value_types[index], &expr)
    }

    /// The column in which `expr` is kept, in the type that its surroundings expect.
    fn kept(&self, name: String, kept: &DataType, expr: &Expr) -> Result<Expr> {
        let data_type = expr.get_type(&self.schema).map_err(planning_error)?;
        if data_type == *kept {
            return Ok(column(name));
        }
        Ok(Checked::call(Operation::Cast(data_type), vec![column(name)], self.errors))
    }

    fn window(&self, frames: Vec<FrameSpec>, slots: Vec<SlotSpec>) -> WindowSpec {
        let (key_types, value_types) = (self.key_types.clone(), self.value_types.clone());
        match &self.checked.window {
            None => WindowSpec::Trailing(TrailingSpec {
                key_types,
                value_types,
                frames,
                slots,
                carried: self.carried.clone(),
            }),
            Some(call) => WindowSpec::Group(GroupSpec {
                key_types,
                value_types,
                shape: call.shape.clone(),
                slots,
                having: None,
            }),
        }
    }

    /// HAVING over the columns of the result batch: as an expression and ready to run.
    fn having(&mut self, window: &WindowSpec) -> Result<Option<(Expr, Having)>> {
        let Some(condition) = self.lowered.having.clone() else { return Ok(None) };
        let span = self.checked.select().and_then(|select| select.having.as_ref());
        let located = |error: Error| match span {
            Some(having) => error.context("HAVING").at(having.span()),
            None => error,
        };
        let post = self.post(condition, false).map_err(located)?;
        let schema = Arc::new(
            DFSchema::try_from(result_schema(window).as_ref().clone()).map_err(planning_error)?,
        );
        let post = canonicalise(simplify(post, &schema), &schema, self.errors).map_err(located)?;
        let post = simplify(post, &schema);
        let having = Having(physical_expr(&post, &schema).map_err(located)?);
        Ok(Some((post, having)))
    }

    /// Admitted batch → step batch.
    fn preparation(&self) -> Result<Preparation> {
        let admitted = DFSchema::try_from(self.checked.source.admitted_schema().as_ref().clone())
            .map_err(planning_error)?;
        let mut columns = Vec::new();
        for (index, key) in self.keys.iter().enumerate() {
            columns.push((format!("k{index}"), unqualified(key)?));
        }
        columns
            .push((TIME_COLUMN.to_owned(), column(self.checked.source.watermark.column.as_str())));
        columns.push((PARTITION_COLUMN.to_owned(), column(PARTITION_COLUMN)));
        columns.push((OFFSET_COLUMN.to_owned(), column(OFFSET_COLUMN)));
        for (index, value) in self.values.iter().enumerate() {
            columns.push((format!("v{index}"), unqualified(value)?));
        }
        let filter = match &self.filter {
            Some(filter) => Some(physical_expr(&unqualified(filter)?, &admitted)?),
            None => None,
        };
        let not_null = [TIME_COLUMN, PARTITION_COLUMN, OFFSET_COLUMN];
        Ok(Preparation { filter, projection: projection(&columns, &admitted, &not_null)? })
    }

    /// Result batch → final rows; also the expressions as they ended up.
    fn output(
        &self,
        posts: Vec<(String, Expr)>,
        window: &WindowSpec,
    ) -> Result<(Vec<(String, Expr)>, Projection)> {
        let schema = Arc::new(
            DFSchema::try_from(result_schema(window).as_ref().clone()).map_err(planning_error)?,
        );
        let mut columns = Vec::with_capacity(posts.len());
        for (name, post) in posts {
            let located = |error: Error| match self.checked.span_of(&name) {
                Some(span) => error.context(format!("column {name}")).with_span(span),
                None => error.context(format!("column {name}")),
            };
            let post = canonicalise(simplify(post, &schema), &schema, self.errors);
            columns.push((name.clone(), simplify(post.map_err(located)?, &schema)));
        }
        let projection = projection(&columns, &schema, &[])?;
        Ok((columns, projection))
    }
}

/// The type of the result of a registered aggregate.
fn own_result(own: &Own, inputs: &[DataType]) -> Result<DataType> {
    let result = canonical_type(&own.0.result(inputs)?)?;
    match result.is_nested() {
        true => Err(Error::not_supported(format!("{} giving {result}", own.0.name()))
            .with_hint("register_aggregate takes a function that gives lists")),
        false => Ok(result),
    }
}

/// Constant arguments as slots take them; a default is of the type of the first argument.
fn constants(kind: AggregateKind, given: &[ScalarValue], input: &DataType) -> Result<Vec<Datum>> {
    let takes = kind.function().constants;
    let value = |(i, value): (usize, &ScalarValue)| match takes.get(i) {
        Some(Constant::Value) => udaf::constant(&value.cast_to(input).map_err(|_| {
            Error::usage(format!("{kind}: {value} is no {}", crate::sql::types::type_name(input)))
        })?),
        _ => udaf::constant(value),
    };
    let constants = given.iter().enumerate().map(value).collect::<Result<Vec<_>>>()?;
    check_constants(kind, &constants)?;
    Ok(constants)
}

/// The schema of an operator's result batches.
pub fn result_schema(window: &WindowSpec) -> Arc<Schema> {
    window.result_schema()
}

fn is_cast(expr: &Expr) -> bool {
    let Expr::ScalarFunction(call) = expr else { return false };
    Checked::of(&call.func).is_some_and(|checked| matches!(checked.operation, Operation::Cast(_)))
}

/// A kept column as it is, not in the type that its surroundings would expect.
fn without_cast(post: Expr) -> Expr {
    let cast = is_cast(&post);
    match post {
        Expr::ScalarFunction(mut call)
            if cast && matches!(call.args.as_slice(), [Expr::Column(_)]) =>
        {
            call.args.swap_remove(0)
        }
        other => other,
    }
}

fn is_fallible(expr: &Expr) -> bool {
    let Expr::ScalarFunction(call) = expr else { return false };
    Checked::of(&call.func).is_some_and(|checked| checked.operation != Operation::Canonical)
}

fn short_circuits(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.short_circuits())
}

/// The expression over a batch whose columns have no qualifier.
fn unqualified(expr: &Expr) -> Result<Expr> {
    let stripped = expr.clone().transform_up(|part| {
        Ok(match part {
            Expr::Column(c) => Transformed::yes(Expr::Column(Column::new_unqualified(c.name))),
            other => Transformed::no(other),
        })
    });
    Ok(stripped.map_err(planning_error)?.data)
}

/// The types of the output expressions.
pub fn output_types(posts: &[(String, Expr)], window: &WindowSpec) -> Vec<DataType> {
    let schema = DFSchema::try_from(result_schema(window).as_ref().clone());
    let type_of = |expr: &Expr| match &schema {
        Ok(schema) => expr.get_type(schema).unwrap_or(DataType::Null),
        Err(_) => DataType::Null,
    };
    posts.iter().map(|(_, expr)| type_of(expr)).collect()
}
