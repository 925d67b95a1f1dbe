//! The thread around a lane, and the messages between the threads of an engine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::{ArrayRef, RecordBatch};
use crossbeam_channel::Receiver;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Result};
use crate::limits::LANE_SLICE_ROWS;
use crate::model::epoch::Epoch;
use crate::model::time::EventTime;
use crate::operator::operator::{Bound, Probed};
use crate::runtime::lane::{CellId, CellState, Lane, Outlet};
use crate::runtime::progress::Progress;
use crate::source::admit::AdmissionState;

/// From ingest to a lane, in order.
#[derive(Debug)]
pub enum LaneMessage {
    Batch {
        cell: CellId,
        step: RecordBatch,
    },
    Watermark {
        cell: CellId,
        watermark: EventTime,
    },
    /// End of a micro-batch: current values of touched keys of this source go out. They hold
    /// rows up to these positions: (partition, next offset).
    Flush {
        source: usize,
        positions: Arc<Vec<(u32, i64)>>,
    },
    /// Every key of this source goes out with the next flush: a store has lost its values.
    Touch {
        source: usize,
    },
    /// The serving time of this source has come so far: values that change by that go out with the
    /// next flush.
    Refresh {
        source: usize,
        at: EventTime,
    },
    /// Snapshot the cells of these groups for this epoch.
    Barrier {
        source: usize,
        epoch: Epoch,
        /// All state, not only what changed.
        whole: bool,
    },
    /// This source sends nothing more.
    End {
        source: usize,
    },
}

/// A question to a lane; answered between slices of stream work.
#[derive(Debug)]
pub enum Question {
    Probe {
        cell: CellId,
        keys: Vec<ArrayRef>,
        times: Vec<EventTime>,
        bound: Bound,
        reply: oneshot::Sender<Result<Probed>>,
    },
    /// Result rows of all keys of a group at one time.
    ProbeAll { group: usize, at: EventTime, reply: oneshot::Sender<Result<Vec<RecordBatch>>> },
    /// Nobody will ask any more.
    Leave,
}

/// From lanes and ingest threads to the committer.
#[derive(Debug)]
pub enum CommitMessage {
    Finals {
        lane: usize,
        feature: usize,
        rows: RecordBatch,
    },
    Archive {
        source: usize,
        rows: RecordBatch,
    },
    Dead {
        source: usize,
        rows: RecordBatch,
    },
    LaneBarrier {
        lane: usize,
        source: usize,
        epoch: Epoch,
        state: Vec<CellState>,
    },
    IngestBarrier {
        source: usize,
        epoch: Epoch,
        admission: AdmissionState,
        /// How many partitions the source has.
        partitions: usize,
    },
    /// An ingest thread has read everything it was asked to.
    Reached {
        source: usize,
    },
    Ended {
        source: usize,
    },
    Failed {
        who: String,
        error: Error,
    },
}

impl CommitMessage {
    /// Estimate of the bytes of its rows.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Finals { rows, .. } | Self::Archive { rows, .. } | Self::Dead { rows, .. } => {
                rows.get_array_memory_size()
            }
            _ => 0,
        }
    }
}

/// Current values on their way to a store.
#[derive(Debug)]
pub struct CurrentRows {
    pub feature: usize,
    pub rows: RecordBatch,
    /// (partition, next offset) that the values may hold rows up to.
    pub positions: Arc<Vec<(u32, i64)>>,
    /// The serving time that they may hold for.
    pub refreshed: EventTime,
}

/// Everything the thread of a lane needs.
pub struct LaneTask {
    pub index: usize,
    pub lane: Lane,
    pub work: Receiver<LaneMessage>,
    pub questions: Receiver<Question>,
    pub commit: mpsc::Sender<CommitMessage>,
    pub online: mpsc::Sender<CurrentRows>,
    pub progress: Arc<Progress>,
    /// Sources that still send.
    pub sources: BTreeSet<usize>,
}

struct Channels<'a> {
    index: usize,
    commit: &'a mpsc::Sender<CommitMessage>,
    online: &'a mpsc::Sender<CurrentRows>,
    progress: &'a Progress,
    positions: Arc<Vec<(u32, i64)>>,
    refreshed: EventTime,
}

impl Outlet for Channels<'_> {
    fn finals(&mut self, feature: usize, rows: RecordBatch) -> Result<()> {
        self.progress.features[feature].final_rows.fetch_add(rows.num_rows() as u64, Relaxed);
        let message = CommitMessage::Finals { lane: self.index, feature, rows };
        self.commit.blocking_send(message).map_err(|_| stopped())
    }

    fn current(&mut self, feature: usize, rows: RecordBatch) -> Result<()> {
        let positions = self.positions.clone();
        let current = CurrentRows { feature, rows, positions, refreshed: self.refreshed };
        self.online.blocking_send(current).map_err(|_| stopped())
    }
}

