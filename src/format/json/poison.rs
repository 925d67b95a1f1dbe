//! The poison corpus: oddities of JSON with their verdicts, each tried at several places of a
//! batch. Neighbours must survive, and the rejection must say what is wrong. `source::poison`
//! sends the same corpus through admission, at every place of a batch.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::*;
use crate::format::rejection::Reason;
use crate::model::batch::timestamp_type;

/// The columns of the corpus; `id` and `t` are NOT NULL, `t` is the event time.
pub(crate) fn schema() -> SchemaRef {
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("t", timestamp_type(), false),
        Field::new("i", DataType::Int64, true),
        Field::new("u", DataType::UInt64, true),
        Field::new("b", DataType::Int8, true),
        Field::new("d", DataType::Float64, true),
        Field::new("r", DataType::Float32, true),
        Field::new("m", DataType::Decimal128(10, 2), true),
        Field::new("s", DataType::Utf8, true),
        Field::new("x", DataType::Binary, true),
        Field::new("day", DataType::Date32, true),
        Field::new("ok", DataType::Boolean, true),
        Field::new("l", list, true),
    ]))
}

/// What the verdict on a message is, and a part of its reason.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accept,
    Decode(&'static str),
    EventTime(&'static str),
}
use Verdict::{Accept, Decode, EventTime};

/// A message that is fine but for `fields`.
fn with(fields: &str) -> Vec<u8> {
    format!(r#"{{"id":-1,"t":"2024-01-01T00:00:00Z",{fields}}}"#).into_bytes()
}

fn numbers() -> Vec<(Vec<u8>, Verdict)> {
    let cases: Vec<(&str, Verdict)> = vec![
        (r#""i":1.9"#, Decode("expected BIGINT, found 1.9")),
        (r#""i":1.0"#, Accept),
        (r#""i":1e3"#, Accept),
        (r#""i":-0"#, Accept),
        (r#""i":9007199254740992.0"#, Accept),
        (r#""i":9007199254740993.0"#, Decode("2^53")),
        (r#""i":1e16"#, Decode("2^53")),
        (r#""i":"5""#, Decode(r#"field 'i': expected BIGINT, found "5" at byte"#)),
        (r#""i":true"#, Decode("expected BIGINT, found true")),
        (r#""i":[1]"#, Decode("expected BIGINT, found [1]")),
        (r#""i":{"a":1}"#, Decode("expected BIGINT")),
        (r#""i":9223372036854775807"#, Accept),
        (r#""i":9223372036854775808"#, Decode("out of its range")),
        (r#""i":-9223372036854775809"#, Decode("out of its range")),
        (r#""i":99999999999999999999999999999999999999999999"#, Decode("out of its range")),
        (r#""i":1e999"#, Decode("out of its range")),
        (r#""i":01"#, Decode("not JSON")),
        (r#""i":+1"#, Decode("not JSON")),
        (r#""i":0x10"#, Decode("not JSON")),
        (r#""i":1_000"#, Decode("not JSON")),
        (r#""i":- 1"#, Decode("not JSON")),
        (r#""i":"#, Decode("not JSON")),
        (r#""u":-1"#, Decode("out of its range")),
        (r#""u":18446744073709551615"#, Accept),
        (r#""u":18446744073709551616"#, Decode("out of its range")),
        (r#""b":127"#, Accept),
        (r#""b":128"#, Decode("expected TINYINT")),
        (r#""d":"NaN""#, Decode("finite")),
        (r#""d":"inf""#, Decode("finite")),
        (r#""d":"-Infinity""#, Decode("finite")),
        (r#""d":1e999"#, Decode("finite")),
        (r#""d":-1e999"#, Decode("finite")),
        (r#""d":1e-999"#, Accept),
        (r#""d":NaN"#, Decode("not JSON")),
        (r#""d":Infinity"#, Decode("not JSON")),
        (r#""d":-Infinity"#, Decode("not JSON")),
        (r#""d":nan"#, Decode("not JSON")),
        (r#""d":-0.0"#, Accept),
        (r#""d":.5"#, Decode("not JSON")),
        (r#""d":5."#, Decode("not JSON")),
        (r#""d":1e"#, Decode("not JSON")),
        (r#""d":"1.5""#, Decode("expected DOUBLE")),
        (r#""r":1e39"#, Decode("finite REAL")),
        (r#""m":12345678.99"#, Accept),
        (r#""m":123456789.00"#, Decode("out of its range")),
        (r#""m":0.001"#, Decode("more digits")),
        (r#""m":1e2"#, Accept),
        (r#""m":"1.5""#, Decode("expected DECIMAL(10, 2)")),
        (r#""m":1e60"#, Decode("out of its range")),
        (r#""i":-9223372036854775808"#, Accept),
        (r#""i":-01"#, Decode("not JSON")),
        (r#""i":1e"#, Decode("not JSON")),
        (r#""i":1e+"#, Decode("not JSON")),
        (r#""i":0b1"#, Decode("not JSON")),
        (r#""i":1n"#, Decode("not JSON")),
        (r#""b":-129"#, Decode("expected TINYINT")),
        (r#""u":1.5"#, Decode("expected BIGINT UNSIGNED")),
        (r#""r":-1e39"#, Decode("finite REAL")),
    ];
    cases.into_iter().map(|(fields, verdict)| (with(fields), verdict)).collect()
}

fn texts_and_structure() -> Vec<(Vec<u8>, Verdict)> {
    let cases: Vec<(&str, Verdict)> = vec![
        (r#""s":5"#, Decode("expected VARCHAR, found 5")),
        (r#""s":null"#, Accept),
        (r#""s":"\u0000""#, Accept),
        (r#""s":"\ud83d\ude00""#, Accept),
        (r#""s":"\ud83d""#, Decode("lone surrogate")),
        (r#""s":"\ude00""#, Decode("lone surrogate")),
        (r#""s":"\ud83dx""#, Decode("lone surrogate")),
        (r#""s":"\ud83d\u0041""#, Decode("lone surrogate")),
        (r#""s":"\x""#, Decode("unknown escape")),
        (r#""s":"\u12g4""#, Decode("hex digits")),
        ("\"s\":\"a\nb\"", Decode("control character")),
        ("\"s\":\"a\tb\"", Decode("control character")),
        ("\"s\":\"a\0b\"", Decode("control character")),
        (r#""s":'a'"#, Decode("not JSON")),
        (r#""s":"open"#, Decode("not JSON")),
        (r#""x":"????""#, Decode("base64")),
        (r#""x":"QQ==""#, Accept),
        (r#""x":"-_8=""#, Decode("base64")),
        (r#""day":"2023-02-29""#, Decode("expected a date")),
        (r#""day":"2024-02-29""#, Accept),
        (r#""day":"2024-02-29T00:00:00Z""#, Decode("expected a date")),
        (r#""day":19000"#, Decode("expected DATE")),
        (r#""ok":1"#, Decode("expected BOOLEAN")),
        (r#""ok":"true""#, Decode("expected BOOLEAN")),
        (r#""ok":True"#, Decode("not JSON")),
        (r#""ok":truex"#, Decode("not JSON")),
        (r#""ok":nul"#, Decode("not JSON")),
        (r#""l":[1,2,]"#, Decode("not JSON")),
        (r#""l":[1 2]"#, Decode("not JSON")),
        (r#""l":[1,"x"]"#, Decode("field 'l'")),
        (r#""l":[1,2"#, Decode("not JSON")),
        (r#""l":{}"#, Decode("expected BIGINT[]")),
        (r#""l":[]"#, Accept),
        (r#""I":1"#, Accept),
        (r#""more":{"deep":[{"er":null}]}"#, Accept),
        (r#""more":{"a":1,}"#, Decode("not JSON")),
        (r#""more":{a:1}"#, Decode("not JSON")),
        (r#""more":[}"#, Decode("not JSON")),
        (r#""more":1e999"#, Accept),
        (r#""more":"\ud800""#, Decode("lone surrogate")),
        (r#""i":1,"i":1"#, Decode("'i' appears twice")),
        (r#""more":1,"more":1"#, Decode("'more' appears twice")),
        (r#""i":1,"#, Decode("not JSON")),
        (r#""i":1,,"s":"x""#, Decode("not JSON")),
        (r#""i" 1"#, Decode("not JSON")),
        (r#""i":1 "s":"x""#, Decode("not JSON")),
        (r#""i":1 /* c */"#, Decode("not JSON")),
        (r#""i":1 // c"#, Decode("not JSON")),
        (r#"i:1"#, Decode("not JSON")),
        (r#""id":1"#, Decode("'id' appears twice")),
        (r#""\u0069d":1"#, Decode("'id' appears twice")),
        (r#""more":{"a":1,"a":2}"#, Accept),
        (r#""s":undefined"#, Decode("not JSON")),
        (r#""s":`a`"#, Decode("not JSON")),
        (r#""s":"\"#, Decode("not JSON")),
        (r#""s":"a""b""#, Decode("not JSON")),
        ("\"s\":\u{a0}\"a\"", Decode("not JSON")),
        ("\"s\":\u{b}\"a\"", Decode("not JSON")),
        (r#""ok":null"#, Accept),
        (r#""ok":"""#, Decode("expected BOOLEAN")),
        (r#""l":[[1]]"#, Decode("field 'l'")),
        (r#""l":[null]"#, Accept),
        (r#""x":5"#, Decode("expected BYTEA")),
    ];
    cases.into_iter().map(|(fields, verdict)| (with(fields), verdict)).collect()
}

fn values() -> Vec<(Vec<u8>, Verdict)> {
    numbers().into_iter().chain(texts_and_structure()).collect()
}

fn messages() -> Vec<(Vec<u8>, Verdict)> {
    let t = |value: &str| format!(r#"{{"id":-1,"t":{value}}}"#).into_bytes();
    let big = || format!(r#"{{"id":-1,"s":"{}"}}"#, "x".repeat(70_000)).into_bytes();
    let mut cases: Vec<(Vec<u8>, Verdict)> = vec![
        (b"".to_vec(), Decode("empty")),
        (b" ".to_vec(), Decode("expected '{'")),
        (b"null".to_vec(), Decode("expected '{'")),
        (b"[]".to_vec(), Decode("expected '{'")),
        (b"5".to_vec(), Decode("expected '{'")),
        (b"\"text\"".to_vec(), Decode("expected '{'")),
        (b"{".to_vec(), Decode("found the end")),
        (b"}".to_vec(), Decode("expected '{'")),
        (b"{}".to_vec(), Decode("'id' NOT NULL is missing")),
        (b"{,}".to_vec(), Decode("field name")),
        (b"\xEF\xBB\xBF{}".to_vec(), Decode("expected '{'")),
        (b"{\"id\":-1,\"s\":\"\xff\"}".to_vec(), Decode("not UTF-8 at byte 14")),
        (b"{\"id\":-1,\"s\":\"\xed\xa0\x80\"}".to_vec(), Decode("not UTF-8")),
        (b"{\"id\":-1,\"\xc3\":1}".to_vec(), Decode("not UTF-8")),
        (big(), Decode("message.max_bytes = 65536")),
        (br#"{"id":null,"t":"2024-01-01"}"#.to_vec(), Decode("NOT NULL, found NULL")),
        (br#"{"ID":-1,"t":"2024-01-01"}"#.to_vec(), Decode("'id' NOT NULL is missing")),
        (br#"{"id":-1}"#.to_vec(), EventTime("'t' is missing")),
        (t("null"), EventTime("NULL")),
        (t("1700000000"), EventTime("timestamp")),
        (t(r#""""#), EventTime("timestamp")),
        (t(r#""yesterday""#), EventTime("timestamp")),
        (t(r#""0000-01-01T00:00:00Z""#), EventTime("out of range")),
        (t(r#""1677-12-31T23:59:59Z""#), EventTime("out of range")),
        (t(r#""1678-01-01T00:00:00Z""#), Accept),
        (t(r#""2262-01-01T00:00:00Z""#), EventTime("out of range")),
        (t(r#""99999-01-01T00:00:00Z""#), EventTime("timestamp")),
        (t(r#""2024-02-30T00:00:00Z""#), EventTime("timestamp")),
        (t(r#""2024-01-01T25:00:00Z""#), EventTime("timestamp")),
        (t(r#""2024-01-01 00:00:00.123456789""#), Accept),
        (t("{}"), EventTime("TIMESTAMP")),
        (t(r#""+10000-01-01T00:00:00Z""#), EventTime("timestamp")),
        (t(r#""-0001-01-01T00:00:00Z""#), EventTime("timestamp")),
        (t(r#""9999-12-31T23:59:59Z""#), EventTime("out of range")),
        (t(r#""2261-12-31T23:59:59.999999Z""#), Accept),
        (t(r#""1677-12-31T23:59:59.999999Z""#), EventTime("out of range")),
        (t(r#""1969-12-31T23:59:59Z""#), Accept),
        (t("true"), EventTime("TIMESTAMP")),
        (t(r#""\ud800""#), Decode("lone surrogate")),
        (t("1e999"), EventTime("timestamp")),
        (b"\xff\xfe{\0}\0".to_vec(), Decode("not UTF-8")),
        (b"\0".to_vec(), Decode("expected '{'")),
        (b"{\"id\":-1,\"s\":\"\xc0\xaf\"}".to_vec(), Decode("not UTF-8")),
        (b"<id>1</id>".to_vec(), Decode("expected '{'")),
        (b"1,2024-01-01".to_vec(), Decode("expected '{'")),
        (b"\x00\x00\x00\x00\x01{}".to_vec(), Decode("expected '{'")),
    ];
    let good = with(r#""i":1"#);
    let joined = |between: &[u8]| [good.as_slice(), between, good.as_slice()].concat();
    cases.push((joined(b""), Decode("nothing behind")));
    cases.push((joined(b"\n"), Decode("nothing behind")));
    cases.push(([good.as_slice(), b"x"].concat(), Decode("nothing behind")));
    cases.push(([b" \r\n\t".as_slice(), &good, b" \r\n\t"].concat(), Accept));
    cases.push((good[..good.len() - 1].to_vec(), Decode("found the end")));
    let nested = |n| with(&format!(r#""more":{}1{}"#, "[".repeat(n), "]".repeat(n)));
    cases.push((nested(63), Accept));
    cases.push((nested(64), Decode("nesting")));
    cases.push((nested(30_000), Decode("nesting")));
    cases.push((with(&format!(r#""l":{}"#, "[".repeat(30_000))), Decode("")));
    let objects = |n| with(&format!(r#""more":{}1{}"#, r#"{"a":"#.repeat(n), "}".repeat(n)));
    cases.push((objects(63), Accept));
    cases.push((objects(9_000), Decode("nesting")));
    cases.push(([good.as_slice(), b"\0"].concat(), Decode("nothing behind")));
    cases.push(([b"[".as_slice(), &good, b"]"].concat(), Decode("expected '{'")));
    cases
}

/// Every message with its verdict.
pub(crate) fn corpus() -> Vec<(Vec<u8>, Verdict)> {
    values().into_iter().chain(messages()).collect()
}

fn neighbour(id: i64) -> String {
    format!(r#"{{"id":{id},"t":"2024-01-01T00:00:00Z","s":"n{id}","l":[{id}],"d":{id}.5}}"#)
}

#[test]
fn every_oddity_gets_its_verdict_and_neighbours_survive() {
    let corpus = corpus();
    assert!(corpus.len() >= 80, "{}", corpus.len());
    let rows = 40;
    for (message, verdict) in &corpus {
        for place in [0, 1, 7, 8, 20, rows - 1, rows] {
            let mut decoder = JsonDecoder::new(schema(), JsonOptions::default(), 1 << 16)
                .unwrap()
                .with_event_time("t");
            let mut ids = Vec::new();
            for id in 0..=rows {
                if id == place {
                    check(&mut decoder, message, verdict);
                    if matches!(verdict, Accept) {
                        ids.push(-1);
                    }
                }
                if id < rows {
                    decoder.decode(neighbour(id).as_bytes()).unwrap();
                    ids.push(id);
                }
            }
            assert_batch(&decoder.flush().unwrap(), &ids);
        }
    }
}

fn check(decoder: &mut JsonDecoder, message: &[u8], verdict: &Verdict) {
    let shown = quote(message);
    let result = decoder.decode(message);
    let (reason, part) = match verdict {
        Accept => return assert_eq!(result, Ok(()), "{shown}"),
        Decode(part) => (Reason::Decode, part),
        EventTime(part) => (Reason::EventTime, part),
    };
    let rejection = result.expect_err(&shown);
    assert_eq!(rejection.reason, reason, "{shown}: {rejection:?}");
    assert!(rejection.message.contains(part), "{shown}: {rejection:?}");
    assert!(rejection.message.len() < 500, "{shown}");
}

fn assert_batch(batch: &RecordBatch, ids: &[i64]) {
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), ids);
    for (row, id) in ids.iter().enumerate().filter(|(_, id)| **id >= 0) {
        assert_eq!(batch["s"].as_string::<i32>().value(row), format!("n{id}"));
        let list = batch["l"].as_list::<i32>().value(row);
        assert_eq!(list.as_primitive::<Int64Type>().values(), &[*id]);
    }
}

#[test]
fn a_hundred_thousand_levels_are_refused_without_descending() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for field in ["more", "l", "t", "i"] {
            let (open, close) = (open.repeat(100_000), close.repeat(100_000));
            let message = format!(r#"{{"id":-1,"{field}":{open}1{close}}}"#);
            let mut decoder = JsonDecoder::new(schema(), JsonOptions::default(), 1 << 20)
                .unwrap()
                .with_event_time("t");
            let rejection = decoder.decode(message.as_bytes()).unwrap_err();
            assert!(rejection.message.contains("nesting"), "{field}: {rejection:?}");
            decoder.decode(neighbour(1).as_bytes()).unwrap();
            assert_batch(&decoder.flush().unwrap(), &[1]);
        }
    }
}

/// Mutated messages: never a panic, never a row beside its verdict.
#[test]
fn mutated_messages_leave_whole_rows_or_nothing() {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{RngCore, SeedableRng};
    let seed = 7;
    let cases = std::env::var("SKEWLESS_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let corpus: Vec<_> = corpus().into_iter().map(|(message, _)| message).collect();
    let mut decoder =
        JsonDecoder::new(schema(), JsonOptions::default(), 1 << 16).unwrap().with_event_time("t");
    let mut accepted = 0;
    for _ in 0..cases {
        let mut message = corpus[random.next_u32() as usize % corpus.len()].clone();
        message.truncate(2_000);
        for _ in 0..=random.next_u32() % 3 {
            let at = random.next_u32() as usize % (message.len() + 1);
            let byte = b"{}[]\",:\\u0e-.nt\xff "[random.next_u32() as usize % 17];
            match random.next_u32() % 3 {
                0 => message.insert(at, byte),
                1 if at < message.len() => message[at] = byte,
                _ if at < message.len() => drop(message.remove(at)),
                _ => {}
            }
        }
        let ours = decoder.decode(&message);
        let valid = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&message);
        // Everything we accept, an independent strict parser accepts too; it alone holds that an
        // undeclared 1e999 is not JSON.
        let valid = valid.is_ok() || message.windows(4).any(|w| w == b"e999");
        assert!(ours.is_err() || valid, "seed {seed}: {}", quote(&message));
        accepted += usize::from(ours.is_ok());
    }
    assert!(accepted > 0, "seed {seed}");
    assert_eq!(decoder.flush().unwrap().num_rows(), accepted, "seed {seed}");
}
