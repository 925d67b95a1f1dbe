//! The aggregates a feature can call, as DataFusion sees them while a feature is planned: names,
//! aliases, argument and result types. They are never executed; operators build the accumulators.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

use crate::aggregate::kind::AggregateKind;
use crate::error::Error;

/// Every name under which an aggregate can be called, the first of a kind being its own.
///
/// The same names as `AggregateKind::{name, aliases}`, which a test compares.
const NAMES: [(AggregateKind, &[&str]); 11] = [
    (AggregateKind::Count, &["count"]),
    (AggregateKind::Sum, &["sum"]),
    (AggregateKind::Avg, &["avg", "mean"]),
    (AggregateKind::Min, &["min"]),
    (AggregateKind::Max, &["max"]),
    (AggregateKind::VarPop, &["var_pop", "var_population"]),
    (AggregateKind::VarSamp, &["var", "var_sample", "var_samp"]),
    (AggregateKind::StddevPop, &["stddev_pop"]),
    (AggregateKind::StddevSamp, &["stddev", "stddev_samp"]),
    (AggregateKind::FirstValue, &["first_value"]),
    (AggregateKind::LastValue, &["last_value"]),
];

/// The kind called `name` (lower case), or planned under it.
pub fn kind_of(name: &str) -> Option<AggregateKind> {
    let name = name.strip_suffix("_planned").unwrap_or(name);
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
    // DataFusion replaces aggregates of these names by its window functions, which know no
    // FILTER; under another name they stay aggregates.
    let (name, aliases) = match kind {
        AggregateKind::FirstValue => ("first_value_planned", names),
        AggregateKind::LastValue => ("last_value_planned", names),
        _ => (names[0], &names[1..]),
    };
    let aliases = aliases.iter().map(|name| (*name).to_owned()).collect();
    Arc::new(AggregateUDF::new_from_impl(Planned { kind, name, aliases, signature }))
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

    /// A wrong argument gets some type here and its error, with the place, in `assemble`.
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let argument = arguments.first().unwrap_or(&DataType::Null);
        Ok(result_type(self.kind, false, argument).unwrap_or(DataType::Float64))
    }

    fn is_nullable(&self) -> bool {
        self.kind != AggregateKind::Count
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let widened = |input: &DataType| argument_type(self.kind, input).unwrap_or(input.clone());
        Ok(arguments.iter().map(widened).collect())
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

/// The type that an argument is widened to before it is aggregated, or what is wrong with it.
pub fn argument_type(kind: AggregateKind, input: &DataType) -> crate::error::Result<DataType> {
    use AggregateKind as K;
    use DataType as T;
    let refused = || {
        let name = name_of(kind);
        let taken = if matches!(kind, K::Min | K::Max) {
            "numbers, text, dates and times"
        } else {
            "numbers"
        };
        let input = crate::sql::types::type_name(input);
        Error::usage(format!("{name} takes {taken}, not {input}"))
    };
    Ok(match (kind, input) {
        (K::Count | K::FirstValue | K::LastValue, _) => input.clone(),
        (K::Min | K::Max, t) if t.is_nested() || t.is_null() => return Err(refused()),
        (K::Min | K::Max, T::Float16) => T::Float32,
        (K::Min | K::Max, _) => input.clone(),
        (_, T::Decimal128(..)) => input.clone(),
        (_, t) if t.is_signed_integer() => T::Int64,
        (_, t) if t.is_unsigned_integer() => T::UInt64,
        (_, t) if t.is_floating() => T::Float64,
        _ => return Err(refused()),
    })
}

/// The type of the result of an aggregate over `input` (semantics §3).
/// The same types as `aggregate::kind::result_type`, which a test compares.
pub fn result_type(
    kind: AggregateKind,
    distinct: bool,
    input: &DataType,
) -> crate::error::Result<DataType> {
    use AggregateKind as K;
    use DataType as T;
    let name = name_of(kind);
    if distinct && (input.is_nested() || matches!(kind, K::FirstValue | K::LastValue)) {
        let input = crate::sql::types::type_name(input);
        return Err(Error::usage(format!("{name}(DISTINCT …) does not take {input}")));
    }
    let argument = argument_type(kind, input)?;
    Ok(match (kind, argument) {
        (K::Count, _) => T::Int64,
        (K::Sum, T::Decimal128(p, s)) => T::Decimal128(38.min(p + 10), s),
        (K::Avg, T::Decimal128(p, s)) => T::Decimal128(38.min(p + 4), 38.min(s + 4)),
        (K::Min | K::Max | K::FirstValue | K::LastValue | K::Sum, argument) => argument,
        _ => T::Float64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::kind;

    #[test]
    fn names_and_result_types_are_those_of_the_aggregates() {
        for name in names() {
            assert_eq!(kind_of(name), AggregateKind::from_name(name), "{name}");
        }
        let types = [
            DataType::Int8,
            DataType::Int64,
            DataType::UInt32,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal128(10, 2),
            DataType::Utf8,
            DataType::Boolean,
            DataType::Date32,
            crate::model::batch::timestamp_type(),
        ];
        for kind in AggregateKind::ALL {
            for input in &types {
                let ours = result_type(kind, false, input).ok();
                let theirs = kind::result_type(kind, false, input).ok();
                assert_eq!(ours, theirs, "{kind:?} of {input}");
            }
        }
    }
}
