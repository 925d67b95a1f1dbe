//! Finds what a query reads: sources, features, `HISTORY(feature)`, `DEAD_LETTERS(source)`.
//! The two table functions are rewritten to plain table names that `session` registers.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Query, Select, Spanned,
    TableAlias, TableFactor, VisitMut, VisitorMut,
};

use crate::batch::asof;
use crate::error::{Error, Result, Span};

/// Prefix of the table that holds the final rows of a feature.
pub const HISTORY_PREFIX: &str = "__history_";
/// Prefix of the table that holds the dead letters of a source.
pub const DEAD_LETTERS_PREFIX: &str = "__dead_letters_";

/// Names a query reads, folded as written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Plain table names: sources and features (or names of common table expressions).
    pub tables: BTreeSet<String>,
    /// Arguments of HISTORY(…).
    pub histories: BTreeSet<String>,
    /// Arguments of DEAD_LETTERS(…).
    pub dead_letters: BTreeSet<String>,
    /// Right sides of ASOF joins: features, sources, or names that the query itself gives.
    pub asof: BTreeSet<String>,
}

/// Collects the references of `query` and rewrites its table functions and ASOF joins in place.
pub fn resolve(query: &mut Query) -> Result<References> {
    let mut visitor = Resolver::default();
    match query.visit(&mut visitor) {
        ControlFlow::Continue(()) => Ok(visitor.found),
        ControlFlow::Break(error) => Err(error),
    }
}

#[derive(Default)]
struct Resolver {
    found: References,
}

impl VisitorMut for Resolver {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        for from in &mut select.from {
            if let Err(error) = asof::encode(from, &mut self.found.asof) {
                return ControlFlow::Break(error);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor
            && let Err(error) = asof::encode(table_with_joins, &mut self.found.asof)
        {
            return ControlFlow::Break(error);
        }
        let span = span_of(factor);
        let TableFactor::Table { name, args, alias, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let Some(function) = folded(name) else { return ControlFlow::Continue(()) };
        let Some(arguments) = args else {
            self.found.tables.insert(function);
            return ControlFlow::Continue(());
        };
        let (prefix, names) = match function.as_str() {
            "history" => (HISTORY_PREFIX, &mut self.found.histories),
            "dead_letters" => (DEAD_LETTERS_PREFIX, &mut self.found.dead_letters),
            _ => {
                if let Some(table) = arguments.args.first().and_then(argument) {
                    self.found.tables.insert(table);
                }
                return ControlFlow::Continue(());
            }
        };
        let target = match arguments.args.as_slice() {
            [only] => argument(only),
            _ => None,
        };
        let Some(target) = target else {
            let error = Error::usage(format!("{}(name) takes one name", function.to_uppercase()));
            return ControlFlow::Break(error.with_span(span));
        };
        *name = ObjectName::from(vec![Ident::with_quote('"', format!("{prefix}{target}"))]);
        *args = None;
        alias.get_or_insert_with(|| TableAlias {
            explicit: true,
            name: Ident::with_quote('"', &target),
            columns: vec![],
            at: None,
        });
        names.insert(target);
        ControlFlow::Continue(())
    }
}

fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The name as the catalog knows it; `None` for qualified names.
fn folded(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Some(fold(ident)),
        _ => None,
    }
}

fn argument(argument: &FunctionArg) -> Option<String> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(ident))) => Some(fold(ident)),
        _ => None,
    }
}

fn span_of(factor: &TableFactor) -> Span {
    let span = factor.span();
    Span { start: (span.start.line, span.start.column), end: (span.end.line, span.end.column) }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn query(sql: &str) -> Query {
        match Parser::parse_sql(&GenericDialect {}, sql).unwrap().remove(0) {
            Statement::Query(query) => *query,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn tables_and_functions_are_found_wherever_they_stand() {
        let mut q = query(
            "SELECT * FROM Txn t JOIN \"My Feature\" f ON t.a = f.a \
             WHERE x IN (SELECT y FROM HISTORY(User_Spend) h) \
             UNION ALL SELECT * FROM dead_letters(\"Odd\")",
        );
        let found = resolve(&mut q).unwrap();
        assert_eq!(found.tables.iter().collect::<Vec<_>>(), ["My Feature", "txn"]);
        assert_eq!(found.histories.iter().collect::<Vec<_>>(), ["user_spend"]);
        assert_eq!(found.dead_letters.iter().collect::<Vec<_>>(), ["Odd"]);
        assert!(q.to_string().contains("\"__history_user_spend\" h"));
        assert!(q.to_string().contains("\"__dead_letters_Odd\" AS \"Odd\""));
    }

    #[test]
    fn a_wrong_argument_is_an_error_with_its_place() {
        let error = resolve(&mut query("SELECT * FROM HISTORY(1 + 1)")).unwrap_err();
        assert_eq!(error.message(), "HISTORY(name) takes one name");
    }
}
