//! Final rows over history, and the comparison of two outputs as raw bits.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use futures::StreamExt;

use crate::batch::backfill::{BackfillProgress, TimeRange, backfill};
use crate::cli::engine::{BackfillEnd, BackfillOptions, BackfillSummary, Comparison, Counts};
use crate::cli::local::LocalEngine;
use crate::cli::local::query::plain_session;
use crate::cli::progress::{ProgressLine, ProgressNow};
use crate::cli::signal::Stop;
use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::offline::output::OutputTarget;
use crate::offline::reader;
use crate::offline::store::Location;
use crate::verify::parity::{Digests, compare};

/// Between two looks at the progress.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

impl LocalEngine {
    pub(super) async fn backfill_feature(
        &self,
        options: &BackfillOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<BackfillSummary> {
        let catalog = self.catalog()?;
        let def = catalog.feature(&options.feature)?;
        let plan = self.plan_of(&catalog, def)?;
        let source = catalog.source(&plan.source)?;
        let range = TimeRange { from: options.from, to: self.end_of(options, &plan.source).await? };
        let target = OutputTarget::open(&options.out, options.overwrite).await?;
        let history = self.history(source).await?;
        let context = plain_session();
        let written = Arc::new(BackfillProgress::default());
        let work = backfill(&context, &plan, &history, range, &target, written.clone());
        tokio::pin!(work);
        let summary = loop {
            tokio::select! {
                done = &mut work => break done?,
                () = tokio::time::sleep(LOOK) => {
                    let read = history.counts().read;
                    let rows = written.written.load(Relaxed);
                    let note = Some(format!("{rows} final rows"));
                    progress.report(&ProgressNow { rows: read, note, ..ProgressNow::default() });
                    if stop.requested() {
                        return Err(Stop::interrupted());
                    }
                }
            }
        };
        let counts = summary.counts;
        Ok(BackfillSummary {
            rows: summary.written.rows,
            files: summary.written.files,
            counts: Counts {
                read: counts.read,
                admitted: counts.admitted,
                late: counts.late,
                future: counts.future,
                rejected: counts.rejected(),
            },
            admission: summary.kind.to_string(),
        })
    }

    /// The end of the range; `committed` is the watermark of the last checkpoint.
    async fn end_of(&self, options: &BackfillOptions, source: &str) -> Result<Option<EventTime>> {
        match options.to {
            None => Ok(None),
            Some(BackfillEnd::Time(time)) => Ok(Some(time)),
            Some(BackfillEnd::Committed) => {
                let manifest = self.last_manifest().await?;
                let saved = manifest.as_ref().and_then(|m| m.sources.get(source));
                let saved = saved.ok_or_else(|| {
                    Error::usage(format!("source '{source}' has no checkpoint"))
                        .with_hint("run the engine first, or give --to a time")
                })?;
                if saved.ended {
                    return Ok(None);
                }
                saved
                    .watermark
                    .map(|t| Some(EventTime(t)))
                    .ok_or_else(|| Error::usage(format!("source '{source}' has no watermark yet")))
            }
        }
    }

    /// Compares the stored final rows of a feature with the Parquet files below `url`.
    pub(super) async fn compare_with(&self, feature: &str, url: &str) -> Result<Comparison> {
        let catalog = self.catalog()?;
        let def = self.effective(catalog.feature(feature)?);
        let plan = self.plan_of(&catalog, &def)?;
        let Some(stored) = self.final_rows_url(&def) else {
            return Err(Error::usage(format!("feature '{feature}' keeps no final rows")));
        };
        let mut sides = Vec::new();
        for place in [stored.as_str(), url] {
            sides.push(digests(place, plan.schema().clone()).await?);
        }
        let (Some(right), Some(left)) = (sides.pop(), sides.pop()) else {
            return Err(Error::internal("two sides became fewer"));
        };
        let found = compare(left, right);
        Ok(Comparison { rows: found.compared, different: found.different() })
    }
}

/// Reads every Parquet file at `url` (a file, or a directory).
async fn digests(url: &str, schema: arrow::datatypes::SchemaRef) -> Result<Digests> {
    let mut side = Digests::new(schema.clone())?;
    let context = plain_session();
    let location = Location::resolve(url)?;
    let table = if url.ends_with(".parquet") {
        location.register(&context.runtime_env())?;
        let options = datafusion::prelude::ParquetReadOptions::default();
        context.read_parquet(location.url(), options).await?
    } else {
        context.read_table(reader::table(&context, &location, schema).await?)?
    };
    let mut rows = table.execute_stream().await?;
    while let Some(batch) = rows.next().await {
        side.push(&batch?)?;
    }
    Ok(side)
}
