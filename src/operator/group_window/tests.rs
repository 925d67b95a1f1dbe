//! Group windows against the naive model, in every way they can be driven.

use super::super::oracle::{Row, Val, evaluate, val};
use super::super::trial::{
    Data, Lanes, Random, cases, data, key_types, lines, run_sorted, slots, some_keys, sorted,
    value_types,
};
use super::*;
use crate::aggregate::kind::{AggregateKind, AggregateSpec};
use crate::plan::dataflow::{Having, SlotSpec};
use arrow::datatypes::DataType;
use datafusion::logical_expr::Operator as Compare;
use datafusion::physical_expr::expressions::{binary, col, lit};

fn random_spec(random: &mut Random) -> GroupSpec {
    let all = value_types();
    let value_types: Vec<_> = (0..1 + random.below(5)).map(|_| random.pick(&all)).collect();
    let mut spec = GroupSpec {
        key_types: key_types(random),
        slots: slots(random, &value_types, 1),
        value_types,
        shape: random_shape(random),
        having: None,
    };
    if random.one_in(3) {
        spec.slots.insert(0, SlotSpec { frame: 0, aggregate: count() });
        let schema = WindowSpec::Group(spec.clone()).result_schema();
        let more = binary(col("a0", &schema).unwrap(), Compare::Gt, lit(MORE_THAN), &schema);
        spec.having = Some(Having(more.unwrap()));
    }
    spec
}

/// With HAVING, windows have more rows than this.
const MORE_THAN: i64 = 2;

fn count() -> AggregateSpec {
    AggregateSpec::plain(AggregateKind::Count, None, DataType::Null, DataType::Int64)
}

fn random_shape(random: &mut Random) -> WindowShape {
    let offset_us = random.pick(&[0i64, 0, 1, -3, 1000]);
    let size_us = random.pick(&[1i64, 4, 6, 10, 60]);
    match random.below(6) {
        5 => WindowShape::Count { rows: 1 + random.below(5) },
        0 => WindowShape::Grid { slide_us: size_us, size_us, offset_us },
        1 => {
            let step_us = random.pick(&[1i64, 3, 10]);
            let size_us = step_us * random.pick(&[1i64, 2, 7]);
            WindowShape::Cumulate { step_us, size_us, offset_us }
        }
        2 | 3 => WindowShape::Session { gap_us: random.pick(&[1i64, 2, 5, 40]) },
        _ => {
            let slide_us = random.pick(&[1i64, 2, 4, 15, 25]);
            WindowShape::Grid { slide_us, size_us, offset_us }
        }
    }
}

/// A window `[start, end)` and its rows in the total order.
type Filled<'a> = ((i64, i64), Vec<&'a Row>);

/// The windows of a key that have rows, by definition, oldest end first.
fn windows<'a>(spec: &GroupSpec, key: &[Val], known: &'a [Row]) -> Vec<Filled<'a>> {
    let mut rows: Vec<&Row> = known.iter().filter(|row| row.key == key).collect();
    rows.sort_by_key(|row| (row.time, row.position));
    let least = if spec.having.is_some() { MORE_THAN as usize + 1 } else { 1 };
    if let WindowShape::Count { rows: size } = spec.shape {
        let bounds = |rows: &[&Row]| (rows[0].time, rows[rows.len() - 1].time + 1);
        let all = rows.chunks_exact(size as usize).filter(|rows| rows.len() >= least);
        return all.map(|rows| (bounds(rows), rows.to_vec())).collect();
    }
    let times: Vec<i64> = rows.iter().map(|row| row.time).collect();
    let fill = |(start, end): (i64, i64)| {
        let inside = rows.iter().filter(|row| (start..end).contains(&row.time));
        ((start, end), inside.copied().collect::<Vec<_>>())
    };
    let all = all_windows(spec, &times).into_iter().map(fill);
    all.filter(|(_, rows)| rows.len() >= least).collect()
}

/// Every window that can have rows, oldest end first.
fn all_windows(spec: &GroupSpec, times: &[i64]) -> Vec<(i64, i64)> {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return Vec::new() };
    match spec.shape {
        WindowShape::Session { gap_us } => {
            let far = |pair: &[i64]| pair[1] - pair[0] >= gap_us;
            let mut sessions = vec![(*first, *first)];
            for pair in times.windows(2) {
                match sessions.last_mut() {
                    Some(session) if !far(pair) => session.1 = pair[1],
                    _ => sessions.push((pair[1], pair[1])),
                }
            }
            sessions.into_iter().map(|(start, last)| (start, last + gap_us)).collect()
        }
        WindowShape::Grid { slide_us, size_us, offset_us } => (first - size_us..=*last)
            .filter(|start| (start - offset_us).rem_euclid(slide_us) == 0)
            .map(|start| (start, start + size_us))
            .collect(),
        WindowShape::Cumulate { step_us, size_us, offset_us } => (first - size_us..=*last)
            .filter(|start| (start - offset_us).rem_euclid(size_us) == 0)
            .flat_map(|start| (1..=size_us / step_us).map(move |j| (start, start + j * step_us)))
            .collect(),
        WindowShape::Calendar { .. } => panic!("calendars are tested in `window`"),
        WindowShape::Count { .. } => panic!("not by time"),
    }
}

