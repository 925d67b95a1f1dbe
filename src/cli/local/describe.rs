//! SHOW, DESCRIBE and EXPLAIN as rows and text.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::logical_expr::Documentation;
use datafusion::physical_plan::memory::MemoryStream;

use crate::aggregate::table::TABLE;
use crate::catalog::registry::{Catalog, Entry};
use crate::catalog::source::{ColumnKind, SourceDef};
use crate::cli::engine::Output;
use crate::cli::local::LocalEngine;
use crate::error::{Error, Result};
use crate::format::rejection::sql_type;
use crate::plan::dataflow::FeaturePlan;
use crate::plan::explain::{explain, explain_shared};
use crate::plan::{scalar, spelling};
use crate::sql::ast::{Describe, Explain, ExplainTarget, Name, Show, ShowWhat, Statement};
use crate::sql::options::OPTIONS;
use crate::sql::printer::{redacted_url, shown_definition};

/// Names of all functions a query may use, sorted.
pub(super) fn functions() -> Vec<String> {
    functions_with_words().into_keys().collect()
}

/// Every function that a query can call: how it is written, what it gives.
fn functions_with_words() -> BTreeMap<String, (String, String)> {
    let context = super::query::plain_session();
    let state = context.state();
    let mut all = BTreeMap::new();
    let mut stock = |name: &String, words: Option<&Documentation>| {
        let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let words = words.map(|words| (line(&words.syntax_example), line(&words.description)));
        all.insert(name.clone(), words.unwrap_or_default());
    };
    state.scalar_functions().iter().for_each(|(name, f)| stock(name, f.documentation()));
    state.aggregate_functions().iter().for_each(|(name, f)| stock(name, f.documentation()));
    state.window_functions().iter().for_each(|(name, f)| stock(name, f.documentation()));
    all.retain(|name, _| !name.starts_with('_'));
    for function in scalar::FUNCTIONS {
        all.insert(function.name.to_owned(), (function.usage.to_owned(), function.doc.to_owned()));
    }
    for function in TABLE {
        for name in function.names {
            all.insert((*name).to_owned(), (function.usage.to_owned(), function.doc.to_owned()));
        }
    }
    for (name, usage, doc) in spelling::described() {
        all.insert(name.to_owned(), (usage, doc));
    }
    all
}

/// Rows of text columns as a result.
pub(super) fn text_rows<const N: usize>(
    names: [&str; N],
    rows: Vec<[Option<String>; N]>,
) -> Result<Output> {
    let mut columns: Vec<(String, ArrayRef)> = Vec::with_capacity(N);
    for (i, name) in names.into_iter().enumerate() {
        let column: StringArray = rows.iter().map(|row| row[i].as_deref()).collect();
        columns.push((name.to_owned(), Arc::new(column)));
    }
    let nullable = columns.into_iter().map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(nullable)?;
    let schema = batch.schema();
    Ok(Output::Rows(Box::pin(MemoryStream::try_new(vec![batch], schema, None)?)))
}

impl LocalEngine {
    pub(super) fn show(&self, show: &Show) -> Result<Output> {
        let catalog = self.catalog()?;
        match &show.what {
            ShowWhat::Sources => show_sources(&catalog),
            ShowWhat::Features => self.show_features(&catalog),
            ShowWhat::Tables => text_rows(["name"], Vec::new()),
            ShowWhat::Options => show_options(),
            ShowWhat::Functions => {
                let row = |(name, (usage, doc))| [Some(name), Some(usage), Some(doc)];
                let rows = functions_with_words().into_iter().map(row).collect();
                text_rows(["function", "usage", "description"], rows)
            }
            ShowWhat::Create { name, .. } => {
                let entry = located(catalog.any(&name.value), name)?;
                Ok(Output::Text(format!("{};\n", shown_definition(entry.sql())?)))
            }
        }
    }

    fn show_features(&self, catalog: &Catalog) -> Result<Output> {
        let mut rows = Vec::new();
        for entry in catalog.feature_entries() {
            let plan = self.plan_of(catalog, &entry.def);
            let key = plan.as_ref().map(|plan| plan.key_columns.join(", ")).ok();
            let columns = plan.as_ref().map(|plan| plan.value_columns.join(", ")).ok();
            rows.push([
                Some(entry.def.name.clone()),
                Some(entry.def.version.to_string()),
                Some(entry.reads.join(", ")),
                key,
                columns,
                Some(super::status::online_text(&entry.def)),
                entry.def.options.description.clone(),
            ]);
        }
        text_rows(["name", "version", "source", "key", "values", "online", "description"], rows)
    }

