//! The rule "an expression that fails on a row is NULL for that row" as a rewriting of plans.
//!
//! Runs after type coercion. CAST that can fail, checked arithmetic (integers, decimals, times),
//! negation, regular expressions and scalar functions become [`Checked`] calls; operands of
//! float comparisons that are computed become canonical (one zero, one NaN). Names in schemas
//! stay as the user wrote. Never changes what an expression gives on rows where it succeeds.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Between, BinaryExpr, Case, InList, Like, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, Volatility};
use datafusion::optimizer::AnalyzerRule;

use super::checked::{Checked, ErrorCounter, Operation};
use crate::model::batch::timestamp_type;

/// The rule; failures are counted in `errors`.
#[derive(Debug, Default)]
pub struct Lenient {
    pub errors: ErrorCounter,
}

impl AnalyzerRule for Lenient {
    fn name(&self) -> &str {
        "lenient"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(|plan| self.rewrite_plan(plan))?.data)
    }
}

impl Lenient {
    fn rewrite_plan(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let computing = matches!(
            plan,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::Aggregate(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Sort(_)
                | LogicalPlan::Join(_)
                | LogicalPlan::Values(_)
        );
        if !computing {
            return Ok(Transformed::no(plan));
        }
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        // What a node hands on is canonical, so a plain column always is.
        let outputs = !matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Join(_));
        plan.map_expressions(|expr| {
            if matches!(expr, Expr::GroupingSet(_)) {
                return Ok(Transformed::no(expr));
            }
            let name = names.save(&expr);
            let rewritten = self.rewrite(expr, &schema)?;
            Ok(rewritten.update_data(|expr| {
                let expr = if outputs { self.canonical_output(expr, &schema) } else { expr };
                name.restore(expr)
            }))
        })?
        .map_data(|plan| plan.recompute_schema())
    }

    /// Rewrites one expression whose columns are those of `schema`.
    pub fn rewrite(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        expr.transform_up(|expr| self.rewrite_node(expr, schema))
    }

    fn rewrite_node(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let call = |operation, args| Transformed::yes(Checked::call(operation, args, &self.errors));
        Ok(match expr {
            Expr::Cast(cast) => {
                let from = cast.expr.get_type(schema)?;
                let to = cast.field.data_type().clone();
                if cast_never_fails(&from, &to) {
                    return Ok(Transformed::no(Expr::Cast(cast)));
                }
                call(Operation::Cast(to), vec![*cast.expr])
            }
            Expr::Negative(operand) => {
                let data_type = operand.get_type(schema)?;
                if data_type.is_floating() || data_type.is_null() {
                    return Ok(Transformed::no(Expr::Negative(operand)));
                }
                call(Operation::Negative, vec![*operand])
            }
            Expr::BinaryExpr(binary) => self.rewrite_binary(binary, schema)?,
            Expr::SimilarTo(like) => {
                let Like { negated, expr, pattern, case_insensitive, .. } = like;
                let op = match (negated, case_insensitive) {
                    (false, false) => Operator::RegexMatch,
                    (false, true) => Operator::RegexIMatch,
                    (true, false) => Operator::RegexNotMatch,
                    (true, true) => Operator::RegexNotIMatch,
                };
                call(Operation::Binary(op), vec![*expr, *pattern])
            }
            Expr::ScalarFunction(function) => self.rewrite_function(function, schema)?,
            Expr::Between(Between { expr, negated, low, high }) => {
                let fix = |e: Expr| Box::new(self.canonical_operand(e, schema));
                let (micros, low_us) = compared_in_micros(*expr.clone(), *low.clone(), schema);
                let (_, high_us) = compared_in_micros(*expr.clone(), *high.clone(), schema);
                let (expr, low, high) = match micros != *expr && high_us != *high {
                    true => (micros, low_us, high_us),
                    false => (*expr, *low, *high),
                };
                let between = Between::new(fix(expr), negated, fix(low), fix(high));
                Transformed::yes(Expr::Between(between))
            }
            Expr::InList(InList { expr, list, negated }) => {
                let list = list.into_iter().map(|e| self.canonical_operand(e, schema)).collect();
                let expr = Box::new(self.canonical_operand(*expr, schema));
                Transformed::yes(Expr::InList(InList::new(expr, list, negated)))
            }
            Expr::Case(Case { expr: Some(expr), when_then_expr, else_expr }) => {
                let fix = |e: Box<Expr>| Box::new(self.canonical_operand(*e, schema));
                let arms = when_then_expr.into_iter().map(|(when, then)| (fix(when), then));
                let arms = arms.collect();
                Transformed::yes(Expr::Case(Case::new(Some(fix(expr)), arms, else_expr)))
            }
            other => Transformed::no(other),
        })
    }

