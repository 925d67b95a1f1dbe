//! What the editor asks while somebody types: is it whole, what could come next, which colours.

use std::borrow::Cow;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hinter, HistoryHinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

use crate::cli::engine::Names;
use crate::cli::repl::backslash::COMMANDS;
use crate::cli::repl::completion::complete;
use crate::cli::repl::editor::is_whole;
use crate::cli::repl::highlight::{DIM, PROMPT_COLOUR, RESET, highlighted};

/// One for each line that is read: the names are those of that moment.
pub struct Assistant {
    names: Names,
    files: FilenameCompleter,
    history: HistoryHinter,
}

impl Assistant {
    pub fn new(names: Names) -> Self {
        Self { names, files: FilenameCompleter::new(), history: HistoryHinter::new() }
    }
}

impl Helper for Assistant {}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        if line.trim_start().starts_with("\\i ") {
            return self.files.complete(line, at, context);
        }
        let (start, found) = complete(line, at, &self.names);
        let pair = |text: String| Pair { display: text.clone(), replacement: text };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    /// The rest of the newest statement that began like this one; what a command takes.
    fn hint(&self, line: &str, at: usize, context: &Context<'_>) -> Option<String> {
        if at == line.len() && line.starts_with('\\') {
            let found = COMMANDS.iter().find(|(command, ..)| *command == line);
            return found.map(|(_, argument, what)| {
                let argument = if argument.is_empty() { "" } else { &format!(" {argument}") };
                format!("{argument}   {what}")
            });
        }
        self.history.hint(line, at, context)
    }
}

impl Highlighter for Assistant {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        Cow::Owned(highlighted(line))
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Owned(format!("{PROMPT_COLOUR}{prompt}{RESET}"))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("{DIM}{hint}{RESET}"))
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let whole = is_whole(context.input());
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}
