//! The naive aggregates beyond `exact`: each by its definition over the rows of a frame, oldest
//! first in the total order, with exact rationals where the contract has exact values. An oracle:
//! it shares no code with `skewless::aggregate`. Called by `model`.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};

use super::exact::{Input, aggregate, round};
use super::value::{Val, order};

/// A row as a call sees it.
pub struct Line {
    pub us: i64,
    /// Column arguments.
    pub args: Vec<Val>,
}

/// What is called, beside its rows.
pub struct Asked<'a> {
    pub name: &'a str,
    pub distinct: bool,
    pub ignore_nulls: bool,
    pub constants: &'a [f64],
    /// Of the first argument.
    pub input: Input,
}

impl Asked<'_> {
    fn n(&self) -> usize {
        self.constants[0] as usize
    }
}

const POSITIONS: [&str; 5] = ["array_agg", "nth_value", "first_n", "last_n", "lag"];
const LISTS: [&str; 4] = ["string_agg", "last_distinct_n", "arg_min", "arg_max"];
const RANKS: [&str; 6] =
    ["median", "percentile_cont", "percentile_disc", "mode", "bool_and", "bool_or"];
const BITS: [&str; 3] = ["bit_and", "bit_or", "bit_xor"];
const SKETCHES: [&str; 4] =
    ["approx_distinct", "approx_percentile_cont", "approx_median", "approx_top_k"];
const PAIRS: [&str; 12] = [
    "covar_pop",
    "covar_samp",
    "corr",
    "regr_slope",
    "regr_intercept",
    "regr_count",
    "regr_r2",
    "regr_avgx",
    "regr_avgy",
    "regr_sxx",
    "regr_syy",
    "regr_sxy",
];
const POWERS: [&str; 2] = ["skewness", "kurtosis"];
const BAGS: [&str; 5] = ["topn_frequency", "top", "top1_ratio", "entropy", "histogram"];
const TRENDS: [&str; 6] =
    ["ew_avg", "ew_avg_time", "drawdown", "delta", "slope", "time_since_last"];

/// Whether a function is evaluated here.
pub fn knows(name: &str) -> bool {
    let all = [&POSITIONS[..], &LISTS, &RANKS, &BITS, &SKETCHES, &PAIRS, &POWERS, &BAGS, &TRENDS];
    name.ends_with("_cate") || all.iter().any(|names| names.contains(&name))
}

/// The value of a call over its rows.
pub fn evaluate(asked: &Asked, lines: &[Line]) -> Val {
    let canonical = |line: &Line| Line {
        us: line.us,
        args: line.args.iter().cloned().map(Val::canonical).collect(),
    };
    let mut lines: Vec<Line> = lines.iter().map(canonical).collect();
    let name = asked.name;
    if POSITIONS.contains(&name) {
        lines.retain(|line| !(asked.ignore_nulls && line.args[0].is_null()));
        return positions(asked, &lines);
    }
    if name.starts_with("arg_") {
        return argument(name, &lines);
    }
    lines.retain(|line| line.args.iter().all(|value| !value.is_null()));
    if lines.is_empty() {
        return match name {
            "approx_distinct" | "regr_count" => Val::Int(0),
            "histogram" => Val::List(vec![Val::Int(0); asked.constants.len() + 1]),
            _ => Val::Null,
        };
    }
    if name.ends_with("_cate") {
        return categories(asked, &lines);
    }
    if TRENDS.contains(&name) {
        return trend(asked, &lines);
    }
    if PAIRS.contains(&name) {
        return pairs(name, &lines);
    }
    let values: Vec<Val> = lines.into_iter().map(|line| line.args[0].clone()).collect();
    match name {
        "string_agg" => Val::Text(values.iter().map(text).collect::<Vec<_>>().join(",")),
        "last_distinct_n" => {
            let mut last = unique(values.into_iter().rev());
            last.truncate(asked.n());
            last.reverse();
            Val::List(last)
        }
        _ if BITS.contains(&name) => bits(name, &values),
        _ if POWERS.contains(&name) => powers(name, &values),
        _ => by_size(asked, values),
    }
}

fn text(value: &Val) -> String {
    match value {
        Val::Text(text) => text.clone(),
        other => panic!("no text: {other:?}"),
    }
}

/// As a DOUBLE.
fn double(value: &Val) -> f64 {
    match value {
        Val::Int(x) => *x as f64,
        Val::Dec(x, s) => *x as f64 / 10f64.powi((*s).into()),
        Val::Float(x) => *x,
        Val::Real(x) => f64::from(*x),
        other => panic!("no number: {other:?}"),
    }
}

