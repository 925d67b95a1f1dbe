//! `skewless run`: streams until the sources end or somebody stops it.

use crate::cli::args::RunArgs;
use crate::cli::command::apply::apply_files;
use crate::cli::command::{Session, counts_in_words};
use crate::cli::engine::{ApplyOptions, ChangeKind, RunOptions};
use crate::cli::progress::grouped;
use crate::cli::script::Failure;

pub async fn run(args: &RunArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    if !args.files.is_empty() {
        let applied = apply_files(&args.files, ApplyOptions::default(), session).await?;
        for change in applied.changes.iter().filter(|c| c.kind != ChangeKind::Unchanged) {
            session.console.message(&change.to_string());
        }
    }
    let options = RunOptions {
        features: args.features.clone(),
        until: args.until,
        http: args.http(),
        lanes: args.lanes.map(usize::from),
        checkpoint_interval: args.checkpoint_interval,
        memory: args.memory.unwrap_or_default(),
        stop_timeout: args.stop_timeout,
    };
    let progress = session.progress();
    let result = session.engine.run(&options, &progress, session.stop).await;
    progress.finish();
    let summary = result?;
    session.console.message(&counts_in_words(&summary.counts));
    session.console.message(&format!(
        "{} final rows, checkpoint {}{}",
        grouped(summary.final_rows),
        summary.epoch,
        if summary.ended { ", every window closed" } else { "" },
    ));
    Ok(())
}
