//! The frame of an OVER clause as text → what it covers, or a refusal with its place. Part of
//! `check`; `bind` writes what is read here in the form that DataFusion takes.

use sqlparser::ast::{
    Expr, Spanned as _, WindowFrame, WindowFrameBound as Bound, WindowFrameUnits as Units,
};

use super::dataflow::{Exclude, FrameExtent};
use crate::error::{Error, Result};
use crate::limits::ROWS_FRAME_MAX;
use crate::sql::frame_clause::{Excluded, FrameEnd, frame_end};
use crate::sql::token::span_of;
use crate::sql::window::interval_us;

/// A frame without its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub extent: FrameExtent,
    pub exclude: Exclude,
    pub rows_max: Option<u64>,
}

/// Reads a frame.
pub fn frame_of(frame: &WindowFrame) -> Result<Frame> {
    if frame.units == Units::Groups {
        return Err(Error::not_yet("GROUPS frames").with_hint("use ROWS or RANGE"));
    }
    for bound in [Some(&frame.start_bound), frame.end_bound.as_ref()].into_iter().flatten() {
        if let Bound::Following(_) = bound {
            return Err(ahead(bound));
        }
    }
    let end = frame_end(frame)?;
    let located = |error: Error| match end.span {
        Some(span) => error.with_span(span),
        None => error,
    };
    let read = match frame.units {
        Units::Rows => rows_frame(frame, &end),
        _ => range_frame(frame, &end),
    };
    let read = read.map_err(|error| if error.span().is_some() { error } else { located(error) })?;
    let empty = match read.extent {
        FrameExtent::Range { preceding_us, until_us } => preceding_us.is_some_and(|p| p < until_us),
        FrameExtent::Rows { preceding, until } => preceding.is_some_and(|p| p < until),
    };
    if empty {
        return Err(Error::usage("a frame that ends before it begins: it never has a row")
            .with_hint("the first bound is the one farther back"));
    }
    Ok(read)
}

fn ahead(bound: &Bound) -> Error {
    Error::not_supported(format!(
        "a frame that looks ahead ({bound}): its rows have not arrived when the value is needed"
    ))
    .with_hint("end the frame at CURRENT ROW")
}

/// EXCLUDE takes rows out that the frame has.
fn check_exclude(end: &FrameEnd) -> Result<()> {
    if end.excluded.is_some_and(|what| what != Excluded::NoOthers) && end.bound.is_some() {
        return Err(Error::usage(
            "EXCLUDE in a frame that ends before the current row: it has none of the rows that \
             EXCLUDE would leave out",
        )
        .with_hint("leave EXCLUDE out"));
    }
    Ok(())
}

fn rows_frame(frame: &WindowFrame, end: &FrameEnd) -> Result<Frame> {
    check_exclude(end)?;
    if end.rows_max.is_some() {
        return Err(Error::usage("MAXSIZE in a ROWS frame: its bounds say how many rows it has")
            .with_hint("write ROWS BETWEEN n PRECEDING AND CURRENT ROW"));
    }
    if let Some(Excluded::Group | Excluded::Ties) = end.excluded {
        return Err(Error::not_supported(
            "EXCLUDE GROUP and EXCLUDE TIES in a ROWS frame: the log decides ties, so no row has \
             peers there",
        )
        .with_hint("use EXCLUDE CURRENT ROW, or a RANGE frame"));
    }
    let preceding = match &frame.start_bound {
        Bound::Preceding(Some(rows)) => Some(number_of_rows(rows)?),
        Bound::Preceding(None) => None,
        _ => Some(0),
    };
    let until = match end.bound {
        Some(rows) => number_of_rows(rows)?,
        None => u64::from(end.excluded == Some(Excluded::CurrentRow)),
    };
    let extent = FrameExtent::Rows { preceding, until };
    Ok(Frame { extent, exclude: Exclude::NoOthers, rows_max: None })
}

fn number_of_rows(extent: &Expr) -> Result<u64> {
    let located = |error: Error| error.with_span(span_of(extent.span()));
    match extent.to_string().parse::<u64>() {
        Ok(rows) if rows >= ROWS_FRAME_MAX => Err(located(
            Error::not_supported(format!(
                "a frame of {rows} rows PRECEDING: at most {ROWS_FRAME_MAX} rows fit"
            ))
            .with_hint("use fewer rows, or a RANGE frame"),
        )),
        Ok(rows) => Ok(rows),
        Err(_) => Err(located(Error::usage(format!(
            "ROWS {extent} PRECEDING: expected a number of rows"
        )))),
    }
}

fn range_frame(frame: &WindowFrame, end: &FrameEnd) -> Result<Frame> {
    check_exclude(end)?;
    let preceding_us = match &frame.start_bound {
        Bound::Preceding(Some(extent)) => Some(length(extent)?),
        Bound::Preceding(None) => None,
        _ => Some(0),
    };
    let until_us = match end.bound {
        Some(extent) => length(extent)?,
        // Everything but the group of the row: times are whole microseconds.
        None => i64::from(end.excluded == Some(Excluded::Group)),
    };
    let exclude = match end.excluded {
        Some(Excluded::CurrentRow) => Exclude::CurrentRow,
        Some(Excluded::Ties) => Exclude::Ties,
        _ => Exclude::NoOthers,
    };
    match end.rows_max {
        Some(0) => {
            return Err(Error::usage("MAXSIZE 0: such a frame never has a row"));
        }
        Some(rows) if rows > ROWS_FRAME_MAX => {
            return Err(Error::not_supported(format!(
                "MAXSIZE {rows}: at most {ROWS_FRAME_MAX} rows fit"
            )));
        }
        _ => {}
    }
    let extent = FrameExtent::Range { preceding_us, until_us };
    Ok(Frame { extent, exclude, rows_max: end.rows_max })
}

/// The µs of the bound of a RANGE frame.
fn length(extent: &Expr) -> Result<i64> {
    let error = match extent {
        Expr::Interval(_) => match interval_us(extent) {
            Ok(us) if us >= 0 => return Ok(us),
            Ok(_) => return Err(ahead(&Bound::Preceding(Some(Box::new(extent.clone()))))),
            Err(error) => error,
        },
        other => Error::usage(format!("RANGE {other} PRECEDING: expected an interval"))
            .with_hint("write RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW"),
    };
    Err(error.with_span(span_of(extent.span())))
}
