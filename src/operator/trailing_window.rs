//! Trailing windows (`OVER (… RANGE | ROWS …)`): one buffer of rows per key, many frames over it.
//!
//! Rows before the watermark become final: for each key that has any, the bounds of every frame
//! are computed for all of them, then each slot slides over them in one call. A second front, at
//! the newest row of each key, gives current values at once; rows that arrive out of order are
//! put into its accumulators. A probe evaluates the same slots over the buffer without moving
//! anything. Rows that nothing can ask for any more are dropped; so are keys out of reach.
//!
//! | file | what is in it |
//! |---|---|
//! | `plan` | what follows from the specification |
//! | `keys` | the rows of a key, and which of them are still needed |
//! | `current` | values of touched keys; values that follow time |
//! | `front` | how far each frame has moved; moving on |
//! | `exclude` | moving on where peers have different frames |
//! | `order` | rows of equal time under tie-breakers |
//! | `probe` | values at a time asked for |
//! | `ahead` | what another operator over the results asks |
//! | `sorted` | history read key by key |
//! | `snapshot` | state to tables and back |

mod ahead;
mod current;
mod exclude;
mod front;
mod keys;
mod order;
mod plan;
mod probe;
mod snapshot;
mod sorted;

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::cast;

use self::front::{Front, Piece};
use self::keys::{KeyRows, NOT_DUE};
use self::order::anchor;
use self::plan::{Plan, excludes};
use self::probe::{Ask, evaluate, in_request_order};
use self::sorted::Sorted;
use super::follow::{Follow, Following, UNCHANGING};
use super::operator::{Bound, Current, Operator, Probed};
use crate::aggregate::slot::Rows;
use crate::error::{Error, Result};
use crate::limits::BATCH_ROWS;
use crate::model::time::EventTime;
use crate::plan::dataflow::TrailingSpec;
use crate::state::changes::Changes;
use crate::state::intern::Interner;
use crate::state::key_index::KeyIndex;
use crate::state::snapshot::Snapshot;
use crate::state::timer::Timer;

/// The operator of a [`TrailingSpec`].
#[derive(Debug)]
pub struct TrailingWindow {
    plan: Arc<Plan>,
    index: KeyIndex,
    interner: Interner,
    keys: Vec<KeyRows>,
    finals: Front,
    /// The front of current values, if they are wanted.
    current: Option<Front>,
    /// Keys by their first row that is not final.
    waiting: Timer,
    /// Keys by the time from which nothing of them counts.
    expiry: Timer,
    /// Whether keys that change are noted in `touched`.
    noting: bool,
    touched: Vec<u32>,
    changes: Changes,
    following: Following,
    watermark: i64,
    /// A snapshot was put in, perhaps one without keys.
    restored: bool,
    /// Newest event time seen.
    newest: i64,
    /// Probes before this time could miss rows that are gone.
    horizon: i64,
    rows_held: usize,
    sorted: Sorted,
    slots: Vec<u32>,
    words: Vec<u64>,
}

/// Keys whose memory is asked for together (see `KeyRows::touch`).
const AHEAD: usize = 64;
/// Rows made final in one go: what they need of the keys' states should stay in the cache.
const FINAL_ROWS: usize = BATCH_ROWS / 4;

fn touch(keys: &[KeyRows], slots: &[u32]) {
    let touch = |slot: &u32| keys[*slot as usize].touch();
    black_box(slots.iter().map(touch).fold(0, u64::wrapping_add));
}

impl TrailingWindow {
    /// An operator without rows; `current` asks for current values.
    ///
    /// # Errors
    /// `NotSupported` for what cannot be kept or computed.
    pub fn new(spec: &TrailingSpec, current: bool) -> Result<Self> {
        let plan = Plan::new(spec)?;
        let index = KeyIndex::new(&spec.key_types)?;
        let finals = Front::new(&plan, |_| true)?;
        // Under tie-breakers a late row can change places inside a ROWS frame: those frames are
        // evaluated from the buffer instead. So are frames that differ between peers.
        let moving = |frame: usize| {
            let frame = &plan.spec.frames[frame];
            !(excludes(frame) || plan.ordered && frame.is_rows())
        };
        let current_wanted = current;
        let current = if current { Some(Front::new(&plan, moving)?) } else { None };
        Ok(Self {
            plan: Arc::new(plan),
            index,
            interner: Interner::default(),
            keys: Vec::new(),
            finals,
            current,
            waiting: Timer::new(),
            expiry: Timer::new(),
            noting: current_wanted,
            touched: Vec::new(),
            changes: Changes::default(),
            following: Following::default(),
            watermark: i64::MIN,
            restored: false,
            newest: i64::MIN,
            horizon: i64::MIN,
            rows_held: 0,
            sorted: Sorted::default(),
            slots: Vec::new(),
            words: Vec::new(),
        })
    }

