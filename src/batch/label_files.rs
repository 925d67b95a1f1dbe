//! Reads the labels of a training set: Parquet or CSV, one file, a directory or a glob, into
//! memory and in the order of the files (by path) and of their rows.

use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionContext};
use futures::StreamExt;

use crate::batch::training_set::Labels;
use crate::error::{Error, Result};
use crate::offline::store::Location;

/// A session whose plans have one partition, so that rows keep the order they were read in.
pub fn in_order(context: &SessionContext) -> SessionContext {
    let mut state = context.state();
    state.config_mut().options_mut().execution.target_partitions = 1;
    SessionContext::new_with_state(state)
}

/// The labels at `url`. Columns of a CSV get the types that their values have.
///
/// # Errors
/// `Usage` for another format; `Data` or `Unavailable` if they cannot be read.
pub async fn read(context: &SessionContext, url: &str) -> Result<Labels> {
    let context = in_order(context);
    // A glob is no location; its files are on this machine.
    if let Ok(location) = Location::resolve(url) {
        location.register(&context.runtime_env())?;
    }
    let name = url.to_ascii_lowercase();
    let frame = if name.ends_with(".csv") {
        let options = CsvReadOptions::default();
        context.read_csv(url, options).await
    } else if [".json", ".ndjson", ".jsonl", ".arrow", ".txt"].iter().any(|e| name.ends_with(e)) {
        return Err(Error::usage(format!("{url}: labels are read from Parquet or CSV"))
            .with_hint("convert them, for example with COPY (SELECT …) TO 'labels.parquet'"));
    } else {
        context.read_parquet(url, ParquetReadOptions::default()).await
    };
    let frame = frame.map_err(|error| Error::from(error).context(url))?;
    let schema = frame.schema().as_arrow().clone();
    if schema.fields().is_empty() {
        return Err(Error::usage(format!("{url} holds no labels"))
            .with_hint("give a file, a directory or a glob of Parquet, or of CSV ending in .csv"));
    }
    let mut rows = frame.execute_stream().await?;
    let (mut batches, schema) = (Vec::new(), rows.schema());
    while let Some(batch) = rows.next().await {
        batches.push(batch.map_err(|error| Error::from(error).context(url))?);
    }
    Ok(Labels { schema, batches })
}
