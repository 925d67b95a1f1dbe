//! Test material of this room: a source with a column of every kind of type, planning of SQL over
//! it, batches.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::DataType;

use super::bind::{SourceLookup, plan_feature};
use super::dataflow::FeaturePlan;
use crate::catalog::source::*;
use crate::error::{Error, Result};
use crate::model::batch::timestamp_type;
use crate::sql::guard::on_big_stack;
use crate::sql::parser::parse_query;

pub struct One(pub Arc<SourceDef>);

impl SourceLookup for One {
    fn source(&self, name: &str) -> Result<Arc<SourceDef>> {
        if name == self.0.name {
            return Ok(self.0.clone());
        }
        Err(Error::usage(format!("no such source: {name}")))
    }

    fn names(&self) -> Vec<String> {
        vec![self.0.name.clone()]
    }
}

pub fn column(name: &str, data_type: DataType, nullable: bool) -> ColumnDef {
    ColumnDef { name: name.to_owned(), data_type, nullable, kind: ColumnKind::Physical }
}

/// The source `transactions` of the documentation, and a few more types.
pub fn transactions() -> SourceDef {
    let columns = vec![
        column("txn_id", DataType::Int64, true),
        column("user_id", DataType::Int64, false),
        column("category", DataType::Utf8, true),
        column("amount", DataType::Float64, true),
        column("event_time", timestamp_type(), false),
        column("small", DataType::Int32, true),
        column("ratio", DataType::Float32, true),
        column("price", DataType::Decimal128(10, 2), true),
        column("flag", DataType::Boolean, true),
        column("Mixed Case", DataType::Int64, true),
    ];
    let options = SourceOptions {
        connector: Connector::File,
        path: None,
        topic: None,
        properties: vec![],
        startup: StartupMode::Earliest,
        partitioned_by: vec![],
        format: Format::Parquet,
        json: JsonOptions::default(),
        history: None,
        archive: false,
        dead_letter: None,
        dead_letter_max_ratio: None,
        skip_gaps: false,
        max_future_us: 0,
        idle_timeout_us: 0,
        advance_idle: false,
        message_bytes_max: 0,
        generator: Default::default(),
        datagen_rows: None,
        datagen_rate: None,
        datagen_seed: 0,
    };
    SourceDef {
        name: "transactions".to_owned(),
        columns,
        watermark: WatermarkDef { column: "event_time".to_owned(), delay_us: 30_000_000 },
        options,
        sql: String::new(),
    }
}

pub fn plan(sql: &str) -> Result<FeaturePlan> {
    plan_over(&transactions(), sql)
}

pub fn plan_over(source: &SourceDef, sql: &str) -> Result<FeaturePlan> {
    let lookup = One(Arc::new(source.clone()));
    let query = parse_query(sql)?;
    on_big_stack(|| plan_feature(&lookup, "f", 1, &query))
}

/// The rows of [`admitted`].
pub const ROWS: usize = 4;

/// An admitted batch of [`transactions`]; columns that are not given are NULL.
pub fn admitted(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let source = transactions();
    let schema = source.admitted_schema();
    let arrays = schema.fields().iter().enumerate().map(|(at, field)| {
        let given = columns.iter().find(|(name, _)| name == field.name());
        let row = |i: usize| (i + 1) as i64;
        match (given, field.name().as_str()) {
            (Some((_, array)), _) => array.clone(),
            (None, "user_id" | "_offset") => {
                Arc::new(Int64Array::from_iter_values((0..ROWS).map(row)))
            }
            (None, "_partition") => Arc::new(Int32Array::from(vec![0; ROWS])),
            (None, "event_time") => Arc::new(
                TimestampMicrosecondArray::from_iter_values((0..ROWS).map(row))
                    .with_timezone("UTC"),
            ),
            _ => new_null_array(schema.field(at).data_type(), ROWS),
        }
    });
    RecordBatch::try_new(schema.clone(), arrays.collect()).unwrap()
}

pub fn floats(values: [Option<f64>; ROWS]) -> ArrayRef {
    Arc::new(Float64Array::from_iter(values))
}

pub fn ints(values: [Option<i32>; ROWS]) -> ArrayRef {
    Arc::new(Int32Array::from_iter(values))
}

pub fn longs(values: [Option<i64>; ROWS]) -> ArrayRef {
    Arc::new(Int64Array::from_iter(values))
}

pub fn texts(values: [Option<&str>; ROWS]) -> ArrayRef {
    Arc::new(StringArray::from_iter(values))
}

/// DECIMAL(10, 2) from hundredths.
pub fn prices(hundredths: [Option<i128>; ROWS]) -> ArrayRef {
    let array = Decimal128Array::from_iter(hundredths);
    Arc::new(array.with_precision_and_scale(10, 2).unwrap())
}
