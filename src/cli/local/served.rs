//! The running engine as HTTP sees it: values from its lanes, or from Redis where a feature is
//! computed by another process; statements over what it knows now.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch};

use crate::catalog::feature::{FeatureDef, OnlineStoreDef};
use crate::cli::engine::Engine as _;
use crate::cli::engine::Output;
use crate::cli::local::LocalEngine;
use crate::cli::local::answer::{
    check_horizon, event_times, key_batch, nothing, served_status, status_of, typed_keys, values_of,
};
use crate::clock;
use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::online::redis::RedisStore;
use crate::online::store::{OnlineFeature, OnlineStore};
use crate::operator::answer;
use crate::operator::operator::Bound;
use crate::plan::dataflow::FeaturePlan;
use crate::runtime::supervisor::Running;
use crate::serve::engine::{Answers, Keys, Shape, SqlAnswer, no_such_feature};
use crate::serve::exposition::Exposition;
use crate::serve::log::{FeatureLog, Logged};
use crate::sql::ast::Statement;

/// The engine of this process behind HTTP.
pub(super) struct Served {
    running: Arc<Running>,
    /// The home, for statements: it reads current values from `running`.
    local: LocalEngine,
    /// Features of the home that this process does not compute, and where Redis keeps them.
    elsewhere: BTreeMap<String, (Arc<FeatureDef>, FeaturePlan)>,
    /// Number of each feature that runs here.
    numbers: HashMap<String, usize>,
    log: Option<FeatureLog>,
    /// One connection per URL, made when first needed.
    stores: Mutex<BTreeMap<String, Arc<RedisStore>>>,
}

impl Served {
    pub fn new(running: Arc<Running>, home: &LocalEngine) -> Result<Self> {
        let catalog = home.catalog()?;
        let mut elsewhere = BTreeMap::new();
        for def in catalog.features() {
            let def = home.effective(def);
            if running.pipeline.feature(&def.name).is_none()
                && matches!(def.options.online, OnlineStoreDef::Redis(_))
            {
                let plan = home.plan_of(&catalog, &def)?;
                elsewhere.insert(def.name.clone(), (def, plan));
            }
        }
        let local = home.attached(running.clone());
        let names = running.pipeline.feature_names().into_iter();
        let numbers = names.enumerate().map(|(number, name)| (name, number)).collect();
        let here = running.pipeline.features.iter().map(|f| &f.def);
        let logged = here.chain(elsewhere.values().map(|(def, _)| def)).filter_map(|def| {
            let (feature, version) = (def.name.clone(), def.version);
            def.options.log_share.map(|share| Logged { feature, version, share })
        });
        let root = home.home.log().display().to_string();
        let log = FeatureLog::start(&root, logged.collect())?;
        Ok(Self { running, local, elsewhere, numbers, log, stores: Mutex::default() })
    }

    /// The engine that answers.
    pub fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// Writes the rest of the log.
    pub async fn close(&self) {
        if let Some(log) = &self.log {
            log.close().await;
        }
    }

    /// Values from Redis, of a feature that another process computes.
    async fn read_elsewhere(
        &self,
        feature: &str,
        keys: Keys,
        at: Option<EventTime>,
    ) -> Result<Answers> {
        let Some((def, plan)) = self.elsewhere.get(feature) else {
            return Err(no_such_feature(&self.features(), feature));
        };
        let OnlineStoreDef::Redis(url) = &def.options.online else {
            return Err(Error::internal("a feature elsewhere without a store"));
        };
        if at.is_some() {
            return Err(Error::not_supported(format!(
                "'{feature}' at a time: this process reads its current values from Redis"
            ))
            .with_hint("ask the process that computes it"));
        }
        let rows = keys.rows();
        let keys = typed_keys(plan, &keys.in_order(&plan.key_columns)?)?;
        let store = self.store(url)?;
        from_redis(&store, def, plan, &keys, rows).await
    }

