//! State to tables and back. Per shard: `keys` (the key columns, whether the key was touched) and
//! `panes` (the row number of the key in `keys`, the pane's number on the grid or the times of its
//! first and last events, the state of each slot's cell; of counted rows also their places in the
//! log). Globals: `horizon`, `newest`. Sliding states follow from the panes.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Int32Array, Int64Array, RecordBatch,
    UInt32Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, UInt32Type};

use super::GroupWindow;
use super::panes::{NOT_DUE, Windows};
use crate::error::{Error, Result};
use crate::model::key::Shard;
use crate::state::snapshot::{KEYS_TABLE, OWNER_COLUMN, Snapshot, SnapshotTable};

/// Version of the tables.
const FORMAT: u32 = 3;
const PANES: &str = "panes";
const HORIZON: &str = "horizon";
const NEWEST: &str = "newest";

impl GroupWindow {
    /// The state of keys, sorted.
    pub(super) fn snapshot_of(&self, slots: &[u32]) -> Result<Snapshot> {
        assert!(self.sorted.is_idle(), "history by key has no snapshot");
        let mut tables = Vec::new();
        for part in slots.chunk_by(|a, b| self.index.shard(*a) == self.index.shard(*b)) {
            let shard = self.index.shard(part[0]);
            let table = |name, rows| SnapshotTable { name, shard, rows };
            tables.push(table(KEYS_TABLE, self.keys_table(part)?));
            tables.push(table(PANES, self.panes_table(part)?));
        }
        let watermark = (self.watermark > i64::MIN).then_some(self.watermark);
        let globals = [(HORIZON, self.horizon), (NEWEST, self.newest)];
        let globals = globals.map(|(name, value)| (name.to_owned(), value)).into();
        Ok(Snapshot { format: FORMAT, watermark, globals, tables })
    }

    /// The keys that changed, sorted, and their state. No key is ever removed.
    pub(in crate::operator) fn take_changes(&mut self) -> Result<Option<(Vec<u32>, Snapshot)>> {
        let Some(mut changed) = self.changes.take() else { return Ok(None) };
        self.index.sort(&mut changed.slots);
        let snapshot = self.snapshot_of(&changed.slots)?;
        Ok(Some((changed.slots, snapshot)))
    }

    /// Every key counts as changed.
    pub(in crate::operator) fn mark_all(&mut self) {
        self.index.sorted().into_iter().for_each(|slot| self.changes.mark(slot));
    }

    /// These keys count as changed.
    pub(in crate::operator) fn mark_keys(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        let mut scratch = Vec::new();
        for row in 0..rows {
            if let Some(slot) = self.index.find(keys, row, &mut scratch)? {
                self.changes.mark(slot);
            }
        }
        Ok(())
    }

    /// All keys, as snapshots order them.
    pub(in crate::operator) fn sorted_keys(&self) -> Vec<u32> {
        self.index.sorted()
    }

    pub(in crate::operator) fn shard(&self, key: u32) -> Shard {
        self.index.shard(key)
    }

    /// Key columns.
    pub(in crate::operator) fn keys_of(&self, keys: &[u32]) -> Result<Vec<ArrayRef>> {
        self.index.gather(keys)
    }

    fn keys_schema(&self) -> Schema {
        let keys = self.index.types().iter().enumerate();
        let mut fields: Vec<Field> =
            keys.map(|(i, key)| Field::new(format!("k{i}"), key.clone(), true)).collect();
        fields.push(Field::new("_touched", DataType::Boolean, false));
        Schema::new(fields)
    }

    fn keys_table(&self, slots: &[u32]) -> Result<RecordBatch> {
        let mut columns = self.index.gather(slots)?;
        let touched = slots.iter().map(|slot| Some(self.keys[*slot as usize].touched));
        columns.push(Arc::new(BooleanArray::from_iter(touched)));
        Ok(RecordBatch::try_new(Arc::new(self.keys_schema()), columns)?)
    }

