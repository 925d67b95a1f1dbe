//! Frames as DataFusion has them → frames of the plan. Part of `lower`.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{WindowFrame, WindowFrameBound, WindowFrameUnits};

use crate::error::{Error, Result};
use crate::model::time::DAY_US;
use crate::plan::dataflow::{Exclude, FrameExtent};

/// What a frame leaves out, and how many rows it holds at most, in a whole number: `bind` writes
/// it as the months of the interval that ends the frame, which no frame has otherwise.
pub fn frame_code(exclude: Exclude, rows_max: Option<u64>) -> u64 {
    let exclude = match exclude {
        Exclude::NoOthers => 0,
        Exclude::CurrentRow => 1,
        Exclude::Ties => 2,
    };
    exclude + 3 * rows_max.unwrap_or(0)
}

fn frame_of_code(code: u64) -> (Exclude, Option<u64>) {
    let exclude = [Exclude::NoOthers, Exclude::CurrentRow, Exclude::Ties][(code % 3) as usize];
    (exclude, Some(code / 3).filter(|rows| *rows > 0))
}

pub fn extent(frame: &WindowFrame) -> Result<(FrameExtent, Exclude, Option<u64>)> {
    let (mut exclude, mut rows_max) = (Exclude::NoOthers, None);
    let (mut until_us, mut until_rows) = (0, 0);
    match &frame.end_bound {
        WindowFrameBound::CurrentRow => {}
        WindowFrameBound::Preceding(value) if frame.units == WindowFrameUnits::Rows => {
            until_rows = rows(value)?;
        }
        WindowFrameBound::Preceding(value) => {
            let (months, us) = interval(value)?;
            (exclude, rows_max) = frame_of_code(months.unsigned_abs().into());
            until_us = us;
        }
        WindowFrameBound::Following(_) => {
            return Err(Error::not_supported("a frame that looks ahead"));
        }
    }
    let preceding = match &frame.start_bound {
        WindowFrameBound::Preceding(value) => Some(value),
        WindowFrameBound::CurrentRow => None,
        WindowFrameBound::Following(_) => {
            return Err(Error::not_supported("a frame that looks ahead"));
        }
    };
    let extent = match frame.units {
        WindowFrameUnits::Range => FrameExtent::Range {
            preceding_us: match preceding {
                None => Some(0),
                Some(value) if value.is_null() => None,
                Some(value) => Some(interval_us(value)?),
            },
            until_us,
        },
        WindowFrameUnits::Rows => FrameExtent::Rows {
            preceding: match preceding {
                None => Some(0),
                Some(value) if value.is_null() => None,
                Some(value) => Some(rows(value)?),
            },
            until: until_rows,
        },
        WindowFrameUnits::Groups => return Err(Error::not_yet("GROUPS frames")),
    };
    Ok((extent, exclude, rows_max))
}

fn rows(value: &ScalarValue) -> Result<u64> {
    match value {
        ScalarValue::UInt64(Some(rows)) => Ok(*rows),
        other => Err(Error::usage(format!("{other} PRECEDING is no number of rows"))),
    }
}

/// A constant interval in µs; months have no fixed length.
fn interval_us(value: &ScalarValue) -> Result<i64> {
    match interval(value)? {
        (0, us) => Ok(us),
        _ => Err(Error::not_supported("a frame of months or years: they have no fixed length")
            .with_hint("use days, for example INTERVAL '30' DAY")),
    }
}

/// The months and µs of a constant interval.
fn interval(value: &ScalarValue) -> Result<(i32, i64)> {
    let wrong = || Error::usage(format!("{value} PRECEDING is no interval"));
    let (months, days, nanos) = match value {
        ScalarValue::IntervalMonthDayNano(Some(i)) => (i.months, i.days, i.nanoseconds),
        ScalarValue::IntervalDayTime(Some(i)) => (0, i.days, i64::from(i.milliseconds) * 1_000_000),
        _ => return Err(wrong().with_hint("write INTERVAL '30' MINUTE")),
    };
    let us = i64::from(days)
        .checked_mul(DAY_US)
        .and_then(|us| us.checked_add(nanos / 1_000))
        .ok_or_else(wrong)?;
    if nanos % 1_000 != 0 {
        return Err(Error::not_supported("a frame finer than microseconds"));
    }
    if us < 0 {
        return Err(Error::not_supported("a frame that looks ahead (negative PRECEDING)"));
    }
    Ok((months, us))
}
