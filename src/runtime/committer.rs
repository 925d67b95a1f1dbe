//! Collects what the engine puts out and commits epochs: the one place that decides when a
//! checkpoint starts and when it is complete.
//!
//! A barrier enters at the ingest threads and follows the rows. Messages of a thread that has
//! passed the barrier already belong to the next epoch and wait in `held`; when the last barrier
//! message is in, outputs, state and positions are one consistent cut and are committed in the
//! order of semantics §6: outputs staged → state durable → manifest → outputs published. That is
//! written beside the stream: rows that come meanwhile wait in `held` too, up to a limit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::checkpoint::store::CheckpointStore;
use crate::clock;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::limits::HELD_BYTES_MAX;
use crate::model::epoch::Epoch;
use crate::runtime::ingest::Control;
use crate::runtime::lane::CellState;
use crate::runtime::outputs::Outputs;
use crate::runtime::partitioning::KeyHomes;
use crate::runtime::pipeline::Pipeline;
use crate::runtime::progress::Progress;
use crate::runtime::saved::{self, Chain, Parked};
use crate::runtime::task::{CommitMessage, stopped};
use crate::source::admit::AdmissionState;

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
    /// Every current value of the features of a source goes to its store again.
    WriteAll {
        source: usize,
    },
    /// The engine cannot go on.
    Fail(Error),
}

/// Where everything is written; away while an epoch is.
pub struct Stores {
    pub outputs: Outputs,
    pub checkpoints: CheckpointStore,
    /// The state files that the next epoch adds to.
    pub chain: Chain,
}

/// What a committer starts from.
pub struct CommitterStart {
    pub pipeline: Arc<Pipeline>,
    pub lanes: usize,
    pub ingest: Vec<Sender<Control>>,
    pub progress: Arc<Progress>,
    pub generation: u64,
    /// The newest committed epoch.
    pub epoch: Epoch,
    /// What earlier runs left of sources that do not run now.
    pub parked: Parked,
    pub homes: KeyHomes,
    /// Stop in this way once every source has reached its end.
    pub at_end: Option<Stop>,
}

/// What a committer reacts to.
#[derive(Debug)]
pub enum Event {
    Request(Request),
    Message(CommitMessage),
    /// The checkpoint interval is over.
    Tick,
}

/// Collects and commits.
pub struct Committer {
    from: CommitterStart,
    parked: Arc<Parked>,
    epoch: Epoch,
    phase: Phase,
    /// `None` while an epoch is written.
    stores: Option<Stores>,
    pending: Option<Pending>,
    writing: Option<Writing>,
    /// Rows that belong to the epoch after the one that is written.
    held: Vec<CommitMessage>,
    held_bytes: usize,
    asked: Vec<oneshot::Sender<Result<Epoch>>>,
    /// A barrier is wanted as soon as one can start.
    want: bool,
    reached: BTreeSet<usize>,
}

/// A barrier under way.
struct Pending {
    epoch: Epoch,
    /// When it began: a stop asked for later needs a barrier of its own.
    phase: Phase,
    /// (lane, source) that have not passed yet.
    lanes: BTreeSet<(usize, usize)>,
    /// Sources whose ingest thread has not passed yet.
    sources: BTreeSet<usize>,
    /// (lane, cell).
    state: Vec<(usize, CellState)>,
    /// (source, its partitions, admission).
    admission: Vec<(usize, usize, AdmissionState)>,
    held: Vec<CommitMessage>,
}

/// An epoch being written.
struct Writing {
    epoch: Epoch,
    phase: Phase,
    /// Callers that are answered when it is done.
    asked: Vec<oneshot::Sender<Result<Epoch>>>,
    task: Task,
}

type Done = (Stores, Result<()>);

