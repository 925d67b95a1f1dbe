//! `skewless backfill`: the final rows of a feature over history, as Parquet.

use crate::cli::args::BackfillArgs;
use crate::cli::command::{Session, counts_in_words};
use crate::cli::engine::{BackfillEnd, BackfillOptions};
use crate::cli::progress::grouped;
use crate::cli::script::Failure;
use crate::error::Error;

pub async fn run(args: &BackfillArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    if let (Some(from), Some(BackfillEnd::Time(to))) = (args.from, args.to) {
        if from >= to {
            return Err(Error::usage(format!("--from {from} is not before --to {to}")).into());
        }
    }
    let options = BackfillOptions {
        feature: args.feature.clone(),
        out: args.out.clone(),
        from: args.from,
        to: args.to,
        overwrite: args.overwrite,
    };
    let progress = session.progress();
    let result = session.engine.backfill(&options, &progress, session.stop).await;
    progress.finish();
    let summary = result?;
    session.console.message(&format!("history: {}", summary.admission));
    session.console.message(&counts_in_words(&summary.counts));
    let (rows, files) = (grouped(summary.rows), summary.files);
    session.console.message(&format!("{rows} rows in {files} files below {}", args.out));
    Ok(())
}
