//! Exact, order-free, retractable aggregates: their numbers, their states, their SQL names.
//!
//! | file | what is in it |
//! |---|---|
//! | `kind` | [`kind::AggregateKind`]: what can be computed, and the type of its result |

pub mod kind;
