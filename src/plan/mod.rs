//! What to run, as plain data: SQL text and catalog in, [`dataflow::FeaturePlan`] out.
//!
//! | file | what is in it |
//! |---|---|
//! | `bind` | [`bind::plan_feature`]: the SELECT of a feature → its plan |
//! | `check`, `check_call`, `check_frame` | what a query may be; refusals with their place |
//! | `with` | queries of WITH, put where they are read |
//! | `named` | windows named after windows, written out |
//! | `subquery` | sub-queries between a feature and its source |
//! | `chained` | windows over the results of windows |
//! | `lower` | analysed logical plan → filter, key, frames, calls, outputs |
//! | `assemble`, `output` | those parts → step batch, slots, output columns |
//! | `dataflow` | the specs that drivers build operators from |
//! | `describe`, `text` | a plan and an expression in words |
//! | `fingerprint` | equal definitions, equal fingerprints |
//! | `explain` | EXPLAIN |
//! | `share` | features over the same rows → one state group |
//! | `computed` | computed columns of a source |
//! | `call`, `spelling` | the aggregates, as the planner sees them; other spellings of calls |
//! | `checked`, `lenient` | expressions that are NULL where they fail |
//! | `expression` | types that may leave an expression; physical expressions |
//! | `reach` | how far back a read looks; `ttl` |
//! | `fixture` | test material |
//! | `scalar`, `registered` | scalar functions of our own, and of the program around |
//! | `session`, `relation` | the DataFusion session of ad-hoc SQL; TUMBLE and HOP in it |

mod assemble;
pub mod bind;
mod call;
mod chained;
mod check;
mod check_call;
mod check_frame;
pub mod checked;
pub mod computed;
pub mod dataflow;
pub mod describe;
pub mod explain;
mod expression;
pub mod fingerprint;
#[cfg(test)]
pub mod fixture;
mod lenient;
mod lower;
mod named;
mod output;
pub mod reach;
pub mod registered;
mod relation;
pub mod scalar;
pub mod session;
pub mod share;
pub mod spelling;
mod subquery;
mod text;
mod with;
