//! The drivers: one log, one set of features, run as history (`batch`) or as a stream, stepped
//! by seeded choices on one thread: who reads how much, which lane moves next, when a cut is
//! taken, when the engine dies and continues from it with another number of lanes. They call the
//! engine's own pieces and nothing of the oracles.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use skewless::batch::feature_exec::FeatureExec;
use skewless::catalog::source::SourceDef;
use skewless::error::Result;
use skewless::model::key::Shard;
use skewless::model::time::EventTime;
use skewless::plan::dataflow::FeaturePlan;
use skewless::runtime::exchange::{lane_of, split};
use skewless::runtime::lane::{CellId, Lane, LaneGroup, Outlet};
use skewless::source::admit::{AdmissionState, Admitted, Compute, Counts, Judgement};
use skewless::source::intake::Intake;
use skewless::state::overlay::overlay;
use skewless::state::snapshot::Snapshot;

use super::log::Partition;
use super::rng::Rng;

/// One source's log and how to read it.
#[derive(Clone)]
pub struct Input {
    pub def: Arc<SourceDef>,
    pub compute: Option<Compute>,
    pub partitions: Vec<Partition>,
}

/// What came out of a run.
#[derive(Default)]
pub struct Outcome {
    /// Final rows per feature.
    pub finals: Vec<Vec<RecordBatch>>,
    pub admitted: Vec<RecordBatch>,
    pub dead: Vec<RecordBatch>,
    pub counts: Counts,
}

/// A deliberate fault: a test that cannot fail proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    None,
    /// Admission allows a microsecond more.
    Delay,
    /// A batch does not reach its lane.
    LostBatch,
    /// A restored lane starts without its state.
    LostState,
    /// What was put out after the cut stays.
    KeptOutput,
}

impl Sabotage {
    pub const FAULTS: [Self; 4] = [Self::Delay, Self::LostBatch, Self::LostState, Self::KeptOutput];
}

/// How a stream is stepped.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    pub lanes: usize,
    /// Records read at a time: 1 to this.
    pub chunk_max: usize,
    /// How many times the engine dies and continues from its last cut.
    pub restores: usize,
    pub sabotage: Sabotage,
}

impl Input {
    fn intake(&self) -> Result<Intake> {
        Intake::new(self.def.clone(), Judgement::Stream, self.compute.clone())
    }
}

/// Everything a log admits, partition after partition.
pub fn admit(input: &Input, outcome: &mut Outcome) -> Result<()> {
    let mut intake = input.intake()?;
    for (p, partition) in input.partitions.iter().enumerate() {
        if partition.len() > 0 {
            let bytes_max = input.def.options.message_bytes_max;
            let chunk = partition.chunk(p as u32, 0, partition.len(), bytes_max);
            let mut admitted = Vec::new();
            intake.take(&chunk, &mut admitted)?;
            for one in admitted {
                outcome.receive(one);
            }
        }
    }
    Ok(())
}

impl Outcome {
    fn receive(&mut self, admitted: Admitted) -> RecordBatch {
        self.counts.add(&admitted.counts);
        self.dead.extend(admitted.dead);
        if admitted.rows.num_rows() > 0 {
            self.admitted.push(admitted.rows.clone());
        }
        admitted.rows
    }
}

/// The features over history: scan → prepare → shuffle → sort → operator.
pub async fn batch(
    input: &Input,
    plans: &[&FeaturePlan],
    partitions: usize,
    batch_size: usize,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    admit(input, &mut outcome)?;
    let config = SessionConfig::new().with_batch_size(batch_size);
    let context = SessionContext::new_with_config(config);
    for plan in plans {
        let mut scans: Vec<Vec<RecordBatch>> = vec![Vec::new(); partitions];
        for (i, rows) in outcome.admitted.iter().enumerate() {
            let mut from = 0;
            while from < rows.num_rows() {
                let length = batch_size.min(rows.num_rows() - from);
                let step = plan.preparation.evaluate(&rows.slice(from, length))?;
                scans[(i + from) % partitions].push(step);
                from += length;
            }
        }
        let schema = plan.preparation.projection.schema.clone();
        let scan = MemorySourceConfig::try_new_exec(&scans, schema, None)?;
        let exec = FeatureExec::over(
            &plan.feature,
            scan,
            plan.window.clone(),
            plan.output.clone(),
            partitions,
        )?;
        outcome.finals.push(collect(exec, context.task_ctx()).await?);
    }
    Ok(outcome)
}

enum Message {
    Rows(CellId, RecordBatch),
    Watermark(CellId, EventTime),
}

