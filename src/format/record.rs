//! Cuts a stream of bytes into records: lines (ndjson) or CSV records, whose quotes may hold
//! line ends. Never keeps more of an oversize record than a dead letter shows of it.

use std::io::Read;

use crate::error::{Error, Result};
use crate::limits::DEAD_LETTER_OVERSIZE_BYTES;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Where a record ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At every line feed.
    Line,
    /// At a line feed outside of double quotes.
    Csv,
}

/// Reads records one after the other.
///
/// A line end closes a record; the last one needs none. Empty records at the end of the file do
/// not exist, empty ones before that do. A byte order mark at the start is skipped.
pub struct RecordReader {
    input: Box<dyn Read + Send>,
    ending: Ending,
    bytes_max: usize,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    at_end: bool,
    begun: bool,
    /// Empty records seen, not handed on: they exist only if something follows.
    empty: u64,
}

impl RecordReader {
    /// Records longer than `bytes_max` are cut to what a dead letter keeps.
    pub fn new(input: Box<dyn Read + Send>, ending: Ending, bytes_max: usize) -> Self {
        Self {
            input,
            ending,
            bytes_max,
            buffer: vec![0; CHUNK_BYTES],
            start: 0,
            end: 0,
            at_end: false,
            begun: false,
            empty: 0,
        }
    }

    /// Appends the next record, without its line feed, to `out` and returns its full length
    /// (more than was appended if it was oversize); `None` at the end.
    pub fn next_record(&mut self, out: &mut Vec<u8>) -> Result<Option<u64>> {
        if !self.begun {
            self.begun = true;
            self.fill(3)?;
            if self.waiting().starts_with(b"\xEF\xBB\xBF") {
                self.start += 3;
            }
        }
        loop {
            if self.waiting().len() < 2 {
                self.fill(2)?;
            }
            let blank = match self.waiting() {
                [] => return Ok(None),
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                [b'\r'] => 1,
                _ if self.empty > 0 => {
                    self.empty -= 1;
                    return Ok(Some(0));
                }
                _ => return self.record(out).map(Some),
            };
            self.start += blank;
            self.empty += 1;
        }
    }

    /// A record that is not empty.
    fn record(&mut self, out: &mut Vec<u8>) -> Result<u64> {
        let (from, mut length, mut quotes) = (out.len(), 0u64, Quotes::default());
        loop {
            if self.waiting().is_empty() {
                self.fill(1)?;
                if self.waiting().is_empty() {
                    return Ok(length);
                }
            }
            let waiting = self.waiting();
            let end = line_feed(waiting);
            let line = waiting.get(..end.unwrap_or(waiting.len())).unwrap_or_default();
            if self.ending == Ending::Csv {
                quotes.pass(line);
            }
            let (complete, used) = (end.is_some() && !quotes.open, line.len());
            length += used as u64;
            if length <= self.bytes_max as u64 {
                out.extend_from_slice(line);
            } else {
                let room = (from + DEAD_LETTER_OVERSIZE_BYTES).saturating_sub(out.len());
                out.extend_from_slice(line.get(..room.min(used)).unwrap_or_default());
                out.truncate(from + DEAD_LETTER_OVERSIZE_BYTES.min(self.bytes_max));
            }
            self.start += used + usize::from(end.is_some());
            if complete {
                return Ok(length);
            }
            if end.is_some() {
                length += 1;
                if length <= self.bytes_max as u64 {
                    out.push(b'\n');
                }
            }
        }
    }

    fn waiting(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads until `wanted` bytes wait or the input ends.
    fn fill(&mut self, wanted: usize) -> Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end < wanted && !self.at_end {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.input.read(room) {
                Ok(0) => self.at_end = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from(error)),
            }
        }
        Ok(())
    }
}

/// Whether a CSV record is inside quotes. They open only at the start of a field, so that a stray
/// quote spoils its own record and no other.
struct Quotes {
    open: bool,
    field_start: bool,
    just_closed: bool,
}

impl Default for Quotes {
    fn default() -> Self {
        Self { open: false, field_start: true, just_closed: false }
    }
}

impl Quotes {
    fn pass(&mut self, bytes: &[u8]) {
        if !self.open && !bytes.contains(&b'"') {
            self.just_closed &= bytes.is_empty();
            self.field_start = bytes.last().map_or(self.field_start, |b| *b == b',');
            return;
        }
        for byte in bytes {
            if self.open {
                self.just_closed = *byte == b'"';
                self.open = !self.just_closed;
            } else {
                self.open = *byte == b'"' && (self.field_start || self.just_closed);
                self.just_closed = false;
                self.field_start = *byte == b',';
            }
        }
    }
}

/// Where the first line feed stands; the standard library's reader knows the fast way.
fn line_feed(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let used = std::io::BufRead::skip_until(&mut rest, b'\n').ok()?;
    let last = used.checked_sub(1)?;
    (bytes.get(last) == Some(&b'\n')).then_some(last)
}
