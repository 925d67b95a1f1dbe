//! One value into one column: the rules that JSON and CSV share. Decides by the column's type
//! what a number, a text, a boolean or NULL may become (`docs`: the verdict table of semantics).

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::limits::JSON_DEPTH_MAX;
use crate::model::key::canonical_f64;
use crate::model::time::{DAY_US, EventTime};

use super::column::{Bytes, Column, Values};
use super::number::{Number, scan_number};
use super::options::JsonOptions;
use super::rejection::{Fault, Problem};
use super::text::{Cursor, unescape};

/// The standard alphabet, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// 0001-01-01 and 10000-01-01: the years that a date or timestamp may have.
const YEARS_US: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// Reads the JSON value at the cursor into `column`. `depth` brackets are open around it;
/// `scratch` is working space. On a fault the column may hold half a row: truncate it.
#[inline]
pub(crate) fn read_json(
    cursor: &mut Cursor<'_>,
    column: &mut Column,
    rules: &JsonOptions,
    depth: usize,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    match cursor.peek() {
        Some(b'"') => {
            cursor.at += 1;
            let quoted = cursor.string()?;
            if !quoted.escaped {
                return Ok(push_string(column, quoted.raw, rules)?);
            }
            scratch.clear();
            unescape(quoted.raw, scratch);
            Ok(push_string(column, scratch, rules)?)
        }
        Some(b't') => {
            cursor.literal("true")?;
            Ok(push_boolean(column, true, rules)?)
        }
        Some(b'f') => {
            cursor.literal("false")?;
            Ok(push_boolean(column, false, rules)?)
        }
        Some(b'n') => {
            cursor.literal("null")?;
            Ok(column.accept_null()?)
        }
        Some(b'[') if matches!(column.values, Values::List(..)) => {
            read_list(cursor, column, rules, depth + 1, scratch)
        }
        Some(b'[' | b'{') => {
            cursor.skip(depth)?;
            Err(Fault::Value(Problem::Type))
        }
        _ => {
            let number = cursor.number()?;
            Ok(push_number(column, &number, rules)?)
        }
    }
}

fn read_list(
    cursor: &mut Cursor<'_>,
    column: &mut Column,
    rules: &JsonOptions,
    depth: usize,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    let Values::List(offsets, child) = &mut column.values else {
        return Err(Fault::Value(Problem::Type));
    };
    if depth > JSON_DEPTH_MAX {
        return Err(Fault::Syntax(cursor.at, "nesting deeper than 64"));
    }
    cursor.at += 1;
    cursor.skip_space();
    if cursor.peek() == Some(b']') {
        cursor.at += 1;
    } else {
        loop {
            cursor.skip_space();
            read_json(cursor, child, rules, depth, scratch)?;
            cursor.skip_space();
            match cursor.peek() {
                Some(b',') => cursor.at += 1,
                Some(b']') => break cursor.at += 1,
                _ => return Err(Fault::Syntax(cursor.at, "expected ',' or ']'")),
            }
        }
    }
    offsets.push(child.len() as i32);
    column.mark_valid();
    Ok(())
}

/// A field of a CSV record: no field and no text without quotes is NULL.
pub(crate) fn read_csv(
    field: &[u8],
    quoted: bool,
    column: &mut Column,
    rules: &JsonOptions,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    if field.is_empty() && !quoted {
        return Ok(column.accept_null()?);
    }
    match column.values {
        Values::Text(_) | Values::Binary(_) | Values::Date(_) => {
            Ok(push_string(column, field, rules)?)
        }
        Values::Timestamp(_) if rules.timestamp.scale().is_none() => {
            Ok(push_string(column, field, rules)?)
        }
        Values::List(..) => {
            let mut cursor = Cursor { bytes: field, at: 0 };
            cursor.skip_space();
            read_json(&mut cursor, column, rules, 0, scratch)?;
            cursor.skip_space();
            match cursor.peek() {
                None => Ok(()),
                Some(_) => Err(Fault::Value(Problem::Type)),
            }
        }
        _ => Ok(push_loose(column, field, rules)?),
    }
}

