//! Which keys of an operator changed since its state was last taken, so that a checkpoint costs
//! what has changed and not what is held. Called by operators. Nothing is noted before the first
//! whole snapshot: a change needs something to lie over, and history by key is never saved.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Schema};

use crate::error::Result;
use crate::model::key::{KEY_GROUPS, Shard, key_group, key_hash, write_key};
use crate::state::snapshot::{GONE_TABLE, SnapshotTable};

/// The keys that changed, by slot, and those that are held no more, by their columns.
#[derive(Debug, Default)]
pub struct Changes {
    followed: bool,
    /// One bit per slot.
    marked: Vec<u64>,
    slots: Vec<u32>,
    gone: Vec<Vec<ArrayRef>>,
}

/// What was noted.
#[derive(Debug)]
pub struct Changed {
    /// Slots of the keys that are held and have changed, each once, in no promised order.
    pub slots: Vec<u32>,
    /// Key columns of keys that were removed; some may be held again.
    pub gone: Vec<Vec<ArrayRef>>,
}

impl Changes {
    /// All state was taken: changes are noted from here on.
    pub fn follow(&mut self) {
        self.followed = true;
        self.forget();
    }

    fn forget(&mut self) {
        self.slots.iter().for_each(|slot| self.marked[*slot as usize / 64] = 0);
        self.slots.clear();
        self.gone.clear();
    }

    /// Something of a key changed.
    #[inline]
    pub fn mark(&mut self, slot: u32) {
        if !self.followed {
            return;
        }
        let (word, bit) = (slot as usize / 64, 1 << (slot % 64));
        if self.marked.len() <= word {
            self.marked.resize((word + 1).max(self.marked.len() * 2), 0);
        }
        if self.marked[word] & bit == 0 {
            self.marked[word] |= bit;
            self.slots.push(slot);
        }
    }

    /// Keys are removed; `keys` are their columns. Their slots may be given to others.
    pub fn remove(&mut self, slots: &[u32], keys: Vec<ArrayRef>) {
        if !self.followed || slots.is_empty() {
            return;
        }
        for slot in slots {
            if let Some(word) = self.marked.get_mut(*slot as usize / 64) {
                *word &= !(1 << (slot % 64));
            }
        }
        self.gone.push(keys);
    }

    /// What changed since the last call or since [`Self::follow`]; `None` before that.
    pub fn take(&mut self) -> Option<Changed> {
        if !self.followed {
            return None;
        }
        let marked = &mut self.marked;
        let mut slots = std::mem::take(&mut self.slots);
        slots.retain(|slot| {
            // The slot of a removed key has no bit, one given to another key comes once.
            let (word, bit) = (&mut marked[*slot as usize / 64], 1u64 << (slot % 64));
            let held = *word & bit != 0;
            *word &= !bit;
            held
        });
        Some(Changed { slots, gone: std::mem::take(&mut self.gone) })
    }

    /// Estimate of the bytes held.
    pub fn size_bytes(&self) -> usize {
        let gone = self.gone.iter().flatten().map(|column| column.get_array_memory_size());
        self.marked.capacity() * 8 + self.slots.capacity() * 4 + gone.sum::<usize>()
    }
}

/// Removed keys as tables, one per shard.
///
/// # Errors
/// `Data` if Arrow cannot build a column.
pub fn gone_tables(types: &[DataType], gone: &[Vec<ArrayRef>]) -> Result<Vec<SnapshotTable>> {
    if gone.is_empty() {
        return Ok(Vec::new());
    }
    let mut columns = Vec::with_capacity(types.len());
    for i in 0..types.len() {
        let parts: Vec<_> = gone.iter().map(|keys| keys[i].as_ref()).collect();
        columns.push(concat(&parts)?);
    }
    // There is one key of no columns.
    let rows = columns.first().map_or(1, |column| column.len());
    let mut parts: Vec<Vec<u32>> = vec![Vec::new(); KEY_GROUPS];
    let mut bytes = Vec::new();
    for row in 0..rows {
        bytes.clear();
        write_key(&columns, row, &mut bytes)?;
        parts[usize::from(key_group(key_hash(&bytes)))].push(row as u32);
    }
    let fields = types.iter().enumerate();
    let fields = fields.map(|(i, key)| Field::new(format!("k{i}"), key.clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut tables = Vec::new();
    for (group, rows) in (0..=u8::MAX).zip(parts).filter(|(_, rows)| !rows.is_empty()) {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let rows = UInt32Array::from(rows);
        let columns = columns.iter().map(|column| take(column, &rows, None));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
        tables.push(SnapshotTable { name: GONE_TABLE, shard: Shard::KeyGroup(group), rows });
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn key(value: i64) -> Vec<ArrayRef> {
        vec![Arc::new(Int64Array::from(vec![value]))]
    }

    #[test]
    fn nothing_is_noted_before_all_was_taken() {
        let mut changes = Changes::default();
        changes.mark(3);
        changes.remove(&[4], key(4));
        assert!(changes.take().is_none());
        changes.follow();
        let changed = changes.take().unwrap();
        assert!(changed.slots.is_empty() && changed.gone.is_empty());
    }

    #[test]
    fn each_key_held_comes_once_and_only_until_it_is_taken() {
        let mut changes = Changes::default();
        changes.follow();
        for slot in [700, 3, 3, 5, 700] {
            changes.mark(slot);
        }
        changes.remove(&[3, 5], key(3));
        // Slot 5 belongs to another key now.
        changes.mark(5);
        let mut changed = changes.take().unwrap();
        changed.slots.sort_unstable();
        assert_eq!((changed.slots, changed.gone.len()), (vec![5, 700], 1));
        changes.mark(700);
        assert_eq!(changes.take().unwrap().slots, [700]);
        changes.mark(9);
        changes.follow();
        assert!(changes.take().unwrap().slots.is_empty());
    }

    #[test]
    fn removed_keys_lie_in_the_shard_they_are_looked_for() {
        let gone: Vec<_> = (0..50).map(key).collect();
        let tables = gone_tables(&[DataType::Int64], &gone).unwrap();
        assert_eq!(tables.iter().map(|table| table.rows.num_rows()).sum::<usize>(), 50);
        for table in &tables {
            for row in 0..table.rows.num_rows() {
                let mut bytes = Vec::new();
                write_key(table.rows.columns(), row, &mut bytes).unwrap();
                assert_eq!(table.shard, Shard::KeyGroup(key_group(key_hash(&bytes))));
            }
        }
        let global = gone_tables(&[], &[Vec::new()]).unwrap();
        assert_eq!((global.len(), global[0].rows.num_rows()), (1, 1));
        assert!(gone_tables(&[], &[]).unwrap().is_empty());
    }
}