/// A consistent cut.
#[derive(Clone)]
struct Cut {
    read: Vec<usize>,
    admission: AdmissionState,
    state: Vec<(CellId, Snapshot)>,
    finals: Vec<usize>,
    admitted: usize,
    dead: usize,
    counts: Counts,
}

struct Finals<'a>(&'a mut Vec<Vec<RecordBatch>>);

impl Outlet for Finals<'_> {
    fn finals(&mut self, feature: usize, rows: RecordBatch) -> Result<()> {
        self.0[feature].push(rows);
        Ok(())
    }

    fn current(&mut self, _: usize, _: RecordBatch) -> Result<()> {
        Ok(())
    }
}

struct Stream<'a> {
    input: &'a Input,
    groups: Arc<Vec<LaneGroup>>,
    intake: Intake,
    lanes: Vec<Lane>,
    queues: Vec<VecDeque<Message>>,
    read: Vec<usize>,
    watermarks: BTreeMap<usize, EventTime>,
    /// What checkpoints have written of each cell: all of it, then changes.
    chains: BTreeMap<(usize, CellId), Vec<Snapshot>>,
    outcome: Outcome,
    steps: Steps,
}

/// The features over the log as a stream, to its end.
pub fn stream(
    input: &Input,
    groups: &Arc<Vec<LaneGroup>>,
    features: usize,
    steps: Steps,
    rng: &mut Rng,
) -> Result<Outcome> {
    let mut run = Stream {
        input,
        groups: groups.clone(),
        intake: input.intake()?,
        lanes: (0..steps.lanes).map(|_| Lane::new(groups.clone())).collect(),
        queues: (0..steps.lanes).map(|_| VecDeque::new()).collect(),
        read: vec![0; input.partitions.len()],
        watermarks: BTreeMap::new(),
        chains: BTreeMap::new(),
        outcome: Outcome { finals: vec![Vec::new(); features], ..Outcome::default() },
        steps,
    };
    let mut deaths = steps.restores;
    let mut cut = run.cut(rng)?;
    while let Some(partition) = run.choose(rng) {
        run.read_some(partition, rng)?;
        while rng.one_in(2) {
            run.move_a_lane(rng)?;
        }
        if deaths > 0 && rng.one_in(2) {
            cut = run.cut(rng)?;
        }
        if deaths > 0 && rng.one_in(6) {
            deaths -= 1;
            run.restore(&cut, rng)?;
        }
    }
    run.drain()?;
    if deaths > 0 {
        cut = run.cut(rng)?;
        run.restore(&cut, rng)?;
    }
    run.finish()?;
    Ok(run.outcome)
}

