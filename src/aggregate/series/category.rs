//! Results by category, and of how often each value is there. Categories come in ascending order,
//! so nothing depends on how a map is laid out.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;

use super::{Call, Outcome, View};
use crate::aggregate::datum::Datum;
use crate::aggregate::kind::AggregateKind as K;
use crate::aggregate::moments::{DecimalSums, FloatSums, IntSums, Overflow};

/// COUNT, SUM, AVG, MIN or MAX of the first argument for each value of the second, as a map. The
/// TOP_N_KEY forms keep the n greatest categories.
pub fn by_category(call: &Call, view: &View) -> Outcome {
    let mut categories: BTreeMap<&Datum, Vec<&Datum>> = BTreeMap::new();
    for row in view.rows() {
        categories.entry(&row[1]).or_default().push(&row[0]);
    }
    if categories.is_empty() {
        return Outcome::NULL;
    }
    let skip = match call.kind {
        K::CountCate | K::SumCate | K::AvgCate | K::MinCate | K::MaxCate => 0,
        _ => categories.len().saturating_sub(call.count()),
    };
    let mut map = Vec::with_capacity(2 * (categories.len() - skip));
    for (category, values) in categories.into_iter().skip(skip) {
        let value = match call.kind {
            K::CountCate | K::TopNKeyCountCate => Ok(Datum::Int(values.len() as i64)),
            K::SumCate | K::TopNKeySumCate => sums(call, &values, false),
            K::AvgCate | K::TopNKeyAvgCate => sums(call, &values, true),
            K::MinCate | K::TopNKeyMinCate => {
                Ok(values.into_iter().min().cloned().unwrap_or_default())
            }
            _ => Ok(values.into_iter().max().cloned().unwrap_or_default()),
        };
        match value {
            Ok(value) => map.extend([category.clone(), value]),
            Err(Overflow) => return Outcome::Overflow,
        }
    }
    Outcome::Many(map.into())
}

/// The exact sum or mean, as SUM and AVG have it.
fn sums(call: &Call, values: &[&Datum], mean: bool) -> Result<Datum, Overflow> {
    let whole = || values.iter().filter_map(|value| value.as_i128());
    let double = |x: Option<f64>| x.map_or(Datum::Null, Datum::float);
    match &call.input {
        DataType::Decimal128(precision, scale) => {
            let mut sum = DecimalSums::default();
            whole().for_each(|x| sum.add(x));
            let result = match mean {
                true => sum.avg(*precision, *scale),
                false => sum.sum(*precision, *scale),
            };
            Ok(result?.map_or(Datum::Null, Datum::wide))
        }
        input if input.is_integer() => {
            let mut sum = IntSums::default();
            whole().for_each(|x| sum.add(x));
            if mean {
                return Ok(double(sum.avg()));
            }
            Ok(if input.is_unsigned_integer() {
                sum.sum_u64()?.map_or(Datum::Null, Datum::UInt)
            } else {
                sum.sum_i64()?.map_or(Datum::Null, Datum::Int)
            })
        }
        _ => {
            let mut sum = FloatSums::default();
            values.iter().for_each(|x| sum.add(x.as_f64()));
            Ok(double(if mean { sum.avg() } else { sum.sum() }))
        }
    }
}

/// How often each value is there, in ascending order of the values.
fn frequencies<'a>(view: &'a View) -> Vec<(&'a Datum, usize)> {
    let mut values: Vec<&Datum> = view.first().collect();
    values.sort_unstable();
    values.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
}

pub fn most_frequent(call: &Call, view: &View) -> Outcome {
    let mut all = frequencies(view);
    if all.is_empty() {
        return Outcome::NULL;
    }
    // Stable: the smaller of equally frequent ones first.
    all.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    Outcome::Many(all.into_iter().take(call.count()).map(|(value, _)| value.clone()).collect())
}

pub fn greatest(call: &Call, view: &View) -> Outcome {
    let mut values: Vec<&Datum> = view.first().collect();
    if values.is_empty() {
        return Outcome::NULL;
    }
    values.sort_unstable();
    Outcome::Many(values.into_iter().rev().take(call.count()).cloned().collect())
}

pub fn top_share(view: &View) -> Outcome {
    let all = frequencies(view);
    let most = all.iter().map(|(_, times)| *times).max();
    Outcome::double(most.map(|most| most as f64 / view.rows().len() as f64))
}

/// −Σ p log₂ p in DOUBLE, over the values in ascending order.
pub fn entropy(view: &View) -> Outcome {
    let n = view.rows().len() as f64;
    let all = frequencies(view);
    let term = |(_, times): &(&Datum, usize)| {
        let p = *times as f64 / n;
        p * p.log2()
    };
    Outcome::double((!all.is_empty()).then(|| 0.0 - all.iter().map(term).sum::<f64>()))
}

/// Counts below the first edge, in `[edge, next edge)`, and from the last edge on. NaN counts
/// with the greatest.
pub fn histogram(call: &Call, view: &View) -> Outcome {
    let scale = match call.input {
        DataType::Decimal128(_, scale) => scale,
        _ => 0,
    };
    let edges: Vec<f64> = call.constants.iter().map(Datum::as_f64).collect();
    let mut counts = vec![0i64; edges.len() + 1];
    for value in view.first() {
        let x = match value.as_i128() {
            Some(x) if scale != 0 => x as f64 / 10f64.powi(scale.into()),
            Some(x) => x as f64,
            None => value.as_f64(),
        };
        let bucket = if x.is_nan() { edges.len() } else { edges.partition_point(|e| *e <= x) };
        counts[bucket] += 1;
    }
    Outcome::Many(counts.into_iter().map(Datum::Int).collect())
}
