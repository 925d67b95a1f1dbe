//! Every column type survives the way into rows and back.

use arrow::array::*;
use arrow::datatypes::{Field, Float32Type, Int8Type};

use super::*;

fn columns() -> Vec<ArrayRef> {
    let list = ListArray::from_iter_primitive::<Int8Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let child: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0]));
    let field = Arc::new(Field::new("x", DataType::Float64, true));
    vec![
        Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(5)])),
        Arc::new(Int16Array::from(vec![Some(-1), None, Some(5)])),
        Arc::new(Int32Array::from(vec![Some(-1), None, Some(5)])),
        Arc::new(UInt8Array::from(vec![Some(255), None, Some(5)])),
        Arc::new(UInt32Array::from(vec![Some(u32::MAX), None, Some(5)])),
        Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(5)])),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Float32Array::from(vec![Some(1.5), None, Some(-2.25)])),
        Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(0.0)])),
        Arc::new(Date32Array::from(vec![Some(-1), None, Some(5)])),
        Arc::new(Time64MicrosecondArray::from(vec![Some(1), None, Some(5)])),
        Arc::new(TimestampNanosecondArray::from(vec![Some(1), None, Some(5)])),
        Arc::new(Decimal128Array::from(vec![Some(-1), None, Some(i128::MAX / 2)])),
        Arc::new(StringArray::from(vec![Some("a"), None, Some("")])),
        Arc::new(StringViewArray::from(vec![Some("a text longer than twelve"), None, Some("")])),
        Arc::new(BinaryArray::from(vec![Some(b"\xff".as_slice()), None, Some(b"")])),
        Arc::new(list),
        Arc::new(StructArray::from(vec![(field, child)])),
        Arc::new(NullArray::new(3)),
    ]
}

#[test]
fn every_column_type_comes_back_as_it_was_and_texts_are_released() {
    let mut values = columns();
    // More than 96 columns, so that validity bits need further words.
    for _ in 0..3 {
        values.extend(columns());
        values.extend(columns());
    }
    let types: Vec<_> = values.iter().map(|column| column.data_type().clone()).collect();
    let layout = RowLayout::new(&types, &[]).unwrap();
    let mut step: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![-3, 0, 9])),
        Arc::new(Int32Array::from(vec![0, 1, 2])),
        Arc::new(Int64Array::from(vec![7, 8, 9])),
    ];
    step.extend(values.clone());
    let (mut interner, mut words) = (Interner::default(), Vec::new());
    layout.encode(&step, &mut interner, &mut words).unwrap();
    let rows: Vec<&[u64]> = words.chunks_exact(layout.stride()).collect();
    assert_eq!(position(rows[2]), (2, 9));
    for (i, column) in values.iter().enumerate() {
        let rows = rows.iter().map(|row| Some(*row));
        assert_eq!(&layout.decode(i, rows, interner.texts()).unwrap(), column, "{:?}", types[i]);
    }
    let without = layout.decode(0, [None, Some(rows[0])].into_iter(), interner.texts()).unwrap();
    assert!(without.is_null(0) && without.is_valid(1));
    layout.release(&words, &mut interner);
    assert!(interner.is_empty());
    assert_eq!(Float32Type::DATA_TYPE, types[7]);
}

#[test]
fn a_flag_column_keeps_whether_there_is_a_value() {
    let layout = RowLayout::new(&[DataType::Utf8, DataType::Int64], &[true, false]).unwrap();
    assert_eq!(layout.stride(), 4);
    let step: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(Int32Array::from(vec![0, 0])),
        Arc::new(Int64Array::from(vec![0, 1])),
        Arc::new(StringArray::from(vec![Some("a"), None])),
        Arc::new(Int64Array::from(vec![None, Some(5)])),
    ];
    let mut words = Vec::new();
    layout.encode(&step, &mut Interner::default(), &mut words).unwrap();
    let rows = words.chunks_exact(4).map(Some);
    let flags = layout.decode(0, rows, &[]).unwrap();
    assert_eq!(flags.as_boolean(), &BooleanArray::from(vec![Some(true), None]));
    assert_eq!(layout.stored_type(0), DataType::Boolean);
}
