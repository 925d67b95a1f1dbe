//! Tests of CSV: cutting files into records, quoting, typed fields, header errors.

use std::io::Read;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};

use super::*;
use crate::format::record::{Ending, RecordReader};
use crate::format::rejection::Reason;
use crate::model::batch::timestamp_type;

/// Hands out a few bytes at a time.
struct Drip(Vec<u8>, usize, usize);

impl Read for Drip {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.2.min(self.0.len() - self.1).min(out.len());
        out[..count].copy_from_slice(&self.0[self.1..self.1 + count]);
        self.1 += count;
        Ok(count)
    }
}

fn records(text: &str, ending: Ending, bytes_max: usize) -> Vec<(String, u64)> {
    let read = |step| {
        let input = Drip(text.as_bytes().to_vec(), 0, step);
        let mut reader = RecordReader::new(Box::new(input), ending, bytes_max);
        let (mut all, mut out) = (Vec::new(), Vec::new());
        while let Some(length) = reader.next_record(&mut out).unwrap() {
            all.push((String::from_utf8(std::mem::take(&mut out)).unwrap(), length));
        }
        all
    };
    let whole = read(usize::MAX);
    for step in 1..6 {
        assert_eq!(read(step), whole, "{step} bytes at a time");
    }
    whole
}

fn texts(text: &str, ending: Ending) -> Vec<String> {
    records(text, ending, 1_000).into_iter().map(|(text, _)| text).collect()
}

#[test]
fn empty_lines_count_inside_a_file_and_not_at_its_end() {
    assert_eq!(texts("a\nb\n", Ending::Line), ["a", "b"]);
    assert_eq!(texts("a\nb", Ending::Line), ["a", "b"]);
    assert_eq!(texts("a\n\n\r\nb\n\n\r\n\n", Ending::Line), ["a", "", "", "b"]);
    assert_eq!(texts("\n\n", Ending::Line), [""; 0]);
    assert_eq!(texts("", Ending::Line), [""; 0]);
    assert_eq!(texts("\n a\r\n", Ending::Line), ["", " a\r"]);
    assert_eq!(texts("\u{feff}a", Ending::Line), ["a"]);
    assert_eq!(texts("a\n\r", Ending::Line), ["a"]);
}

#[test]
fn quotes_hold_line_ends_and_a_stray_quote_spoils_one_record() {
    assert_eq!(texts("1,\"a\nb\"\n2,x\n", Ending::Csv), ["1,\"a\nb\"", "2,x"]);
    assert_eq!(texts("1,\"a\"\"\n\"\n2\n", Ending::Csv), ["1,\"a\"\"\n\"", "2"]);
    assert_eq!(texts("1,5\" disk\n2,x\n", Ending::Csv), ["1,5\" disk", "2,x"]);
    assert_eq!(texts("\"a\"x\"\n2\n", Ending::Csv), ["\"a\"x\"", "2"]);
}

#[test]
fn an_oversize_record_is_cut_and_measured() {
    let text = format!("{}\nb\n", "x".repeat(500));
    let read = records(&text, Ending::Line, 200);
    assert_eq!(read[0], ("x".repeat(120), 500));
    assert_eq!(read[1], ("b".to_owned(), 1));
}

fn decoder() -> CsvDecoder {
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("t", timestamp_type(), false),
        Field::new("d", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("ok", DataType::Boolean, true),
        Field::new("l", list, true),
    ]);
    CsvDecoder::new(Arc::new(schema), JsonOptions::default(), 1_000).unwrap().with_event_time("t")
}

#[test]
fn fields_are_matched_by_name_and_follow_the_type_rules() {
    let mut csv = decoder();
    csv.set_header(b"s,extra,id,\"t\",l,d\r", "x.csv").unwrap();
    let good = [
        "\"a,\"\"b\"\"\",?,1,2024-01-01,\"[1,2]\",1.5\r",
        ",,2,2024-01-01T00:00:00Z,,",
        "\"\",,\"3\",2024-01-01,[],-0",
    ];
    for record in good {
        csv.decode(record.as_bytes()).unwrap();
    }
    let bad = [
        ("a,,x,2024-01-01,,", Reason::Decode, "field 'id': expected BIGINT, found x at byte 3"),
        ("a,,,2024-01-01,,", Reason::Decode, "NOT NULL"),
        ("a,,1,2024-01-01,,,", Reason::Decode, "expected 6 fields as in the header line, found 7"),
        ("a", Reason::Decode, "found 1"),
        ("a,,1,,,", Reason::EventTime, "field 't'"),
        ("a,,1,soon,,", Reason::EventTime, "found soon"),
        ("a,,1,soon,,x", Reason::Decode, "field 'd'"),
        ("\"a,,1,2024-01-01,,", Reason::Decode, "not closed"),
        ("\"a\"b,,1,2024-01-01,,", Reason::Decode, "behind closing quotes"),
        ("a\"b,,1,2024-01-01,,", Reason::Decode, "without quotes"),
        ("a,,1,2024-01-01,[1,]", Reason::Decode, "field 'l'"),
        ("a,,1,2024-01-01,,NaN", Reason::Decode, "finite"),
        ("", Reason::Decode, "empty"),
    ];
    for (record, reason, part) in bad {
        let rejection = csv.decode(record.as_bytes()).unwrap_err();
        assert_eq!(rejection.reason, reason, "{record}");
        assert!(rejection.message.contains(part), "{record}: {rejection:?}");
    }
    let batch = csv.flush().unwrap();
    assert_eq!(batch["id"].as_primitive::<Int64Type>().values(), &[1, 2, 3]);
    let s = batch["s"].as_string::<i32>();
    assert_eq!(s.value(0), "a,\"b\"");
    assert!(s.is_null(1) && s.is_valid(2));
    assert_eq!(batch["d"].as_primitive::<Float64Type>().value(2).to_bits(), 0);
    assert_eq!(batch["ok"].null_count(), 3);
    assert_eq!(batch["l"].as_list::<i32>().value_length(0), 2);
}

#[test]
fn header_errors_name_file_and_column() {
    let error = |line: &str| decoder().set_header(line.as_bytes(), "x.csv").unwrap_err();
    assert!(error("t,d").message().contains("x.csv: column 'id' NOT NULL is missing"));
    assert!(error("id,t,id").message().contains("'id' appears twice"));
    assert!(error("id,t,\"d").message().contains("x.csv: the header line"));
}