fn float(x: f64) -> Val {
    Val::Float(x).canonical()
}

fn same(a: &Val, b: &Val) -> bool {
    a.is_null() == b.is_null() && order(a, b).is_eq()
}

/// Each value where it is first.
fn unique(values: impl Iterator<Item = Val>) -> Vec<Val> {
    let mut seen: Vec<Val> = Vec::new();
    for value in values {
        if !seen.iter().any(|other| same(other, &value)) {
            seen.push(value);
        }
    }
    seen
}

fn positions(asked: &Asked, lines: &[Line]) -> Val {
    let values: Vec<Val> = lines.iter().map(|line| line.args[0].clone()).collect();
    let or_null = |value: Option<&Val>| value.cloned().unwrap_or(Val::Null);
    if asked.name == "nth_value" {
        let n = asked.constants[0];
        let at = |n: usize| n.checked_sub(1);
        return or_null(match n > 0.0 {
            true => at(n as usize).and_then(|at| values.get(at)),
            false => at(-n as usize).and_then(|at| values.iter().rev().nth(at)),
        });
    }
    if asked.name == "lag" {
        return or_null(values.len().checked_sub(asked.n() + 1).and_then(|at| values.get(at)));
    }
    if values.is_empty() {
        return Val::Null;
    }
    Val::List(match asked.name {
        "first_n" => values.into_iter().take(asked.n()).collect(),
        "last_n" => {
            let skip = values.len().saturating_sub(asked.n());
            values.into_iter().skip(skip).collect()
        }
        _ if asked.distinct => unique(values.into_iter()),
        _ => values,
    })
}

fn argument(name: &str, lines: &[Line]) -> Val {
    let mut best: Option<&Line> = None;
    for line in lines.iter().filter(|line| !line.args[1].is_null()) {
        let wins = best.is_none_or(|best| {
            let ordering = order(&line.args[1], &best.args[1]);
            if name == "arg_min" { ordering.is_lt() } else { ordering.is_gt() }
        });
        if wins {
            best = Some(line);
        }
    }
    best.map_or(Val::Null, |line| line.args[0].clone())
}

fn bits(name: &str, values: &[Val]) -> Val {
    let whole = values.iter().map(|value| match value {
        Val::Int(x) => *x,
        other => panic!("no integer: {other:?}"),
    });
    Val::Int(match name {
        "bit_and" => whole.fold(-1, |a, b| a & b),
        "bit_or" => whole.fold(0, |a, b| a | b),
        _ => whole.fold(0, |a, b| a ^ b),
    })
}

/// Values and how often each is there, ascending.
fn frequencies(values: &[Val]) -> Vec<(Val, usize)> {
    let times = |value: &Val| values.iter().filter(|other| same(other, value)).count();
    let mut all = unique(values.iter().cloned());
    all.sort_by(order);
    all.into_iter().map(|value| (value.clone(), times(&value))).collect()
}

