//! What a state must tell to be a function: its results by call, and its values as hashable keys.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int64Type, UInt64Type,
};
use datafusion::common::ScalarValue;

use crate::aggregate::kind::AggregateKind;
use crate::aggregate::moments::{
    DecimalMoments, DecimalSums, FloatMoments, FloatSums, IntMoments, IntSums, Moments,
};
use crate::model::key::{from_ordered_bits, ordered_bits};

/// What is called: the function, the (widened) type of its argument and that of its result.
#[derive(Clone, Debug)]
pub struct Call {
    pub kind: AggregateKind,
    pub input: DataType,
    pub output: DataType,
}

/// Arrow types whose values a state takes.
pub trait ArgumentOf<M: Moments>: ArrowPrimitiveType<Native: Into<M::Value>> + fmt::Debug {}

impl<M: Moments, T: ArrowPrimitiveType<Native: Into<M::Value>> + fmt::Debug> ArgumentOf<M> for T {}

/// A state as a function. Each kind has results of one sort: [`Self::double`] for DOUBLE,
/// [`Self::whole`] for integers and decimals; the other is never asked for.
pub trait Evaluate: Moments {
    fn double(&self, _call: &Call) -> Option<f64> {
        None
    }

    /// An integer or an unscaled decimal; NULL if it does not fit.
    fn whole(&self, _call: &Call) -> Option<i128> {
        None
    }

    /// Equal for equal values only.
    fn key(x: Self::Value) -> i128;

    /// The inverse of [`Self::key`].
    fn of_key(key: i128) -> Self::Value;

    fn evaluate(&self, call: &Call) -> ScalarValue {
        match &call.output {
            DataType::Int64 => ScalarValue::Int64(self.whole(call).map(|x| x as i64)),
            DataType::UInt64 => ScalarValue::UInt64(self.whole(call).map(|x| x as u64)),
            DataType::Decimal128(p, s) => ScalarValue::Decimal128(self.whole(call), *p, *s),
            _ => ScalarValue::Float64(self.double(call)),
        }
    }

    fn evaluate_all(states: &[Self], call: &Call) -> ArrayRef {
        let whole = states.iter().map(|state| state.whole(call));
        match &call.output {
            DataType::Int64 => {
                Arc::new(whole.map(|x| x.map(|x| x as i64)).collect::<PrimitiveArray<Int64Type>>())
            }
            DataType::UInt64 => {
                Arc::new(whole.map(|x| x.map(|x| x as u64)).collect::<PrimitiveArray<UInt64Type>>())
            }
            DataType::Decimal128(..) => {
                let results = whole.collect::<PrimitiveArray<Decimal128Type>>();
                Arc::new(results.with_data_type(call.output.clone()))
            }
            _ => {
                let results = states.iter().map(|state| state.double(call));
                Arc::new(results.collect::<PrimitiveArray<Float64Type>>())
            }
        }
    }
}

impl Evaluate for FloatSums {
    fn double(&self, call: &Call) -> Option<f64> {
        if call.kind == AggregateKind::Sum { self.sum() } else { self.avg() }
    }

    fn key(x: f64) -> i128 {
        i128::from(ordered_bits(x))
    }

    fn of_key(key: i128) -> f64 {
        from_ordered_bits(key as i64)
    }
}

impl Evaluate for FloatMoments {
    fn double(&self, call: &Call) -> Option<f64> {
        match call.kind {
            AggregateKind::VarPop => self.var_pop(),
            AggregateKind::VarSamp => self.var_samp(),
            AggregateKind::StddevPop => self.stddev_pop(),
            AggregateKind::StddevSamp => self.stddev_samp(),
            AggregateKind::Sum => self.sum(),
            _ => self.avg(),
        }
    }

    fn key(x: f64) -> i128 {
        FloatSums::key(x)
    }

    fn of_key(key: i128) -> f64 {
        FloatSums::of_key(key)
    }
}

impl Evaluate for IntSums {
    fn double(&self, _call: &Call) -> Option<f64> {
        self.avg()
    }

    fn whole(&self, call: &Call) -> Option<i128> {
        match call.output {
            DataType::UInt64 => self.sum_u64().ok().flatten().map(i128::from),
            _ => self.sum_i64().ok().flatten().map(i128::from),
        }
    }

    fn key(x: i128) -> i128 {
        x
    }

    fn of_key(key: i128) -> i128 {
        key
    }
}

impl Evaluate for IntMoments {
    fn double(&self, call: &Call) -> Option<f64> {
        match call.kind {
            AggregateKind::VarPop => self.var_pop(),
            AggregateKind::VarSamp => self.var_samp(),
            AggregateKind::StddevPop => self.stddev_pop(),
            AggregateKind::StddevSamp => self.stddev_samp(),
            _ => self.avg(),
        }
    }

    fn key(x: i128) -> i128 {
        x
    }

    fn of_key(key: i128) -> i128 {
        key
    }
}

impl Evaluate for DecimalSums {
    fn whole(&self, call: &Call) -> Option<i128> {
        let (precision, scale) = digits(call);
        let result = match call.kind {
            AggregateKind::Sum => self.sum(precision, scale),
            _ => self.avg(precision, scale),
        };
        result.ok().flatten()
    }

    fn key(x: i128) -> i128 {
        x
    }

    fn of_key(key: i128) -> i128 {
        key
    }
}

impl Evaluate for DecimalMoments {
    fn double(&self, call: &Call) -> Option<f64> {
        let (_, scale) = digits(call);
        match call.kind {
            AggregateKind::VarPop => self.var_pop(scale),
            AggregateKind::VarSamp => self.var_samp(scale),
            AggregateKind::StddevPop => self.stddev_pop(scale),
            _ => self.stddev_samp(scale),
        }
    }

    fn key(x: i128) -> i128 {
        x
    }

    fn of_key(key: i128) -> i128 {
        key
    }
}

/// The precision and scale of a decimal argument.
fn digits(call: &Call) -> (u8, i8) {
    match call.input {
        DataType::Decimal128(precision, scale) => (precision, scale),
        _ => (38, 0),
    }
}
