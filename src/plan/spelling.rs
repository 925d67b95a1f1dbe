//! Other spellings of calls, written as the one that is planned: `count_if(c)` is `count(*)
//! FILTER (WHERE c)`. Features and ad-hoc SQL read the same spellings. Called by `bind` and
//! `relation` before anything else looks at a query.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, OrderByExpr, Query, Spanned as _,
    Value, VisitMut, VisitorMut,
};

use super::registered;
use crate::error::{Error, Result};
use crate::sql::token::span_of;

/// Calls whose second argument is a condition, and what they are with FILTER.
const CONDITIONAL: [(&str, &str); 20] = [
    ("count_if", "count"),
    ("sum_if", "sum"),
    ("avg_if", "avg"),
    ("min_if", "min"),
    ("max_if", "max"),
    ("count_where", "count"),
    ("sum_where", "sum"),
    ("avg_where", "avg"),
    ("min_where", "min"),
    ("max_where", "max"),
    ("count_cate_where", "count_cate"),
    ("sum_cate_where", "sum_cate"),
    ("avg_cate_where", "avg_cate"),
    ("min_cate_where", "min_cate"),
    ("max_cate_where", "max_cate"),
    ("top_n_key_count_cate_where", "top_n_key_count_cate"),
    ("top_n_key_sum_cate_where", "top_n_key_sum_cate"),
    ("top_n_key_avg_cate_where", "top_n_key_avg_cate"),
    ("top_n_key_min_cate_where", "top_n_key_min_cate"),
    ("top_n_key_max_cate_where", "top_n_key_max_cate"),
];

/// Names that are spelled otherwise here, for SHOW FUNCTIONS, completion and suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    described().map(|(name, ..)| name)
}

/// The same with how they are written and what they are.
pub fn described() -> impl Iterator<Item = (&'static str, String, String)> {
    let conditional = CONDITIONAL.iter().map(|(name, to)| {
        let usage = match *name {
            "count_if" => "count_if(condition)".to_owned(),
            name => format!("{name}(x, condition{})", rest(name)),
        };
        (*name, usage, format!("{to} of the rows where the condition is true"))
    });
    let others =
        [("distinct_count", "count(DISTINCT x)"), ("approx_count_distinct", "approx_distinct(x)")];
    let others = others.into_iter().map(|(name, is)| (name, format!("{name}(x)"), is.to_owned()));
    conditional.chain(others)
}

/// Rewrites every call in a query.
///
/// # Errors
/// `Usage` if a call lacks its condition; with its place.
pub fn rewrite(query: &mut Query) -> Result<()> {
    broken(query.visit(&mut Rewriter))
}

/// The same for any piece of a statement.
///
/// # Errors
/// As [`rewrite`].
pub fn rewrite_any(piece: &mut impl VisitMut) -> Result<()> {
    broken(piece.visit(&mut Rewriter))
}

fn broken(flow: ControlFlow<Error>) -> Result<()> {
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        if let Some(lists) = over_lists(function) {
            *expr = Expr::Function(lists);
            return ControlFlow::Continue(());
        }
        match call(function) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error.with_span(span_of(function.span()))),
        }
    }
}

/// A registered aggregate as its function over the lists of its arguments.
fn over_lists(function: &Function) -> Option<Function> {
    let [part] = function.name.0.as_slice() else { return None };
    let behind = registered::aggregate(&part.as_ident()?.value.to_ascii_lowercase())?;
    let FunctionArguments::List(list) = &function.args else { return None };
    let named = |function: &mut Function, name: &str| {
        let ident = part.as_ident().map_or_else(
            || Ident::new(name),
            |ident| Ident { value: name.to_owned(), ..ident.clone() },
        );
        function.name = ObjectName::from(vec![ident]);
    };
    let of = |arg: &FunctionArg| {
        let mut array = function.clone();
        named(&mut array, "array_agg");
        if let Some(list) = arguments(&mut array) {
            list.args = vec![arg.clone()];
        }
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(array)))
    };
    let lists: Vec<FunctionArg> = list.args.iter().map(of).collect();
    let mut outer = function.clone();
    named(&mut outer, &behind);
    (outer.filter, outer.over, outer.null_treatment) = (None, None, None);
    if let Some(list) = arguments(&mut outer) {
        (list.args, list.clauses, list.duplicate_treatment) = (lists, Vec::new(), None);
    }
    Some(outer)
}

fn call(function: &mut Function) -> Result<()> {
    let [part] = function.name.0.as_slice() else { return Ok(()) };
    let Some(ident) = part.as_ident() else { return Ok(()) };
    let ident = ident.clone();
    let name = ident.value.to_ascii_lowercase();
    if let Some((_, to)) = CONDITIONAL.iter().find(|(known, _)| *known == name) {
        condition(function, &name)?;
        rename(function, &ident, to);
        return Ok(());
    }
    match name.as_str() {
        "count" => count_of_several(function),
        "distinct_count" => {
            if let Some(list) = arguments(function) {
                list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
            }
            rename(function, &ident, "count");
        }
        "approx_count_distinct" => rename(function, &ident, "approx_distinct"),
        "percentile_cont"
        | "percentile_disc"
        | "quantile_cont"
        | "quantile_disc"
        | "mode"
        | "approx_percentile_cont"
            if !function.within_group.is_empty() =>
        {
            within_group(function, &name)?;
        }
        _ => {}
    }
    Ok(())
}

