//! Group windows (`TUMBLE`, `HOP`, `CUMULATE`, `SESSION`, `COUNT_WINDOW`): rows fall
//! into panes, a window is a run of panes.
//!
//! Each pane of a key that has rows has a cell in every slot; rows are only ever added to cells.
//! A window is emitted when the watermark reaches its end; the state of a key then moves on by
//! the panes that enter and the panes that leave. Only keys that have something to emit are
//! visited. The panes of the newest closed window with rows stay for ever: a probe at any later
//! time asks for it.
//!
//! | file | what is in it |
//! |---|---|
//! | `current` | values of touched keys; values that follow time |
//! | `panes` | the panes of a key, and the windows that come next for it |
//! | `sessions` | the same for sessions |
//! | `counts` | the same for windows of so many rows |
//! | `sorted` | history read key by key |
//! | `snapshot` | state to tables and back |

mod counts;
mod current;
mod panes;
mod sessions;
mod snapshot;
mod sorted;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatchOptions;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};

use self::counts::Place;
pub use self::panes::Window;
use self::panes::{Closing, NOT_DUE, Panes, Windows};
use self::sorted::Sorted;
use super::follow::{Follow, Following};
use super::operator::{Bound, Current, Operator, Probed};
use crate::aggregate::slot::{PaneRun, PaneSlot, paned};
use crate::error::{Error, Result};
use crate::limits::BATCH_ROWS;
use crate::model::time::EventTime;
use crate::plan::dataflow::{GroupSpec, WindowSpec};
use crate::sql::window::WindowShape;
use crate::state::changes::Changes;
use crate::state::intern::Interner;
use crate::state::key_index::KeyIndex;
use crate::state::row::{RowLayout, times};
use crate::state::snapshot::Snapshot;
use crate::state::timer::Timer;
use crate::window::grid::{Grid, length};

/// Cell of rows that belong to no window (`slide > size`).
const NO_CELL: u32 = u32::MAX;

/// Windows, `None` where there is none, and the columns of the slots.
type NewestWindows = (Vec<Option<Window>>, Vec<Option<ArrayRef>>);

/// The operator of a [`GroupSpec`].
#[derive(Debug)]
pub struct GroupWindow {
    spec: GroupSpec,
    windows: Windows,
    schema: SchemaRef,
    layout: RowLayout,
    index: KeyIndex,
    /// Empty between calls: rows are not kept.
    interner: Interner,
    keys: Vec<Panes>,
    slots: Vec<Box<dyn PaneSlot>>,
    /// Cells ever made, and those to use again.
    cells: usize,
    free: Vec<u32>,
    closing: Timer,
    current: bool,
    touched: Vec<u32>,
    changes: Changes,
    following: Following,
    watermark: i64,
    /// A snapshot was put in, perhaps one without keys.
    restored: bool,
    newest: i64,
    horizon: i64,
    sorted: Sorted,
    words: Vec<u64>,
}

impl GroupWindow {
    /// An operator without rows; `current` asks for current values.
    ///
    /// # Errors
    /// `NotSupported` for what cannot be computed, `Usage` for windows without a length.
    pub fn new(spec: &GroupSpec, current: bool) -> Result<Self> {
        let layout = RowLayout::new(&spec.value_types, &flags(spec))?;
        let slots = spec.slots.iter().enumerate().map(|(i, slot)| (i, &slot.aggregate));
        Ok(Self {
            windows: windows_of(&spec.shape)?,
            schema: WindowSpec::Group(spec.clone()).result_schema(),
            index: KeyIndex::new(&spec.key_types)?,
            interner: Interner::default(),
            keys: Vec::new(),
            slots: paned(&slots.collect::<Vec<_>>(), &layout.arguments())?,
            layout,
            cells: 0,
            free: Vec::new(),
            closing: Timer::new(),
            current,
            touched: Vec::new(),
            changes: Changes::default(),
            following: Following::default(),
            watermark: i64::MIN,
            restored: false,
            newest: i64::MIN,
            horizon: i64::MIN,
            sorted: Sorted::default(),
            words: Vec::new(),
            spec: spec.clone(),
        })
    }

    /// Final results so far that did not fit their type and are NULL.
    pub fn numeric_overflow(&self) -> u64 {
        self.slots.iter().map(|slot| slot.overflow()).sum()
    }

