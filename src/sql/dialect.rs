//! What the tokenizer and the expression parser accept: ANSI SQL as DataFusion knows it, plus
//! `TABLE t` as a function argument. Called by `token` and `parser` only.
//!
//! Every feature is listed by hand: what is not listed is a syntax error rather than something
//! parsed here and ignored by the planner.

use std::any::TypeId;

use sqlparser::ast::{Expr, Ident};
use sqlparser::dialect::{Dialect, GenericDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// The dialect of skewless.
#[derive(Debug, Clone, Copy)]
pub struct SkewlessDialect;

/// The one instance, for parsers that borrow it.
pub static DIALECT: SkewlessDialect = SkewlessDialect;

/// Words of other systems that follow a query there; never taken as an alias of a table, so
/// that the error points at them.
const TRAILING_WORDS: [&str; 3] = ["emit", "ttl", "exclude"];

macro_rules! accepts {
    ($($feature:ident),* $(,)?) => {
        $(fn $feature(&self) -> bool { true })*
    };
}

impl Dialect for SkewlessDialect {
    /// `sqlparser` compares this id in places; ours is to be treated as the generic dialect.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"' || ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    accepts! {
        supports_unicode_string_literal,
        supports_string_escape_constant,
        supports_nested_comments,
        supports_group_by_expr,
        supports_group_by_with_modifier,
        supports_left_associative_joins_without_parens,
        supports_parens_around_table_factor,
        supports_values_as_table_factor,
        supports_table_versioning,
        supports_filter_during_aggregation,
        supports_window_clause_named_window_reference,
        supports_window_function_null_treatment_arg,
        supports_named_fn_args_with_rarrow_operator,
        supports_dictionary_syntax,
        support_map_literal_syntax,
        supports_struct_literal,
        supports_array_typedef_with_brackets,
        supports_select_wildcard_except,
        supports_select_wildcard_exclude,
        supports_select_wildcard_replace,
        supports_bitwise_shift_operators,
        supports_try_convert,
        supports_comma_separated_trim,
        allow_extract_custom,
        allow_extract_single_quotes,
    }

    fn is_table_factor_alias(&self, explicit: bool, kw: &Keyword, parser: &mut Parser) -> bool {
        if !explicit
            && let Token::Word(word) = &parser.get_current_token().token
            && word.quote_style.is_none()
            && TRAILING_WORDS.iter().any(|w| word.value.eq_ignore_ascii_case(w))
        {
            return false;
        }
        explicit || self.is_table_alias(kw, parser)
    }

    /// `TABLE t` as an argument (`TUMBLE(TABLE t, …)`) becomes `Prefixed { TABLE, t }`, which
    /// `window::normalise` removes; anywhere else the planner refuses it.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let [first, second] = parser.peek_tokens_ref::<2>();
        let (Token::Word(table), Token::Word(_)) = (&first.token, &second.token) else {
            return None;
        };
        if table.keyword != Keyword::TABLE {
            return None;
        }
        let prefix = Ident::with_span(first.span, "table");
        parser.next_token();
        Some(parser.parse_object_name(false).map(|name| {
            let mut parts: Vec<Ident> =
                name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
            let value = match parts.len() {
                1 => Expr::Identifier(parts.remove(0)),
                _ => Expr::CompoundIdentifier(parts),
            };
            Expr::Prefixed { prefix, value: Box::new(value) }
        }))
    }
}