/// The work of writing an epoch.
enum Task {
    /// Not begun: whoever drives the committer step by step says when.
    Waiting(futures::future::BoxFuture<'static, Done>),
    Spawned(JoinHandle<Done>),
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
    pub fn new(from: CommitterStart, stores: Stores) -> Self {
        Self {
            parked: Arc::new(from.parked.clone()),
            epoch: from.epoch,
            from,
            phase: Phase::Running,
            stores: Some(stores),
            pending: None,
            writing: None,
            held: Vec::new(),
            held_bytes: 0,
            asked: Vec::new(),
            want: false,
            reached: BTreeSet::new(),
        }
    }

    /// Runs until a stop is complete or something failed. Returns the last committed epoch.
    pub async fn run(
        mut self,
        mut messages: mpsc::Receiver<CommitMessage>,
        mut requests: mpsc::Receiver<Request>,
        interval: Duration,
    ) -> Result<Epoch> {
        let mut timer = tokio::time::interval(interval);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        timer.tick().await;
        loop {
            let room = self.has_room();
            let event = tokio::select! {
                biased;
                request = requests.recv() => Event::Request(request.ok_or_else(stopped)?),
                written = written(&mut self.writing) => {
                    if self.on_written(written)? {
                        return Ok(self.epoch);
                    }
                    if let Some(writing) = &mut self.writing {
                        writing.spawn();
                    }
                    continue;
                }
                message = messages.recv(), if room => {
                    Event::Message(message.ok_or_else(stopped)?)
                }
                _ = timer.tick() => Event::Tick,
            };
            self.on_event(event)?;
            if let Some(writing) = &mut self.writing {
                writing.spawn();
            }
        }
    }

    /// Whether more rows may be taken in while an epoch is written.
    pub fn has_room(&self) -> bool {
        self.held_bytes < HELD_BYTES_MAX
    }

    /// Reacts; never waits.
    pub fn on_event(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Request(Request::Stop(stop)) => {
                if self.phase == Phase::Running {
                    self.phase = Phase::Stopping(stop);
                    self.want = true;
                }
            }
            Event::Request(Request::Checkpoint(reply)) => {
                self.asked.push(reply);
                self.want = true;
            }
            Event::Request(Request::WriteAll { source }) => {
                self.from.progress.reseeds.fetch_add(1, Relaxed);
                self.from.ingest[source].send(Control::Touch).map_err(|_| stopped())?;
            }
            Event::Request(Request::Fail(error)) => return Err(error),
            Event::Message(CommitMessage::Reached { source }) => {
                self.reached.insert(source);
                if let (Some(stop), Phase::Running) = (self.from.at_end, self.phase)
                    && self.reached.len() == self.from.pipeline.sources.len()
                {
                    self.phase = Phase::Stopping(stop);
                    self.want = true;
                }
            }
            Event::Message(message) => self.take(message)?,
            Event::Tick => self.want |= self.phase == Phase::Running,
        }
        if let Some(stores) = &self.stores {
            let waiting = (stores.outputs.bytes() + self.held_bytes) as u64;
            self.from.progress.buffered_bytes.store(waiting, Relaxed);
        }
        if self.pending.as_ref().is_some_and(Pending::complete)
            && let Some(complete) = self.pending.take()
        {
            self.write(complete)?;
        }
        self.start_barrier()
    }

    /// Waits until the epoch being written is done; whether it was the last.
    pub async fn settle(&mut self) -> Result<bool> {
        if self.writing.is_none() {
            return Ok(false);
        }
        let done = written(&mut self.writing).await;
        self.on_written(done)
    }

    /// Whether an epoch is being written.
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// The newest committed epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Starts a barrier if one is wanted and none is under way.
    fn start_barrier(&mut self) -> Result<()> {
        if !self.want || self.pending.is_some() || self.writing.is_some() {
            return Ok(());
        }
        self.want = false;
        let epoch = self.epoch.next();
        let whole = self.stores.as_ref().is_none_or(|stores| stores.chain.wants_whole());
        let sources = 0..self.from.pipeline.sources.len();
        for ingest in &self.from.ingest {
            ingest.send(Control::Barrier { epoch, whole }).map_err(|_| stopped())?;
        }
        let lanes = 0..self.from.lanes;
        let lanes = sources.clone().flat_map(|s| lanes.clone().map(move |l| (l, s)));
        self.pending = Some(Pending {
            epoch,
            phase: self.phase,
            lanes: lanes.collect(),
            sources: sources.collect(),
            state: Vec::new(),
            admission: Vec::new(),
            held: Vec::new(),
        });
        Ok(())
    }

    /// Puts a message where it belongs: this epoch, the next one, or the barrier.
    fn take(&mut self, message: CommitMessage) -> Result<()> {
        match message {
            CommitMessage::Failed { who, error } => Err(error.context(who)),
            CommitMessage::LaneBarrier { lane, source, epoch, state } => {
                let barrier = expected(&mut self.pending, epoch)?;
                assert!(barrier.lanes.remove(&(lane, source)), "a lane passes a barrier once");
                barrier.state.extend(state.into_iter().map(|cell| (lane, cell)));
                Ok(())
            }
            CommitMessage::IngestBarrier { source, epoch, admission, partitions } => {
                let barrier = expected(&mut self.pending, epoch)?;
                assert!(barrier.sources.remove(&source), "a source passes a barrier once");
                barrier.admission.push((source, partitions, admission));
                Ok(())
            }
            rows => {
                let early = failpoint::broken("rows behind the barrier belong to this epoch");
                let passed = |barrier: &&mut Pending| barrier.passed(&self.from.pipeline, &rows);
                if let Some(barrier) = self.pending.as_mut().filter(passed).filter(|_| !early) {
                    barrier.held.push(rows);
                    return Ok(());
                }
                match &mut self.stores {
                    Some(stores) => stores.outputs.push(rows),
                    None => {
                        self.held_bytes += rows.bytes();
                        self.held.push(rows);
                        Ok(())
                    }
                }
            }
        }
    }

