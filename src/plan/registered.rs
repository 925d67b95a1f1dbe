//! Functions that a program brings along: scalar functions of DataFusion, aggregates that are such
//! a function over the lists of a frame's rows, and aggregates that are kept incrementally
//! (`aggregate::own`). Registered once per process, through `api`; planning and ad-hoc SQL see them
//! from then on.
//!
//! # Contract
//! A function depends on its arguments only: the same rows give the same bits, alone or in a batch,
//! in any order of rows and any number of times. [`check`] tries that on values of the caller's
//! choice. An aggregate sees all rows of a frame that count, in the total order, as ARRAY_AGG gives
//! them (NULL for an empty frame): the engine adds rows and takes them back, so an aggregate needs
//! no laws of its own. It is evaluated anew for every result; its cost is that of the frame. An
//! aggregate whose frames are large is better kept incrementally, see [`register_incremental`].

use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::Field;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, Volatility,
};

use super::{call, scalar, session, spelling};
use crate::aggregate::own::{Aggregate, Own};
use crate::error::{Error, Result};

#[derive(Debug, Default)]
struct Registered {
    functions: Vec<Arc<ScalarUDF>>,
    /// Aggregates, each with the name of the function over lists behind it.
    aggregates: Vec<(String, String)>,
    /// Aggregates that are kept incrementally.
    own: Vec<Own>,
}

static REGISTERED: RwLock<Registered> =
    RwLock::new(Registered { functions: Vec::new(), aggregates: Vec::new(), own: Vec::new() });

/// The registered functions.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    REGISTERED.read().unwrap_or_else(PoisonError::into_inner).functions.clone()
}

/// The function over lists behind an aggregate of this name (lower case).
pub fn aggregate(name: &str) -> Option<String> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    let known = registered.aggregates.iter().find(|(other, _)| other == name);
    known.map(|(_, behind)| behind.clone())
}

/// The aggregates that are kept incrementally.
pub fn own_aggregates() -> Vec<Own> {
    REGISTERED.read().unwrap_or_else(PoisonError::into_inner).own.clone()
}

/// The one of them of this name (lower case).
pub fn own(name: &str) -> Option<Own> {
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    registered.own.iter().find(|own| own.0.name() == name).cloned()
}

/// Makes an aggregate known under its own name that is kept incrementally; its laws are in
/// [`crate::aggregate::own`].
///
/// # Errors
/// As [`register_function`].
pub fn register_incremental(aggregate: impl Aggregate + 'static) -> Result<()> {
    check_name(aggregate.name())?;
    let own = Own(Arc::new(aggregate));
    REGISTERED.write().unwrap_or_else(PoisonError::into_inner).own.push(own);
    Ok(())
}

/// Makes a scalar function known under its own name.
///
/// # Errors
/// `Usage` if it may give other values for the same arguments, or its name is taken or not lower
/// case.
pub fn register_function(function: ScalarUDF) -> Result<()> {
    let name = function.name().to_owned();
    check_new(&name, &function)?;
    add(function, None);
    Ok(())
}

/// Makes an aggregate known: `name(x, …)` is `function`, which has a name of its own, over one list
/// for each argument.
///
/// # Errors
/// As [`register_function`].
pub fn register_aggregate(name: &str, function: ScalarUDF) -> Result<()> {
    let behind = function.name().to_owned();
    check_new(name, &function)?;
    check_new(&behind, &function)?;
    if name == behind {
        return Err(Error::usage(format!("aggregate {name} and its function have one name"))
            .with_hint(format!("call the function {name}_of")));
    }
    add(function, Some((name.to_owned(), behind)));
    Ok(())
}

fn add(function: ScalarUDF, aggregate: Option<(String, String)>) {
    {
        let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
        registered.functions.push(Arc::new(function));
        registered.aggregates.extend(aggregate);
    }
    session::refresh();
}

fn check_new(name: &str, function: &ScalarUDF) -> Result<()> {
    if function.signature().volatility != Volatility::Immutable {
        return Err(Error::usage(format!("function {name} is not Volatility::Immutable"))
            .with_hint("a replay must give the same values: a function depends on its arguments"));
    }
    check_name(name)
}

/// Refuses names that are taken or that SQL would have to quote.
fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Error::usage(format!("a function called {name}"))
            .with_hint("lower-case letters, digits and _"));
    }
    let state = session::functions();
    let taken = state.scalar_functions().contains_key(name)
        || state.aggregate_functions().contains_key(name)
        || state.window_functions().contains_key(name)
        || scalar::FUNCTIONS.iter().any(|function| function.name == name)
        || call::kind_of(name).is_some()
        || spelling::names().any(|known| known == name)
        || aggregate(name).is_some()
        || own(name).is_some();
    match taken {
        true => Err(Error::usage(format!("there is a function called {name}"))
            .with_hint("take another name; a function that changes its meaning needs one too")),
        false => Ok(()),
    }
}

/// Tries the contract of a function on rows of arguments: all at once, twice, one by one, in other
/// batches and backwards.
///
/// # Errors
/// `Usage` with the row at which two ways of calling it differ; what the function itself says if
/// it fails on all of them.
pub fn check(function: &ScalarUDF, args: &[ArrayRef]) -> Result<()> {
    let rows = args.first().map_or(0, |array| array.len());
    let whole = evaluate(function, args, rows)?;
    let differs = |row: usize, how: &str| {
        Error::usage(format!(
            "function {} gives another value for row {row} when it is called {how}",
            function.name()
        ))
        .with_hint("a function depends on its arguments only")
    };
    let same = |a: &ArrayRef, at: usize, b: &ArrayRef, to: usize| {
        a.slice(at, 1).to_data() == b.slice(to, 1).to_data()
    };
    let again = evaluate(function, args, rows)?;
    if let Some(row) = (0..rows).find(|row| !same(&whole, *row, &again, *row)) {
        return Err(differs(row, "again"));
    }
    for length in [1, 2, 3, 7, 64] {
        for start in (0..rows).step_by(length) {
            let length = length.min(rows - start);
            let part: Vec<ArrayRef> = args.iter().map(|array| array.slice(start, length)).collect();
            let part = evaluate(function, &part, length)?;
            if let Some(row) = (0..length).find(|row| !same(&whole, start + row, &part, *row)) {
                return Err(differs(start + row, &format!("on {length} rows")));
            }
        }
    }
    let order = UInt32Array::from_iter_values((0..rows as u32).rev());
    let backwards = args.iter().map(|array| Ok(take(array, &order, None)?));
    let backwards = evaluate(function, &backwards.collect::<Result<Vec<_>>>()?, rows)?;
    match (0..rows).find(|row| !same(&whole, *row, &backwards, rows - 1 - row)) {
        Some(row) => Err(differs(row, "on rows in another order")),
        None => Ok(()),
    }
}

fn evaluate(function: &ScalarUDF, args: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let field =
        |array: &ArrayRef| Arc::new(Field::new("argument", array.data_type().clone(), true));
    let arg_fields: Vec<_> = args.iter().map(field).collect();
    let none = vec![None; args.len()];
    let given = ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &none };
    let return_field = function.return_field_from_args(given)?;
    let value = function.invoke_with_args(ScalarFunctionArgs {
        args: args.iter().cloned().map(ColumnarValue::Array).collect(),
        arg_fields,
        number_rows: rows,
        return_field,
        config_options: Arc::new(ConfigOptions::new()),
    })?;
    Ok(value.into_array(rows)?)
}

#[cfg(test)]
mod tests;
