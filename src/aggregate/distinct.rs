//! A multiset: how often each value is there. It serves COUNT(DISTINCT) by its length and tells
//! the caller when a value appears first or disappears last, so that SUM, AVG, VAR and STDDEV of
//! distinct values can follow in `moments`. Values must be canonical (floats through
//! `model::key::ordered_bits`). No iteration order leaks: what is listed is sorted.
//! Called by operators and by `udaf`.

use std::borrow::Borrow;
use std::hash::Hash;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// A multiset of values.
#[derive(Clone, Debug)]
pub struct Distinct<V> {
    counts: HashMap<V, u64>,
}

impl<V> Default for Distinct<V> {
    fn default() -> Self {
        Self { counts: HashMap::new() }
    }
}

impl<V: Hash + Eq> Distinct<V> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; true if the value was not there before.
    #[inline]
    pub fn add(&mut self, value: V) -> bool {
        self.add_many(value, 1)
    }

    /// Adds `times` > 0 of a value; true if it was not there before.
    #[inline]
    pub fn add_many(&mut self, value: V, times: u64) -> bool {
        match self.counts.entry(value) {
            Entry::Occupied(mut entry) => {
                *entry.get_mut() += times;
                false
            }
            Entry::Vacant(entry) => {
                entry.insert(times);
                true
            }
        }
    }

    /// [`Self::add`] that copies the value only when it is new.
    pub fn add_ref<'q, Q>(&mut self, value: &'q Q) -> bool
    where
        Q: Hash + Eq + ?Sized,
        V: Borrow<Q> + From<&'q Q>,
    {
        if let Some(count) = self.counts.get_mut(value) {
            *count += 1;
            return false;
        }
        self.counts.insert(V::from(value), 1);
        true
    }

    /// Takes one away; true if it was the last.
    #[inline]
    pub fn sub<Q>(&mut self, value: &Q) -> bool
    where
        Q: Hash + Eq + ?Sized,
        V: Borrow<Q>,
    {
        self.sub_many(value, 1)
    }

    /// Takes `times` > 0 of a value away; true if they were the last.
    pub fn sub_many<Q>(&mut self, value: &Q, times: u64) -> bool
    where
        Q: Hash + Eq + ?Sized,
        V: Borrow<Q>,
    {
        let count = self.counts.get_mut(value);
        assert!(
            count.as_ref().is_some_and(|count| **count >= times),
            "a value that was never added leaves a multiset"
        );
        let Some(count) = count else { return false };
        *count -= times;
        let gone = *count == 0;
        if gone {
            self.counts.remove(value);
        }
        gone
    }

    /// Adds another multiset; `appeared` is called for each value that was not there, in no
    /// particular order (what it feeds must not depend on order; exact sums do not).
    pub fn merge(&mut self, other: &Self, mut appeared: impl FnMut(&V))
    where
        V: Clone,
    {
        for (value, times) in &other.counts {
            if self.add_many(value.clone(), *times) {
                appeared(value);
            }
        }
    }

    /// Takes another multiset out; `gone` is called for each value that is no longer there, in
    /// no particular order.
    pub fn unmerge(&mut self, other: &Self, mut gone: impl FnMut(&V)) {
        for (value, times) in &other.counts {
            if self.sub_many(value, *times) {
                gone(value);
            }
        }
    }

    /// Number of distinct values.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// How often a value is there.
    pub fn count_of<Q>(&self, value: &Q) -> u64
    where
        Q: Hash + Eq + ?Sized,
        V: Borrow<Q>,
    {
        self.counts.get(value).copied().unwrap_or(0)
    }

    pub fn clear(&mut self) {
        self.counts.clear();
    }

    /// (value, how often) in the order of the values.
    pub fn sorted(&self) -> Vec<(&V, u64)>
    where
        V: Ord,
    {
        let mut all: Vec<_> = self.counts.iter().map(|(value, count)| (value, *count)).collect();
        all.sort_unstable_by(|a, b| a.0.cmp(b.0));
        all
    }

    /// Bytes held, without what the values hold on the heap.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.counts.allocation_size()
    }
}

#[cfg(test)]
mod tests;
