//! The naive model that operators are judged by: one value at a time, exact rationals, no state,
//! and no code of `aggregate`. Used by tests only.

mod kept;

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::*;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

use crate::aggregate::kind::{AggregateKind as K, AggregateSpec};

/// One value; floats by their bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Val {
    Null,
    Int(i128),
    Float(u64),
    Bytes(Vec<u8>),
    /// A list, or a map as keys and values in turn.
    List(Vec<Val>),
}

/// A row of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub time: i64,
    pub position: (i32, i64),
    pub key: Vec<Val>,
    pub values: Vec<Val>,
}

pub fn val(array: &ArrayRef, row: usize) -> Val {
    use DataType as T;
    if array.is_null(row) {
        return Val::Null;
    }
    macro_rules! int {
        ($($t:ident => $a:ident),*) => {
            match array.data_type() {
                $(T::$t => Val::Int(array.as_primitive::<$a>().value(row).into()),)*
                T::Boolean => Val::Int(array.as_boolean().value(row).into()),
                T::Timestamp(..) => {
                    Val::Int(array.as_primitive::<TimestampMicrosecondType>().value(row).into())
                }
                T::Decimal128(..) => Val::Int(array.as_primitive::<Decimal128Type>().value(row)),
                T::Float32 => {
                    let x = array.as_primitive::<Float32Type>().value(row);
                    Val::Float(f64::from(x).to_bits())
                }
                T::Float64 => Val::Float(array.as_primitive::<Float64Type>().value(row).to_bits()),
                T::Utf8 => Val::Bytes(array.as_string::<i32>().value(row).into()),
                T::List(_) => {
                    let items = array.as_list::<i32>().value(row);
                    Val::List((0..items.len()).map(|i| val(&items, i)).collect())
                }
                T::Map(..) => {
                    let pairs = array.as_map().value(row);
                    let pair = |i| pairs.columns().iter().map(move |column| val(column, i));
                    Val::List((0..pairs.len()).flat_map(pair).collect())
                }
                T::Binary => Val::Bytes(array.as_binary::<i32>().value(row).into()),
                other => Val::Bytes(format!("{other} {:?}", array.slice(row, 1)).into()),
            }
        };
    }
    int!(Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type,
        UInt8 => UInt8Type, UInt32 => UInt32Type, UInt64 => UInt64Type, Date32 => Date32Type)
}

/// The one order of the engine; NULLs are not compared.
pub fn compare(a: &Val, b: &Val) -> Ordering {
    match (a, b) {
        (Val::Float(a), Val::Float(b)) => {
            let (a, b) = (f64::from_bits(*a), f64::from_bits(*b));
            a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        }
        _ => a.cmp(b),
    }
}

/// To the nearest double, ties to even.
fn round(x: &BigRational) -> f64 {
    let (numer, denom) = (x.numer().abs(), x.denom().clone());
    if numer.is_zero() {
        return 0.0;
    }
    let mut e = (numer.bits() as i64 - denom.bits() as i64 - 53).max(-1074);
    let divide = |e: i64| {
        let (n, d) =
            if e < 0 { (&numer << -e, denom.clone()) } else { (numer.clone(), &denom << e) };
        let (q, r) = (&n / &d, &n % &d);
        (q, (r * 2u8).cmp(&d))
    };
    let (mut q, mut rest) = divide(e);
    while q.bits() > 53 {
        e += 1;
        (q, rest) = divide(e);
    }
    let mut q = q.to_u64().unwrap();
    q += u64::from(rest.is_gt() || (rest.is_eq() && q & 1 == 1));
    let unit = match e {
        972.. => return if x.is_negative() { f64::NEG_INFINITY } else { f64::INFINITY },
        -1022.. => f64::from_bits(((e + 1023) as u64) << 52),
        _ => f64::from_bits(1 << (e + 1074)),
    };
    if x.is_negative() { -(q as f64 * unit) } else { q as f64 * unit }
}

fn float(x: f64) -> Val {
    Val::Float(if x.is_nan() { f64::NAN } else { x }.to_bits())
}

