//! What a checkpoint costs: 1 M keys (two trailing frames × 5 aggregates, one row each), of which
//! 1 % change between two checkpoints. Prints bytes and milliseconds of a whole snapshot, of what
//! changed, and of restoring a whole snapshot with ten changes over it; encoded as on disk.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and stops where it fails"
)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use skewless::aggregate::kind::{AggregateKind as K, AggregateSpec};
use skewless::checkpoint::state_file::{decode, encode};
use skewless::clock;
use skewless::model::time::{EventTime, SECOND_US};
use skewless::operator::build;
use skewless::plan::dataflow::{FrameSpec, SlotSpec, TrailingSpec, WindowSpec};
use skewless::state::overlay::overlay;

const KEYS: i64 = 1_000_000;
const CHANGED: i64 = KEYS / 100;
const CHANGES: i64 = 10;
const HOUR_US: i64 = 3_600 * SECOND_US;

fn aggregate(kind: K) -> AggregateSpec {
    let output = if kind == K::Count { DataType::Int64 } else { DataType::Float64 };
    let input = if kind == K::Count { DataType::Null } else { DataType::Float64 };
    AggregateSpec::plain(kind, (kind != K::Count).then_some(0), input, output)
}

fn spec() -> WindowSpec {
    let slot = |frame: usize, kind: K| SlotSpec { frame, aggregate: aggregate(kind) };
    let kinds = [K::Count, K::Sum, K::Avg, K::Max, K::StddevSamp];
    WindowSpec::Trailing(TrailingSpec {
        key_types: vec![DataType::Int64],
        value_types: vec![DataType::Float64],
        frames: vec![FrameSpec::range(Some(HOUR_US)), FrameSpec::range(Some(24 * HOUR_US))],
        slots: (0..2).flat_map(|frame| kinds.map(|kind| slot(frame, kind))).collect(),
        carried: Vec::new(),
    })
}

/// One row per key, all at one time.
fn rows(spec: &WindowSpec, keys: impl Iterator<Item = i64>, round: i64) -> RecordBatch {
    let keys: Vec<i64> = keys.collect();
    let count = keys.len();
    let times = TimestampMicrosecondArray::from(vec![round * SECOND_US; count]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(keys.clone())),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(Int32Array::from(vec![0; count])),
        Arc::new(Int64Array::from_iter_values(keys.iter().map(|key| round * KEYS + key))),
        Arc::new(Float64Array::from_iter_values(keys.iter().map(|key| *key as f64 / 100.0))),
    ];
    RecordBatch::try_new(spec.step_schema(), columns).expect("the schema of a step batch")
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = clock::monotonic();
    let done = work();
    println!("{what}: {} ms", began.elapsed().as_millis());
    done
}

fn main() {
    let spec = spec();
    let mut operator = build(&spec, true).expect("a valid specification");
    let mut out = Vec::new();
    operator.on_batch(&rows(&spec, 0..KEYS, 0)).expect("rows");
    operator.on_watermark(EventTime(1), &mut out).expect("rows");
    operator.drain_current().expect("values");
    let whole = timed("whole snapshot taken", || operator.snapshot().expect("a snapshot"));
    operator.follow_changes();
    let whole = timed("whole snapshot encoded", || encode(&whole).expect("bytes"));
    println!("whole snapshot: {} bytes", whole.len());
    let mut chain = vec![whole];
    for round in 1..=CHANGES {
        out.clear();
        let keys = (0..CHANGED).map(|i| (i * 97 + round) % KEYS);
        operator.on_batch(&rows(&spec, keys, round)).expect("rows");
        operator.on_watermark(EventTime(round * SECOND_US + 1), &mut out).expect("rows");
        operator.drain_current().expect("values");
        let began = clock::monotonic();
        let changes = operator.changes().expect("changes").expect("they are followed");
        let taken = began.elapsed();
        let bytes = encode(&changes).expect("bytes");
        if round == CHANGES {
            let (taken, both) = (taken.as_millis(), began.elapsed().as_millis());
            println!("changes taken: {taken} ms\nchanges taken and encoded: {both} ms");
            println!("changes: {} bytes", bytes.len());
        }
        chain.push(bytes);
    }
    let parts: Vec<_> = timed("files decoded", || {
        chain.iter().map(|bytes| decode(bytes).expect("a snapshot")).collect()
    });
    let restored = timed("changes overlaid", || overlay(parts).expect("one snapshot"));
    let mut fresh = build(&spec, true).expect("a valid specification");
    timed("state restored", || fresh.restore(&restored).expect("state"));
    assert_eq!(fresh.key_count(), KEYS as usize);
}
