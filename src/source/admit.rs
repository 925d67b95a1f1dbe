//! Admission: the verdict on every record, decided once, per partition, in log order
//! (semantics §1): decode → event_time → future → late → admitted. Pure and deterministic: it
//! sees records and positions, never a clock, and its result does not depend on how the records
//! were cut into chunks. Called by `source::intake` and by readers of history.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use serde::{Deserialize, Serialize};

use crate::catalog::source::{ColumnKind, MetadataField, SourceDef};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::dead_letter::{DeadLetter, DeadLetterBuilder};
use crate::format::rejection::{Reason, Rejection};
use crate::model::batch::{Position, timestamp_type};
use crate::model::time::EventTime;

use super::metadata::metadata_column;
use super::ratio::Recent;
use super::records::Records;

/// Evaluates the computed columns: from a batch of `SourceDef::stored_schema` to one of
/// `SourceDef::schema`, row by row the same rows.
pub type Compute = Arc<dyn Fn(&RecordBatch) -> Result<RecordBatch> + Send + Sync>;

/// How records are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Judgement {
    /// As a stream: event time, future guard (where a record has a timestamp), lateness.
    #[default]
    Stream,
    /// Complete history: every row with an event time is admitted.
    Complete,
}

/// Verdicts counted. `read = admitted + late + future + decode + event_time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub read: u64,
    pub admitted: u64,
    pub late: u64,
    pub future: u64,
    pub decode: u64,
    pub event_time: u64,
}

impl Counts {
    pub fn rejected(&self) -> u64 {
        self.decode + self.event_time
    }

    /// Whether every record read has exactly one verdict.
    pub fn is_conserved(&self) -> bool {
        self.read == self.admitted + self.late + self.future + self.rejected()
    }

    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.admitted += other.admitted;
        self.late += other.late;
        self.future += other.future;
        self.decode += other.decode;
        self.event_time += other.event_time;
    }

    fn count(&mut self, reason: Reason) {
        match reason {
            Reason::Decode => self.decode += 1,
            Reason::EventTime => self.event_time += 1,
            Reason::Future => self.future += 1,
            Reason::Late => self.late += 1,
        }
    }
}

/// From `from_offset` on, records of the partition before `time` (µs) are late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    pub from_offset: i64,
    pub time: i64,
}

/// Offsets `from..to` were deleted before they were read, and passed over (`on_gap` skip).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub partition: u32,
    pub from: i64,
    pub to: i64,
}

/// What admission knows about one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    pub partition: u32,
    /// Greatest admitted event time, µs.
    pub newest: Option<i64>,
    pub next_offset: i64,
    /// By offset.
    pub floors: Vec<Floor>,
    pub counts: Counts,
    /// Only with `dead_letter.max_ratio`.
    #[serde(default, skip_serializing_if = "Recent::is_empty")]
    pub recent: Recent,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

/// The floors of every partition that has some.
pub type Floors = BTreeMap<u32, Vec<Floor>>;

/// Everything admission needs to continue; part of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmissionState {
    pub partitions: Vec<PartitionState>,
}

impl AdmissionState {
    pub fn floors(&self) -> Floors {
        let floored = self.partitions.iter().filter(|of| !of.floors.is_empty());
        floored.map(|of| (of.partition, of.floors.clone())).collect()
    }
}

/// Records of one partition, decoded, in log order.
pub struct Arrival<'a> {
    pub partition: u32,
    /// The decodable ones, in `SourceDef::physical_schema`.
    pub rows: RecordBatch,
    /// Which record each row is; `None` = row i is record `first + i`.
    pub index: Option<Vec<u32>>,
    /// The records these are, from `first` to before `end`.
    pub records: &'a Records,
    pub first: usize,
    pub end: usize,
    /// The others, in order, with their index in `records`.
    pub rejected: Vec<(u32, Rejection)>,
    pub next_offset: i64,
}

