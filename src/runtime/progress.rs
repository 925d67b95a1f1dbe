//! Counters of a running engine: written by its threads, read by progress lines, `status`,
//! `/metrics` and tests. Nothing computes with them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::clock;
use crate::model::batch::Position;
use crate::model::time::EventTime;
use crate::runtime::lag::Lag;

/// What one source has done.
#[derive(Debug)]
pub struct SourceProgress {
    pub name: String,
    pub read: AtomicU64,
    pub admitted: AtomicU64,
    pub late: AtomicU64,
    pub future: AtomicU64,
    pub decode: AtomicU64,
    pub event_time: AtomicU64,
    /// Newest admitted event time (µs) and the wall time it was read at (µs).
    pub newest_event: AtomicI64,
    pub newest_read_at: AtomicI64,
    /// The serving time that values in stores hold for (µs): time served never falls behind it.
    pub refreshed: AtomicI64,
    /// Minimum over the partitions (µs).
    pub watermark: AtomicI64,
    /// Ends last heard of and where reading started: what is left to read.
    pub lag: Lag,
    partitions: Mutex<BTreeMap<u32, PartitionProgress>>,
    partition_counts: Mutex<BTreeMap<u32, Totals>>,
    targets: Mutex<BTreeMap<u32, i64>>,
    note: Mutex<Option<String>>,
}

/// What one partition has done.
#[derive(Clone, Copy, Debug)]
pub struct PartitionProgress {
    pub next_offset: i64,
    pub watermark: EventTime,
    /// Wall time (µs) of the last record.
    pub last_record_at: i64,
}

/// A copy of the counters of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub read: u64,
    pub admitted: u64,
    pub late: u64,
    pub future: u64,
    /// Undecodable and without usable event time.
    pub rejected: u64,
}

impl Totals {
    /// The conservation law of admission.
    pub fn conserved(&self) -> bool {
        self.read == self.admitted + self.late + self.future + self.rejected
    }
}

