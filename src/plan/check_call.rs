//! Calls of functions in a feature's query, checked on the text: which exist, which are built,
//! which frames a window may have. Part of `check`.

use std::ops::ControlFlow;

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, NamedWindowExpr, Select, Spanned as _, Visit, Visitor, WindowFrameUnits,
    WindowSpec, WindowType,
};

use super::check::{fold, not_event_time};
use super::check_frame::frame_of;
use super::{call, session, spelling};
use crate::aggregate::kind::AggregateKind;
use crate::aggregate::table::{Constant, Function as Table};
use crate::catalog::source::SourceDef;
use crate::error::{Error, Result, Span};
use crate::sql::frame_clause::is_marker;
use crate::sql::token::span_of;

/// Functions whose value is another at every evaluation.
const NONDETERMINISTIC: [&str; 14] = [
    "now",
    "current_timestamp",
    "current_date",
    "current_time",
    "today",
    "localtime",
    "localtimestamp",
    "random",
    "rand",
    "uuid",
    "gen_random_uuid",
    "input_file_name",
    "file_row_index",
    "version",
];

/// Window functions of the rows that follow.
const LOOKS_AHEAD: [&str; 4] = ["lead", "percent_rank", "cume_dist", "ntile"];

/// Where aggregates are called: with OVER and without.
#[derive(Debug, Default)]
pub struct Calls {
    pub over: Vec<Span>,
    pub plain: Vec<Span>,
}

/// Those of a SELECT, without what it selects from.
pub fn own_calls(select: &Select) -> Calls {
    calls(&Select { from: Vec::new(), ..select.clone() })
}

/// Those of a SELECT and of the sub-queries in it.
pub fn calls(select: &Select) -> Calls {
    let mut calls = Calls::default();
    let visited = select.visit(&mut FunctionVisitor(|function: &Function| {
        let span = span_of(function.span());
        if function.over.is_some() {
            calls.over.push(span);
        } else if name(function).is_some_and(|name| call::kind_of(&name).is_some()) {
            calls.plain.push(span);
        }
        Ok(())
    }));
    debug_assert!(visited.is_continue(), "the closure never breaks");
    calls
}

/// Every call and every window of the query.
///
/// `event_time` is the name the event time has in FROM.
pub fn check_calls(select: &Select, source: &SourceDef, event_time: &str) -> Result<()> {
    for (at, definition) in select.named_window.iter().enumerate() {
        let earlier = &select.named_window[..at];
        if earlier.iter().any(|other| fold(&other.0) == fold(&definition.0)) {
            return Err(Error::usage(format!("two windows are called {}", definition.0))
                .with_span(span_of(definition.0.span)));
        }
        match &definition.1 {
            NamedWindowExpr::WindowSpec(spec) => {
                check_window(spec, source, event_time)
                    .map_err(|error| error.with_span(span_of(definition.0.span)))?;
            }
            NamedWindowExpr::NamedWindow(ident) => {
                return Err(Error::internal(format!("window {ident} is not written out")));
            }
        }
    }
    let visited = select.visit(&mut FunctionVisitor(|function: &Function| {
        check_call(function, select, source, event_time)
            .map_err(|error| error.with_span(span_of(function.span())))
    }));
    match visited {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Calls a closure for every function, outer ones first.
struct FunctionVisitor<F>(F);

impl<F: FnMut(&Function) -> Result<()>> Visitor for FunctionVisitor<F> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Function(function) => match (self.0)(function) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            },
            _ => ControlFlow::Continue(()),
        }
    }
}

fn name(function: &Function) -> Option<String> {
    match function.name.0.as_slice() {
        [part] => part.as_ident().map(fold),
        _ => None,
    }
}

