//! JSON messages → rows: strict, single-pass, straight into columns. One message is one row or
//! one rejection; a rejected message leaves no trace in the columns. Called by `source::decode`;
//! must never feed two messages to one parser state, and never guess (see `value` for the rules).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use hashbrown::{HashMap, HashSet};

use crate::error::Result;
use crate::model::time::EventTime;

use super::column::{Column, Values};
use super::options::JsonOptions;
use super::rejection::{Fault, Problem, Rejection, quote};
use super::text::{Cursor, unescape};
use super::value::read_json;

/// Bytes of messages after which a batch should be flushed, far below the 2^31 of its offsets.
pub const BATCH_BYTES: usize = 64 << 20;
/// No message above this is decoded, whatever `message.max_bytes` says.
pub(crate) const HARD_BYTES_MAX: usize = 1 << 30;
/// Undeclared field names remembered for the prediction; more are still checked, slower.
const REMEMBERED_MAX: usize = 1_024;

/// Decodes messages one by one into a batch of `schema`.
pub struct JsonDecoder {
    schema: SchemaRef,
    columns: Vec<Column>,
    rules: JsonOptions,
    bytes_max: usize,
    event_time: Option<usize>,
    rows: usize,
    bytes: usize,
    fields: FieldIndex,
    scratch: Vec<u8>,
    unknown: u64,
}

impl JsonDecoder {
    /// For the physical columns of a source; `bytes_max` is its `message.max_bytes`.
    pub fn new(schema: SchemaRef, rules: JsonOptions, bytes_max: usize) -> Result<Self> {
        let columns = schema.fields().iter().map(Column::new).collect::<Result<Vec<_>>>()?;
        let names = schema.fields().iter().map(|f| f.name().as_bytes());
        let fields = FieldIndex::new(names);
        Ok(Self {
            schema,
            columns,
            rules,
            bytes_max: bytes_max.min(HARD_BYTES_MAX),
            event_time: None,
            rows: 0,
            bytes: 0,
            fields,
            scratch: Vec::new(),
            unknown: 0,
        })
    }

    /// Names the event-time column: what is wrong with its value alone is `event_time`, not
    /// `decode`.
    pub fn with_event_time(mut self, column: &str) -> Self {
        self.event_time = self.schema.index_of(column).ok();
        self
    }

    /// Appends one row, or nothing.
    pub fn decode(&mut self, message: &[u8]) -> Result<(), Rejection> {
        let result = self.decode_row(message);
        if result.is_ok() {
            self.rows += 1;
            self.bytes += message.len();
        } else {
            self.columns.iter_mut().for_each(|c| c.truncate(self.rows));
        }
        result
    }