/// The verdicts on one arrival.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub partition: u32,
    /// In `SourceDef::admitted_schema`, in log order; may be empty.
    pub rows: RecordBatch,
    /// Dead letters (`format::dead_letter`), in log order.
    pub dead: Option<RecordBatch>,
    /// Of the partition, behind these records.
    pub watermark: EventTime,
    /// Greatest event time admitted so far in the partition.
    pub newest: EventTime,
    pub next_offset: i64,
    /// Of these records alone.
    pub counts: Counts,
}

/// Judges the records of one source.
pub struct Admission {
    def: Arc<SourceDef>,
    stored: SchemaRef,
    admitted: SchemaRef,
    compute: Option<Compute>,
    judgement: Judgement,
    partitions: BTreeMap<u32, PartitionState>,
}

impl Admission {
    /// `compute` is needed if the source has computed columns.
    pub fn new(
        def: Arc<SourceDef>,
        judgement: Judgement,
        compute: Option<Compute>,
    ) -> Result<Self> {
        let computed = def.columns.iter().any(|c| matches!(c.kind, ColumnKind::Computed(_)));
        if computed && compute.is_none() {
            return Err(Error::internal(format!("'{}' needs its computed columns", def.name)));
        }
        let column = def.column(&def.watermark.column);
        if column.is_none_or(|c| c.data_type != timestamp_type()) {
            let (name, column) = (&def.name, &def.watermark.column);
            return Err(Error::internal(format!("'{name}' has no timestamp column '{column}'")));
        }
        Ok(Self {
            stored: def.stored_schema(),
            admitted: def.admitted_schema(),
            compute: compute.filter(|_| computed),
            def,
            judgement,
            partitions: BTreeMap::new(),
        })
    }

    /// Continues where `state` was taken.
    pub fn restore(&mut self, state: &AdmissionState) {
        self.partitions = state.partitions.iter().map(|p| (p.partition, p.clone())).collect();
    }

    /// Where each partition seen so far continues.
    pub fn positions(&self) -> Vec<Position> {
        let each = self.partitions.values();
        each.map(|of| Position { partition: of.partition, offset: of.next_offset }).collect()
    }

    pub fn snapshot(&self) -> AdmissionState {
        AdmissionState { partitions: self.partitions.values().cloned().collect() }
    }

    /// Adds a floor, not before the last one. It counts for records at `from_offset` and above.
    pub fn set_floor(&mut self, partition: u32, floor: Floor) {
        let floors = &mut self.state(partition).floors;
        let last = floors.last().copied();
        debug_assert!(last.is_none_or(|last| last.from_offset <= floor.from_offset));
        // Time never goes back.
        let time = last.map_or(floor.time, |last| last.time.max(floor.time));
        if last.is_some_and(|last| last.from_offset == floor.from_offset) {
            floors.pop();
        }
        floors.push(Floor { time, ..floor });
    }

    /// Notes that records were passed over unread.
    pub fn note_gap(&mut self, gap: Gap) {
        self.state(gap.partition).gaps.push(gap);
    }

    /// Starts a partition that was not read before at `offset`, so that the next snapshot holds
    /// its position.
    pub fn begin(&mut self, partition: u32, offset: i64) {
        let state = self.state(partition);
        state.next_offset = state.next_offset.max(offset);
    }

    /// The watermark of the source: the minimum over `partitions`.
    pub fn lowest_watermark(&self, partitions: impl IntoIterator<Item = u32>) -> EventTime {
        let watermarks = partitions.into_iter().map(|partition| self.watermark(partition));
        watermarks.min().unwrap_or(EventTime::NEG_INFINITY)
    }

    /// The watermark of a partition now; −∞ before its first record.
    pub fn watermark(&self, partition: u32) -> EventTime {
        self.partitions.get(&partition).map_or(EventTime::NEG_INFINITY, |state| {
            state.watermark_now(self.def.watermark.delay_us)
        })
    }

