//! Random specifications, data and schedules for tests of operators, and lanes that route rows,
//! move their state to other lanes and collect results. Used by tests only.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, TimeUnit};
use bytes::Bytes;

use super::build;
use super::checker::Checker;
use super::operator::{Bound, Operator};
use super::oracle::{Row, Val, val};
use crate::aggregate::datum::Datum;
use crate::aggregate::kind::{AggregateKind as K, AggregateSpec, Direction, result_of};
use crate::aggregate::moments::{avg_type, sum_type};
use crate::checkpoint::state_file;
use crate::model::batch::timestamp_type;
use crate::model::key::{Shard, key_group, key_hash, write_key};
use crate::model::time::EventTime;
use crate::plan::dataflow::{SlotSpec, WindowSpec, canonical};
use crate::state::overlay::overlay;
use crate::state::snapshot::Snapshot;
pub use crate::state::testing::{Random, cases};

pub fn value_types() -> Vec<DataType> {
    use DataType as T;
    vec![
        T::Int64,
        T::Float64,
        T::Utf8,
        T::Boolean,
        T::Float32,
        T::Int8,
        T::Int32,
        T::UInt8,
        T::UInt64,
        T::Decimal128(10, 2),
        T::Decimal128(38, 4),
        T::Binary,
        T::Date32,
        timestamp_type(),
    ]
}

