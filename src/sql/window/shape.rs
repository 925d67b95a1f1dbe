//! The lengths of a group window, read from its arguments and checked. Called by `sql::window`.

use sqlparser::ast::{Expr, Spanned as _, Value};

use super::WindowKind;
use crate::error::{Error, Result};
use crate::limits::{HOP_PANES_MAX, ROWS_FRAME_MAX};
use crate::model::time::DAY_US;
use crate::sql::interval::{interval_months, interval_us};
use crate::sql::token::At;

/// A unit of the calendar; its length varies with the month and with summer time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarUnit {
    Day,
    Month,
}

/// Which windows there are; all lengths in µs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowShape {
    /// `[offset + k slide, offset + k slide + size)`: TUMBLE and HOP. `offset` in `0..slide`.
    Grid { slide_us: i64, size_us: i64, offset_us: i64 },
    /// From every multiple of `size` (a multiple of `step`) to each step after it. `offset` in
    /// `0..size`.
    Cumulate { step_us: i64, size_us: i64, offset_us: i64 },
    /// Days or months of a place, `count` at a time, counted from January 1970.
    Calendar { unit: CalendarUnit, count: i64, zone: String },
    /// Events closer than `gap` to each other.
    Session { gap_us: i64 },
    /// So many rows of a key in the total order.
    Count { rows: u64 },
}

/// The checked shape.
pub(super) fn shape(
    kind: WindowKind,
    slide: Option<&Expr>,
    size: &Expr,
    offset: Option<&Expr>,
) -> Result<WindowShape> {
    if kind == WindowKind::Tumble
        && let Some(shape) = calendar_shape(size, offset)?
    {
        return Ok(shape);
    }
    if kind == WindowKind::Session {
        let gap_us = match interval_us(size).map_err(|error| error.at(size.span()))? {
            us if us > 0 => us,
            _ => {
                return Err(
                    Error::usage("the gap of a session must be longer than zero").at(size.span())
                );
            }
        };
        return Ok(WindowShape::Session { gap_us });
    }
    if kind == WindowKind::Count {
        return count(size).map(|rows| WindowShape::Count { rows });
    }
    let (size_us, slide_us, offset_us) = extent(slide, size, offset)?;
    if kind == WindowKind::Cumulate {
        if size_us % slide_us != 0 {
            return Err(Error::usage("the size of CUMULATE is not a multiple of its step")
                .at(size.span())
                .with_hint("CUMULATE takes the step first, then the greatest size"));
        }
        let offset_us = offset.map_or(Ok(0), interval_us)?.rem_euclid(size_us);
        return Ok(WindowShape::Cumulate { step_us: slide_us, size_us, offset_us });
    }
    Ok(WindowShape::Grid { slide_us, size_us, offset_us })
}

/// A whole number of rows.
fn count(size: &Expr) -> Result<u64> {
    match size.to_string().parse::<u64>() {
        Ok(rows) if (1..=ROWS_FRAME_MAX).contains(&rows) => Ok(rows),
        Ok(rows) => Err(Error::usage(format!(
            "a window of {rows} rows: 1 to {ROWS_FRAME_MAX} rows are possible"
        ))
        .at(size.span())),
        Err(_) => Err(Error::usage(format!("{size}: expected a number of rows")).at(size.span())),
    }
}

/// Months, and days of a time zone; `None` for lengths that never vary.
fn calendar_shape(size: &Expr, zone: Option<&Expr>) -> Result<Option<WindowShape>> {
    let zone_name = match zone {
        Some(Expr::Value(value)) => match &value.value {
            Value::SingleQuotedString(name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    };
    if let Some(name) = &zone_name
        && name.parse::<chrono_tz::Tz>().is_err()
    {
        let near = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let error = Error::usage(format!("no such time zone: {name}"));
        return Err(match crate::sql::diagnostic::closest(name, near) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => error.with_hint("for example 'Europe/Paris'"),
        }
        .at(size.span()));
    }
    let months = interval_months(size);
    let (unit, count) = match (months, &zone_name) {
        (Some(count), _) => (CalendarUnit::Month, count),
        (None, None) => return Ok(None),
        (None, Some(_)) => match interval_us(size).map_err(|error| error.at(size.span()))? {
            us if us % DAY_US == 0 => (CalendarUnit::Day, us / DAY_US),
            _ => {
                return Err(Error::not_supported("a time zone for windows that are no whole days")
                    .with_hint("leave the zone out; an offset moves windows")
                    .at(size.span()));
            }
        },
    };
    if !(1..=12_000).contains(&count) {
        return Err(Error::usage(
            "the size of a window must be between 1 and 12000 days or months",
        )
        .at(size.span()));
    }
    if let (Some(zone), None) = (zone, &zone_name) {
        return Err(Error::not_supported("an offset for windows of months")
            .with_hint("the last argument is a time zone, for example 'Europe/Paris'")
            .at(zone.span()));
    }
    let zone = zone_name.unwrap_or_else(|| "UTC".to_owned());
    Ok(Some(WindowShape::Calendar { unit, count, zone }))
}

/// The checked (size, slide, offset), µs.
fn extent(slide: Option<&Expr>, size: &Expr, offset: Option<&Expr>) -> Result<(i64, i64, i64)> {
    let constant = |expr: &Expr| interval_us(expr).map_err(|error| error.at(expr.span()));
    let positive = |expr: &Expr, what: &str| match constant(expr)? {
        us if us > 0 => Ok(us),
        _ => Err(Error::usage(format!("the {what} of a window must be longer than zero"))
            .at(expr.span())),
    };
    let size_us = positive(size, "size")?;
    let slide_us = slide.map_or(Ok(size_us), |slide| positive(slide, "slide"))?;
    // size / slide <= max, without the rounding of the division.
    if i128::from(size_us) > i128::from(slide_us) * i128::from(HOP_PANES_MAX) {
        return Err(Error::usage(format!("a window may hold at most {HOP_PANES_MAX} slides"))
            .at(size.span())
            .with_hint("HOP takes the slide first, then the size"));
    }
    let offset_us = offset.map_or(Ok(0), constant)?.rem_euclid(slide_us);
    Ok((size_us, slide_us, offset_us))
}
