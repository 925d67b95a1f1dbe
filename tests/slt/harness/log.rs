//! A log in memory: partitions of records that can be read in chunks of any size from any
//! position. Called by `modes`.

use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use skewless::model::time::EventTime;
use skewless::source::records::{Messages, Records, RowOffsets, Rows};
use skewless::source::source::Chunk;

/// A record as a message.
#[derive(Clone, Debug)]
pub struct Message {
    pub offset: i64,
    /// The record's own timestamp, µs.
    pub own: Option<i64>,
    pub value: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub enum Partition {
    Messages(Vec<Message>),
    Rows { batch: RecordBatch, offsets: Vec<i64>, own: Vec<Option<i64>> },
}

impl Partition {
    pub fn len(&self) -> usize {
        match self {
            Self::Messages(messages) => messages.len(),
            Self::Rows { offsets, .. } => offsets.len(),
        }
    }

    /// Records `from..to` as a source hands them on.
    pub fn chunk(&self, partition: u32, from: usize, to: usize, bytes_max: usize) -> Chunk {
        let (records, next_offset) = match self {
            Self::Messages(all) => {
                let mut messages = Messages::default();
                for message in &all[from..to] {
                    messages.push(message.offset, message.value.as_deref(), bytes_max);
                    messages.set_timestamp(message.own.map(EventTime));
                }
                (Records::Messages(messages), all[to - 1].offset + 1)
            }
            Self::Rows { batch, offsets, own } => {
                let timestamps: TimestampMicrosecondArray = own[from..to].iter().copied().collect();
                let timestamps =
                    (timestamps.null_count() < to - from).then(|| timestamps.with_timezone("UTC"));
                let rows = Rows {
                    batch: batch.slice(from, to - from),
                    offsets: RowOffsets::Each(Int64Array::from(offsets[from..to].to_vec())),
                    timestamps,
                    file: Arc::from("rows.parquet"),
                };
                (Records::Rows(rows), offsets[to - 1] + 1)
            }
        };
        Chunk { partition, records, next_offset }
    }
}
