//! Windows over windows against a recomputation from the rows known: final rows in every way to
//! drive the operator, current values, probes before and after windows close, restores.

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::datatypes::DataType;

use super::*;
use crate::operator::answer::tests::{Event, SECOND, batch};
use crate::operator::build;
use crate::operator::checker::Checker;
use crate::operator::oracle::Val;
use crate::operator::trial::{Random, cases, lines, sorted};
use crate::plan::dataflow::FeaturePlan;
use crate::plan::fixture::plan;

const SIZE: i64 = 10;
const FRAME: i64 = 30;
const DELAY: i64 = 5;

fn feature(more_than: usize) -> FeaturePlan {
    plan(&format!(
        "SELECT user_id, n, SUM(n) OVER w AS s, COUNT(*) OVER w AS c, window_end FROM (SELECT \
         user_id, COUNT(*) AS n, window_end FROM TUMBLE(transactions, event_time, INTERVAL '{SIZE} \
         seconds') GROUP BY user_id, window_start, window_end HAVING COUNT(*) > {more_than}) AS x \
         WINDOW w AS (PARTITION BY user_id ORDER BY window_end RANGE BETWEEN INTERVAL '{FRAME} \
         seconds' PRECEDING AND CURRENT ROW)"
    ))
    .unwrap()
}

/// (end, rows) of the windows of a user with more than so many rows, oldest first.
fn windows(events: &[Event], user: i64, more_than: usize) -> Vec<(i64, i64)> {
    let end = |event: &Event| (event.second.div_euclid(SIZE) + 1) * SIZE;
    let own = || events.iter().filter(|event| event.user == user);
    let mut ends: Vec<i64> = own().map(end).collect();
    ends.sort_unstable();
    ends.dedup();
    let filled = ends.into_iter().map(|e| (e, own().filter(|event| end(event) == e).count()));
    filled.filter(|(_, n)| *n > more_than).map(|(e, n)| (e, n as i64)).collect()
}

/// The output at a time; without a window in the frame that of nothing.
fn value(windows: &[(i64, i64)], user: i64, time: i64) -> Vec<Val> {
    let within = windows.iter().filter(|(end, _)| time - FRAME <= *end && *end <= time);
    let within: Vec<&(i64, i64)> = within.collect();
    let newest = within.last();
    let int = |x: Option<i64>| x.map_or(Val::Null, |x| Val::Int(x.into()));
    let sum = newest.map(|_| within.iter().map(|(_, n)| n).sum());
    vec![
        int(Some(user)),
        int(newest.map(|(_, n)| *n)),
        int(sum),
        int(Some(within.len() as i64)),
        int(newest.map(|(end, _)| end * SECOND)),
    ]
}

fn finals(events: &[Event], more_than: usize) -> Vec<Vec<Val>> {
    let of = |user| {
        let windows = windows(events, user, more_than);
        let at = windows.iter().map(|(end, _)| value(&windows, user, *end)).collect::<Vec<_>>();
        at.into_iter()
    };
    sorted((0..3).flat_map(of).collect())
}

pub fn output(plan: &FeaturePlan, results: &[RecordBatch]) -> Vec<Vec<Val>> {
    let rows = results.iter().map(|batch| plan.output.evaluate(batch).unwrap());
    lines(&rows.collect::<Vec<_>>())
}

pub fn checked(plan: &FeaturePlan) -> Checker {
    Checker::new(build(&plan.window, true).unwrap(), &plan.window)
}

fn check_probe(
    random: &mut Random,
    plan: &FeaturePlan,
    operator: &Checker,
    known: &[Event],
    (from, more_than): (i64, usize),
) {
    let users: Vec<i64> = (0..6).map(|_| random.below(4) as i64).collect();
    let seconds: Vec<i64> = users.iter().map(|_| from + random.below(40) as i64).collect();
    let bound = random.pick(&[Bound::Strict, Bound::Inclusive]);
    let strict = i64::from(bound == Bound::Strict);
    // Strictly before the second after is up to and with it.
    let times: Vec<EventTime> =
        seconds.iter().map(|second| EventTime(second * SECOND + strict)).collect();
    let keys: ArrayRef = Arc::new(Int64Array::from(users.clone()));
    let probed = operator.probe(&[keys], &times, bound).unwrap();
    let found = output(plan, &[probed.rows]);
    for ((user, second), found) in users.iter().zip(&seconds).zip(found) {
        // The start of the frame moves by the microsecond, too: no window begins there.
        let windows = windows(known, *user, more_than);
        let expected = value(&windows, *user, *second);
        if strict == 1 && windows.iter().any(|(end, _)| *end == second - FRAME) {
            continue;
        }
        assert_eq!(found, expected, "user {user} at {second} {bound:?}");
    }
}

