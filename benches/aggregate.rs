//! How long exact aggregation takes: adding, merging, and sliding with an evaluation per row.
//! Sizes: 10,000 values; results are per value. Run with `cargo bench --bench aggregate`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench stops where it fails"
)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use skewless::aggregate::distinct::Distinct;
use skewless::aggregate::exact_sum::ExactSum;
use skewless::aggregate::extreme::Extreme;
use skewless::aggregate::moments::{DecimalMoments, FloatMoments, FloatSums, IntMoments, Moments};

const VALUES: usize = 10_000;
const FRAME: usize = 500;

/// Amounts with two digits after the point, xorshift64 from a fixed seed.
fn cents() -> Vec<i64> {
    let mut state = 88_172_645_463_325_252u64;
    (0..VALUES)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % 1_000_000) as i64
        })
        .collect()
}

fn amounts() -> Vec<f64> {
    cents().into_iter().map(|x| x as f64 / 100.0).collect()
}

/// Magnitudes from 1e-20 to 1e20: more than fits inline.
fn wide() -> Vec<f64> {
    cents().into_iter().map(|x| 10f64.powf(x as f64 / 25_000.0 - 20.0)).collect()
}

fn add<M: Moments>(group: &mut BenchmarkGroup<WallTime>, name: &str, values: &[M::Value]) {
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let mut state = M::default();
            values.iter().for_each(|x| state.add(*x));
            black_box(state.count())
        });
    });
}

/// A frame of the last [`FRAME`] values: one in, one out, one evaluation.
fn slide<M: Moments>(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    values: &[M::Value],
    evaluate: impl Fn(&M) -> Option<f64>,
) {
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let mut state = M::default();
            for (i, x) in values.iter().enumerate() {
                state.add(*x);
                if i >= FRAME {
                    state.sub(values[i - FRAME]);
                }
                black_box(evaluate(&state));
            }
        });
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500))
        .configure_from_args();
    let (amounts, wide) = (amounts(), wide());
    let whole: Vec<i128> = cents().into_iter().map(i128::from).collect();

    let mut group = criterion.benchmark_group("add");
    group.throughput(Throughput::Elements(VALUES as u64));
    add::<FloatSums>(&mut group, "float sums", &amounts);
    add::<FloatSums>(&mut group, "float sums, wide", &wide);
    add::<FloatMoments>(&mut group, "float moments", &amounts);
    add::<FloatMoments>(&mut group, "float moments, wide", &wide);
    add::<IntMoments>(&mut group, "integer moments", &whole);
    add::<DecimalMoments>(&mut group, "decimal moments", &whole);
    group.finish();

    let mut group = criterion.benchmark_group("slide and evaluate");
    group.throughput(Throughput::Elements(VALUES as u64));
    slide::<FloatSums>(&mut group, "float sum", &amounts, FloatSums::sum);
    slide::<FloatSums>(&mut group, "float avg", &amounts, FloatSums::avg);
    slide::<FloatMoments>(&mut group, "float stddev", &amounts, FloatMoments::stddev_samp);
    slide::<FloatMoments>(&mut group, "float stddev, wide", &wide, FloatMoments::stddev_samp);
    slide::<IntMoments>(&mut group, "integer stddev", &whole, IntMoments::stddev_samp);
    slide::<DecimalMoments>(&mut group, "decimal stddev", &whole, |m| m.stddev_samp(2));
    extreme_and_distinct(&mut group, &cents());
    group.finish();

    let mut group = criterion.benchmark_group("merge");
    let sums: Vec<ExactSum> = amounts
        .iter()
        .map(|x| {
            let mut sum = ExactSum::default();
            sum.add(*x);
            sum
        })
        .collect();
    group.throughput(Throughput::Elements(VALUES as u64));
    group.bench_function("float sums", |bencher| {
        bencher.iter(|| {
            let mut total = ExactSum::default();
            sums.iter().for_each(|sum| total.merge(sum));
            black_box(total.round())
        });
    });
    group.finish();
    criterion.final_summary();
}

fn extreme_and_distinct(group: &mut BenchmarkGroup<WallTime>, values: &[i64]) {
    group.bench_function("max", |bencher| {
        bencher.iter(|| {
            let mut queue = Extreme::max();
            for (i, x) in values.iter().enumerate() {
                queue.push_back(i as u64, *x);
                queue.drop_before((i as u64 + 1).saturating_sub(FRAME as u64));
                black_box(queue.front());
            }
        });
    });
    group.bench_function("count distinct", |bencher| {
        bencher.iter(|| {
            let mut set = Distinct::new();
            for (i, x) in values.iter().enumerate() {
                set.add(*x);
                if i >= FRAME {
                    set.sub(&values[i - FRAME]);
                }
                black_box(set.len());
            }
        });
    });
}
