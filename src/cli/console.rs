//! Where results and messages go: results to standard output and nothing else, messages and
//! errors to standard error. Tests put buffers in their places.

use std::io::{self, ErrorKind, IsTerminal, Write};

use futures::StreamExt;

use crate::cli::args::ResultFormat;
use crate::cli::engine::Output;
use crate::cli::progress;
use crate::cli::signal::Stop;
use crate::cli::table;
use crate::error::{Error, Result};
use crate::model::text::json_string;

/// The two ends of a command.
pub struct Console {
    out: Box<dyn Write + Send>,
    messages: Box<dyn Write + Send>,
    quiet: bool,
    /// Standard output is a terminal.
    pub terminal: bool,
}

impl Console {
    pub fn standard(quiet: bool) -> Self {
        Self {
            out: Box::new(io::stdout()),
            messages: Box::new(io::stderr()),
            quiet,
            terminal: io::stdout().is_terminal(),
        }
    }

    pub fn to(out: Box<dyn Write + Send>, messages: Box<dyn Write + Send>) -> Self {
        Self { out, messages, quiet: false, terminal: false }
    }

    /// Writes part of a result. A reader that has gone away (`| head`) ends the process well.
    pub fn write(&mut self, text: &str) -> Result<()> {
        progress::clear_line();
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
            other => other.map_err(|e| Error::from(e).context("standard output")),
        }
    }

    /// Writes a line about what happened; nothing when quiet.
    pub fn message(&mut self, text: &str) {
        if !self.quiet {
            self.complain(text);
        }
    }

    /// Writes a line even when quiet. There is nowhere to report that it cannot be written.
    pub fn complain(&mut self, text: &str) {
        progress::clear_line();
        let _ = writeln!(self.messages, "{text}");
    }

    /// Prints the answer to a statement; returns the number of rows, if it has rows.
    pub async fn output(
        &mut self,
        output: Output,
        format: ResultFormat,
        stop: &Stop,
    ) -> Result<Option<u64>> {
        let mut stream = match output {
            Output::Done(message) => {
                self.message(&message);
                return Ok(None);
            }
            Output::Text(text) => {
                self.text(&text, format)?;
                return Ok(None);
            }
            Output::Rows(stream) => stream,
        };
        let mut writer = table::ResultWriter::new(stream.schema(), format);
        self.write(&writer.begin())?;
        loop {
            let next = tokio::select! {
                next = stream.next() => next,
                () = stop.wait() => return Err(Stop::interrupted()),
            };
            let Some(batch) = next else { break };
            let text = writer.batch(batch?)?;
            self.write(&text)?;
        }
        let end = writer.end()?;
        self.write(&end)?;
        Ok(Some(writer.rows()))
    }

    fn text(&mut self, text: &str, format: ResultFormat) -> Result<()> {
        match format {
            ResultFormat::Table | ResultFormat::Csv => {
                self.write(&format!("{}\n", text.trim_end_matches('\n')))
            }
            ResultFormat::Json | ResultFormat::Ndjson => {
                self.write(&format!("{{\"text\":{}}}\n", json_string(text)))
            }
        }
    }
}
