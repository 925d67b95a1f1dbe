//! Current values that follow time against a naive recomputation at every moment: after a refresh
//! what was taken last is the value of that moment, only keys whose values changed were touched,
//! and a restart in between changes nothing.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, Int64Array};

use super::*;
use crate::model::time::EventTime;
use crate::operator::answer::tests::{Event, SECOND, Shape, batch, int, line, naive, sql};
use crate::operator::answer::{Reader, Status};
use crate::operator::build;
use crate::operator::operator::{Bound, Current, Operator, Probed};
use crate::operator::oracle::Val;
use crate::operator::trial::{Random, cases};
use crate::plan::dataflow::{FeaturePlan, FrameExtent, FrameSpec, WindowSpec};
use crate::plan::fixture::plan;
use crate::plan::reach::Reach;

/// What a store holds of an entity.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    values: Vec<Val>,
    present: bool,
    as_of: i64,
}

struct Store {
    plan: FeaturePlan,
    held: BTreeMap<i64, Held>,
    /// Keys written by the last call.
    written: Vec<i64>,
}

impl Store {
    fn take(&mut self, current: Option<Current>) {
        self.written.clear();
        let Some(Current { rows, as_of, newest }) = current else { return };
        let probed = Probed { rows, present: vec![true; newest.len()], newest };
        let reader = Reader::of(&self.plan, &self.plan.window, &self.plan.output);
        let answered = reader.answer(&probed, &as_of).unwrap();
        for (i, at) in as_of.iter().enumerate() {
            let mut values = line(&answered.rows, i);
            let Val::Int(user) = values.remove(0) else { panic!("a key that is no number") };
            let present = answered.status[i] == Status::Present;
            let user = i64::try_from(user).unwrap();
            let held = Held { values, present, as_of: at.0 };
            let before = self.held.insert(user, held);
            assert!(before.is_none_or(|before| before.as_of <= at.0), "a value goes back");
            self.written.push(user);
        }
    }
}

fn follow(plan: &FeaturePlan) -> Follow {
    let frames = match &plan.window {
        WindowSpec::Trailing(spec) => (0..spec.frames.len()).collect(),
        WindowSpec::Chain(spec) => (0..spec.second.frames.len()).collect(),
        WindowSpec::Group(_) => Vec::new(),
    };
    let reaches = match plan.reach() {
        Reach::Unlimited => Vec::new(),
        Reach::Frame(us) | Reach::Ttl(us) => vec![us],
    };
    Follow { frames, reaches }
}

fn operator(plan: &FeaturePlan) -> Box<dyn Operator> {
    let mut operator = build(&plan.window, true).unwrap();
    operator.follow(follow(plan));
    operator
}

/// Stops, and goes on from a snapshot; the driver says again how far time has come.
fn restarted(plan: &FeaturePlan, before: &dyn Operator, refreshed: i64) -> Box<dyn Operator> {
    let mut after = operator(plan);
    after.restore(&before.snapshot().unwrap()).unwrap();
    after.refresh(EventTime(refreshed));
    after
}

/// The newest closed window is shown, not one that is still open: events that are closed by now.
fn closed(shape: Shape, known: &[Event], watermark: i64) -> Vec<Event> {
    let Shape::Tumble(s) = shape else { return known.to_vec() };
    let end = |e: &Event| (e.second.div_euclid(s) + 1) * s;
    known.iter().filter(|e| end(e) <= watermark).copied().collect()
}

