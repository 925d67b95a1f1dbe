//! Drives the same operators over history: Parquet in, final rows out.
//!
//! ```text
//! history ─ admitted batches ─ Preparation ─ Repartition(hash key) ─ Sort(key, time, log order)
//!         ─ FeatureExec (the operator, key by key) ─ final rows
//! ```
//!
//! | file | what is in it |
//! |---|---|
//! | `feature_exec` | [`feature_exec::FeatureExec`]: an operator as a DataFusion plan node |

pub mod feature_exec;
