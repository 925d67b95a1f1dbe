//! Functions of your own in features: a scalar function and an aggregate, their contract checked,
//! then used like any other. Prints the final rows; fails if they are not what was counted by hand.
//!
//! ```text
//! cargo run --example functions
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, ListArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type};
use arrow::util::pretty::pretty_format_batches;
use skewless::api::{
    ColumnarValue, Engine, ScalarUDF, Volatility, check_function, create_udf, register_aggregate,
    register_function,
};
use skewless::error::{Error, Result};

const DEFINITIONS: &str = "
CREATE SOURCE readings (
    sensor_id BIGINT NOT NULL,
    celsius   DOUBLE,
    at        TIMESTAMP NOT NULL,
    WATERMARK FOR at AS at - INTERVAL '1 minute'
) WITH ('connector' = 'file', 'path' = '{directory}/readings.ndjson', 'format' = 'json');

CREATE FEATURE sensor AS
SELECT sensor_id,
       fahrenheit(MAX(celsius) OVER w) AS max_fahrenheit,
       longest_rise(celsius)   OVER w  AS longest_rise
FROM readings
WINDOW w AS (PARTITION BY sensor_id ORDER BY at
             RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW);
";

const READINGS: &str = r#"{"sensor_id": 1, "celsius": 10, "at": "2026-03-01T10:00:00Z"}
{"sensor_id": 1, "celsius": 15, "at": "2026-03-01T10:10:00Z"}
{"sensor_id": 1, "celsius": 20, "at": "2026-03-01T10:20:00Z"}
{"sensor_id": 1, "celsius": 5, "at": "2026-03-01T11:15:00Z"}
"#;

/// °C → °F.
fn fahrenheit() -> ScalarUDF {
    let run = |args: &[ColumnarValue]| {
        let celsius = args[0].clone().into_array(1)?;
        let celsius = celsius.as_primitive::<Float64Type>();
        let all = celsius.unary::<_, Float64Type>(|x| x * 9.0 / 5.0 + 32.0);
        Ok(ColumnarValue::Array(Arc::new(all)))
    };
    let types = vec![DataType::Float64];
    create_udf("fahrenheit", types, DataType::Float64, Volatility::Immutable, Arc::new(run))
}

/// The most values one after the other that are each greater than the one before.
fn longest_rise() -> ScalarUDF {
    let longest = |values: &Float64Array| {
        let (mut longest, mut run, mut before) = (0u32, 0u32, None);
        for value in values.iter().flatten() {
            run = if before.is_some_and(|before| value > before) { run + 1 } else { 1 };
            (longest, before) = (longest.max(run), Some(value));
        }
        f64::from(longest)
    };
    let run = move |args: &[ColumnarValue]| {
        let lists = args[0].clone().into_array(1)?;
        let of = |list: Option<ArrayRef>| list.map(|l| longest(l.as_primitive::<Float64Type>()));
        let all: Float64Array = lists.as_list::<i32>().iter().map(of).collect();
        Ok(ColumnarValue::Array(Arc::new(all)))
    };
    let list = DataType::List(Arc::new(Field::new("item", DataType::Float64, true)));
    let volatility = Volatility::Immutable;
    create_udf("longest_rise_of", vec![list], DataType::Float64, volatility, Arc::new(run))
}

fn register() -> Result<()> {
    let samples: ArrayRef = Arc::new(Float64Array::from(vec![Some(-40.0), None, Some(100.0)]));
    check_function(&fahrenheit(), &[samples])?;
    let lists = vec![Some(vec![Some(1.0), Some(2.0), None]), None, Some(vec![])];
    let lists = ListArray::from_iter_primitive::<Float64Type, _, _>(lists);
    check_function(&longest_rise(), &[Arc::new(lists)])?;
    register_function(fahrenheit())?;
    register_aggregate("longest_rise", longest_rise())
}

#[tokio::main]
async fn main() -> Result<()> {
    register()?;
    let directory = std::env::temp_dir().join(format!("skewless-functions-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let result = walk(&directory).await;
    std::fs::remove_dir_all(&directory)?;
    result
}

async fn walk(directory: &std::path::Path) -> Result<()> {
    std::fs::write(directory.join("readings.ndjson"), READINGS)?;
    let engine = Engine::open(directory.join("home"))?;
    let shown = directory.display().to_string();
    engine.define(&DEFINITIONS.replace("{directory}", &shown)).await?;
    let out = directory.join("sensor.parquet").display().to_string();
    engine.backfill("sensor", &out, None).await?;
    let sql = format!("SELECT max_fahrenheit, longest_rise FROM '{out}' ORDER BY at");
    let rows = engine.query(&sql).await?;
    println!("{}", pretty_format_batches(&rows)?);
    let column = |i: usize| -> Vec<f64> {
        let of = |batch: &RecordBatch| batch.column(i).as_primitive::<Float64Type>().clone();
        rows.iter().map(of).flat_map(|c| c.values().to_vec()).collect()
    };
    let expected = (vec![50.0, 59.0, 68.0, 68.0], vec![1.0, 2.0, 3.0, 1.0]);
    if (column(0), column(1)) != expected {
        return Err(Error::internal("the functions gave other values"));
    }
    Ok(())
}
