//! Text → statements. Everything that reads SQL comes through here: guard, tokenizer, one
//! statement after the other, each with its place in the text. Errors carry a span.

use datafusion::sql::parser::{DFParserBuilder, Statement as DataFusionStatement};
use sqlparser::ast::{Expr, Query};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::{Error, Result, Span};
use crate::sql::ast::{
    CopyTo, Describe, DropObject, Explain, ExplainTarget, Name, ObjectKind, Place, QueryStatement,
    Show, ShowWhat, Spanned, Statement,
};
use crate::sql::dialect::DIALECT;
use crate::sql::frame_clause::{self, Tokens};
use crate::sql::guard::{self, on_big_stack};
use crate::sql::printer;
use crate::sql::refuse::check_query;
use crate::sql::session_clause;
use crate::sql::token::{Lines, bare_word, join, span_of, split_location, tokenize};

/// The parser's own limit on recursion; `guard` has refused deep nesting of parentheses before,
/// this stops what needs none (`NOT NOT NOT …`), long before the planning stack ends.
const RECURSION_MAX: usize = 400;

/// Parses every statement of a text.
pub fn parse_statements(text: &str) -> Result<Vec<Statement>> {
    guard::check_text(text)?;
    on_big_stack(|| {
        let tokens = tokenize(text)?;
        let lines = Lines::new(text);
        let mut statements = Vec::new();
        for part in tokens.split(|t| t.token == Token::SemiColon) {
            if !part.is_empty() {
                let mut parser = StatementParser::new(part, &lines)?;
                statements.push(parser.statement()?);
                parser.end()?;
            }
        }
        Ok(statements)
    })
}

/// Parses one query (no `;`), for example the stored text of a feature.
pub fn parse_query(text: &str) -> Result<Box<Query>> {
    parse_one(text, |parser| Ok(parser.query()?.query))
}

/// Parses one expression, for example the stored text of a computed column.
pub fn parse_expr(text: &str) -> Result<Expr> {
    parse_one(text, |parser| parser.run(Parser::parse_expr))
}

fn parse_one<T: Send>(
    text: &str,
    f: impl FnOnce(&mut StatementParser<'_>) -> Result<T> + Send,
) -> Result<T> {
    guard::check_text(text)?;
    on_big_stack(|| {
        let tokens = tokenize(text)?;
        let lines = Lines::new(text);
        let mut parser = StatementParser::new(&tokens, &lines)?;
        let parsed = f(&mut parser)?;
        parser.end()?;
        Ok(parsed)
    })
}

/// Whether a text that is being typed ends with a whole statement (`;` outside of quotes and
/// comments). Text that cannot become right by typing on counts as whole.
pub fn is_complete(text: &str) -> bool {
    match tokenize(text) {
        Ok(tokens) => tokens.last().is_none_or(|t| t.token == Token::SemiColon),
        Err(error) => !error.message().contains("unterminated") && !error.message().contains("EOF"),
    }
}

/// Parses one statement from its tokens.
pub(super) struct StatementParser<'a> {
    pub(super) parser: Parser<'static>,
    tokens: &'a [TokenWithSpan],
    /// For each token of `parser` the number of the token in `tokens` that it comes from.
    origin: Vec<usize>,
    /// A clause that only features have.
    feature_clause: Option<Span>,
    lines: &'a Lines<'a>,
}

impl<'a> StatementParser<'a> {
    fn new(tokens: &'a [TokenWithSpan], lines: &'a Lines<'a>) -> Result<Self> {
        guard::check_tokens(tokens)?;
        let mut read = Tokens::of(tokens);
        frame_clause::rewrite(&mut read)?;
        session_clause::rewrite(&mut read);
        let feature_clause = frame_clause::first_clause(&read);
        let parser = Parser::new(&DIALECT)
            .with_tokens_with_locations(read.list)
            .with_recursion_limit(RECURSION_MAX);
        Ok(Self { parser, tokens, origin: read.origin, feature_clause, lines })
    }

