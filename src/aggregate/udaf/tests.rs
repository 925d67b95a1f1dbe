//! Tests of `udaf`: the bits of rational arithmetic, in every plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float32Array, Float64Array, Int64Array, RecordBatch,
    StringArray, UInt64Array,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use num_bigint::BigInt;

use super::*;
use crate::aggregate::oracle::{self, Random, units};

/// A way to run a query: partitions in the plan, rows in a batch, partitions of the table.
type Shape = (usize, usize, usize);

const SHAPES: [Shape; 4] = [(1, 8192, 1), (4, 100, 7), (2, 17, 3), (3, 1, 5)];

struct Row {
    k: i64,
    ts: i64,
    v: Option<f64>,
    i: Option<i64>,
    d: Option<i128>,
}

fn rows(random: &mut Random, count: i64) -> Vec<Row> {
    let mut ts = 0;
    (0..count)
        .map(|_| {
            ts += random.below(4) as i64;
            // Each key has data of one character; the last has all of them.
            let k = random.below(7);
            let any = random.below(oracle::CHARACTERS);
            let v = random.float([0, 2, 4, 8, 6, 3, any][k as usize]);
            Row {
                k: k as i64,
                ts,
                v: (random.below(9) > 0).then_some(v),
                i: (random.below(9) > 0).then(|| (random.next() >> random.below(64)) as i64),
                d: (random.below(9) > 0).then(|| i128::from(random.next() % 1_000_000_007)),
            }
        })
        .collect()
}

fn batch(rows: &[Row]) -> RecordBatch {
    let d: Decimal128Array = rows.iter().map(|row| row.d).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("k", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.k)))),
        ("ts", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.ts)))),
        ("n", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.ts % 5)))),
        ("v", Arc::new(rows.iter().map(|row| row.v).collect::<Float64Array>())),
        ("r", Arc::new(rows.iter().map(|row| row.i.map(|i| i as f32)).collect::<Float32Array>())),
        ("i", Arc::new(rows.iter().map(|row| row.i).collect::<Int64Array>())),
        ("u", Arc::new(rows.iter().map(|row| row.i.map(|i| i as u64)).collect::<UInt64Array>())),
        ("d", Arc::new(d.with_precision_and_scale(20, 3).unwrap())),
        (
            "s",
            Arc::new(rows.iter().map(|row| row.d.map(|d| d.to_string())).collect::<StringArray>()),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .unwrap()
}

fn context(rows: &[Row], shape: Shape) -> SessionContext {
    let context = stock_context(rows, shape);
    register(&context);
    context
}

fn stock_context(rows: &[Row], (plan, size, table): Shape) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(plan).with_batch_size(size);
    if plan == 2 {
        // Give up partial aggregation at once: states are made row by row.
        let options = &mut config.options_mut().execution;
        options.skip_partial_aggregation_probe_rows_threshold = 1;
        options.skip_partial_aggregation_probe_ratio_threshold = 0.0;
    }
    let context = SessionContext::new_with_config(config);
    let per_partition = rows.len().div_ceil(table);
    let partitions = rows
        .chunks(per_partition)
        .map(|part| part.chunks(size).map(batch).collect())
        .collect::<Vec<Vec<_>>>();
    let memory = MemTable::try_new(batch(rows).schema(), partitions).unwrap();
    context.register_table("t", Arc::new(memory)).unwrap();
    context
}

/// The cells of a result as text, floats as their bits.
async fn cells(context: &SessionContext, sql: &str) -> Vec<Vec<String>> {
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let mut out = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            out.push(batch.columns().iter().map(|column| cell(column, row)).collect());
        }
    }
    out
}

fn cell(column: &ArrayRef, row: usize) -> String {
    match column.data_type() {
        DataType::Float64 if column.is_valid(row) => {
            float(Some(column.as_primitive::<Float64Type>().value(row)))
        }
        DataType::Float64 => float(None),
        _ => arrow::util::display::array_value_to_string(column, row).unwrap(),
    }
}

fn float(x: Option<f64>) -> String {
    x.map_or_else(|| "NULL".to_owned(), |x| format!("{x:e} {:016x}", x.to_bits()))
}

