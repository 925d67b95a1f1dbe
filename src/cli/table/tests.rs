//! Tests of result formats.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray,
    StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::Int32Type;

use super::*;

fn print(columns: Vec<(&str, ArrayRef)>, format: ResultFormat) -> String {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let mut writer = ResultWriter::new(batch.schema(), format);
    let mut out = writer.begin();
    let middle = batch.num_rows() / 2;
    out.push_str(&writer.batch(batch.slice(0, middle)).unwrap());
    out.push_str(&writer.batch(batch.slice(middle, batch.num_rows() - middle)).unwrap());
    out + &writer.end().unwrap()
}

fn ints(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn tables_are_aligned_and_numbers_stand_to_the_right() {
    let columns = vec![
        ("user_id", ints(&[Some(42), Some(-1_000_000), None])),
        ("name", texts(&[Some("Ann\n\u{1b}[31m"), Some("日本"), Some("")])),
    ];
    let expected = [
        " user_id  | name",
        "----------+-----------------",
        "       42 | Ann\\n\\u{1b}[31m",
        " -1000000 | 日本",
        "     NULL |",
        "(3 rows)\n",
    ];
    assert_eq!(print(columns, ResultFormat::Table), expected.join("\n"));
}

#[test]
fn an_empty_result_still_names_its_columns() {
    let none = || vec![("a", ints(&[])), ("b", texts(&[]))];
    assert_eq!(print(none(), ResultFormat::Table), " a | b\n---+---\n(0 rows)\n");
    assert_eq!(print(none(), ResultFormat::Csv), "a,b\n");
    assert_eq!(print(none(), ResultFormat::Json), "[]\n");
    assert_eq!(print(none(), ResultFormat::Ndjson), "");
}

#[test]
fn csv_tells_null_from_empty_text() {
    let columns =
        vec![("a", ints(&[Some(1), None])), ("b,c", texts(&[Some(""), Some("say \"x\", y")]))];
    let expected = "a,\"b,c\"\n1,\"\"\n,\"say \"\"x\"\", y\"\n";
    assert_eq!(print(columns, ResultFormat::Csv), expected);
}

#[test]
fn json_keeps_every_digit_and_every_kind_of_float() {
    let floats = Float64Array::from(vec![0.1 + 0.2, f64::NAN, f64::NEG_INFINITY, 1e300]);
    let columns = vec![
        ("i", ints(&[Some(i64::MAX), None, Some(0), Some(i64::MIN)])),
        ("f", Arc::new(floats) as ArrayRef),
    ];
    let expected = "\
{\"i\":9223372036854775807,\"f\":0.30000000000000004}
{\"i\":null,\"f\":\"NaN\"}
{\"i\":0,\"f\":\"-inf\"}
{\"i\":-9223372036854775808,\"f\":1e300}
";
    assert_eq!(print(columns, ResultFormat::Ndjson), expected);
}

#[test]
fn json_writes_every_type() {
    let decimal = Decimal128Array::from(vec![12_345]).with_precision_and_scale(9, 2).unwrap();
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("t", Arc::new(TimestampMicrosecondArray::from(vec![1_500]).with_timezone("UTC"))),
        ("n", Arc::new(TimestampNanosecondArray::from(vec![1_000_000_001]))),
        ("d", Arc::new(decimal)),
        ("b", Arc::new(BooleanArray::from(vec![true]))),
        ("x", Arc::new(BinaryArray::from_vec(vec![b"\xff\x00"]))),
        ("l", Arc::new(list)),
        ("s", texts(&[Some("a\"b")])),
    ];
    let expected = "[\n  {\"t\":\"1970-01-01T00:00:00.001500Z\",\
         \"n\":\"1970-01-01T00:00:01.000000001\",\"d\":123.45,\"b\":true,\"x\":\"/wA=\",\
         \"l\":[1,null],\"s\":\"a\\\"b\"}\n]\n";
    assert_eq!(print(columns, ResultFormat::Json), expected);
}
