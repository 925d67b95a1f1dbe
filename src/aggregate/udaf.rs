//! The exact aggregates as DataFusion functions, under the built-in names: ad-hoc SQL has the
//! bits of the operators, in every plan, partitioning and batch size (semantics §3). Sums travel
//! between partial and final aggregation as their canonical bytes, never rounded. Called where a
//! `SessionContext` is made; contexts that judge us as an oracle must not register them.
//!
//! Stock functions stay where they already keep the contract: FIRST_VALUE, LAST_VALUE and
//! NTH_VALUE, LAG, ARRAY_AGG and STRING_AGG, BOOL_* and BIT_*, COUNT, and MIN/MAX of anything but
//! floats.

mod count;
mod distinct;
mod evaluate;
mod kept;
mod min_max;
mod numeric;
mod own;

pub use self::kept::{datum as constant, rows_of};
pub use self::own::function as own;

use std::sync::Arc;

use datafusion::logical_expr::AggregateUDF;
use datafusion::prelude::SessionContext;

use super::kind::AggregateKind;

/// Optimizer rules that must not run with exact aggregates. This one splits `SUM(x)` beside
/// `COUNT(DISTINCT y)` into a sum of rounded sums, and compares distinct floats by their bits.
pub const REMOVED_OPTIMIZER_RULES: [&str; 1] = ["single_distinct_aggregation_to_group_by"];

/// Replaces the built-in functions of a context by the exact ones, and removes
/// [`REMOVED_OPTIMIZER_RULES`].
pub fn register(context: &SessionContext) {
    for function in all() {
        context.register_udaf(AggregateUDF::clone(&function));
    }
    for rule in REMOVED_OPTIMIZER_RULES {
        // False when it was not there, which is as good.
        let _ = context.remove_optimizer_rule(rule);
    }
}

/// The functions, for a session state that is put together by hand; such a state must also do
/// without [`REMOVED_OPTIMIZER_RULES`].
pub fn all() -> Vec<Arc<AggregateUDF>> {
    use AggregateKind as K;
    let numeric = [K::Sum, K::Avg, K::VarPop, K::VarSamp, K::StddevPop, K::StddevSamp]
        .into_iter()
        .map(|kind| AggregateUDF::new_from_impl(numeric::Numeric::new(kind)));
    let extremes = [K::Min, K::Max]
        .into_iter()
        .map(|kind| AggregateUDF::new_from_impl(min_max::MinMax::new(kind)));
    let count = AggregateUDF::new_from_impl(count::Count::new());
    let kept = K::all()
        .filter(|kind| is_kept(*kind))
        .map(|kind| AggregateUDF::new_from_impl(kept::Kept::new(kind)));
    numeric.chain(extremes).chain(kept).chain([count]).map(Arc::new).collect()
}

/// Whether a slot evaluates the function in ad-hoc SQL too.
fn is_kept(kind: AggregateKind) -> bool {
    use AggregateKind as K;
    let kept = kind >= K::Median && kind < K::Rate;
    kept && !matches!(kind, K::NthValue | K::ArrayAgg | K::StringAgg | K::Lag)
}

#[cfg(test)]
mod tests;
