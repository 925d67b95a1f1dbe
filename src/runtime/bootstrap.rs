//! Fills the state of features that begin with their source's history: the rows that were admitted
//! before, up to an exact position in every partition, go through the operators that the stream
//! will go on with. Knows neither files nor threads; whoever starts an engine hands it the rows in
//! order of event time and takes what comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};

use crate::checkpoint::manifest::Manifest;
use crate::error::{Error, Result};
use crate::model::batch::{OFFSET_COLUMN, PARTITION_COLUMN};
use crate::model::time::EventTime;
use crate::runtime::lane::{CellId, CellState, Lane, Outlet};
use crate::runtime::pipeline::Pipeline;
use crate::runtime::saved;
use crate::state::snapshot::Snapshot;

/// The groups of each source that begin with history and have no state yet; a source that was
/// never read has no history of its own.
pub fn wanted(pipeline: &Pipeline, manifest: &Manifest) -> BTreeMap<usize, Vec<usize>> {
    let mut wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, group) in pipeline.groups.iter().enumerate() {
        let source = &pipeline.sources[group.source].def.name;
        let mut features = group.features.iter().flatten();
        let history = |feature: &usize| pipeline.features[*feature].def.options.bootstrap;
        if manifest.sources.contains_key(source)
            && !manifest.groups.contains_key(&saved::group_name(group))
            && features.any(history)
        {
            wanted.entry(group.source).or_default().push(number);
        }
    }
    wanted
}

/// Final rows: feature and its output columns.
pub type Finals = Vec<(usize, RecordBatch)>;

/// State made of history.
#[derive(Debug)]
pub struct Filled {
    pub state: Vec<(CellId, Snapshot)>,
    pub finals: Finals,
    pub rows: u64,
    /// The first offset of each partition that went in, or the one the stream goes on with.
    pub starts: BTreeMap<u32, i64>,
    /// The offset of each partition that the stream goes on with.
    pub joins: BTreeMap<u32, i64>,
}

/// Groups of one source on their way through history.
pub struct Filling {
    lane: Lane,
    pipeline: Arc<Pipeline>,
    source: usize,
    groups: Vec<usize>,
    partitions: BTreeMap<u32, Partition>,
    /// No later row of the stream is before it.
    watermark: EventTime,
}

#[derive(Debug, Default)]
struct Partition {
    /// Rows from here on are the stream's.
    next_offset: i64,
    /// How many rows were admitted before.
    admitted: u64,
    taken: u64,
    first: Option<i64>,
}

#[derive(Default)]
struct Collected(Finals);

impl Outlet for Collected {
    fn finals(&mut self, feature: usize, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() > 0 {
            self.0.push((feature, rows));
        }
        Ok(())
    }

    fn current(&mut self, _: usize, _: RecordBatch) -> Result<()> {
        Err(Error::internal("current values of history"))
    }
}

impl Filling {
    /// Begins to fill `groups` of `source` with what `manifest` says was read of it.
    pub fn new(
        pipeline: Arc<Pipeline>,
        manifest: &Manifest,
        source: usize,
        groups: Vec<usize>,
    ) -> Result<Self> {
        let name = &pipeline.sources[source].def.name;
        let admission = saved::admission(manifest, name)?.unwrap_or_default();
        let partitions = admission.partitions.into_iter().map(|p| {
            let (next_offset, admitted) = (p.next_offset, p.counts.admitted);
            (p.partition, Partition { next_offset, admitted, ..Partition::default() })
        });
        let partitions = partitions.collect();
        let watermark = manifest.sources.get(name).and_then(|source| source.watermark);
        let watermark = watermark.map_or(EventTime::NEG_INFINITY, EventTime);
        let lane = Lane::new(pipeline.groups.clone());
        Ok(Self { lane, pipeline, source, groups, partitions, watermark })
    }

