//! The contract between a log (Kafka, files, a generator) and the runtime that reads it.

use std::time::Duration;

use crate::error::Result;
use crate::model::batch::Position;

use super::admit::Gap;
use super::records::Records;

/// Records of one partition as they were read, in log order.
#[derive(Debug)]
pub struct Chunk {
    pub partition: u32,
    pub records: Records,
    /// Where reading this partition continues: above every offset in `records`. Larger than the
    /// last offset + 1 where the log has offsets without a record (Kafka's transaction markers).
    pub next_offset: i64,
}

/// What one poll gave.
#[derive(Debug, Default)]
pub struct Polled {
    pub chunks: Vec<Chunk>,
    /// Records that were deleted before they were read, and are passed over because the source
    /// says so; a chunk without records moves the position behind each.
    pub gaps: Vec<Gap>,
    /// Nothing more will come unless the log grows: every partition stands at its end.
    pub end_of_input: bool,
}

impl Polled {
    /// Records in all chunks.
    pub fn rows(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.records.len()).sum()
    }
}

/// A log: partitions, each an ordered sequence of records. Synchronous: the runtime calls it from
/// a thread of its own, and it must not be called from within an async task.
///
/// # Contract
/// - The same positions always give the same records with the same offsets, whatever the size and
///   timing of polls: replay is exact.
/// - Within a partition offsets ascend strictly, over chunks and polls; there is no order between
///   partitions.
/// - `poll` returns as soon as something is there, and nothing (no chunk) after `timeout`.
/// - Passing trouble (a broker that does not answer) is retried inside and reported through the
///   status callback; an `Unavailable` error from `poll` may be retried by the caller. `Data` and
///   the other kinds end the source.
pub trait Source: Send {
    /// The partitions of the log as it was opened, and those of `add`, ascending.
    fn partitions(&self) -> Vec<u32>;

    /// Where reading starts the first time, one position per partition.
    fn starts(&mut self) -> Result<Vec<Position>>;

    /// The ends as seen now (exclusive), one position per partition.
    fn ends(&mut self) -> Result<Vec<Position>>;

    /// Continues at these positions. Partitions that are not named are not read. Must be called
    /// before the first poll.
    fn seek(&mut self, positions: &[Position]) -> Result<()>;

    /// The next records, at most about `rows_max` in all.
    fn poll(&mut self, rows_max: usize, timeout: Duration) -> Result<Polled>;

    /// The oldest record left in each partition, whatever [`Self::starts`] says.
    fn oldest(&mut self) -> Result<Vec<Position>> {
        self.starts()
    }

    /// The ends as last heard of (exclusive), without asking anybody; partitions without news are
    /// left out. For showing how far behind reading is.
    fn ends_heard(&self) -> Vec<Position> {
        Vec::new()
    }

    /// Whether the log has said that nothing more is there in a partition, since its last record.
    fn at_end(&self, _partition: u32) -> bool {
        false
    }

    /// Partitions that the log has gained, at their oldest record. Cheap while there are none.
    fn gained(&mut self) -> Result<Vec<Position>> {
        Ok(Vec::new())
    }

    /// Reads these gained partitions too, from these positions on.
    fn add(&mut self, _gained: &[Position]) -> Result<()> {
        Ok(())
    }

    /// What reading waits for, if something outside does not answer.
    fn trouble(&self) -> Option<String> {
        None
    }
}
