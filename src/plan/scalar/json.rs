//! Values inside JSON text, found by a path of names (objects) and places from 0 (arrays). Where
//! the path ends early the result is NULL; text that is no JSON fails. Of equal names in one object
//! the first counts; what comes behind the value found is not read.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use jiter::{Jiter, Peek};

use super::failed;
use crate::error::Result;

/// Calls `found` at the value at the path of a row; `None` where there is none.
fn at<T>(
    args: &[ArrayRef],
    row: usize,
    found: impl Fn(&mut Jiter, Peek) -> jiter::JiterResult<Option<T>>,
) -> Result<Option<T>> {
    if args.iter().any(|array| array.is_null(row)) {
        return Ok(None);
    }
    let text = args[0].as_string::<i32>().value(row);
    let mut json = Jiter::new(text.as_bytes());
    let value = walk(&mut json, &args[1..], row)
        .and_then(|peek| peek.map_or(Ok(None), |peek| found(&mut json, peek)));
    value.map_err(|error| failed(format!("no JSON: {error}")))
}

fn walk(json: &mut Jiter, path: &[ArrayRef], row: usize) -> jiter::JiterResult<Option<Peek>> {
    let mut peek = json.peek()?;
    for step in path {
        let next = match step.data_type() {
            DataType::Int64 => element(json, peek, step.as_primitive::<Int64Type>().value(row))?,
            _ => field(json, peek, step.as_string::<i32>().value(row))?,
        };
        match next {
            Some(next) => peek = next,
            None => return Ok(None),
        }
    }
    Ok(Some(peek))
}

fn field(json: &mut Jiter, peek: Peek, name: &str) -> jiter::JiterResult<Option<Peek>> {
    if peek != Peek::Object {
        return json.known_skip(peek).map(|()| None);
    }
    let mut equal = json.known_object()?.map(|key| key == name);
    while let Some(here) = equal {
        if here {
            return json.peek().map(Some);
        }
        json.next_skip()?;
        equal = json.next_key()?.map(|key| key == name);
    }
    Ok(None)
}

fn element(json: &mut Jiter, peek: Peek, place: i64) -> jiter::JiterResult<Option<Peek>> {
    if peek != Peek::Array {
        return json.known_skip(peek).map(|()| None);
    }
    let mut next = json.known_array()?;
    let mut left = place;
    while let Some(peek) = next {
        if left == 0 {
            return Ok(Some(peek));
        }
        left -= 1;
        json.known_skip(peek)?;
        next = json.array_step()?;
    }
    Ok(None)
}

fn string(json: &mut Jiter, peek: Peek) -> jiter::JiterResult<Option<String>> {
    match peek {
        Peek::String => json.known_str().map(|text| Some(text.to_owned())),
        _ => Ok(None),
    }
}

fn raw(json: &mut Jiter, peek: Peek) -> jiter::JiterResult<Option<String>> {
    let start = json.current_index();
    json.known_skip(peek)?;
    Ok(Some(String::from_utf8_lossy(json.slice_to_current(start)).trim().to_owned()))
}

fn rows<T, A: FromIterator<Option<T>> + Array + 'static>(
    args: &[ArrayRef],
    found: impl Fn(&mut Jiter, Peek) -> jiter::JiterResult<Option<T>>,
) -> Result<ArrayRef> {
    let values = (0..args[0].len()).map(|row| at(args, row, &found));
    Ok(Arc::new(values.collect::<Result<A>>()?))
}

pub fn get(args: &[ArrayRef]) -> Result<ArrayRef> {
    rows::<String, StringArray>(args, |json, peek| match peek {
        Peek::String => string(json, peek),
        Peek::Null => json.known_null().map(|()| None),
        _ => raw(json, peek),
    })
}

pub fn get_str(args: &[ArrayRef]) -> Result<ArrayRef> {
    rows::<String, StringArray>(args, string)
}

pub fn get_json(args: &[ArrayRef]) -> Result<ArrayRef> {
    rows::<String, StringArray>(args, raw)
}

/// Numbers are read from their text, so no digit is lost on the way.
pub fn get_int(args: &[ArrayRef]) -> Result<ArrayRef> {
    rows::<i64, Int64Array>(args, |json, peek| match peek.is_num() {
        true => Ok(raw(json, peek)?.and_then(|text| text.parse().ok())),
        false => Ok(None),
    })
}

pub fn get_float(args: &[ArrayRef]) -> Result<ArrayRef> {
    rows::<f64, Float64Array>(args, |json, peek| match peek.is_num() {
        true => Ok(raw(json, peek)?.and_then(|text| text.parse().ok())),
        false => Ok(None),
    })
}

pub fn get_bool(args: &[ArrayRef]) -> Result<ArrayRef> {
    rows::<bool, BooleanArray>(args, |json, peek| match peek {
        Peek::True | Peek::False => json.known_bool(peek).map(Some),
        _ => Ok(None),
    })
}

pub fn contains(args: &[ArrayRef]) -> Result<ArrayRef> {
    let known = |row: usize| args.iter().all(|array| array.is_valid(row));
    let found = |row: usize| {
        let found = at(args, row, |_, _| Ok(Some(())))?;
        Ok(known(row).then_some(found.is_some()))
    };
    Ok(Arc::new((0..args[0].len()).map(found).collect::<Result<BooleanArray>>()?))
}

pub fn length(args: &[ArrayRef]) -> Result<ArrayRef> {
    rows::<i64, Int64Array>(args, |json, peek| {
        let mut count = 0;
        match peek {
            Peek::Array => {
                let mut next = json.known_array()?;
                while let Some(peek) = next {
                    count += 1;
                    json.known_skip(peek)?;
                    next = json.array_step()?;
                }
            }
            Peek::Object => {
                let mut more = json.known_object()?.is_some();
                while more {
                    count += 1;
                    json.next_skip()?;
                    more = json.next_key()?.is_some();
                }
            }
            _ => return Ok(None),
        }
        Ok(Some(count))
    })
}
