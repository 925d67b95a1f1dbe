//! Constant intervals: `INTERVAL '10 minutes'`, `INTERVAL '1' HOUR`. Called by whoever reads a
//! window or a frame from a query.

use sqlparser::ast::{DateTimeField, Expr, Interval, UnaryOperator, Value};

use crate::error::{Error, Result};
use crate::model::time::{DAY_US, SECOND_US, parse_duration};
use crate::sql::diagnostic::quoted;

/// The months of an interval of whole months or years; `None` for any other.
pub fn interval_months(expr: &Expr) -> Option<i64> {
    let Expr::Interval(interval) = expr else { return None };
    let text = match interval.value.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.trim().to_ascii_lowercase(),
            Value::Number(number, _) => number.clone(),
            _ => return None,
        },
        _ => return None,
    };
    let (number, unit) = match &interval.leading_field {
        Some(field) => (text, field.to_string().to_ascii_lowercase()),
        None => {
            let (number, unit) = text.split_once(char::is_whitespace)?;
            (number.to_owned(), unit.trim().to_owned())
        }
    };
    let number: i64 = number.parse().ok()?;
    number.checked_mul(match calendar_word(&unit)? {
        "months" => 1,
        "quarters" => 3,
        _ => 12,
    })
}

/// `INTERVAL 'n' MONTH`.
pub fn months(count: i64) -> Expr {
    of(count, DateTimeField::Month)
}

/// The µs of a constant interval: `INTERVAL '1' MINUTE`, `INTERVAL '10 minutes'`, `-INTERVAL …`.
/// Months and years have no fixed length and are refused.
pub fn interval_us(expr: &Expr) -> Result<i64> {
    match expr {
        Expr::Interval(interval) => constant_interval(interval),
        Expr::Nested(inner) => interval_us(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => interval_us(expr).map(|us| -us),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => interval_us(expr),
        other => Err(Error::usage(format!("expected a constant interval, found {other}"))
            .with_hint("for example INTERVAL '10 minutes'")),
    }
}

fn constant_interval(interval: &Interval) -> Result<i64> {
    let text = match interval.value.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.trim().to_owned(),
            Value::Number(number, _) => number.clone(),
            other => return Err(bad_interval(&other.to_string())),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => format!("-{expr}"),
        other => return Err(bad_interval(&other.to_string())),
    };
    if interval.last_field.is_some() {
        return Err(Error::not_supported("an interval of several fields (… TO …)")
            .with_hint("write it in one unit, for example INTERVAL '90' MINUTE"));
    }
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let us = match &interval.leading_field {
        None => {
            if let Some(unit) = calendar_word(magnitude) {
                return Err(calendar(unit));
            }
            parse_duration(magnitude).ok_or_else(|| bad_interval(&text))?
        }
        Some(field) => {
            let unit = field_unit(field)?;
            parse_duration(&format!("{magnitude} {unit}")).ok_or_else(|| bad_interval(&text))?
        }
    };
    Ok(if negative { -us } else { us })
}

fn bad_interval(text: &str) -> Error {
    Error::usage(format!("{} is no interval", quoted(text.trim_matches('\''))))
        .with_hint("for example INTERVAL '10 minutes' or INTERVAL '1' HOUR; down to microseconds")
}

fn calendar(unit: &str) -> Error {
    Error::not_supported(format!("an interval in {unit}: they have no fixed length"))
        .with_hint("use days or weeks")
}

fn calendar_word(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphabetic());
    words.find_map(|word| match word {
        "month" | "months" | "mon" | "mons" => Some("months"),
        "year" | "years" | "y" | "yr" | "yrs" => Some("years"),
        "quarter" | "quarters" => Some("quarters"),
        _ => None,
    })
}

fn field_unit(field: &DateTimeField) -> Result<&'static str> {
    use DateTimeField as F;
    Ok(match field {
        F::Microsecond | F::Microseconds => "us",
        F::Millisecond | F::Milliseconds => "ms",
        F::Second | F::Seconds => "s",
        F::Minute | F::Minutes => "min",
        F::Hour | F::Hours => "h",
        F::Day | F::Days => "d",
        F::Week(None) | F::Weeks => "w",
        F::Month | F::Months => return Err(calendar("months")),
        F::Year | F::Years => return Err(calendar("years")),
        F::Quarter => return Err(calendar("quarters")),
        other => return Err(bad_interval(&other.to_string())),
    })
}

/// A constant interval in its largest whole unit, equal for equal lengths.
pub fn interval(us: i64) -> Expr {
    let units = [
        (DAY_US, DateTimeField::Day),
        (3_600 * SECOND_US, DateTimeField::Hour),
        (60 * SECOND_US, DateTimeField::Minute),
        (SECOND_US, DateTimeField::Second),
        (1_000, DateTimeField::Millisecond),
    ];
    let (count, field) = units
        .into_iter()
        .find(|(unit, _)| us % unit == 0)
        .map_or((us, DateTimeField::Microsecond), |(unit, field)| (us / unit, field));
    of(count, field)
}

fn of(count: i64, field: DateTimeField) -> Expr {
    Expr::Interval(Interval {
        value: Box::new(Expr::Value(Value::SingleQuotedString(count.to_string()).into())),
        leading_field: Some(field),
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })
}
