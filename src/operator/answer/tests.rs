//! Reach, `ttl` and status of random features against a naive recomputation per probe, whatever
//! state the feature shares and whatever has been forgotten.

use std::sync::Arc;

use arrow::array::{Float64Array, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::take_record_batch;

use super::*;
use crate::operator::build;
use crate::operator::operator::{Bound, Operator};
use crate::operator::oracle::{Val, val};
use crate::operator::trial::{Random, cases};
use crate::plan::fixture::{plan, transactions};
use crate::plan::share::merge;

pub const SECOND: i64 = 1_000_000;

/// A row of the log: key, second, amount.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub user: i64,
    pub second: i64,
    pub amount: Option<f64>,
}

pub fn batch(events: &[Event]) -> RecordBatch {
    let schema = transactions().admitted_schema();
    let times = events.iter().map(|e| e.second * SECOND);
    let arrays = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "user_id" => Arc::new(Int64Array::from_iter_values(events.iter().map(|e| e.user))),
            "amount" => Arc::new(Float64Array::from_iter(events.iter().map(|e| e.amount))),
            "event_time" => Arc::new(
                TimestampMicrosecondArray::from_iter_values(times.clone()).with_timezone("UTC"),
            ),
            "_partition" => Arc::new(Int32Array::from(vec![0; events.len()])),
            "_offset" => Arc::new(Int64Array::from_iter_values(0..events.len() as i64)),
            _ => arrow::array::new_null_array(field.data_type(), events.len()),
        }
    });
    RecordBatch::try_new(schema.clone(), arrays.collect()).unwrap()
}

#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// COUNT, SUM and current row over `RANGE s seconds`.
    Range(i64),
    /// COUNT and SUM over so many rows and the current one, and the current row.
    Rows(usize),
    /// COUNT and SUM of tumbling windows of s seconds.
    Tumble(i64),
}

pub fn sql(shape: Shape) -> String {
    let over = |frame: String| {
        format!(
            "SELECT user_id, COUNT(*) OVER w AS n, SUM(amount) OVER w AS s, amount AS last, \
             event_time FROM transactions \
             WINDOW w AS (PARTITION BY user_id ORDER BY event_time {frame})"
        )
    };
    match shape {
        Shape::Range(s) => {
            over(format!("RANGE BETWEEN INTERVAL '{s} seconds' PRECEDING AND CURRENT ROW"))
        }
        Shape::Rows(n) => over(format!("ROWS BETWEEN {n} PRECEDING AND CURRENT ROW")),
        Shape::Tumble(s) => format!(
            "SELECT user_id, COUNT(*) AS n, SUM(amount) AS s, window_start, window_end \
             FROM TUMBLE(transactions, event_time, INTERVAL '{s} seconds') \
             GROUP BY user_id, window_start, window_end"
        ),
    }
}

pub fn int(x: i64) -> Val {
    Val::Int(x.into())
}

/// Sums of small integers are exact in any order.
fn sum(rows: &[&Event]) -> Val {
    let values: Vec<f64> = rows.iter().filter_map(|e| e.amount).collect();
    if values.is_empty() { Val::Null } else { Val::Float(values.iter().sum::<f64>().to_bits()) }
}

fn float(x: Option<f64>) -> Val {
    x.map_or(Val::Null, |x| Val::Float(x.to_bits()))
}

