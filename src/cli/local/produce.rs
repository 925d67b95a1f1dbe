//! Rows to a Kafka topic, from a file or generated.

use crate::cli::engine::{ProduceOptions, ProduceSummary};
use crate::cli::progress::ProgressLine;
use crate::cli::signal::Stop;
use crate::error::{Error, Result};

/// Sends the rows; `stop` ends early, with what was sent so far delivered.
pub(super) async fn produce_rows(
    options: &ProduceOptions,
    _progress: &ProgressLine,
    _stop: &Stop,
) -> Result<ProduceSummary> {
    Err(Error::not_yet(format!("producing to '{}'", options.topic)))
}
