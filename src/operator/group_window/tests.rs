//! Group windows against the naive model, in every way they can be driven.

use super::super::oracle::{Row, Val, evaluate, val};
use super::super::trial::{
    Data, Lanes, Random, cases, data, key_types, lines, run_sorted, slots, some_keys, sorted,
    value_types,
};
use super::*;

fn random_spec(random: &mut Random) -> GroupSpec {
    let all = value_types();
    let value_types: Vec<_> = (0..1 + random.below(5)).map(|_| random.pick(&all)).collect();
    let size_us = random.pick(&[1i64, 4, 6, 10, 60]);
    let slide_us = if random.one_in(3) { size_us } else { random.pick(&[1i64, 2, 4, 15, 25]) };
    GroupSpec {
        key_types: key_types(random),
        slots: slots(random, &value_types, 1),
        value_types,
        size_us,
        slide_us,
        offset_us: random.pick(&[0i64, 0, 1, -3, 1000]),
    }
}

/// The window that ends at `end` over the rows of a key, or `None` without rows in it.
fn window(spec: &GroupSpec, key: &[Val], known: &[Row], end: i64) -> Option<Vec<Val>> {
    let covered = |row: &&Row| row.key == key && (end - spec.size_us..end).contains(&row.time);
    let mut rows: Vec<&Row> = known.iter().filter(covered).collect();
    rows.sort_by_key(|row| (row.time, row.position));
    if rows.is_empty() {
        return None;
    }
    let mut line = key.to_vec();
    line.push(Val::Int((end - spec.size_us).into()));
    line.push(Val::Int(end.into()));
    line.extend(spec.slots.iter().map(|slot| evaluate(&slot.aggregate, &rows)));
    Some(line)
}

/// Ends of all windows that can have rows, by definition of the grid.
fn ends(spec: &GroupSpec, rows: &[Row]) -> Vec<i64> {
    let (Some(first), Some(last)) =
        (rows.iter().map(|row| row.time).min(), rows.iter().map(|row| row.time).max())
    else {
        return Vec::new();
    };
    (first..=last + spec.size_us)
        .filter(|end| (end - spec.size_us - spec.offset_us).rem_euclid(spec.slide_us) == 0)
        .collect()
}

fn keys_of(rows: &[Row]) -> Vec<Vec<Val>> {
    let mut keys: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The newest window with rows that ends at or before `time`.
fn newest(spec: &GroupSpec, key: &[Val], known: &[Row], time: i64) -> Option<Vec<Val>> {
    let ends = ends(spec, known);
    ends.into_iter().rev().filter(|end| *end <= time).find_map(|end| window(spec, key, known, end))
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
            let all = ends(&spec, &data.rows);
            let expected: Vec<_> = keys_of(&data.rows)
                .iter()
                .flat_map(|key| all.iter().filter_map(|end| window(&spec, key, &data.rows, *end)))
                .collect();
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
