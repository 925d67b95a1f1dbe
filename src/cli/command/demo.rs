//! `skewless demo`: the whole path on generated data, without a server: define, stream, look,
//! backfill, compare. Uses the same calls as the commands a person would type.

use std::path::{Path, PathBuf};

use crate::cli::args::{DemoArgs, GlobalArgs, ResultFormat};
use crate::cli::command::backfill::{parity_error, parity_line};
use crate::cli::command::{Session, counts_in_words};
use crate::cli::console::Console;
use crate::cli::engine::{
    self, ApplyOptions, BackfillOptions, Comparison, HomeOptions, RunOptions, Until,
};
use crate::cli::progress::grouped;
use crate::cli::script::{Failure, Script};
use crate::cli::signal::Stop;
use crate::error::{Error, Result};

const SOURCE: &str = include_str!("../../../sql/transactions.sql");
const FEATURES: &str = include_str!("../../../sql/fraud.sql");
/// Says that a directory was made by an earlier demo, and may be made anew.
const MARKER: &str = "made-by-demo";
/// Shown from the current features.
const SAMPLE: &str = "SELECT * FROM user_spend ORDER BY txn_count_30m DESC, user_id LIMIT 5";

pub async fn run(
    args: &DemoArgs,
    home: &HomeOptions,
    global: &GlobalArgs,
    console: &mut Console,
    stop: Stop,
) -> Result<(), Failure> {
    let directory = home.home.join("demo");
    make_directory(&directory)?;
    // The demo needs no server, whatever the environment names.
    let own = HomeOptions {
        home: directory.clone(),
        offline: None,
        online: Some("embedded".to_owned()),
        checkpoints: None,
    };
    let engine = engine::open(&own).await?;
    let mut session =
        Session { engine: engine.as_ref(), console, stop: &stop, quiet: global.quiet };
    let features = define(args, &directory, &mut session).await?;
    stream(&mut session).await?;
    show_sample(&mut session).await?;
    let found = recompute(&features, &directory, &mut session).await?;
    say_what_next(&directory, &features, session.console)?;
    session.console.write(&format!("{}\n", parity_line(&found)))?;
    parity_error(&found).map_or(Ok(()), Err)?;
    Ok(())
}

/// A fresh directory; one that something else lives in is left alone.
fn make_directory(directory: &Path) -> Result<()> {
    let marker = directory.join(MARKER);
    let named = |e: std::io::Error| Error::from(e).context(directory.display());
    if directory.exists() {
        if !marker.exists() {
            let message = format!("{} was not made by a demo", directory.display());
            return Err(Error::usage(message).with_hint("use another home: --home DIR"));
        }
        std::fs::remove_dir_all(directory).map_err(named)?;
    }
    std::fs::create_dir_all(directory).map_err(named)?;
    std::fs::write(marker, "").map_err(named)
}

/// Fills in the one thing that the shipped SQL leaves open for the demo: `${NAME:-…}`.
fn with_variable(text: &str, name: &str, value: &str) -> Result<String> {
    let open = format!("${{{name}:-");
    let parts = text.split_once(&open).and_then(|(before, rest)| {
        let (_, after) = rest.split_once('}')?;
        Some((before, after))
    });
    let (before, after) =
        parts.ok_or_else(|| Error::internal(format!("the SQL of the demo has no ${{{name}}}")))?;
    Ok(format!("{before}{}{after}", value.replace('\'', "''")))
}

/// Applies the shipped definitions; the names of the features.
async fn define(
    args: &DemoArgs,
    directory: &Path,
    session: &mut Session<'_>,
) -> Result<Vec<String>, Failure> {
    let history = directory.join("history");
    let source = with_variable(SOURCE, "TRANSACTIONS_ROWS", &args.rows.to_string())?;
    let source = with_variable(&source, "TRANSACTIONS_SEED", &args.seed.to_string())?;
    let source = with_variable(&source, "TRANSACTIONS_HISTORY", &history.display().to_string())?;
    let mut script = Script::default();
    script.add(Some("sql/transactions.sql".to_owned()), source);
    script.add(Some("sql/fraud.sql".to_owned()), FEATURES.to_owned());
    let statements = script.statements().map_err(|e| script.failure(e))?;
    let applied = session.engine.apply(&statements, ApplyOptions::default()).await;
    let changes = applied.map_err(|e| script.failure(e))?.changes;
    for change in &changes {
        session.console.message(&change.to_string());
    }
    let features = changes.into_iter().filter(|c| c.object == "feature");
    Ok(features.map(|c| c.name).collect())
}

