//! Tests of the commands and the shell over an engine that runs plain queries only.

use std::io::Write;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use clap::{CommandFactory, Parser};
use datafusion::prelude::SessionContext;

use super::*;
use crate::cli::engine::{
    Answer, Applied, ApplyOptions, BackfillOptions, BackfillSummary, Change, ChangeKind,
    Comparison, Counts, DeadLetterOptions, GetOptions, Names, Output, ProduceOptions,
    ProduceSummary, Rebuilt, ReplayOptions, ReplaySummary, RunOptions, RunSummary, Status,
    TrainingSetOptions, TrainingSetSummary,
};
use crate::cli::progress::ProgressLine;
use crate::cli::repl::shell::Shell;
use crate::error::Result;
use crate::model::time::EventTime;
use crate::sql::ast::Statement;

/// Runs queries in a plain DataFusion session; answers the rest with fixed data.
struct QueryEngine;

#[async_trait]
impl Engine for QueryEngine {
    async fn execute(&self, statement: &Statement) -> Result<Output> {
        match statement {
            Statement::Query(query) => {
                let frame = SessionContext::new().sql(&query.text).await;
                let frame = frame.map_err(|e| Error::from(e).with_span(statement.span()))?;
                Ok(Output::Rows(frame.execute_stream().await?))
            }
            Statement::Explain(_) => Ok(Output::Text("Logical\n  …\n".to_owned())),
            _ => Ok(Output::Done("done".to_owned())),
        }
    }

    async fn names(&self) -> Result<Names> {
        Ok(Names::default())
    }

    async fn apply(&self, statements: &[Statement], _: ApplyOptions) -> Result<Applied> {
        let change = |statement: &Statement| match statement {
            Statement::CreateSource(create) => Ok(Change {
                kind: ChangeKind::Added,
                object: "source",
                name: create.name.value.clone(),
                detail: None,
            }),
            other => Err(Error::usage("only CREATE can be applied").with_span(other.span())),
        };
        let changes = statements.iter().map(change).collect::<Result<_>>()?;
        Ok(Applied { changes, notes: Vec::new() })
    }

    async fn run(&self, _: &RunOptions, _: &ProgressLine, _: &Stop) -> Result<RunSummary> {
        let counts = Counts { read: 1_005, admitted: 1_000, late: 2, future: 1, rejected: 2 };
        Ok(RunSummary { counts, final_rows: 1_000, epoch: 3, ended: true })
    }

    async fn backfill(
        &self,
        _: &BackfillOptions,
        _: &ProgressLine,
        _: &Stop,
    ) -> Result<BackfillSummary> {
        Err(Error::data("no such file: x.parquet"))
    }

    async fn training_set(
        &self,
        options: &TrainingSetOptions,
        _: &ProgressLine,
        _: &Stop,
    ) -> Result<TrainingSetSummary> {
        let present = options.features.iter().map(|feature| (feature.clone(), 2));
        let histories = vec![("s".to_owned(), "complete".to_owned(), Counts::default())];
        Ok(TrainingSetSummary {
            rows: 3,
            files: 1,
            histories,
            present: present.collect(),
            at_or_after: u64::from(options.inclusive),
        })
    }

    async fn get(&self, options: &GetOptions) -> Result<Answer> {
        use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
        let key: ArrayRef = Arc::new(Int64Array::from(vec![42]));
        let value: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN]));
        Ok(Answer {
            feature: options.feature.clone(),
            key: RecordBatch::try_from_iter([("user_id", key)])?,
            as_of: EventTime::parse("2026-03-01T10:00:00Z"),
            values: RecordBatch::try_from_iter([("avg", value)])?,
            status: "PRESENT",
        })
    }

    async fn status(&self) -> Result<Status> {
        Ok(Status { home: "here".to_owned(), ..Default::default() })
    }

    async fn produce(
        &self,
        _: &ProduceOptions,
        _: &ProgressLine,
        _: &Stop,
    ) -> Result<ProduceSummary> {
        Ok(ProduceSummary { rows: 1 })
    }

    async fn dead_letters(&self, options: &DeadLetterOptions) -> Result<Output> {
        Ok(Output::Done(format!("{options:?}")))
    }

    async fn replay(&self, options: &ReplayOptions) -> Result<ReplaySummary> {
        let sent = options.text.lines().count();
        Ok(ReplaySummary { sent, there: 1_000, topic: "t".to_owned() })
    }

    async fn rebuild(&self, feature: &str) -> Result<Rebuilt> {
        match feature {
            "here" => Ok(Rebuilt::Begun),
            _ => Ok(Rebuilt::Written(12_345)),
        }
    }

    async fn compare(&self, _: &str, _: &str) -> Result<Comparison> {
        Ok(Comparison::default())
    }
}

