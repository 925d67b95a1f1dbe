//! Functions of your own in features: a scalar function, an aggregate over the values of a frame
//! and one that is kept incrementally, their contracts checked, then used like any other. Prints
//! the final rows; fails if they are not what was counted by hand.
//!
//! ```text
//! cargo run --example functions
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, ListArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type};
use arrow::util::pretty::pretty_format_batches;
use skewless::api::{
    Accumulator, Aggregate, ColumnarValue, Datum, Engine, ScalarUDF, Volatility, check_aggregate,
    check_function, create_udf, register_aggregate, register_function, register_incremental,
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
       longest_rise(celsius)   OVER w  AS longest_rise,
       share_below(celsius, 12) OVER w AS cold
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

/// `share_below(x, limit)`: the share of the values that are below the limit.
#[derive(Debug)]
struct ShareBelow;

/// Whole numbers: rows that enter and leave again leave no trace, in any order.
#[derive(Debug, Default)]
struct Counts {
    below: i64,
    all: i64,
}

impl Counts {
    fn count(&mut self, row: &[Datum], by: i64) {
        let [x, limit] = row else { return };
        if !x.is_null() {
            self.all += by;
            self.below += if x.as_f64() < limit.as_f64() { by } else { 0 };
        }
    }
}

impl Aggregate for ShareBelow {
    fn name(&self) -> &str {
        "share_below"
    }

    fn result(&self, arguments: &[DataType]) -> Result<DataType> {
        let numbers = arguments.iter().all(DataType::is_numeric);
        match arguments.len() == 2 && numbers {
            true => Ok(DataType::Float64),
            false => Err(Error::usage("share_below takes two numbers")),
        }
    }

    fn accumulator(&self, _: &[DataType]) -> Box<dyn Accumulator> {
        Box::new(Counts::default())
    }
}

impl Accumulator for Counts {
    fn add(&mut self, row: &[Datum]) {
        self.count(row, 1);
    }

    fn retract(&mut self, row: &[Datum]) {
        self.count(row, -1);
    }

    fn merge(&mut self, saved: &[u8]) -> Result<()> {
        let damaged = || Error::data("counts of another length");
        let (below, all) = saved.split_at_checked(8).ok_or_else(damaged)?;
        self.below += i64::from_le_bytes(below.try_into().map_err(|_| damaged())?);
        self.all += i64::from_le_bytes(all.try_into().map_err(|_| damaged())?);
        Ok(())
    }

    fn save(&self, out: &mut Vec<u8>) {
        out.extend(self.below.to_le_bytes());
        out.extend(self.all.to_le_bytes());
    }

    fn value(&self) -> Datum {
        match self.all {
            0 => Datum::Null,
            all => Datum::float(self.below as f64 / all as f64),
        }
    }
}

fn register() -> Result<()> {
    let samples: ArrayRef = Arc::new(Float64Array::from(vec![Some(-40.0), None, Some(100.0)]));
    check_function(&fahrenheit(), &[samples])?;
    let lists = vec![Some(vec![Some(1.0), Some(2.0), None]), None, Some(vec![])];
    let lists = ListArray::from_iter_primitive::<Float64Type, _, _>(lists);
    check_function(&longest_rise(), &[Arc::new(lists)])?;
    register_function(fahrenheit())?;
    register_aggregate("longest_rise", longest_rise())?;
    let values: ArrayRef = Arc::new(Float64Array::from(vec![Some(3.0), None, Some(15.0)]));
    let limits: ArrayRef = Arc::new(Float64Array::from(vec![12.0; 3]));
    check_aggregate(&ShareBelow, &[values, limits])?;
    register_incremental(ShareBelow)
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
    let sql = format!("SELECT max_fahrenheit, longest_rise, cold FROM '{out}' ORDER BY at");
    let rows = engine.query(&sql).await?;
    println!("{}", pretty_format_batches(&rows)?);
    let column = |i: usize| -> Vec<f64> {
        let of = |batch: &RecordBatch| batch.column(i).as_primitive::<Float64Type>().clone();
        rows.iter().map(of).flat_map(|c| c.values().to_vec()).collect()
    };
    let expected =
        [vec![50.0, 59.0, 68.0, 68.0], vec![1.0, 2.0, 3.0, 1.0], vec![1.0, 0.5, 1.0 / 3.0, 0.5]];
    if [0, 1, 2].map(column) != expected {
        return Err(Error::internal("the functions gave other values"));
    }
    Ok(())
}
