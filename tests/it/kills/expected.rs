//! What the outputs must hold: plain DataFusion over the admitted records, by queries written for
//! it; nothing of the engine computes here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::util::display::array_value_to_string;
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use super::made::Log;
use super::published;

const RECENT: &str = "
SELECT user_id, id, CAST(event_time AS BIGINT) AS t, COUNT(*) OVER w AS n, SUM(amount) OVER w AS s,
       MAX(amount) OVER w AS m, AVG(amount) OVER w AS a
FROM admitted WINDOW w AS (PARTITION BY user_id ORDER BY event_time
    RANGE BETWEEN INTERVAL '10 seconds' PRECEDING AND CURRENT ROW)";
const EVER: &str = "
SELECT user_id, id, CAST(event_time AS BIGINT) AS t,
       COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time) AS n,
       SUM(amount) OVER (PARTITION BY user_id ORDER BY event_time, part, place
                         ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS s
FROM admitted";
const WINDOWS: &str = "
SELECT user_id, t, COUNT(*) AS n, SUM(amount) AS s, MIN(amount) AS l FROM (
    SELECT user_id, amount, CAST(event_time AS BIGINT) / 4000000 * 4000000 + 4000000 AS t
    FROM admitted)
GROUP BY user_id, t";

/// How the rows of all outputs compare.
#[derive(Debug, Default)]
pub struct Verdict {
    pub rows: usize,
    pub lost: usize,
    pub twice: usize,
    pub different: usize,
    pub examples: Vec<String>,
}

impl Verdict {
    /// Rows begin with their identity: as many columns as `identity` says.
    fn add(&mut self, what: &str, identity: usize, found: &[Vec<String>], wanted: &[Vec<String>]) {
        let by_identity = |rows: &[Vec<String>]| {
            let mut all: BTreeMap<Vec<String>, Vec<Vec<String>>> = BTreeMap::new();
            for row in rows {
                all.entry(row[..identity].to_vec()).or_default().push(row.clone());
            }
            all
        };
        let (mut found, wanted) = (by_identity(found), by_identity(wanted));
        for (id, rows) in &wanted {
            assert_eq!(rows.len(), 1, "{what}: {id:?} is no identity");
            self.rows += 1;
            let there = found.remove(id).unwrap_or_default();
            self.lost += usize::from(there.is_empty());
            self.twice += there.len().saturating_sub(1);
            self.different += usize::from(there.first().is_some_and(|row| *row != rows[0]));
            if there != *rows && self.examples.len() < 8 {
                self.examples.push(format!("{what}: {there:?}, expected {rows:?}"));
            }
        }
        // What should not be there at all.
        self.different += found.len();
        self.examples.extend(found.into_keys().take(3).map(|id| format!("{what}: {id:?} is new")));
    }
}

async fn query(context: &SessionContext, sql: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for batch in context.sql(sql).await.unwrap().collect().await.unwrap() {
        for row in 0..batch.num_rows() {
            let text = |column: &Arc<dyn Array>| array_value_to_string(column, row).unwrap();
            rows.push(batch.columns().iter().map(text).collect());
        }
    }
    rows
}

fn context(log: &Log) -> SessionContext {
    let rows = &log.admitted;
    let numbers = |of: &dyn Fn(usize) -> Option<i64>| -> Arc<dyn Array> {
        Arc::new((0..rows.len()).map(of).collect::<Int64Array>())
    };
    let times = rows.iter().map(|row| row.time).collect::<Vec<_>>();
    let batch = RecordBatch::try_from_iter([
        ("id", numbers(&|i| Some(rows[i].id))),
        ("user_id", numbers(&|i| Some(rows[i].user))),
        ("amount", numbers(&|i| rows[i].amount)),
        ("part", numbers(&|i| Some(rows[i].partition as i64))),
        ("place", numbers(&|i| Some(rows[i].offset))),
        ("event_time", Arc::new(TimestampMicrosecondArray::from(times))),
    ]);
    let context = SessionContext::new();
    context.register_batch("admitted", batch.unwrap()).unwrap();
    context
}

/// The rows of what is published below `folder`.
async fn read(folder: &Path, columns: &str) -> Vec<Vec<String>> {
    let files = published(folder);
    if files.is_empty() {
        return Vec::new();
    }
    let context = SessionContext::new();
    let table = context.read_parquet(files, ParquetReadOptions::default()).await.unwrap();
    context.register_table("found", table.into_view()).unwrap();
    query(&context, &format!("SELECT {columns} FROM found")).await
}

/// Compares everything below `directory` with what was sent.
pub async fn compare(directory: &Path, log: &Log) -> Verdict {
    let context = context(log);
    let mut verdict = Verdict::default();
    let store = |feature: &str| directory.join("store").join(feature);
    let features = [
        ("recent", RECENT, 2, "user_id, id, CAST(event_time AS BIGINT), n, s, m, a"),
        ("ever", EVER, 2, "user_id, id, CAST(event_time AS BIGINT), n, s"),
        ("windows", WINDOWS, 2, "user_id, CAST(window_end AS BIGINT), n, s, l"),
    ];
    for (feature, sql, identity, columns) in features {
        let found = read(&store(feature), columns).await;
        verdict.add(feature, identity, &found, &query(&context, sql).await);
    }
    let sql = "SELECT part, place, id, user_id, amount FROM admitted";
    let found = read(&directory.join("history"), "_partition, _offset, id, user_id, amount").await;
    verdict.add("archive", 2, &found, &query(&context, sql).await);
    let letter = |(partition, offset, reason): &(u64, i64, &str)| {
        vec![partition.to_string(), offset.to_string(), (*reason).to_owned()]
    };
    let wanted: Vec<_> = log.dead.iter().map(letter).collect();
    let found = read(&directory.join("dead"), "partition, \"offset\", reason").await;
    verdict.add("dead letters", 2, &found, &wanted);
    verdict
}

/// The current value of an entity once every window is closed.
#[derive(Debug)]
pub struct Current {
    /// The newest row or closed window.
    pub as_of: i64,
    /// The newest event of all, or later: up to then values are kept.
    pub until: i64,
    pub values: BTreeMap<String, String>,
}

/// By feature and user. An engine that had read everything made values follow time, up to `shown`
/// at the latest: a little after the newest event, as long as it lived after that.
pub async fn current(log: &Log, shown: i64) -> BTreeMap<(&'static str, String), Current> {
    let context = context(log);
    let newest = |sql: &str, order: &str| {
        format!(
            "SELECT * FROM (SELECT q.*, row_number() OVER (PARTITION BY user_id ORDER BY {order})
             AS k FROM ({sql}) q) WHERE k = 1"
        )
    };
    let with_place = |sql: &str| sql.replacen("SELECT user_id,", "SELECT part, place, user_id,", 1);
    let last = "t DESC, part DESC, place DESC";
    let newest_of_all = query(&context, "SELECT MAX(CAST(event_time AS BIGINT)) FROM admitted");
    let newest_of_all: i64 = newest_of_all.await[0][0].parse().unwrap();
    assert!(shown - newest_of_all < 60_000_000, "values run ahead of time: {shown}");
    let until = newest_of_all.max(shown);
    let all = [
        ("recent", newest(&with_place(RECENT), last), vec!["id", "n", "s", "m", "a"], 3),
        ("ever", newest(&with_place(EVER), last), vec!["id", "n", "s"], 3),
        ("windows", newest(WINDOWS, "t DESC"), vec!["n", "s", "l"], 0),
    ];
    let mut expected = BTreeMap::new();
    for (feature, sql, names, after) in all {
        for row in query(&context, &sql).await {
            // part, place, user_id, id, t, n, … or user_id, t, n, …
            let (user, as_of) = match after {
                3 => (row[2].clone(), row[4].parse().unwrap()),
                _ => (row[0].clone(), row[1].parse().unwrap()),
            };
            let values: Vec<&String> = match after {
                3 => row[3..4].iter().chain(&row[5..row.len() - 1]).collect(),
                _ => row[2..row.len() - 1].iter().collect(),
            };
            let named = names.iter().map(|name| (*name).to_owned());
            // NULL is an absent field.
            let values = named.zip(values.into_iter().cloned()).filter(|(_, v)| !v.is_empty());
            expected.insert((feature, user), Current { as_of, until, values: values.collect() });
        }
    }
    // Rows leave the frame as time passes.
    for ((_, user), current) in expected.iter_mut().filter(|((feature, _), _)| *feature == "recent")
    {
        let sql = format!(
            "SELECT CASE WHEN COUNT(*) > 0 THEN {} END AS id, COUNT(*) AS n, SUM(amount) AS s,
                    MAX(amount) AS m, AVG(amount) AS a
             FROM admitted WHERE user_id = {user} AND CAST(event_time AS BIGINT) >= {}",
            current.values["id"],
            until - 10_000_000
        );
        let row = query(&context, &sql).await.remove(0);
        let named = ["id", "n", "s", "m", "a"].map(str::to_owned).into_iter().zip(row);
        current.values = named.filter(|(_, value)| !value.is_empty()).collect();
    }
    expected
}
