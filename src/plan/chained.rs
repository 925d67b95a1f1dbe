//! Windows over windows: `SELECT k, AVG(n) OVER (… ORDER BY window_end …) FROM (SELECT … FROM
//! TUMBLE(…) GROUP BY …)`, or `FROM (SELECT …, LAG(x) OVER (…) FROM t)`. The sub-query is planned
//! as a feature of its own; the outer SELECT is planned over a source whose rows are its final
//! rows, at the end of the window or at the event time. Part of `bind`.

use std::sync::Arc;

use sqlparser::ast::{Ident, Query, Select, SetExpr, Spanned as _, TableFactor, TableWithJoins};
use xxhash_rust::xxh3::xxh3_128;

use super::bind::{Part, SourceLookup, plan_part};
use super::check::{check_clauses, fold};
use super::check_call::own_calls;
use super::checked::ErrorCounter;
use super::dataflow::{ChainSpec, FeaturePlan, FirstSpec, GroupSpec, TimeColumns, WindowSpec};
use super::fingerprint::fingerprint;
use crate::catalog::source::{ColumnDef, ColumnKind, SourceDef, WatermarkDef};
use crate::error::{Error, Result, Span};
use crate::model::batch::is_place;
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

/// The sub-query with windows that an outer window reads, and what it is called.
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
    let grouped = below.from.iter().any(|t| matches!(window_call(&t.relation), Ok(Some(_))));
    let windowed = grouped || !own_calls(below).over.is_empty();
    let outer = !own_calls(select_of(query)?).over.is_empty();
    let named = alias.as_ref().is_none_or(|alias| alias.columns.is_empty());
    let name = alias.as_ref().map_or_else(|| Ident::new("windows"), |alias| alias.name.clone());
    (windowed && outer && named && joins.is_empty()).then_some((subquery, name))
}

/// Where the trailing windows of a sub-query in FROM are.
pub fn inner_windows(query: &Query) -> Option<Span> {
    let [TableWithJoins { relation: TableFactor::Derived { subquery, .. }, .. }] =
        select_of(query)?.from.as_slice()
    else {
        return None;
    };
    own_calls(select_of(subquery)?).over.first().copied()
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
    let feature = (name, version);
    let first = plan_part(sources, feature, below, Part::Inner, errors).map_err(located)?;
    let source = sources.source(&first.source)?;
    let between = Arc::new(between(&first, &source, &fold(&alias))?);
    let mut outer = query.clone();
    if let SetExpr::Select(select) = outer.body.as_mut()
        && let Some(from) = select.from.first_mut()
    {
        from.relation = table(&between.name);
    }
    let sources = Between(between.clone());
    let second = plan_part(&sources, feature, &outer, Part::Outer, errors)?;
    chain(first, second, &between).map_err(located)
}

/// The final rows of the first plan as a source.
fn between(first: &FeaturePlan, source: &SourceDef, name: &str) -> Result<SourceDef> {
    let time = match &first.time_column {
        TimeColumns::Window { end, .. } => end,
        TimeColumns::Event(time) => time,
    };
    let column = |field: &Arc<arrow::datatypes::Field>| ColumnDef {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        // Results always have their time.
        nullable: field.name() != time,
        kind: ColumnKind::Physical,
    };
    let named = first.schema().fields().iter().filter(|field| !is_place(field.name()));
    Ok(SourceDef {
        name: name.to_owned(),
        columns: named.map(column).collect(),
        watermark: WatermarkDef { column: time.clone(), delay_us: 0 },
        options: source.options.clone(),
        sql: String::new(),
    })
}

fn chain(first: FeaturePlan, second: FeaturePlan, between: &SourceDef) -> Result<FeaturePlan> {
    let WindowSpec::Trailing(trailing) = &second.window else {
        return Err(Error::not_yet("TUMBLE and HOP over the result of a window")
            .with_hint("a window over windows is written with OVER"));
    };
    let (below, note) = match &first.window {
        WindowSpec::Group(GroupSpec { shape: WindowShape::Count { .. }, .. }) => {
            return Err(Error::not_yet("a window over the result of COUNT_WINDOW"));
        }
        WindowSpec::Group(spec) => {
            (FirstSpec::Group(spec.clone()), "the current value follows from closed windows")
        }
        WindowSpec::Trailing(spec) => (
            FirstSpec::Trailing(spec.clone()),
            "what is not final yet is computed anew for each current value",
        ),
        WindowSpec::Chain(_) => return Err(Error::internal("a sub-query of three levels")),
    };
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
        first: below,
        between: first.output.clone(),
        schema: between.admitted_schema(),
        preparation: second.preparation.clone(),
        second: trailing.clone(),
    };
    // What the sub-query is called is of no meaning.
    let unnamed = SourceDef { name: "windows".to_owned(), ..between.clone() };
    let outer = fingerprint(&second, &unnamed);
    let text = format!("{}\nthen\n{outer}", first.fingerprint);
    let mut notes = first.notes;
    notes.extend(second.notes);
    notes.push(format!("windows over windows: {note}"));
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