    /// An operator without rows that notes which keys change ([`Self::take_touched`]) and leaves
    /// their values to whoever asks.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(in crate::operator) fn noting(spec: &TrailingSpec) -> Result<Self> {
        Ok(Self { noting: true, ..Self::new(spec, false)? })
    }

    /// Final results so far that did not fit their type and are NULL.
    pub fn numeric_overflow(&self) -> u64 {
        self.finals.overflow()
    }

    /// Makes room for keys up to the index's capacity.
    fn resize(&mut self) {
        let capacity = self.index.capacity();
        if self.keys.len() < capacity {
            self.keys.resize_with(capacity, KeyRows::default);
            self.finals.resize(capacity);
            if let Some(current) = &mut self.current {
                current.resize(capacity);
            }
        }
    }

    /// Puts one row in its place and notes what it changes.
    #[inline]
    fn insert(&mut self, slot: u32, row: &[u64]) {
        let stride = self.plan.layout.stride();
        let time = row[0] as i64;
        assert!(time >= self.watermark, "a row at or before the watermark");
        self.changes.mark(slot);
        let key = &mut self.keys[slot as usize];
        let number = key.insert(stride, row);
        if time < key.due {
            key.due = time;
            self.waiting.push(time, slot);
        }
        if let Some(current) = &mut self.current
            && number + 1 < key.buffer.end(stride)
        {
            let rows = key.buffer.rows(stride, self.interner.texts(), None);
            current.insert(slot as usize, &rows, number);
        }
        if self.noting && !key.touched {
            key.touched = true;
            self.touched.push(slot);
        }
        self.newest = self.newest.max(time);
    }

    /// The keys with rows before the watermark, each with the number after the last of them.
    fn due(&mut self, watermark: i64) -> Vec<(u32, u64)> {
        let Self { waiting, keys, plan, .. } = self;
        let stride = plan.layout.stride();
        let mut due = Vec::new();
        waiting.advance(watermark, |time, slot| {
            let key = &mut keys[slot as usize];
            // An entry of an earlier row, or of a key that had this slot before, is stale.
            if key.due == time {
                key.due = NOT_DUE;
                due.push(slot);
            }
        });
        due.sort_unstable();
        let mut ends = Vec::with_capacity(due.len());
        for slots in due.chunks(AHEAD) {
            touch(keys, slots);
            ends.extend(slots.iter().map(|slot| {
                let key = &keys[*slot as usize];
                let before = |row: &[u64]| (row[0] as i64) < watermark;
                (*slot, key.buffer.partition_point(stride, key.final_end, before))
            }));
        }
        ends
    }

    /// Makes stretches of rows final and emits their results.
    fn finalize(&mut self, due: &[(u32, u64, u64)], out: &mut Vec<RecordBatch>) -> Result<()> {
        let mut finals = std::mem::take(&mut self.finals);
        let (plan, keys, texts) = (&self.plan, &self.keys, self.interner.texts());
        let piece = |(slot, start, end): &(u32, u64, u64)| {
            let key = &keys[*slot as usize];
            Piece {
                rows: key.rows(plan, texts),
                state: *slot as usize,
                fresh: false,
                tie: key.tie,
                start: *start,
                end: *end,
            }
        };
        let pieces: Vec<Piece> = due.iter().map(piece).collect();
        let mut columns = vec![None; plan.spec.slots.len()];
        let advanced = finals.advance(plan, &pieces, &mut columns);
        let rows: Vec<&[u64]> = pieces
            .iter()
            .flat_map(|piece| (piece.start..piece.end).map(|row| piece.rows.row(row)))
            .collect();
        let slots = due.iter().flat_map(|(slot, start, end)| (*start..*end).map(|_| *slot));
        let repeated = self.repeated(&slots.collect::<Vec<_>>(), &rows)?;
        let results = rows.len();
        self.finals = finals;
        advanced?;
        out.push(self.result_batch(repeated, columns, results)?);
        for (slot, _, end) in due {
            self.keys[*slot as usize].final_end = *end;
        }
        Ok(())
    }

    /// Keys, time and carried columns of results anchored at rows.
    fn repeated(&self, slots: &[u32], rows: &[&[u64]]) -> Result<Vec<ArrayRef>> {
        let mut columns = self.index.gather(slots)?;
        let rows = rows.iter().map(|row| Some(*row));
        columns.extend(self.anchored(rows)?);
        Ok(columns)
    }

    /// Time and carried columns of results, NULL where there is no row.
    fn anchored<'a>(
        &self,
        rows: impl Iterator<Item = Option<&'a [u64]>> + Clone,
    ) -> Result<Vec<ArrayRef>> {
        let times = rows.clone().map(|row| row.map(|row| row[0] as i64));
        let times = TimestampMicrosecondArray::from_iter(times).with_timezone("UTC");
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times)];
        for column in &self.plan.spec.carried {
            columns.push(self.plan.layout.decode(*column, rows.clone(), self.interner.texts())?);
        }
        Ok(columns)
    }

    fn result_batch(
        &self,
        mut columns: Vec<ArrayRef>,
        slots: Vec<Option<ArrayRef>>,
        rows: usize,
    ) -> Result<RecordBatch> {
        let known = slots.iter().all(Option::is_some);
        assert!(known, "a slot without a result");
        columns.extend(slots.into_iter().flatten());
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(self.plan.schema.clone(), columns, &options)?)
    }

    /// After rows of a key became final: drops what nobody can ask for, and registers what is
    /// next for it.
    fn settle(&mut self, slot: u32) {
        self.changes.mark(slot);
        let stride = self.plan.layout.stride();
        let at = slot as usize;
        let current = self.current.as_ref();
        let keep = self.keys[at].keep_from(&self.plan, at, &self.finals, current);
        let key = &mut self.keys[at];
        let gone = key.buffer.before(stride, keep);
        self.rows_held -= gone.len() / stride;
        self.plan.layout.release(gone, &mut self.interner);
        key.buffer.drop_before(stride, keep);
        if key.due == NOT_DUE && key.final_end < key.buffer.end(stride) {
            key.due = key.buffer.time(stride, key.final_end);
            self.waiting.push(key.due, slot);
        }
        self.expire_later(slot);
    }

    /// Registers a key without waiting rows for the time from which it is forgotten.
    fn expire_later(&mut self, slot: u32) {
        let stride = self.plan.layout.stride();
        let key = &mut self.keys[slot as usize];
        if let Some(reach) = self.plan.reach
            && key.due == NOT_DUE
            && !key.expiring
            && let Some(newest) = key.newest(stride)
        {
            key.expiring = true;
            self.expiry.push(newest.saturating_add(reach), slot);
        }
    }

    /// Forgets keys whose newest row is out of reach of every probe from the horizon on.
    fn expire(&mut self) -> Result<()> {
        let Some(reach) = self.plan.reach else { return Ok(()) };
        let stride = self.plan.layout.stride();
        let (mut due, mut gone) = (Vec::new(), Vec::new());
        self.expiry.advance(self.horizon, |_, slot| due.push(slot));
        for slot in due {
            let at = slot as usize;
            let key = &mut self.keys[at];
            key.expiring = false;
            let newest = key.newest(stride).unwrap_or(i64::MIN);
            // A value that is still to change, or to be taken: then it is registered again.
            if key.due != NOT_DUE || key.touched || key.changes != UNCHANGING {
                continue;
            }
            if newest.saturating_add(reach) >= self.horizon {
                self.expire_later(slot);
                continue;
            }
            self.rows_held -= key.buffer.words().len() / stride;
            self.plan.layout.release(key.buffer.words(), &mut self.interner);
            *key = KeyRows::default();
            self.finals.reset(at);
            if let Some(current) = &mut self.current {
                current.reset(at);
            }
            gone.push(slot);
        }
        self.changes.remove(&gone, self.index.gather(&gone)?);
        gone.into_iter().for_each(|slot| self.index.remove(slot));
        Ok(())
    }

    /// The newest row of a key among the rows before `end`, if it is within reach of `time`.
    fn anchor(&self, rows: &Rows, end: u64, time: i64) -> Option<u64> {
        let row = anchor(&self.plan, rows, end)?;
        let in_reach = self
            .plan
            .reach
            .is_none_or(|reach| rows.row(row)[0] as i64 >= time.saturating_sub(reach));
        in_reach.then_some(row)
    }

    fn ask(&self, slot: Option<u32>, time: i64, bound: Bound) -> Ask<'_> {
        let stride = self.plan.layout.stride();
        let Some(slot) = slot else {
            let rows = Rows { words: &[], stride, first: 0, texts: &[], order: None };
            return Ask { key: None, rows, tie: 0, end: 0, time, anchor: None };
        };
        let key = &self.keys[slot as usize];
        let rows = key.rows(&self.plan, self.interner.texts());
        let end = key.buffer.partition_point(stride, rows.first, |row| match bound {
            Bound::Strict => (row[0] as i64) < time,
            Bound::Inclusive => row[0] as i64 <= time,
        });
        let anchor = self.anchor(&rows, end, time);
        Ask { key: Some(slot as usize), rows, tie: key.tie, end, time, anchor }
    }
}

