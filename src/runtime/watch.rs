//! What the thread around a source sees to besides records: ends for the lag, trouble for the
//! status, partitions that appear, records that were deleted unread. Rare work, kept out of the
//! way of the records; must never decide what is admitted.

use std::time::{Duration, Instant};

use crate::clock;
use crate::error::{Kind, Result};
use crate::runtime::ingest::IngestTask;
use crate::source::admit::Gap;
use crate::source::growth::adopt_partitions;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl IngestTask {
    /// Notes ends and trouble, if the last time was a while ago.
    pub(super) fn look_around(&self, looked: &mut Instant) {
        if looked.elapsed() < LOOK_EVERY {
            return;
        }
        *looked = clock::monotonic();
        let progress = &self.progress.sources[self.number];
        progress.lag.set_ends(&self.source.ends_heard());
        progress.set_note(self.source.trouble());
    }

    /// At a barrier, before the snapshot: reads partitions that appeared, from here on.
    pub(super) fn adopt_partitions(&mut self) -> Result<()> {
        let (def, admission) = (self.intake.def().clone(), self.intake.admission_mut());
        let gained = match adopt_partitions(&def, self.source.as_mut(), admission) {
            // The brokers are away: the next barrier asks again.
            Err(error) if error.kind() == Kind::Unavailable => return Ok(()),
            gained => gained?,
        };
        if !gained.is_empty() {
            let progress = &self.progress.sources[self.number];
            progress.lag.set_starts(&gained);
            progress.begin(&gained, |p| self.intake.admission().watermark(p));
            let numbers: Vec<String> = gained.iter().map(|p| p.partition.to_string()).collect();
            tracing::info!("source '{}' has new partitions: {}", def.name, numbers.join(", "));
        }
        Ok(())
    }

    /// Records that are gone are part of what a checkpoint knows.
    pub(super) fn note_gaps(&mut self, gaps: &[Gap]) {
        for gap in gaps {
            self.intake.admission_mut().note_gap(*gap);
            let offsets = u64::try_from(gap.to - gap.from).unwrap_or(0);
            self.progress.sources[self.number].lag.add_skipped(offsets);
        }
    }
}
