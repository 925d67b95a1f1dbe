//! The aggregates a feature can call, as DataFusion sees them while a feature is planned: names,
//! aliases, argument and result types. They are never executed; operators build the accumulators.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

use crate::aggregate::kind::AggregateKind;

/// Every name under which an aggregate can be called, the first of a kind being its own.
const NAMES: [(AggregateKind, &[&str]); 11] = [
    (AggregateKind::Count, &["count"]),
    (AggregateKind::Sum, &["sum"]),
    (AggregateKind::Avg, &["avg", "mean"]),
    (AggregateKind::Min, &["min"]),
    (AggregateKind::Max, &["max"]),
    (AggregateKind::VarPop, &["var_pop", "var_population"]),
    (AggregateKind::VarSamp, &["var_samp", "var", "var_sample", "variance"]),
    (AggregateKind::StddevPop, &["stddev_pop"]),
    (AggregateKind::StddevSamp, &["stddev_samp", "stddev"]),
    (AggregateKind::FirstValue, &["first_value"]),
    (AggregateKind::LastValue, &["last_value"]),
];

/// The kind called `name` (lower case).
pub fn kind_of(name: &str) -> Option<AggregateKind> {
    NAMES.iter().find(|(_, names)| names.contains(&name)).map(|(kind, _)| *kind)
}

/// The name of a kind, in capitals, for texts.
pub fn name_of(kind: AggregateKind) -> String {
    let found = NAMES.iter().find(|(other, _)| *other == kind);
    found.map_or_else(String::new, |(_, names)| names[0].to_uppercase())
}

/// The function called `name` while a feature is planned.
pub fn planned(name: &str) -> Option<Arc<AggregateUDF>> {
    static ALL: LazyLock<Vec<Arc<AggregateUDF>>> =
        LazyLock::new(|| NAMES.iter().map(|(kind, names)| planned_kind(*kind, names)).collect());
    ALL.iter().find(|f| f.name() == name || f.aliases().iter().any(|a| a == name)).cloned()
}

/// All names, for "did you mean".
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().flat_map(|(_, names)| names.iter().copied())
}

fn planned_kind(kind: AggregateKind, names: &'static [&'static str]) -> Arc<AggregateUDF> {
    let signature = match kind {
        AggregateKind::Count => Signature::variadic_any(Volatility::Immutable),
        _ => Signature::user_defined(Volatility::Immutable),
    };
    let aliases = names[1..].iter().map(|name| (*name).to_owned()).collect();
    Arc::new(AggregateUDF::new_from_impl(Planned { kind, name: names[0], aliases, signature }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Planned {
    kind: AggregateKind,
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
}

impl AggregateUDFImpl for Planned {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let null = DataType::Null;
        Ok(result_type(self.kind, false, arguments.first().unwrap_or(&null))?)
    }

    fn is_nullable(&self) -> bool {
        self.kind != AggregateKind::Count
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [argument] = arguments else {
            return plan_err!(
                "{} takes one argument, not {}",
                self.name.to_uppercase(),
                arguments.len()
            );
        };
        // REAL is widened first (semantics §3), except where the value itself is kept.
        let kept = matches!(
            self.kind,
            AggregateKind::Min
                | AggregateKind::Max
                | AggregateKind::FirstValue
                | AggregateKind::LastValue
        );
        let argument = match argument {
            DataType::Float32 | DataType::Float16 if !kept => DataType::Float64,
            other => other.clone(),
        };
        result_type(self.kind, false, &argument)?;
        Ok(vec![argument])
    }

    fn supports_null_handling_clause(&self) -> bool {
        matches!(self.kind, AggregateKind::FirstValue | AggregateKind::LastValue)
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Err(DataFusionError::Internal(format!("{} is only planned here", self.name)))
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Err(DataFusionError::Internal(format!("{} is only planned here", self.name)))
    }
}

/// The type of the result of an aggregate over `input` (semantics §3).
///
/// LEAD: replace the body by `aggregate::kind::result_type` once the room `aggregate` has it.
pub fn result_type(
    kind: AggregateKind,
    _distinct: bool,
    input: &DataType,
) -> crate::error::Result<DataType> {
    use AggregateKind as K;
    use DataType as T;
    let refused = || {
        let name = name_of(kind);
        Err(crate::error::Error::usage(format!("{name} does not take an argument of type {input}")))
    };
    Ok(match kind {
        K::Count => T::Int64,
        K::Min | K::Max if matches!(input, T::List(_) | T::Null) => return refused(),
        K::Min | K::Max | K::FirstValue | K::LastValue => input.clone(),
        K::Sum => match input {
            T::Float64 => T::Float64,
            T::Decimal128(p, s) => T::Decimal128(38.min(p + 10), *s),
            t if t.is_signed_integer() => T::Int64,
            t if t.is_unsigned_integer() => T::UInt64,
            _ => return refused(),
        },
        K::Avg => match input {
            T::Decimal128(p, s) => T::Decimal128(38.min(p + 4), 38.min(s + 4)),
            T::Float64 => T::Float64,
            t if t.is_integer() => T::Float64,
            _ => return refused(),
        },
        K::VarPop | K::VarSamp | K::StddevPop | K::StddevSamp => match input {
            T::Float64 => T::Float64,
            t if t.is_integer() => T::Float64,
            _ => return refused(),
        },
    })
}
