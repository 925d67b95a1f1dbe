//! Splits step batches between lanes by key group. Pure; called by `ingest`.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Int64Type};

use crate::error::Result;
use crate::model::key::{KEY_GROUPS, key_group, key_hash, write_key};

/// The lane that owns a key group: contiguous ranges, as even as they get.
pub fn lane_of(group: u8, lanes: usize) -> usize {
    usize::from(group) * lanes / KEY_GROUPS
}

/// The key group of one key (one row of key columns).
pub fn group_of(keys: &[ArrayRef], row: usize) -> Result<u8> {
    let mut bytes = Vec::new();
    write_key(keys, row, &mut bytes)?;
    Ok(key_group(key_hash(&bytes)))
}

/// Splits a step batch whose first `key_count` columns are the key: `(lane, rows)` for every lane
/// that gets rows, in lane order; rows keep their order.
pub fn split(
    step: &RecordBatch,
    key_count: usize,
    lanes: usize,
) -> Result<Vec<(usize, RecordBatch)>> {
    if step.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let keys = &step.columns()[..key_count];
    if lanes == 1 {
        return Ok(vec![(0, step.clone())]);
    }
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); lanes];
    for (row, group) in groups(keys, step.num_rows())?.into_iter().enumerate() {
        rows[lane_of(group, lanes)].push(row as u32);
    }
    let mut parts = Vec::with_capacity(lanes);
    for (lane, rows) in rows.into_iter().enumerate() {
        if rows.len() == step.num_rows() {
            parts.push((lane, step.clone()));
        } else if !rows.is_empty() {
            parts.push((lane, take_record_batch(step, &UInt32Array::from(rows))?));
        }
    }
    Ok(parts)
}

/// The key group of every row.
fn groups(keys: &[ArrayRef], rows: usize) -> Result<Vec<u8>> {
    if let [key] = keys
        && key.data_type() == &DataType::Int64
        && key.null_count() == 0
    {
        let mut bytes = [1u8; 9];
        let values = key.as_primitive::<Int64Type>().values().iter();
        return Ok(values
            .map(|value| {
                bytes[1..].copy_from_slice(&value.to_le_bytes());
                key_group(key_hash(&bytes))
            })
            .collect());
    }
    let (mut bytes, mut groups) = (Vec::new(), Vec::with_capacity(rows));
    for row in 0..rows {
        bytes.clear();
        write_key(keys, row, &mut bytes)?;
        groups.push(key_group(key_hash(&bytes)));
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn every_row_goes_to_the_lane_of_its_key_and_keeps_its_order() {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((0..1000).map(|i| i % 37)));
        let order: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
        let step = RecordBatch::try_from_iter([("k0", keys), ("_offset", order)]).unwrap();
        for lanes in [1, 2, 3, 7, 256] {
            let parts = split(&step, 1, lanes).unwrap();
            let total: usize = parts.iter().map(|(_, rows)| rows.num_rows()).sum();
            assert_eq!(total, 1000);
            for (lane, rows) in parts {
                let offsets = rows.column(1).as_primitive::<Int64Type>();
                assert!(offsets.values().is_sorted());
                for row in 0..rows.num_rows() {
                    let group = group_of(&rows.columns()[..1], row).unwrap();
                    assert_eq!(lane_of(group, lanes), lane);
                }
            }
        }
    }

    #[test]
    fn a_feature_without_key_has_one_home() {
        let order: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
        let step = RecordBatch::try_from_iter([("_offset", order)]).unwrap();
        assert_eq!(split(&step, 0, 4).unwrap().len(), 1);
    }
}
