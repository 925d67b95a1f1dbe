//! Tests of admission: the order of verdicts, exactness of lateness, independence of chunking.

use std::sync::Arc;

use arrow::array::{BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Int64Type};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::*;
use crate::catalog::source::{
    ColumnDef, Connector, Format, JsonOptions, JsonTimestamp, SourceOptions, StartupMode,
    WatermarkDef,
};
use crate::source::intake::Intake;
use crate::source::records::Messages;
use crate::source::source::Chunk;

fn column(name: &str, data_type: DataType, nullable: bool, kind: ColumnKind) -> ColumnDef {
    ColumnDef { name: name.to_owned(), data_type, nullable, kind }
}

pub(crate) fn source(delay_us: i64, max_future_us: i64) -> SourceDef {
    let json = JsonOptions { timestamp: JsonTimestamp::EpochMicros, ..JsonOptions::default() };
    SourceDef {
        name: "events".to_owned(),
        columns: vec![
            column("id", DataType::Int64, false, ColumnKind::Physical),
            column("t", timestamp_type(), false, ColumnKind::Physical),
        ],
        watermark: WatermarkDef { column: "t".to_owned(), delay_us },
        options: SourceOptions {
            connector: Connector::Kafka,
            path: None,
            topic: None,
            properties: Vec::new(),
            startup: StartupMode::Earliest,
            partitioned_by: Vec::new(),
            format: Format::Json,
            json,
            history: None,
            archive: false,
            dead_letter: None,
            dead_letter_max_ratio: None,
            skip_gaps: false,
            max_future_us,
            idle_timeout_us: 0,
            advance_idle: false,
            message_bytes_max: 1_000,
            generator: Default::default(),
            datagen_rows: None,
            datagen_rate: None,
            datagen_seed: 0,
        },
        sql: String::new(),
    }
}

fn intake(def: SourceDef, judgement: Judgement) -> Intake {
    Intake::new(Arc::new(def), judgement, None).unwrap()
}

/// (offset, record timestamp, message)
type Record = (i64, Option<i64>, String);

fn chunk(partition: u32, records: &[Record]) -> Chunk {
    let mut messages = Messages::default();
    for (offset, timestamp, text) in records {
        messages.push(*offset, Some(text.as_bytes()), 1_000);
        messages.set_timestamp(timestamp.map(EventTime));
    }
    let next_offset = records.last().map_or(0, |(offset, ..)| offset + 1);
    Chunk { partition, records: Records::Messages(messages), next_offset }
}

fn message(id: i64, t: i64) -> String {
    format!("{{\"id\":{id},\"t\":{t}}}")
}

fn run(intake: &mut Intake, chunk: &Chunk) -> Admitted {
    let mut out = Vec::new();
    intake.take(chunk, &mut out).unwrap();
    assert_eq!(out.len(), 1);
    out.remove(0)
}

fn ids(admitted: &Admitted) -> Vec<i64> {
    admitted.rows["id"].as_primitive::<Int64Type>().values().to_vec()
}

fn reasons(dead: &Option<RecordBatch>) -> Vec<(i64, String)> {
    let Some(dead) = dead else { return Vec::new() };
    let offsets = dead["offset"].as_primitive::<Int64Type>().values();
    let reasons = dead["reason"].as_string::<i32>().iter().flatten().map(str::to_owned);
    offsets.iter().copied().zip(reasons).collect()
}

#[test]
fn a_row_exactly_at_the_watermark_is_on_time_and_one_before_it_is_late() {
    let mut intake = intake(source(10, 0), Judgement::Stream);
    let records: Vec<Record> = [(0, 100), (1, 90), (2, 89), (3, 101), (4, 90)]
        .map(|(o, t)| (o, None, message(o, t)))
        .into();
    let admitted = run(&mut intake, &chunk(3, &records));
    assert_eq!(ids(&admitted), [0, 1, 3]);
    assert_eq!(admitted.watermark, EventTime(91));
    assert_eq!(admitted.newest, EventTime(101));
    assert_eq!(admitted.next_offset, 5);
    assert_eq!(reasons(&admitted.dead), [(2, "late".to_owned()), (4, "late".to_owned())]);
    assert_eq!(intake.admission().watermark(4), EventTime::NEG_INFINITY);
}

