//! Tests of the JSON decoder: types, prediction of field order, roll-back.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::*;
use crate::format::options::JsonTimestamp;
use crate::format::rejection::Reason;
use crate::model::batch::timestamp_type;
use crate::model::text::write_json_row;

fn schema(fields: &[(&str, DataType, bool)]) -> SchemaRef {
    let fields = fields.iter().map(|(n, t, nullable)| Field::new(*n, t.clone(), *nullable));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn decoder(fields: &[(&str, DataType, bool)], rules: JsonOptions) -> JsonDecoder {
    JsonDecoder::new(schema(fields), rules, 1 << 20).unwrap()
}

fn rendered(batch: &RecordBatch) -> Vec<String> {
    (0..batch.num_rows())
        .map(|row| {
            let mut out = Vec::new();
            write_json_row(batch, row, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        })
        .collect()
}

fn one(data_type: DataType, value: &str, rules: JsonOptions) -> Result<String, String> {
    let mut decoder = decoder(&[("x", data_type, true)], rules);
    decoder.decode(format!("{{\"x\":{value}}}").as_bytes()).map_err(|r| r.message)?;
    Ok(rendered(&decoder.flush().unwrap()).remove(0))
}

#[test]
fn every_type_is_read_and_written_back() {
    let list = |t| DataType::List(Arc::new(Field::new_list_field(t, true)));
    let cases = [
        (DataType::Boolean, "true", "true"),
        (DataType::Int8, "-128", "-128"),
        (DataType::UInt64, "18446744073709551615", "18446744073709551615"),
        (DataType::Int64, "-9223372036854775808", "-9223372036854775808"),
        (DataType::Int32, "1e3", "1000"),
        (DataType::Float32, "0.1", "0.1"),
        (DataType::Float64, "1e22", "1e22"),
        (DataType::Float64, "-0.0", "0.0"),
        (DataType::Decimal128(10, 2), "12.30", "12.30"),
        (
            DataType::Decimal128(38, 0),
            "-99999999999999999999999999999999999999",
            "-99999999999999999999999999999999999999",
        ),
        (DataType::Utf8, r#""a\u00e9\ud83d\ude00\n\u0000""#, "\"aé😀\\n\\u0000\""),
        (DataType::Binary, r#""AQI=""#, r#""AQI=""#),
        (DataType::Binary, r#""AQI""#, r#""AQI=""#),
        (DataType::Date32, r#""1969-12-31""#, r#""1969-12-31""#),
        (
            timestamp_type(),
            r#""2024-02-29 12:00:00.1234567+01:00""#,
            r#""2024-02-29T11:00:00.123456Z""#,
        ),
        (list(DataType::Int64), "[1, null,2 ]", "[1,null,2]"),
        (list(list(DataType::Utf8)), r#"[["a"],[],null]"#, r#"[["a"],[],null]"#),
        (DataType::Int64, "null", "null"),
    ];
    for (data_type, given, expected) in cases {
        let read = one(data_type.clone(), given, JsonOptions::default());
        assert_eq!(read, Ok(format!("{{\"x\":{expected}}}")), "{data_type} {given}");
    }
}

#[test]
fn epoch_timestamps_are_exact_and_floored() {
    let read = |unit, value| {
        one(timestamp_type(), value, JsonOptions { timestamp: unit, ..JsonOptions::default() })
    };
    let at = |t: &str| Ok(format!("{{\"x\":\"{t}\"}}"));
    assert_eq!(read(JsonTimestamp::EpochSeconds, "1.5"), at("1970-01-01T00:00:01.500Z"));
    assert_eq!(read(JsonTimestamp::EpochMillis, "-1"), at("1969-12-31T23:59:59.999Z"));
    assert_eq!(read(JsonTimestamp::EpochMicros, "-0.5"), at("1969-12-31T23:59:59.999999Z"));
    assert!(read(JsonTimestamp::EpochSeconds, "1e300").is_err());
    assert!(read(JsonTimestamp::EpochMillis, "\"2024-01-01\"").is_err());
    assert!(read(JsonTimestamp::Rfc3339, "1700000000").is_err());
}

#[test]
fn coercion_and_nonfinite_words_are_accepted_only_when_asked_for() {
    let loose = JsonOptions { coerce: true, nonfinite: true, ..JsonOptions::default() };
    let cases = [
        (DataType::Int64, "\"5\"", "5"),
        (DataType::Utf8, "5.0", "\"5.0\""),
        (DataType::Utf8, "true", "\"true\""),
        (DataType::Boolean, "\"true\"", "true"),
        (DataType::Decimal128(4, 2), "\"1.25\"", "1.25"),
        (DataType::Float64, "\"2.5\"", "2.5"),
        (DataType::Float64, "\"NaN\"", "\"NaN\""),
        (DataType::Float64, "\"-Infinity\"", "\"-inf\""),
        (DataType::Float64, "1e999", "\"inf\""),
        (DataType::Float32, "\"inf\"", "\"inf\""),
    ];
    for (data_type, given, expected) in cases {
        assert_eq!(one(data_type.clone(), given, loose), Ok(format!("{{\"x\":{expected}}}")));
        assert!(one(data_type, given, JsonOptions::default()).is_err(), "{given}");
    }
}

#[test]
fn any_order_and_any_subset_of_fields_reads_the_same() {
    let fields =
        [("a", DataType::Int64, true), ("b", DataType::Int64, true), ("c", DataType::Int64, true)];
    let mut decoder = decoder(&fields, JsonOptions::default());
    let messages = [
        (r#"{"a":1,"b":2,"c":3}"#, [Some(1), Some(2), Some(3)]),
        (r#"{"c":3,"a":1,"b":2}"#, [Some(1), Some(2), Some(3)]),
        (r#"{"u":{"a":[1,"x"]},"c":3}"#, [None, None, Some(3)]),
        (r#"{"\u0061":1,"u":0,"v":0}"#, [Some(1), None, None]),
        (r#"{"v":0,"u":0,"b":2}"#, [None, Some(2), None]),
        ("{}", [None, None, None]),
        (" { } \n", [None, None, None]),
    ];
    for _ in 0..3 {
        for (message, _) in &messages {
            decoder.decode(message.as_bytes()).unwrap();
        }
        let batch = decoder.flush().unwrap();
        for (row, (message, expected)) in messages.iter().enumerate() {
            for (column, expected) in expected.iter().enumerate() {
                let values = batch.column(column).as_primitive::<Int64Type>();
                let read = values.is_valid(row).then(|| values.value(row));
                assert_eq!(read, *expected, "{message}");
            }
        }
    }
    assert_eq!(decoder.unknown_fields(), 15);
}

#[test]
fn duplicates_are_found_whatever_the_prediction_says() {
    let mut decoder = decoder(&[("a", DataType::Int64, true)], JsonOptions::default());
    for message in [r#"{"a":1,"a":1}"#, r#"{"u":1,"u":1}"#, r#"{"a":1,"\u0061":2}"#] {
        for _ in 0..3 {
            let rejection = decoder.decode(message.as_bytes()).unwrap_err();
            assert!(rejection.message.contains("appears twice"), "{rejection:?}");
        }
    }
    let many: String = (0..3_000).map(|i| format!("\"u{i}\":0,")).collect();
    decoder.decode(format!("{{{many}\"a\":1}}").as_bytes()).unwrap();
    let rejection = decoder.decode(format!("{{{many}\"u2999\":1}}").as_bytes()).unwrap_err();
    assert!(rejection.message.contains("appears twice"), "{rejection:?}");
    // A name that needs escapes is never matched by its raw bytes.
    let mut odd = super::tests::decoder(&[("a\"b", DataType::Int64, true)], JsonOptions::default());
    assert!(odd.decode(br#"{"a"b":1}"#).is_err());
    odd.decode(br#"{"a\"b":1}"#).unwrap();
}

#[test]
fn an_event_time_problem_has_its_own_reason_and_comes_after_decode_errors() {
    let fields = [("t", timestamp_type(), false), ("a", DataType::Int64, true)];
    let mut decoder = decoder(&fields, JsonOptions::default()).with_event_time("t");
    let cases = [
        (r#"{"t":"x","a":1}"#, Reason::EventTime, r#"field 't': expected a timestamp"#),
        (r#"{"a":1}"#, Reason::EventTime, "field 't' is missing"),
        (r#"{"t":null,"a":1}"#, Reason::EventTime, "found NULL"),
        (r#"{"t":5,"a":1}"#, Reason::EventTime, "found 5 at byte 5"),
        (r#"{"t":"2262-01-01T00:00:00Z"}"#, Reason::EventTime, "out of range"),
        (r#"{"t":"99999-01-01T00:00:00Z"}"#, Reason::EventTime, "expected a timestamp"),
        (r#"{"t":"x","a":"y"}"#, Reason::Decode, "field 'a'"),
        (r#"{"t":"x","a":1"#, Reason::Decode, "found the end"),
        (r#"{"t":[1,{}"#, Reason::Decode, "not JSON"),
    ];
    for (message, reason, part) in cases {
        let rejection = decoder.decode(message.as_bytes()).unwrap_err();
        assert_eq!(rejection.reason, reason, "{message}");
        assert!(rejection.message.contains(part), "{rejection:?}");
    }
    assert_eq!(decoder.flush().unwrap().num_rows(), 0);
}

#[test]
fn depth_is_counted_with_the_message_itself() {
    let mut decoder = decoder(&[("a", DataType::Int64, true)], JsonOptions::default());
    let nested = |n: usize| format!("{{\"u\":{}{}}}", "[".repeat(n), "]".repeat(n));
    decoder.decode(nested(63).as_bytes()).unwrap();
    assert!(decoder.decode(nested(64).as_bytes()).unwrap_err().message.contains("nesting"));
    assert!(decoder.decode(nested(100_000).as_bytes()).is_err());
}
