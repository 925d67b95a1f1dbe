//! Training sets over a stored log against a naive recomputation per label: several features of
//! one source, with shared state and without, under other keys, by what was known.

use std::collections::BTreeMap;

use arrow::array::{Float64Array, Int32Array, Int64Array};

use datafusion::physical_plan::collect;

use super::*;
use crate::batch::backfill::{TimeRange, final_rows};
use crate::catalog::source::SourceDef;
use crate::operator::answer::tests::{
    Event, SECOND, Shape, Trial, batch, int, line, naive, sql, trial,
};
use crate::operator::oracle::Val;
use crate::operator::trial::{Random, cases};
use crate::plan::fixture::{plan, transactions};
use crate::plan::session::{SessionOptions, session};
use crate::source::admit::Floor;

/// A log of some events as Parquet, each with the second at which it arrived.
pub async fn history(directory: &std::path::Path, events: &[Event], arrived: &[i64]) -> History {
    let rows = batch(events);
    let mut columns = rows.columns().to_vec();
    let arrived = arrived.iter().map(|second| second * SECOND);
    let last = columns.len() - 1;
    columns[last] =
        Arc::new(TimestampMicrosecondArray::from_iter_values(arrived).with_timezone("UTC"));
    let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
    let path = directory.join("log.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    let mut def: SourceDef = transactions();
    def.options.history = Some(path.display().to_string());
    let found = History::find(&Arc::new(def), None).await.unwrap();
    assert_eq!(found.kind, HistoryKind::Log { timestamps: true });
    found
}

pub struct Asked {
    pub users: Vec<Option<i64>>,
    pub seconds: Vec<Option<i64>>,
}

pub fn asked(random: &mut Random, events: &[Event]) -> Asked {
    let count = random.below(30) as usize;
    // User 9 is never seen.
    let user = |random: &mut Random| (!random.one_in(10)).then(|| random.pick(&[0i64, 1, 2, 3, 9]));
    let users = (0..count).map(|_| user(random)).collect();
    let second = |random: &mut Random| {
        let near = random.pick(events).second;
        (!random.one_in(10)).then(|| near + random.below(60) as i64 - 20)
    };
    let seconds = (0..count).map(|_| second(random)).collect();
    Asked { users, seconds }
}

/// Labels cut into batches, with keys of another type and a column of their own.
fn labels(random: &mut Random, asked: &Asked) -> Labels {
    let times = asked.seconds.iter().map(|second| second.map(|s| s * SECOND));
    let ids: ArrayRef = match random.below(3) {
        0 => Arc::new(Int64Array::from(asked.users.clone())),
        1 => {
            let users = asked.users.iter().map(|user| user.map(|user| user as i32));
            Arc::new(Int32Array::from_iter(users))
        }
        _ => {
            let users = asked.users.iter().map(|user| user.map(|user| user as f64));
            Arc::new(Float64Array::from_iter(users))
        }
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("label", Arc::new(Int64Array::from_iter_values(0..asked.users.len() as i64))),
        ("customer", ids),
        ("at", Arc::new(TimestampMicrosecondArray::from_iter(times))),
    ];
    let rows = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let mut batches = Vec::new();
    let mut at = 0;
    while at < rows.num_rows() {
        let count = (1 + random.below(12) as usize).min(rows.num_rows() - at);
        batches.push(rows.slice(at, count));
        at += count;
    }
    Labels { schema: rows.schema(), batches }
}

pub fn plans(shapes: &[(Shape, Option<i64>)]) -> Vec<FeaturePlan> {
    let planned = shapes.iter().enumerate().map(|(i, (shape, ttl))| {
        let mut plan = plan(&sql(*shape)).unwrap();
        plan.feature = format!("f{i}");
        match ttl {
            Some(ttl) => plan.with_ttl(ttl * SECOND),
            None => plan,
        }
    });
    planned.collect()
}

async fn rows_of(
    random: &mut Random,
    labels: &Labels,
    shapes: &[(Shape, Option<i64>)],
    history: &History,
    lookup: Lookup,
) -> (Vec<RecordBatch>, Vec<Found>) {
    let renamed = [("user_id".to_owned(), "customer".to_owned())];
    let wanted: Vec<Wanted> = plans(shapes)
        .into_iter()
        .map(|plan| {
            // Every column but the key: values and times.
            let columns = (0..plan.schema().fields().len())
                .filter(|i| plan.schema().field(*i).name() != "user_id")
                .collect();
            labels.wanted(plan, columns, &renamed).unwrap()
        })
        .collect();
    let options = SessionOptions {
        target_partitions: 1 + random.below(3) as usize,
        batch_size: random.pick(&[2usize, 9, 8192]),
        ..SessionOptions::default()
    };
    let context = session(vec![], &options);
    let times = labels.times("at").unwrap();
    let histories = BTreeMap::from([("transactions".to_owned(), history.clone())]);
    let done = Arc::default();
    let found = features_at(&context, &wanted, &histories, &times, lookup, &done).await.unwrap();
    let naming = Naming { full_names: true, status: true };
    let schema = training_schema(&labels.schema, &wanted, naming).unwrap();
    (training_rows(labels, &found, &schema, naming).unwrap(), found)
}

/// The columns of one feature in one row of a training set: values, then status.
fn expected(
    (shape, ttl): (Shape, Option<i64>),
    known: &[Event],
    user: Option<i64>,
    second: Option<i64>,
    bound: Bound,
) -> (Vec<Val>, bool) {
    // Neither user −1 nor a row before the beginning is ever seen.
    let (user, second) = match (user, second) {
        (Some(user), Some(second)) => (user, second),
        _ => (-1, -1_000_000),
    };
    naive(shape, ttl, known, user, second, bound)
}

async fn check(seed: u64, by_knowledge: bool) {
    let mut random = Random::new(seed);
    let Trial { shapes, events } = trial(&mut random);
    let delays: Vec<i64> = events.iter().map(|_| random.below(40) as i64).collect();
    let arrived: Vec<i64> = events.iter().zip(&delays).map(|(e, delay)| e.second + delay).collect();
    let directory = tempfile::tempdir().unwrap();
    let history = history(directory.path(), &events, &arrived).await;
    let asked = asked(&mut random, &events);
    let labels = labels(&mut random, &asked);
    let bound = random.pick(&[Bound::Strict, Bound::Inclusive]);
    let lag = random.below(30) as i64;
    let known_lag_us = by_knowledge.then_some(lag * SECOND);
    let lookup = Lookup { bound, known_lag_us };
    let (rows, found) = rows_of(&mut random, &labels, &shapes, &history, lookup).await;
    let lines: Vec<Vec<Val>> =
        rows.iter().flat_map(|rows| (0..rows.num_rows()).map(|row| line(rows, row))).collect();
    assert_eq!(lines.len(), asked.users.len(), "seed {seed}: one row per label");
    for (row, line) in lines.iter().enumerate() {
        assert_eq!(line[0], int(row as i64), "seed {seed}: in the order of the labels");
        let (user, second) = (asked.users[row], asked.seconds[row]);
        let counts =
            |i: &usize| !by_knowledge || second.is_some_and(|second| arrived[*i] <= second + lag);
        let known: Vec<Event> = (0..events.len()).filter(counts).map(|i| events[i]).collect();
        let mut at = labels.schema.fields().len();
        for (feature, shape) in shapes.iter().enumerate() {
            let (values, present) = expected(*shape, &known, user, second, bound);
            let what = format!(
                "seed {seed}, label {row}: f{feature} {shape:?} of {user:?} at {second:?} {bound:?}"
            );
            assert_eq!(&line[at..at + values.len()], &values[..], "{what}");
            at += values.len();
            let status = found[feature].status[row];
            assert_eq!(status == Status::Present, present, "{what}");
            assert_eq!(line[at], Val::Bytes(status.name().into()), "{what}");
            at += 1;
        }
    }
    if bound == Bound::Strict {
        assert_eq!(at_or_after(&found, &labels.times("at").unwrap()), 0, "seed {seed}: leakage");
    }
}

#[tokio::test]
async fn a_training_set_is_the_log_recomputed_for_each_label() {
    for seed in 0..cases() / 2 {
        check(seed, false).await;
    }
}

#[tokio::test]
async fn by_knowledge_only_what_had_arrived_counts() {
    for seed in 0..cases() / 2 {
        check(seed ^ 0xa11, true).await;
    }
}

#[tokio::test]
async fn labels_at_event_times_leak_only_when_told_to() {
    let events: Vec<Event> =
        (0..5).map(|i| Event { user: 1, second: i * 10, amount: Some(i as f64) }).collect();
    let directory = tempfile::tempdir().unwrap();
    let arrived: Vec<i64> = events.iter().map(|e| e.second).collect();
    let history = history(directory.path(), &events, &arrived).await;
    let asked = Asked { users: vec![Some(1); 3], seconds: vec![Some(10), Some(15), Some(40)] };
    let mut random = Random::new(1);
    let labels = labels(&mut random, &asked);
    let shapes = [(Shape::Range(100), None)];
    for (bound, leaks, sums) in
        [(Bound::Strict, 0, [0.0, 1.0, 6.0]), (Bound::Inclusive, 2, [1.0, 1.0, 10.0])]
    {
        let lookup = Lookup { bound, known_lag_us: None };
        let (rows, found) = rows_of(&mut random, &labels, &shapes, &history, lookup).await;
        let times = labels.times("at").unwrap();
        assert_eq!(at_or_after(&found, &times), leaks, "{bound:?}");
        let lines: Vec<Vec<Val>> =
            rows.iter().flat_map(|rows| (0..rows.num_rows()).map(|row| line(rows, row))).collect();
        let found: Vec<Val> = lines.iter().map(|line| line[4].clone()).collect();
        assert_eq!(found, sums.map(|sum: f64| Val::Float(sum.to_bits())), "{bound:?}");
    }
}

#[tokio::test]
async fn floors_that_an_engine_has_set_are_part_of_a_foreign_log() {
    let event = |second: i64| Event { user: 1, second, amount: None };
    let events = [1_000, 2_000, 2_005, 2_010, 2_009].map(event);
    let directory = tempfile::tempdir().unwrap();
    let arrived: Vec<i64> = events.iter().map(|e| e.second).collect();
    let history = history(directory.path(), &events, &arrived).await;
    let context = session(vec![], &SessionOptions::default());
    for (floors, admitted) in [
        (vec![], 5),
        // From the third record on nothing before 2,010 is in time, then nothing before 2,011.
        (vec![(2, 2_010)], 3),
        (vec![(2, 2_006), (4, 2_010)], 3),
        (vec![(3, 2_011)], 3),
    ] {
        let floor = |(from_offset, second)| Floor { from_offset, time: second * SECOND };
        let floors: Vec<Floor> = floors.into_iter().map(floor).collect();
        let history = history.clone().with_floors(BTreeMap::from([(0, floors.clone())]));
        let before = history.counts();
        let plan = history.admitted(&context, None, None).await.unwrap();
        let rows = collect(plan, context.task_ctx()).await.unwrap();
        let rows: usize = rows.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, admitted, "{floors:?}");
        assert_eq!(history.counts().late - before.late, 5 - admitted as u64, "{floors:?}");
    }
}

