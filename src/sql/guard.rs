//! Limits on SQL text before the parser sees it, and the thread that parses and plans.
//!
//! The parser's own depth limit stops nested parentheses only: a flat `a OR b OR …` or
//! `SELECT … UNION ALL SELECT …` of some thousands of terms builds a deep tree without nesting
//! and overflows the stack later. So length, depth, chains and arms are counted on the tokens.
//! Called by `parser`; [`on_big_stack`] also by whoever plans.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Error, Kind, Result, Span};
use crate::limits::{
    PLANNING_STACK_BYTES, SQL_CHAIN_TERMS_MAX, SQL_DEPTH_MAX, SQL_TEXT_BYTES_MAX, SQL_TOKENS_MAX,
    SQL_UNION_ARMS_MAX,
};
use crate::sql::token::{bare_word, span_of};

/// Refuses a text too long to be read.
pub fn check_text(text: &str) -> Result<()> {
    if text.len() <= SQL_TEXT_BYTES_MAX {
        return Ok(());
    }
    let message =
        format!("the SQL text has {} bytes, more than {SQL_TEXT_BYTES_MAX} bytes", text.len());
    Err(Error::usage(message).with_hint("submit the statements in several texts"))
}

/// What has been counted inside one pair of parentheses.
#[derive(Default)]
struct Level {
    operators: usize,
    relations: usize,
    arms: usize,
    in_from: bool,
}

/// Refuses the tokens of one statement that would make parsing or planning run away.
pub fn check_tokens(tokens: &[TokenWithSpan]) -> Result<()> {
    if let Some(first_over) = tokens.get(SQL_TOKENS_MAX) {
        return Err(over("tokens in one statement", SQL_TOKENS_MAX, first_over));
    }
    let mut levels = vec![Level::default()];
    let mut cases = 0usize;
    for (at, token) in tokens.iter().enumerate() {
        let before = |n: usize| at.checked_sub(n).and_then(|i| tokens.get(i)).map(|t| &t.token);
        if let Some(level) = levels.last_mut() {
            level.count(token, wants_operand(before(1), before(2)))?;
        }
        match token.token {
            Token::LParen | Token::LBracket | Token::LBrace => levels.push(Level::default()),
            Token::RParen | Token::RBracket | Token::RBrace if levels.len() > 1 => {
                levels.pop();
            }
            _ => {}
        }
        match bare_word(&token.token) {
            Some("case") => cases += 1,
            Some("end") => cases = cases.saturating_sub(1),
            _ => {}
        }
        if levels.len() + cases > SQL_DEPTH_MAX + 1 {
            return Err(over("levels of nesting", SQL_DEPTH_MAX, token));
        }
    }
    Ok(())
}

/// Whether the next token stands where an operand is expected, so that a keyword there is only a
/// name: `1 + on + on` is one chain.
fn wants_operand(previous: Option<&Token>, earlier: Option<&Token>) -> bool {
    match previous {
        // The star of SELECT *, count(*), t.*
        Some(Token::Mul) => match earlier {
            Some(Token::Comma | Token::Period | Token::LParen) => false,
            Some(other) => {
                bare_word(other).is_none_or(|w| !matches!(w, "select" | "distinct" | "all"))
            }
            None => false,
        },
        Some(token) => match bare_word(token) {
            Some(word) => OPERATOR_WORDS.contains(&word),
            None => is_operator(token),
        },
        None => false,
    }
}

impl Level {
    fn count(&mut self, token: &TokenWithSpan, wants_operand: bool) -> Result<()> {
        match bare_word(&token.token) {
            Some(word) if OPERATOR_WORDS.contains(&word) => self.operators += 1,
            Some(_) if wants_operand => {}
            Some("union" | "except" | "intersect") => {
                *self = Self { arms: self.arms + 1, ..Self::default() };
                if self.arms >= SQL_UNION_ARMS_MAX {
                    return Err(over("arms of UNION in one query", SQL_UNION_ARMS_MAX, token));
                }
            }
            Some("from") => (self.operators, self.in_from) = (0, true),
            Some("join") => self.relations += 1,
            Some("select" | "where" | "group" | "having" | "order" | "window" | "limit") => {
                (self.operators, self.in_from) = (0, false);
            }
            Some("when" | "then" | "else" | "on") => self.operators = 0,
            Some(_) => {}
            None if token.token == Token::Comma => {
                self.operators = 0;
                self.relations += usize::from(self.in_from);
            }
            None => self.operators += usize::from(is_operator(&token.token)),
        }
        if self.operators >= SQL_CHAIN_TERMS_MAX {
            return Err(over("terms in one chain of operators", SQL_CHAIN_TERMS_MAX, token)
                .with_hint("use IN (…) for many values, or split the expression"));
        }
        if self.relations >= SQL_CHAIN_TERMS_MAX {
            return Err(over("tables in one FROM", SQL_CHAIN_TERMS_MAX, token));
        }
        Ok(())
    }
}

/// Words that make the tree one level deeper, as `+` does.
const OPERATOR_WORDS: [&str; 15] = [
    "and", "or", "not", "xor", "is", "like", "ilike", "similar", "rlike", "regexp", "between",
    "in", "collate", "at", "div",
];

fn is_operator(token: &Token) -> bool {
    !matches!(
        token,
        Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::HexStringLiteral(_)
            | Token::Comma
            | Token::Period
            | Token::LParen
            | Token::RParen
            | Token::LBrace
            | Token::RBrace
            | Token::RBracket
            | Token::SemiColon
            | Token::EOF
    )
}

fn over(what: &str, max: usize, token: &TokenWithSpan) -> Error {
    Error::usage(format!("more than {max} {what}")).with_span(span_of(token.span))
}

/// Runs `f` on a thread whose stack fits whatever [`check_tokens`] lets through. A panic in `f`
/// is an internal error with its message.
pub fn on_big_stack<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new()
            .name("planning".to_owned())
            .stack_size(PLANNING_STACK_BYTES);
        let thread = builder.spawn_scoped(scope, f).map_err(|error| {
            Error::new(Kind::Exhausted, format!("cannot start the planning thread: {error}"))
        })?;
        thread.join().unwrap_or_else(|payload| {
            let message = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied());
            Err(Error::internal(format!("planning failed: {}", message.unwrap_or("panic"))))
        })
    })
}

/// A span that covers nothing but the first character.
pub const START: Span = Span { start: (1, 1), end: (1, 2) };

#[cfg(test)]
mod tests;
