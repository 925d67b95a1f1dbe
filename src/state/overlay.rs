//! Puts what changed over an older snapshot: keys of a newer part replace those of the older ones
//! with everything that belongs to them, and removed keys go. Called when state is restored from
//! a chain of files; knows the layout that all operators share ([`super::snapshot`]), not what is
//! in it. A chain is gone through once, so its length costs nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::UInt32Type;

use crate::error::{Error, Result};
use crate::model::key::{Shard, write_key};
use crate::state::snapshot::{
    GONE_TABLE, KEYS_TABLE, OWNER_COLUMN, Snapshot, SnapshotTable, THEN_PREFIX,
};

/// The tables of one shard and operator in one part.
type Tables<'a> = BTreeMap<&'static str, &'a RecordBatch>;

/// A whole snapshot and the changes after it, oldest first, as one snapshot.
///
/// # Errors
/// `Data` for layouts that do not fit each other.
pub fn overlay(parts: Vec<Snapshot>) -> Result<Snapshot> {
    let Some(newest) = parts.last() else { return Ok(Snapshot::default()) };
    if parts.len() == 1 {
        return Ok(parts.into_iter().next().unwrap_or_default());
    }
    if parts.iter().any(|part| part.format != newest.format) {
        return Err(Error::data("two parts of one state have different formats"));
    }
    let mut shards: BTreeMap<(Shard, bool), Vec<Tables>> = BTreeMap::new();
    let mut names: BTreeMap<(bool, &str), &'static str> = BTreeMap::new();
    for part in &parts {
        let mut fresh: HashSet<(Shard, bool)> = HashSet::new();
        for table in &part.tables {
            let second = table.name.strip_prefix(THEN_PREFIX);
            let (then, name) = (second.is_some(), second.unwrap_or(table.name));
            names.insert((then, name), table.name);
            let of = shards.entry((table.shard, then)).or_default();
            if fresh.insert((table.shard, then)) {
                of.push(Tables::new());
            }
            if let Some(tables) = of.last_mut() {
                tables.insert(name, &table.rows);
            }
        }
    }
    let mut tables = Vec::new();
    for ((shard, then), parts) in shards {
        for (name, rows) in merge(&parts)? {
            let name = names.get(&(then, name)).copied().unwrap_or(name);
            tables.push(SnapshotTable { name, shard, rows });
        }
    }
    let globals = newest.globals.clone();
    Ok(Snapshot { format: newest.format, watermark: newest.watermark, globals, tables })
}

/// The tables of one shard, [`KEYS_TABLE`] first; none if no key is left.
fn merge(parts: &[Tables]) -> Result<Vec<(&'static str, RecordBatch)>> {
    let held = newest_only(parts)?;
    let mut merged: BTreeMap<&'static str, Vec<RecordBatch>> = BTreeMap::new();
    let mut before = 0;
    for (part, held) in parts.iter().zip(held) {
        let Some(held) = held else { continue };
        // Numbers of this part's keys among all that stay.
        let mut numbers = Vec::with_capacity(held.len());
        for held in &held {
            numbers.push(held.then_some(before));
            before += u32::from(*held);
        }
        for (name, rows) in part.iter().filter(|(name, _)| **name != GONE_TABLE) {
            let rows = match *name {
                KEYS_TABLE => filter_record_batch(rows, &BooleanArray::from(held.clone()))?,
                _ => owned(rows, &numbers)?,
            };
            merged.entry(name).or_default().push(rows);
        }
    }
    if before == 0 {
        return Ok(Vec::new());
    }
    let pieces = merged.get(KEYS_TABLE).map_or(0, Vec::len);
    let mut tables = Vec::with_capacity(merged.len());
    for (name, rows) in merged {
        if rows.len() != pieces || rows.iter().any(|part| part.schema() != rows[0].schema()) {
            return Err(Error::data("two parts of one state have different tables"));
        }
        tables.push((name, concat_batches(&rows[0].schema(), &rows)?));
    }
    tables.sort_by_key(|(name, _)| *name != KEYS_TABLE);
    Ok(tables)
}

/// Of each part, which of its keys no newer part holds or removes; `None` for a part without
/// keys.
fn newest_only(parts: &[Tables]) -> Result<Vec<Option<Vec<bool>>>> {
    let mut newer: HashSet<Vec<u8>> = HashSet::new();
    let mut all = Vec::with_capacity(parts.len());
    for (i, part) in parts.iter().enumerate().rev() {
        let Some(keys) = part.get(KEYS_TABLE) else {
            if part.keys().any(|name| *name != GONE_TABLE) {
                return Err(Error::data("state without keys"));
            }
            all.push(None);
            each_key(part.get(GONE_TABLE).copied(), |key| newer.extend([key.to_vec()]))?;
            continue;
        };
        let mut held = Vec::with_capacity(keys.num_rows());
        each_key(Some(keys), |key| held.push(!newer.contains(key)))?;
        all.push(Some(held));
        if i > 0 {
            let tables = [Some(*keys), part.get(GONE_TABLE).copied()];
            for keys in tables {
                each_key(keys, |key| newer.extend([key.to_vec()]))?;
            }
        }
    }
    all.reverse();
    Ok(all)
}

/// The canonical bytes of every key of a table: its columns `k0`, `k1`, ….
fn each_key(keys: Option<&RecordBatch>, mut take: impl FnMut(&[u8])) -> Result<()> {
    let Some(keys) = keys else { return Ok(()) };
    let mut columns: Vec<ArrayRef> = Vec::new();
    while let Some(column) = keys.column_by_name(&format!("k{}", columns.len())) {
        columns.push(column.clone());
    }
    let mut bytes = Vec::new();
    for row in 0..keys.num_rows() {
        bytes.clear();
        write_key(&columns, row, &mut bytes)?;
        take(&bytes);
    }
    Ok(())
}

