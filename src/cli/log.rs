//! Logging set-up: events go to standard error, never to standard output, and never through the
//! progress line.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::cli::args::{GlobalArgs, LogFormat};
use crate::cli::progress;

/// Environment variable with filter directives, for example `skewless=debug`.
const FILTER_VARIABLE: &str = "SKEWLESS_LOG";

/// Sets up logging for the process; later calls change nothing.
pub fn init(args: &GlobalArgs) {
    let level = match (args.quiet, args.verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "warn,skewless=info",
        (_, 2) => "info,skewless=debug",
        _ => "debug,skewless=trace",
    };
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(StandardError)
        .with_target(args.verbose > 1);
    // A process that has its own subscriber (a test) keeps it.
    let _ = match args.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
    };
}

#[derive(Clone, Copy)]
struct StandardError;

impl MakeWriter<'_> for StandardError {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        progress::clear_line();
        io::stderr().lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