/// `f(user, t)` from the contract: values of `n`, `s`, and `last`, `event_time` (trailing) or the
/// window's bounds; and the status that is promised.
pub fn naive(
    shape: Shape,
    ttl: Option<i64>,
    events: &[Event],
    user: i64,
    t: i64,
    bound: Bound,
) -> (Vec<Val>, bool) {
    let sees = |time: i64| if bound == Bound::Strict { time < t } else { time <= t };
    let own = events.iter().filter(|e| e.user == user);
    let (newest, values) = match shape {
        Shape::Tumble(s) => {
            let end = |e: &Event| (e.second.div_euclid(s) + 1) * s;
            let newest = own.clone().map(end).filter(|end| sees(*end)).max();
            let rows: Vec<&Event> = own.filter(|e| Some(end(e)) == newest).collect();
            let time = |second: i64| int(second * SECOND);
            let bounds = newest.map_or([Val::Null, Val::Null], |end| [time(end - s), time(end)]);
            (newest, [vec![int(rows.len() as i64), sum(&rows)], bounds.to_vec()].concat())
        }
        Shape::Range(_) | Shape::Rows(_) => {
            let mut rows: Vec<&Event> = own.filter(|e| sees(e.second)).collect();
            rows.sort_by_key(|e| e.second);
            let newest = rows.last().copied();
            let reach = match (ttl, shape) {
                (Some(ttl), _) => Some(ttl),
                (None, Shape::Range(s)) => Some(s),
                _ => None,
            };
            let near = newest.filter(|e| reach.is_none_or(|reach| e.second >= t - reach));
            let frame = match shape {
                Shape::Rows(n) => rows.split_off(rows.len().saturating_sub(n + 1)),
                Shape::Range(s) => rows.into_iter().filter(|e| e.second >= t - s).collect(),
                Shape::Tumble(_) => unreachable!(),
            };
            let last = near.map_or(Val::Null, |e| float(e.amount));
            let time = near.map_or(Val::Null, |e| int(e.second * SECOND));
            (newest.map(|e| e.second), vec![int(frame.len() as i64), sum(&frame), last, time])
        }
    };
    let within = |limit: i64| newest.is_some_and(|newest| newest >= t - limit);
    match (ttl, shape) {
        (Some(ttl), _) if !within(ttl) => (vec![Val::Null; values.len()], false),
        (None, Shape::Range(s)) => (values, within(s)),
        _ => (values, newest.is_some()),
    }
}

pub struct Trial {
    pub shapes: Vec<(Shape, Option<i64>)>,
    pub events: Vec<Event>,
}

pub fn trial(random: &mut Random) -> Trial {
    let shape = |random: &mut Random| {
        let length = random.pick(&[1i64, 3, 10, 40]);
        match random.below(3) {
            0 => Shape::Range(length),
            1 => Shape::Rows(length as usize % 7),
            _ => Shape::Tumble(length),
        }
    };
    let ttl = |random: &mut Random| random.one_in(2).then(|| random.pick(&[1i64, 5, 20, 60]));
    let shapes = (0..1 + random.below(4)).map(|_| (shape(random), ttl(random))).collect();
    let mut second = random.below(100) as i64 - 50;
    let event = |random: &mut Random, second: i64| Event {
        user: random.below(4) as i64,
        second,
        amount: (!random.one_in(6)).then(|| random.below(100) as f64),
    };
    let mut events = Vec::new();
    for _ in 0..1 + random.below(60) {
        // Long silences, so that keys are forgotten; no ties, which other tests are about.
        let step = if random.one_in(8) { 80 } else { 3 };
        second += 1 + random.below(step) as i64;
        events.push(event(random, second));
    }
    Trial { shapes, events }
}

pub fn line(rows: &RecordBatch, row: usize) -> Vec<Val> {
    rows.columns().iter().map(|column| val(column, row)).collect()
}

#[test]
fn probes_of_shared_state_answer_like_the_contract_recomputed() {
    for seed in 0..cases() {
        let mut random = Random::new(seed);
        let Trial { shapes, events } = trial(&mut random);
        let plans = shapes.iter().enumerate().map(|(i, (shape, ttl))| {
            let mut plan = plan(&sql(*shape)).unwrap();
            plan.feature = i.to_string();
            match ttl {
                Some(ttl) => plan.with_ttl(ttl * SECOND),
                None => plan,
            }
        });
        for group in merge(plans.collect()).unwrap() {
            let mut operator = build(&group.window, random.one_in(2)).unwrap();
            let steps = group.preparation.evaluate(&batch(&events)).unwrap();
            let (mut at, mut watermark) = (0, i64::MIN);
            while at < events.len() {
                let count = (1 + random.below(20) as usize).min(events.len() - at);
                operator.on_batch(&steps.slice(at, count)).unwrap();
                at += count;
                let known = &events[..at];
                let newest = known[at - 1].second;
                watermark = watermark.max(newest - random.below(4) as i64);
                if random.one_in(2) {
                    operator.drain_current().unwrap();
                }
                if random.one_in(2) {
                    operator.on_watermark(EventTime(watermark * SECOND), &mut vec![]).unwrap();
                }
                let from = newest + 1;
                check(&mut random, seed, &group, &shapes, known, operator.as_ref(), from);
            }
        }
    }
}

