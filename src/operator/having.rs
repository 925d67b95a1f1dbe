//! HAVING over group windows: results that do not meet the condition are not there. What a probe
//! asks for is the newest window that meets it, which may be far older than the newest one, so
//! the closed windows that met it are kept as rows, and the panes need not be. Windows that are
//! still open are evaluated when asked. Its tests are those of `group_window`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{cast, filter_record_batch, interleave, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};

use super::follow::{Follow, Following, UNCHANGING};
use super::group_window::{GroupWindow, Window};
use super::operator::{Bound, Current, Operator, Probed};
use crate::error::{Error, Result};
use crate::model::batch::timestamp_type;
use crate::model::time::EventTime;
use crate::plan::dataflow::{GroupSpec, Having, WindowSpec};
use crate::state::buffer::RowBuffer;
use crate::state::intern::Interner;
use crate::state::key_index::KeyIndex;
use crate::state::row::{RowLayout, times};
use crate::state::snapshot::{KEYS_TABLE, OWNER_COLUMN, Snapshot, SnapshotTable};

/// Closed windows that met the condition, in a snapshot.
const PASSED: &str = "passed";

/// The closed windows of a key that met the condition and can still be asked for.
#[derive(Debug)]
struct Passed {
    /// By end of window; the value columns are the start, then the slots.
    rows: RowBuffer,
    /// One was added since current values were last taken.
    touched: bool,
    /// The moment it is registered for in the timer of values that follow time.
    changes: i64,
}

impl Default for Passed {
    fn default() -> Self {
        Self { rows: RowBuffer::default(), touched: false, changes: UNCHANGING }
    }
}

/// Group windows under a condition.
#[derive(Debug)]
pub struct HavingWindow {
    inner: GroupWindow,
    having: Having,
    schema: SchemaRef,
    key_count: usize,
    layout: RowLayout,
    interner: Interner,
    index: KeyIndex,
    keys: Vec<Passed>,
    rows_held: usize,
    current: bool,
    touched: Vec<u32>,
    following: Following,
}

/// Where the answer to a request is.
enum Found {
    /// A row of the batch of open windows.
    Open(usize),
    /// A window kept: key and number of its row.
    Kept(u32, u64),
    Nothing,
}

impl HavingWindow {
    /// An operator without rows; `current` asks for current values.
    ///
    /// # Errors
    /// As [`GroupWindow::new`].
    pub fn new(spec: &GroupSpec, having: &Having, current: bool) -> Result<Self> {
        let mut types = vec![timestamp_type()];
        types.extend(spec.slots.iter().map(|slot| slot.aggregate.output.clone()));
        Ok(Self {
            inner: GroupWindow::new(spec, false)?,
            having: having.clone(),
            schema: WindowSpec::Group(spec.clone()).result_schema(),
            key_count: spec.key_types.len(),
            layout: RowLayout::new(&types, &vec![false; types.len()])?,
            interner: Interner::default(),
            index: KeyIndex::new(&spec.key_types)?,
            keys: Vec::new(),
            rows_held: 0,
            current,
            touched: Vec::new(),
            following: Following::default(),
        })
    }

    /// Of result batches, the rows that meet the condition.
    fn passing(&self, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let mut passing = Vec::with_capacity(batches.len());
        for batch in batches {
            let kept = filter_record_batch(&batch, &self.having.mask(&batch)?)?;
            if kept.num_rows() > 0 {
                passing.push(kept);
            }
        }
        Ok(passing)
    }

