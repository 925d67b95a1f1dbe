//! Trailing windows over trailing windows against a recomputation from the rows known: final rows
//! in every way to drive the operator, current values at once, probes, restores.

use arrow::array::{Int64Array, UInt32Array};
use arrow::compute::take_record_batch;

use super::*;
use crate::operator::answer::tests::{Event, SECOND, batch};
use crate::operator::build;
use crate::operator::checker::Checker;
use crate::operator::oracle::Val;
use crate::operator::trial::{Random, cases, lines, sorted};
use crate::plan::dataflow::{FeaturePlan, FirstSpec, WindowSpec};
use crate::plan::fixture::plan;

const INNER: i64 = 10;
const DELAY: i64 = 5;

/// The outer frame.
#[derive(Clone, Copy, Debug)]
enum Frame {
    Range(i64),
    Rows(usize),
}

/// n = rows in the last [`INNER`] seconds; the outer windows see rows with n > `more_than`.
#[derive(Clone, Copy, Debug)]
struct Case {
    frame: Frame,
    more_than: usize,
}

fn feature(case: Case) -> FeaturePlan {
    let frame = match case.frame {
        Frame::Range(s) => {
            format!("RANGE BETWEEN INTERVAL '{s} seconds' PRECEDING AND CURRENT ROW")
        }
        Frame::Rows(n) => format!("ROWS BETWEEN {n} PRECEDING AND CURRENT ROW"),
    };
    plan(&format!(
        "SELECT user_id, n, SUM(n) OVER w AS s, COUNT(*) OVER w AS c, event_time FROM (SELECT \
         user_id, event_time, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time RANGE \
         BETWEEN INTERVAL '{INNER} seconds' PRECEDING AND CURRENT ROW) AS n FROM transactions) AS \
         x WHERE n > {} WINDOW w AS (PARTITION BY user_id ORDER BY event_time {frame})",
        case.more_than
    ))
    .unwrap()
}

/// (second, n) of the rows of a user that the outer windows see, in the total order.
fn rows(events: &[Event], user: i64, more_than: usize) -> Vec<(i64, i64)> {
    let own = || events.iter().filter(|event| event.user == user);
    let count = |at: i64| own().filter(|e| at - INNER <= e.second && e.second <= at).count();
    let mut rows: Vec<i64> = own().map(|event| event.second).collect();
    rows.sort();
    let counted = rows.into_iter().map(|at| (at, count(at)));
    counted.filter(|(_, n)| *n > more_than).map(|(at, n)| (at, n as i64)).collect()
}

/// The output at row `at` of the rows seen, or at a time without one.
fn value(case: Case, seen: &[(i64, i64)], user: i64, time: i64, at: Option<usize>) -> Vec<Val> {
    let newest = at.or_else(|| seen.len().checked_sub(1));
    let reach = match case.frame {
        Frame::Range(s) => time - s,
        Frame::Rows(_) => i64::MIN,
    };
    let newest = newest.filter(|row| seen[*row].0 >= reach);
    let within: Vec<i64> = match (case.frame, newest) {
        (Frame::Range(s), _) => {
            let inside = seen.iter().filter(|(t, _)| time - s <= *t && *t <= time);
            inside.map(|(_, n)| *n).collect()
        }
        (Frame::Rows(n), Some(row)) => {
            seen[row.saturating_sub(n)..=row].iter().map(|(_, n)| *n).collect()
        }
        (Frame::Rows(_), None) => Vec::new(),
    };
    let int = |x: Option<i64>| x.map_or(Val::Null, |x| Val::Int(x.into()));
    let sum = (!within.is_empty()).then(|| within.iter().sum());
    vec![
        int(Some(user)),
        int(newest.map(|row| seen[row].1)),
        int(sum),
        int(Some(within.len() as i64)),
        int(newest.map(|row| seen[row].0 * SECOND)),
    ]
}

fn finals(case: Case, events: &[Event]) -> Vec<Vec<Val>> {
    let mut all = Vec::new();
    for user in 0..3 {
        let rows = rows(events, user, case.more_than);
        for at in 0..rows.len() {
            all.push(value(case, &rows, user, rows[at].0, Some(at)));
        }
    }
    sorted(all)
}

fn output(plan: &FeaturePlan, results: &[RecordBatch]) -> Vec<Vec<Val>> {
    let rows = results.iter().map(|batch| plan.output.evaluate(batch).unwrap());
    lines(&rows.collect::<Vec<_>>())
}

fn checked(plan: &FeaturePlan) -> Checker {
    Checker::new(build(&plan.window, true).unwrap(), &plan.window)
}

fn check_probe(
    random: &mut Random,
    case: Case,
    plan: &FeaturePlan,
    operator: &Checker,
    (known, from): (&[Event], i64),
) {
    let users: Vec<i64> = (0..6).map(|_| random.below(4) as i64).collect();
    let seconds: Vec<i64> = users.iter().map(|_| from + random.below(40) as i64).collect();
    let bound = random.pick(&[Bound::Strict, Bound::Inclusive]);
    let times: Vec<EventTime> = seconds.iter().map(|s| EventTime(s * SECOND)).collect();
    let keys: ArrayRef = Arc::new(Int64Array::from(users.clone()));
    let probed = operator.probe(&[keys], &times, bound).unwrap();
    for (i, found) in output(plan, &[probed.rows]).into_iter().enumerate() {
        let (user, second) = (users[i], seconds[i]);
        let mut seen = rows(known, user, case.more_than);
        seen.retain(|(t, _)| if bound == Bound::Strict { *t < second } else { *t <= second });
        let expected = value(case, &seen, user, second, None);
        assert_eq!(found, expected, "user {user} at {second} {bound:?}");
    }
}

