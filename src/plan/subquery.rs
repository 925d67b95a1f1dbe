//! Sub-queries between a feature and its source: `FROM (SELECT … FROM t WHERE …)`. They choose
//! rows and compute columns, row by row; `lower` inlines them. Part of `check`.

use sqlparser::ast::{
    Expr, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr, Spanned as _, TableFactor,
};

use super::check::{Relation, check_clauses, check_select, fold, not_a_select, relation};
use super::check_call::calls;
use super::dataflow::{WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use crate::catalog::source::SourceDef;
use crate::error::{Error, Result};
use crate::sql::token::span_of;

/// What a sub-query reads, itself among the queries between.
pub fn relation_of(query: &Query) -> Result<Relation> {
    check_clauses(query)?;
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Err(not_a_select(query.body.as_ref()).with_span(span_of(query.body.span())));
    };
    check_select(select)?;
    let mut below = relation(&select.from)?;
    let windows = calls(select);
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let window = windows.over.first().or(windows.plain.first()).copied();
    let window = window.or(below.window.as_ref().map(|call| call.span));
    if grouped || window.is_some() || select.having.is_some() {
        let span = window.unwrap_or_else(|| span_of(select.span()));
        return Err(Error::not_yet("a window over the result of a window")
            .with_hint("OVER reads one sub-query with windows; other sub-queries choose rows")
            .with_span(span));
    }
    below.inner.insert(0, select.as_ref().clone());
    Ok(below)
}

/// The name of the event time in what the outermost SELECT reads.
pub fn event_time(source: &SourceDef, inner: &[Select]) -> Result<String> {
    let mut name = source.watermark.column.clone();
    for select in inner.iter().rev() {
        name = outer_name(select, &name).ok_or_else(|| {
            Error::usage(format!(
                "the sub-query leaves out {name}, the event time of source {}",
                source.name
            ))
            .with_hint("select it as it is")
            .with_span(span_of(select.span()))
        })?;
    }
    Ok(name)
}

/// The name that a SELECT gives to a column of its input.
fn outer_name(select: &Select, name: &str) -> Option<String> {
    let is = |expr: &Expr| match expr {
        Expr::Identifier(ident) => fold(ident) == name,
        Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|ident| fold(ident) == name),
        _ => false,
    };
    select.projection.iter().find_map(|item| match item {
        SelectItem::UnnamedExpr(expr) if is(expr) => Some(name.to_owned()),
        SelectItem::ExprWithAlias { expr, alias } if is(expr) => Some(fold(alias)),
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => Some(name.to_owned()),
        _ => None,
    })
}

/// Lets the bounds of windows pass through a sub-query.
pub fn add_bounds(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let wildcard = |item: &SelectItem| {
        matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
    };
    if !select.projection.iter().any(wildcard) {
        for name in [WINDOW_START_COLUMN, WINDOW_END_COLUMN] {
            let column = Expr::Identifier(Ident::new(name));
            select.projection.push(SelectItem::UnnamedExpr(column));
        }
    }
    for from in &mut select.from {
        if let TableFactor::Derived { subquery, .. } = &mut from.relation {
            add_bounds(subquery);
        }
    }
}
