//! `skewless dead-letters`: what a source did not admit, and repaired records back into it.

use std::io::Read;

use crate::cli::args::{DeadLettersArgs, ResultFormat};
use crate::cli::command::Session;
use crate::cli::engine::{DeadLetterOptions, DeadLetterView, ReplayOptions};
use crate::cli::progress::grouped;
use crate::cli::script::Failure;
use crate::error::{Error, Result};

/// Letters in a table unless a limit is given.
const TABLE_ROWS: u64 = 100;

pub async fn run(args: &DeadLettersArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    if let Some(file) = &args.replay {
        return replay(args, file, session).await;
    }
    let view = match (args.summary, args.format) {
        (true, _) => DeadLetterView::Summary,
        (false, ResultFormat::Table) => DeadLetterView::People,
        (false, _) => DeadLetterView::Whole,
    };
    let cut = args.limit.is_none() && view == DeadLetterView::People;
    let options = DeadLetterOptions {
        source: args.source.clone(),
        reason: args.reason.map(|reason| reason.word()),
        limit: args.limit.or(cut.then_some(TABLE_ROWS)),
        view,
    };
    let output = session.engine.dead_letters(&options).await?;
    let rows = session.console.output(output, args.format, session.stop).await?;
    if cut && rows == Some(TABLE_ROWS) {
        session.console.message(&format!(
            "the first {TABLE_ROWS}; --limit N shows more, --summary counts them all"
        ));
    }
    Ok(())
}

async fn replay(
    args: &DeadLettersArgs,
    file: &str,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let text = read(file)?;
    let options = ReplayOptions { source: args.source.clone(), text, dry_run: args.dry_run };
    let done = session.engine.replay(&options).await?;
    let (sent, there, topic) = (done.sent as u64, done.there as u64, &done.topic);
    let verb = if args.dry_run { "would be sent" } else { "sent" };
    session.console.message(&format!(
        "{} messages {verb} to topic {topic}, {} are there already",
        grouped(sent),
        grouped(there)
    ));
    Ok(())
}

fn read(file: &str) -> Result<String> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().read_to_string(&mut text).map(|_| ()),
        path => std::fs::read_to_string(path).map(|read| text = read),
    };
    read.map_err(|e| Error::usage(format!("cannot read {file}: {e}")))?;
    Ok(text)
}
