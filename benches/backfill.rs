//! How long a whole backfill takes, file in, file out: two windows of five aggregates each over
//! 500,000 rows of 5,000 users in Parquet. Results are per row. Run with
//! `cargo bench --bench backfill`; `scripts/bench` compares larger ones with other engines.

#![allow(clippy::unwrap_used, reason = "a bench stops where it fails")]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use parquet::arrow::ArrowWriter;
use skewless::api::Engine;

const ROWS: i64 = 500_000;
const USERS: u64 = 5_000;

const DEFINITIONS: &str = "
CREATE SOURCE payments (
    user_id BIGINT NOT NULL, amount DOUBLE, event_time TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '1 minute'
) WITH ('connector' = 'file', 'path' = '{path}', 'format' = 'parquet');
CREATE FEATURE spend AS
SELECT user_id,
       COUNT(*) OVER short AS n1, SUM(amount) OVER short AS s1, AVG(amount) OVER short AS a1,
       MAX(amount) OVER short AS m1, STDDEV(amount) OVER short AS d1,
       COUNT(*) OVER long AS n24, SUM(amount) OVER long AS s24, AVG(amount) OVER long AS a24,
       MAX(amount) OVER long AS m24, STDDEV(amount) OVER long AS d24
FROM payments
WINDOW short AS (PARTITION BY user_id ORDER BY event_time
                 RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW),
       long AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '24 hours' PRECEDING AND CURRENT ROW);";

/// Payments a tenth of a second apart, xorshift64 from a fixed seed.
fn write(path: &Path) {
    let mut state = 88_172_645_463_325_252u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let users: Int64Array = (0..ROWS).map(|_| Some((next() % USERS) as i64)).collect();
    let amounts: Float64Array =
        (0..ROWS).map(|_| Some((next() % 100_000) as f64 / 100.0)).collect();
    let times: TimestampMicrosecondArray =
        (0..ROWS).map(|i| Some(1_772_000_000_000_000 + i * 100_000)).collect();
    let batch = RecordBatch::try_from_iter([
        ("user_id", Arc::new(users) as ArrayRef),
        ("amount", Arc::new(amounts)),
        ("event_time", Arc::new(times.with_timezone("UTC"))),
    ]);
    let batch = batch.unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn backfill(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("payments.parquet");
    write(&path);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = Engine::open(directory.path().join("home")).unwrap();
    let definitions = DEFINITIONS.replace("{path}", path.to_str().unwrap());
    runtime.block_on(engine.define(&definitions)).unwrap();
    let mut group = criterion.benchmark_group("backfill");
    group.throughput(Throughput::Elements(ROWS.unsigned_abs())).sample_size(10);
    let out = directory.path().join("out.parquet");
    group.bench_function("two windows of five aggregates", |bencher| {
        bencher.iter(|| {
            let _ = std::fs::remove_file(&out);
            let written = engine.backfill("spend", out.to_str().unwrap(), None);
            assert_eq!(runtime.block_on(written).unwrap(), ROWS.unsigned_abs());
        });
    });
    group.finish();
}

criterion_group!(benches, backfill);
criterion_main!(benches);
