//! What an operator keeps, as Arrow tables, and its bytes (Arrow IPC). Restored by `operator`,
//! stored by `checkpoint`.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use crate::error::{Error, Result};
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

impl Snapshot {
    /// Refuses tables of another version than `format`; `what` names the operator.
    pub fn check_format(&self, what: &str, format: u32) -> Result<()> {
        if self.format == format {
            return Ok(());
        }
        Err(Error::data(format!(
            "the state of a {what} has format {}, this version reads {format}",
            self.format
        ))
        .with_hint("use the version of skewless that wrote the checkpoint"))
    }

    /// A number that belongs to no key; the least one if it was never set.
    pub fn global(&self, name: &str) -> i64 {
        self.globals.get(name).copied().unwrap_or(i64::MIN)
    }

    /// The table of a name and shard.
    pub fn table(&self, name: &str, shard: Shard) -> Result<&RecordBatch> {
        let found = self.tables.iter().find(|table| table.name == name && table.shard == shard);
        found
            .map(|table| &table.rows)
            .ok_or_else(|| Error::data(format!("a snapshot lacks the table {name} of {shard:?}")))
    }
}
