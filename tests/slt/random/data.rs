//! Random logs: a few keys, event times around window edges, ties, duplicates, disorder, and the
//! values that break arithmetic. One source fits all shapes. Called by `trial`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;

use crate::harness::exact::Input;
use crate::harness::judge::{Verdict, verdicts};
use crate::harness::lists::{input, scalar};
use crate::harness::model::Row;
use crate::harness::rng::Rng;
use crate::harness::value::Val;

pub const K: usize = 0;
pub const T: usize = 1;
pub const I: usize = 2;
pub const J: usize = 3;
pub const F: usize = 4;
pub const R: usize = 5;
pub const D: usize = 6;
pub const W: usize = 7;
pub const S: usize = 8;
pub const B: usize = 9;
pub const AT: usize = 10;
pub const DAY: usize = 11;
pub const SEQ: usize = 12;
pub const TS: usize = 13;

/// Names and SQL types of the source's columns.
pub const COLUMNS: [(&str, &str); 14] = [
    ("k", "BIGINT"),
    ("t", "VARCHAR"),
    ("i", "BIGINT"),
    ("j", "INT"),
    ("f", "DOUBLE"),
    ("r", "REAL"),
    ("d", "DECIMAL(10, 2)"),
    ("w", "DECIMAL(38, 6)"),
    ("s", "VARCHAR"),
    ("b", "BOOLEAN"),
    ("at", "TIMESTAMP"),
    ("day", "DATE"),
    ("seq", "BIGINT"),
    ("ts", "TIMESTAMP NOT NULL"),
];

/// The source all shapes read.
pub fn create_source() -> String {
    let columns: Vec<String> =
        COLUMNS.iter().map(|(name, kind)| format!("\"{name}\" {kind}")).collect();
    format!(
        "CREATE SOURCE src ({}, WATERMARK FOR ts AS ts - INTERVAL '1 second') WITH ('connector' \
         = 'kafka', 'topic' = 'src', 'properties.bootstrap.servers' = 'localhost:9092', \
         'format' = 'json')",
        columns.join(", ")
    )
}

pub fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The Arrow schema of the source.
pub fn schema() -> SchemaRef {
    let types = [
        DataType::Int64,
        DataType::Utf8,
        DataType::Int64,
        DataType::Int32,
        DataType::Float64,
        DataType::Float32,
        DataType::Decimal128(10, 2),
        DataType::Decimal128(38, 6),
        DataType::Utf8,
        DataType::Boolean,
        micros(),
        DataType::Date32,
        DataType::Int64,
        micros(),
    ];
    let fields = COLUMNS.iter().zip(types).enumerate();
    Arc::new(Schema::new(
        fields.map(|(i, ((name, _), t))| Field::new(*name, t, i != TS)).collect::<Vec<_>>(),
    ))
}

/// What kind of number each column is.
pub fn inputs() -> Vec<Input> {
    schema().fields().iter().map(|f| input(f.data_type())).collect()
}

/// One record of a log.
#[derive(Clone, Debug)]
pub struct LogRow {
    pub offset: i64,
    /// The record's own timestamp.
    pub own: Option<i64>,
    pub values: Vec<Val>,
}

impl LogRow {
    pub fn time(&self) -> Option<i64> {
        match self.values[TS] {
            Val::Time(t) => Some(t),
            _ => None,
        }
    }
}

/// A log and how it is judged.
#[derive(Clone, Debug)]
pub struct Log {
    pub partitions: Vec<Vec<LogRow>>,
    pub delay: i64,
}

impl Log {
    /// Verdicts of the naive model, per partition.
    pub fn verdicts(&self) -> Vec<Vec<Verdict>> {
        let max_future = 3_600_000_000;
        let judged = |rows: &Vec<LogRow>| {
            let records: Vec<_> = rows.iter().map(|r| (r.time(), r.own)).collect();
            verdicts(&records, self.delay, max_future)
        };
        self.partitions.iter().map(judged).collect()
    }

    /// The admitted rows, floats canonical, by the naive model.
    pub fn admitted(&self) -> Vec<Row> {
        let mut out = Vec::new();
        for (p, verdicts) in self.verdicts().into_iter().enumerate() {
            for (row, verdict) in self.partitions[p].iter().zip(verdicts) {
                if verdict == Verdict::Admitted {
                    out.push(Row {
                        us: row.time().unwrap(),
                        partition: p as i32,
                        offset: row.offset,
                        values: row.values.iter().cloned().map(Val::canonical).collect(),
                    });
                }
            }
        }
        out
    }
}

