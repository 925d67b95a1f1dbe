//! Tokens folded to one spelling, and positions in the text.
//!
//! Folding happens here and nowhere else: unquoted words become lower case (ASCII, as SQL's
//! identifiers fold), quoted identifiers use `"`, every spelling of a string becomes `'…'`. So
//! two texts that mean the same give the same tokens, and `printer` needs to write one spelling.

use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

use crate::error::{Error, Result, Span};
use crate::sql::dialect::DIALECT;

/// The folded tokens of a text, without whitespace and comments.
pub fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>> {
    let mut tokens = raw_tokens(text)?;
    tokens.retain(|t| !matches!(t.token, Token::Whitespace(_)));
    for token in &mut tokens {
        fold(&mut token.token);
    }
    Ok(tokens)
}

/// The `--` comments of a text with their places, in order (`catalog::persist` keeps data there).
pub fn line_comments(text: &str) -> Result<Vec<(Span, String)>> {
    let comments = raw_tokens(text)?.into_iter().filter_map(|t| match t.token {
        Token::Whitespace(Whitespace::SingleLineComment { comment, .. }) => {
            Some((span_of(t.span), comment))
        }
        _ => None,
    });
    Ok(comments.collect())
}

fn raw_tokens(text: &str) -> Result<Vec<TokenWithSpan>> {
    Tokenizer::new(&DIALECT, text).tokenize_with_location().map_err(|error| {
        let at = (error.location.line, error.location.column);
        let mut rest = error.message.chars();
        let message = match rest.next() {
            Some(first) => first.to_lowercase().chain(rest).collect(),
            None => "unreadable text".to_owned(),
        };
        Error::usage(message).with_span(Span { start: at, end: (at.0, at.1 + 1) })
    })
}

fn fold(token: &mut Token) {
    match token {
        Token::Word(word) if word.quote_style.is_none() => word.value.make_ascii_lowercase(),
        Token::Word(word) => word.quote_style = Some('"'),
        Token::EscapedStringLiteral(text)
        | Token::UnicodeStringLiteral(text)
        | Token::NationalStringLiteral(text) => {
            *token = Token::SingleQuotedString(std::mem::take(text));
        }
        Token::DollarQuotedString(text) => {
            *token = Token::SingleQuotedString(std::mem::take(&mut text.value));
        }
        _ => {}
    }
}

/// Our span of one of the parser's.
pub fn span_of(span: sqlparser::tokenizer::Span) -> Span {
    Span { start: (span.start.line, span.start.column), end: (span.end.line, span.end.column) }
}

/// Gives an error the place of a node of the parser's tree, if the node has one.
pub trait At {
    fn at(self, span: sqlparser::tokenizer::Span) -> Self;
}

impl At for Error {
    fn at(self, span: sqlparser::tokenizer::Span) -> Self {
        if span.start.line == 0 { self } else { self.with_span(span_of(span)) }
    }
}

/// From the start of `first` to the end of `last`.
pub fn join(first: Span, last: Span) -> Span {
    Span { start: first.start, end: last.end }
}

/// The unquoted word of a token, in lower case.
pub fn bare_word(token: &Token) -> Option<&str> {
    match token {
        Token::Word(word) if word.quote_style.is_none() => Some(&word.value),
        _ => None,
    }
}

/// Lines of a text, to turn (line, column) into a byte offset.
pub struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// The text of line `number` (from 1) without its line break; empty past the end.
    pub fn line(&self, number: u64) -> &'a str {
        let from = self.start(number);
        let rest = self.text.get(from..).unwrap_or_default();
        rest.split('\n').next().unwrap_or_default().trim_end_matches('\r')
    }

    /// The byte offset of a position; the end of the text when it lies beyond.
    pub fn offset(&self, (line, column): (u64, u64)) -> usize {
        let from = self.start(line);
        let rest = self.text.get(from..).unwrap_or_default();
        let skipped = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
        from + rest.char_indices().nth(skipped).map_or(rest.len(), |(at, _)| at)
    }

    fn start(&self, line: u64) -> usize {
        let index = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        self.starts.get(index).copied().unwrap_or(self.text.len())
    }
}

/// Reads the ` at Line: 1, Column: 2` that the parser puts at the end of its messages: the
/// message without it, and the position.
pub fn split_location(message: &str) -> (&str, Option<Location>) {
    let Some((head, tail)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let Some((line, column)) = tail.split_once(", Column: ") else { return (message, None) };
    match (line.parse(), column.trim().parse()) {
        (Ok(line), Ok(column)) => (head, Some(Location { line, column })),
        _ => (message, None),
    }
}