/// What SUM, AVG, VAR_POP, VAR, STDDEV_POP, STDDEV, MIN and MAX are, by the definition.
fn expected(values: impl Iterator<Item = Option<f64>>) -> Vec<String> {
    let mut values: Vec<f64> = values.flatten().map(|x| if x == 0.0 { 0.0 } else { x }).collect();
    let exact: Vec<BigInt> = values.iter().map(|x| units(*x)).collect();
    let [sum, avg, var_pop, var] = oracle::moments(&exact, -1074, &1.into());
    values.sort_by(f64::total_cmp);
    let (min, max) = (values.first().copied(), values.last().copied());
    let (stddev_pop, stddev) = (var_pop.map(f64::sqrt), var.map(f64::sqrt));
    [sum, avg, var_pop, var, stddev_pop, stddev, min, max].into_iter().map(float).collect()
}

const ALL_OF_V: &str =
    "sum(v), avg(v), var_pop(v), var(v), stddev_pop(v), stddev(v), min(v), max(v)";

#[tokio::test]
async fn group_by_and_no_group_give_the_rounded_rationals_in_every_plan() {
    let rows = rows(&mut Random::new(1), 700);
    let mut by_key = BTreeMap::<i64, Vec<Option<f64>>>::new();
    rows.iter().for_each(|row| by_key.entry(row.k).or_default().push(row.v));
    for shape in SHAPES {
        let context = context(&rows, shape);
        let total = cells(&context, &format!("SELECT {ALL_OF_V} FROM t")).await;
        assert_eq!(total, [expected(rows.iter().map(|row| row.v))], "{shape:?}");
        let groups = format!("SELECT {ALL_OF_V} FROM t GROUP BY k ORDER BY k");
        let expected: Vec<_> =
            by_key.values().map(|values| expected(values.iter().copied())).collect();
        assert_eq!(cells(&context, &groups).await, expected, "{shape:?}");
    }
}

#[tokio::test]
async fn sliding_frames_give_the_rounded_rationals_in_every_plan() {
    let rows = rows(&mut Random::new(2), 300);
    for (frame, before) in
        [("9 PRECEDING", 9i64), ("70 PRECEDING", 70), ("UNBOUNDED PRECEDING", 1 << 40)]
    {
        let expected: Vec<_> = rows
            .iter()
            .map(|row| {
                let inside = |other: &&Row| {
                    other.k == row.k && (row.ts - before..=row.ts).contains(&other.ts)
                };
                let mut cells = vec![row.ts.to_string(), row.k.to_string()];
                cells.extend(expected(rows.iter().filter(inside).map(|other| other.v)));
                cells
            })
            .collect();
        let over = ALL_OF_V.replace(')', ") OVER w");
        let sql = format!(
            "SELECT ts, k, {over} FROM t WINDOW w AS
             (PARTITION BY k ORDER BY ts RANGE BETWEEN {frame} AND CURRENT ROW)"
        );
        for shape in SHAPES {
            let mut got = cells(&context(&rows, shape), &sql).await;
            let mut expected = expected.clone();
            got.sort();
            expected.sort();
            assert_eq!(got, expected, "{frame} {shape:?}");
        }
    }
}

