//! The values of one entity: from the running engine over HTTP, from Redis, or from the saved
//! state; and the same for HTTP itself, from the running lanes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use async_trait::async_trait;

use crate::catalog::feature::OnlineStoreDef;
use crate::cli::engine::{Answer, At, GetOptions, assign_keys};
use crate::cli::local::LocalEngine;
use crate::clock;
use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::online::redis::RedisStore;
use crate::online::store::{OnlineFeature, OnlineStore};
use crate::online::text::read_text;
use crate::operator::answer::{Answered, Reader, Status};
use crate::operator::operator::Bound;
use crate::plan::dataflow::FeaturePlan;
use crate::runtime::supervisor::Running;
use crate::serve;
use crate::serve::engine::{Engine, KeyText};

impl LocalEngine {
    pub(super) async fn get_entity(&self, options: &GetOptions) -> Result<Answer> {
        let catalog = self.catalog()?;
        let def = self.effective(catalog.feature(&options.feature)?);
        let plan = self.plan_of(&catalog, &def)?;
        let texts = assign_keys(&plan.key_columns, &options.keys)?;
        let keys = typed_keys(&plan, &texts)?;
        let at = match options.at {
            At::Now => None,
            At::Time(time) => Some(time),
        };
        if let Some(running) = self.home.running()? {
            let Some(address) = running.http else {
                return Err(Error::unavailable(format!(
                    "the engine of this home (pid {}) serves no HTTP",
                    running.pid
                ))
                .with_hint("start it without --no-http"));
            };
            return remote(&address, &plan, &texts, keys, at).await;
        }
        if let (OnlineStoreDef::Redis(url), None) = (&def.options.online, at) {
            let store = RedisStore::open(url)?;
            let feature = OnlineFeature::of(&plan, &def.options.online_key)?;
            let found = store.read(&feature, &keys).await?.into_iter().next().flatten();
            let key = key_batch(&plan, &keys)?;
            return Ok(match found {
                Some(row) => Answer {
                    feature: def.name.clone(),
                    key,
                    as_of: Some(row.as_of),
                    values: row.values,
                    status: "PRESENT",
                },
                None => empty(&plan, key)?,
            });
        }
        self.saved(&plan, keys, at).await
    }

    async fn saved(
        &self,
        plan: &FeaturePlan,
        keys: Vec<ArrayRef>,
        at: Option<EventTime>,
    ) -> Result<Answer> {
        let key = key_batch(plan, &keys)?;
        let Some(state) = self.saved_state().await? else { return empty(plan, key) };
        let number = state.feature(&plan.feature)?;
        let Some(at) = at.or(state.serving_time(number)?) else { return empty(plan, key) };
        check_horizon(at, state.horizon(number))?;
        let probed = state.probe(number, &keys, at)?;
        let answer = answered(plan, key, at, &probed)?;
        Ok(Answer {
            feature: answer.feature,
            key: answer.key,
            as_of: answer.as_of,
            values: answer.values,
            status: status_of(&probed).name(),
        })
    }
}

/// Key text as one-row arrays of the key's types.
fn typed_keys(plan: &FeaturePlan, texts: &[String]) -> Result<Vec<ArrayRef>> {
    let mut keys = Vec::with_capacity(texts.len());
    for ((text, name), data_type) in
        texts.iter().zip(&plan.key_columns).zip(plan.window.key_types())
    {
        let array = read_text(&[Some(text.clone())], data_type);
        keys.push(
            array.map_err(|e| Error::usage(format!("key column '{name}': {}", e.message())))?,
        );
    }
    Ok(keys)
}

fn key_batch(plan: &FeaturePlan, keys: &[ArrayRef]) -> Result<RecordBatch> {
    let fields: Vec<Field> = plan
        .key_columns
        .iter()
        .zip(keys)
        .map(|(name, key)| Field::new(name, key.data_type().clone(), true))
        .collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(schema, keys.to_vec(), &options)?)
}

/// The value columns of output rows.
fn values_of(plan: &FeaturePlan, rows: &RecordBatch) -> Result<RecordBatch> {
    let columns = plan.value_columns.iter().map(|name| Ok(rows.schema_ref().index_of(name)?));
    Ok(rows.project(&columns.collect::<Result<Vec<_>>>()?)?)
}

/// The answer where nothing is known at all: that to an unknown key.
fn empty(plan: &FeaturePlan, key: RecordBatch) -> Result<Answer> {
    let (times, operator) = ([EventTime(0)], crate::operator::build(&plan.window, false)?);
    let probed = operator.probe(key.columns(), &times, Bound::Inclusive)?;
    let reader = Reader::of(plan, &plan.window, &plan.output);
    let values = values_of(plan, &reader.answer(&probed, &times)?.rows)?;
    let feature = plan.feature.clone();
    Ok(Answer { feature, key, as_of: None, values, status: Status::NotFound.name() })
}

