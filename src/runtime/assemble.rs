//! The parts of an engine, connected and not yet running: `supervisor` gives each a thread or a
//! task, `step` moves them one at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::sync::{mpsc, watch};

use crate::catalog::source::{Connector, SourceDef};
use crate::checkpoint::manifest::Manifest;
use crate::checkpoint::store::CheckpointStore;
use crate::clock;
use crate::error::Result;
use crate::failpoint;
use crate::limits::LANE_QUEUE;
use crate::model::batch::Position;
use crate::model::epoch::Epoch;
use crate::model::key::{KEY_GROUPS, Shard};
use crate::model::time::EventTime;
use crate::runtime::committer::{Committer, CommitterStart, Stop, Stores};
use crate::runtime::exchange::lane_of;
use crate::runtime::idle::IdleWatch;
use crate::runtime::ingest::{Control, IngestTask, Stage};
use crate::runtime::lane::{CellId, Lane};
use crate::runtime::online::{OnlineTask, Reseed, Target};
use crate::runtime::outputs::Outputs;
use crate::runtime::partitioning::KeyHomes;
use crate::runtime::pipeline::Pipeline;
use crate::runtime::progress::Progress;
use crate::runtime::refresh::RefreshPace;
use crate::runtime::saved::{self, Chain, Parked};
use crate::runtime::task::{CommitMessage, CurrentRows, LaneMessage, LaneTask, Question};
use crate::source::admit::{AdmissionState, Compute, Judgement, PartitionState};
use crate::source::growth::resume;
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
    /// Values in online stores may hold for serving times up to this one.
    pub refreshed: Option<EventTime>,
    /// When its newest record was read, µs of wall time.
    pub read_at: Option<i64>,
}

/// How a source is opened.
pub struct Opening<'a> {
    pub def: Arc<SourceDef>,
    /// Evaluates its computed columns.
    pub compute: Option<Compute>,
    pub manifest: Option<&'a Manifest>,
    /// Stop at the ends seen now.
    pub until_end: bool,
}

impl OpenSource {
    /// Positions a source where the manifest left it, or at its start. Blocks.
    pub fn open(mut source: Box<dyn Source>, opening: Opening<'_>) -> Result<Self> {
        let Opening { def, compute, manifest, until_end } = opening;
        let mut intake = Intake::new(def.clone(), Judgement::Stream, compute)?;
        if let Some(manifest) = manifest {
            saved::refuse_repartitioned(manifest, &def, source.partitions().len())?;
        }
        let state = manifest.map(|m| saved::admission(m, &def.name)).transpose()?.flatten();
        let mut starts = resume(&def, source.as_mut(), intake.admission_mut(), state.as_ref())?;
        if state.is_some() {
            for start in &mut starts {
                start.offset += i64::from(failpoint::broken("restart one record later"));
                start.offset -= i64::from(failpoint::broken("restart one record earlier"));
            }
        }
        if failpoint::broken("restart without the admission state") {
            intake.admission_mut().restore(&AdmissionState::default());
        }
        let until = until_end.then(|| source.ends()).transpose()?;
        // What is there now must be read before the engine is ready. Files have no cheap end.
        let targets = match def.options.connector {
            Connector::Kafka => source.ends()?,
            Connector::File | Connector::Datagen => Vec::new(),
        };
        source.seek(&starts)?;
        let rate = def.options.datagen_rate;
        let read_at = manifest.and_then(|m| m.sources.get(&def.name)?.read_at);
        let (hold, refreshed) = (Vec::new(), None);
        Ok(Self { source, intake, until, rate, starts, targets, hold, refreshed, read_at })
    }

    /// Says up to which positions rows may be in online stores already.
    pub fn hold_until(&mut self, positions: &[Position]) {
        // Beyond the end there is nothing to wait for: the log has been cut.
        let within = |position: &Position| {
            let end = self.targets.iter().find(|end| end.partition == position.partition);
            let offset = end.map_or(position.offset, |end| end.offset.min(position.offset));
            Position { offset, ..*position }
        };
        self.hold = positions.iter().map(within).collect();
    }

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
    pub targets: BTreeMap<usize, Target>,
    pub checkpoints: CheckpointStore,
    pub epoch: Epoch,
    pub parked: Parked,
    pub generation: u64,
    pub lanes: usize,
    pub checkpoint_interval: Duration,
    pub at_end: Option<Stop>,
}

/// How much waits between the parts before the sender has to.
#[derive(Clone, Copy, Debug)]
pub struct Queues {
    /// Messages for one lane.
    pub lane: usize,
    /// Messages for the committer.
    pub commit: usize,
    /// Batches of current values.
    pub online: usize,
}

/// For parts that run beside each other.
pub const QUEUES: Queues = Queues { lane: LANE_QUEUE, commit: 64, online: 16 };

/// The parts of an engine.
pub struct Parts {
    /// By number of the source.
    pub ingest: Vec<IngestTask>,
    pub lanes: Vec<LaneTask>,
    pub committer: Committer,
    /// What the committer is told.
    pub messages: mpsc::Receiver<CommitMessage>,
    pub online: OnlineTask,
    /// To each lane.
    pub questions: Vec<Sender<Question>>,
    pub progress: Arc<Progress>,
    pub stopping: watch::Sender<bool>,
    pub stop: Arc<AtomicBool>,
}