/// What does not depend on the order of the rows.
fn by_size(asked: &Asked, mut values: Vec<Val>) -> Val {
    values.sort_by(order);
    if asked.distinct {
        values.dedup_by(|a, b| same(a, b));
    }
    let n = values.len();
    let p = asked.constants.first().copied().unwrap_or(0.5);
    let often = frequencies(&values);
    let most = often.iter().map(|(_, times)| *times).max().unwrap();
    match asked.name {
        "bool_and" => values[0].clone(),
        "bool_or" => values[n - 1].clone(),
        "mode" => often.into_iter().find(|(_, times)| *times == most).unwrap().0,
        "median" => middle(asked.input, &values[(n - 1) / 2], &values[n / 2]),
        "percentile_cont" => {
            let place = p * (n - 1) as f64;
            let at = place.floor() as usize;
            let (low, high) = (double(&values[at]), double(&values[(at + 1).min(n - 1)]));
            let share = place - place.floor();
            float(if share == 0.0 || low.to_bits() == high.to_bits() {
                low
            } else if (high - low).is_infinite() && low.is_finite() && high.is_finite() {
                low * (1.0 - share) + high * share
            } else {
                low + (high - low) * share
            })
        }
        "percentile_disc" => {
            let enough = |at: &usize| (*at + 1) as f64 >= p * n as f64;
            values[(0..n).find(enough).unwrap()].clone()
        }
        "approx_percentile_cont" | "approx_median" => {
            let enough = |at: &usize| (*at + 1) as f64 >= p * n as f64;
            let mut doubles: Vec<Val> = values.iter().map(|x| float(double(x))).collect();
            doubles.sort_by(order);
            float(bucket(double(&doubles[(0..n).find(enough).unwrap()])))
        }
        "approx_distinct" => Val::Int(often.len() as i128),
        "top1_ratio" => float(most as f64 / n as f64),
        "entropy" => {
            let term = |(_, times): &(Val, usize)| {
                let p = *times as f64 / n as f64;
                p * p.log2()
            };
            float(0.0 - often.iter().map(term).sum::<f64>())
        }
        "top" => Val::List(values.into_iter().rev().take(asked.n()).collect()),
        "topn_frequency" | "approx_top_k" => {
            let mut ranked = often;
            ranked.sort_by(|a, b| b.1.cmp(&a.1).then(order(&a.0, &b.0)));
            Val::List(ranked.into_iter().take(asked.n()).map(|(value, _)| value).collect())
        }
        "histogram" => {
            let edges = asked.constants;
            let place = |x: f64| match x.is_nan() {
                true => edges.len(),
                false => edges.iter().filter(|edge| **edge <= x).count(),
            };
            let count = |at: usize| values.iter().filter(|x| place(double(x)) == at).count();
            Val::List((0..=edges.len()).map(|at| Val::Int(count(at) as i128)).collect())
        }
        other => panic!("no such aggregate: {other}"),
    }
}

/// The middle of the doubles with the same sign, exponent and first 6 bits of the mantissa.
fn bucket(x: f64) -> f64 {
    if !x.is_finite() || x.abs() < f64::MIN_POSITIVE {
        return if x.is_finite() { 0.0 } else { x };
    }
    let dropped = (1u64 << 46) - 1;
    f64::from_bits((x.to_bits() & !dropped) + (1 << 45))
}

fn middle(input: Input, a: &Val, b: &Val) -> Val {
    if let (Val::Dec(x, s), Val::Dec(y, _)) = (a, b) {
        // Half away from zero.
        let sum = x + y;
        return Val::Dec((sum.abs() + 1) / 2 * sum.signum(), *s);
    }
    let (x, y) = (double(a), double(b));
    let mean = match (BigRational::from_float(x), BigRational::from_float(y)) {
        (Some(x), Some(y)) => round(&((x + y) / BigRational::from_integer(BigInt::from(2)))),
        _ => x + y,
    };
    match (a, input) {
        (Val::Real(_), _) => Val::Real(mean as f32),
        _ => float(mean),
    }
}

fn categories(asked: &Asked, lines: &[Line]) -> Val {
    let name = asked.name.strip_suffix("_cate").unwrap();
    let mut keys = unique(lines.iter().map(|line| line.args[1].clone()));
    keys.sort_by(order);
    let name = match name.strip_prefix("top_n_key_") {
        None => name,
        Some(name) => {
            let skip = keys.len().saturating_sub(asked.n());
            keys.drain(..skip);
            name
        }
    };
    let mut map = Vec::new();
    for key in keys {
        let own = lines.iter().filter(|line| same(&line.args[1], &key));
        let own: Vec<Val> = own.map(|line| line.args[0].clone()).collect();
        let value = aggregate(name, false, asked.input, &own);
        if value.is_null() {
            return Val::Null;
        }
        map.extend([key, value]);
    }
    Val::Map(map)
}

fn seconds(us: i64) -> f64 {
    us as f64 / 1e6
}

