//! Every type to text and back, to the last bit.

use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int64Array, ListArray, UInt64Array,
};
use arrow::datatypes::Float64Type;

use super::*;
use crate::model::text::write_text;

fn texts(array: &ArrayRef) -> Vec<Option<String>> {
    let text = |row| {
        let mut out = String::new();
        write_text(array, row, &mut out).unwrap();
        out
    };
    (0..array.len()).map(|row| array.is_valid(row).then(|| text(row))).collect()
}

fn round_trip(array: ArrayRef, expected: &[&str]) {
    let written = texts(&array);
    let shown: Vec<&str> = written.iter().map(|t| t.as_deref().unwrap_or("NULL")).collect();
    assert_eq!(shown, expected);
    let back = read_text(&written, array.data_type()).unwrap();
    assert_eq!(back.to_data(), array.to_data());
}

#[test]
fn every_type_is_readable_text_and_comes_back_unchanged() {
    round_trip(
        Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(9_007_199_254_740_993)])),
        &["-9223372036854775808", "NULL", "9007199254740993"],
    );
    round_trip(Arc::new(UInt64Array::from(vec![u64::MAX])), &["18446744073709551615"]);
    round_trip(Arc::new(BooleanArray::from(vec![true, false])), &["true", "false"]);
    round_trip(Arc::new(StringArray::from(vec!["", "é \n\"x\""])), &["", "é \n\"x\""]);
    round_trip(Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b""])), &["AP8=", ""]);
    round_trip(Arc::new(Date32Array::from(vec![-1, 20_000])), &["1969-12-31", "2024-10-04"]);
    let decimal = Decimal128Array::from(vec![-1, 123_456_789_012_345_678_901_234_567_890]);
    round_trip(
        Arc::new(decimal.with_precision_and_scale(38, 2).unwrap()),
        &["-0.01", "1234567890123456789012345678.90"],
    );
    round_trip(
        Arc::new(TimestampMicrosecondArray::from(vec![-1, 1_500_000]).with_timezone("UTC")),
        &["1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:01.500Z"],
    );
}

#[test]
fn floats_are_shortest_and_bit_exact() {
    let specials = [0.1, 1.0, 1e300, 5e-324, f64::MAX, f64::NAN, f64::INFINITY, -f64::INFINITY];
    round_trip(
        Arc::new(Float64Array::from(specials.to_vec())),
        &["0.1", "1.0", "1e300", "5e-324", "1.7976931348623157e308", "NaN", "inf", "-inf"],
    );
    round_trip(Arc::new(Float32Array::from(vec![0.1f32, 16_777_216.0])), &["0.1", "16777216.0"]);
    // A walk over bit patterns; the seed is the constant.
    let mut bits = 0x9e37_79b9_7f4a_7c15u64;
    let mut values = Vec::new();
    for _ in 0..2_000 {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        values.push(crate::model::key::canonical_f64(f64::from_bits(bits)));
    }
    let array: ArrayRef = Arc::new(Float64Array::from(values.clone()));
    let back = read_text(&texts(&array), &DataType::Float64).unwrap();
    for (x, y) in values.iter().zip(back.as_primitive::<Float64Type>().values()) {
        assert_eq!(x.to_bits(), y.to_bits());
    }
}

#[test]
fn lists_are_json_and_come_back() {
    let list = ListArray::from_iter_primitive::<Float64Type, _, _>(vec![
        Some(vec![Some(1.5), None, Some(f64::NAN)]),
        None,
        Some(vec![]),
    ]);
    let array: ArrayRef = Arc::new(list);
    let written = texts(&array);
    assert_eq!(written[0].as_deref(), Some(r#"[1.5,null,"NaN"]"#));
    assert_eq!(written[1], None);
    let back = read_text(&written, array.data_type()).unwrap();
    let item = back.as_list::<i32>().value(0);
    assert!(item.as_primitive::<Float64Type>().value(2).is_nan());
    assert!(back.is_null(1) && back.as_list::<i32>().value(2).is_empty());
}

#[test]
fn foreign_text_is_an_error_that_shows_it() {
    for (text, data_type) in [
        ("x", DataType::Int64),
        ("1.5", DataType::Int64),
        ("yesterday", crate::model::batch::timestamp_type()),
        ("*", DataType::Binary),
    ] {
        let error = read_text(&[Some(text.to_owned())], &data_type).unwrap_err();
        assert!(error.message().contains(text), "{error}");
    }
}
