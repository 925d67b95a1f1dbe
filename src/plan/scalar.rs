//! Scalar functions that features need and DataFusion lacks, for features and ad-hoc SQL alike:
//! one table, from which the functions, SHOW FUNCTIONS and the documentation are derived. They
//! depend on their arguments only. A row on which one fails is NULL and counted (`checked`).
//!
//! | file | what is in it |
//! |---|---|
//! | `scalar/number` | scaling, clipping, buckets, one-hot, hashing |
//! | `scalar/place` | distances and cells on the earth |
//! | `scalar/calendar` | parts of a time, in UTC |
//! | `scalar/json` | values inside JSON text |

mod calendar;
mod json;
mod number;
mod place;

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;
use crate::model::batch::timestamp_type;
use crate::sql::types::type_name;

/// What an argument is widened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Double,
    Whole,
    Text,
    Time,
    /// A number; all such arguments become BIGINT if they are whole, else DOUBLE.
    Number,
    /// A value that can be an entity key.
    Any,
    /// As the first argument.
    Same,
    /// A name of a field, or the place of an element.
    Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gives {
    Double,
    Whole,
    Text,
    Boolean,
    /// As the first argument.
    Same,
    Flags,
}

/// Columns of equal length in, one of that length out.
type Run = fn(&[ArrayRef]) -> crate::error::Result<ArrayRef>;

/// One function.
#[derive(Debug)]
pub struct Function {
    pub name: &'static str,
    arguments: &'static [Takes],
    /// The last argument may be there any number of times, this often at least.
    repeated: Option<usize>,
    gives: Gives,
    run: Run,
    pub usage: &'static str,
    pub doc: &'static str,
}

const fn function(
    name: &'static str,
    arguments: &'static [Takes],
    repeated: Option<usize>,
    gives: Gives,
    run: Run,
    usage: &'static str,
    doc: &'static str,
) -> Function {
    Function { name, arguments, repeated, gives, run, usage, doc }
}

use Gives as G;
use Takes as T;

/// All of them.
#[rustfmt::skip]
pub static FUNCTIONS: &[Function] = &[
    function("haversine", &[T::Double; 4], None, G::Double, place::haversine,
        "haversine(lat1, lon1, lat2, lon2)", "distance in km between two places in degrees"),
    function("geohash", &[T::Double, T::Double, T::Whole], None, G::Text, place::geohash,
        "geohash(lat, lon, length)", "the geohash of a place in degrees, 1 to 12 characters"),
    function("hash_bucket", &[T::Any, T::Whole], None, G::Whole, number::hash_bucket,
        "hash_bucket(x, n)", "a stable number from 0 to n - 1"),
    function("zscore", &[T::Double; 3], None, G::Double, number::zscore,
        "zscore(x, mean, stddev)", "(x - mean) / stddev; NULL if stddev is 0"),
    function("min_max_scale", &[T::Double; 3], None, G::Double, number::min_max_scale,
        "min_max_scale(x, low, high)", "(x - low) / (high - low); NULL if they are equal"),
    function("clip", &[T::Number; 3], None, G::Same, number::clip,
        "clip(x, low, high)", "x, but at least low and at most high"),
    function("bucketize", &[T::Double, T::Double], Some(1), G::Whole, number::bucketize,
        "bucketize(x, edge, …)", "how many of the ascending edges are at or below x"),
    function("one_hot", &[T::Any, T::Same], Some(1), G::Flags, number::one_hot,
        "one_hot(x, value, …)", "a list with 1 where x is the value and 0 elsewhere"),
    function("hour_of_day", &[T::Time], None, G::Whole, calendar::hour_of_day,
        "hour_of_day(t)", "0 to 23, UTC"),
    function("minute_of_day", &[T::Time], None, G::Whole, calendar::minute_of_day,
        "minute_of_day(t)", "0 to 1439, UTC"),
    function("day_of_week", &[T::Time], None, G::Whole, calendar::day_of_week,
        "day_of_week(t)", "1 (Monday) to 7 (Sunday), UTC"),
    function("hour_of_week", &[T::Time], None, G::Whole, calendar::hour_of_week,
        "hour_of_week(t)", "0 (Monday 00:00) to 167, UTC"),
    function("is_weekend", &[T::Time], None, G::Boolean, calendar::is_weekend,
        "is_weekend(t)", "whether it is Saturday or Sunday, UTC"),
    function("json_get", &[T::Text, T::Step], Some(0), G::Text, json::get,
        "json_get(json, key, …)", "the value at a path of names and places, text unquoted"),
    function("json_get_str", &[T::Text, T::Step], Some(0), G::Text, json::get_str,
        "json_get_str(json, key, …)", "the string at a path; NULL for what is none"),
    function("json_get_int", &[T::Text, T::Step], Some(0), G::Whole, json::get_int,
        "json_get_int(json, key, …)", "the whole number at a path; NULL for what is none"),
    function("json_get_float", &[T::Text, T::Step], Some(0), G::Double, json::get_float,
        "json_get_float(json, key, …)", "the number at a path; NULL for what is none"),
    function("json_get_bool", &[T::Text, T::Step], Some(0), G::Boolean, json::get_bool,
        "json_get_bool(json, key, …)", "the boolean at a path; NULL for what is none"),
    function("json_get_json", &[T::Text, T::Step], Some(0), G::Text, json::get_json,
        "json_get_json(json, key, …)", "the value at a path as JSON"),
    function("json_contains", &[T::Text, T::Step], Some(0), G::Boolean, json::contains,
        "json_contains(json, key, …)", "whether there is a value at a path"),
    function("json_length", &[T::Text, T::Step], Some(0), G::Whole, json::length,
        "json_length(json, key, …)", "elements of the array, or fields of the object, at a path"),
];

