//! State to tables and back. Per shard: `keys` (the key columns, whether the key was touched, and
//! per slot of a frame without a beginning its state, which no rows determine, and how many of
//! the rows are in it) and `rows` (the row number of the key in `keys`, then a step batch without
//! its key columns). Globals: `horizon`, `newest`. Everything else follows from the rows and the
//! watermark.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Int32Array, Int64Array,
    RecordBatch, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type, UInt64Type};

use super::TrailingWindow;
use super::front::Front;
use super::plan::Plan;
use crate::error::{Error, Result};
use crate::model::batch::{OFFSET_COLUMN, PARTITION_COLUMN, timestamp_type};
use crate::plan::dataflow::TIME_COLUMN;
use crate::state::changes::gone_tables;
use crate::state::row::position;
use crate::state::snapshot::{KEYS_TABLE, OWNER_COLUMN, Snapshot, SnapshotTable};

/// Encoded states of one slot, and how many of the rows held each contains.
type State<'a> = (&'a BinaryArray, &'a UInt64Array);

/// Version of the tables.
const FORMAT: u32 = 3;
const ROWS: &str = "rows";
const HORIZON: &str = "horizon";
const NEWEST: &str = "newest";

impl TrailingWindow {
    /// The state of some keys only: rows of key columns.
    pub(in crate::operator) fn snapshot_of_keys(
        &self,
        keys: &[ArrayRef],
        rows: usize,
    ) -> Result<Snapshot> {
        let (mut slots, mut scratch) = (Vec::new(), Vec::new());
        for row in 0..rows {
            slots.extend(self.index.find(keys, row, &mut scratch)?);
        }
        slots.sort_unstable_by_key(|slot| (self.index.shard(*slot), *slot));
        slots.dedup();
        self.snapshot_by_slots(&slots)
    }

    /// The state of keys that lie together by shard.
    pub(super) fn snapshot_by_slots(&self, slots: &[u32]) -> Result<Snapshot> {
        assert!(self.sorted.is_idle(), "history by key has no snapshot");
        let mut tables = Vec::new();
        for part in slots.chunk_by(|a, b| self.index.shard(*a) == self.index.shard(*b)) {
            let shard = self.index.shard(part[0]);
            let table = |name, rows| SnapshotTable { name, shard, rows };
            tables.push(table(KEYS_TABLE, self.keys_table(part)?));
            tables.push(table(ROWS, self.rows_table(part)?));
        }
        let watermark = (self.watermark > i64::MIN).then_some(self.watermark);
        let globals = [(HORIZON, self.horizon), (NEWEST, self.newest)];
        let globals = globals.map(|(name, value)| (name.to_owned(), value)).into();
        Ok(Snapshot { format: FORMAT, watermark, globals, tables })
    }

    pub(super) fn changes_as_snapshot(&mut self) -> Result<Option<Snapshot>> {
        let Some(mut changed) = self.changes.take() else { return Ok(None) };
        self.index.sort(&mut changed.slots);
        let mut snapshot = self.snapshot_by_slots(&changed.slots)?;
        snapshot.tables.extend(gone_tables(self.index.types(), &changed.gone)?);
        Ok(Some(snapshot))
    }

    fn keys_table(&self, slots: &[u32]) -> Result<RecordBatch> {
        let mut columns = self.index.gather(slots)?;
        let touched = slots.iter().map(|slot| Some(self.keys[*slot as usize].touched));
        columns.push(Arc::new(BooleanArray::from_iter(touched)));
        let mut bytes = Vec::new();
        for (frame, slot) in stateful(&self.plan, &self.finals) {
            let states = &self.finals.frames[frame].slots[slot];
            let mut builder = BinaryBuilder::new();
            for key in slots {
                bytes.clear();
                states.encode(*key as usize, &mut bytes);
                builder.append_value(&bytes);
            }
            columns.push(Arc::new(builder.finish()));
            let held = slots.iter().map(|key| {
                let at = *key as usize;
                let held = self.finals.frames[frame].bounds[at].1;
                held.saturating_sub(self.keys[at].buffer.first())
            });
            columns.push(Arc::new(UInt64Array::from_iter_values(held)));
        }
        Ok(RecordBatch::try_new(Arc::new(self.keys_schema()), columns)?)
    }

    fn keys_schema(&self) -> Schema {
        let keys = self.index.types().iter().enumerate();
        let mut fields: Vec<Field> =
            keys.map(|(i, key)| Field::new(format!("k{i}"), key.clone(), true)).collect();
        fields.push(Field::new("_touched", DataType::Boolean, false));
        let states = stateful(&self.plan, &self.finals).len();
        for i in 0..states {
            fields.push(Field::new(format!("s{i}"), DataType::Binary, false));
            fields.push(Field::new(format!("h{i}"), DataType::UInt64, false));
        }
        Schema::new(fields)
    }