    fn rewrite_binary(&self, binary: BinaryExpr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let BinaryExpr { left, op, right } = binary;
        use Operator as O;
        match op {
            O::Plus | O::Minus | O::Multiply | O::Divide | O::Modulo => {
                let types = [left.get_type(schema)?, right.get_type(schema)?];
                if types.iter().any(|t| t.is_floating() || t.is_null()) {
                    return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
                }
            }
            O::RegexMatch | O::RegexIMatch | O::RegexNotMatch | O::RegexNotIMatch => {}
            O::Eq
            | O::NotEq
            | O::Lt
            | O::LtEq
            | O::Gt
            | O::GtEq
            | O::IsDistinctFrom
            | O::IsNotDistinctFrom => {
                let (left, right) = compared_in_micros(*left, *right, schema);
                let fix = |e: Expr| Box::new(self.canonical_operand(e, schema));
                let compared = BinaryExpr { left: fix(left), op, right: fix(right) };
                return Ok(Transformed::yes(Expr::BinaryExpr(compared)));
            }
            _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
        }
        let args = vec![*left, *right];
        Ok(Transformed::yes(Checked::call(Operation::Binary(op), args, &self.errors)))
    }

    fn rewrite_function(
        &self,
        function: ScalarFunction,
        schema: &DFSchema,
    ) -> Result<Transformed<Expr>> {
        let ScalarFunction { func, mut args } = function;
        let kept = Checked::of(&func).is_some()
            || func.signature().volatility != Volatility::Immutable
            || args.is_empty()
            || TRANSPARENT.contains(&func.name());
        if kept {
            return Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })));
        }
        if ONLY_SIMPLIFIED.contains(&func.name()) || func.short_circuits() {
            let info =
                SimplifyContext::builder().with_schema(std::sync::Arc::new(schema.clone())).build();
            match func.simplify(args, &info)? {
                ExprSimplifyResult::Simplified(expr) => {
                    return Ok(Transformed::yes(self.rewrite(expr, schema)?.data));
                }
                ExprSimplifyResult::Original(original) => args = original,
            }
        }
        if COMPARING.contains(&func.name()) {
            args = args.into_iter().map(|arg| self.canonical_operand(arg, schema)).collect();
        }
        Ok(Transformed::yes(Checked::call(Operation::Function(func), args, &self.errors)))
    }

    /// A float operand that is computed may be −0 or any NaN; a column never is.
    fn canonical_operand(&self, expr: Expr, schema: &DFSchema) -> Expr {
        let computed = match &expr {
            Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::AggregateFunction(_) => false,
            Expr::ScalarFunction(call) => !matches!(
                Checked::of(&call.func),
                Some(Checked { operation: Operation::Canonical, .. })
            ),
            Expr::Literal(value, _) => value.is_null() || !is_canonical_literal(value),
            _ => true,
        };
        let float = expr.get_type(schema).is_ok_and(|t| t.is_floating());
        if computed && float && !matches!(&expr, Expr::Literal(value, _) if value.is_null()) {
            return Checked::call(Operation::Canonical, vec![expr], &self.errors);
        }
        expr
    }

    /// The same for what a node computes, below its alias.
    fn canonical_output(&self, expr: Expr, schema: &DFSchema) -> Expr {
        match expr {
            Expr::Alias(mut alias) => {
                *alias.expr = self.canonical_output(*alias.expr, schema);
                Expr::Alias(alias)
            }
            Expr::WindowFunction(_) | Expr::AggregateFunction(_) | Expr::Literal(..) => expr,
            other => self.canonical_operand(other, schema),
        }
    }
}

/// `event_time > '2024-01-01'` is coerced to nanoseconds on both sides. Where one side is µs and
/// the other a constant of whole µs it is compared as it is, so that scans can prune by it.
fn compared_in_micros(left: Expr, right: Expr, schema: &DFSchema) -> (Expr, Expr) {
    if let (Some(column), Some(constant)) = (micros_column(&left, schema), micros_constant(&right))
    {
        return (column, constant);
    }
    if let (Some(constant), Some(column)) = (micros_constant(&left), micros_column(&right, schema))
    {
        return (constant, column);
    }
    (left, right)
}