    /// The cell for a row of a key, and where that is a new one, the time before which none of
    /// its windows ends.
    #[inline]
    fn pane_cell(&mut self, panes: &mut Panes, place: Place) -> (u32, Option<i64>) {
        let time = place.0;
        let Self { free, cells, .. } = self;
        let make = || {
            free.pop().unwrap_or_else(|| {
                *cells += 1;
                *cells as u32 - 1
            })
        };
        match &self.windows {
            Windows::Grid(grid) => {
                let pane = grid.pane_of(time);
                if !grid.is_covered(pane) {
                    return (NO_CELL, None);
                }
                let (cell, new) = panes.cell(pane, make);
                (cell, new.then(|| grid.first_end(pane)))
            }
            Windows::Session(gap) => {
                let (cell, new) = panes.session_cell(*gap, time, make);
                (cell, new.then(|| time.saturating_add(*gap)))
            }
            Windows::Count(size) => {
                let cell = panes.count_cell(place, make);
                (cell, panes.count_due(*size))
            }
        }
    }

    fn free_cells(&mut self, cells: &[u32]) {
        for slot in &mut self.slots {
            cells.iter().for_each(|cell| slot.reset_cell(*cell as usize));
        }
        self.free.extend_from_slice(cells);
    }

    /// Whether windows of one key share no pane: no state slides.
    fn is_tumbling(&self) -> bool {
        match &self.windows {
            Windows::Grid(grid) => grid.is_tumbling(),
            Windows::Session(_) | Windows::Count(_) => true,
        }
    }

    /// Emits the windows listed and moves the states of their keys on.
    fn emit(&mut self, windows: &mut Closing, out: &mut Vec<RecordBatch>) -> Result<()> {
        let tumbling = self.is_tumbling();
        let keys = &self.keys;
        // Windows that share no pane begin afresh: one state serves all keys.
        let of =
            |key: u32| (&keys[key as usize], if tumbling { 0 } else { key as usize }, tumbling);
        let runs = runs(windows, of);
        for slot in &mut self.slots {
            slot.slide(&runs, windows.bounds.slices());
        }
        let last = |run: &PaneRun| run.results.end.saturating_sub(1);
        let moved: Vec<usize> = runs.iter().map(last).collect();
        for at in moved {
            let panes = &mut self.keys[windows.keys[at] as usize];
            panes.was = (windows.bounds.lo[at], windows.bounds.hi[at]);
            if self.current && !panes.touched {
                panes.touched = true;
                self.touched.push(windows.keys[at]);
            }
        }
        let mut slots = vec![None; self.spec.slots.len()];
        self.slots.iter_mut().try_for_each(|slot| slot.take(&mut slots))?;
        let keys = self.index.gather(&windows.keys)?;
        let times = windows.starts.iter().copied().zip(windows.ends.iter().copied());
        out.push(self.result_batch(keys, times.map(Some), slots)?);
        windows.clear();
        Ok(())
    }