    /// A complete barrier is written as an epoch, beside the stream.
    fn write(&mut self, complete: Pending) -> Result<()> {
        let Pending { epoch, phase, state, admission, held, .. } = complete;
        let pipeline = self.from.pipeline.clone();
        for (_, cell) in &state {
            let source = &pipeline.sources[pipeline.groups[cell.id.group].source].def.name;
            self.from.homes.check(source, cell.id, &cell.snapshot)?;
        }
        self.held = held;
        let Some(stores) = self.stores.take() else {
            return Err(Error::internal("two epochs are written at once"));
        };
        let last = matches!(phase, Phase::Stopping(Stop::Checkpoint) | Phase::Finalising);
        let sources = self.from.progress.sources.iter();
        let cut = saved::Cut {
            epoch,
            generation: self.from.generation,
            pipeline,
            state,
            admission,
            read_at: sources.map(|source| source.newest_read_at.load(Relaxed)).collect(),
            parked: self.parked.clone(),
            ended: phase == Phase::Finalising,
        };
        let began = clock::monotonic();
        let progress = self.from.progress.clone();
        let task = async move {
            let mut stores = stores;
            let result = write(&mut stores, cut, last).await;
            if result.is_ok() {
                let took = began.elapsed().as_micros() as u64;
                progress.checkpoint_us.store(took, Relaxed);
            }
            (stores, result)
        };
        let task = Task::Waiting(Box::pin(task));
        let asked = std::mem::take(&mut self.asked);
        self.writing = Some(Writing { epoch, phase, asked, task });
        Ok(())
    }

    /// An epoch is written, or could not be. Whether it was the last.
    fn on_written(&mut self, written: Written) -> Result<bool> {
        let (epoch, phase, asked, (stores, result)) = written;
        result?;
        self.epoch = epoch;
        self.from.progress.epoch.store(epoch.0, Relaxed);
        self.from.progress.checkpoint_at.store(clock::wall_now().0, Relaxed);
        self.from.progress.checkpoint_bytes.store(stores.chain.bytes(), Relaxed);
        self.from.progress.checkpoint_written.store(stores.chain.newest_bytes(), Relaxed);
        tracing::debug!(epoch = epoch.0, "checkpoint committed");
        self.stores = Some(stores);
        self.held_bytes = 0;
        for message in std::mem::take(&mut self.held) {
            self.take(message)?;
        }
        for reply in asked {
            // A caller that went away is no error.
            let _ = reply.send(Ok(epoch));
        }
        match phase {
            Phase::Stopping(Stop::Checkpoint) | Phase::Finalising => return Ok(true),
            Phase::Stopping(Stop::Finalise) => {
                for ingest in &self.from.ingest {
                    ingest.send(Control::Finish).map_err(|_| stopped())?;
                }
                self.phase = Phase::Finalising;
                self.want = true;
            }
            Phase::Running => {}
        }
        self.start_barrier()?;
        Ok(false)
    }
}

/// Outputs staged, state and manifest durable, outputs published.
async fn write(stores: &mut Stores, cut: saved::Cut, everything: bool) -> Result<()> {
    let prepared = match stores.outputs.prepare(cut.epoch, everything).await {
        Ok(prepared) => prepared,
        Err(error) => return Err(stores.checkpoints.overtaken_or(error, cut.generation).await),
    };
    let chain = &stores.chain;
    let carried = stores.outputs.carried(|id| chain.wants_whole_rows(&cut.pipeline, id));
    stores.chain.go_on_with(&cut.pipeline, &carried);
    let chain = stores.chain.clone();
    let draft = move || saved::draft(cut, &carried, prepared, &chain);
    let draft = tokio::task::spawn_blocking(draft).await;
    let draft = draft.map_err(|e| Error::internal(format!("encoding state: {e}")))??;
    let adds: Vec<bool> = draft.state.iter().map(|part| part.adds).collect();
    let written = stores.checkpoints.commit(draft).await?;
    stores.chain.extend(&adds, written);
    Ok(())
}

type Written = (Epoch, Phase, Vec<oneshot::Sender<Result<Epoch>>>, Done);

impl Writing {
    /// Lets the work go on by itself.
    fn spawn(&mut self) {
        let nothing = Task::Waiting(Box::pin(std::future::pending()));
        self.task = match std::mem::replace(&mut self.task, nothing) {
            Task::Waiting(work) => Task::Spawned(tokio::spawn(work)),
            spawned @ Task::Spawned(_) => spawned,
        };
    }
}

/// The outcome of the epoch being written; for ever pending if there is none.
async fn written(writing: &mut Option<Writing>) -> Written {
    let Some(current) = writing else { return std::future::pending().await };
    let done = match &mut current.task {
        Task::Waiting(work) => work.await,
        Task::Spawned(task) => match task.await {
            Ok(done) => done,
            // A panic in the task is one of this thread.
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        },
    };
    match writing.take() {
        Some(Writing { epoch, phase, asked, .. }) => (epoch, phase, asked, done),
        None => std::future::pending().await,
    }
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
