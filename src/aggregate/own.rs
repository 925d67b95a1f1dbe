//! Aggregates that a program brings along and that are kept incrementally: what a frame holds is
//! a state that rows enter and leave. Registered through `api`; planned as [`AggregateKind::Own`],
//! run by `slot::own` in features and by `udaf::own` in ad-hoc SQL. For an aggregate that is easier
//! written over all rows at once see `plan::registered`.
//!
//! # Laws
//! For all rows, where two states are the same if their values and their saved bytes are:
//! - *bag*: rows may enter in any order;
//! - *retract*: rows that entered and left have left no trace;
//! - *types*: values are of the type that the aggregate says, and within its range;
//! - *merge*: merging what another saved is the same as its rows entering;
//! - *deterministic*: nothing but the rows matters.
//!
//! [`check`] tries them. Where one does not hold, results depend on the order of arrival, on
//! restarts and on whether a value was computed by the stream or over history. Sums of floats do
//! not hold *retract*: keep them as integers or fractions.
//!
//! [`AggregateKind::Own`]: super::kind::AggregateKind::Own

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use super::datum::Datum;
use super::slot::Physical;
use super::udaf::rows_of;
use crate::error::{Error, Result};
use crate::sql::types::type_name;

/// An aggregate: its name, its type, and where its states begin.
pub trait Aggregate: fmt::Debug + Send + Sync {
    /// In lower case. A function that changes its meaning takes another name.
    fn name(&self) -> &str;

    /// The type of the result over arguments of these types.
    ///
    /// # Errors
    /// `Usage` for a number or types of arguments that it does not take.
    fn result(&self, arguments: &[DataType]) -> Result<DataType>;

    /// The state without rows, for arguments that [`Self::result`] takes.
    fn accumulator(&self, arguments: &[DataType]) -> Box<dyn Accumulator>;
}

/// What an aggregate keeps of the rows of one frame or window.
pub trait Accumulator: fmt::Debug + Send + Sync {
    /// A row enters: one value per argument, NULLs included.
    fn add(&mut self, row: &[Datum]);

    /// A row leaves that has entered before.
    fn retract(&mut self, row: &[Datum]);

    /// The rows of another state enter, of which these are the saved bytes.
    ///
    /// # Errors
    /// `Data` for bytes that [`Self::save`] has not written.
    fn merge(&mut self, saved: &[u8]) -> Result<()>;

    /// Appends bytes that depend on the rows held only. They are part of checkpoints: a change of
    /// their meaning needs another name for the aggregate.
    fn save(&self, out: &mut Vec<u8>);

    /// The result; NULL or a value of the type that [`Aggregate::result`] says.
    fn value(&self) -> Datum;

    /// Estimate of the bytes held beside the state itself.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// An aggregate as plans hold it: two of one name are one.
#[derive(Clone, Debug)]
pub struct Own(pub Arc<dyn Aggregate>);

impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl Eq for Own {}

impl Hash for Own {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name().hash(state);
    }
}

/// A state by its value and bytes.
fn seen(state: &dyn Accumulator) -> (Datum, Vec<u8>) {
    (state.value(), saved(state))
}

/// The bytes of a state.
pub(super) fn saved(state: &dyn Accumulator) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.save(&mut bytes);
    bytes
}

/// A value as a column of this type can hold it; `None` for one that it cannot.
pub(super) fn fitting(value: Datum, output: &DataType) -> Option<Datum> {
    let least_most = match output {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 | DataType::Date32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::Boolean => (0, 1),
        _ => (i128::MIN, i128::MAX),
    };
    let in_range = value.as_i128().is_none_or(|x| least_most.0 <= x && x <= least_most.1);
    let right = match (&value, Physical::of(output)) {
        (Datum::Null, _) => true,
        (Datum::Bytes(bytes), Physical::Bytes) => {
            *output == DataType::Binary || std::str::from_utf8(bytes).is_ok()
        }
        (Datum::Int(_), Physical::Int)
        | (Datum::UInt(_), Physical::UInt)
        | (Datum::Float(_), Physical::Float)
        | (Datum::Wide(..), Physical::Wide) => in_range,
        _ => false,
    };
    right.then_some(value)
}

/// Tries the laws on rows of arguments of the caller's choice, every way of cutting them in two.
///
/// # Errors
/// `Usage` with the law that does not hold and the rows it does not hold for; what the aggregate
/// says of the types.
pub fn check(aggregate: &dyn Aggregate, arguments: &[ArrayRef]) -> Result<()> {
    let types: Vec<DataType> = arguments.iter().map(|a| a.data_type().clone()).collect();
    let output = aggregate.result(&types)?;
    let rows = rows_of(arguments)?;
    let name = aggregate.name();
    let broken = |law: &str, which: String| {
        Err(Error::usage(format!("aggregate {name} does not keep the law of {law}: {which}"))
            .with_hint("results would depend on the order of arrival and on restarts"))
    };
    let of = |rows: &mut dyn Iterator<Item = &Vec<Datum>>| {
        let mut state = aggregate.accumulator(&types);
        rows.for_each(|row| state.add(row));
        state
    };
    let all = seen(of(&mut rows.iter()).as_ref());
    if fitting(all.0.clone(), &output).is_none() {
        return broken("types", format!("{:?} is no {}", all.0, type_name(&output)));
    }
    if seen(of(&mut rows.iter()).as_ref()) != all {
        return broken("determinism", "the same rows give two states".to_owned());
    }
    if seen(of(&mut rows.iter().rev()).as_ref()) != all {
        return broken("bags", "rows that enter backwards give another state".to_owned());
    }
    for cut in 0..=rows.len() {
        let (first, rest) = rows.split_at(cut);
        if seen(of(&mut rest.iter().chain(first)).as_ref()) != all {
            return broken("bags", format!("rows before row {cut} that enter last matter"));
        }
        let mut merged = of(&mut first.iter());
        merged.merge(&saved(of(&mut rest.iter()).as_ref()))?;
        if seen(merged.as_ref()) != all {
            return broken("merging", format!("the rows before row {cut} and the others"));
        }
        let mut left = of(&mut rows.iter());
        first.iter().for_each(|row| left.retract(row));
        if seen(left.as_ref()) != seen(of(&mut rest.iter()).as_ref()) {
            return broken("retracting", format!("the rows before row {cut} have left a trace"));
        }
    }
    Ok(())
}

#[cfg(test)]
pub mod tests;