    fn result_batch(
        &self,
        mut columns: Vec<ArrayRef>,
        times: impl Iterator<Item = Option<(i64, i64)>> + Clone,
        slots: Vec<Option<ArrayRef>>,
    ) -> Result<RecordBatch> {
        let starts = times.clone().map(|times| times.map(|times| times.0));
        let starts = TimestampMicrosecondArray::from_iter(starts).with_timezone("UTC");
        let ends = times.map(|times| times.map(|times| times.1));
        let ends = TimestampMicrosecondArray::from_iter(ends).with_timezone("UTC");
        let options = RecordBatchOptions::new().with_row_count(Some(ends.len()));
        columns.push(Arc::new(starts));
        columns.push(Arc::new(ends));
        assert!(slots.iter().all(Option::is_some), "a slot without a result");
        columns.extend(slots.into_iter().flatten());
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// The newest window with rows of each request (key, greatest end allowed), in that order,
    /// and slot columns. Requests of one key lie together, ascending in time.
    fn newest(&self, requests: &[(Option<u32>, i64)]) -> Result<NewestWindows> {
        let none = Panes::default();
        let found: Vec<Option<Window>> = requests
            .iter()
            .map(|(key, time)| {
                let panes = key.map_or(&none, |key| &self.keys[key as usize]);
                panes.newest(&self.windows, *time)
            })
            .collect();
        let keys = requests.iter().map(|(key, _)| *key);
        let columns = self.values(&keys.zip(found.iter().copied()).collect::<Vec<_>>())?;
        Ok((found, columns))
    }

    /// The slot columns of windows, no window giving those of nothing. Windows of one key lie
    /// together, ascending.
    fn values(&self, of: &[(Option<u32>, Option<Window>)]) -> Result<Vec<Option<ArrayRef>>> {
        let none = Panes::default();
        let mut windows = Closing::default();
        for (key, window) in of {
            let first = key.map_or(0, |key| self.keys[key as usize].first);
            let nothing = Window { lo: first, hi: first, ..Window::NOTHING };
            windows.push(key.unwrap_or(u32::MAX), window.unwrap_or(nothing));
        }
        let of = |key: u32| (self.keys.get(key as usize).unwrap_or(&none), 0, true);
        let runs = runs(&windows, of);
        let mut columns = vec![None; self.spec.slots.len()];
        for slot in &self.slots {
            slot.peek(&runs, windows.bounds.slices()).take(&mut columns)?;
        }
        Ok(columns)
    }

    /// A result batch of windows (of one key together, ascending); no key gives results of
    /// nothing, with NULL for the key.
    pub(super) fn results(&self, windows: &[(Option<u32>, Window)]) -> Result<RecordBatch> {
        let of = windows.iter().map(|(key, window)| (*key, key.map(|_| *window)));
        let slots = self.values(&of.collect::<Vec<_>>())?;
        let times = windows.iter().map(|(_, window)| Some((window.start, window.end)));
        let mut keys = Vec::with_capacity(self.index.types().len());
        match windows.iter().map(|(key, _)| *key).collect::<Option<Vec<_>>>() {
            Some(slots) => keys = self.index.gather(&slots)?,
            None => {
                let null = |data_type| arrow::array::new_null_array(data_type, windows.len());
                keys.extend(self.index.types().iter().map(null));
            }
        }
        self.result_batch(keys, times, slots)
    }

    /// The windows of a key that have not been closed and end at or before `until`, ascending.
    pub(super) fn open_windows(&self, key: u32, until: i64) -> Vec<Window> {
        let panes = &self.keys[key as usize];
        if let Windows::Count(size) = &self.windows {
            return panes.counts_between(*size, self.watermark, until);
        }
        let (mut open, mut until) = (Vec::new(), until);
        while let Some(window) = panes.newest(&self.windows, until)
            && window.end > self.watermark
        {
            open.push(window);
            until = window.end - 1;
        }
        open.reverse();
        open
    }

    /// Results of the windows of some keys that have not been closed and end at or before the
    /// greatest time given for their key; those of a key together, ascending.
    pub(super) fn open_results(&self, keys: &[ArrayRef], lasts: &[i64]) -> Result<RecordBatch> {
        let mut scratch = Vec::new();
        let mut until: BTreeMap<u32, i64> = BTreeMap::new();
        for (row, last) in lasts.iter().enumerate() {
            if let Some(key) = self.find(keys, row, &mut scratch)? {
                let until = until.entry(key).or_insert(*last);
                *until = (*until).max(*last);
            }
        }
        let mut windows = Vec::new();
        for (key, until) in until {
            let open = self.open_windows(key, until);
            windows.extend(open.into_iter().map(|window| (Some(key), window)));
        }
        self.results(&windows)
    }

    /// The slot of one row of key columns.
    pub(super) fn find(
        &self,
        keys: &[ArrayRef],
        row: usize,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<u32>> {
        self.index.find(keys, row, scratch)
    }

    /// Probes before this time could miss windows that are gone.
    pub(super) fn horizon(&self) -> i64 {
        self.horizon
    }

    /// The greatest end of window that each probe may see.
    ///
    /// # Errors
    /// `Usage` for a time before the horizon.
    pub(super) fn lasts(&self, times: &[EventTime], bound: Bound) -> Result<Vec<i64>> {
        let last = |time: &EventTime| match bound {
            Bound::Strict => time.0.saturating_sub(1),
            Bound::Inclusive => time.0,
        };
        let too_early = |time: &&EventTime| last(time) < self.horizon.saturating_sub(1);
        if let Some(early) = times.iter().find(too_early) {
            let horizon = EventTime(self.horizon);
            return Err(Error::usage(format!(
                "the value at {early} is asked for; windows are held for times from {horizon} on"
            ))
            .with_hint("training-set reads history for earlier times"));
        }
        Ok(times.iter().map(last).collect())
    }
}

/// One run per stretch of windows of one key. `of` gives the panes of a key, its state, and
/// whether that starts empty.
fn runs<'a>(windows: &Closing, of: impl Fn(u32) -> (&'a Panes, usize, bool)) -> Vec<PaneRun<'a>> {
    let mut runs: Vec<PaneRun> = Vec::new();
    let mut begin = 0;
    for group in windows.keys.chunk_by(|a, b| a == b) {
        let (panes, state, fresh) = of(group[0]);
        let was = if fresh { (0, 0) } else { panes.was };
        let results = begin..begin + group.len();
        begin = results.end;
        runs.push(PaneRun { cells: &panes.cells, first: panes.first, state, fresh, was, results });
    }
    runs
}