    /// Number of the next token.
    pub(super) fn index(&self) -> usize {
        self.origin.get(self.parser.index()).copied().unwrap_or(self.tokens.len())
    }

    /// A query outside of features is read once more by DataFusion, which lacks some clauses.
    fn plain_query(&mut self) -> Result<Statement> {
        let query = self.query()?;
        match self.feature_clause {
            Some(span) => Err(Error::not_yet("EXCLUDE, MAXSIZE and SESSION in a plain query")
                .with_hint("write a feature, and read its HISTORY(…)")
                .with_span(span)),
            None => Ok(Statement::Query(query)),
        }
    }

    fn statement(&mut self) -> Result<Statement> {
        match self.word(0).as_deref() {
            Some("create") => self.create(),
            Some("drop") => self.drop_object(),
            Some("show") => self.show(),
            Some("describe" | "desc") => self.describe(),
            Some("explain") => self.explain(),
            Some("copy") => self.copy(),
            Some("select" | "with" | "values" | "table") => self.plain_query(),
            _ if self.parser.peek_token_ref().token == Token::LParen => self.plain_query(),
            Some(word) => Err(refused_statement(word).with_span(self.next_span())),
            None => Err(Error::usage(format!("expected a statement, found {}", self.found()))
                .with_span(self.next_span())),
        }
    }

    /// Nothing may be left.
    fn end(&self) -> Result<()> {
        if self.parser.peek_token_ref().token == Token::EOF {
            return Ok(());
        }
        let message = format!("expected the end of the statement, found {}", self.found());
        let mut error = self.advise(Error::usage(message), self.index());
        if matches!(self.word(0).as_deref(), Some("create" | "drop" | "show" | "select")) {
            error = error.with_hint("statements end with ;");
        }
        Err(error.with_span(self.next_span()))
    }

    pub(super) fn query(&mut self) -> Result<QueryStatement> {
        let start = self.index();
        let query = self.run(Parser::parse_query)?;
        check_query(&query)?;
        let text = printer::query_text(self.tokens_since(start));
        Ok(QueryStatement { query, text, place: self.place_since(start) })
    }

    fn drop_object(&mut self) -> Result<Statement> {
        let start = self.index();
        self.parser.next_token();
        let kind = self.object_kind()?.ok_or_else(|| self.expected("SOURCE or FEATURE"))?;
        let if_exists = self.word(1).as_deref() == Some("exists") && self.eat("if");
        if if_exists {
            self.parser.next_token();
        }
        let name = self.name()?;
        let cascade = self.eat("cascade");
        if !cascade {
            self.eat("restrict");
        }
        let place = self.place_since(start);
        Ok(Statement::Drop(DropObject { kind, name, if_exists, cascade, place }))
    }

    fn show(&mut self) -> Result<Statement> {
        let start = self.index();
        self.parser.next_token();
        let word = self.word(0);
        let what = match word.as_deref() {
            Some("sources") => ShowWhat::Sources,
            Some("tables") => ShowWhat::Tables,
            Some("features") => ShowWhat::Features,
            Some("options") => ShowWhat::Options,
            Some("functions") => ShowWhat::Functions,
            Some("create") => {
                self.parser.next_token();
                let kind = if self.names_follow(1) { self.object_kind()? } else { None };
                let name = self.name()?;
                let place = self.place_since(start);
                return Ok(Statement::Show(Show { what: ShowWhat::Create { kind, name }, place }));
            }
            _ => {
                let expected = "SOURCES, TABLES, FEATURES, OPTIONS, FUNCTIONS or CREATE name";
                return Err(self.expected(expected));
            }
        };
        self.parser.next_token();
        Ok(Statement::Show(Show { what, place: self.place_since(start) }))
    }

    fn describe(&mut self) -> Result<Statement> {
        let start = self.index();
        self.parser.next_token();
        let kind = if self.names_follow(1) { self.object_kind()? } else { None };
        let name = self.name()?;
        Ok(Statement::Describe(Describe { kind, name, place: self.place_since(start) }))
    }

