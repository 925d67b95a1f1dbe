//! The names a query reads from: tables in FROM, and those inside TUMBLE(t, …), HISTORY(f),
//! DEAD_LETTERS(s). Names of WITH queries are left out. Called by `catalog` for dependencies.
//! And the other way: what reads from a name.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, TableFactor,
    Visit, Visitor,
};

use crate::sql::ast::{Name, Spanned};
use crate::sql::token::span_of;
use crate::sql::window::WindowKind;

/// Table functions, beside windows, whose first argument names a source or feature.
const RELATION_FUNCTIONS: [&str; 2] = ["history", "dead_letters"];

/// The names `query` reads from, each once, in order of appearance.
pub fn relations(query: &Query) -> Vec<Name> {
    let mut found = Found::default();
    let _ = query.visit(&mut found);
    let mut out: Vec<Name> = Vec::new();
    for name in found.names {
        if !out.contains(&name) {
            out.push(name);
        }
    }
    out
}

/// Which argument of a table function names what it reads: the one called DATA, else the first,
/// if that has no name.
pub fn data_argument(args: &[FunctionArg]) -> Option<usize> {
    let data = |arg: &FunctionArg| match arg {
        FunctionArg::Named { name, .. } => name.value == "data",
        _ => false,
    };
    let first = matches!(args.first(), Some(FunctionArg::Unnamed(_)));
    args.iter().position(data).or(first.then_some(0))
}

/// A FROM item: the table of a name.
pub fn table(name: &str) -> TableFactor {
    TableFactor::Table {
        name: ObjectName::from(vec![Ident::with_quote('"', name)]),
        alias: None,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    }
}

/// The queries of WITH of one query.
#[derive(Default)]
struct Scope {
    /// Names that can be read.
    known: Vec<String>,
    /// Names whose queries are still to be visited, the next one last.
    waiting: Vec<String>,
}

#[derive(Default)]
struct Found {
    names: Vec<Name>,
    /// Of the query that is visited and of those around it.
    scopes: Vec<Scope>,
}

impl Found {
    fn add(&mut self, ident: Option<&Ident>) {
        let Some(ident) = ident else { return };
        let mut known = self.scopes.iter().flat_map(|scope| &scope.known);
        if !known.any(|name| *name == ident.value) {
            self.names.push(Spanned::new(ident.value.clone(), span_of(ident.span)));
        }
    }

    fn add_call(&mut self, name: &ObjectName, args: &[FunctionArg]) {
        let function = name.0.last().and_then(|part| part.as_ident());
        let reads =
            |name: &str| WindowKind::of(name).is_some() || RELATION_FUNCTIONS.contains(&name);
        if function.is_none_or(|ident| !reads(&ident.value)) {
            return;
        }
        let relation = match data_argument(args).and_then(|at| args.get(at)) {
            Some(
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
                | FunctionArg::Named { arg: FunctionArgExpr::Expr(expr), .. },
            ) => Some(expr),
            _ => None,
        };
        let relation = match relation {
            Some(Expr::Prefixed { value, .. }) => Some(value.as_ref()),
            other => other,
        };
        match relation {
            Some(Expr::Identifier(ident)) => self.add(Some(ident)),
            Some(Expr::CompoundIdentifier(parts)) => self.add(parts.last()),
            _ => {}
        }
    }
}

impl Visitor for Found {
    type Break = ();

    /// A query of WITH hides a source of its name from those after it, not from itself.
    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let mut scope = Scope::default();
        if let Some(with) = &query.with {
            let names = with.cte_tables.iter().rev();
            scope.waiting = names.map(|table| table.alias.name.value.clone()).collect();
            if with.recursive {
                scope.known = scope.waiting.clone();
            }
        }
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        if let Some(around) = self.scopes.last_mut() {
            around.known.extend(around.waiting.pop());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: None, .. } => {
                self.add(name.0.last().and_then(|part| part.as_ident()));
            }
            TableFactor::Table { name, args: Some(args), .. } => self.add_call(name, &args.args),
            TableFactor::Function { name, args, .. } => self.add_call(name, args),
            TableFactor::TableFunction { expr: Expr::Function(function), .. } => {
                if let FunctionArguments::List(list) = &function.args {
                    self.add_call(&function.name, &list.args);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parser::parse_query;

    #[test]
    fn every_window_reads_its_source() {
        for kind in WindowKind::ALL {
            let text = format!("SELECT * FROM {}(t, ts, 1)", kind.name());
            let names = relations(&parse_query(&text).unwrap());
            assert_eq!(names.len(), 1, "{text}: {names:?}");
        }
    }

    #[test]
    fn every_name_in_from_is_found_once_and_with_queries_are_not() {
        for (text, expected) in [
            ("SELECT 1", vec![]),
            ("SELECT * FROM a JOIN \"B c\" ON true, a", vec!["a", "B c"]),
            ("WITH w AS (SELECT * FROM a) SELECT * FROM w JOIN b ON true", vec!["b", "a"]),
            ("WITH s AS (SELECT * FROM s) SELECT * FROM s", vec!["s"]),
            ("WITH x AS (SELECT * FROM y), y AS (SELECT * FROM x) SELECT * FROM y", vec!["y"]),
            ("SELECT * FROM (WITH a AS (SELECT * FROM b) SELECT * FROM a) JOIN a", vec!["b", "a"]),
            ("WITH RECURSIVE r AS (SELECT * FROM r) SELECT * FROM r", vec![]),
            ("SELECT * FROM TUMBLE(t, ts, INTERVAL '1' HOUR)", vec!["t"]),
            (
                "SELECT * FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR, \
                 INTERVAL '1' DAY))",
                vec!["t"],
            ),
            (
                "SELECT * FROM TUMBLE(SIZE => INTERVAL '1' HOUR, DATA => TABLE t, \
                 TIMECOL => DESCRIPTOR(ts))",
                vec!["t"],
            ),
            ("SELECT * FROM HISTORY(f) UNION ALL SELECT * FROM DEAD_LETTERS(s)", vec!["f", "s"]),
            ("SELECT (SELECT max(x) FROM a) FROM generate_series(1, 2)", vec!["a"]),
        ] {
            let names: Vec<String> =
                relations(&parse_query(text).unwrap()).into_iter().map(|name| name.value).collect();
            let (mut names, mut expected) = (names, expected);
            names.sort();
            expected.sort_unstable();
            assert_eq!(names, expected, "{text}");
        }
    }
}
