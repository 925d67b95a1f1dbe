//! Collects what the engine puts out and commits epochs: the one place that decides when a
//! checkpoint starts and when it is complete.
//!
//! A barrier enters at the ingest threads and follows the rows. Messages of a thread that has
//! passed the barrier already belong to the next epoch and wait in `held`; when the last barrier
//! message is in, outputs, state and positions are one consistent cut and are committed in the
//! order of semantics §6: outputs staged → state durable → manifest → outputs published.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tokio::sync::{mpsc, oneshot};

use crate::checkpoint::store::CheckpointStore;
use crate::clock;
use crate::error::{Error, Result};
use crate::model::epoch::Epoch;
use crate::runtime::ingest::Control;
use crate::runtime::lane::CellId;
use crate::runtime::outputs::Outputs;
use crate::runtime::pipeline::Pipeline;
use crate::runtime::progress::Progress;
use crate::runtime::saved;
use crate::runtime::task::{CommitMessage, stopped};
use crate::source::admit::AdmissionState;
use crate::state::snapshot::Snapshot;

/// How an engine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Checkpoint; open windows stay open.
    Checkpoint,
    /// Checkpoint, then every window closes and the sources are marked ended.
    Finalise,
}

/// What others ask of the committer.
#[derive(Debug)]
pub enum Request {
    Stop(Stop),
    /// Commit now; answered when the epoch is published.
    Checkpoint(oneshot::Sender<Result<Epoch>>),
}

/// Everything the committer needs.
pub struct Committer {
    pub pipeline: Arc<Pipeline>,
    pub lanes: usize,
    pub messages: mpsc::Receiver<CommitMessage>,
    pub requests: mpsc::Receiver<Request>,
    pub ingest: Vec<Sender<Control>>,
    pub outputs: Outputs,
    pub checkpoints: CheckpointStore,
    pub progress: Arc<Progress>,
    pub interval: Duration,
    pub generation: u64,
    /// The newest committed epoch.
    pub epoch: Epoch,
    /// Stop in this way once every source has reached its end.
    pub at_end: Option<Stop>,
}

/// A barrier under way.
struct Pending {
    epoch: Epoch,
    began: Instant,
    /// (lane, source) that have not passed yet.
    lanes: BTreeSet<(usize, usize)>,
    /// Sources whose ingest thread has not passed yet.
    sources: BTreeSet<usize>,
    state: Vec<(usize, CellId, Snapshot)>,
    admission: Vec<(usize, AdmissionState)>,
    held: Vec<CommitMessage>,
}

/// Where the committer is on its way to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// The barrier under way is the last one before stopping in this way.
    Stopping(Stop),
    /// Every window has been told to close; the barrier under way is the last.
    Finalising,
}

