//! Random logs and requests: the answers of a pass against the exact model of trailing windows
//! recomputed per request, against the same operator streamed and probed, and against what was
//! known at the time.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use datafusion::datasource::memory::MemorySourceConfig;

use super::*;
use crate::operator::answer::Reader;
use crate::operator::build;
use crate::operator::operator::Bound;
use crate::operator::oracle::{Row, Val, val};
use crate::operator::trailing_window::tests::{probe_line, random_spec};
use crate::operator::trial::{Data, Random, cases, data, some_keys};
use crate::plan::dataflow::{Projection, TrailingSpec, WindowSpec};
use crate::plan::session::{SessionOptions, session};

/// A reader that gives every column of the result batch.
fn everything(window: &WindowSpec) -> Reader {
    let schema = window.result_schema();
    let fields = schema.fields().iter().enumerate();
    let column = |(i, f): (usize, &Arc<Field>)| {
        Arc::new(datafusion::physical_expr::expressions::Column::new(f.name(), i)) as _
    };
    let expressions = fields.map(column).collect();
    Reader::unlimited(window, Projection { expressions, schema })
}

fn context(random: &mut Random) -> SessionContext {
    let options = SessionOptions {
        target_partitions: 1 + random.below(3) as usize,
        batch_size: random.pick(&[1usize, 3, 10, 8192]),
        ..SessionOptions::default()
    };
    session(vec![], &options)
}

struct Trial {
    spec: TrailingSpec,
    data: Data,
    /// When each row was known.
    known: Vec<i64>,
    /// Keys to ask for: as step rows.
    keys: RecordBatch,
    times: Vec<Option<i64>>,
}

fn trial(random: &mut Random) -> Trial {
    let spec = random_spec(random);
    let window = WindowSpec::Trailing(spec.clone());
    let (data, other) = (data(random, &window), data(random, &window));
    let count = random.below(40) as usize;
    let keys = some_keys(random, &data, &other, count);
    let near = data.rows.iter().map(|row| row.time).collect::<Vec<_>>();
    let time = |random: &mut Random| {
        let near = random.pick(&near);
        (!random.one_in(12)).then(|| near + random.below(12) as i64 - 4)
    };
    let times = (0..count).map(|_| time(random)).collect();
    let slow = random.pick(&[0u64, 5, 40]);
    let known = data.rows.iter().map(|row| row.time + random.below(slow + 1) as i64).collect();
    Trial { spec, data, known, keys, times }
}

fn layout(trial: &Trial, bound: Bound, by_knowledge: bool) -> Layout {
    Layout { key_types: trial.spec.key_types.clone(), bound, by_knowledge }
}

/// The rows of the log as an unordered plan of a few partitions.
fn rows(random: &mut Random, trial: &Trial, layout: &Layout) -> Arc<dyn ExecutionPlan> {
    let schema = pass_schema(layout, &trial.spec.value_types);
    let mut columns = trial.data.step.columns().to_vec();
    if layout.by_knowledge {
        let known = TimestampMicrosecondArray::from(trial.known.clone()).with_timezone("UTC");
        columns.push(Arc::new(known));
    }
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let mut parts = vec![Vec::new(); 1 + random.below(3) as usize];
    let mut at = 0;
    while at < batch.num_rows() {
        let count = (1 + random.below(50) as usize).min(batch.num_rows() - at);
        let part = random.below(parts.len() as u64) as usize;
        parts[part].push(batch.slice(at, count));
        at += count;
    }
    MemorySourceConfig::try_new_exec(&parts, schema, None).unwrap()
}

fn requests(trial: &Trial) -> Requests {
    let keys = trial.keys.columns()[..trial.spec.key_types.len()].to_vec();
    let times = TimestampMicrosecondArray::from(trial.times.clone()).with_timezone("UTC");
    Requests { keys, times }
}

fn key_of(trial: &Trial, row: usize) -> Vec<Val> {
    let keys = &trial.keys.columns()[..trial.spec.key_types.len()];
    keys.iter().map(|column| val(column, row)).collect()
}

/// What the contract says about one request: its line, and whether there is a row.
fn expected(trial: &Trial, row: usize, bound: Bound, known: &[Row]) -> (Vec<Val>, bool) {
    let key = key_of(trial, row);
    match trial.times[row].filter(|_| !key.contains(&Val::Null)) {
        Some(time) => probe_line(&trial.spec, known, &key, time, bound),
        None => {
            let nobody = vec![Val::Null; key.len()];
            let (line, _) = probe_line(&trial.spec, &[], &nobody, 0, bound);
            (line, false)
        }
    }
}

fn line(found: &Found, row: usize) -> Vec<Val> {
    found.columns.iter().map(|column| val(column, row)).collect()
}

fn asked(spec: &TrailingSpec) -> Vec<Asked> {
    let window = WindowSpec::Trailing(spec.clone());
    let readers = vec![everything(&window)];
    vec![Asked { window, values: (0..spec.value_types.len()).collect(), readers }]
}

