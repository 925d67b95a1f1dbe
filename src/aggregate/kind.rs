//! Which aggregates exist, over which types, with which result: the plain data that the planner
//! writes and the operators read. What they are called and what they take is in `table`.

use std::fmt;

use arrow::datatypes::{DataType, Field};

use super::datum::Datum;
use super::moments::{avg_type, sum_type};
use super::own::Own;
use super::table::{Constant, Function, Gives, Law, OWN, TABLE, Takes};
use crate::error::{Error, Result};
use crate::model::batch::timestamp_type;
use crate::sql::types::type_name;

/// What is computed over the rows of a frame or window. In the order of [`TABLE`].
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
    BoolAnd,
    BoolOr,
    BitAnd,
    BitOr,
    BitXor,
    Median,
    PercentileCont,
    PercentileDisc,
    Mode,
    NthValue,
    ArrayAgg,
    StringAgg,
    CovarPop,
    CovarSamp,
    Corr,
    RegrSlope,
    RegrIntercept,
    RegrCount,
    RegrR2,
    RegrAvgx,
    RegrAvgy,
    RegrSxx,
    RegrSyy,
    RegrSxy,
    Skewness,
    Kurtosis,
    ArgMin,
    ArgMax,
    FirstN,
    LastN,
    LastDistinctN,
    CountCate,
    SumCate,
    AvgCate,
    MinCate,
    MaxCate,
    TopNKeyCountCate,
    TopNKeySumCate,
    TopNKeyAvgCate,
    TopNKeyMinCate,
    TopNKeyMaxCate,
    TopNFrequency,
    Top,
    Top1Ratio,
    Entropy,
    EwAvg,
    EwAvgTime,
    Drawdown,
    Histogram,
    TimeSinceLast,
    Delta,
    Slope,
    Lag,
    ApproxDistinct,
    ApproxPercentile,
    ApproxMedian,
    ApproxTopK,
    /// The planner makes it, and those below, from sums and counts; no slot sees them.
    Rate,
    RowNumber,
    Rank,
    DenseRank,
    /// One that the program around has registered; not in [`TABLE`].
    Own,
}

impl AggregateKind {
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|function| function.kind)
    }

    /// Everything that is known about it.
    pub fn function(self) -> &'static Function {
        match self {
            Self::Own => &OWN,
            _ => &TABLE[self as usize],
        }
    }

    /// The name under which DataFusion knows the function.
    pub fn name(self) -> &'static str {
        self.function().names[0]
    }

    /// Its other names.
    pub fn aliases(self) -> &'static [&'static str] {
        &self.function().names[1..]
    }

    /// The kind behind a function name or alias, in any case; `None` for other functions.
    pub fn from_name(name: &str) -> Option<Self> {
        let named = |function: &&Function| {
            function.names.iter().any(|other| name.eq_ignore_ascii_case(other))
        };
        TABLE.iter().find(named).map(|function| function.kind)
    }

    /// Whether it needs Σx² beside n and Σx.
    pub fn needs_squares(self) -> bool {
        matches!(self, Self::VarPop | Self::VarSamp | Self::StddevPop | Self::StddevSamp)
    }

    /// Whether it is computed from the exact sums of one argument.
    pub fn is_numeric(self) -> bool {
        self.needs_squares() || matches!(self, Self::Sum | Self::Avg)
    }

    /// Whether FILTER is folded into the argument, which is NULL where it is not true. The
    /// others have a column for it.
    pub fn folds_filter(self) -> bool {
        let compared = matches!(self, Self::Min | Self::Max | Self::BoolAnd | Self::BoolOr);
        self.is_numeric() || compared || self == Self::Count
    }

    /// The type that an argument of type `input` is widened to before it is aggregated.
    ///
    /// # Errors
    /// `Usage` if the function has no meaning for the type.
    pub fn argument_type(self, input: &DataType) -> Result<DataType> {
        self.widened(0, input)
    }

    /// The same for column argument `index`.
    ///
    /// # Errors
    /// `Usage` if the function has no meaning for the type.
    pub fn widened(self, index: usize, input: &DataType) -> Result<DataType> {
        use DataType as T;
        if let T::Dictionary(_, values) = input {
            return self.widened(index, values);
        }
        let arguments = self.function().arguments;
        let takes = arguments.get(index).or(arguments.last()).copied().unwrap_or(Takes::Any);
        let refused = |what: &str| Err(no_meaning(self, input, what));
        match takes {
            Takes::Any => Ok(input.clone()),
            Takes::Ordered => match input {
                T::Float16 => Ok(T::Float32),
                other if is_ordered(other) => Ok(other.clone()),
                _ => refused("numbers, text, dates and times"),
            },
            Takes::Number => match input {
                T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Null => Ok(T::Int64),
                T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => Ok(T::UInt64),
                T::Float16 | T::Float32 | T::Float64 => Ok(T::Float64),
                T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) => {
                    Ok(T::Decimal128(*p, *s))
                }
                _ => refused("numbers"),
            },
            Takes::Fractional => match input {
                T::Float16 | T::Float32 => Ok(T::Float32),
                T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) => {
                    Ok(T::Decimal128(*p, *s))
                }
                other if other.is_numeric() || other.is_null() => Ok(T::Float64),
                _ => refused("numbers"),
            },
            Takes::Float if matches!(input, T::Float16 | T::Float32) => Ok(T::Float32),
            Takes::Double | Takes::Float if input.is_numeric() || input.is_null() => Ok(T::Float64),
            Takes::Double | Takes::Float => refused("numbers"),
            Takes::Integer if input.is_integer() => Ok(input.clone()),
            Takes::Integer if input.is_null() => Ok(T::Int64),
            Takes::Integer => refused("integers"),
            Takes::Boolean if matches!(input, T::Boolean | T::Null) => Ok(T::Boolean),
            Takes::Boolean => refused("booleans"),
            Takes::Text => match input {
                T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Null => Ok(T::Utf8),
                _ => refused("text"),
            },
            Takes::Time => match input {
                T::Timestamp(..) | T::Null => Ok(timestamp_type()),
                _ => refused("the time as a TIMESTAMP"),
            },
        }
    }
}

