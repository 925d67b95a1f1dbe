//! skewless inside a program: define a feature, compute it, ask it, and compute it again over
//! history. Prints what it does; fails if the two do not agree.
//!
//! ```text
//! cargo run --example library
//! ```

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use skewless::api::{Engine, EventTime, Run, Until};
use skewless::error::{Error, Result};

const DEFINITIONS: &str = "
CREATE SOURCE clicks (
    user_id BIGINT NOT NULL,
    page    VARCHAR,
    at      TIMESTAMP NOT NULL,
    WATERMARK FOR at AS at - INTERVAL '1 minute'
) WITH ('connector' = 'file', 'path' = '{directory}/clicks.ndjson', 'format' = 'json');

CREATE FEATURE user_clicks AS
SELECT user_id,
       COUNT(*)             OVER w AS clicks_30m,
       COUNT(DISTINCT page) OVER w AS pages_30m
FROM clicks
WINDOW w AS (PARTITION BY user_id ORDER BY at
             RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND CURRENT ROW);
";

const CLICKS: &str = r#"{"user_id": 1, "page": "home", "at": "2026-03-01T10:00:00Z"}
{"user_id": 2, "page": "home", "at": "2026-03-01T10:05:00Z"}
{"user_id": 1, "page": "cart", "at": "2026-03-01T10:10:00Z"}
{"user_id": 1, "page": "cart", "at": "2026-03-01T10:35:00Z"}
"#;

#[tokio::main]
async fn main() -> Result<()> {
    let directory = std::env::temp_dir().join(format!("skewless-library-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let result = walk(&directory).await;
    std::fs::remove_dir_all(&directory)?;
    result
}

fn table(rows: &[RecordBatch]) -> Result<String> {
    Ok(pretty_format_batches(rows)?.to_string())
}

async fn walk(directory: &std::path::Path) -> Result<()> {
    std::fs::write(directory.join("clicks.ndjson"), CLICKS)?;
    let engine = Engine::open(directory.join("home"))?;
    let shown = directory.display().to_string();
    for change in engine.define(&DEFINITIONS.replace("{directory}", &shown)).await? {
        println!("{:?} {} {}", change.kind, change.object, change.name);
    }

    // A server would leave `until` away, ask `running` and stop it in the end.
    let running = engine.run(Run { until: Some(Until::Now), ..Run::default() }).await?;
    let summary = running.finished().await?;
    println!("{} records, {} admitted", summary.counts.read, summary.counts.admitted);

    // Now is the newest click, 10:35; half an hour before it a click had left the window.
    let now = engine.get("user_clicks", &["1"], None).await?;
    println!("user 1 as of {}:\n{}", now.as_of.unwrap_or(EventTime(0)), table(&[now.values])?);
    let later = EventTime::parse("2026-03-01T11:00:00Z");
    let later = engine.get("user_clicks", &["user_id=1"], later).await?;
    println!("user 1 at 11:00:\n{}", table(&[later.values])?);

    // The final rows, from history, by the same operators.
    let out = directory.join("clicks.parquet");
    let rows = engine.backfill("user_clicks", &out.display().to_string(), None).await?;
    println!("backfill wrote {rows} rows");
    let users = engine.query("SELECT * FROM user_clicks ORDER BY user_id").await?;
    println!("every user now:\n{}", table(&users)?);
    if rows != summary.counts.admitted {
        return Err(Error::data(format!("{rows} final rows of {summary:?}")));
    }
    Ok(())
}
