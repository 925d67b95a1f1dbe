//! What two operators have in common of which one reads the results of the other: their state as
//! one snapshot and back, and the rows between them. Called by `chain` and `nested`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray};

use crate::error::{Error, Result};
use crate::plan::dataflow::ChainSpec;
use crate::state::snapshot::{GONE_TABLE, KEYS_TABLE, Snapshot, SnapshotTable, THEN_PREFIX};

/// Tables of the second operator, by the names they have there.
const THEN: [(&str, &str); 3] =
    [(KEYS_TABLE, "then_keys"), ("rows", "then_rows"), (GONE_TABLE, "then_gone")];

/// The state of both operators.
pub fn joined(mut first: Snapshot, second: Snapshot) -> Result<Snapshot> {
    first.format = first.format << 8 | second.format;
    for table in second.tables {
        let name = THEN.iter().find(|(name, _)| *name == table.name);
        let (_, name) = name.ok_or_else(|| {
            Error::internal(format!("no name for the table {} of a chain", table.name))
        })?;
        first.tables.push(SnapshotTable { name, ..table });
    }
    let then = |(name, value)| (format!("{THEN_PREFIX}{name}"), value);
    first.globals.extend(second.globals.into_iter().map(then));
    Ok(first)
}

/// What [`joined`] put together: the state of the first operator and of the second.
pub fn split(snapshot: &Snapshot) -> (Snapshot, Snapshot) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for table in &snapshot.tables {
        match THEN.iter().find(|(_, then)| *then == table.name) {
            Some((name, _)) => second.push(SnapshotTable { name, ..table.clone() }),
            None => first.push(table.clone()),
        }
    }
    let (mut globals, mut then) = (snapshot.globals.clone(), BTreeMap::new());
    globals.retain(|name, value| match name.strip_prefix(THEN_PREFIX) {
        Some(name) => {
            then.insert(name.to_owned(), *value);
            false
        }
        None => true,
    });
    let (format, watermark) = (snapshot.format, snapshot.watermark);
    let first = Snapshot { format: format >> 8, watermark, globals, tables: first };
    let (format, globals, tables) = (format & 255, then, second);
    (first, Snapshot { format, watermark, globals, tables })
}

/// Columns that the second operator can name, then partition and offset, as its step batch.
///
/// # Errors
/// `Data` for columns that are not those of the plan.
pub fn rows_of_second(spec: &ChainSpec, mut columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let rows = columns.first().map_or(0, |column| column.len());
    let never = TimestampMicrosecondArray::from(vec![None::<i64>; rows]);
    columns.push(Arc::new(never.with_timezone("UTC")));
    spec.preparation.evaluate(&RecordBatch::try_new(spec.schema.clone(), columns)?)
}

/// A step batch of the second operator without rows.
pub fn no_rows_of_second(spec: &ChainSpec) -> RecordBatch {
    RecordBatch::new_empty(spec.preparation.projection.schema.clone())
}