impl fmt::Display for AggregateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().to_ascii_uppercase())
    }
}

/// The type of the result over one argument of type `input` (`Null` for COUNT(*)).
///
/// # Errors
/// `Usage` if the function, or DISTINCT with it, has no meaning for the type.
pub fn result_type(kind: AggregateKind, distinct: bool, input: &DataType) -> Result<DataType> {
    result_of(kind, distinct, std::slice::from_ref(input))
}

/// The type of the result over column arguments of the types `inputs`.
///
/// # Errors
/// As [`result_type`].
pub fn result_of(kind: AggregateKind, distinct: bool, inputs: &[DataType]) -> Result<DataType> {
    let function = kind.function();
    if distinct && function.distinct.is_none() {
        return Err(Error::usage(format!("{kind} does not take DISTINCT"))
            .with_hint(format!("write {}", function.usage)));
    }
    let widened: Vec<DataType> = inputs
        .iter()
        .enumerate()
        .map(|(i, input)| kind.widened(i, input))
        .collect::<Result<_>>()?;
    let first = widened.first().cloned().unwrap_or(DataType::Null);
    if distinct && first.is_nested() {
        return Err(no_meaning(kind, &first, "numbers, text, dates and times")
            .context("values of a nested type are not compared by DISTINCT"));
    }
    let by = |value: DataType| {
        let key = widened.last().cloned().unwrap_or(DataType::Null);
        map_type(key, value)
    };
    Ok(match function.gives {
        Gives::Whole => DataType::Int64,
        Gives::Unsigned => DataType::UInt64,
        Gives::Double => DataType::Float64,
        Gives::Boolean => DataType::Boolean,
        Gives::Text => DataType::Utf8,
        Gives::First => first,
        Gives::Sum => sum_of(first),
        Gives::Mean => mean_of(&first),
        Gives::List => DataType::List(Field::new("item", first, true).into()),
        Gives::Counts => DataType::List(Field::new("item", DataType::Int64, true).into()),
        Gives::CountsBy => by(DataType::Int64),
        Gives::SumsBy => by(sum_of(first)),
        Gives::MeansBy => by(mean_of(&first)),
        Gives::FirstsBy => by(first),
    })
}

/// A map as every part of the engine holds it: keys in ascending order.
pub fn map_type(key: DataType, value: DataType) -> DataType {
    let fields = vec![Field::new("key", key, false), Field::new("value", value, true)];
    let entry = Field::new("entries", DataType::Struct(fields.into()), false);
    DataType::Map(entry.into(), true)
}

fn sum_of(argument: DataType) -> DataType {
    match argument {
        DataType::Decimal128(p, s) => {
            let (p, s) = sum_type(p, s);
            DataType::Decimal128(p, s)
        }
        other => other,
    }
}

fn mean_of(argument: &DataType) -> DataType {
    match argument {
        DataType::Decimal128(p, s) => {
            let (p, s) = avg_type(*p, *s);
            DataType::Decimal128(p, s)
        }
        _ => DataType::Float64,
    }
}

/// Whether the values have the total order that MIN and MAX need.
fn is_ordered(data_type: &DataType) -> bool {
    !data_type.is_nested() && !matches!(data_type, DataType::FixedSizeBinary(_) | DataType::Null)
}

fn no_meaning(kind: AggregateKind, input: &DataType, takes: &str) -> Error {
    let sums = kind.function().law == Law::Sums;
    let hint = match input {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            "cast it: CAST(x AS DOUBLE)".to_owned()
        }
        DataType::Boolean if sums => {
            format!("count them: COUNT(*) FILTER (WHERE x), or {kind}(CAST(x AS INT))")
        }
        DataType::Boolean => "cast it: CAST(x AS INT)".to_owned(),
        DataType::Decimal256(..) => "cast it: CAST(x AS DECIMAL(38, 9))".to_owned(),
        DataType::Duration(_) | DataType::Interval(_) => {
            format!("aggregate its seconds: {kind}(EXTRACT(EPOCH FROM x))")
        }
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
            format!("use MIN or MAX, or {kind}(EXTRACT(EPOCH FROM x))")
        }
        other if !other.is_nested() => format!("write {}", kind.function().usage),
        _ => "name one value of it, for example x[1] or x.field".to_owned(),
    };
    Error::usage(format!("{kind} takes {takes}, not {}", type_name(input))).with_hint(hint)
}