/// Of rows that belong to keys by number, those of keys that stay, renumbered.
fn owned(rows: &RecordBatch, numbers: &[Option<u32>]) -> Result<RecordBatch> {
    let wrong = || Error::data("state with rows of keys that it does not hold");
    let index = rows.schema_ref().index_of(OWNER_COLUMN).map_err(|_| wrong())?;
    let owners = rows.column(index).as_primitive_opt::<UInt32Type>().ok_or_else(wrong)?;
    let mut kept = Vec::with_capacity(owners.len());
    let mut renumbered = Vec::with_capacity(owners.len());
    for owner in owners.values() {
        let number = *numbers.get(*owner as usize).ok_or_else(wrong)?;
        kept.push(number.is_some());
        renumbered.extend(number);
    }
    let rows = filter_record_batch(rows, &BooleanArray::from(kept))?;
    let mut columns = rows.columns().to_vec();
    columns[index] = Arc::new(UInt32Array::from(renumbered));
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;

    /// Keys with the numbers that belong to each.
    type Model = BTreeMap<i64, Vec<i64>>;

    /// Keys below 4 and the others lie in two shards.
    fn shard(key: i64) -> Shard {
        Shard::KeyGroup(u8::from(key >= 4))
    }

    fn snapshot(model: &Model, gone: &[i64], watermark: i64) -> Snapshot {
        let mut tables = Vec::new();
        for of in [Shard::KeyGroup(0), Shard::KeyGroup(1)] {
            let mut table = |name, columns: Vec<(&str, ArrayRef)>| {
                let rows = RecordBatch::try_from_iter(columns).unwrap();
                tables.push(SnapshotTable { name, shard: of, rows });
            };
            let held = || model.iter().filter(|(key, _)| shard(**key) == of);
            let ints = |all: Vec<i64>| Arc::new(Int64Array::from(all)) as ArrayRef;
            if held().count() > 0 {
                let keys = ints(held().map(|(key, _)| *key).collect());
                let texts = held().map(|(_, values)| format!("{values:?}"));
                let texts = Arc::new(StringArray::from_iter_values(texts)) as ArrayRef;
                table(KEYS_TABLE, vec![("k0", keys), ("name", texts)]);
                let owners = held().enumerate();
                let owners = owners.flat_map(|(i, (_, all))| vec![i as u32; all.len()]);
                let owners = Arc::new(UInt32Array::from_iter_values(owners)) as ArrayRef;
                let values = ints(held().flat_map(|(_, values)| values.clone()).collect());
                table("rows", vec![(OWNER_COLUMN, owners), ("v0", values)]);
            }
            let gone: Vec<i64> = gone.iter().copied().filter(|key| shard(*key) == of).collect();
            if !gone.is_empty() {
                table(GONE_TABLE, vec![("k0", ints(gone))]);
            }
        }
        let globals = BTreeMap::from([("horizon".to_owned(), watermark)]);
        Snapshot { format: 1, watermark: Some(watermark), globals, tables }
    }

    fn model(snapshot: &Snapshot) -> Model {
        let mut model = Model::new();
        for pair in snapshot.tables.chunks(2) {
            assert_eq!((pair[0].name, pair[1].name), (KEYS_TABLE, "rows"));
            let keys = pair[0].rows.column(0).as_primitive::<Int64Type>().values();
            for key in keys {
                assert!(model.insert(*key, Vec::new()).is_none(), "key {key} twice");
                assert_eq!(shard(*key), pair[0].shard);
            }
            let owners = pair[1].rows.column(0).as_primitive::<UInt32Type>().values();
            let values = pair[1].rows.column(1).as_primitive::<Int64Type>().values();
            for (owner, value) in owners.iter().zip(values) {
                model.get_mut(&keys[*owner as usize]).unwrap().push(*value);
            }
        }
        model
    }

    fn models() -> impl Strategy<Value = Model> {
        prop::collection::btree_map(0i64..8, prop::collection::vec(0i64..99, 0..4), 0..6)
    }

    fn gone() -> impl Strategy<Value = Vec<i64>> {
        prop::collection::vec(0i64..8, 0..3)
    }

    proptest! {
        #[test]
        fn the_newest_of_each_key_stays_with_all_it_has(
            base in models(),
            changes in prop::collection::vec((models(), gone()), 0..5),
        ) {
            let mut parts = vec![snapshot(&base, &[], 1)];
            let mut expected = base;
            for (i, (held, gone)) in changes.iter().enumerate() {
                parts.push(snapshot(held, gone, i as i64 + 2));
                gone.iter().for_each(|key| drop(expected.remove(key)));
                // A key that was removed and came back is in both.
                expected.extend(held.clone());
            }
            let merged = overlay(parts).unwrap();
            prop_assert_eq!(model(&merged), expected);
            prop_assert_eq!(merged.watermark, Some(changes.len() as i64 + 1));
            prop_assert_eq!(merged.globals["horizon"], changes.len() as i64 + 1);
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let one = || snapshot(&Model::from([(1, vec![2])]), &[], 1);
        let refused = |broken: Snapshot| overlay(vec![one(), broken]).unwrap_err().to_string();
        assert!(refused(Snapshot { format: 2, ..one() }).contains("different formats"));
        let mut broken = one();
        broken.tables.truncate(1);
        assert!(refused(broken).contains("different tables"));
        let mut broken = one();
        broken.tables.remove(0);
        assert!(refused(broken).contains("without keys"));
        let mut broken = one();
        broken.tables[0].rows = broken.tables[0].rows.slice(0, 0);
        assert!(refused(broken).contains("does not hold"));
    }
}
