//! `EXCLUDE …` and `MAXSIZE n` at the end of a window frame, which the SQL parser does not know.
//! Before parsing, [`rewrite`] turns the end of such a frame into a call of a function that no
//! text can name; [`frame_end`] reads it back. Places and the printed text stay those of the
//! original tokens. Called by `parser`, and by `plan` for the reading.
//!
//! ```text
//! RANGE BETWEEN a PRECEDING AND CURRENT ROW EXCLUDE TIES
//! RANGE BETWEEN a PRECEDING AND "\u{1}frame_end"('exclude ties') PRECEDING
//! RANGE BETWEEN a PRECEDING AND b PRECEDING MAXSIZE 5
//! RANGE BETWEEN a PRECEDING AND "\u{1}frame_end"('maxsize 5', b) PRECEDING
//! ```
//! Both may stand at one frame, in either order; `EXCLUDE CURRENT_ROW` is OpenMLDB's spelling.

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned as _, Value, WindowFrame,
    WindowFrameBound,
};
use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use crate::error::{Error, Result, Span};
use crate::sql::token::{bare_word, span_of};

/// The function that stands for an end; the control character keeps it out of any text.
const FRAME_END: &str = "\u{1}frame_end";

/// Tokens as the parser reads them, each with the number of the token it comes from.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub list: Vec<TokenWithSpan>,
    pub origin: Vec<usize>,
}

impl Tokens {
    pub fn of(tokens: &[TokenWithSpan]) -> Self {
        Self { list: tokens.to_vec(), origin: (0..tokens.len()).collect() }
    }

    /// Replaces the tokens of a range; new ones count as the first token of the range.
    pub fn splice(&mut self, range: std::ops::Range<usize>, new: Vec<TokenWithSpan>) {
        let from = self.origin.get(range.start).copied().unwrap_or(self.origin.len());
        let count = new.len();
        self.list.splice(range.clone(), new);
        self.origin.splice(range, std::iter::repeat_n(from, count));
    }
}

/// A name that no text can write, as a token.
pub fn marker(name: &str) -> Token {
    let (value, quote_style) = (name.to_owned(), Some('"'));
    Token::Word(Word { value, quote_style, keyword: Keyword::NoKeyword })
}

/// Whether a function is one that no text can name.
pub fn is_marker(name: &str) -> bool {
    name.starts_with('\u{1}')
}

/// What EXCLUDE leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excluded {
    NoOthers,
    CurrentRow,
    Group,
    Ties,
}

/// The end of a frame.
#[derive(Clone, Debug, Default)]
pub struct FrameEnd<'a> {
    /// `bound PRECEDING`; `None` is the current row.
    pub bound: Option<&'a Expr>,
    pub excluded: Option<Excluded>,
    pub rows_max: Option<u64>,
    /// Of the clause, if there is one.
    pub span: Option<Span>,
}

/// A clause at the end of a frame, as tokens `[at, end)`.
struct Clause {
    text: String,
    at: usize,
    end: usize,
}

/// The places of an open frame: its units, BETWEEN, the AND of its bounds.
#[derive(Clone, Copy, Default)]
struct Frame {
    units: usize,
    between: bool,
    and: Option<usize>,
}

