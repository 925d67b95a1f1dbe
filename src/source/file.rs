//! Files as a log: one partition, files in byte order of path, rows in order, `offset` = running
//! row number over all files (semantics §1). Reads ndjson, CSV and Parquet, streaming. A
//! directory may grow at its end (seen by `ends`); files must be whole when they appear.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use crate::catalog::source::{Format, SourceDef};
use crate::error::{Error, Result};
use crate::format::record::{Ending, RecordReader};
use crate::limits::BATCH_ROWS;
use crate::model::batch::Position;

use super::location::{Batches, FileEntry, Selection, list_files};
use super::records::{CsvHeader, Messages, Records, RowOffsets, Rows};
use super::source::{Chunk, Polled, Source};

/// A chunk of messages ends behind this many bytes.
const CHUNK_BYTES: usize = 8 << 20;

/// Reads the files of a source.
pub struct FileSource {
    path: String,
    format: Format,
    columns: Vec<String>,
    bytes_max: usize,
    files: Vec<FileEntry>,
    /// Rows of each file, once known.
    counts: Vec<Option<u64>>,
    /// The file that is open or opened next.
    at: usize,
    open: Option<OpenFile>,
    /// Offset of the next row.
    offset: i64,
    /// Rows read of file `at`.
    rows_of_file: u64,
}

enum OpenFile {
    Text { reader: Box<RecordReader>, header: Option<Arc<CsvHeader>> },
    Rows { batches: Batches, rest: Option<RecordBatch>, file: Arc<str> },
}

impl FileSource {
    /// Lists the files; an error if there are none.
    pub fn new(def: &SourceDef) -> Result<Self> {
        let path = def.options.path.clone().ok_or_else(|| {
            Error::usage(format!("source '{}' needs the option 'path'", def.name))
        })?;
        let physical = def.physical_schema();
        let mut source = Self {
            path,
            format: def.options.format,
            columns: physical.fields().iter().map(|f| f.name().clone()).collect(),
            bytes_max: def.options.message_bytes_max,
            files: Vec::new(),
            counts: Vec::new(),
            at: 0,
            open: None,
            offset: 0,
            rows_of_file: 0,
        };
        source.look_for_files()?;
        Ok(source)
    }

    /// The files known now.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// Lists again: new files may only come behind the known ones.
    fn look_for_files(&mut self) -> Result<()> {
        let files = list_files(&self.path)?;
        for (at, known) in self.files.iter().enumerate() {
            let now = files.get(at).map(|file| file.name.as_str());
            if now != Some(known.name.as_str()) {
                let now = now.unwrap_or("nothing");
                return Err(Error::data(format!(
                    "'{}' may grow only at its end: expected '{}', found '{now}'",
                    self.path, known.name
                ))
                .with_hint("give new files names that sort behind the old ones; keep old files"));
            }
        }
        self.counts.resize(files.len(), None);
        self.files = files;
        Ok(())
    }

