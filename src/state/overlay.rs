//! Puts a snapshot of what changed over an older one: keys of the newer replace those of the
//! older with everything that belongs to them. Called when state is restored from a chain of
//! files; knows the layout that all operators share ([`super::snapshot`]), not what is in it.

use std::collections::HashSet;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat, concat_batches, filter_record_batch};
use arrow::datatypes::UInt32Type;

use crate::error::{Error, Result};
use crate::model::key::{Shard, write_key};
use crate::state::snapshot::{KEYS_TABLE, OWNER_COLUMN, Snapshot, SnapshotTable};

/// `newer` over `older`.
///
/// # Errors
/// `Data` for layouts that do not fit each other.
pub fn overlay(older: Snapshot, newer: Snapshot) -> Result<Snapshot> {
    if older.format != newer.format {
        return Err(Error::data("two parts of one state have different formats"));
    }
    let mut tables = Vec::new();
    let mut shards: Vec<Shard> = Vec::new();
    for table in older.tables.iter().chain(&newer.tables) {
        if !shards.contains(&table.shard) {
            shards.push(table.shard);
        }
    }
    shards.sort();
    for shard in shards {
        let of = |snapshot: &Snapshot| -> Vec<SnapshotTable> {
            snapshot.tables.iter().filter(|t| t.shard == shard).cloned().collect()
        };
        tables.extend(merge(of(&older), of(&newer))?);
    }
    Ok(Snapshot { format: newer.format, watermark: newer.watermark, tables })
}

/// The tables of one shard.
fn merge(older: Vec<SnapshotTable>, newer: Vec<SnapshotTable>) -> Result<Vec<SnapshotTable>> {
    if newer.is_empty() || older.is_empty() {
        return Ok(if newer.is_empty() { older } else { newer });
    }
    let keys = |tables: &[SnapshotTable]| -> Result<RecordBatch> {
        let found = tables.iter().find(|table| table.name == KEYS_TABLE);
        found.map(|table| table.rows.clone()).ok_or_else(|| Error::data("state without keys"))
    };
    let (old_keys, new_keys) = (keys(&older)?, keys(&newer)?);
    let replaced: HashSet<Vec<u8>> = key_bytes(&new_keys)?.into_iter().collect();
    let stays: Vec<bool> =
        key_bytes(&old_keys)?.iter().map(|key| !replaced.contains(key)).collect();
    // Numbers of the old keys among those that stay; the new ones come after them.
    let mut number = 0;
    let numbers: Vec<Option<u32>> = stays
        .iter()
        .map(|stays| {
            let own = stays.then_some(number);
            number += u32::from(*stays);
            own
        })
        .collect();
    let mut merged = Vec::with_capacity(newer.len());
    for table in newer {
        let old = older.iter().find(|old| old.name == table.name);
        let Some(old) = old else { return Err(Error::data("state without a table")) };
        let rows = if table.name == KEYS_TABLE {
            let old = filter_record_batch(&old.rows, &BooleanArray::from(stays.clone()))?;
            concat_batches(&table.rows.schema(), [&old, &table.rows])?
        } else if table.rows.schema_ref().column_with_name(OWNER_COLUMN).is_some() {
            owned(&old.rows, &table.rows, &numbers, number)?
        } else {
            table.rows
        };
        merged.push(SnapshotTable { rows, ..table });
    }
    Ok(merged)
}

/// Canonical bytes of every key of a keys table: its columns `k0`, `k1`, ….
fn key_bytes(keys: &RecordBatch) -> Result<Vec<Vec<u8>>> {
    let mut columns: Vec<ArrayRef> = Vec::new();
    while let Some(column) = keys.column_by_name(&format!("k{}", columns.len())) {
        columns.push(column.clone());
    }
    let mut all = Vec::with_capacity(keys.num_rows());
    for row in 0..keys.num_rows() {
        let mut bytes = Vec::new();
        write_key(&columns, row, &mut bytes)?;
        all.push(bytes);
    }
    Ok(all)
}