fn trend(asked: &Asked, lines: &[Line]) -> Val {
    let xs = || lines.iter().map(|line| double(&line.args[0]));
    let last_two = |n: usize| (n > 1).then(|| (&lines[n - 2], &lines[n - 1]));
    let (mut above, mut below) = (0.0, 0.0);
    match asked.name {
        "ew_avg" => {
            for x in xs() {
                (above, below) = (
                    above * (1.0 - asked.constants[0]) + x,
                    below * (1.0 - asked.constants[0]) + 1.0,
                );
            }
            float(above / below)
        }
        "ew_avg_time" => {
            let mut before = lines[0].us;
            for (line, x) in lines.iter().zip(xs()) {
                let keep = (0.0 - seconds(line.us - before) / asked.constants[0]).exp2();
                (above, below) = (above * keep + x, below * keep + 1.0);
                before = line.us;
            }
            float(above / below)
        }
        // A share of nothing known, or of infinity.
        "drawdown" if xs().any(|x| x.is_nan() || x == f64::INFINITY) => float(f64::NAN),
        "drawdown" => {
            let (mut peak, mut fall) = (f64::NAN, 0f64);
            for x in xs() {
                peak = peak.max(x);
                if peak > 0.0 {
                    fall = fall.max((peak - x) / peak);
                }
            }
            float(fall)
        }
        "delta" => last_two(lines.len())
            .map_or(Val::Null, |(a, b)| float(double(&b.args[0]) - double(&a.args[0]))),
        "time_since_last" => {
            last_two(lines.len()).map_or(Val::Null, |(a, b)| float(seconds(b.us - a.us)))
        }
        _ => {
            let start = lines[0].us;
            let age = |line: &Line| Val::Float((line.us - start) as f64);
            let line = |line: &Line| Line {
                us: line.us,
                args: vec![float(double(&line.args[0])), age(line)],
            };
            match pairs("regr_slope", &lines.iter().map(line).collect::<Vec<_>>()) {
                Val::Float(slope) => float(slope * 1e6),
                none => none,
            }
        }
    }
}

fn of(n: usize) -> BigRational {
    BigRational::from_integer(BigInt::from(n))
}

fn pairs(name: &str, lines: &[Line]) -> Val {
    let n = lines.len();
    if name == "regr_count" {
        return Val::Int(n as i128);
    }
    let exact = |at: usize| -> Option<Vec<BigRational>> {
        lines.iter().map(|line| BigRational::from_float(double(&line.args[at]))).collect()
    };
    let (Some(y), Some(x)) = (exact(0), exact(1)) else { return float(f64::NAN) };
    let mean = |a: &[BigRational]| a.iter().sum::<BigRational>() / of(n);
    // Σ(a − ā)(b − b̄)
    let about = |a: &[BigRational], b: &[BigRational]| -> BigRational {
        let (ma, mb) = (mean(a), mean(b));
        a.iter().zip(b).map(|(a, b)| (a - &ma) * (b - &mb)).sum()
    };
    let by = |value: BigRational, n: usize| round(&(value / of(n)));
    let (cov, vx, vy) = (by(about(&x, &y), n), by(about(&x, &x), n), by(about(&y, &y), n));
    let corr = || (cov / vx.sqrt() / vy.sqrt()).clamp(-1.0, 1.0);
    float(match name {
        "covar_pop" => cov,
        "covar_samp" if n < 2 => return Val::Null,
        "covar_samp" => by(about(&x, &y), n - 1),
        "regr_avgx" => round(&mean(&x)),
        "regr_avgy" => round(&mean(&y)),
        "regr_sxx" => round(&about(&x, &x)),
        "regr_syy" => round(&about(&y, &y)),
        "regr_sxy" => round(&about(&x, &y)),
        _ if n < 2 || vx == 0.0 => return Val::Null,
        "regr_slope" => cov / vx,
        "regr_intercept" => round(&mean(&y)) - cov / vx * round(&mean(&x)),
        _ if vy == 0.0 => return Val::Null,
        "corr" => corr(),
        _ => corr() * corr(),
    })
}

fn powers(name: &str, values: &[Val]) -> Val {
    let exact: Option<Vec<BigRational>> =
        values.iter().map(|value| BigRational::from_float(double(value))).collect();
    let Some(xs) = exact else { return float(f64::NAN) };
    if xs.len() < if name == "skewness" { 3 } else { 4 } {
        return Val::Null;
    }
    let mean = xs.iter().sum::<BigRational>() / of(xs.len());
    let moment = |power: usize| -> f64 {
        let term = |x: &BigRational| {
            (0..power).fold(BigRational::one(), |product, _| product * (x - &mean))
        };
        round(&(xs.iter().map(term).fold(BigRational::zero(), |a, b| a + b) / of(xs.len())))
    };
    let (m2, m3, m4) = (moment(2), moment(3), moment(4));
    if m2 == 0.0 {
        return Val::Null;
    }
    let n = xs.len() as f64;
    float(match name {
        "skewness" => m3 / (m2 * m2.sqrt()) * (n * (n - 1.0)).sqrt() / (n - 2.0),
        _ => ((n + 1.0) * (m4 / (m2 * m2) - 3.0) + 6.0) * (n - 1.0) / ((n - 2.0) * (n - 3.0)),
    })
}
