//! The aggregates a feature can call, as DataFusion sees them while a feature is planned: names,
//! aliases, argument and result types, all from `aggregate::table`. They are never executed;
//! operators build the accumulators.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

use super::registered;
use crate::aggregate::kind::{AggregateKind, result_of};
use crate::aggregate::table::{Function, TABLE};
use crate::aggregate::udaf;

/// DataFusion replaces aggregates of these names by its window functions, which know no FILTER;
/// under another name they stay aggregates.
const REPLACED: [&str; 3] = ["first_value_planned", "last_value_planned", "nth_value_planned"];

/// The kind called `name` (lower case), or planned under it.
pub fn kind_of(name: &str) -> Option<AggregateKind> {
    let name = if REPLACED.contains(&name) { name.strip_suffix("_planned") } else { Some(name) };
    let name = name?;
    AggregateKind::from_name(name).or_else(|| registered::own(name).map(|_| AggregateKind::Own))
}

/// The function called `name` while a feature is planned.
pub fn planned(name: &str) -> Option<Arc<AggregateUDF>> {
    static ALL: LazyLock<Vec<Arc<AggregateUDF>>> =
        LazyLock::new(|| TABLE.iter().map(planned_function).collect());
    let known = ALL.iter().find(|f| f.name() == name || f.aliases().iter().any(|a| a == name));
    known.cloned().or_else(|| registered::own(name).map(|own| Arc::new(udaf::own(&own))))
}

/// All names, for "did you mean".
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().flat_map(|function| function.names.iter().copied())
}

/// How many of so many arguments are columns; the rest are constants. The event time may be left
/// out.
pub fn column_count(function: &Function, arguments: usize) -> usize {
    if function.kind == AggregateKind::Own {
        return arguments;
    }
    let columns = function.arguments.len();
    let least = columns + function.constants.len() - function.optional;
    if function.ends_in_time() && arguments < least { columns - 1 } else { columns }
}

fn planned_function(function: &Function) -> Arc<AggregateUDF> {
    let kind = function.kind;
    let signature = match kind {
        AggregateKind::Count => Signature::variadic_any(Volatility::Immutable),
        _ if function.arguments.is_empty() => Signature::nullary(Volatility::Immutable),
        _ => Signature::user_defined(Volatility::Immutable),
    };
    let own = kind.name();
    let replaced = REPLACED.iter().find(|name| name.strip_suffix("_planned") == Some(own));
    let (name, aliases) = match replaced {
        Some(name) => (*name, function.names),
        None => (own, kind.aliases()),
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
        let columns = column_count(self.kind.function(), arguments.len()).min(arguments.len());
        let columns = &arguments[..columns];
        Ok(result_of(self.kind, false, columns).unwrap_or(DataType::Float64))
    }

    fn is_nullable(&self) -> bool {
        self.kind != AggregateKind::Count
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let columns = column_count(self.kind.function(), arguments.len());
        let widened = |(i, input): (usize, &DataType)| match i < columns {
            true => self.kind.widened(i, input).unwrap_or(input.clone()),
            false => input.clone(),
        };
        Ok(arguments.iter().enumerate().map(widened).collect())
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.kind.function().counts_nulls()
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Err(DataFusionError::Internal(format!("{} is only planned here", self.name)))
    }

    fn state_fields(&self, _: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Err(DataFusionError::Internal(format!("{} is only planned here", self.name)))
    }
}
