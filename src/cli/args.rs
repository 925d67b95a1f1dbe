//! The command line as plain data. Nothing is opened or read here, so that `--help`, `--version`
//! and a wrong argument never depend on files or servers. `cli::main` calls it first.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::cli::engine::{At, BackfillEnd, HttpOptions, Pace, Until};
use crate::model::time::{EventTime, parse_duration};
use crate::runtime::memory::MemoryLimit;

const LONG_ABOUT: &str = "\
ML features written once in SQL, computed by the same operators over Kafka for serving and over \
Parquet for training, equal to the last bit.

Without a command it opens a shell: type SQL, end a statement with ';', `\\?` for help.";

const EXAMPLES: &str = "\
A first walk:
  skewless demo                                     everything on generated data, no server needed
  skewless apply source.sql features.sql            register what you want computed
  skewless run                                      compute it, as rows arrive, until Ctrl-C
  skewless get user_spend 42                        the values of one entity
  skewless backfill user_spend --out spend.parquet  the same rows from history
  skewless sql -e 'SHOW FEATURES'                   any statement

Exit codes: 0 done, 1 failed, 2 wrong arguments or SQL, or not supported.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "skewless", version, about = "ML features in SQL, online and offline equal")]
#[command(long_about = LONG_ABOUT, after_help = EXAMPLES, max_term_width = 100)]
pub struct Args {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Directory of definitions, checkpoints and, unless said otherwise, final rows
    #[arg(long, global = true, value_name = "DIR", env = "SKEWLESS_HOME")]
    #[arg(default_value = ".skewless")]
    pub home: PathBuf,
    /// Keep final rows below this URL instead of where each feature says
    #[arg(long, global = true, value_name = "URL")]
    pub offline: Option<String>,
    /// Keep current values here instead of where each feature says: embedded, none, redis://…
    #[arg(long, global = true, value_name = "URL")]
    pub online: Option<String>,
    /// Keep checkpoints below this URL (file://…, s3://…) instead of in the home; remembered there
    #[arg(long, global = true, value_name = "URL", env = "SKEWLESS_CHECKPOINTS")]
    pub checkpoints: Option<String>,
    /// Only results and errors: no progress, no messages
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log more: -v what happens, -vv in detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How log lines are written to standard error
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ResultFormat {
    /// Aligned columns, for people
    #[default]
    Table,
    /// One header line, then RFC 4180 records; NULL is empty
    Csv,
    /// One array of objects per result
    Json,
    /// One object per line
    Ndjson,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run SQL statements and exit
    Sql(SqlArgs),
    /// Register the definitions in files: all of them, or none if anything is wrong
    Apply(ApplyArgs),
    /// Compute features over their sources until stopped
    Run(RunArgs),
    /// Write the final rows of a feature over history
    Backfill(BackfillArgs),
    /// Join features to labels as they were known at the time of each label
    TrainingSet(TrainingSetArgs),
    /// Print the values of one entity
    Get(GetArgs),
    /// Print sources, features, watermarks and the last checkpoint
    Status(StatusArgs),
    /// Show what a source did not admit, and why; send repaired records again
    DeadLetters(DeadLettersArgs),
    /// Fill online stores from state
    Online(OnlineArgs),
    /// Send the rows of a file, or generated ones, to a Kafka topic as JSON messages
    Produce(ProduceArgs),
    /// Show the whole path on generated data, with no server at all
    Demo(DemoArgs),
}

const SQL_HELP: &str = "\
Examples:
  skewless sql -e \"SELECT reason, count(*) FROM DEAD_LETTERS(transactions) GROUP BY reason\"
  skewless sql -f report.sql --format csv > report.csv
  echo 'SHOW FEATURES;' | skewless sql

The text is parsed whole before the first statement runs; the first error stops it.";

#[derive(Debug, ClapArgs)]
#[command(after_help = SQL_HELP)]
pub struct SqlArgs {
    /// Read statements from a file; `-` is standard input (also the default)
    #[arg(short, long = "file", value_name = "FILE", conflicts_with = "execute")]
    pub file: Vec<PathBuf>,
    /// Statements to run
    #[arg(short = 'e', long = "execute", value_name = "SQL")]
    pub execute: Vec<String>,
    /// How results are written
    #[arg(long, default_value = "table")]
    pub format: ResultFormat,
}

const APPLY_HELP: &str = "\
Examples:
  skewless apply source.sql features.sql
  skewless apply features.sql --dry-run

A file holds CREATE SOURCE and CREATE FEATURE statements; they are what you want to exist. What is
absent is added, what is equal stays as it is, what differs is changed. `${NAME}` and
`${NAME:-default}` in option values are read from the environment.";

#[derive(Debug, ClapArgs)]
#[command(after_help = APPLY_HELP)]
pub struct ApplyArgs {
    /// Files of CREATE statements, in order
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Also make changes that begin a new version with fresh state
    #[arg(long)]
    pub replace: bool,
    /// Also drop what the files do not define
    #[arg(long)]
    pub prune: bool,
}

const RUN_HELP: &str = "\
Examples:
  skewless run                          everything registered, until Ctrl-C
  skewless run features.sql             apply the file first
  skewless run --until end              read to the end of the sources, close every window, exit

Ctrl-C takes a checkpoint and stops; a second Ctrl-C stops at once. The next `run` goes on where
the last checkpoint was.";

#[derive(Debug, ClapArgs)]
#[command(after_help = RUN_HELP)]
pub struct RunArgs {
    /// Files to apply before
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Run this feature only (may be repeated)
    #[arg(long = "feature", value_name = "FEATURE")]
    pub features: Vec<String>,
    /// Stop at the ends of the sources as they are now: `end` closes every window, `now` keeps
    /// them open for the next run
    #[arg(long, value_name = "end|now")]
    pub until: Option<Until>,
    /// Address of the HTTP server
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6566")]
    pub http: SocketAddr,
    /// Serve no HTTP
    #[arg(long, conflicts_with = "http")]
    pub no_http: bool,
    /// Serve other machines although there are no tokens
    #[arg(long)]
    pub insecure: bool,
    /// File of bearer tokens that may read, one per line (also: SKEWLESS_READ_TOKEN)
    #[arg(long, value_name = "FILE")]
    pub read_tokens: Vec<PathBuf>,
    /// File of bearer tokens that may also change definitions (also: SKEWLESS_ADMIN_TOKEN)
    #[arg(long, value_name = "FILE")]
    pub admin_tokens: Vec<PathBuf>,
    /// Serve HTTPS with this certificate (PEM, the server's own first)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Parallel pipelines; results do not depend on it [default: the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub lanes: Option<u16>,
    /// Time between checkpoints
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub checkpoint_interval: Duration,
    /// State and waiting rows may take so much memory (512MB, 2GiB, 40%); above it the engine
    /// takes a checkpoint and stops [default: 60% of what there is]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<MemoryLimit>,
    /// How long Ctrl-C or SIGTERM may take before it counts as a failure
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub stop_timeout: Duration,
}

const BACKFILL_HELP: &str = "\
Examples:
  skewless backfill user_spend --out spend.parquet
  skewless backfill user_spend --out spend/ --from 2026-01-01 --to 2026-02-01

The rows are those that `run` emits over the same history, bit for bit. With --from and --to, those
that it emits while its watermark goes from the one to the other.";

#[derive(Debug, ClapArgs)]
#[command(after_help = BACKFILL_HELP)]
pub struct BackfillArgs {
    /// The feature, as SHOW FEATURES lists it
    pub feature: String,
    /// Where to: one file if it ends in .parquet, else a directory of files
    #[arg(long, value_name = "URL")]
    pub out: String,
    /// Rows from this time on (RFC 3339 or a date)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Option<EventTime>,
    /// Rows before this time; `committed`: up to the last checkpoint of the running engine
    #[arg(long, value_name = "TIME|committed", value_parser = backfill_end)]
    pub to: Option<BackfillEnd>,
    /// Replace what is there
    #[arg(long)]
    pub overwrite: bool,
    /// Compare with the final rows that `run` wrote, bit by bit; fail if one differs
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub compare: bool,
}

const TRAINING_SET_HELP: &str = "\
Examples:
  skewless training-set --labels labels.parquet --time label_time --features user_spend \\
      --out train.parquet
  skewless training-set --labels 'labels/*.csv' --time ts --features user_spend:avg_1h,shop_risk \\
      --key user_id=customer_id --status --out train/

Every label comes out once, in order, with the values each feature had just before its time. What
happens at that very time or later never counts, unless --inclusive says so.";

#[derive(Debug, ClapArgs)]
#[command(after_help = TRAINING_SET_HELP)]
pub struct TrainingSetArgs {
    /// Labels, an entity key and a time per row: Parquet or CSV, a file, a directory or a glob
    #[arg(long, value_name = "URL")]
    pub labels: String,
    /// The time column of the labels
    #[arg(long, value_name = "COLUMN")]
    pub time: String,
    /// Features, or single columns of them: A,B:column
    #[arg(long, value_name = "FEATURES", value_delimiter = ',', required = true)]
    pub features: Vec<String>,
    /// Where to: one file if it ends in .parquet, else a directory of files
    #[arg(long, value_name = "URL")]
    pub out: String,
    /// Which label column holds which key column: user_id=customer_id (may be repeated)
    #[arg(long, value_name = "KEY=COLUMN", value_parser = key_column)]
    pub key: Vec<(String, String)>,
    /// Also count what happened at the very time of the label
    #[arg(long)]
    pub inclusive: bool,
    /// Name output columns feature__column
    #[arg(long)]
    pub full_names: bool,
    /// Add the status of each feature: PRESENT, EXPIRED or NOT_FOUND
    #[arg(long)]
    pub status: bool,
    /// Read every feature with this ttl instead of its own
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub ttl: Option<i64>,
    /// Count only events that had arrived by the time of the label
    #[arg(long)]
    pub known_at: bool,
    /// … or so long after it
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "known_at")]
    pub lag: Option<i64>,
    /// Replace what is there
    #[arg(long)]
    pub overwrite: bool,
}