    fn rows_table(&self, slots: &[u32]) -> Result<RecordBatch> {
        let layout = &self.plan.layout;
        let stride = layout.stride();
        let buffers = slots.iter().map(|slot| &self.keys[*slot as usize].buffer);
        let rows: Vec<&[u64]> =
            buffers.clone().flat_map(|buffer| buffer.words().chunks_exact(stride)).collect();
        let numbers = buffers
            .enumerate()
            .flat_map(|(i, buffer)| std::iter::repeat_n(i as u32, buffer.words().len() / stride));
        let times = rows.iter().map(|row| row[0] as i64);
        let partitions = rows.iter().map(|row| position(row).0);
        let offsets = rows.iter().map(|row| position(row).1);
        let mut fields = vec![
            Field::new(OWNER_COLUMN, DataType::UInt32, false),
            Field::new(TIME_COLUMN, timestamp_type(), false),
            Field::new(PARTITION_COLUMN, DataType::Int32, false),
            Field::new(OFFSET_COLUMN, DataType::Int64, false),
        ];
        let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from_iter_values(numbers)),
            Arc::new(times),
            Arc::new(Int32Array::from_iter_values(partitions)),
            Arc::new(Int64Array::from_iter_values(offsets)),
        ];
        for column in 0..self.plan.spec.value_types.len() {
            fields.push(Field::new(format!("v{column}"), layout.stored_type(column), true));
            let rows = rows.iter().map(|row| Some(*row));
            columns.push(layout.decode(column, rows, self.interner.texts())?);
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    pub(super) fn add_snapshot(&mut self, snapshot: &Snapshot) -> Result<()> {
        snapshot.check_format("trailing window", FORMAT)?;
        let watermark = snapshot.watermark.unwrap_or(i64::MIN);
        self.watermark = if self.restored { self.watermark.min(watermark) } else { watermark };
        self.restored = true;
        for table in snapshot.tables.iter().filter(|table| table.name == KEYS_TABLE) {
            let rows = snapshot.table(ROWS, table.shard)?;
            self.add_shard(&table.rows, rows, watermark)?;
        }
        self.horizon = self.horizon.max(snapshot.global(HORIZON));
        self.newest = self.newest.max(snapshot.global(NEWEST));
        Ok(())
    }

    fn add_shard(&mut self, keys: &RecordBatch, rows: &RecordBatch, watermark: i64) -> Result<()> {
        let expected = self.keys_schema();
        if keys.schema().fields() != expected.fields()
            || rows.num_columns() != 4 + self.plan.spec.value_types.len()
        {
            return Err(Error::data("a snapshot holds the state of another trailing window")
                .with_hint("the definition has changed; its state cannot be kept"));
        }
        let key_count = self.plan.key_count();
        let mut slots = Vec::new();
        self.index.insert(&keys.columns()[..key_count], keys.num_rows(), &mut slots)?;
        self.resize();
        let mut words = std::mem::take(&mut self.words);
        self.plan.layout.encode(&rows.columns()[1..], &mut self.interner, &mut words)?;
        self.rows_held += rows.num_rows();
        let touched = keys.column(key_count).as_boolean();
        let owners = rows.column(0).as_primitive::<UInt32Type>().values();
        let mut begin = 0;
        for (i, slot) in slots.iter().enumerate() {
            let count = owners[begin..].iter().take_while(|owner| **owner == i as u32).count();
            self.add_key(*slot, &words, begin..begin + count, watermark);
            begin += count;
            if touched.value(i) && self.noting {
                self.keys[*slot as usize].touched = true;
                self.touched.push(*slot);
            }
        }
        self.words = words;
        if begin != rows.num_rows() {
            return Err(Error::data("a snapshot holds rows of keys that it does not hold"));
        }
        let states = keys.columns()[key_count + 1..]
            .chunks_exact(2)
            .map(|pair| (pair[0].as_binary::<i32>(), pair[1].as_primitive::<UInt64Type>()));
        let states: Vec<State> = states.collect();
        for (i, slot) in slots.iter().enumerate() {
            self.add_states(*slot, &states, i)?;
            self.watch(*slot, i64::MIN);
            self.expire_later(*slot);
        }
        Ok(())
    }

    /// The rows of a key; those before the watermark of the snapshot are final.
    fn add_key(&mut self, slot: u32, words: &[u64], range: Range<usize>, watermark: i64) {
        let stride = self.plan.layout.stride();
        let key = &mut self.keys[slot as usize];
        assert!(key.buffer.is_empty(), "a key is restored twice");
        key.buffer.extend(&words[range.start * stride..range.end * stride]);
        key.find_tie(stride);
        let before = |row: &[u64]| (row[0] as i64) < watermark;
        key.final_end = key.buffer.partition_point(stride, 0, before);
        if key.final_end < key.buffer.end(stride) {
            key.due = key.buffer.time(stride, key.final_end);
            self.waiting.push(key.due, slot);
        }
        self.newest = self.newest.max(key.newest(stride).unwrap_or(i64::MIN));
    }

    /// The states that rows do not determine, the same in both fronts.
    fn add_states(&mut self, slot: u32, states: &[State], row: usize) -> Result<()> {
        let at = slot as usize;
        for ((frame, slot), states) in stateful(&self.plan, &self.finals).into_iter().zip(states) {
            let (bytes, held) = (states.0.value(row), states.1.value(row));
            if held > self.keys[at].final_end {
                return Err(Error::data("a snapshot counts more final rows than it holds"));
            }
            let front = &mut self.finals.frames[frame];
            front.slots[slot].decode(at, bytes)?;
            front.bounds[at] = (0, held);
            let number = front.frame;
            let current = self.current.iter_mut().flat_map(|front| &mut front.frames);
            for front in current.filter(|front| front.frame == number) {
                front.slots[slot].decode(at, bytes)?;
                front.bounds[at] = (0, held);
            }
        }
        Ok(())
    }
}

/// The slots whose states rows do not determine, as (place of the frame in the front, slot).
fn stateful(plan: &Plan, front: &Front) -> Vec<(usize, usize)> {
    let frames = front.frames.iter().enumerate();
    frames
        .filter(|(_, frame)| plan.spec.frames[frame.frame].is_unbounded())
        .flat_map(|(i, frame)| (0..frame.slots.len()).map(move |slot| (i, slot)))
        .collect()
}