/// The unscaled decimal nearest to `x * 10^scale`, half away from zero, NULL beyond `precision`.
fn decimal(x: &BigRational, precision: u8, scale: i8) -> Val {
    let ten = BigInt::from(10);
    let scaled = x * BigRational::from(ten.pow(scale as u32));
    let n = scaled.round().to_integer();
    if n.abs() < ten.pow(precision.into()) { Val::Int(n.to_i128().unwrap()) } else { Val::Null }
}

/// An aggregate over the rows of a frame, in the frame's order.
pub fn evaluate(spec: &AggregateSpec, rows: &[&Row]) -> Val {
    if spec.kind as usize > K::LastValue as usize || !spec.order.is_empty() {
        return kept::evaluate(spec, rows);
    }
    let mut values: Vec<&Val> = rows
        .iter()
        .filter(|row| spec.filter.is_none_or(|filter| row.values[filter] == Val::Int(1)))
        .map(|row| spec.argument.map_or(&Val::Int(0), |argument| &row.values[argument]))
        .collect();
    if matches!(spec.kind, K::FirstValue | K::LastValue) {
        if spec.ignore_nulls {
            values.retain(|value| **value != Val::Null);
        }
        let first = spec.kind == K::FirstValue;
        return if first { values.first() } else { values.last() }
            .map_or(Val::Null, |v| (*v).clone());
    }
    values.retain(|value| **value != Val::Null);
    if spec.distinct && spec.argument.is_some() {
        values.sort();
        values.dedup();
    }
    match spec.kind {
        K::Count => return Val::Int(values.len() as i128),
        K::Min => {
            return values.into_iter().min_by(|a, b| compare(a, b)).cloned().unwrap_or(Val::Null);
        }
        K::Max => {
            return values.into_iter().max_by(|a, b| compare(a, b)).cloned().unwrap_or(Val::Null);
        }
        _ => {}
    }
    sums(spec, &values)
}

fn sums(spec: &AggregateSpec, values: &[&Val]) -> Val {
    let scale = match spec.input {
        DataType::Decimal128(_, scale) => scale,
        _ => 0,
    };
    let deep = !matches!(spec.kind, K::Sum | K::Avg);
    let (mut finite, mut special) = (Vec::new(), Vec::new());
    for value in values {
        match value {
            Val::Int(x) => {
                let unit = BigInt::from(10).pow(scale as u32);
                finite.push(BigRational::new((*x).into(), unit));
            }
            Val::Float(bits) => match BigRational::from_float(f64::from_bits(*bits)) {
                Some(x) => finite.push(x),
                None => special.push(f64::from_bits(*bits)),
            },
            other => panic!("no number: {other:?}"),
        }
    }
    if !special.is_empty() {
        return float(if deep { f64::NAN } else { special.iter().sum() });
    }
    let n = BigRational::from(BigInt::from(finite.len()));
    let s: BigRational = finite.iter().sum();
    let q: BigRational = finite.iter().map(|x| x * x).sum();
    let least = if matches!(spec.kind, K::VarSamp | K::StddevSamp) { 2 } else { 1 };
    if finite.len() < least {
        return Val::Null;
    }
    let one = BigRational::from(BigInt::from(1));
    let variance = |by: BigRational| round(&((&n * &q - &s * &s) / by));
    match (spec.kind, &spec.output) {
        (K::Sum, DataType::Int64) => {
            s.to_integer().to_i64().map_or(Val::Null, |x| Val::Int(x.into()))
        }
        (K::Sum, DataType::UInt64) => {
            s.to_integer().to_u64().map_or(Val::Null, |x| Val::Int(x.into()))
        }
        (K::Sum, DataType::Decimal128(p, scale)) => decimal(&s, *p, *scale),
        (K::Avg, DataType::Decimal128(p, scale)) => decimal(&(&s / &n), *p, *scale),
        (K::Sum, _) => float(round(&s)),
        (K::Avg, _) => float(round(&(&s / &n))),
        (K::VarPop, _) => float(variance(&n * &n)),
        (K::VarSamp, _) => float(variance(&n * (&n - one))),
        (K::StddevPop, _) => float(variance(&n * &n).sqrt()),
        _ => float(variance(&n * (&n - one)).sqrt()),
    }
}