const GET_HELP: &str = "\
Examples:
  skewless get user_spend 42
  skewless get spend_by_user_and_shop user_id=42 shop=north
  skewless get user_spend 42 --at 2026-03-01T10:00:00Z --format json

Asks the running engine; when none runs, the online store or the state of the last checkpoint.";

#[derive(Debug, ClapArgs)]
#[command(after_help = GET_HELP)]
pub struct GetArgs {
    /// The feature, as SHOW FEATURES lists it
    pub feature: String,
    /// The entity key: one value per key column, in order or as column=value
    #[arg(value_name = "KEY", allow_negative_numbers = true)]
    pub keys: Vec<String>,
    /// The values at this time; `now` is the source's time (the default)
    #[arg(long, value_name = "TIME|now", value_parser = at)]
    pub at: Option<At>,
    /// How results are written
    #[arg(long, default_value = "table")]
    pub format: ResultFormat,
}

#[derive(Debug, ClapArgs)]
pub struct StatusArgs {
    /// How results are written
    #[arg(long, default_value = "table")]
    pub format: ResultFormat,
}

const DEAD_LETTERS_HELP: &str = "\
Examples:
  skewless dead-letters transactions --summary
  skewless dead-letters transactions --reason decode --limit 20
  skewless dead-letters transactions --reason decode --format ndjson > broken.ndjson
  skewless dead-letters transactions --replay repaired.ndjson --dry-run

