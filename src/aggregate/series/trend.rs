//! Results of how values follow each other in time. Every row has a DOUBLE, or a time in µs.

use super::{Outcome, View};
use crate::aggregate::datum::Datum;
use crate::aggregate::joint::{Joint, Pairs};
use crate::aggregate::kind::AggregateKind as K;
use crate::model::time::SECOND_US;

/// The mean in which a row weighs (1 − α) times the one after it: numerator and denominator are
/// each multiplied by 1 − α and increased, row after row, in DOUBLE.
pub fn weighted(call: &super::Call, view: &View) -> Outcome {
    let keep = 1.0 - call.constants.first().map_or(0.0, Datum::as_f64);
    Outcome::double(mean(view.doubles().map(|x| (x, keep))))
}

/// The same where a row weighs 2^(−age / half life), age in seconds before the next row.
pub fn weighted_by_time(call: &super::Call, view: &View) -> Outcome {
    let half = call.constants.first().map_or(1.0, Datum::as_f64);
    let mut before = None;
    let rows = view.rows().map(|row| {
        let time = time(&row[1]);
        let age = seconds(before.replace(time).unwrap_or(time), time);
        (row[0].as_f64(), (0.0 - age / half).exp2())
    });
    Outcome::double(mean(rows))
}

/// Each value with what the sums before it are multiplied by.
fn mean(rows: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let mut sums = None;
    for (x, keep) in rows {
        let (above, below) = sums.unwrap_or((0.0, 0.0));
        sums = Some((above * keep + x, below * keep + 1.0));
    }
    sums.map(|(above, below)| above / below)
}

/// The greatest (peak − x) / peak over values x after a peak above 0; 0 without a fall.
pub fn drawdown(view: &View) -> Outcome {
    let (mut peak, mut fall): (Option<f64>, f64) = (None, 0.0);
    for x in view.doubles() {
        let top = peak.map_or(x, |peak| peak.max(x));
        peak = Some(top);
        let now = if top > 0.0 { (top - x) / top } else { 0.0 };
        // `max` would pass it over.
        if x.is_nan() || now.is_nan() {
            return Outcome::double(Some(f64::NAN));
        }
        fall = fall.max(now);
    }
    Outcome::double(peak.map(|_| fall))
}

pub fn delta(view: &View) -> Outcome {
    let mut back = view.doubles().rev();
    Outcome::double(back.next().zip(back.next()).map(|(last, before)| last - before))
}

/// REGR_SLOPE over the µs since the first row, times 10^6.
pub fn slope(view: &View) -> Outcome {
    let start = view.rows().next().map_or(0, |row| time(&row[1]));
    let mut pairs = Pairs::default();
    for row in view.rows() {
        let age = time(&row[1]).saturating_sub(start) as f64;
        pairs.change([row[0].as_f64(), age], false);
    }
    Outcome::double(pairs.result(K::RegrSlope).map(|slope| slope * SECOND_US as f64))
}

pub fn time_since_last(view: &View) -> Outcome {
    let mut back = view.first().rev().map(time);
    Outcome::double(back.next().zip(back.next()).map(|(last, before)| seconds(before, last)))
}

fn time(value: &Datum) -> i64 {
    value.as_i128().and_then(|us| i64::try_from(us).ok()).unwrap_or(0)
}

fn seconds(from: i64, to: i64) -> f64 {
    to.saturating_sub(from) as f64 / SECOND_US as f64
}
