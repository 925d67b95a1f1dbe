//! One shape over many random cases.

use super::data::{self, Log};
use super::shape::Shape;
use crate::harness::rng::{Rng, seed_of};
use crate::harness::stock::Oracle;
use crate::harness::value::{Val, difference, multiset, rows};

/// Cases per shape: `SKEWLESS_CASES`, default 256.
pub fn cases() -> u64 {
    std::env::var("SKEWLESS_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256)
}

/// Seeds of a shape: one if `SKEWLESS_SEED` is set.
fn seeds(name: &str) -> Vec<u64> {
    match std::env::var("SKEWLESS_SEED").ok().and_then(|n| n.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..cases()).map(|i| seed_of(name).wrapping_add(i)).collect(),
    }
}

fn canonical(rows: Vec<Vec<Val>>) -> Vec<String> {
    let rows: Vec<Vec<Val>> =
        rows.into_iter().map(|r| r.into_iter().map(Val::canonical).collect()).collect();
    multiset(&rows)
}

/// The two oracles must agree with each other: a test of the test.
pub async fn oracles_agree(shape: &Shape) -> Result<(), String> {
    let oracle =
        Oracle::plan("src", "ts", &data::schema(), &shape.query, shape.stock.as_deref()).await?;
    for seed in seeds(&shape.name) {
        let log = data::generate(&mut Rng::new(seed), &shape.edges);
        let admitted = log.admitted();
        let stock = canonical(rows(&oracle.run(&[data::admitted_batch(&admitted)]).await?));
        let Some(model) = &shape.model else { continue };
        let naive = canonical(model.rows(&admitted, &data::inputs()));
        if let Some(text) = difference(("stock", "naive"), &stock, &naive, 4) {
            return Err(format!("{text}\n{}\n{}", reproduce("oracles", shape, seed), oracle.sql));
        }
    }
    Ok(())
}

fn reproduce(kind: &str, shape: &Shape, seed: u64) -> String {
    format!("SKEWLESS_SEED={seed} cargo test --test slt -- --exact {kind}/{}", shape.name)
}

#[expect(dead_code, reason = "used once the modes are wired")]
fn size(log: &Log) -> usize {
    log.partitions.iter().map(Vec::len).sum()
}
