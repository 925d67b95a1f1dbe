//! What the commands ask of an engine, as narrow calls over plain data, so that commands can be
//! tested without one and the engine knows nothing of terminals.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use clap::ValueEnum;
use datafusion::execution::SendableRecordBatchStream;
use serde::{Deserialize, Serialize};

use crate::catalog::generator::Generator;
use crate::cli::progress::ProgressLine;
use crate::cli::signal::Stop;
use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::runtime::memory::MemoryLimit;
use crate::sql::ast::Statement;

/// Which home, and the stores that override those of the features.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeOptions {
    pub home: PathBuf,
    pub offline: Option<String>,
    pub online: Option<String>,
    /// Where checkpoints are kept; `None` = where they were, at first `<home>/checkpoints`.
    pub checkpoints: Option<String>,
}

/// Opens a home. Reads the definitions if there are any; creates nothing before something has to
/// be stored. Errors: an unreadable home or damaged definitions.
pub async fn open(options: &HomeOptions) -> Result<Arc<dyn Engine>> {
    Ok(Arc::new(crate::cli::local::LocalEngine::open(options)?))
}

/// An opened home: definitions, their data, and the engine that runs on it, in this process or
/// in another.
///
/// # Contract
/// - Spans of errors point into the text that the statements were parsed from.
/// - Long work looks at `stop` and ends early with a checkpoint, successfully.
/// - Nothing here writes to standard output or standard error.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Runs one statement, as typed in the shell.
    async fn execute(&self, statement: &Statement) -> Result<Output>;

    /// Names for completion; cheap, without reading data.
    async fn names(&self) -> Result<Names>;

    /// Makes the definitions be those of `statements` (CREATE statements only), all or nothing.
    async fn apply(&self, statements: &[Statement], options: ApplyOptions) -> Result<Applied>;

    /// Streams until the sources end, `stop` or a failure.
    async fn run(
        &self,
        options: &RunOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<RunSummary>;

    /// Writes the final rows of one feature over its source's history.
    async fn backfill(
        &self,
        options: &BackfillOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<BackfillSummary>;

    /// Writes labels with the features as they were at the time of each.
    async fn training_set(
        &self,
        options: &TrainingSetOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<TrainingSetSummary>;

    /// The values of one entity.
    async fn get(&self, options: &GetOptions) -> Result<Answer>;

    async fn status(&self) -> Result<Status>;

    /// Sends rows to a Kafka topic; needs no definitions.
    async fn produce(
        &self,
        options: &ProduceOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<ProduceSummary>;

    /// The dead letters of a source.
    async fn dead_letters(&self, options: &DeadLetterOptions) -> Result<Output>;

    /// Sends repaired dead letters to the source's topic, each once.
    async fn replay(&self, options: &ReplayOptions) -> Result<ReplaySummary>;

    /// Writes every current value of a feature to its online store.
    async fn rebuild(&self, feature: &str) -> Result<Rebuilt>;

    /// Compares the final rows that `run` stored for a feature with those below `url`, as
    /// multisets, bit by bit.
    async fn compare(&self, feature: &str, url: &str) -> Result<Comparison>;
}

/// What a statement answers.
pub enum Output {
    /// Rows, read as they are printed.
    Rows(SendableRecordBatchStream),
    /// Text that is the result itself: EXPLAIN, SHOW CREATE.
    Text(String),
    /// What was done, one line: `created source transactions`.
    Done(String),
}

/// Everything that can be named in SQL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub objects: Vec<ObjectNames>,
    /// Scalar, aggregate and window functions.
    pub functions: Vec<String>,
    /// Keys of WITH options, `properties.*` as `properties.`.
    pub options: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectNames {
    /// `source` or `feature`.
    pub kind: &'static str,
    pub name: String,
    pub columns: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Check and report, store nothing.
    pub dry_run: bool,
    /// Allow changes that begin a new version.
    pub replace: bool,
    /// Drop what is not defined.
    pub prune: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Changed,
    Unchanged,
    Dropped,
}

impl ChangeKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Dropped => "dropped",
        }
    }
}

/// What `apply` did, or would do, to one object; shown as
/// `added     feature user_spend (version 1)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// `source` or `feature`.
    pub object: &'static str,
    pub name: String,
    /// For example `version 2, fresh state`.
    pub detail: Option<String>,
}

/// What `apply` did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub changes: Vec<Change>,
    /// What the running engine says about them, one line each.
    pub notes: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9} {} {}", self.kind.word(), self.object, self.name)?;
        match &self.detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

