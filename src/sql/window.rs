//! Group windows in SQL: three spellings, one meaning.
//!
//! ```text
//! FROM TUMBLE(t, ts, size)                                          canonical
//! FROM TUMBLE(TABLE t, DESCRIPTOR(ts), size), FROM TABLE(TUMBLE(…)) SQL:2016
//! FROM t GROUP BY k, TUMBLE(ts, size), with TUMBLE_START(ts, size)  legacy
//! ```
//!
//! [`normalise`] rewrites all into the first, grouped by `…, window_start, window_end`;
//! [`window_call`] reads a FROM item. HOP likewise, its arguments being slide, then size;
//! CUMULATE with step, then size; SESSION with the gap; COUNT_WINDOW with a number of rows. Called
//! by `plan::bind`.

mod shape;

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName,
    ObjectNamePart, Query, Select, SelectItem, Spanned as _, TableAlias, TableFactor,
    TableFunctionArgs, Value, VisitMut, VisitorMut,
};

use crate::error::{Error, Result, Span};
use crate::model::time::DAY_US;
pub use crate::sql::interval::interval_us;
use crate::sql::interval::{interval, months};
use crate::sql::session_clause::partition;
use crate::sql::token::{At, span_of};
use crate::sql::window::shape::shape;
pub use crate::sql::window::shape::{CalendarUnit, WindowShape};

/// Columns that a group window adds to its input.
pub const WINDOW_START: &str = "window_start";
pub const WINDOW_END: &str = "window_end";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    Tumble,
    Hop,
    Cumulate,
    Session,
    Count,
}

impl WindowKind {
    pub const ALL: [Self; 5] =
        [Self::Tumble, Self::Hop, Self::Cumulate, Self::Session, Self::Count];

    /// The kind of a window function, in any case.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// The name of its function.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tumble => "tumble",
            Self::Hop => "hop",
            Self::Cumulate => "cumulate",
            Self::Session => "session",
            Self::Count => "count_window",
        }
    }
}

/// A group window in FROM.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowCall {
    pub kind: WindowKind,
    /// Without parts if the input is a sub-query.
    pub table: ObjectName,
    /// The sub-query that the window reads instead of a table.
    pub query: Option<Box<Query>>,
    /// Qualifies the columns; without it they are qualified by the table's own name.
    pub alias: Option<TableAlias>,
    /// The event-time column.
    pub time: Ident,
    pub shape: WindowShape,
    /// What SESSION is told to keep apart; it must be what GROUP BY says.
    pub partition: Vec<Expr>,
    pub span: Span,
}

/// Reads a FROM item: `None` if it is no group window.
pub fn window_call(factor: &TableFactor) -> Result<Option<WindowCall>> {
    let span = span_of(factor.span());
    let Some((name, args, alias)) = table_call(factor) else { return Ok(None) };
    let Some(kind) = WindowKind::of(&name) else { return Ok(None) };
    let call = read_call(kind, args, alias).map_err(|error| error.with_span(span))?;
    Ok(Some(WindowCall { span, ..call }))
}

/// Name and arguments of a table function in either form.
fn table_call(factor: &TableFactor) -> Option<(String, &[FunctionArg], Option<TableAlias>)> {
    match factor {
        TableFactor::Table { name, args: Some(args), alias, .. } => {
            Some((last_name(name)?, &args.args, alias.clone()))
        }
        TableFactor::Function { name, args, alias, .. } => {
            Some((last_name(name)?, args, alias.clone()))
        }
        TableFactor::TableFunction { expr: Expr::Function(function), alias } => {
            let FunctionArguments::List(list) = &function.args else { return None };
            Some((last_name(&function.name)?, &list.args, alias.clone()))
        }
        _ => None,
    }
}

fn last_name(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Some(ident.value.to_ascii_lowercase()),
        _ => None,
    }
}