/// Turns every EXCLUDE and MAXSIZE at the end of a frame into a call.
///
/// # Errors
/// `Usage` for a clause without its words, or two clauses at one frame.
pub fn rewrite(tokens: &mut Tokens) -> Result<()> {
    let mut frames: Vec<Option<Frame>> = vec![None];
    let mut at = 0;
    while at < tokens.list.len() {
        let word = |n: usize| tokens.list.get(n).and_then(|t| bare_word(&t.token));
        match tokens.list[at].token {
            Token::LParen => frames.push(None),
            Token::RParen if frames.len() > 1 => {
                frames.pop();
            }
            _ => {}
        }
        let open = frames.last_mut();
        let next = tokens.list.get(at + 1).map(|t| &t.token);
        match (word(at), open) {
            (Some("rows" | "range" | "groups"), Some(frame)) if opens_frame(next) => {
                let between = word(at + 1) == Some("between");
                *frame = Some(Frame { units: at, between, and: None });
            }
            (Some("and"), Some(Some(frame))) if frame.between && frame.and.is_none() => {
                frame.and = Some(at);
            }
            (Some("exclude" | "maxsize"), Some(Some(frame))) => {
                let frame = *frame;
                let clause = clause(tokens, at)?;
                at = replace(tokens, frame, &clause);
                if let Some(open) = frames.last_mut() {
                    *open = None;
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Whether a token can follow the units of a frame.
fn opens_frame(next: Option<&Token>) -> bool {
    match next {
        Some(Token::Number(..) | Token::SingleQuotedString(_)) => true,
        Some(token) => bare_word(token)
            .is_some_and(|w| ["between", "unbounded", "current", "interval"].contains(&w)),
        None => false,
    }
}

/// One EXCLUDE, one MAXSIZE, or both in either order.
fn clause(tokens: &Tokens, at: usize) -> Result<Clause> {
    let word = |n: usize| tokens.list.get(n).and_then(|t| bare_word(&t.token));
    let mut clause = part(tokens, at)?;
    if let Some(next @ ("exclude" | "maxsize")) = word(clause.end)
        && Some(next) != word(at)
    {
        let other = part(tokens, clause.end)?;
        clause = Clause { text: format!("{} {}", clause.text, other.text), ..other };
    }
    if tokens.list.get(clause.end).is_some_and(|t| t.token != Token::RParen) {
        let span = tokens.list.get(clause.end).map_or(tokens.list[at].span, |t| t.span);
        let text = clause.text.to_uppercase();
        return Err(Error::usage(format!("{text} is not the end of its window"))
            .with_hint("a frame ends with one EXCLUDE, one MAXSIZE, or both")
            .with_span(span_of(span)));
    }
    Ok(Clause { at, ..clause })
}

fn part(tokens: &Tokens, at: usize) -> Result<Clause> {
    let word = |n: usize| tokens.list.get(n).and_then(|t| bare_word(&t.token));
    let wrong = |message: &str, hint: &str| {
        Err(Error::usage(message).with_hint(hint).with_span(span_of(tokens.list[at].span)))
    };
    let (text, end) = match (word(at), word(at + 1), word(at + 2)) {
        (Some("exclude"), Some("current"), Some("row")) => ("exclude current row".into(), at + 3),
        (Some("exclude"), Some("current_row"), _) => ("exclude current row".into(), at + 2),
        (Some("exclude"), Some("no"), Some("others")) => ("exclude no others".into(), at + 3),
        (Some("exclude"), Some("group"), _) => ("exclude group".into(), at + 2),
        (Some("exclude"), Some("ties"), _) => ("exclude ties".into(), at + 2),
        (Some("exclude"), ..) => {
            let hint = "EXCLUDE CURRENT ROW, EXCLUDE GROUP, EXCLUDE TIES or EXCLUDE NO OTHERS";
            return wrong("EXCLUDE without what it leaves out", hint);
        }
        _ => match tokens.list.get(at + 1).map(|t| &t.token) {
            Some(Token::Number(rows, _)) if rows.parse::<u64>().is_ok() => {
                (format!("maxsize {rows}"), at + 2)
            }
            _ => return wrong("MAXSIZE without a number of rows", "MAXSIZE 100"),
        },
    };
    Ok(Clause { text, at, end })
}

/// Writes the end of a frame as a call; returns the number of the token behind it.
fn replace(tokens: &mut Tokens, frame: Frame, clause: &Clause) -> usize {
    let span = sqlparser::tokenizer::Span::new(
        tokens.list[clause.at].span.start,
        tokens.list[clause.end - 1].span.end,
    );
    let new = |token: Token| TokenWithSpan::new(token, span);
    let keyword = |word: &str| new(Token::make_keyword(word));
    let mut call = vec![
        new(marker(FRAME_END)),
        new(Token::LParen),
        new(Token::SingleQuotedString(clause.text.clone())),
    ];
    let mut direction = "preceding";
    let mut begin = clause.at;
    if let Some(and) = frame.and {
        begin = and + 1;
        let bound = &tokens.list[begin..clause.at];
        let current = bound.first().and_then(|t| bare_word(&t.token)) == Some("current");
        if let [expr @ .., last] = bound
            && !current
        {
            if bare_word(&last.token) == Some("following") {
                direction = "following";
            }
            call.push(new(Token::Comma));
            call.extend(expr.iter().cloned());
        }
    } else {
        call.insert(0, keyword("AND"));
    }
    call.push(new(Token::RParen));
    call.push(keyword(&direction.to_uppercase()));
    let mut end = begin + call.len();
    tokens.splice(begin..clause.end, call);
    if !frame.between {
        tokens.splice(frame.units + 1..frame.units + 1, vec![keyword("BETWEEN")]);
        end += 1;
    }
    end
}

/// Reads the end of a frame.
///
/// # Errors
/// `Usage` for a bound that is a frame's end in no spelling.
pub fn frame_end(frame: &WindowFrame) -> Result<FrameEnd<'_>> {
    let bound = match &frame.end_bound {
        None | Some(WindowFrameBound::CurrentRow) => return Ok(FrameEnd::default()),
        Some(WindowFrameBound::Preceding(Some(bound))) => bound.as_ref(),
        Some(other) => {
            return Err(Error::usage(format!("a frame that ends at {other} has no rows")));
        }
    };
    let plain = FrameEnd { bound: Some(bound), ..FrameEnd::default() };
    let Expr::Function(call) = bound else { return Ok(plain) };
    if call.name.0.first().and_then(|part| part.as_ident()).is_none_or(|i| i.value != FRAME_END) {
        return Ok(plain);
    }
    let FunctionArguments::List(list) = &call.args else { return Ok(plain) };
    let mut args = list.args.iter().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    let text = match args.next() {
        Some(Expr::Value(value)) => match &value.value {
            Value::SingleQuotedString(text) => text.as_str(),
            _ => "",
        },
        _ => "",
    };
    let kinds = [
        ("exclude no others", Excluded::NoOthers),
        ("exclude current row", Excluded::CurrentRow),
        ("exclude group", Excluded::Group),
        ("exclude ties", Excluded::Ties),
    ];
    let excluded = kinds.iter().find(|(words, _)| text.contains(words)).map(|(_, kind)| *kind);
    let mut words = text.split(' ').skip_while(|word| *word != "maxsize");
    let rows_max = words.nth(1).and_then(|rows| rows.parse().ok());
    let span = call.name.span();
    let span = (span.start.line > 0).then(|| span_of(span));
    Ok(FrameEnd { bound: args.next(), excluded, rows_max, span })
}

/// The place of the first clause in tokens that were rewritten.
pub fn first_clause(tokens: &Tokens) -> Option<Span> {
    let found =
        |t: &&TokenWithSpan| matches!(&t.token, Token::Word(word) if is_marker(&word.value));
    tokens.list.iter().find(found).map(|t| span_of(t.span))
}