/// The µs operand below a cast to ns.
fn micros_column(expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    let operand = cast_to_nanos(expr)?;
    let data_type = operand.get_type(schema).ok()?;
    (data_type == timestamp_type()).then(|| operand.clone())
}

fn micros_constant(expr: &Expr) -> Option<Expr> {
    let value = match expr {
        Expr::Literal(value, _) => value.clone(),
        _ => match cast_to_nanos(expr)? {
            Expr::Literal(value, _) => value
                .cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())))
                .ok()?,
            _ => return None,
        },
    };
    match value {
        ScalarValue::TimestampNanosecond(Some(nanos), _) if nanos % 1_000 == 0 => {
            let micros = ScalarValue::TimestampMicrosecond(Some(nanos / 1_000), Some("UTC".into()));
            Some(Expr::Literal(micros, None))
        }
        _ => None,
    }
}

fn cast_to_nanos(expr: &Expr) -> Option<&Expr> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let Checked { operation: Operation::Cast(to), .. } = Checked::of(&call.func)? else {
        return None;
    };
    let nanos = matches!(to, DataType::Timestamp(TimeUnit::Nanosecond, _));
    call.args.first().filter(|_| nanos)
}

/// Functions the optimizer and the scans must recognise; they cannot fail.
const TRANSPARENT: [&str; 4] = ["get_field", "named_struct", "struct", "row"];

/// Functions that exist only as what they simplify to.
const ONLY_SIMPLIFIED: [&str; 6] =
    ["coalesce", "nvl2", "arrow_cast", "arrow_try_cast", "cast_to_type", "try_cast_to_type"];

/// Functions that compare their arguments.
const COMPARING: [&str; 3] = ["nullif", "greatest", "least"];

fn is_canonical_literal(value: &ScalarValue) -> bool {
    use ScalarValue as S;
    match value {
        S::Float64(Some(x)) => x.to_bits() == crate::model::key::canonical_f64(*x).to_bits(),
        S::Float32(Some(x)) => !x.is_nan() && x.to_bits() != (-0.0f32).to_bits(),
        _ => true,
    }
}

/// Casts that give a value for every value.
fn cast_never_fails(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let text = matches!(to, T::Utf8 | T::LargeUtf8 | T::Utf8View);
    if from == to || from.is_null() {
        return true;
    }
    match from {
        T::Dictionary(_, values) => cast_never_fails(values, to),
        T::Utf8 | T::LargeUtf8 | T::Utf8View => text || matches!(to, T::Binary | T::LargeBinary),
        T::Boolean => text || to.is_integer(),
        T::Float32 => text || *to == T::Float64,
        T::Float64 => text,
        T::Timestamp(unit, _) => text || matches!(to, T::Timestamp(other, _) if other == unit),
        T::Date32 | T::Decimal128(..) => text,
        _ if from.is_integer() => {
            text || to.is_floating()
                || matches!((digits(from), to), (Some((_, bits)), t) if t.is_integer()
                    && integer_holds(from, t, bits))
                || matches!((digits(from), to), (Some((digits, _)), T::Decimal128(p, s))
                    if i32::from(*p) - i32::from(*s) >= digits && *s >= 0)
        }
        _ => false,
    }
}

/// Decimal digits and bits of an integer type.
fn digits(data_type: &DataType) -> Option<(i32, u32)> {
    use DataType as T;
    Some(match data_type {
        T::Int8 | T::UInt8 => (3, 8),
        T::Int16 | T::UInt16 => (5, 16),
        T::Int32 | T::UInt32 => (10, 32),
        T::Int64 => (19, 64),
        T::UInt64 => (20, 64),
        _ => return None,
    })
}

fn integer_holds(from: &DataType, to: &DataType, bits: u32) -> bool {
    let Some((_, wider)) = digits(to) else { return false };
    match (from.is_signed_integer(), to.is_signed_integer()) {
        (true, true) | (false, false) => wider >= bits,
        (false, true) => wider > bits,
        (true, false) => false,
    }
}

#[cfg(test)]
mod tests;
