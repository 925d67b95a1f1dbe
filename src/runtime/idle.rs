//! Partitions without records. They hold time back, unless the source says `'idle' = 'advance'`:
//! then such a partition gets a floor at the watermark of the others (semantics §1). Floors are
//! set at a barrier, before the snapshot, so that the checkpoint that first shows what they did
//! holds them; what comes later with an earlier time is late, now and at every replay.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::catalog::source::SourceDef;
use crate::clock;
use crate::model::batch::Position;
use crate::model::time::EventTime;
use crate::runtime::ingest::IngestTask;
use crate::source::admit::Floor;

/// Whoever has not asked its source for so long has heard nothing for that reason.
const STALL: Duration = Duration::from_secs(1);

/// When partitions were last heard of.
#[derive(Debug)]
pub struct IdleWatch {
    /// Without records for so long a partition is idle; `None` = it is waited for.
    after: Option<Duration>,
    /// From here on partitions are watched.
    began: Instant,
    polled: Instant,
    heard: BTreeMap<u32, Instant>,
}

impl IdleWatch {
    pub fn of(def: &SourceDef) -> Self {
        let after = Duration::from_micros(def.options.idle_timeout_us.unsigned_abs());
        let after = def.options.advance_idle.then_some(after);
        let now = clock::monotonic();
        Self { after, began: now, polled: now, heard: BTreeMap::new() }
    }

    /// The source was asked for records. After a stall every partition is watched anew: what came
    /// meanwhile is still to be read.
    pub fn polled(&mut self) {
        if self.after.is_none() {
            return;
        }
        let now = clock::monotonic();
        if now.duration_since(self.polled) > STALL {
            self.watch_anew(now);
        }
        self.polled = now;
    }

    fn watch_anew(&mut self, now: Instant) {
        self.began = now;
        self.heard.clear();
    }

    /// A record of a partition has come.
    pub fn heard(&mut self, partition: u32) {
        if self.after.is_some() {
            self.heard.insert(partition, clock::monotonic());
        }
    }

    fn is_quiet(&self, partition: u32, after: Duration) -> bool {
        self.heard.get(&partition).unwrap_or(&self.began).elapsed() >= after
    }
}

/// How one partition stands.
#[derive(Clone, Copy, Debug)]
struct Standing {
    partition: u32,
    /// The next offset to read.
    next: i64,
    watermark: EventTime,
    /// Nothing came for long, and nothing is there to be read.
    idle: bool,
}

/// The floors that let time go on: for every idle partition that is behind the others; where all
/// are idle, behind the one that came furthest.
fn floors(all: &[Standing]) -> Vec<(u32, Floor)> {
    let active = all.iter().filter(|of| !of.idle).map(|of| of.watermark).min();
    let time = active.or_else(|| all.iter().map(|of| of.watermark).max());
    let Some(time) = time.filter(|time| *time > EventTime::NEG_INFINITY) else {
        return Vec::new();
    };
    let behind = all.iter().filter(|of| of.idle && of.watermark < time);
    behind.map(|of| (of.partition, Floor { from_offset: of.next, time: time.0 })).collect()
}

impl IngestTask {
    /// At a barrier, before the snapshot: sets floors; whether there are new ones.
    pub(super) fn advance_idle(&mut self) -> bool {
        let Some(after) = self.idle.after.filter(|_| self.until.is_none()) else {
            return false;
        };
        if self.source.trouble().is_some() || self.idle.polled.elapsed() > STALL {
            self.idle.watch_anew(clock::monotonic());
            return false;
        }
        let admission = self.intake.admission();
        let standing = |position: Position| {
            let partition = position.partition;
            Standing {
                partition,
                next: position.offset,
                watermark: admission.watermark(partition),
                idle: self.source.at_end(partition) && self.idle.is_quiet(partition, after),
            }
        };
        let all: Vec<Standing> = self.intake.positions().into_iter().map(standing).collect();
        let floors = floors(&all);
        for (partition, floor) in &floors {
            let time = EventTime(floor.time);
            self.intake.admission_mut().set_floor(*partition, *floor);
            self.progress.sources[self.number].advance(*partition, time);
            let name = &self.intake.def().name;
            tracing::debug!("partition {partition} of source '{name}' is idle: floor at {time}");
        }
        !floors.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(partition: u32, watermark: i64, idle: bool) -> Standing {
        Standing {
            partition,
            next: 10 * i64::from(partition),
            watermark: EventTime(watermark),
            idle,
        }
    }

    #[test]
    fn idle_partitions_come_up_to_the_slowest_of_the_others() {
        let never = i64::MIN;
        let all = [
            standing(0, 500, false),
            standing(1, 300, false),
            standing(2, 100, true),
            standing(3, never, true),
            standing(4, 400, true),
        ];
        let floor = |partition: u32| {
            (partition, Floor { from_offset: 10 * i64::from(partition), time: 300 })
        };
        assert_eq!(floors(&all), [floor(2), floor(3)]);
    }

    #[test]
    fn a_partition_that_is_only_slow_is_waited_for_and_all_are_not() {
        let floor = Floor { from_offset: 10, time: 500 };
        assert_eq!(floors(&[standing(0, 500, true), standing(1, 300, true)]), [(1, floor)]);
        assert!(floors(&[standing(0, i64::MIN, true)]).is_empty());
        assert!(floors(&[standing(0, i64::MIN, false), standing(1, 300, true)]).is_empty());
        assert!(floors(&[]).is_empty());
    }

    #[test]
    fn quiet_is_counted_from_the_last_record_or_the_start() {
        let mut def = crate::plan::fixture::transactions();
        def.options.idle_timeout_us = 3_600_000_000;
        let mut watch = IdleWatch::of(&def);
        assert!(watch.after.is_none(), "waiting is the default");
        watch.heard(0);
        assert!(watch.heard.is_empty());
        def.options.advance_idle = true;
        let mut watch = IdleWatch::of(&def);
        assert_eq!(watch.after, Some(Duration::from_secs(3_600)));
        assert!(
            !watch.is_quiet(0, Duration::from_secs(3_600)) && watch.is_quiet(0, Duration::ZERO)
        );
        watch.heard(0);
        assert!(watch.heard[&0] >= watch.began);
        watch.polled();
        assert_eq!(watch.heard.len(), 1);
        // A stall is not silence.
        watch.polled = watch.polled.checked_sub(2 * STALL).unwrap();
        watch.polled();
        assert!(watch.heard.is_empty() && watch.began.elapsed() < STALL);
    }
}
