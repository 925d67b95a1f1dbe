//! The naive model of aggregates that keep their rows: each by its definition.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::BigRational;

use super::{Row, Val, compare, decimal, float, round};
use crate::aggregate::datum::Datum;
use crate::aggregate::kind::{AggregateKind as K, AggregateSpec};

fn number(value: &Val) -> f64 {
    match value {
        Val::Float(bits) => f64::from_bits(*bits),
        other => panic!("no double: {other:?}"),
    }
}

fn whole(value: &Val) -> i128 {
    match value {
        Val::Int(x) => *x,
        other => panic!("no integer: {other:?}"),
    }
}

/// The constant as a number.
fn constant(spec: &AggregateSpec, at: usize) -> f64 {
    match &spec.constants[at] {
        Datum::Int(x) => *x as f64,
        other => other.as_f64(),
    }
}

/// Rows that count, in the order of the call: its columns for each.
fn rows_of(spec: &AggregateSpec, rows: &[&Row]) -> Vec<Vec<Val>> {
    let passes = |row: &&&Row| spec.filter.is_none_or(|f| row.values[f] == Val::Int(1));
    let columns = || spec.argument.iter().chain(&spec.more);
    let mut all: Vec<Vec<Val>> = rows
        .iter()
        .filter(passes)
        .map(|row| columns().map(|column| row.values[*column].clone()).collect())
        .collect();
    let keys = columns().count() - spec.order.len();
    all.sort_by(|a, b| {
        let mut ordering = Ordering::Equal;
        for (i, direction) in spec.order.iter().enumerate() {
            let (a, b) = (&a[keys + i], &b[keys + i]);
            let nulls = if direction.nulls_first { Ordering::Less } else { Ordering::Greater };
            ordering = ordering.then(match (a == &Val::Null, b == &Val::Null) {
                (true, true) => Ordering::Equal,
                (true, false) => nulls,
                (false, true) => nulls.reverse(),
                _ if direction.descending => compare(b, a),
                _ => compare(a, b),
            });
        }
        ordering
    });
    all
}

pub fn evaluate(spec: &AggregateSpec, rows: &[&Row]) -> Val {
    let mut rows = rows_of(spec, rows);
    let counts_nulls = spec.kind.function().counts_nulls();
    if !counts_nulls {
        let needed = match spec.kind {
            K::ArgMin | K::ArgMax => 1..2,
            kind => 0..kind.function().arguments.len(),
        };
        rows.retain(|row| row[needed.clone()].iter().all(|value| *value != Val::Null));
    } else if spec.ignore_nulls {
        rows.retain(|row| row[0] != Val::Null);
    }
    let values: Vec<Val> = rows.iter().map(|row| row[0].clone()).collect();
    let list = |values: Vec<Val>| if rows.is_empty() { Val::Null } else { Val::List(values) };
    let n = |at| constant(spec, at) as usize;
    let or_null = |value: Option<&Val>| value.cloned().unwrap_or(Val::Null);
    match spec.kind {
        K::FirstValue => or_null(values.first()),
        K::LastValue => or_null(values.last()),
        K::NthValue if constant(spec, 0) > 0.0 => or_null(values.get(n(0) - 1)),
        K::NthValue => or_null(values.iter().rev().nth(-constant(spec, 0) as usize - 1)),
        K::Lag => or_null(values.len().checked_sub(n(0) + 1).map(|at| &values[at])),
        K::FirstN => list(values.iter().take(n(0)).cloned().collect()),
        K::LastN => {
            let skip = values.len().saturating_sub(n(0));
            list(values.iter().skip(skip).cloned().collect())
        }
        K::ArrayAgg if spec.distinct => list(unique(&values)),
        K::ArrayAgg => list(values),
        K::LastDistinctN => {
            let backwards: Vec<Val> = values.iter().rev().cloned().collect();
            let mut last: Vec<Val> = unique(&backwards).into_iter().take(n(0)).collect();
            last.reverse();
            list(last)
        }
        K::ArgMin | K::ArgMax => arg(spec.kind, &rows),
        K::CountCate | K::MaxCate => categories(spec.kind, &rows),
        K::TopNFrequency => {
            let mut all = unique(&values);
            all.sort_by(compare);
            let times = |x: &Val| values.iter().filter(|y| *y == x).count();
            all.sort_by_key(|x| std::cmp::Reverse(times(x)));
            all.truncate(n(0));
            list(all)
        }
        K::Delta if values.len() > 1 => {
            float(number(&values[values.len() - 1]) - number(&values[values.len() - 2]))
        }
        K::Delta => Val::Null,
        kind if (K::CovarPop..=K::RegrSxy).contains(&kind) => pairs(kind, &rows),
        _ => ranked(spec, values),
    }
}

fn unique(values: &[Val]) -> Vec<Val> {
    let mut seen: Vec<Val> = Vec::new();
    for value in values {
        if !seen.contains(value) {
            seen.push(value.clone());
        }
    }
    seen
}

fn arg(kind: K, rows: &[Vec<Val>]) -> Val {
    let mut best: Option<&Vec<Val>> = None;
    for row in rows {
        let better = best.is_none_or(|best| match compare(&row[1], &best[1]) {
            Ordering::Less => kind == K::ArgMin,
            Ordering::Greater => kind == K::ArgMax,
            Ordering::Equal => false,
        });
        if better {
            best = Some(row);
        }
    }
    best.map_or(Val::Null, |row| row[0].clone())
}

