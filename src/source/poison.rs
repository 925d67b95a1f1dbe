//! What broken records become: the corpus of `format::json::poison`, and one for CSV, through
//! decoder and admission at every place of a batch. Neighbours survive with their positions, and
//! the dead letter has the reason, the raw bytes, the position, the key and the headers.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};

use super::admit::tests::source;
use super::admit::{Admitted, Counts, Judgement};
use super::intake::Intake;
use super::records::{CsvHeader, Messages, Records};
use super::source::Chunk;
use crate::catalog::source::{ColumnDef, ColumnKind, Format, JsonOptions, SourceDef};
use crate::format::json::poison::{Verdict, corpus, schema};
use crate::format::rejection::quote;
use crate::limits::DEAD_LETTER_OVERSIZE_BYTES;
use crate::model::time::EventTime;

const NEIGHBOURS: usize = 16;
const BYTES_MAX: usize = 1 << 16;
const PARTITION: u32 = 5;
/// 2024-01-01.
const TIME_US: i64 = 1_704_067_200_000_000;

fn def(format: Format) -> SourceDef {
    let mut def = source(i64::MAX, i64::MAX);
    let list = |t: &DataType| matches!(t, DataType::List(_));
    let fields = schema();
    let kept = fields.fields().iter().filter(|f| format == Format::Json || !list(f.data_type()));
    let column = |f: &Arc<arrow::datatypes::Field>| ColumnDef {
        name: f.name().clone(),
        data_type: f.data_type().clone(),
        nullable: f.is_nullable(),
        kind: ColumnKind::Physical,
    };
    def.columns = kept.map(column).collect();
    def.options.json = JsonOptions::default();
    def.options.message_bytes_max = BYTES_MAX;
    if format == Format::Csv {
        def.options.format = Format::Csv;
        def.options.connector = crate::catalog::source::Connector::File;
    }
    def
}

/// A batch of neighbours with one record of interest among them.
struct Batch<'a> {
    def: &'a Arc<SourceDef>,
    header: Option<Arc<CsvHeader>>,
    neighbour: fn(usize) -> String,
}

struct Odd<'a> {
    value: Option<&'a [u8]>,
    timestamp: Option<i64>,
}

fn offset(at: usize) -> i64 {
    1_000 + 3 * at as i64
}