#[inline]
fn push_number(column: &mut Column, n: &Number<'_>, rules: &JsonOptions) -> Result<(), Problem> {
    macro_rules! integer {
        ($v:expr) => {
            $v.push(n.integer()?.try_into().map_err(|_| Problem::Overflow)?)
        };
    }
    match &mut column.values {
        Values::Int8(v) => integer!(v),
        Values::Int16(v) => integer!(v),
        Values::Int32(v) => integer!(v),
        Values::Int64(v) => integer!(v),
        Values::UInt8(v) => integer!(v),
        Values::UInt16(v) => integer!(v),
        Values::UInt32(v) => integer!(v),
        Values::UInt64(v) => integer!(v),
        Values::Float32(v) => {
            let x = n.single();
            finite(f64::from(x), rules)?;
            v.push(if x == 0.0 { 0.0 } else { x });
        }
        Values::Float64(v) => v.push(canonical_f64(finite(n.double(), rules)?)),
        Values::Decimal(v, precision, scale) => {
            let value = n.scaled(i32::from(*scale))?;
            if value.unsigned_abs() >= 10u128.pow(u32::from(*precision)) {
                return Err(Problem::Overflow);
            }
            v.push(value);
        }
        Values::Timestamp(v) => {
            let scale = rules.timestamp.scale().ok_or(Problem::Timestamp)?;
            let micros = n.floored(scale).map_err(|_| Problem::Range)?;
            v.push(in_years(micros.try_into().map_err(|_| Problem::Range)?)?);
        }
        Values::Text(v) if rules.coerce => v.push(n.text),
        _ => return Err(Problem::Type),
    }
    column.mark_valid();
    Ok(())
}

fn finite(x: f64, rules: &JsonOptions) -> Result<f64, Problem> {
    if x.is_finite() || rules.nonfinite { Ok(x) } else { Err(Problem::NonFinite) }
}

fn in_years(micros: i64) -> Result<i64, Problem> {
    if YEARS_US.contains(&micros) { Ok(micros) } else { Err(Problem::Range) }
}

fn push_boolean(column: &mut Column, value: bool, rules: &JsonOptions) -> Result<(), Problem> {
    match &mut column.values {
        Values::Boolean(v) => v.push(value),
        Values::Text(v) if rules.coerce => v.push(if value { b"true" } else { b"false" }),
        _ => return Err(Problem::Type),
    }
    column.mark_valid();
    Ok(())
}

/// The content of a JSON string, or of a CSV field of a textual type.
#[inline]
fn push_string(column: &mut Column, text: &[u8], rules: &JsonOptions) -> Result<(), Problem> {
    match &mut column.values {
        Values::Text(v) => v.push(text),
        Values::Timestamp(v) if rules.timestamp.scale().is_none() => v.push(timestamp(text)?),
        Values::Date(v) => {
            let micros = if text.len() == 10 { timestamp(text).ok() } else { None };
            let days = micros.ok_or(Problem::Date)?.div_euclid(DAY_US);
            v.push(i32::try_from(days).map_err(|_| Problem::Range)?);
        }
        Values::Binary(v) => return push_base64(v, text).map(|()| column.mark_valid()),
        Values::Float32(_) | Values::Float64(_) => return push_word(column, text, rules),
        _ if rules.coerce => return push_loose(column, text, rules),
        _ => return Err(Problem::Type),
    }
    column.mark_valid();
    Ok(())
}

fn timestamp(text: &[u8]) -> Result<i64, Problem> {
    let text = std::str::from_utf8(text).map_err(|_| Problem::Timestamp)?;
    in_years(EventTime::parse(text).ok_or(Problem::Timestamp)?.0)
}

fn push_base64(bytes: &mut Bytes, text: &[u8]) -> Result<(), Problem> {
    BASE64.decode_vec(text, &mut bytes.data).map_err(|_| Problem::Base64)?;
    bytes.close();
    Ok(())
}

/// A text in a float column: `NaN` and the infinities under `json.nonfinite`, digits under
/// `json.coerce`.
fn push_word(column: &mut Column, text: &[u8], rules: &JsonOptions) -> Result<(), Problem> {
    let Some(x) = nonfinite_word(text) else {
        return if rules.coerce { push_loose(column, text, rules) } else { Err(Problem::Type) };
    };
    match &mut column.values {
        _ if !rules.nonfinite => return Err(Problem::NonFinite),
        Values::Float32(v) => v.push(x as f32),
        Values::Float64(v) => v.push(x),
        _ => return Err(Problem::Type),
    }
    column.mark_valid();
    Ok(())
}

fn nonfinite_word(text: &[u8]) -> Option<f64> {
    let (negative, word) = match text {
        [b'-', word @ ..] => (true, word),
        [b'+', word @ ..] => (false, word),
        word => (false, word),
    };
    if text.eq_ignore_ascii_case(b"nan") {
        Some(f64::NAN)
    } else if word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"infinity") {
        Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY })
    } else {
        None
    }
}

/// A boolean or a number that is written as a text.
fn push_loose(column: &mut Column, text: &[u8], rules: &JsonOptions) -> Result<(), Problem> {
    if let Values::Boolean(_) = column.values {
        return match text {
            b"true" => push_boolean(column, true, rules),
            b"false" => push_boolean(column, false, rules),
            _ => Err(Problem::Type),
        };
    }
    match scan_number(text) {
        Some(number) if number.text.len() == text.len() => push_number(column, &number, rules),
        _ if matches!(column.values, Values::Float32(_) | Values::Float64(_)) => {
            match nonfinite_word(text) {
                Some(_) => push_word(column, text, rules),
                None => Err(Problem::Type),
            }
        }
        _ => Err(Problem::Type),
    }
}