    /// Counts of all partitions since the first record.
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.partitions.values().for_each(|p| all.add(&p.counts));
        all
    }

    fn state(&mut self, partition: u32) -> &mut PartitionState {
        self.partitions
            .entry(partition)
            .or_insert_with(|| PartitionState { partition, ..PartitionState::default() })
    }

    /// Judges the next records of a partition.
    pub fn admit(&mut self, arrival: Arrival<'_>) -> Result<Admitted> {
        let Arrival { partition, rows, index, records, first, end, rejected, next_offset } =
            arrival;
        let read = end - first;
        assert_eq!(read, rows.num_rows() + rejected.len(), "one verdict per record");
        let index = index.unwrap_or_else(|| (first as u32..end as u32).collect());
        let times = self.event_times(&rows, records, &index)?;
        if read > 0 && records.offset(first) < self.state(partition).next_offset {
            let (at, next) = (records.offset(first), self.state(partition).next_offset);
            return Err(Error::internal(format!(
                "partition {partition}: offset {at} again, expected {next} or above"
            )));
        }
        let mut judge = Judge {
            delay_us: self.def.watermark.delay_us,
            max_future_us: self.def.options.max_future_us,
            stream: self.judgement == Judgement::Stream && !failpoint::broken("admit late rows"),
            kept: Vec::with_capacity(index.len()),
            refused: Vec::new(),
        };
        judge.run(self.state(partition), &times, records, &index);
        let mut counts = Counts { read: read as u64, ..Counts::default() };
        counts.admitted = judge.kept.len() as u64;
        let refused = judge.refused.iter().map(|(_, _, rejection)| rejection);
        let all = rejected.iter().map(|(_, rejection)| rejection).chain(refused);
        all.for_each(|rejection| counts.count(rejection.reason));
        assert!(counts.is_conserved(), "read = admitted + late + future + rejected: {counts:?}");
        self.limit_dead_letters(partition, records, first..end, &rejected, &judge.refused)?;

        let dead = self.bury(partition, records, &rejected, &judge.refused)?;
        let (rows, index) = keep(rows, index, &judge.kept)?;
        let rows = self.complete(partition, rows, records, &index)?;
        let delay_us = self.def.watermark.delay_us;
        let state = self.state(partition);
        state.next_offset = next_offset;
        state.counts.add(&counts);
        let watermark = state.watermark(delay_us, next_offset);
        let newest = state.newest.map_or(EventTime::NEG_INFINITY, EventTime);
        Ok(Admitted { partition, rows, dead, watermark, newest, next_offset, counts })
    }

    /// Stops with `dead_letter.max_ratio` where too many of the newest records are not admitted.
    fn limit_dead_letters(
        &mut self,
        partition: u32,
        records: &Records,
        range: std::ops::Range<usize>,
        rejected: &[(u32, Rejection)],
        refused: &[(u32, Option<EventTime>, Rejection)],
    ) -> Result<()> {
        let Some(max_ratio) = self.def.options.dead_letter_max_ratio else { return Ok(()) };
        let source = self.def.name.clone();
        let recent = &mut self.state(partition).recent;
        let (mut rejected, mut refused) = (rejected.iter().peekable(), refused.iter().peekable());
        for at in range {
            let this = |index: u32| index as usize == at;
            let rejection = match rejected.next_if(|(index, _)| this(*index)) {
                Some((_, rejection)) => Some(rejection),
                None => refused.next_if(|(index, ..)| this(*index)).map(|(.., why)| why),
            };
            recent.push(rejection.is_none());
            if let Some(Rejection { reason, message }) = rejection
                && recent.exceeds(max_ratio)
            {
                let (count, of) = recent.share();
                let offset = records.offset(at);
                return Err(Error::data(format!(
                    "source '{source}', partition {partition}: {count} of the last {of} records \
                     are dead letters, more than 'dead_letter.max_ratio' = {max_ratio} allows; \
                     the newest is offset {offset}, {reason}: {message}"
                ))
                .with_hint(
                    "repair what writes them, or raise 'dead_letter.max_ratio' to go on; nothing \
                     is lost, reading continues at the last checkpoint",
                ));
            }
        }
        Ok(())
    }

    /// The event time of each row.
    fn event_times(
        &self,
        rows: &RecordBatch,
        records: &Records,
        index: &[u32],
    ) -> Result<TimestampMicrosecondArray> {
        let column = &self.def.watermark.column;
        if let Some(times) = rows.column_by_name(column) {
            return Ok(times.as_primitive::<TimestampMicrosecondType>().clone());
        }
        match self.def.column(column).map(|c| &c.kind) {
            Some(ColumnKind::Metadata(MetadataField::Timestamp)) => {
                Ok(index.iter().map(|i| records.timestamp(*i as usize).map(|t| t.0)).collect())
            }
            _ => Err(Error::internal(format!("no event time column '{column}' in the rows"))),
        }
    }

    /// Dead letters in log order from two lists that are.
    fn bury(
        &self,
        partition: u32,
        records: &Records,
        rejected: &[(u32, Rejection)],
        refused: &[(u32, Option<EventTime>, Rejection)],
    ) -> Result<Option<RecordBatch>> {
        let mut letters = DeadLetterBuilder::new(self.def.options.message_bytes_max);
        let mut push = |at: u32, event_time: Option<EventTime>, rejection: &Rejection| {
            let at = at as usize;
            let raw = records.raw(at);
            letters.push(&DeadLetter {
                source: &self.def.name,
                partition,
                offset: records.offset(at),
                timestamp: records.timestamp(at),
                rejection,
                event_time,
                key: records.key(at),
                headers: records.headers(at),
                raw: raw.as_deref(),
            });
        };
        let mut refused = refused.iter().peekable();
        for (at, rejection) in rejected {
            while let Some((before, time, refusal)) = refused.next_if(|(before, ..)| before < at) {
                push(*before, *time, refusal);
            }
            push(*at, None, rejection);
        }
        refused.for_each(|(at, time, refusal)| push(*at, *time, refusal));
        letters.finish()
    }

    /// Physical rows → admitted rows: metadata, computed and system columns.
    fn complete(
        &self,
        partition: u32,
        rows: RecordBatch,
        records: &Records,
        index: &[u32],
    ) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.stored.fields().len());
        for column in &self.def.columns {
            match &column.kind {
                ColumnKind::Computed(_) => {}
                ColumnKind::Metadata(field) => {
                    columns.push(metadata_column(*field, column, partition, records, index)?);
                }
                ColumnKind::Physical => match rows.column_by_name(&column.name) {
                    Some(values) => columns.push(Arc::clone(values)),
                    None => {
                        let name = &column.name;
                        return Err(Error::internal(format!("no column '{name}' in the rows")));
                    }
                },
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(index.len()));
        let stored =
            RecordBatch::try_new_with_options(Arc::clone(&self.stored), columns, &options)?;
        let offsets: Int64Array = index.iter().map(|i| records.offset(*i as usize)).collect();
        let timestamps: TimestampMicrosecondArray =
            index.iter().map(|i| records.timestamp(*i as usize).map(|t| t.0)).collect();
        let system: [ArrayRef; 3] = [
            Arc::new(Int32Array::from(vec![partition.cast_signed(); index.len()])),
            Arc::new(offsets),
            Arc::new(timestamps.with_data_type(timestamp_type())),
        ];
        self.derive(stored, system)
    }

    /// Stored columns (`SourceDef::stored_schema`) and system columns → admitted rows: adds the
    /// computed ones. For the engine's own archive, whose rows are never judged again.
    pub fn derive(&self, stored: RecordBatch, system: [ArrayRef; 3]) -> Result<RecordBatch> {
        let full = match &self.compute {
            Some(compute) if stored.num_rows() > 0 || stored.num_columns() > 0 => compute(&stored)?,
            _ => stored,
        };
        let columns = full.columns().iter().cloned().chain(system).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.admitted), columns)?)
    }
}

