//! Which aggregates exist, over which types, with which result: the plain data that the planner
//! writes and the operators read.

use std::fmt;

use arrow::datatypes::DataType;

use super::moments::{avg_type, sum_type};
use crate::error::{Error, Result};

/// What is computed over the rows of a frame or window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AggregateKind {
    /// COUNT(*) and COUNT(x): rows, or rows where x is not NULL.
    Count,
    Sum,
    Avg,
    Min,
    Max,
    VarPop,
    VarSamp,
    StddevPop,
    StddevSamp,
    /// The value of the first row in the total order.
    FirstValue,
    /// The value of the last row in the total order.
    LastValue,
}

impl AggregateKind {
    pub const ALL: [Self; 11] = [
        Self::Count,
        Self::Sum,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::VarPop,
        Self::VarSamp,
        Self::StddevPop,
        Self::StddevSamp,
        Self::FirstValue,
        Self::LastValue,
    ];

    /// The name under which DataFusion knows the function.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::VarPop => "var_pop",
            Self::VarSamp => "var",
            Self::StddevPop => "stddev_pop",
            Self::StddevSamp => "stddev",
            Self::FirstValue => "first_value",
            Self::LastValue => "last_value",
        }
    }

    /// Its other names.
    pub fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Avg => &["mean"],
            Self::VarPop => &["var_population"],
            Self::VarSamp => &["var_sample", "var_samp"],
            Self::StddevSamp => &["stddev_samp"],
            _ => &[],
        }
    }

    /// The kind behind a function name or alias, in any case; `None` for other functions.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| {
            let mut names = kind.aliases().iter().copied().chain([kind.name()]);
            names.any(|other| name.eq_ignore_ascii_case(other))
        })
    }

    /// Whether it needs Σx² beside n and Σx.
    pub fn needs_squares(self) -> bool {
        matches!(self, Self::VarPop | Self::VarSamp | Self::StddevPop | Self::StddevSamp)
    }

    /// Whether it is computed from exact sums.
    pub fn is_numeric(self) -> bool {
        self.needs_squares() || matches!(self, Self::Sum | Self::Avg)
    }

    /// The type that an argument of type `input` is widened to before it is aggregated: SUM, AVG,
    /// VAR and STDDEV read BIGINT, unsigned BIGINT, DOUBLE or DECIMAL(p, s) and nothing else; the
    /// others take what they get. Widening never rounds.
    ///
    /// # Errors
    /// `Usage` if the function has no meaning for the type.
    pub fn argument_type(self, input: &DataType) -> Result<DataType> {
        use DataType as T;
        if let T::Dictionary(_, values) = input {
            return self.argument_type(values);
        }
        match self {
            Self::Count | Self::FirstValue | Self::LastValue => Ok(input.clone()),
            Self::Min | Self::Max => match input {
                T::Float16 => Ok(T::Float32),
                other if is_ordered(other) => Ok(other.clone()),
                other => Err(no_meaning(self, other, "numbers, text, dates and times")),
            },
            _ => match input {
                T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Null => Ok(T::Int64),
                T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => Ok(T::UInt64),
                T::Float16 | T::Float32 | T::Float64 => Ok(T::Float64),
                T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) => {
                    Ok(T::Decimal128(*p, *s))
                }
                other => Err(no_meaning(self, other, "numbers")),
            },
        }
    }
}

impl fmt::Display for AggregateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().to_ascii_uppercase())
    }
}

/// The type of the result over an argument of type `input` (`Null` for COUNT(*)).
///
/// # Errors
/// `Usage` if the function, or DISTINCT with it, has no meaning for the type.
pub fn result_type(kind: AggregateKind, distinct: bool, input: &DataType) -> Result<DataType> {
    use AggregateKind as K;
    let argument = kind.argument_type(input)?;
    if distinct && matches!(kind, K::FirstValue | K::LastValue) {
        return Err(Error::usage(format!("{kind} does not take DISTINCT"))
            .with_hint(format!("write {kind}(x); distinct values have no first or last row")));
    }
    if distinct && input.is_nested() {
        return Err(no_meaning(kind, input, "numbers, text, dates and times")
            .context("values of a nested type are not compared by DISTINCT"));
    }
    Ok(match (kind, argument) {
        (K::Count, _) => DataType::Int64,
        (K::Sum, DataType::Decimal128(p, s)) => {
            let (p, s) = sum_type(p, s);
            DataType::Decimal128(p, s)
        }
        (K::Avg, DataType::Decimal128(p, s)) => {
            let (p, s) = avg_type(p, s);
            DataType::Decimal128(p, s)
        }
        (K::Sum | K::Min | K::Max | K::FirstValue | K::LastValue, argument) => argument,
        _ => DataType::Float64,
    })
}