/// Arguments by name (`SIZE => …`) or in order.
fn arguments(kind: WindowKind, args: &[FunctionArg]) -> Result<[Option<&Expr>; 5]> {
    let (order, usage): (&[usize], _) = match kind {
        WindowKind::Tumble => (&[0, 1, 3, 4], "TUMBLE(table, time, size [, offset or zone])"),
        WindowKind::Hop => (&[0, 1, 2, 3, 4], "HOP(table, time, slide, size [, offset])"),
        WindowKind::Cumulate => (&[0, 1, 2, 3, 4], "CUMULATE(table, time, step, size [, offset])"),
        WindowKind::Session => (&[0, 1, 3], "SESSION(table [PARTITION BY key], time, gap)"),
        WindowKind::Count => (&[0, 1, 3], "COUNT_WINDOW(table, time, rows)"),
    };
    let wrong = |message: String| Error::usage(message).with_hint(usage);
    let mut found = [None; 5];
    for (at, arg) in args.iter().enumerate() {
        let (slot, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (order.get(at).copied(), value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                let names = ["data", "timecol", "slide", "size", "offset"];
                let name = match name.value.to_ascii_lowercase().as_str() {
                    "step" => "slide".to_owned(),
                    "gap" | "rows" | "maxsize" | "max_size" => "size".to_owned(),
                    "zone" => "offset".to_owned(),
                    other => other.to_owned(),
                };
                let slot = names.iter().position(|n| name == *n);
                (slot.filter(|slot| order.contains(slot)), value)
            }
            other => return Err(wrong(format!("{other} is no argument of a window"))),
        };
        match slot.and_then(|slot| found.get_mut(slot)) {
            Some(place @ None) => *place = Some(value),
            _ => {
                return Err(wrong(format!("unexpected argument {value}")).at(arg.span()));
            }
        }
    }
    let missing = order
        .iter()
        .take_while(|slot| **slot != 4)
        .any(|slot| found.get(*slot).is_none_or(|argument: &Option<&Expr>| argument.is_none()));
    if missing { Err(wrong("too few arguments of a window".to_owned())) } else { Ok(found) }
}

fn read_call(
    kind: WindowKind,
    args: &[FunctionArg],
    alias: Option<TableAlias>,
) -> Result<WindowCall> {
    let columns = args.iter().find_map(partition).unwrap_or_default();
    let args: Vec<FunctionArg> =
        args.iter().filter(|arg| partition(arg).is_none()).cloned().collect();
    let [Some(table), Some(time), slide, Some(size), offset] = arguments(kind, &args)? else {
        return Err(Error::internal("arguments of a window"));
    };
    let table = match table {
        Expr::Prefixed { value, .. } => value.as_ref(),
        other => other,
    };
    let query = match table {
        Expr::Subquery(query) => Some(query.clone()),
        _ => None,
    };
    let table = match &query {
        Some(_) => ObjectName(Vec::new()),
        None => table_name(table).map_err(|error| error.at(table.span()))?,
    };
    let time = time_column(time).map_err(|error| error.at(time.span()))?;
    let shape = shape(kind, slide, size, offset)?;
    let span = crate::sql::guard::START;
    Ok(WindowCall { kind, table, query, alias, time, shape, partition: columns, span })
}

fn table_name(expr: &Expr) -> Result<ObjectName> {
    match expr {
        Expr::Identifier(ident) => Ok(ObjectName::from(vec![ident.clone()])),
        Expr::CompoundIdentifier(parts) => Ok(ObjectName::from(parts.clone())),
        other => Err(Error::usage(format!("expected the name of a source, found {other}"))),
    }
}

fn time_column(expr: &Expr) -> Result<Ident> {
    let wrong = || Error::usage(format!("expected the event-time column, found {expr}"));
    match expr {
        Expr::Identifier(ident) => Ok(ident.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().cloned().ok_or_else(wrong),
        Expr::Function(function) if last_name(&function.name).as_deref() == Some("descriptor") => {
            let FunctionArguments::List(list) = &function.args else { return Err(wrong()) };
            match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(ident)))] => {
                    Ok(ident.clone())
                }
                _ => Err(wrong()),
            }
        }
        _ => Err(wrong()),
    }
}

