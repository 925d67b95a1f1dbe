//! Statements as users write them, good and bad, with what exactly is answered.

use super::*;
use crate::sql::ast::{ColumnOrigin, CreateFeature, CreateSource};
use crate::sql::diagnostic::render;

/// The example of the interface.
pub(crate) const TRANSACTIONS: &str = "\
CREATE OR REPLACE SOURCE transactions (
    txn_id      BIGINT,
    user_id     BIGINT NOT NULL,
    category    VARCHAR,
    amount      DOUBLE,
    event_time  TIMESTAMP NOT NULL,                          -- µs, UTC
    is_big      BOOLEAN AS (amount > 1000),                  -- computed column
    part        INT     METADATA FROM 'partition',           -- also: offset
    WATERMARK FOR event_time AS event_time - INTERVAL '30 seconds'
) WITH (
    'connector' = 'kafka',
    'topic' = 'transactions',
    'properties.bootstrap.servers' = 'localhost:9092',
    'format' = 'json',
    'history' = 's3://lake/transactions/',
    'archive' = 'true'
);
";

pub(crate) const USER_SPEND: &str = "\
CREATE FEATURE VIEW IF NOT EXISTS user_spend
WITH ('online' = 'redis://localhost:6379/0', 'offline' = 's3://lake/features/')
AS
SELECT user_id,
       COUNT(*)                                    OVER w30m AS txn_count_30m,
       SUM(amount) FILTER (WHERE category = 'atm') OVER w1h  AS atm_amount_1h,
       COUNT(DISTINCT category)                    OVER w24h AS categories_24h,
       AVG(amount)                                 OVER w10  AS avg_last_10
FROM transactions
WHERE amount > 0
WINDOW w30m AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND CURRENT ROW),
       w1h  AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW),
       w10  AS (PARTITION BY user_id ORDER BY event_time, txn_id
                ROWS BETWEEN 9 PRECEDING AND CURRENT ROW);
";

fn one(text: &str) -> Statement {
    let mut all = parse_statements(text).unwrap_or_else(|e| panic!("{}", render(&e, text)));
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

fn source(text: &str) -> CreateSource {
    match one(text) {
        Statement::CreateSource(source) => *source,
        other => panic!("{other:?}"),
    }
}

fn feature(text: &str) -> CreateFeature {
    match one(text) {
        Statement::CreateFeature(feature) => *feature,
        other => panic!("{other:?}"),
    }
}

fn error(text: &str) -> String {
    match parse_statements(text) {
        Err(error) => render(&error, text),
        Ok(statements) => panic!("{text} gave {statements:?}"),
    }
}

#[test]
fn the_source_of_the_interface_is_read_with_all_its_parts() {
    let parsed = source(TRANSACTIONS);
    assert_eq!(parsed.name.value, "transactions");
    assert!(parsed.or_replace && !parsed.if_not_exists);
    let names: Vec<_> = parsed.columns.iter().map(|c| c.name.value.as_str()).collect();
    assert_eq!(names, ["txn_id", "user_id", "category", "amount", "event_time", "is_big", "part"]);
    assert!(parsed.columns[1].not_null && !parsed.columns[0].not_null);
    let ColumnOrigin::Computed { text, .. } = &parsed.columns[5].origin else { panic!() };
    assert_eq!(text, "amount > 1000");
    let ColumnOrigin::Metadata(field) = &parsed.columns[6].origin else { panic!() };
    assert_eq!(field.value, "partition");
    let watermark = parsed.watermark.unwrap();
    assert_eq!((watermark.column.value.as_str(), watermark.delay_us), ("event_time", 30_000_000));
    assert_eq!(parsed.options.len(), 6);
    assert_eq!(parsed.options[2].key.value, "properties.bootstrap.servers");
    assert_eq!(&TRANSACTIONS[parsed.place.range.clone()], TRANSACTIONS.trim_end_matches(";\n"));
}

#[test]
fn the_feature_of_the_interface_is_read_and_its_query_printed() {
    let parsed = feature(USER_SPEND);
    assert_eq!(parsed.name.value, "user_spend");
    assert!(parsed.if_not_exists && !parsed.or_replace);
    let expected = "\
SELECT user_id,
       count(*) OVER w30m AS txn_count_30m,
       sum(amount) FILTER (WHERE category = 'atm') OVER w1h AS atm_amount_1h,
       count(DISTINCT category) OVER w24h AS categories_24h,
       avg(amount) OVER w10 AS avg_last_10
FROM transactions
WHERE amount > 0
WINDOW w30m AS (PARTITION BY user_id ORDER BY event_time \
RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND CURRENT ROW),
       w1h AS (PARTITION BY user_id ORDER BY event_time \
RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY user_id ORDER BY event_time \
RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW),
       w10 AS (PARTITION BY user_id ORDER BY event_time, txn_id \
ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)";
    assert_eq!(parsed.query_text, expected);
}

#[test]
fn every_kind_of_statement_is_told_apart() {
    let text = "show sources; SHOW CREATE x; SHOW CREATE SOURCE source; describe \"A b\";
        DROP FEATURE IF EXISTS f CASCADE; DROP SOURCE s; EXPLAIN SELECT 1; EXPLAIN FEATURE f;
        EXPLAIN FEATURE SELECT 1; EXPLAIN CREATE FEATURE f AS SELECT 1 AS a FROM s;
        COPY (SELECT 1 AS a) TO 'x.parquet'; SELECT 1; /* c */ ;; (SELECT 2); WITH a AS (SELECT 1)
        SELECT * FROM a; VALUES (1, 2); DESCRIBE feature feature;";
    let all = parse_statements(text).unwrap();
    let shown: Vec<String> = all.iter().map(|s| text[s.place().range.clone()].to_owned()).collect();
    assert_eq!(all.len(), 16, "{shown:?}");
    assert_eq!(shown[11], "SELECT 1");
    let Statement::Show(show) = &all[2] else { panic!() };
    let kind = Some(ObjectKind::Source);
    assert!(
        matches!(&show.what, ShowWhat::Create { kind: k, name } if *k == kind && name.value == "source")
    );
    let Statement::Drop(drop) = &all[4] else { panic!() };
    assert!(drop.if_exists && drop.cascade && drop.kind == ObjectKind::Feature);
    let Statement::Explain(explain) = &all[9] else { panic!() };
    assert!(explain.feature);
    let Statement::Copy(copy) = &all[10] else { panic!() };
    assert_eq!(copy.statement.target, "x.parquet");
}
