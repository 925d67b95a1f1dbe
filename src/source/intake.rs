//! From chunks to admitted batches and dead letters: decodes what a source polled and has it
//! judged. One per source; used by the stream runtime, by backfills over files and by tests.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::catalog::source::{ColumnDef, Connector, Format, SourceDef};
use crate::error::{Error, Result};
use crate::format::csv::CsvDecoder;
use crate::format::json::{JsonDecoder, oversize};
use crate::format::parquet::conform;
use crate::format::rejection::Rejection;
use crate::model::batch::Position;

use super::admit::{Admission, Admitted, Arrival, Compute, Judgement};
use super::metadata::{check_metadata, fallible, metadata_fault};
use super::records::{CsvHeader, Messages, Records, Rows};
use super::source::Chunk;

/// Messages are JSON unless they come with the header line of a CSV file.
struct Decoder {
    json: JsonDecoder,
    csv: CsvDecoder,
    header: Option<Arc<CsvHeader>>,
}

/// Decoder and admission of one source.
pub struct Intake {
    def: Arc<SourceDef>,
    decoder: Decoder,
    admission: Admission,
    /// Metadata columns that can make a record undecodable.
    risky: Vec<ColumnDef>,
}

impl Intake {
    pub fn new(
        def: Arc<SourceDef>,
        judgement: Judgement,
        compute: Option<Compute>,
    ) -> Result<Self> {
        check_metadata(&def)?;
        let (schema, options) = (def.physical_schema(), &def.options);
        if options.format != Format::Json && options.connector == Connector::Kafka {
            let name = if options.format == Format::Csv { "csv" } else { "parquet" };
            return Err(Error::not_yet(format!("'format' = '{name}' (messages of a topic)"))
                .with_hint("write JSON messages: 'format' = 'json'"));
        }
        let (bytes_max, event_time) = (options.message_bytes_max, def.watermark.column.as_str());
        let json = JsonDecoder::new(Arc::clone(&schema), options.json, bytes_max)?;
        let csv = CsvDecoder::new(schema, options.json, bytes_max)?;
        let decoder = Decoder {
            json: json.with_event_time(event_time),
            csv: csv.with_event_time(event_time),
            header: None,
        };
        let risky = fallible(&def);
        let admission = Admission::new(Arc::clone(&def), judgement, compute)?;
        Ok(Self { def, decoder, admission, risky })
    }

    pub fn def(&self) -> &Arc<SourceDef> {
        &self.def
    }

    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    pub fn admission_mut(&mut self) -> &mut Admission {
        &mut self.admission
    }

    /// Where each partition seen so far continues.
    pub fn positions(&self) -> Vec<Position> {
        self.admission.positions()
    }

    /// Undeclared JSON fields ignored so far.
    pub fn unknown_fields(&self) -> u64 {
        self.decoder.json.unknown_fields()
    }

    /// Decodes and judges a chunk. Usually one batch; more if the messages are very large. A
    /// chunk without records gives one empty batch, because positions may have moved.
    pub fn take(&mut self, chunk: &Chunk, out: &mut Vec<Admitted>) -> Result<()> {
        match &chunk.records {
            Records::Messages(messages) => self.take_messages(chunk, messages, out),
            Records::Rows(rows) => {
                out.push(self.take_rows(chunk, rows)?);
                Ok(())
            }
        }
    }

    fn take_messages(
        &mut self,
        chunk: &Chunk,
        messages: &Messages,
        out: &mut Vec<Admitted>,
    ) -> Result<()> {
        if self.decoder.header != messages.header {
            if let Some(header) = &messages.header {
                self.decoder.csv.set_header(&header.line, &header.file)?;
            }
            self.decoder.header.clone_from(&messages.header);
        }
        let (mut first, mut at) = (0, 0);
        let mut rejected: Vec<(u32, Rejection)> = Vec::new();
        let mut index: Option<Vec<u32>> = None;
        loop {
            if at == messages.len() || self.decoder.is_full() {
                let complete = at == messages.len();
                let arrival = Arrival {
                    partition: chunk.partition,
                    rows: self.decoder.flush()?,
                    index: index.take(),
                    records: &chunk.records,
                    first,
                    end: at,
                    rejected: std::mem::take(&mut rejected),
                    next_offset: if complete {
                        chunk.next_offset
                    } else {
                        chunk.records.offset(at)
                    },
                };
                out.push(self.admission.admit(arrival)?);
                if complete {
                    return Ok(());
                }
                first = at;
            }
            match self.decode(chunk, messages, at) {
                Ok(()) => {
                    if let Some(index) = &mut index {
                        index.push(at as u32);
                    }
                }
                Err(rejection) => {
                    index.get_or_insert_with(|| (first as u32..at as u32).collect());
                    rejected.push((at as u32, rejection));
                }
            }
            at += 1;
        }
    }

    #[inline]
    fn decode(&mut self, chunk: &Chunk, messages: &Messages, at: usize) -> Result<(), Rejection> {
        if messages.has_oversize()
            && let Some(length) = messages.oversize(at)
        {
            return Err(oversize(length, self.def.options.message_bytes_max));
        }
        let Some(value) = messages.value(at) else {
            return Err(Rejection::decode("the value is null (a tombstone)"));
        };
        let event_time = &self.def.watermark.column;
        let fault = match self.risky.is_empty() {
            true => None,
            false => metadata_fault(&self.risky, event_time, &chunk.records, at),
        };
        match fault {
            Some(fault) => Err(fault),
            None if self.decoder.header.is_some() => self.decoder.csv.decode(value),
            None => self.decoder.json.decode(value),
        }
    }

    fn take_rows(&mut self, chunk: &Chunk, rows: &Rows) -> Result<Admitted> {
        let (schema, event_time) = (self.def.physical_schema(), &self.def.watermark.column);
        let conformed = conform(&rows.batch, &schema, Some(event_time), &rows.file)?;
        if !self.risky.is_empty() {
            let faults = (0..chunk.records.len())
                .find_map(|at| metadata_fault(&self.risky, event_time, &chunk.records, at));
            if let Some(fault) = faults {
                return Err(Error::data(format!("{}: {}", rows.file, fault.message)).with_hint(
                    "a file has no such metadata: declare the column without NOT NULL",
                ));
            }
        }
        self.admission.admit(Arrival {
            partition: chunk.partition,
            rows: conformed.rows,
            index: conformed.kept,
            records: &chunk.records,
            first: 0,
            end: chunk.records.len(),
            rejected: conformed.rejected,
            next_offset: chunk.next_offset,
        })
    }
}

impl Decoder {
    fn is_full(&self) -> bool {
        self.json.is_full() || self.csv.is_full()
    }

    fn flush(&mut self) -> Result<RecordBatch> {
        if self.header.is_some() { self.csv.flush() } else { self.json.flush() }
    }
}
