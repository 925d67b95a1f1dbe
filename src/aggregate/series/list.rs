//! Values picked from rows, alone or as lists.

use std::collections::HashSet;

use super::{Call, Outcome, View};
use crate::aggregate::datum::Datum;
use crate::aggregate::kind::AggregateKind as K;

/// ARRAY_AGG, STRING_AGG, NTH_VALUE, FIRST_VALUE, LAST_VALUE, FIRST_N, LAST_N, LAST_DISTINCT_N,
/// LAG, ARG_MIN and ARG_MAX.
pub fn evaluate(call: &Call, view: &View) -> Outcome {
    let values = view.first();
    let rows = values.len();
    let one = |value: Option<&Datum>| Outcome::One(value.cloned().unwrap_or_default());
    match call.kind {
        K::FirstValue => one(values.clone().next()),
        K::LastValue => one(values.clone().next_back()),
        K::NthValue => {
            let place = call.constants.first().and_then(Datum::as_i128).unwrap_or(1);
            let back = usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX) - 1;
            let mut values = values;
            one(if place > 0 { values.nth(back) } else { values.nth_back(back) })
        }
        K::Lag => {
            let mut values = values;
            // The last row is the current one.
            values
                .nth_back(call.count())
                .map_or_else(|| one(call.constants.get(1)), |value| one(Some(value)))
        }
        K::ArgMin => one(known(view).min_by(|a, b| a[1].cmp(&b[1])).map(|row| &row[0])),
        // `max_by` takes the last of equals: of the rows backwards, the first.
        K::ArgMax => one(known(view).rev().max_by(|a, b| a[1].cmp(&b[1])).map(|row| &row[0])),
        _ if rows == 0 => Outcome::NULL,
        K::FirstN => many(values.take(call.count())),
        K::LastN => many(values.skip(rows.saturating_sub(call.count()))),
        K::LastDistinctN => {
            let mut seen = HashSet::new();
            let mut last: Vec<Datum> =
                values.rev().filter(|v| seen.insert(*v)).take(call.count()).cloned().collect();
            last.reverse();
            Outcome::Many(last.into())
        }
        K::StringAgg => Outcome::One(Datum::Bytes(joined(call, view).into())),
        _ => many(different(call, view).into_iter()),
    }
}

/// The rows whose second argument is not NULL.
fn known<'a>(view: &'a View) -> impl DoubleEndedIterator<Item = &'a [Datum]> {
    view.rows().filter(|row| !row[1].is_null())
}

fn many<'a>(values: impl Iterator<Item = &'a Datum>) -> Outcome {
    Outcome::Many(values.cloned().collect())
}

/// The values, under DISTINCT each where it is first.
fn different<'a>(call: &Call, view: &'a View) -> Vec<&'a Datum> {
    let mut seen = HashSet::new();
    view.first().filter(|value| !call.distinct || seen.insert(*value)).collect()
}

fn joined(call: &Call, view: &View) -> Vec<u8> {
    let separator = call.constants.first().map_or(&[][..], Datum::as_bytes);
    let values = different(call, view);
    let parts: Vec<&[u8]> = values.into_iter().map(Datum::as_bytes).collect();
    parts.join(separator)
}