#[tokio::test]
async fn distinct_filter_and_other_types_are_equal_in_every_plan() {
    let rows = rows(&mut Random::new(3), 400);
    let queries = [
        "SELECT k, sum(i), avg(i), var(i), stddev_pop(i), min(i), max(i), count(i) FROM t \
         GROUP BY k",
        "SELECT k, sum(u), avg(u), var_samp(u), sum(d), avg(d), var_pop(d), stddev(d) FROM t \
         GROUP BY k",
        "SELECT n, sum(r), avg(r), min(r), max(r), min(s), max(s) FROM t GROUP BY n",
        "SELECT n, sum(DISTINCT i % 5), avg(DISTINCT d % 7), var(DISTINCT v), count(DISTINCT v) \
         FROM t GROUP BY n",
        "SELECT n, count(DISTINCT k), sum(v), avg(v) FROM t GROUP BY n",
        "SELECT n, sum(v) FILTER (WHERE i > 5), max(v) FILTER (WHERE k = 1), stddev(d) FILTER \
         (WHERE k > 2), sum(DISTINCT n) FILTER (WHERE k = 3) FROM t GROUP BY n",
        "SELECT sum(DISTINCT v), count(DISTINCT v), avg(DISTINCT i), sum(v + 0.1), \
         sum(v + 0.2) FROM t",
        "SELECT ts, k, n, sum(i) OVER w, avg(d) OVER w, min(s) OVER w, max(r) OVER w, \
         count(v) FILTER (WHERE n = 1) OVER w, sum(v) FILTER (WHERE n = 1) OVER w FROM t \
         WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN 30 PRECEDING AND CURRENT ROW)",
        "SELECT ts, k, n, sum(DISTINCT n) OVER w, count(DISTINCT v) OVER w, avg(DISTINCT d) OVER w \
         FROM t WINDOW w AS \
         (PARTITION BY k ORDER BY ts RANGE BETWEEN 30 PRECEDING AND 5 PRECEDING)",
    ];
    for sql in queries {
        let mut first: Option<Vec<Vec<String>>> = None;
        for shape in SHAPES {
            let mut got = cells(&context(&rows, shape), sql).await;
            got.sort();
            let first = first.get_or_insert_with(|| got.clone());
            assert_eq!(&got, first, "{sql} {shape:?}");
        }
    }
}

#[tokio::test]
async fn a_distinct_count_beside_a_sum_does_not_round_it_twice() {
    let rows = rows(&mut Random::new(5), 400);
    for shape in SHAPES {
        let context = context(&rows, shape);
        // Two keys of usual magnitude, whose partial sums are not doubles.
        let both = "SELECT s FROM (SELECT n, count(DISTINCT k), sum(v) s FROM t WHERE k < 2 \
                    GROUP BY n) ORDER BY n";
        let alone = "SELECT sum(v) FROM t WHERE k < 2 GROUP BY n ORDER BY n";
        assert_eq!(cells(&context, both).await, cells(&context, alone).await, "{shape:?}");
    }
}

#[tokio::test]
async fn what_stock_functions_do_exactly_they_and_ours_agree_on() {
    let rows = rows(&mut Random::new(6), 400);
    let queries = [
        "SELECT n, sum(i % 1000000), count(DISTINCT i), sum(DISTINCT k), count(*), count(v) \
         FROM t GROUP BY n ORDER BY n",
        "SELECT n, sum(d), min(d), max(i), min(u), min(s), max(s) FROM t GROUP BY n ORDER BY n",
        "SELECT k, sum(i % 1000) FILTER (WHERE n = 2), max(s) FILTER (WHERE n = 3) FROM t \
         GROUP BY k ORDER BY k",
        "SELECT ts, k, sum(d) OVER w, sum(k) OVER w, max(s) OVER w, min(i) OVER w FROM t \
         WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN 20 PRECEDING AND CURRENT ROW) \
         ORDER BY ts, k, i, s",
    ];
    for sql in queries {
        let stock = cells(&stock_context(&rows, SHAPES[0]), sql).await;
        for shape in SHAPES {
            assert_eq!(cells(&context(&rows, shape), sql).await, stock, "{sql} {shape:?}");
        }
    }
}

/// The first row of a query over one row of constants.
async fn constants(sql: &str) -> Vec<String> {
    let context = SessionContext::new();
    register(&context);
    cells(&context, sql).await.swap_remove(0)
}

#[tokio::test]
async fn integers_and_decimals_are_not_cast_to_double_and_overflow_to_null() {
    let big = i64::MAX;
    let got = constants(&format!(
        "SELECT sum(x), avg(x), arrow_typeof(sum(x)), arrow_typeof(avg(x)) \
         FROM (VALUES ({big}), ({big} - 2), (-{big})) AS t(x)"
    ))
    .await;
    let exact = float(Some((big - 2) as f64 / 3.0));
    assert_eq!(got, [(big - 2).to_string(), exact, "Int64".to_owned(), "Float64".to_owned()]);
    let sql = format!("SELECT sum(x), min(x) FROM (VALUES ({big}), ({big})) AS t(x)");
    assert_eq!(constants(&sql).await, [String::new(), big.to_string()], "overflow is NULL");
    let got = constants(
        "SELECT avg(x), arrow_typeof(avg(x)), sum(x), arrow_typeof(sum(x)) FROM \
         (SELECT CAST(column1 AS DECIMAL(10, 2)) AS x FROM (VALUES ('0.01'), ('0.02'), ('0.02')))",
    );
    let expected = ["0.016667", "Decimal128(14, 6)", "0.05", "Decimal128(20, 2)"];
    assert_eq!(got.await, expected);
    let got = constants(
        "SELECT sum(x), avg(x) FROM (SELECT CAST(column1 AS DECIMAL(38, 0)) AS x \
         FROM (VALUES ('99999999999999999999999999999999999999'), ('1')))",
    );
    assert_eq!(got.await, ["", ""], "neither fits");
}

