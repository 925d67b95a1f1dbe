//! What to run, as plain data: SQL text and catalog in, [`dataflow::FeaturePlan`] out.
//!
//! | file | what is in it |
//! |---|---|
//! | `dataflow` | the specs that drivers build operators from |

pub mod dataflow;
