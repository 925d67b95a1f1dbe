//! A lane: one single-threaded, deterministic pipeline that owns whole shards. It knows no
//! thread, channel or clock; `task` gives it messages one by one and carries its output away.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};

use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::operator::operator::{Bound, Operator, Probed};
use crate::plan::share::StateGroup;
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
    /// Current values of touched keys: the feature's output columns and `_as_of`.
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
}

struct Cell {
    operator: Box<dyn Operator>,
    watermark: EventTime,
}

/// All operators of one lane.
pub struct Lane {
    groups: Arc<Vec<LaneGroup>>,
    cells: BTreeMap<CellId, Cell>,
    results: Vec<RecordBatch>,
}

impl Lane {
    pub fn new(groups: Arc<Vec<LaneGroup>>) -> Self {
        Self { groups, cells: BTreeMap::new(), results: Vec::new() }
    }

    fn cell(&mut self, id: CellId) -> Result<&mut Cell> {
        if !self.cells.contains_key(&id) {
            let group = &self.groups[id.group];
            let current = group.online.iter().any(|online| *online);
            let operator = crate::operator::build(&group.group.window, current)?;
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

    /// Hands on the current values of the keys of a source touched since the last call.
    pub fn flush_current(&mut self, source: usize, outlet: &mut dyn Outlet) -> Result<()> {
        for (id, cell) in &mut self.cells {
            let group = &self.groups[id.group];
            if group.source != source || !group.online.iter().any(|online| *online) {
                continue;
            }
            let Some(result) = cell.operator.drain_current()? else { continue };
            for (i, member) in group.group.members.iter().enumerate() {
                let Some(feature) = group.features[i].filter(|_| group.online[i]) else { continue };
                let rows = member.output.evaluate(&result)?;
                let as_of = as_of_column(&result)?;
                outlet.current(feature, with_as_of(&rows, as_of)?)?;
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

/// The time a result batch holds for: `_time`, or `window_end`.
pub fn as_of_column(result: &RecordBatch) -> Result<ArrayRef> {
    use crate::plan::dataflow::{TIME_COLUMN, WINDOW_END_COLUMN};
    let column = result.column_by_name(TIME_COLUMN);
    let column = column.or_else(|| result.column_by_name(WINDOW_END_COLUMN));
    column.cloned().ok_or_else(|| Error::internal("a result batch without a time column"))
}

/// Appends `_as_of` to output rows.
pub fn with_as_of(rows: &RecordBatch, as_of: ArrayRef) -> Result<RecordBatch> {
    use arrow::datatypes::{Field, Schema};
    let mut fields: Vec<_> = rows.schema().fields().iter().cloned().collect();
    let name = crate::model::batch::AS_OF_COLUMN;
    fields.push(Arc::new(Field::new(name, as_of.data_type().clone(), true)));
    let mut columns = rows.columns().to_vec();
    columns.push(as_of);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
