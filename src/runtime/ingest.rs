//! The thread around a source: poll → decode → admit → prepare → split by key group → lanes.
//! Admission and everything after it is pure; this file adds the thread, the queues and the
//! order in which barriers travel. It never decides what is admitted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use tokio::sync::mpsc;

use crate::clock;
use crate::error::Result;
use crate::failpoint;
use crate::limits::BATCH_ROWS;
use crate::model::batch::Position;
use crate::model::epoch::Epoch;
use crate::model::time::EventTime;
use crate::runtime::exchange::split;
use crate::runtime::idle::IdleWatch;
use crate::runtime::lane::{CellId, LaneGroup};
use crate::runtime::progress::{PartitionProgress, Progress, SourceProgress, Totals};
use crate::runtime::refresh::RefreshPace;
use crate::runtime::task::{CommitMessage, LaneMessage, stopped};
use crate::source::admit::Admitted;
use crate::source::intake::Intake;
use crate::source::source::Source;

/// Commands to an ingest thread, obeyed between two polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Send a barrier after what was read so far.
    Barrier { epoch: Epoch, whole: bool },
    /// The input is over: every window closes.
    Finish,
    /// A store has lost its values: every key is written anew.
    Touch,
}

/// How long a poll waits for records: the longest delay a quiet source adds to a command.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);

/// Everything the thread of a source needs.
pub struct IngestTask {
    pub number: usize,
    pub source: Box<dyn Source>,
    pub intake: Intake,
    pub groups: Arc<Vec<LaneGroup>>,
    /// Groups of this source.
    pub own: Vec<usize>,
    pub lanes: Vec<Sender<LaneMessage>>,
    pub commit: mpsc::Sender<CommitMessage>,
    pub control: Receiver<Control>,
    pub archive: bool,
    /// End offsets (exclusive) at which the source has been read far enough; `None` = never.
    pub until: Option<Vec<Position>>,
    pub progress: Arc<Progress>,
    pub stop: Arc<AtomicBool>,
    /// Rows per second to read at most.
    pub rate: Option<u64>,
    /// Up to these positions rows may be in stores already: until every partition has passed
    /// them, current values would go back.
    pub hold: Vec<Position>,
    /// When current values are made to follow time.
    pub refresh: RefreshPace,
    /// Which partitions are quiet.
    pub idle: IdleWatch,
    pub stage: Stage,
    /// Records read since `started`.
    pub rows_read: u64,
    pub started: std::time::Instant,
}

/// How far a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Reading,
    /// Everything asked for is read.
    Reached,
    /// Its windows are closed.
    Finished,
}

impl IngestTask {
    /// Runs until the engine stops; a failure is reported to the committer.
    pub fn run(mut self) {
        if let Err(error) = self.read_loop() {
            let who = format!("source '{}'", self.progress().name);
            let _ = self.commit.blocking_send(CommitMessage::Failed { who, error });
        }
        for lane in &self.lanes {
            // A lane that is gone has nothing to end.
            let _ = lane.send(LaneMessage::End { source: self.number });
        }
    }

    fn progress(&self) -> &SourceProgress {
        &self.progress.sources[self.number]
    }

    fn read_loop(&mut self) -> Result<()> {
        let mut looked = clock::monotonic();
        // Floors may have brought time further than the last record did.
        self.send_watermarks()?;
        while !self.stop.load(Relaxed) {
            let wait = if self.reading() { Duration::ZERO } else { POLL_TIMEOUT };
            if !self.turn(wait, POLL_TIMEOUT)? {
                return Ok(());
            }
            self.refresh_if_due()?;
            self.hold_back();
            self.look_around(&mut looked);
        }
        Ok(())
    }

    fn reading(&self) -> bool {
        self.stage == Stage::Reading
    }

