//! Runs one `.slt` file in one mode. Statements define; the first query after a change runs every
//! feature over the log in that mode, checks the final rows against the oracle, and registers
//! them for the queries. Called by `main`.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use skewless::batch::reference::{DEAD_LETTERS_PREFIX, HISTORY_PREFIX, resolve};
use skewless::catalog::source::SourceDef;
use skewless::format::dead_letter::dead_letter_schema;
use skewless::model::time::EventTime;
use skewless::plan::dataflow::FeaturePlan;
use skewless::plan::session::{SessionOptions, session, sql};
use skewless::source::admit::Counts;
use skewless::sql::parser::parse_query;

use super::check::{canonical, lane_groups, same_rows, same_types};
use super::engine::{Engine, Feature, compute, generated};
use super::layout;
use super::log::{Message, Partition};
use super::modes::{Input, Outcome, Sabotage, Steps, batch, stream};
use super::render::{letters, lines};
use super::rng::{Rng, seed_of};
use super::script::{LogRecord, Record, RecordKind};
use super::stock::Oracle;
use super::value::rows;

/// The ways to run a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Batch,
    Stream,
    StreamRestore,
    StreamSplit,
}

impl Mode {
    pub const ALL: [Self; 4] = [Self::Batch, Self::Stream, Self::StreamRestore, Self::StreamSplit];

    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Stream => "stream",
            Self::StreamRestore => "stream-restore",
            Self::StreamSplit => "stream-split",
        }
    }
}

struct File {
    mode: Mode,
    seed: u64,
    engine: Engine,
    logs: BTreeMap<String, BTreeMap<u32, Vec<Message>>>,
    /// `Some(None)` = no oracle for this feature.
    oracles: BTreeMap<String, Option<String>>,
    fixed: bool,
    context: Option<SessionContext>,
}

/// Runs a parsed file.
pub async fn run(path: &str, records: &[Record], mode: Mode) -> Result<(), String> {
    let fixed = records.iter().any(|r| matches!(r.kind, RecordKind::FixedLog));
    let mut file = File {
        mode,
        seed: seed_of(path),
        engine: Engine::default(),
        logs: BTreeMap::new(),
        oracles: BTreeMap::new(),
        fixed,
        context: None,
    };
    for record in records {
        file.record(record).await.map_err(|e| format!("{path}:{}: {e}", record.line))?;
    }
    Ok(())
}

