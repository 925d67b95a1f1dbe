//! The commands of the shell that are no SQL: one table that parsing, help, hints and completion
//! read.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::args::ResultFormat;
use crate::error::{Error, Result};
use crate::sql::diagnostic::{quoted, suggestion};

/// A parsed backslash command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backslash {
    /// Sources and features.
    List,
    /// One of them; the name as it would be written in SQL.
    Describe(String),
    /// On, off, or the other one.
    Timing(Option<bool>),
    Format(ResultFormat),
    Include(PathBuf),
    Help,
    Quit,
}

/// Spelling, argument, what it does.
pub const COMMANDS: [(&str, &str, &str); 6] = [
    ("\\d", "[NAME]", "list sources and features, or describe one"),
    ("\\i", "FILE", "run the statements of a file"),
    ("\\timing", "[on|off]", "say how long each statement took"),
    ("\\format", "table|csv|json|ndjson", "how rows are printed"),
    ("\\q", "", "leave (also Ctrl-D)"),
    ("\\?", "", "this help"),
];

/// Reads a line that begins with a backslash.
pub fn parse(line: &str) -> Result<Backslash> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim();
    match (command, argument) {
        ("\\q", "") => Ok(Backslash::Quit),
        ("\\?" | "\\h", "") => Ok(Backslash::Help),
        ("\\d", "") => Ok(Backslash::List),
        ("\\d", name) => Ok(Backslash::Describe(name.to_owned())),
        ("\\timing", "") => Ok(Backslash::Timing(None)),
        ("\\timing", "on") => Ok(Backslash::Timing(Some(true))),
        ("\\timing", "off") => Ok(Backslash::Timing(Some(false))),
        ("\\i", path) if !path.is_empty() => Ok(Backslash::Include(PathBuf::from(path))),
        ("\\format", name) => match ResultFormat::from_str(name, true) {
            Ok(format) => Ok(Backslash::Format(format)),
            Err(_) => Err(usage(command, argument)),
        },
        _ if COMMANDS.iter().any(|(known, ..)| *known == command) => Err(usage(command, argument)),
        _ => {
            let error = Error::usage(format!("unknown command {}", quoted(command)));
            let known = COMMANDS.iter().map(|(known, ..)| *known);
            Err(match suggestion(command, known) {
                Some(hint) => error.with_hint(hint),
                None => error,
            })
        }
    }
}

fn usage(command: &str, argument: &str) -> Error {
    let shape = COMMANDS.iter().find(|(known, ..)| *known == command);
    let argument = if argument.is_empty() { "nothing".to_owned() } else { quoted(argument) };
    let error = Error::usage(format!("{command} does not take {argument}"));
    match shape {
        Some((_, expected, _)) => error.with_hint(format!("write {command} {expected}")),
        None => error,
    }
}

/// What `\?` prints.
pub fn help() -> String {
    let mut out = String::from("A statement ends with ';'.\n\n");
    for (command, argument, what) in COMMANDS {
        let shape = format!("{command} {argument}");
        out.push_str(&format!("  {shape:<30} {what}\n"));
    }
    out.push_str(
        "\n  Tab completes, Ctrl-R searches the history, Ctrl-C clears the line.\n\n\
         \x20 CREATE SOURCE …, CREATE FEATURE … AS SELECT …, SELECT …, EXPLAIN …\n\
         \x20 SHOW SOURCES | FEATURES | OPTIONS | FUNCTIONS, SHOW CREATE x, DESCRIBE x, DROP …\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_table_is_understood() {
        assert_eq!(parse("\\d").unwrap(), Backslash::List);
        assert_eq!(
            parse("\\d \"My Feature\";").unwrap(),
            Backslash::Describe("\"My Feature\"".into())
        );
        assert_eq!(parse("\\timing off").unwrap(), Backslash::Timing(Some(false)));
        assert_eq!(parse("\\i a b.sql").unwrap(), Backslash::Include("a b.sql".into()));
        assert_eq!(parse("\\format csv").unwrap(), Backslash::Format(ResultFormat::Csv));
        assert_eq!(parse(" \\q ").unwrap(), Backslash::Quit);
        for (command, ..) in COMMANDS {
            let error = parse(command).err().map(|e| e.message().to_owned());
            assert!(error.is_none_or(|m| m.contains("does not take nothing")), "{command}");
            assert!(help().contains(command));
        }
    }

    #[test]
    fn wrong_commands_are_answered_with_what_was_meant() {
        let error = parse("\\timming").unwrap_err();
        assert!(error.hint().unwrap().contains("\\timing"), "{error}");
        assert!(parse("\\timing maybe").unwrap_err().hint().unwrap().contains("[on|off]"));
        assert!(parse("\\i").unwrap_err().message().contains("nothing"));
    }
}