    /// Rows since the last flush.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the batch should be flushed before the next message, by its bytes.
    pub fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES
    }

    /// Undeclared fields ignored so far.
    pub fn unknown_fields(&self) -> u64 {
        self.unknown
    }

    /// The rows so far; the decoder starts again with none.
    pub fn flush(&mut self) -> Result<RecordBatch> {
        let arrays = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        batch(&self.schema, arrays, rows)
    }

    fn decode_row(&mut self, message: &[u8]) -> Result<(), Rejection> {
        check_size(message, self.bytes_max)?;
        self.fields.begin();
        let mut cursor = Cursor { bytes: message, at: 0 };
        let syntax = |fault| rejected(fault, message);
        cursor.expect(b'{', "expected '{'").map_err(syntax)?;
        cursor.skip_space();
        let (mut filled, mut event_fault) = (0, None);
        if cursor.peek() == Some(b'}') {
            cursor.at += 1;
        } else {
            loop {
                match self.field(&mut cursor)? {
                    Outcome::Column => filled += 1,
                    Outcome::Unknown => self.unknown += 1,
                    Outcome::EventTime(message) => {
                        filled += 1;
                        event_fault = Some(message);
                    }
                }
                cursor.skip_space();
                match cursor.peek() {
                    Some(b',') => cursor.at += 1,
                    Some(b'}') => break cursor.at += 1,
                    _ => return Err(syntax(Fault::Syntax(cursor.at, "expected ',' or '}'"))),
                }
            }
        }
        cursor.skip_space();
        if cursor.peek().is_some() {
            return Err(syntax(Fault::Syntax(cursor.at, "expected nothing behind the object")));
        }
        if filled < self.columns.len() {
            let missing = self.fill_missing()?;
            event_fault = event_fault.or(missing);
        }
        event_fault.map_or(Ok(()), |message| Err(Rejection::event_time(message)))
    }

    /// One `"name": value`.
    #[inline]
    fn field(&mut self, cursor: &mut Cursor<'_>) -> Result<Outcome, Rejection> {
        let message = cursor.bytes;
        let syntax = |fault| rejected(fault, message);
        cursor.expect(b'"', "expected a field name in double quotes").map_err(syntax)?;
        let name_at = cursor.at;
        let column = match self.fields.predict(cursor) {
            Some(column) => column,
            None => self.lookup(cursor)?,
        };
        if column.is_none() && self.rules.reject_unknown {
            let name = quote(message.get(name_at..cursor.at - 1).unwrap_or_default());
            return Err(Rejection::decode(format!("field '{name}' is not declared")));
        }
        cursor.expect(b':', "expected ':'").map_err(syntax)?;
        cursor.skip_space();
        let start = cursor.at;
        let Some((index, column)) = column.and_then(|i| Some((i, self.columns.get_mut(i)?))) else {
            cursor.skip(1).map_err(syntax)?;
            return Ok(Outcome::Unknown);
        };
        let is_event = self.event_time == Some(index);
        let fault = match read_json(cursor, column, &self.rules, 1, &mut self.scratch) {
            Ok(()) if !is_event => return Ok(Outcome::Column),
            Ok(()) => match event_problem(column, self.rows) {
                None => return Ok(Outcome::Column),
                Some(problem) => Fault::Value(problem),
            },
            Err(fault) => fault,
        };
        let Fault::Value(problem) = fault else {
            return Err(syntax(fault));
        };
        cursor.at = start;
        cursor.skip(1).map_err(syntax)?;
        let value = message.get(start..cursor.at).unwrap_or_default();
        let text = describe(column, problem, value, start);
        if !is_event {
            return Err(Rejection::decode(text));
        }
        column.truncate(self.rows);
        column.push_null();
        Ok(Outcome::EventTime(text))
    }

    /// A field that was not predicted: its column, `None` for an undeclared one.
    fn lookup(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<usize>, Rejection> {
        let message = cursor.bytes;
        let start = cursor.at;
        let quoted = cursor.string().map_err(|fault| rejected(fault, message))?;
        let mut name = quoted.raw;
        if quoted.escaped {
            self.scratch.clear();
            unescape(quoted.raw, &mut self.scratch);
            name = &self.scratch;
        }
        let duplicate = || {
            let name = quote(name);
            Rejection::decode(format!("field '{name}' appears twice, again at byte {start}"))
        };
        self.fields.find(name).ok_or_else(duplicate)
    }

    /// NULLs for the columns without a field. Some(message) if the event time is one of them.
    fn fill_missing(&mut self) -> Result<Option<String>, Rejection> {
        let mut event_fault = None;
        for (index, column) in self.columns.iter_mut().enumerate() {
            if column.len() > self.rows {
                continue;
            }
            let name = quote(column.field.name().as_bytes());
            if self.event_time == Some(index) {
                event_fault = Some(format!("field '{name}' is missing"));
            } else if !column.field.is_nullable() {
                return Err(Rejection::decode(format!("field '{name}' NOT NULL is missing")));
            }
            column.push_null();
        }
        Ok(event_fault)
    }
}

/// The value of a top-level field of a JSON object: the content of a string, other values as
/// written; `None` if it is null or missing, or the message is not an object. The last of equal
/// names counts; the message is not judged otherwise.
pub fn find_field(message: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut cursor = Cursor { bytes: message, at: 0 };
    cursor.expect(b'{', "").ok()?;
    let (mut found, mut text) = (None, Vec::new());
    loop {
        cursor.expect(b'"', "").ok()?;
        let key = cursor.string().ok()?;
        text.clear();
        unescape(key.raw, &mut text);
        cursor.expect(b':', "").ok()?;
        cursor.skip_space();
        let start = cursor.at;
        cursor.skip(1).ok()?;
        if text == name.as_bytes() {
            let value = message.get(start..cursor.at)?;
            found = match value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")) {
                Some(quoted) => {
                    let mut content = Vec::new();
                    unescape(quoted, &mut content);
                    Some(content)
                }
                None if value == b"null" => None,
                None => Some(value.to_vec()),
            };
        }
        cursor.skip_space();
        match cursor.peek() {
            Some(b',') => cursor.at += 1,
            _ => return found,
        }
    }
}

enum Outcome {
    Column,
    Unknown,
    EventTime(String),
}

/// Checks that come before decoding, the same for every text format.
pub(crate) fn check_size(message: &[u8], bytes_max: usize) -> Result<(), Rejection> {
    if message.is_empty() {
        return Err(Rejection::decode("the message is empty"));
    }
    if message.len() > bytes_max {
        return Err(oversize(message.len() as u64, bytes_max));
    }
    if let Err(error) = std::str::from_utf8(message) {
        let at = error.valid_up_to();
        return Err(Rejection::decode(format!("not UTF-8 at byte {at}")));
    }
    Ok(())
}

