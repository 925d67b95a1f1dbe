//! How far behind its log a source is: ends heard of now and then, compared with what was read
//! when somebody asks. Written by the ingest thread about once a second, never per record.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::model::batch::Position;

/// Ends and starts of the partitions of a source.
#[derive(Debug, Default)]
pub struct Lag {
    starts: Mutex<BTreeMap<u32, i64>>,
    ends: Mutex<BTreeMap<u32, i64>>,
    /// Offsets that were deleted before they were read.
    skipped: AtomicU64,
}

fn put(map: &Mutex<BTreeMap<u32, i64>>, positions: &[Position]) {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    map.extend(positions.iter().map(|p| (p.partition, p.offset)));
}

impl Lag {
    /// Where reading of these partitions starts.
    pub fn set_starts(&self, positions: &[Position]) {
        put(&self.starts, positions);
    }

    /// The ends of these partitions, exclusive.
    pub fn set_ends(&self, positions: &[Position]) {
        put(&self.ends, positions);
    }

    pub fn start(&self, partition: u32) -> Option<i64> {
        let starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        starts.get(&partition).copied()
    }

    pub fn add_skipped(&self, offsets: u64) {
        self.skipped.fetch_add(offsets, Relaxed);
    }

    pub fn skipped(&self) -> u64 {
        self.skipped.load(Relaxed)
    }

    /// Offsets between what was read (`next`, else the start) and the end.
    pub(super) fn behind(&self, next: impl Fn(u32) -> Option<i64>) -> BTreeMap<u32, u64> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let each = ends.iter().filter_map(|(partition, end)| {
            let next = next(*partition).or_else(|| self.start(*partition))?;
            // What was read may be newer than what was heard.
            Some((*partition, u64::try_from(end - next).unwrap_or(0)))
        });
        each.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_from_the_start_until_something_is_read_and_is_never_negative() {
        let at = |partition, offset| Position { partition, offset };
        let lag = Lag::default();
        assert!(lag.behind(|_| None).is_empty());
        lag.set_starts(&[at(0, 10), at(1, 0)]);
        lag.set_ends(&[at(0, 15), at(1, 3), at(2, 9)]);
        assert_eq!(lag.behind(|_| None), BTreeMap::from([(0, 5), (1, 3)]));
        let read = |partition| (partition == 0).then_some(17);
        assert_eq!(lag.behind(read), BTreeMap::from([(0, 0), (1, 3)]));
    }
}