impl PartitionState {
    /// Floors ascend by offset and time.
    fn floor(&self, offset: i64) -> i64 {
        let active = self.floors.partition_point(|floor| floor.from_offset <= offset);
        active.checked_sub(1).and_then(|at| self.floors.get(at)).map_or(i64::MIN, |f| f.time)
    }

    /// The watermark where reading goes on.
    pub fn watermark_now(&self, delay_us: i64) -> EventTime {
        self.watermark(delay_us, self.next_offset)
    }

    fn watermark(&self, delay_us: i64, offset: i64) -> EventTime {
        let newest = self.newest.map_or(i64::MIN, |newest| newest.saturating_sub(delay_us));
        EventTime(newest.max(self.floor(offset)))
    }
}

/// One pass over the decoded rows of an arrival.
struct Judge {
    delay_us: i64,
    max_future_us: i64,
    stream: bool,
    /// Rows admitted.
    kept: Vec<u32>,
    /// (record, event time, why) of the others.
    refused: Vec<(u32, Option<EventTime>, Rejection)>,
}

impl Judge {
    fn run(
        &mut self,
        state: &mut PartitionState,
        times: &TimestampMicrosecondArray,
        records: &Records,
        index: &[u32],
    ) {
        let guarded = self.stream && records.has_timestamps();
        let floored = !state.floors.is_empty();
        // As plain numbers: −∞ is i64::MIN, and nothing is before it.
        let mut newest = state.newest.unwrap_or(i64::MIN);
        let mut watermark = state.watermark(self.delay_us, i64::MIN).0;
        for (row, (time, record)) in (0u32..).zip(times.values().iter().zip(index)) {
            let at = *record as usize;
            if floored {
                watermark = watermark.max(state.floor(records.offset(at)));
            }
            let time = EventTime(*time);
            if times.is_null(row as usize) || !time.in_range() {
                let shown = times.is_valid(row as usize).then_some(time);
                self.refused.push((*record, None, out_of_range(shown)));
            } else if guarded
                && let Some(own) = records.timestamp(at)
                && time.0.saturating_sub(own.0) > self.max_future_us
            {
                let rejection = future(time, own, self.max_future_us);
                self.refused.push((*record, Some(time), rejection));
            } else if self.stream && time.0 < watermark {
                let rejection = late(time, EventTime(watermark));
                self.refused.push((*record, Some(time), rejection));
            } else {
                self.kept.push(row);
                if time.0 > newest {
                    newest = time.0;
                    watermark = watermark.max(newest.saturating_sub(self.delay_us));
                }
            }
        }
        state.newest = (newest != i64::MIN).then_some(newest);
    }
}

