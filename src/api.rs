//! skewless as a library: define features, run them, ask them and compute them over history, in
//! the process that needs them. The same code as behind the commands and HTTP; this file adds
//! names only. `examples/library.rs` is a whole program.
//!
//! ```no_run
//! # async fn example() -> skewless::error::Result<()> {
//! use skewless::api::{Engine, Run, Until};
//!
//! let engine = Engine::open("home")?;
//! engine.define("CREATE SOURCE … ; CREATE FEATURE user_clicks AS SELECT …").await?;
//! let running = engine.run(Run::default()).await?;
//! let answer = running.get("user_clicks", &["42"], None).await?;
//! println!("{:?} as of {:?}", answer.values, answer.as_of);
//! running.stop().await?;
//! # Ok(()) }
//! ```
//!
//! All calls need a Tokio runtime with several threads. One engine runs in a home at a time; the
//! commands on the same home find it, also while it runs here. Errors are [`crate::error::Error`]:
//! `kind` says what the caller must do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::TryStreamExt;

use crate::cli::engine::{
    ApplyOptions, BackfillEnd, BackfillOptions, Engine as _, GetOptions, HomeOptions, HttpOptions,
    Output, RunOptions, RunSummary,
};
use crate::cli::local::LocalEngine;
use crate::cli::local::run::Active;
use crate::cli::progress::ProgressLine;
use crate::cli::signal::Stop;
use crate::error::{Error, Result};
use crate::sql::parser::parse_statements;

pub use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};

pub use crate::aggregate::datum::Datum;
/// Aggregates of your own that are kept incrementally; `check_aggregate` tries their laws.
pub use crate::aggregate::own::{Accumulator, Aggregate, check as check_aggregate};
pub use crate::cli::engine::{Answer, At, Change, Counts, Until};
pub use crate::model::time::EventTime;
/// Functions of your own: register them before the first statement that names them, in every
/// process that opens the home. `plan::registered` has the contract, which `check_function` tries.
pub use crate::plan::registered::{
    check as check_function, register_aggregate, register_function, register_incremental,
};

/// How an engine runs.
#[derive(Clone, Debug)]
pub struct Run {
    /// Names; empty = all.
    pub features: Vec<String>,
    /// Stop by itself at the ends of the sources as seen at the start; `None` = when told.
    pub until: Option<Until>,
    /// Also answer over HTTP here; port 0 takes a free one. Loopback only.
    pub http: Option<SocketAddr>,
    /// Parallel pipelines; `None` = the number of cores. Results do not depend on it.
    pub lanes: Option<usize>,
    pub checkpoint_interval: Duration,
}

