//! What labels may hold, and what is refused.

use arrow::array::*;

use super::*;

fn key(array: impl Array + 'static, to: DataType) -> Result<ArrayRef> {
    key_column(&(Arc::new(array) as ArrayRef), &to, "id")
}

#[test]
fn keys_of_the_same_value_match_whatever_their_type() {
    let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(42), None]));
    let same = |array: ArrayRef| key_column(&array, &DataType::Int64, "id").unwrap();
    assert_eq!(&same(Arc::new(Int32Array::from(vec![Some(42), None]))), &expected);
    assert_eq!(&same(Arc::new(Float64Array::from(vec![Some(42.0), None]))), &expected);
    let decimal = Decimal128Array::from(vec![Some(4200), None]);
    let decimal = decimal.with_precision_and_scale(10, 2).unwrap();
    assert_eq!(&same(Arc::new(decimal)), &expected);
    let nothing = same(Arc::new(NullArray::new(2)));
    assert_eq!(nothing.null_count(), 2);
    let narrow = key(Int64Array::from(vec![7]), DataType::Int8).unwrap();
    assert_eq!(narrow.as_ref(), &Int8Array::from(vec![7]) as &dyn Array);
    let texts: DictionaryArray<arrow::datatypes::Int32Type> =
        vec!["a", "b", "a"].into_iter().collect();
    let plain = key(texts, DataType::Utf8).unwrap();
    assert_eq!(plain.as_ref(), &StringArray::from(vec!["a", "b", "a"]) as &dyn Array);
}

#[test]
fn a_zero_is_one_key_and_so_is_a_nan() {
    let floats = Float32Array::from(vec![-0.0f32, f32::NAN, 1.5]);
    let found = key(floats, DataType::Float64).unwrap();
    let bits: Vec<u64> = found
        .as_primitive::<arrow::datatypes::Float64Type>()
        .values()
        .iter()
        .map(|x| x.to_bits())
        .collect();
    assert_eq!(bits, [0, f64::NAN.to_bits(), 1.5f64.to_bits()]);
}

#[test]
fn a_key_that_would_change_is_refused_with_its_row() {
    let message = |result: Result<ArrayRef>| result.unwrap_err().message().to_owned();
    assert_eq!(
        message(key(Float64Array::from(vec![1.0, 42.5]), DataType::Int64)),
        "column 'id' of the labels, row 1: 42.5 is no BIGINT, which the key is"
    );
    assert_eq!(
        message(key(Int64Array::from(vec![300]), DataType::Int8)),
        "column 'id' of the labels, row 0: 300 is no TINYINT, which the key is"
    );
    // 2^53 + 1 has no double.
    let big = Int64Array::from(vec![9_007_199_254_740_993]);
    assert!(message(key(big, DataType::Float64)).contains("row 0"));
    assert!(message(key(Float64Array::from(vec![f64::NAN]), DataType::Int64)).contains("row 0"));
    assert_eq!(
        message(key(StringArray::from(vec!["42"]), DataType::Int64)),
        "column 'id' of the labels is VARCHAR, the key is BIGINT"
    );
    assert!(key(Int64Array::from(vec![1]), DataType::Boolean).is_err());
}

#[test]
fn times_are_floored_to_microseconds_and_nothing_is_guessed() {
    let times = |array: ArrayRef| time_column(&array, "t");
    let micros = |array: ArrayRef| times(array).unwrap().iter().collect::<Vec<_>>();
    let nanos = TimestampNanosecondArray::from(vec![Some(1_999), Some(-1), None]);
    assert_eq!(micros(Arc::new(nanos)), [Some(1), Some(-1), None]);
    assert_eq!(micros(Arc::new(TimestampSecondArray::from(vec![-2]))), [Some(-2_000_000)]);
    assert_eq!(micros(Arc::new(TimestampMillisecondArray::from(vec![5]))), [Some(5_000)]);
    assert_eq!(micros(Arc::new(Date32Array::from(vec![1]))), [Some(DAY_US)]);
    let texts = StringArray::from(vec![Some("1970-01-01T00:00:01Z"), None]);
    assert_eq!(micros(Arc::new(texts)), [Some(1_000_000), None]);
    let wrong = times(Arc::new(StringArray::from(vec!["1970-01-01", "soon"]))).unwrap_err();
    assert_eq!(wrong.message(), "column 't' of the labels, row 1: 'soon' is no time");
    let numbers = times(Arc::new(Int64Array::from(vec![1]))).unwrap_err();
    assert_eq!(
        numbers.message(),
        "the time column 't' of the labels is BIGINT, expected a TIMESTAMP"
    );
}
