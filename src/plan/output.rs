//! The output columns of a feature: the entity key among them, the time column(s) added when the
//! SELECT leaves them out, names that can be stored.

use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use sqlparser::ast::{Expr as SqlExpr, GroupByExpr, Ident, Select, SelectItem, SetExpr};

use super::check::{CheckedQuery, two_columns};
use super::dataflow::{TimeColumns, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use super::describe::row_text;
use super::lower::{Lowered, ROW};
use crate::error::{Error, Result};
use crate::limits::NAME_BYTES_MAX;
use crate::sql::printer::name_text;
use crate::sql::window::is_bound;

/// One output column, its expression over ROW and SLOT columns.
#[derive(Clone, Debug)]
pub struct Output {
    pub name: String,
    pub expr: Expr,
}

#[derive(Clone, Debug)]
pub struct Outputs {
    pub columns: Vec<Output>,
    pub key_columns: Vec<String>,
    pub time: TimeColumns,
    pub value_columns: Vec<String>,
}

pub fn outputs(lowered: &Lowered, checked: &CheckedQuery) -> Result<Outputs> {
    let mut columns: Vec<Output> = lowered
        .outputs
        .iter()
        .map(|(name, expr)| Output { name: name.clone(), expr: expr.clone() })
        .collect();
    let keys = lowered.keys.clone().unwrap_or_default();
    let mut key_columns = Vec::with_capacity(keys.len());
    for key in &keys {
        match columns.iter().find(|output| output.expr == *key) {
            Some(output) => key_columns.push(output.name.clone()),
            None => return Err(missing_key(&keys, &columns, checked)),
        }
    }
    let mut time = |name: &str| {
        let wanted = Expr::Column(Column::new(Some(ROW), name));
        // The first column that is this time and not a key.
        let found = columns.iter().find(|o| o.expr == wanted && !key_columns.contains(&o.name));
        match found {
            Some(output) => output.name.clone(),
            None => {
                columns.push(Output { name: name.to_owned(), expr: wanted });
                name.to_owned()
            }
        }
    };
    let time = match checked.window {
        None => TimeColumns::Event(time(&checked.source.watermark.column)),
        Some(_) => {
            TimeColumns::Window { start: time(WINDOW_START_COLUMN), end: time(WINDOW_END_COLUMN) }
        }
    };
    check_names(&columns, checked)?;
    let is_time = |name: &String| match &time {
        TimeColumns::Event(event) => name == event,
        TimeColumns::Window { start, end } => name == start || name == end,
    };
    let value_columns = columns
        .iter()
        .map(|output| output.name.clone())
        .filter(|name| !key_columns.contains(name) && !is_time(name))
        .collect();
    Ok(Outputs { columns, key_columns, time, value_columns })
}

/// The error that shows the SELECT as it must be.
fn missing_key(keys: &[Expr], columns: &[Output], checked: &CheckedQuery) -> Error {
    let missing: Vec<&Expr> =
        keys.iter().filter(|key| !columns.iter().any(|output| output.expr == **key)).collect();
    let texts: Vec<String> = missing.iter().map(|key| row_text(key)).collect();
    let error = Error::usage(format!(
        "the SELECT leaves out the entity key {}: its rows could not be told apart",
        texts.join(", ")
    ));
    let mut query = checked.query.clone();
    let SetExpr::Select(select) = query.body.as_mut() else { return error };
    // As the GROUP BY has them: behind a sub-query keys have other names than in the source.
    let grouped = grouped_only(select);
    let shown: Vec<(SqlExpr, bool)> = match grouped.len() == missing.len() {
        true => grouped
            .into_iter()
            .map(|expr| {
                let named = is_name(&expr);
                (expr, named)
            })
            .collect(),
        false => missing
            .iter()
            .zip(&texts)
            .map(|(key, text)| match key {
                Expr::Column(column) => (identifier(&name_text(&column.name)), true),
                _ => (identifier(text), false),
            })
            .collect(),
    };
    for (at, (expr, named)) in shown.into_iter().enumerate() {
        let item = match named {
            true => SelectItem::UnnamedExpr(expr),
            false => {
                SelectItem::ExprWithAlias { expr, alias: Ident::new(format!("key{}", at + 1)) }
            }
        };
        select.projection.insert(at, item);
    }
    error.with_hint(format!("write {query}"))
}

fn identifier(text: &str) -> SqlExpr {
    SqlExpr::Identifier(Ident::new(text))
}

fn is_name(expr: &SqlExpr) -> bool {
    matches!(expr, SqlExpr::Identifier(_) | SqlExpr::CompoundIdentifier(_))
}

/// What is grouped by, is no bound, and is not selected.
fn grouped_only(select: &Select) -> Vec<SqlExpr> {
    let GroupByExpr::Expressions(keys, _) = &select.group_by else { return Vec::new() };
    let selected = |key: &SqlExpr| {
        select.projection.iter().any(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr == key,
            _ => false,
        })
    };
    keys.iter().filter(|key| !is_bound(key) && !selected(key)).cloned().collect()
}

fn check_names(columns: &[Output], checked: &CheckedQuery) -> Result<()> {
    let mut seen: Vec<String> = Vec::with_capacity(columns.len());
    for Output { name, .. } in columns {
        let located = |error: Error| match checked.span_of(name) {
            Some(span) => error.with_span(span),
            None => error,
        };
        let shown = name_text(name);
        let folded = name.to_lowercase();
        if seen.contains(&folded) {
            return Err(located(two_columns(name)));
        }
        if name.is_empty() {
            return Err(located(Error::usage("a column with an empty name")));
        }
        if folded.starts_with('_') {
            let free = folded.trim_start_matches('_');
            let free = if free.is_empty() { "value" } else { free };
            return Err(located(
                Error::usage(format!("column {shown}: names starting with _ are the engine's"))
                    .with_hint(format!("write {shown} AS {}", name_text(free))),
            ));
        }
        if folded == "date" {
            return Err(located(
                Error::usage(format!(
                    "column {shown}: final rows are stored in directories date=…, so no column \
                     can have this name"
                ))
                .with_hint(format!("write {shown} AS day")),
            ));
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(located(Error::usage(format!(
                "a column name of {} bytes; at most {NAME_BYTES_MAX} are possible",
                name.len()
            ))));
        }
        seen.push(folded);
    }
    Ok(())
}
