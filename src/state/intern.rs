//! Byte strings that rows refer to by number: each content is kept once per lane, with a count of
//! the rows that hold it. Called by `row`. Equality and order are those of the content; the
//! numbers mean nothing outside the operator that owns the interner.

use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::model::key::key_hash;

/// The byte strings of one operator.
#[derive(Debug, Default)]
pub struct Interner {
    table: HashTable<u32>,
    texts: Vec<Arc<[u8]>>,
    references: Vec<u32>,
    free: Vec<u32>,
    bytes: usize,
}

impl Interner {
    /// The number of a byte string, with one more reference.
    pub fn acquire(&mut self, bytes: &[u8]) -> u64 {
        let texts = &self.texts;
        let same = |id: &u32| texts[*id as usize].as_ref() == bytes;
        let hash = |id: &u32| key_hash(&texts[*id as usize]);
        match self.table.entry(key_hash(bytes), same, hash) {
            Entry::Occupied(entry) => {
                let id = *entry.get();
                self.references[id as usize] += 1;
                u64::from(id)
            }
            Entry::Vacant(entry) => {
                self.bytes += bytes.len();
                let id = match self.free.pop() {
                    Some(id) => id,
                    None => self.texts.len() as u32,
                };
                entry.insert(id);
                if id as usize == self.texts.len() {
                    self.texts.push(bytes.into());
                    self.references.push(1);
                } else {
                    self.texts[id as usize] = bytes.into();
                    self.references[id as usize] = 1;
                }
                u64::from(id)
            }
        }
    }

    /// One reference more to a byte string that is held.
    pub fn retain(&mut self, id: u64) {
        self.references[id as usize] += 1;
    }

    /// One reference less; without any the byte string is forgotten.
    pub fn release(&mut self, id: u64) {
        let at = id as usize;
        assert!(self.references[at] > 0, "text {id} is released more often than acquired");
        self.references[at] -= 1;
        if self.references[at] > 0 {
            return;
        }
        let text = std::mem::replace(&mut self.texts[at], Arc::from([].as_slice()));
        self.bytes -= text.len();
        if let Ok(entry) = self.table.find_entry(key_hash(&text), |other| *other == id as u32) {
            entry.remove();
        }
        self.free.push(id as u32);
    }

    /// By number.
    pub fn texts(&self) -> &[Arc<[u8]>] {
        &self.texts
    }

    /// Byte strings held.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Estimate of the bytes held.
    pub fn size_bytes(&self) -> usize {
        self.bytes + self.texts.capacity() * 24 + self.table.len() * 40
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_contents_share_a_number_until_the_last_is_released() {
        let mut interner = Interner::default();
        let (a, b) = (interner.acquire(b"a"), interner.acquire(b""));
        assert_eq!(interner.acquire(b"a"), a);
        assert_ne!(a, b);
        interner.release(a);
        assert_eq!(interner.texts()[a as usize].as_ref(), b"a");
        interner.release(a);
        assert_eq!(interner.len(), 1);
        assert_eq!(interner.acquire(b"new"), a);
        assert_eq!(interner.acquire(b"a"), 2);
        assert_eq!(interner.texts()[b as usize].as_ref(), b"");
    }
}