impl Default for Run {
    /// Every feature, until told to stop, without HTTP, a checkpoint every 10 seconds.
    fn default() -> Self {
        Self {
            features: Vec::new(),
            until: None,
            http: None,
            lanes: None,
            checkpoint_interval: Duration::from_secs(10),
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What became of the records that were read.
    pub counts: Counts,
    pub final_rows: u64,
    /// The last checkpoint.
    pub epoch: u64,
}

impl From<RunSummary> for Summary {
    fn from(summary: RunSummary) -> Self {
        let RunSummary { counts, final_rows, epoch, .. } = summary;
        Self { counts, final_rows, epoch }
    }
}

/// A home: definitions, state and final rows in one directory.
pub struct Engine {
    local: LocalEngine,
}

impl Engine {
    /// Opens a home; nothing is created before something has to be stored.
    pub fn open(home: impl Into<PathBuf>) -> Result<Self> {
        let home = home.into();
        let options = HomeOptions { home, offline: None, online: None, checkpoints: None };
        Ok(Self { local: LocalEngine::open(&options)? })
    }

    /// Makes the CREATE statements of `sql` the definitions: absent ones are added, equal ones
    /// stay, compatible changes are made; all or nothing. Others than these are kept. An engine
    /// that runs in the home with HTTP is told; without, see [`Running::define`].
    pub async fn define(&self, sql: &str) -> Result<Vec<Change>> {
        let statements = parse_statements(sql)?;
        Ok(self.local.apply(&statements, ApplyOptions::default()).await?.changes)
    }

    /// The rows of one SELECT (or SHOW, DESCRIBE): a source reads its history, a feature its
    /// current values, `HISTORY(feature)` its final rows.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let statements = parse_statements(sql)?;
        let [statement] = statements.as_slice() else {
            return Err(Error::usage(format!("{} statements instead of one", statements.len())));
        };
        match self.local.execute(statement).await? {
            Output::Rows(stream) => Ok(stream.try_collect().await?),
            Output::Text(_) | Output::Done(_) => Err(Error::usage("the statement has no rows")
                .with_hint("use define for CREATE, the command line for EXPLAIN")),
        }
    }

    /// The values of one entity from where they are: the engine that runs in the home, Redis, or
    /// the state of the last checkpoint. `key` has one text per key column, in order or as
    /// `column=value`.
    pub async fn get(&self, feature: &str, key: &[&str], at: Option<EventTime>) -> Result<Answer> {
        self.local.get(&get_options(feature, key, at)).await
    }

    /// Writes the final rows of a feature over its source's history to a Parquet file (if the
    /// name ends in `.parquet`) or a directory; returns how many. What is there is an error.
    pub async fn backfill(&self, feature: &str, out: &str, to: Option<EventTime>) -> Result<u64> {
        let options = BackfillOptions {
            feature: feature.to_owned(),
            out: out.to_owned(),
            from: None,
            to: to.map(BackfillEnd::Time),
            overwrite: false,
        };
        let (_keep, stop) = Stop::manual();
        let written = self.local.backfill(&options, &ProgressLine::new(true), &stop).await?;
        Ok(written.rows)
    }

    /// Recovers the home from its last checkpoint and starts its features.
    pub async fn run(&self, run: Run) -> Result<Running> {
        let options = RunOptions {
            features: run.features,
            until: run.until,
            http: run.http.map(HttpOptions::plain),
            lanes: run.lanes,
            checkpoint_interval: run.checkpoint_interval,
            ..RunOptions::default()
        };
        Ok(Running { active: self.local.begin(&options).await? })
    }
}

fn get_options(feature: &str, key: &[&str], at: Option<EventTime>) -> GetOptions {
    GetOptions {
        feature: feature.to_owned(),
        keys: key.iter().map(|part| (*part).to_owned()).collect(),
        at: at.map_or(At::Now, At::Time),
    }
}

/// A running engine. Dropping it ends the engine without a last checkpoint: the next run goes on
/// from the one before, and no answer changes.
pub struct Running {
    active: Active,
}

impl Running {
    /// The values of one entity now, or at a time the state holds; see [`Engine::get`].
    pub async fn get(&self, feature: &str, key: &[&str], at: Option<EventTime>) -> Result<Answer> {
        self.active.get(&get_options(feature, key, at)).await
    }

    /// As [`Engine::define`], by this engine: it takes a checkpoint and goes on from there with
    /// the new definitions; answers are given meanwhile. Returns what was done, line by line.
    pub async fn define(&self, sql: &str) -> Result<Vec<String>> {
        self.active.define(&parse_statements(sql)?).await
    }

    /// What became of the records read so far.
    pub fn counts(&self) -> Counts {
        self.active.counts()
    }

    /// Where HTTP is served.
    pub fn http(&self) -> Option<SocketAddr> {
        self.active.address
    }

    /// Waits until the engine stops by itself ([`Run::until`]), or fails.
    pub async fn finished(self) -> Result<Summary> {
        Ok(self.active.finished().await?.into())
    }

    /// Takes a checkpoint and stops.
    pub async fn stop(self) -> Result<Summary> {
        self.active.stop().await?;
        self.finished().await
    }
}
