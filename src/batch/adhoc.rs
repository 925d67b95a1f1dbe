//! Plain SELECT over everything a home knows: a source reads its history, a feature its current
//! values, HISTORY(feature) its final rows, DEAD_LETTERS(source) what was not admitted. Called by
//! `cli`; tables are opened only for the names a query reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Result as DfResult, TableReference};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;

use crate::batch::asof::{AsofPlanner, Named};
use crate::batch::backfill::{TimeRange, final_rows};
use crate::batch::history::History;
use crate::batch::reference::{DEAD_LETTERS_PREFIX, HISTORY_PREFIX, References};
use crate::batch::sealed_exec::SealedExec;
use crate::batch::windowed::{self, Windowed};
use crate::catalog::feature::FeatureDef;
use crate::catalog::source::SourceDef;
use crate::error::{Error, Result};
use crate::format::dead_letter::dead_letter_schema;
use crate::offline::reader;
use crate::offline::store::Location;
use crate::plan::bind::{SourceLookup, plan_feature};
use crate::plan::dataflow::FeaturePlan;
use crate::plan::session::statement_frame;
use crate::source::admit::{Compute, Floors};
use crate::source::dead_topic;
use crate::sql::diagnostic::suggestion;
use crate::sql::guard::on_big_stack;

/// A source as ad-hoc SQL sees it.
#[derive(Clone)]
pub struct KnownSource {
    pub def: Arc<SourceDef>,
    pub compute: Option<Compute>,
    /// Directory of its dead letters.
    pub dead_letters: String,
    /// What an engine has set while it read the source.
    pub floors: Floors,
}

impl KnownSource {
    async fn history(&self) -> Result<History> {
        let history = History::find(&self.def, self.compute.clone()).await?;
        Ok(history.with_floors(self.floors.clone()))
    }
}

/// A feature as ad-hoc SQL sees it.
#[derive(Clone)]
pub struct KnownFeature {
    pub def: Arc<FeatureDef>,
    pub plan: FeaturePlan,
    /// Directory of its final rows; `None` = not kept.
    pub final_rows: Option<String>,
}

/// Gives the current values of a feature: its output columns and `_as_of`.
#[async_trait]
pub trait CurrentValues: Send + Sync {
    async fn current(&self, feature: &str) -> Result<Vec<RecordBatch>>;
}

/// Everything a home knows.
pub struct Known {
    pub sources: BTreeMap<String, KnownSource>,
    pub features: BTreeMap<String, KnownFeature>,
    pub current: Arc<dyn CurrentValues>,
}

impl Known {
    /// Registers what `references` name, then plans `statement` (whose table functions
    /// `reference::resolve` has rewritten).
    pub async fn frame(
        &self,
        context: &SessionContext,
        references: &References,
        mut statement: Statement,
    ) -> Result<DataFrame> {
        for windowed in windowed::take(&mut statement) {
            let table = self.computed(context, &windowed).await?;
            context.register_table(TableReference::bare(windowed.table), table)?;
        }
        for name in &references.tables {
            // Other names are aliases of common table expressions, or errors that the planner
            // reports with their place.
            if let Some(source) = self.sources.get(name) {
                let table = self.history_of(context, source).await?;
                context.register_table(TableReference::bare(name.as_str()), table)?;
            } else if let Some(feature) = self.features.get(name) {
                let table = self.current_of(feature).await?;
                context.register_table(TableReference::bare(name.as_str()), table)?;
            }
        }
        for name in &references.histories {
            self.register_final_rows(context, name).await?;
        }
        for name in &references.dead_letters {
            let source = self.sources.get(name).ok_or_else(|| unknown("source", name))?;
            let table = format!("{DEAD_LETTERS_PREFIX}{name}");
            if source.def.options.dead_letter_topic().is_some() {
                let def = source.def.clone();
                let letters = tokio::task::spawn_blocking(move || dead_topic::read::read(&def));
                let letters = letters.await.map_err(|e| Error::internal(e.to_string()))??;
                let letters = MemTable::try_new(dead_letter_schema(), vec![letters])?;
                context.register_table(TableReference::bare(table), Arc::new(letters))?;
                continue;
            }
            let location = Location::resolve(&source.dead_letters)?;
            reader::register(context, &table, &location, dead_letter_schema()).await?;
        }
        let names = self.asof_names(context, &references.asof).await?;
        context.register_relation_planner(Arc::new(AsofPlanner { names }))?;
        statement_frame(context, statement).await.map_err(|error| self.in_our_words(error))
    }

