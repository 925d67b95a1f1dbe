//! Keys from text and answers from probes, the same for HTTP, Redis and the saved state.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};

use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::online::text::read_text;
use crate::operator::operator::Probed;
use crate::plan::dataflow::{FeaturePlan, TimeColumns};
use crate::serve::engine::{Answers, Status};

/// Texts of key columns, in order, as arrays of the key's types.
pub(super) fn typed_keys(plan: &FeaturePlan, texts: &[Vec<String>]) -> Result<Vec<ArrayRef>> {
    let mut keys = Vec::with_capacity(texts.len());
    let columns = plan.key_columns.iter().zip(plan.window.key_types());
    for (texts, (name, data_type)) in texts.iter().zip(columns) {
        let options: Vec<Option<String>> = texts.iter().cloned().map(Some).collect();
        let wrong = |e: Error| {
            let error = Error::usage(format!("key column '{name}': {}", e.message()));
            error
                .with_hint(format!("'{name}' is {}", crate::format::rejection::sql_type(data_type)))
        };
        let array = read_text(&options, data_type).map_err(wrong)?;
        if array.null_count() > 0 {
            return Err(Error::usage(format!("key column '{name}': the value is no {data_type}")));
        }
        keys.push(crate::plan::dataflow::canonical(array));
    }
    Ok(keys)
}

fn batch(fields: Vec<Field>, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// Key columns under their names.
pub(super) fn key_batch(plan: &FeaturePlan, keys: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
    let field = |(name, key): (&String, &ArrayRef)| Field::new(name, key.data_type().clone(), true);
    let fields = plan.key_columns.iter().zip(keys).map(field).collect();
    batch(fields, keys.to_vec(), rows)
}

/// The value columns of output rows.
pub(super) fn values_of(plan: &FeaturePlan, rows: &RecordBatch) -> Result<RecordBatch> {
    let columns = plan.value_columns.iter().map(|name| Ok(rows.schema_ref().index_of(name)?));
    Ok(rows.project(&columns.collect::<Result<Vec<_>>>()?)?)
}

/// The newest event, or the end of the window, that each row rests on.
pub(super) fn event_times(plan: &FeaturePlan, probed: &Probed) -> Result<Vec<Option<EventTime>>> {
    let name = match &plan.time_column {
        TimeColumns::Event(name) | TimeColumns::Window { end: name, .. } => name,
    };
    let column = probed.rows.column_by_name(name);
    let column = column.and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let Some(times) = column else {
        return Err(Error::internal(format!("no time column '{name}'")));
    };
    let present = probed.present.iter().enumerate();
    Ok(present
        .map(|(row, p)| (*p && times.is_valid(row)).then(|| EventTime(times.value(row))))
        .collect())
}

/// NULL for every value column.
pub(super) fn null_values(plan: &FeaturePlan, rows: usize) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(plan.value_columns.len());
    let mut columns = Vec::with_capacity(plan.value_columns.len());
    for name in &plan.value_columns {
        let data_type: &DataType = plan.schema().field_with_name(name)?.data_type();
        columns.push(new_null_array(data_type, rows));
        fields.push(Field::new(name, data_type.clone(), true));
    }
    batch(fields, columns, rows)
}

/// The answers where nothing is known at all.
pub(super) fn nothing(plan: &FeaturePlan, keys: RecordBatch) -> Result<Answers> {
    let rows = keys.num_rows();
    Ok(Answers {
        feature: plan.feature.clone(),
        keys,
        values: null_values(plan, rows)?,
        as_of: vec![None; rows],
        event_time: vec![None; rows],
        status: vec![Status::NotFound; rows],
    })
}

/// State is complete from the horizon on only.
pub(super) fn check_horizon(at: EventTime, horizon: EventTime) -> Result<()> {
    if at >= horizon {
        return Ok(());
    }
    Err(Error::usage(format!("the state holds values from {horizon} on; {at} is before that"))
        .with_hint("history holds the rest: skewless training-set, or skewless backfill"))
}
