//! Trailing windows over trailing windows against a recomputation from the rows known: final rows
//! in every way to drive the operator, current values at once, probes, restores.

use std::sync::Arc;

use arrow::array::Int64Array;

use super::*;
use crate::operator::answer::tests::{Event, SECOND, batch};
use crate::operator::build;
use crate::operator::chain::tests::{by_key, checked, events, output};
use crate::operator::checker::Checker;
use crate::operator::oracle::Val;
use crate::operator::trial::{Random, cases, sorted};
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

/// What the inner windows count as n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inner {
    /// Rows in the last [`INNER`] seconds: grows as rows come late.
    Rows,
    /// Seconds since the row before: becomes less.
    Gap,
}

/// The outer windows see rows with n > `more_than`.
#[derive(Clone, Copy, Debug)]
struct Case {
    inner: Inner,
    frame: Frame,
    more_than: i64,
}

fn feature(case: Case) -> FeaturePlan {
    let frame = match case.frame {
        Frame::Range(s) => {
            format!("RANGE BETWEEN INTERVAL '{s} seconds' PRECEDING AND CURRENT ROW")
        }
        Frame::Rows(n) => format!("ROWS BETWEEN {n} PRECEDING AND CURRENT ROW"),
    };
    let over = "OVER (PARTITION BY user_id ORDER BY event_time";
    let inner = match case.inner {
        Inner::Rows => format!(
            "COUNT(*) {over} RANGE BETWEEN INTERVAL '{INNER} seconds' PRECEDING AND CURRENT ROW)"
        ),
        Inner::Gap => format!("CAST(time_since_last() {over}) AS BIGINT)"),
    };
    plan(&format!(
        "SELECT user_id, n, SUM(n) OVER w AS s, COUNT(*) OVER w AS c, event_time FROM (SELECT \
         user_id, event_time, {inner} AS n FROM transactions) AS x WHERE n > {} WINDOW w AS \
         (PARTITION BY user_id ORDER BY event_time {frame})",
        case.more_than
    ))
    .unwrap()
}

/// (second, n) of the rows of a user that the outer windows see, in the total order.
fn rows(events: &[Event], user: i64, case: Case) -> Vec<(i64, i64)> {
    let own = || events.iter().filter(|event| event.user == user);
    let mut rows: Vec<i64> = own().map(|event| event.second).collect();
    rows.sort();
    let all = rows.clone();
    let n = |at: i64| match case.inner {
        Inner::Rows => {
            let within = all.iter().filter(|second| (at - INNER..=at).contains(*second));
            Some(within.count() as i64)
        }
        Inner::Gap => {
            let end = all.partition_point(|second| *second <= at);
            (end > 1).then(|| all[end - 1] - all[end - 2])
        }
    };
    let counted = rows.into_iter().filter_map(|at| Some((at, n(at)?)));
    counted.filter(|(_, n)| *n > case.more_than).collect()
}

/// The output at row `at` of the rows seen, or at a time (µs) without one.
fn value(case: Case, seen: &[(i64, i64)], user: i64, time: i64, at: Option<usize>) -> Vec<Val> {
    let newest = at.or_else(|| seen.len().checked_sub(1));
    let reach = match case.frame {
        Frame::Range(s) => time - s * SECOND,
        Frame::Rows(_) => i64::MIN,
    };
    let newest = newest.filter(|row| seen[*row].0 * SECOND >= reach);
    let within: Vec<i64> = match (case.frame, newest) {
        (Frame::Range(_), _) => {
            let inside = seen.iter().filter(|(t, _)| (reach..=time).contains(&(t * SECOND)));
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
        let rows = rows(events, user, case);
        for at in 0..rows.len() {
            all.push(value(case, &rows, user, rows[at].0 * SECOND, Some(at)));
        }
    }
    sorted(all)
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
        let mut seen = rows(known, user, case);
        seen.retain(|(t, _)| if bound == Bound::Strict { *t < second } else { *t <= second });
        let expected = value(case, &seen, user, second * SECOND, None);
        assert_eq!(found, expected, "user {user} at {second} {bound:?}");
    }
}

fn stream(random: &mut Random, case: Case, plan: &FeaturePlan, events: &[Event]) {
    let all = batch(events);
    let (mut operator, mut out, mut at) = (checked(plan), Vec::new(), 0);
    let mut watermark = i64::MIN;
    let (mut touched, mut shown) = (std::collections::BTreeSet::new(), [i64::MIN; 3]);
    while at < events.len() {
        let count = (1 + random.below(9) as usize).min(events.len() - at);
        let step = plan.preparation.evaluate(&all.slice(at, count)).unwrap();
        operator.on_batch(&step).unwrap();
        touched.extend(events[at..at + count].iter().map(|event| event.user));
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
            let given = drained.as_ref().map_or(0, |current| current.as_of.len());
            assert_eq!(given, std::mem::take(&mut touched).len(), "each key that had a row");
            if let Some(current) = drained {
                for (line, as_of) in output(plan, &[current.rows]).iter().zip(current.as_of) {
                    let Val::Int(user) = line[0] else { panic!("no user") };
                    let user = user as i64;
                    let own = events[..at].iter().filter(|event| event.user == user);
                    let newest = own.map(|event| event.second * SECOND).max().unwrap();
                    assert!(as_of.0 >= newest.max(shown[user as usize]), "time goes back");
                    shown[user as usize] = as_of.0;
                    let mut seen = rows(&events[..at], user, case);
                    seen.retain(|(t, _)| t * SECOND <= as_of.0);
                    assert_eq!(*line, value(case, &seen, user, as_of.0, None), "current value");
                }
            }
        }
    }
    operator.on_watermark(EventTime::INFINITY, &mut out).unwrap();
    assert_eq!(sorted(output(plan, &out)), finals(case, events), "stream");
}