#[test]
fn stored_values_are_those_of_the_moment_last_refreshed_to() {
    let mut spared = 0;
    for seed in 0..cases() * 2 {
        let mut random = Random::new(seed);
        let length = random.pick(&[1i64, 3, 10, 40]);
        let shape = match random.below(3) {
            0 => Shape::Range(length),
            1 => Shape::Rows(length as usize % 7),
            _ => Shape::Tumble(length),
        };
        let ttl = random.one_in(2).then(|| random.pick(&[1i64, 5, 20, 60]));
        let base = plan(&sql(shape)).unwrap();
        let plan = match ttl {
            Some(ttl) => base.with_ttl(ttl * SECOND),
            None => base,
        };
        let mut store = Store { plan: plan.clone(), held: BTreeMap::new(), written: Vec::new() };
        let mut operator = operator(&plan);
        let (mut known, mut watermark) = (Vec::<Event>::new(), -1_000i64);
        let (mut now, mut refreshed, mut offset) = (0i64, i64::MIN, 0);
        for _ in 0..40 {
            // Rows, some of them out of order but none behind the watermark.
            let mut rows = Vec::new();
            for _ in 0..random.below(4) {
                now += random.below(6) as i64;
                let second = (now - random.below(4) as i64).max(watermark);
                let taken = known.iter().chain(&rows).any(|e: &Event| e.second == second);
                if !taken {
                    let amount = (!random.one_in(6)).then(|| random.below(100) as f64);
                    rows.push(Event { user: random.below(4) as i64, second, amount });
                }
            }
            let step = plan.preparation.evaluate(&batch(&rows)).unwrap();
            let step = numbered(&step, offset);
            offset += rows.len() as i64;
            operator.on_batch(&step).unwrap();
            known.extend(&rows);
            if random.one_in(2) {
                watermark = watermark.max(now - 4 - random.below(3) as i64);
                operator.on_watermark(EventTime(watermark * SECOND), &mut vec![]).unwrap();
            }
            store.take(operator.drain_current().unwrap());
            if random.one_in(3) {
                operator = restarted(&plan, operator.as_ref(), refreshed);
                store.take(operator.drain_current().unwrap());
            }
            if random.one_in(2) {
                continue;
            }
            now += random.pick(&[0i64, 1, 3, 12, 45]);
            let at = now * SECOND + random.below(3) as i64 - 1;
            let before = store.held.clone();
            operator.refresh(EventTime(at));
            store.take(operator.drain_current().unwrap());
            refreshed = refreshed.max(at);
            let what = format!("seed {seed}: {shape:?} ttl {ttl:?} at {refreshed}");
            let seen = closed(shape, &known, watermark);
            check(&store, shape, ttl, &seen, refreshed, &what);
            for user in &store.written {
                let (old, new) = (&before[user], &store.held[user]);
                let same = old.values == new.values && old.present == new.present;
                // An equal value can leave with one row and come with another.
                spared += usize::from(!same);
            }
            spared += before.len() - store.written.len().min(before.len());
        }
    }
    assert!(spared > 0, "nothing was tried");
}

/// Other offsets than those of the batches before.
fn numbered(step: &arrow::array::RecordBatch, offset: i64) -> arrow::array::RecordBatch {
    let at = step.schema().index_of("_offset").unwrap();
    let mut columns = step.columns().to_vec();
    let rows = step.num_rows() as i64;
    columns[at] = std::sync::Arc::new(Int64Array::from_iter_values(offset..offset + rows));
    arrow::array::RecordBatch::try_new(step.schema(), columns).unwrap()
}

/// Times in the naive model are seconds; a refresh may fall a microsecond beside one.
fn check(store: &Store, shape: Shape, ttl: Option<i64>, known: &[Event], at: i64, what: &str) {
    let micro = |e: &Event| Event { second: e.second * SECOND, ..*e };
    let fine: Vec<Event> = known.iter().map(micro).collect();
    for user in 0..4 {
        let own: Vec<Event> = fine.iter().filter(|e| e.user == user).copied().collect();
        let Some(held) = store.held.get(&user) else {
            assert!(own.is_empty(), "{what}: {user} was never written");
            continue;
        };
        // Never behind the newest row: what is ahead of serving time is written at once.
        let newest = own.iter().map(|e| e.second).max().unwrap_or(at);
        let shape = match shape {
            Shape::Range(s) => Shape::Range(s * SECOND),
            Shape::Tumble(s) => Shape::Tumble(s * SECOND),
            rows => rows,
        };
        let end = |e: &Event| match shape {
            Shape::Tumble(s) => (e.second.div_euclid(s) + 1) * s,
            _ => e.second,
        };
        let at = at.max(own.iter().map(end).max().unwrap_or(newest));
        let ttl = ttl.map(|ttl| ttl * SECOND);
        let (values, present) = naive(shape, ttl, &fine, user, at, Bound::Inclusive);
        let values = unscaled(values);
        assert_eq!((&held.values, held.present), (&values, present), "{what}: {user}");
    }
}

/// The naive model multiplies times by a second.
fn unscaled(values: Vec<Val>) -> Vec<Val> {
    let (numbers, times) = values.split_at(2);
    let time = |value: &Val| match value {
        Val::Int(time) => Val::Int(time / i128::from(SECOND)),
        other => other.clone(),
    };
    numbers.iter().cloned().chain(times.iter().map(time)).collect()
}

/// A feature of one frame over rows (key 1, time, value).
fn framed(frame: FrameSpec) -> FeaturePlan {
    let mut plan = plan(&sql(Shape::Range(10))).unwrap();
    let WindowSpec::Trailing(spec) = &mut plan.window else { panic!("a trailing window") };
    spec.frames = vec![frame];
    plan
}

