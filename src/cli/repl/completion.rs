//! What could come next: names, functions, keywords and options that begin with what is typed.
//! A guess by the words around the cursor, not by parsing: half a statement does not parse.

use crate::cli::engine::{Names, ObjectNames};
use crate::cli::repl::backslash::COMMANDS;
use crate::cli::repl::lexer::{Class, Piece, is_word, keywords, pieces};

/// Words after which the name of a source or feature comes.
const BEFORE_OBJECT: [&str; 6] = ["FROM", "JOIN", "DESCRIBE", "FEATURE", "SOURCE", "TABLE"];
/// Functions of our own that stand where a table does.
const TABLE_FUNCTIONS: [&str; 4] = ["dead_letters(", "history(", "hop(", "tumble("];

/// Where the word at `at` begins, and what it could become; best first, none twice.
pub fn complete(text: &str, at: usize, names: &Names) -> (usize, Vec<String>) {
    let Some(typed) = text.get(..at) else { return (at, Vec::new()) };
    if typed.trim_start().starts_with('\\') {
        return complete_backslash(typed, names);
    }
    let before = pieces(typed);
    match before.last() {
        Some(last) if last.class == Class::Comment => (at, Vec::new()),
        Some(last) if last.class == Class::Text && is_open(last.text(typed), '\'') => {
            let start = last.range.start + 1;
            (start, options(typed, &before, start, names))
        }
        Some(last) if last.class == Class::Quoted && is_open(last.text(typed), '"') => {
            let prefix = typed.get(last.range.start + 1..).unwrap_or_default();
            let all = names.objects.iter().flat_map(|o| o.columns.iter().chain([&o.name]));
            let found = all.filter(|name| begins(name, prefix)).map(|name| always_quoted(name));
            (last.range.start, sorted(found.collect()))
        }
        _ => complete_word(text, typed, &before, names),
    }
}

fn is_open(quoted: &str, quote: char) -> bool {
    !quoted.matches(quote).count().is_multiple_of(2)
}

fn complete_backslash(typed: &str, names: &Names) -> (usize, Vec<String>) {
    let begin = typed.len() - typed.trim_start().len();
    match typed.trim_start().split_once(' ') {
        Some(("\\d", _)) => {
            let start = begin + "\\d ".len();
            let prefix = typed.get(start..).unwrap_or_default();
            (start, objects(names, prefix))
        }
        Some(_) => (typed.len(), Vec::new()),
        None => {
            let prefix = typed.get(begin..).unwrap_or_default();
            let known = COMMANDS.iter().map(|(command, ..)| (*command).to_owned());
            (begin, known.filter(|command| command.starts_with(prefix)).collect())
        }
    }
}

fn complete_word(text: &str, typed: &str, before: &[Piece], names: &Names) -> (usize, Vec<String>) {
    let prefix_length = typed.chars().rev().take_while(|c| is_word(*c)).map(char::len_utf8).sum();
    let start = typed.len() - std::cmp::min::<usize>(prefix_length, typed.len());
    let prefix = typed.get(start..).unwrap_or_default();
    let earlier: Vec<&Piece> = before
        .iter()
        .filter(|p| p.range.end <= start && !matches!(p.class, Class::Space | Class::Comment))
        .collect();
    let last = earlier.last().map(|p| p.text(typed)).unwrap_or_default();
    if last == "." && typed.get(..start).is_some_and(|t| t.ends_with('.')) {
        let object = earlier.iter().rev().nth(1).map(|p| p.text(typed)).unwrap_or_default();
        return (start, columns_of(names, object, prefix));
    }
    if BEFORE_OBJECT.contains(&last.to_ascii_uppercase().as_str()) {
        let mut found = objects(names, prefix);
        if !matches!(last.to_ascii_uppercase().as_str(), "FEATURE" | "SOURCE" | "DESCRIBE") {
            let functions = TABLE_FUNCTIONS.iter().filter(|f| begins(f, prefix));
            found.extend(functions.map(|f| (*f).to_owned()));
        }
        return (start, found);
    }
    if prefix.is_empty() {
        return (start, Vec::new());
    }
    let mut found = columns(names, text, prefix);
    found.extend(objects(names, prefix));
    let functions = names.functions.iter().filter(|f| begins(f, prefix));
    found.extend(sorted(functions.map(|f| format!("{f}(")).collect()));
    let lower = prefix.starts_with(|c: char| c.is_lowercase());
    let words = keywords().filter(|word| begins(word, prefix));
    found.extend(words.map(|w| if lower { w.to_ascii_lowercase() } else { w.to_owned() }));
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|candidate| seen.insert(candidate.clone()));
    (start, found)
}

