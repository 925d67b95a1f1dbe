//! `METADATA FROM 'partition' | 'offset' | 'timestamp' | 'key' | 'headers'`: columns that come
//! from the record around the message. A value that the declared type cannot hold makes the
//! record undecodable, and is found before the message is decoded.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::catalog::source::{ColumnDef, ColumnKind, MetadataField, SourceDef};
use crate::error::{Error, Result};
use crate::format::rejection::{Rejection, quote};
use crate::model::batch::timestamp_type;

use super::records::Records;

/// Refuses metadata columns of a type that cannot hold them.
pub(crate) fn check_metadata(def: &SourceDef) -> Result<()> {
    for column in &def.columns {
        let ColumnKind::Metadata(field) = column.kind else { continue };
        let (fits, expected) = match field {
            MetadataField::Partition => {
                (matches!(column.data_type, DataType::Int32 | DataType::Int64), "INT or BIGINT")
            }
            MetadataField::Offset => (column.data_type == DataType::Int64, "BIGINT"),
            MetadataField::Timestamp => (column.data_type == timestamp_type(), "TIMESTAMP"),
            MetadataField::Key => {
                (matches!(column.data_type, DataType::Utf8 | DataType::Binary), "VARCHAR or BYTEA")
            }
            MetadataField::Headers => (column.data_type == DataType::Utf8, "VARCHAR (JSON text)"),
        };
        if !fits {
            let name = &column.name;
            return Err(Error::usage(format!("metadata column '{name}' must be {expected}")));
        }
    }
    Ok(())
}

/// The metadata columns whose values can be missing or wrong.
pub(crate) fn fallible(def: &SourceDef) -> Vec<ColumnDef> {
    let risky = |column: &&ColumnDef| match column.kind {
        ColumnKind::Metadata(MetadataField::Key) => {
            !column.nullable || column.data_type == DataType::Utf8
        }
        ColumnKind::Metadata(MetadataField::Headers) => !column.nullable,
        ColumnKind::Metadata(MetadataField::Timestamp) => !column.nullable,
        _ => false,
    };
    def.columns.iter().filter(risky).cloned().collect()
}

/// What is wrong with the metadata of record `at`, for the `columns` of [`fallible`].
pub(crate) fn metadata_fault(
    columns: &[ColumnDef],
    event_time: &str,
    records: &Records,
    at: usize,
) -> Option<Rejection> {
    let mut event_fault = None;
    for column in columns {
        let ColumnKind::Metadata(field) = column.kind else { continue };
        let name = &column.name;
        let missing = match field {
            MetadataField::Key => records.key(at).is_none(),
            MetadataField::Headers => records.headers(at).is_none(),
            MetadataField::Timestamp => records.timestamp(at).is_none(),
            MetadataField::Partition | MetadataField::Offset => false,
        };
        if missing && !column.nullable {
            let text = format!("metadata column '{name}' NOT NULL is missing");
            if name != event_time {
                return Some(Rejection::decode(text));
            }
            event_fault = Some(Rejection::event_time(text));
        }
        if let (MetadataField::Key, DataType::Utf8, Some(key)) =
            (field, &column.data_type, records.key(at))
            && std::str::from_utf8(key).is_err()
        {
            let found = quote(key);
            let text = format!("metadata column '{name}': the key is not UTF-8: {found}");
            return Some(Rejection::decode(text));
        }
    }
    event_fault
}

/// The values of a metadata column for the records `index`.
pub(crate) fn metadata_column(
    field: MetadataField,
    column: &ColumnDef,
    partition: u32,
    records: &Records,
    index: &[u32],
) -> Result<ArrayRef> {
    let each = || index.iter().map(|at| *at as usize);
    let values: ArrayRef = match field {
        MetadataField::Partition => {
            Arc::new(Int32Array::from(vec![partition.cast_signed(); index.len()]))
        }
        MetadataField::Offset => {
            Arc::new(each().map(|at| records.offset(at)).collect::<Int64Array>())
        }
        MetadataField::Timestamp => {
            let times = each().map(|at| records.timestamp(at).map(|t| t.0));
            let times: TimestampMicrosecondArray = times.collect();
            Arc::new(times.with_data_type(timestamp_type()))
        }
        MetadataField::Key if column.data_type == DataType::Utf8 => {
            let text = |at| std::str::from_utf8(records.key(at)?).ok();
            Arc::new(each().map(text).collect::<StringArray>())
        }
        MetadataField::Key => Arc::new(each().map(|at| records.key(at)).collect::<BinaryArray>()),
        MetadataField::Headers => {
            Arc::new(each().map(|at| records.headers(at)).collect::<StringArray>())
        }
    };
    Ok(cast(&values, &column.data_type)?)
}
