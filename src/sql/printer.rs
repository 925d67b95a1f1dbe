//! Statements → text: what SHOW CREATE shows and `catalog.sql` holds.
//!
//! Queries and expressions are written from their folded tokens, not from the parser's tree: its
//! `Display` leaves some quotes inside names and strings unescaped, tokens written here are read
//! back as the same tokens. So parse∘print is the identity by construction (and by test).

use sqlparser::keywords::{ALL_KEYWORDS, RESERVED_FOR_IDENTIFIER};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Error, Result};
use crate::model::time::format_duration;
use crate::sql::ast::{
    ColumnOrigin, CreateFeature, CreateSource, RawOption, SourceColumn, Statement, Watermark,
};
use crate::sql::token::bare_word;
use crate::sql::types::type_name;

/// Words written in capitals: the structure of a query. A column of such a name is written in
/// capitals too, which reads back the same.
const CAPITALS: [&str; 80] = [
    "all",
    "and",
    "as",
    "asc",
    "asof",
    "between",
    "by",
    "case",
    "cast",
    "cross",
    "current",
    "desc",
    "descriptor",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "filter",
    "following",
    "from",
    "full",
    "group",
    "groups",
    "having",
    "ilike",
    "in",
    "inner",
    "intersect",
    "interval",
    "is",
    "join",
    "lateral",
    "left",
    "like",
    "limit",
    "match_condition",
    "not",
    "null",
    "nulls",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "preceding",
    "qualify",
    "range",
    "recursive",
    "right",
    "rows",
    "select",
    "table",
    "then",
    "true",
    "try_cast",
    "unbounded",
    "union",
    "unnest",
    "using",
    "values",
    "when",
    "where",
    "window",
    "with",
    "within",
    "within",
    "minute",
    "hour",
    "second",
    "day",
    "minutes",
    "hours",
    "seconds",
    "days",
    "xor",
];

/// Capitals that stand close to their parenthesis, as functions do.
const FUNCTIONS: [&str; 6] = ["cast", "try_cast", "extract", "table", "descriptor", "unnest"];

/// Words that begin a new line of a query.
const CLAUSES: [&str; 12] = [
    "from",
    "where",
    "group",
    "having",
    "window",
    "order",
    "limit",
    "union",
    "except",
    "intersect",
    "qualify",
    "offset",
];

/// Tokens in one line.
pub fn line_text(tokens: &[TokenWithSpan]) -> String {
    write_tokens(tokens, false)
}

/// The tokens of a query, a line for each clause and each item of SELECT and WINDOW.
pub fn query_text(tokens: &[TokenWithSpan]) -> String {
    write_tokens(tokens, true)
}

/// One token as it stands in SQL.
pub fn token_text(token: &Token) -> String {
    match token {
        Token::Word(word) if word.quote_style.is_some() => quoted_name(&word.value),
        Token::Word(word) if CAPITALS.contains(&word.value.as_str()) => {
            word.value.to_ascii_uppercase()
        }
        Token::Word(word) => word.value.clone(),
        Token::SingleQuotedString(text) => string_text(text),
        other => other.to_string(),
    }
}

/// A string literal.
pub fn string_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name, in quotes unless it can do without.
pub fn name_text(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && !is_reserved(name) { name.to_owned() } else { quoted_name(name) }
}

fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Words that cannot stand for a column or a table everywhere, and those that open a clause of
/// our own statements.
fn is_reserved(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let index = ALL_KEYWORDS.binary_search(&upper.as_str()).ok();
    let keyword = index.and_then(|i| sqlparser::keywords::ALL_KEYWORDS_INDEX.get(i));
    CAPITALS.contains(&name)
        || ["watermark", "primary", "unique", "constraint", "view", "if"].contains(&name)
        || keyword.is_some_and(|keyword| {
            RESERVED_FOR_IDENTIFIER.contains(keyword)
                || sqlparser::keywords::RESERVED_FOR_TABLE_ALIAS.contains(keyword)
                || sqlparser::keywords::RESERVED_FOR_COLUMN_ALIAS.contains(keyword)
        })
}