    fn store(&self, url: &str) -> Result<Arc<RedisStore>> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(url) {
            return Ok(store.clone());
        }
        let store = Arc::new(RedisStore::open(url)?);
        stores.insert(url.to_owned(), store.clone());
        Ok(store)
    }

    /// Values from the lanes of this process.
    async fn probe(&self, number: usize, keys: Keys, at: Option<EventTime>) -> Result<Answers> {
        let of = &self.running.pipeline.features[number];
        let plan = &of.plan;
        let rows = keys.rows();
        let keys = typed_keys(plan, &keys.in_order(&plan.key_columns)?)?;
        let names = key_batch(plan, &keys, rows)?;
        let source = &self.running.progress.sources[of.source];
        let Some(time) = at.or_else(|| source.serving_time(clock::wall_now())) else {
            return nothing(plan, names);
        };
        check_horizon(time, EventTime(source.watermark.load(Relaxed)))?;
        let bound = Bound::Inclusive;
        let probed = self.running.probe_keys(number, &keys, rows, time, bound).await?;
        Ok(Answers {
            feature: plan.feature.clone(),
            keys: names,
            values: values_of(plan, &probed.rows)?,
            as_of: vec![Some(time); rows],
            event_time: event_times(&probed),
            status: status_of(&probed),
        })
    }
}

/// Values from Redis, written by whoever computes the feature.
pub(super) async fn from_redis(
    store: &RedisStore,
    def: &FeatureDef,
    plan: &FeaturePlan,
    keys: &[ArrayRef],
    rows: usize,
) -> Result<Answers> {
    let feature = OnlineFeature::of(plan, &def.options.online_key)?;
    let found = store.read(&feature, keys).await?;
    let mut answers = nothing(plan, key_batch(plan, keys, rows)?)?;
    let empty = answers.values.slice(0, 1.min(rows));
    let mut parts: Vec<RecordBatch> = Vec::with_capacity(rows);
    for (row, found) in found.into_iter().enumerate() {
        match found {
            Some(found) => {
                let present = found.status == answer::Status::Present;
                answers.as_of[row] = Some(found.as_of);
                answers.event_time[row] = present.then_some(found.as_of);
                answers.status[row] = served_status(found.status);
                parts.push(RecordBatch::try_new(empty.schema(), found.values.columns().to_vec())?);
            }
            None => parts.push(empty.clone()),
        }
    }
    if !parts.is_empty() && !plan.value_columns.is_empty() {
        answers.values = arrow::compute::concat_batches(&empty.schema(), &parts)?;
    }
    Ok(answers)
}

/// As [`crate::serve::engine::Engine`], without changes.
impl Served {
    pub fn features(&self) -> Vec<String> {
        let mut names = self.running.pipeline.feature_names();
        names.extend(self.elsewhere.keys().cloned());
        names.sort();
        names
    }

    pub fn serves(&self, feature: &str) -> bool {
        self.numbers.contains_key(feature) || self.elsewhere.contains_key(feature)
    }

    pub fn shape(&self, feature: &str) -> Option<Shape> {
        let plan = match self.numbers.get(feature) {
            Some(number) => &self.running.pipeline.features[*number].plan,
            None => &self.elsewhere.get(feature)?.1,
        };
        let (key_columns, value_columns) = (plan.key_columns.clone(), plan.value_columns.clone());
        Some(Shape { key_columns, value_columns })
    }

    pub async fn read(&self, feature: &str, keys: Keys, at: Option<EventTime>) -> Result<Answers> {
        let answers = match self.numbers.get(feature) {
            Some(number) => self.probe(*number, keys, at).await?,
            None => self.read_elsewhere(feature, keys, at).await?,
        };
        if let Some(log) = &self.log {
            log.record(&answers)?;
        }
        Ok(answers)
    }

    pub async fn query(&self, statement: &Statement) -> Result<SqlAnswer> {
        Ok(match self.local.execute(statement).await? {
            Output::Rows(stream) => SqlAnswer::Rows(stream),
            Output::Text(text) => SqlAnswer::Text(text),
            Output::Done(done) => SqlAnswer::Done(done),
        })
    }

    pub async fn rebuild(&self, feature: &str) -> Result<()> {
        let Some(number) = self.numbers.get(feature) else {
            return Err(no_such_feature(&self.features(), feature));
        };
        super::rebuild::check_store(&self.running.pipeline.features[*number].def)?;
        self.running.write_all(*number).await
    }

    pub fn status(&self) -> serde_json::Value {
        let home = self.local.home.path().display().to_string();
        super::status::running_status(&self.running, &home)
    }

    pub fn ready(&self) -> Result<()> {
        super::status::ready(&self.running)
    }

    pub fn metrics(&self) -> String {
        let mut out = Exposition::default();
        super::metrics::write(&self.running, &mut out);
        if let Some(log) = &self.log {
            log.write_metrics(&mut out);
        }
        out.finish()
    }
}