    fn panes_table(&self, slots: &[u32]) -> Result<RecordBatch> {
        let keys = slots.iter().map(|slot| &self.keys[*slot as usize]);
        let owners = keys.clone().enumerate();
        let owners = owners.flat_map(|(i, key)| std::iter::repeat_n(i as u32, key.cells.len()));
        let starts = keys.clone().flat_map(|key| key.starts.iter().copied());
        let mut fields = vec![
            Field::new(OWNER_COLUMN, DataType::UInt32, false),
            Field::new("_pane", DataType::Int64, false),
            Field::new("_last", DataType::Int64, true),
        ];
        let lasts = keys
            .clone()
            .flat_map(|key| (0..key.starts.len()).map(|pane| key.lasts.get(pane).copied()));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from_iter_values(owners)),
            Arc::new(Int64Array::from_iter_values(starts)),
            Arc::new(Int64Array::from_iter(lasts)),
        ];
        let mut bytes = Vec::new();
        for (i, slot) in self.slots.iter().enumerate() {
            let mut builder = BinaryBuilder::new();
            for cell in keys.clone().flat_map(|key| &key.cells) {
                bytes.clear();
                slot.encode(*cell as usize, &mut bytes);
                builder.append_value(&bytes);
            }
            fields.push(Field::new(format!("s{i}"), DataType::Binary, false));
            columns.push(Arc::new(builder.finish()));
        }
        if self.counts() {
            let places = keys.flat_map(|key| key.places.iter().copied());
            fields.push(Field::new("_partition", DataType::Int32, false));
            fields.push(Field::new("_offset", DataType::Int64, false));
            columns.push(Arc::new(Int32Array::from_iter_values(places.clone().map(|p| p.0))));
            columns.push(Arc::new(Int64Array::from_iter_values(places.map(|p| p.1))));
        }
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
    }

    fn counts(&self) -> bool {
        matches!(self.windows, Windows::Count(_))
    }

    pub(super) fn add_snapshot(&mut self, snapshot: &Snapshot) -> Result<()> {
        snapshot.check_format("group window", FORMAT)?;
        let watermark = snapshot.watermark.unwrap_or(i64::MIN);
        self.watermark = if self.restored { self.watermark.min(watermark) } else { watermark };
        self.restored = true;
        for table in snapshot.tables.iter().filter(|table| table.name == KEYS_TABLE) {
            let panes = snapshot.table(PANES, table.shard)?;
            self.add_shard(&table.rows, panes, watermark)?;
        }
        self.horizon = self.horizon.max(snapshot.global(HORIZON));
        self.newest = self.newest.max(snapshot.global(NEWEST));
        Ok(())
    }

    fn add_shard(&mut self, keys: &RecordBatch, panes: &RecordBatch, watermark: i64) -> Result<()> {
        let expected = self.keys_schema();
        if keys.schema().fields() != expected.fields()
            || panes.num_columns() != 3 + self.slots.len() + 2 * usize::from(self.counts())
        {
            return Err(Error::data("a snapshot holds the state of another group window")
                .with_hint("the definition has changed; its state cannot be kept"));
        }
        let key_count = self.spec.key_types.len();
        let mut slots = Vec::new();
        self.index.insert(&keys.columns()[..key_count], keys.num_rows(), &mut slots)?;
        self.keys.resize_with(self.index.capacity(), Default::default);
        let owners = panes.column(0).as_primitive::<UInt32Type>().values();
        let starts = panes.column(1).as_primitive::<Int64Type>().values();
        let lasts = panes.column(2).as_primitive::<Int64Type>();
        let sessions = matches!(self.windows, Windows::Session(_));
        if lasts.null_count() != if sessions { 0 } else { lasts.len() } {
            return Err(Error::data("a snapshot holds panes of another kind of window"));
        }
        if owners.iter().any(|owner| *owner as usize >= slots.len()) {
            return Err(Error::data("a snapshot holds panes of keys that it does not hold"));
        }
        let first = self.cells;
        self.cells += panes.num_rows();
        let states = if self.is_tumbling() { 1 } else { self.keys.len() };
        for (i, slot) in self.slots.iter_mut().enumerate() {
            slot.resize(self.cells, states);
            let bytes = panes.column(3 + i).as_binary::<i32>();
            for row in 0..bytes.len() {
                slot.decode(first + row, bytes.value(row))?;
            }
        }
        for (row, (owner, start)) in owners.iter().zip(starts).enumerate() {
            let key = &mut self.keys[slots[*owner as usize] as usize];
            key.starts.push(*start);
            key.cells.push((first + row) as u32);
            if lasts.is_valid(row) {
                key.lasts.push(lasts.value(row));
            }
        }
        if self.counts() {
            let at = 3 + self.slots.len();
            let partitions = panes.column(at).as_primitive::<Int32Type>().values();
            let offsets = panes.column(at + 1).as_primitive::<Int64Type>().values();
            for ((owner, partition), offset) in owners.iter().zip(partitions).zip(offsets) {
                self.keys[slots[*owner as usize] as usize].places.push((*partition, *offset));
            }
        }
        let touched = keys.column(key_count).as_boolean();
        for (i, slot) in slots.iter().enumerate() {
            let key = &mut self.keys[*slot as usize];
            key.reopen(&self.windows, watermark);
            if key.due != NOT_DUE {
                self.closing.push(key.due, *slot);
            }
            if touched.value(i) && self.current {
                key.touched = true;
                self.touched.push(*slot);
            }
            self.watch(*slot, i64::MIN);
        }
        Ok(())
    }
}