async fn answers(random: &mut Random, trial: &Trial, layout: &Layout) -> Found {
    let pass = Pass {
        layout: layout.clone(),
        rows: rows(random, trial, layout),
        asked: asked(&trial.spec),
        requests: requests(trial),
    };
    let done = Arc::new(AtomicU64::new(0));
    let mut found = run(&context(random), vec![pass], &done).await.unwrap();
    found.remove(0).remove(0)
}

#[tokio::test]
async fn a_pass_answers_as_the_log_recomputed_for_each_request() {
    for seed in 0..cases() {
        let mut random = Random::new(seed);
        let trial = trial(&mut random);
        let bound = random.pick(&[Bound::Strict, Bound::Inclusive]);
        let found = answers(&mut random, &trial, &layout(&trial, bound, false)).await;
        for row in 0..trial.times.len() {
            let (values, present) = expected(&trial, row, bound, &trial.data.rows);
            let what = format!("seed {seed}, request {row} at {:?} {bound:?}", trial.times[row]);
            assert_eq!(line(&found, row), values, "{what}");
            if present {
                assert_eq!(found.status[row], Status::Present, "{what}");
            }
            let (newest, time) = (found.newest.is_valid(row), trial.times[row]);
            if newest && bound == Bound::Strict {
                assert!(found.newest.value(row) < time.unwrap(), "{what}: the future is seen");
            }
        }
    }
}

#[tokio::test]
async fn a_pass_by_knowledge_sees_only_what_was_known() {
    for seed in 0..cases() {
        let mut random = Random::new(seed ^ 0x5eed);
        let trial = trial(&mut random);
        let bound = random.pick(&[Bound::Strict, Bound::Inclusive]);
        let found = answers(&mut random, &trial, &layout(&trial, bound, true)).await;
        for row in 0..trial.times.len() {
            let time = trial.times[row].unwrap_or(0);
            let known = trial.data.rows.iter().zip(&trial.known);
            let known = known.filter(|(_, known)| **known <= time);
            let known: Vec<Row> = known.map(|(row, _)| row.clone()).collect();
            let (values, _) = expected(&trial, row, bound, &known);
            assert_eq!(line(&found, row), values, "seed {seed}, request {row} at {time} {bound:?}");
        }
    }
}

#[tokio::test]
async fn a_pass_answers_as_the_stream_probed_at_that_moment() {
    for seed in 0..cases() / 2 {
        let mut random = Random::new(seed ^ 0xfeed);
        let trial = trial(&mut random);
        let found = answers(&mut random, &trial, &layout(&trial, Bound::Inclusive, false)).await;
        let window = WindowSpec::Trailing(trial.spec.clone());
        let mut operator = build(&window, false).unwrap();
        operator.on_batch(&trial.data.step).unwrap();
        let mut order: Vec<usize> =
            (0..trial.times.len()).filter(|row| trial.times[*row].is_some()).collect();
        order.sort_by_key(|row| trial.times[*row]);
        for row in order {
            if key_of(&trial, row).contains(&Val::Null) {
                continue;
            }
            let time = EventTime(trial.times[row].unwrap());
            // Everything before this time is final and, if nothing needs it, gone.
            operator.on_watermark(time, &mut vec![]).unwrap();
            let key = trial.keys.slice(row, 1);
            let key = &key.columns()[..trial.spec.key_types.len()];
            let probed = operator.probe(key, &[time], Bound::Inclusive).unwrap();
            let answered = everything(&window).answer(&probed, &[time]).unwrap();
            let streamed: Vec<Val> = answered.rows.columns().iter().map(|c| val(c, 0)).collect();
            assert_eq!(line(&found, row), streamed, "seed {seed}, request {row} at {time}");
        }
    }
}

#[tokio::test]
async fn a_request_at_the_time_of_an_event_sees_its_last_final_row() {
    for seed in 0..cases() / 2 {
        let mut random = Random::new(seed ^ 0xf1a1);
        let mut trial = trial(&mut random);
        // One request per row of the log, at its key and time.
        trial.keys = trial.data.step.clone();
        trial.times = trial.data.rows.iter().map(|row| Some(row.time)).collect();
        let found = answers(&mut random, &trial, &layout(&trial, Bound::Inclusive, false)).await;
        let mut operator = build(&WindowSpec::Trailing(trial.spec.clone()), false).unwrap();
        operator.on_batch(&trial.data.step).unwrap();
        let mut finals = Vec::new();
        operator.on_watermark(EventTime::INFINITY, &mut finals).unwrap();
        let finals = crate::operator::trial::lines(&finals);
        for (row, event) in trial.data.rows.iter().enumerate() {
            if event.key.contains(&Val::Null) {
                continue;
            }
            let seen = line(&found, row);
            // Rows of equal key and time may differ where they are told apart; the newest is
            // among them.
            assert!(finals.contains(&seen), "seed {seed}, row {row}: {seen:?} is no final row");
        }
    }
}