fn check_call(
    function: &Function,
    select: &Select,
    source: &SourceDef,
    event_time: &str,
) -> Result<()> {
    let Some(name) = name(function) else {
        return Err(Error::usage(format!("no such function: {}", function.name)));
    };
    // The end of a frame, which `check_frame` reads.
    if is_marker(&name) {
        return Ok(());
    }
    if NONDETERMINISTIC.contains(&name.as_str()) {
        return Err(Error::not_supported(format!(
            "{name} in a feature: its value changes with the time of evaluation, so a replay or a \
             training set would give other values"
        ))
        .with_hint(format!("use the event time, {event_time}")));
    }
    let known = session::functions();
    let aggregate = call::kind_of(&name);
    let shown = name.to_uppercase();
    let Some(kind) = aggregate else {
        if known.scalar_functions().contains_key(&name) {
            return match function.over {
                Some(_) => Err(Error::usage(format!("{shown} is no aggregate: it takes no OVER"))),
                None => Ok(()),
            };
        }
        if LOOKS_AHEAD.contains(&name.as_str()) {
            return Err(Error::not_supported(format!(
                "{shown} in a feature: it needs the rows that come after the current one"
            ))
            .with_hint("ROW_NUMBER, RANK and LAG look back only"));
        }
        let later = known.window_functions().contains_key(&name)
            || known.aggregate_functions().contains_key(&name)
            || known.higher_order_functions().contains_key(&name)
            || ["unnest", "unnest_outer", "map", "make_map", "grouping"].contains(&name.as_str());
        return Err(match later {
            true => Error::not_yet(format!("{shown} in a feature")),
            false => unknown(&name),
        });
    };
    check_clauses(function, kind)?;
    match &function.over {
        Some(WindowType::WindowSpec(spec)) => {
            check_window(spec, source, event_time)?;
            check_nesting(function)
        }
        Some(WindowType::NamedWindow(ident)) => {
            let found = select.named_window.iter().any(|w| fold(&w.0) == fold(ident));
            match found {
                true => check_nesting(function),
                false => Err(Error::usage(format!("no such window: {ident}"))
                    .with_hint("define it: WINDOW w AS (PARTITION BY … ORDER BY …)")
                    .with_span(span_of(ident.span))),
            }
        }
        None => Ok(()),
    }
}

fn unknown(name: &str) -> Error {
    let error = Error::usage(format!("no such function: {name}"));
    let known = session::functions();
    let mut names: Vec<&str> =
        known.scalar_functions().keys().map(String::as_str).chain(call::names()).collect();
    names.extend(spelling::names());
    names.sort_unstable();
    match crate::sql::diagnostic::closest(name, names.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None => error.with_hint("SHOW FUNCTIONS lists them"),
    }
}

/// Clauses inside and behind the parentheses of an aggregate.
fn check_clauses(function: &Function, kind: AggregateKind) -> Result<()> {
    let known = kind.function();
    let shown = match (kind, name(function)) {
        (AggregateKind::Own, Some(name)) => name.to_uppercase(),
        _ => kind.to_string(),
    };
    if !function.within_group.is_empty() {
        return Err(Error::not_yet(format!("{shown} WITHIN GROUP")));
    }
    if function.null_treatment.is_some() && !known.counts_nulls() {
        return Err(Error::usage(format!(
            "{shown} takes no IGNORE NULLS or RESPECT NULLS: it skips NULLs"
        )));
    }
    if !matches!(function.parameters, FunctionArguments::None) {
        return Err(Error::usage(format!("{shown} takes one list of arguments")));
    }
    let FunctionArguments::List(list) = &function.args else {
        return Err(Error::usage(format!("{shown} needs its arguments in parentheses")));
    };
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    if distinct && known.distinct.is_none() {
        return Err(Error::usage(format!("DISTINCT has no meaning in {shown}")));
    }
    check_count(known, list.args.len(), &shown)?;
    if kind == AggregateKind::Lag && function.filter.is_some() {
        return Err(Error::not_supported("LAG with FILTER: it looks at places, not at conditions")
            .with_hint("write LAG(CASE WHEN … THEN x END) IGNORE NULLS"));
    }
    if LIKE_LAG.contains(&kind) && function.over.is_none() {
        return Err(Error::usage(format!("{shown} needs OVER (PARTITION BY … ORDER BY …)")));
    }
    for clause in &list.clauses {
        match clause {
            FunctionArgumentClause::IgnoreOrRespectNulls(_) if known.counts_nulls() => {}
            FunctionArgumentClause::OrderBy(_) if known.is_ordered() && function.over.is_none() => {
            }
            FunctionArgumentClause::OrderBy(_) if known.is_ordered() => {
                return Err(Error::usage(format!("{shown} has two orders"))
                    .with_hint("order in the OVER clause"));
            }
            other => return Err(Error::not_supported(format!("{shown}(… {other})"))),
        }
    }
    Ok(())
}