/// Where a bounded run stops; both mean the ends as seen at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// Commits, then closes every window.
    End,
    /// Stops with a checkpoint; open windows stay open.
    Now,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RunOptions {
    /// Empty = all.
    pub features: Vec<String>,
    pub until: Option<Until>,
    /// `None` = no HTTP.
    pub http: Option<HttpOptions>,
    /// `None` = the number of cores.
    pub lanes: Option<usize>,
    pub checkpoint_interval: Duration,
    /// For state and rows that wait to be written.
    pub memory: MemoryLimit,
    /// How long a stop may take before it is an error.
    pub stop_timeout: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            features: Vec::new(),
            until: None,
            http: None,
            lanes: None,
            checkpoint_interval: Duration::from_secs(10),
            memory: MemoryLimit::default(),
            stop_timeout: Duration::from_secs(30),
        }
    }
}

/// Where HTTP is served, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    pub address: std::net::SocketAddr,
    /// Serve other machines although there are no tokens.
    pub insecure: bool,
    /// Files of tokens that may read, and that may also change definitions.
    pub read_tokens: Vec<PathBuf>,
    pub admin_tokens: Vec<PathBuf>,
    /// Certificate and private key, PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl HttpOptions {
    /// Without tokens and TLS.
    pub fn plain(address: std::net::SocketAddr) -> Self {
        let (read_tokens, admin_tokens) = (Vec::new(), Vec::new());
        Self { address, insecure: false, read_tokens, admin_tokens, tls: None }
    }
}

