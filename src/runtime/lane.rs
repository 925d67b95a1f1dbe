//! A lane: one single-threaded, deterministic pipeline that owns whole shards. It knows no
//! thread, channel or clock; `task` gives it messages one by one and carries its output away.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema};

use crate::error::{Error, Result};
use crate::model::batch::{AS_OF_COLUMN, NEWEST_COLUMN, STATUS_COLUMN};
use crate::model::time::EventTime;
use crate::operator::answer::Status;
use crate::operator::follow::Follow;
use crate::operator::operator::{Bound, Current, Operator, Probed};
use crate::plan::dataflow::WindowSpec;
use crate::plan::share::{Member, StateGroup};
use crate::state::snapshot::Snapshot;

/// Which operator of a lane: the state group, and the source partition where shards are
/// partitions (0 where they are key groups).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellId {
    pub group: usize,
    pub partition: u32,
}

/// The state of one operator for a checkpoint.
#[derive(Clone, Debug)]
pub struct CellState {
    pub id: CellId,
    pub snapshot: Snapshot,
    /// It holds only what changed since the last one.
    pub adds: bool,
}

/// What a lane puts out.
pub trait Outlet {
    /// Final rows of feature `feature` (its number in the pipeline).
    fn finals(&mut self, feature: usize, rows: RecordBatch) -> Result<()>;
    /// Current values of touched keys: the feature's output columns, `_as_of`, `_status` and
    /// `_newest` (see `model::batch`).
    fn current(&mut self, feature: usize, rows: RecordBatch) -> Result<()>;
}

/// One state group as lanes see it.
#[derive(Debug)]
pub struct LaneGroup {
    /// Number of the source it reads.
    pub source: usize,
    /// Shards are source partitions instead of key groups.
    pub by_partition: bool,
    pub group: StateGroup,
    /// Pipeline-wide number of each member; `None` = a retired one: its part of the shared state
    /// is kept up, nothing of it is put out.
    pub features: Vec<Option<usize>>,
    /// The SELECT of each member as text.
    pub queries: Vec<String>,
    /// Members whose current values are written to a store.
    pub online: Vec<bool>,
    /// What of the values of those changes as time passes.
    pub follow: Follow,
}

struct Cell {
    operator: Box<dyn Operator>,
    watermark: EventTime,
}

/// All operators of one lane.
pub struct Lane {
    groups: Arc<Vec<LaneGroup>>,
    cells: BTreeMap<CellId, Cell>,
    /// How far serving time has come, by source.
    refreshed: BTreeMap<usize, EventTime>,
    results: Vec<RecordBatch>,
}

impl Lane {
    pub fn new(groups: Arc<Vec<LaneGroup>>) -> Self {
        Self { groups, cells: BTreeMap::new(), refreshed: BTreeMap::new(), results: Vec::new() }
    }

    fn cell(&mut self, id: CellId) -> Result<&mut Cell> {
        if !self.cells.contains_key(&id) {
            let group = &self.groups[id.group];
            let current = group.online.iter().any(|online| *online);
            let mut operator = crate::operator::build(&group.group.window, current)?;
            if current {
                operator.follow(group.follow.clone());
                operator.refresh(self.refreshed(group.source));
            }
            self.cells.insert(id, Cell { operator, watermark: EventTime::NEG_INFINITY });
        }
        self.cells.get_mut(&id).ok_or_else(|| Error::internal("a cell vanished"))
    }

    /// Takes rows of one cell.
    pub fn on_batch(&mut self, id: CellId, step: &RecordBatch) -> Result<()> {
        self.cell(id)?.operator.on_batch(step)
    }

    /// Moves a cell's watermark and hands on what became final. Going back is ignored: the
    /// source knows better only after a restart.
    pub fn on_watermark(
        &mut self,
        id: CellId,
        watermark: EventTime,
        outlet: &mut dyn Outlet,
    ) -> Result<()> {
        let mut results = std::mem::take(&mut self.results);
        let cell = self.cell(id)?;
        if watermark > cell.watermark {
            cell.watermark = watermark;
            cell.operator.on_watermark(watermark, &mut results)?;
        }
        let group = &self.groups[id.group];
        for result in results.drain(..) {
            for (member, feature) in group.group.members.iter().zip(&group.features) {
                if let Some(feature) = feature {
                    outlet.finals(*feature, member.output.evaluate(&result)?)?;
                }
            }
        }
        self.results = results;
        Ok(())
    }

    /// Every key of a source counts as touched.
    pub fn touch(&mut self, source: usize) {
        for (id, cell) in &mut self.cells {
            if self.groups[id.group].source == source {
                cell.operator.touch_all();
            }
        }
    }

    /// The serving time of a source has come to `at`: keys whose values change by that alone count
    /// as touched. Going back is ignored.
    pub fn refresh(&mut self, source: usize, at: EventTime) {
        if at <= self.refreshed(source) {
            return;
        }
        self.refreshed.insert(source, at);
        for (id, cell) in &mut self.cells {
            if self.groups[id.group].source == source {
                cell.operator.refresh(at);
            }
        }
    }

    /// The time that values of a source have been refreshed to.
    pub fn refreshed(&self, source: usize) -> EventTime {
        self.refreshed.get(&source).copied().unwrap_or(EventTime::NEG_INFINITY)
    }

