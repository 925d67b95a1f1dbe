//! What the engine knows in a test: sources and features, made from SQL as `apply` makes them, in
//! memory. Called by `run` and the random trials; the only file that plans features.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skewless::catalog::define::source_def;
use skewless::catalog::define_feature::feature_options;
use skewless::catalog::source::SourceDef;
use skewless::error::{Error, Result};
use skewless::model::text::write_json_row;
use skewless::plan::bind::{SourceLookup, plan_feature};
use skewless::plan::computed::{compile_computed, infer};
use skewless::plan::dataflow::FeaturePlan;
use skewless::source::admit::Compute;
use skewless::source::datagen::DatagenSource;
use skewless::source::records::Records;
use skewless::source::source::Source as _;
use skewless::sql::ast::{CreateFeature, Statement};
use skewless::sql::parser::parse_statements;

use super::script::LogRecord;

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
        let statements = parse_statements(text)?;
        // Of several statements none has a semicolon inside.
        let code = text.lines().filter(|line| !line.starts_with("--"));
        let code = code.collect::<Vec<_>>().join("\n");
        let mut texts = code.split(';');
        let single = statements.len() == 1;
        for statement in statements {
            let text = if single { text } else { texts.next().unwrap_or_default() };
            match statement {
                Statement::CreateSource(create) => {
                    if self.sources.contains_key(&create.name.value) {
                        let name = &create.name.value;
                        return Err(Error::usage(format!("source '{name}' exists")));
                    }
                    let def = source_def(&create, &|_| None, &infer)?;
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
        feature_options(create, &|_| None)?;
        let plan = plan_feature(self, &name, 1, &create.query)?;
        self.features.push(Feature { name, plan, query: select_of(text) });
        Ok(())
    }
}

/// The rows of a generated source as JSON records.
pub fn generated(text: &str) -> Result<Vec<LogRecord>> {
    let mut engine = Engine::default();
    engine.execute(text)?;
    let def = engine.sources.values().next();
    let def = def.ok_or_else(|| Error::usage("no CREATE SOURCE"))?;
    let mut source = DatagenSource::new(def)?;
    let mut records = Vec::new();
    loop {
        let polled = source.poll(1024, Duration::ZERO)?;
        for chunk in &polled.chunks {
            let Records::Rows(rows) = &chunk.records else { continue };
            for row in 0..rows.batch.num_rows() {
                let mut text = String::new();
                write_json_row(&rows.batch, row, &mut text)?;
                records.push(LogRecord { timestamp: None, value: Some(text) });
            }
        }
        if polled.end_of_input {
            return Ok(records);
        }
    }
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