impl Batch<'_> {
    /// The records `from..to` of the batch with `odd` at `place`.
    fn chunk(&self, odd: &Odd<'_>, place: usize, from: usize, to: usize) -> Chunk {
        let mut messages = Messages::default();
        messages.header.clone_from(&self.header);
        for at in from..to {
            let text = (self.neighbour)(at);
            let value = if at == place { odd.value } else { Some(text.as_bytes()) };
            messages.push(offset(at), value, BYTES_MAX);
            messages.set_key(Some(format!("key{at}").as_bytes()));
            messages.set_headers(format!(r#"[["h","{at}"]]"#).as_bytes());
            let own = if at == place { odd.timestamp } else { Some(TIME_US) };
            messages.set_timestamp(own.map(EventTime));
        }
        let next_offset = offset(to - 1) + 2;
        Chunk { partition: PARTITION, records: Records::Messages(messages), next_offset }
    }

    fn run(&self, odd: &Odd<'_>, place: usize, cuts: &[usize]) -> (Vec<Admitted>, Counts) {
        let mut intake = Intake::new(Arc::clone(self.def), Judgement::Stream, None).unwrap();
        let (mut all, mut from) = (Vec::new(), 0);
        for to in cuts.iter().copied().chain([NEIGHBOURS + 1]) {
            if to > from {
                intake.take(&self.chunk(odd, place, from, to), &mut all).unwrap();
                from = to;
            }
        }
        (all, intake.admission().counts())
    }

    /// Runs the batch whole and cut around the odd record: the same rows and dead letters.
    fn check(&self, odd: &Odd<'_>, place: usize, expected: Option<(&str, &str)>, shown: &str) {
        for cuts in [&[][..], &[place, place + 1]] {
            let (all, counts) = self.run(odd, place, cuts);
            assert!(counts.is_conserved() && counts.read == NEIGHBOURS as u64 + 1, "{shown}");
            let admitted: Vec<i64> = all
                .iter()
                .flat_map(|a| a.rows["_offset"].as_primitive::<Int64Type>().values().to_vec())
                .collect();
            let fine = |at: &usize| expected.is_none() || *at != place;
            let wanted: Vec<i64> = (0..=NEIGHBOURS).filter(fine).map(offset).collect();
            assert_eq!(admitted, wanted, "{shown} at {place}, cut at {cuts:?}");
            assert_eq!(all.last().unwrap().next_offset, offset(NEIGHBOURS) + 2);
            let dead: Vec<&RecordBatch> = all.iter().filter_map(|a| a.dead.as_ref()).collect();
            match expected {
                None => assert!(dead.is_empty(), "{shown} at {place}"),
                Some((reason, part)) => {
                    assert_eq!(dead.len(), 1, "{shown} at {place}");
                    check_letter(dead[0], odd, place, reason, part, shown);
                }
            }
        }
    }
}

fn check_letter(
    dead: &RecordBatch,
    odd: &Odd<'_>,
    place: usize,
    reason: &str,
    part: &str,
    shown: &str,
) {
    let text = |name: &str| dead[name].as_string::<i32>().value(0).to_owned();
    let bytes = |name: &str| {
        let column = dead[name].as_binary::<i32>();
        column.is_valid(0).then(|| column.value(0).to_vec())
    };
    assert_eq!(dead.num_rows(), 1, "{shown}");
    assert_eq!(text("reason"), reason, "{shown}: {}", text("message"));
    assert!(text("message").contains(part), "{shown}: {}", text("message"));
    assert!(text("message").len() < 500, "{shown}");
    assert_eq!(text("source"), "events");
    assert_eq!(dead["partition"].as_primitive::<arrow::datatypes::Int32Type>().value(0), 5);
    assert_eq!(dead["offset"].as_primitive::<Int64Type>().value(0), offset(place), "{shown}");
    assert_eq!(bytes("key").unwrap(), format!("key{place}").as_bytes(), "{shown}");
    assert_eq!(text("headers"), format!(r#"[["h","{place}"]]"#), "{shown}");
    let own = dead["timestamp"].as_primitive::<TimestampMicrosecondType>();
    assert_eq!(own.is_valid(0).then(|| own.value(0)), odd.timestamp, "{shown}");
    let kept = odd.value.map(|value| {
        let oversize = value.len() > BYTES_MAX;
        value[..if oversize { DEAD_LETTER_OVERSIZE_BYTES } else { value.len() }].to_vec()
    });
    assert_eq!(bytes("raw"), kept, "{shown}");
}

fn of(verdict: &Verdict) -> Option<(&'static str, &'static str)> {
    match verdict {
        Verdict::Accept => None,
        Verdict::Decode(part) => Some(("decode", part)),
        Verdict::EventTime(part) => Some(("event_time", part)),
    }
}

fn json_neighbour(at: usize) -> String {
    format!(r#"{{"id":{at},"t":"2024-01-01T00:00:00Z","s":"n{at}","l":[{at}],"d":{at}.5}}"#)
}

fn json_batch(def: &Arc<SourceDef>) -> Batch<'_> {
    Batch { def, header: None, neighbour: json_neighbour }
}

#[test]
fn every_json_oddity_at_every_place_spares_its_neighbours_and_is_kept_whole() {
    let def = Arc::new(def(Format::Json));
    let corpus = corpus();
    assert!(corpus.len() >= 150, "{}", corpus.len());
    for (message, verdict) in &corpus {
        let shown = quote(message);
        let odd = Odd { value: Some(message), timestamp: Some(TIME_US) };
        for place in 0..=NEIGHBOURS {
            json_batch(&def).check(&odd, place, of(verdict), &shown);
        }
    }
}

#[test]
fn tombstones_and_enormous_messages_are_dead_letters_at_every_place() {
    let def = Arc::new(def(Format::Json));
    let huge = format!(r#"{{"id":-1,"s":"{}"}}"#, "x".repeat(64 << 20)).into_bytes();
    let deep = format!(r#"{{"id":-1,"more":{}"#, "[".repeat(100_000)).into_bytes();
    let cases: [(Option<&[u8]>, &str); 4] = [
        (None, "the value is null (a tombstone)"),
        (Some(b""), "the message is empty"),
        (Some(&huge), "a message of 67108880 bytes, more than message.max_bytes = 65536"),
        (Some(&deep), "a message of 100016 bytes"),
    ];
    for (value, part) in cases {
        for place in 0..=NEIGHBOURS {
            let odd = Odd { value, timestamp: None };
            json_batch(&def).check(&odd, place, Some(("decode", part)), part);
        }
    }
}

/// The place decides what is late: before the first admitted record nothing is.
#[test]
fn late_and_future_records_are_judged_by_their_place_in_the_log() {
    let mut strict = def(Format::Json);
    strict.watermark.delay_us = 1_000_000;
    strict.options.max_future_us = 3_600_000_000;
    let def = Arc::new(strict);
    let late = br#"{"id":-1,"t":"2023-12-31T23:59:58.999999Z"}"#;
    let in_time = br#"{"id":-1,"t":"2023-12-31T23:59:59Z"}"#;
    let ahead = br#"{"id":-1,"t":"2024-01-01T01:00:00.000001Z"}"#;
    let just = br#"{"id":-1,"t":"2024-01-01T00:00:00Z"}"#;
    for place in 0..=NEIGHBOURS {
        let check = |value: &[u8], own: i64, expected| {
            let odd = Odd { value: Some(value), timestamp: Some(own) };
            json_batch(&def).check(&odd, place, expected, &quote(value));
        };
        let expected = (place > 0).then_some(("late", "is before the partition's watermark"));
        check(late, TIME_US, expected);
        check(in_time, TIME_US, None);
        check(ahead, TIME_US, Some(("future", "more than 1 hour after the record's own")));
        check(just, TIME_US - 3_600_000_000, None);
        check(just, TIME_US - 3_600_000_001, Some(("future", "after the record's own")));
    }
}

const CSV_HEADER: &str = "id,t,i,u,b,d,r,m,s,x,day,ok";

fn csv_neighbour(at: usize) -> String {
    format!("{at},2024-01-01T00:00:00Z,1,2,3,{at}.5,0.5,1.25,n{at},QQ==,2024-02-29,true")
}

/// A record that is fine but for the field `name`.
fn csv_with(name: &str, value: &str) -> Vec<u8> {
    let fine = csv_neighbour(1);
    let names = CSV_HEADER.split(',');
    let fields = names.zip(fine.split(',')).map(|(n, v)| if n == name { value } else { v });
    fields.collect::<Vec<_>>().join(",").into_bytes()
}

/// Reason and part of the message; `None` = accepted.
type Expected = Option<(&'static str, &'static str)>;

/// (field, value, verdict)
const CSV_FIELDS: &[(&str, &str, Expected)] = &[
    ("id", "", Some(("decode", "NOT NULL"))),
    ("id", "x", Some(("decode", "expected BIGINT, found x"))),
    ("id", "1.5", Some(("decode", "expected BIGINT"))),
    ("id", "9223372036854775807", None),
    ("id", "9223372036854775808", Some(("decode", "out of its range"))),
    ("i", "", None),
    ("i", "-9223372036854775809", Some(("decode", "out of its range"))),
    ("i", "1e3", None),
    ("i", "01", Some(("decode", "expected BIGINT"))),
    ("i", "0x10", Some(("decode", "expected BIGINT"))),
    ("u", "-1", Some(("decode", "out of its range"))),
    ("u", "18446744073709551616", Some(("decode", "out of its range"))),
    ("b", "128", Some(("decode", "expected TINYINT"))),
    ("d", "NaN", Some(("decode", "finite"))),
    ("d", "inf", Some(("decode", "finite"))),
    ("d", "1e999", Some(("decode", "finite"))),
    ("r", "1e39", Some(("decode", "finite REAL"))),
    ("m", "0.001", Some(("decode", "more digits"))),
    ("m", "123456789", Some(("decode", "out of its range"))),
    ("s", "", None),
    ("s", "\"a,\"\"b\"\"\nc\"", None),
    ("s", "\"open", Some(("decode", "not CSV"))),
    ("s", "\"a\"b", Some(("decode", "not CSV"))),
    ("s", "a\"b", Some(("decode", "not CSV"))),
    ("s", "\u{0}", None),
    ("x", "????", Some(("decode", "base64"))),
    ("day", "2023-02-29", Some(("decode", "expected a date"))),
    ("ok", "yes", Some(("decode", "expected BOOLEAN"))),
    ("t", "", Some(("event_time", "field 't'"))),
    ("t", "yesterday", Some(("event_time", "timestamp"))),
    ("t", "1704067200", Some(("event_time", "timestamp"))),
    ("t", "0000-01-01T00:00:00Z", Some(("event_time", "out of range"))),
    ("t", "1677-12-31T23:59:59Z", Some(("event_time", "out of range"))),
    ("t", "1678-01-01", None),
    ("t", "2262-01-01", Some(("event_time", "out of range"))),
    ("t", "99999-01-01", Some(("event_time", "timestamp"))),
];

#[test]
fn every_csv_oddity_at_every_place_spares_its_neighbours_and_is_kept_whole() {
    let def = Arc::new(def(Format::Csv));
    let line = CSV_HEADER.as_bytes().to_vec();
    let header = Some(Arc::new(CsvHeader { file: "x.csv".to_owned(), line }));
    let batch = Batch { def: &def, header, neighbour: csv_neighbour };
    let fields = CSV_FIELDS.iter().map(|(name, value, v)| (csv_with(name, value), *v));
    let oversize = format!("{}x", "x".repeat(BYTES_MAX)).into_bytes();
    let whole = [
        (b"".to_vec(), Some(("decode", "empty"))),
        (b"1".to_vec(), Some(("decode", "expected 12 fields as in the header line, found 1"))),
        ([csv_neighbour(1).as_bytes(), b","].concat(), Some(("decode", "found 13"))),
        ([csv_neighbour(1).as_bytes(), b"\r"].concat(), None),
        (b"{\"id\":1}".to_vec(), Some(("decode", ""))),
        (b"\xff,,".to_vec(), Some(("decode", "not UTF-8"))),
        (oversize, Some(("decode", "message.max_bytes = 65536"))),
    ];
    for (record, verdict) in fields.chain(whole) {
        let odd = Odd { value: Some(&record), timestamp: Some(TIME_US) };
        for place in 0..=NEIGHBOURS {
            batch.check(&odd, place, verdict, &quote(&record));
        }
    }
}
