//! The engine of a home over changes of its definitions. A change is a checkpoint of everything
//! read, then the same engine over the new definitions from that checkpoint on: the way that a
//! restart takes, in the process. Meanwhile the lanes of the engine before answer from what they
//! hold, so nobody who asks is turned away; the log waits in its broker.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;

use crate::catalog::feature::FeatureDef;
use crate::catalog::persist;
use crate::catalog::registry::Catalog;
use crate::catalog::source::SourceDef;
use crate::cli::engine::{Counts, RunOptions};
use crate::cli::local::LocalEngine;
use crate::cli::local::definitions::Changed;
use crate::cli::local::run::counts;
use crate::cli::local::served::Served;
use crate::cli::local::start::Resumed;
use crate::error::{Error, Kind, Result};
use crate::model::epoch::Epoch;
use crate::model::time::EventTime;
use crate::runtime::committer::Stop;
use crate::runtime::supervisor::Running;
use crate::serve::engine::{Answers, Desired, Engine, Keys, Shape, SqlAnswer};
use crate::sql::ast::Statement;

/// An engine whose definitions may change.
pub(crate) struct Live {
    local: LocalEngine,
    options: RunOptions,
    now: RwLock<Arc<Served>>,
    /// Held while definitions change: by one at a time.
    change: tokio::sync::Mutex<()>,
    /// What engines before the present one did in this run.
    before: Mutex<Work>,
    /// Why none could go on after a change.
    failed: Mutex<Option<Error>>,
}

/// What an engine did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Work {
    pub counts: Counts,
    pub final_rows: u64,
}

impl Work {
    fn of(running: &Running) -> Self {
        let finals = running.progress.features.iter();
        let final_rows = finals.map(|f| f.final_rows.load(std::sync::atomic::Ordering::Relaxed));
        Self { counts: counts(&running.progress), final_rows: final_rows.sum() }
    }

    fn plus(self, other: Self) -> Self {
        let (a, b) = (self.counts, other.counts);
        Self {
            counts: Counts {
                read: a.read + b.read,
                admitted: a.admitted + b.admitted,
                late: a.late + b.late,
                future: a.future + b.future,
                rejected: a.rejected + b.rejected,
            },
            final_rows: self.final_rows + other.final_rows,
        }
    }
}

/// What is run of a catalog: a feature and its source.
type Runs = Vec<(Arc<FeatureDef>, Arc<SourceDef>)>;

impl Live {
    /// Takes over an engine that runs on `home` with these options.
    pub fn new(running: Arc<Running>, home: &LocalEngine, options: &RunOptions) -> Result<Self> {
        let served = Arc::new(Served::new(running, home)?);
        Ok(Self {
            local: home.copy_of(),
            options: options.clone(),
            now: RwLock::new(served),
            change: tokio::sync::Mutex::default(),
            before: Mutex::default(),
            failed: Mutex::default(),
        })
    }

    /// The engine as it is at this moment.
    pub fn now(&self) -> Arc<Served> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the engine has stopped by itself or by a failure, and not to begin again.
    pub fn is_finished(&self) -> bool {
        self.change.try_lock().is_ok_and(|_alone| self.now().running().is_finished())
    }

    /// Begins to stop, with a checkpoint, once no change is under way.
    pub async fn stop(&self) -> Result<()> {
        let _alone = self.change.lock().await;
        self.now().running().stop(Stop::Checkpoint).await
    }