/// The result of one window of a key.
fn line(spec: &GroupSpec, key: &[Val], ((start, end), rows): Filled) -> Vec<Val> {
    let mut line = key.to_vec();
    line.push(Val::Int(start.into()));
    line.push(Val::Int(end.into()));
    line.extend(spec.slots.iter().map(|slot| evaluate(&slot.aggregate, &rows)));
    line
}

fn keys_of(rows: &[Row]) -> Vec<Vec<Val>> {
    let mut keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The newest window with rows that ends at or before `time`.
fn newest(spec: &GroupSpec, key: &[Val], known: &[Row], time: i64) -> Option<Vec<Val>> {
    let newest = windows(spec, key, known).into_iter().rev().find(|((_, end), _)| *end <= time)?;
    Some(line(spec, key, newest))
}

fn nothing(spec: &GroupSpec, key: &[Val]) -> Vec<Val> {
    let mut line = key.to_vec();
    line.extend([Val::Null, Val::Null]);
    line.extend(spec.slots.iter().map(|slot| evaluate(&slot.aggregate, &[])));
    line
}

fn check_probes(
    random: &mut Random,
    spec: &GroupSpec,
    known: &[Row],
    lanes: &Lanes,
    from: i64,
    keys: &RecordBatch,
) {
    let bound = random.pick(&[Bound::Strict, Bound::Inclusive]);
    let times: Vec<i64> = (0..keys.num_rows()).map(|_| from + random.below(90) as i64).collect();
    let answers = lanes.probe(keys, &times, bound);
    for (row, (time, answer)) in times.iter().zip(answers).enumerate() {
        let columns = &keys.columns()[..spec.key_types.len()];
        let key: Vec<Val> = columns.iter().map(|column| val(column, row)).collect();
        let last = if bound == Bound::Strict { time - 1 } else { *time };
        let expected = newest(spec, &key, known, last);
        let present = expected.is_some();
        let expected = expected.unwrap_or_else(|| nothing(spec, &key));
        assert_eq!(answer, (expected, present), "probe at {time} {bound:?}");
    }
}

/// Streams the data in a random schedule, checking probes and current values on the way.
fn run_stream(random: &mut Random, spec: &GroupSpec, data: &Data, other: &Data) -> Vec<Vec<Val>> {
    let window = WindowSpec::Group(spec.clone());
    let mut lanes = Lanes::new(&window, 1 + random.below(3) as usize);
    let (mut at, mut watermark, mut drained) = (0, i64::MIN, i64::MIN);
    while at < data.rows.len() {
        let rows = (random.below(30) as usize).min(data.rows.len() - at);
        lanes.on_batch(&data.step.slice(at, rows));
        at += rows;
        let known = &data.rows[..at];
        let last = known.iter().map(|row| row.time).max();
        if let Some(last) = last.filter(|_| random.one_in(2)) {
            watermark = watermark.max(last - data.delay - random.below(3) as i64);
            lanes.on_watermark(watermark);
        }
        if random.one_in(3) {
            check_current(spec, known, &mut lanes, drained, watermark);
            drained = watermark;
        }
        if random.one_in(3) {
            lanes.checkpoint(random);
        }
        if random.one_in(5) {
            lanes.move_to(1 + random.below(3) as usize, random);
        }
        if random.one_in(2) {
            let from = watermark.max(last.unwrap_or(0) - 50);
            let keys = some_keys(random, data, other, 5);
            check_probes(random, spec, known, &lanes, from, &keys);
        }
    }
    lanes.on_watermark(EventTime::INFINITY.0);
    check_current(spec, &data.rows, &mut lanes, drained, i64::MAX);
    let last = data.rows.iter().map(|row| row.time).max().unwrap();
    let keys = some_keys(random, data, other, 5);
    check_probes(random, spec, &data.rows, &lanes, last + 1, &keys);
    lines(&lanes.out)
}

/// Current values are the newest windows of the keys with a window closed since.
fn check_current(spec: &GroupSpec, known: &[Row], lanes: &mut Lanes, since: i64, now: i64) {
    let closed = |key: &Vec<Val>| {
        let line = newest(spec, key, known, now)?;
        let Val::Int(end) = line[key.len() + 1] else { return None };
        (end > i128::from(since)).then_some(line)
    };
    let expected: Vec<_> = keys_of(known).iter().filter_map(closed).collect();
    assert_eq!(sorted(lines(&lanes.drain())), sorted(expected), "current values");
}

#[test]
fn every_way_to_drive_it_agrees_with_the_model() {
    for seed in 0..cases() {
        let result = std::panic::catch_unwind(|| {
            let random = &mut Random::new(seed);
            let spec = random_spec(random);
            let of = WindowSpec::Group(spec.clone());
            let (data, other) = (data(random, &of), data(random, &of));
            let of_key = |key: &Vec<Val>| {
                let all = windows(&spec, key, &data.rows).into_iter();
                all.map(|window| line(&spec, key, window)).collect::<Vec<_>>()
            };
            let expected: Vec<_> = keys_of(&data.rows).iter().flat_map(of_key).collect();
            let history = run_sorted(random, &of, &data);
            assert_eq!(sorted(history), sorted(expected.clone()), "history by key");
            let streamed = run_stream(random, &spec, &data, &other);
            assert_eq!(sorted(streamed), sorted(expected), "stream");
        });
        if let Err(panic) = result {
            let spec = random_spec(&mut Random::new(seed));
            eprintln!("seed {seed}: {spec:?}");
            std::panic::resume_unwind(panic);
        }
    }
}