#[tokio::test]
async fn what_comes_at_or_after_a_request_changes_nothing() {
    for seed in 0..cases() / 2 {
        let mut random = Random::new(seed ^ 0x1eaf);
        let mut trial = trial(&mut random);
        let layout = layout(&trial, Bound::Strict, false);
        // All requests from one time on; the rows from then on are what may change.
        let Some(cut) = trial.times.iter().flatten().max().copied() else { continue };
        trial.times.iter_mut().for_each(|time| *time = time.map(|_| cut));
        let before = answers(&mut random, &trial, &layout).await;
        let lines = |found: &Found| (0..trial.times.len()).map(|r| line(found, r)).collect();
        let expected: Vec<Vec<Val>> = lines(&before);
        let mut keep: Vec<bool> = trial.data.rows.iter().map(|row| row.time < cut).collect();
        // Remove some, and change the values of others by exchanging them.
        for keep in &mut keep {
            *keep |= random.one_in(3);
        }
        let window = WindowSpec::Trailing(trial.spec.clone());
        let other = data(&mut random, &window);
        let mut changed = filter_record_batch(&trial.data.step, &keep.into()).unwrap();
        // Add others, of whatever key, at and after that time.
        let added = other.step.num_rows();
        let fixed = trial.spec.key_types.len();
        let mut columns = other.step.columns().to_vec();
        let later = (0..added).map(|_| cut + random.below(5) as i64).collect::<Vec<_>>();
        columns[fixed] = Arc::new(TimestampMicrosecondArray::from(later).with_timezone("UTC"));
        columns[fixed + 1] = Arc::new(Int32Array::from(vec![7; added]));
        columns[fixed + 2] = Arc::new(Int64Array::from_iter_values(0..added as i64));
        let added = RecordBatch::try_new(changed.schema(), columns).unwrap();
        changed = arrow::compute::concat_batches(&changed.schema(), [&changed, &added]).unwrap();
        trial.data.step = changed;
        let after: Vec<Vec<Val>> = lines(&answers(&mut random, &trial, &layout).await);
        assert_eq!(after, expected, "seed {seed}: rows from {cut} on are seen");
    }
}

#[tokio::test]
async fn a_key_of_many_rows_is_trimmed_and_answers_the_same() {
    use crate::aggregate::kind::{AggregateKind, AggregateSpec};
    use crate::plan::dataflow::{FrameSpec, SlotSpec};
    let sum = AggregateSpec::plain(AggregateKind::Sum, Some(0), DataType::Int64, DataType::Int64);
    let frames = [Some(9), None].map(FrameSpec::range);
    let slots = (0..2).map(|frame| SlotSpec { frame, aggregate: sum.clone() }).collect();
    let spec = TrailingSpec {
        key_types: vec![DataType::Utf8],
        value_types: vec![DataType::Int64],
        frames: frames.to_vec(),
        slots,
        carried: vec![0],
    };
    let rows = 700_000i64;
    let layout =
        Layout { key_types: spec.key_types.clone(), bound: Bound::Strict, by_knowledge: false };
    let schema = pass_schema(&layout, &spec.value_types);
    let mut batches = Vec::new();
    for from in (0..rows).step_by(8192) {
        let numbers = || from..(from + 8192).min(rows);
        let count = numbers().count();
        let times = TimestampMicrosecondArray::from_iter_values(numbers()).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["all"; count])),
            Arc::new(times),
            Arc::new(Int32Array::from(vec![0; count])),
            Arc::new(Int64Array::from_iter_values(numbers())),
            Arc::new(Int64Array::from_iter_values(numbers())),
        ];
        batches.push(RecordBatch::try_new(schema.clone(), columns).unwrap());
    }
    let plan = MemorySourceConfig::try_new_exec(&[batches], schema, None).unwrap();
    let times = vec![5i64, 10, 300_000, 300_000, 690_000, 800_000];
    let requests = Requests {
        keys: vec![Arc::new(StringArray::from(vec!["all"; times.len()]))],
        times: TimestampMicrosecondArray::from(times.clone()).with_timezone("UTC"),
    };
    let pass = Pass { layout, rows: plan, asked: asked(&spec), requests };
    let done = Arc::new(AtomicU64::new(0));
    let context = session(vec![], &SessionOptions::default());
    let found = run(&context, vec![pass], &done).await.unwrap().remove(0).remove(0);
    assert_eq!(done.load(Relaxed), times.len() as u64);
    for (row, time) in times.iter().enumerate() {
        let last = (time - 1).min(rows - 1);
        let sum = |from: i64| if from > last { None } else { Some((from..=last).sum::<i64>()) };
        let int = |x: Option<i64>| x.map_or(Val::Null, |x| Val::Int(x.into()));
        let seen = line(&found, row);
        assert_eq!(seen[3], int(sum((time - 9).max(0))), "the bounded frame at {time}");
        assert_eq!(seen[4], int(sum(0)), "the whole past at {time}");
        assert_eq!(seen[2], int(Some(last)), "the newest row before {time}");
    }
}