#[test]
fn the_first_verdict_that_fits_counts_and_dead_letters_keep_log_order() {
    let mut intake = intake(source(0, 50), Judgement::Stream);
    let records: Vec<Record> = vec![
        (10, Some(1_000), message(1, 1_000)),
        (11, Some(1_000), "{".to_owned()),
        (12, Some(1_000), message(2, 1_051)),
        (13, Some(1_000), r#"{"id":3}"#.to_owned()),
        (14, Some(1_000), message(4, 999)),
        (15, Some(1_000), message(5, 1_050)),
        (16, None, message(6, 5_000)),
        (17, Some(0), message(7, i64::MAX)),
        (18, Some(5_000), "x".repeat(2_000)),
        (20, Some(5_000), message(8, 5_000)),
    ];
    let admitted = run(&mut intake, &chunk(0, &records));
    assert_eq!(ids(&admitted), [1, 5, 6, 8]);
    let expected = [
        (11, "decode"),
        (12, "future"),
        (13, "event_time"),
        (14, "late"),
        (17, "event_time"),
        (18, "decode"),
    ];
    assert_eq!(reasons(&admitted.dead), expected.map(|(at, reason)| (at, reason.to_owned())));
    let dead = admitted.dead.unwrap();
    let raw = dead["raw"].as_binary::<i32>();
    assert_eq!(raw.value(0), b"{");
    assert_eq!(raw.value(5).len(), 120);
    assert!(dead["message"].as_string::<i32>().value(5).contains("2000 bytes"));
    let counts = Counts { read: 10, admitted: 4, late: 1, future: 1, decode: 2, event_time: 2 };
    assert_eq!(admitted.counts, counts);
    assert_eq!(admitted.next_offset, 21);
    let offsets = admitted.rows["_offset"].as_primitive::<Int64Type>();
    assert_eq!(offsets.values(), &[10, 15, 16, 20]);
    assert!(admitted.rows["_timestamp"].is_null(2));
}

#[test]
fn a_null_value_is_a_decode_rejection() {
    let mut intake = intake(source(0, 0), Judgement::Stream);
    let mut messages = Messages::default();
    messages.push(0, None, 10);
    messages.set_key(Some(b"k"));
    messages.push(1, Some(b""), 10);
    let chunk = Chunk { partition: 0, records: Records::Messages(messages), next_offset: 2 };
    let admitted = run(&mut intake, &chunk);
    assert_eq!(admitted.counts.decode, 2);
    let dead = admitted.dead.unwrap();
    assert!(dead["raw"].is_null(0));
    assert_eq!(dead["key"].as_binary::<i32>().value(0), b"k");
    assert!(dead["key"].is_null(1));
}

#[test]
fn an_offset_read_twice_is_our_own_error() {
    let mut intake = intake(source(0, 0), Judgement::Stream);
    run(&mut intake, &chunk(0, &[(5, None, message(1, 1))]));
    let again = intake.take(&chunk(0, &[(5, None, message(1, 1))]), &mut Vec::new()).unwrap_err();
    assert!(again.message().contains("offset 5 again"), "{again}");
}

#[test]
fn complete_history_admits_what_a_stream_finds_late() {
    let mut intake = intake(source(0, 0), Judgement::Complete);
    let records: Vec<Record> = [(0, 100), (1, 5)].map(|(o, t)| (o, Some(0), message(o, t))).into();
    let admitted = run(&mut intake, &chunk(0, &records));
    assert_eq!(ids(&admitted), [0, 1]);
    assert_eq!(admitted.watermark, EventTime(100));
}

#[test]
fn a_floor_counts_from_its_offset_on() {
    let records: Vec<Record> =
        [(0, 10), (1, 11), (2, 12), (3, 40), (4, 39)].map(|(o, t)| (o, None, message(o, t))).into();
    let mut whole = intake(source(5, 0), Judgement::Stream);
    whole.admission_mut().set_floor(0, Floor { from_offset: 2, time: 39 });
    let admitted = run(&mut whole, &chunk(0, &records));
    assert_eq!(ids(&admitted), [0, 1, 3, 4]);
    assert_eq!(admitted.watermark, EventTime(39));
}

#[test]
fn metadata_and_computed_columns_are_filled() {
    let mut def = source(0, 0);
    let meta = |field| ColumnKind::Metadata(field);
    def.columns.insert(0, column("p", DataType::Int64, false, meta(MetadataField::Partition)));
    def.columns.push(column("o", DataType::Int64, false, meta(MetadataField::Offset)));
    def.columns.push(column("k", DataType::Utf8, false, meta(MetadataField::Key)));
    def.columns.push(column("h", DataType::Utf8, true, meta(MetadataField::Headers)));
    def.columns.push(column(
        "big",
        DataType::Boolean,
        true,
        ColumnKind::Computed("id > 1".to_owned()),
    ));
    let def = Arc::new(def);
    let schema = def.schema();
    let compute: Compute = Arc::new(move |stored| {
        let ids = stored["id"].as_primitive::<Int64Type>();
        let big: BooleanArray = ids.iter().map(|id| id.map(|id| id > 1)).collect();
        let mut columns = stored.columns().to_vec();
        columns.push(Arc::new(big));
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
    });
    assert!(Intake::new(Arc::clone(&def), Judgement::Stream, None).is_err());
    let mut intake = Intake::new(def, Judgement::Stream, Some(compute)).unwrap();
    let mut messages = Messages::default();
    for (id, key) in [(1, Some("a".as_bytes())), (2, None), (3, Some(b"\xff")), (4, Some(b"b"))] {
        messages.push(id, Some(message(id, id).as_bytes()), 1_000);
        messages.set_key(key);
        if id == 4 {
            messages.set_headers(b"{}");
        }
    }
    let chunk = Chunk { partition: 7, records: Records::Messages(messages), next_offset: 5 };
    let admitted = run(&mut intake, &chunk);
    assert_eq!(ids(&admitted), [1, 4]);
    assert_eq!(admitted.counts.decode, 2);
    assert_eq!(admitted.rows["p"].as_primitive::<Int64Type>().values(), &[7, 7]);
    assert_eq!(admitted.rows["k"].as_string::<i32>().value(1), "b");
    assert!(admitted.rows["h"].is_null(0) && admitted.rows["h"].is_valid(1));
    assert!(admitted.rows["big"].as_boolean().value(1));
    let names: Vec<_> = admitted.rows.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(&names[names.len() - 4..], ["big", "_partition", "_offset", "_timestamp"]);
}

#[test]
fn the_record_timestamp_can_be_the_event_time() {
    let mut def = source(0, 0);
    def.columns.truncate(1);
    let kind = ColumnKind::Metadata(MetadataField::Timestamp);
    def.columns.push(column("t", timestamp_type(), false, kind));
    let mut intake = intake(def, Judgement::Stream);
    let records: Vec<Record> = vec![
        (0, Some(100), r#"{"id":0}"#.to_owned()),
        (1, Some(99), r#"{"id":1}"#.to_owned()),
        (2, None, r#"{"id":2}"#.to_owned()),
        (3, Some(100), r#"{"id":"x"}"#.to_owned()),
    ];
    let admitted = run(&mut intake, &chunk(0, &records));
    assert_eq!(ids(&admitted), [0]);
    let expected = [(1, "late"), (2, "event_time"), (3, "decode")];
    assert_eq!(reasons(&admitted.dead), expected.map(|(at, reason)| (at, reason.to_owned())));
}

#[test]
fn typed_rows_are_judged_like_messages() {
    let mut def = source(0, 0);
    def.columns.push(column("d", DataType::Float64, true, ColumnKind::Physical));
    def.options.connector = Connector::File;
    let mut intake = intake(def, Judgement::Stream);
    let batch = RecordBatch::try_from_iter([
        (
            "t",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(5), None, Some(4), Some(6)]))
                as ArrayRef,
        ),
        ("id", Arc::new(Int32Array::from(vec![Some(1), Some(2), Some(3), None]))),
        ("d", Arc::new(Float64Array::from(vec![-0.0, 1.0, 2.0, 3.0]))),
    ])
    .unwrap();
    let rows = crate::source::records::Rows {
        batch,
        offsets: crate::source::records::RowOffsets::From(100),
        timestamps: None,
        file: "x.parquet".into(),
    };
    let chunk = Chunk { partition: 0, records: Records::Rows(rows), next_offset: 104 };
    let admitted = run(&mut intake, &chunk);
    assert_eq!(ids(&admitted), [1]);
    let d = admitted.rows["d"].as_primitive::<arrow::datatypes::Float64Type>().value(0);
    assert_eq!(d.to_bits(), 0.0f64.to_bits());
    let expected = [(101, "event_time"), (102, "late"), (103, "decode")];
    let dead = admitted.dead.clone();
    assert_eq!(reasons(&dead), expected.map(|(at, reason)| (at, reason.to_owned())));
    assert!(dead.unwrap()["raw"].as_binary::<i32>().value(1).starts_with(b"{\"t\":"));
}

/// The verdicts are a property of the log: chunk sizes, restarts and other partitions in between
/// change nothing; and a naive model agrees.
#[test]
fn verdicts_do_not_depend_on_chunks_or_restarts() {
    let cases = std::env::var("SKEWLESS_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    for seed in 0..cases {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |n: u32| i64::from(random.next_u32() % n);
        let records: Vec<Record> = (0..60)
            .map(|offset| match below(10) {
                0 => (offset, Some(0), "broken".to_owned()),
                1 => (offset, Some(0), format!("{{\"id\":{offset}}}")),
                2 => (offset, Some(0), message(offset, 200)),
                _ => (offset, None, message(offset, below(100))),
            })
            .collect();
        let def = source(below(30), 150);
        let delay_us = def.watermark.delay_us;
        let mut whole = intake(def.clone(), Judgement::Stream);
        let expected = run(&mut whole, &chunk(0, &records));
        assert_eq!(ids(&expected), naive(&records, delay_us), "seed {seed}");

        let mut parts = intake(def.clone(), Judgement::Stream);
        let (mut found, mut rest) = (Vec::new(), records.as_slice());
        while !rest.is_empty() {
            let (part, tail) = rest.split_at((below(9) as usize + 1).min(rest.len()));
            rest = tail;
            found.extend(ids(&run(&mut parts, &chunk(0, part))));
            run(&mut parts, &chunk(1, &[(part[0].0, None, message(0, 10_000))]));
            if below(3) == 0 {
                let text = serde_json::to_string(&parts.admission().snapshot()).unwrap();
                parts = intake(def.clone(), Judgement::Stream);
                parts.admission_mut().restore(&serde_json::from_str(&text).unwrap());
            }
        }
        assert_eq!(found, ids(&expected), "seed {seed}");
        assert_eq!(parts.admission().watermark(0), expected.watermark, "seed {seed}");
        assert!(parts.admission().counts().is_conserved());
    }
}

/// With `dead_letter.max_ratio` the record that is one too many is the same one however the log
/// is cut and wherever the engine restarts.
#[test]
fn too_many_dead_letters_stop_reading_at_the_same_record_always() {
    let mut def = source(i64::MAX, 0);
    def.options.dead_letter_max_ratio = Some(0.25);
    for seed in 0..40 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |n: u32| i64::from(random.next_u32() % n);
        // One in five is broken, from record 1,500 on one in three.
        let broken = |offset: i64, n: i64| if offset < 1_500 { n % 5 == 0 } else { n % 3 == 0 };
        let records: Vec<Record> = (0..4_000)
            .map(|offset| match broken(offset, below(15)) {
                true => (offset, None, "broken".to_owned()),
                false => (offset, None, message(offset, below(100))),
            })
            .collect();
        let bad = |at: usize| records[at].2 == "broken";
        let limit = (99..records.len()).find(|at| {
            let window = (at + 1).saturating_sub(1_000)..at + 1;
            let of = window.len() as f64;
            bad(*at) && window.filter(|at| bad(*at)).count() as f64 > 0.25 * of
        });
        let limit = limit.expect("it is exceeded");
        let mut parts = intake(def.clone(), Judgement::Stream);
        let (mut rest, mut stopped) = (records.as_slice(), None);
        while !rest.is_empty() && stopped.is_none() {
            let size = [1, 7, 400, 4_000][below(4) as usize];
            let (part, tail) = rest.split_at(rest.len().min(size));
            rest = tail;
            stopped = parts.take(&chunk(0, part), &mut Vec::new()).err();
            if below(3) == 0 && stopped.is_none() {
                let text = serde_json::to_string(&parts.admission().snapshot()).unwrap();
                parts = intake(def.clone(), Judgement::Stream);
                parts.admission_mut().restore(&serde_json::from_str(&text).unwrap());
            }
        }
        let error = stopped.unwrap_or_else(|| panic!("seed {seed}: never stopped"));
        let newest = format!("the newest is offset {limit}, decode: not JSON");
        assert!(error.message().contains(&newest), "seed {seed}: {error}");
        assert!(error.message().contains("'dead_letter.max_ratio' = 0.25"), "{error}");
        assert!(error.hint().is_some() && error.exit_code() == 1);
    }
}

fn naive(records: &[Record], delay_us: i64) -> Vec<i64> {
    let (mut admitted, mut newest) = (Vec::new(), None::<i64>);
    for (offset, timestamp, text) in records {
        let Some(t) = text.split("\"t\":").nth(1).map(|t| t.trim_end_matches('}')) else {
            continue;
        };
        let t: i64 = t.parse().unwrap();
        let future = timestamp.is_some_and(|own| t > own + 150);
        let late = newest.is_some_and(|newest| t < newest - delay_us);
        if !future && !late {
            newest = newest.max(Some(t));
            admitted.push(*offset);
        }
    }
    admitted
}