/// Rewrites every group window of a query, sub-queries included, into the canonical form.
pub fn normalise(query: &mut Query) -> Result<()> {
    match VisitMut::visit(query, &mut Normaliser) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Normaliser;

impl VisitorMut for Normaliser {
    type Break = Error;

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        match normalise_select(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn normalise_select(select: &mut Select) -> Result<()> {
    let mut sessions = Vec::new();
    for table in &mut select.from {
        let joined = table.joins.iter_mut().map(|join| &mut join.relation);
        for factor in std::iter::once(&mut table.relation).chain(joined) {
            if let Some(call) = window_call(factor)? {
                *factor = canonical(&call);
                if !call.partition.is_empty() {
                    sessions.push(call);
                }
            }
        }
    }
    resolve_references(select);
    sessions.iter().try_for_each(|call| check_partition(select, call))?;
    let legacy = legacy_call(select)?;
    if let Some(call) = &legacy {
        rewrite_legacy(select, call)?;
    }
    let windowed = select.from.iter().any(|t| matches!(window_call(&t.relation), Ok(Some(_))));
    match &mut select.group_by {
        // Without either bound it is no window that is grouped by: plain SQL over the table.
        GroupByExpr::Expressions(keys, _)
            if windowed && (legacy.is_some() || keys.iter().any(is_bound)) =>
        {
            keys.retain(|key| !is_bound(key));
            keys.extend([WINDOW_START, WINDOW_END].map(|name| Expr::Identifier(Ident::new(name))));
        }
        GroupByExpr::All(_) if windowed => {
            return Err(Error::not_supported("GROUP BY ALL over a window")
                .with_hint("list the key columns, window_start and window_end")
                .at(select.span()));
        }
        _ => {}
    }
    refuse_leftovers(select)
}

/// Sessions are formed per key of the GROUP BY; PARTITION BY can only say the same.
fn check_partition(select: &Select, call: &WindowCall) -> Result<()> {
    let GroupByExpr::Expressions(keys, _) = &select.group_by else { return Ok(()) };
    let name = |expr: &Expr| match expr {
        Expr::CompoundIdentifier(parts) => parts.last().map(ToString::to_string),
        other => Some(other.to_string()),
    };
    let of = |list: &[Expr]| {
        let mut names: Vec<_> = list.iter().filter(|key| !is_bound(key)).filter_map(name).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let (keys, columns) = (of(keys), of(&call.partition));
    if keys == columns {
        return Ok(());
    }
    Err(Error::not_supported(format!(
        "sessions per {} in groups of {}: sessions are formed per key of the GROUP BY",
        columns.join(", "),
        if keys.is_empty() { "no key".to_owned() } else { keys.join(", ") }
    ))
    .with_hint("write the same columns in PARTITION BY and in GROUP BY")
    .with_span(call.span))
}

/// Whether an expression is `window_start` or `window_end`, qualified or not.
pub fn is_bound(expr: &Expr) -> bool {
    let name = match expr {
        Expr::Identifier(ident) => ident,
        Expr::CompoundIdentifier(parts) => match parts.last() {
            Some(ident) => ident,
            None => return false,
        },
        _ => return false,
    };
    name.value == WINDOW_START || name.value == WINDOW_END
}

/// Replaces ordinals (`GROUP BY 1`) and aliases in GROUP BY by what they stand for, where that is
/// a window or a bound of one (others are left to the planner).
fn resolve_references(select: &mut Select) {
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return };
    let windowed = select.from.iter().any(|t| matches!(window_call(&t.relation), Ok(Some(_))));
    for key in keys {
        let item = match key {
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => number
                    .parse::<usize>()
                    .ok()
                    .and_then(|n| select.projection.get(n.checked_sub(1)?)),
                _ => None,
            },
            Expr::Identifier(name) => select.projection.iter().find(
                |item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias == name),
            ),
            _ => None,
        };
        let expr = match item {
            Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => expr,
            _ => continue,
        };
        if (windowed && is_bound(expr)) || legacy_function(expr).is_some() {
            *key = expr.clone();
        }
    }
}

/// `TUMBLE(…)`, `HOP(…)`, `TUMBLE_START(…)`, … as an expression: (kind, suffix, arguments).
fn legacy_function(expr: &Expr) -> Option<(String, &'static str, &[FunctionArg])> {
    let Expr::Function(function) = expr else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    if function.over.is_some() {
        return None;
    }
    let name = last_name(&function.name)?;
    for suffix in ["_start", "_end", "_rowtime", "_proctime"] {
        if let Some(base) = name.strip_suffix(suffix)
            && WindowKind::of(base).is_some()
        {
            return Some((base.to_owned(), suffix, &list.args));
        }
    }
    WindowKind::of(&name).is_some().then_some((name, "", list.args.as_slice()))
}

/// The window of a legacy GROUP BY: its arguments, and its call.
struct LegacyCall {
    name: String,
    args: Vec<FunctionArg>,
    call: WindowCall,
}

fn legacy_call(select: &Select) -> Result<Option<LegacyCall>> {
    let GroupByExpr::Expressions(keys, _) = &select.group_by else { return Ok(None) };
    let mut calls = keys.iter().filter_map(|key| {
        legacy_function(key)
            .filter(|(_, suffix, _)| suffix.is_empty() || *suffix == "_start" || *suffix == "_end")
            .map(|(name, _, args)| (name, args, span_of(key.span())))
    });
    let Some((name, args, span)) = calls.next() else { return Ok(None) };
    if calls.any(|(other_name, other_args, _)| other_name != name || other_args != args) {
        return Err(Error::not_supported("two windows in one GROUP BY").with_span(span));
    }
    let Some(kind) = WindowKind::of(&name) else { return Ok(None) };
    let (table, alias) = match select.from.as_slice() {
        [table] if table.joins.is_empty() => match &table.relation {
            TableFactor::Table { name, alias, args: None, .. } => {
                let name_of = |part: &ObjectNamePart| part.as_ident().cloned();
                let parts: Vec<Ident> = name.0.iter().filter_map(name_of).collect();
                (Expr::CompoundIdentifier(parts), alias.clone())
            }
            TableFactor::Derived { lateral: false, subquery, alias, .. } => {
                (Expr::Subquery(subquery.clone()), alias.clone())
            }
            _ => return Err(one_table(span)),
        },
        _ => return Err(one_table(span)),
    };
    let table_arg = FunctionArg::Unnamed(FunctionArgExpr::Expr(table));
    let all: Vec<FunctionArg> = std::iter::once(table_arg).chain(args.iter().cloned()).collect();
    let call = read_call(kind, &all, alias).map_err(|error| error.with_span(span))?;
    Ok(Some(LegacyCall { name, args: args.to_vec(), call: WindowCall { span, ..call } }))
}

fn one_table(span: Span) -> Error {
    Error::not_supported("TUMBLE or HOP in GROUP BY over anything but one source")
        .with_span(span)
        .with_hint("FROM TUMBLE(source, time, size) … GROUP BY key, window_start, window_end")
}

fn rewrite_legacy(select: &mut Select, legacy: &LegacyCall) -> Result<()> {
    if let Some(table) = select.from.first_mut() {
        table.relation = canonical(&legacy.call);
    }
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return Ok(()) };
    keys.retain(|key| legacy_function(key).is_none());
    // The bounds follow; an empty list would mean no grouping.
    keys.push(Expr::Identifier(Ident::new(WINDOW_START)));
    let mut rewriter = BoundRewriter { name: &legacy.name, args: &legacy.args };
    let mut flow = VisitMut::visit(&mut select.projection, &mut rewriter);
    for expr in select.having.iter_mut().chain(select.qualify.iter_mut()) {
        if flow.is_continue() {
            flow = VisitMut::visit(expr, &mut rewriter);
        }
    }
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// `TUMBLE_START(same arguments)` → `window_start`.
struct BoundRewriter<'a> {
    name: &'a str,
    args: &'a [FunctionArg],
}

