//! One shape over many random cases: planned once; per case another log, layout, batching, lanes
//! and deaths. Admission against the naive model of admission; final rows, from history and from
//! the stream, against the naive model and stock SQL, as multisets of raw bits. A failing case
//! prints its seed.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type};
use skewless::plan::dataflow::FeaturePlan;
use skewless::runtime::lane::LaneGroup;

use super::data::{self, Log};
use super::shape::Shape;
use crate::harness::check::{canonical, lane_groups, same_rows, same_types};
use crate::harness::engine::Engine;
use crate::harness::judge::Verdict;
use crate::harness::log::Partition;
use crate::harness::model::Row;
use crate::harness::modes::{Input, Outcome, Sabotage, Steps, batch, stream};
use crate::harness::rng::{Rng, seed_of};
use crate::harness::stock::Oracle;
use crate::harness::value::{Val, difference, multiset, rows};

/// Cases per shape: `SKEWLESS_CASES`, default 256.
fn cases() -> u64 {
    std::env::var("SKEWLESS_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256)
}

/// Seeds of a shape: one if `SKEWLESS_SEED` is set.
fn seeds(name: &str) -> Vec<u64> {
    match std::env::var("SKEWLESS_SEED").ok().and_then(|n| n.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..cases()).map(|i| seed_of(name).wrapping_add(i)).collect(),
    }
}

fn reproduce(kind: &str, shape: &Shape, seed: u64) -> String {
    let name = &shape.name;
    format!("SKEWLESS_SEED={seed} cargo test --test slt -- --exact {kind}/{name}")
}

async fn oracle(shape: &Shape) -> Result<Oracle, String> {
    Oracle::plan("src", "ts", &data::schema(), &shape.query, shape.stock.as_deref()).await
}

/// The two oracles must agree with each other: a test of the test.
pub async fn oracles_agree(shape: &Shape) -> Result<(), String> {
    let Some(model) = shape.model.as_ref().filter(|_| shape.in_stock) else { return Ok(()) };
    let oracle = oracle(shape).await?;
    for seed in seeds(&shape.name).into_iter().take(32) {
        let log = data::generate(&mut Rng::new(seed), &shape.edges);
        let admitted = log.admitted();
        let stock = canonical(rows(&oracle.run(&[data::admitted_batch(&admitted)]).await?));
        let naive = canonical(model.rows(&admitted, &data::inputs()));
        if let Some(text) = difference(("stock", "naive"), &stock, &naive, 4) {
            return Err(format!("{text}\n{}\n{}", reproduce("oracles", shape, seed), oracle.sql));
        }
    }
    Ok(())
}

/// A planned shape.
struct Planned<'a> {
    shape: &'a Shape,
    engine: Engine,
    groups: Arc<Vec<LaneGroup>>,
    oracle: Option<Oracle>,
}

impl Planned<'_> {
    fn plan(&self) -> &FeaturePlan {
        &self.engine.features[0].plan
    }
}

async fn plan(shape: &Shape) -> Result<Planned<'_>, String> {
    let fail = |e: skewless::error::Error| format!("{e}\n{}", shape.query);
    let mut engine = Engine::default();
    engine.execute(&data::create_source()).map_err(fail)?;
    engine.execute(&format!("CREATE FEATURE f AS {}", shape.query)).map_err(fail)?;
    let groups = lane_groups(&[&engine.features[0].plan], &[]).map_err(fail)?;
    let oracle = if shape.in_stock { Some(oracle(shape).await?) } else { None };
    Ok(Planned { shape, engine, groups, oracle })
}

/// History and stream against the oracles.
pub async fn parity(shape: &Shape) -> Result<(), String> {
    let planned = plan(shape).await?;
    for seed in seeds(&shape.name) {
        case(&planned, seed, Sabotage::None)
            .await
            .map_err(|e| format!("{e}\n{}\n{}", reproduce("random", shape, seed), shape.query))?;
    }
    Ok(())
}

/// A fault must be noticed within 64 cases.
pub async fn sabotage(shape: &Shape, fault: Sabotage) -> Result<(), String> {
    let planned = plan(shape).await?;
    for seed in 0..64 {
        if case(&planned, seed, fault).await.is_err() {
            return Ok(());
        }
    }
    Err(format!("{fault:?} was not noticed"))
}

async fn case(planned: &Planned<'_>, seed: u64, sabotage: Sabotage) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let log = data::generate(&mut rng, &planned.shape.edges);
    let admitted = log.admitted();
    let expected = expectations(planned, &admitted, seed.is_multiple_of(4)).await?;
    let mut input = input(planned, &log);
    if sabotage == Sabotage::Delay {
        Arc::make_mut(&mut input.def).watermark.delay_us += 1;
    }
    let partitions = 1 + rng.below(3);
    let batch_size = *rng.pick(&[1, 3, 8192]);
    let fail = |mode: String| move |e: skewless::error::Error| format!("{mode}: {e}");
    let mode = format!("batch ({partitions} partitions, batches of {batch_size})");
    let run = batch(&input, &[planned.plan()], partitions, batch_size).await;
    compare(&mode, &run.map_err(fail(mode.clone()))?, &log, &admitted, &expected)?;
    let steps = Steps {
        lanes: 1 + rng.below(4),
        chunk_max: *rng.pick(&[1, 4, 100]),
        restores: *rng.pick(&[0, 0, 1, 3]),
        sabotage,
    };
    let mode = format!("stream {steps:?}");
    let run = stream(&input, &planned.groups, 1, steps, &mut rng);
    compare(&mode, &run.map_err(fail(mode.clone()))?, &log, &admitted, &expected)
}

