//! Dead letters: what is kept of a record that was not admitted. Built by `source::admit`,
//! written as Parquet or to a topic by the drivers; one schema for both.

use std::sync::{Arc, OnceLock};

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::error::Result;
use crate::limits::DEAD_LETTER_OVERSIZE_BYTES;
use crate::model::batch::timestamp_type;
use crate::model::time::EventTime;

use super::rejection::Rejection;

/// The columns of dead letters:
///
/// | column | type | |
/// |---|---|---|
/// | `source` | Utf8 | name of the source |
/// | `partition`, `offset` | Int32, Int64 | where the record stands in it |
/// | `timestamp` | Timestamp(µs, UTC) | the record's own; NULL for files |
/// | `reason` | Utf8 | `decode`, `event_time`, `future`, `late` |
/// | `message` | Utf8 | what was wrong, for a person |
/// | `event_time` | Timestamp(µs, UTC) | if it could be read |
/// | `key`, `headers` | Binary, Utf8 (JSON) | of the record |
/// | `raw` | Binary | the record; its first 120 bytes if it was oversize |
pub fn dead_letter_schema() -> SchemaRef {
    static SCHEMA: OnceLock<SchemaRef> = OnceLock::new();
    let build = || {
        Arc::new(Schema::new(vec![
            Field::new("source", DataType::Utf8, false),
            Field::new("partition", DataType::Int32, false),
            Field::new("offset", DataType::Int64, false),
            Field::new("timestamp", timestamp_type(), true),
            Field::new("reason", DataType::Utf8, false),
            Field::new("message", DataType::Utf8, false),
            Field::new("event_time", timestamp_type(), true),
            Field::new("key", DataType::Binary, true),
            Field::new("headers", DataType::Utf8, true),
            Field::new("raw", DataType::Binary, true),
        ]))
    };
    Arc::clone(SCHEMA.get_or_init(build))
}

/// One dead letter.
#[derive(Clone, Debug)]
pub struct DeadLetter<'a> {
    pub source: &'a str,
    pub partition: u32,
    pub offset: i64,
    pub timestamp: Option<EventTime>,
    pub rejection: &'a Rejection,
    pub event_time: Option<EventTime>,
    pub key: Option<&'a [u8]>,
    pub headers: Option<&'a str>,
    pub raw: Option<&'a [u8]>,
}

/// Collects dead letters into a batch of [`dead_letter_schema`].
pub struct DeadLetterBuilder {
    bytes_max: usize,
    rows: usize,
    source: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    timestamp: TimestampMicrosecondBuilder,
    reason: StringBuilder,
    message: StringBuilder,
    event_time: TimestampMicrosecondBuilder,
    key: BinaryBuilder,
    headers: StringBuilder,
    raw: BinaryBuilder,
}

impl DeadLetterBuilder {
    /// Raw records longer than `bytes_max` are cut to their first 120 bytes.
    pub fn new(bytes_max: usize) -> Self {
        let time = || TimestampMicrosecondBuilder::new().with_data_type(timestamp_type());
        Self {
            bytes_max,
            rows: 0,
            source: StringBuilder::new(),
            partition: Int32Builder::new(),
            offset: Int64Builder::new(),
            timestamp: time(),
            reason: StringBuilder::new(),
            message: StringBuilder::new(),
            event_time: time(),
            key: BinaryBuilder::new(),
            headers: StringBuilder::new(),
            raw: BinaryBuilder::new(),
        }
    }

    pub fn push(&mut self, letter: &DeadLetter<'_>) {
        let oversize = letter.raw.is_some_and(|raw| raw.len() > self.bytes_max);
        let raw = match letter.raw {
            Some(raw) if oversize => raw.get(..DEAD_LETTER_OVERSIZE_BYTES).or(Some(raw)),
            raw => raw,
        };
        self.rows += 1;
        self.source.append_value(letter.source);
        self.partition.append_value(letter.partition.cast_signed());
        self.offset.append_value(letter.offset);
        self.timestamp.append_option(letter.timestamp.map(|t| t.0));
        self.reason.append_value(letter.rejection.reason.as_str());
        self.message.append_value(&letter.rejection.message);
        self.event_time.append_option(letter.event_time.map(|t| t.0));
        self.key.append_option(letter.key);
        self.headers.append_option(letter.headers);
        self.raw.append_option(raw);
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The letters so far; `None` if there are none.
    pub fn finish(&mut self) -> Result<Option<RecordBatch>> {
        if std::mem::take(&mut self.rows) == 0 {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.source.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.timestamp.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.message.finish()),
            Arc::new(self.event_time.finish()),
            Arc::new(self.key.finish()),
            Arc::new(self.headers.finish()),
            Arc::new(self.raw.finish()),
        ];
        Ok(Some(RecordBatch::try_new(dead_letter_schema(), columns)?))
    }
}