    fn explain(&mut self) -> Result<Statement> {
        let start = self.index();
        self.parser.next_token();
        let mut feature = self.word(0).as_deref() == Some("feature");
        let analyze = !feature && self.eat("analyze");
        let verbose = !feature && self.eat("verbose");
        if self.word(0).as_deref() == Some("format") {
            return Err(Error::not_yet("EXPLAIN FORMAT").with_span(self.next_span()));
        }
        if feature {
            self.parser.next_token();
            let starts_query = matches!(
                self.word(0).as_deref(),
                Some("select" | "with" | "create" | "values" | "from")
            );
            if !starts_query && self.parser.peek_token_ref().token != Token::LParen {
                let target = ExplainTarget::Feature(self.name()?);
                let place = self.place_since(start);
                return Ok(Statement::Explain(Explain {
                    feature,
                    analyze,
                    verbose,
                    target,
                    place,
                }));
            }
        }
        let span = self.next_span();
        if feature {
            self.feature_clause = None;
        }
        let inner = self.statement()?;
        match &inner {
            Statement::Query(_) => {}
            Statement::CreateFeature(_) => feature = true,
            _ => {
                return Err(Error::usage("EXPLAIN takes a query or CREATE FEATURE").with_span(span));
            }
        }
        let target = ExplainTarget::Statement(Box::new(inner));
        let place = self.place_since(start);
        Ok(Statement::Explain(Explain { feature, analyze, verbose, target, place }))
    }

    /// COPY is DataFusion's: its parser reads it from the same tokens.
    fn copy(&mut self) -> Result<Statement> {
        let start = self.index();
        let tokens = self.tokens.get(start..).unwrap_or_default().to_vec();
        let parsed = DFParserBuilder::new(tokens)
            .with_dialect(&DIALECT)
            .with_recursion_limit(RECURSION_MAX)
            .build()
            .and_then(|mut parser| parser.parse_statement());
        let statement = match parsed {
            Ok(DataFusionStatement::CopyTo(statement)) => statement,
            Ok(_) => {
                return Err(Error::not_supported("COPY INTO")
                    .with_span(self.next_span())
                    .with_hint(
                        "COPY (SELECT …) TO '…' writes; a source with 'connector' = 'file' reads",
                    ));
            }
            Err(error) => return Err(self.located(&error.strip_backtrace())),
        };
        if let datafusion::sql::parser::CopyToSource::Query(query) = &statement.source {
            check_query(query)?;
        }
        while self.parser.peek_token_ref().token != Token::EOF {
            self.parser.next_token();
        }
        let text = printer::line_text(self.tokens_since(start));
        Ok(Statement::Copy(CopyTo { statement, text, place: self.place_since(start) }))
    }

    /// Reads SOURCE, FEATURE or FEATURE VIEW if it is next.
    pub(super) fn object_kind(&mut self) -> Result<Option<ObjectKind>> {
        if self.word(0).as_deref() == Some("table") {
            return Err(Error::not_yet("tables (CREATE TABLE)").with_span(self.next_span()));
        }
        if self.eat("source") {
            return Ok(Some(ObjectKind::Source));
        }
        if !self.eat("feature") {
            return Ok(None);
        }
        if self.word(0).as_deref() == Some("view") && self.names_follow(1) {
            self.parser.next_token();
        }
        Ok(Some(ObjectKind::Feature))
    }

    /// Whether the `n`th next token can be a name, so that the words before it are keywords.
    pub(super) fn names_follow(&self, n: usize) -> bool {
        match &self.parser.peek_nth_token_ref(n).token {
            Token::Word(word) => {
                word.quote_style.is_some() || !matches!(word.value.as_str(), "as" | "with")
            }
            _ => false,
        }
    }

    // ---- the pieces every statement is made of ----

