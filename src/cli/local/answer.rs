//! Keys from text and answers from probes, the same for HTTP, Redis and the saved state.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};

use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::online::text::read_text;
use crate::operator::answer::{self, Answered, Reader};
use crate::operator::operator::Bound;
use crate::plan::dataflow::FeaturePlan;
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

/// The newest event, or the end of the window, that each answer rests on.
pub(super) fn event_times(answered: &Answered) -> Vec<Option<EventTime>> {
    let found = answered.newest.iter().zip(&answered.status);
    let within = found.map(|(time, status)| time.filter(|_| *status == answer::Status::Present));
    within.map(|time| time.map(EventTime)).collect()
}

/// What is known about each entity, as it is served.
pub(super) fn status_of(answered: &Answered) -> Vec<Status> {
    answered.status.iter().map(|status| served_status(*status)).collect()
}

/// A status as it is served.
pub(super) fn served_status(status: answer::Status) -> Status {
    match status {
        answer::Status::Present => Status::Present,
        answer::Status::Expired => Status::Expired,
        answer::Status::NotFound => Status::NotFound,
    }
}

/// The value columns that unknown keys have: those of the empty frame.
pub(super) fn unknown_values(plan: &FeaturePlan, keys: &RecordBatch) -> Result<RecordBatch> {
    let times = vec![EventTime(0); keys.num_rows()];
    let operator = crate::operator::build(&plan.window, false)?;
    let probed = operator.probe(keys.columns(), &times, Bound::Inclusive)?;
    let reader = Reader::of(plan, &plan.window, &plan.output);
    values_of(plan, &reader.answer(&probed, &times)?.rows)
}

/// The answers where nothing is known at all.
pub(super) fn nothing(plan: &FeaturePlan, keys: RecordBatch) -> Result<Answers> {
    let (rows, values) = (keys.num_rows(), unknown_values(plan, &keys)?);
    Ok(Answers {
        feature: plan.feature.clone(),
        keys,
        values,
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