fn rename(function: &mut Function, ident: &Ident, to: &str) {
    let mut renamed = ident.clone();
    renamed.value = to.to_owned();
    function.name = ObjectName::from(vec![renamed]);
}

fn arguments(function: &mut Function) -> Option<&mut FunctionArgumentList> {
    match &mut function.args {
        FunctionArguments::List(list) => Some(list),
        _ => None,
    }
}

/// Moves the condition among the arguments into FILTER.
fn condition(function: &mut Function, name: &str) -> Result<()> {
    let wrong = || {
        Error::usage(format!("{} needs a condition", name.to_uppercase())).with_hint(match name {
            "count_if" => "write count_if(amount > 100)".to_owned(),
            _ => format!("write {name}(x, amount > 100{})", rest(name)),
        })
    };
    let list = arguments(function).ok_or_else(wrong)?;
    if name == "count_if" && list.args.len() == 1 {
        list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Wildcard));
    }
    if list.args.len() < 2 {
        return Err(wrong());
    }
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(condition)) = list.args.remove(1) else {
        return Err(wrong());
    };
    let nested = |expr: Expr| Box::new(Expr::Nested(Box::new(expr)));
    function.filter = Some(match function.filter.take() {
        None => Box::new(condition),
        Some(first) => Box::new(Expr::BinaryOp {
            left: nested(*first),
            op: BinaryOperator::And,
            right: nested(condition),
        }),
    });
    Ok(())
}

fn rest(name: &str) -> &'static str {
    match (name.contains("cate"), name.starts_with("top_n")) {
        (true, true) => ", category, n",
        (true, false) => ", category",
        _ => "",
    }
}

/// `COUNT(a, b)` counts the rows where neither is NULL.
fn count_of_several(function: &mut Function) {
    let Some(list) = arguments(function) else { return };
    if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) || list.args.len() < 2 {
        return;
    }
    let known = |arg: &FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
            Some(Expr::IsNotNull(Box::new(Expr::Nested(Box::new(expr.clone())))))
        }
        _ => None,
    };
    let Some(known) = list.args.iter().map(known).collect::<Option<Vec<_>>>() else { return };
    let both = |left: Expr, right: Expr| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    };
    let filter = function.filter.take().map(Expr::Nested);
    if let Some(list) = arguments(function) {
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)];
    }
    function.filter = filter.into_iter().chain(known).reduce(both).map(Box::new);
}

/// `percentile_cont(p) WITHIN GROUP (ORDER BY x)` is `percentile_cont(x, p)`.
fn within_group(function: &mut Function, name: &str) -> Result<()> {
    let [order] = function.within_group.as_slice() else {
        return Err(Error::usage(format!("{} is ordered by one column", name.to_uppercase())));
    };
    let OrderByExpr { expr, options, .. } = order.clone();
    if options.asc == Some(false) && name != "percentile_cont" && name != "quantile_cont" {
        return Err(Error::not_yet(format!("{} … DESC", name.to_uppercase())));
    }
    function.within_group.clear();
    let Some(list) = arguments(function) else { return Ok(()) };
    if options.asc == Some(false)
        && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(p))) = list.args.first_mut()
    {
        let one = Expr::Value(Value::Number("1".to_owned(), false).into());
        let right = Box::new(Expr::Nested(Box::new(p.clone())));
        *p = Expr::BinaryOp { left: Box::new(one), op: BinaryOperator::Minus, right };
    }
    list.args.insert(0, FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> String {
        let mut query = crate::sql::parser::parse_query(&format!("SELECT {text}")).unwrap();
        match rewrite(&mut query) {
            Ok(()) => query.to_string().replacen("SELECT ", "", 1),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_spelling_becomes_the_planned_one() {
        for (text, expected) in [
            ("count_if(a > 1)", "count(*) FILTER (WHERE a > 1)"),
            ("COUNT_WHERE(x, a)", "count(x) FILTER (WHERE a)"),
            ("sum_if(x, a) FILTER (WHERE b)", "sum(x) FILTER (WHERE (b) AND (a))"),
            ("max_where(x, a > 1) OVER w", "max(x) FILTER (WHERE a > 1) OVER w"),
            ("sum_cate_where(x, a, c)", "sum_cate(x, c) FILTER (WHERE a)"),
            (
                "top_n_key_min_cate_where(x, a, c, 2)",
                "top_n_key_min_cate(x, c, 2) FILTER (WHERE a)",
            ),
            ("distinct_count(x)", "count(DISTINCT x)"),
            ("1 + avg_if(count_if(a), b)", "1 + avg(count(*) FILTER (WHERE a)) FILTER (WHERE b)"),
            ("percentile_cont(0.3) WITHIN GROUP (ORDER BY x)", "percentile_cont(x, 0.3)"),
            (
                "percentile_cont(0.3) WITHIN GROUP (ORDER BY x DESC)",
                "percentile_cont(x, 1 - (0.3))",
            ),
            ("mode() WITHIN GROUP (ORDER BY x)", "mode(x)"),
            ("count(a, b + 1)", "count(*) FILTER (WHERE (a) IS NOT NULL AND (b + 1) IS NOT NULL)"),
            ("count(DISTINCT a, b)", "count(DISTINCT a, b)"),
            ("sum(x)", "sum(x)"),
        ] {
            assert_eq!(rewritten(text), expected, "{text}");
        }
        assert!(rewritten("sum_if(x)").contains("SUM_IF needs a condition"));
    }
}
