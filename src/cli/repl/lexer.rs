//! SQL in pieces, also while it is half typed: for colours and completion, never for parsing
//! (`sql::token` refuses an open quote, which is the usual case here).

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Keyword,
    /// A name that `(` follows.
    Function,
    Word,
    /// `"…"`.
    Quoted,
    /// `'…'`.
    Text,
    Number,
    Comment,
    Space,
    Symbol,
}

/// A stretch of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub class: Class,
    pub range: Range<usize>,
}

impl Piece {
    pub fn text<'a>(&self, all: &'a str) -> &'a str {
        all.get(self.range.clone()).unwrap_or_default()
    }
}

/// Upper case, sorted.
pub const KEYWORDS: [&str; 96] = [
    "ALL",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "ASOF",
    "BETWEEN",
    "BIGINT",
    "BOOLEAN",
    "BY",
    "BYTEA",
    "CASCADE",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CURRENT",
    "DATE",
    "DECIMAL",
    "DESC",
    "DESCRIBE",
    "DESCRIPTOR",
    "DISTINCT",
    "DOUBLE",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FEATURE",
    "FEATURES",
    "FILTER",
    "FIRST",
    "FLOAT",
    "FOLLOWING",
    "FOR",
    "FROM",
    "FULL",
    "FUNCTIONS",
    "GROUP",
    "HAVING",
    "HOUR",
    "IF",
    "IGNORE",
    "IN",
    "INNER",
    "INT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "METADATA",
    "MINUTE",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OPTIONS",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "PRECEDING",
    "RANGE",
    "REAL",
    "REPLACE",
    "RESPECT",
    "ROW",
    "ROWS",
    "SECOND",
    "SELECT",
    "SHOW",
    "SMALLINT",
    "SOURCE",
    "SOURCES",
    "TABLE",
    "TEXT",
    "THEN",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "UNBOUNDED",
    "UNION",
    "USING",
    "VALUES",
    "VARCHAR",
    "VIEW",
    "WATERMARK",
    "WHEN",
    "WHERE",
];
/// The rest of the keywords, sorted: an array of a hundred lines reads no better.
pub const MORE_KEYWORDS: [&str; 2] = ["WINDOW", "WITH"];

/// Every keyword, sorted.
pub fn keywords() -> impl Iterator<Item = &'static str> {
    KEYWORDS.into_iter().chain(MORE_KEYWORDS)
}

pub fn is_keyword(word: &str) -> bool {
    let upper = word.to_ascii_uppercase();
    KEYWORDS.binary_search(&upper.as_str()).is_ok() || MORE_KEYWORDS.contains(&upper.as_str())
}

/// Every byte of `text` is in one piece.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (class, length) = first_piece(rest);
        out.push(Piece { class, range: at..at + length });
        at += length;
    }
    let functions: Vec<bool> = out.iter().map(|p| opens_call(text, p, &out)).collect();
    for (piece, function) in out.iter_mut().zip(functions) {
        if function {
            piece.class = Class::Function;
        }
    }
    out
}

/// A word that is followed by `(` at once; `IN (` and `AS (` stay keywords.
fn opens_call(text: &str, piece: &Piece, _: &[Piece]) -> bool {
    let next = text.get(piece.range.end..).unwrap_or_default();
    piece.class == Class::Word && next.starts_with('(')
}

fn first_piece(rest: &str) -> (Class, usize) {
    let first = rest.chars().next().unwrap_or(' ');
    let while_in = |f: fn(char) -> bool| rest.find(|c| !f(c)).unwrap_or(rest.len());
    match first {
        c if c.is_whitespace() => (Class::Space, while_in(char::is_whitespace)),
        '\'' => (Class::Text, quoted_length(rest, '\'')),
        '"' => (Class::Quoted, quoted_length(rest, '"')),
        '-' if rest.starts_with("--") => (Class::Comment, rest.find('\n').unwrap_or(rest.len())),
        '/' if rest.starts_with("/*") => {
            (Class::Comment, rest.find("*/").map_or(rest.len(), |end| end + 2))
        }
        c if c.is_ascii_digit() => {
            (Class::Number, while_in(|c| c.is_ascii_alphanumeric() || c == '.'))
        }
        c if is_word(c) => {
            let length = while_in(is_word);
            let word = rest.get(..length).unwrap_or_default();
            (if is_keyword(word) { Class::Keyword } else { Class::Word }, length)
        }
        c => (Class::Symbol, c.len_utf8()),
    }
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a quoted stretch, a doubled quote inside; to the end of the text if it is open.
fn quoted_length(rest: &str, quote: char) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + 1;
            }
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(text: &str) -> Vec<(Class, &str)> {
        let pieces = pieces(text);
        let end = pieces.iter().fold(0, |at, p| {
            assert_eq!(p.range.start, at, "a gap in {text:?}");
            p.range.end
        });
        assert_eq!(end, text.len());
        let shown = pieces.into_iter().filter(|p| p.class != Class::Space);
        shown.map(|p| (p.class, &text[p.range])).collect()
    }

    #[test]
    fn keywords_are_sorted_so_that_they_can_be_searched() {
        assert!(keywords().collect::<Vec<_>>().windows(2).all(|pair| pair[0] < pair[1]));
        assert!(is_keyword("select") && is_keyword("With") && !is_keyword("amount"));
    }

    #[test]
    fn every_kind_of_piece_is_told() {
        assert_eq!(
            classes("SELECT sum(\"My col\"), 'it''s' -- c\n, 1.5e3"),
            [
                (Class::Keyword, "SELECT"),
                (Class::Function, "sum"),
                (Class::Symbol, "("),
                (Class::Quoted, "\"My col\""),
                (Class::Symbol, ")"),
                (Class::Symbol, ","),
                (Class::Text, "'it''s'"),
                (Class::Comment, "-- c"),
                (Class::Symbol, ","),
                (Class::Number, "1.5e3"),
            ]
        );
    }

    #[test]
    fn half_typed_text_is_no_problem() {
        assert_eq!(classes("'open ; --"), [(Class::Text, "'open ; --")]);
        assert_eq!(classes("/* open"), [(Class::Comment, "/* open")]);
        assert_eq!(classes("\"ö"), [(Class::Quoted, "\"ö")]);
    }
}