/// Those that have no meaning without OVER.
const LIKE_LAG: [AggregateKind; 4] =
    [AggregateKind::Lag, AggregateKind::RowNumber, AggregateKind::Rank, AggregateKind::DenseRank];

/// The number of arguments.
fn check_count(known: &Table, given: usize, shown: &str) -> Result<()> {
    if known.kind == AggregateKind::Own {
        // It says itself what it takes.
        return Ok(());
    }
    if known.kind == AggregateKind::Count {
        return match given {
            0 | 1 => Ok(()),
            _ => Err(Error::not_yet("COUNT(DISTINCT …) of several arguments")
                .with_hint("count one text of them: COUNT(DISTINCT a || '/' || b)")),
        };
    }
    let (columns, constants) = (known.arguments.len(), known.constants.len());
    let least = columns - usize::from(known.ends_in_time()) + constants - known.optional;
    let most = match known.constants.contains(&Constant::Edges) {
        true => usize::MAX,
        false => columns + constants,
    };
    if (least..=most).contains(&given) {
        return Ok(());
    }
    let error = match (least, most) {
        (1, 1) => Error::usage(format!("{shown} takes one argument, not {given}")),
        (0, 0) => Error::usage(format!("{shown} takes no arguments")),
        _ => Error::usage(format!("{shown} does not take {given} arguments")),
    };
    Err(error.with_hint(format!("write {}", known.usage)))
}

/// The place of a window whose PARTITION BY is another than that of the first.
pub fn other_partition(select: &Select) -> Option<Span> {
    let keys = |spec: &WindowSpec| {
        let mut keys: Vec<String> =
            spec.partition_by.iter().map(|key| key.to_string().to_lowercase()).collect();
        keys.sort_unstable();
        keys
    };
    let mut first: Option<Vec<String>> = None;
    let mut other = None;
    let visited = select.projection.visit(&mut FunctionVisitor(|function: &Function| {
        let spec = match &function.over {
            Some(WindowType::WindowSpec(spec)) => Some(spec),
            Some(WindowType::NamedWindow(ident)) => {
                let named = select.named_window.iter().find(|w| fold(&w.0) == fold(ident));
                named.and_then(|definition| match &definition.1 {
                    NamedWindowExpr::WindowSpec(spec) => Some(spec),
                    NamedWindowExpr::NamedWindow(_) => None,
                })
            }
            None => None,
        };
        let Some(spec) = spec else { return Ok(()) };
        let known = first.get_or_insert_with(|| keys(spec));
        if other.is_none() && *known != keys(spec) {
            other = Some(span_of(function.span()));
        }
        Ok(())
    }));
    if visited.is_continue() { other } else { None }
}

