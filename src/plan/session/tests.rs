//! Ad-hoc SQL in our session.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;

use super::*;

/// A table `t (k, ts)` with events at −1 s, 0 s, 59 s, 60 s and 150 s.
fn context() -> SessionContext {
    let context = session(vec![], &SessionOptions::default());
    let times = [-1, 0, 59, 60, 150].map(|s: i64| s * 1_000_000);
    let ts: ArrayRef =
        Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC"));
    let k: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 1, 2, 2]));
    let batch = RecordBatch::try_from_iter(vec![("k", k), ("ts", ts)]).unwrap();
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

async fn run(text: &str) -> String {
    let batches = sql(&context(), text).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

async fn refusal(text: &str) -> String {
    match sql(&context(), text).await {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn tumble_groups_history_in_every_spelling() {
    let expected = run(
        "SELECT k, window_start, window_end, count(*) AS n FROM TUMBLE(t, ts, INTERVAL '1' MINUTE) \
         GROUP BY k, window_start, window_end ORDER BY k, window_start",
    )
    .await;
    assert!(
        expected.contains("| 1 | 1969-12-31T23:59:00Z | 1970-01-01T00:00:00Z | 1 |"),
        "{expected}"
    );
    assert!(
        expected.contains("| 1 | 1970-01-01T00:00:00Z | 1970-01-01T00:01:00Z | 2 |"),
        "{expected}"
    );
    for text in [
        "SELECT k, window_start, window_end, count(*) AS n FROM TABLE(TUMBLE(TABLE t, \
         DESCRIPTOR(ts), INTERVAL '60' SECOND)) GROUP BY 1, 2, 3 ORDER BY 1, 2",
        "SELECT k, TUMBLE_START(ts, INTERVAL '1' MINUTE) AS window_start, TUMBLE_END(ts, INTERVAL \
         '1' MINUTE) AS window_end, count(*) AS n FROM t GROUP BY k, TUMBLE(ts, INTERVAL '1' \
         MINUTE) ORDER BY 1, 2",
        "SELECT w.k, w.window_start, w.window_end, count(*) AS n FROM TUMBLE(t, ts, INTERVAL '1' \
         MINUTE) AS w GROUP BY w.k, w.window_start, w.window_end ORDER BY 1, 2",
        "WITH c AS (SELECT * FROM t) SELECT t.k, window_start, window_end, count(*) AS n FROM \
         (SELECT * FROM TUMBLE(t, ts, INTERVAL '1' MINUTE)) AS t GROUP BY 1, 2, 3 ORDER BY 1, 2",
    ] {
        assert_eq!(run(text).await, expected, "{text}");
    }
}

#[tokio::test]
async fn hop_puts_a_row_into_every_window_that_covers_it() {
    let found = run(
        "SELECT window_start, count(*) AS n FROM HOP(t, ts, INTERVAL '1' MINUTE, INTERVAL '2' \
         MINUTE) GROUP BY window_start ORDER BY 1",
    )
    .await;
    let rows: Vec<&str> = found.lines().filter(|line| line.contains("19")).collect();
    assert_eq!(
        rows,
        [
            "| 1969-12-31T23:58:00Z | 1 |",
            "| 1969-12-31T23:59:00Z | 3 |",
            "| 1970-01-01T00:00:00Z | 3 |",
            "| 1970-01-01T00:01:00Z | 2 |",
            "| 1970-01-01T00:02:00Z | 1 |",
        ]
    );
}

#[tokio::test]
async fn failing_expressions_are_null_and_counted_in_ad_hoc_sql_too() {
    let options = SessionOptions::default();
    let context = session(vec![], &options);
    let text =
        "SELECT 10 / a AS q, CAST(b AS INT) AS c FROM (VALUES (0, 'x'), (5, '7')) AS v(a, b)";
    let batches = sql(&context, text).await.unwrap().collect().await.unwrap();
    let found = pretty_format_batches(&batches).unwrap().to_string();
    assert!(found.contains("|   |   |") && found.contains("| 2 | 7 |"), "{found}");
    assert_eq!(options.errors.get(), 2);
}

#[tokio::test]
async fn types_are_ours() {
    let frame = sql(
        &context(),
        "SELECT CAST('2024-01-01' AS TIMESTAMP) AS a, TIMESTAMP '2024-01-01 00:00:00.5' AS b, \
         CAST(1 AS VARCHAR) AS c, CAST('x' AS BYTEA) AS d, CAST('2024-01-01T01:00:00+01:00' AS \
         TIMESTAMP WITH TIME ZONE) AS e",
    )
    .await
    .unwrap();
    let types: Vec<DataType> =
        frame.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let time = timestamp_type();
    assert_eq!(types, [time.clone(), time.clone(), DataType::Utf8, DataType::Binary, time]);
    let found = run("SELECT CAST('2024-01-01T01:00:00+01:00' AS TIMESTAMP) AS e").await;
    assert!(found.contains("2024-01-01T00:00:00Z"), "{found}");
}

#[tokio::test]
async fn errors_name_the_thing_and_what_was_meant() {
    assert_eq!(refusal("SELECT kk FROM t").await, "no such column: kk (hint: did you mean 'k'?)");
    assert!(
        refusal("SELECT count(*) FROM SESSION(t, ts, INTERVAL '1' HOUR) GROUP BY window_start")
            .await
            .starts_with("not supported yet: windows other than TUMBLE and HOP in a plain query")
    );
}