async fn stream(session: &mut Session<'_>) -> Result<(), Failure> {
    session.console.message("\nstreaming generated card transactions");
    let options = RunOptions { until: Some(Until::End), ..RunOptions::default() };
    let progress = session.progress();
    let result = session.engine.run(&options, &progress, session.stop).await;
    progress.finish();
    let summary = result?;
    if session.stop.requested() {
        return Err(Stop::interrupted().into());
    }
    session.console.message(&counts_in_words(&summary.counts));
    session.console.message(&format!("{} final rows\n", grouped(summary.final_rows)));
    Ok(())
}

async fn show_sample(session: &mut Session<'_>) -> Result<(), Failure> {
    session.console.message(&format!("current features of the busiest users\n{SAMPLE}"));
    let mut script = Script::default();
    script.add(None, SAMPLE.to_owned());
    for statement in script.statements().map_err(|e| script.failure(e))? {
        let output = session.engine.execute(&statement).await.map_err(|e| script.failure(e))?;
        session.console.output(output, ResultFormat::Table, session.stop).await?;
    }
    Ok(())
}

/// Backfills every feature from the archive and compares it with what the stream wrote.
async fn recompute(
    features: &[String],
    directory: &Path,
    session: &mut Session<'_>,
) -> Result<Comparison, Failure> {
    session.console.message("\nbackfilling the same features from the archived Parquet");
    let mut all = Comparison::default();
    for feature in features {
        let out = backfill_directory(directory, feature);
        let options = BackfillOptions {
            feature: feature.clone(),
            out: out.display().to_string(),
            from: None,
            to: None,
            overwrite: false,
        };
        let progress = session.progress();
        let result = session.engine.backfill(&options, &progress, session.stop).await;
        progress.finish();
        let backfilled = result?.rows;
        if session.stop.requested() {
            return Err(Stop::interrupted().into());
        }
        let found = session.engine.compare(feature, &options.out).await?;
        session.console.message(&format!(
            "{feature}: {} rows backfilled, {} compared as raw bits, {} different",
            grouped(backfilled),
            grouped(found.rows),
            grouped(found.different),
        ));
        all.rows += found.rows;
        all.different += found.different;
    }
    Ok(all)
}

fn backfill_directory(directory: &Path, feature: &str) -> PathBuf {
    // With a slash at its end it is a directory, whatever the feature is called.
    directory.join("backfill").join(feature).join("")
}

fn say_what_next(directory: &Path, features: &[String], console: &mut Console) -> Result<()> {
    let home = directory.display();
    let first = features.first().map_or("user_spend", String::as_str);
    console.message(&format!(
        "
kept below {home}:
  offline/        final rows that the stream wrote
  history/        the archived transactions
  backfill/       final rows computed again from the archive

try next:
  skewless --home {home} get {first} 42
  skewless --home {home} sql -e \"EXPLAIN FEATURE {first}\"
  skewless --home {home}
"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_sql_has_the_variables_of_the_demo() {
        let mut text = SOURCE.to_owned();
        for name in ["TRANSACTIONS_ROWS", "TRANSACTIONS_SEED", "TRANSACTIONS_HISTORY"] {
            text = with_variable(&text, name, "it's").unwrap();
            assert!(text.contains("'it''s'"), "{text}");
        }
        assert!(with_variable(&text, "TRANSACTIONS_ROWS", "1").is_err());
    }

    #[test]
    fn a_directory_of_somebody_else_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("demo");
        make_directory(&directory).unwrap();
        std::fs::write(directory.join("old"), "x").unwrap();
        make_directory(&directory).unwrap();
        assert!(!directory.join("old").exists());
        std::fs::remove_file(directory.join(MARKER)).unwrap();
        std::fs::write(directory.join("precious"), "x").unwrap();
        let error = make_directory(&directory).unwrap_err();
        assert!(error.message().contains("was not made by a demo"), "{error}");
        assert!(directory.join("precious").exists());
    }
}