impl Stream<'_> {
    /// A partition that still has records.
    fn choose(&self, rng: &mut Rng) -> Option<usize> {
        let all = self.input.partitions.iter().zip(&self.read).enumerate();
        let left: Vec<usize> =
            all.filter(|(_, (p, read))| **read < p.len()).map(|(i, _)| i).collect();
        (!left.is_empty()).then(|| *rng.pick(&left))
    }

    fn read_some(&mut self, partition: usize, rng: &mut Rng) -> Result<()> {
        let from = self.read[partition];
        let left = self.input.partitions[partition].len() - from;
        let to = from + (1 + rng.below(self.steps.chunk_max)).min(left);
        let bytes_max = self.input.def.options.message_bytes_max;
        let chunk = self.input.partitions[partition].chunk(partition as u32, from, to, bytes_max);
        self.read[partition] = to;
        let mut admitted = Vec::new();
        self.intake.take(&chunk, &mut admitted)?;
        for one in admitted {
            self.watermarks.insert(partition, one.watermark);
            let rows = self.outcome.receive(one);
            self.hand_on(partition as u32, &rows)?;
        }
        self.send_watermarks(false);
        Ok(())
    }

    fn hand_on(&mut self, partition: u32, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        for (number, group) in self.groups.iter().enumerate() {
            let step = group.group.preparation.evaluate(rows)?;
            if step.num_rows() == 0 {
                continue;
            }
            if group.by_partition {
                let lane = partition as usize % self.lanes.len();
                let cell = CellId { group: number, partition };
                self.queues[lane].push_back(Message::Rows(cell, step));
                continue;
            }
            let keys = group.group.window.key_types().len();
            let cell = CellId { group: number, partition: 0 };
            for (lane, part) in split(&step, keys, self.lanes.len())? {
                self.queues[lane].push_back(Message::Rows(cell, part));
            }
        }
        Ok(())
    }

    /// The minimum over the partitions to every lane; each partition's own where shards are
    /// partitions.
    fn send_watermarks(&mut self, end: bool) {
        let of = |p: usize| match end {
            true => EventTime::INFINITY,
            false => self.watermarks.get(&p).copied().unwrap_or(EventTime::NEG_INFINITY),
        };
        let partitions = self.input.partitions.len();
        let lowest = (0..partitions).map(of).min().unwrap_or(EventTime::INFINITY);
        for (number, group) in self.groups.iter().enumerate() {
            if group.by_partition {
                for p in 0..partitions {
                    let cell = CellId { group: number, partition: p as u32 };
                    let lane = p % self.lanes.len();
                    self.queues[lane].push_back(Message::Watermark(cell, of(p)));
                }
                continue;
            }
            let cell = CellId { group: number, partition: 0 };
            for queue in &mut self.queues {
                queue.push_back(Message::Watermark(cell, lowest));
            }
        }
    }

    /// One message of one lane.
    fn move_a_lane(&mut self, rng: &mut Rng) -> Result<()> {
        let lane = rng.below(self.lanes.len());
        self.step(lane).map(|_| ())
    }

    fn step(&mut self, lane: usize) -> Result<bool> {
        let Some(message) = self.queues[lane].pop_front() else { return Ok(false) };
        match message {
            Message::Rows(_, rows)
                if self.steps.sabotage == Sabotage::LostBatch && rows.num_rows() % 2 == 1 => {}
            Message::Rows(cell, rows) => self.lanes[lane].on_batch(cell, &rows)?,
            Message::Watermark(cell, watermark) => {
                let mut outlet = Finals(&mut self.outcome.finals);
                self.lanes[lane].on_watermark(cell, watermark, &mut outlet)?;
            }
        }
        Ok(true)
    }

    fn drain(&mut self) -> Result<()> {
        for lane in 0..self.lanes.len() {
            while self.step(lane)? {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.send_watermarks(true);
        self.drain()
    }

    /// A barrier through every queue, then the state of every lane: what changed, or all of it.
    fn cut(&mut self, rng: &mut Rng) -> Result<Cut> {
        self.drain()?;
        let whole = rng.one_in(5);
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            for cell in lane.snapshot(0, whole)? {
                let chain = self.chains.entry((index, cell.id)).or_default();
                if !cell.adds {
                    chain.clear();
                }
                chain.push(cell.snapshot);
            }
        }
        let mut state = Vec::new();
        for ((_, id), chain) in &self.chains {
            state.push((*id, overlay(chain.clone())?));
        }
        Ok(Cut {
            read: self.read.clone(),
            admission: self.intake.admission().snapshot(),
            state,
            finals: self.outcome.finals.iter().map(Vec::len).collect(),
            admitted: self.outcome.admitted.len(),
            dead: self.outcome.dead.len(),
            counts: self.outcome.counts,
        })
    }

    /// Death and recovery: everything since the cut is forgotten, other lanes take over.
    fn restore(&mut self, cut: &Cut, rng: &mut Rng) -> Result<()> {
        let count = 1 + rng.below(4);
        self.intake = self.input.intake()?;
        self.intake.admission_mut().restore(&cut.admission);
        self.read.clone_from(&cut.read);
        self.watermarks.clear();
        for p in 0..self.read.len() {
            let watermark = self.intake.admission().watermark(p as u32);
            self.watermarks.insert(p, watermark);
        }
        if self.steps.sabotage != Sabotage::KeptOutput {
            for (finals, kept) in self.outcome.finals.iter_mut().zip(&cut.finals) {
                finals.truncate(*kept);
            }
        }
        self.outcome.admitted.truncate(cut.admitted);
        self.outcome.dead.truncate(cut.dead);
        self.outcome.counts = cut.counts;
        self.queues = (0..count).map(|_| VecDeque::new()).collect();
        self.chains.clear();
        self.lanes = (0..count).map(|_| Lane::new(self.groups.clone())).collect();
        if self.steps.sabotage == Sabotage::LostState {
            return Ok(());
        }
        self.restore_lanes(cut)
    }

    /// Every lane takes the shards it owns now.
    fn restore_lanes(&mut self, cut: &Cut) -> Result<()> {
        let count = self.lanes.len();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            for (id, snapshot) in &cut.state {
                if self.groups[id.group].by_partition {
                    if id.partition as usize % count == index {
                        lane.restore(*id, snapshot)?;
                    }
                    continue;
                }
                let mine = |shard: &Shard| match shard {
                    Shard::KeyGroup(group) => lane_of(*group, count) == index,
                    Shard::Partition(partition) => *partition as usize % count == index,
                };
                let tables = snapshot.tables.iter().filter(|t| mine(&t.shard)).cloned().collect();
                lane.restore(*id, &Snapshot { tables, ..snapshot.clone() })?;
            }
        }
        Ok(())
    }
}
