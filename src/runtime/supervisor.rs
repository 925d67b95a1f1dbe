//! Starts the threads of an engine, answers questions while they run, and stops them in order.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use crossbeam_channel::{Receiver, Sender};
use tokio::sync::{mpsc, oneshot, watch};

use crate::checkpoint::store::CheckpointStore;
use crate::error::{Error, Result};
use crate::limits::LANE_QUEUE;
use crate::model::batch::Position;
use crate::model::epoch::Epoch;
use crate::model::key::{KEY_GROUPS, Shard};
use crate::model::time::EventTime;
use crate::operator::answer::Answered;
use crate::operator::operator::Bound;
use crate::runtime::committer::{Committer, CommitterStart, Request, Stop, Stores};
use crate::runtime::exchange::{group_of, lane_of};
use crate::runtime::ingest::{Control, IngestTask};
use crate::runtime::lane::{CellId, Lane};
use crate::runtime::online::{OnlineTask, Reseed, Target};
use crate::runtime::outputs::Outputs;
use crate::runtime::partitioning::KeyHomes;
use crate::runtime::pipeline::Pipeline;
use crate::runtime::progress::Progress;
use crate::runtime::saved::{Chain, Parked};
use crate::runtime::task::{CommitMessage, CurrentRows, LaneMessage, LaneTask, Question};
use crate::source::admit::{AdmissionState, PartitionState};
use crate::source::intake::Intake;
use crate::source::source::Source;
use crate::state::snapshot::Snapshot;

/// A source opened at its start positions.
pub struct OpenSource {
    pub source: Box<dyn Source>,
    pub intake: Intake,
    /// Stop reading at these ends (exclusive).
    pub until: Option<Vec<Position>>,
    pub rate: Option<u64>,
    /// Where reading starts.
    pub starts: Vec<Position>,
    /// The ends seen at the start (exclusive): read this far, the source is caught up.
    pub targets: Vec<Position>,
    /// Up to these positions rows may be in online stores already.
    pub hold: Vec<Position>,
}

impl OpenSource {
    /// What a checkpoint before the first record says.
    pub fn start(&self) -> (usize, AdmissionState) {
        let mut admission = self.intake.admission().snapshot();
        for start in &self.starts {
            if !admission.partitions.iter().any(|p| p.partition == start.partition) {
                admission.partitions.push(PartitionState {
                    partition: start.partition,
                    next_offset: start.offset,
                    ..PartitionState::default()
                });
            }
        }
        admission.partitions.sort_by_key(|p| p.partition);
        (self.starts.len(), admission)
    }
}

/// Everything an engine starts from.
pub struct Start {
    pub pipeline: Arc<Pipeline>,
    /// By number of the source.
    pub sources: Vec<OpenSource>,
    /// State of groups, whole shards each.
    pub state: Vec<(CellId, Snapshot)>,
    pub outputs: Outputs,
    pub targets: HashMap<usize, Target>,
    pub checkpoints: CheckpointStore,
    pub epoch: Epoch,
    pub parked: Parked,
    pub generation: u64,
    pub lanes: usize,
    pub checkpoint_interval: Duration,
    pub at_end: Option<Stop>,
}

/// A running engine.
pub struct Running {
    pub pipeline: Arc<Pipeline>,
    pub progress: Arc<Progress>,
    requests: mpsc::Sender<Request>,
    pub(super) questions: Vec<Sender<Question>>,
    ends: Mutex<Option<Ends>>,
    stopping: watch::Sender<bool>,
    stop: Arc<AtomicBool>,
}

/// What is waited for when an engine stops.
struct Ends {
    threads: Vec<JoinHandle<()>>,
    online: tokio::task::JoinHandle<()>,
    committer: tokio::task::JoinHandle<Result<Epoch>>,
}

/// Messages between lanes and the committer before lanes have to wait.
const COMMIT_QUEUE: usize = 64;
/// Batches of current values before lanes have to wait.
const ONLINE_QUEUE: usize = 16;

