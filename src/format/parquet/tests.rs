//! Tests of lossless casts.

use arrow::array::{
    Decimal128Array, DictionaryArray, Int32Array, Int64Array, StringArray, StringViewArray,
    TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::Int32Type;

use super::*;
use crate::model::batch::timestamp_type;

fn cast(column: ArrayRef, to: DataType) -> Result<ArrayRef> {
    cast_column(&column, &Field::new("c", to, true), "f.parquet")
}

#[test]
fn what_fits_is_cast_and_what_does_not_names_file_and_column() {
    let ints = || -> ArrayRef { Arc::new(Int64Array::from(vec![Some(1), None, Some(300)])) };
    assert_eq!(cast(ints(), DataType::Int32).unwrap().len(), 3);
    assert_eq!(cast(ints(), DataType::Float64).unwrap().null_count(), 1);
    assert_eq!(cast(ints(), DataType::Decimal128(10, 2)).unwrap().null_count(), 1);
    for (column, to) in [
        (ints(), DataType::Int8),
        (Arc::new(Int64Array::from(vec![(1 << 53) + 1])) as ArrayRef, DataType::Float64),
        (Arc::new(Int64Array::from(vec![-1])), DataType::UInt64),
        (Arc::new(Float64Array::from(vec![1.0])), DataType::Int64),
        (Arc::new(Float64Array::from(vec![1.0])), DataType::Float32),
        (Arc::new(StringArray::from(vec!["5"])), DataType::Int64),
        (ints(), DataType::Utf8),
        (ints(), timestamp_type()),
    ] {
        let error = cast(column, to).unwrap_err();
        assert!(error.message().starts_with("f.parquet: column 'c'"), "{error}");
    }
}

#[test]
fn texts_and_times_come_in_their_canonical_types() {
    let texts: [ArrayRef; 3] = [
        Arc::new(StringArray::from(vec!["a", "b"])),
        Arc::new(StringViewArray::from(vec!["a", "b"])),
        Arc::new(DictionaryArray::<Int32Type>::from_iter(["a", "b"])),
    ];
    for text in texts {
        assert_eq!(cast(text, DataType::Utf8).unwrap().as_string::<i32>().value(1), "b");
    }
    let nanos = Arc::new(TimestampNanosecondArray::from(vec![-1, 1_999]));
    let micros = cast(nanos, timestamp_type()).unwrap();
    assert_eq!(micros.as_primitive::<TimestampMicrosecondType>().values(), &[-1, 1]);
    assert_eq!(*micros.data_type(), timestamp_type());
    let millis = Arc::new(TimestampMillisecondArray::from(vec![2]));
    let micros = cast(millis, timestamp_type()).unwrap();
    assert_eq!(micros.as_primitive::<TimestampMicrosecondType>().values(), &[2_000]);
    let huge = Arc::new(TimestampMillisecondArray::from(vec![i64::MAX]));
    assert!(cast(huge, timestamp_type()).is_err());
    let decimal = Decimal128Array::from(vec![125]).with_precision_and_scale(5, 2).unwrap();
    assert!(cast(Arc::new(decimal.clone()), DataType::Decimal128(3, 1)).is_err());
    assert!(cast(Arc::new(decimal), DataType::Decimal128(3, 2)).is_ok());
}

#[test]
fn floats_are_canonical_and_missing_columns_null() {
    let nan = f64::from_bits(0xfff8_0000_0000_0001);
    let floats = cast(Arc::new(Float64Array::from(vec![-0.0, nan])), DataType::Float64).unwrap();
    let bits: Vec<u64> =
        floats.as_primitive::<Float64Type>().values().iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits, [0, f64::NAN.to_bits()]);

    let declared = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int32, false),
        Field::new("b", DataType::Utf8, true),
    ]));
    let column: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
    let conformed = conform(&batch, &declared, None, "f").unwrap();
    assert_eq!(conformed.kept, Some(vec![0]));
    assert_eq!(conformed.rejected[0].0, 1);
    assert_eq!(conformed.rows.column(1).null_count(), 1);
    let other = Arc::new(Schema::new(vec![Field::new("z", DataType::Int32, false)]));
    let error = conform(&batch, &other, None, "f.parquet").err().unwrap();
    assert!(error.message().contains("f.parquet: column 'z' NOT NULL is missing"), "{error}");
}
