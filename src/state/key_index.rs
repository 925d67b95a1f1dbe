//! Entity keys to small numbers (slots) and back. Equality is that of the canonical bytes
//! (`model::key`); a NULL key is a key like any other. Called by operators; a slot means nothing
//! outside the operator that owns the index.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{partition, take};
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::key_column::decode_keys;
use crate::error::{Error, Result};
use crate::model::key::{Shard, is_key_type, key_group, key_hash, write_key};

/// Keys held, by slot.
#[derive(Debug)]
enum Keys {
    /// One BIGINT column: the value, and the slot of the NULL key.
    Integer { values: Vec<i64>, null: Option<u32> },
    /// Canonical bytes.
    Bytes(Vec<Box<[u8]>>),
}

/// An entry of the table: what is compared first (the BIGINT, else the hash) lies beside the slot,
/// so that a key is found without looking anywhere else.
#[derive(Clone, Copy, Debug)]
struct Held {
    tag: u64,
    slot: u32,
}

/// The keys of one operator.
#[derive(Debug)]
pub struct KeyIndex {
    types: Vec<DataType>,
    table: HashTable<Held>,
    hashes: Vec<u64>,
    keys: Keys,
    free: Vec<u32>,
    scratch: Vec<u8>,
}

/// What a row of key columns is looked up by.
enum Probe<'a> {
    Integer(Option<i64>),
    Bytes(&'a [u8]),
}

impl Probe<'_> {
    fn tag(&self, hash: u64) -> u64 {
        match self {
            Self::Integer(value) => value.unwrap_or(0) as u64,
            Self::Bytes(_) => hash,
        }
    }
}

impl Keys {
    /// Whether an entry with the right tag is that of the key looked for.
    #[inline]
    fn is(&self, slot: u32, probe: &Probe) -> bool {
        match (self, probe) {
            (Self::Integer { null, .. }, Probe::Integer(value)) => {
                value.is_none() == (*null == Some(slot))
            }
            (Self::Bytes(keys), Probe::Bytes(bytes)) => keys[slot as usize].as_ref() == *bytes,
            _ => false,
        }
    }

    fn set(&mut self, slot: u32, probe: &Probe) {
        let at = slot as usize;
        match (self, probe) {
            (Self::Integer { values, null }, Probe::Integer(value)) => {
                if values.len() <= at {
                    values.resize(at + 1, 0);
                }
                values[at] = value.unwrap_or(0);
                if value.is_none() {
                    *null = Some(slot);
                }
            }
            (Self::Bytes(keys), Probe::Bytes(bytes)) => {
                if keys.len() <= at {
                    keys.resize(at + 1, Box::default());
                }
                keys[at] = (*bytes).into();
            }
            _ => {}
        }
    }
}

#[inline]
fn integer_hash(value: Option<i64>) -> u64 {
    let mut bytes = [1; 9];
    match value {
        None => key_hash(&[0]),
        Some(value) => {
            bytes[1..].copy_from_slice(&value.to_le_bytes());
            key_hash(&bytes)
        }
    }
}