pub fn key_types(random: &mut Random) -> Vec<DataType> {
    use DataType as T;
    random.pick(&[vec![T::Int64], vec![], vec![T::Utf8], vec![T::Int32, T::Utf8], vec![T::Float64]])
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

/// A random aggregate that keeps its rows, or exact sums of products.
fn kept(random: &mut Random, types: &[DataType]) -> AggregateSpec {
    use DataType as T;
    let any = |random: &mut Random, wanted: fn(&T) -> bool| {
        let found: Vec<usize> = (0..types.len()).filter(|i| wanted(&types[*i])).collect();
        (!found.is_empty()).then(|| random.pick(&found))
    };
    let all = |_: &T| true;
    let double = |t: &T| *t == T::Float64;
    let middle = |t: &T| matches!(t, T::Float32 | T::Float64 | T::Decimal128(..));
    let (kind, argument) = match random.below(8) {
        0 => (random.pick(&[K::BoolAnd, K::BoolOr]), any(random, |t| *t == T::Boolean)),
        1 => (random.pick(&[K::BitAnd, K::BitOr, K::BitXor]), any(random, T::is_integer)),
        2 => (K::Median, any(random, middle)),
        3 => (random.pick(&[K::PercentileCont, K::Delta]), any(random, double)),
        4 => (random.pick(&[K::PercentileDisc, K::Mode, K::TopNFrequency]), any(random, all)),
        5 => (
            K::all().nth(K::CovarPop as usize + random.below(12) as usize).unwrap(),
            any(random, double),
        ),
        6 => (random.pick(&[K::ArgMin, K::ArgMax, K::CountCate, K::MaxCate]), any(random, all)),
        _ => {
            let kinds =
                [K::ArrayAgg, K::NthValue, K::FirstN, K::LastN, K::LastDistinctN, K::FirstValue];
            (random.pick(&kinds), any(random, all))
        }
    };
    let Some(argument) = argument else { return aggregate(random, types) };
    let function = kind.function();
    let mut more = Vec::new();
    if function.arguments.len() == 2 {
        let wanted = if kind >= K::CovarPop && kind <= K::RegrSxy { double } else { all };
        let second = any(random, wanted);
        more.push(second.unwrap_or(argument));
    }
    let mut inputs = vec![types[argument].clone()];
    inputs.extend(more.iter().map(|i| types[*i].clone()));
    let mut order = Vec::new();
    let rows = [K::ArrayAgg, K::NthValue, K::FirstN, K::LastN, K::FirstValue];
    if kind == K::FirstValue || (rows.contains(&kind) && random.one_in(2)) {
        more.push(random.below(types.len() as u64) as usize);
        let (descending, nulls_first) = (random.one_in(2), random.one_in(2));
        order.push(Direction { descending, nulls_first });
    }
    let constants = constants(random, kind);
    let booleans: Vec<usize> = (0..types.len()).filter(|i| types[*i] == T::Boolean).collect();
    let filtered = !kind.folds_filter() && !booleans.is_empty() && random.one_in(3);
    let distinct = function.distinct == Some(true) && random.one_in(3);
    AggregateSpec {
        more,
        order,
        constants,
        filter: filtered.then(|| random.pick(&booleans)),
        distinct,
        ignore_nulls: function.counts_nulls() && random.one_in(2),
        ..AggregateSpec::plain(
            kind,
            Some(argument),
            inputs[0].clone(),
            result_of(kind, distinct, &inputs).unwrap(),
        )
    }
}

fn constants(random: &mut Random, kind: K) -> Vec<Datum> {
    match kind {
        K::PercentileCont | K::PercentileDisc => {
            vec![Datum::float(random.pick(&[0.0, 0.1, 0.25, 0.5, 0.9, 1.0]))]
        }
        K::NthValue => vec![Datum::Int(random.pick(&[1i64, 2, -1, -3]))],
        K::FirstN | K::LastN | K::LastDistinctN | K::TopNFrequency => {
            vec![Datum::Int(1 + random.below(4) as i64)]
        }
        _ => Vec::new(),
    }
}

/// A random aggregate over columns of these types.
pub fn aggregate(random: &mut Random, types: &[DataType]) -> AggregateSpec {
    use DataType as T;
    let argument = random.below(types.len() as u64) as usize;
    let input = types[argument].clone();
    let sums = [K::Sum, K::Avg, K::VarPop, K::VarSamp, K::StddevPop, K::StddevSamp];
    let mut kinds = vec![K::Count, K::Min, K::Max, K::FirstValue, K::LastValue];
    if is_number(&input) {
        kinds.extend(sums);
        kinds.extend(sums);
    }
    let kind = random.pick(&kinds);
    let edge = matches!(kind, K::FirstValue | K::LastValue);
    let booleans: Vec<usize> = (0..types.len()).filter(|i| types[*i] == T::Boolean).collect();
    let output = match (kind, &input) {
        (K::Count, _) => T::Int64,
        (K::Sum, T::UInt8 | T::UInt64) => T::UInt64,
        (K::Sum, T::Decimal128(p, s)) => {
            let (p, s) = sum_type(*p, *s);
            T::Decimal128(p, s)
        }
        (K::Avg, T::Decimal128(p, s)) => {
            let (p, s) = avg_type(*p, *s);
            T::Decimal128(p, s)
        }
        (K::Sum, input) if input.is_integer() => T::Int64,
        _ if sums.contains(&kind) => T::Float64,
        _ => input.clone(),
    };
    let star = kind == K::Count && random.one_in(3);
    AggregateSpec {
        kind,
        argument: (!star).then_some(argument),
        more: Vec::new(),
        order: Vec::new(),
        constants: Vec::new(),
        own: None,
        filter: (edge && !booleans.is_empty() && random.one_in(2)).then(|| random.pick(&booleans)),
        distinct: !edge && !star && !matches!(kind, K::Min | K::Max) && random.one_in(4),
        ignore_nulls: edge && random.one_in(2),
        input: if star { T::Null } else { input },
        output,
    }
}

pub fn slots(random: &mut Random, types: &[DataType], frames: usize) -> Vec<SlotSpec> {
    (0..1 + random.below(8))
        .map(|_| SlotSpec {
            frame: random.below(frames as u64) as usize,
            aggregate: if random.one_in(2) {
                aggregate(random, types)
            } else {
                kept(random, types)
            },
        })
        .collect()
}

/// A column of few distinct and some odd values.
fn column(random: &mut Random, data_type: &DataType, rows: usize) -> ArrayRef {
    use DataType as T;
    let nulls = random.pick(&[2u64, 5, 1 << 40]);
    let wild = random.one_in(2);
    let mut number = |_| -> Option<i64> {
        if random.one_in(nulls) {
            return None;
        }
        let small = random.below(7) as i64 - 3;
        Some(if wild && random.one_in(6) { random.draw() as i64 } else { small })
    };
    let numbers: Vec<Option<i64>> = (0..rows).map(&mut number).collect();
    let each = numbers.iter();
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e300, -1e300, 5e-324, 1e16];
    let double = |x: i64| match x {
        -3..=3 => x as f64 / 8.0 + 0.1,
        _ if x & 1 == 0 => odd[(x >> 1 & 7) as usize],
        _ => x as f64 * 1.000_000_1,
    };
    let text = |x: i64| format!("{}", x % 1000);
    let array: ArrayRef = match data_type {
        T::Int64 => Arc::new(Int64Array::from_iter(each)),
        T::Int32 => Arc::new(Int32Array::from_iter(each.map(|x| x.map(|x| x as i32)))),
        T::Int8 => Arc::new(Int8Array::from_iter(each.map(|x| x.map(|x| x as i8)))),
        T::UInt8 => Arc::new(UInt8Array::from_iter(each.map(|x| x.map(|x| x as u8)))),
        T::UInt64 => Arc::new(UInt64Array::from_iter(each.map(|x| x.map(|x| x as u64)))),
        T::Float64 => Arc::new(Float64Array::from_iter(each.map(|x| x.map(double)))),
        T::Float32 => Arc::new(Float32Array::from_iter(each.map(|x| x.map(|x| double(x) as f32)))),
        T::Boolean => Arc::new(BooleanArray::from_iter(each.map(|x| x.map(|x| x & 1 == 1)))),
        T::Utf8 => Arc::new(StringArray::from_iter(each.map(|x| x.map(text)))),
        T::Binary => {
            let bytes: Vec<_> = each.map(|x| x.map(|x| x.to_le_bytes()[..2].to_vec())).collect();
            Arc::new(BinaryArray::from_iter(bytes.iter().map(|x| x.as_deref())))
        }
        T::Date32 => Arc::new(Date32Array::from_iter(each.map(|x| x.map(|x| x as i32)))),
        T::Timestamp(TimeUnit::Microsecond, _) => {
            Arc::new(TimestampMicrosecondArray::from_iter(each).with_timezone("UTC"))
        }
        T::Decimal128(p, s) => {
            let limit = 10i128.pow(u32::from(*p)) - 1;
            let wide = |x: i64| {
                if x.abs() > 3 { i128::from(x).pow(2).saturating_mul(1000) } else { x.into() }
            };
            let values = each.map(|x| x.map(|x| wide(x).clamp(-limit, limit)));
            Arc::new(Decimal128Array::from_iter(values).with_precision_and_scale(*p, *s).unwrap())
        }
        other => panic!("no data of type {other}"),
    };
    canonical(array)
}