impl Committer {
    /// Runs until a stop is complete or something failed. Returns the last committed epoch.
    pub async fn run(mut self) -> Result<Epoch> {
        let mut timer = tokio::time::interval(self.interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        timer.tick().await;
        let mut pending: Option<Pending> = None;
        let mut phase = Phase::Running;
        let mut asked: Vec<oneshot::Sender<Result<Epoch>>> = Vec::new();
        let mut reached = BTreeSet::new();
        loop {
            let mut want = false;
            tokio::select! {
                biased;
                request = self.requests.recv() => match request {
                    Some(Request::Stop(stop)) if phase == Phase::Running => {
                        phase = Phase::Stopping(stop);
                        want = true;
                    }
                    Some(Request::Stop(_)) => {}
                    Some(Request::Checkpoint(reply)) => {
                        asked.push(reply);
                        want = true;
                    }
                    None => return Err(stopped()),
                },
                message = self.messages.recv() => {
                    let Some(message) = message else { return Err(stopped()) };
                    if let CommitMessage::Reached { source } = message {
                        reached.insert(source);
                    } else {
                        self.take(message, &mut pending)?;
                    }
                }
                _ = timer.tick() => want = phase == Phase::Running,
            }
            if let (Some(stop), Phase::Running) = (self.at_end, phase)
                && reached.len() == self.pipeline.sources.len()
            {
                phase = Phase::Stopping(stop);
                want = true;
            }
            if pending.as_ref().is_some_and(Pending::complete)
                && let Some(complete) = pending.take()
            {
                let next = self.committed(complete, phase, &mut asked).await?;
                if next.finished {
                    return Ok(self.epoch);
                }
                (phase, want) = (next.phase, want || next.barrier);
            }
            if want && pending.is_none() {
                pending = Some(self.start_barrier()?);
            }
        }
    }

    fn start_barrier(&mut self) -> Result<Pending> {
        let epoch = self.epoch.next();
        let sources = 0..self.pipeline.sources.len();
        for ingest in &self.ingest {
            ingest.send(Control::Barrier(epoch)).map_err(|_| stopped())?;
        }
        let lanes = sources.clone().flat_map(|s| (0..self.lanes).map(move |l| (l, s))).collect();
        Ok(Pending {
            epoch,
            began: clock::monotonic(),
            lanes,
            sources: sources.collect(),
            state: Vec::new(),
            admission: Vec::new(),
            held: Vec::new(),
        })
    }

    /// Puts a message where it belongs: this epoch, the next one, or the barrier.
    fn take(&mut self, message: CommitMessage, pending: &mut Option<Pending>) -> Result<()> {
        match message {
            CommitMessage::Failed { who, error } => Err(error.context(who)),
            CommitMessage::LaneBarrier { lane, source, epoch, state } => {
                let barrier = expected(pending, epoch)?;
                assert!(barrier.lanes.remove(&(lane, source)), "a lane passes a barrier once");
                barrier.state.extend(state.into_iter().map(|(id, s)| (lane, id, s)));
                Ok(())
            }
            CommitMessage::IngestBarrier { source, epoch, admission } => {
                let barrier = expected(pending, epoch)?;
                assert!(barrier.sources.remove(&source), "a source passes a barrier once");
                barrier.admission.push((source, admission));
                Ok(())
            }
            rows => match pending {
                Some(barrier) if barrier.passed(&self.pipeline, &rows) => {
                    barrier.held.push(rows);
                    Ok(())
                }
                _ => self.outputs.push(rows),
            },
        }
    }

    /// A complete barrier becomes an epoch; says how to go on.
    async fn committed(
        &mut self,
        complete: Pending,
        phase: Phase,
        asked: &mut Vec<oneshot::Sender<Result<Epoch>>>,
    ) -> Result<Next> {
        let last = matches!(phase, Phase::Stopping(Stop::Checkpoint) | Phase::Finalising);
        let ended = phase == Phase::Finalising;
        let epoch = complete.epoch;
        let held = self.commit(complete, last, ended).await?;
        for message in held {
            self.outputs.push(message)?;
        }
        let mut barrier = false;
        for reply in asked.drain(..) {
            // A caller that went away is no error.
            let _ = reply.send(Ok(epoch));
        }
        let mut next = phase;
        if phase == Phase::Stopping(Stop::Finalise) {
            for ingest in &self.ingest {
                ingest.send(Control::Finish).map_err(|_| stopped())?;
            }
            next = Phase::Finalising;
            barrier = true;
        }
        Ok(Next { phase: next, barrier, finished: last })
    }

    async fn commit(
        &mut self,
        complete: Pending,
        everything: bool,
        ended: bool,
    ) -> Result<Vec<CommitMessage>> {
        let epoch = complete.epoch;
        let prepared = self.outputs.prepare(epoch, everything).await?;
        let draft = saved::draft(saved::Cut {
            epoch,
            generation: self.generation,
            pipeline: &self.pipeline,
            state: complete.state,
            admission: complete.admission,
            carried: self.outputs.carried(),
            prepared,
            ended,
        })?;
        self.checkpoints.commit(draft).await?;
        self.epoch = epoch;
        self.progress.epoch.store(epoch.0, Relaxed);
        self.progress.checkpoint_at.store(clock::wall_now().0, Relaxed);
        let took = i64::try_from(complete.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.progress.checkpoint_us.store(took, Relaxed);
        tracing::debug!(epoch = epoch.0, "checkpoint committed");
        Ok(complete.held)
    }
}

struct Next {
    phase: Phase,
    barrier: bool,
    finished: bool,
}

fn expected(pending: &mut Option<Pending>, epoch: Epoch) -> Result<&mut Pending> {
    match pending {
        Some(barrier) if barrier.epoch == epoch => Ok(barrier),
        _ => Err(Error::internal(format!("a barrier of epoch {} that nobody sent", epoch.0))),
    }
}

impl Pending {
    fn complete(&self) -> bool {
        self.lanes.is_empty() && self.sources.is_empty()
    }

    /// Whether the sender of these rows has passed the barrier.
    fn passed(&self, pipeline: &Pipeline, rows: &CommitMessage) -> bool {
        match rows {
            CommitMessage::Finals { lane, feature, .. } => {
                !self.lanes.contains(&(*lane, pipeline.features[*feature].source))
            }
            CommitMessage::Archive { source, .. } | CommitMessage::Dead { source, .. } => {
                !self.sources.contains(source)
            }
            _ => false,
        }
    }
}
