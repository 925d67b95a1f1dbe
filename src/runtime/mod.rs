//! Drives operators over streams.
//!
//! ```text
//!  ingest thread (one per source)        lane threads              committer task
//!  poll → decode → admit → prepare ──►  operators  ── finals ──►  Parquet, state, manifest
//!        │  split by key group              │ current values
//!        └── archive rows, dead letters ────┼──────────────────►  (same)
//!                                           └──► online task ──►  Redis
//! ```
//! A barrier enters at the ingest threads and travels the same queues as the rows, so what the
//! committer holds when the last one arrives is a consistent cut.
//!
//! | file | what is in it |
//! |---|---|
//! | `pipeline` | [`pipeline::Pipeline`]: which sources, groups and features run together |
//! | `exchange` | rows to lanes by key group |
//! | `lane` | [`lane::Lane`]: the operators of one lane, without threads |
//! | `task` | the thread around a lane, and the messages between threads |
//! | `ingest` | the thread around a source |
//! | `idle` | partitions without records, where time goes on without them |
//! | `refresh` | when values in stores follow time |
//! | `watch` | what that thread sees to besides records |
//! | `committer` | collects outputs and commits epochs |
//! | `outputs` | what is written at checkpoints |
//! | `partitioning` | holds a source to its `partitioned.by` |
//! | `saved` | what a checkpoint holds of an engine, and back |
//! | `online` | the task that writes current values |
//! | `progress` | counters that others may read |
//! | `resume` | from a checkpoint to a [`assemble::Start`], taking over |
//! | `bootstrap` | the state of new features, made of history |
//! | `assemble` | the parts of an engine, connected |
//! | `step` | moves the parts one at a time, for tests that choose what happens |
//! | `lag` | how far behind its log a source is |
//! | `memory` | stops an engine in order before it has no memory left |
//! | `supervisor` | starts all of them, stops them in order |
//! | `ask` | questions about many keys to the lanes |

pub mod ask;
pub mod assemble;
pub mod bootstrap;
pub mod committer;
pub mod exchange;
pub mod idle;
pub mod ingest;
pub mod lag;
pub mod lane;
pub mod memory;
pub mod online;
pub mod outputs;
pub mod partitioning;
pub mod pipeline;
pub mod progress;
pub mod refresh;
pub mod resume;
pub mod saved;
#[cfg(test)]
mod step;
pub mod supervisor;
pub mod task;
mod watch;