impl TrailingWindow {
    /// `probe` of keys at times not before their newest row, or from the horizon on.
    pub(in crate::operator) fn probe_held(
        &self,
        keys: &[ArrayRef],
        times: &[EventTime],
        bound: Bound,
    ) -> Result<Probed> {
        let mut scratch = Vec::new();
        let mut found = Vec::with_capacity(times.len());
        for row in 0..times.len() {
            found.push(self.index.find(keys, row, &mut scratch)?);
        }
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|request| (found[*request], times[*request]));
        let ask = |request: &usize| self.ask(found[*request], times[*request].0, bound);
        let asks: Vec<Ask> = order.iter().map(ask).collect();
        let mut slots = vec![None; self.plan.spec.slots.len()];
        evaluate(&self.plan, &self.finals, |_| true, &asks, &mut slots)?;
        let rows = asks.iter().map(|ask| ask.anchor.map(|row| ask.rows.row(row)));
        let mut columns = self.anchored(rows)?;
        let fixed = columns.len();
        columns.extend(slots.into_iter().flatten());
        let mut columns = in_request_order(columns, &order)?;
        let slots = columns.split_off(fixed).into_iter().map(Some).collect();
        let mut repeated = Vec::with_capacity(keys.len() + fixed);
        for (key, data_type) in keys.iter().zip(self.index.types()) {
            let key = key.slice(0, times.len());
            repeated.push(if key.data_type() == data_type { key } else { cast(&key, data_type)? });
        }
        repeated.extend(columns);
        let (mut present, mut newest) = (vec![false; times.len()], vec![None; times.len()]);
        for (request, ask) in order.iter().zip(&asks) {
            present[*request] = ask.anchor.is_some();
            let last = ask.end.checked_sub(1).filter(|last| *last >= ask.rows.first);
            newest[*request] = last.map(|last| ask.rows.row(last)[0] as i64);
        }
        Ok(Probed { rows: self.result_batch(repeated, slots, times.len())?, present, newest })
    }
}