A file to replay has one JSON object per line: 'partition' and 'offset' of the dead letter, and
'raw', the repaired message, as a text or as an object. It is appended to the partition it came
from, with the header skewless.origin; replaying a file twice sends nothing twice. Nothing is sent
if any message would be a dead letter again. Late records cannot be replayed: what they would
change is final.";

/// Why a record was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ReasonArg {
    Decode,
    EventTime,
    Future,
    Late,
}

impl ReasonArg {
    pub fn word(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::EventTime => "event_time",
            Self::Future => "future",
            Self::Late => "late",
        }
    }
}

#[derive(Debug, ClapArgs)]
#[command(after_help = DEAD_LETTERS_HELP)]
pub struct DeadLettersArgs {
    /// The source, as SHOW SOURCES lists it
    pub source: String,
    /// Only those with this reason
    #[arg(long, value_name = "REASON")]
    pub reason: Option<ReasonArg>,
    /// At most so many, in order of partition and offset [default: 100 in a table, else all]
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// One line per reason instead of one per record
    #[arg(long)]
    pub summary: bool,
    /// How results are written
    #[arg(long, default_value = "table")]
    pub format: ResultFormat,
    /// Send the repaired records of this file to the source's topic; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["reason", "limit", "summary", "format"])]
    pub replay: Option<String>,
    /// With --replay: check everything, send nothing
    #[arg(long, requires = "replay")]
    pub dry_run: bool,
}

const REBUILD_HELP: &str = "\
Example:
  skewless online rebuild user_spend

For a store that has lost or mixed up its values. The running engine writes them all anew from what
it holds; without one, the values as the last checkpoint has them are written. A newer value in the
store stays.";

#[derive(Debug, ClapArgs)]
pub struct OnlineArgs {
    #[command(subcommand)]
    pub command: OnlineCommand,
}

#[derive(Debug, Subcommand)]
pub enum OnlineCommand {
    /// Write every current value of a feature to its online store
    #[command(after_help = REBUILD_HELP)]
    Rebuild {
        /// The feature, as SHOW FEATURES lists it
        feature: String,
    },
}