/// Rows of values as a batch of the source's schema (nullable: a NULL event time must fit).
pub fn batch<'a>(rows: impl Iterator<Item = &'a Vec<Val>>) -> RecordBatch {
    let rows: Vec<&Vec<Val>> = rows.collect();
    let fields: Vec<Field> =
        schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let columns = fields.iter().enumerate().map(|(c, field)| column(&rows, c, field.data_type()));
    RecordBatch::try_new(Arc::new(Schema::new(fields.clone())), columns.collect()).unwrap()
}

fn column(rows: &[&Vec<Val>], c: usize, data_type: &DataType) -> ArrayRef {
    if rows.is_empty() {
        return arrow::array::new_empty_array(data_type);
    }
    let scalars = rows.iter().map(|r| scalar(r[c].clone(), data_type));
    let array = ScalarValue::iter_to_array(scalars).unwrap();
    if array.data_type() == data_type {
        return array;
    }
    arrow::compute::cast(&array, data_type).unwrap()
}

/// Admitted rows as an admitted batch, for the SQL oracle.
pub fn admitted_batch(rows: &[Row]) -> RecordBatch {
    let own = batch(rows.iter().map(|r| &r.values));
    let mut fields: Vec<Arc<Field>> = schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("_partition", DataType::Int32, false)));
    fields.push(Arc::new(Field::new("_offset", DataType::Int64, false)));
    fields.push(Arc::new(Field::new("_timestamp", micros(), true)));
    let mut columns = own.columns().to_vec();
    columns.push(Arc::new(Int32Array::from_iter_values(rows.iter().map(|r| r.partition))));
    columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.offset))));
    let none: TimestampMicrosecondArray = rows.iter().map(|_| None::<i64>).collect();
    columns.push(Arc::new(none.with_timezone("UTC")));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    assert_eq!(batch.column(TS).null_count(), 0);
    batch
}

/// A random log; `edges` are the lengths (µs) that the shape's windows care about.
pub fn generate(rng: &mut Rng, edges: &[i64]) -> Log {
    let keys = rng.between(3, 10);
    let partitions = rng.between(1, 4) as usize;
    let rows = match rng.below(12) {
        0 => 0,
        1 => 1,
        2 => 120,
        _ => rng.between(2, 45) as usize,
    };
    let longest = edges.iter().copied().max().unwrap_or(1).max(1);
    let delay = *rng.pick(&[0, 1, longest / 3, longest, 5 * longest, 1000 * longest]);
    let times = times(rng, rows, edges, longest);
    let profile: Vec<usize> = COLUMNS.iter().map(|_| rng.below(4)).collect();
    let guarded = rng.one_in(4);
    let mut log = Log { partitions: vec![Vec::new(); partitions], delay };
    let mut offsets = vec![0i64; partitions];
    let mut previous: Option<Vec<Val>> = None;
    for time in times {
        let p = rng.below(partitions);
        let mut values: Vec<Val> =
            (0..COLUMNS.len()).map(|c| random_value(rng, c, keys, profile[c])).collect();
        if let Some(previous) = previous.take().filter(|_| rng.one_in(10)) {
            values = previous;
        }
        values[TS] = time.map_or(Val::Null, Val::Time);
        let own = (guarded && !rng.one_in(5)).then(|| {
            let near = time.unwrap_or(0).clamp(-9_000_000_000_000_000, 9_000_000_000_000_000);
            near - *rng.pick(&[-1_000_000, 0, 3_600_000_000, 3_600_000_001, 60_000_000])
        });
        offsets[p] += if rng.one_in(6) { rng.between(2, 5) } else { 1 };
        previous = Some(values.clone());
        log.partitions[p].push(LogRow { offset: offsets[p] - 1, own, values });
    }
    log
}

