//! `skewless get`: the values of one entity at a time.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{Field, Schema};

use crate::cli::args::{GetArgs, ResultFormat};
use crate::cli::command::Session;
use crate::cli::engine::{Answer, At, GetOptions};
use crate::cli::script::Failure;
use crate::cli::table::ResultWriter;
use crate::error::Result;
use crate::model::batch::{AS_OF_COLUMN, timestamp_type};
use crate::model::text::{json_string, write_json_row};

pub async fn run(args: &GetArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let options = GetOptions {
        feature: args.feature.clone(),
        keys: args.keys.clone(),
        at: args.at.unwrap_or(At::Now),
    };
    let answer = session.engine.get(&options).await?;
    let text = match args.format {
        ResultFormat::Json | ResultFormat::Ndjson => format!("{}\n", as_json(&answer)?),
        format => as_rows(&answer, format)?,
    };
    session.console.write(&text)?;
    Ok(())
}

/// The object that HTTP answers with.
pub fn as_json(answer: &Answer) -> Result<String> {
    let (mut key, mut values) = (String::new(), String::new());
    write_json_row(&answer.key, 0, &mut key)?;
    write_json_row(&answer.values, 0, &mut values)?;
    let as_of = answer.as_of.map_or("null".to_owned(), |t| json_string(&t.to_string()));
    Ok(format!(
        "{{\"feature\":{},\"key\":{key},\"as_of\":{as_of},\"values\":{values},\"status\":{}}}",
        json_string(&answer.feature),
        json_string(answer.status),
    ))
}

/// One row: key, values, the time they hold for, status.
fn as_rows(answer: &Answer, format: ResultFormat) -> Result<String> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for part in [&answer.key, &answer.values] {
        fields.extend(part.schema_ref().fields().iter().cloned());
        columns.extend(part.columns().iter().cloned());
    }
    fields.push(Arc::new(Field::new(AS_OF_COLUMN, timestamp_type(), true)));
    columns.push(match answer.as_of {
        Some(time) => {
            let times = arrow::array::TimestampMicrosecondArray::from(vec![time.0]);
            Arc::new(times.with_timezone("UTC"))
        }
        None => new_null_array(&timestamp_type(), 1),
    });
    fields.push(Arc::new(Field::new("status", arrow::datatypes::DataType::Utf8, false)));
    columns.push(Arc::new(StringArray::from(vec![answer.status])));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let mut writer = ResultWriter::new(batch.schema(), format);
    let mut out = writer.begin();
    out.push_str(&writer.batch(batch)?);
    out.push_str(&writer.end()?);
    Ok(out)
}