    /// Hands on the current values of the keys of a source touched since the last call.
    pub fn flush_current(&mut self, source: usize, outlet: &mut dyn Outlet) -> Result<()> {
        for (id, cell) in &mut self.cells {
            let group = &self.groups[id.group];
            if group.source != source || !group.online.iter().any(|online| *online) {
                continue;
            }
            let Some(current) = cell.operator.drain_current()? else { continue };
            let window = &group.group.window;
            for (i, member) in group.group.members.iter().enumerate() {
                let Some(feature) = group.features[i].filter(|_| group.online[i]) else { continue };
                outlet.current(feature, current_rows(member, window, &current)?)?;
            }
        }
        Ok(())
    }

    /// `f(key, t)` of one feature for keys that live in this lane.
    pub fn probe(
        &self,
        id: CellId,
        keys: &[ArrayRef],
        times: &[EventTime],
        bound: Bound,
    ) -> Result<Probed> {
        match self.cells.get(&id) {
            Some(cell) => cell.operator.probe(keys, times, bound),
            None => crate::operator::build(&self.groups[id.group].group.window, false)?
                .probe(keys, times, bound),
        }
    }

    /// The cells of a group, at least one.
    pub fn cells_of(&self, group: usize) -> Vec<CellId> {
        let cells = self.cells.keys().filter(|id| id.group == group).copied();
        let cells: Vec<CellId> = cells.collect();
        if cells.is_empty() { vec![CellId { group, partition: 0 }] } else { cells }
    }

    /// Result rows of every key of a group at one time.
    pub fn probe_all(&self, group: usize, at: EventTime) -> Result<Vec<RecordBatch>> {
        let cells = self.cells.iter().filter(|(id, _)| id.group == group);
        let mut all = Vec::new();
        for (_, cell) in cells {
            all.push(cell.operator.probe_all(at)?);
        }
        Ok(all)
    }

    /// The state of every cell of a source: `whole`, or what changed since the last call where
    /// the operator can tell.
    pub fn snapshot(&mut self, source: usize, whole: bool) -> Result<Vec<CellState>> {
        let mut states = Vec::new();
        for (id, cell) in &mut self.cells {
            if self.groups[id.group].source != source {
                continue;
            }
            let changes = if whole { None } else { cell.operator.changes()? };
            let adds = changes.is_some();
            let snapshot = match changes {
                Some(changes) => changes,
                None => {
                    cell.operator.follow_changes();
                    cell.operator.snapshot()?
                }
            };
            states.push(CellState { id: *id, snapshot, adds });
        }
        Ok(states)
    }

    /// Adds a snapshot (of whole shards) to a cell.
    pub fn restore(&mut self, id: CellId, snapshot: &Snapshot) -> Result<()> {
        let cell = self.cell(id)?;
        if let Some(watermark) = snapshot.watermark {
            cell.watermark = cell.watermark.max(EventTime(watermark));
        }
        cell.operator.restore(snapshot)
    }

    /// Estimate of the bytes held, by group.
    pub fn state_bytes(&self) -> Vec<usize> {
        let mut bytes = vec![0; self.groups.len()];
        for (id, cell) in &self.cells {
            bytes[id.group] += cell.operator.state_bytes();
        }
        bytes
    }

    pub fn key_count(&self) -> usize {
        self.cells.values().map(|cell| cell.operator.key_count()).sum()
    }
}

/// What goes to a store: the output of a feature at the times its values hold for, and what is
/// known of each entity then.
fn current_rows(member: &Member, window: &WindowSpec, current: &Current) -> Result<RecordBatch> {
    // A group window stands for its own time as long as no later one can mask it.
    let own = matches!(window, WindowSpec::Group(_)) && !member.plan.reach().is_ttl();
    let as_of: Vec<EventTime> = match own {
        true => {
            let times = current.newest.iter().zip(&current.as_of);
            times.map(|(newest, at)| newest.map_or(*at, EventTime)).collect()
        }
        false => current.as_of.clone(),
    };
    let present = current.newest.iter().map(Option::is_some).collect();
    let newest = current.newest.clone();
    let probed = Probed { rows: current.rows.clone(), present, newest };
    let answered = member.reader(window).answer(&probed, &as_of)?;
    let status = answered.status.iter();
    let status = status.map(|status| (*status != Status::Present).then(|| status.name()));
    let as_of = TimestampMicrosecondArray::from_iter_values(as_of.iter().map(|at| at.0));
    let newest = TimestampMicrosecondArray::from_iter(current.newest.iter().copied());
    let more: [(&str, ArrayRef); 3] = [
        (AS_OF_COLUMN, Arc::new(as_of.with_timezone("UTC"))),
        (STATUS_COLUMN, Arc::new(StringArray::from_iter(status))),
        (NEWEST_COLUMN, Arc::new(newest.with_timezone("UTC"))),
    ];
    let mut fields: Vec<_> = answered.rows.schema().fields().iter().cloned().collect();
    let mut columns = answered.rows.columns().to_vec();
    for (name, column) in more {
        fields.push(Arc::new(Field::new(name, column.data_type().clone(), true)));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
