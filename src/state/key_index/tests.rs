//! Keys of every type survive the way in and out; removed slots are given again.

use arrow::array::*;
use arrow::compute::concat;
use arrow::datatypes::TimeUnit;

use super::*;
use crate::state::testing::Random;

#[test]
fn keys_of_every_type_come_back_as_they_were() {
    let decimal = Decimal128Array::from(vec![Some(-5), None, Some(i128::MAX)]);
    let times = TimestampMicrosecondArray::from(vec![Some(-1), None, Some(7)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(0), None, Some(i64::MIN)])),
        Arc::new(Int8Array::from(vec![Some(-1), None, Some(1)])),
        Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(1)])),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(StringArray::from(vec![Some(""), None, Some("ж")])),
        Arc::new(StringViewArray::from(vec![Some("a text longer than twelve"), None, Some("")])),
        Arc::new(BinaryArray::from(vec![Some(b"\xff".as_slice()), None, Some(b"")])),
        Arc::new(Float32Array::from(vec![Some(1.5), None, Some(f32::NAN)])),
        Arc::new(Float64Array::from(vec![Some(0.0), None, Some(f64::NEG_INFINITY)])),
        Arc::new(decimal.with_precision_and_scale(38, 2).unwrap()),
        Arc::new(Date32Array::from(vec![Some(-1), None, Some(1)])),
        Arc::new(times.with_timezone("UTC")),
    ];
    for column in columns.iter().map(|column| vec![column.clone()]).chain([columns.clone()]) {
        let types: Vec<_> = column.iter().map(|column| column.data_type().clone()).collect();
        let mut index = KeyIndex::new(&types).unwrap();
        let mut slots = Vec::new();
        index.insert(&column, 3, &mut slots).unwrap();
        index.insert(&column, 3, &mut slots).unwrap();
        assert_eq!(slots, [0, 1, 2, 0, 1, 2], "{types:?}");
        for (gathered, column) in index.gather(&slots).unwrap().iter().zip(&column) {
            assert_eq!(gathered, &concat(&[column, column]).unwrap());
        }
        let runs = index.gather(&[2, 2, 1, 1]).unwrap();
        assert_eq!(runs[0].slice(0, 2).len(), 2);
        assert_eq!(&runs[0].slice(0, 1), &column[0].slice(2, 1));
        for row in 0..3 {
            assert_eq!(index.find(&column, row, &mut Vec::new()).unwrap(), Some(row as u32));
        }
    }
    assert!(matches!(TimeUnit::Microsecond, TimeUnit::Microsecond));
}

#[test]
fn random_inserts_and_removals_agree_with_a_map() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut index = KeyIndex::new(&[DataType::Int64]).unwrap();
        let mut model = std::collections::HashMap::new();
        for _ in 0..500 {
            let key = (!random.one_in(9)).then(|| random.below(20) as i64 - 10);
            let column: ArrayRef = Arc::new(Int64Array::from(vec![key]));
            if random.one_in(3) {
                if let Some(slot) = model.remove(&key) {
                    index.remove(slot);
                }
            } else {
                let mut slots = Vec::new();
                index.insert(std::slice::from_ref(&column), 1, &mut slots).unwrap();
                let known = *model.entry(key).or_insert(slots[0]);
                assert_eq!(known, slots[0], "seed {seed}");
            }
            let found = index.find(std::slice::from_ref(&column), 0, &mut Vec::new()).unwrap();
            assert_eq!(found, model.get(&key).copied(), "seed {seed}");
            assert_eq!(index.len(), model.len());
        }
        let sorted = index.sorted();
        let keys = index.gather(&sorted).unwrap();
        for (row, slot) in sorted.iter().enumerate() {
            let found = index.find(&keys, row, &mut Vec::new()).unwrap();
            assert_eq!(found, Some(*slot));
        }
    }
}

#[test]
fn without_key_columns_there_is_one_global_key() {
    let mut index = KeyIndex::new(&[]).unwrap();
    let mut slots = Vec::new();
    index.insert(&[], 2, &mut slots).unwrap();
    assert_eq!(slots, [0, 0]);
    assert!(index.gather(&slots).unwrap().is_empty());
}
