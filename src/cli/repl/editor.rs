//! The line editor of the shell: statements over several lines, history across runs.

use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, CompletionType, Config, Editor};

use crate::cli::engine::HomeOptions;
use crate::cli::repl::assistant::Assistant;
use crate::cli::repl::shell::{Next, Shell};
use crate::cli::script::Failure;
use crate::error::Error;
use crate::sql::parser::is_complete;

const PROMPT: &str = "skewless> ";
const HISTORY_ENTRIES_MAX: usize = 10_000;

/// Reads and runs until `\q` or Ctrl-D; errors of statements are shown and survived.
pub fn run(shell: &mut Shell<'_>, home: &HomeOptions) -> Result<(), Failure> {
    let mut editor = new_editor().map_err(terminal_error)?;
    let history = history_file(home);
    if let Some(path) = &history {
        // Absent the first time.
        let _ = editor.load_history(path);
    }
    println!("skewless {}: \\? for help, \\q to leave", env!("CARGO_PKG_VERSION"));
    loop {
        editor.set_helper(Some(Assistant::new(shell.names())));
        let text = match editor.readline(PROMPT) {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(terminal_error(error).into()),
        };
        if text.trim().is_empty() {
            continue;
        }
        remember(&mut editor, &text, history.as_ref());
        match shell.submit(&text) {
            Ok(Next::Read) => {}
            Ok(Next::Quit) => return Ok(()),
            Err(failure) => shell.complain(&failure),
        }
    }
}

/// Whether Enter runs the text rather than beginning another line.
pub fn is_whole(text: &str) -> bool {
    let trimmed = text.trim();
    let word = trimmed.to_ascii_lowercase();
    trimmed.starts_with('\\') || word == "exit" || word == "quit" || is_complete(text)
}

fn new_editor() -> rustyline::Result<Editor<Assistant, FileHistory>> {
    // https://no-color.org
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let config = Config::builder()
        .max_history_size(HISTORY_ENTRIES_MAX)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .color_mode(if plain { ColorMode::Disabled } else { ColorMode::Enabled })
        .build();
    Editor::with_config(config)
}

/// Written after every statement, so that a lost connection loses none.
fn remember(editor: &mut Editor<Assistant, FileHistory>, text: &str, history: Option<&PathBuf>) {
    let added = editor.add_history_entry(text.trim_end()).unwrap_or(false);
    let Some(path) = history.filter(|_| added) else { return };
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let kept = made.map_err(ReadlineError::from).and_then(|()| editor.append_history(path));
    if let Err(error) = kept {
        tracing::debug!(%error, "the history is not kept");
    }
}

/// `$SKEWLESS_HISTORY`, else the user's state directory, else the home of the engine.
fn history_file(home: &HomeOptions) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(file) = std::env::var_os("SKEWLESS_HISTORY") {
        return (!file.is_empty()).then(|| PathBuf::from(file));
    }
    let state = variable("XDG_STATE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".local").join("state")));
    Some(match state {
        Some(state) => state.join("skewless").join("history"),
        None => home.home.join("history"),
    })
}

fn terminal_error(error: ReadlineError) -> Error {
    Error::unavailable(format!("the terminal: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_runs_whole_statements_and_commands_only() {
        for whole in ["SELECT 1;", "\\d", "  \\q", "exit", "", "SELECT ';' ; -- done", "-- only"] {
            assert!(is_whole(whole), "{whole}");
        }
        for open in ["SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT /* ;", "SELECT \";"] {
            assert!(!is_whole(open), "{open}");
        }
    }
}
