//! CREATE SOURCE and CREATE FEATURE: the part of the grammar that is ours. Called by `parser`.

use sqlparser::ast::{BinaryOperator, Expr, Query};
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::sql::ast::{
    ColumnOrigin, CreateFeature, CreateSource, Name, ObjectKind, RawOption, SourceColumn, Spanned,
    Statement, Watermark,
};
use crate::sql::parser::StatementParser;
use crate::sql::printer;
use crate::sql::token::join;
use crate::sql::types::arrow_type;
use crate::sql::window::interval_us;

impl StatementParser<'_> {
    pub(super) fn create(&mut self) -> Result<Statement> {
        let start = self.index();
        self.parser.next_token();
        let or_replace = self.eat("or");
        if or_replace {
            self.expect("replace")?;
        }
        let Some(kind) = self.object_kind()? else { return Err(self.refused_create()) };
        let if_not_exists = self.word(1).as_deref() == Some("not") && self.eat("if");
        if if_not_exists {
            self.expect("not")?;
            self.expect("exists")?;
        }
        if or_replace && if_not_exists {
            return Err(Error::usage("OR REPLACE and IF NOT EXISTS exclude each other")
                .with_span(self.place_since(start).span));
        }
        let name = self.name()?;
        match kind {
            ObjectKind::Source => self.create_source(start, name, or_replace, if_not_exists),
            ObjectKind::Feature => self.create_feature(start, name, or_replace, if_not_exists),
        }
    }

    fn refused_create(&self) -> Error {
        let span = self.next_span();
        let error = match self.word(0).as_deref() {
            Some("external") => Error::not_supported("CREATE EXTERNAL TABLE")
                .with_hint("CREATE SOURCE x (…) WITH ('connector' = 'file', 'path' = '…')"),
            Some("view" | "materialized") => Error::not_supported("CREATE VIEW")
                .with_hint("a query that is kept up to date is a feature: CREATE FEATURE x AS …"),
            Some("function") => Error::not_yet("CREATE FUNCTION"),
            Some("sink") => Error::not_supported("CREATE SINK").with_hint(
                "a feature says where its values go: WITH ('online' = '…', 'offline' = '…')",
            ),
            _ => return self.expected("SOURCE or FEATURE"),
        };
        error.with_span(span)
    }

    fn create_source(
        &mut self,
        start: usize,
        name: Name,
        or_replace: bool,
        if_not_exists: bool,
    ) -> Result<Statement> {
        let (mut columns, mut watermark) = (Vec::new(), None);
        self.expect_token(&Token::LParen)?;
        loop {
            let clause = self.word(1);
            match (self.word(0).as_deref(), clause.as_deref()) {
                (Some("watermark"), Some("for")) => {
                    let clause = self.watermark()?;
                    let span = clause.span;
                    if watermark.replace(clause).is_some() {
                        return Err(Error::usage("a source has one watermark").with_span(span));
                    }
                }
                (Some("primary"), Some("key")) => return Err(self.refused_key()),
                (Some("unique" | "constraint" | "check" | "foreign"), _)
                    if self.is_constraint() =>
                {
                    return Err(Error::not_supported("constraints on a source")
                        .with_span(self.next_span())
                        .with_hint("filter in the feature: WHERE …"));
                }
                _ => columns.push(self.column()?),
            }
            if !self.eat_token(&Token::Comma) {
                break;
            }
        }
        if !self.eat_token(&Token::RParen) {
            return Err(self.expected("',' or ')'"));
        }
        let options = self.options()?;
        Ok(Statement::CreateSource(Box::new(CreateSource {
            name,
            or_replace,
            if_not_exists,
            columns,
            watermark,
            options,
            place: self.place_since(start),
        })))
    }

    /// A word that opens a table constraint, and is no column name followed by its type.
    fn is_constraint(&self) -> bool {
        matches!(self.parser.peek_nth_token_ref(1).token, Token::LParen)
            || matches!(self.word(0).as_deref(), Some("constraint"))
            || self.word(1).as_deref() == Some("key")
    }

    fn refused_key(&self) -> Error {
        Error::not_supported("PRIMARY KEY on a source: it is a log, and equal keys may come again")
            .with_span(self.next_span())
            .with_hint("the entity key of a feature is its PARTITION BY or GROUP BY")
    }

    /// `name type [NOT NULL] [METADATA [FROM 'field']]`, `name [type] AS (expression)`.
    fn column(&mut self) -> Result<SourceColumn> {
        let name = self.name()?;
        let data_type = match self.word(0).as_deref() {
            Some("as" | "metadata") => None,
            _ => Some(self.data_type()?),
        };
        let mut column =
            SourceColumn { name, data_type, not_null: false, origin: ColumnOrigin::Physical };
        loop {
            let span = self.next_span();
            match (self.word(0).as_deref(), self.word(1).as_deref()) {
                (Some("not"), Some("null")) => {
                    self.parser.next_token();
                    self.parser.next_token();
                    column.not_null = true;
                }
                (Some("null"), _) => {
                    self.parser.next_token();
                }
                (Some("as"), _) => self.computed(&mut column)?,
                (Some("metadata"), _) => self.metadata(&mut column)?,
                (Some("primary"), Some("key")) => return Err(self.refused_key()),
                (Some("default"), _) => {
                    return Err(Error::not_supported("DEFAULT: a missing field is NULL")
                        .with_span(span)
                        .with_hint("use COALESCE(column, value), or a computed column"));
                }
                (Some("unique" | "check" | "references" | "comment" | "collate"), _) => {
                    let what = self.word(0).unwrap_or_default().to_ascii_uppercase();
                    return Err(Error::not_supported(format!("{what} on a column")).with_span(span));
                }
                _ => return Ok(column),
            }
        }
    }

    fn data_type(&mut self) -> Result<Spanned<arrow::datatypes::DataType>> {
        let start = self.index();
        if !matches!(self.parser.peek_token_ref().token, Token::Word(_)) {
            return Err(self.expected("a type"));
        }
        let declared = self.run(Parser::parse_data_type)?;
        let span = self.place_since(start).span;
        Ok(Spanned::new(arrow_type(&declared, span)?, span))
    }

    fn computed(&mut self, column: &mut SourceColumn) -> Result<()> {
        let from = self.next_span();
        self.expect("as")?;
        self.expect_token(&Token::LParen)?;
        let start = self.index();
        let expression = self.run(Parser::parse_expr)?;
        let text = printer::line_text(self.tokens_since(start));
        let span = self.place_since(start).span;
        self.expect_token(&Token::RParen)?;
        self.eat("stored");
        self.set_origin(
            column,
            ColumnOrigin::Computed { expression: Spanned::new(Box::new(expression), span), text },
            from,
        )
    }

    fn metadata(&mut self, column: &mut SourceColumn) -> Result<()> {
        let from = self.next_span();
        self.expect("metadata")?;
        let field = if self.eat("from") {
            self.string("the name of the field, as in METADATA FROM 'offset'")?
        } else {
            column.name.clone()
        };
        self.eat("virtual");
        self.set_origin(column, ColumnOrigin::Metadata(field), from)
    }

    fn set_origin(
        &self,
        column: &mut SourceColumn,
        origin: ColumnOrigin,
        span: crate::error::Span,
    ) -> Result<()> {
        if column.origin != ColumnOrigin::Physical {
            return Err(Error::usage("a column is either computed or metadata").with_span(span));
        }
        column.origin = origin;
        Ok(())
    }

    fn watermark(&mut self) -> Result<Watermark> {
        let start = self.index();
        self.parser.next_token();
        self.parser.next_token();
        let column = self.name()?;
        self.expect("as")?;
        let from = self.index();
        let expression = self.run(Parser::parse_expr)?;
        let at = self.place_since(from).span;
        let shape = || {
            Error::usage("a watermark is its column, or its column minus a constant INTERVAL")
                .with_span(at)
                .with_hint(format!(
                    "WATERMARK FOR {0} AS {0} - INTERVAL '30 seconds'",
                    printer::name_text(&column.value)
                ))
        };
        let (base, delay_us) = match &expression {
            Expr::BinaryOp { left, op: BinaryOperator::Minus, right } => {
                (left.as_ref(), interval_us(right).map_err(|e| e.with_span(at))?)
            }
            other => (other, 0),
        };
        match base {
            Expr::Identifier(ident) if ident.value == column.value => {}
            _ => return Err(shape()),
        }
        if delay_us < 0 {
            return Err(Error::usage("the delay of a watermark cannot be negative").with_span(at));
        }
        Ok(Watermark { column, delay_us, span: self.place_since(start).span })
    }

    fn create_feature(
        &mut self,
        start: usize,
        name: Name,
        or_replace: bool,
        if_not_exists: bool,
    ) -> Result<Statement> {
        let options = self.options()?;
        if self.word(0).as_deref() != Some("as") {
            return Err(self.expected("WITH (…) or AS"));
        }
        self.parser.next_token();
        let query = self.query()?;
        if !is_select(&query.query) {
            return Err(Error::usage("a feature is a SELECT over a source")
                .with_span(query.place.span)
                .with_hint("CREATE FEATURE f AS SELECT …"));
        }
        Ok(Statement::CreateFeature(Box::new(CreateFeature {
            name,
            or_replace,
            if_not_exists,
            options,
            query: query.query,
            query_text: query.text,
            place: self.place_since(start),
        })))
    }

    /// `[WITH ('key' = 'value', …)]`. Keys may be bare (`connector`, `properties.group.id`),
    /// values bare numbers, TRUE or FALSE.
    fn options(&mut self) -> Result<Vec<RawOption>> {
        let mut options: Vec<RawOption> = Vec::new();
        if !self.eat("with") {
            return Ok(options);
        }
        self.expect_token(&Token::LParen)?;
        if self.eat_token(&Token::RParen) {
            return Ok(options);
        }
        loop {
            let option = self.option()?;
            if options.iter().any(|o| o.key == option.key) {
                let key = crate::sql::diagnostic::quoted(&option.key.value);
                return Err(
                    Error::usage(format!("option {key} is given twice")).with_span(option.key.span)
                );
            }
            options.push(option);
            if !self.eat_token(&Token::Comma) {
                break;
            }
        }
        if !self.eat_token(&Token::RParen) {
            return Err(self.expected("',' or ')'"));
        }
        Ok(options)
    }

    fn option(&mut self) -> Result<RawOption> {
        let start = self.next_span();
        let key = match self.parser.peek_token_ref().token {
            Token::SingleQuotedString(_) => self.string("an option")?,
            Token::Word(_) => {
                let first = self.index();
                self.parser.next_token();
                while self.eat_token(&Token::Period) {
                    self.parser.next_token();
                }
                let words = self.tokens_since(first).iter().map(|t| match &t.token {
                    Token::Word(word) => word.value.clone(),
                    other => other.to_string(),
                });
                Spanned::new(words.collect(), join(start, self.place_since(first).span))
            }
            _ => return Err(self.expected("an option, as in 'connector' = 'kafka'")),
        };
        self.expect_token(&Token::Eq)?;
        let span = self.next_span();
        let value = match self.parser.peek_token_ref().token.clone() {
            Token::SingleQuotedString(text) => text,
            Token::Number(text, _) => text,
            Token::Word(word) if matches!(word.value.as_str(), "true" | "false") => word.value,
            _ => return Err(self.expected("a value in quotes, as in 'kafka'")),
        };
        self.parser.next_token();
        Ok(RawOption { key, value: Spanned::new(value, span) })
    }
}

fn is_select(query: &Query) -> bool {
    matches!(
        query.body.as_ref(),
        sqlparser::ast::SetExpr::Select(_)
            | sqlparser::ast::SetExpr::Query(_)
            | sqlparser::ast::SetExpr::SetOperation { .. }
    )
}