impl KeyIndex {
    /// # Errors
    /// `NotSupported` for a type that cannot be a key.
    pub fn new(types: &[DataType]) -> Result<Self> {
        if let Some(bad) = types.iter().find(|data_type| !is_key_type(data_type)) {
            return Err(Error::not_supported(format!("a key of type {bad}"))
                .with_hint("cast it to text or a number"));
        }
        let keys = match types {
            [DataType::Int64] => Keys::Integer { values: Vec::new(), null: None },
            _ => Keys::Bytes(Vec::new()),
        };
        Ok(Self {
            types: types.to_vec(),
            table: HashTable::new(),
            hashes: Vec::new(),
            keys,
            free: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// The slots of the first `rows` rows of the key columns, appended to `out`; new keys get a
    /// slot.
    ///
    /// # Errors
    /// `NotSupported` if a column has a type that cannot be a key.
    pub fn insert(&mut self, columns: &[ArrayRef], rows: usize, out: &mut Vec<u32>) -> Result<()> {
        out.reserve(rows);
        if let (Keys::Integer { .. }, Some(values)) = (&self.keys, integers(columns)) {
            self.insert_integers(values, rows, out);
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.scratch);
        for row in 0..rows {
            bytes.clear();
            write_key(columns, row, &mut bytes)?;
            let hash = key_hash(&bytes);
            let slot = match &self.keys {
                Keys::Integer { .. } => self.insert_one(hash, &Probe::Integer(integer_of(&bytes))),
                Keys::Bytes(_) => self.insert_one(hash, &Probe::Bytes(&bytes)),
            };
            out.push(slot);
        }
        self.scratch = bytes;
        Ok(())
    }

    /// Known keys are found in a loop that does nothing else, so that the processor waits for
    /// many of them at once; new ones follow.
    fn insert_integers(&mut self, values: &Int64Array, rows: usize, out: &mut Vec<u32>) {
        let value = |row: usize| values.is_valid(row).then(|| values.value(row));
        let begin = out.len();
        let hashes: Vec<u64> = (0..rows).map(|row| integer_hash(value(row))).collect();
        let found = hashes
            .iter()
            .enumerate()
            .map(|(row, hash)| self.lookup(*hash, &Probe::Integer(value(row))).unwrap_or(u32::MAX));
        out.extend(found);
        for (row, hash) in hashes.iter().enumerate() {
            if out[begin + row] == u32::MAX {
                out[begin + row] = self.insert_one(*hash, &Probe::Integer(value(row)));
            }
        }
    }

    #[inline]
    fn lookup(&self, hash: u64, probe: &Probe) -> Option<u32> {
        let tag = probe.tag(hash);
        let same = |held: &Held| held.tag == tag && self.keys.is(held.slot, probe);
        self.table.find(hash, same).map(|held| held.slot)
    }

    #[inline]
    fn insert_one(&mut self, hash: u64, probe: &Probe) -> u32 {
        let Self { table, hashes, keys, free, .. } = self;
        let tag = probe.tag(hash);
        let same = |held: &Held| held.tag == tag && keys.is(held.slot, probe);
        match table.entry(hash, same, |held| hashes[held.slot as usize]) {
            Entry::Occupied(entry) => entry.get().slot,
            Entry::Vacant(entry) => {
                let slot = free.pop().unwrap_or(hashes.len() as u32);
                entry.insert(Held { tag, slot });
                if slot as usize == hashes.len() {
                    hashes.push(hash);
                } else {
                    hashes[slot as usize] = hash;
                }
                keys.set(slot, probe);
                slot
            }
        }
    }

    /// The slot of one row of key columns, if the key is held.
    ///
    /// # Errors
    /// `NotSupported` if a column has a type that cannot be a key.
    pub fn find(
        &self,
        columns: &[ArrayRef],
        row: usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<u32>> {
        scratch.clear();
        write_key(columns, row, scratch)?;
        let hash = key_hash(scratch);
        let probe = match &self.keys {
            Keys::Integer { .. } => Probe::Integer(integer_of(scratch)),
            Keys::Bytes(_) => Probe::Bytes(scratch),
        };
        Ok(self.lookup(hash, &probe))
    }

    /// Forgets a key; its slot is given to a later one.
    pub fn remove(&mut self, slot: u32) {
        let hash = self.hashes[slot as usize];
        let found = self.table.find_entry(hash, |held| held.slot == slot);
        assert!(found.is_ok(), "slot {slot} holds no key");
        if let Ok(entry) = found {
            entry.remove();
        }
        match &mut self.keys {
            Keys::Integer { null, .. } => *null = null.filter(|null| *null != slot),
            Keys::Bytes(keys) => keys[slot as usize] = Box::default(),
        }
        self.free.push(slot);
    }

    /// The key columns of a list of slots.
    ///
    /// # Errors
    /// `Data` if Arrow cannot build a column.
    pub fn gather(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        match &self.keys {
            Keys::Integer { values, null } => {
                let gathered = slots.iter().map(|slot| values[*slot as usize]).collect();
                let nulls = null.map(|null| slots.iter().map(|slot| *slot != null).collect());
                let nulls = nulls.filter(|nulls: &NullBuffer| nulls.null_count() > 0);
                Ok(vec![Arc::new(Int64Array::new(gathered, nulls))])
            }
            Keys::Bytes(keys) => {
                // Runs of one key are decoded once.
                let mut starts: Vec<u32> = slots.to_vec();
                starts.dedup();
                let list: Vec<&[u8]> = starts.iter().map(|slot| &*keys[*slot as usize]).collect();
                let columns = decode_keys(&self.types, &list)?;
                if starts.len() == slots.len() {
                    return Ok(columns);
                }
                let mut run = 0u32;
                let indices = slots.iter().enumerate().map(|(i, slot)| {
                    run += u32::from(i > 0 && slots[i - 1] != *slot);
                    run
                });
                let indices = UInt32Array::from_iter_values(indices);
                columns.iter().map(|column| Ok(take(column, &indices, None)?)).collect()
            }
        }
    }

    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// The key group of a key.
    pub fn shard(&self, slot: u32) -> Shard {
        Shard::KeyGroup(key_group(self.hashes[slot as usize]))
    }

    /// All slots held, by shard, in an order that depends on the keys only.
    pub fn sorted(&self) -> Vec<u32> {
        let mut slots: Vec<u32> = self.table.iter().map(|held| held.slot).collect();
        self.sort(&mut slots);
        slots
    }

    /// Sorts slots held by shard, in an order that depends on the keys only.
    pub fn sort(&self, slots: &mut [u32]) {
        slots.sort_unstable_by(|a, b| {
            let (left, right) = (self.hashes[*a as usize], self.hashes[*b as usize]);
            left.cmp(&right).then_with(|| match &self.keys {
                Keys::Integer { values, .. } => values[*a as usize].cmp(&values[*b as usize]),
                Keys::Bytes(keys) => keys[*a as usize].cmp(&keys[*b as usize]),
            })
        });
    }

    /// Keys held.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// One more than the greatest slot ever given.
    pub fn capacity(&self) -> usize {
        self.hashes.len()
    }

    /// Estimate of the bytes held.
    pub fn size_bytes(&self) -> usize {
        let key = match &self.keys {
            Keys::Integer { .. } => 8,
            Keys::Bytes(keys) => 16 + 16 + keys.first().map_or(0, |key| key.len()),
        };
        self.hashes.len() * (key + 8 + 2 * size_of::<Held>())
    }
}

/// Stretches of rows of one key in sorted rows.
///
/// # Errors
/// `Data` if Arrow cannot compare a key column.
pub fn key_runs(keys: &[ArrayRef], rows: usize) -> Result<Vec<Range<usize>>> {
    if rows == 0 {
        return Ok(Vec::new());
    }
    if keys.is_empty() {
        return Ok(std::iter::once(0..rows).collect());
    }
    Ok(partition(keys)?.ranges())
}

fn integers(columns: &[ArrayRef]) -> Option<&Int64Array> {
    match columns {
        [column] => column.as_primitive_opt::<Int64Type>(),
        _ => None,
    }
}

/// The integer in canonical bytes of one integer column.
fn integer_of(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [1, value @ ..] => {
            let mut word = [0; 8];
            let length = value.len().min(8);
            word[..length].copy_from_slice(&value[..length]);
            Some(i64::from_le_bytes(word))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
