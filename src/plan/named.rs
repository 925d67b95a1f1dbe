//! Windows named after windows, `w2 AS w1` and `w2 AS (w1 ROWS 3 PRECEDING)`, written out by the
//! rules of SQL:2016, 7.15: what a window is built on gives its PARTITION BY and ORDER BY. Called
//! by `bind` before a query is checked.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Query, Select, SetExpr, VisitMut,
    VisitorMut, WindowSpec, WindowType,
};

use super::check::fold;
use crate::error::{Error, Result};
use crate::sql::token::span_of;

/// Writes out every window of a query and of its sub-queries.
///
/// # Errors
/// `Usage` for a window built on one that there is not before it, or that says again what that one
/// says.
pub fn write_out(query: &mut Query) -> Result<()> {
    match query.visit(&mut Queries) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Queries;

impl VisitorMut for Queries {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        let SetExpr::Select(select) = query.body.as_mut() else { return ControlFlow::Continue(()) };
        match of_select(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn of_select(select: &mut Select) -> Result<()> {
    let mut known: Vec<(String, WindowSpec)> = Vec::new();
    let mut bases: Vec<String> = Vec::new();
    for NamedWindowDefinition(name, window) in &mut select.named_window {
        let spec = match window {
            NamedWindowExpr::NamedWindow(base) => find(&known, base)?.clone(),
            NamedWindowExpr::WindowSpec(spec) => {
                bases.extend(spec.window_name.as_ref().map(fold));
                built(&known, spec)?
            }
        };
        known.push((fold(name), spec.clone()));
        *window = NamedWindowExpr::WindowSpec(spec);
    }
    let mut calls = Calls { known: &known, bases, used: Vec::new() };
    if let ControlFlow::Break(error) = select.projection.visit(&mut calls) {
        return Err(error);
    }
    // What others are built on need not be a whole window.
    let Calls { bases, used, .. } = calls;
    let base_only = |name: &String| bases.contains(name) && !used.contains(name);
    select.named_window.retain(|definition| !base_only(&fold(&definition.0)));
    Ok(())
}

/// The windows in OVER.
struct Calls<'a> {
    known: &'a [(String, WindowSpec)],
    /// Windows that others are built on, and those that calls are over.
    bases: Vec<String>,
    used: Vec<String>,
}

impl VisitorMut for Calls<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        match &mut function.over {
            Some(WindowType::WindowSpec(spec)) => {
                self.bases.extend(spec.window_name.as_ref().map(fold));
                match built(self.known, spec) {
                    Ok(written) => *spec = written,
                    Err(error) => return ControlFlow::Break(error),
                }
            }
            Some(WindowType::NamedWindow(name)) => self.used.push(fold(name)),
            None => {}
        }
        ControlFlow::Continue(())
    }
}

fn find<'a>(known: &'a [(String, WindowSpec)], base: &Ident) -> Result<&'a WindowSpec> {
    let found = known.iter().find(|(name, _)| *name == fold(base)).map(|(_, spec)| spec);
    found.ok_or_else(|| {
        Error::usage(format!("no such window before this one: {base}"))
            .with_hint("a window is built on one that is defined before it")
            .with_span(span_of(base.span))
    })
}

/// A window without the one it is built on.
fn built(known: &[(String, WindowSpec)], spec: &WindowSpec) -> Result<WindowSpec> {
    let Some(base) = &spec.window_name else { return Ok(spec.clone()) };
    let below = find(known, base)?;
    let again = |what: &str| {
        Err(Error::usage(format!("{what} again in a window built on {base}"))
            .with_hint(format!("leave it out, or do not build on {base}"))
            .with_span(span_of(base.span)))
    };
    if !spec.partition_by.is_empty() {
        return again("PARTITION BY");
    }
    if !spec.order_by.is_empty() && !below.order_by.is_empty() {
        return again("ORDER BY");
    }
    if below.window_frame.is_some() {
        return Err(Error::usage(format!("a window built on {base}, which has a frame"))
            .with_hint("build both on a window without one")
            .with_span(span_of(base.span)));
    }
    let order_by =
        if spec.order_by.is_empty() { below.order_by.clone() } else { spec.order_by.clone() };
    Ok(WindowSpec {
        window_name: None,
        partition_by: below.partition_by.clone(),
        order_by,
        window_frame: spec.window_frame.clone(),
    })
}
