//! When values in stores are made to follow time: the thread around a source tells its lanes how
//! far serving time has come, twice within the shortest `refresh` of its features (semantics §4).
//! Lanes see that time only, never a clock.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::clock;
use crate::error::Result;
use crate::model::time::EventTime;
use crate::runtime::ingest::{IngestTask, Stage};
use crate::runtime::pipeline::Pipeline;
use crate::runtime::task::LaneMessage;

/// Between two refreshes where event time runs faster than the clock: a replay.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often the values of a source are refreshed.
#[derive(Clone, Copy, Debug)]
pub struct RefreshPace {
    /// Half of the shortest `refresh`, µs; `None` = no values of the source are in a store.
    every_us: Option<i64>,
    last: Option<Instant>,
}

impl RefreshPace {
    pub fn of(pipeline: &Pipeline, source: usize) -> Self {
        let of = pipeline.features.iter().filter(|feature| feature.source == source);
        let written = of.filter(|feature| pipeline.groups[feature.group].online[feature.member]);
        let shortest = written.map(|feature| feature.def.options.refresh_us).min();
        Self { every_us: shortest.map(|us| us / 2), last: None }
    }

    /// Whether it is time, given how far the last refresh came and where serving time is.
    fn is_due(&self, refreshed: i64, serving: EventTime, now: Instant) -> bool {
        let Some(every) = self.every_us else { return false };
        let pause = Duration::from_micros(every.unsigned_abs()).min(PAUSE_MAX);
        let rested = self.last.is_none_or(|last| now.duration_since(last) >= pause);
        rested && serving.0 > refreshed && serving.0.saturating_sub(refreshed) >= every
    }
}

impl IngestTask {
    /// Refreshes if it is time: on a source that is being read without an end, once it is caught
    /// up; on one that is read up to an end, there, and for its newest event.
    pub(super) fn refresh_if_due(&mut self) -> Result<()> {
        let source = &self.progress.sources[self.number];
        let refreshed = source.refreshed.load(Relaxed);
        if self.until.is_some() {
            let newest = EventTime(source.newest_event.load(Relaxed));
            if self.stage == Stage::Reached
                && self.refresh.every_us.is_some()
                && newest.0 > refreshed
            {
                return self.refresh(newest);
            }
            return Ok(());
        }
        let now = clock::monotonic();
        let Some(serving) = source.serving_time(clock::wall_now()) else { return Ok(()) };
        if self.refresh.is_due(refreshed, serving, now) && source.caught_up() {
            self.refresh.last = Some(now);
            return self.refresh(serving);
        }
        Ok(())
    }

    /// Values in stores are to hold for `at`; nothing happens while none may be written.
    pub fn refresh(&mut self, at: EventTime) -> Result<()> {
        if !self.may_write() {
            return Ok(());
        }
        self.progress.sources[self.number].refreshed.fetch_max(at.0, Relaxed);
        let source = self.number;
        self.to_all(|| LaneMessage::Refresh { source, at })?;
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_refreshed_twice_within_the_option_and_not_more_often_than_the_pause() {
        let began = clock::monotonic();
        let after = |ms: u64| began + Duration::from_millis(ms);
        let mut pace = RefreshPace { every_us: Some(30_000_000), last: None };
        let at = |seconds: i64| EventTime(seconds * 1_000_000);
        assert!(pace.is_due(i64::MIN, at(-5), after(0)), "the first time at once");
        pace.last = Some(began);
        assert!(!pace.is_due(0, at(29), after(29_000)));
        assert!(pace.is_due(0, at(30), after(30_000)));
        assert!(!pace.is_due(0, at(4_000), after(999)), "a replay waits for the pause");
        assert!(pace.is_due(0, at(4_000), after(1_000)));
        assert!(!pace.is_due(0, at(-100), after(90_000)), "time does not go back");
        pace.every_us = None;
        assert!(!pace.is_due(0, at(4_000), after(90_000)), "nothing is in a store");
    }
}
