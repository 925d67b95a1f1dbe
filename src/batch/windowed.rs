//! Plain queries over windows that DataFusion does not have (SESSION, CUMULATE, COUNT_WINDOW, days
//! and months, sub-queries as their input, EXCLUDE, MAXSIZE): such a SELECT is planned as a feature
//! and computed by the same operators over the history of its source. Called by `adhoc`.

use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, Statement};
use sqlparser::ast::{
    Expr, Function, GroupByExpr, Ident, NamedWindowExpr, Query, Select, SelectItem, SetExpr,
    VisitMut, VisitorMut, WindowSpec, WindowType, visit_expressions,
};

use crate::sql::frame_clause::frame_end;
use crate::sql::parser::parse_query;
use crate::sql::window::{WindowCall, WindowShape, normalise, window_call};

/// Prefix of the tables that stand for such SELECTs.
const PREFIX: &str = "__windows_";

/// A SELECT that operators compute.
#[derive(Clone, Debug)]
pub struct Windowed {
    /// Reads the rows in the query.
    pub table: String,
    /// As a feature's query: every column has a name, keys that were left out come last.
    pub query: Query,
    /// How many columns the SELECT has; `None` = all.
    pub columns: Option<usize>,
}

/// Takes those SELECTs out of a statement; each is `SELECT * FROM` a table in it then.
pub fn take(statement: &mut Statement) -> Vec<Windowed> {
    let mut taker = Taker { found: Vec::new() };
    let flow: ControlFlow<()> = match statement {
        Statement::Statement(inner) => VisitMut::visit(inner.as_mut(), &mut taker),
        Statement::Explain(explain) => return take(&mut explain.statement),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => VisitMut::visit(query, &mut taker),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    };
    debug_assert!(flow.is_continue(), "the visitor never breaks");
    taker.found
}

struct Taker {
    found: Vec<Windowed>,
}

impl VisitorMut for Taker {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = query.body.as_mut() else { return ControlFlow::Continue(()) };
        if !needs_operators(select) {
            return ControlFlow::Continue(());
        }
        let table = format!("{PREFIX}{}", self.found.len());
        let Ok(read) = parse_query(&format!("SELECT * FROM \"{table}\"")) else {
            return ControlFlow::Continue(());
        };
        let (own, columns) = as_feature(select);
        *query.body = *read.body.clone();
        self.found.push(Windowed {
            table,
            query: Query { body: Box::new(SetExpr::Select(Box::new(own))), ..*read },
            columns,
        });
        ControlFlow::Continue(())
    }
}

/// The group window that a SELECT reads, in whatever spelling.
fn group_window(select: &Select) -> Option<WindowCall> {
    let mut query = *parse_query("SELECT 1").ok()?;
    *query.body = SetExpr::Select(Box::new(select.clone()));
    normalise(&mut query).ok()?;
    let SetExpr::Select(plain) = query.body.as_ref() else { return None };
    match plain.from.as_slice() {
        [only] if only.joins.is_empty() => window_call(&only.relation).ok()?,
        _ => None,
    }
}

fn needs_operators(select: &Select) -> bool {
    if let Some(call) = group_window(select) {
        return call.query.is_some() || !matches!(call.shape, WindowShape::Grid { .. });
    }
    let odd = |spec: &WindowSpec| {
        let end = spec.window_frame.as_ref().and_then(|frame| frame_end(frame).ok());
        end.is_some_and(|end| end.excluded.is_some() || end.rows_max.is_some())
    };
    let named = select.named_window.iter().any(|definition| match &definition.1 {
        NamedWindowExpr::WindowSpec(spec) => odd(spec),
        NamedWindowExpr::NamedWindow(_) => false,
    });
    let inline = visit_expressions(&select.projection, |expr| match expr {
        Expr::Function(Function { over: Some(WindowType::WindowSpec(spec)), .. }) if odd(spec) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    named || inline.is_break()
}

/// The SELECT with what a feature needs, and how many columns are its own.
fn as_feature(select: &Select) -> (Select, Option<usize>) {
    let mut own = select.clone();
    let wild = |item: &SelectItem| {
        matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
    };
    let columns = (!own.projection.iter().any(wild)).then_some(own.projection.len());
    for item in &mut own.projection {
        if let SelectItem::UnnamedExpr(expr) = item
            && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        {
            let alias = Ident::with_quote('"', expr.to_string());
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
    for (number, expr) in keys(select).into_iter().enumerate() {
        let alias = Ident::with_quote('"', format!("key {number}"));
        own.projection.push(SelectItem::ExprWithAlias { expr, alias });
    }
    (own, columns)
}

/// What a SELECT groups or partitions by, without windows and their bounds.
fn keys(select: &Select) -> Vec<Expr> {
    let plain = |expr: &&Expr| match expr {
        Expr::Identifier(ident) => !["window_start", "window_end"].contains(&ident.value.as_str()),
        Expr::CompoundIdentifier(_) => true,
        _ => false,
    };
    if let GroupByExpr::Expressions(by, _) = &select.group_by
        && !by.is_empty()
    {
        return by.iter().filter(plain).cloned().collect();
    }
    let mut found = Vec::new();
    for definition in &select.named_window {
        if let NamedWindowExpr::WindowSpec(spec) = &definition.1 {
            found.extend(spec.partition_by.iter().filter(plain).cloned());
            return found;
        }
    }
    let visited: ControlFlow<()> = visit_expressions(&select.projection, |expr| {
        if let Expr::Function(Function { over: Some(WindowType::WindowSpec(spec)), .. }) = expr
            && found.is_empty()
        {
            found.extend(spec.partition_by.iter().filter(plain).cloned());
        }
        ControlFlow::Continue(())
    });
    debug_assert!(visited.is_continue(), "the closure never breaks");
    found
}

#[cfg(test)]
mod tests;
