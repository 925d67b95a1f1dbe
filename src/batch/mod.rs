//! Drives the same operators over history: Parquet in, final rows out.
//!
//! ```text
//! history ─ admitted batches ─ Preparation ─ Repartition(hash key) ─ Sort(key, time, log order)
//!         ─ FeatureExec (the operator, key by key) ─ final rows
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `history` | [`history::History`]: what a source's history is and how it is judged |
//! | `in_order` | a history by event time, for features that begin with it |
//! | `map_exec`, `sealed_exec` | a plan node that maps batches; one that hides a plan |
//! | `feature_exec` | [`feature_exec::FeatureExec`]: an operator as a DataFusion plan node |
//! | `backfill` | final rows of one feature over history |
//! | `fan` | one scan, several readers |
//! | `requests`, `point_in_time` | `f(key, t)` for many keys and times in one pass |
//! | `label_files` | labels from Parquet and CSV |
//! | `labels` | keys and times of labels in the engine's types |
//! | `training_set` | features at the times of labels |
//! | `asof`, `asof_table` | ASOF JOIN in plain SQL |
//! | `reference` | what a query reads |
//! | `windowed` | plain queries over windows that only operators have |
//! | `adhoc` | plain SELECT over everything a home knows |

pub mod adhoc;
pub mod asof;
mod asof_table;
pub mod backfill;
pub mod fan;
pub mod feature_exec;
pub mod history;
pub mod in_order;
pub mod label_files;
pub mod labels;
pub mod map_exec;
pub mod point_in_time;
pub mod reference;
pub mod requests;
mod sealed_exec;
pub mod training_set;
mod windowed;
