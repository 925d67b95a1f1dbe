//! Values as the oracles and comparisons see them: plain Rust, every bit visible. Called by the
//! oracles (which must not use anything of `skewless::aggregate`), by comparisons and by the
//! generator.

use std::cmp::Ordering;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::*;

/// One value. Integers of every width are `Int`; dates are days, times are µs.
#[derive(Clone, Debug, PartialEq)]
pub enum Val {
    Null,
    Int(i128),
    Dec(i128, i8),
    Float(f64),
    Real(f32),
    Text(String),
    Bytes(Vec<u8>),
    Bool(bool),
    Time(i64),
    List(Vec<Val>),
    /// Keys and values in turn.
    Map(Vec<Val>),
}

impl Val {
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// One zero, one NaN.
    pub fn canonical(self) -> Self {
        match self {
            Self::Float(x) if x.is_nan() => Self::Float(f64::NAN),
            Self::Float(x) => Self::Float(x + 0.0),
            Self::Real(x) if x.is_nan() => Self::Real(f32::NAN),
            Self::Real(x) => Self::Real(x + 0.0),
            other => other,
        }
    }

    /// Raw bits as text: equal iff the values are equal in every bit.
    pub fn bits(&self) -> String {
        match self {
            Self::Null => "NULL".into(),
            Self::Int(x) => x.to_string(),
            Self::Dec(x, s) => format!("{x}e-{s}"),
            Self::Float(x) => format!("{x:?}#{:016x}", x.to_bits()),
            Self::Real(x) => format!("{x:?}#{:08x}", x.to_bits()),
            Self::Text(s) => format!("{s:?}"),
            Self::Bytes(b) => format!("{b:02x?}"),
            Self::Bool(b) => b.to_string(),
            Self::Time(t) => format!("@{t}"),
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::bits).collect::<Vec<_>>().join(", "))
            }
            Self::Map(items) => {
                format!("{{{}}}", items.iter().map(Self::bits).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// The one order of the contract: NULL first here (callers drop NULLs where it matters), floats
/// −inf < … < +inf < NaN, text by bytes.
pub fn order(a: &Val, b: &Val) -> Ordering {
    let float = |x: f64, y: f64| match (x.is_nan(), y.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => x.partial_cmp(&y).unwrap(),
    };
    match (a, b) {
        (Val::Null, Val::Null) => Ordering::Equal,
        (Val::Null, _) => Ordering::Less,
        (_, Val::Null) => Ordering::Greater,
        (Val::Int(x), Val::Int(y)) => x.cmp(y),
        (Val::Dec(x, _), Val::Dec(y, _)) => x.cmp(y),
        (Val::Float(x), Val::Float(y)) => float(*x, *y),
        (Val::Real(x), Val::Real(y)) => float(f64::from(*x), f64::from(*y)),
        (Val::Text(x), Val::Text(y)) => x.as_bytes().cmp(y.as_bytes()),
        (Val::Bytes(x), Val::Bytes(y)) => x.cmp(y),
        (Val::Bool(x), Val::Bool(y)) => x.cmp(y),
        (Val::Time(x), Val::Time(y)) => x.cmp(y),
        other => panic!("values of two types are compared: {other:?}"),
    }
}

/// The value at `row`.
pub fn value(array: &dyn Array, row: usize) -> Val {
    use DataType as T;
    if array.is_null(row) {
        return Val::Null;
    }
    macro_rules! int {
        ($t:ty) => {
            Val::Int(i128::from(array.as_primitive::<$t>().value(row)))
        };
    }
    match array.data_type() {
        T::Null => Val::Null,
        T::Boolean => Val::Bool(array.as_boolean().value(row)),
        T::Int8 => int!(Int8Type),
        T::Int16 => int!(Int16Type),
        T::Int32 => int!(Int32Type),
        T::Int64 => int!(Int64Type),
        T::UInt8 => int!(UInt8Type),
        T::UInt16 => int!(UInt16Type),
        T::UInt32 => int!(UInt32Type),
        T::UInt64 => int!(UInt64Type),
        T::Date32 => int!(Date32Type),
        T::Decimal128(_, s) => Val::Dec(array.as_primitive::<Decimal128Type>().value(row), *s),
        T::Float64 => Val::Float(array.as_primitive::<Float64Type>().value(row)),
        T::Float32 => Val::Real(array.as_primitive::<Float32Type>().value(row)),
        T::Utf8 => Val::Text(array.as_string::<i32>().value(row).into()),
        T::LargeUtf8 => Val::Text(array.as_string::<i64>().value(row).into()),
        T::Utf8View => Val::Text(array.as_string_view().value(row).into()),
        T::Binary => Val::Bytes(array.as_binary::<i32>().value(row).into()),
        T::BinaryView => Val::Bytes(array.as_binary_view().value(row).into()),
        T::Timestamp(TimeUnit::Microsecond, _) => {
            Val::Time(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        T::Timestamp(TimeUnit::Nanosecond, _) => {
            let ns = array.as_primitive::<TimestampNanosecondType>().value(row);
            assert!(ns % 1000 == 0, "a nanosecond timestamp that is no whole µs");
            Val::Time(ns / 1000)
        }
        T::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Val::List((0..items.len()).map(|i| value(items.as_ref(), i)).collect())
        }
        T::Map(..) => {
            let pairs = array.as_map().value(row);
            let columns = pairs.columns();
            let pair = |i| columns.iter().map(move |column| value(column.as_ref(), i));
            Val::Map((0..pairs.len()).flat_map(pair).collect())
        }
        other => panic!("no test value for type {other}"),
    }
}

/// Rows of values.
pub fn rows(batches: &[RecordBatch]) -> Vec<Vec<Val>> {
    let mut all = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            all.push(batch.columns().iter().map(|c| value(c.as_ref(), row)).collect());
        }
    }
    all
}

/// The multiset of rows as sorted texts of raw bits.
pub fn multiset(rows: &[Vec<Val>]) -> Vec<String> {
    let mut all: Vec<String> =
        rows.iter().map(|row| row.iter().map(Val::bits).collect::<Vec<_>>().join(" | ")).collect();
    all.sort_unstable();
    all
}

/// Where two sorted multisets differ: at most a few rows of each side, or `None` if nowhere.
pub fn difference(
    names: (&str, &str),
    left: &[String],
    right: &[String],
    shown: usize,
) -> Option<String> {
    if left == right {
        return None;
    }
    let (mut i, mut j, mut only) = (0, 0, [Vec::new(), Vec::new()]);
    while i < left.len() || j < right.len() {
        let side = match (left.get(i), right.get(j)) {
            (Some(a), Some(b)) if a == b => {
                i += 1;
                j += 1;
                continue;
            }
            (Some(a), Some(b)) if a > b => 1,
            (Some(_), _) => 0,
            (None, _) => 1,
        };
        if side == 0 {
            only[0].push(&left[i]);
            i += 1;
        } else {
            only[1].push(&right[j]);
            j += 1;
        }
    }
    let mut text = format!("{} rows {}, {} rows {}", left.len(), names.0, right.len(), names.1);
    for (name, rows) in [names.0, names.1].into_iter().zip(&only) {
        text += &format!("\n  only {name} ({} rows):", rows.len());
        for row in rows.iter().take(shown) {
            text += &format!("\n    {row}");
        }
    }
    Some(text)
}