/// A writer whose bytes can be read afterwards.
#[derive(Clone, Default)]
struct Sheet(Arc<Mutex<Vec<u8>>>);

impl Sheet {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Sheet {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a command line does: result, standard output, standard error.
fn run_command(line: &[&str]) -> (Result<(), Failure>, String, String) {
    let args = Args::try_parse_from([&["skewless"], line].concat()).unwrap();
    let (out, messages) = (Sheet::default(), Sheet::default());
    let mut console = Console::to(Box::new(out.clone()), Box::new(messages.clone()));
    let (_keep, stop) = Stop::manual();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut session =
        Session { engine: &QueryEngine, console: &mut console, stop: &stop, quiet: true };
    let result = runtime.block_on(async {
        match args.command.unwrap() {
            Command::Sql(args) => command::sql::run(&args, &mut session).await,
            Command::Apply(args) => command::apply::run(&args, &mut session).await,
            Command::Run(args) => command::run::run(&args, &mut session).await,
            Command::Get(args) => command::get::run(&args, &mut session).await,
            Command::Status(args) => command::status::run(&args, &mut session).await,
            Command::Produce(args) => command::produce::run(&args, &mut session).await,
            Command::Backfill(args) => command::backfill::run(&args, &mut session).await,
            Command::DeadLetters(args) => command::dead_letters::run(&args, &mut session).await,
            Command::TrainingSet(args) => command::training_set::run(&args, &mut session).await,
            Command::Online(args) => command::online::run(&args, &mut session).await,
            Command::Demo(_) => panic!("the demo needs a real engine"),
        }
    });
    (result, out.text(), messages.text())
}

fn run_shell(input: &str) -> (Result<(), Failure>, String, String) {
    let (out, messages) = (Sheet::default(), Sheet::default());
    let mut console = Console::to(Box::new(out.clone()), Box::new(messages.clone()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine: Arc<dyn Engine> = Arc::new(QueryEngine);
    let mut shell = Shell::new(runtime.handle().clone(), engine, &mut console);
    let result = repl::run_piped(&mut shell, input.as_bytes());
    (result, out.text(), messages.text())
}

#[test]
fn the_command_line_is_consistent_and_every_command_has_help() {
    Args::command().debug_assert();
    for command in Args::command().get_subcommands() {
        assert!(command.get_about().is_some(), "{}", command.get_name());
    }
}

#[test]
fn times_speeds_and_intervals_are_checked_before_anything_is_opened() {
    let parse = |line: &[&str]| Args::try_parse_from([&["skewless"], line].concat());
    assert!(parse(&["backfill", "f", "--out", "x", "--from", "yesterday"]).is_err());
    assert!(parse(&["produce", "x", "--topic", "t", "--speed", "0x", "--time", "c"]).is_err());
    assert!(parse(&["produce", "x", "--topic", "t", "--speed", "60x"]).is_err(), "needs --time");
    assert!(parse(&["produce", "x", "--topic", "t", "--rate", "0"]).is_err());
    assert!(parse(&["run", "--lanes", "0"]).is_err());
    assert!(parse(&["run", "--memory", "0"]).is_err());
    assert!(parse(&["run", "--memory", "1 parsec"]).is_err());
    assert!(parse(&["run", "--memory", "2GiB", "--stop-timeout", "0.5"]).is_ok());
    assert!(parse(&["run", "--until", "later"]).is_err());
    assert!(parse(&["get", "f", "-5"]).is_ok(), "a negative key is no option");
    assert!(parse(&["run", "--checkpoint-interval", "0.5", "--home", "x", "-v"]).is_ok());
}

#[test]
fn statements_print_results_to_stdout_and_messages_to_stderr() {
    let (result, out, messages) =
        run_command(&["sql", "-e", "SELECT 1 AS a; SHOW FEATURES; EXPLAIN SELECT 1"]);
    result.unwrap();
    assert_eq!(out, " a\n---\n 1\n(1 row)\nLogical\n  …\n");
    assert_eq!(messages, "done\n");
    let (result, out, _) = run_command(&["sql", "-e", "SELECT 1 AS a", "--format", "ndjson"]);
    result.unwrap();
    assert_eq!(out, "{\"a\":1}\n");
}

#[test]
fn a_wrong_statement_stops_before_the_first_runs() {
    let (result, out, _) = run_command(&["sql", "-e", "SELECT 1 AS a;\nSELEC 2"]);
    let failure = result.unwrap_err();
    assert_eq!(failure.error.exit_code(), 2);
    assert_eq!(out, "");
    assert!(failure.rendered().contains("SELEC 2"), "{}", failure.rendered());
    assert!(failure.rendered().contains('^'), "{}", failure.rendered());
}

#[test]
fn a_missing_file_is_named() {
    let (result, ..) = run_command(&["apply", "no/such/file.sql"]);
    let failure = result.unwrap_err();
    assert!(failure.rendered().contains("cannot read no/such/file.sql"), "{}", failure.rendered());
    assert_eq!(failure.error.exit_code(), 2);
}

#[test]
fn apply_says_what_it_did_and_errors_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("source.sql");
    let source = "CREATE SOURCE s (t TIMESTAMP NOT NULL, WATERMARK FOR t AS t) \
                  WITH ('connector' = 'datagen');";
    std::fs::write(&file, source).unwrap();
    let path = file.to_str().unwrap();
    let (result, out, messages) = run_command(&["apply", path, "--dry-run"]);
    result.unwrap();
    assert_eq!(out, "added     source s\n");
    assert_eq!(messages, "dry run, nothing stored: 1 added\n");
    std::fs::write(&file, format!("{source}\nSELECT 1")).unwrap();
    let (result, ..) = run_command(&["apply", path]);
    let failure = result.unwrap_err();
    assert!(failure.rendered().contains("source.sql:2:1"), "{}", failure.rendered());
}

#[test]
fn run_reports_what_became_of_every_record() {
    let (result, out, messages) = run_command(&["run", "--until", "end", "--no-http"]);
    result.unwrap();
    assert_eq!(out, "");
    let counts = "1,005 read = 1,000 admitted + 2 late + 1 future + 2 rejected";
    assert!(messages.contains(counts), "{messages}");
}

#[test]
fn get_answers_as_http_does_or_as_a_row() {
    let (result, out, _) = run_command(&["get", "user_spend", "42", "--format", "json"]);
    result.unwrap();
    let expected = "{\"feature\":\"user_spend\",\"key\":{\"user_id\":42},\
         \"as_of\":\"2026-03-01T10:00:00Z\",\"values\":{\"avg\":\"NaN\"},\"status\":\"PRESENT\"}\n";
    assert_eq!(out, expected);
    let (result, out, _) = run_command(&["get", "user_spend", "42", "--format", "csv"]);
    result.unwrap();
    assert_eq!(out, "user_id,avg,_as_of,status\n42,NaN,2026-03-01T10:00:00Z,PRESENT\n");
}

#[test]
fn a_training_set_says_what_was_found_and_whether_anything_leaked() {
    let line = ["training-set", "--labels", "l", "--time", "t", "--features", "a,b", "--out", "o"];
    let (result, out, messages) = run_command(&line);
    result.unwrap();
    assert_eq!(out, "");
    assert!(messages.contains("a: 2 of 3 present\nb: 2 of 3 present\n"), "{messages}");
    assert!(messages.contains("leakage: 0 labels"), "{messages}");
    let (result, _, messages) = run_command(&[&line[..], &["--inclusive"]].concat());
    result.unwrap();
    assert!(messages.contains("leakage: 1 labels"), "{messages}");
    let keys = |text: &str| {
        Args::try_parse_from([&["skewless"], &line[..], &["--key", text]].concat()).is_ok()
    };
    assert!(keys("user_id=customer") && !keys("user_id") && !keys("=x"));
    let lag = [&["skewless"], &line[..], &["--lag", "5 minutes"]].concat();
    assert!(Args::try_parse_from(lag).is_err(), "a lag without --known-at");
}

#[test]
fn failures_of_the_world_have_exit_code_1() {
    let (result, ..) = run_command(&["backfill", "f", "--out", "x"]);
    assert_eq!(result.unwrap_err().error.exit_code(), 1);
    let swapped = ["backfill", "f", "--out", "x", "--from", "2026-02-01", "--to", "2026-01-01"];
    let (result, ..) = run_command(&swapped);
    assert_eq!(result.unwrap_err().error.exit_code(), 2);
}

#[test]
fn the_piped_shell_runs_statements_over_lines_without_prompts() {
    let input = "SELECT 1\n  AS a;\n\\format csv\n-- nothing\nSELECT ';' AS b; SELECT 2 AS c";
    let (result, out, _) = run_shell(input);
    result.unwrap();
    assert_eq!(out, " a\n---\n 1\n(1 row)\nb\n;\nc\n2\n");
}

#[test]
fn the_piped_shell_stops_at_the_first_error_and_at_quit() {
    let (result, out, _) = run_shell("SELECT nope;\nSELECT 1 AS a;");
    assert!(result.unwrap_err().rendered().contains("nope"));
    assert_eq!(out, "");
    let (result, out, _) = run_shell("\\q\nSELECT 1 AS a;");
    result.unwrap();
    assert_eq!(out, "");
}

#[test]
fn the_shell_times_statements_and_reads_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("q.sql");
    std::fs::write(&file, "SELECT 7 AS seven").unwrap();
    let (result, out, messages) = run_shell(&format!("\\timing on\n\\i {}\n", file.display()));
    result.unwrap();
    assert!(out.contains("seven"), "{out}");
    assert!(messages.contains("timing is on") && messages.contains("time: "), "{messages}");
}

#[test]
fn dead_letters_are_cut_for_people_whole_for_programs_and_counted_on_request() {
    let said = |line: &[&str]| {
        let (result, out, _) = run_command(line);
        assert!(result.is_ok(), "{line:?}");
        assert_eq!(out, "");
        let (_, _, messages) = run_command(line);
        messages
    };
    let listed = said(&["dead-letters", "tx", "--reason", "event_time"]);
    assert!(listed.contains("reason: Some(\"event_time\"), limit: Some(100), view: People"));
    let whole = said(&["dead-letters", "tx", "--format", "ndjson"]);
    assert!(whole.contains("limit: None, view: Whole"), "{whole}");
    let summary = said(&["dead-letters", "tx", "--summary", "--limit", "2"]);
    assert!(summary.contains("limit: Some(2), view: Summary"), "{summary}");
    for wrong in [
        &["dead-letters", "tx", "--reason", "bad"][..],
        &["dead-letters", "tx", "--dry-run"],
        &["dead-letters", "tx", "--replay", "-", "--summary"],
        &["dead-letters"],
    ] {
        assert!(Args::try_parse_from([&["skewless"], wrong].concat()).is_err(), "{wrong:?}");
    }
    let (result, ..) = run_command(&["dead-letters", "tx", "--replay", "/no/such/file"]);
    assert!(result.unwrap_err().error.message().contains("cannot read /no/such/file"));
}

fn without_help(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    let silent = |argument: &&clap::Arg| argument.get_help().is_none() && !argument.is_hide_set();
    let arguments = command.get_arguments().filter(silent);
    found.extend(arguments.map(|argument| format!("{path} {}", argument.get_id())));
    for sub in command.get_subcommands() {
        let path = format!("{path} {}", sub.get_name());
        if sub.get_about().is_none() {
            found.push(path.clone());
        }
        without_help(sub, &path, found);
    }
}

#[test]
fn every_command_and_every_argument_says_what_it_is() {
    let mut found = Vec::new();
    without_help(&Args::command(), "skewless", &mut found);
    assert!(found.is_empty(), "no help for: {found:?}");
}
