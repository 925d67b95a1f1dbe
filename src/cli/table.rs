//! Rows as text: aligned tables, CSV, JSON. Used by `console`; numbers keep every digit.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::cli::args::ResultFormat;
use crate::error::Result;
use crate::model::text::{display_options, write_json_row};
use crate::sql::diagnostic;

/// What a NULL looks like in a table.
const NULL: &str = "NULL";

/// Writes one result, batch by batch. Tables are the exception: column widths need all rows.
pub struct ResultWriter {
    schema: SchemaRef,
    format: ResultFormat,
    rows: u64,
    /// Cells of a table, row after row.
    cells: Vec<String>,
}

impl ResultWriter {
    pub fn new(schema: SchemaRef, format: ResultFormat) -> Self {
        Self { schema, format, rows: 0, cells: Vec::new() }
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// What stands before the first row.
    pub fn begin(&self) -> String {
        match self.format {
            ResultFormat::Table | ResultFormat::Ndjson => String::new(),
            ResultFormat::Json => "[".to_owned(),
            ResultFormat::Csv => {
                let names = self.schema.fields().iter().map(|f| csv_field(f.name()));
                format!("{}\n", names.collect::<Vec<_>>().join(","))
            }
        }
    }

    /// The rows of one batch, or nothing yet.
    pub fn batch(&mut self, batch: RecordBatch) -> Result<String> {
        let mut out = String::new();
        match self.format {
            ResultFormat::Table => {
                let mut cells = Vec::with_capacity(batch.num_rows() * batch.num_columns());
                formatted(&batch, NULL, |_, cell| cells.push(escaped(&cell)))?;
                self.cells.append(&mut cells);
            }
            ResultFormat::Csv => csv_rows(&batch, &mut out)?,
            ResultFormat::Json | ResultFormat::Ndjson => {
                for row in 0..batch.num_rows() {
                    if self.format == ResultFormat::Json {
                        let first = self.rows == 0 && row == 0;
                        out.push_str(if first { "\n  " } else { ",\n  " });
                    }
                    write_json_row(&batch, row, &mut out)?;
                    if self.format == ResultFormat::Ndjson {
                        out.push('\n');
                    }
                }
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(out)
    }

    /// What stands after the last row.
    pub fn end(&mut self) -> Result<String> {
        Ok(match self.format {
            ResultFormat::Csv | ResultFormat::Ndjson => String::new(),
            ResultFormat::Json if self.rows == 0 => "]\n".to_owned(),
            ResultFormat::Json => "\n]\n".to_owned(),
            ResultFormat::Table => self.table(),
        })
    }

    fn table(&mut self) -> String {
        let fields = self.schema.fields();
        let headers: Vec<String> = fields.iter().map(|f| escaped(f.name())).collect();
        let numeric: Vec<bool> = fields.iter().map(|f| is_number(f.data_type())).collect();
        let mut out = aligned(&headers, &numeric, &std::mem::take(&mut self.cells));
        let _ = match self.rows {
            1 => writeln!(out, "(1 row)"),
            rows => writeln!(out, "({rows} rows)"),
        };
        out
    }
}

/// Columns under headers, numbers to the right:
///
/// ```text
///  user_id | category
/// ---------+----------
///       42 | atm
/// ```
pub fn aligned(headers: &[String], numeric: &[bool], cells: &[String]) -> String {
    let columns = headers.len();
    let mut widths: Vec<usize> = headers.iter().map(|h| diagnostic::width(h)).collect();
    if columns == 0 {
        return String::new();
    }
    for row in cells.chunks(columns) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(diagnostic::width(cell));
        }
    }
    let mut out = String::new();
    let left = vec![false; columns];
    line(headers, &widths, &left, &mut out);
    let rules: Vec<String> = widths.iter().map(|w| "-".repeat(w + 2)).collect();
    let _ = writeln!(out, "{}", rules.join("+"));
    for row in cells.chunks(columns) {
        line(row, &widths, numeric, &mut out);
    }
    out
}

fn line(cells: &[String], widths: &[usize], numeric: &[bool], out: &mut String) {
    let start = out.len();
    for (at, ((cell, width), right)) in cells.iter().zip(widths).zip(numeric).enumerate() {
        let padding = " ".repeat(width - diagnostic::width(cell));
        let (before, after) = if *right { (padding.as_str(), "") } else { ("", padding.as_str()) };
        let _ = write!(out, "{} {before}{cell}{after} ", if at > 0 { "|" } else { "" });
    }
    let end = start + out.get(start..).unwrap_or_default().trim_end().len();
    out.truncate(end);
    out.push('\n');
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// A cell on one line, without anything that a terminal would obey.
fn escaped(cell: &str) -> String {
    let mut out = String::with_capacity(cell.len());
    for c in cell.chars() {
        if c.is_control() || diagnostic::is_direction(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

fn csv_rows(batch: &RecordBatch, out: &mut String) -> Result<()> {
    let columns = batch.num_columns();
    let options = display_options("");
    let formatters = formatters(batch, &options)?;
    for row in 0..batch.num_rows() {
        for (at, (formatter, array)) in formatters.iter().zip(batch.columns()).enumerate() {
            if !array.is_null(row) {
                let cell = formatter.value(row).try_to_string()?;
                // Empty text is quoted: an empty field is NULL.
                let empty = cell.is_empty();
                out.push_str(&if empty { "\"\"".to_owned() } else { csv_field(&cell) });
            }
            out.push(if at + 1 == columns { '\n' } else { ',' });
        }
    }
    Ok(())
}

/// RFC 4180: quoted where it must be.
fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) || text.trim() != text {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

fn formatters<'a>(
    batch: &'a RecordBatch,
    options: &'a FormatOptions<'static>,
) -> Result<Vec<ArrayFormatter<'a>>> {
    let columns = batch.columns().iter();
    Ok(columns.map(|c| ArrayFormatter::try_new(c.as_ref(), options)).collect::<Result<_, _>>()?)
}

/// Every cell as text, row after row.
fn formatted(
    batch: &RecordBatch,
    null: &'static str,
    mut f: impl FnMut(usize, String),
) -> Result<()> {
    let options = display_options(null);
    let formatters = formatters(batch, &options)?;
    for row in 0..batch.num_rows() {
        for (column, formatter) in formatters.iter().enumerate() {
            f(column, formatter.value(row).try_to_string()?);
        }
    }
    Ok(())
}