    /// Runs a method of the SQL parser.
    pub(super) fn run<T>(
        &mut self,
        f: impl FnOnce(&mut Parser<'static>) -> std::result::Result<T, ParserError>,
    ) -> Result<T> {
        f(&mut self.parser).map_err(|error| match error {
            ParserError::RecursionLimitExceeded => {
                Error::usage(format!("more than {RECURSION_MAX} levels of nesting"))
                    .with_span(self.next_span())
            }
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => {
                self.located(&message)
            }
        })
    }

    /// The unquoted word at the `n`th next token.
    pub(super) fn word(&self, n: usize) -> Option<String> {
        bare_word(&self.parser.peek_nth_token_ref(n).token).map(str::to_owned)
    }

    /// Consumes the next token if it is this word.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let found = bare_word(&self.parser.peek_token_ref().token) == Some(word);
        if found {
            self.parser.next_token();
        }
        found
    }

    pub(super) fn expect(&mut self, word: &str) -> Result<()> {
        if self.eat(word) { Ok(()) } else { Err(self.expected(&word.to_ascii_uppercase())) }
    }

    pub(super) fn eat_token(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(super) fn expect_token(&mut self, token: &Token) -> Result<()> {
        if self.eat_token(token) { Ok(()) } else { Err(self.expected(&token.to_string())) }
    }

    /// A name: one word, quoted or not.
    pub(super) fn name(&mut self) -> Result<Name> {
        let span = self.next_span();
        let name = match &self.parser.peek_token_ref().token {
            Token::Word(word) => word.value.clone(),
            Token::SingleQuotedString(_) => {
                let error = self.expected("a name");
                return Err(error.with_hint("names are quoted with \", not with '"));
            }
            _ => return Err(self.expected("a name")),
        };
        self.parser.next_token();
        if self.parser.peek_token_ref().token == Token::Period {
            return Err(Error::usage("a name has one part")
                .with_span(join(span, self.next_span()))
                .with_hint("there are no schemas; a name with a dot is quoted: \"a.b\""));
        }
        if name.is_empty() {
            return Err(Error::usage("a name cannot be empty").with_span(span));
        }
        Ok(Spanned::new(name, span))
    }

    /// A `'…'` literal.
    pub(super) fn string(&mut self, what: &str) -> Result<Spanned<String>> {
        let span = self.next_span();
        let Token::SingleQuotedString(text) = self.parser.peek_token_ref().token.clone() else {
            return Err(self.expected(what));
        };
        self.parser.next_token();
        Ok(Spanned::new(text, span))
    }

    pub(super) fn expected(&self, what: &str) -> Error {
        let error = Error::usage(format!("expected {what}, found {}", self.found()));
        self.advise(error, self.index()).with_span(self.next_span())
    }

    fn found(&self) -> String {
        found(self.tokens.get(self.index()))
    }

    /// The span of the next token; behind the last one at the end.
    pub(super) fn next_span(&self) -> Span {
        self.span_at(self.index())
    }

    fn span_at(&self, index: usize) -> Span {
        match (self.tokens.get(index), self.tokens.last()) {
            (Some(token), _) => span_of(token.span),
            (None, Some(last)) => {
                let end = span_of(last.span).end;
                Span { start: end, end: (end.0, end.1 + 1) }
            }
            (None, None) => guard::START,
        }
    }

    pub(super) fn tokens_since(&self, start: usize) -> &'a [TokenWithSpan] {
        let end = self.index().min(self.tokens.len());
        self.tokens.get(start..end).unwrap_or_default()
    }

    pub(super) fn place_since(&self, start: usize) -> Place {
        let last = self.index().saturating_sub(1).max(start);
        let span = join(self.span_at(start), self.span_at(last));
        let range = self.lines.offset(span.start)..self.lines.offset(span.end);
        Place { range, span }
    }

    /// An error of the SQL parser with the position it carries in its text as a span.
    fn located(&self, message: &str) -> Error {
        let message = message
            .trim_start_matches("SQL error: ")
            .trim_start_matches("ParserError(\"")
            .trim_end_matches("\")")
            .trim_start_matches("sql parser error: ");
        let (message, at) = split_location(message);
        let index = at.and_then(|at| self.tokens.iter().position(|t| t.span.start == at));
        let index = index.unwrap_or(match at {
            Some(_) => self.index().saturating_sub(1),
            None => self.tokens.len(),
        });
        let text = match message.strip_prefix("Expected: ") {
            Some(rest) => {
                let expected = rest.rsplit_once(", found: ").map_or(rest, |(expected, _)| expected);
                let expected = lower_first(expected.strip_suffix(',').unwrap_or(expected));
                format!("expected {expected}, found {}", found(self.tokens.get(index)))
            }
            None => lower_first(message),
        };
        self.advise(Error::usage(text), index).with_span(self.span_at(index))
    }

