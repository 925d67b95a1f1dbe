//! Plain SELECT and COPY over the home's sources, features, final rows and dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{CopyToSource, Statement as DfStatement};
use sqlparser::ast::{Query, Statement as SqlStatement};

use crate::batch::adhoc::{CurrentValues, Known, KnownFeature, KnownSource};
use crate::batch::reference::{References, resolve};
use crate::catalog::source::SourceDef;
use crate::cli::engine::Output;
use crate::cli::local::LocalEngine;
use crate::cli::local::saved_state::Current;
use crate::error::Result;
use crate::offline::found::FoundStores;
use crate::plan::session::{SessionOptions, session};
use crate::runtime::saved;
use crate::sql::ast::{CopyTo, QueryStatement};

/// Share of the machine's memory that sorts and joins may use before they spill.
const MEMORY_SHARE: f64 = 0.5;
/// Where the machine's memory is unknown.
const MEMORY_FALLBACK_BYTES: usize = 4 << 30;

/// A session with all cores, our aggregates, and sorts that spill to disk.
pub(super) fn plain_session() -> SessionContext {
    let target_partitions = std::thread::available_parallelism().map_or(2, usize::from);
    let pool = FairSpillPool::new(memory_budget_bytes());
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_object_store_registry(Arc::new(FoundStores::default()))
        .build_arc();
    let options = SessionOptions {
        target_partitions,
        // Without a place to spill to, the session works in memory alone.
        runtime: runtime.ok(),
        ..SessionOptions::default()
    };
    session(crate::aggregate::udaf::all(), &options)
}

/// Half of the memory available now (Linux), else a fixed amount.
fn memory_budget_bytes() -> usize {
    let available = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok()
    });
    match available {
        Some(kib) => (kib as f64 * 1024.0 * MEMORY_SHARE) as usize,
        None => MEMORY_FALLBACK_BYTES,
    }
}

impl LocalEngine {
    /// Everything the home knows, for plain SQL.
    pub(super) async fn known(&self) -> Result<Known> {
        let catalog = self.catalog()?;
        let mut sources = BTreeMap::new();
        // Neither files nor the engine's own archive are judged with floors.
        let judged = |def: &SourceDef| def.options.history.is_some() && !def.options.archive;
        let manifest = match catalog.sources().any(|def| judged(def)) {
            true => self.newest_manifest().await?,
            false => None,
        };
        for def in catalog.sources() {
            let manifest = manifest.as_ref().filter(|_| judged(def));
            let floors = manifest.map(|manifest| saved::floors(manifest, &def.name)).transpose()?;
            let known = KnownSource {
                def: def.clone(),
                compute: super::definitions::compute(def)?,
                dead_letters: self.dead_letter_url(def),
                floors: floors.unwrap_or_default(),
            };
            sources.insert(def.name.clone(), known);
        }
        let mut features = BTreeMap::new();
        for def in catalog.features() {
            let def = self.effective(def);
            let plan = self.plan_of(&catalog, &def)?;
            let final_rows = self.final_rows_url(&def);
            features.insert(def.name.clone(), KnownFeature { def, plan, final_rows });
        }
        let current: Arc<dyn CurrentValues> = Arc::new(Current { engine: self.copy_of() });
        Ok(Known { sources, features, current })
    }

    /// A session in which `FROM 'labels.parquet'` reads a file, unless the statement came over
    /// HTTP: who may ask for values may not read every file of this machine.
    fn session(&self) -> SessionContext {
        match self.running {
            None => plain_session().enable_url_table(),
            Some(_) => plain_session(),
        }
    }

    pub(super) fn copy_of(&self) -> Self {
        let running = self.running.clone();
        Self { home: self.home.clone(), options: self.options.clone(), running }
    }

    pub(super) async fn query(&self, statement: &QueryStatement) -> Result<Output> {
        let mut query = Query::clone(&statement.query);
        let references = resolve(&mut query)?;
        self.rows(&references, plain(query)).await
    }

    pub(super) async fn explain_query(
        &self,
        statement: &QueryStatement,
        analyze: bool,
        verbose: bool,
    ) -> Result<Output> {
        let mut query = Query::clone(&statement.query);
        let references = resolve(&mut query)?;
        let context = self.session();
        let frame = self.known().await?.frame(&context, &references, plain(query)).await?;
        let frame = frame.explain(verbose, analyze)?;
        Ok(Output::Rows(frame.execute_stream().await?))
    }

    pub(super) async fn copy(&self, copy: &CopyTo) -> Result<Output> {
        let mut statement = copy.statement.clone();
        let references = match &mut statement.source {
            CopyToSource::Query(query) => resolve(query)?,
            CopyToSource::Relation(name) => References {
                tables: std::iter::once(name.to_string().to_lowercase()).collect(),
                ..References::default()
            },
        };
        self.rows(&references, DfStatement::CopyTo(statement)).await
    }

    async fn rows(&self, references: &References, statement: DfStatement) -> Result<Output> {
        let context = self.session();
        let frame = self.known().await?.frame(&context, references, statement).await?;
        Ok(Output::Rows(frame.execute_stream().await?))
    }
}

fn plain(query: Query) -> DfStatement {
    DfStatement::Statement(Box::new(SqlStatement::Query(Box::new(query))))
}