#[tokio::test]
async fn floats_have_one_order_one_zero_and_one_nan() {
    let values = "(SELECT CAST(column1 AS DOUBLE) AS x FROM \
                  (VALUES ('NaN'), ('-0.0'), ('0'), ('NaN'), ('-inf')))";
    let sql = format!("SELECT count(DISTINCT x), min(x), max(x), sum(x), var(x) FROM {values}");
    let (nan, low) = (float(Some(f64::NAN)), float(Some(f64::NEG_INFINITY)));
    assert_eq!(constants(&sql).await, ["3", &low, &nan, &nan, &nan]);
    let sql = format!("SELECT max(x), sum(x), avg(x) FROM {values} WHERE NOT isnan(x)");
    assert_eq!(constants(&sql).await, [float(Some(0.0)), low.clone(), low]);
    let sql = format!("SELECT sum(x), min(x), count(x) FROM {values} WHERE x > 5 AND NOT isnan(x)");
    assert_eq!(constants(&sql).await, ["NULL", "NULL", "0"]);
}

#[tokio::test]
async fn nan_and_infinity_leave_a_sliding_frame_without_a_trace() {
    let context = SessionContext::new();
    register(&context);
    let sql = "SELECT t, sum(x) OVER w, max(x) OVER w, stddev(x) OVER w FROM \
               (SELECT column1 AS t, CAST(column2 AS DOUBLE) AS x FROM (VALUES \
               (1, '1e300'), (2, 'NaN'), (3, 'inf'), (4, '-inf'), (5, '0.1'), (6, '0.2'))) \
               WINDOW w AS (ORDER BY t RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) ORDER BY t";
    let got = cells(&context, sql).await;
    let sums: Vec<&str> = got.iter().map(|row| row[1].split(' ').next().unwrap()).collect();
    assert_eq!(sums, ["1e300", "NaN", "NaN", "NaN", "-inf", "3.0000000000000004e-1"]);
    assert_eq!(got[5][2], float(Some(0.2)));
    assert_eq!(got[5][3], expected([Some(0.1), Some(0.2)].into_iter())[5]);
}

#[tokio::test]
async fn what_has_no_meaning_is_refused_with_a_hint() {
    let context = SessionContext::new();
    register(&context);
    for (sql, hint) in [
        ("SELECT sum('5')", "cast it"),
        ("SELECT avg(true)", "count them"),
        ("SELECT stddev(now())", "EXTRACT"),
        ("SELECT sum()", "takes exactly one argument"),
        ("SELECT max(1, 2)", "takes exactly one argument"),
    ] {
        let error = context.sql(sql).await.unwrap_err().to_string();
        assert!(error.contains(hint), "{sql}: {error}");
    }
}

#[tokio::test]
async fn every_alias_reaches_the_exact_function() {
    let rows = rows(&mut Random::new(4), 100);
    let context = context(&rows, SHAPES[1]);
    let sql =
        "SELECT mean(v), var_sample(v), var_samp(v), var_population(v), stddev_samp(v) FROM t";
    let [_, avg, var_pop, var, _, stddev, ..] = &expected(rows.iter().map(|row| row.v))[..] else {
        panic!("eight results");
    };
    let all = [avg, var, var, var_pop, stddev].map(String::clone);
    assert_eq!(cells(&context, sql).await, [all]);
    let count = context.sql("SELECT count(*), count(v) FROM t").await.unwrap();
    let count = count.collect().await.unwrap();
    assert_eq!(count[0].column(0).as_primitive::<Int64Type>().value(0), 100);
}