const PRODUCE_HELP: &str = "\
Examples:
  skewless produce transactions.ndjson --topic transactions --key user_id --partitions 4
  skewless produce datagen --rows 100000 --rate 5000 --topic transactions --key user_id
  skewless produce nexmark_bid --rows 1000000 --topic nexmark_bids --key bidder
  skewless produce flights.parquet --topic flights --time event_time --speed 3600x

Creates the topic if it is not there. Rows of equal --key go to one partition.";

#[derive(Debug, ClapArgs)]
#[command(after_help = PRODUCE_HELP)]
pub struct ProduceArgs {
    /// An ndjson, csv or parquet file; or generated rows: `datagen` makes card transactions,
    /// `nexmark_person`, `nexmark_auction` and `nexmark_bid` the streams of Nexmark
    #[arg(value_name = "FILE|datagen|nexmark_…")]
    pub input: String,
    /// The topic to send to; created where it is missing
    #[arg(long, value_name = "TOPIC")]
    pub topic: String,
    /// Kafka brokers
    #[arg(long, value_name = "HOST:PORT", env = "KAFKA", default_value = "127.0.0.1:9092")]
    pub brokers: String,
    /// Column whose value is the message key
    #[arg(long, value_name = "COLUMN")]
    pub key: Option<String>,
    /// Partitions of the topic when it is created [default: 1]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub partitions: Option<u16>,
    /// Rows per second [default: as fast as possible]
    #[arg(long, value_name = "ROWS", conflicts_with = "speed")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// Replay by the time of the rows: 1x is as it happened, 60x a minute per second
    #[arg(long, value_name = "FACTOR", value_parser = speed, requires = "time")]
    pub speed: Option<f64>,
    /// The time column that --speed goes by
    #[arg(long, value_name = "COLUMN")]
    pub time: Option<String>,
    /// Stop after this many rows
    #[arg(long, value_name = "N")]
    pub rows: Option<u64>,
    /// datagen: the same seed gives the same rows
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// A property for the producer, as librdkafka names it (may be repeated)
    #[arg(short = 'X', long = "property", value_name = "KEY=VALUE", value_parser = property)]
    pub properties: Vec<(String, String)>,
}

impl RunArgs {
    /// Where to serve; `None` = nowhere.
    pub fn http(&self) -> Option<HttpOptions> {
        (!self.no_http).then(|| HttpOptions {
            address: self.http,
            insecure: self.insecure,
            read_tokens: self.read_tokens.clone(),
            admin_tokens: self.admin_tokens.clone(),
            tls: self.tls_cert.clone().zip(self.tls_key.clone()),
        })
    }
}

impl ProduceArgs {
    /// How fast rows are sent.
    pub fn pace(&self) -> Pace {
        match (self.rate, self.speed, &self.time) {
            (Some(rows_per_second), _, _) => Pace::Rate(rows_per_second),
            (_, Some(factor), Some(column)) => Pace::Replay { factor, time_column: column.clone() },
            _ => Pace::Fast,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub struct DemoArgs {
    /// Card transactions to generate
    #[arg(long, value_name = "N", default_value = "300000")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub rows: u64,
    /// The same seed gives the same rows
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
}

fn time(text: &str) -> Result<EventTime, String> {
    let time = EventTime::parse(text).filter(|t| t.in_range());
    time.ok_or_else(|| "expected a time such as 2026-03-01T10:00:00Z, or a date".to_owned())
}

fn at(text: &str) -> Result<At, String> {
    if text == "now" { Ok(At::Now) } else { time(text).map(At::Time) }
}

fn backfill_end(text: &str) -> Result<BackfillEnd, String> {
    if text == "committed" { Ok(BackfillEnd::Committed) } else { time(text).map(BackfillEnd::Time) }
}

/// At least a millisecond, at most a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let value = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    let value = value.filter(|s| (0.001..=86_400.0).contains(s));
    value.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds, 0.001 to 86400".to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    let factor = text.strip_suffix('x').unwrap_or(text).parse::<f64>().ok();
    let factor = factor.filter(|f| f.is_finite() && *f > 0.0);
    factor.ok_or_else(|| "expected a factor above zero, such as 60x".to_owned())
}

/// µs, more than zero.
fn duration(text: &str) -> Result<i64, String> {
    let us = parse_duration(text).filter(|us| *us > 0);
    us.ok_or_else(|| "expected a duration, as in '5 minutes'".to_owned())
}

fn key_column(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, column)| !key.is_empty() && !column.is_empty());
    let (key, column) = pair.ok_or_else(|| "expected key=column".to_owned())?;
    Ok((key.to_owned(), column.to_owned()))
}

fn property(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or_else(|| "expected key=value".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}
