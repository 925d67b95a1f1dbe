//! The contract between drivers (`runtime`, `batch`) and stateful operators.

use arrow::array::{ArrayRef, RecordBatch};

use super::follow::Follow;
use crate::error::Result;
use crate::model::time::EventTime;
use crate::state::snapshot::Snapshot;

/// Whether a probe at t sees rows at t itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// `< t`.
    Strict,
    /// `<= t`.
    Inclusive,
}

/// An incremental operator: rows in, result batches out (layouts: `plan::dataflow`).
///
/// # Contract
/// - Rows come in any order of time, but never at or before a watermark already given
///   (`_time >= watermark`), and (partition, offset) pairs are distinct.
/// - The result rows emitted up to a watermark depend only on the set of rows given, never on
///   their order, the batching or the watermarks in between; `snapshot` then `restore` into a
///   fresh operator changes nothing.
/// - `on_watermark` never goes back; `EventTime::INFINITY` ends the input.
/// - `probe` does not change the state.
/// - Wrong input is our own bug (assert); data never makes an operator fail.
pub trait Operator: Send {
    /// Takes a step batch in. `shard` is recorded with new keys when shards are partitions; with
    /// key groups the operator derives the shard from the key.
    fn on_batch(&mut self, step: &RecordBatch) -> Result<()>;

    /// Everything before `watermark` is final: appends result batches to `out`. Trailing windows
    /// emit one row per input row with `_time < watermark`; group windows one row per
    /// (key, window) with `window_end <= watermark`.
    fn on_watermark(&mut self, watermark: EventTime, out: &mut Vec<RecordBatch>) -> Result<()>;

    /// For history read key by key: rows sorted by (key, time, partition, offset), a key never
    /// comes back later, memory is that of one key. Emits what `on_watermark(INFINITY)` would.
    /// `finish` is true with the last batch (which may be empty).
    fn on_sorted(
        &mut self,
        step: &RecordBatch,
        finish: bool,
        out: &mut Vec<RecordBatch>,
    ) -> Result<()>;

    /// The current value of every key touched since the last call (trailing windows: the value at
    /// the key's newest row, or at the time last refreshed to if that is later; group windows: the
    /// newest window closed). Empty for operators built without a current front.
    fn drain_current(&mut self) -> Result<Option<Current>>;

    /// Current values follow time from now on; called before rows, restored ones too.
    fn follow(&mut self, follow: Follow);

    /// Serving time has come to `at` (going back is ignored): every key whose current value has
    /// changed by that alone counts as touched, and only those.
    fn refresh(&mut self, at: EventTime);

    /// Every key counts as touched since the last `drain_current`.
    fn touch_all(&mut self);

    /// `f(key, t)` for each row of `keys` and `times` (semantics §4): a result batch with one row
    /// per request, in order, and whether the key is known (`present`). Columns anchored at a
    /// row are NULL when there is none.
    fn probe(&self, keys: &[ArrayRef], times: &[EventTime], bound: Bound) -> Result<Probed>;

    /// The key columns of every key held, in an order that depends on the keys only, and their
    /// number.
    fn keys(&self) -> Result<(Vec<ArrayRef>, usize)>;

    /// `probe` of every key at one time, inclusive: the result rows of those that are present.
    fn probe_all(&self, at: EventTime) -> Result<RecordBatch> {
        let (keys, count) = self.keys()?;
        let probed = self.probe(&keys, &vec![at; count], Bound::Inclusive)?;
        let present = arrow::array::BooleanArray::from(probed.present);
        Ok(arrow::compute::filter_record_batch(&probed.rows, &present)?)
    }

    /// Everything needed to continue.
    fn snapshot(&self) -> Result<Snapshot>;

    /// All state was just taken: `changes` counts from here. Before the first call nothing is
    /// counted.
    fn follow_changes(&mut self);

    /// What changed since the last call or since `follow_changes`, as a snapshot that [`overlay`]
    /// puts over the older ones; `None` where nothing is counted and all of it must be taken.
    /// Costs what has changed, not what is held.
    ///
    /// [`overlay`]: crate::state::overlay::overlay
    fn changes(&mut self) -> Result<Option<Snapshot>>;

    /// Adds the shards of a snapshot to a fresh operator (may be called once per shard).
    fn restore(&mut self, snapshot: &Snapshot) -> Result<()>;

    /// Estimate of the bytes held.
    fn state_bytes(&self) -> usize;

    /// Number of keys held.
    fn key_count(&self) -> usize;
}

/// Current values, one row per key.
#[derive(Clone, Debug)]
pub struct Current {
    /// Result batch.
    pub rows: RecordBatch,
    /// Per row: the time the value holds for.
    pub as_of: Vec<EventTime>,
    /// Per row: the time (or `window_end`) of the key's newest row; `None` where it has none any
    /// more.
    pub newest: Vec<Option<i64>>,
}

/// The answer to a probe.
#[derive(Clone, Debug)]
pub struct Probed {
    /// Result batch, one row per request.
    pub rows: RecordBatch,
    /// Per request: a row (or closed window) of the key lies at or before t within reach.
    pub present: Vec<bool>,
    /// Per request: the time (or `window_end`) of the newest row of the key at or before t that
    /// is held, within reach or not.
    pub newest: Vec<Option<i64>>,
}
