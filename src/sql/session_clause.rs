//! `SESSION(t PARTITION BY k, ts, gap)`, which the SQL parser does not know: before parsing,
//! [`rewrite`] moves the columns behind the arguments, into a call of a function that no text can
//! name; [`partition`] reads them back. Called by `parser` and `window`.

use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, FunctionArguments};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::sql::frame_clause::{Tokens, marker};
use crate::sql::token::bare_word;

const PARTITION: &str = "\u{1}partition";

/// Moves the PARTITION BY of every SESSION call. The columns end two arguments before the end of
/// the call (they may stand in parentheses too).
pub fn rewrite(tokens: &mut Tokens) {
    let mut at = 0;
    while at + 1 < tokens.list.len() {
        let word = |n: usize| tokens.list.get(n).and_then(|t| bare_word(&t.token));
        if word(at) == Some("session") && tokens.list[at + 1].token == Token::LParen {
            rewrite_call(tokens, at + 2);
        }
        at += 1;
    }
}

fn rewrite_call(tokens: &mut Tokens, begin: usize) {
    let word = |n: usize| tokens.list.get(n).and_then(|t| bare_word(&t.token));
    let (mut depth, mut commas, mut partition, mut at) = (0usize, Vec::new(), None, begin);
    let end = loop {
        match tokens.list.get(at).map(|t| &t.token) {
            None => return,
            Some(Token::LParen) => depth += 1,
            Some(Token::RParen) if depth == 0 => break at,
            Some(Token::RParen) => depth -= 1,
            Some(Token::Comma) if depth == 0 => commas.push(at),
            _ if depth == 0 && word(at) == Some("partition") && word(at + 1) == Some("by") => {
                partition = Some(at);
            }
            _ => {}
        }
        at += 1;
    };
    let (Some(partition), [.., before_time, _]) = (partition, commas.as_slice()) else { return };
    let (first, last) = (partition + 2, *before_time);
    if first >= last {
        return;
    }
    let mut columns = tokens.list[first..last].to_vec();
    let opens = columns.first().is_some_and(|t| t.token == Token::LParen);
    if opens && columns.last().is_some_and(|t| t.token == Token::RParen) {
        columns.remove(0);
        columns.pop();
    }
    let span = tokens.list[partition].span;
    let new = |token: Token| TokenWithSpan::new(token, span);
    let mut call = vec![new(Token::Comma), new(marker(PARTITION)), new(Token::LParen)];
    call.append(&mut columns);
    call.push(new(Token::RParen));
    tokens.splice(end..end, call);
    tokens.splice(partition..last, Vec::new());
}

/// The columns of a PARTITION BY that [`rewrite`] moved, if the argument is one.
pub fn partition(arg: &FunctionArg) -> Option<Vec<Expr>> {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(call))) = arg else {
        return None;
    };
    let name = call.name.0.first().and_then(|part| part.as_ident())?;
    let FunctionArguments::List(list) = &call.args else { return None };
    let column = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    };
    (name.value == PARTITION).then(|| list.args.iter().filter_map(column).collect())
}