/// What each oracle says, by name.
async fn expectations(
    planned: &Planned<'_>,
    admitted: &[Row],
    stock_too: bool,
) -> Result<Vec<(&'static str, Vec<String>)>, String> {
    let mut all = Vec::new();
    if let Some(model) = &planned.shape.model {
        all.push(("naive", canonical(model.rows(admitted, &data::inputs()))));
    }
    if let Some(oracle) = planned.oracle.as_ref().filter(|_| stock_too || all.is_empty()) {
        let stock = oracle.run(&[data::admitted_batch(admitted)]).await?;
        if let Some(first) = stock.first() {
            same_types(&first.schema(), planned.plan().schema())?;
        }
        all.push(("stock", canonical(rows(&stock))));
    }
    Ok(all)
}

fn input(planned: &Planned<'_>, log: &Log) -> Input {
    let mut def = planned.engine.sources["src"].as_ref().clone();
    def.watermark.delay_us = log.delay;
    let partition = |records: &Vec<data::LogRow>| Partition::Rows {
        batch: data::batch(records.iter().map(|r| &r.values)),
        offsets: records.iter().map(|r| r.offset).collect(),
        own: records.iter().map(|r| r.own).collect(),
    };
    let partitions = log.partitions.iter().map(partition).collect();
    Input { def: Arc::new(def), compute: None, partitions }
}

fn compare(
    mode: &str,
    outcome: &Outcome,
    log: &Log,
    admitted: &[Row],
    expected: &[(&'static str, Vec<String>)],
) -> Result<(), String> {
    admission(outcome, log, admitted).map_err(|e| format!("{mode}: {e}"))?;
    for (name, rows) in expected {
        same_rows(name, rows, &outcome.finals[0]).map_err(|e| format!("{mode}: {e}"))?;
    }
    Ok(())
}

/// Admitted rows, dead letters and counts against the naive model.
fn admission(outcome: &Outcome, log: &Log, admitted: &[Row]) -> Result<(), String> {
    let expected: Vec<Vec<Val>> = admitted
        .iter()
        .map(|r| {
            let place = [Val::Int(r.partition.into()), Val::Int(r.offset.into())];
            r.values.iter().cloned().chain(place).collect()
        })
        .collect();
    let width = data::COLUMNS.len() + 2;
    let found: Vec<Vec<Val>> =
        rows(&outcome.admitted).into_iter().map(|r| r[..width].to_vec()).collect();
    let names = ("naive", "admitted");
    if let Some(text) = difference(names, &multiset(&expected), &multiset(&found), 4) {
        return Err(text);
    }
    let mut letters: Vec<(i64, i64, String)> = Vec::new();
    for (p, verdicts) in log.verdicts().iter().enumerate() {
        for (row, verdict) in log.partitions[p].iter().zip(verdicts) {
            if *verdict != Verdict::Admitted {
                letters.push((p as i64, row.offset, verdict.reason().to_owned()));
            }
        }
    }
    let mut dead: Vec<(i64, i64, String)> = outcome.dead.iter().flat_map(dead_letters).collect();
    letters.sort();
    dead.sort();
    if letters != dead {
        return Err(format!("dead letters\n  naive    {letters:?}\n  skewless {dead:?}"));
    }
    let counts = &outcome.counts;
    let of = |reason: &str| letters.iter().filter(|l| l.2 == reason).count() as u64;
    let read: usize = log.partitions.iter().map(Vec::len).sum();
    let expected = [read as u64, admitted.len() as u64, of("late"), of("future"), of("event_time")];
    let found = [counts.read, counts.admitted, counts.late, counts.future, counts.rejected()];
    if expected != found || !counts.is_conserved() {
        return Err(format!("counts {found:?}, expected {expected:?}"));
    }
    Ok(())
}

/// (partition, offset, reason) of each dead letter.
fn dead_letters(batch: &RecordBatch) -> Vec<(i64, i64, String)> {
    let column = |name: &str, to: DataType| {
        arrow::compute::cast(batch.column_by_name(name).unwrap(), &to).unwrap()
    };
    let partition = column("partition", DataType::Int64);
    let offset = column("offset", DataType::Int64);
    let reason = column("reason", DataType::Utf8);
    let at = |row: usize| {
        let place = [&partition, &offset].map(|c| c.as_primitive::<Int64Type>().value(row));
        (place[0], place[1], reason.as_string::<i32>().value(row).to_owned())
    };
    (0..batch.num_rows()).map(at).collect()
}