impl Operator for TrailingWindow {
    fn on_batch(&mut self, step: &RecordBatch) -> Result<()> {
        assert!(self.sorted.is_idle(), "rows by time after rows by key");
        let key_count = self.plan.key_count();
        let (keys, rest) = step.columns().split_at(key_count);
        let mut slots = std::mem::take(&mut self.slots);
        let mut words = std::mem::take(&mut self.words);
        slots.clear();
        self.index.insert(keys, step.num_rows(), &mut slots)?;
        self.resize();
        self.plan.layout.encode(rest, &mut self.interner, &mut words)?;
        let stride = self.plan.layout.stride();
        for (slots, rows) in slots.chunks(AHEAD).zip(words.chunks(AHEAD * stride)) {
            touch(&self.keys, slots);
            for (slot, row) in slots.iter().zip(rows.chunks_exact(stride)) {
                self.insert(*slot, row);
            }
        }
        self.rows_held += slots.len();
        (self.slots, self.words) = (slots, words);
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Vec<RecordBatch>) -> Result<()> {
        assert!(watermark.0 >= self.watermark, "the watermark goes back");
        self.watermark = watermark.0;
        // After the end of input there is nothing newer to come; what is held stays readable.
        let horizon = watermark.0.min(self.newest.saturating_add(1));
        self.horizon = self.horizon.max(horizon);
        let due = self.due(watermark.0);
        let stride = self.plan.layout.stride();
        let (mut chunk, mut rows, mut settled) = (Vec::new(), 0, 0);
        for (i, (slot, end)) in due.iter().enumerate() {
            let key = &self.keys[*slot as usize];
            let mut start = key.final_end;
            while start < *end {
                let room = (FINAL_ROWS - rows) as u64;
                let mut stop = (*end).min(start + room);
                if self.plan.whole_groups && stop < *end {
                    // Rows of equal time stay together: a frame may put them in another order.
                    let now = self.keys[*slot as usize].buffer.time(stride, stop - 1);
                    let buffer = &self.keys[*slot as usize].buffer;
                    stop = buffer.partition_point(stride, stop, |row| row[0] as i64 <= now);
                }
                chunk.push((*slot, start, stop));
                rows += (stop - start) as usize;
                start = stop;
                if rows >= FINAL_ROWS {
                    self.finalize(&chunk, out)?;
                    (rows, chunk) = (0, Vec::new());
                    let done = if start == *end { i + 1 } else { i };
                    due[settled..done].iter().for_each(|(slot, _)| self.settle(*slot));
                    settled = done;
                }
            }
        }
        if rows > 0 {
            self.finalize(&chunk, out)?;
        }
        due[settled..].iter().for_each(|(slot, _)| self.settle(*slot));
        self.expire()
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
        if !self.noting {
            return;
        }
        for slot in self.index.sorted() {
            let key = &mut self.keys[slot as usize];
            if !key.touched && !key.buffer.is_empty() {
                key.touched = true;
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
        let before = |time: &&EventTime| match bound {
            Bound::Strict => time.0 < self.horizon,
            Bound::Inclusive => time.0 < self.horizon.saturating_sub(1),
        };
        if let Some(early) = times.iter().find(before) {
            let horizon = EventTime(self.horizon);
            return Err(Error::usage(format!(
                "the value at {early} is asked for; rows are held for times from {horizon} on"
            ))
            .with_hint("training-set reads history for earlier times"));
        }
        self.probe_held(keys, times, bound)
    }

    fn keys(&self) -> Result<(Vec<ArrayRef>, usize)> {
        let slots = self.index.sorted();
        Ok((self.index.gather(&slots)?, slots.len()))
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.snapshot_by_slots(&self.index.sorted())
    }

    fn follow_changes(&mut self) {
        self.changes.follow();
    }

    fn changes(&mut self) -> Result<Option<Snapshot>> {
        self.changes_as_snapshot()
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.add_snapshot(snapshot)
    }

    fn state_bytes(&self) -> usize {
        let keys = self.index.len();
        let rows = self.rows_held * self.plan.layout.stride() * 3 / 2 * 8;
        let fixed = keys * size_of::<KeyRows>() + self.index.size_bytes();
        let timers =
            self.waiting.size_bytes() + self.expiry.size_bytes() + self.following.size_bytes();
        let fronts = self.finals.state_bytes(keys)
            + self.current.as_ref().map_or(0, |front| front.state_bytes(keys));
        let noted = self.changes.size_bytes();
        rows + fixed + timers + fronts + noted + self.interner.size_bytes()
    }

    fn key_count(&self) -> usize {
        self.index.len()
    }
}

#[cfg(test)]
pub mod tests;