    pub(super) fn describe(&self, describe: &Describe) -> Result<Output> {
        let catalog = self.catalog()?;
        match located(catalog.any(&describe.name.value), &describe.name)? {
            Entry::Source(def) => describe_source(def),
            Entry::Feature(entry) => describe_feature(&self.plan_of(&catalog, &entry.def)?),
        }
    }

    pub(super) async fn explain(&self, statement: &Explain) -> Result<Output> {
        let catalog = self.catalog()?;
        match &statement.target {
            ExplainTarget::Feature(name) => {
                let def = located(catalog.feature(&name.value), name)?;
                let plan = self.plan_of(&catalog, def)?;
                let sharers = self.sharers(&catalog, &plan);
                Ok(Output::Text(explain_shared(&plan, &sharers)))
            }
            ExplainTarget::Statement(inner) => match inner.as_ref() {
                Statement::CreateFeature(create) => {
                    let plan = self.plan_query(&create.name.value, &create.query)?;
                    Ok(Output::Text(explain(&plan)))
                }
                Statement::Query(query) if statement.feature => {
                    let plan = self.plan_query("feature", &query.query)?;
                    Ok(Output::Text(explain(&plan)))
                }
                Statement::Query(query) => {
                    self.explain_query(query, statement.analyze, statement.verbose).await
                }
                _ => Err(Error::not_supported("EXPLAIN of this statement")
                    .with_hint("EXPLAIN a SELECT, a CREATE FEATURE, or FEATURE name")),
            },
        }
    }

    /// Other features that would share a state group with this one.
    fn sharers(&self, catalog: &Catalog, plan: &FeaturePlan) -> Vec<String> {
        let others = catalog.features().filter(|def| def.name != plan.feature);
        let same = others.filter(|def| {
            self.plan_of(catalog, def).is_ok_and(|other| other.sharing == plan.sharing)
        });
        same.map(|def| def.name.clone()).collect()
    }
}

fn located<T>(found: Result<T>, name: &Name) -> Result<T> {
    found.map_err(|error| error.with_span(name.span))
}

fn show_sources(catalog: &Catalog) -> Result<Output> {
    let rows = catalog.sources().map(|def| {
        let options = &def.options;
        let place = options.topic.clone().or_else(|| options.path.as_deref().map(redacted_url));
        [
            Some(def.name.clone()),
            Some(format!("{:?}", options.connector).to_lowercase()),
            place,
            Some(format!("{:?}", options.format).to_lowercase()),
            Some(def.columns.len().to_string()),
            Some(watermark_text(def)),
        ]
    });
    let names = ["name", "connector", "topic_or_path", "format", "columns", "watermark"];
    text_rows(names, rows.collect())
}

fn watermark_text(def: &SourceDef) -> String {
    let delay = crate::model::time::format_duration(def.watermark.delay_us);
    format!("{} - {delay}", def.watermark.column)
}

fn show_options() -> Result<Output> {
    let rows = OPTIONS.iter().map(|option| {
        [
            Some(option.name.to_owned()),
            Some(option.applies_to.word().to_owned()),
            option.default.map(str::to_owned),
            Some(option.status().to_owned()),
            Some(option.doc.to_owned()),
        ]
    });
    text_rows(["option", "of", "default", "status", "meaning"], rows.collect())
}

fn describe_source(def: &SourceDef) -> Result<Output> {
    let rows = def.columns.iter().map(|column| {
        let origin = match &column.kind {
            ColumnKind::Physical if column.name == def.watermark.column => watermark_text(def),
            ColumnKind::Physical => String::new(),
            ColumnKind::Computed(text) => format!("AS ({text})"),
            ColumnKind::Metadata(field) => {
                format!("METADATA {}", format!("{field:?}").to_lowercase())
            }
        };
        [
            Some(column.name.clone()),
            Some(sql_type(&column.data_type)),
            Some(if column.nullable { "yes" } else { "no" }.to_owned()),
            Some(origin),
        ]
    });
    text_rows(["column", "type", "nullable", "note"], rows.collect())
}

fn describe_feature(plan: &FeaturePlan) -> Result<Output> {
    let rows = plan.schema().fields().iter().map(|field| {
        let role = if plan.key_columns.contains(field.name()) {
            "key"
        } else if plan.value_columns.contains(field.name()) {
            "value"
        } else {
            "time"
        };
        [
            Some(field.name().clone()),
            Some(sql_type(field.data_type())),
            Some(if field.is_nullable() { "yes" } else { "no" }.to_owned()),
            Some(role.to_owned()),
        ]
    });
    text_rows(["column", "type", "nullable", "role"], rows.collect())
}
