//! The naive aggregates: what the contract says (semantics §3), literally, over a list of values
//! with exact rationals. An oracle: it shares no code with `skewless::aggregate`, keeps no state
//! and knows nothing about retraction. Called by `lists` (inside SQL) and `model`.

use num_bigint::{BigInt, BigUint, Sign};
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::value::{Val, order};

/// The f64 nearest to `x`, ties to even; ±inf beyond the range; zero is +0.
pub fn round(x: &BigRational) -> f64 {
    let (n, d) = (x.numer().magnitude().clone(), x.denom().magnitude().clone());
    if n.is_zero() {
        return 0.0;
    }
    let shifted = |by: i64| if by >= 0 { (&n << by, d.clone()) } else { (n.clone(), &d << -by) };
    let mut exponent = n.bits() as i64 - d.bits() as i64;
    let (num, den) = shifted(-exponent);
    if num < den {
        exponent -= 1;
    }
    let unit = (exponent - 52).max(-1074);
    let (num, den) = shifted(-unit);
    let (mut q, r) = (&num / &den, &num % &den);
    let twice: BigUint = r << 1;
    if twice > den || (twice == den && q.bit(0)) {
        q += 1u32;
    }
    let mut value = if unit > 971 { f64::INFINITY } else { q.to_f64().unwrap() };
    let mut left = unit;
    while left != 0 && value.is_finite() {
        let step = left.clamp(-1000, 1000);
        value *= 2f64.powi(step as i32); // exact: the result is representable
        left -= step;
    }
    if x.is_negative() { -value } else { value }
}

fn rational(value: &Val) -> BigRational {
    match value {
        Val::Int(x) => BigRational::from_integer(BigInt::from(*x)),
        Val::Dec(x, s) => BigRational::new(BigInt::from(*x), BigInt::from(10).pow(*s as u32)),
        Val::Float(x) => BigRational::from_float(*x).expect("finite"),
        other => panic!("{other:?} is no number"),
    }
}

/// Decimal digits of scale `s`, half away from zero; NULL beyond `p` digits.
fn decimal(x: &BigRational, p: u8, s: i8) -> Val {
    let ten = BigInt::from(10);
    let scaled = x * BigRational::from_integer(ten.pow(s as u32));
    let half = BigRational::new(BigInt::one(), BigInt::from(2));
    let digits = (scaled.abs() + half).floor().to_integer();
    if digits >= ten.pow(u32::from(p)) {
        return Val::Null;
    }
    let signed = if x.numer().sign() == Sign::Minus { -digits } else { digits };
    Val::Dec(signed.to_i128().unwrap(), s)
}

/// What kind of number goes in, hence what comes out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    Signed,
    Unsigned,
    Decimal(u8, i8),
    Float,
    Other,
}

/// The aggregate `name` over `values` (FILTER applied, in the total order, REAL widened).
pub fn aggregate(name: &str, distinct: bool, input: Input, values: &[Val]) -> Val {
    let mut some: Vec<Val> =
        values.iter().filter(|v| !v.is_null()).cloned().map(Val::canonical).collect();
    if distinct {
        some.sort_by(order);
        some.dedup_by(|a, b| order(a, b).is_eq());
    }
    match name {
        "count" => return Val::Int(some.len() as i128),
        "first_value" => return values.first().cloned().unwrap_or(Val::Null),
        "last_value" => return values.last().cloned().unwrap_or(Val::Null),
        "min" => return some.into_iter().min_by(order).unwrap_or(Val::Null),
        "max" => return some.into_iter().max_by(order).unwrap_or(Val::Null),
        _ => {}
    }
    let some: Vec<Val> = some
        .into_iter()
        .map(|v| if let Val::Real(x) = v { Val::Float(f64::from(x)) } else { v })
        .collect();
    if some.is_empty() {
        return Val::Null;
    }
    if let Some(odd) = non_finite(name, &some) {
        return Val::Float(odd);
    }
    if name.ends_with("samp") && some.len() < 2 {
        return Val::Null;
    }
    let numbers: Vec<BigRational> = some.iter().map(rational).collect();
    let n = BigRational::from_integer(BigInt::from(numbers.len()));
    let sum: BigRational = numbers.iter().sum();
    match (name, input) {
        ("sum", Input::Signed) => {
            sum.to_integer().to_i64().map_or(Val::Null, |x| Val::Int(x.into()))
        }
        ("sum", Input::Unsigned) => {
            sum.to_integer().to_u64().map_or(Val::Null, |x| Val::Int(x.into()))
        }
        ("sum", Input::Decimal(p, s)) => decimal(&sum, (p + 10).min(38), s),
        ("avg", Input::Decimal(p, s)) => decimal(&(sum / n), (p + 4).min(38), (s + 4).min(38)),
        ("sum", _) => Val::Float(round(&sum)),
        ("avg", _) => Val::Float(round(&(sum / n))),
        _ => {
            let squares: BigRational = numbers.iter().map(|x| x * x).sum();
            let top = &n * squares - &sum * &sum;
            let samp = name.ends_with("samp");
            let bottom = if samp { &n * (&n - BigRational::one()) } else { &n * &n };
            let variance = round(&(top / bottom));
            Val::Float(if name.starts_with("stddev") { variance.sqrt() } else { variance })
        }
    }
}

