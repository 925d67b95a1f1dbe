//! A feature's SELECT → SQL that stock DataFusion runs with the contract's meaning: windows of
//! time written out, every ORDER BY completed to the total order, casts that fail as NULL, and
//! aggregates that stock DataFusion computes inexactly replaced by the naive ones over the list
//! of the frame's values. Parses with sqlparser's generic dialect, not with ours. Called by
//! `stock`; it must never use `skewless::sql` or `skewless::plan`.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::prelude::SessionContext;
use sqlparser::ast::*;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use super::exact::Input;
use super::lists::input;

/// The table a feature reads.
pub struct SourceTable<'a> {
    pub name: &'a str,
    pub time: &'a str,
}

struct Window {
    slide: i64,
    size: i64,
    offset: i64,
}

/// The stock SQL of `query`.
pub async fn rewrite(
    ctx: &SessionContext,
    source: &SourceTable<'_>,
    query: &str,
) -> Result<String, String> {
    let mut query = Parser::new(&GenericDialect {})
        .try_with_sql(query)
        .and_then(|mut p| p.parse_query())
        .map_err(|e| format!("the oracle cannot read the query: {e}"))?;
    let SetExpr::Select(select) = query.body.as_mut() else { return Err("no SELECT".into()) };
    let window = take_window(select)?;
    let grouped = window.is_some();
    if let Some(window) = window {
        let from = &mut select.from[0].relation;
        *from = derived(&windowed(source, &window))?;
    }
    let mut rows_windows = BTreeMap::new();
    for NamedWindowDefinition(name, definition) in &mut select.named_window {
        if let NamedWindowExpr::WindowSpec(spec) = definition {
            rows_windows.insert(name.value.clone(), rewrite_over(spec)?);
        }
    }
    rewrite_expressions(ctx, source, select, &rows_windows).await?;
    complete_projection(select, source, grouped);
    Ok(query.to_string())
}

fn expression(sql: &str) -> Result<Expr, String> {
    Parser::new(&GenericDialect {})
        .try_with_sql(sql)
        .and_then(|mut p| p.parse_expr())
        .map_err(|e| format!("{e} in {sql}"))
}

fn derived(sql: &str) -> Result<TableFactor, String> {
    let text = format!("SELECT 1 FROM {sql}");
    let query = Parser::new(&GenericDialect {})
        .try_with_sql(&text)
        .and_then(|mut p| p.parse_query())
        .map_err(|e| format!("{e} in {text}"))?;
    let SetExpr::Select(select) = *query.body else { return Err("no SELECT".into()) };
    Ok(select.from[0].relation.clone())
}

/// The source with one row per row and window it falls in: starts on the grid `offset` modulo
/// `slide`, from the last one at or before the row down to the last one after `row − size`.
fn windowed(source: &SourceTable, w: &Window) -> String {
    let (slide, size, offset) = (w.slide, w.size, w.offset);
    let last = format!("_us - (((_us - {offset}) % {slide}) + {slide}) % {slide}");
    let at = |us: &str| format!("arrow_cast({us}, 'Timestamp(Microsecond, Some(\"UTC\"))')");
    format!(
        "(SELECT *, {} AS window_start, {} AS window_end FROM (SELECT *, unnest(range({last}, \
         _us - {size}, -{slide})) AS _w FROM {}) AS _in WHERE _w > _us - {size}) AS \"{}\"",
        at("_w"),
        at(&format!("_w + {size}")),
        Ident::with_quote('"', source.name),
        source.name
    )
}

/// Finds TUMBLE or HOP in FROM or GROUP BY.
fn take_window(select: &mut Select) -> Result<Option<Window>, String> {
    if let TableFactor::Table { name, args: Some(args), .. } = &select.from[0].relation {
        return Ok(Some(window_of(&name.to_string(), &durations(&args.args[2..])?)?));
    }
    let GroupByExpr::Expressions(by, _) = &mut select.group_by else { return Ok(None) };
    let mut found = None;
    let mut columns = Vec::new();
    for expr in by.drain(..) {
        match &expr {
            Expr::Function(f) if is_window(&f.name.to_string()) => {
                let FunctionArguments::List(list) = &f.args else { return Err("no args".into()) };
                found = Some(window_of(&f.name.to_string(), &durations(&list.args[1..])?)?);
                columns.push(expression("window_start")?);
                columns.push(expression("window_end")?);
            }
            _ => columns.push(expr),
        }
    }
    *by = columns;
    Ok(found)
}

fn is_window(name: &str) -> bool {
    matches!(name.to_ascii_lowercase().as_str(), "tumble" | "hop")
}

fn window_of(name: &str, d: &[i64]) -> Result<Window, String> {
    match (name.to_ascii_lowercase().as_str(), d) {
        ("tumble", [size]) => Ok(Window { slide: *size, size: *size, offset: 0 }),
        ("tumble", [size, offset]) => Ok(Window { slide: *size, size: *size, offset: *offset }),
        ("hop", [slide, size]) => Ok(Window { slide: *slide, size: *size, offset: 0 }),
        ("hop", [slide, size, offset]) => {
            Ok(Window { slide: *slide, size: *size, offset: *offset })
        }
        _ => Err(format!("the oracle knows no window {name} with {} durations", d.len())),
    }
}

