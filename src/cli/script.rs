//! SQL text from files, as one text: statements of several files are applied together, and an
//! error in one names the file and the line in it.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, Span};
use crate::sql::ast::Statement;
use crate::sql::diagnostic;
use crate::sql::parser::parse_statements;

/// An error and, when it points into SQL text, the lines it points at.
#[derive(Debug)]
pub struct Failure {
    pub error: Error,
    rendered: String,
}

impl Failure {
    /// As it is shown to a person, several lines.
    pub fn rendered(&self) -> &str {
        self.rendered.trim_end()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { rendered: diagnostic::render(&error, ""), error }
    }
}

/// One or more pieces of SQL, one after the other.
#[derive(Debug, Default)]
pub struct Script {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    /// Shown in errors; nothing for text from the command line.
    name: Option<String>,
    text: String,
    /// The line of the whole text (from 1) at which the part begins.
    first_line: u64,
}

impl Script {
    /// Reads files; `-` is standard input.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        let mut script = Self::default();
        for path in files {
            if path == Path::new("-") {
                script.add_stdin()?;
                continue;
            }
            let name = path.display().to_string();
            let text = std::fs::read(path).map_err(|e| read_error(&name, &e))?;
            let text = String::from_utf8(text)
                .map_err(|_| Error::usage(format!("{name} is not UTF-8 text")))?;
            script.add(Some(name), text);
        }
        Ok(script)
    }

    pub fn add_stdin(&mut self) -> Result<()> {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|e| Error::usage(format!("standard input: {e}")))?;
        self.add(None, text);
        Ok(())
    }

    pub fn add(&mut self, name: Option<String>, text: String) {
        let first_line = self.text.matches('\n').count() as u64 + 1;
        self.text.push_str(&text);
        // Ends the last statement of the part, and a comment that it may stand in.
        self.text.push_str("\n;\n");
        self.parts.push(Part { name, text, first_line });
    }

    /// All statements in order. Errors, like those of the engine later, point into the whole
    /// text: [`Self::render`] says where that is.
    pub fn statements(&self) -> Result<Vec<Statement>> {
        for part in &self.parts {
            // By itself first: an open quote must not swallow the next part.
            parse_statements(&part.text).map_err(|error| match error.span() {
                Some(span) => moved(&error, shifted(span, |line| line + part.first_line - 1)),
                None => match &part.name {
                    Some(name) => error.context(name),
                    None => error,
                },
            })?;
        }
        parse_statements(&self.text)
    }

    /// An error of one of the statements, ready to be shown.
    pub fn failure(&self, error: Error) -> Failure {
        Failure { rendered: self.render(&error), error }
    }

    /// An error with the lines of the part it points into.
    fn render(&self, error: &Error) -> String {
        let Some(span) = error.span() else { return diagnostic::render(error, "") };
        let part = self.parts.iter().rev().find(|p| p.first_line <= span.start.0);
        let Some(part) = part else { return diagnostic::render(error, &self.text) };
        let back = |line: u64| (line + 1).saturating_sub(part.first_line).max(1);
        let error = moved(error, shifted(span, back));
        let rendered = diagnostic::render(&error, &part.text);
        match &part.name {
            Some(name) => rendered.replacen("--> ", &format!("--> {name}:"), 1),
            None => rendered,
        }
    }
}

fn read_error(name: &str, error: &std::io::Error) -> Error {
    let usage = Error::usage(format!("cannot read {name}: {error}"));
    match error.kind() {
        std::io::ErrorKind::NotFound => usage.with_hint("give the path of a file of SQL"),
        _ => usage,
    }
}

fn shifted(span: Span, line: impl Fn(u64) -> u64) -> Span {
    Span { start: (line(span.start.0), span.start.1), end: (line(span.end.0), span.end.1) }
}

/// The same error at another place.
fn moved(error: &Error, span: Span) -> Error {
    let moved = Error::new(error.kind(), error.message()).with_span(span);
    match error.hint() {
        Some(hint) => moved.with_hint(hint),
        None => moved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(parts: &[(&str, &str)]) -> Script {
        let mut script = Script::default();
        for (name, text) in parts {
            script.add(Some((*name).to_owned()), (*text).to_owned());
        }
        script
    }

    #[test]
    fn parts_need_no_semicolon_at_their_end() {
        let script = script(&[("a.sql", "SELECT 1 -- one"), ("b.sql", "SELECT 2;\nSELECT 3")]);
        assert_eq!(script.statements().unwrap().len(), 3);
    }

    #[test]
    fn an_error_names_the_file_and_the_line_in_it() {
        let script = script(&[("a.sql", "SELECT 1;\n"), ("b.sql", "SELECT 2;\nSELEKT 3;")]);
        let error = script.statements().unwrap_err();
        let rendered = script.render(&error);
        assert!(rendered.contains("--> b.sql:2:1"), "{rendered}");
        assert!(rendered.contains("SELEKT 3"), "{rendered}");
    }

    #[test]
    fn an_error_of_a_later_step_is_moved_back_too() {
        let script = script(&[("a.sql", "SELECT 1;\n"), ("b.sql", "SELECT 2;\nSELECT 3;")]);
        let statements = script.statements().unwrap();
        let error = Error::usage("wrong").with_span(statements[2].span());
        assert!(script.render(&error).contains("--> b.sql:2:1"), "{}", script.render(&error));
    }

    #[test]
    fn an_open_quote_does_not_swallow_the_next_file() {
        let script = script(&[("a.sql", "SELECT 'x"), ("b.sql", "SELECT 'y'")]);
        let rendered = script.render(&script.statements().unwrap_err());
        assert!(rendered.contains("a.sql:1"), "{rendered}");
    }
}