/// Starts an engine on the current Tokio runtime.
pub fn start(from: Start) -> Result<Running> {
    let names = (from.pipeline.source_names(), from.pipeline.feature_names());
    let progress = Arc::new(Progress::new(&names.0, &names.1, from.lanes));
    progress.epoch.store(from.epoch.0, Relaxed);
    let stop = Arc::new(AtomicBool::new(false));
    let (commit, messages) = mpsc::channel(COMMIT_QUEUE);
    let (current, rows) = mpsc::channel(ONLINE_QUEUE);
    let (stopping, stopping_seen) = watch::channel(false);
    let (requests, requested) = mpsc::channel(8);
    let mut threads = Vec::new();
    let mut homes = KeyHomes::new(from.pipeline.groups.clone());
    for (id, snapshot) in &from.state {
        let source = from.pipeline.groups[id.group].source;
        homes.check(&from.pipeline.sources[source].def.name, *id, snapshot)?;
    }
    let lanes = restored_lanes(&from.pipeline, from.lanes, &from.state)?;
    let (work, questions) =
        spawn_lanes(lanes, &from.pipeline, &commit, &current, &progress, &mut threads)?;
    let ingest = spawn_sources(
        from.sources,
        &from.pipeline,
        &work,
        &commit,
        &progress,
        &stop,
        &mut threads,
    )?;
    drop((current, work));
    let online = OnlineTask {
        targets: from.targets,
        rows,
        progress: progress.clone(),
        generation: from.generation,
        stopping: stopping_seen,
        commit: commit.downgrade(),
        written: HashMap::new(),
        reseed: Reseed::new(ingest.clone()),
    };
    drop(commit);
    let committer = CommitterStart {
        pipeline: from.pipeline.clone(),
        lanes: from.lanes,
        ingest,
        progress: progress.clone(),
        generation: from.generation,
        epoch: from.epoch,
        parked: from.parked,
        homes,
        at_end: from.at_end,
    };
    let (outputs, checkpoints) = (from.outputs, from.checkpoints);
    let stores = Stores { outputs, checkpoints, chain: Chain::default() };
    let committer = Committer::new(committer, stores);
    let committer = committer.run(messages, requested, from.checkpoint_interval);
    Ok(Running {
        pipeline: from.pipeline,
        progress,
        requests,
        questions,
        ends: Mutex::new(Some(Ends {
            threads,
            online: tokio::spawn(online.run()),
            committer: tokio::spawn(committer),
        })),
        stopping,
        stop,
    })
}

/// Lanes with their part of the saved state: tables go where their shard lives now.
fn restored_lanes(
    pipeline: &Pipeline,
    count: usize,
    state: &[(CellId, Snapshot)],
) -> Result<Vec<Lane>> {
    let mut lanes = Vec::with_capacity(count);
    for index in 0..count {
        let mut lane = Lane::new(pipeline.groups.clone());
        for (id, snapshot) in state {
            if pipeline.groups[id.group].by_partition {
                if id.partition as usize % count == index {
                    lane.restore(*id, snapshot)?;
                }
                continue;
            }
            let mine = |shard: &Shard| match shard {
                Shard::KeyGroup(group) => lane_of(*group, count) == index,
                Shard::Partition(_) => index == 0,
            };
            let tables = snapshot.tables.iter().filter(|t| mine(&t.shard)).cloned().collect();
            // Where partitions were kept apart before, their keys go to the lanes of their groups.
            let id = CellId { group: id.group, partition: 0 };
            lane.restore(id, &Snapshot { tables, ..snapshot.clone() })?;
        }
        lanes.push(lane);
    }
    assert!(count <= KEY_GROUPS, "more lanes than key groups");
    Ok(lanes)
}

type LaneEnds = (Vec<Sender<LaneMessage>>, Vec<Sender<Question>>);

fn spawn_lanes(
    lanes: Vec<Lane>,
    pipeline: &Pipeline,
    commit: &mpsc::Sender<CommitMessage>,
    online: &mpsc::Sender<CurrentRows>,
    progress: &Arc<Progress>,
    threads: &mut Vec<JoinHandle<()>>,
) -> Result<LaneEnds> {
    let (mut work_ends, mut question_ends) = (Vec::new(), Vec::new());
    for (index, lane) in lanes.into_iter().enumerate() {
        let (work_end, work) = crossbeam_channel::bounded(LANE_QUEUE);
        let (question_end, questions) = crossbeam_channel::unbounded();
        let sources: BTreeSet<usize> = (0..pipeline.sources.len()).collect();
        let task = LaneTask {
            index,
            lane,
            work,
            questions,
            commit: commit.clone(),
            online: online.clone(),
            progress: progress.clone(),
            sources,
        };
        let thread = std::thread::Builder::new().name(format!("lane-{index}"));
        threads.push(thread.spawn(move || task.run())?);
        work_ends.push(work_end);
        question_ends.push(question_end);
    }
    Ok((work_ends, question_ends))
}

