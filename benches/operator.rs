//! Kernels of the operators: two trailing frames × (count, sum, avg, max, stddev), key by key and
//! in order of time, and hopping windows. One iteration runs all rows; throughput is rows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench stops where it fails"
)]

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use skewless::aggregate::kind::{AggregateKind, AggregateSpec};
use skewless::model::time::{EventTime, SECOND_US};
use skewless::operator::build;
use skewless::plan::dataflow::{FrameSpec, GroupSpec, SlotSpec, TrailingSpec, WindowSpec};
use skewless::sql::window::WindowShape;

const ROWS: usize = 1_000_000;
const BATCH: usize = 8_192;
const HOUR_US: i64 = 3_600 * SECOND_US;

fn aggregate(kind: AggregateKind) -> AggregateSpec {
    let output = match kind {
        AggregateKind::Count => DataType::Int64,
        _ => DataType::Float64,
    };
    let counts = kind == AggregateKind::Count;
    let input = if counts { DataType::Null } else { DataType::Float64 };
    AggregateSpec::plain(kind, (!counts).then_some(0), input, output)
}

fn slots(kinds: &[AggregateKind], frames: usize) -> Vec<SlotSpec> {
    let slot = |frame| move |kind: &AggregateKind| SlotSpec { frame, aggregate: aggregate(*kind) };
    (0..frames).flat_map(|frame| kinds.iter().map(slot(frame))).collect()
}

fn trailing() -> WindowSpec {
    use AggregateKind as K;
    let frame = |hours: i64| FrameSpec::range(Some(hours * HOUR_US));
    WindowSpec::Trailing(TrailingSpec {
        key_types: vec![DataType::Int64],
        value_types: vec![DataType::Float64],
        frames: vec![frame(1), frame(24)],
        slots: slots(&[K::Count, K::Sum, K::Avg, K::Max, K::StddevSamp], 2),
        carried: Vec::new(),
    })
}

fn group(size_us: i64, slide_us: i64) -> WindowSpec {
    use AggregateKind as K;
    WindowSpec::Group(GroupSpec {
        key_types: vec![DataType::Int64],
        value_types: vec![DataType::Float64],
        shape: WindowShape::Grid { size_us, slide_us, offset_us: 0 },
        slots: slots(&[K::Count, K::Sum, K::Avg, K::Max], 1),
        having: None,
    })
}

/// `count` frames over one buffer: what one more window costs on a source that has many.
fn many(count: i64) -> WindowSpec {
    use AggregateKind as K;
    WindowSpec::Trailing(TrailingSpec {
        key_types: vec![DataType::Int64],
        value_types: vec![DataType::Float64],
        frames: (1..=count).map(|hours| FrameSpec::range(Some(hours * HOUR_US))).collect(),
        slots: slots(&[K::Count, K::Sum], count as usize),
        carried: Vec::new(),
    })
}

/// Events of three days in order of time: (key, time, cents).
fn events(keys: u64) -> Vec<(i64, i64, f64)> {
    let mut state = 88_172_645_463_325_252u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let gap = 72 * HOUR_US / ROWS as i64;
    (0..ROWS as i64)
        .map(|i| ((random() % keys) as i64, i * gap, (random() % 1_000_000) as f64 / 100.0))
        .collect()
}

fn batches(spec: &WindowSpec, events: &[(i64, i64, f64)]) -> Vec<RecordBatch> {
    let chunk = |(i, rows): (usize, &[(i64, i64, f64)])| {
        let offsets = (0..rows.len()).map(|row| (i * BATCH + row) as i64);
        let times = rows.iter().map(|row| row.1);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
            Arc::new(Int32Array::from(vec![0; rows.len()])),
            Arc::new(Int64Array::from_iter_values(offsets)),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.2))),
        ];
        RecordBatch::try_new(spec.step_schema(), columns).expect("the schema of a step batch")
    };
    events.chunks(BATCH).enumerate().map(chunk).collect()
}

fn by_key(spec: &WindowSpec, batches: &[RecordBatch]) -> usize {
    let mut operator = build(spec, false).expect("a valid specification");
    let (mut out, mut rows) = (Vec::new(), 0);
    for (i, batch) in batches.iter().enumerate() {
        operator.on_sorted(batch, i + 1 == batches.len(), &mut out).expect("rows");
        rows += out.drain(..).map(|batch| batch.num_rows()).sum::<usize>();
    }
    rows
}

/// Watermark 30 s behind, current values taken after every batch if asked for.
fn by_time(spec: &WindowSpec, batches: &[RecordBatch], current: bool) -> usize {
    let mut operator = build(spec, current).expect("a valid specification");
    let (mut out, mut rows) = (Vec::new(), 0);
    for batch in batches {
        operator.on_batch(batch).expect("rows");
        let times = skewless::state::row::times(batch.column(1));
        let watermark = times.last().map_or(0, |time| time - 30 * SECOND_US);
        operator.on_watermark(EventTime(watermark), &mut out).expect("rows");
        rows += out.drain(..).map(|batch| batch.num_rows()).sum::<usize>();
        if current {
            black_box(operator.drain_current().expect("rows"));
        }
    }
    operator.on_watermark(EventTime::INFINITY, &mut out).expect("rows");
    rows + out.iter().map(RecordBatch::num_rows).sum::<usize>()
}

fn run(criterion: &mut Criterion, name: &str, mut routine: impl FnMut() -> usize) {
    let mut group = criterion.benchmark_group("operator");
    group.throughput(Throughput::Elements(ROWS as u64)).sample_size(10);
    group.bench_function(name, |b| {
        b.iter_batched(|| (), |()| black_box(routine()), BatchSize::PerIteration);
    });
    group.finish();
}

fn operators(criterion: &mut Criterion) {
    let spec = trailing();
    for keys in [1_000, 100_000] {
        let mut rows = events(keys);
        let stream = batches(&spec, &rows);
        rows.sort_by_key(|row| row.0);
        let history = batches(&spec, &rows);
        run(criterion, &format!("trailing by key, {keys} keys"), || by_key(&spec, &history));
        run(criterion, &format!("trailing by time, {keys} keys"), || {
            by_time(&spec, &stream, false)
        });
        run(criterion, &format!("trailing with current values, {keys} keys"), || {
            by_time(&spec, &stream, true)
        });
    }
    for count in [20, 21] {
        let spec = many(count);
        let stream = batches(&spec, &events(1_000));
        run(criterion, &format!("{count} windows by time"), || by_time(&spec, &stream, false));
    }
    // A key is in 1,440 windows of a day by the minute: few keys, or the results are the cost.
    for (name, size, keys) in [
        ("tumble 1 min", 60, 100_000),
        ("hop 1 h by 1 min", 3_600, 100_000),
        ("hop 24 h by 1 min", 86_400, 1_000),
    ] {
        let spec = group(size * SECOND_US, 60 * SECOND_US);
        let mut rows = events(keys);
        let stream = batches(&spec, &rows);
        rows.sort_by_key(|row| row.0);
        let history = batches(&spec, &rows);
        run(criterion, &format!("{name} by key"), || by_key(&spec, &history));
        run(criterion, &format!("{name} by time"), || by_time(&spec, &stream, false));
    }
}

criterion_group!(benches, operators);
criterion_main!(benches);
