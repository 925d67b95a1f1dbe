//! [`Engine`] on a home directory: the commands' side of everything below `cli`.
//!
//! | file | what is in it |
//! |---|---|
//! | `definitions` | the catalog of the home: load, plan, create, drop, apply |
//! | `describe` | SHOW, DESCRIBE, EXPLAIN as rows and text |
//! | `query` | plain SELECT and COPY |
//! | `start` | from definitions and the last checkpoint to a running engine |
//! | `bootstrap` | new features take in what their sources admitted before |
//! | `live` | that engine over changes of its definitions |
//! | `run` | runs it until told to stop, with progress and HTTP |
//! | `saved_state` | the state of an engine that does not run |
//! | `get` | one entity: from the running engine, Redis, or the saved state |
//! | `answer` | keys from text, answers from probes |
//! | `served` | the running engine as HTTP sees it |
//! | `metrics` | its counters as Prometheus text |
//! | `backfill` | final rows over history, and their comparison |
//! | `training_set` | features at the times of labels |
//! | `rebuild` | fills an online store from state |
//! | `status` | what is known without and with a running engine |
//! | `dead_letters` | what was not admitted, and repaired records back into their topic |
//! | `repair` | the file of repaired records |
//! | `produce` | rows to a Kafka topic |

mod answer;
mod backfill;
mod bootstrap;
mod dead_letters;
mod definitions;
mod describe;
mod get;
mod live;
mod metrics;
mod produce;
mod query;
mod rebuild;
mod repair;
pub(crate) mod run;
mod saved_state;
mod served;
mod start;
mod status;
mod training_set;

use std::sync::Arc;

use async_trait::async_trait;

use crate::checkpoint::home::Home;
use crate::cli::engine::{
    Answer, Applied, ApplyOptions, BackfillOptions, BackfillSummary, Comparison, DeadLetterOptions,
    Engine, GetOptions, HomeOptions, Names, Output, ProduceOptions, ProduceSummary, Rebuilt,
    ReplayOptions, ReplaySummary, RunOptions, RunSummary, Status, TrainingSetOptions,
    TrainingSetSummary,
};
use crate::cli::progress::ProgressLine;
use crate::cli::signal::Stop;
use crate::error::Result;
use crate::runtime::supervisor::Running;
use crate::sql::ast::Statement;

/// The engine of one home, in this process.
pub struct LocalEngine {
    home: Home,
    options: HomeOptions,
    /// The engine that runs on the home, if it runs in this process.
    running: Option<Arc<Running>>,
}

impl LocalEngine {
    /// Reads the definitions once, to report a damaged home before anything else happens.
    pub fn open(options: &HomeOptions) -> Result<Self> {
        let home = Home::new(&options.home);
        let engine = Self { home, options: options.clone(), running: None };
        engine.catalog()?;
        Ok(engine)
    }

    /// The same home, reading current values from an engine of this process.
    fn attached(&self, running: Arc<Running>) -> Self {
        Self { running: Some(running), ..self.copy_of() }
    }
}

#[async_trait]
impl Engine for LocalEngine {
    async fn execute(&self, statement: &Statement) -> Result<Output> {
        match statement {
            Statement::Query(query) => self.query(query).await,
            Statement::Copy(copy) => self.copy(copy).await,
            Statement::Show(show) => self.show(show),
            Statement::Describe(describe) => self.describe(describe),
            Statement::Explain(explain) => self.explain(explain).await,
            Statement::CreateSource(_) | Statement::CreateFeature(_) | Statement::Drop(_) => {
                self.define_or_ask(statement).await.map(Output::Done)
            }
        }
    }

    async fn names(&self) -> Result<Names> {
        self.known_names()
    }

    async fn apply(&self, statements: &[Statement], options: ApplyOptions) -> Result<Applied> {
        self.apply_all(statements, options).await
    }

    async fn run(
        &self,
        options: &RunOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<RunSummary> {
        self.run_until_stopped(options, progress, stop).await
    }

    async fn backfill(
        &self,
        options: &BackfillOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<BackfillSummary> {
        self.backfill_feature(options, progress, stop).await
    }

    async fn training_set(
        &self,
        options: &TrainingSetOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<TrainingSetSummary> {
        self.write_training_set(options, progress, stop).await
    }

    async fn get(&self, options: &GetOptions) -> Result<Answer> {
        self.get_entity(options).await
    }

    async fn status(&self) -> Result<Status> {
        self.status_now().await
    }

    async fn produce(
        &self,
        options: &ProduceOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<ProduceSummary> {
        produce::produce_rows(options, progress, stop).await
    }

    async fn dead_letters(&self, options: &DeadLetterOptions) -> Result<Output> {
        self.list_dead_letters(options).await
    }

    async fn replay(&self, options: &ReplayOptions) -> Result<ReplaySummary> {
        self.replay_letters(options).await
    }

    async fn rebuild(&self, feature: &str) -> Result<Rebuilt> {
        self.rebuild_store(feature).await
    }

    async fn compare(&self, feature: &str, url: &str) -> Result<Comparison> {
        self.compare_with(feature, url).await
    }
}
