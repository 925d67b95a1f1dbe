//! What the engine knows in a test: sources and features, made from SQL as `apply` makes them, in
//! memory. Called by `run` and the random trials; the only file that plans features.

use std::collections::BTreeMap;
use std::sync::Arc;

use skewless::catalog::source::*;
use skewless::error::{Error, Result};
use skewless::limits;
use skewless::model::batch::timestamp_type;
use skewless::plan::bind::{SourceLookup, plan_feature};
use skewless::plan::computed::{compile_computed, infer};
use skewless::plan::dataflow::FeaturePlan;
use skewless::source::admit::Compute;
use skewless::sql::ast::{ColumnOrigin, CreateFeature, CreateSource, SourceColumn, Statement};
use skewless::sql::parser::parse_statements;

/// A feature and the text of its SELECT as the test wrote it.
pub struct Feature {
    pub name: String,
    pub plan: FeaturePlan,
    /// Taken from the text without our parser, for the oracle.
    pub query: String,
}

#[derive(Default)]
pub struct Engine {
    pub sources: BTreeMap<String, Arc<SourceDef>>,
    pub features: Vec<Feature>,
}

impl SourceLookup for Engine {
    fn source(&self, name: &str) -> Result<Arc<SourceDef>> {
        let found = self.sources.get(name).cloned();
        found.ok_or_else(|| Error::usage(format!("no such source: {name}")))
    }

    fn names(&self) -> Vec<String> {
        self.sources.keys().cloned().collect()
    }
}

impl Engine {
    /// Runs the CREATE statements of a text. Must be called with a large stack.
    pub fn execute(&mut self, text: &str) -> Result<()> {
        for statement in parse_statements(text)? {
            match statement {
                Statement::CreateSource(create) => {
                    let def = self.define(&create)?;
                    compile_computed(&def)?;
                    self.sources.insert(def.name.clone(), Arc::new(def));
                }
                Statement::CreateFeature(create) => self.feature(&create, text)?,
                other => {
                    return Err(Error::usage(format!("no statement of a test: {other:?}")));
                }
            }
        }
        Ok(())
    }

    fn feature(&mut self, create: &CreateFeature, text: &str) -> Result<()> {
        let name = create.name.value.clone();
        if self.features.iter().any(|f| f.name == name) {
            return Err(Error::usage(format!("feature '{name}' exists")));
        }
        let plan = plan_feature(self, &name, 1, &create.query)?;
        self.features.push(Feature { name, plan, query: select_of(text) });
        Ok(())
    }

    fn define(&self, create: &CreateSource) -> Result<SourceDef> {
        if self.sources.contains_key(&create.name.value) {
            return Err(Error::usage(format!("source '{}' exists", create.name.value)));
        }
        let mut def = SourceDef {
            name: create.name.value.clone(),
            columns: Vec::new(),
            watermark: match &create.watermark {
                Some(w) => WatermarkDef { column: w.column.value.clone(), delay_us: w.delay_us },
                None => return Err(Error::usage("a source of a test needs WATERMARK FOR")),
            },
            options: options(create)?,
            sql: String::new(),
        };
        let plain = create.columns.iter().filter(|c| c.data_type.is_some());
        let schema = arrow::datatypes::Schema::new(
            plain
                .filter_map(|c| {
                    let kind = c.data_type.as_ref()?.value.clone();
                    Some(arrow::datatypes::Field::new(&c.name.value, kind, !c.not_null))
                })
                .collect::<Vec<_>>(),
        );
        for c in &create.columns {
            def.columns.push(column(c, &schema)?);
        }
        let time = def.column(&def.watermark.column).map(|c| c.data_type.clone());
        if time != Some(timestamp_type()) {
            return Err(Error::usage("the event time of a test is no TIMESTAMP"));
        }
        Ok(def)
    }
}

fn column(c: &SourceColumn, schema: &arrow::datatypes::Schema) -> Result<ColumnDef> {
    let declared = c.data_type.as_ref().map(|t| t.value.clone());
    let (kind, data_type) = match &c.origin {
        ColumnOrigin::Physical => (ColumnKind::Physical, declared),
        ColumnOrigin::Computed { expression, text, .. } => {
            let inferred = infer(expression, schema)?.0;
            (ColumnKind::Computed(text.clone()), declared.or(Some(inferred)))
        }
        ColumnOrigin::Metadata(field) => {
            let field = match field.value.as_str() {
                "partition" => MetadataField::Partition,
                "offset" => MetadataField::Offset,
                "timestamp" => MetadataField::Timestamp,
                "key" => MetadataField::Key,
                _ => MetadataField::Headers,
            };
            (ColumnKind::Metadata(field), declared)
        }
    };
    Ok(ColumnDef {
        name: c.name.value.clone(),
        data_type: data_type.ok_or_else(|| Error::usage("a column without a type"))?,
        nullable: !c.not_null,
        kind,
    })
}

/// The few options tests use; the others keep their defaults.
fn options(create: &CreateSource) -> Result<SourceOptions> {
    let mut json = JsonOptions::default();
    let mut partitioned_by = Vec::new();
    let mut max_future_us = limits::MAX_FUTURE_US;
    for option in &create.options {
        let value = option.value.value.as_str();
        match option.key.value.as_str() {
            "connector" | "topic" | "format" => {}
            key if key.starts_with("properties.") => {}
            "partitioned.by" => {
                partitioned_by = value.split(',').map(|c| c.trim().to_owned()).collect();
            }
            "max_future" => {
                max_future_us = skewless::model::time::parse_duration(value)
                    .ok_or_else(|| Error::usage(format!("no duration: {value}")))?;
            }
            "json.coerce" => json.coerce = value == "true",
            "json.nonfinite" => json.nonfinite = value == "accept",
            "json.unknown" => json.reject_unknown = value == "reject",
            "json.timestamp" => {
                json.timestamp = match value {
                    "epoch_s" => JsonTimestamp::EpochSeconds,
                    "epoch_ms" => JsonTimestamp::EpochMillis,
                    "epoch_us" => JsonTimestamp::EpochMicros,
                    _ => JsonTimestamp::Rfc3339,
                };
            }
            other => return Err(Error::usage(format!("no option of a test: {other}"))),
        }
    }
    Ok(SourceOptions {
        connector: Connector::Kafka,
        path: None,
        topic: None,
        properties: Vec::new(),
        startup: StartupMode::Earliest,
        partitioned_by,
        format: Format::Json,
        json,
        history: None,
        archive: false,
        dead_letter: None,
        max_future_us,
        idle_timeout_us: limits::IDLE_TIMEOUT_US,
        message_bytes_max: limits::MESSAGE_BYTES_MAX,
        datagen_rows: None,
        datagen_rate: None,
        datagen_seed: 0,
    })
}

/// The evaluation of a source's computed columns.
pub fn compute(def: &SourceDef) -> Result<Option<Compute>> {
    let computed = compile_computed(def)?;
    Ok(computed.map(|c| -> Compute { Arc::new(move |batch| c.projection.evaluate(batch)) }))
}

/// The SELECT of a CREATE FEATURE, found without a parser: from the first SELECT on.
pub fn select_of(text: &str) -> String {
    let at = text.to_ascii_uppercase().find("SELECT").unwrap_or(0);
    text[at..].trim().trim_end_matches(';').to_owned()
}
