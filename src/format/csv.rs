//! CSV records → rows (RFC 4180). The header line names the columns; a record is one row or one
//! rejection; values follow the same type rules as JSON (see `value`). An empty field without
//! quotes is NULL. Records are cut out of a file by `record`.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};
use crate::model::text::write_json_string;

use super::column::Column;
use super::json::{BATCH_BYTES, HARD_BYTES_MAX};
use super::json::{batch, check_size, describe, event_problem};
use super::number::scan_number;
use super::options::JsonOptions;
use super::rejection::{Fault, Rejection, quote};
use super::value::read_csv;

/// Decodes records one by one into a batch of `schema`.
pub struct CsvDecoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    rules: JsonOptions,
    bytes_max: usize,
    event_time: Option<usize>,
    /// Per field of the file: its column.
    header: Vec<Option<usize>>,
    rows: usize,
    bytes: usize,
    field: Vec<u8>,
    scratch: Vec<u8>,
}

/// One field: where the next begins (`None` behind the last), and whether it had quotes.
struct Cut {
    next: Option<usize>,
    quoted: bool,
}

impl CsvDecoder {
    /// For the physical columns of a source. Call [`Self::set_header`] before the first record.
    pub fn new(schema: SchemaRef, rules: JsonOptions, bytes_max: usize) -> Result<Self> {
        let columns = schema.fields().iter().map(Column::new).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            schema,
            columns,
            rules,
            bytes_max: bytes_max.min(HARD_BYTES_MAX),
            event_time: None,
            header: Vec::new(),
            rows: 0,
            bytes: 0,
            field: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// Names the event-time column; see `JsonDecoder::with_event_time`.
    pub fn with_event_time(mut self, column: &str) -> Self {
        self.event_time = self.schema.index_of(column).ok();
        self
    }

    /// Takes the first line of `file`. An error names the file and the column.
    pub fn set_header(&mut self, line: &[u8], file: &str) -> Result<()> {
        let line = trim_return(line);
        let mut header = Vec::new();
        let mut at = Some(0);
        while let Some(start) = at {
            let cut = cut_field(line, start, &mut self.field)
                .map_err(|what| Error::data(format!("{file}: the header line: {what}")))?;
            let name = String::from_utf8_lossy(&self.field);
            let column = self.schema.index_of(&name).ok();
            if column.is_some() && header.contains(&column) {
                let name = quote(&self.field);
                return Err(Error::data(format!("{file}: column '{name}' appears twice")));
            }
            if column.is_none() && self.rules.reject_unknown {
                let name = quote(&self.field);
                return Err(Error::data(format!("{file}: column '{name}' is not declared")));
            }
            header.push(column);
            at = cut.next;
        }
        for (index, column) in self.columns.iter().enumerate() {
            if !column.field.is_nullable() && !header.contains(&Some(index)) {
                let name = column.field.name();
                let found = quote(line);
                return Err(Error::data(format!("{file}: column '{name}' NOT NULL is missing"))
                    .with_hint(format!("the first line must name the columns; it is: {found}")));
            }
        }
        self.header = header;
        Ok(())
    }

    /// Appends one row, or nothing. `record` comes without its line end.
    pub fn decode(&mut self, record: &[u8]) -> Result<(), Rejection> {
        let result = self.decode_row(trim_return(record));
        if result.is_ok() {
            self.rows += 1;
            self.bytes += record.len();
        } else {
            self.columns.iter_mut().for_each(|c| c.truncate(self.rows));
        }
        result
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the batch should be flushed before the next record, by its bytes.
    pub fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES
    }

    /// The rows so far; the decoder starts again with none.
    pub fn flush(&mut self) -> Result<RecordBatch> {
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        batch(&self.schema, arrays, rows)
    }

    fn decode_row(&mut self, record: &[u8]) -> Result<(), Rejection> {
        check_size(record, self.bytes_max)?;
        let (mut at, mut fields, mut event_fault) = (Some(0), 0, None);
        while let Some(start) = at {
            let cut = cut_field(record, start, &mut self.field)
                .map_err(|what| Rejection::decode(format!("not CSV: {what}")))?;
            if let Some(Some(index)) = self.header.get(fields).copied() {
                event_fault = self.column(index, start, cut.quoted)?.or(event_fault);
            }
            fields += 1;
            at = cut.next;
        }
        let expected = self.header.len();
        if fields != expected {
            return Err(Rejection::decode(format!(
                "expected {expected} fields as in the header line, found {fields}"
            )));
        }
        for (index, column) in self.columns.iter_mut().enumerate() {
            if column.len() == self.rows {
                column.push_null();
                if self.event_time == Some(index) {
                    event_fault = Some(format!("field '{}' is missing", column.field.name()));
                }
            }
        }
        event_fault.map_or(Ok(()), |message| Err(Rejection::event_time(message)))
    }

    /// The field just cut, into column `index`. Some(message) if it is not an event time.
    fn column(
        &mut self,
        index: usize,
        at: usize,
        quoted: bool,
    ) -> Result<Option<String>, Rejection> {
        let Some(column) = self.columns.get_mut(index) else { return Ok(None) };
        let is_event = self.event_time == Some(index);
        let problem = match read_csv(&self.field, quoted, column, &self.rules, &mut self.scratch) {
            Ok(()) if !is_event => return Ok(None),
            Ok(()) => match event_problem(column, self.rows) {
                None => return Ok(None),
                Some(problem) => problem,
            },
            Err(Fault::Value(problem)) => problem,
            Err(Fault::Syntax(_, what)) => {
                let name = quote(column.field.name().as_bytes());
                let found = quote(&self.field);
                let text = format!("field '{name}': {what}, found {found} at byte {at}");
                return Err(Rejection::decode(text));
            }
        };
        let text = describe(column, problem, &self.field, at);
        if !is_event {
            return Err(Rejection::decode(text));
        }
        column.truncate(self.rows);
        column.push_null();
        Ok(Some(text))
    }
}

/// A CSV record as a JSON object, without declared types: what is written like a JSON number or
/// boolean becomes one, an empty field without quotes null, anything else (and anything in
/// quotes) a string. Appended to `out`; the error says what is wrong with the record.
pub fn csv_to_json(header: &[u8], record: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let (header, record) = (trim_return(header), trim_return(record));
    let (mut names, mut values) = (Some(0), Some(0));
    let mut field = Vec::new();
    let mut before = b'{';
    while let (Some(name_at), Some(value_at)) = (names, values) {
        out.push(before);
        before = b',';
        names = cut_field(header, name_at, &mut field)?.next;
        write_json_string(&String::from_utf8_lossy(&field), out);
        out.push(b':');
        let cut = cut_field(record, value_at, &mut field)?;
        values = cut.next;
        let number = scan_number(&field).is_some_and(|n| n.text.len() == field.len());
        match field.as_slice() {
            b"" if !cut.quoted => out.extend_from_slice(b"null"),
            b"true" | b"false" if !cut.quoted => out.extend_from_slice(&field),
            _ if number && !cut.quoted => out.extend_from_slice(&field),
            _ => match std::str::from_utf8(&field) {
                Ok(text) => write_json_string(text, out),
                Err(_) => return Err(format!("not UTF-8 behind byte {value_at}")),
            },
        }
    }
    if names.is_some() || values.is_some() {
        return Err("another number of fields than in the header line".to_owned());
    }
    out.push(b'}');
    Ok(())
}

fn trim_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Cuts the field at `start` into `out`, without its quotes.
fn cut_field(record: &[u8], start: usize, out: &mut Vec<u8>) -> Result<Cut, String> {
    out.clear();
    let rest = record.get(start..).unwrap_or_default();
    if rest.first() != Some(&b'"') {
        let end = rest.iter().position(|b| *b == b',').unwrap_or(rest.len());
        let field = rest.get(..end).unwrap_or_default();
        if let Some(at) = field.iter().position(|b| *b == b'"') {
            return Err(format!("a '\"' inside a field without quotes at byte {}", start + at));
        }
        out.extend_from_slice(field);
        let next = (end < rest.len()).then_some(start + end + 1);
        return Ok(Cut { next, quoted: false });
    }
    let mut at = 1;
    loop {
        let tail = rest.get(at..).unwrap_or_default();
        let Some(end) = tail.iter().position(|b| *b == b'"') else {
            return Err(format!("the quotes opened at byte {start} are not closed"));
        };
        out.extend_from_slice(tail.get(..end).unwrap_or_default());
        at += end + 1;
        match rest.get(at) {
            Some(b'"') => {
                out.push(b'"');
                at += 1;
            }
            Some(b',') => return Ok(Cut { next: Some(start + at + 1), quoted: true }),
            None => return Ok(Cut { next: None, quoted: true }),
            Some(_) => {
                return Err(format!("expected ',' behind closing quotes at byte {}", start + at));
            }
        }
    }
}

#[cfg(test)]
mod tests;