impl SourceProgress {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            read: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
            late: AtomicU64::new(0),
            future: AtomicU64::new(0),
            decode: AtomicU64::new(0),
            event_time: AtomicU64::new(0),
            newest_event: AtomicI64::new(i64::MIN),
            newest_read_at: AtomicI64::new(0),
            refreshed: AtomicI64::new(i64::MIN),
            watermark: AtomicI64::new(i64::MIN),
            lag: Lag::default(),
            partitions: Mutex::new(BTreeMap::new()),
            partition_counts: Mutex::new(BTreeMap::new()),
            targets: Mutex::new(BTreeMap::new()),
            note: Mutex::new(None),
        }
    }

    pub fn totals(&self) -> Totals {
        Totals {
            read: self.read.load(Relaxed),
            admitted: self.admitted.load(Relaxed),
            late: self.late.load(Relaxed),
            future: self.future.load(Relaxed),
            rejected: self.decode.load(Relaxed) + self.event_time.load(Relaxed),
        }
    }

    /// Adds what became of some records of a partition: all counters at once, so that whoever
    /// looks sees them conserved.
    pub fn count_partition(&self, partition: u32, more: Totals) {
        let mut all = self.partition_counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = all.entry(partition).or_default();
        counts.read += more.read;
        counts.admitted += more.admitted;
        counts.late += more.late;
        counts.future += more.future;
        counts.rejected += more.rejected;
    }

    pub fn partition_counts(&self) -> BTreeMap<u32, Totals> {
        self.partition_counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_partition(&self, partition: u32, progress: PartitionProgress) {
        let mut all = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(partition, progress);
    }

    /// Partitions that are read from `positions` on, before their first record.
    pub fn begin(&self, positions: &[Position], watermark: impl Fn(u32) -> EventTime) {
        let last_record_at = clock::wall_now().0;
        for Position { partition, offset } in positions {
            let (next_offset, watermark) = (*offset, watermark(*partition));
            let progress = PartitionProgress { next_offset, watermark, last_record_at };
            self.set_partition(*partition, progress);
        }
    }

    /// The watermark of a partition goes on without a record.
    pub fn advance(&self, partition: u32, watermark: EventTime) {
        let mut all = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = all.get_mut(&partition) {
            progress.watermark = progress.watermark.max(watermark);
        }
    }

    pub fn partitions(&self) -> BTreeMap<u32, PartitionProgress> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether every partition has been read up to the end seen at the start.
    pub fn caught_up(&self) -> bool {
        let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        let partitions = self.partitions();
        targets.iter().all(|(partition, end)| {
            let read = partitions.get(partition).map(|p| p.next_offset);
            let next = read.or_else(|| self.lag.start(*partition));
            *end <= 0 || next.is_some_and(|next| next >= *end)
        })
    }

    /// Offsets left to read per partition; empty where no end is known.
    pub fn lags(&self) -> BTreeMap<u32, u64> {
        self.lag.behind(|partition| self.partitions().get(&partition).map(|p| p.next_offset))
    }

    /// The ends seen at the start, exclusive.
    pub fn set_targets(&self, ends: impl IntoIterator<Item = (u32, i64)>) {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        *targets = ends.into_iter().collect();
    }

    /// What the source is waiting for, if anything (for status).
    pub fn set_note(&self, note: Option<String>) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = note;
    }

    pub fn note(&self) -> Option<String> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// "Now" of this source (semantics §4): its newest event time plus the wall time since that
    /// record was read, never beyond the wall clock, nor behind what stores have been told. `None`
    /// before the first record.
    pub fn serving_time(&self, wall: EventTime) -> Option<EventTime> {
        let (newest, refreshed) = (self.newest_event.load(Relaxed), self.refreshed.load(Relaxed));
        if newest == i64::MIN {
            return (refreshed > i64::MIN).then_some(EventTime(refreshed));
        }
        let elapsed = (wall.0 - self.newest_read_at.load(Relaxed)).max(0);
        let now = newest.saturating_add(elapsed).min(wall.0.max(newest));
        Some(EventTime(now.max(refreshed)))
    }

    /// Goes on where an earlier run has been: its newest event and when it read that (now, where
    /// nobody knows), and the time it had told stores.
    pub fn resume_time(
        &self,
        newest: Option<EventTime>,
        read_at: Option<i64>,
        refreshed: Option<EventTime>,
    ) {
        if let Some(newest) = newest {
            let read_at = read_at.unwrap_or_else(|| crate::clock::wall_now().0);
            self.newest_event.store(newest.0, Relaxed);
            self.newest_read_at.store(read_at, Relaxed);
        }
        self.refreshed.store(refreshed.map_or(i64::MIN, |at| at.0), Relaxed);
    }
}

/// What one feature has done.
#[derive(Debug, Default)]
pub struct FeatureProgress {
    pub name: String,
    pub final_rows: AtomicU64,
    pub current_writes: AtomicU64,
}

/// What one state group holds.
#[derive(Debug)]
pub struct GroupProgress {
    /// Its members.
    pub name: String,
    /// By lane.
    pub bytes: Vec<AtomicU64>,
}

/// Everything a running engine counts.
#[derive(Debug)]
pub struct Progress {
    pub sources: Vec<SourceProgress>,
    pub features: Vec<FeatureProgress>,
    pub groups: Vec<GroupProgress>,
    /// By lane.
    pub state_bytes: Vec<AtomicU64>,
    /// Rows that wait to be written.
    pub buffered_bytes: AtomicU64,
    pub keys: Vec<AtomicU64>,
    pub epoch: AtomicU64,
    /// Wall time (µs) of the last checkpoint; 0 = none yet.
    pub checkpoint_at: AtomicI64,
    /// How long writing it took (µs).
    pub checkpoint_us: AtomicU64,
    /// State that a restart reads (bytes).
    pub checkpoint_bytes: AtomicU64,
    /// State that the last checkpoint wrote (bytes).
    pub checkpoint_written: AtomicU64,
    pub online_errors: AtomicU64,
    /// How often online stores came back empty and were filled from state.
    pub reseeds: AtomicU64,
    pub null_keys: AtomicU64,
}