/// The rejection of a message of `bytes` bytes.
pub(crate) fn oversize(bytes: u64, bytes_max: usize) -> Rejection {
    Rejection::decode(format!(
        "a message of {bytes} bytes, more than message.max_bytes = {bytes_max}"
    ))
}

/// Whether the event time just written to row `row` can be one.
pub(crate) fn event_problem(column: &Column, row: usize) -> Option<Problem> {
    let Values::Timestamp(values) = &column.values else { return Some(Problem::Type) };
    if column.is_null(row) {
        return Some(Problem::Null);
    }
    match values.get(row) {
        Some(micros) if EventTime(*micros).in_range() => None,
        _ => Some(Problem::Range),
    }
}

/// `field 'amount': expected DOUBLE, found "x" at byte 12`.
pub(crate) fn describe(column: &Column, problem: Problem, value: &[u8], at: usize) -> String {
    let name = quote(column.field.name().as_bytes());
    let what = problem.describe(column.field.data_type(), value);
    format!("field '{name}': {what} at byte {at}")
}

fn rejected(fault: Fault, message: &[u8]) -> Rejection {
    let Fault::Syntax(at, what) = fault else {
        return Rejection::decode("a value outside of a field");
    };
    match message.get(at..) {
        None | Some([]) => {
            Rejection::decode(format!("not JSON: {what} at byte {at}, found the end"))
        }
        Some(rest) => {
            let end = rest.len().min(20);
            let found = quote(rest.get(..end).unwrap_or_default());
            Rejection::decode(format!("not JSON: {what} at byte {at}, found {found}"))
        }
    }
}

/// A batch of `rows` rows, also without columns.
pub(crate) fn batch(schema: &SchemaRef, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
}

/// A field name that was seen before.
struct Name {
    text: Box<[u8]>,
    /// Written in a message as it is, without escapes.
    plain: bool,
    column: Option<usize>,
    /// The message that had it last: twice in one message is a duplicate.
    seen: u64,
    /// The name that followed it last time.
    next: usize,
}

/// Field names → columns. Producers repeat the order of their fields, so the name behind each
/// name is predicted and compared; a table is asked only when that fails.
struct FieldIndex {
    names: Vec<Name>,
    by_text: HashMap<Box<[u8]>, usize>,
    first: usize,
    last: Option<usize>,
    message: u64,
    /// Names of this message that were not remembered.
    overflow: HashSet<Box<[u8]>>,
}

impl FieldIndex {
    fn new<'a>(declared: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut index = Self {
            names: Vec::new(),
            by_text: HashMap::new(),
            first: 0,
            last: None,
            message: 0,
            overflow: HashSet::new(),
        };
        for (column, text) in declared.enumerate() {
            index.remember(text, Some(column));
        }
        index
    }

    fn remember(&mut self, text: &[u8], column: Option<usize>) -> usize {
        let at = self.names.len();
        let plain = !text.iter().any(|b| matches!(b, 0..0x20 | b'"' | b'\\'));
        self.names.push(Name { text: text.into(), plain, column, seen: 0, next: at + 1 });
        self.by_text.insert(text.into(), at);
        at
    }

    fn begin(&mut self) {
        self.message += 1;
        self.last = None;
        if !self.overflow.is_empty() {
            self.overflow.clear();
        }
    }

    /// Behind an opening quote: the column of the predicted name if that is what stands here.
    #[inline]
    fn predict(&mut self, cursor: &mut Cursor<'_>) -> Option<Option<usize>> {
        let expected = match self.last {
            None => self.first,
            Some(last) => self.names.get(last)?.next,
        };
        let name = self.names.get_mut(expected)?;
        let rest = cursor.rest();
        if !name.plain
            || name.seen == self.message
            || !rest.starts_with(&name.text)
            || rest.get(name.text.len()) != Some(&b'"')
        {
            return None;
        }
        name.seen = self.message;
        cursor.at += name.text.len() + 1;
        self.last = Some(expected);
        Some(name.column)
    }

    /// The column of `text`; `None` if the message had it already.
    fn find(&mut self, text: &[u8]) -> Option<Option<usize>> {
        let at = match self.by_text.get(text) {
            Some(at) => *at,
            None if self.names.len() < REMEMBERED_MAX => self.remember(text, None),
            None => return self.overflow.insert(text.into()).then_some(None),
        };
        match self.last {
            None => self.first = at,
            Some(last) => self.names.get_mut(last)?.next = at,
        }
        let name = self.names.get_mut(at)?;
        if name.seen == self.message {
            return None;
        }
        name.seen = self.message;
        self.last = Some(at);
        Some(name.column)
    }
}

#[cfg(test)]
pub(crate) mod poison;
#[cfg(test)]
mod tests;