/// Rows in order of arrival, out of order by less than `delay`.
pub struct Data {
    pub step: RecordBatch,
    pub rows: Vec<Row>,
    pub delay: i64,
}

pub fn data(random: &mut Random, spec: &WindowSpec) -> Data {
    let count = 1 + random.below(120) as usize;
    let span = random.pick(&[3u64, 30, 300]);
    let delay = random.below(span) as i64 / 2;
    let center = random.pick(&[0i64, 100, 1_700_000_000_000_000]);
    let mut times: Vec<i64> =
        (0..count).map(|_| center + random.below(span) as i64 - span as i64 / 2).collect();
    let jitter: Vec<i64> = (0..count).map(|_| random.below(delay as u64 + 1) as i64).collect();
    let mut arrival: Vec<(i64, i64)> =
        times.iter().zip(&jitter).map(|(time, jitter)| (time + jitter, *time)).collect();
    arrival.sort_by_key(|(at, _)| *at);
    times = arrival.into_iter().map(|(_, time)| time).collect();
    let mut offsets: Vec<i64> = (0..count as i64).collect();
    if random.one_in(2) {
        random.shuffle(&mut offsets);
    }
    let partitions: Vec<i32> = (0..count).map(|_| random.below(2) as i32).collect();
    // Keys that come and go, or the same few all the time.
    let drifts = random.one_in(2);
    let few = if drifts { 12 } else { 1 + random.below(6) };
    let key = |row: usize, random: &mut Random| match drifts {
        true => (row as u64 * few / count as u64 + random.below(2)).min(few - 1),
        false => random.below(few),
    };
    let mut columns: Vec<ArrayRef> = Vec::new();
    for data_type in spec.key_types() {
        let pool = column(random, data_type, few as usize);
        let picks = (0..count).map(|row| key(row, random) as u32);
        let picks = UInt32Array::from_iter_values(picks);
        columns.push(arrow::compute::take(&pool, &picks, None).unwrap());
    }
    columns.push(Arc::new(TimestampMicrosecondArray::from(times.clone()).with_timezone("UTC")));
    columns.push(Arc::new(Int32Array::from(partitions.clone())));
    columns.push(Arc::new(Int64Array::from(offsets.clone())));
    for data_type in spec.value_types() {
        columns.push(column(random, data_type, count));
    }
    let step = RecordBatch::try_new(spec.step_schema(), columns).unwrap();
    let keys = spec.key_types().len();
    let vals = |from: usize, to: usize, row: usize| -> Vec<Val> {
        step.columns()[from..to].iter().map(|column| val(column, row)).collect()
    };
    let row = |row: usize| Row {
        time: times[row],
        position: (partitions[row], offsets[row]),
        key: vals(0, keys, row),
        values: vals(keys + 3, step.num_columns(), row),
    };
    Data { rows: (0..count).map(row).collect(), step, delay }
}