/// Amounts whose sums depend on the order of addition.
fn uneven(events: &mut [Event]) {
    for event in events {
        event.amount = event.amount.map(|amount| amount / 7.0);
    }
}

#[tokio::test]
async fn inclusive_labels_at_event_times_have_the_final_rows() {
    for seed in 0..cases() / 4 {
        let mut random = Random::new(seed ^ 0xf1);
        let Trial { mut shapes, mut events } = trial(&mut random);
        uneven(&mut events);
        shapes.retain(|(shape, _)| !matches!(shape, Shape::Tumble(_)));
        shapes.push((Shape::Range(10), None));
        shapes.iter_mut().for_each(|(_, ttl)| *ttl = None);
        let directory = tempfile::tempdir().unwrap();
        let arrived: Vec<i64> = events.iter().map(|e| e.second).collect();
        let history = history(directory.path(), &events, &arrived).await;
        let users = events.iter().map(|e| Some(e.user)).collect();
        let asked = Asked { users, seconds: arrived.into_iter().map(Some).collect() };
        let labels = labels(&mut random, &asked);
        let lookup = Lookup { bound: Bound::Inclusive, known_lag_us: None };
        let (rows, _) = rows_of(&mut random, &labels, &shapes, &history, lookup).await;
        let lines: Vec<Vec<Val>> =
            rows.iter().flat_map(|rows| (0..rows.num_rows()).map(|row| line(rows, row))).collect();
        for (feature, plan) in plans(&shapes).iter().enumerate() {
            let context = session(vec![], &SessionOptions::default());
            let finals = final_rows(&context, plan, &history, TimeRange::default()).await.unwrap();
            let finals = collect(finals, context.task_ctx()).await.unwrap();
            // user_id, n, s, last, event_time; one row per event, at times of their own.
            let finals: BTreeMap<String, Vec<Val>> = finals
                .iter()
                .flat_map(|rows| (0..rows.num_rows()).map(|row| line(rows, row)))
                .map(|line| (format!("{:?}", line[4]), line))
                .collect();
            assert_eq!(finals.len(), events.len(), "seed {seed}");
            for (label, event) in lines.iter().zip(&events) {
                let at = labels.schema.fields().len() + 5 * feature;
                let row = &finals[&format!("{:?}", int(event.second * SECOND))];
                assert_eq!(row[0], int(event.user), "seed {seed}");
                assert_eq!(label[at..at + 4], row[1..], "seed {seed}: {:?}", shapes[feature]);
            }
        }
    }
}