    /// Keeps results, oldest window of a key first; gives the slots of their keys.
    fn keep(&mut self, results: &RecordBatch) -> Result<Vec<u32>> {
        let (keys, rest) = results.columns().split_at(self.key_count);
        let rows = results.num_rows();
        let mut slots = Vec::new();
        self.index.insert(keys, rows, &mut slots)?;
        if self.keys.len() < self.index.capacity() {
            self.keys.resize_with(self.index.capacity(), Passed::default);
        }
        let mut columns: Vec<ArrayRef> = vec![
            rest[1].clone(),
            Arc::new(Int32Array::from(vec![0; rows])),
            Arc::new(Int64Array::from(vec![0; rows])),
            rest[0].clone(),
        ];
        columns.extend(rest[2..].iter().cloned());
        let mut words = Vec::new();
        self.layout.encode(&columns, &mut self.interner, &mut words)?;
        for (slot, row) in slots.iter().zip(words.chunks_exact(self.layout.stride())) {
            self.keys[*slot as usize].rows.extend(row);
        }
        self.rows_held += slots.len();
        Ok(slots)
    }

    /// Drops the windows of keys that no probe from the horizon on can ask for.
    fn drop_old(&mut self, slots: &[u32]) {
        let (stride, horizon) = (self.layout.stride(), self.inner.horizon());
        for slot in slots {
            let rows = &mut self.keys[*slot as usize].rows;
            let before = |row: &[u64]| (row[0] as i64) < horizon;
            let newest = rows.partition_point(stride, 0, before).saturating_sub(1);
            let gone = rows.before(stride, newest);
            self.rows_held -= gone.len() / stride;
            self.layout.release(gone, &mut self.interner);
            rows.drop_before(stride, newest);
        }
    }

    /// The end of the newest window kept of a key that has one.
    fn newest_end(&self, slot: u32) -> i64 {
        let rows = &self.keys[slot as usize].rows;
        let stride = self.layout.stride();
        rows.time(stride, rows.end(stride) - 1)
    }

    /// Registers a key whose value is known at its newest window or at `at`.
    fn watch(&mut self, slot: u32, at: i64) {
        let end = self.newest_end(slot);
        let next = self.following.out_of_reach(end, at.max(end));
        self.following.register(slot, next, &mut self.keys[slot as usize].changes);
    }

