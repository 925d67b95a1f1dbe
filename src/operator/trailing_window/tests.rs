//! Trailing windows against the naive model, in every way they can be driven.

use arrow::array::{Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::DataType;

use super::super::oracle::{Row, Val, compare, evaluate};
use super::super::trial::{
    Data, Lanes, Random, cases, data, key_types, lines, run_sorted, slots, some_keys, sorted,
    value_types,
};
use super::*;
use crate::aggregate::kind::{AggregateKind, AggregateSpec};
use crate::plan::dataflow::{Exclude, FrameExtent, FrameSpec, SlotSpec, TieBreak, WindowSpec};
use crate::state::snapshot::{GONE_TABLE, KEYS_TABLE};

pub fn random_spec(random: &mut Random) -> TrailingSpec {
    let all = value_types();
    let value_types: Vec<_> = (0..1 + random.below(5)).map(|_| random.pick(&all)).collect();
    let tie = |random: &mut Random| TieBreak {
        column: random.below(value_types.len() as u64) as usize,
        descending: random.one_in(2),
        nulls_first: random.one_in(2),
    };
    let tied = random.one_in(2);
    let ties = |random: &mut Random| -> Vec<TieBreak> {
        let count = if tied { random.below(3) } else { 0 };
        (0..count).map(|_| tie(random)).collect()
    };
    let endless = ties(random);
    let frame = |random: &mut Random| {
        let (us, rows) = (random.pick(&[0i64, 1, 5, 20, 400]), random.pick(&[0u64, 1, 3, 20]));
        let lag = random.one_in(3);
        let until_us = if lag { random.pick(&[0i64, 1, 4, 30]) } else { 0 };
        let until = if lag { random.pick(&[0u64, 1, 2, 9]) } else { 0 };
        let range = |preceding_us| FrameSpec::of(FrameExtent::Range { preceding_us, until_us });
        let rows_of = |preceding, ties| FrameSpec {
            ties,
            ..FrameSpec::of(FrameExtent::Rows { preceding, until })
        };
        let mut frame = match random.below(6) {
            0..3 => range(Some(us + until_us)),
            3 => range(None),
            4 => rows_of(Some(rows + until), ties(random)),
            _ => rows_of(None, endless.clone()),
        };
        if !frame.is_rows() && random.one_in(4) {
            frame.rows_max = Some(random.pick(&[1u64, 2, 7]));
        }
        if !frame.is_rows() && until_us == 0 && random.one_in(3) {
            frame.exclude = random.pick(&[Exclude::CurrentRow, Exclude::Ties]);
        }
        frame
    };
    let frames: Vec<FrameSpec> = (0..1 + random.below(4)).map(|_| frame(random)).collect();
    let carried = (0..value_types.len()).filter(|_| random.one_in(3)).collect();
    let slots = slots(random, &value_types, frames.len());
    TrailingSpec { key_types: key_types(random), value_types, frames, slots, carried }
}

fn tie_order(ties: &[TieBreak], a: &Row, b: &Row) -> std::cmp::Ordering {
    let mut ordering = a.time.cmp(&b.time);
    for tie in ties {
        let (left, right) = (&a.values[tie.column], &b.values[tie.column]);
        ordering = ordering.then_with(|| match (left, right) {
            (Val::Null, Val::Null) => std::cmp::Ordering::Equal,
            (Val::Null, _) if tie.nulls_first => std::cmp::Ordering::Less,
            (Val::Null, _) => std::cmp::Ordering::Greater,
            (_, Val::Null) if tie.nulls_first => std::cmp::Ordering::Greater,
            (_, Val::Null) => std::cmp::Ordering::Less,
            _ if tie.descending => compare(right, left),
            _ => compare(left, right),
        });
    }
    ordering.then(a.position.cmp(&b.position))
}

/// The result anchored at `anchor` and time `time` over the rows of a key that are seen.
fn model(
    spec: &TrailingSpec,
    key: &[Val],
    seen: &[&Row],
    anchor: Option<&Row>,
    time: i64,
) -> Vec<Val> {
    let mut line = key.to_vec();
    line.push(anchor.map_or(Val::Null, |row| Val::Int(row.time.into())));
    let carried = |column: &usize| anchor.map_or(Val::Null, |row| row.values[*column].clone());
    line.extend(spec.carried.iter().map(carried));
    for slot in &spec.slots {
        let frame = &spec.frames[slot.frame];
        let mut rows = seen.to_vec();
        rows.sort_by(|a, b| tie_order(&frame.ties, a, b));
        match frame.extent {
            FrameExtent::Range { preceding_us, until_us } => {
                rows.retain(|row| preceding_us.is_none_or(|p| row.time >= time.saturating_sub(p)));
                rows.retain(|row| row.time <= time.saturating_sub(until_us));
                if let Some(anchor) = anchor.filter(|anchor| anchor.time == time) {
                    rows.retain(|row| match frame.exclude {
                        Exclude::NoOthers => true,
                        Exclude::CurrentRow => *row != anchor,
                        Exclude::Ties => *row == anchor || row.time != time,
                    });
                }
                let most = frame.rows_max.map_or(rows.len(), |n| rows.len().min(n as usize));
                rows.drain(..rows.len() - most);
            }
            FrameExtent::Rows { preceding, until } => {
                let at = anchor.and_then(|anchor| rows.iter().position(|row| *row == anchor));
                let places = at.map_or(0..0, |at| {
                    let from = preceding.map_or(0, |n| at.saturating_sub(n as usize));
                    from..(at + 1).saturating_sub(until as usize).max(from)
                });
                rows = rows[places].to_vec();
            }
        }
        line.push(evaluate(&slot.aggregate, &rows));
    }
    line
}

fn final_line(spec: &TrailingSpec, rows: &[Row], row: &Row) -> Vec<Val> {
    let seen: Vec<&Row> =
        rows.iter().filter(|other| other.key == row.key && other.time <= row.time).collect();
    model(spec, &row.key, &seen, Some(row), row.time)
}

fn reach(spec: &TrailingSpec) -> Option<i64> {
    let mut longest = None;
    for frame in &spec.frames {
        match frame.extent {
            FrameExtent::Range { preceding_us: Some(p), .. } => longest = longest.max(Some(p)),
            _ => return None,
        }
    }
    longest
}

pub fn probe_line(
    spec: &TrailingSpec,
    known: &[Row],
    key: &[Val],
    time: i64,
    bound: Bound,
) -> (Vec<Val>, bool) {
    let sees = |row: &&Row| match bound {
        Bound::Strict => row.time < time,
        Bound::Inclusive => row.time <= time,
    };
    let seen: Vec<&Row> = known.iter().filter(|row| row.key == key).filter(sees).collect();
    let endless = |f: &&FrameSpec| f.is_rows() && f.is_unbounded();
    let frames = || spec.frames.iter();
    let total = frames().find(endless).or(frames().find(|f| !f.ties.is_empty()));
    let ties = total.map_or(&[][..], |frame| &frame.ties);
    let newest = seen.iter().max_by(|a, b| tie_order(ties, a, b)).copied();
    let newest =
        newest.filter(|row| reach(spec).is_none_or(|r| row.time >= time.saturating_sub(r)));
    (model(spec, key, &seen, newest, time), newest.is_some())
}

fn key_of(batch: &RecordBatch, spec: &TrailingSpec, row: usize) -> Vec<Val> {
    let keys = &batch.columns()[..spec.key_types.len()];
    keys.iter().map(|column| super::super::oracle::val(column, row)).collect()
}

/// Streams the data in a random schedule, checking probes and current values on the way.
fn run_stream(
    random: &mut Random,
    spec: &TrailingSpec,
    data: &Data,
    other: &Data,
) -> Vec<Vec<Val>> {
    let window = WindowSpec::Trailing(spec.clone());
    let mut lanes = Lanes::new(&window, 1 + random.below(3) as usize);
    let (mut at, mut watermark) = (0, i64::MIN);
    let mut touched: Vec<Vec<Val>> = Vec::new();
    while at < data.rows.len() {
        let rows = (random.below(30) as usize).min(data.rows.len() - at);
        lanes.on_batch(&data.step.slice(at, rows));
        touched.extend(data.rows[at..at + rows].iter().map(|row| row.key.clone()));
        at += rows;
        let known = &data.rows[..at];
        if random.one_in(2) {
            touched.sort();
            touched.dedup();
            let newest = |key: &Vec<Val>| {
                let time = known.iter().filter(|row| row.key == *key).map(|row| row.time).max();
                probe_line(spec, known, key, time.unwrap(), Bound::Inclusive).0
            };
            let expected: Vec<_> = touched.iter().map(newest).collect();
            assert_eq!(sorted(lines(&lanes.drain())), sorted(expected), "current values");
            touched.clear();
        }
        let newest = known.iter().map(|row| row.time).max();
        if let Some(newest) = newest.filter(|_| random.one_in(2)) {
            watermark = watermark.max(newest - data.delay - random.below(3) as i64);
            lanes.on_watermark(watermark);
        }
        if random.one_in(3) {
            lanes.checkpoint(random);
        }
        if random.one_in(5) {
            lanes.move_to(1 + random.below(3) as usize, random);
        }
        if random.one_in(2) {
            let from = watermark.max(newest.unwrap_or(0) - 50);
            let keys = some_keys(random, data, other, 5);
            check_probes(random, spec, known, &lanes, from, &keys);
        }
    }
    let newest = data.rows.iter().map(|row| row.time).max().unwrap();
    lanes.on_watermark(EventTime::INFINITY.0);
    let keys = some_keys(random, data, other, 5);
    check_probes(random, spec, &data.rows, &lanes, newest + 1, &keys);
    lines(&lanes.out)
}

fn check_probes(
    random: &mut Random,
    spec: &TrailingSpec,
    known: &[Row],
    lanes: &Lanes,
    from: i64,
    keys: &RecordBatch,
) {
    let bound = random.pick(&[Bound::Strict, Bound::Inclusive]);
    let times: Vec<i64> = (0..keys.num_rows()).map(|_| from + random.below(60) as i64).collect();
    let answers = lanes.probe(keys, &times, bound);
    for (row, (time, answer)) in times.iter().zip(answers).enumerate() {
        let expected = probe_line(spec, known, &key_of(keys, spec, row), *time, bound);
        assert_eq!(answer, expected, "probe at {time} {bound:?}");
    }
}

#[test]
fn every_way_to_drive_it_agrees_with_the_model() {
    for seed in 0..cases() {
        let result = std::panic::catch_unwind(|| {
            let random = &mut Random::new(seed);
            let spec = random_spec(random);
            let window = WindowSpec::Trailing(spec.clone());
            let (data, other) = (data(random, &window), data(random, &window));
            let expected: Vec<_> =
                data.rows.iter().map(|row| final_line(&spec, &data.rows, row)).collect();
            let history = run_sorted(random, &window, &data);
            assert_eq!(sorted(history.clone()), sorted(expected.clone()), "history by key");
            let mut in_order: Vec<&Row> = data.rows.iter().collect();
            in_order.sort_by_key(|row| (row.key.clone(), row.time, row.position));
            let in_order: Vec<_> =
                in_order.iter().map(|row| final_line(&spec, &data.rows, row)).collect();
            assert_eq!(history, in_order, "history by key keeps the order of its input");
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

/// SUM(v0) over RANGE 10 µs, a BIGINT key.
fn sum_spec(frames: Vec<FrameSpec>) -> TrailingSpec {
    let (input, output) = (DataType::Int64, DataType::Int64);
    let aggregate = AggregateSpec::plain(AggregateKind::Sum, Some(0), input, output);
    TrailingSpec {
        key_types: vec![DataType::Int64],
        value_types: vec![DataType::Int64],
        slots: (0..frames.len())
            .map(|frame| SlotSpec { frame, aggregate: aggregate.clone() })
            .collect(),
        frames,
        carried: vec![],
    }
}

fn range(preceding_us: i64) -> FrameSpec {
    FrameSpec::range(Some(preceding_us))
}

/// Rows of (key, time, value), offsets from `offset` on.
fn step(spec: &TrailingSpec, offset: i64, rows: &[(i64, i64, i64)]) -> RecordBatch {
    let offsets = offset..offset + rows.len() as i64;
    let times = rows.iter().map(|row| row.1);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(Int32Array::from(vec![0; rows.len()])),
        Arc::new(Int64Array::from_iter_values(offsets)),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
    ];
    RecordBatch::try_new(WindowSpec::Trailing(spec.clone()).step_schema(), columns).unwrap()
}

#[test]
fn a_sum_beyond_bigint_is_null_and_counted() {
    let spec = sum_spec(vec![range(10)]);
    let mut operator = TrailingWindow::new(&spec, false).unwrap();
    operator.on_batch(&step(&spec, 0, &[(1, 0, i64::MAX), (1, 5, 1), (1, 12, 1)])).unwrap();
    let mut out = Vec::new();
    operator.on_watermark(EventTime::INFINITY, &mut out).unwrap();
    let sums: Vec<Val> = lines(&out).into_iter().map(|line| line[2].clone()).collect();
    assert_eq!(sums, [Val::Int(i64::MAX.into()), Val::Null, Val::Int(2)]);
    assert_eq!(operator.numeric_overflow(), 1);
}

#[test]
fn a_probe_before_the_horizon_is_refused() {
    let spec = sum_spec(vec![range(10)]);
    let mut operator = TrailingWindow::new(&spec, false).unwrap();
    operator.on_batch(&step(&spec, 0, &[(1, 0, 1), (1, 100, 1)])).unwrap();
    operator.on_watermark(EventTime(50), &mut Vec::new()).unwrap();
    let key: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![1]))];
    let error = operator.probe(&key, &[EventTime(49)], Bound::Strict).unwrap_err();
    assert!(error.message().contains("rows are held for times from"), "{error}");
    assert!(operator.probe(&key, &[EventTime(50)], Bound::Strict).is_ok());
}

#[test]
fn keys_out_of_reach_are_forgotten_and_their_slots_used_again() {
    let spec = sum_spec(vec![range(10)]);
    let mut operator = TrailingWindow::new(&spec, true).unwrap();
    let mut emitted = 0;
    for i in 0..1000 {
        operator.on_batch(&step(&spec, i, &[(i, i, 1)])).unwrap();
        let mut out = Vec::new();
        operator.on_watermark(EventTime(i), &mut out).unwrap();
        emitted += out.iter().map(RecordBatch::num_rows).sum::<usize>();
        operator.drain_current().unwrap();
    }
    assert_eq!(emitted, 999);
    assert!(operator.key_count() < 20, "{} keys", operator.key_count());
    assert!(operator.keys.len() < 30 && operator.rows_held < 20);
    assert!(operator.state_bytes() < 20_000, "{} bytes", operator.state_bytes());
}

#[test]
fn rows_that_no_frame_reaches_are_dropped() {
    for frame in [
        range(10),
        FrameSpec::rows(Some(9)),
        FrameSpec::range(None),
        FrameSpec::rows(None),
        FrameSpec::of(FrameExtent::Range { preceding_us: None, until_us: 10 }),
        FrameSpec::of(FrameExtent::Range { preceding_us: Some(10), until_us: 3 }),
        FrameSpec::of(FrameExtent::Rows { preceding: None, until: 9 }),
        FrameSpec { exclude: Exclude::CurrentRow, ..FrameSpec::range(None) },
        FrameSpec { rows_max: Some(9), ..FrameSpec::range(None) },
    ] {
        let spec = sum_spec(vec![frame]);
        let mut operator = TrailingWindow::new(&spec, false).unwrap();
        for i in 0..1000 {
            operator.on_batch(&step(&spec, i, &[(1, i, 1)])).unwrap();
            operator.on_watermark(EventTime(i), &mut Vec::new()).unwrap();
        }
        assert!(operator.rows_held <= 13, "{} rows", operator.rows_held);
    }
}

#[test]
fn two_endless_frames_in_different_orders_are_refused() {
    let tie = |descending| TieBreak { column: 0, descending, nulls_first: false };
    let frame = |descending| FrameSpec { ties: vec![tie(descending)], ..FrameSpec::rows(None) };
    let error = TrailingWindow::new(&sum_spec(vec![frame(true), frame(false)]), false).unwrap_err();
    assert!(error.message().starts_with("not supported yet"), "{error}");
    assert!(TrailingWindow::new(&sum_spec(vec![frame(true), frame(true)]), false).is_ok());
}

#[test]
fn a_snapshot_of_another_format_or_window_is_refused() {
    let spec = sum_spec(vec![range(10)]);
    let mut operator = TrailingWindow::new(&spec, false).unwrap();
    operator.on_batch(&step(&spec, 0, &[(1, 0, 1)])).unwrap();
    let mut snapshot = operator.snapshot().unwrap();
    let mut other = sum_spec(vec![range(10)]);
    other.value_types.push(DataType::Int64);
    assert!(TrailingWindow::new(&other, false).unwrap().restore(&snapshot).is_err());
    snapshot.format = 99;
    let error = TrailingWindow::new(&spec, false).unwrap().restore(&snapshot).unwrap_err();
    assert!(error.message().contains("format 99"), "{error}");
}

#[test]
fn a_change_holds_the_keys_that_changed_and_the_keys_that_are_gone() {
    let spec = sum_spec(vec![range(10)]);
    let mut operator = TrailingWindow::new(&spec, true).unwrap();
    let rows: Vec<_> = (0..1000).map(|key| (key, key % 2, 1)).collect();
    operator.on_batch(&step(&spec, 0, &rows)).unwrap();
    operator.on_watermark(EventTime(3), &mut Vec::new()).unwrap();
    operator.drain_current().unwrap();
    assert!(operator.changes().unwrap().is_none());
    operator.follow_changes();
    let count = |snapshot: &Snapshot, name| -> usize {
        let tables = snapshot.tables.iter().filter(|table| table.name == name);
        tables.map(|table| table.rows.num_rows()).sum()
    };
    let changed = operator.changes().unwrap().unwrap();
    assert_eq!((count(&changed, KEYS_TABLE), count(&changed, GONE_TABLE)), (0, 0));
    operator.on_batch(&step(&spec, 2000, &[(7, 5, 1), (2001, 5, 1)])).unwrap();
    let changed = operator.changes().unwrap().unwrap();
    assert_eq!((count(&changed, KEYS_TABLE), count(&changed, GONE_TABLE)), (2, 0));
    operator.drain_current().unwrap();
    // Keys with a row at 0 are out of reach at 11, those with one at 1 are not.
    operator.on_batch(&step(&spec, 3000, &[(7, 40, 1)])).unwrap();
    operator.on_watermark(EventTime(11), &mut Vec::new()).unwrap();
    let changed = operator.changes().unwrap().unwrap();
    assert_eq!((count(&changed, KEYS_TABLE), count(&changed, GONE_TABLE)), (2, 500));
}