fn one(second: i64) -> Event {
    Event { user: 1, second, amount: Some(1.0) }
}

/// Moments (µs) from the newest row on at which the current value of a key is written anew.
fn moments(plan: &FeaturePlan, seconds: &[i64], until: i64) -> Vec<(i64, Val)> {
    let mut operator = operator(plan);
    let rows: Vec<Event> = seconds.iter().copied().map(one).collect();
    operator.on_batch(&plan.preparation.evaluate(&batch(&rows)).unwrap()).unwrap();
    operator.drain_current().unwrap().unwrap();
    let mut found = Vec::new();
    let key: Vec<ArrayRef> = vec![std::sync::Arc::new(Int64Array::from(vec![1]))];
    for at in seconds[seconds.len() - 1] * SECOND..until {
        operator.refresh(EventTime(at));
        let Some(current) = operator.drain_current().unwrap() else { continue };
        assert_eq!(current.as_of, [EventTime(at)]);
        let probed = operator.probe(&key, &[EventTime(at)], Bound::Inclusive).unwrap();
        assert_eq!(line(&current.rows, 0), line(&probed.rows, 0), "as a probe at {at}");
        let slot = current.rows.column_by_name("a0").unwrap();
        found.push((at, crate::operator::oracle::val(slot, 0)));
    }
    found
}

/// Frames in µs, so that every moment can be tried.
#[test]
fn values_change_the_moment_after_a_row_leaves_and_when_one_enters() {
    let range =
        |preceding_us, until_us| FrameSpec::of(FrameExtent::Range { preceding_us, until_us });
    let now = 5 * SECOND;
    let plain = framed(range(Some(10), 0));
    assert_eq!(moments(&plain, &[5], now + 40), [(now + 11, int(0))]);
    // A frame that ends before the current row gains it later, and loses it later still.
    let delayed = framed(range(Some(10), 3));
    assert_eq!(moments(&delayed, &[5], now + 40), [(now + 3, int(1)), (now + 11, int(0))]);
    let endless = framed(range(None, 3));
    assert_eq!(moments(&endless, &[5], now + 40), [(now + 3, int(1))]);
    let excluding =
        FrameSpec { exclude: crate::plan::dataflow::Exclude::CurrentRow, ..range(Some(10), 0) };
    let excluding = framed(excluding);
    assert_eq!(moments(&excluding, &[5], now + 40), [(now + 1, int(1)), (now + 11, int(0))]);
    let few = FrameSpec { rows_max: Some(1), ..range(Some(2 * SECOND), 0) };
    let few = framed(few);
    // Two rows are near enough, one of them counts: the other one's leaving is not noticed.
    let until = 5 * SECOND + 10;
    assert_eq!(moments(&few, &[4, 5], until), []);
    assert!(moments(&framed(FrameSpec::rows(Some(3))), &[5], now + 40).is_empty());
    assert!(moments(&framed(range(None, 0)), &[5], now + 40).is_empty());
}

#[test]
fn a_key_is_forgotten_only_after_its_last_value_was_taken() {
    let plan = plan(&sql(Shape::Range(10))).unwrap();
    let mut operator = operator(&plan);
    operator.on_batch(&plan.preparation.evaluate(&batch(&[one(0)])).unwrap()).unwrap();
    assert!(operator.drain_current().unwrap().is_some());
    let other = [Event { user: 2, second: 100, amount: None }];
    let step = numbered(&plan.preparation.evaluate(&batch(&other)).unwrap(), 1);
    operator.on_batch(&step).unwrap();
    operator.on_watermark(EventTime(90 * SECOND), &mut vec![]).unwrap();
    operator.drain_current().unwrap();
    assert_eq!(operator.key_count(), 2, "the count of key 1 has not been seen to fall to 0");
    operator.refresh(EventTime(100 * SECOND));
    let current = operator.drain_current().unwrap().unwrap();
    assert_eq!(current.newest, [Some(0)]);
    assert!(current.rows.column_by_name("_time").unwrap().is_null(0));
    operator.on_watermark(EventTime(95 * SECOND), &mut vec![]).unwrap();
    assert_eq!(operator.key_count(), 1);
    operator.refresh(EventTime(200 * SECOND));
    assert_eq!(operator.drain_current().unwrap().unwrap().newest, [Some(100 * SECOND)]);
    operator.refresh(EventTime(900 * SECOND));
    assert!(operator.drain_current().unwrap().is_none(), "nothing is left to change");
}