/// Rows that belong to keys by number: the old ones of keys that stay, renumbered, then the new.
fn owned(
    old: &RecordBatch,
    new: &RecordBatch,
    numbers: &[Option<u32>],
    shift: u32,
) -> Result<RecordBatch> {
    let wrong = || Error::data("state with rows of keys that it does not hold");
    let index = new.schema_ref().index_of(OWNER_COLUMN)?;
    let owner_column = old.column_by_name(OWNER_COLUMN);
    let owners = owner_column.and_then(|column| column.as_primitive_opt::<UInt32Type>());
    let (Some(owners), true) = (owners, old.num_columns() == new.num_columns()) else {
        return Err(Error::data("two parts of one state have different tables"));
    };
    let mut kept = Vec::with_capacity(owners.len());
    let mut renumbered = Vec::with_capacity(owners.len());
    for owner in owners.values() {
        let number = *numbers.get(*owner as usize).ok_or_else(wrong)?;
        kept.push(number.is_some());
        renumbered.extend(number);
    }
    let old = filter_record_batch(old, &BooleanArray::from(kept))?;
    let theirs = new.column(index).as_primitive_opt::<UInt32Type>().ok_or_else(wrong)?;
    renumbered.extend(theirs.values().iter().map(|owner| owner + shift));
    let mut columns = Vec::with_capacity(new.num_columns());
    for (i, column) in new.columns().iter().enumerate() {
        columns.push(if i == index {
            std::sync::Arc::new(UInt32Array::from(std::mem::take(&mut renumbered))) as ArrayRef
        } else {
            concat(&[old.column(i).as_ref(), column.as_ref()])?
        });
    }
    Ok(RecordBatch::try_new(new.schema(), columns)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;

    /// Keys with the numbers that belong to each.
    type Model = std::collections::BTreeMap<i64, Vec<i64>>;

    fn snapshot(model: &Model, horizon: i64) -> Snapshot {
        if model.is_empty() {
            return Snapshot { format: 1, watermark: Some(horizon), tables: Vec::new() };
        }
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(model.keys().copied()));
        let names: ArrayRef =
            Arc::new(StringArray::from_iter_values(model.values().map(|v| format!("{v:?}"))));
        let owners = model.values().enumerate();
        let owners = owners.flat_map(|(i, all)| std::iter::repeat_n(i as u32, all.len()));
        let owners: ArrayRef = Arc::new(UInt32Array::from_iter_values(owners));
        let values: ArrayRef =
            Arc::new(Int64Array::from_iter_values(model.values().flatten().copied()));
        let horizon_column: ArrayRef = Arc::new(Int64Array::from(vec![horizon]));
        let table = |name, columns: Vec<(&str, ArrayRef)>| SnapshotTable {
            name,
            shard: Shard::KeyGroup(7),
            rows: RecordBatch::try_from_iter(columns).unwrap(),
        };
        Snapshot {
            format: 1,
            watermark: Some(horizon),
            tables: vec![
                table(KEYS_TABLE, vec![("k0", keys), ("name", names)]),
                table("rows", vec![(OWNER_COLUMN, owners), ("v0", values)]),
                table("horizon", vec![("_horizon", horizon_column)]),
            ],
        }
    }

    fn model(snapshot: &Snapshot) -> Model {
        let mut model = Model::new();
        let Some(keys) = snapshot.tables.first() else { return model };
        let (rows, keys) = (&snapshot.tables[1].rows, &keys.rows);
        let keys = keys.column(0).as_primitive::<Int64Type>().values();
        keys.iter().for_each(|key| assert!(model.insert(*key, Vec::new()).is_none()));
        let owners = rows.column(0).as_primitive::<UInt32Type>().values();
        let values = rows.column(1).as_primitive::<Int64Type>().values();
        for (owner, value) in owners.iter().zip(values) {
            model.get_mut(&keys[*owner as usize]).unwrap().push(*value);
        }
        model
    }

    fn models() -> impl Strategy<Value = Model> {
        prop::collection::btree_map(0i64..8, prop::collection::vec(0i64..99, 0..4), 0..8)
    }

    proptest! {
        #[test]
        fn keys_of_the_newer_replace_those_of_the_older_with_all_they_have(
            old in models(),
            new in models(),
        ) {
            let merged = overlay(snapshot(&old, 1), snapshot(&new, 2)).unwrap();
            let mut expected = old;
            expected.extend(new.clone());
            prop_assert_eq!(model(&merged), expected);
            prop_assert_eq!(merged.watermark, Some(2));
            if !new.is_empty() {
                let horizon = merged.tables[2].rows.column(0).as_primitive::<Int64Type>();
                prop_assert_eq!(horizon.values().to_vec(), vec![2]);
            }
        }
    }
}
