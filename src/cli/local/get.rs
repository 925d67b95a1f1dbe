//! The values of one entity: from the running engine over HTTP, from Redis, or from the saved
//! state.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};

use crate::catalog::feature::OnlineStoreDef;
use crate::checkpoint::home::EngineInfo;
use crate::cli::engine::{Answer, At, GetOptions, assign_keys};
use crate::cli::local::LocalEngine;
use crate::cli::local::answer::{
    check_horizon, key_batch, status_of, typed_keys, unknown_values, values_of,
};
use crate::cli::local::served::from_redis;
use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::online::redis::RedisStore;
use crate::online::text::read_text;
use crate::plan::dataflow::FeaturePlan;
use crate::serve;
use crate::serve::engine::Status;

impl LocalEngine {
    pub(super) async fn get_entity(&self, options: &GetOptions) -> Result<Answer> {
        let catalog = self.catalog()?;
        let def = self.effective(catalog.feature(&options.feature)?);
        let plan = self.plan_of(&catalog, &def)?;
        let texts = assign_keys(&plan.key_columns, &options.keys)?;
        let columns: Vec<Vec<String>> = texts.iter().map(|text| vec![text.clone()]).collect();
        let keys = typed_keys(&plan, &columns)?;
        let at = match options.at {
            At::Now => None,
            At::Time(time) => Some(time),
        };
        if let Some(running) = self.home.running()? {
            return remote(&running, &plan, &texts, keys, at).await;
        }
        if let (OnlineStoreDef::Redis(url), None) = (&def.options.online, at) {
            let store = RedisStore::open(url)?;
            let answers = from_redis(&store, &def, &plan, &keys, 1).await?;
            let (as_of, status) = (answers.as_of[0], answers.status[0].name());
            return Ok(Answer {
                feature: answers.feature,
                key: answers.keys,
                as_of,
                values: answers.values,
                status,
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
        let key = key_batch(plan, &keys, 1)?;
        let Some(state) = self.saved_state().await? else { return empty(plan, key) };
        let number = state.feature(&plan.feature)?;
        let Some(at) = at.or(state.serving_time(number)?) else { return empty(plan, key) };
        check_horizon(at, state.horizon(number))?;
        let probed = state.probe(number, &keys, at)?;
        Ok(Answer {
            feature: plan.feature.clone(),
            key,
            as_of: Some(at),
            values: values_of(plan, &probed.rows)?,
            status: status_of(&probed)[0].name(),
        })
    }
}

/// The answer where nothing is known at all: that to an unknown key.
fn empty(plan: &FeaturePlan, key: RecordBatch) -> Result<Answer> {
    let (feature, values) = (plan.feature.clone(), unknown_values(plan, &key)?);
    Ok(Answer { feature, key, as_of: None, values, status: Status::NotFound.name() })
}

/// Asks the running engine.
async fn remote(
    engine: &EngineInfo,
    plan: &FeaturePlan,
    texts: &[String],
    keys: Vec<ArrayRef>,
    at: Option<EventTime>,
) -> Result<Answer> {
    let pairs: Vec<(String, String)> =
        plan.key_columns.iter().cloned().zip(texts.iter().cloned()).collect();
    let at = at.map(|at| at.to_string());
    let path = serve::client::feature_path(&plan.feature, &pairs, at.as_deref());
    let body = serve::client::get(engine, &path).await?;
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
        key: key_batch(plan, &keys, 1)?,
        as_of,
        values: RecordBatch::try_new_with_options(schema, columns, &options)?,
        status: match body.get("status").and_then(serde_json::Value::as_str) {
            Some("PRESENT") => "PRESENT",
            Some("EXPIRED") => "EXPIRED",
            _ => "NOT_FOUND",
        },
    })
}
