//! Parts of a time in UTC, by whole days and hours from the epoch, a Thursday; times before 1970
//! round down.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::TimestampMicrosecondType;

use crate::error::Result;
use crate::model::time::{DAY_US, SECOND_US};

const HOUR_US: i64 = 3_600 * SECOND_US;

fn whole(args: &[ArrayRef], part: impl Fn(i64) -> i64) -> Result<ArrayRef> {
    let times = args[0].as_primitive::<TimestampMicrosecondType>();
    Ok(Arc::new(Int64Array::from_iter(times.iter().map(|time| time.map(&part)))))
}

/// Days since the last Monday: 0 to 6.
fn weekday(time: i64) -> i64 {
    (time.div_euclid(DAY_US) + 3).rem_euclid(7)
}

fn hour(time: i64) -> i64 {
    time.rem_euclid(DAY_US) / HOUR_US
}

pub fn hour_of_day(args: &[ArrayRef]) -> Result<ArrayRef> {
    whole(args, hour)
}

pub fn minute_of_day(args: &[ArrayRef]) -> Result<ArrayRef> {
    whole(args, |time| time.rem_euclid(DAY_US) / (60 * SECOND_US))
}

pub fn day_of_week(args: &[ArrayRef]) -> Result<ArrayRef> {
    whole(args, |time| weekday(time) + 1)
}

pub fn hour_of_week(args: &[ArrayRef]) -> Result<ArrayRef> {
    whole(args, |time| weekday(time) * 24 + hour(time))
}

pub fn is_weekend(args: &[ArrayRef]) -> Result<ArrayRef> {
    let times = args[0].as_primitive::<TimestampMicrosecondType>();
    let weekend = times.iter().map(|time| time.map(|time| weekday(time) >= 5));
    Ok(Arc::new(weekend.collect::<BooleanArray>()))
}