fn stream(random: &mut Random, case: Case, plan: &FeaturePlan, events: &[Event]) {
    let all = batch(events);
    let (mut operator, mut out, mut at) = (checked(plan), Vec::new(), 0);
    let mut watermark = i64::MIN;
    let mut given = std::collections::BTreeMap::new();
    while at < events.len() {
        let count = (1 + random.below(9) as usize).min(events.len() - at);
        let step = plan.preparation.evaluate(&all.slice(at, count)).unwrap();
        operator.on_batch(&step).unwrap();
        at += count;
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
            check_probe(random, case, plan, &operator, (&events[..at], from));
        }
        if random.one_in(3) {
            let drained = operator.drain_current().unwrap();
            let found = drained.map_or(Vec::new(), |current| output(plan, &[current.rows]));
            for user in 0..3 {
                let seen = rows(&events[..at], user, case.more_than);
                let of_user = Val::Int(user.into());
                let found: Vec<_> = found.iter().filter(|line| line[0] == of_user).collect();
                if let Some((newest, _)) = seen.last() {
                    let expected = value(case, &seen, user, *newest, None);
                    assert!(found.iter().all(|line| **line == expected), "{found:?} {expected:?}");
                }
                // What the outer windows do not see changes nothing, and need not be given.
                let changed = given.insert(user, seen.clone()).unwrap_or_default() != seen;
                assert!(found.len() <= 1 && (!changed || found.len() == 1), "user {user}");
            }
        }
    }
    operator.on_watermark(EventTime::INFINITY, &mut out).unwrap();
    assert_eq!(sorted(output(plan, &out)), finals(case, events), "stream");
}

fn by_key(random: &mut Random, case: Case, plan: &FeaturePlan, events: &[Event]) {
    let mut order: Vec<usize> = (0..events.len()).collect();
    order.sort_by_key(|i| (events[*i].user, events[*i].second, *i));
    let order = UInt32Array::from_iter_values(order.into_iter().map(|i| i as u32));
    let step = plan.preparation.evaluate(&batch(events)).unwrap();
    let step = take_record_batch(&step, &order).unwrap();
    let (mut operator, mut out, mut at) = (checked(plan), Vec::new(), 0);
    while at < step.num_rows() {
        let count = (1 + random.below(20) as usize).min(step.num_rows() - at);
        operator.on_sorted(&step.slice(at, count), false, &mut out).unwrap();
        at += count;
    }
    operator.on_sorted(&step.slice(0, 0), true, &mut out).unwrap();
    assert_eq!(sorted(output(plan, &out)), finals(case, events), "by key");
}

fn events(random: &mut Random) -> Vec<Event> {
    let mut events: Vec<(i64, Event)> = Vec::new();
    for _ in 0..1 + random.below(70) {
        let (user, second) = (random.below(3) as i64, random.below(200) as i64 - 60);
        let arrival = second + random.below(DELAY as u64) as i64;
        events.push((arrival, Event { user, second, amount: None }));
    }
    events.sort_by_key(|(arrival, _)| *arrival);
    events.into_iter().map(|(_, event)| event).collect()
}

#[test]
fn every_way_to_drive_it_agrees_with_the_rows_known() {
    let frames = [Frame::Range(30), Frame::Range(2), Frame::Rows(3)];
    let cases_of = |frame| [0, 1].map(|more_than| Case { frame, more_than });
    for case in frames.into_iter().flat_map(cases_of) {
        let plan = feature(case);
        let WindowSpec::Chain(spec) = &plan.window else { panic!("{:?}", plan.window) };
        assert!(matches!(spec.first, FirstSpec::Trailing(_)));
        for seed in 0..cases() {
            let random = &mut Random::new(seed);
            let events = events(random);
            let run = std::panic::AssertUnwindSafe(|| {
                stream(random, case, &plan, &events);
                by_key(random, case, &plan, &events);
            });
            if let Err(panic) = std::panic::catch_unwind(run) {
                eprintln!("seed {seed}, {case:?}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// Every value that time changes is given by the refresh after it, and no other.
#[test]
fn values_follow_time_also_of_rows_that_are_not_final() {
    let case = Case { frame: Frame::Range(30), more_than: 0 };
    let plan = feature(case);
    for seed in 0..cases() {
        let random = &mut Random::new(seed);
        let events = events(random);
        let mut operator = build(&plan.window, true).unwrap();
        operator.follow(Follow { frames: vec![0], reaches: vec![30 * SECOND] });
        let step = plan.preparation.evaluate(&batch(&events)).unwrap();
        operator.on_batch(&step).unwrap();
        let newest = events.iter().map(|event| event.second).max().unwrap();
        operator.drain_current().unwrap();
        if random.one_in(2) {
            let watermark = newest - random.below(100) as i64;
            operator.on_watermark(EventTime(watermark * SECOND), &mut Vec::new()).unwrap();
        }
        let shown = |user: i64, at: i64| {
            let seen = rows(&events, user, 0);
            let own = seen.last().map(|(second, _)| *second);
            own.map(|own| value(case, &seen, user, at.max(own), None))
        };
        let mut before = i64::MIN;
        let mut at = newest - 40;
        while at < newest + 50 {
            at += 1 + random.below(12) as i64;
            operator.refresh(EventTime(at * SECOND));
            let drained = operator.drain_current().unwrap();
            let found = drained.map_or(Vec::new(), |current| output(&plan, &[current.rows]));
            let changed = (0..3).filter(|user| shown(*user, before) != shown(*user, at));
            let expected = changed.filter_map(|user| shown(user, at)).collect();
            assert_eq!(sorted(found), sorted(expected), "seed {seed}: {before} to {at}");
            before = at;
        }
    }
}