/// What became of the records of all sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Counts {
    pub read: u64,
    pub admitted: u64,
    pub late: u64,
    pub future: u64,
    pub rejected: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSummary {
    /// Of this run.
    pub counts: Counts,
    pub final_rows: u64,
    /// The last checkpoint.
    pub epoch: u64,
    /// The sources have ended: every window is closed.
    pub ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackfillEnd {
    Time(EventTime),
    /// The last committed watermark of the running engine.
    Committed,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BackfillOptions {
    pub feature: String,
    pub out: String,
    pub from: Option<EventTime>,
    pub to: Option<BackfillEnd>,
    pub overwrite: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackfillSummary {
    pub rows: u64,
    pub files: u64,
    pub counts: Counts,
    /// How the history was judged, for example `the engine's own archive: not judged again`.
    pub admission: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingSetOptions {
    /// Parquet or CSV: a file, a directory, a glob.
    pub labels: String,
    /// The time column of the labels.
    pub time: String,
    /// `feature` or `feature:column`.
    pub features: Vec<String>,
    pub out: String,
    /// (key column of a feature, column of the labels) where the names differ.
    pub keys: Vec<(String, String)>,
    /// Rows at the very time of a label count.
    pub inclusive: bool,
    /// `feature__column`.
    pub full_names: bool,
    /// A status column per feature.
    pub status: bool,
    /// The `ttl` to read every feature with, instead of its own.
    pub ttl_us: Option<i64>,
    /// Only what had arrived by the time of the label and this.
    pub known_lag_us: Option<i64>,
    pub overwrite: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainingSetSummary {
    pub rows: u64,
    pub files: u64,
    /// Per source: its name, how its history was judged, what was read.
    pub histories: Vec<(String, String, Counts)>,
    /// Per feature: labels for which it has a value.
    pub present: Vec<(String, u64)>,
    /// Labels whose features include events at or after them.
    pub at_or_after: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The serving time of the source.
    Now,
    Time(EventTime),
}

#[derive(Clone, Debug, PartialEq)]
pub struct GetOptions {
    pub feature: String,
    /// As typed: see [`assign_keys`].
    pub keys: Vec<String>,
    pub at: At,
}

/// The values of one entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub feature: String,
    /// One row: the key columns.
    pub key: RecordBatch,
    /// The time the values hold for.
    pub as_of: Option<EventTime>,
    /// One row: the value columns.
    pub values: RecordBatch,
    /// `PRESENT`, `NOT_FOUND` or `EXPIRED`.
    pub status: &'static str,
}

/// What `skewless status` and `GET /status` print.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Status {
    pub home: String,
    /// Process id and address of the running engine.
    pub running: Option<RunningEngine>,
    pub sources: Vec<SourceStatus>,
    pub features: Vec<FeatureStatus>,
    pub checkpoint: Option<CheckpointStatus>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RunningEngine {
    pub pid: u32,
    pub address: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct SourceStatus {
    pub name: String,
    pub connector: String,
    pub partitions: u32,
    /// Records after the last one read; `None` where the end is not known.
    pub lag: Option<u64>,
    /// RFC 3339, none before the first record.
    pub watermark: Option<String>,
    /// Partitions that hold the watermark back.
    pub held_by: Vec<u32>,
    #[serde(flatten)]
    pub counts: Counts,
    /// What the source is waiting for.
    pub note: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct FeatureStatus {
    pub name: String,
    pub version: u32,
    pub source: String,
    pub online: String,
    pub offline: String,
    pub keys: Option<u64>,
    pub final_rows: Option<u64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CheckpointStatus {
    pub epoch: u64,
    /// RFC 3339.
    pub at: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ProduceInput {
    File(String),
    /// Generated rows: card transactions, or a stream of Nexmark.
    Datagen {
        generator: Generator,
        seed: u64,
    },
}

/// How fast rows are sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Pace {
    Fast,
    /// Rows per second.
    Rate(u64),
    /// By the time of the rows, this much faster than it happened.
    Replay {
        factor: f64,
        time_column: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct ProduceOptions {
    pub input: ProduceInput,
    pub topic: String,
    pub brokers: String,
    pub key: Option<String>,
    /// Make the topic with so many if there is none (`None` = 1).
    pub partitions: Option<u16>,
    pub pace: Pace,
    pub rows: Option<u64>,
    pub properties: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProduceSummary {
    pub rows: u64,
}

/// How dead letters are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterView {
    /// The columns that fit on a screen, records cut.
    People,
    /// Every column, records whole.
    Whole,
    /// One row per reason.
    Summary,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterOptions {
    pub source: String,
    pub reason: Option<&'static str>,
    pub limit: Option<u64>,
    pub view: DeadLetterView,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayOptions {
    pub source: String,
    /// One JSON object per line.
    pub text: String,
    /// Check, and send nothing.
    pub dry_run: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplaySummary {
    pub sent: usize,
    /// Not sent, because an earlier replay did.
    pub there: usize,
    pub topic: String,
}

/// How an online store is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// The running engine has begun to write every value.
    Begun,
    /// So many entities have been written, from the last checkpoint.
    Written(u64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub rows: u64,
    pub different: u64,
}

/// Puts typed key parts in the order of the key columns. A part is `column=value` if what stands
/// before the first `=` is a key column, else the value of the next column in order; so text
/// that holds a `=` needs no quoting.
pub fn assign_keys(columns: &[String], parts: &[String]) -> Result<Vec<String>> {
    let mut values: Vec<Option<String>> = vec![None; columns.len()];
    let expected = || format!("the key is ({})", columns.join(", "));
    let mut positional = Vec::new();
    for part in parts {
        let named = part.split_once('=').and_then(|(name, value)| {
            let index = columns.iter().position(|c| c == name)?;
            Some((index, value))
        });
        match named.map(|(index, value)| (index, values.get_mut(index), value)) {
            Some((_, Some(slot @ None), value)) => *slot = Some(value.to_owned()),
            Some((index, _, _)) => {
                let name = columns.get(index).map_or("", String::as_str);
                return Err(Error::usage(format!("key column '{name}' is given twice")));
            }
            None => positional.push(part),
        }
    }
    let mut rest = positional.into_iter();
    for slot in values.iter_mut().filter(|v| v.is_none()) {
        *slot = rest.next().cloned();
    }
    if let Some(extra) = rest.next() {
        return Err(
            Error::usage(format!("'{extra}' is one key value too many")).with_hint(expected())
        );
    }
    let missing = values.iter().position(Option::is_none).and_then(|at| columns.get(at));
    if let Some(name) = missing {
        return Err(Error::usage(format!("no value for key column '{name}'")).with_hint(expected()));
    }
    Ok(values.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assign(columns: &[&str], parts: &[&str]) -> Result<Vec<String>> {
        let own = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assign_keys(&own(columns), &own(parts))
    }

    #[test]
    fn keys_are_taken_by_name_or_in_order() {
        assert_eq!(assign(&["user_id"], &["42"]).unwrap(), ["42"]);
        assert_eq!(assign(&["a", "b"], &["b=2", "a=1"]).unwrap(), ["1", "2"]);
        assert_eq!(assign(&["a", "b"], &["b=2", "1"]).unwrap(), ["1", "2"]);
        assert_eq!(assign(&["path"], &["x=y"]).unwrap(), ["x=y"]);
        assert!(assign(&[], &[]).unwrap().is_empty());
    }

    #[test]
    fn wrong_keys_say_what_the_key_is() {
        let missing = assign(&["a", "b"], &["1"]).unwrap_err();
        assert_eq!(missing.message(), "no value for key column 'b'");
        assert_eq!(missing.hint(), Some("the key is (a, b)"));
        assert!(assign(&["a"], &["1", "2"]).unwrap_err().message().contains("one key value too"));
        assert!(assign(&["a"], &["a=1", "a=2"]).unwrap_err().message().contains("given twice"));
    }
}