fn check(
    random: &mut Random,
    seed: u64,
    group: &crate::plan::share::StateGroup,
    shapes: &[(Shape, Option<i64>)],
    known: &[Event],
    operator: &dyn Operator,
    from: i64,
) {
    // Key 9 is never seen.
    let users: Vec<i64> = (0..6).map(|_| random.pick(&[0i64, 1, 2, 3, 9])).collect();
    let times: Vec<i64> = (0..6).map(|_| from + random.below(90) as i64).collect();
    let bound = random.pick(&[Bound::Strict, Bound::Inclusive]);
    let keys: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(users.clone()))];
    let asked: Vec<EventTime> = times.iter().map(|t| EventTime(t * SECOND)).collect();
    let probed = operator.probe(&keys, &asked, bound).unwrap();
    for member in &group.members {
        let (shape, ttl) = shapes[member.plan.feature.parse::<usize>().unwrap()];
        let answered = member.reader(&group.window).answer(&probed, &asked).unwrap();
        for (i, (user, t)) in users.iter().zip(&times).enumerate() {
            let what = format!("seed {seed}: {shape:?} ttl {ttl:?} of {user} at {t} {bound:?}");
            let (values, present) = naive(shape, ttl, known, *user, *t, bound);
            let expected = [vec![int(*user)], values].concat();
            assert_eq!(line(&answered.rows, i), expected, "{what}");
            assert_eq!(answered.status[i] == Status::Present, present, "{what}");
            let unknown = known.iter().all(|e| e.user != *user);
            if unknown || ttl.is_none() {
                assert_ne!(answered.status[i], Status::Expired, "{what}");
            }
        }
    }
}

#[test]
fn an_old_row_is_expired_under_ttl_and_not_found_without() {
    let events = [Event { user: 1, second: 100, amount: Some(7.0) }];
    let one = |plan: FeaturePlan, t: i64| {
        let mut operator = build(&plan.window, false).unwrap();
        operator.on_batch(&plan.preparation.evaluate(&batch(&events)).unwrap()).unwrap();
        let keys: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 2]))];
        let times = [EventTime(t * SECOND); 2];
        let probed = operator.probe(&keys, &times, Bound::Inclusive).unwrap();
        let answered =
            Reader::of(&plan, &plan.window, &plan.output).answer(&probed, &times).unwrap();
        let first = take_record_batch(&answered.rows, &arrow::array::UInt32Array::from(vec![0]));
        (answered.status, line(&first.unwrap(), 0))
    };
    let range = || plan(&sql(Shape::Range(10))).unwrap();
    let (status, values) = one(range(), 111);
    assert_eq!(status, [Status::NotFound, Status::NotFound]);
    assert_eq!(values, [int(1), int(0), Val::Null, Val::Null, Val::Null]);
    // With a ttl within the frame, the frame still holds the row, and still all is NULL.
    let (status, values) = one(range().with_ttl(5 * SECOND), 106);
    assert_eq!(status, [Status::Expired, Status::NotFound]);
    assert_eq!(values, [int(1), Val::Null, Val::Null, Val::Null, Val::Null]);
    // With one beyond it, current-row columns stay while the frame is empty.
    let (status, values) = one(range().with_ttl(20 * SECOND), 120);
    assert_eq!(status, [Status::Present, Status::NotFound]);
    let last = float(Some(7.0));
    assert_eq!(values, [int(1), int(0), Val::Null, last, int(100 * SECOND)]);
}