fn stream(random: &mut Random, plan: &FeaturePlan, events: &[Event], more_than: usize) {
    let all = batch(events);
    let (mut operator, mut out, mut at) = (checked(plan), Vec::new(), 0);
    let mut watermark = i64::MIN;
    while at < events.len() {
        let rows = (1 + random.below(9) as usize).min(events.len() - at);
        let step = plan.preparation.evaluate(&all.slice(at, rows)).unwrap();
        operator.on_batch(&step).unwrap();
        at += rows;
        let newest = events[..at].iter().map(|event| event.second).max().unwrap();
        if random.one_in(2) {
            watermark = newest - DELAY;
            operator.on_watermark(EventTime(watermark * SECOND), &mut out).unwrap();
        }
        if random.one_in(4) {
            let snapshot = operator.snapshot().unwrap();
            operator = checked(plan);
            operator.restore(&snapshot).unwrap();
        }
        if random.one_in(2) {
            let from = watermark.max(newest - 20);
            check_probe(random, plan, &operator, &events[..at], (from, more_than));
        }
        if random.one_in(5)
            && let Some(current) = operator.drain_current().unwrap()
        {
            for line in output(plan, &[current.rows]) {
                let Val::Int(user) = line[0] else { panic!("no user") };
                let mut closed = windows(&events[..at], user as i64, more_than);
                closed.retain(|(end, _)| *end <= watermark);
                let newest = closed.last().unwrap().0;
                assert_eq!(line, value(&closed, user as i64, newest), "current value");
            }
        }
    }
    operator.on_watermark(EventTime::INFINITY, &mut out).unwrap();
    assert_eq!(sorted(output(plan, &out)), finals(events, more_than), "stream");
}

/// The final rows of events given key by key.
pub fn by_key(random: &mut Random, plan: &FeaturePlan, events: &[Event]) -> Vec<Vec<Val>> {
    let mut order: Vec<usize> = (0..events.len()).collect();
    order.sort_by_key(|i| (events[*i].user, events[*i].second, *i));
    let order = UInt32Array::from_iter_values(order.into_iter().map(|i| i as u32));
    let step = plan.preparation.evaluate(&batch(events)).unwrap();
    let step = take_record_batch(&step, &order).unwrap();
    let (mut operator, mut out, mut at) = (checked(plan), Vec::new(), 0);
    while at < step.num_rows() {
        let rows = (1 + random.below(20) as usize).min(step.num_rows() - at);
        operator.on_sorted(&step.slice(at, rows), false, &mut out).unwrap();
        at += rows;
    }
    operator.on_sorted(&step.slice(0, 0), true, &mut out).unwrap();
    sorted(output(plan, &out))
}

/// Events of three users, none later than `delay` seconds.
pub fn events(random: &mut Random, delay: i64) -> Vec<Event> {
    let mut events: Vec<(i64, Event)> = Vec::new();
    for _ in 0..1 + random.below(70) {
        let (user, second) = (random.below(3) as i64, random.below(200) as i64 - 60);
        let arrival = second + random.below(delay as u64) as i64;
        events.push((arrival, Event { user, second, amount: None }));
    }
    events.sort_by_key(|(arrival, _)| *arrival);
    events.into_iter().map(|(_, event)| event).collect()
}

#[test]
fn every_way_to_drive_it_agrees_with_the_rows_known() {
    let plans = [feature(0), feature(1)];
    assert!(
        plans.iter().all(|plan| matches!(plan.window, crate::plan::dataflow::WindowSpec::Chain(_)))
    );
    assert_eq!(plans[0].output.schema.field(2).data_type(), &DataType::Int64);
    for seed in 0..cases() {
        let random = &mut Random::new(seed);
        let events = events(random, DELAY);
        for (more_than, plan) in plans.iter().enumerate() {
            let run = std::panic::AssertUnwindSafe(|| {
                stream(random, plan, &events, more_than);
                let by_key = by_key(random, plan, &events);
                assert_eq!(by_key, finals(&events, more_than), "by key");
            });
            if let Err(panic) = std::panic::catch_unwind(run) {
                eprintln!("seed {seed}, more than {more_than}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}