    /// Columns of kept windows, `None` giving NULL: starts, ends, slots.
    fn kept<'a>(
        &'a self,
        rows: impl Iterator<Item = Option<&'a [u64]>> + Clone,
    ) -> Result<Vec<ArrayRef>> {
        let texts = self.interner.texts();
        let ends = rows.clone().map(|row| row.map(|row| row[0] as i64));
        let ends = TimestampMicrosecondArray::from_iter(ends).with_timezone("UTC");
        let mut columns = vec![self.layout.decode(0, rows.clone(), texts)?, Arc::new(ends)];
        for column in 1..self.schema.fields().len() - self.key_count - 1 {
            columns.push(self.layout.decode(column, rows.clone(), texts)?);
        }
        Ok(columns)
    }

    /// The open windows that could answer requests, and which of them meet the condition: a
    /// result batch, and for each key of `self.inner` its rows.
    fn open(
        &self,
        found: &[Option<u32>],
        lasts: &[i64],
    ) -> Result<(RecordBatch, BooleanArray, BTreeMap<u32, Vec<usize>>)> {
        let mut until: BTreeMap<u32, i64> = BTreeMap::new();
        for (key, last) in found.iter().zip(lasts) {
            if let Some(key) = key {
                let until = until.entry(*key).or_insert(*last);
                *until = (*until).max(*last);
            }
        }
        let mut windows: Vec<(Option<u32>, Window)> = Vec::new();
        let mut places: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (key, until) in until {
            let open = self.inner.open_windows(key, until);
            let begin = windows.len();
            places.insert(key, (begin..begin + open.len()).collect());
            windows.extend(open.into_iter().map(|window| (Some(key), window)));
        }
        let batch = self.inner.results(&windows)?;
        let mask = self.having.mask(&batch)?;
        Ok((batch, mask, places))
    }

    /// Results of the open windows of some keys as [`GroupWindow::open_results`] has them, and
    /// which of them meet the condition.
    pub(super) fn open_results(
        &self,
        keys: &[ArrayRef],
        lasts: &[i64],
    ) -> Result<(RecordBatch, BooleanArray)> {
        let results = self.inner.open_results(keys, lasts)?;
        let mask = self.having.mask(&results)?;
        Ok((results, mask))
    }

    fn answer(
        &self,
        keys: &[ArrayRef],
        found: &[Found],
        open: &RecordBatch,
    ) -> Result<RecordBatch> {
        let row = |found: &Found| match found {
            Found::Kept(slot, number) => {
                Some(self.keys[*slot as usize].rows.row(self.layout.stride(), *number))
            }
            _ => None,
        };
        let kept = self.kept(found.iter().map(row))?;
        let nothing = self.inner.results(&[(None, Window::NOTHING)])?;
        let none = TimestampMicrosecondArray::from(vec![None::<i64>]).with_timezone("UTC");
        let none: ArrayRef = Arc::new(none);
        let places: Vec<(usize, usize)> = found
            .iter()
            .enumerate()
            .map(|(i, found)| match found {
                Found::Open(row) => (0, *row),
                Found::Kept(..) => (1, i),
                Found::Nothing => (2, 0),
            })
            .collect();
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (key, data_type) in keys.iter().zip(self.index.types()) {
            let key = key.slice(0, found.len());
            columns.push(if key.data_type() == data_type { key } else { cast(&key, data_type)? });
        }
        for (i, kept) in kept.iter().enumerate() {
            let at = self.key_count + i;
            let nothing = if i < 2 { &none } else { nothing.column(at) };
            let sources = [open.column(at).as_ref(), kept.as_ref(), nothing.as_ref()];
            columns.push(interleave(&sources, &places)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(found.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    fn passed_schema(&self) -> Schema {
        let mut fields = vec![Arc::new(Field::new(OWNER_COLUMN, DataType::UInt32, false))];
        fields.extend(self.schema.fields().iter().skip(self.key_count).cloned());
        fields.push(Arc::new(Field::new("_touched", DataType::Boolean, false)));
        Schema::new(fields)
    }

    /// Adds the windows kept to a snapshot of these keys of `self.inner`, sorted.
    fn add_passed(&self, keys: &[u32], snapshot: &mut Snapshot) -> Result<()> {
        for part in keys.chunk_by(|a, b| self.inner.shard(*a) == self.inner.shard(*b)) {
            let shard = self.inner.shard(part[0]);
            let rows = self.passed_table(&self.inner.keys_of(part)?, part.len())?;
            snapshot.tables.push(SnapshotTable { name: PASSED, shard, rows });
        }
        Ok(())
    }

    /// The windows kept of keys: the row number of each key, the window, whether it is touched.
    fn passed_table(&self, keys: &[ArrayRef], count: usize) -> Result<RecordBatch> {
        let stride = self.layout.stride();
        let mut scratch = Vec::new();
        let (mut owners, mut touched, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..count {
            let Some(slot) = self.index.find(keys, row, &mut scratch)? else { continue };
            let key = &self.keys[slot as usize];
            for kept in key.rows.words().chunks_exact(stride) {
                owners.push(row as u32);
                touched.push(key.touched);
                rows.push(Some(kept));
            }
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(owners))];
        columns.extend(self.kept(rows.iter().copied())?);
        columns.push(Arc::new(BooleanArray::from(touched)));
        Ok(RecordBatch::try_new(Arc::new(self.passed_schema()), columns)?)
    }

    /// Takes a table of kept windows; `keys` are the columns of the keys it counts.
    fn add_shard(&mut self, keys: &RecordBatch, passed: &RecordBatch) -> Result<()> {
        if passed.schema().fields() != self.passed_schema().fields() {
            return Err(Error::data("a snapshot holds the results of another group window")
                .with_hint("the definition has changed; its state cannot be kept"));
        }
        let owners = passed.column(0).as_primitive::<UInt32Type>();
        if owners.values().iter().any(|owner| *owner as usize >= keys.num_rows()) {
            return Err(Error::data("a snapshot holds windows of keys that it does not hold"));
        }
        let last = passed.num_columns() - 1;
        let mut columns = Vec::with_capacity(self.key_count + last);
        for key in &keys.columns()[..self.key_count] {
            columns.push(take(key, owners, None)?);
        }
        columns.extend(passed.columns()[1..last].iter().cloned());
        let results = RecordBatch::try_new(self.schema.clone(), columns)?;
        let touched = passed.column(last).as_boolean();
        for (row, slot) in self.keep(&results)?.into_iter().enumerate() {
            let key = &mut self.keys[slot as usize];
            if self.current && touched.value(row) && !key.touched {
                key.touched = true;
                self.touched.push(slot);
            }
            self.watch(slot, i64::MIN);
        }
        Ok(())
    }

    /// These keys count as changed.
    fn mark(&mut self, slots: &[u32]) {
        let marked = self.index.gather(slots);
        let marked = marked.and_then(|keys| self.inner.mark_keys(&keys, slots.len()));
        if marked.is_err() {
            self.inner.mark_all();
        }
    }
}

impl Operator for HavingWindow {
    fn on_batch(&mut self, step: &RecordBatch) -> Result<()> {
        self.inner.on_batch(step)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Vec<RecordBatch>) -> Result<()> {
        let mut batches = Vec::new();
        self.inner.on_watermark(watermark, &mut batches)?;
        for batch in self.passing(batches)? {
            let slots = self.keep(&batch)?;
            for slot in &slots {
                let key = &mut self.keys[*slot as usize];
                if self.current && !key.touched {
                    key.touched = true;
                    self.touched.push(*slot);
                }
            }
            self.drop_old(&slots);
            out.push(batch);
        }
        Ok(())
    }

    fn on_sorted(
        &mut self,
        step: &RecordBatch,
        finish: bool,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        let mut batches = Vec::new();
        self.inner.on_sorted(step, finish, &mut batches)?;
        out.extend(self.passing(batches)?);
        Ok(())
    }

    fn touch_all(&mut self) {
        if !self.current {
            return;
        }
        self.inner.mark_all();
        for slot in self.index.sorted() {
            let key = &mut self.keys[slot as usize];
            if !key.touched {
                key.touched = true;
                self.touched.push(slot);
            }
        }
    }

    fn drain_current(&mut self) -> Result<Option<Current>> {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return Ok(None);
        }
        let stride = self.layout.stride();
        let newest = |slot: &u32| {
            let rows = &self.keys[*slot as usize].rows;
            Some(rows.row(stride, rows.end(stride) - 1))
        };
        let mut columns = self.index.gather(&touched)?;
        self.inner.mark_keys(&columns, touched.len())?;
        columns.extend(self.kept(touched.iter().map(newest))?);
        let rows = RecordBatch::try_new(self.schema.clone(), columns)?;
        let newest = times_of(&rows, self.key_count + 1).to_vec();
        let as_of = newest.iter().map(|end| EventTime(self.following.as_of(*end)));
        let as_of: Vec<EventTime> = as_of.collect();
        for (slot, at) in touched.iter().zip(&as_of) {
            self.keys[*slot as usize].touched = false;
            self.watch(*slot, at.0);
        }
        Ok(Some(Current { rows, as_of, newest: newest.into_iter().map(Some).collect() }))
    }

    fn follow(&mut self, follow: Follow) {
        self.following.start(follow);
    }

    fn refresh(&mut self, at: EventTime) {
        let before = self.touched.len();
        for (moment, slot) in self.following.advance(at.0) {
            let end = self.newest_end(slot);
            let next = self.following.out_of_reach(end, self.following.as_of(end));
            let key = &mut self.keys[slot as usize];
            if key.changes != moment {
                continue;
            }
            key.changes = UNCHANGING;
            if next > at.0 {
                self.following.register(slot, next, &mut key.changes);
            } else if !key.touched {
                key.touched = true;
                self.touched.push(slot);
            }
        }
        let touched = self.touched.split_off(before);
        self.mark(&touched);
        self.touched.extend(touched);
        self.following.set(at.0);
    }

    fn probe(&self, keys: &[ArrayRef], times: &[EventTime], bound: Bound) -> Result<Probed> {
        let lasts = self.inner.lasts(times, bound)?;
        let stride = self.layout.stride();
        let mut scratch = Vec::new();
        let mut found = Vec::with_capacity(times.len());
        for row in 0..times.len() {
            found.push(self.inner.find(keys, row, &mut scratch)?);
        }
        let (open, mask, places) = self.open(&found, &lasts)?;
        let ends = times_of(&open, self.key_count + 1);
        let mut answers = Vec::with_capacity(times.len());
        for (row, (key, last)) in found.iter().zip(&lasts).enumerate() {
            let open = key.and_then(|key| places.get(&key)).into_iter().flatten().rev();
            let mut met = open.filter(|row| ends[**row] <= *last && mask.value(**row));
            if let Some(row) = met.next() {
                answers.push(Found::Open(*row));
                continue;
            }
            let kept = self.index.find(keys, row, &mut scratch)?;
            answers.push(match kept {
                None => Found::Nothing,
                Some(slot) => {
                    let rows = &self.keys[slot as usize].rows;
                    let before = |row: &[u64]| row[0] as i64 <= *last;
                    match rows.partition_point(stride, 0, before) {
                        end if end > rows.first() => Found::Kept(slot, end - 1),
                        _ => Found::Nothing,
                    }
                }
            });
        }
        let present = answers.iter().map(|found| !matches!(found, Found::Nothing)).collect();
        let newest = answers.iter().map(|found| match found {
            Found::Nothing => None,
            Found::Open(row) => Some(ends[*row]),
            Found::Kept(slot, row) => {
                Some(self.keys[*slot as usize].rows.row(stride, *row)[0] as i64)
            }
        });
        let newest = newest.collect();
        Ok(Probed { rows: self.answer(keys, &answers, &open)?, present, newest })
    }

    fn keys(&self) -> Result<(Vec<ArrayRef>, usize)> {
        self.inner.keys()
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let mut snapshot = self.inner.snapshot()?;
        self.add_passed(&self.inner.sorted_keys(), &mut snapshot)?;
        Ok(snapshot)
    }

    fn follow_changes(&mut self) {
        self.inner.follow_changes();
    }

    /// A key whose kept windows change is one of the inner operator that changes too: a window of
    /// it was closed, or it is marked there.
    fn changes(&mut self) -> Result<Option<Snapshot>> {
        let Some((keys, mut snapshot)) = self.inner.take_changes()? else { return Ok(None) };
        self.add_passed(&keys, &mut snapshot)?;
        Ok(Some(snapshot))
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.inner.restore(snapshot)?;
        for table in snapshot.tables.iter().filter(|table| table.name == PASSED) {
            let of = |keys: &&SnapshotTable| keys.name == KEYS_TABLE && keys.shard == table.shard;
            let keys = snapshot.tables.iter().find(of);
            let keys = keys.ok_or_else(|| Error::data("a snapshot holds windows without keys"))?;
            self.add_shard(&keys.rows, &table.rows)?;
        }
        Ok(())
    }

    fn state_bytes(&self) -> usize {
        let kept = self.rows_held * self.layout.stride() * 3 / 2 * 8;
        let fixed = self.keys.len() * size_of::<Passed>() + self.index.size_bytes();
        let timer = self.following.size_bytes();
        self.inner.state_bytes() + kept + fixed + self.interner.size_bytes() + timer
    }

    fn key_count(&self) -> usize {
        self.inner.key_count()
    }
}

fn times_of(batch: &RecordBatch, column: usize) -> &[i64] {
    times(batch.column(column))
}