/// The rows of batches as lines of values, so that they compare by their bits.
pub fn lines(batches: &[RecordBatch]) -> Vec<Vec<Val>> {
    let row = |batch: &RecordBatch, row| batch.columns().iter().map(|c| val(c, row)).collect();
    batches.iter().flat_map(|b| (0..b.num_rows()).map(move |i| row(b, i))).collect()
}

/// Lines without an order.
pub fn sorted(mut lines: Vec<Vec<Val>>) -> Vec<Vec<Val>> {
    lines.sort();
    lines
}

/// Operators that own key groups, as in a running job.
pub struct Lanes {
    spec: WindowSpec,
    pub lanes: Vec<Checker>,
    /// The state files of each lane: a whole snapshot and the changes after it.
    chains: Vec<Vec<Bytes>>,
    pub out: Vec<RecordBatch>,
}

fn checked(spec: &WindowSpec) -> Checker {
    Checker::new(build(spec, true).unwrap(), spec)
}

impl Lanes {
    pub fn new(spec: &WindowSpec, count: usize) -> Self {
        let lanes = (0..count).map(|_| checked(spec)).collect();
        Self { spec: spec.clone(), lanes, chains: vec![Vec::new(); count], out: Vec::new() }
    }

    fn lane_of(&self, keys: &[ArrayRef], row: usize) -> usize {
        let mut bytes = Vec::new();
        write_key(keys, row, &mut bytes).unwrap();
        usize::from(key_group(key_hash(&bytes))) % self.lanes.len()
    }

    fn split(&self, step: &RecordBatch) -> Vec<Vec<u32>> {
        let keys = &step.columns()[..self.spec.key_types().len()];
        let mut parts = vec![Vec::new(); self.lanes.len()];
        for row in 0..step.num_rows() {
            parts[self.lane_of(keys, row)].push(row as u32);
        }
        parts
    }

    pub fn on_batch(&mut self, step: &RecordBatch) {
        for (lane, rows) in self.split(step).into_iter().enumerate() {
            let part = take_record_batch(step, &UInt32Array::from(rows)).unwrap();
            self.lanes[lane].on_batch(&part).unwrap();
        }
    }

    pub fn on_watermark(&mut self, watermark: i64) {
        for lane in &mut self.lanes {
            lane.on_watermark(EventTime(watermark), &mut self.out).unwrap();
        }
    }

    pub fn drain(&mut self) -> Vec<RecordBatch> {
        let drained = self.lanes.iter_mut().filter_map(|lane| lane.drain_current().unwrap());
        drained.map(|current| current.rows).collect()
    }

    /// A probe of one key after the other, all in one call per lane.
    pub fn probe(&self, keys: &RecordBatch, times: &[i64], bound: Bound) -> Vec<(Vec<Val>, bool)> {
        let mut answers = vec![(Vec::new(), false); times.len()];
        for (lane, rows) in self.split(keys).into_iter().enumerate() {
            let part = take_record_batch(keys, &UInt32Array::from(rows.clone())).unwrap();
            let part = &part.columns()[..self.spec.key_types().len()];
            let times: Vec<_> = rows.iter().map(|row| EventTime(times[*row as usize])).collect();
            let probed = self.lanes[lane].probe(part, &times, bound).unwrap();
            let lines = lines(&[probed.rows]);
            for ((row, line), present) in rows.iter().zip(lines).zip(probed.present) {
                answers[*row as usize] = (line, present);
            }
        }
        answers
    }