/// Keys of options, where a key may stand: after `WITH (` or a comma in it.
fn options(typed: &str, before: &[Piece], start: usize, names: &Names) -> Vec<String> {
    let earlier = before.iter().filter(|p| p.range.end < start);
    let shown = earlier.filter(|p| !matches!(p.class, Class::Space | Class::Comment));
    let mut words = shown.rev().map(|p| p.text(typed));
    let key_place = matches!(words.next(), Some("(" | ","));
    let in_with = words.any(|word| word.eq_ignore_ascii_case("with"))
        || before.iter().any(|p| p.text(typed).eq_ignore_ascii_case("with"));
    let prefix = typed.get(start..).unwrap_or_default();
    if !key_place || !in_with {
        return Vec::new();
    }
    sorted(names.options.iter().filter(|option| begins(option, prefix)).cloned().collect())
}

fn begins(name: &str, prefix: &str) -> bool {
    name.to_lowercase().starts_with(&prefix.to_lowercase())
}

fn sorted(mut candidates: Vec<String>) -> Vec<String> {
    candidates.sort();
    candidates.dedup();
    candidates
}

fn objects(names: &Names, prefix: &str) -> Vec<String> {
    let found = names.objects.iter().filter(|o| begins(&o.name, prefix));
    sorted(found.map(|o| as_written(&o.name)).collect())
}

/// Columns of the objects that the text names; of all, while it names none.
fn columns(names: &Names, text: &str, prefix: &str) -> Vec<String> {
    let words: Vec<String> = pieces(text)
        .iter()
        .filter(|p| matches!(p.class, Class::Word | Class::Quoted | Class::Function))
        .map(|p| p.text(text).trim_matches('"').to_lowercase())
        .collect();
    let named = |o: &&ObjectNames| words.contains(&o.name.to_lowercase());
    let mut of: Vec<&ObjectNames> = names.objects.iter().filter(named).collect();
    if of.is_empty() {
        of = names.objects.iter().collect();
    }
    let found = of.iter().flat_map(|o| &o.columns).filter(|column| begins(column, prefix));
    sorted(found.map(|column| as_written(column)).collect())
}

fn columns_of(names: &Names, object: &str, prefix: &str) -> Vec<String> {
    let plain = object.trim_matches('"');
    let named: Vec<&ObjectNames> =
        names.objects.iter().filter(|o| o.name.eq_ignore_ascii_case(plain)).collect();
    // An alias is unknown here: the columns of all.
    let of = if named.is_empty() { names.objects.iter().collect() } else { named };
    let found = of.iter().flat_map(|o| &o.columns).filter(|column| begins(column, prefix));
    sorted(found.map(|column| as_written(column)).collect())
}

/// A name as SQL needs it: quoted where it would fold or is no plain word.
fn as_written(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { always_quoted(name) }
}

fn always_quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let object = |kind, name: &str, columns: &[&str]| ObjectNames {
            kind,
            name: name.to_owned(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        };
        Names {
            objects: vec![
                object("source", "transactions", &["user_id", "amount", "Event Time"]),
                object("feature", "user_spend", &["user_id", "avg_amount_1h"]),
            ],
            functions: vec!["sum".into(), "substr".into(), "avg".into()],
            options: vec!["topic".into(), "connector".into(), "properties.".into()],
        }
    }

    fn at_end(text: &str) -> Vec<String> {
        complete(text, text.len(), &names()).1
    }

    #[test]
    fn after_from_come_sources_and_features() {
        assert_eq!(at_end("SELECT * FROM tr"), ["transactions"]);
        assert_eq!(
            at_end("SELECT * FROM "),
            ["transactions", "user_spend", "dead_letters(", "history(", "hop(", "tumble("]
        );
        assert_eq!(at_end("DESCRIBE u"), ["user_spend"]);
        assert_eq!(at_end("\\d us"), ["user_spend"]);
    }

    #[test]
    fn columns_are_those_of_the_objects_that_are_named() {
        let text = "SELECT av FROM user_spend";
        let (start, found) = complete(text, "SELECT av".len(), &names());
        assert_eq!((start, found), (7, vec!["avg_amount_1h".to_owned(), "avg(".to_owned()]));
        assert_eq!(at_end("SELECT transactions.a"), ["amount"]);
        assert_eq!(at_end("SELECT transactions.e"), ["\"Event Time\""]);
        assert_eq!(at_end("SELECT \"Ev"), ["\"Event Time\""]);
    }

    #[test]
    fn keywords_follow_the_case_that_is_typed() {
        assert_eq!(at_end("sel"), ["select"]);
        assert_eq!(at_end("SEL"), ["SELECT"]);
        assert_eq!(at_end("SELECT su"), ["substr(", "sum("]);
    }

    #[test]
    fn option_keys_come_where_a_key_may_stand() {
        assert_eq!(at_end("CREATE SOURCE s (a INT) WITH ('con"), ["connector"]);
        assert_eq!(at_end("… WITH ('connector' = 'kafka', 't"), ["topic"]);
        assert!(at_end("… WITH ('connector' = 'k").is_empty());
        assert!(at_end("SELECT 'con").is_empty());
    }

    #[test]
    fn nothing_is_offered_in_comments_or_out_of_nothing() {
        assert!(at_end("-- sel").is_empty());
        assert!(at_end("SELECT ").is_empty());
        assert!(complete("é", 1, &names()).1.is_empty());
        assert_eq!(at_end("\\t"), ["\\timing"]);
    }
}
