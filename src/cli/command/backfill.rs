//! `skewless backfill`: the final rows of a feature over history, as Parquet.

use crate::cli::args::BackfillArgs;
use crate::cli::command::{Session, counts_in_words};
use crate::cli::engine::{BackfillEnd, BackfillOptions, Comparison};
use crate::cli::progress::grouped;
use crate::cli::script::Failure;
use crate::cli::signal::Stop;
use crate::error::Error;

pub async fn run(args: &BackfillArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    if let (Some(from), Some(BackfillEnd::Time(to))) = (args.from, args.to)
        && from >= to
    {
        return Err(Error::usage(format!("--from {from} is not before --to {to}")).into());
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
    if session.stop.requested() {
        return Err(Stop::interrupted().into());
    }
    if args.compare {
        let found = session.engine.compare(&args.feature, &args.out).await?;
        session.console.write(&format!("{}\n", parity_line(&found)))?;
        parity_error(&found).map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// The result of a comparison; `demo` ends with it too.
pub fn parity_line(found: &Comparison) -> String {
    format!("parity: {} rows compared, {} different", found.rows, found.different)
}

/// A difference is a bug of ours, and comparing nothing proves nothing.
pub fn parity_error(found: &Comparison) -> Option<Error> {
    match found {
        Comparison { rows: 0, .. } => Some(
            Error::data("there are no rows to compare")
                .with_hint("`skewless run --until end` writes every final row"),
        ),
        Comparison { different: 0, .. } => None,
        Comparison { rows, different } => Some(Error::data(format!(
            "{different} of {rows} rows differ between stream and backfill"
        ))),
    }
}
