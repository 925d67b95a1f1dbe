//! The rules of the house, one function each: a file in, problems out. `tidy` runs them all and
//! keeps a canary for each.

use std::collections::BTreeSet;
use std::fmt;

use super::lexer::{SourceFile, block_end, line_of};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARS_MAX: usize = 100;
/// A file is named for the thing it defines.
const NAMELESS: [&str; 8] =
    ["util", "utils", "helper", "helpers", "common", "misc", "shared", "stuff"];
/// Where somebody's own directories begin; in two pieces, so that this file keeps the rule.
const FOREIGN_ROOTS: [&str; 4] =
    [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

/// One broken rule, at one place.
pub struct Problem {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

fn problem(file: &SourceFile, line: usize, what: impl Into<String>) -> Problem {
    Problem { path: file.path.clone(), line, what: what.into() }
}

pub fn opening_doc(file: &SourceFile, out: &mut Vec<Problem>) {
    if !file.text.starts_with("//! ") {
        out.push(problem(file, 1, "must open with `//!`: what it does, who calls it"));
    }
}

pub fn line_length(file: &SourceFile, out: &mut Vec<Problem>) {
    let mut at = 0;
    for (index, line) in file.text.lines().enumerate() {
        let chars = line.chars().count();
        // SQL and expected messages of a test are whole on one line, so that they can be searched.
        let literal = file.in_tests(at) && is_literal(line, &file.code[at..at + line.len()]);
        at += line.len() + 1;
        if chars > LINE_CHARS_MAX && !literal {
            let what = format!("{chars} characters, at most {LINE_CHARS_MAX}");
            out.push(problem(file, index + 1, what));
        }
    }
}

/// Whether a line is hardly more than the inside of a literal.
fn is_literal(line: &str, code: &str) -> bool {
    let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
    letters(code) < letters(line) / 2
}

pub fn file_length(file: &SourceFile, out: &mut Vec<Problem>) {
    let lines = file.text.lines().count();
    if lines > FILE_LINES_MAX {
        out.push(problem(file, lines, format!("{lines} lines, at most {FILE_LINES_MAX}")));
    }
}

pub fn function_length(file: &SourceFile, out: &mut Vec<Problem>) {
    for (at, _) in words(&file.code, "fn") {
        let rest = &file.code[at + 2..];
        let name: String = rest.trim_start().chars().take_while(|c| is_word(*c)).collect();
        // A body opens with a brace; a declaration or a type (`fn(x) -> y`) ends before one.
        let Some(open) = body_start(rest) else { continue };
        let end = block_end(&file.code, at + 2 + open);
        let mut lines = line_of(&file.code, end) - line_of(&file.code, at) + 1;
        if file.in_tests(at) {
            lines -= table_lines(&file.code[at..end]);
        }
        if !name.is_empty() && lines > FUNCTION_LINES_MAX {
            let what = format!("function `{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}");
            out.push(problem(file, line_of(&file.code, at), what));
        }
    }
}

/// Lines inside of array literals: a table of cases is data, however many cases it has.
fn table_lines(function: &str) -> usize {
    let (mut depth, mut lines) = (0usize, 0);
    for byte in function.bytes() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'\n' if depth > 0 => lines += 1,
            _ => {}
        }
    }
    lines
}

/// Where the body begins, seen from just after `fn`: the first brace outside of parentheses and
/// brackets (array types hold `;`), before a `;` at that level.
fn body_start(rest: &str) -> Option<usize> {
    let mut depth = 0i32;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' | b'}' if depth <= 0 => return None,
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    None
}

pub fn unfinished(file: &SourceFile, out: &mut Vec<Problem>) {
    for name in ["todo", "unimplemented", "dbg"] {
        for (at, _) in words(&file.code, name) {
            if file.code[at + name.len()..].starts_with('!') {
                let what = format!("`{name}!` is unfinished work");
                out.push(problem(file, line_of(&file.code, at), what));
            }
        }
    }
}

pub fn allow_without_reason(file: &SourceFile, out: &mut Vec<Problem>) {
    for opening in ["#[allow(", "#![allow("] {
        for (at, _) in file.code.match_indices(opening) {
            let attribute = &file.text[at..at + file.code[at..].find(']').unwrap_or(0)];
            if !(file.is_test && attribute.contains("reason")) {
                let what = "use `#[expect(…, reason = \"…\")]`, which tells when it is outlived";
                out.push(problem(file, line_of(&file.code, at), what));
            }
        }
    }
}

/// The door of a room says what is in it.
pub fn door_table(file: &SourceFile, out: &mut Vec<Problem>) {
    if !file.path.starts_with("src/") || !file.path.ends_with("/mod.rs") {
        return;
    }
    for line in file.shipped.lines() {
        let line = line.trim();
        let declared = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ");
        let Some(name) = declared.and_then(|rest| rest.strip_suffix(';')) else { continue };
        let listed = |l: &str| l.starts_with("//! |") && l.contains(&format!("`{name}`"));
        if name != "tests" && !file.text.lines().any(listed) {
            out.push(problem(file, 1, format!("the table has no line for `{name}`")));
        }
    }
}

pub fn sleep_in_tests(file: &SourceFile, out: &mut Vec<Problem>) {
    if file.path.ends_with("tests/it/poll.rs") {
        return;
    }
    for (at, _) in words(&file.code, "sleep") {
        if file.in_tests(at) {
            let what = "tests do not sleep: step the clock, or poll with a deadline";
            out.push(problem(file, line_of(&file.code, at), what));
        }
    }
}