/// The constant arguments of a call, checked; what is left out is not there.
///
/// # Errors
/// `Usage` if a constant is missing, too many, or not what the function takes.
pub fn check_constants(kind: AggregateKind, constants: &[Datum]) -> Result<()> {
    let function = kind.function();
    let (takes, given) = (function.constants, constants.len());
    let edges = takes.contains(&Constant::Edges);
    if given + function.optional < takes.len() || (given > takes.len() && !edges) {
        return Err(wrong(kind, "takes other arguments"));
    }
    for (i, value) in constants.iter().enumerate() {
        let number = value.as_f64();
        let ok = match takes[i.min(takes.len() - 1)] {
            Constant::Fraction => (0.0..=1.0).contains(&number),
            Constant::Count => (1..=MOST).contains(&value.as_count()),
            Constant::Place => value.as_i128().is_some_and(|n| n != 0),
            Constant::Positive => number > 0.0 && number.is_finite(),
            Constant::Text => matches!(value, Datum::Bytes(_)),
            Constant::Value => true,
            Constant::Edges => number.is_finite() && (i == 0 || constants[i - 1].as_f64() < number),
        };
        if !ok {
            let takes = match takes[i.min(takes.len() - 1)] {
                Constant::Fraction => "takes a constant from 0 to 1",
                Constant::Count => "takes a constant number from 1 to 100000",
                Constant::Place => "takes a constant number other than 0",
                Constant::Positive => "takes a constant number above 0",
                Constant::Text => "takes a constant text",
                Constant::Value => "takes a constant",
                Constant::Edges => "takes constant numbers in ascending order",
            };
            return Err(wrong(kind, takes));
        }
    }
    Ok(())
}

/// The greatest number of values that a call can ask for.
const MOST: usize = 100_000;

fn wrong(kind: AggregateKind, what: &str) -> Error {
    Error::usage(format!("{kind} {what}")).with_hint(format!("write {}", kind.function().usage))
}

/// How a column of ORDER BY inside a call sorts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Direction {
    pub descending: bool,
    pub nulls_first: bool,
}

/// One aggregate call, its arguments already columns of the step batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AggregateSpec {
    pub kind: AggregateKind,
    /// Value column holding the first argument; `None` for COUNT(*). Where the kind
    /// [folds the filter](AggregateKind::folds_filter) the argument is NULL where it is not true
    /// (so COUNT(*) FILTER has an argument).
    pub argument: Option<usize>,
    /// Value columns of the other arguments, then those of ORDER BY inside the call.
    pub more: Vec<usize>,
    /// Sorts by the last columns of `more`; empty = the total order.
    pub order: Vec<Direction>,
    /// Constant arguments, as [`check_constants`] takes them.
    pub constants: Vec<Datum>,
    /// Boolean value column; only rows where it is true count.
    pub filter: Option<usize>,
    /// The aggregate, where the kind is [`AggregateKind::Own`].
    pub own: Option<Own>,
    /// Over distinct values.
    pub distinct: bool,
    /// NULLs are left out where they would count.
    pub ignore_nulls: bool,
    /// Type of the first argument's column (`Null` for COUNT(*)).
    pub input: DataType,
    /// Type of the result.
    pub output: DataType,
}

impl fmt::Display for AggregateSpec {
    /// What it is called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.own {
            Some(own) => f.write_str(&own.0.name().to_ascii_uppercase()),
            None => self.kind.fmt(f),
        }
    }
}

impl AggregateSpec {
    /// A plain call of one argument.
    pub fn plain(
        kind: AggregateKind,
        argument: Option<usize>,
        input: DataType,
        output: DataType,
    ) -> Self {
        Self {
            kind,
            argument,
            more: Vec::new(),
            order: Vec::new(),
            constants: Vec::new(),
            filter: None,
            own: None,
            distinct: false,
            ignore_nulls: false,
            input,
            output,
        }
    }

    /// The columns whose values are asked for; of others only "not NULL" is.
    pub fn reads(&self) -> impl Iterator<Item = usize> {
        let counts = self.kind == AggregateKind::Count && !self.distinct;
        let argument = self.argument.filter(|_| !counts);
        argument.into_iter().chain(self.more.iter().copied()).chain(self.filter)
    }

    /// The same call where column i is column `places[i]`.
    pub fn moved(&self, places: &[usize]) -> Self {
        let mut moved = self.clone();
        let move_on = |column: &mut usize| *column = places[*column];
        moved.argument.iter_mut().for_each(move_on);
        moved.more.iter_mut().for_each(move_on);
        moved.filter.iter_mut().for_each(move_on);
        moved
    }
}

#[cfg(test)]
mod tests;