/// Event times around the edges of windows, more or less in order.
fn times(rng: &mut Rng, rows: usize, edges: &[i64], longest: i64) -> Vec<Option<i64>> {
    // The last two: clocks change in Paris an hour later, in São Paulo at that time.
    let base = *rng.pick(&[
        0,
        -longest,
        -10 * longest,
        1_767_225_600_000_000,
        -86_400_000_001,
        1_711_843_200_000_000,
        1_541_300_400_000_000,
    ]);
    let mut times = Vec::with_capacity(rows);
    let mut last = base;
    for _ in 0..rows {
        let edge = *rng.pick(edges);
        let near = *rng.pick(&[-1, 0, 1]);
        let time = match rng.below(9) {
            0 => last,
            1 => base + near,
            2 => base + rng.between(-3, 6) * edge + near,
            3 => last + edge + near,
            4 => last + near,
            5 => base + rng.between(-longest, 4 * longest),
            6 => base + rng.between(0, 3),
            7 => last - edge + near,
            _ => base + rng.between(0, 3 * longest),
        };
        last = time;
        times.push(time);
    }
    match rng.below(4) {
        0 => {}
        1 => times.sort_unstable(),
        _ => {
            times.sort_unstable();
            for _ in 0..rows {
                let i = rng.below(rows);
                let j = (i + rng.below(6)).min(rows - 1);
                times.swap(i, j);
            }
        }
    }
    let odd = [None, Some(i64::MAX), Some(i64::MIN), Some(9_214_646_400_000_000)];
    let mut times: Vec<Option<i64>> = times.into_iter().map(Some).collect();
    for time in &mut times {
        if rng.one_in(150) {
            *time = *rng.pick(&odd);
        }
    }
    times
}

const FLOATS: [f64; 22] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    0.2,
    0.3,
    1e16,
    -1e16,
    1e308,
    -1e308,
    5e-324,
    -5e-324,
    f64::MIN_POSITIVE,
    f64::MAX,
    f64::MIN,
    9007199254740993.0,
    1e-300,
    3.5,
    2.5,
    1.0 / 3.0,
    123456.789,
];
const TEXTS: [&str; 12] =
    ["", "a", "b", "A", "ab", "ä", "zz", "5", "-7", "1e3", "a longer text, with a comma", "NaN"];

/// Profiles: 0 small and tame, 1 tame with NULLs, 2 everything finite, 3 everything.
fn random_value(rng: &mut Rng, column: usize, keys: i64, profile: usize) -> Val {
    let dense = matches!(column, SEQ) || (matches!(column, K | T) && profile < 2);
    if !dense && rng.one_in(if profile == 0 { 40 } else { 6 }) {
        return Val::Null;
    }
    let wild = profile >= 2 && rng.one_in(3);
    match column {
        K => Val::Int(rng.between(1, keys).into()),
        T => Val::Text(TEXTS[rng.below(keys as usize)].into()),
        I if wild => {
            let extremes = [i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1, 1 << 53, (1 << 53) + 1];
            Val::Int((*rng.pick(&extremes)).into())
        }
        I => Val::Int(rng.between(-20, 20).into()),
        J if wild => Val::Int((*rng.pick(&[i32::MAX, i32::MIN, 65_536])).into()),
        J => Val::Int(rng.between(-5, 5).into()),
        F if wild && profile == 3 && rng.one_in(4) => {
            let payload = f64::from_bits(0xfff8_0000_0000_1234);
            Val::Float(*rng.pick(&[f64::NAN, payload, f64::INFINITY, f64::NEG_INFINITY]))
        }
        F if wild => Val::Float(*rng.pick(&FLOATS)),
        F => Val::Float(rng.between(-1000, 1000) as f64 / 10.0),
        R if wild && profile == 3 && rng.one_in(4) => {
            Val::Real(*rng.pick(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]))
        }
        R if wild => Val::Real(*rng.pick(&[0.1, -0.0, 3.4e38, 1e-45, -3.4e38, 16_777_217.0])),
        R => Val::Real(rng.between(-100, 100) as f32 / 10.0),
        D if wild => Val::Dec(*rng.pick(&[9_999_999_999, -9_999_999_999, 0, 1]), 2),
        D => Val::Dec(rng.between(-100_000, 100_000).into(), 2),
        W if wild => {
            let most = 10i128.pow(38) - 1;
            Val::Dec(*rng.pick(&[most, -most, most / 2, 1]), 6)
        }
        W => Val::Dec(rng.between(-9_000_000_000, 9_000_000_000).into(), 6),
        S => Val::Text((*rng.pick(&TEXTS)).into()),
        B => Val::Bool(rng.one_in(2)),
        AT if wild => Val::Time(*rng.pick(&[-1, 0, 1, -9_214_560_000_000_000])),
        AT => Val::Time(rng.between(1_700_000_000_000_000, 1_700_000_000_000_009)),
        DAY => Val::Int(rng.between(-3, 20_000).into()),
        SEQ => Val::Int(rng.between(0, 3).into()),
        TS => Val::Null,
        other => panic!("no column {other}"),
    }
}