fn write_tokens(tokens: &[TokenWithSpan], lines: bool) -> String {
    let mut out = String::new();
    let (mut depth, mut clause) = (0usize, "");
    for (at, token) in tokens.iter().enumerate() {
        let before = |n: usize| at.checked_sub(n).and_then(|i| tokens.get(i)).map(|t| &t.token);
        let word = bare_word(&token.token);
        if matches!(token.token, Token::RParen | Token::RBracket) {
            depth = depth.saturating_sub(1);
        }
        let opens = depth == 0 && opens_clause(word, before(1));
        if let (0, Some(word @ ("select" | "window" | "from"))) = (depth, word) {
            clause = word;
        } else if opens {
            clause = "";
        }
        let item = depth == 0 && matches!(before(1), Some(Token::Comma));
        if at == 0 {
        } else if lines && opens {
            out.push('\n');
        } else if lines && item && matches!(clause, "select" | "window") {
            out.push_str("\n       ");
        } else if before(1).is_some_and(|prev| !glued(prev, &token.token, before(2))) {
            out.push(' ');
        }
        match (before(1).and_then(bare_word), word) {
            (Some("current"), Some("row")) | (Some("nulls"), Some("first" | "last")) => {
                out.push_str(&token_text(&token.token).to_ascii_uppercase());
            }
            _ => out.push_str(&token_text(&token.token)),
        }
        if matches!(token.token, Token::LParen | Token::LBracket) {
            depth += 1;
        }
    }
    out
}

fn opens_clause(word: Option<&str>, before: Option<&Token>) -> bool {
    let previous = before.and_then(bare_word);
    match word {
        // x IS DISTINCT FROM y
        Some("from") => previous != Some("distinct"),
        Some("select") => matches!(previous, Some("union" | "except" | "intersect" | "all")),
        Some(word) => CLAUSES.contains(&word) && previous.is_none_or(|p| !CLAUSES.contains(&p)),
        None => false,
    }
}

/// Whether no space stands between two tokens; `earlier` is the one before both.
fn glued(previous: &Token, next: &Token, earlier: Option<&Token>) -> bool {
    let number = |token: &Token| matches!(token, Token::Number(..));
    match (previous, next) {
        (Token::Period, other) | (other, Token::Period) => !number(other),
        (Token::LParen | Token::LBracket, _) => true,
        (_, Token::RParen | Token::RBracket | Token::Comma) => true,
        (Token::DoubleColon, _) | (_, Token::DoubleColon) => true,
        (Token::Word(word), Token::LParen) => {
            word.quote_style.is_some()
                || !CAPITALS.contains(&word.value.as_str())
                || FUNCTIONS.contains(&word.value.as_str())
        }
        (Token::Word(_) | Token::RBracket | Token::RParen, Token::LBracket) => true,
        (Token::Minus, Token::Number(..) | Token::Word(_)) => match earlier {
            None => true,
            Some(Token::Word(word)) => {
                word.quote_style.is_none() && CAPITALS.contains(&word.value.as_str())
            }
            Some(token) => !matches!(
                token,
                Token::Number(..)
                    | Token::SingleQuotedString(_)
                    | Token::RParen
                    | Token::RBracket
                    | Token::Minus
            ),
        },
        _ => false,
    }
}

/// CREATE SOURCE, columns in lines; without OR REPLACE and IF NOT EXISTS, which say how to
/// define, not what.
pub fn create_source(source: &CreateSource) -> String {
    let mut items: Vec<String> = source.columns.iter().map(column_text).collect();
    items.extend(source.watermark.as_ref().map(watermark_text));
    format!(
        "CREATE SOURCE {} (\n    {}\n){}",
        name_text(&source.name.value),
        items.join(",\n    "),
        options_text(&source.options),
    )
}

/// CREATE FEATURE, as [`create_source`].
pub fn create_feature(feature: &CreateFeature) -> String {
    let options = options_text(&feature.options);
    let separator = if options.is_empty() { " " } else { "\n" };
    format!(
        "CREATE FEATURE {}{options}{separator}AS\n{}",
        name_text(&feature.name.value),
        feature.query_text
    )
}