    /// Obeys one command, or polls once. `wait` is for a command, `poll_wait` for records. False
    /// when nobody can give commands any more.
    pub fn turn(&mut self, wait: Duration, poll_wait: Duration) -> Result<bool> {
        match self.control.recv_timeout(wait) {
            Ok(Control::Barrier { epoch, whole }) => self.barrier(epoch, whole)?,
            Ok(Control::Touch) => {
                let source = self.number;
                self.to_all(|| LaneMessage::Touch { source })?;
                self.flush()?;
            }
            Ok(Control::Finish) => {
                self.finish()?;
                self.stage = Stage::Finished;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
            Err(RecvTimeoutError::Timeout) if !self.reading() => {}
            Err(RecvTimeoutError::Timeout) => {
                self.rows_read += self.step(poll_wait)?;
                if self.at_end() {
                    self.stage = Stage::Reached;
                    self.send_commit(CommitMessage::Reached { source: self.number })?;
                }
            }
        }
        Ok(true)
    }

    /// Keeps to `rate` rows per second.
    fn hold_back(&self) {
        let Some(rate) = self.rate.filter(|rate| *rate > 0) else { return };
        let due = Duration::from_secs_f64(self.rows_read as f64 / rate as f64);
        let elapsed = self.started.elapsed();
        if due > elapsed {
            std::thread::sleep((due - elapsed).min(Duration::from_millis(200)));
        }
    }

    /// One poll; the number of records read.
    fn step(&mut self, wait: Duration) -> Result<u64> {
        let max = match self.rate {
            Some(rate) => BATCH_ROWS.min((rate / 20).max(1) as usize),
            None => BATCH_ROWS,
        };
        let polled = self.source.poll(max, wait)?;
        self.idle.polled();
        self.note_gaps(&polled.gaps);
        if polled.chunks.is_empty() {
            if polled.end_of_input {
                // Files do not wait for more as a broker does.
                std::thread::sleep(wait);
            }
            return Ok(0);
        }
        failpoint::pass("source.after_poll")?;
        let mut read = 0;
        let mut judged = Vec::new();
        for chunk in &polled.chunks {
            if !chunk.records.is_empty() {
                self.idle.heard(chunk.partition);
            }
            self.intake.take(chunk, &mut judged)?;
            for admitted in judged.drain(..) {
                read += admitted.counts.read;
                self.count(&admitted);
                self.hand_on(admitted)?;
            }
        }
        self.send_watermarks()?;
        self.flush()?;
        Ok(read)
    }

    /// Lets current values out, unless a store may hold values of later rows (semantics §5).
    pub(super) fn flush(&mut self) -> Result<()> {
        if !self.may_write() {
            return Ok(());
        }
        let positions = self.intake.positions();
        let positions: Vec<_> = positions.iter().map(|p| (p.partition, p.offset)).collect();
        let (source, positions) = (self.number, Arc::new(positions));
        self.to_all(|| LaneMessage::Flush { source, positions: positions.clone() })
    }

    /// Whether every partition has passed what stores may hold already.
    pub(super) fn may_write(&mut self) -> bool {
        let positions = self.intake.positions();
        let passed = |hold: &Position| {
            positions.iter().any(|p| p.partition == hold.partition && p.offset >= hold.offset)
        };
        let at_once = failpoint::broken("write online at once after a restart");
        let may = at_once || self.hold.iter().all(passed);
        if may {
            self.hold.clear();
        }
        may
    }

    pub(super) fn to_all(&self, message: impl Fn() -> LaneMessage) -> Result<()> {
        let mut lanes = self.lanes.iter();
        lanes.try_for_each(|lane| lane.send(message()).map_err(|_| stopped()))
    }

    fn count(&self, admitted: &Admitted) {
        let source = self.progress();
        let counts = &admitted.counts;
        source.read.fetch_add(counts.read, Relaxed);
        source.admitted.fetch_add(counts.admitted, Relaxed);
        source.late.fetch_add(counts.late, Relaxed);
        source.future.fetch_add(counts.future, Relaxed);
        source.decode.fetch_add(counts.decode, Relaxed);
        source.event_time.fetch_add(counts.event_time, Relaxed);
        let totals = Totals {
            read: counts.read,
            admitted: counts.admitted,
            late: counts.late,
            future: counts.future,
            rejected: counts.rejected(),
        };
        source.count_partition(admitted.partition, totals);
        let now = clock::wall_now().0;
        if admitted.newest.0 > source.newest_event.load(Relaxed) {
            source.newest_event.store(admitted.newest.0, Relaxed);
            source.newest_read_at.store(now, Relaxed);
        }
        let progress = PartitionProgress {
            next_offset: admitted.next_offset,
            watermark: admitted.watermark,
            last_record_at: now,
        };
        source.set_partition(admitted.partition, progress);
    }

    fn hand_on(&mut self, admitted: Admitted) -> Result<()> {
        let source = self.number;
        if let Some(rows) = admitted.dead {
            self.send_commit(CommitMessage::Dead { source, rows })?;
        }
        if admitted.rows.num_rows() == 0 {
            return Ok(());
        }
        for number in &self.own {
            let group = &self.groups[*number];
            let step = group.group.preparation.evaluate(&admitted.rows)?;
            self.to_lanes(*number, group, admitted.partition, &step)?;
        }
        if self.archive {
            self.send_commit(CommitMessage::Archive { source, rows: admitted.rows })?;
        }
        Ok(())
    }

    fn to_lanes(
        &self,
        number: usize,
        group: &LaneGroup,
        partition: u32,
        step: &RecordBatch,
    ) -> Result<()> {
        if step.num_rows() == 0 {
            return Ok(());
        }
        if group.by_partition {
            let cell = CellId { group: number, partition };
            let lane = &self.lanes[partition as usize % self.lanes.len()];
            let message = LaneMessage::Batch { cell, step: step.clone() };
            return lane.send(message).map_err(|_| stopped());
        }
        let cell = CellId { group: number, partition: 0 };
        let keys = group.group.window.key_types().len();
        for (lane, step) in split(step, keys, self.lanes.len())? {
            let message = LaneMessage::Batch { cell, step };
            self.lanes[lane].send(message).map_err(|_| stopped())?;
        }
        Ok(())
    }

    /// Tells every lane how far time has come: the minimum over the partitions, or, where shards
    /// are partitions, each partition's own watermark.
    fn send_watermarks(&self) -> Result<()> {
        let watermarks = self.watermarks();
        let lowest = match failpoint::broken("watermark of the fastest partition") {
            false => watermarks.values().min(),
            true => watermarks.values().max(),
        };
        let lowest = lowest.copied().unwrap_or(EventTime::NEG_INFINITY);
        self.progress().watermark.store(lowest.0, Relaxed);
        self.send_watermark(lowest, &watermarks)
    }

    fn watermarks(&self) -> BTreeMap<u32, EventTime> {
        let partitions = self.source.partitions();
        partitions.into_iter().map(|p| (p, self.intake.admission().watermark(p))).collect()
    }

    fn send_watermark(
        &self,
        lowest: EventTime,
        by_partition: &BTreeMap<u32, EventTime>,
    ) -> Result<()> {
        for group in &self.own {
            if self.groups[*group].by_partition {
                for (partition, watermark) in by_partition {
                    let cell = CellId { group: *group, partition: *partition };
                    let lane = &self.lanes[*partition as usize % self.lanes.len()];
                    let message = LaneMessage::Watermark { cell, watermark: *watermark };
                    lane.send(message).map_err(|_| stopped())?;
                }
                continue;
            }
            let cell = CellId { group: *group, partition: 0 };
            for lane in &self.lanes {
                let message = LaneMessage::Watermark { cell, watermark: lowest };
                lane.send(message).map_err(|_| stopped())?;
            }
        }
        Ok(())
    }

    /// The end of input: the watermark of every partition goes to infinity.
    fn finish(&mut self) -> Result<()> {
        let all = self.source.partitions().into_iter().map(|p| (p, EventTime::INFINITY)).collect();
        self.send_watermark(EventTime::INFINITY, &all)?;
        self.flush()
    }

    fn barrier(&mut self, epoch: Epoch, whole: bool) -> Result<()> {
        self.adopt_partitions()?;
        let advanced = self.advance_idle();
        let source = self.number;
        let admission = self.intake.admission().snapshot();
        let partitions = self.source.partitions().len();
        let passed = CommitMessage::IngestBarrier { source, epoch, admission, partitions };
        self.send_commit(passed)?;
        self.to_all(|| LaneMessage::Barrier { source, epoch, whole })?;
        if advanced {
            self.send_watermarks()?;
            self.flush()?;
        }
        Ok(())
    }

    fn send_commit(&self, message: CommitMessage) -> Result<()> {
        self.commit.blocking_send(message).map_err(|_| stopped())
    }

    /// Whether every partition has been read up to `until`.
    fn at_end(&self) -> bool {
        let Some(until) = &self.until else { return false };
        let read = self.intake.positions();
        let reached = |end: &Position| {
            end.offset <= 0
                || read.iter().any(|p| p.partition == end.partition && p.offset >= end.offset)
        };
        until.iter().all(reached)
    }
}
