//! The shell: `skewless` without a command. On a terminal it edits lines; from a pipe it runs
//! what it reads, without prompts, and stops at the first error.
//!
//! | file | what is in it |
//! |---|---|
//! | `shell` | runs statements and backslash commands, prints answers |
//! | `backslash` | the commands that begin with `\` |
//! | `editor` | the line editor: history, prompts, when a statement is whole |
//! | `assistant` | what the editor asks while somebody types |
//! | `completion` | what could come next |
//! | `highlight` | colours |
//! | `lexer` | SQL in pieces, also while it is half typed |

pub mod assistant;
pub mod backslash;
pub mod completion;
pub mod editor;
pub mod highlight;
pub mod lexer;
pub mod shell;

use std::io::{BufRead, IsTerminal};
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::cli::console::Console;
use crate::cli::engine::{Engine, HomeOptions};
use crate::cli::repl::shell::{Next, Shell};
use crate::cli::script::Failure;
use crate::error::Error;

/// Runs the shell on standard input until it ends. Called outside of the runtime.
pub fn run(
    runtime: &Handle,
    engine: &Arc<dyn Engine>,
    console: &mut Console,
    home: &HomeOptions,
) -> Result<(), Failure> {
    let mut shell = Shell::new(runtime.clone(), engine.clone(), console);
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        editor::run(&mut shell, home)
    } else {
        run_piped(&mut shell, stdin.lock())
    }
}

/// Runs every statement of `input` as soon as it is whole.
pub fn run_piped(shell: &mut Shell<'_>, mut input: impl BufRead) -> Result<(), Failure> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        let read = input.read_line(&mut line);
        let read = read.map_err(|e| Error::usage(format!("standard input: {e}")))?;
        text.push_str(&line);
        let ended = read == 0;
        if text.trim().is_empty() {
            text.clear();
        } else if ended || editor::is_whole(&text) {
            if shell.submit(&text)? == Next::Quit {
                return Ok(());
            }
            text.clear();
        }
        if ended {
            return Ok(());
        }
    }
}