fn column_text(column: &SourceColumn) -> String {
    let mut out = name_text(&column.name.value);
    if let Some(data_type) = &column.data_type {
        out.push(' ');
        out.push_str(&type_name(&data_type.value));
    }
    if column.not_null {
        out.push_str(" NOT NULL");
    }
    match &column.origin {
        ColumnOrigin::Physical => {}
        ColumnOrigin::Computed { text, .. } => out.push_str(&format!(" AS ({text})")),
        ColumnOrigin::Metadata(field) => {
            out.push_str(&format!(" METADATA FROM {}", string_text(&field.value)));
        }
    }
    out
}

fn watermark_text(watermark: &Watermark) -> String {
    let column = name_text(&watermark.column.value);
    match watermark.delay_us {
        0 => format!("WATERMARK FOR {column} AS {column}"),
        us => format!("WATERMARK FOR {column} AS {column} - INTERVAL '{}'", format_duration(us)),
    }
}

fn options_text(options: &[RawOption]) -> String {
    if options.is_empty() {
        return String::new();
    }
    let items = options
        .iter()
        .map(|o| format!("{} = {}", string_text(&o.key.value), string_text(&o.value.value)));
    format!(" WITH (\n    {}\n)", items.collect::<Vec<_>>().join(",\n    "))
}

/// Words in the name of a Kafka property (or a query parameter) whose value is not shown.
const SECRET_WORDS: [&str; 8] =
    ["password", "secret", "token", "key", "credential", "passphrase", "jaas", "oauthbearer"];

/// Whether the value of this option must not be shown.
pub fn is_secret(key: &str) -> bool {
    key.strip_prefix("properties.").is_some_and(secret_word)
}

fn secret_word(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| lower.contains(word))
}

/// The value of an option as it may be shown: passwords are `***`, alone and inside URLs; a
/// `${NAME}` is shown as it is.
pub fn redacted_value(key: &str, value: &str) -> String {
    if is_secret(key) && !crate::sql::expand::is_reference(value) {
        return "***".to_owned();
    }
    redacted_url(value)
}

/// `redis://user:password@host/0?token=x` → `redis://***@host/0?token=***`; other text as it is.
pub fn redacted_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    if matches!(scheme, "s3" | "file") {
        return url.to_owned();
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    // The last @ of the text before the host: a password may hold '/' or '@' unescaped.
    let (authority, tail) = match rest.rsplit_once('@') {
        Some((_, host)) => ("***@", host),
        None => (authority, tail),
    };
    let (path, query) = match tail.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (tail, None),
    };
    let mut out = format!("{scheme}://{authority}{path}");
    for (at, pair) in query.into_iter().flat_map(|q| q.split('&')).enumerate() {
        out.push(if at == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if secret_word(name) => out.push_str(&format!("{name}=***")),
            _ => out.push_str(pair),
        }
    }
    out
}

fn redacted(options: &[RawOption]) -> Vec<RawOption> {
    let mut shown = options.to_vec();
    for option in &mut shown {
        option.value.value = redacted_value(&option.key.value, &option.value.value);
    }
    shown
}

/// [`create_source`] without secrets: for people, not for storage.
pub fn shown_source(source: &CreateSource) -> String {
    create_source(&CreateSource { options: redacted(&source.options), ..source.clone() })
}

/// [`create_feature`] without secrets.
pub fn shown_feature(feature: &CreateFeature) -> String {
    create_feature(&CreateFeature { options: redacted(&feature.options), ..feature.clone() })
}

/// A stored definition without secrets, for SHOW CREATE.
pub fn shown_definition(sql: &str) -> Result<String> {
    let statements = crate::sql::parser::parse_statements(sql)?;
    match statements.as_slice() {
        [Statement::CreateSource(source)] => Ok(shown_source(source)),
        [Statement::CreateFeature(feature)] => Ok(shown_feature(feature)),
        _ => Err(Error::internal("a stored definition is not one CREATE statement")),
    }
}

#[cfg(test)]
mod tests;