    /// Waits for the end.
    pub async fn wait(&self) -> Result<Epoch> {
        let _alone = self.change.lock().await;
        let ended = self.now().running().wait().await;
        match self.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => ended,
        }
    }

    /// What was done in this run.
    pub fn work(&self) -> Work {
        let before = *self.before.lock().unwrap_or_else(PoisonError::into_inner);
        before.plus(Work::of(self.now().running()))
    }

    /// Changes the definitions; `self.change` is held.
    async fn make(
        &self,
        statements: &[Statement],
        desired: Option<Desired>,
    ) -> Result<Vec<String>> {
        let served = self.now();
        if served.running().is_finished() {
            return Err(Error::unavailable("the engine is stopping"));
        }
        let current = self.local.catalog()?;
        let Changed { catalog, mut lines } = self.local.changed(statements, desired)?;
        if catalog == current {
            return Ok(lines);
        }
        let (ran, runs) = (self.runs(&current)?, self.runs(&catalog)?);
        if runs.is_empty() {
            return Err(Error::usage("the engine would have no feature left to run")
                .with_hint("stop it first"));
        }
        for new in catalog.features().filter(|def| self.is_left_out(&current, def)) {
            lines.push(format!(
                "note: '{}' does not run here: this engine was started with --feature",
                new.name
            ));
        }
        if ran == runs {
            persist::save(self.local.home.path(), &catalog)?;
            self.replace(Arc::new(Served::new(served.running().clone(), &self.local)?)).await;
            return Ok(lines);
        }
        served.running().stop(Stop::Checkpoint).await?;
        served.running().settled().await?;
        let next = match self.resume(&catalog).await {
            Ok((next, notes)) => {
                lines.extend(notes);
                next
            }
            Err(error) => {
                // As it was: the checkpoint fits those definitions.
                let (back, _) = self.resume(&current).await.map_err(|e| {
                    let e = e.context(format!("after a change that failed ({error})"));
                    *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(e.clone());
                    e
                })?;
                self.handed_over(&served, back).await?;
                return Err(error.context("nothing was changed"));
            }
        };
        self.handed_over(&served, next).await?;
        Ok(lines)
    }

    /// Stores the definitions and runs them from the last checkpoint on.
    async fn resume(&self, catalog: &Catalog) -> Result<(Arc<Served>, Vec<String>)> {
        persist::save(self.local.home.path(), catalog)?;
        let Resumed { running, warnings, notes } = self.local.resume(&self.options).await?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok((Arc::new(Served::new(running, &self.local)?), notes))
    }

    /// From now on the next engine answers; the lanes of the one before may go.
    async fn handed_over(&self, before: &Served, next: Arc<Served>) -> Result<()> {
        {
            let mut work = self.before.lock().unwrap_or_else(PoisonError::into_inner);
            *work = work.plus(Work::of(before.running()));
        }
        self.replace(next).await;
        before.running().leave().await
    }

    async fn replace(&self, next: Arc<Served>) {
        let before = {
            let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *now, next)
        };
        before.close().await;
    }

    /// The features that this engine runs of a catalog.
    fn runs(&self, catalog: &Catalog) -> Result<Runs> {
        let features = catalog.features().filter(|def| self.is_chosen(&def.name));
        let with_source = features.map(|def| {
            let plan = self.local.plan_of(catalog, def)?;
            Ok((self.local.effective(def), catalog.source(&plan.source)?.clone()))
        });
        with_source.collect()
    }

    fn is_chosen(&self, name: &String) -> bool {
        self.options.features.is_empty() || self.options.features.contains(name)
    }

    fn is_left_out(&self, current: &Catalog, def: &FeatureDef) -> bool {
        !self.is_chosen(&def.name) && current.feature(&def.name).is_err()
    }
}

/// [`Live`] behind HTTP: a change outlives the connection that asked for it.
pub(crate) struct Behind(pub Arc<Live>);

impl Behind {
    /// Whether an answer failed only because the engine that gave it has been replaced.
    fn outlived(&self, served: &Arc<Served>, error: &Error) -> bool {
        error.kind() == Kind::Unavailable && !Arc::ptr_eq(served, &self.0.now())
    }
}

#[async_trait]
impl Engine for Behind {
    fn features(&self) -> Vec<String> {
        self.0.now().features()
    }

    fn serves(&self, feature: &str) -> bool {
        self.0.now().serves(feature)
    }

    fn shape(&self, feature: &str) -> Option<Shape> {
        self.0.now().shape(feature)
    }

    async fn read(&self, feature: &str, keys: Keys, at: Option<EventTime>) -> Result<Answers> {
        let served = self.0.now();
        match served.read(feature, keys.clone(), at).await {
            Err(error) if self.outlived(&served, &error) => {
                self.0.now().read(feature, keys, at).await
            }
            answered => answered,
        }
    }

    async fn query(&self, statement: &Statement) -> Result<SqlAnswer> {
        let served = self.0.now();
        match served.query(statement).await {
            Err(error) if self.outlived(&served, &error) => self.0.now().query(statement).await,
            answered => answered,
        }
    }

    async fn define(
        &self,
        statements: &[Statement],
        desired: Option<Desired>,
    ) -> Result<Vec<String>> {
        let (live, statements) = (self.0.clone(), statements.to_vec());
        let change = tokio::spawn(async move {
            let _alone = live.change.lock().await;
            live.make(&statements, desired).await
        });
        change.await.map_err(|e| Error::internal(format!("a change of definitions: {e}")))?
    }

    async fn rebuild(&self, feature: &str) -> Result<()> {
        self.0.now().rebuild(feature).await
    }

    fn status(&self) -> serde_json::Value {
        self.0.now().status()
    }

    fn ready(&self) -> Result<()> {
        self.0.now().ready()
    }

    fn metrics(&self) -> String {
        self.0.now().metrics()
    }
}