fn durations(args: &[FunctionArg]) -> Result<Vec<i64>, String> {
    args.iter()
        .map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => interval_us(e),
            other => Err(format!("no duration: {other}")),
        })
        .collect()
}

/// An INTERVAL literal in µs.
fn interval_us(expr: &Expr) -> Result<i64, String> {
    let Expr::Interval(interval) = expr else { return Err(format!("no interval: {expr}")) };
    let text = interval.value.to_string().trim_matches('\'').to_owned();
    let text = match &interval.leading_field {
        Some(field) => format!("{text} {field}"),
        None => text,
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut total = 0f64;
    for pair in words.chunks(2) {
        let [number, unit] = pair else { return Err(format!("no unit in {text}")) };
        let unit = match unit.to_ascii_lowercase().trim_end_matches('s') {
            "microsecond" => 1f64,
            "millisecond" => 1e3,
            "second" => 1e6,
            "minute" => 6e7,
            "hour" => 3.6e9,
            "day" => 8.64e10,
            "week" => 6.048e11,
            other => return Err(format!("the oracle knows no unit {other}")),
        };
        total += number.parse::<f64>().map_err(|e| format!("{e}: {text}"))? * unit;
    }
    Ok(total as i64)
}

/// Completes an OVER clause in place; true if its frame counts rows.
fn rewrite_over(spec: &mut WindowSpec) -> Result<bool, String> {
    let by = |sql: &str| -> Result<OrderByExpr, String> {
        let Expr::Identifier(ident) = expression(sql)? else { return Err("no name".into()) };
        Ok(OrderByExpr::from(ident))
    };
    let rows = matches!(&spec.window_frame, Some(f) if f.units == WindowFrameUnits::Rows);
    if let Some(frame) = spec.window_frame.as_mut().filter(|_| !rows) {
        for bound in [Some(&mut frame.start_bound), frame.end_bound.as_mut()].into_iter().flatten()
        {
            if let WindowFrameBound::Preceding(Some(bound)) = bound {
                **bound = expression(&interval_us(bound)?.to_string())?;
            }
        }
    }
    let ties: Vec<OrderByExpr> = spec.order_by.drain(..).skip(1).collect();
    spec.order_by.push(by("_us")?);
    if rows {
        spec.order_by.extend(ties);
        spec.order_by.push(by("_rn")?);
    }
    Ok(rows)
}

/// Gives every column an alias and adds the time columns that the SELECT leaves out.
fn complete_projection(select: &mut Select, source: &SourceTable, grouped: bool) {
    let wanted = if grouped { vec!["window_start", "window_end"] } else { vec![source.time] };
    let bare = |e: &Expr, name: &str| matches!(e, Expr::Identifier(i) if i.value == name);
    let missing: Vec<&str> = wanted
        .into_iter()
        .filter(|name| {
            !select.projection.iter().any(|item| match item {
                SelectItem::UnnamedExpr(e) | SelectItem::ExprWithAlias { expr: e, .. } => {
                    bare(e, name)
                }
                _ => false,
            })
        })
        .collect();
    for (i, item) in select.projection.iter_mut().enumerate() {
        if let SelectItem::UnnamedExpr(expr) = item
            && !matches!(expr, Expr::Identifier(_))
        {
            let alias = Ident::new(format!("_c{i}"));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
    for name in missing {
        let ident = Ident::with_quote('"', name);
        select.projection.push(SelectItem::UnnamedExpr(Expr::Identifier(ident)));
    }
}

/// The types of all aggregate arguments, by their text.
async fn argument_types(
    ctx: &SessionContext,
    source: &SourceTable<'_>,
    select: &Select,
) -> Result<BTreeMap<String, DataType>, String> {
    let mut texts = Vec::new();
    let _ = visit_expressions(&select.projection, |e: &Expr| {
        if let Expr::Function(f) = e
            && let Some(arg) = argument(f)
        {
            texts.push(arg.to_string());
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    let mut types = BTreeMap::new();
    for text in texts {
        let sql = format!("SELECT {text} AS x FROM {}", Ident::with_quote('"', source.name));
        if let Ok(frame) = ctx.sql(&sql).await {
            types.insert(text, frame.schema().field(0).data_type().clone());
        }
    }
    Ok(types)
}

fn argument(f: &Function) -> Option<&Expr> {
    let FunctionArguments::List(list) = &f.args else { return None };
    match list.args.first() {
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(e))) => Some(e),
        _ => None,
    }
}

async fn rewrite_expressions(
    ctx: &SessionContext,
    source: &SourceTable<'_>,
    select: &mut Select,
    rows_windows: &BTreeMap<String, bool>,
) -> Result<(), String> {
    let forgive = |e: &mut Expr| {
        if let Expr::Cast { kind, .. } = e {
            *kind = CastKind::TryCast;
        }
        std::ops::ControlFlow::<()>::Continue(())
    };
    let _ = visit_expressions_mut(&mut select.projection, forgive);
    let _ = visit_expressions_mut(&mut select.selection, forgive);
    let types = argument_types(ctx, source, select).await?;
    let mut rewritten = |e: &mut Expr| -> std::ops::ControlFlow<String> {
        let Expr::Function(f) = e else { return std::ops::ControlFlow::Continue(()) };
        match call(f, &types, rows_windows) {
            Ok(Some(new)) => *e = new,
            Ok(None) => {}
            Err(message) => return std::ops::ControlFlow::Break(message),
        }
        std::ops::ControlFlow::Continue(())
    };
    for part in [
        visit_expressions_mut(&mut select.projection, &mut rewritten),
        visit_expressions_mut(&mut select.having, &mut rewritten),
    ] {
        if let std::ops::ControlFlow::Break(message) = part {
            return Err(message);
        }
    }
    Ok(())
}

fn ignores_nulls(f: &Function) -> bool {
    let clause = match &f.args {
        FunctionArguments::List(list) => list.clauses.iter().any(|c| {
            matches!(c, FunctionArgumentClause::IgnoreOrRespectNulls(NullTreatment::IgnoreNulls))
        }),
        _ => false,
    };
    clause || f.null_treatment == Some(NullTreatment::IgnoreNulls)
}

/// The replacement of a function call, or `None` to leave it (its OVER completed in place).
fn call(
    f: &mut Function,
    types: &BTreeMap<String, DataType>,
    rows_windows: &BTreeMap<String, bool>,
) -> Result<Option<Expr>, String> {
    let name = f.name.to_string().to_ascii_lowercase();
    match name.as_str() {
        "tumble_start" | "hop_start" => return expression("window_start").map(Some),
        "tumble_end" | "hop_end" => return expression("window_end").map(Some),
        _ => {}
    }
    let rows = match &mut f.over {
        Some(WindowType::WindowSpec(spec)) => rewrite_over(spec)?,
        Some(WindowType::NamedWindow(name)) => *rows_windows.get(&name.value).unwrap_or(&false),
        None => false,
    };
    let name = match name.as_str() {
        "mean" => "avg",
        "var" | "variance" | "var_sample" => "var_samp",
        "var_population" | "variance_pop" => "var_pop",
        "stddev" => "stddev_samp",
        other => other,
    };
    let Some(arg) = argument(f).map(ToString::to_string) else { return Ok(None) };
    let Some(kind) = types.get(&arg) else { return Ok(None) };
    let FunctionArguments::List(list) = &f.args else { return Ok(None) };
    let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    let condition = f.filter.as_ref().map(|c| c.to_string());
    let over = f.over.as_ref().map_or(String::new(), |o| format!("OVER {o}"));
    let text = match (name, input(kind)) {
        ("count", Input::Float) if distinct => {
            format!("count(DISTINCT {arg} + 0.0) {} {over}", filter(&condition))
        }
        ("sum", Input::Signed | Input::Unsigned) if !distinct => {
            let big = format!("sum(CAST({arg} AS DECIMAL(38, 0)))");
            let to = if kind.is_signed_integer() { "BIGINT" } else { "BIGINT UNSIGNED" };
            format!("TRY_CAST({big} {} {over} AS {to})", filter(&condition))
        }
        // Stock SUM lets a DECIMAL(38) grow beyond 38 digits and wrap.
        ("sum", Input::Decimal(p, _)) if !distinct && p <= 28 => return Ok(None),
        ("min" | "max", kind) if kind != Input::Float => return Ok(None),
        (
            "sum" | "avg" | "min" | "max" | "var_pop" | "var_samp" | "stddev_pop" | "stddev_samp",
            _,
        ) => {
            let suffix = if distinct { "_distinct" } else { "" };
            format!("oracle_{name}{suffix}(array_agg({arg}) {} {over})", filter(&condition))
        }
        ("first_value" | "last_value", _) => {
            positional(name, &arg, condition, ignores_nulls(f), rows, &over)
        }
        _ => return Ok(None),
    };
    expression(&text).map(Some)
}

fn filter(condition: &Option<String>) -> String {
    condition.as_ref().map_or(String::new(), |c| format!("FILTER (WHERE {c})"))
}

/// FIRST_VALUE and LAST_VALUE. Under ROWS the frame is completely ordered, so its list is in
/// order; under RANGE and in groups the row numbers say which is first.
fn positional(
    name: &str,
    arg: &str,
    condition: Option<String>,
    ignore_nulls: bool,
    rows: bool,
    over: &str,
) -> String {
    let condition = match (condition, ignore_nulls) {
        (c, false) => c,
        (None, true) => Some(format!("{arg} IS NOT NULL")),
        (Some(c), true) => Some(format!("({c}) AND {arg} IS NOT NULL")),
    };
    let first = name == "first_value";
    let filter = filter(&condition);
    if rows {
        let at = if first { "1" } else { "-1" };
        return format!("array_element(array_agg({arg}) {filter} {over}, {at})");
    }
    let which = if first { "first" } else { "last" };
    format!("oracle_{which}(array_agg(_rn) {filter} {over}, array_agg({arg}) {filter} {over})")
}
