//! Calls of aggregates with their arguments told apart: columns, constants, conditions. Part of
//! `lower`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{Case, NullTreatment};
use datafusion::logical_expr::{Expr, lit};

use super::bare;
use crate::aggregate::kind::{AggregateKind, Direction};
use crate::aggregate::own::Own;
use crate::error::{Error, Result};
use crate::limits::ROWS_FRAME_MAX;
use crate::plan::call::{column_count, kind_of};
use crate::plan::expression::simplify;

/// One call of an aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Index into [`Lowered::frames`]; 0 for group windows.
    pub frame: usize,
    pub kind: AggregateKind,
    /// The aggregate, where it is a registered one.
    pub own: Option<Own>,
    /// `None` = COUNT(*).
    pub argument: Option<Expr>,
    /// Column arguments after the first.
    pub more: Vec<Expr>,
    pub constants: Vec<ScalarValue>,
    /// ORDER BY inside the call; empty = the total order.
    pub order: Vec<(Expr, Direction)>,
    /// Where it is not folded into the argument.
    pub filter: Option<Expr>,
    pub distinct: bool,
    pub ignore_nulls: bool,
}

/// A call with its columns inlined.
pub struct CallParts {
    pub kind: AggregateKind,
    pub own: Option<Own>,
    pub args: Vec<Expr>,
    pub distinct: bool,
    pub order: Vec<(Expr, Direction)>,
    pub filter: Option<Expr>,
    pub null_treatment: Option<NullTreatment>,
}

impl Call {
    pub fn new(frame: usize, kind: AggregateKind) -> Self {
        Self {
            frame,
            kind,
            own: None,
            argument: None,
            more: Vec::new(),
            constants: Vec::new(),
            order: Vec::new(),
            filter: None,
            distinct: false,
            ignore_nulls: false,
        }
    }
}

pub fn known_kind(name: &str) -> Result<AggregateKind> {
    kind_of(name).ok_or_else(|| Error::not_yet(format!("{} in a feature", name.to_uppercase())))
}

/// FILTER goes into the argument where it can; COUNT of what is never NULL becomes COUNT(*).
/// `time` is filled in where the event time is left out.
pub fn fold(frame: usize, parts: CallParts, time: Expr) -> Result<Call> {
    use AggregateKind as K;
    let CallParts { kind, own, mut args, distinct, order, filter, null_treatment } = parts;
    let function = kind.function();
    let columns = column_count(function, args.len());
    let constants = args.split_off(columns.min(args.len()));
    let constants = constants.iter().map(|e| constant(kind, e)).collect::<Result<_>>()?;
    if columns < function.arguments.len() {
        args.push(time);
    }
    let more = args.split_off(args.len().min(1));
    let mut argument = args.pop();
    let literal = matches!(&argument, Some(Expr::Literal(value, _)) if !value.is_null());
    if kind == K::Count && literal && !distinct {
        argument = None;
    }
    let null = matches!(&argument, Some(Expr::Literal(value, _)) if value.is_null());
    if kind == K::Count && null {
        argument = Some(lit(ScalarValue::Boolean(None)));
    }
    let distinct = distinct && function.distinct == Some(true);
    let ignore_nulls = null_treatment == Some(NullTreatment::IgnoreNulls);
    let new = Call { own, ..Call::new(frame, kind) };
    let call = Call { argument, more, constants, order, distinct, ignore_nulls, ..new };
    Ok(match filter {
        None => call,
        Some(filter) if !kind.folds_filter() => Call { filter: Some(filter), ..call },
        Some(filter) => {
            let value = call.argument.unwrap_or_else(|| lit(true));
            let arm = (Box::new(filter), Box::new(value));
            let argument = Some(Expr::Case(Case::new(None, vec![arm], None)));
            Call { argument, ..call }
        }
    })
}

/// The value of a constant argument.
pub fn constant(kind: AggregateKind, expr: &Expr) -> Result<ScalarValue> {
    let schema = Arc::new(DFSchema::empty());
    match bare(simplify(expr.clone(), &schema)) {
        Expr::Literal(value, _) => Ok(value),
        _ => Err(Error::usage(format!("{kind} takes a constant there, not an expression"))
            .with_hint(format!("write {}", kind.function().usage))),
    }
}

/// How many rows LAG looks back.
pub fn lag_distance(args: &[Expr]) -> Result<u64> {
    let Some(distance) = args.get(1) else { return Ok(1) };
    let value = constant(AggregateKind::Lag, distance)?;
    let rows = value.cast_to(&DataType::UInt64).ok().and_then(|value| match value {
        ScalarValue::UInt64(rows) => rows.filter(|rows| (1..ROWS_FRAME_MAX).contains(rows)),
        _ => None,
    });
    rows.ok_or_else(|| {
        Error::usage(format!("LAG of {value} rows: expected 1 to {}", ROWS_FRAME_MAX - 1))
    })
}