/// No aggregate inside an aggregate.
fn check_nesting(function: &Function) -> Result<()> {
    let inner = function.args.visit(&mut FunctionVisitor(|inner: &Function| {
        let aggregate = name(inner).is_some_and(|name| call::kind_of(&name).is_some());
        if inner.over.is_some() || aggregate {
            return Err(Error::usage("a window inside the argument of a window")
                .with_hint(
                    "put the inner one into a sub-query: FROM (SELECT …, x OVER (…) AS y FROM …)",
                )
                .with_span(span_of(inner.span())));
        }
        Ok(())
    }));
    match inner {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn check_window(spec: &WindowSpec, source: &SourceDef, time: &str) -> Result<()> {
    if let Some(base) = &spec.window_name {
        return Err(Error::internal(format!("a window on {base} is not written out")));
    }
    let Some(first) = spec.order_by.first() else {
        return Err(Error::not_supported(
            "OVER without ORDER BY: it would cover rows that have not arrived yet",
        )
        .with_hint(format!("add ORDER BY {time}")));
    };
    let found = match &first.expr {
        Expr::Identifier(ident) => fold(ident),
        Expr::CompoundIdentifier(parts) => parts.last().map(fold).unwrap_or_default(),
        other => other.to_string(),
    };
    if found != time {
        return Err(not_event_time(&found, time, source).with_span(span_of(first.expr.span())));
    }
    if first.options.asc == Some(false) {
        return Err(Error::not_supported(format!(
            "ORDER BY {time} DESC: such a frame would cover rows that have not arrived yet"
        ))
        .with_hint(format!("ORDER BY {time}"))
        .with_span(span_of(first.span())));
    }
    let rows = spec.window_frame.as_ref().is_some_and(|f| f.units == WindowFrameUnits::Rows);
    if let Some(second) = spec.order_by.get(1)
        && !rows
    {
        return Err(Error::not_supported(format!("a RANGE frame ordered by more than {time}"))
            .with_hint("add ROWS BETWEEN … AND CURRENT ROW, or leave the other columns out")
            .with_span(span_of(second.span())));
    }
    match &spec.window_frame {
        Some(frame) => frame_of(frame).map(|_| ()),
        None => Ok(()),
    }
}

/// A readable name for an unnamed expression.
pub fn suggested_alias(expr: &Expr) -> String {
    let Expr::Function(function) = expr else { return "value".to_owned() };
    let mut parts = vec![name(function).unwrap_or_else(|| "value".to_owned())];
    if let FunctionArguments::List(list) = &function.args {
        for arg in &list.args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(ident))) => {
                    parts.push(fold(ident));
                }
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => parts.push("all".to_owned()),
                _ => {}
            }
        }
    }
    crate::sql::printer::name_text(&parts.join("_"))
}

/// A scalar expression of a source: deterministic, without aggregates and sub-queries.
pub fn check_scalar(expr: &Expr) -> Result<()> {
    let subqueries = sqlparser::ast::visit_expressions(expr, |part| match part {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            ControlFlow::Break(span_of(part.span()))
        }
        _ => ControlFlow::Continue(()),
    });
    if let ControlFlow::Break(span) = subqueries {
        return Err(Error::not_supported("a sub-query in a computed column").with_span(span));
    }
    let visited = expr.visit(&mut FunctionVisitor(|function: &Function| {
        check_scalar_call(function).map_err(|error| error.with_span(span_of(function.span())))
    }));
    match visited {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn check_scalar_call(function: &Function) -> Result<()> {
    let Some(name) = name(function) else {
        return Err(Error::usage(format!("no such function: {}", function.name)));
    };
    let shown = name.to_uppercase();
    if NONDETERMINISTIC.contains(&name.as_str()) {
        return Err(Error::not_supported(format!(
            "{name} in a computed column: its value changes with the time of evaluation"
        )));
    }
    let known = session::functions();
    if known.scalar_functions().contains_key(&name) && function.over.is_none() {
        return Ok(());
    }
    let several_rows = call::kind_of(&name).is_some()
        || known.aggregate_functions().contains_key(&name)
        || known.window_functions().contains_key(&name);
    Err(match several_rows {
        true => Error::not_supported(format!("{shown} in a computed column: it sees one row only"))
            .with_hint("aggregate in a feature"),
        false => unknown(&name),
    })
}
