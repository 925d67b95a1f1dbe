//! `skewless training-set`: features at the times of labels, as Parquet, and the leakage report.

use crate::cli::args::TrainingSetArgs;
use crate::cli::command::{Session, counts_in_words};
use crate::cli::engine::TrainingSetOptions;
use crate::cli::progress::grouped;
use crate::cli::script::Failure;
use crate::cli::signal::Stop;

pub async fn run(args: &TrainingSetArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let options = TrainingSetOptions {
        labels: args.labels.clone(),
        time: args.time.clone(),
        features: args.features.clone(),
        out: args.out.clone(),
        keys: args.key.clone(),
        inclusive: args.inclusive,
        full_names: args.full_names,
        status: args.status,
        ttl_us: args.ttl,
        known_lag_us: args.known_at.then(|| args.lag.unwrap_or(0)),
        overwrite: args.overwrite,
    };
    let progress = session.progress();
    let result = session.engine.training_set(&options, &progress, session.stop).await;
    progress.finish();
    let summary = result?;
    for (source, admission, counts) in &summary.histories {
        session.console.message(&format!("history of {source}: {admission}"));
        session.console.message(&counts_in_words(counts));
    }
    let rows = grouped(summary.rows);
    for (feature, present) in &summary.present {
        session.console.message(&format!("{feature}: {} of {rows} present", grouped(*present)));
    }
    session.console.message(&format!(
        "leakage: {} labels whose features include events at or after them",
        grouped(summary.at_or_after)
    ));
    session.console.message(&format!("{rows} rows in {}", args.out));
    if session.stop.requested() {
        return Err(Stop::interrupted().into());
    }
    Ok(())
}