    /// An error about a table that is none, as one about sources, features and files.
    fn in_our_words(&self, error: Error) -> Error {
        let name = error.message().strip_prefix("table 'datafusion.public.");
        let Some(name) = name.and_then(|rest| rest.strip_suffix("' not found")) else {
            return error;
        };
        let own = if name.contains(['.', '/']) {
            Error::usage(format!("there is no file '{name}', or nobody knows how to read it"))
                .with_hint("files end in .parquet, .csv or .json, directories in '/'")
        } else {
            let known = self.sources.keys().chain(self.features.keys());
            let own = Error::usage(format!("there is no source or feature '{name}'"));
            match suggestion(name, known.map(String::as_str)) {
                Some(hint) => own.with_hint(hint),
                None => own,
            }
        };
        match error.span() {
            Some(span) => own.with_span(span),
            None => own,
        }
    }

    /// The rows of a SELECT whose windows only operators have.
    async fn computed(
        &self,
        context: &SessionContext,
        windowed: &Windowed,
    ) -> Result<Arc<dyn TableProvider>> {
        let plan = on_big_stack(|| plan_feature(self, &windowed.table, 1, &windowed.query))?;
        let source =
            self.sources.get(&plan.source).ok_or_else(|| unknown("source", &plan.source))?;
        let history = source.history().await?;
        let rows = final_rows(context, &plan, &history, TimeRange::default()).await?;
        let columns: Vec<usize> =
            (0..windowed.columns.unwrap_or(plan.schema().fields().len())).collect();
        let schema = Arc::new(plan.schema().project(&columns)?);
        Ok(Arc::new(PlanTable { plan: Arc::new(SealedExec::new(rows)), schema }))
    }

    async fn history_of(
        &self,
        context: &SessionContext,
        source: &KnownSource,
    ) -> Result<Arc<dyn TableProvider>> {
        let history = source.history().await?;
        let plan = history.admitted(context, None, None).await?;
        Ok(Arc::new(PlanTable { plan, schema: source.def.schema() }))
    }

    /// What the right sides of ASOF joins stand for; other names are the query's own.
    async fn asof_names(
        &self,
        context: &SessionContext,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Named>> {
        let mut found = BTreeMap::new();
        for name in names {
            let named = if let Some(source) = self.sources.get(name) {
                let history = source.history().await?;
                let plan = history.admitted(context, None, None).await?;
                Named::Source(Arc::new(PlanTable { plan, schema: source.def.admitted_schema() }))
            } else if let Some(feature) = self.features.get(name) {
                let source = &feature.plan.source;
                let source = self.sources.get(source).ok_or_else(|| unknown("source", source))?;
                let history = source.history().await?;
                let event_time = source.def.watermark.column.clone();
                Named::Feature { plan: Arc::new(feature.plan.clone()), event_time, history }
            } else {
                continue;
            };
            found.insert(name.clone(), named);
        }
        Ok(found)
    }

    async fn current_of(&self, feature: &KnownFeature) -> Result<Arc<dyn TableProvider>> {
        let rows = self.current.current(&feature.def.name).await?;
        let schema = feature.plan.schema().clone();
        let columns: Vec<usize> = (0..schema.fields().len()).collect();
        let rows = rows.iter().map(|batch| Ok(batch.project(&columns)?));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(MemTable::try_new(schema, vec![rows])?))
    }

    async fn register_final_rows(&self, context: &SessionContext, name: &str) -> Result<()> {
        let feature = self.features.get(name).ok_or_else(|| unknown("feature", name))?;
        let Some(url) = &feature.final_rows else {
            return Err(Error::usage(format!("feature '{name}' keeps no final rows"))
                .with_hint("it was created with 'offline' = 'none'"));
        };
        let table = format!("{HISTORY_PREFIX}{name}");
        let location = Location::resolve(url)?;
        reader::register(context, &table, &location, feature.plan.schema().clone()).await
    }
}

impl SourceLookup for Known {
    fn source(&self, name: &str) -> Result<Arc<SourceDef>> {
        let source = self.sources.get(name).map(|source| source.def.clone());
        source.ok_or_else(|| Error::usage(format!("no such source: {name}")))
    }

    fn names(&self) -> Vec<String> {
        self.sources.keys().cloned().collect()
    }
}

fn unknown(what: &str, name: &str) -> Error {
    Error::usage(format!("unknown {what} '{name}'"))
        .with_hint("SHOW SOURCES and SHOW FEATURES list them")
}

/// A plan as a table: its first columns, named by `schema`.
#[derive(Debug)]
struct PlanTable {
    plan: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for PlanTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let columns = projection.unwrap_or(&all).iter().map(|i| {
            let name = self.schema.field(*i).name().clone();
            (
                Arc::new(Column::new(&name, *i))
                    as Arc<dyn datafusion::physical_expr::PhysicalExpr>,
                name,
            )
        });
        let columns: Vec<_> = columns.collect();
        Ok(Arc::new(ProjectionExec::try_new(columns, self.plan.clone())?))
    }
}