    /// Words of the standard or of other systems that get a better answer than "expected …".
    fn advise(&self, error: Error, index: usize) -> Error {
        let at = |n: usize| self.tokens.get(n).and_then(|t| bare_word(&t.token)).unwrap_or("");
        let before = index.saturating_sub(1);
        match (at(index), at(before)) {
            ("exclude" | "maxsize", _) => error.with_hint(
                "it stands behind a frame: RANGE UNBOUNDED PRECEDING EXCLUDE CURRENT ROW",
            ),
            ("emit", _) => Error::not_supported("EMIT").with_hint(
                "leave it out: current values are written at once, final rows at the watermark",
            ),
            ("match_recognize", _) => Error::not_supported("MATCH_RECOGNIZE"),
            ("with", _) if self.is_feature() => {
                error.with_hint("options stand before the query: CREATE FEATURE f WITH (…) AS …")
            }
            (_, "with") if self.is_feature() && index > 6 => {
                error.with_hint("options stand before the query: CREATE FEATURE f WITH (…) AS …")
            }
            _ => error,
        }
    }

    fn is_feature(&self) -> bool {
        let mut words = self.tokens.iter().take(4).filter_map(|t| bare_word(&t.token));
        words.any(|w| w == "feature")
    }
}

fn lower_first(text: &str) -> String {
    let mut rest = text.chars();
    // `Expected: AS` keeps its capitals, `An SQL statement` does not.
    let second_is_upper = text.chars().nth(1).is_some_and(char::is_uppercase);
    match rest.next() {
        Some(first) if !second_is_upper => first.to_lowercase().chain(rest).collect(),
        _ => text.to_owned(),
    }
}

/// A token as it is named in messages.
fn found(token: Option<&TokenWithSpan>) -> String {
    match token.map(|t| &t.token) {
        None | Some(Token::EOF) => "the end of the text".to_owned(),
        Some(Token::SingleQuotedString(text)) => crate::sql::diagnostic::quoted(text),
        Some(token) => printer::token_text(token),
    }
}

fn refused_statement(word: &str) -> Error {
    match word {
        "insert" | "update" | "delete" | "merge" | "truncate" => {
            Error::not_supported(format!("{}: sources are logs", word.to_ascii_uppercase()))
                .with_hint("rows come from the topic or the files of a source")
        }
        "alter" => Error::not_supported("ALTER")
            .with_hint("write the new definition with CREATE OR REPLACE, or use apply"),
        "set" | "reset" => Error::not_supported(word.to_ascii_uppercase())
            .with_hint("options stand in the definition: CREATE … WITH ('option' = 'value')"),
        "begin" | "start" | "commit" | "rollback" => {
            Error::not_supported("transactions").with_hint("apply FILE is all or nothing")
        }
        "from" => Error::not_supported("FROM before SELECT").with_hint("write SELECT … FROM …"),
        "use" => Error::not_supported("USE").with_hint("there are no schemas; see --home"),
        word => {
            let known = ["create", "drop", "show", "describe", "explain", "copy", "select", "with"];
            let error = Error::usage(format!(
                "expected a statement, found {}",
                crate::sql::diagnostic::quoted(word)
            ));
            match crate::sql::diagnostic::closest(word, known) {
                Some(near) => {
                    error.with_hint(format!("did you mean {}?", near.to_ascii_uppercase()))
                }
                None => error
                    .with_hint("statements: CREATE, DROP, SHOW, DESCRIBE, EXPLAIN, COPY, SELECT"),
            }
        }
    }
}

#[cfg(test)]
mod tests;