fn answered(
    plan: &FeaturePlan,
    key: RecordBatch,
    at: EventTime,
    probed: &Answered,
) -> Result<serve::engine::Answer> {
    Ok(serve::engine::Answer {
        feature: plan.feature.clone(),
        key,
        as_of: Some(at),
        values: values_of(plan, &probed.rows)?,
        status: match status_of(probed) {
            Status::Present => serve::engine::Status::Present,
            Status::Expired => serve::engine::Status::Expired,
            Status::NotFound => serve::engine::Status::NotFound,
        },
    })
}

/// The status of the one request answered.
fn status_of(answered: &Answered) -> Status {
    answered.status.first().copied().unwrap_or(Status::NotFound)
}

fn check_horizon(at: EventTime, horizon: EventTime) -> Result<()> {
    if at >= horizon {
        return Ok(());
    }
    Err(Error::usage(format!("the state holds values from {horizon} on; {at} is before that"))
        .with_hint("skewless backfill reads history, however old"))
}

/// Asks the running engine.
async fn remote(
    address: &str,
    plan: &FeaturePlan,
    texts: &[String],
    keys: Vec<ArrayRef>,
    at: Option<EventTime>,
) -> Result<Answer> {
    let pairs = plan.key_columns.iter().cloned().zip(texts.iter().cloned()).collect();
    let at = at.map(|at| at.to_string());
    let path = serve::client::feature_path(&plan.feature, &KeyText::Named(pairs), at.as_deref());
    let body = serve::client::get(address, &path).await?;
    let damaged = |what: &str| Error::data(format!("the engine's answer: {what}"));
    let body: serde_json::Value =
        serde_json::from_str(&body).map_err(|e| damaged(&e.to_string()))?;
    let as_of = body.get("as_of").and_then(serde_json::Value::as_str).and_then(EventTime::parse);
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for name in &plan.value_columns {
        let field = plan.schema().field_with_name(name)?;
        let value = body.get("values").and_then(|values| values.get(name));
        let text = match value {
            None => return Err(damaged(&format!("no value '{name}'"))),
            Some(serde_json::Value::Null) => None,
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        columns.push(read_text(&[text], field.data_type())?);
        fields.push(Field::new(name, field.data_type().clone(), true));
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let schema = Arc::new(Schema::new(fields));
    Ok(Answer {
        feature: plan.feature.clone(),
        key: key_batch(plan, &keys)?,
        as_of,
        values: RecordBatch::try_new_with_options(schema, columns, &options)?,
        status: match body.get("status").and_then(serde_json::Value::as_str) {
            Some("PRESENT") => "PRESENT",
            Some("EXPIRED") => "EXPIRED",
            _ => "NOT_FOUND",
        },
    })
}

/// The running engine as HTTP sees it.
pub(super) struct Served {
    running: Arc<Running>,
    home: String,
}

impl Served {
    pub fn new(running: Arc<Running>, home: String) -> Self {
        Self { running, home }
    }

    fn plan(&self, feature: &str) -> Result<(usize, &FeaturePlan)> {
        let number = self.running.pipeline.feature(feature).ok_or_else(|| {
            Error::usage(format!("no feature '{feature}' runs here"))
                .with_hint(format!("running: {}", self.running.pipeline.feature_names().join(", ")))
        })?;
        Ok((number, &self.running.pipeline.features[number].plan))
    }
}

#[async_trait]
impl Engine for Served {
    fn has_feature(&self, feature: &str) -> bool {
        self.running.pipeline.feature(feature).is_some()
    }

    async fn get(
        &self,
        feature: &str,
        key: KeyText,
        at: Option<EventTime>,
    ) -> Result<serve::engine::Answer> {
        let (number, plan) = self.plan(feature)?;
        let parts = match key {
            KeyText::Single(text) => vec![text],
            KeyText::Named(pairs) => {
                pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
            }
        };
        let texts = assign_keys(&plan.key_columns, &parts)?;
        let keys = typed_keys(plan, &texts)?;
        let key = key_batch(plan, &keys)?;
        let source = self.running.pipeline.features[number].source;
        let source = &self.running.progress.sources[source];
        let Some(time) = at.or_else(|| source.serving_time(clock::wall_now())) else {
            let none = empty(plan, key)?;
            return Ok(serve::engine::Answer {
                feature: none.feature,
                key: none.key,
                as_of: None,
                values: none.values,
                status: serve::engine::Status::NotFound,
            });
        };
        check_horizon(time, EventTime(source.watermark.load(Relaxed)))?;
        let probed = self.running.probe(number, keys, time, Bound::Inclusive).await?;
        answered(plan, key, time, &probed)
    }

    fn status(&self) -> serde_json::Value {
        super::status::running_status(&self.running, &self.home)
    }

    fn ready(&self) -> Result<()> {
        super::status::ready(&self.running)
    }

    fn metrics(&self) -> String {
        super::status::metrics(&self.running)
    }
}
