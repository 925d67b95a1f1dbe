//! A source as it was declared: a log with typed columns, an event time and a watermark.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

pub use super::generator::Generator;
pub use crate::format::options::{JsonOptions, JsonTimestamp};
use crate::model::batch::admitted_schema;

/// Where the value of a column comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// A field of the record.
    Physical,
    /// `AS (expression)` over the other columns: SQL text, evaluated after decoding.
    Computed(String),
    /// `METADATA FROM '…'`.
    Metadata(MetadataField),
}

/// Record metadata a column can be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetadataField {
    Partition,
    Offset,
    Timestamp,
    Key,
    Headers,
}

/// One declared column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ColumnDef {
    pub name: String,
    /// Canonical Arrow type: text is `Utf8`, timestamps µs UTC, bytes `Binary`.
    pub data_type: DataType,
    pub nullable: bool,
    pub kind: ColumnKind,
}

/// `WATERMARK FOR column AS column - delay`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WatermarkDef {
    /// The event-time column: physical or metadata, of the timestamp type.
    pub column: String,
    pub delay_us: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connector {
    Kafka,
    File,
    Datagen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Json,
    Csv,
    Parquet,
}

/// Where reading a Kafka topic starts the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StartupMode {
    #[default]
    Earliest,
    Latest,
    /// The first record at or after this time, ms since the epoch.
    Timestamp(i64),
}

/// The options of a source, checked and typed. `${…}` is already expanded.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceOptions {
    pub connector: Connector,
    /// URL, directory or glob (file).
    pub path: Option<String>,
    pub topic: Option<String>,
    /// `properties.*` without the prefix, for librdkafka.
    pub properties: Vec<(String, String)>,
    pub startup: StartupMode,
    pub partitioned_by: Vec<String>,
    pub format: Format,
    pub json: JsonOptions,
    /// URL of Parquet history; `None` = `path` for files, nothing for Kafka.
    pub history: Option<String>,
    pub archive: bool,
    /// URL, or `kafka:` and a topic; `None` = `<home>/dead_letter/`.
    pub dead_letter: Option<String>,
    /// Reading stops when a larger share of a partition's newest records is not admitted.
    pub dead_letter_max_ratio: Option<f64>,
    /// `'on_gap' = 'skip'`: records that were deleted before they were read are passed over.
    pub skip_gaps: bool,
    pub max_future_us: i64,
    pub idle_timeout_us: i64,
    /// `'idle' = 'advance'`: a partition without records for so long does not hold time back.
    pub advance_idle: bool,
    pub message_bytes_max: usize,
    /// datagen: what is made.
    pub generator: Generator,
    /// datagen: rows in all, rows per second of wall time (`None` = as fast as possible), seed.
    pub datagen_rows: Option<u64>,
    pub datagen_rate: Option<u64>,
    pub datagen_seed: u64,
}

impl SourceOptions {
    /// The topic that dead letters are sent to; `None` = they are files.
    pub fn dead_letter_topic(&self) -> Option<&str> {
        self.dead_letter.as_deref()?.strip_prefix("kafka:")
    }
}

/// A source: name, columns, watermark, options.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceDef {
    pub name: String,
    pub columns: Vec<ColumnDef>,
    pub watermark: WatermarkDef,
    pub options: SourceOptions,
    /// The statement as printed by SHOW CREATE: normalised, `${…}` unexpanded, secrets included
    /// as written.
    pub sql: String,
}

impl SourceDef {
    pub fn column(&self, name: &str) -> Option<&ColumnDef> {
        self.columns.iter().find(|c| c.name == name)
    }

    fn schema_of(&self, keep: impl Fn(&ColumnKind) -> bool) -> SchemaRef {
        let kept = self.columns.iter().filter(|c| keep(&c.kind));
        Arc::new(Schema::new(
            kept.map(|c| Field::new(&c.name, c.data_type.clone(), c.nullable)).collect::<Vec<_>>(),
        ))
    }

    /// Every declared column, in order.
    pub fn schema(&self) -> SchemaRef {
        self.schema_of(|_| true)
    }

    /// What a decoder produces: the physical columns, in declared order.
    pub fn physical_schema(&self) -> SchemaRef {
        self.schema_of(|kind| *kind == ColumnKind::Physical)
    }

    /// What the archive keeps: physical and metadata columns, without computed ones.
    pub fn stored_schema(&self) -> SchemaRef {
        self.schema_of(|kind| !matches!(kind, ColumnKind::Computed(_)))
    }

    /// [`Self::schema`] and the system columns: the schema of admitted batches.
    pub fn admitted_schema(&self) -> SchemaRef {
        admitted_schema(&self.schema())
    }
}
