//! `skewless apply`: makes the definitions be those of the files, and says what that changed.

use std::path::PathBuf;

use crate::cli::args::ApplyArgs;
use crate::cli::command::Session;
use crate::cli::engine::{Applied, ApplyOptions, Change, ChangeKind};
use crate::cli::script::{Failure, Script};
use crate::error::Error;

pub async fn run(args: &ApplyArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let options = ApplyOptions { dry_run: args.dry_run, replace: args.replace, prune: args.prune };
    let Applied { changes, notes } = apply_files(&args.files, options, session).await?;
    for change in &changes {
        session.console.write(&format!("{change}\n"))?;
    }
    for note in &notes {
        session.console.message(note);
    }
    session.console.message(&summary(&changes, args.dry_run));
    Ok(())
}

/// Applies files; also what `run FILE…` does first.
pub async fn apply_files(
    files: &[PathBuf],
    options: ApplyOptions,
    session: &mut Session<'_>,
) -> Result<Applied, Failure> {
    let script = Script::read(files)?;
    let statements = script.statements().map_err(|e| script.failure(e))?;
    if statements.is_empty() {
        return Err(Error::usage("the files hold no statement").into());
    }
    session.engine.apply(&statements, options).await.map_err(|e| script.failure(e))
}

/// `2 added, 1 unchanged`
pub fn summary(changes: &[Change], dry_run: bool) -> String {
    let kinds =
        [ChangeKind::Added, ChangeKind::Changed, ChangeKind::Unchanged, ChangeKind::Dropped];
    let count = |kind| changes.iter().filter(|c| c.kind == kind).count();
    let parts = kinds.into_iter().map(|kind| (count(kind), kind.word()));
    let parts: Vec<String> =
        parts.filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let text = if parts.is_empty() { "nothing defined".to_owned() } else { parts.join(", ") };
    if dry_run { format!("dry run, nothing stored: {text}") } else { text }
}
