//! Directories and file names of what is written, and the day a row belongs to.
//!
//! ```text
//! <store>/<feature>/v<N>/date=2026-01-31/part-0000000042-l00-0.parquet     published
//! <store>/<feature>/v<N>/_staging/date=…/part-….parquet.pending            prepared
//! ```
//! A prepared file is in a directory that begins with `_` and has another extension, so that both
//! readers that skip hidden names and plain `**/*.parquet` globs pass it by. Names are a function
//! of (epoch, writer, sequence), so preparing again after a crash replaces what was left.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};

use crate::error::{Error, Result};
use crate::model::batch::timestamp_type;
use crate::model::epoch::Epoch;
use crate::model::time::{DAY_US, EventTime};
use crate::plan::dataflow::TimeColumns;

/// Directory of prepared files below a location.
pub const STAGING: &str = "_staging";
/// What a prepared file's name has after `.parquet`.
pub const PENDING: &str = ".pending";
/// The day of rows without a time: what Hive calls a NULL partition, and readers read as NULL.
const NO_DATE: &str = "__HIVE_DEFAULT_PARTITION__";

/// A name as one segment of a path: letters, digits, `-`, `_` and `.` stay (the last two not at
/// the beginning), the rest is percent-encoded: any quoted identifier is a safe directory.
pub fn segment(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        let hidden = at == 0 && matches!(c, '.' | '_');
        let plain = c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if plain && !hidden {
            out.push(c);
        } else {
            let mut bytes = [0; 4];
            out.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
        }
    }
    out
}

/// Directory of a feature's final rows below its offline store.
pub fn feature_folder(feature: &str, version: u32) -> String {
    format!("{}/v{version}", segment(feature))
}

/// Path of a published file.
pub fn published(day: Option<i64>, epoch: Epoch, writer: &str, sequence: u32) -> String {
    let date = day.map_or(NO_DATE.to_owned(), |day| EventTime(day * DAY_US).date());
    format!("date={date}/part-{:010}-{}-{sequence}.parquet", epoch.0, segment(writer))
}

/// Path of the prepared file that will be published as `path`.
pub fn staged(path: &str) -> String {
    format!("{STAGING}/{path}{PENDING}")
}

/// The name of an engine as a writer: no two engines ever write a file of one name.
pub fn engine(generation: u64) -> String {
    format!("g{generation}")
}

/// The epoch in the name of a published or prepared file.
pub fn epoch_of(path: &str) -> Option<Epoch> {
    part_of(path, 0)?.parse().ok().map(Epoch)
}

/// The generation in the name of a file that an engine has published or prepared.
pub fn generation_of(path: &str) -> Option<u64> {
    part_of(path, 1)?.strip_prefix('g')?.parse().ok()
}

/// Epoch and writer in a file name.
fn part_of(path: &str, at: usize) -> Option<&str> {
    path.rsplit('/').next()?.strip_prefix("part-")?.split('-').nth(at)
}

/// Whether a path (relative to its location) is one a reader should read.
pub fn is_published(path: &str) -> bool {
    let hidden = path.split('/').any(|part| part.starts_with(['_', '.']));
    path.ends_with(".parquet") && !hidden
}

/// Which column says what day a row belongs to.
#[derive(Clone, Debug)]
pub struct DayOf {
    /// The first of these that is not NULL.
    columns: Vec<usize>,
    /// The time is the end of a window: the row belongs to the day of the µs before.
    exclusive: bool,
}

impl DayOf {
    /// `columns` are timestamps in µs, UTC.
    pub fn columns(schema: &SchemaRef, columns: &[&str], exclusive: bool) -> Result<Self> {
        let mut found = Vec::with_capacity(columns.len());
        for name in columns {
            let column = schema.index_of(name)?;
            let data_type = schema.field(column).data_type();
            if *data_type != timestamp_type() {
                return Err(Error::internal(format!("`{name}` is {data_type}, not a timestamp")));
            }
            found.push(column);
        }
        Ok(Self { columns: found, exclusive })
    }

    /// The day of final rows.
    pub fn time_columns(schema: &SchemaRef, time: &TimeColumns) -> Result<Self> {
        match time {
            TimeColumns::Event(name) => Self::columns(schema, &[name], false),
            TimeColumns::Window { end, .. } => Self::columns(schema, &[end], true),
        }
    }

    /// Days since the epoch, per row; `None` where every column is NULL.
    pub fn days(&self, rows: &RecordBatch) -> Vec<Option<i64>> {
        let times: Vec<_> = self
            .columns
            .iter()
            .map(|column| rows.column(*column).as_primitive::<TimestampMicrosecondType>())
            .collect();
        let back = i64::from(self.exclusive);
        (0..rows.num_rows())
            .map(|row| {
                let time = times.iter().find(|array| array.is_valid(row))?;
                Some(time.value(row).saturating_sub(back).div_euclid(DAY_US))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::TimestampMicrosecondArray;
    use arrow::datatypes::{Field, Schema};

    use super::*;

    #[test]
    fn any_name_is_one_safe_segment() {
        assert_eq!(segment("user_spend"), "user_spend");
        assert_eq!(segment("../a/b c"), "%2E.%2Fa%2Fb%20c");
        assert_eq!(segment("_hidden é%"), "%5Fhidden%20é%25");
        assert_ne!(segment("a b"), segment("a%20b"));
    }

    #[test]
    fn names_tell_epoch_and_visibility() {
        let path = published(Some(0), Epoch(42), "l-0", 3);
        assert_eq!(path, "date=1970-01-01/part-0000000042-l-0-3.parquet");
        assert_eq!(epoch_of(&path), Some(Epoch(42)));
        assert_eq!(epoch_of(&staged(&path)), Some(Epoch(42)));
        assert!(is_published(&path) && !is_published(&staged(&path)));
        assert!(!is_published("_staging/x.parquet") && !is_published("date=1/.x.parquet"));
        assert!(is_published(&published(None, Epoch(1), "x", 0)));
    }

    #[test]
    fn a_window_belongs_to_the_day_of_its_last_microsecond() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", timestamp_type(), true),
            Field::new("b", timestamp_type(), true),
        ]));
        let column = |values: Vec<Option<i64>>| {
            Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))
        };
        let a = column(vec![Some(DAY_US), Some(-1), None, None]);
        let b = column(vec![Some(0), Some(0), Some(DAY_US), None]);
        let rows = RecordBatch::try_new(schema.clone(), vec![a, b]).unwrap();
        let days = |exclusive| DayOf::columns(&schema, &["a", "b"], exclusive).unwrap().days(&rows);
        assert_eq!(days(false), [Some(1), Some(-1), Some(1), None]);
        assert_eq!(days(true), [Some(0), Some(-1), Some(0), None]);
    }
}