#[test]
fn every_way_to_drive_it_agrees_with_the_rows_known() {
    let frames = [Frame::Range(30), Frame::Range(2), Frame::Rows(3)];
    let inner = [(Inner::Rows, 0), (Inner::Rows, 1), (Inner::Gap, 3)];
    let cases_of = |frame| inner.map(|(inner, more_than)| Case { inner, frame, more_than });
    for case in frames.into_iter().flat_map(cases_of) {
        let plan = feature(case);
        let WindowSpec::Chain(spec) = &plan.window else { panic!("{:?}", plan.window) };
        assert!(matches!(spec.first, FirstSpec::Trailing(_)));
        for seed in 0..cases() {
            let random = &mut Random::new(seed);
            let events = events(random, DELAY);
            let run = std::panic::AssertUnwindSafe(|| {
                stream(random, case, &plan, &events);
                let by_key = by_key(random, &plan, &events);
                assert_eq!(by_key, finals(case, &events), "by key");
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
    let case = Case { inner: Inner::Rows, frame: Frame::Range(30), more_than: 0 };
    let plan = feature(case);
    for seed in 0..cases() {
        let random = &mut Random::new(seed);
        let events = events(random, DELAY);
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
            let seen = rows(&events, user, case);
            let own = seen.last().map(|(second, _)| *second);
            own.map(|own| value(case, &seen, user, at.max(own).saturating_mul(SECOND), None))
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

/// Parts of which one is further than the other, as two partitions are.
#[test]
fn state_from_parts_of_different_progress_emits_and_counts_nothing_twice() {
    let case = Case { inner: Inner::Rows, frame: Frame::Range(30), more_than: 0 };
    let plan = feature(case);
    let event = |user, second| Event { user, second, amount: None };
    let part = |events: &[Event], watermark: i64| {
        let mut operator = build(&plan.window, true).unwrap();
        operator.on_batch(&plan.preparation.evaluate(&batch(events)).unwrap()).unwrap();
        operator.on_watermark(EventTime(watermark * SECOND), &mut Vec::new()).unwrap();
        operator.snapshot().unwrap()
    };
    let (slow, fast) = ([event(0, 55)], [event(1, 40), event(1, 80), event(1, 90)]);
    let parts = [part(&slow, 50), part(&fast, 100)];
    for order in [[0, 1], [1, 0]] {
        let mut operator = build(&plan.window, true).unwrap();
        order.iter().for_each(|i| operator.restore(&parts[*i]).unwrap());
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![0, 1]));
        let times = [EventTime(100 * SECOND); 2];
        let probed = operator.probe(&[keys], &times, Bound::Inclusive).unwrap();
        let at = |events: &[Event], user| {
            value(case, &rows(events, user, case), user, 100 * SECOND, None)
        };
        assert_eq!(output(&plan, &[probed.rows]), [at(&slow, 0), at(&fast, 1)]);
        let later = plan.preparation.evaluate(&batch(&[event(0, 60)])).unwrap();
        operator.on_batch(&later).unwrap();
        let mut out = Vec::new();
        operator.on_watermark(EventTime(95 * SECOND), &mut out).unwrap();
        assert_eq!(sorted(output(&plan, &out)), finals(case, &[event(0, 55), event(0, 60)]));
    }
}

#[test]
fn a_part_without_keys_takes_rows_from_its_own_watermark_on() {
    let over = "OVER (PARTITION BY user_id ORDER BY event_time)";
    let plans = [
        feature(Case { inner: Inner::Rows, frame: Frame::Range(30), more_than: 0 }),
        plan(&format!("SELECT user_id, COUNT(*) {over} AS n FROM transactions")).unwrap(),
        plan(
            "SELECT user_id, COUNT(*) AS n FROM TUMBLE(transactions, event_time, INTERVAL '1 \
             second') GROUP BY user_id, window_start, window_end",
        )
        .unwrap(),
    ];
    let event = |user, second| Event { user, second, amount: None };
    for plan in plans {
        let step = |events: &[Event]| plan.preparation.evaluate(&batch(events)).unwrap();
        let part = |events: &[Event], watermark: i64| {
            let mut operator = build(&plan.window, true).unwrap();
            operator.on_batch(&step(events)).unwrap();
            operator.on_watermark(EventTime(watermark * SECOND), &mut Vec::new()).unwrap();
            operator.snapshot().unwrap()
        };
        let mut operator = build(&plan.window, true).unwrap();
        operator.restore(&part(&[], 50)).unwrap();
        operator.restore(&part(&[event(1, 80)], 100)).unwrap();
        operator.on_batch(&step(&[event(0, 60)])).unwrap();
        let mut out = Vec::new();
        operator.on_watermark(EventTime(70 * SECOND), &mut out).unwrap();
        let users: Vec<Val> =
            output(&plan, &out).into_iter().map(|mut row| row.remove(0)).collect();
        assert_eq!(users, [Val::Int(0)], "{:?}", plan.window);
    }
}
