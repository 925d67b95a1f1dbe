//! How fast messages become rows: `cargo bench --bench decode`. One thread; throughput in
//! messages per second.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench stops where it fails"
)]

use std::hint::black_box;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skewless::format::json::JsonDecoder;
use skewless::format::options::JsonOptions;
use skewless::model::batch::timestamp_type;

/// Card transactions as a producer writes them, about 150 bytes each.
fn messages(count: u64) -> Vec<String> {
    let message = |n: u64| {
        let (user, cents, second) = (n * 7_919 % 100_000, n * 31 % 100_000, n % 60);
        format!(
            "{{\"txn_id\":{n},\"user_id\":{user},\"category\":\"grocery\",\"amount\":{}.{:02},\
             \"lat\":48.{user},\"lon\":11.{cents},\
             \"event_time\":\"2026-01-01T00:00:{second:02}.123Z\"}}",
            cents / 100,
            cents % 100
        )
    };
    (0..count).map(message).collect()
}

fn decode(c: &mut Criterion) {
    let schema = Arc::new(Schema::new(vec![
        Field::new("txn_id", DataType::Int64, true),
        Field::new("user_id", DataType::Int64, false),
        Field::new("category", DataType::Utf8, true),
        Field::new("amount", DataType::Float64, true),
        Field::new("lat", DataType::Float64, true),
        Field::new("lon", DataType::Float64, true),
        Field::new("event_time", timestamp_type(), false),
    ]));
    let messages = messages(8_192);
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(messages.len() as u64));
    let narrow = Arc::new(schema.project(&[1, 3, 6]).unwrap());
    for (name, schema) in [("all_columns", schema), ("three_of_seven", narrow)] {
        let decoder = JsonDecoder::new(schema, JsonOptions::default(), 1 << 20).unwrap();
        let mut decoder = decoder.with_event_time("event_time");
        group.bench_function(name, |b| {
            b.iter(|| {
                for message in &messages {
                    decoder.decode(message.as_bytes()).unwrap();
                }
                black_box(decoder.flush().unwrap())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode);
criterion_main!(benches);