    /// A checkpoint of each lane: what changed where something is there to add to, now and then
    /// all of it. What lies in the files is what the lane holds, bit for bit.
    pub fn checkpoint(&mut self, random: &mut Random) -> Vec<Snapshot> {
        let mut snapshots = Vec::with_capacity(self.lanes.len());
        for (lane, chain) in self.lanes.iter_mut().zip(&mut self.chains) {
            let changes = if random.one_in(6) { None } else { lane.changes().unwrap() };
            let part = changes.unwrap_or_else(|| {
                chain.clear();
                lane.follow_changes();
                lane.snapshot().unwrap()
            });
            chain.push(state_file::encode(&part).unwrap());
            let parts = chain.iter().map(|bytes| state_file::decode(bytes).unwrap());
            let restored = overlay(parts.collect()).unwrap();
            let mut fresh = checked(&self.spec);
            fresh.restore(&restored).unwrap();
            let (held, now) = (fresh.snapshot().unwrap(), lane.snapshot().unwrap());
            assert_eq!(held.tables.len(), now.tables.len(), "tables of a chain of {}", chain.len());
            for (held, now) in held.tables.iter().zip(&now.tables) {
                assert_eq!((held.name, held.shard), (now.name, now.shard));
                assert_eq!(held.rows, now.rows, "{} of a chain of {}", now.name, chain.len());
            }
            assert_eq!((held.watermark, &held.globals), (now.watermark, &now.globals));
            snapshots.push(restored);
        }
        snapshots
    }

    /// Stops, and goes on from the files in another number of lanes.
    pub fn move_to(&mut self, count: usize, random: &mut Random) {
        let snapshots = self.checkpoint(random);
        self.lanes = (0..count).map(|_| checked(&self.spec)).collect();
        self.chains = vec![Vec::new(); count];
        for snapshot in snapshots {
            let mut shards: Vec<Shard> = snapshot.tables.iter().map(|table| table.shard).collect();
            shards.sort();
            shards.dedup();
            random.shuffle(&mut shards);
            for lane in 0..count {
                let mut one = snapshot.clone();
                one.tables.clear();
                self.lanes[lane].restore(&one).unwrap();
            }
            for shard in shards {
                let Shard::KeyGroup(group) = shard else { panic!("{shard:?}") };
                let mut one = snapshot.clone();
                one.tables.retain(|table| table.shard == shard);
                self.lanes[usize::from(group) % count].restore(&one).unwrap();
            }
        }
    }
}

/// Rows as history by key gives them.
pub fn by_key(data: &Data) -> RecordBatch {
    let mut order: Vec<usize> = (0..data.rows.len()).collect();
    let place = |i: &usize| {
        let row = &data.rows[*i];
        (row.key.clone(), row.time, row.position)
    };
    order.sort_by_key(place);
    let order = UInt32Array::from_iter_values(order.into_iter().map(|i| i as u32));
    take_record_batch(&data.step, &order).unwrap()
}

/// Runs history by key in random batches.
pub fn run_sorted(random: &mut Random, spec: &WindowSpec, data: &Data) -> Vec<Vec<Val>> {
    let history = by_key(data);
    let mut operator = checked(spec);
    let (mut out, mut at) = (Vec::new(), 0);
    while at < history.num_rows() {
        let rows = (1 + random.below(40) as usize).min(history.num_rows() - at);
        let finish = at + rows == history.num_rows() && random.one_in(2);
        operator.on_sorted(&history.slice(at, rows), finish, &mut out).unwrap();
        at += rows;
    }
    operator.on_sorted(&history.slice(0, 0), true, &mut out).unwrap();
    lines(&out)
}

/// One batch of everything, for probes of keys that are there.
pub fn some_keys(random: &mut Random, data: &Data, other: &Data, count: usize) -> RecordBatch {
    let both = concat_batches(&data.step.schema(), [&data.step, &other.step]).unwrap();
    let picks = (0..count).map(|_| {
        let known = !random.one_in(8);
        let limit = if known { data.rows.len() } else { both.num_rows() };
        random.below(limit as u64) as u32
    });
    take_record_batch(&both, &UInt32Array::from_iter_values(picks)).unwrap()
}