/// The answer of a sum or moment over values of which some are NaN or infinite.
fn non_finite(name: &str, values: &[Val]) -> Option<f64> {
    let is = |want: fn(f64) -> bool| {
        values.iter().any(|v| if let Val::Float(x) = v { want(*x) } else { false })
    };
    let (nan, plus) = (is(f64::is_nan), is(|x| x == f64::INFINITY));
    let minus = is(|x| x == f64::NEG_INFINITY);
    match (nan, plus, minus, matches!(name, "sum" | "avg")) {
        (false, false, false, _) => None,
        (false, true, false, true) => Some(f64::INFINITY),
        (false, false, true, true) => Some(f64::NEG_INFINITY),
        _ => Some(f64::NAN),
    }
}

/// The oracle is checked against cases worked out by hand.
pub fn self_check() -> Result<(), String> {
    let f = |xs: &[f64]| xs.iter().map(|x| Val::Float(*x)).collect::<Vec<_>>();
    let cases: Vec<(&str, Vec<Val>, f64)> = vec![
        ("sum", f(&[0.1, 0.2, 0.3]), 0.6),
        ("sum", f(&[1e308, 1e308, -1e308]), 1e308),
        ("sum", f(&[1e308, 1e308]), f64::INFINITY),
        ("sum", f(&[1e16, 1.0, -1e16]), 1.0),
        ("sum", f(&[5e-324, 5e-324]), 1e-323),
        ("avg", f(&[5e-324, 0.0]), 0.0),
        ("avg", f(&[5e-324, 5e-324, 5e-324, 0.0]), 5e-324),
        ("avg", f(&[1e308, 1e308]), 1e308),
        ("sum", f(&[f64::INFINITY, f64::NEG_INFINITY]), f64::NAN),
        ("avg", f(&[f64::INFINITY, 1.0]), f64::INFINITY),
        ("sum", f(&[-0.0]), 0.0),
        ("var_pop", f(&[1.0, 2.0, 3.0, 4.0]), 1.25),
        ("var_samp", f(&[1.0, 3.0]), 2.0),
        ("stddev_pop", f(&[1.0, 3.0]), 1.0),
        (
            "avg",
            vec![Val::Int(i64::MAX.into()), Val::Int((i64::MAX - 1).into())],
            9.223372036854776e18,
        ),
    ];
    for (name, values, expected) in cases {
        let input = if matches!(values[0], Val::Int(_)) { Input::Signed } else { Input::Float };
        let got = aggregate(name, false, input, &values);
        if got.bits() != Val::Float(expected).bits() {
            return Err(format!("{name}{values:?}: {} instead of {expected:?}", got.bits()));
        }
    }
    for x in [f64::MAX, f64::MIN_POSITIVE, 5e-324, 1.5, -3.25e-310, 1.0 / 3.0] {
        if round(&BigRational::from_float(x).unwrap()).to_bits() != x.to_bits() {
            return Err(format!("{x:e} does not round to itself"));
        }
    }
    Ok(())
}
