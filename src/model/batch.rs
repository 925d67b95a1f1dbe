//! Positions in a log and the layouts of the record batches that travel between rooms.
//!
//! *Admitted batch* (source → plan): the source's columns in declared order, computed ones
//! included, then [`SYSTEM_COLUMNS`]. *Step batch* (plan → operator): see `operator::operator`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// Where a record stands in its source. Log order is (source, partition, offset).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub partition: u32,
    pub offset: i64,
}

pub const PARTITION_COLUMN: &str = "_partition";
pub const OFFSET_COLUMN: &str = "_offset";
/// The record's own (Kafka) timestamp; NULL for files.
pub const TIMESTAMP_COLUMN: &str = "_timestamp";
/// Names of the columns appended to every admitted batch, in this order.
pub const SYSTEM_COLUMNS: [&str; 3] = [PARTITION_COLUMN, OFFSET_COLUMN, TIMESTAMP_COLUMN];
/// Column of a current-value batch: the time the value holds for.
pub const AS_OF_COLUMN: &str = "_as_of";
/// Column of a current-value batch: what is known of the entity where that is not `PRESENT`.
pub const STATUS_COLUMN: &str = "_status";
/// Column of a current-value batch: the time (or `window_end`) of the newest row.
pub const NEWEST_COLUMN: &str = "_newest";

/// The one timestamp type inside the engine: µs, UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The fields of [`SYSTEM_COLUMNS`]: `Int32`, `Int64`, `Timestamp(µs, UTC)` nullable.
pub fn system_fields() -> [Arc<Field>; 3] {
    [
        Arc::new(Field::new(PARTITION_COLUMN, DataType::Int32, false)),
        Arc::new(Field::new(OFFSET_COLUMN, DataType::Int64, false)),
        Arc::new(Field::new(TIMESTAMP_COLUMN, timestamp_type(), true)),
    ]
}

/// Whether a column says where a record stands in its log.
pub fn is_place(name: &str) -> bool {
    name == PARTITION_COLUMN || name == OFFSET_COLUMN
}

/// The schema of admitted batches of a source whose own columns are `columns`.
pub fn admitted_schema(columns: &Schema) -> SchemaRef {
    let fields = columns.fields().iter().cloned().chain(system_fields());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
