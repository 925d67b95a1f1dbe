//! `WITH x AS (SELECT …) SELECT … FROM x` as the query with sub-queries that it means. Called by
//! `bind` before anything else looks at a feature.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, Spanned as _,
    TableAlias, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};

use super::check::fold;
use crate::error::{Error, Result, Span};
use crate::limits::SQL_UNION_ARMS_MAX;
use crate::sql::printer::name_text;
use crate::sql::relations::data_argument;
use crate::sql::token::span_of;
use crate::sql::window::WindowKind;

/// Puts every query of WITH where it is read.
///
/// # Errors
/// `NotSupported` for RECURSIVE and for names of columns; `Usage` where queries are read too often.
pub fn inline(query: &mut Query) -> Result<()> {
    let Some(with) = query.with.take() else { return Ok(()) };
    let span = span_of(with.span());
    if with.recursive {
        return Err(Error::not_supported("WITH RECURSIVE in a feature").with_span(span));
    }
    let mut known = Known::default();
    for table in with.cte_tables {
        let name = &table.alias.name;
        let located = |error: Error| error.with_span(span_of(name.span));
        if !table.alias.columns.is_empty() {
            return Err(located(Error::not_yet("names of columns after a name of WITH"))
                .with_hint("name the columns in its SELECT"));
        }
        if known.queries.iter().any(|other| other.name == fold(name)) {
            return Err(located(Error::usage(format!("two queries of WITH are called {name}"))));
        }
        let mut query = *table.query;
        inline(&mut query)?;
        known.put_into(&mut query).map_err(located)?;
        let (held, span, read) = (known.held, span_of(name.span), false);
        known.queries.push(Named { name: fold(name), span, query, held, read });
    }
    known.put_into(query).map_err(|error| error.with_span(span))?;
    match known.queries.iter().find(|named| !named.read) {
        None => Ok(()),
        Some(Named { name, span, .. }) => {
            Err(Error::usage(format!("nothing reads {} of WITH", name_text(name)))
                .with_hint("leave it out")
                .with_span(*span))
        }
    }
}

/// The queries that a query is made of, itself included.
fn count(query: &Query) -> usize {
    struct Count(usize);
    impl Visitor for Count {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
    }
    let mut found = Count(0);
    let _ = query.visit(&mut found);
    found.0
}

struct Named {
    name: String,
    span: Span,
    query: Query,
    /// The queries that it is made of.
    held: usize,
    read: bool,
}

#[derive(Default)]
struct Known {
    queries: Vec<Named>,
    /// Of the query that others are being put into.
    held: usize,
}

