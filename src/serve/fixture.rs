//! An engine for tests of HTTP: two features whose values follow from the key, so that every
//! answer can be told in advance.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use datafusion::physical_plan::memory::MemoryStream;

use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::serve::engine::{
    Answers, Desired, Engine, Keys, Shape, SqlAnswer, Status, no_such_feature,
};
use crate::sql::ast::Statement;

/// A name that has to be encoded everywhere.
pub const ODD: &str = "user spend/é";

/// `user spend/é` by `id`: `mean` is NaN. `pair` by `id` and `shop`: `n` is twice the id, `big`
/// is infinite where the shop is `north`. An id of 0 is unknown, a negative one expired.
#[derive(Default)]
pub struct Fixture {
    pub behind: AtomicBool,
    /// Reads wait until this many permits are there, if set.
    pub gate: Option<tokio::sync::Semaphore>,
}

fn ids(texts: &[String]) -> Result<Vec<i64>> {
    let read =
        |text: &String| text.parse().map_err(|_| Error::usage(format!("'{text}' is not a BIGINT")));
    texts.iter().map(read).collect()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

#[async_trait]
impl Engine for Fixture {
    fn features(&self) -> Vec<String> {
        vec!["pair".to_owned(), ODD.to_owned()]
    }

    fn shape(&self, feature: &str) -> Option<Shape> {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        match feature {
            ODD => Some(Shape { key_columns: own(&["id"]), value_columns: own(&["mean"]) }),
            "pair" => {
                Some(Shape { key_columns: own(&["id", "shop"]), value_columns: own(&["n", "big"]) })
            }
            _ => None,
        }
    }

    async fn read(&self, feature: &str, keys: Keys, at: Option<EventTime>) -> Result<Answers> {
        if let Some(gate) = &self.gate {
            gate.acquire().await.map_err(|_| Error::unavailable("closed"))?.forget();
        }
        let shape =
            self.shape(feature).ok_or_else(|| no_such_feature(&self.features(), feature))?;
        let columns = keys.in_order(&shape.key_columns)?;
        let ids = ids(&columns[0])?;
        let id: ArrayRef = Arc::new(Int64Array::from(ids.clone()));
        let (keys, values) = match columns.get(1) {
            None => {
                let mean: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN; ids.len()]));
                (batch(vec![("id", id)])?, batch(vec![("mean", mean)])?)
            }
            Some(shops) => {
                let n: Int64Array = ids.iter().map(|id| Some(id * 2)).collect();
                let big: Float64Array =
                    shops.iter().map(|s| (s == "north").then_some(f64::INFINITY)).collect();
                let shop: ArrayRef = Arc::new(StringArray::from(shops.clone()));
                let values: Vec<(&str, ArrayRef)> =
                    vec![("n", Arc::new(n)), ("big", Arc::new(big))];
                (batch(vec![("id", id), ("shop", shop)])?, batch(values)?)
            }
        };
        let status = |id: &i64| match id.signum() {
            0 => Status::NotFound,
            1 => Status::Present,
            _ => Status::Expired,
        };
        let time = |id: &i64| (*id > 0).then_some(EventTime(*id * 500_000));
        Ok(Answers {
            feature: feature.to_owned(),
            keys,
            values,
            as_of: vec![at; ids.len()],
            event_time: ids.iter().map(time).collect(),
            status: ids.iter().map(status).collect(),
        })
    }

    async fn query(&self, statement: &Statement) -> Result<SqlAnswer> {
        match statement {
            Statement::Query(_) => {
                let a: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MAX), None]));
                let b: ArrayRef = Arc::new(StringArray::from(vec!["x\"y", "é"]));
                let rows = batch(vec![("a", a), ("b", b)])?;
                let schema = rows.schema();
                let stream = MemoryStream::try_new(vec![rows], schema, None)?;
                Ok(SqlAnswer::Rows(Box::pin(stream)))
            }
            other => Ok(SqlAnswer::Text(format!("line {}\n", other.span().start.0))),
        }
    }

    async fn define(
        &self,
        statements: &[Statement],
        desired: Option<Desired>,
    ) -> Result<Vec<String>> {
        let how = match desired {
            None => "",
            Some(Desired { replace: true, .. }) => " to replace",
            Some(_) => " as desired",
        };
        let line = |s: &Statement| format!("defined at line {}{how}", s.span().start.0);
        Ok(statements.iter().map(line).collect())
    }

    async fn rebuild(&self, feature: &str) -> Result<()> {
        match feature {
            "pair" => Ok(()),
            _ => Err(Error::usage(format!("'{feature}' has no online store"))),
        }
    }

    fn status(&self) -> serde_json::Value {
        serde_json::json!({ "features": self.features() })
    }

    fn ready(&self) -> Result<()> {
        if self.behind.load(Ordering::SeqCst) {
            return Err(Error::unavailable("partition 3 has not reached its end"));
        }
        Ok(())
    }

    fn metrics(&self) -> String {
        "# HELP skewless_rows_total Rows.\n# TYPE skewless_rows_total counter\n\
         skewless_rows_total 1\n"
            .to_owned()
    }
}
