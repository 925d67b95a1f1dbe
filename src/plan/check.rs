//! What a feature's query may be, checked on the text before names are resolved, so that every
//! refusal points at the words it is about. What passes here may still fail in `bind` (unknown
//! columns, types) and `lower` (agreement of keys).

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::logical_expr::Expr as PlanExpr;
use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, JoinOperator, ObjectName, Query, Select, SelectItem,
    SetExpr, SetOperator, Spanned as _, TableFactor, TableWithJoins, Value, visit_expressions,
};

use super::bind::{SourceLookup, find_source};
use super::chained;
use super::check_call;
use super::dataflow::{WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use super::lower::ROW;
use super::subquery;
use crate::catalog::source::SourceDef;
use crate::error::{Error, Result, Span};
use crate::sql::token::span_of;
use crate::sql::window::{WindowCall, is_bound, normalise, window_call};

/// A query whose shape is known to be that of a feature.
#[derive(Clone, Debug)]
pub struct CheckedQuery {
    /// Window functions in their canonical spelling.
    pub query: Query,
    pub source: Arc<SourceDef>,
    /// A group window; `None` for trailing windows.
    pub window: Option<WindowCall>,
    pub items: Vec<Item>,
}

/// One item of the SELECT list.
#[derive(Clone, Debug)]
pub struct Item {
    pub span: Option<Span>,
    /// The name it gives its column; `None` for wildcards.
    pub name: Option<String>,
}

impl CheckedQuery {
    pub fn select(&self) -> Option<&Select> {
        match self.query.body.as_ref() {
            SetExpr::Select(select) => Some(select),
            _ => None,
        }
    }

    /// Whether a lowered expression is `window_start` or `window_end`.
    pub fn is_bound(&self, expr: &PlanExpr) -> bool {
        self.window.is_some()
            && [WINDOW_START_COLUMN, WINDOW_END_COLUMN].iter().any(|name| is_column(expr, name))
    }

    /// Whether a lowered expression is the event time of the source.
    pub fn is_event_time(&self, expr: &PlanExpr) -> bool {
        is_column(expr, &self.source.watermark.column)
    }

    /// The span of the item that gives output column `name`, or of the only item.
    pub fn span_of(&self, name: &str) -> Option<Span> {
        let mut named = self.items.iter().filter(|item| item.name.as_deref() == Some(name));
        named.next().and_then(|item| item.span)
    }
}

pub fn is_column(expr: &PlanExpr, name: &str) -> bool {
    let row = |c: &Column| c.relation.as_ref().is_some_and(|r| r.table() == ROW);
    matches!(expr, PlanExpr::Column(column) if column.name == name && row(column))
}

pub fn check(query: &Query, sources: &dyn SourceLookup) -> Result<CheckedQuery> {
    check_clauses(query)?;
    let mut query = query.clone();
    normalise(&mut query)?;
    let select = match query.body.as_ref() {
        SetExpr::Select(select) => select,
        other => return Err(not_a_select(other).with_span(span_of(other.span()))),
    };
    check_select(select)?;
    let calls = check_call::own_calls(select);
    let own = !(calls.over.is_empty() && calls.plain.is_empty());
    let Relation { name, window, inner } = match chained::inner_windows(&query) {
        Some(span) if !own => {
            return Err(Error::not_yet("a SELECT without windows over one with windows")
                .with_hint("write its expressions where the windows are")
                .with_span(span));
        }
        _ => relation(&select.from)?,
    };
    let source = find_source(sources, &folded(&name)?)
        .map_err(|error| error.with_span(span_of(name.span())))?;
    let event_time = subquery::event_time(&source, &inner)?;
    if let Some(call) = &window {
        let time = fold(&call.time);
        if time != event_time {
            return Err(
                not_event_time(&time, &event_time, &source).with_span(span_of(call.time.span))
            );
        }
    }
    check_call::check_calls(select, &source, &event_time)?;
    check_shape(select, window.as_ref())?;
    let items = items(select)?;
    Ok(CheckedQuery { source, window, items, query })
}

pub fn not_a_select(body: &SetExpr) -> Error {
    match body {
        SetExpr::SetOperation { op: SetOperator::Union, .. } => {
            Error::not_yet("UNION in a feature").with_hint("write one feature per SELECT")
        }
        SetExpr::SetOperation { op, .. } => Error::not_supported(format!(
            "{op} in a feature: whether a row belongs to it would change as rows arrive"
        ))
        .with_hint("write the condition as a WHERE"),
        SetExpr::Query(_) => {
            Error::usage("parentheses around the SELECT").with_hint("leave them out")
        }
        _ => Error::usage("a feature is a SELECT from a source"),
    }
}

/// Refused clauses around the SELECT.
pub fn check_clauses(query: &Query) -> Result<()> {
    let spanned = |error: Error, span| Err(error.with_span(span_of(span)));
    if let Some(with) = &query.with {
        return spanned(Error::not_yet("WITH inside a sub-query of a feature"), with.span());
    }
    if let Some(order) = &query.order_by {
        let error =
            Error::not_supported("ORDER BY on a feature: its rows have no end to sort up to");
        return spanned(error.with_hint("leave it out; order when you read"), order.span());
    }
    if query.limit_clause.is_some() || query.fetch.is_some() {
        let error = Error::not_supported("LIMIT on a feature: every event gives its row");
        return spanned(error.with_hint("leave it out; limit when you read"), query.span());
    }
    Ok(())
}

pub fn check_select(select: &Select) -> Result<()> {
    let spanned = |error: Error, span| Err(error.with_span(span_of(span)));
    if let Some(distinct) = &select.distinct {
        let error = match distinct {
            Distinct::All => return Ok(()),
            _ => Error::not_supported("SELECT DISTINCT on a feature: every event gives its row"),
        };
        return spanned(
            error.with_hint("leave it out; COUNT(DISTINCT x) is supported"),
            select.span(),
        );
    }
    if let Some(qualify) = &select.qualify {
        return spanned(Error::not_yet("QUALIFY in a feature"), qualify.span());
    }
    match &select.group_by {
        GroupByExpr::All(_) => {
            let error = Error::not_supported("GROUP BY ALL in a feature");
            return spanned(error.with_hint("list the key columns and the window"), select.span());
        }
        GroupByExpr::Expressions(_, modifiers) if !modifiers.is_empty() => {
            return spanned(grouping_sets(), select.group_by.span());
        }
        GroupByExpr::Expressions(keys, _) => {
            for key in keys {
                if matches!(key, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_)) {
                    return spanned(grouping_sets(), key.span());
                }
            }
        }
    }
    check_subqueries(select)
}

