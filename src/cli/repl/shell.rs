//! Runs what was typed and prints the answers. Knows nothing of terminals or lines.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::cli::args::ResultFormat;
use crate::cli::console::Console;
use crate::cli::engine::{Engine, Names};
use crate::cli::repl::backslash::{self, Backslash};
use crate::cli::script::{Failure, Script};
use crate::cli::signal::Stop;
use crate::clock;
use crate::error::{Error, Result};
use crate::sql::ast::Statement;

/// Files that include files, at most so deep.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Whether to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Read,
    Quit,
}

/// A running shell.
pub struct Shell<'a> {
    runtime: Handle,
    engine: Arc<dyn Engine>,
    console: &'a mut Console,
    format: ResultFormat,
    timing: bool,
    depth: usize,
}

impl<'a> Shell<'a> {
    pub fn new(runtime: Handle, engine: Arc<dyn Engine>, console: &'a mut Console) -> Self {
        Self { runtime, engine, console, format: ResultFormat::Table, timing: false, depth: 0 }
    }

    /// Runs a backslash command, or every statement of `text`.
    pub fn submit(&mut self, text: &str) -> Result<Next, Failure> {
        let trimmed = text.trim();
        if trimmed.starts_with('\\') {
            return self.backslash(backslash::parse(trimmed)?);
        }
        let word = trimmed.trim_end_matches(';').trim_end();
        if word.eq_ignore_ascii_case("exit") || word.eq_ignore_ascii_case("quit") {
            return Ok(Next::Quit);
        }
        let mut script = Script::default();
        script.add(None, text.to_owned());
        self.run_script(&script)?;
        Ok(Next::Read)
    }

    /// Shows an error that the shell survives.
    pub fn complain(&mut self, failure: &Failure) {
        self.console.complain(failure.rendered());
    }

    /// Names for completion; none while the engine cannot tell.
    pub fn names(&self) -> Names {
        self.runtime.block_on(self.engine.names()).unwrap_or_default()
    }

    fn run_script(&mut self, script: &Script) -> Result<(), Failure> {
        let statements = script.statements().map_err(|e| script.failure(e))?;
        for statement in &statements {
            let started = clock::monotonic();
            self.run_statement(statement).map_err(|e| script.failure(e))?;
            if self.timing {
                let millis = clock::monotonic().duration_since(started).as_secs_f64() * 1e3;
                self.console.complain(&format!("time: {millis:.1} ms"));
            }
        }
        Ok(())
    }

    /// Ctrl-C while it runs ends the statement, not the shell.
    fn run_statement(&mut self, statement: &Statement) -> Result<()> {
        let engine = self.engine.clone();
        self.runtime.block_on(async {
            let (asked, stop) = Stop::manual();
            let listening = tokio::spawn(async move {
                if tokio::signal::ctrl_c().await.is_ok() {
                    asked.send_replace(true);
                }
                // Keeps the sender: a stop is waited for until the statement ends.
                std::future::pending::<()>().await;
            });
            let answer = tokio::select! {
                answer = engine.execute(statement) => answer,
                () = stop.wait() => Err(Stop::interrupted()),
            };
            let printed = match answer {
                Ok(output) => self.console.output(output, self.format, &stop).await.map(|_| ()),
                Err(error) => Err(error),
            };
            listening.abort();
            printed
        })
    }

    fn backslash(&mut self, command: Backslash) -> Result<Next, Failure> {
        match command {
            Backslash::Quit => return Ok(Next::Quit),
            Backslash::Help => self.console.write(&backslash::help())?,
            Backslash::Timing(on) => {
                self.timing = on.unwrap_or(!self.timing);
                let word = if self.timing { "on" } else { "off" };
                self.console.message(&format!("timing is {word}"));
            }
            Backslash::Format(format) => self.format = format,
            Backslash::List => self.run_text("SHOW SOURCES; SHOW FEATURES")?,
            Backslash::Describe(name) => self.run_text(&format!("DESCRIBE {name}"))?,
            Backslash::Include(path) => self.include(path)?,
        }
        Ok(Next::Read)
    }

    fn run_text(&mut self, text: &str) -> Result<(), Failure> {
        let mut script = Script::default();
        script.add(None, text.to_owned());
        self.run_script(&script)
    }

    fn include(&mut self, path: PathBuf) -> Result<(), Failure> {
        if self.depth >= INCLUDE_DEPTH_MAX {
            let message = format!("files include each other more than {INCLUDE_DEPTH_MAX} deep");
            return Err(Error::usage(message).into());
        }
        self.depth += 1;
        let result = Script::read(&[path]).map_err(Failure::from);
        let result = result.and_then(|script| self.run_script(&script));
        self.depth -= 1;
        result
    }
}
