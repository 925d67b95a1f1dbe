//! Holds a source to its `partitioned.by`: equal keys in one partition. Asked by `committer` with
//! the state of every epoch, before anything of the epoch is prepared; a violation fails it.
//!
//! Keys are told apart by 128 bits of hash (xxh3): among 10^9 keys two share one with a
//! probability below 10^-20.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::util::display::array_value_to_string;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};
use crate::model::key::write_key;
use crate::runtime::lane::{CellId, LaneGroup};
use crate::state::snapshot::{KEYS_TABLE, Snapshot};

/// In which partition each key lives, by state group.
#[derive(Debug)]
pub struct KeyHomes {
    groups: Arc<Vec<LaneGroup>>,
    homes: Vec<HashMap<u128, u32>>,
}

impl KeyHomes {
    pub fn new(groups: Arc<Vec<LaneGroup>>) -> Self {
        Self { homes: vec![HashMap::new(); groups.len()], groups }
    }

    /// Takes in the keys of one cell.
    ///
    /// # Errors
    /// `Data`, if one of them lives in another partition.
    pub fn check(&mut self, source: &str, id: CellId, state: &Snapshot) -> Result<()> {
        let group = &self.groups[id.group];
        if !group.by_partition {
            return Ok(());
        }
        let width = group.group.window.key_types().len();
        let homes = &mut self.homes[id.group];
        let mut bytes = Vec::new();
        for table in state.tables.iter().filter(|table| table.name == KEYS_TABLE) {
            let keys = &table.rows.columns()[..width];
            for row in 0..table.rows.num_rows() {
                bytes.clear();
                write_key(keys, row, &mut bytes)?;
                let home = *homes.entry(xxh3_128(&bytes)).or_insert(id.partition);
                if home != id.partition {
                    let names = &group.group.members[0].plan.key_columns;
                    let key = shown(names, keys, row)?;
                    return Err(violation(source, &key, home, id.partition));
                }
            }
        }
        Ok(())
    }
}

fn shown(names: &[String], keys: &[ArrayRef], row: usize) -> Result<String> {
    let mut parts = Vec::with_capacity(keys.len());
    for (name, column) in names.iter().zip(keys) {
        let value = array_value_to_string(column, row)?;
        let value: String = value.chars().take(120).collect();
        parts.push(format!("{name} = {value}"));
    }
    Ok(parts.join(", "))
}

fn violation(source: &str, key: &str, first: u32, second: u32) -> Error {
    Error::data(format!(
        "source '{source}' is declared 'partitioned.by', but {key} comes in partitions {first} \
         and {second}"
    ))
    .with_hint(
        "drop the option from the source (CREATE OR REPLACE SOURCE …, or apply the file without \
         it): its state is kept; or make the producer partition by these columns",
    )
}
