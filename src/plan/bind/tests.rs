//! Tests of the parent file.

use std::sync::Arc;

use super::*;
use crate::catalog::source::*;
use crate::plan::explain::explain;
use crate::sql::parser::parse_query;

pub struct One(pub Arc<SourceDef>);

impl SourceLookup for One {
    fn source(&self, name: &str) -> Result<Arc<SourceDef>> {
        if name == self.0.name {
            return Ok(self.0.clone());
        }
        Err(Error::usage(format!("no such source: {name}")))
    }

    fn names(&self) -> Vec<String> {
        vec![self.0.name.clone()]
    }
}

/// The source `transactions` of the documentation, and a few more types.
pub fn transactions() -> One {
    let column = |name: &str, data_type: DataType, nullable: bool| ColumnDef {
        name: name.to_owned(),
        data_type,
        nullable,
        kind: ColumnKind::Physical,
    };
    let columns = vec![
        column("txn_id", DataType::Int64, true),
        column("user_id", DataType::Int64, false),
        column("category", DataType::Utf8, true),
        column("amount", DataType::Float64, true),
        column("event_time", timestamp_type(), false),
        column("small", DataType::Int32, true),
        column("ratio", DataType::Float32, true),
        column("price", DataType::Decimal128(10, 2), true),
        column("flag", DataType::Boolean, true),
        column("Mixed Case", DataType::Int64, true),
    ];
    let options = SourceOptions {
        connector: Connector::File,
        path: None,
        topic: None,
        properties: vec![],
        startup: StartupMode::Earliest,
        partitioned_by: vec![],
        format: Format::Parquet,
        json: JsonOptions::default(),
        history: None,
        archive: false,
        dead_letter: None,
        max_future_us: 0,
        idle_timeout_us: 0,
        message_bytes_max: 0,
        datagen_rows: None,
        datagen_rate: None,
        datagen_seed: 0,
    };
    One(Arc::new(SourceDef {
        name: "transactions".to_owned(),
        columns,
        watermark: WatermarkDef { column: "event_time".to_owned(), delay_us: 30_000_000 },
        options,
        sql: String::new(),
    }))
}

pub fn plan(sql: &str) -> Result<FeaturePlan> {
    let sql = sql.to_owned();
    let big = std::thread::Builder::new().stack_size(crate::limits::PLANNING_STACK_BYTES);
    let run = move || plan_feature(&transactions(), "f", 1, &*parse_query(&sql)?);
    big.spawn(run).unwrap().join().unwrap()
}

pub const EXAMPLE: &str = "SELECT user_id,
       COUNT(*)                                    OVER w30m AS txn_count_30m,
       AVG(amount)                                 OVER w1h  AS avg_amount_1h,
       SUM(amount) FILTER (WHERE category = 'atm') OVER w1h  AS atm_amount_1h,
       MAX(amount)                                 OVER w24h AS max_amount_24h,
       COUNT(DISTINCT category)                    OVER w24h AS categories_24h,
       AVG(amount)                                 OVER w10  AS avg_last_10
FROM transactions
WHERE amount > 0
WINDOW w30m AS (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND CURRENT ROW),
       w1h  AS (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW),
       w10  AS (PARTITION BY user_id ORDER BY event_time, txn_id ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)";

#[test]
fn scratch() {
    let text = std::fs::read_to_string("/tmp/cases.txt").unwrap();
    for sql in text.lines() {
        println!("{sql}");
        match plan(sql) {
            Ok(plan) => println!("OK {}", explain(&plan).replace("\n", "\n   ")),
            Err(error) => println!("ERR {error}\n    {:?} {:?}", error.kind(), error.span()),
        }
    }
    println!("{}", explain(&plan(EXAMPLE).unwrap()));
}