/// The other side of a channel is gone: the engine is stopping for another reason.
pub fn stopped() -> Error {
    Error::new(crate::error::Kind::Interrupted, "the engine is stopping")
}

impl LaneTask {
    /// Runs until every source has ended, and answers questions until it is told to leave. A
    /// failure is reported to the committer and ends both.
    pub fn run(mut self) {
        match self.work_loop() {
            Ok(true) => {}
            // Questions asked meanwhile are dropped: their callers see a closed channel.
            Ok(false) => return,
            Err(error) => {
                let who = format!("lane {}", self.index);
                let _ = self.commit.blocking_send(CommitMessage::Failed { who, error });
                return;
            }
        }
        let Self { lane, questions, commit, online, work, .. } = self;
        // Who reads from these waits for their end.
        drop((commit, online, work));
        while let Ok(question) = questions.recv() {
            if !answer(&lane, question) {
                return;
            }
        }
    }

    /// Whether questions are welcome after it.
    fn work_loop(&mut self) -> Result<bool> {
        while !self.sources.is_empty() {
            crossbeam_channel::select! {
                recv(self.questions) -> question => match question {
                    Ok(question) => {
                        if !answer(&self.lane, question) {
                            return Ok(false);
                        }
                    }
                    Err(_) => return Ok(false),
                },
                recv(self.work) -> message => match message {
                    Ok(message) => self.handle(message)?,
                    Err(_) => return Ok(true),
                },
            }
        }
        Ok(true)
    }

    /// Handles one waiting message; false if there was none.
    pub fn turn(&mut self) -> Result<bool> {
        self.answer_waiting();
        match self.work.try_recv() {
            Ok(message) => self.handle(message).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    fn answer_waiting(&self) {
        while let Ok(question) = self.questions.try_recv() {
            // Told to leave before its work has ended, it finds its channels closed soon.
            answer(&self.lane, question);
        }
    }

    fn handle(&mut self, message: LaneMessage) -> Result<()> {
        match message {
            LaneMessage::Batch { cell, step } => {
                for start in (0..step.num_rows()).step_by(LANE_SLICE_ROWS) {
                    let rows = LANE_SLICE_ROWS.min(step.num_rows() - start);
                    self.lane.on_batch(cell, &step.slice(start, rows))?;
                    self.answer_waiting();
                }
            }
            LaneMessage::Watermark { cell, watermark } => {
                let (none, never) = (Arc::default(), EventTime::NEG_INFINITY);
                let step = |lane: &mut Lane, outlet: &mut dyn Outlet| {
                    lane.on_watermark(cell, watermark, outlet)
                };
                self.with_outlet(none, never, step)?;
            }
            LaneMessage::Flush { source, positions } => {
                let refreshed = self.lane.refreshed(source);
                self.with_outlet(positions, refreshed, |lane, outlet| {
                    lane.flush_current(source, outlet)
                })?;
                self.publish_sizes();
            }
            LaneMessage::Touch { source } => self.lane.touch(source),
            LaneMessage::Refresh { source, at } => self.lane.refresh(source, at),
            LaneMessage::Barrier { source, epoch, whole } => {
                self.snapshot(source, epoch, whole)?;
            }
            LaneMessage::End { source } => {
                self.sources.remove(&source);
            }
        }
        Ok(())
    }

    fn with_outlet(
        &mut self,
        positions: Arc<Vec<(u32, i64)>>,
        refreshed: EventTime,
        step: impl FnOnce(&mut Lane, &mut dyn Outlet) -> Result<()>,
    ) -> Result<()> {
        let mut outlet = Channels {
            index: self.index,
            commit: &self.commit,
            online: &self.online,
            progress: &self.progress,
            positions,
            refreshed,
        };
        step(&mut self.lane, &mut outlet)
    }

    fn snapshot(&mut self, source: usize, epoch: Epoch, whole: bool) -> Result<()> {
        let state = self.lane.snapshot(source, whole)?;
        let message = CommitMessage::LaneBarrier { lane: self.index, source, epoch, state };
        self.commit.blocking_send(message).map_err(|_| stopped())
    }

    fn publish_sizes(&self) {
        let bytes = self.lane.state_bytes();
        for (group, bytes) in self.progress.groups.iter().zip(&bytes) {
            group.bytes[self.index].store(*bytes as u64, Relaxed);
        }
        let all = bytes.iter().sum::<usize>() as u64;
        self.progress.state_bytes[self.index].store(all, Relaxed);
        self.progress.keys[self.index].store(self.lane.key_count() as u64, Relaxed);
    }
}

/// Answers; false if nobody will ask any more. A caller that went away is no error.
fn answer(lane: &Lane, question: Question) -> bool {
    match question {
        Question::Probe { cell, keys, times, bound, reply } => {
            let _ = reply.send(lane.probe(cell, &keys, &times, bound));
        }
        Question::ProbeAll { group, at, reply } => {
            let _ = reply.send(lane.probe_all(group, at));
        }
        Question::Leave => return false,
    }
    true
}