fn windows_of(shape: &WindowShape) -> Result<Windows> {
    match (shape, Grid::new(shape)?) {
        (_, Some(grid)) => Ok(Windows::Grid(grid)),
        (WindowShape::Session { gap_us }, _) => Ok(Windows::Session(length("gap", *gap_us)?)),
        (WindowShape::Count { rows }, _) => match usize::try_from(*rows) {
            Ok(rows) if rows > 0 => Ok(Windows::Count(rows)),
            _ => Err(Error::usage("a window of no rows")),
        },
        _ => Err(Error::internal("windows without a grid")),
    }
}

/// The places of the rows of a step batch without its key columns.
fn places(rest: &[ArrayRef]) -> impl Iterator<Item = Place> {
    let partitions = rest[1].as_primitive::<Int32Type>().values();
    let offsets = rest[2].as_primitive::<Int64Type>().values();
    let places = times(&rest[0]).iter().zip(partitions).zip(offsets);
    places.map(|((time, partition), offset)| (*time, *partition, *offset))
}

/// Times of windows for result batches.
fn times_of(windows: &[Option<Window>]) -> impl Iterator<Item = Option<(i64, i64)>> + Clone {
    windows.iter().map(|window| window.map(|window| (window.start, window.end)))
}

/// Columns of which only "not NULL" is asked.
fn flags(spec: &GroupSpec) -> Vec<bool> {
    let mut flags = vec![true; spec.value_types.len()];
    for column in spec.slots.iter().flat_map(|slot| slot.aggregate.reads()) {
        if let Some(flag) = flags.get_mut(column) {
            *flag = false;
        }
    }
    flags
}

impl Operator for GroupWindow {
    fn on_batch(&mut self, step: &RecordBatch) -> Result<()> {
        assert!(self.sorted.is_idle(), "rows by time after rows by key");
        let (keys, rest) = step.columns().split_at(self.spec.key_types.len());
        let mut slots = Vec::new();
        self.index.insert(keys, step.num_rows(), &mut slots)?;
        if self.keys.len() < self.index.capacity() {
            self.keys.resize_with(self.index.capacity(), Panes::default);
        }
        let mut cells = Vec::with_capacity(step.num_rows());
        let mut panes = Panes::default();
        for (slot, place) in slots.iter().zip(places(rest)) {
            assert!(place.0 >= self.watermark, "a row before the watermark");
            self.newest = self.newest.max(place.0);
            self.changes.mark(*slot);
            std::mem::swap(&mut panes, &mut self.keys[*slot as usize]);
            let (cell, new) = self.pane_cell(&mut panes, place);
            if let Some(end) = new.filter(|end| *end < panes.due) {
                panes.due = end;
                self.closing.push(end, *slot);
            }
            cells.push(cell);
            std::mem::swap(&mut panes, &mut self.keys[*slot as usize]);
        }
        self.add_rows(rest, &cells)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Vec<RecordBatch>) -> Result<()> {
        assert!(watermark.0 >= self.watermark, "the watermark goes back");
        self.watermark = watermark.0;
        // After the end of input there is nothing newer to come; what is held stays readable.
        let horizon = watermark.0.min(self.newest.saturating_add(1));
        self.horizon = self.horizon.max(horizon);
        let mut due = Vec::new();
        let Self { closing, keys, .. } = self;
        closing.advance(watermark.0.saturating_add(1), |end, slot| {
            if keys[slot as usize].due == end {
                due.push((slot, end));
            }
        });
        due.sort_unstable();
        due.dedup();
        let mut windows = Closing::default();
        for (slot, _) in &due {
            loop {
                let room = BATCH_ROWS - windows.ends.len();
                let panes = &mut self.keys[*slot as usize];
                let done = panes.close(&self.windows, *slot, watermark.0, room, &mut windows);
                if windows.ends.len() >= BATCH_ROWS {
                    self.emit(&mut windows, out)?;
                }
                if done {
                    break;
                }
            }
        }
        if !windows.ends.is_empty() {
            self.emit(&mut windows, out)?;
        }
        let mut gone = Vec::new();
        for (slot, _) in due {
            self.changes.mark(slot);
            let panes = &mut self.keys[slot as usize];
            if panes.due != NOT_DUE {
                self.closing.push(panes.due, slot);
            }
            panes.drop_old(&self.windows, self.horizon, &mut gone);
        }
        self.free_cells(&gone);
        Ok(())
    }

