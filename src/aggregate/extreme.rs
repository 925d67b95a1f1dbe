//! The running MIN or MAX of a moving run of values: a monotone queue that also takes values in
//! the middle. Each step is O(1) amortised at the ends; a value in the middle costs its distance
//! to the nearer end of the queue, which is far shorter than the run. Exact under expiry. It
//! never looks at the rows themselves. Called by trailing windows and by the sliding MIN/MAX of
//! `udaf`.
//!
//! An entry is dropped once a later one is at least as extreme: entries leave in the order of
//! their sequence numbers, so it could never be the answer again.

use std::collections::VecDeque;

/// A monotone queue over values with a total order. The sequence number of a value is its place
/// in the run of rows; the caller counts.
#[derive(Clone, Debug)]
pub struct Extreme<V> {
    entries: VecDeque<(u64, V)>,
    max: bool,
}

impl<V: Ord> Extreme<V> {
    /// A queue whose front is the least value.
    pub fn min() -> Self {
        Self { entries: VecDeque::new(), max: false }
    }

    /// A queue whose front is the greatest value.
    pub fn max() -> Self {
        Self { entries: VecDeque::new(), max: true }
    }

    /// Adds the newest value; `seq` is greater than that of every entry.
    #[inline]
    pub fn push_back(&mut self, seq: u64, value: V) {
        debug_assert!(self.entries.back().is_none_or(|last| last.0 < seq), "seq {seq} is not new");
        while let Some((_, last)) = self.entries.back()
            && self.covers(&value, last)
        {
            self.entries.pop_back();
        }
        self.entries.push_back((seq, value));
    }

    /// Adds a value at place `seq` in the middle (or at an end). Whatever had that place or a
    /// later one has been moved by [`Self::shift_from`].
    pub fn insert(&mut self, seq: u64, value: V) {
        let at = self.entries.partition_point(|entry| entry.0 < seq);
        if let Some((place, later)) = self.entries.get(at) {
            assert!(*place != seq, "place {seq} of a monotone queue is taken");
            if self.covers(later, &value) {
                return;
            }
        }
        let mut from = at;
        while from > 0 && self.covers(&value, &self.entries[from - 1].1) {
            from -= 1;
        }
        if from < at {
            // Reuse the first of the entries that the new one makes useless.
            self.entries[from] = (seq, value);
            self.entries.drain(from + 1..at);
        } else {
            self.entries.insert(at, (seq, value));
        }
    }

    /// Makes room for a value at `seq`: adds one to every sequence number from `seq` on.
    pub fn shift_from(&mut self, seq: u64) {
        for entry in self.entries.iter_mut().rev().take_while(|entry| entry.0 >= seq) {
            entry.0 += 1;
        }
    }

    /// Forgets every value whose sequence number is below `seq`.
    #[inline]
    pub fn drop_before(&mut self, seq: u64) {
        while self.entries.front().is_some_and(|entry| entry.0 < seq) {
            self.entries.pop_front();
        }
    }

    /// The extreme of all values held.
    #[inline]
    pub fn front(&self) -> Option<&V> {
        self.entries.front().map(|entry| &entry.1)
    }

    /// The extreme of the values from `seq` on, without forgetting those before.
    pub fn front_from(&self, seq: u64) -> Option<&V> {
        let at = self.entries.partition_point(|entry| entry.0 < seq);
        self.entries.get(at).map(|entry| &entry.1)
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries held, at most the number of values in the run.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// (sequence number, value) in order; pushing them again in this order rebuilds the queue.
    pub fn entries(&self) -> impl Iterator<Item = (u64, &V)> {
        self.entries.iter().map(|entry| (entry.0, &entry.1))
    }

    /// Bytes held, without what the values hold on the heap.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.entries.capacity() * size_of::<(u64, V)>()
    }

    /// Whether a later `new` makes an earlier `old` useless.
    #[inline]
    fn covers(&self, new: &V, old: &V) -> bool {
        if self.max { new >= old } else { new <= old }
    }
}

#[cfg(test)]
mod tests;
