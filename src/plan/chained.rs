//! Windows over windows: `SELECT k, AVG(n) OVER (… ORDER BY window_end …) FROM (SELECT … FROM
//! TUMBLE(…) GROUP BY …)`. The sub-query is planned as a feature of its own; the outer SELECT is
//! planned over a source whose rows are its final rows, with `window_end` as event time. Part of
//! `bind`.

use std::sync::Arc;

use sqlparser::ast::{Ident, Query, Select, SetExpr, Spanned as _, TableFactor, TableWithJoins};
use xxhash_rust::xxh3::xxh3_128;

use super::bind::{SourceLookup, plan_part};
use super::check::{check_clauses, fold};
use super::check_call::calls;
use super::checked::ErrorCounter;
use super::dataflow::{ChainSpec, FeaturePlan, TimeColumns, WindowSpec};
use crate::catalog::source::{ColumnDef, ColumnKind, SourceDef, WatermarkDef};
use crate::error::{Error, Result};
use crate::sql::printer::name_text;
use crate::sql::relations::table;
use crate::sql::token::span_of;
use crate::sql::window::{WindowShape, normalise, window_call};

/// The SELECT between, as the source of the outer one.
struct Between(Arc<SourceDef>);

impl SourceLookup for Between {
    fn source(&self, name: &str) -> Result<Arc<SourceDef>> {
        if name == self.0.name {
            return Ok(self.0.clone());
        }
        Err(Error::usage(format!("no such source: {name}")))
    }

    fn names(&self) -> Vec<String> {
        vec![self.0.name.clone()]
    }
}

fn select_of(query: &Query) -> Option<&Select> {
    match query.body.as_ref() {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}

/// The sub-query with a group window that an outer window reads, and what it is called.
pub fn inner(query: &Query) -> Option<(&Query, Ident)> {
    let [TableWithJoins { relation, joins }] = select_of(query)?.from.as_slice() else {
        return None;
    };
    let TableFactor::Derived { lateral: false, subquery, alias, sample: None } = relation else {
        return None;
    };
    let mut plain = subquery.as_ref().clone();
    normalise(&mut plain).ok()?;
    let below = select_of(&plain)?;
    let windowed = below.from.iter().any(|t| matches!(window_call(&t.relation), Ok(Some(_))));
    let outer = !calls(select_of(query)?).over.is_empty();
    let named = alias.as_ref().is_none_or(|alias| alias.columns.is_empty());
    let name = alias.as_ref().map_or_else(|| Ident::new("windows"), |alias| alias.name.clone());
    (windowed && outer && named && joins.is_empty()).then_some((subquery, name))
}

/// Plans both SELECTs and puts one operator over the other.
pub fn plan(
    sources: &dyn SourceLookup,
    name: &str,
    version: u32,
    query: &Query,
    errors: &ErrorCounter,
) -> Result<FeaturePlan> {
    let Some((below, alias)) = inner(query) else {
        return Err(Error::internal("no window over a window"));
    };
    check_clauses(query)?;
    let located = |error: Error| match error.span() {
        Some(_) => error,
        None => error.with_span(span_of(below.span())),
    };
    let first = plan_part(sources, name, version, below, errors).map_err(located)?;
    let source = sources.source(&first.source)?;
    let between = Arc::new(between(&first, &source, &fold(&alias))?);
    let mut outer = query.clone();
    if let SetExpr::Select(select) = outer.body.as_mut()
        && let Some(from) = select.from.first_mut()
    {
        from.relation = table(&between.name);
    }
    let second = plan_part(&Between(between.clone()), name, version, &outer, errors)?;
    chain(first, second, &between).map_err(located)
}

/// The final rows of the first plan as a source.
fn between(first: &FeaturePlan, source: &SourceDef, name: &str) -> Result<SourceDef> {
    let TimeColumns::Window { end, .. } = &first.time_column else {
        return Err(Error::not_yet("a window over the result of a trailing window")
            .with_hint("the sub-query may have TUMBLE, HOP, CUMULATE or SESSION"));
    };
    let column = |field: &Arc<arrow::datatypes::Field>| ColumnDef {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        // The results of a window always have its end.
        nullable: field.name() != end,
        kind: ColumnKind::Physical,
    };
    Ok(SourceDef {
        name: name.to_owned(),
        columns: first.schema().fields().iter().map(column).collect(),
        watermark: WatermarkDef { column: end.clone(), delay_us: 0 },
        options: source.options.clone(),
        sql: String::new(),
    })
}

fn chain(first: FeaturePlan, second: FeaturePlan, between: &SourceDef) -> Result<FeaturePlan> {
    let (WindowSpec::Group(group), WindowSpec::Trailing(trailing)) =
        (&first.window, &second.window)
    else {
        return Err(Error::not_yet("TUMBLE and HOP over the result of a window")
            .with_hint("a window over windows is written with OVER"));
    };
    if let WindowShape::Count { .. } = group.shape {
        return Err(Error::not_yet("a window over the result of COUNT_WINDOW"));
    }
    let own: Vec<Option<&str>> = first.key_columns.iter().map(|key| Some(key.as_str())).collect();
    let keys: Vec<Option<&str>> = second.key_sources.iter().map(Option::as_deref).collect();
    if own != keys {
        let names: Vec<String> = first.key_columns.iter().map(|key| name_text(key)).collect();
        return Err(Error::not_yet(
            "a window over windows of another key: the rows of one entity stay together",
        )
        .with_hint(format!("PARTITION BY {}", names.join(", "))));
    }
    let spec = ChainSpec {
        first: group.clone(),
        between: first.output.clone(),
        schema: between.admitted_schema(),
        preparation: second.preparation.clone(),
        second: trailing.clone(),
    };
    let text = format!("{}\nthen\n{}", first.fingerprint, second.fingerprint);
    let mut notes = first.notes;
    notes.extend(second.notes);
    notes.push("windows over windows: the current value follows from closed windows".to_owned());
    let mut description = second.description;
    description.inner = Some(Box::new(first.description));
    Ok(FeaturePlan {
        source: first.source,
        key_sources: first.key_sources,
        preparation: first.preparation,
        window: WindowSpec::Chain(Box::new(spec)),
        sharing: format!("{}, then {}", first.sharing, second.sharing),
        fingerprint: format!("{:032x}", xxh3_128(text.as_bytes())),
        notes,
        description,
        ..second
    })
}