/// Whether the values have the total order that MIN and MAX need.
fn is_ordered(data_type: &DataType) -> bool {
    !data_type.is_nested() && !matches!(data_type, DataType::FixedSizeBinary(_))
}

fn no_meaning(kind: AggregateKind, input: &DataType, takes: &str) -> Error {
    let hint = match input {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            "cast it: CAST(x AS DOUBLE)".to_owned()
        }
        DataType::Boolean => {
            format!("count them: COUNT(*) FILTER (WHERE x), or {kind}(CAST(x AS INT))")
        }
        DataType::Decimal256(..) => "cast it: CAST(x AS DECIMAL(38, 9))".to_owned(),
        DataType::Duration(_) | DataType::Interval(_) => {
            format!("aggregate its seconds: {kind}(EXTRACT(EPOCH FROM x))")
        }
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            format!("use MIN or MAX, or {kind}(EXTRACT(EPOCH FROM x))")
        }
        _ => "name one value of it, for example x[1] or x.field".to_owned(),
    };
    Error::usage(format!("{kind} takes {takes}, not {input}")).with_hint(hint)
}

/// One aggregate call, its argument already a column of the step batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AggregateSpec {
    pub kind: AggregateKind,
    /// Value column holding the argument; `None` for COUNT(*). FILTER is already folded in: the
    /// argument is NULL where the filter is not true (so COUNT(*) FILTER has an argument), except
    /// for FIRST_VALUE and LAST_VALUE, which count NULLs and use `filter`.
    pub argument: Option<usize>,
    /// Boolean value column; only rows where it is true count (FIRST_VALUE, LAST_VALUE only).
    pub filter: Option<usize>,
    /// COUNT, SUM, AVG, VAR and STDDEV over distinct values.
    pub distinct: bool,
    /// FIRST_VALUE and LAST_VALUE skip NULLs.
    pub ignore_nulls: bool,
    /// Type of the argument column (`Null` for COUNT(*)).
    pub input: DataType,
    /// Type of the result.
    pub output: DataType,
}

#[cfg(test)]
mod tests {
    use DataType as T;

    use super::*;

    #[test]
    fn every_name_and_alias_is_found_in_any_case() {
        for kind in AggregateKind::ALL {
            assert_eq!(AggregateKind::from_name(kind.name()), Some(kind));
            assert_eq!(AggregateKind::from_name(&kind.to_string()), Some(kind));
            for alias in kind.aliases() {
                assert_eq!(AggregateKind::from_name(alias), Some(kind));
            }
        }
        assert_eq!(AggregateKind::from_name("median"), None);
    }

    #[test]
    fn results_have_the_types_of_the_contract() {
        use AggregateKind as K;
        let result = |kind, input| result_type(kind, false, &input).unwrap();
        assert_eq!(result(K::Sum, T::Int8), T::Int64);
        assert_eq!(result(K::Sum, T::UInt32), T::UInt64);
        assert_eq!(result(K::Sum, T::Float32), T::Float64);
        assert_eq!(result(K::Sum, T::Decimal128(10, 2)), T::Decimal128(20, 2));
        assert_eq!(result(K::Sum, T::Decimal128(38, 2)), T::Decimal128(38, 2));
        assert_eq!(result(K::Avg, T::Decimal128(10, 2)), T::Decimal128(14, 6));
        assert_eq!(result(K::Avg, T::Decimal128(38, 38)), T::Decimal128(38, 38));
        assert_eq!(result(K::Avg, T::Int64), T::Float64);
        assert_eq!(result(K::StddevSamp, T::Decimal128(10, 2)), T::Float64);
        assert_eq!(result(K::Count, T::Null), T::Int64);
        assert_eq!(result(K::Min, T::Float32), T::Float32);
        assert_eq!(result(K::Max, T::Utf8View), T::Utf8View);
        assert_eq!(result(K::Max, T::Boolean), T::Boolean);
        assert_eq!(result(K::LastValue, T::Binary), T::Binary);
    }

    #[test]
    fn what_has_no_meaning_is_refused_with_a_hint() {
        use AggregateKind as K;
        let list = T::new_list(T::Int64, true);
        for (kind, distinct, input) in [
            (K::Sum, false, T::Utf8),
            (K::Avg, false, T::Boolean),
            (K::VarPop, true, T::Date32),
            (K::Max, false, list.clone()),
            (K::Count, true, list),
            (K::FirstValue, true, T::Int64),
        ] {
            let error = result_type(kind, distinct, &input).unwrap_err();
            assert!(error.hint().is_some(), "{error}");
        }
    }
}