fn out_of_range(time: Option<EventTime>) -> Rejection {
    Rejection::event_time(match time {
        None => "the event time is NULL".to_owned(),
        Some(time) => format!("the event time {time} is outside of 1678 to 2261"),
    })
}

fn future(time: EventTime, own: EventTime, max_us: i64) -> Rejection {
    let max = crate::model::time::format_duration(max_us);
    let message = format!("event time {time} is more than {max} after the record's own {own}");
    Rejection { reason: Reason::Future, message }
}

fn late(time: EventTime, watermark: EventTime) -> Rejection {
    let message = format!("event time {time} is before the partition's watermark {watermark}");
    Rejection { reason: Reason::Late, message }
}

/// The rows at `kept`, with their records.
fn keep(rows: RecordBatch, index: Vec<u32>, kept: &[u32]) -> Result<(RecordBatch, Vec<u32>)> {
    if kept.len() == index.len() {
        return Ok((rows, index));
    }
    let records = kept.iter().filter_map(|row| index.get(*row as usize).copied()).collect();
    if rows.num_columns() == 0 {
        let options = RecordBatchOptions::new().with_row_count(Some(kept.len()));
        let rows = RecordBatch::try_new_with_options(rows.schema(), Vec::new(), &options)?;
        return Ok((rows, records));
    }
    Ok((take_record_batch(&rows, &UInt32Array::from(kept.to_vec()))?, records))
}

#[cfg(test)]
pub(crate) mod tests;
