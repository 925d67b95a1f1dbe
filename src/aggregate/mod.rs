//! Exact, order-free, retractable aggregates: their numbers, their states, their SQL names.
//!
//! | file | what is in it |
//! |---|---|
//! | `kind` | [`kind::AggregateKind`]: what can be computed, and the type of its result |
//! | `table` | [`table::TABLE`]: names, arguments, results and laws of all of them |
//! | `datum` | one value of any type |
//! | `terms`, `joint` | exact sums of products: COVAR, CORR, REGR, SKEWNESS, KURTOSIS |
//! | `series` | results from the rows as they are: lists, categories, trends |
//! | `sketch` | APPROX_*: buckets that values can leave again |
//! | `wide` | integers beyond 128 bits, as far as the states need them |
//! | `rounding` | from exact rationals to `f64`, once |
//! | `encoding` | the canonical bytes of exact states |
//! | `exact_sum` | [`exact_sum::ExactSum`]: Σx of doubles |
//! | `moments` | n, Σx, Σx² of doubles, integers and decimals; SUM, AVG, VAR, STDDEV |
//! | `extreme` | [`extreme::Extreme`]: MIN and MAX of a moving run |
//! | `distinct` | [`distinct::Distinct`]: a multiset, for DISTINCT |
//! | `udaf` | the same as DataFusion functions: [`udaf::register`] |
//! | `oracle` | test material: seeded randomness, naive rational arithmetic |
//! | `own` | aggregates that a program brings along, and their laws |
//! | `slot` | accumulators over frames and panes, as operators use them |

pub mod datum;
pub mod distinct;
mod encoding;
pub mod exact_sum;
pub mod extreme;
mod joint;
pub mod kind;
pub mod moments;
#[cfg(test)]
mod oracle;
pub mod own;
mod rounding;
mod series;
mod sketch;
pub mod slot;
pub mod table;
mod terms;
pub mod udaf;
mod wide;
