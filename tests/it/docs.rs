//! The documentation against the program: SQL in it parses, links lead somewhere, the table of
//! options is the one in the code.

use std::fs;
use std::path::{Path, PathBuf};

use skewless::aggregate::table::{Gives, TABLE};
use skewless::plan::scalar::FUNCTIONS;
use skewless::sql::options::{AppliesTo, OPTIONS};
use skewless::sql::parser::parse_statements;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// README, `docs/*.md`, the READMEs of the examples.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![repository().join("README.md")];
    for directory in ["docs", "examples/fraud", "examples/flights", "examples/serving"] {
        let entries = fs::read_dir(repository().join(directory)).unwrap();
        pages.extend(entries.map(|e| e.unwrap().path()));
    }
    pages.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    pages.sort();
    assert!(pages.len() >= 10, "{pages:?}");
    pages
}

/// The insides of the fenced blocks of a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    let found = page.split(open.as_str()).skip(1);
    found.map(|rest| rest.split("\n```").next().unwrap_or_default()).collect()
}

#[test]
fn every_statement_in_the_documentation_parses() {
    let mut count = 0;
    for path in pages() {
        for block in blocks(&fs::read_to_string(&path).unwrap(), "sql") {
            let parsed = parse_statements(block);
            let statements = parsed.unwrap_or_else(|e| panic!("{}: {e}\n{block}", path.display()));
            count += statements.len();
        }
    }
    assert!(count >= 8, "{count} statements found");
}

#[test]
fn every_sql_file_parses() {
    for directory in ["sql", "examples/fraud", "examples/flights", "examples/serving"] {
        for entry in fs::read_dir(repository().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "sql") {
                let text = fs::read_to_string(&path).unwrap();
                parse_statements(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            }
        }
    }
}

#[test]
fn every_link_leads_to_a_file() {
    for path in pages() {
        let page = fs::read_to_string(&path).unwrap();
        for rest in page.split("](").skip(1) {
            let target = rest.split(')').next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let there = path.parent().unwrap().join(file);
            assert!(there.exists(), "{}: there is no {target}", path.display());
        }
    }
}

fn options_table() -> String {
    let mut out = String::new();
    for (applies_to, title) in
        [(AppliesTo::Source, "option of a source"), (AppliesTo::Feature, "option of a feature")]
    {
        out.push_str(&format!("\n| {title} | for | default | what it is |\n|---|---|---|---|\n"));
        for option in OPTIONS.iter().filter(|o| o.applies_to == applies_to) {
            let name = option.name;
            let connectors = option.connectors.join(", ");
            let default = option.default.map_or(String::new(), |d| format!("`{d}`"));
            let later = if option.not_yet.is_some() { "*(not yet)* " } else { "" };
            let row = format!("| `{name}` | {connectors} | {default} | {later}{} |\n", option.doc);
            out.push_str(&row);
        }
    }
    out + "\n"
}

/// Checks what a page holds between two comments, or writes it there.
fn generated(what: &str, expected: &str) {
    let (open, close) = (format!("<!-- {what}: "), format!("<!-- end of {what} -->"));
    let page = read("docs/sql-reference.md");
    let (before, rest) = page.split_once(&open).unwrap();
    let (marker, rest) = rest.split_once('\n').unwrap();
    let (written, after) = rest.split_once(&close).unwrap();
    if std::env::var_os("SKEWLESS_BLESS").is_some() {
        let page = format!("{before}{open}{marker}\n{expected}{close}{after}");
        fs::write(repository().join("docs/sql-reference.md"), page).unwrap();
        return;
    }
    assert!(written == expected, "docs/sql-reference.md should hold:\n{expected}");
}

fn aggregates_table() -> String {
    let mut out = "\n| aggregate | what it is | result |\n|---|---|---|\n".to_owned();
    for function in TABLE {
        let others = &function.names[1..];
        let others: Vec<String> = others.iter().map(|name| format!("`{name}`")).collect();
        let also = match others.is_empty() {
            true => String::new(),
            false => format!("; also {}", others.join(", ")),
        };
        let distinct = if function.distinct == Some(true) { "; DISTINCT" } else { "" };
        let nulls = if function.counts_nulls() { "; IGNORE NULLS" } else { "" };
        out.push_str(&format!(
            "| `{}` | {}{also}{distinct}{nulls} | {} |\n",
            function.usage,
            function.doc,
            result(function.gives)
        ));
    }
    out + "\n"
}

fn result(gives: Gives) -> &'static str {
    match gives {
        Gives::Whole => "BIGINT",
        Gives::Unsigned => "BIGINT UNSIGNED",
        Gives::Double => "DOUBLE",
        Gives::First => "as x",
        Gives::Sum => "BIGINT; DOUBLE; DECIMAL(min(38, p + 10), s)",
        Gives::Mean => "DOUBLE; DECIMAL(min(38, p + 4), min(38, s + 4))",
        Gives::Boolean => "BOOLEAN",
        Gives::Text => "VARCHAR",
        Gives::List => "list of x",
        Gives::Counts => "BIGINT[]",
        Gives::CountsBy => "map to BIGINT",
        Gives::SumsBy => "map to SUM(x)",
        Gives::MeansBy => "map to AVG(x)",
        Gives::FirstsBy => "map to x",
    }
}

fn scalars_table() -> String {
    let mut out = "\n| function | what it is |\n|---|---|\n".to_owned();
    for function in FUNCTIONS {
        out.push_str(&format!("| `{}` | {} |\n", function.usage, function.doc));
    }
    out + "\n"
}

#[test]
fn the_tables_of_the_reference_are_those_in_the_code() {
    generated("options", &options_table());
    generated("aggregates", &aggregates_table());
    generated("functions", &scalars_table());
}