fn grouping_sets() -> Error {
    Error::not_supported("ROLLUP, CUBE and GROUPING SETS: the rows of a feature have one key")
        .with_hint("write one feature per grouping")
}

fn check_subqueries(select: &Select) -> Result<()> {
    // Sub-queries in FROM have their own checks.
    let mut select = select.clone();
    select.from.clear();
    let found = visit_expressions(&select, |expr| {
        let error = match expr {
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                Error::not_yet("sub-queries in the expressions of a feature")
            }
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                Error::not_supported("a placeholder in a feature").with_hint("write the value")
            }
            _ => return ControlFlow::Continue(()),
        };
        ControlFlow::Break(error.with_span(span_of(expr.span())))
    });
    match found {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => check_condition(&select),
    }
}

/// WHERE comes before windows.
fn check_condition(select: &Select) -> Result<()> {
    let Some(condition) = &select.selection else { return Ok(()) };
    let found = visit_expressions(condition, |expr| match expr {
        Expr::Function(function) if function.over.is_some() => {
            ControlFlow::Break(span_of(expr.span()))
        }
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(span) => {
            Err(Error::not_supported("a window in WHERE: WHERE chooses the rows that windows see")
                .with_hint("filter when you read the feature")
                .with_span(span))
        }
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// What a SELECT reads.
pub struct Relation {
    /// Of the source.
    pub name: ObjectName,
    pub window: Option<WindowCall>,
    /// The sub-queries between, outermost first.
    pub inner: Vec<Select>,
}

pub fn relation(from: &[TableWithJoins]) -> Result<Relation> {
    let [only] = from else {
        let error = match from.first() {
            None => Error::usage("a feature needs FROM and a source"),
            Some(first) => {
                Error::not_yet("several sources in FROM").with_span(span_of(first.relation.span()))
            }
        };
        return Err(error);
    };
    if let Some(join) = only.joins.first() {
        let error = match join.join_operator {
            JoinOperator::AsOf { .. } => Error::not_yet("ASOF JOIN in a feature"),
            _ => Error::not_yet("JOIN in a feature"),
        };
        return Err(error.with_span(span_of(join.relation.span())));
    }
    if let Some(call) = window_call(&only.relation)? {
        if let Some(query) = &call.query {
            let below = subquery::relation_of(query)?;
            return Ok(Relation { window: Some(call), ..below });
        }
        return Ok(Relation { name: call.table.clone(), window: Some(call), inner: Vec::new() });
    }
    let span = span_of(only.relation.span());
    match &only.relation {
        TableFactor::Table { name, args: None, sample: None, version: None, .. } => {
            Ok(Relation { name: name.clone(), window: None, inner: Vec::new() })
        }
        TableFactor::Table { name, args: Some(_), .. } => {
            Err(Error::not_yet(format!("{name}(…) in the FROM of a feature")).with_span(span))
        }
        TableFactor::Table { .. } => {
            Err(Error::not_supported("TABLESAMPLE and FOR SYSTEM_TIME in a feature")
                .with_span(span))
        }
        TableFactor::Derived { subquery, lateral: false, sample: None, .. } => {
            subquery::relation_of(subquery)
        }
        other => Err(Error::not_yet(format!("FROM {other}")).with_span(span)),
    }
}

fn folded(name: &ObjectName) -> Result<String> {
    match name.0.as_slice() {
        [part] => match part.as_ident() {
            Some(ident) => Ok(fold(ident)),
            None => Err(Error::usage(format!("{name} is no name of a source"))),
        },
        _ => {
            Err(Error::usage(format!("{name}: sources have no schema or catalog before the name"))
                .with_span(span_of(name.span())))
        }
    }
}

/// Identifiers fold to lower case unless quoted.
pub fn fold(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// `event_time` is the name it has in FROM.
pub fn not_event_time(found: &str, event_time: &str, source: &SourceDef) -> Error {
    Error::usage(format!("{found} is not the event time of source {}", source.name))
        .with_hint(format!("windows follow {event_time}, the column of its WATERMARK"))
}

/// Windows there must be, and of one kind.
fn check_shape(select: &Select, window: Option<&WindowCall>) -> Result<()> {
    let grouped = matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if !keys.is_empty());
    let calls = check_call::calls(select);
    let over = calls.over.first().copied();
    let plain = calls.plain.first().copied();
    match (window, over, grouped) {
        (Some(_), Some(over), _) => {
            Err(Error::not_yet("OVER in a feature with TUMBLE or HOP").with_span(over))
        }
        (Some(call), None, false) => Err(Error::usage("a window without GROUP BY")
            .with_hint("GROUP BY the key columns, window_start, window_end")
            .with_span(call.span)),
        (Some(_), None, true) => match &select.group_by {
            GroupByExpr::Expressions(keys, _) if !keys.iter().any(is_bound) => {
                let error = Error::usage("GROUP BY leaves out the window");
                let hint = "add window_start, window_end to the GROUP BY";
                Err(error.with_hint(hint).with_span(span_of(select.group_by.span())))
            }
            _ => Ok(()),
        },
        (None, _, false) if select.having.is_some() => {
            let span = select.having.as_ref().map(|having| span_of(having.span()));
            Err(Error::not_supported("HAVING without GROUP BY: every event gives its row")
                .with_hint("filter when you read the feature")
                .with_span(span.unwrap_or(crate::sql::guard::START)))
        }
        (None, _, true) => {
            Err(Error::not_supported("GROUP BY without a window: its rows would never be final")
                .with_hint(
                    "add TUMBLE(event_time, INTERVAL '1 hour') to the GROUP BY, or write \
             SUM(x) OVER (PARTITION BY key ORDER BY event_time)",
                )
                .with_span(span_of(select.group_by.span())))
        }
        (None, _, false) => match (plain, over) {
            (Some(plain), _) => Err(Error::not_supported(
                "an aggregate without a window: it would never be final",
            )
            .with_hint(
                "add OVER (PARTITION BY key ORDER BY event_time RANGE BETWEEN INTERVAL '1' HOUR \
                 PRECEDING AND CURRENT ROW)",
            )
            .with_span(plain)),
            (None, None) => Err(Error::not_supported("a feature without a window")
                .with_hint(
                    "for the newest value write LAST_VALUE(x) OVER (PARTITION BY key ORDER BY \
                     event_time)",
                )
                .with_span(span_of(select.span()))),
            (None, Some(_)) => Ok(()),
        },
    }
}

/// Names of the output columns; what has no name of its own must be given one.
fn items(select: &Select) -> Result<Vec<Item>> {
    let mut items = Vec::with_capacity(select.projection.len());
    for item in &select.projection {
        let span = span_of(item.span());
        let name = match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(fold(alias)),
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(fold(ident)),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(fold),
            SelectItem::UnnamedExpr(expr) => {
                let alias = check_call::suggested_alias(expr);
                return Err(Error::usage("a column of a feature needs a name")
                    .with_hint(format!("write … AS {alias}"))
                    .with_span(span));
            }
            SelectItem::ExprWithAliases { .. } => {
                return Err(Error::not_supported("several aliases of one column").with_span(span));
            }
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => None,
        };
        let taken = items.iter().any(|item: &Item| item.name.is_some() && item.name == name);
        if let Some(name) = name.as_ref().filter(|_| taken) {
            return Err(two_columns(name).with_span(span));
        }
        items.push(Item { span: Some(span), name });
    }
    Ok(items)
}

/// Names are compared without regard to case: stores fold them differently.
pub fn two_columns(name: &str) -> Error {
    let other = crate::sql::printer::name_text(&format!("{name}_2"));
    Error::usage(format!("two columns are called {}", crate::sql::printer::name_text(name)))
        .with_hint(format!("give one of them another name: … AS {other}"))
}