fn spawn_sources(
    sources: Vec<OpenSource>,
    pipeline: &Pipeline,
    lanes: &[Sender<LaneMessage>],
    commit: &mpsc::Sender<CommitMessage>,
    progress: &Arc<Progress>,
    stop: &Arc<AtomicBool>,
    threads: &mut Vec<JoinHandle<()>>,
) -> Result<Vec<Sender<Control>>> {
    let mut controls = Vec::new();
    for (number, open) in sources.into_iter().enumerate() {
        let (control_end, control): (_, Receiver<Control>) = crossbeam_channel::unbounded();
        let of = &pipeline.sources[number];
        let targets = open.targets.iter().map(|end| (end.partition, end.offset));
        progress.sources[number].set_targets(targets);
        progress.sources[number].lag.set_starts(&open.starts);
        let task = IngestTask {
            number,
            source: open.source,
            intake: open.intake,
            groups: pipeline.groups.clone(),
            own: of.groups.clone(),
            lanes: lanes.to_vec(),
            commit: commit.clone(),
            control,
            archive: of.def.options.archive,
            until: open.until,
            progress: progress.clone(),
            stop: stop.clone(),
            rate: open.rate,
            hold: open.hold,
        };
        let thread = std::thread::Builder::new().name(format!("source-{}", of.def.name));
        threads.push(thread.spawn(move || task.run())?);
        controls.push(control_end);
    }
    Ok(controls)
}

impl Running {
    /// Begins to stop; `wait` tells when it is done.
    pub async fn stop(&self, how: Stop) -> Result<()> {
        // The engine may have stopped by itself meanwhile.
        let _ = self.requests.send(Request::Stop(how)).await;
        Ok(())
    }

    /// Commits now.
    pub async fn checkpoint(&self) -> Result<Epoch> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Checkpoint(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Whether the engine has stopped, or is about to, by itself or by a failure.
    pub fn is_finished(&self) -> bool {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.as_ref().is_none_or(|ends| ends.committer.is_finished())
    }

    /// Waits for the end, once: the last epoch, or why the engine failed.
    pub async fn wait(&self) -> Result<Epoch> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(ends) = ends else { return Err(gone()) };
        let result = ends.committer.await;
        self.stop.store(true, Relaxed);
        self.stopping.send_replace(true);
        let joined = tokio::task::spawn_blocking(move || {
            // Every thread is joined, also behind one that panicked.
            let ended: Vec<bool> = ends.threads.into_iter().map(|t| t.join().is_ok()).collect();
            ended.into_iter().all(|well| well)
        });
        let all_well = joined.await.unwrap_or(false);
        // Its queue is closed now; what it still holds is written or reported.
        let written = ends.online.await.is_ok();
        match result {
            Ok(result) if all_well && written => result,
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) => Err(Error::internal("a thread of the engine panicked")),
            Err(panic) => Err(Error::internal(format!("the committer panicked: {panic}"))),
        }
    }

    /// `f(key, t)` of a feature for one key: a one-row batch of its output columns.
    pub async fn probe(
        &self,
        feature: usize,
        keys: Vec<ArrayRef>,
        at: EventTime,
        bound: Bound,
    ) -> Result<Answered> {
        let of = &self.pipeline.features[feature];
        let group = &self.pipeline.groups[of.group];
        let reader = group.group.members[of.member].reader(&group.group.window);
        let lanes = self.questions.len();
        let mut homes = vec![(0, CellId { group: of.group, partition: 0 })];
        if group.by_partition {
            // The key says nothing about its partition: ask every cell.
            let partitions = self.progress.sources[of.source].partitions().into_keys();
            homes = partitions
                .map(|p| (p as usize % lanes, CellId { group: of.group, partition: p }))
                .collect();
        } else {
            homes[0].0 = lane_of(group_of(&keys, 0)?, lanes);
        }
        let mut found = None;
        for (lane, cell) in homes {
            let (reply, answer) = oneshot::channel();
            let (keys, times) = (keys.clone(), vec![at]);
            let question = Question::Probe { cell, keys, times, bound, reply };
            self.questions[lane].send(question).map_err(|_| gone())?;
            let probed = answer.await.map_err(|_| gone())??;
            let answered = reader.answer(&probed, &[at])?;
            let known = answered.is_known();
            if found.is_none() || known {
                found = Some(answered);
            }
            if known {
                break;
            }
        }
        found.ok_or_else(|| Error::unavailable("no partition has been read yet"))
    }

    /// The output rows of all keys of a feature at one time.
    pub async fn probe_all(&self, feature: usize, at: EventTime) -> Result<Vec<RecordBatch>> {
        let of = &self.pipeline.features[feature];
        let group = &self.pipeline.groups[of.group].group;
        let reader = group.members[of.member].reader(&group.window);
        let mut all = Vec::new();
        for lane in &self.questions {
            let (reply, answer) = oneshot::channel();
            let question = Question::ProbeAll { group: of.group, at, reply };
            lane.send(question).map_err(|_| gone())?;
            for result in answer.await.map_err(|_| gone())?? {
                all.push(reader.present(&result, at)?);
            }
        }
        Ok(all)
    }
}

/// The error of a question to an engine that is no more.
pub(super) fn gone() -> Error {
    Error::unavailable("the engine has stopped")
}
