//! Which keys are due: a queue of (time, key) that is asked only for what is due before a time
//! that never goes back. Called by operators with event time; it never reads a clock.
//!
//! A radix heap (Ahuja, Mehlhorn, Orlin, Tarjan, "Faster algorithms for the shortest path
//! problem", J. ACM 37(2), 1990): an entry lies in the bucket of the highest bit in which its
//! time differs from the last time asked for. Adding is O(1); an entry moves down at most once
//! per bit, in practice a few times. Keys that are not due are never looked at.

/// Buckets: equal times, then one per bit.
const BUCKETS: usize = 65;

/// A monotone queue of (time, key).
#[derive(Debug)]
pub struct Timer {
    /// Everything due before this is gone (order-preserving bits of the time).
    last: u64,
    buckets: Vec<Vec<(u64, u32)>>,
    scratch: Vec<(u64, u32)>,
}

impl Default for Timer {
    fn default() -> Self {
        Self { last: 0, buckets: vec![Vec::new(); BUCKETS], scratch: Vec::new() }
    }
}

fn ordered(time: i64) -> u64 {
    (time as u64) ^ 1 << 63
}

fn unordered(bits: u64) -> i64 {
    (bits ^ 1 << 63) as i64
}

impl Timer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry; one that is due already comes with the next [`Self::advance`].
    #[inline]
    pub fn push(&mut self, time: i64, key: u32) {
        let bits = ordered(time);
        self.buckets[bucket(bits.max(self.last), self.last)].push((bits, key));
    }

    /// Takes out every entry with a time before `now`, in no promised order: `due(time, key)`.
    pub fn advance(&mut self, now: i64, mut due: impl FnMut(i64, u32)) {
        let now = ordered(now);
        if now <= self.last {
            return;
        }
        let top = bucket(now, self.last);
        for bucket in &mut self.buckets[..top] {
            bucket.drain(..).for_each(|(bits, key)| due(unordered(bits), key));
        }
        std::mem::swap(&mut self.scratch, &mut self.buckets[top]);
        self.last = now;
        let mut moving = std::mem::take(&mut self.scratch);
        for (bits, key) in moving.drain(..) {
            if bits < now {
                due(unordered(bits), key);
            } else {
                self.buckets[bucket(bits, now)].push((bits, key));
            }
        }
        self.scratch = moving;
    }

    /// Estimate of the bytes held.
    pub fn size_bytes(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.capacity() * size_of::<(u64, u32)>()).sum()
    }
}

#[inline]
fn bucket(bits: u64, last: u64) -> usize {
    64 - (bits ^ last).leading_zeros() as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::state::testing::Random;

    #[test]
    fn exactly_the_entries_before_now_are_due() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let span = 1i64 << random.below(40);
            let (mut timer, mut model, mut now) = (Timer::new(), BTreeMap::new(), -span);
            for step in 0..200u32 {
                for i in 0..random.below(5) as u32 {
                    let time = now.max(-span) + random.below(span as u64 * 2) as i64;
                    timer.push(time, step * 10 + i);
                    model.insert((time, step * 10 + i), ());
                }
                now += random.below(span as u64 / 4 + 2) as i64;
                let mut due = Vec::new();
                timer.advance(now, |time, key| due.push((time, key)));
                due.sort_unstable();
                let rest = model.split_off(&(now, 0));
                assert_eq!(due, model.into_keys().collect::<Vec<_>>(), "seed {seed}");
                model = rest;
            }
        }
    }

    #[test]
    fn an_entry_that_is_due_already_comes_next_and_infinity_empties_it() {
        let mut timer = Timer::new();
        timer.advance(100, |_, _| panic!("nothing is there"));
        timer.push(5, 1);
        timer.push(i64::MAX - 1, 2);
        let mut due = Vec::new();
        timer.advance(101, |_, key| due.push(key));
        assert_eq!(due, [1]);
        timer.advance(i64::MAX, |_, key| due.push(key));
        assert_eq!(due, [1, 2]);
    }
}