/// The functions, as DataFusion takes them.
pub fn all() -> Vec<Arc<ScalarUDF>> {
    static ALL: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
        let udf = |(at, _): (usize, &Function)| {
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(ScalarUDF::new_from_impl(Scalar { at, signature }))
        };
        FUNCTIONS.iter().enumerate().map(udf).collect()
    });
    ALL.clone()
}

/// A function by its place in [`FUNCTIONS`].
#[derive(Debug, PartialEq, Eq, Hash)]
struct Scalar {
    at: usize,
    signature: Signature,
}

impl Function {
    fn takes(&self, argument: usize) -> Takes {
        let last = self.arguments.len() - 1;
        self.arguments[argument.min(last)]
    }

    fn check_count(&self, given: usize) -> crate::error::Result<()> {
        let fixed = self.arguments.len();
        let fits = match self.repeated {
            None => given == fixed,
            Some(least) => given >= fixed - 1 + least,
        };
        if fits {
            return Ok(());
        }
        Err(Error::usage(format!("{} does not take {given} arguments", self.name))
            .with_hint(format!("write {}", self.usage)))
    }

    fn widened(&self, types: &[DataType]) -> crate::error::Result<Vec<DataType>> {
        use DataType as D;
        self.check_count(types.len())?;
        let number = match types.iter().all(|t| t.is_integer() || t.is_null()) {
            true => D::Int64,
            false => D::Float64,
        };
        let wrong = |what: &str, given: &DataType| {
            Error::usage(format!("{} takes {what}, not {}", self.name, type_name(given)))
                .with_hint(format!("write {}", self.usage))
        };
        let widen = |(i, given): (usize, &DataType)| {
            let numeric = given.is_numeric() || given.is_null();
            let text = matches!(given, D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Null);
            Ok(match self.takes(i) {
                Takes::Double if numeric => D::Float64,
                Takes::Number if numeric => number.clone(),
                Takes::Double | Takes::Number => return Err(wrong("numbers there", given)),
                Takes::Whole if given.is_integer() || given.is_null() => D::Int64,
                Takes::Whole => return Err(wrong("a whole number there", given)),
                Takes::Text if text => D::Utf8,
                Takes::Text => return Err(wrong("text there", given)),
                Takes::Time if matches!(given, D::Timestamp(..) | D::Date32 | D::Null) => {
                    timestamp_type()
                }
                Takes::Time => return Err(wrong("a TIMESTAMP", given)),
                Takes::Step if given.is_integer() => D::Int64,
                Takes::Step if text => D::Utf8,
                Takes::Step => return Err(wrong("names and places", given)),
                Takes::Any if given.is_null() => D::Utf8,
                Takes::Any => any(given),
                Takes::Same => any(&types[0]),
            })
        };
        types.iter().enumerate().map(widen).collect()
    }

    fn result(&self, types: &[DataType]) -> DataType {
        match self.gives {
            Gives::Double => DataType::Float64,
            Gives::Whole => DataType::Int64,
            Gives::Text => DataType::Utf8,
            Gives::Boolean => DataType::Boolean,
            Gives::Same => types.first().cloned().unwrap_or(DataType::Float64),
            Gives::Flags => DataType::List(Field::new("item", DataType::Int64, true).into()),
        }
    }
}

fn any(given: &DataType) -> DataType {
    match given {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Timestamp(..) => timestamp_type(),
        other if other.is_integer() => DataType::Int64,
        other => other.clone(),
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        FUNCTIONS[self.at].name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(FUNCTIONS[self.at].widened(types)?)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let function = &FUNCTIONS[self.at];
        function.check_count(types.len())?;
        Ok(function.result(types))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let result = (FUNCTIONS[self.at].run)(&arrays)?;
        assert_eq!(result.len(), arrays[0].len(), "one result for each row");
        Ok(match constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}

/// That a row has no result; the function is tried on fewer rows then, at last on this one.
fn failed(message: impl Into<String>) -> Error {
    Error::data(message.into())
}

#[cfg(test)]
mod tests;