impl VisitorMut for BoundRewriter<'_> {
    type Break = Error;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Some((name, suffix, args)) = legacy_function(expr) else {
            return ControlFlow::Continue(());
        };
        let bound = match suffix {
            "_start" => WINDOW_START,
            "_end" => WINDOW_END,
            _ => return ControlFlow::Break(no_value(expr)),
        };
        if name != self.name || args != self.args {
            return ControlFlow::Break(
                Error::usage(format!("{expr} is not the window of GROUP BY"))
                    .at(expr.span())
                    .with_hint("repeat the arguments, or write window_start and window_end"),
            );
        }
        *expr = Expr::Identifier(Ident::with_span(expr.span(), bound));
        ControlFlow::Continue(())
    }
}

fn no_value(expr: &Expr) -> Error {
    Error::not_supported(format!("{expr} as a value"))
        .at(expr.span())
        .with_hint("write window_start and window_end")
}

/// After the rewriting no window function may be left in an expression.
fn refuse_leftovers(select: &mut Select) -> Result<()> {
    struct Leftover;
    impl VisitorMut for Leftover {
        type Break = Error;
        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
            match legacy_function(expr) {
                None => ControlFlow::Continue(()),
                Some(_) => ControlFlow::Break(no_value(expr)),
            }
        }
    }
    let mut flow = VisitMut::visit(&mut select.projection, &mut Leftover);
    let clauses = select.selection.iter_mut().chain(select.having.iter_mut());
    for expr in clauses {
        if flow.is_continue() {
            flow = VisitMut::visit(expr, &mut Leftover);
        }
    }
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// `TUMBLE(table, time, INTERVAL … [, offset])` as a FROM item.
fn canonical(call: &WindowCall) -> TableFactor {
    let name = call.kind.name();
    let parts: Vec<Ident> =
        call.table.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
    let table = match (&call.query, parts.as_slice()) {
        (Some(query), _) => Expr::Subquery(query.clone()),
        (None, [one]) => Expr::Identifier(one.clone()),
        _ => Expr::CompoundIdentifier(parts),
    };
    let mut args = vec![table, Expr::Identifier(call.time.clone())];
    match &call.shape {
        WindowShape::Grid { slide_us: step_us, size_us, offset_us }
        | WindowShape::Cumulate { step_us, size_us, offset_us } => {
            if call.kind != WindowKind::Tumble {
                args.push(interval(*step_us));
            }
            args.push(interval(*size_us));
            if *offset_us != 0 {
                args.push(interval(*offset_us));
            }
        }
        WindowShape::Session { gap_us } => args.push(interval(*gap_us)),
        WindowShape::Count { rows } => {
            args.push(Expr::Value(Value::Number(rows.to_string(), false).into()));
        }
        WindowShape::Calendar { unit, count, zone } => {
            args.push(match unit {
                CalendarUnit::Day => interval(*count * DAY_US),
                CalendarUnit::Month => months(*count),
            });
            args.push(Expr::Value(Value::SingleQuotedString(zone.clone()).into()));
        }
    }
    let args = args.into_iter().map(|a| FunctionArg::Unnamed(FunctionArgExpr::Expr(a))).collect();
    let at = |(line, column)| sqlparser::tokenizer::Location { line, column };
    let span = sqlparser::tokenizer::Span::new(at(call.span.start), at(call.span.end));
    TableFactor::Table {
        name: ObjectName::from(vec![Ident::with_span(span, name)]),
        alias: call.alias.clone(),
        args: Some(TableFunctionArgs { args, settings: None }),
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
