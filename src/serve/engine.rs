//! What HTTP needs from a running engine; `runtime` implements it. All calls come from many
//! connections at once and must not wait for anything but the state itself.

use std::fmt;

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::error::Result;
use crate::model::time::EventTime;

/// The key of one entity, as text; the engine knows the types (`online::text::read_text`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyText {
    /// The value of the only key column.
    Single(String),
    /// (column, value), in the order given; empty for a feature with one global entity.
    Named(Vec<(String, String)>),
}

/// What is known of an entity at the time asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Present,
    NotFound,
    Expired,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Present => "PRESENT",
            Self::NotFound => "NOT_FOUND",
            Self::Expired => "EXPIRED",
        })
    }
}

/// A feature's value for one entity at one time.
#[derive(Clone, Debug)]
pub struct Answer {
    pub feature: String,
    /// One row: the key columns.
    pub key: RecordBatch,
    /// The time the values were computed for; `None` while the source has no record.
    pub as_of: Option<EventTime>,
    /// One row: the value columns.
    pub values: RecordBatch,
    pub status: Status,
}

/// A running engine.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Whether a feature of this name is served.
    fn has_feature(&self, feature: &str) -> bool;

    /// `f(key, at)`; without `at`, at serving time. A key that does not fit the feature is an
    /// error of kind `Usage`; an unknown entity is an answer.
    async fn get(&self, feature: &str, key: KeyText, at: Option<EventTime>) -> Result<Answer>;

    /// What `skewless status` prints.
    fn status(&self) -> serde_json::Value;

    /// Whether answers are as fresh as promised; the error says what is missing.
    fn ready(&self) -> Result<()>;

    /// Prometheus text.
    fn metrics(&self) -> String;
}
