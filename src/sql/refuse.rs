//! Clauses of a query that the parser understands and the planner would ignore. Each is refused
//! with the reason, before any planning. Called by `parser` for every query.

use std::ops::ControlFlow;

use sqlparser::ast::{Query, Select, Spanned as _, TableFactor, Visit, Visitor};

use crate::error::{Error, Result};
use crate::sql::token::At;

/// Refuses what would be accepted and ignored.
pub fn check_query(query: &Query) -> Result<()> {
    match query.visit(&mut Refusal) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Refusal;

fn refuse(found: bool, what: &str, hint: &str) -> Option<Error> {
    found.then(|| Error::not_supported(what).with_hint(hint))
}

impl Visitor for Refusal {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let refusal = refuse(!query.locks.is_empty(), "FOR UPDATE and FOR SHARE", "leave it out")
            .or_else(|| refuse(query.for_clause.is_some(), "FOR XML and FOR JSON", "leave it out"))
            .or_else(|| refuse(query.settings.is_some(), "SETTINGS", "leave it out"))
            .or_else(|| refuse(query.format_clause.is_some(), "FORMAT", "use --format"))
            .or_else(|| {
                refuse(!query.pipe_operators.is_empty(), "pipe operators", "write plain SQL")
            });
        stop(refusal, query.span())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        let refusal = refuse(select.top.is_some(), "TOP", "use LIMIT")
            .or_else(|| refuse(select.into.is_some(), "SELECT INTO", "use COPY (SELECT …) TO '…'"))
            .or_else(|| refuse(select.prewhere.is_some(), "PREWHERE", "use WHERE"))
            .or_else(|| refuse(!select.lateral_views.is_empty(), "LATERAL VIEW", "use unnest(…)"))
            .or_else(|| refuse(!select.connect_by.is_empty(), "CONNECT BY", "use WITH RECURSIVE"))
            .or_else(|| refuse(!select.cluster_by.is_empty(), "CLUSTER BY", "use ORDER BY"))
            .or_else(|| refuse(!select.distribute_by.is_empty(), "DISTRIBUTE BY", "leave it out"))
            .or_else(|| refuse(!select.sort_by.is_empty(), "SORT BY", "use ORDER BY"))
            .or_else(|| {
                refuse(select.value_table_mode.is_some(), "SELECT AS VALUE", "list the columns")
            });
        stop(refusal, select.span())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        let TableFactor::Table { version, sample, with_hints, partitions, index_hints, .. } =
            factor
        else {
            return ControlFlow::Continue(());
        };
        let refusal = refuse(
            version.is_some(),
            "FOR SYSTEM_TIME AS OF and other table versions",
            "for the row known at a time use a ASOF JOIN b MATCH_CONDITION (a.t >= b.t) ON …",
        )
        .or_else(|| refuse(sample.is_some(), "TABLESAMPLE", "filter by a hash of the key"))
        .or_else(|| {
            refuse(
                !with_hints.is_empty(),
                "hints on a table",
                "leave WITH (…) out; the options of a feature stand before AS",
            )
        })
        .or_else(|| refuse(!partitions.is_empty(), "PARTITION (…) on a table", "use WHERE"))
        .or_else(|| refuse(!index_hints.is_empty(), "index hints", "leave them out"));
        stop(refusal, factor.span())
    }
}

fn stop(refusal: Option<Error>, span: sqlparser::tokenizer::Span) -> ControlFlow<Error> {
    match refusal {
        Some(error) => ControlFlow::Break(error.at(span)),
        None => ControlFlow::Continue(()),
    }
}