fn categories(kind: K, rows: &[Vec<Val>]) -> Val {
    let mut keys = unique(&rows.iter().map(|row| row[1].clone()).collect::<Vec<_>>());
    keys.sort_by(compare);
    let of = |key: Val| {
        let own = rows.iter().filter(|row| row[1] == key).map(|row| row[0].clone());
        let value = match kind {
            K::CountCate => Val::Int(own.count() as i128),
            _ => own.max_by(compare).unwrap(),
        };
        [key, value]
    };
    if keys.is_empty() { Val::Null } else { Val::List(keys.into_iter().flat_map(of).collect()) }
}

fn ranked(spec: &AggregateSpec, mut values: Vec<Val>) -> Val {
    if values.is_empty() {
        return Val::Null;
    }
    values.sort_by(compare);
    if spec.distinct {
        values.dedup();
    }
    let bits = |start: i128, of: fn(i128, i128) -> i128| {
        Val::Int(values.iter().map(whole).fold(start, of))
    };
    let last = values.len() - 1;
    match spec.kind {
        K::BoolAnd => values[0].clone(),
        K::BoolOr => values[last].clone(),
        K::BitAnd => bits(-1, |a, b| a & b),
        K::BitOr => bits(0, |a, b| a | b),
        K::BitXor => bits(0, |a, b| a ^ b),
        K::Mode => {
            let times = |x: &Val| values.iter().filter(|y| *y == x).count();
            let most = values.iter().map(times).max().unwrap();
            values.iter().find(|x| times(x) == most).unwrap().clone()
        }
        K::PercentileDisc => {
            let p = constant(spec, 0);
            let enough = |at: &usize| (*at + 1) as f64 >= p * values.len() as f64;
            values[(0..=last).find(enough).unwrap()].clone()
        }
        K::PercentileCont => {
            let place = constant(spec, 0) * last as f64;
            let low = number(&values[place.floor() as usize]);
            let high = number(&values[(place.floor() as usize + 1).min(last)]);
            let share = place - place.floor();
            float(match (high - low).is_infinite() && low.is_finite() && high.is_finite() {
                _ if share == 0.0 || low == high || (low.is_nan() && high.is_nan()) => low,
                true => low * (1.0 - share) + high * share,
                false => low + (high - low) * share,
            })
        }
        _ => middle(spec, &values[last / 2], &values[values.len() / 2]),
    }
}

fn middle(spec: &AggregateSpec, a: &Val, b: &Val) -> Val {
    let two = BigRational::from(BigInt::from(2));
    if let (Val::Int(x), Val::Int(y)) = (a, b) {
        let arrow::datatypes::DataType::Decimal128(precision, _) = spec.output else { panic!() };
        let sum = BigInt::from(*x) + BigInt::from(*y);
        return decimal(&(BigRational::from(sum) / two), precision, 0);
    }
    let (x, y) = (number(a), number(b));
    match (BigRational::from_float(x), BigRational::from_float(y)) {
        (Some(x), Some(y)) => {
            let mean = round(&((x + y) / two));
            // REAL is kept in DOUBLE, and narrowed at the end.
            let real = spec.output == arrow::datatypes::DataType::Float32;
            float(if real { f64::from(mean as f32) } else { mean })
        }
        _ => float(x + y),
    }
}

fn pairs(kind: K, rows: &[Vec<Val>]) -> Val {
    let n = rows.len();
    if kind == K::RegrCount {
        return Val::Int(n as i128);
    }
    let exact = |at: usize| -> Option<Vec<BigRational>> {
        rows.iter().map(|row| BigRational::from_float(number(&row[at]))).collect()
    };
    let (Some(y), Some(x)) = (exact(0), exact(1)) else { return float(f64::NAN) };
    let sample = kind == K::CovarSamp;
    if n == 0 || (sample && n < 2) {
        return Val::Null;
    }
    let of = |n: usize| BigRational::from(BigInt::from(n));
    let sum = |a: &[BigRational]| a.iter().sum::<BigRational>();
    let dot = |a: &[BigRational], b: &[BigRational]| {
        a.iter().zip(b).map(|(a, b)| a * b).sum::<BigRational>()
    };
    // Σ(a − ā)(b − b̄)
    let about = |a: &[BigRational], b: &[BigRational]| dot(a, b) - sum(a) * sum(b) / of(n);
    let by = |value: BigRational, n: usize| round(&(value / of(n)));
    let (cov, vx, vy) = (by(about(&x, &y), n), by(about(&x, &x), n), by(about(&y, &y), n));
    let corr = || (cov / vx.sqrt() / vy.sqrt()).clamp(-1.0, 1.0);
    let slope = || cov / vx;
    match kind {
        K::CovarPop => float(cov),
        K::CovarSamp => float(by(about(&x, &y), n - 1)),
        K::RegrAvgx => float(by(sum(&x), n)),
        K::RegrAvgy => float(by(sum(&y), n)),
        K::RegrSxx => float(round(&about(&x, &x))),
        K::RegrSyy => float(round(&about(&y, &y))),
        K::RegrSxy => float(round(&about(&x, &y))),
        _ if n < 2 || vx == 0.0 => Val::Null,
        K::RegrSlope => float(slope()),
        K::RegrIntercept => float(by(sum(&y), n) - slope() * by(sum(&x), n)),
        _ if vy == 0.0 => Val::Null,
        K::Corr => float(corr()),
        _ => float(corr() * corr()),
    }
}
