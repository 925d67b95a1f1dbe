//! What an operator keeps, as Arrow tables, and its bytes (Arrow IPC). Restored by `operator`,
//! stored by `checkpoint`.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use crate::model::key::Shard;

/// The table of the keys of a shard: the key columns first, then what belongs to the key itself.
pub const KEYS_TABLE: &str = "keys";

/// Of what changed: the key columns of keys that are held no more.
pub const GONE_TABLE: &str = "gone";

/// Before the names of the tables of a second operator in the state of a chain: they have keys of
/// their own.
pub const THEN_PREFIX: &str = "then_";

/// In tables of rows that belong to keys: the number of the key's row in [`KEYS_TABLE`].
pub const OWNER_COLUMN: &str = "_key";

/// One table of a snapshot. `shard` says which key group (or partition) its rows belong to, so
/// that another number of lanes can restore it.
#[derive(Clone, Debug)]
pub struct SnapshotTable {
    pub name: &'static str,
    pub shard: Shard,
    pub rows: RecordBatch,
}

/// What an operator keeps, as Arrow tables. Restoring any set of whole shards, in any order, into
/// a fresh operator continues as if it had never stopped.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Version of the layout of `tables`; a newer one is refused, older ones are read.
    pub format: u32,
    /// The watermark up to which final rows were emitted.
    pub watermark: Option<i64>,
    /// Numbers of the operator that belong to no key, by name.
    pub globals: BTreeMap<String, i64>,
    pub tables: Vec<SnapshotTable>,
}