pub fn file_name(file: &SourceFile, out: &mut Vec<Problem>) {
    for part in file.path.split(['/', '.']) {
        if file.path.ends_with(".rs") && NAMELESS.contains(&part) {
            out.push(problem(file, 1, format!("`{part}` is no noun of this house")));
        }
    }
}

pub fn absolute_paths(file: &SourceFile, out: &mut Vec<Problem>) {
    for (index, line) in file.text.lines().enumerate() {
        for root in FOREIGN_ROOTS {
            let found = line.match_indices(root).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                before.is_none_or(|c| !is_word(c) && !matches!(c, '.' | '}' | '>' | '/'))
            });
            if found {
                out.push(problem(file, index + 1, format!("an absolute path ({root}…)")));
            }
        }
    }
}

/// The order of the rooms, lowest first.
pub struct Rooms(Vec<String>);

impl Rooms {
    /// From the `pub mod` lines of `src/lib.rs`.
    pub fn read(lib: &str) -> Self {
        let name = |l: &str| Some(l.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
        Self(lib.lines().filter_map(name).collect())
    }

    fn level(&self, room: &str) -> Option<usize> {
        self.0.iter().position(|r| r == room)
    }

    pub fn check(&self, file: &SourceFile, out: &mut Vec<Problem>) {
        let Some(inside) = file.path.strip_prefix("src/") else { return };
        let parts: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
        let Some(own) = self.level(parts[0]) else { return };
        let shipped = &file.shipped;
        for (at, _) in shipped.match_indices("crate::") {
            for used in first_segments(&shipped[at + "crate::".len()..]) {
                if self.level(&used).is_some_and(|level| level > own) {
                    let what = format!(
                        "room `{}` may not use `{used}`: it comes later in src/lib.rs",
                        parts[0]
                    );
                    out.push(problem(file, line_of(shipped, at), what));
                }
            }
        }
        let depth = parts.iter().filter(|p| **p != "mod").count();
        if let Some(at) = shipped.find(&"super::".repeat(depth)) {
            out.push(problem(file, line_of(shipped, at), "climbs out of the room by `super`"));
        }
    }
}

/// The names that follow `crate::`: one, or those of a group.
fn first_segments(rest: &str) -> Vec<String> {
    let word = |text: &str| text.trim().chars().take_while(|c| is_word(*c)).collect::<String>();
    if !rest.starts_with('{') {
        return vec![word(rest)];
    }
    let group = &rest[1..block_end(rest, 0) - 1];
    let mut depth = 0;
    let at_top = |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    };
    group.split(at_top).map(word).collect()
}

/// One word per idea: the synonyms that `docs/glossary.md` forbids.
pub struct Glossary(Vec<(String, String)>);

impl Glossary {
    /// From the rows `| word | meaning | never |` of the tables; words are split by commas.
    pub fn read(markdown: &str) -> Self {
        let mut pairs = Vec::new();
        for line in markdown.lines().filter(|l| l.starts_with('|') && !l.starts_with("|--")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [word, _, never] = cells[..] else { continue };
            for synonym in never.split(',').map(str::trim) {
                let plain = synonym.chars().all(|c| is_word(c) || c == ' ');
                if word != "word" && plain && !synonym.is_empty() {
                    pairs.push((synonym.to_lowercase(), word.trim_matches('*').to_owned()));
                }
            }
        }
        Self(pairs)
    }

    pub fn check(&self, file: &SourceFile, out: &mut Vec<Problem>) {
        if file.path == "docs/glossary.md" || file.path.starts_with("tests/it/tidy") {
            return;
        }
        for (index, line) in file.text.lines().enumerate() {
            let line = line.to_lowercase().replace('_', " ");
            for (synonym, word) in &self.0 {
                if words(&line, synonym).next().is_some() {
                    let what = format!("`{synonym}`: say `{word}` (docs/glossary.md)");
                    out.push(problem(file, index + 1, what));
                }
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` occurs in `text` with no word character on either side.
fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    text.match_indices(word).filter(|(at, found)| {
        let before = text[..*at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The functions that are tests, by their full names: `room::file::tests::name`.
#[derive(Default)]
pub struct Tests(BTreeSet<String>);

impl Tests {
    pub fn read<'a>(files: impl IntoIterator<Item = &'a SourceFile>) -> Self {
        let mut names = BTreeSet::new();
        for file in files {
            let path = file.path.strip_prefix("src/").or(file.path.strip_prefix("tests/it/"));
            let Some(path) = path.and_then(|path| path.strip_suffix(".rs")) else { continue };
            let module = path.trim_end_matches("/mod").replace('/', "::");
            let mut marked = false;
            for line in file.text.lines().map(str::trim) {
                marked |= line == "#[test]" || line.starts_with("#[tokio::test");
                let name = line.trim_start_matches("async ").strip_prefix("fn ");
                if let Some((name, _)) = name.filter(|_| marked).and_then(|n| n.split_once('(')) {
                    names.extend([format!("{module}::{name}"), format!("{module}::tests::{name}")]);
                    marked = false;
                }
            }
        }
        Self(names)
    }

    /// Every row of the table of promises names tests that exist.
    pub fn check_promises(&self, file: &SourceFile, out: &mut Vec<Problem>) {
        if file.path != "docs/guarantees.md" {
            return;
        }
        let rows = file.text.lines().enumerate().filter(|(_, line)| line.starts_with("| "));
        for (index, row) in rows.filter(|(_, line)| !line.starts_with("| promise |")) {
            let named = row.split(" | ").nth(1).unwrap_or_default();
            let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
            if names.is_empty() {
                out.push(problem(file, index + 1, "a promise without a test"));
            }
            for name in names.iter().filter(|name| !self.0.contains(**name)) {
                out.push(problem(file, index + 1, format!("no test `{name}`")));
            }
        }
    }
}
