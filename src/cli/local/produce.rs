//! Rows to a Kafka topic, from a file or generated.

use crate::catalog::define::source_def;
use crate::catalog::source::Format;
use crate::cli::engine::{Pace, ProduceInput, ProduceOptions, ProduceSummary};
use crate::cli::local::definitions::env;
use crate::cli::progress::{ProgressLine, ProgressNow};
use crate::cli::signal::Stop;
use crate::error::{Error, Result};
use crate::limits::MESSAGE_BYTES_MAX;
use crate::plan::computed::infer;
use crate::source::datagen::DatagenSource;
use crate::source::file::FileSource;
use crate::source::produce::{self, produce};
use crate::source::source::Source;
use crate::sql::ast::Statement;
use crate::sql::parser::parse_statements;

/// The rows that `produce datagen` sends: those of the shipped source.
const TRANSACTIONS: &str = include_str!("../../../sql/transactions.sql");

/// Sends the rows; `stop` ends early, with what was sent so far delivered.
pub(super) async fn produce_rows(
    options: &ProduceOptions,
    progress: &ProgressLine,
    stop: &Stop,
) -> Result<ProduceSummary> {
    let (input, to) = (options.input.clone(), sending(options));
    let (rows, sent) = (options.rows, std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0)));
    let (counted, stopping) = (sent.clone(), stop.clone());
    let work = tokio::task::spawn_blocking(move || {
        let mut input = open(&input, rows)?;
        produce(input.as_mut(), &to, |handed_over| {
            counted.store(handed_over, std::sync::atomic::Ordering::Relaxed);
            !stopping.requested()
        })
    });
    tokio::pin!(work);
    let produced = loop {
        tokio::select! {
            done = &mut work => {
                break done.map_err(|e| Error::internal(format!("producing: {e}")))??;
            }
            () = tokio::time::sleep(std::time::Duration::from_millis(100)) => {
                let rows = sent.load(std::sync::atomic::Ordering::Relaxed);
                progress.report(&ProgressNow { rows, ..ProgressNow::default() });
            }
        }
    };
    progress.report(&ProgressNow { rows: produced.rows, ..ProgressNow::default() });
    if produced.errors > 0 {
        let first = produced.first_error.unwrap_or_default();
        return Err(Error::unavailable(format!(
            "{} of {} messages were not delivered; the first: {first}",
            produced.errors,
            produced.errors + produced.rows
        ))
        .with_hint("the others were; sending the file again sends those twice"));
    }
    Ok(ProduceSummary { rows: produced.rows })
}

fn sending(options: &ProduceOptions) -> produce::ProduceOptions {
    let mut properties = vec![("bootstrap.servers".to_owned(), options.brokers.clone())];
    properties.extend(options.properties.iter().cloned());
    let (pace, event_time) = match &options.pace {
        Pace::Fast => (produce::Pace::Unlimited, None),
        Pace::Rate(rate) => (produce::Pace::Rate(*rate), None),
        Pace::Replay { factor, time_column } => {
            (produce::Pace::Speed(*factor), Some(time_column.clone()))
        }
    };
    produce::ProduceOptions {
        topic: options.topic.clone(),
        key: options.key.clone(),
        partitions: options.partitions.map(u32::from),
        pace,
        event_time,
        properties,
    }
}

/// The rows to send, `rows` of them at most.
fn open(input: &ProduceInput, rows: Option<u64>) -> Result<Box<dyn Source>> {
    match input {
        ProduceInput::File(path) => {
            if rows.is_some() {
                return Err(Error::usage("--rows is for generated rows")
                    .with_hint("cut the file instead, for example with head"));
            }
            Ok(Box::new(FileSource::open(path.clone(), Format::Json, None, MESSAGE_BYTES_MAX)?))
        }
        ProduceInput::Datagen { generator, seed } => {
            let statement = generator.statement().unwrap_or_else(|| TRANSACTIONS.to_owned());
            let statement = parse_statements(&statement)?.into_iter().next();
            let Some(Statement::CreateSource(create)) = statement else {
                return Err(Error::internal("a generator without a CREATE SOURCE"));
            };
            let mut def = source_def(&create, &env, &|e, s| infer(e, s))?;
            def.options.datagen_seed = *seed;
            def.options.datagen_rows = rows.or(def.options.datagen_rows);
            Ok(Box::new(DatagenSource::new(&def)?))
        }
    }
}