    /// Takes admitted rows, none before one taken earlier in event time; rows that the stream
    /// will read are left out. Returns what became final.
    pub fn take(&mut self, rows: &RecordBatch) -> Result<Finals> {
        let rows = self.read_before(rows)?;
        if rows.num_rows() == 0 {
            return Ok(Finals::new());
        }
        for number in self.groups.clone() {
            let group = &self.pipeline.groups[number];
            let by_partition = group.by_partition;
            let preparation = &group.group.preparation;
            if !by_partition {
                let step = preparation.evaluate(&rows)?;
                self.lane.on_batch(CellId { group: number, partition: 0 }, &step)?;
                continue;
            }
            let of = partitions_of(&rows)?.clone();
            let numbers: Vec<u32> = self.partitions.keys().copied().collect();
            for partition in numbers {
                let mine =
                    of.iter().map(|p| Some(p.is_some_and(|p| p.cast_unsigned() == partition)));
                let mine = filter_record_batch(&rows, &mine.collect::<BooleanArray>())?;
                let step = preparation.evaluate(&mine)?;
                if step.num_rows() > 0 {
                    self.lane.on_batch(CellId { group: number, partition }, &step)?;
                }
            }
        }
        let time = &self.pipeline.sources[self.source].def.watermark.column;
        let times = rows.column_by_name(time);
        let times = times.and_then(|t| t.as_primitive_opt::<TimestampMicrosecondType>());
        let times = times.ok_or_else(|| Error::internal("history without event time"))?;
        let newest = EventTime(times.value(times.len() - 1));
        self.advance(newest.min(self.watermark))
    }

    /// Checks that nothing was missing, and gives the state.
    ///
    /// # Errors
    /// `Data`: the history holds other rows than the stream admitted.
    pub fn finish(mut self) -> Result<Filled> {
        let name = &self.pipeline.sources[self.source].def.name;
        for (number, partition) in &self.partitions {
            if partition.taken != partition.admitted {
                return Err(Error::data(format!(
                    "the history of '{name}' has {} of the {} rows that were admitted from \
                     partition {number} before offset {}",
                    partition.taken, partition.admitted, partition.next_offset
                ))
                .with_hint(
                    "it was not archived from the beginning, or files are missing: leave \
                     'bootstrap' away, and backfill what there is",
                ));
            }
        }
        let finals = self.advance(self.watermark)?;
        let state = self.lane.snapshot(self.source, true)?;
        let state = state.into_iter().map(|CellState { id, snapshot, .. }| (id, snapshot));
        let start = |p: &Partition| p.first.unwrap_or(p.next_offset);
        Ok(Filled {
            state: state.collect(),
            finals,
            rows: self.partitions.values().map(|p| p.taken).sum(),
            starts: self.partitions.iter().map(|(number, p)| (*number, start(p))).collect(),
            joins: self.partitions.iter().map(|(number, p)| (*number, p.next_offset)).collect(),
        })
    }

    fn advance(&mut self, watermark: EventTime) -> Result<Finals> {
        let mut out = Collected::default();
        for group in &self.groups {
            for cell in self.lane.cells_of(*group) {
                self.lane.on_watermark(cell, watermark, &mut out)?;
            }
        }
        Ok(out.0)
    }

    /// The rows that were read before the position the stream goes on from, counted.
    fn read_before(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let partitions = partitions_of(rows)?;
        let offsets = rows.column_by_name(OFFSET_COLUMN);
        let offsets = offsets.and_then(|o| o.as_primitive_opt::<Int64Type>());
        let offsets = offsets.ok_or_else(|| Error::internal("history without offsets"))?;
        let mut before = Vec::with_capacity(rows.num_rows());
        for (partition, offset) in partitions.values().iter().zip(offsets.values()) {
            let known = self.partitions.get_mut(&partition.cast_unsigned());
            let known = known.filter(|known| *offset < known.next_offset);
            before.push(known.is_some());
            if let Some(known) = known {
                known.taken += 1;
                known.first = Some(known.first.map_or(*offset, |first| first.min(*offset)));
            }
        }
        Ok(filter_record_batch(rows, &BooleanArray::from(before))?)
    }
}

fn partitions_of(rows: &RecordBatch) -> Result<&arrow::array::Int32Array> {
    let partitions = rows.column_by_name(PARTITION_COLUMN);
    let partitions = partitions.and_then(|p| p.as_primitive_opt::<Int32Type>());
    partitions.ok_or_else(|| Error::internal("history without partitions"))
}