#[test]
fn features_and_columns_are_chosen_by_name() {
    let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let chosen = choices(&texts(&["b:x", "a", "b:y", "a:z"])).unwrap();
    let names: Vec<_> = chosen.iter().map(|choice| choice.feature.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(chosen[0].columns, Some(texts(&["x", "y"])));
    assert_eq!(chosen[1].columns, None, "all of a");
    assert!(choices(&texts(&["a:"])).is_err() && choices(&texts(&[""])).is_err());
    let plan = plans(&[(Shape::Range(1), None)]).remove(0);
    let column = |name: &str| {
        let columns = Some(vec![name.to_owned()]);
        chosen_columns(&plan, &FeatureChoice { feature: "f0".to_owned(), columns })
    };
    assert_eq!(column("s").unwrap(), [2]);
    assert_eq!(column("event_time").unwrap(), [4]);
    assert_eq!(column("user_id").unwrap_err().message(), "feature 'f0' has no value 'user_id'");
    assert!(column("lasst").unwrap_err().hint().unwrap().contains("last"));
}

#[test]
fn columns_that_collide_are_an_error_that_names_both() {
    let asked = Asked { users: vec![Some(1)], seconds: vec![Some(1)] };
    let labels = labels(&mut Random::new(0), &asked);
    let renamed = [("user_id".to_owned(), "customer".to_owned())];
    let wanted: Vec<Wanted> = plans(&[(Shape::Range(1), None), (Shape::Rows(2), None)])
        .into_iter()
        .map(|plan| labels.wanted(plan, vec![1], &renamed).unwrap())
        .collect();
    let error = training_schema(&labels.schema, &wanted, Naming::default()).unwrap_err();
    assert_eq!(error.message(), "two columns called 'n': feature 'f0' and feature 'f1'");
    let full = Naming { full_names: true, status: true };
    let schema = training_schema(&labels.schema, &wanted, full).unwrap();
    let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let expected = ["label", "customer", "at", "f0__n", "f0__status", "f1__n", "f1__status"];
    assert_eq!(names, expected);
    let missing = labels.wanted(wanted[0].plan.clone(), vec![1], &[]).unwrap_err();
    assert_eq!(missing.message(), "the labels have no column 'user_id', the key of 'f0'");
    assert!(missing.hint().unwrap().contains("--key user_id="));
}