/// Connects the parts; state is restored, nothing runs yet.
pub fn assemble(from: Start, queues: Queues) -> Result<Parts> {
    let names = (from.pipeline.source_names(), from.pipeline.feature_names());
    let progress = Progress::new(&names.0, &names.1, from.lanes);
    let progress = Arc::new(progress.with_groups(&from.pipeline.group_names()));
    progress.epoch.store(from.epoch.0, Relaxed);
    let stop = Arc::new(AtomicBool::new(false));
    let (commit, messages) = mpsc::channel(queues.commit);
    let (current, rows) = mpsc::channel(queues.online);
    let (stopping, stopping_seen) = watch::channel(false);
    let mut homes = KeyHomes::new(from.pipeline.groups.clone());
    for (id, snapshot) in &from.state {
        let source = from.pipeline.groups[id.group].source;
        homes.check(&from.pipeline.sources[source].def.name, *id, snapshot)?;
    }
    let ends = Ends { commit, current, progress: progress.clone(), stop: stop.clone() };
    let lanes = restored_lanes(&from.pipeline, from.lanes, &from.state)?;
    let (mut lanes, work, questions) = lane_tasks(lanes, &from.pipeline, queues, &ends);
    for (number, open) in from.sources.iter().enumerate() {
        let newest = saved::newest_event(&open.intake.admission().snapshot());
        progress.sources[number].resume_time(newest, open.read_at, open.refreshed);
        if let Some(at) = open.refreshed {
            lanes.iter_mut().for_each(|task| task.lane.refresh(number, at));
        }
    }
    let (ingest, controls) = ingest_tasks(from.sources, &from.pipeline, &work, &ends);
    let commit = ends.commit;
    if !from.state.is_empty() && !from.targets.is_empty() {
        touch_all(&controls);
    }
    let online = OnlineTask {
        targets: from.targets,
        rows,
        progress: progress.clone(),
        generation: from.generation,
        stopping: stopping_seen,
        commit: commit.downgrade(),
        written: HashMap::new(),
        refreshed: HashMap::new(),
        reseed: Reseed::new(controls.clone()),
        sequence: 0,
        given_up: false,
    };
    let committer = CommitterStart {
        pipeline: from.pipeline,
        lanes: from.lanes,
        ingest: controls,
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
    Ok(Parts { ingest, lanes, committer, messages, online, questions, progress, stopping, stop })
}

/// What lanes and ingest tasks talk to.
struct Ends {
    commit: mpsc::Sender<CommitMessage>,
    current: mpsc::Sender<CurrentRows>,
    progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
}

type Lanes = (Vec<LaneTask>, Vec<Sender<LaneMessage>>, Vec<Sender<Question>>);

fn lane_tasks(lanes: Vec<Lane>, pipeline: &Pipeline, queues: Queues, ends: &Ends) -> Lanes {
    let (mut tasks, mut work, mut questions) = (Vec::new(), Vec::new(), Vec::new());
    for (index, lane) in lanes.into_iter().enumerate() {
        let (work_end, work_of_lane) = crossbeam_channel::bounded(queues.lane);
        let (question_end, asked) = crossbeam_channel::unbounded();
        tasks.push(LaneTask {
            index,
            lane,
            work: work_of_lane,
            questions: asked,
            commit: ends.commit.clone(),
            online: ends.current.clone(),
            progress: ends.progress.clone(),
            sources: (0..pipeline.sources.len()).collect(),
        });
        work.push(work_end);
        questions.push(question_end);
    }
    (tasks, work, questions)
}

fn ingest_tasks(
    sources: Vec<OpenSource>,
    pipeline: &Pipeline,
    lanes: &[Sender<LaneMessage>],
    ends: &Ends,
) -> (Vec<IngestTask>, Vec<Sender<Control>>) {
    let (mut tasks, mut controls) = (Vec::new(), Vec::new());
    for (number, open) in sources.into_iter().enumerate() {
        let (control_end, control) = crossbeam_channel::unbounded();
        let of = &pipeline.sources[number];
        let targets = open.targets.iter().map(|end| (end.partition, end.offset));
        ends.progress.sources[number].set_targets(targets);
        ends.progress.sources[number].lag.set_starts(&open.starts);
        let admission = open.intake.admission();
        ends.progress.sources[number].begin(&open.starts, |p| admission.watermark(p));
        tasks.push(IngestTask {
            number,
            source: open.source,
            intake: open.intake,
            groups: pipeline.groups.clone(),
            own: of.groups.clone(),
            lanes: lanes.to_vec(),
            commit: ends.commit.clone(),
            control,
            archive: of.def.options.archive,
            until: open.until,
            progress: ends.progress.clone(),
            stop: ends.stop.clone(),
            rate: open.rate,
            hold: open.hold,
            refresh: RefreshPace::of(pipeline, number),
            idle: IdleWatch::of(&of.def),
            stage: Stage::Reading,
            rows_read: 0,
            started: clock::monotonic(),
        });
        controls.push(control_end);
    }
    (tasks, controls)
}

/// Values on their way to a store when an engine died are in no checkpoint, and their keys may
/// never be touched again; nor can a store tell what it lost while no engine ran. So everything
/// restored is written once more (semantics §5 allows repeats).
fn touch_all(sources: &[Sender<Control>]) {
    if failpoint::broken("trust the stores after a restart") {
        return;
    }
    for source in sources {
        // The other end is in this very function's caller.
        let _ = source.send(Control::Touch);
    }
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
