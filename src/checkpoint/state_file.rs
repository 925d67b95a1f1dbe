//! A snapshot as bytes: `SKWLSST1`, then counted blocks. The first block is JSON (format,
//! watermark, globals and, per table, name and shard), the others the tables as Arrow IPC streams.
//! Who reads it has compared length and checksum with the manifest before: Arrow's reader of
//! streams panics on some bytes that were changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::{Mutex, PoisonError};

use arrow::compute::concat_batches;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::key::Shard;
use crate::state::snapshot::{Snapshot, SnapshotTable};

const MAGIC: &[u8; 8] = b"SKWLSST1";

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    watermark: Option<i64>,
    globals: BTreeMap<String, i64>,
    tables: Vec<TableHead>,
}

#[derive(Serialize, Deserialize)]
struct TableHead {
    name: String,
    #[serde(flatten)]
    shard: ShardName,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ShardName {
    KeyGroup(u8),
    Partition(u32),
}

/// The bytes of a snapshot.
pub fn encode(snapshot: &Snapshot) -> Result<Bytes> {
    let tables = snapshot.tables.iter().map(|table| TableHead {
        name: table.name.to_owned(),
        shard: match table.shard {
            Shard::KeyGroup(group) => ShardName::KeyGroup(group),
            Shard::Partition(partition) => ShardName::Partition(partition),
        },
    });
    let head = Head {
        format: snapshot.format,
        watermark: snapshot.watermark,
        globals: snapshot.globals.clone(),
        tables: tables.collect(),
    };
    let head = serde_json::to_vec(&head)
        .map_err(|e| Error::internal(format!("a snapshot without a head: {e}")))?;
    let mut out = MAGIC.to_vec();
    block(&head, &mut out);
    for table in &snapshot.tables {
        let mut stream = StreamWriter::try_new(Vec::new(), table.rows.schema_ref())?;
        stream.write(&table.rows)?;
        block(&stream.into_inner()?, &mut out);
    }
    Ok(out.into())
}

fn block(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Takes the next block off `rest`.
fn next_block<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (block, tail) = tail.split_at_checked(length)?;
    *rest = tail;
    Some(block)
}

/// The snapshot in these bytes.
pub fn decode(bytes: &[u8]) -> Result<Snapshot> {
    let wrong = |what: &str| Error::data(format!("the state file is damaged: {what}"));
    let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(|| wrong("no header"))?;
    let head = next_block(&mut rest).ok_or_else(|| wrong("cut short"))?;
    let head: Head = serde_json::from_slice(head).map_err(|e| wrong(&e.to_string()))?;
    let mut tables = Vec::with_capacity(head.tables.len());
    for table in &head.tables {
        let stream = next_block(&mut rest).ok_or_else(|| wrong("cut short"))?;
        let stream = StreamReader::try_new(Cursor::new(stream), None)?;
        let schema = stream.schema();
        let batches = stream.collect::<Result<Vec<_>, _>>()?;
        let shard = match table.shard {
            ShardName::KeyGroup(group) => Shard::KeyGroup(group),
            ShardName::Partition(partition) => Shard::Partition(partition),
        };
        let rows = match batches.len() {
            1 => batches[0].clone(),
            _ => concat_batches(&schema, &batches)?,
        };
        tables.push(SnapshotTable { name: interned(&table.name), shard, rows });
    }
    if !rest.is_empty() {
        return Err(wrong("more bytes than tables"));
    }
    let Head { format, watermark, globals, .. } = head;
    Ok(Snapshot { format, watermark, globals, tables })
}

/// Table names are literals in the operators; the few that are read back are kept for ever.
fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let leaked: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(leaked);
    leaked
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use arrow::array::{RecordBatch, RecordBatchOptions};
    use arrow::datatypes::Schema;

    use super::*;

    fn sample() -> Snapshot {
        let table = |name, shard, columns: Vec<(&str, ArrayRef)>| SnapshotTable {
            name,
            shard,
            rows: RecordBatch::try_from_iter(columns).unwrap(),
        };
        let nan = f64::from_bits(0x7ff8_0000_0000_0001);
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![nan]));
        let none: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
        let two_rows = RecordBatchOptions::new().with_row_count(Some(2));
        let no_columns =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &two_rows);
        let no_columns = no_columns.unwrap();
        Snapshot {
            format: 2,
            watermark: Some(i64::MIN),
            globals: BTreeMap::from([("horizon".to_owned(), i64::MAX)]),
            tables: vec![
                table("keys", Shard::KeyGroup(255), vec![("id", ids)]),
                table("rows", Shard::Partition(7), vec![("x", floats)]),
                table("rows", Shard::KeyGroup(0), vec![("s", none)]),
                SnapshotTable { name: "gone", shard: Shard::KeyGroup(1), rows: no_columns },
            ],
        }
    }

    #[test]
    fn a_snapshot_is_read_back_bit_for_bit() {
        let (before, after) = (sample(), decode(&encode(&sample()).unwrap()).unwrap());
        assert_eq!((after.format, after.watermark), (before.format, before.watermark));
        assert_eq!(after.globals, before.globals);
        for (a, b) in before.tables.iter().zip(&after.tables) {
            assert_eq!((a.name, a.shard), (b.name, b.shard));
            assert_eq!(a.rows, b.rows);
        }
        assert_eq!(encode(&after).unwrap(), encode(&before).unwrap());
        let empty = decode(&encode(&Snapshot::default()).unwrap()).unwrap();
        assert!(empty.tables.is_empty());
    }

    #[test]
    fn truncations_are_errors() {
        let bytes = encode(&sample()).unwrap();
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        assert!(decode(&[&bytes[..], b"x"].concat()).is_err());
    }
}