impl Progress {
    pub fn new(sources: &[String], features: &[String], lanes: usize) -> Self {
        Self {
            sources: sources.iter().map(|name| SourceProgress::new(name)).collect(),
            features: features
                .iter()
                .map(|name| FeatureProgress { name: name.clone(), ..Default::default() })
                .collect(),
            groups: Vec::new(),
            state_bytes: (0..lanes).map(|_| AtomicU64::new(0)).collect(),
            buffered_bytes: AtomicU64::new(0),
            keys: (0..lanes).map(|_| AtomicU64::new(0)).collect(),
            epoch: AtomicU64::new(0),
            checkpoint_at: AtomicI64::new(0),
            checkpoint_us: AtomicU64::new(0),
            checkpoint_bytes: AtomicU64::new(0),
            checkpoint_written: AtomicU64::new(0),
            online_errors: AtomicU64::new(0),
            reseeds: AtomicU64::new(0),
            null_keys: AtomicU64::new(0),
        }
    }

    /// With these state groups.
    pub fn with_groups(mut self, names: &[String]) -> Self {
        let lanes = self.state_bytes.len();
        let group = |name: &String| GroupProgress {
            name: name.clone(),
            bytes: (0..lanes).map(|_| AtomicU64::new(0)).collect(),
        };
        self.groups = names.iter().map(group).collect();
        self
    }

    /// State, and rows that wait to be written.
    pub fn held_bytes(&self) -> u64 {
        let state: u64 = self.state_bytes.iter().map(|bytes| bytes.load(Relaxed)).sum();
        state + self.buffered_bytes.load(Relaxed)
    }

    /// What each state group holds.
    pub fn group_bytes(&self) -> Vec<(&str, u64)> {
        let sum = |group: &GroupProgress| group.bytes.iter().map(|bytes| bytes.load(Relaxed)).sum();
        self.groups.iter().map(|group| (group.name.as_str(), sum(group))).collect()
    }

    /// The counters of all sources together.
    pub fn totals(&self) -> Totals {
        self.sources.iter().map(SourceProgress::totals).fold(Totals::default(), |a, b| Totals {
            read: a.read + b.read,
            admitted: a.admitted + b.admitted,
            late: a.late + b.late,
            future: a.future + b.future,
            rejected: a.rejected + b.rejected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_caught_up_once_every_partition_is_at_the_end_seen_at_the_start() {
        let source = SourceProgress::new("s");
        source.set_targets([(0, 5), (1, 0)]);
        assert!(!source.caught_up());
        let watermark = EventTime::NEG_INFINITY;
        let at = |next_offset| PartitionProgress { next_offset, watermark, last_record_at: 0 };
        source.set_partition(0, at(4));
        assert!(!source.caught_up());
        source.set_partition(0, at(5));
        assert!(source.caught_up());
    }

    #[test]
    fn serving_time_runs_with_the_wall_clock_from_the_newest_event_but_not_past_it() {
        let source = SourceProgress::new("s");
        assert_eq!(source.serving_time(EventTime(1_000)), None);
        source.newest_event.store(100, Relaxed);
        source.newest_read_at.store(1_000, Relaxed);
        assert_eq!(source.serving_time(EventTime(1_050)), Some(EventTime(150)));
        source.newest_event.store(1_040, Relaxed);
        assert_eq!(source.serving_time(EventTime(1_050)), Some(EventTime(1_050)));
        source.newest_event.store(9_000, Relaxed);
        assert_eq!(source.serving_time(EventTime(1_050)), Some(EventTime(9_000)));
    }

    #[test]
    fn serving_time_goes_on_after_a_restart_and_never_behind_what_stores_were_told() {
        let source = SourceProgress::new("s");
        source.resume_time(Some(EventTime(100)), Some(1_000), None);
        assert_eq!(source.serving_time(EventTime(1_050)), Some(EventTime(150)));
        source.resume_time(Some(EventTime(100)), Some(1_000), Some(EventTime(170)));
        assert_eq!(source.serving_time(EventTime(1_050)), Some(EventTime(170)));
        assert_eq!(source.serving_time(EventTime(1_090)), Some(EventTime(190)));
        source.resume_time(None, None, Some(EventTime(500)));
        assert_eq!(source.serving_time(EventTime(1_090)), Some(EventTime(500)));
    }
}
