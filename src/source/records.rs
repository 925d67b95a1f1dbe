//! Records as a source hands them on, before anything is decoded: messages end to end in one
//! buffer, or typed rows of a Parquet file. No allocation per message.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, TimestampMicrosecondArray};

use crate::error::Result;
use crate::limits::DEAD_LETTER_OVERSIZE_BYTES;
use crate::model::text::write_json_row;
use crate::model::time::EventTime;

/// A stretch of the buffer; `start == u32::MAX` is NULL.
#[derive(Clone, Copy, Debug)]
struct Slice {
    start: u32,
    length: u32,
}

const NULL: Slice = Slice { start: u32::MAX, length: 0 };

/// The header line of a CSV file, for the records that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvHeader {
    pub file: String,
    pub line: Vec<u8>,
}

/// Messages of one partition in log order.
#[derive(Debug, Default)]
pub struct Messages {
    bytes: Vec<u8>,
    values: Vec<Slice>,
    /// Empty while no message had one; likewise `headers` and `timestamps`.
    keys: Vec<Slice>,
    headers: Vec<Slice>,
    timestamps: Vec<Option<EventTime>>,
    offsets: Vec<i64>,
    /// (index, full length) of messages of which only the beginning was kept.
    oversize: Vec<(usize, u64)>,
    /// CSV only: the header line these records belong to.
    pub header: Option<Arc<CsvHeader>>,
}

impl Messages {
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Bytes held; sources end a chunk before it grows beyond 2^31.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a message. Of a value longer than `bytes_max` only the first 120 bytes are kept.
    pub fn push(&mut self, offset: i64, value: Option<&[u8]>, bytes_max: usize) {
        let slice = match value {
            None => NULL,
            Some(value) if value.len() > bytes_max => {
                self.oversize.push((self.len(), value.len() as u64));
                let cut = DEAD_LETTER_OVERSIZE_BYTES.min(bytes_max);
                self.append(value.get(..cut).unwrap_or_default())
            }
            Some(value) => self.append(value),
        };
        self.values.push(slice);
        self.offsets.push(offset);
    }

    /// Adds the value that `write` appends to the buffer; it returns the full length of the value
    /// or `None` if there is none, and then nothing is added.
    pub fn push_with(
        &mut self,
        offset: i64,
        write: impl FnOnce(&mut Vec<u8>) -> Result<Option<u64>>,
    ) -> Result<bool> {
        let start = self.bytes.len();
        let Some(full) = write(&mut self.bytes)? else { return Ok(false) };
        let length = self.bytes.len() - start;
        if full > length as u64 {
            self.oversize.push((self.len(), full));
        }
        self.values.push(Slice { start: start as u32, length: length as u32 });
        self.offsets.push(offset);
        Ok(true)
    }

    /// Sets the record timestamp of the message pushed last.
    pub fn set_timestamp(&mut self, timestamp: Option<EventTime>) {
        if timestamp.is_some() || !self.timestamps.is_empty() {
            self.timestamps.resize(self.len().saturating_sub(1), None);
            self.timestamps.push(timestamp);
        }
    }

    /// Sets the key of the message pushed last.
    pub fn set_key(&mut self, key: Option<&[u8]>) {
        if let Some(key) = key {
            let slice = self.append(key);
            self.keys.resize(self.len().saturating_sub(1), NULL);
            self.keys.push(slice);
        }
    }

    /// Sets the headers (a JSON text) of the message pushed last.
    pub fn set_headers(&mut self, headers: &[u8]) {
        let slice = self.append(headers);
        self.headers.resize(self.len().saturating_sub(1), NULL);
        self.headers.push(slice);
    }

    fn append(&mut self, bytes: &[u8]) -> Slice {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        Slice { start, length: bytes.len() as u32 }
    }

    fn slice(&self, slices: &[Slice], index: usize) -> Option<&[u8]> {
        let Slice { start, length } = *slices.get(index)?;
        if start == u32::MAX {
            return None;
        }
        self.bytes.get(start as usize..start as usize + length as usize)
    }

    /// The message itself; `None` is Kafka's null value.
    #[inline]
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        self.slice(&self.values, index)
    }

    /// The full length of an oversize message, `None` for the others.
    pub fn oversize(&self, index: usize) -> Option<u64> {
        let at = self.oversize.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        self.oversize.get(at).map(|(_, length)| *length)
    }

    /// Whether any message is oversize.
    pub fn has_oversize(&self) -> bool {
        !self.oversize.is_empty()
    }
}

/// Offsets of typed rows.
#[derive(Clone, Debug)]
pub enum RowOffsets {
    /// Consecutive from here.
    From(i64),
    /// One per row, ascending, without NULLs (history with `_offset`).
    Each(Int64Array),
}

/// Typed rows of one partition in log order.
#[derive(Clone, Debug)]
pub struct Rows {
    /// As read from the file: its own columns and types.
    pub batch: RecordBatch,
    pub offsets: RowOffsets,
    /// History with `_timestamp`: one per row.
    pub timestamps: Option<TimestampMicrosecondArray>,
    /// Named in errors.
    pub file: Arc<str>,
}

/// Records of one partition in log order.
#[derive(Debug)]
pub enum Records {
    Messages(Messages),
    Rows(Rows),
}

impl Records {
    pub fn len(&self) -> usize {
        match self {
            Self::Messages(messages) => messages.len(),
            Self::Rows(rows) => rows.batch.num_rows(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The offset of record `index`.
    pub fn offset(&self, index: usize) -> i64 {
        match self {
            Self::Messages(messages) => messages.offsets.get(index).copied().unwrap_or(i64::MAX),
            Self::Rows(Rows { offsets: RowOffsets::From(first), .. }) => first + index as i64,
            Self::Rows(Rows { offsets: RowOffsets::Each(each), .. }) => each.value(index),
        }
    }

    /// The record's own timestamp.
    pub fn timestamp(&self, index: usize) -> Option<EventTime> {
        match self {
            Self::Messages(messages) => messages.timestamps.get(index).copied().flatten(),
            Self::Rows(rows) => {
                let times = rows.timestamps.as_ref()?;
                times.is_valid(index).then(|| EventTime(times.value(index)))
            }
        }
    }

    /// Whether any record has a timestamp of its own.
    pub fn has_timestamps(&self) -> bool {
        match self {
            Self::Messages(messages) => !messages.timestamps.is_empty(),
            Self::Rows(rows) => rows.timestamps.is_some(),
        }
    }

    pub fn key(&self, index: usize) -> Option<&[u8]> {
        match self {
            Self::Messages(messages) => messages.slice(&messages.keys, index),
            Self::Rows(_) => None,
        }
    }

    /// A JSON text.
    pub fn headers(&self, index: usize) -> Option<&str> {
        match self {
            Self::Messages(messages) => {
                std::str::from_utf8(messages.slice(&messages.headers, index)?).ok()
            }
            Self::Rows(_) => None,
        }
    }

    /// What a dead letter keeps: the message, or the row as JSON.
    pub fn raw(&self, index: usize) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Messages(messages) => messages.value(index).map(Cow::Borrowed),
            Self::Rows(rows) => {
                let mut text = Vec::new();
                write_json_row(&rows.batch, index, &mut text).ok()?;
                Some(Cow::Owned(text))
            }
        }
    }
}