    fn format_of(&self, file: &FileEntry) -> Result<Format> {
        let name = file.name.to_ascii_lowercase();
        match name.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, e)| e) {
            Some("json" | "ndjson" | "jsonl") => Ok(Format::Json),
            Some("csv") => Ok(Format::Csv),
            Some("parquet" | "pq") => Ok(Format::Parquet),
            Some(packed @ ("gz" | "zst" | "bz2" | "xz" | "lz4" | "zip")) => {
                Err(Error::not_yet(format!("compressed files ('{}', .{packed})", file.name))
                    .with_hint("unpack the file, or use Parquet, which is compressed inside"))
            }
            _ => Ok(self.format),
        }
    }

    fn open_file(&self, at: usize, skip: u64) -> Result<OpenFile> {
        let Some(file) = self.files.get(at) else {
            return Err(Error::internal("a file beyond the last"));
        };
        let format = self.format_of(file)?;
        if format == Format::Parquet {
            let selection = Selection {
                columns: &self.columns,
                skip_rows: usize::try_from(skip).unwrap_or(usize::MAX),
                batch_rows: BATCH_ROWS,
            };
            let (batches, _) = file.open_parquet(&selection)?;
            let file = Arc::from(file.name.as_str());
            return Ok(OpenFile::Rows { batches, rest: None, file });
        }
        let ending = if format == Format::Csv { Ending::Csv } else { Ending::Line };
        let mut reader = Box::new(RecordReader::new(file.open()?, ending, self.bytes_max));
        let mut header = None;
        let mut line = Vec::new();
        let named = |e: Error| e.context(&file.name);
        if format == Format::Csv {
            if reader.next_record(&mut line).map_err(named)?.is_none() {
                return Err(Error::data(format!("{}: the header line is missing", file.name)));
            }
            header = Some(Arc::new(CsvHeader { file: file.name.clone(), line: line.clone() }));
        }
        for _ in 0..skip {
            line.clear();
            reader.next_record(&mut line).map_err(named)?;
        }
        Ok(OpenFile::Text { reader, header })
    }

    /// Rows of file `at`, counted once.
    fn count(&mut self, at: usize) -> Result<u64> {
        if let Some(Some(known)) = self.counts.get(at) {
            return Ok(*known);
        }
        let Some(file) = self.files.get(at) else { return Ok(0) };
        let count = match self.format_of(file)? {
            Format::Parquet => {
                let none = Selection { columns: &[], skip_rows: 0, batch_rows: BATCH_ROWS };
                file.open_parquet(&none)?.1
            }
            Format::Json | Format::Csv => match self.open_file(at, 0)? {
                OpenFile::Rows { .. } => 0,
                OpenFile::Text { mut reader, .. } => {
                    let (mut rows, mut line) = (0, Vec::new());
                    while reader.next_record(&mut line)?.is_some() {
                        rows += 1;
                        line.clear();
                    }
                    rows
                }
            },
        };
        if let Some(slot) = self.counts.get_mut(at) {
            *slot = Some(count);
        }
        Ok(count)
    }

    /// The file is read to its end.
    fn close(&mut self) {
        if let Some(count) = self.counts.get_mut(self.at) {
            *count = Some(self.rows_of_file);
        }
        self.at += 1;
        self.rows_of_file = 0;
        self.open = None;
    }

    /// The next records of the open file; `None` at its end.
    fn read(&mut self, rows_max: usize) -> Result<Option<Records>> {
        if self.open.is_none() {
            self.open = Some(self.open_file(self.at, 0)?);
        }
        let (first, bytes_max) = (self.offset, CHUNK_BYTES.max(self.bytes_max));
        match &mut self.open {
            None => Ok(None),
            Some(OpenFile::Text { reader, header }) => {
                let mut messages = Messages::default();
                messages.header.clone_from(header);
                while messages.len() < rows_max && messages.bytes() < bytes_max {
                    let offset = first + messages.len() as i64;
                    if !messages.push_with(offset, |out| reader.next_record(out))? {
                        break;
                    }
                }
                Ok((!messages.is_empty()).then_some(Records::Messages(messages)))
            }
            Some(OpenFile::Rows { batches, rest, file }) => {
                let batch = match rest.take() {
                    Some(batch) => batch,
                    None => match batches.next() {
                        Some(batch) => batch?,
                        None => return Ok(None),
                    },
                };
                let count = batch.num_rows().min(rows_max);
                if count < batch.num_rows() {
                    *rest = Some(batch.slice(count, batch.num_rows() - count));
                }
                Ok(Some(Records::Rows(Rows {
                    batch: batch.slice(0, count),
                    offsets: RowOffsets::From(first),
                    timestamps: None,
                    file: Arc::clone(file),
                })))
            }
        }
    }
}

impl Source for FileSource {
    fn partitions(&self) -> Vec<u32> {
        vec![0]
    }

    fn starts(&mut self) -> Result<Vec<Position>> {
        Ok(vec![Position { partition: 0, offset: 0 }])
    }

    /// Counts the rows of every file not counted before, new files included.
    fn ends(&mut self) -> Result<Vec<Position>> {
        self.look_for_files()?;
        let mut rows = 0;
        for at in 0..self.files.len() {
            rows += self.count(at)?;
        }
        Ok(vec![Position { partition: 0, offset: rows.cast_signed() }])
    }

    fn seek(&mut self, positions: &[Position]) -> Result<()> {
        let offset = match positions {
            [] => i64::MAX,
            [Position { partition: 0, offset }] if *offset >= 0 => *offset,
            other => return Err(Error::internal(format!("no such file position: {other:?}"))),
        };
        (self.at, self.open, self.offset, self.rows_of_file) = (0, None, 0, 0);
        if offset == i64::MAX {
            self.at = self.files.len();
            return Ok(());
        }
        let mut left = offset.cast_unsigned();
        while left > 0 && self.at < self.files.len() {
            let count = self.count(self.at)?;
            if left < count {
                self.open = Some(self.open_file(self.at, left)?);
                self.rows_of_file = left;
                left = 0;
            } else {
                left -= count;
                self.at += 1;
            }
        }
        if left > 0 {
            let rows = offset.cast_unsigned() - left;
            return Err(Error::data(format!(
                "'{}' has {rows} rows, but {offset} were read from it before",
                self.path
            ))
            .with_hint("files that were read must stay as they are"));
        }
        self.offset = offset;
        Ok(())
    }

    fn poll(&mut self, rows_max: usize, _timeout: Duration) -> Result<Polled> {
        let mut polled = Polled::default();
        let mut room = rows_max.max(1);
        while room > 0 {
            if self.at >= self.files.len() {
                polled.end_of_input = true;
                break;
            }
            let name = self.files.get(self.at).map(|file| file.name.clone()).unwrap_or_default();
            let Some(records) = self.read(room).map_err(|e| e.context(name))? else {
                self.close();
                continue;
            };
            let count = records.len();
            self.offset += count as i64;
            self.rows_of_file += count as u64;
            room = room.saturating_sub(count);
            polled.chunks.push(Chunk { partition: 0, records, next_offset: self.offset });
        }
        Ok(polled)
    }
}