/// Whether `message` contains the pieces of `pattern` (between its `.*`), in order.
fn matches(pattern: &str, message: &str) -> bool {
    let mut rest = message;
    pattern.split(".*").all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

impl File {
    async fn record(&mut self, record: &Record) -> Result<(), String> {
        match &record.kind {
            RecordKind::Ok { sql } => {
                self.context = None;
                self.engine.execute(sql).map_err(|e| format!("{e}"))
            }
            RecordKind::File { sql } => {
                self.context = None;
                self.engine.execute(sql).map_err(|e| format!("{e}"))?;
                for feature in &self.engine.features {
                    let text = skewless::plan::explain::explain(&feature.plan);
                    assert!(text.contains("Dataflow"), "EXPLAIN says\n{text}");
                    self.oracles.insert(feature.name.clone(), None);
                }
                Ok(())
            }
            RecordKind::Error { pattern, sql } => self.fails(pattern, sql).await,
            RecordKind::Rows { source, partition, records } => {
                self.context = None;
                self.append(source, *partition, records)
            }
            RecordKind::Generate { source, sql } => {
                self.context = None;
                let records = generated(sql).map_err(|e| e.to_string())?;
                self.append(source, 0, &records)
            }
            RecordKind::Oracle { feature, sql } => {
                self.oracles.insert(feature.clone(), sql.clone());
                Ok(())
            }
            RecordKind::Automatic { feature } => {
                self.oracles.remove(feature);
                Ok(())
            }
            RecordKind::FixedLog => Ok(()),
            RecordKind::Query { types, rowsort, sql, expected } => {
                self.query(types, *rowsort, sql, expected).await
            }
        }
    }

    async fn fails(&mut self, pattern: &str, text: &str) -> Result<(), String> {
        let word = text.trim_start().to_ascii_uppercase();
        let error = if word.starts_with("SELECT") {
            self.rows_of(text).await.err()
        } else {
            self.engine.execute(text).err().map(|e| e.to_string())
        };
        match error {
            None => Err(format!("succeeded, expected: {pattern}")),
            Some(message) if matches(pattern, &message) => Ok(()),
            Some(message) => {
                Err(format!("another error\n  expected {pattern}\n  got      {message}"))
            }
        }
    }

    fn append(
        &mut self,
        source: &str,
        partition: u32,
        records: &[LogRecord],
    ) -> Result<(), String> {
        let name = source.trim_matches('"');
        if !self.engine.sources.contains_key(name) {
            return Err(format!("no source {name}"));
        }
        let log = self.logs.entry(name.to_owned()).or_default().entry(partition).or_default();
        for record in records {
            let own = match &record.timestamp {
                None => None,
                Some(text) => Some(EventTime::parse(text).ok_or(format!("no time: {text}"))?.0),
            };
            let value = record.value.as_ref().map(|v| v.clone().into_bytes());
            log.push(Message { offset: log.len() as i64, own, value });
        }
        Ok(())
    }

    fn input(&self, def: &std::sync::Arc<SourceDef>) -> Result<Input, String> {
        let log = self.logs.get(&def.name);
        let count = log.and_then(|l| l.keys().max()).map_or(1, |p| p + 1);
        let of = |p| log.and_then(|l| l.get(&p)).cloned().unwrap_or_default();
        let partitions = (0..count).map(|p| Partition::Messages(of(p))).collect();
        let compute = compute(def).map_err(|e| e.to_string())?;
        let input = Input { def: def.clone(), compute, partitions };
        if self.mode != Mode::StreamSplit || self.fixed {
            return Ok(input);
        }
        layout::another(&input, &mut Rng::new(self.seed))
            .ok_or("no other layout keeps the verdicts: say `log fixed` and why".to_owned())
    }

    async fn outcome(&self, input: &Input, plans: &[&FeaturePlan]) -> Result<Outcome, String> {
        let fail = |e: skewless::error::Error| format!("{}: {e}", self.mode.name());
        let groups = lane_groups(plans, &input.def.options.partitioned_by).map_err(fail)?;
        let mut rng = Rng::new(self.seed ^ 0x5EED);
        let steps = match self.mode {
            Mode::Batch => return batch(input, plans, 2, 8192).await.map_err(fail),
            Mode::Stream => (2, 8, 0),
            Mode::StreamRestore => (3, 3, 4),
            Mode::StreamSplit => (4, 2, 0),
        };
        let (lanes, chunk_max, restores) = steps;
        let steps = Steps { lanes, chunk_max, restores, sabotage: Sabotage::None };
        stream(input, &groups, plans.len(), steps, &mut rng).map_err(fail)
    }

    /// Runs every feature of every source and registers what queries may read.
    async fn prepare(&mut self) -> Result<SessionContext, String> {
        if let Some(context) = &self.context {
            return Ok(context.clone());
        }
        let context = session(skewless::aggregate::udaf::all(), &SessionOptions::default());
        for def in self.engine.sources.values() {
            let input = self.input(def)?;
            let features: Vec<&Feature> =
                self.engine.features.iter().filter(|f| f.plan.source == def.name).collect();
            let plans: Vec<&FeaturePlan> = features.iter().map(|f| &f.plan).collect();
            let outcome = self.outcome(&input, &plans).await?;
            if !outcome.counts.is_conserved() {
                return Err(format!("not conserved: {:?}", outcome.counts));
            }
            for (feature, finals) in features.iter().zip(&outcome.finals) {
                self.judge(def, feature, &outcome.admitted, finals).await?;
                let table = format!("{HISTORY_PREFIX}{}", feature.name);
                register(&context, &table, feature.plan.schema().clone(), finals)?;
            }
            let own: Vec<usize> = (0..def.schema().fields().len()).collect();
            let admitted = outcome.admitted.iter().map(|b| b.project(&own));
            let admitted = admitted.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
            register(&context, &def.name, def.schema(), &admitted)?;
            let dead = format!("{DEAD_LETTERS_PREFIX}{}", def.name);
            register(&context, &dead, dead_letter_schema(), &outcome.dead)?;
            let counts = counts_batch(&outcome.counts);
            register(&context, &format!("admission_{}", def.name), counts.schema(), &[counts])?;
        }
        self.context = Some(context.clone());
        Ok(context)
    }

    /// Final rows against stock DataFusion over the admitted rows.
    async fn judge(
        &self,
        def: &SourceDef,
        feature: &Feature,
        admitted: &[RecordBatch],
        finals: &[RecordBatch],
    ) -> Result<(), String> {
        let fail = |e| format!("feature {}: {e}", feature.name);
        let stock = match self.oracles.get(&feature.name) {
            Some(None) => return Ok(()),
            Some(Some(sql)) => Some(sql.as_str()),
            None => None,
        };
        let time = &def.watermark.column;
        let query = &feature.query;
        let oracle = Oracle::plan(&def.name, time, &def.schema(), query, stock).await;
        let oracle = oracle.map_err(fail)?;
        let expected = oracle.run(admitted).await.map_err(fail)?;
        if let Some(first) = expected.first() {
            same_types(&first.schema(), feature.plan.schema()).map_err(fail)?;
        }
        let expected = canonical(rows(&expected));
        same_rows("oracle", &expected, finals).map_err(|e| fail(format!("{e}\n{}", oracle.sql)))
    }

    async fn rows_of(&mut self, text: &str) -> Result<Vec<RecordBatch>, String> {
        let context = self.prepare().await?;
        let mut query = parse_query(text).map_err(|e| e.to_string())?;
        resolve(&mut query).map_err(|e| e.to_string())?;
        let frame = sql(&context, &query.to_string()).await.map_err(|e| e.to_string())?;
        let schema: SchemaRef = std::sync::Arc::new(frame.schema().as_arrow().clone());
        let mut batches = frame.collect().await.map_err(|e| e.to_string())?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema));
        }
        Ok(batches)
    }

    async fn query(
        &mut self,
        types: &str,
        rowsort: bool,
        text: &str,
        expected: &[String],
    ) -> Result<(), String> {
        let batches = self.rows_of(text).await?;
        let found = letters(&batches[0]);
        if found != types {
            return Err(format!("columns of types {found}, expected {types}"));
        }
        let (mut actual, mut expected) = (lines(&batches), expected.to_vec());
        if rowsort {
            actual.sort_unstable();
            expected.sort_unstable();
        }
        if actual != expected {
            let text = |lines: &[String]| lines.join("\n    ");
            return Err(format!(
                "other rows\n  expected\n    {}\n  got\n    {}",
                text(&expected),
                text(&actual)
            ));
        }
        Ok(())
    }
}

fn register(
    context: &SessionContext,
    name: &str,
    schema: SchemaRef,
    rows: &[RecordBatch],
) -> Result<(), String> {
    let table = MemTable::try_new(schema, vec![rows.to_vec()]).map_err(|e| format!("{name}: {e}"));
    let done = context.register_table(TableReference::bare(name), std::sync::Arc::new(table?));
    done.map(|_| ()).map_err(|e| e.to_string())
}

fn counts_batch(counts: &Counts) -> RecordBatch {
    let column = |n: u64| -> ArrayRef { std::sync::Arc::new(Int64Array::from(vec![n as i64])) };
    RecordBatch::try_from_iter([
        ("read", column(counts.read)),
        ("admitted", column(counts.admitted)),
        ("late", column(counts.late)),
        ("future", column(counts.future)),
        ("rejected", column(counts.rejected())),
    ])
    .unwrap()
}