impl Known {
    fn put_into(&mut self, query: &mut Query) -> Result<()> {
        self.held = count(query);
        match VisitMut::visit(query, self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// The query called `ident`, if it is one of WITH.
    fn get(&mut self, ident: &Ident) -> Result<Option<Query>> {
        let name = fold(ident);
        let Some(named) = self.queries.iter_mut().find(|other| other.name == name) else {
            return Ok(None);
        };
        named.read = true;
        self.held += named.held;
        if self.held > SQL_UNION_ARMS_MAX {
            let told = format!("WITH makes this more than {SQL_UNION_ARMS_MAX} queries");
            return Err(Error::usage(told).with_hint("a feature reads one source, step by step"));
        }
        Ok(Some(named.query.clone()))
    }

    /// The first argument of a window, or the one called DATA.
    fn put_into_window(&mut self, name: &ObjectName, args: &mut [FunctionArg]) -> Result<()> {
        let window = name.0.last().and_then(|part| part.as_ident());
        if window.is_none_or(|ident| WindowKind::of(&ident.value).is_none()) {
            return Ok(());
        }
        let Some(
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
            | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. },
        ) = data_argument(args).and_then(|at| args.get_mut(at))
        else {
            return Ok(());
        };
        let ident = match &*expr {
            Expr::Prefixed { value, .. } => match value.as_ref() {
                Expr::Identifier(ident) => Some(ident),
                _ => None,
            },
            Expr::Identifier(ident) => Some(ident),
            _ => None,
        };
        if let Some(ident) = ident
            && let Some(query) = self.get(ident)?
        {
            *expr = Expr::Subquery(Box::new(query));
        }
        Ok(())
    }

    fn put_into_factor(&mut self, factor: &mut TableFactor) -> Result<()> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let [part] = name.0.as_slice() else { return Ok(()) };
                let Some(ident) = part.as_ident().cloned() else { return Ok(()) };
                if let Some(query) = self.get(&ident)? {
                    let own =
                        TableAlias { explicit: true, name: ident, columns: Vec::new(), at: None };
                    *factor = TableFactor::Derived {
                        lateral: false,
                        subquery: Box::new(query),
                        alias: alias.take().or(Some(own)),
                        sample: None,
                    };
                }
                Ok(())
            }
            TableFactor::Table { name, args: Some(args), .. } => {
                let name = name.clone();
                self.put_into_window(&name, &mut args.args)
            }
            TableFactor::Function { name, args, .. } => {
                let name = name.clone();
                self.put_into_window(&name, args)
            }
            TableFactor::TableFunction { expr: Expr::Function(function), .. } => {
                let name = function.name.clone();
                match &mut function.args {
                    FunctionArguments::List(list) => self.put_into_window(&name, &mut list.args),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl VisitorMut for Known {
    type Break = Error;

    /// After what is in it, so that nothing is put into what was put in.
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match self.put_into_factor(factor) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parser::parse_query;

    fn inlined(text: &str) -> String {
        let mut query = *parse_query(text).unwrap();
        match inline(&mut query) {
            Ok(()) => query.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn queries_of_with_are_put_where_they_are_read() {
        for (text, expected) in [
            ("WITH x AS (SELECT * FROM s) SELECT a FROM x", "SELECT a FROM (SELECT * FROM s) AS x"),
            (
                "WITH x AS (SELECT * FROM s) SELECT y.a FROM X AS y",
                "SELECT y.a FROM (SELECT * FROM s) AS y",
            ),
            // A name of WITH hides the source of that name outside its own query only.
            ("WITH s AS (SELECT * FROM s) SELECT a FROM s", "SELECT a FROM (SELECT * FROM s) AS s"),
            (
                "WITH x AS (SELECT * FROM s), y AS (SELECT * FROM x) SELECT a FROM y",
                "SELECT a FROM (SELECT * FROM (SELECT * FROM s) AS x) AS y",
            ),
            (
                "WITH x AS (SELECT * FROM s) SELECT k FROM TUMBLE(x, t, INTERVAL '1 hour')",
                "SELECT k FROM tumble((SELECT * FROM s), t, INTERVAL '1 hour')",
            ),
            (
                "WITH x AS (SELECT * FROM s) SELECT k FROM TABLE(HOP(TABLE x, DESCRIPTOR(t), \
                 INTERVAL '1 hour', INTERVAL '2 hours'))",
                "SELECT k FROM TABLE(hop((SELECT * FROM s), descriptor(t), INTERVAL '1 hour', \
                 INTERVAL '2 hours'))",
            ),
            ("WITH x AS (SELECT 1) SELECT x FROM s", "error: nothing reads x of WITH"),
            (
                "WITH RECURSIVE x AS (SELECT 1) SELECT x FROM s",
                "error: not supported: WITH RECURSIVE in a feature",
            ),
            (
                "WITH x AS (SELECT 1), X AS (SELECT 2) SELECT 1 FROM s",
                "error: two queries of WITH are called x",
            ),
        ] {
            assert!(inlined(text).starts_with(expected), "{text}\n{}\n{expected}", inlined(text));
        }
    }

    #[test]
    fn queries_that_would_grow_without_end_are_refused() {
        let mut text = "WITH a0 AS (SELECT * FROM s)".to_owned();
        for i in 1..20 {
            let before = format!("(SELECT 1 FROM a{})", i - 1);
            text += &format!(", a{i} AS (SELECT * FROM s WHERE {before} = {before})");
        }
        let told = inlined(&format!("{text} SELECT * FROM a19"));
        assert!(told.contains("more than 64 queries"), "{told}");
        let mut text = "SELECT * FROM s".to_owned();
        for _ in 0..20 {
            let twice = "SELECT * FROM x WHERE (SELECT 1 FROM x) = (SELECT 1 FROM x)";
            text = format!("WITH x AS ({text}) {twice}");
        }
        let told = inlined(&text);
        assert!(told.contains("more than 64 queries"), "{told}");
    }
}