    fn on_sorted(
        &mut self,
        step: &RecordBatch,
        finish: bool,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()> {
        self.sorted_batch(step, finish, out)
    }

    fn touch_all(&mut self) {
        if !self.current {
            return;
        }
        for slot in self.index.sorted() {
            let panes = &mut self.keys[slot as usize];
            if !panes.touched {
                panes.touched = true;
                self.touched.push(slot);
                self.changes.mark(slot);
            }
        }
    }

    fn drain_current(&mut self) -> Result<Option<Current>> {
        self.take_current()
    }

    fn follow(&mut self, follow: Follow) {
        self.following.start(follow);
    }

    fn refresh(&mut self, at: EventTime) {
        self.refresh_to(at.0);
    }

    fn probe(&self, keys: &[ArrayRef], times: &[EventTime], bound: Bound) -> Result<Probed> {
        let lasts = self.lasts(times, bound)?;
        let mut scratch = Vec::new();
        let mut found = Vec::with_capacity(times.len());
        for row in 0..times.len() {
            found.push(self.index.find(keys, row, &mut scratch)?);
        }
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|request| (found[*request], times[*request]));
        let requests: Vec<_> =
            order.iter().map(|request| (found[*request], lasts[*request])).collect();
        let (found, columns) = self.newest(&requests)?;
        let (mut windows, mut places) = (vec![None; times.len()], vec![0u32; times.len()]);
        for (i, request) in order.iter().enumerate() {
            windows[*request] = found[i];
            places[*request] = i as u32;
        }
        let places = UInt32Array::from(places);
        let back = |column: Option<ArrayRef>| {
            Ok(match column {
                Some(column) => Some(take(&column, &places, None)?),
                None => None,
            })
        };
        let slots = columns.into_iter().map(back).collect::<Result<Vec<_>>>()?;
        let mut repeated = Vec::with_capacity(keys.len());
        for (key, data_type) in keys.iter().zip(self.index.types()) {
            let same = key.data_type() == data_type;
            repeated.push(if same { key.clone() } else { cast(key, data_type)? });
        }
        let present = windows.iter().map(Option::is_some).collect();
        let times = times_of(&windows);
        let newest = windows.iter().map(|window| window.map(|window| window.end)).collect();
        Ok(Probed { rows: self.result_batch(repeated, times, slots)?, present, newest })
    }

    fn keys(&self) -> Result<(Vec<ArrayRef>, usize)> {
        let slots = self.index.sorted();
        Ok((self.index.gather(&slots)?, slots.len()))
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.snapshot_of(&self.index.sorted())
    }

    fn follow_changes(&mut self) {
        self.changes.follow();
    }

    fn changes(&mut self) -> Result<Option<Snapshot>> {
        Ok(self.take_changes()?.map(|(_, snapshot)| snapshot))
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.add_snapshot(snapshot)
    }

    fn state_bytes(&self) -> usize {
        let cell: usize = self.slots.iter().map(|slot| slot.cell_bytes()).sum();
        let panes = (self.cells - self.free.len()) * (cell + 12);
        let keys = self.index.size_bytes() + self.keys.len() * (size_of::<Panes>() + 64);
        let noted = self.changes.size_bytes() + self.following.size_bytes();
        panes + keys + self.closing.size_bytes() + noted
    }

    fn key_count(&self) -> usize {
        self.index.len()
    }
}

#[cfg(test)]
mod tests;
