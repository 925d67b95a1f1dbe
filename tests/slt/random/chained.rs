//! Shapes of windows over the results of windows, each with stock SQL written by hand. Called by
//! `shapes`.

use super::shape::{S, Shape};

fn at(us: &str) -> String {
    format!("arrow_cast({us}, 'Timestamp(Microsecond, Some(\"UTC\"))')")
}

/// The source with the end `_e` of each window that a row falls into.
fn windowed(slide: i64, size: i64) -> String {
    format!(
        "(SELECT *, _w + {size} AS _e FROM (SELECT *, unnest(range(_us - (_us % {slide} + {slide}) \
         % {slide}, _us - {size}, -{slide})) AS _w FROM src) WHERE _w > _us - {size})"
    )
}

fn over(frame: &str) -> String {
    format!("OVER (PARTITION BY k ORDER BY _e {frame})")
}

const MINUTE: &str = "RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW";

pub fn shapes() -> Vec<Shape> {
    let mut shapes = over_groups();
    shapes.extend(over_rows());
    shapes
}

/// Over the results of group windows.
fn over_groups() -> Vec<Shape> {
    let last = over("RANGE BETWEEN 60000000 PRECEDING AND CURRENT ROW");
    let before = over("ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING");
    let tumble = Shape::sql(
        "chained_tumble",
        &format!(
            "SELECT k, n, AVG(n) OVER m AS a, MAX(x) OVER m AS b, SUM(x) OVER r AS c, \
             n - LAG(n) OVER m AS d FROM (SELECT k, COUNT(*) AS n, SUM(f) AS x, window_end FROM \
             TUMBLE(src, ts, INTERVAL '10 seconds') GROUP BY k, window_start, window_end) AS w \
             WINDOW m AS (PARTITION BY k ORDER BY window_end {MINUTE}), r AS (PARTITION BY k \
             ORDER BY window_end ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)"
        ),
        &[10 * S, 60 * S],
    );
    let inner = "SELECT k, count(*) AS n, oracle_sum(array_agg(f)) AS x, _e FROM";
    let tumble = tumble.with_stock(&format!(
        "SELECT k, n, oracle_avg(array_agg(n) {last}) AS a, oracle_max(array_agg(x) {last}) AS b, \
         oracle_sum(array_agg(x) {before}) AS c, n - lag(n) OVER (PARTITION BY k ORDER BY _e) AS \
         d, {} AS window_end FROM ({inner} {} GROUP BY k, _e)",
        at("_e"),
        windowed(10 * S, 10 * S),
    ));
    let hop = Shape::sql(
        "chained_hop_having",
        &format!(
            "SELECT k, t, COUNT(*) OVER m AS a, MAX(n) OVER m AS b, w_end FROM (SELECT k, t, \
             COUNT(*) AS n, window_end AS w_end FROM HOP(src, ts, INTERVAL '4 seconds', \
             INTERVAL '10 seconds') WHERE i > -15 GROUP BY k, t, window_start, window_end HAVING \
             COUNT(*) > 1) AS w WHERE n < 5 WINDOW m AS (PARTITION BY k, t ORDER BY w_end {MINUTE})"
        ),
        &[10 * S, 4 * S],
    );
    let both = "OVER (PARTITION BY k, t ORDER BY _e RANGE BETWEEN 60000000 PRECEDING AND CURRENT \
                ROW)";
    let hop = hop.with_stock(&format!(
        "SELECT k, t, count(*) {both} AS a, max(n) {both} AS b, {} AS w_end FROM (SELECT k, t, \
         count(*) AS n, _e FROM {} WHERE i > -15 GROUP BY k, t, _e HAVING count(*) > 1) WHERE n < \
         5",
        at("_e"),
        windowed(4 * S, 10 * S),
    ));
    vec![tumble, hop]
}

/// Over the results of trailing windows.
fn over_rows() -> Vec<Shape> {
    let ten = "RANGE BETWEEN INTERVAL '10 seconds' PRECEDING AND CURRENT ROW";
    let nested = Shape::sql(
        "nested_range",
        &format!(
            "SELECT k, seq, n, COUNT(*) OVER m AS a, AVG(n) OVER m AS b, MAX(x) OVER r AS c, \
             SUM(step) OVER m AS e, ts FROM (SELECT k, seq, ts, COUNT(*) OVER w AS n, SUM(f) OVER w \
             AS x, f - LAG(f) OVER l AS step FROM src WHERE i > -30 WINDOW w AS (PARTITION BY k ORDER \
             BY ts {ten}), l AS (PARTITION BY k ORDER BY ts)) AS y WHERE n > 1 WINDOW m AS \
             (PARTITION BY k ORDER BY ts {MINUTE}), r AS (PARTITION BY k ORDER BY ts ROWS BETWEEN \
             3 PRECEDING AND 1 PRECEDING)"
        ),
        &[10 * S, 60 * S],
    );
    let row = "PARTITION BY k ORDER BY _us";
    let inner = format!("OVER ({row} RANGE BETWEEN 10000000 PRECEDING AND CURRENT ROW)");
    let last = format!("OVER ({row} RANGE BETWEEN 60000000 PRECEDING AND CURRENT ROW)");
    let before = format!("OVER ({row}, _rn ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)");
    let nested = nested.with_stock(&format!(
        "SELECT k, seq, n, count(*) {last} AS a, oracle_avg(array_agg(n) {last}) AS b, \
         oracle_max(array_agg(x) {before}) AS c, oracle_sum(array_agg(step) {last}) AS e, ts FROM \
         (SELECT *, count(*) {inner} AS n, oracle_sum(array_agg(f) {inner}) AS x, f - lag(f) OVER \
         ({row}, _rn) AS step FROM src WHERE i > -30) WHERE n > 1",
    ));
    let places = Shape::sql(
        "nested_rows",
        "SELECT k, t, last_n(g, 3) OVER m AS a, MIN(g) OVER e AS b, COUNT(g) OVER u AS c, ts FROM \
         (SELECT k, t, ts, seq - LAG(seq, 2) OVER w AS g FROM src WINDOW w AS (PARTITION BY k, t \
         ORDER BY ts)) AS y WINDOW m AS (PARTITION BY k, t ORDER BY ts ROWS 4 PRECEDING), e AS \
         (PARTITION BY k, t ORDER BY ts RANGE BETWEEN INTERVAL '10 seconds' PRECEDING AND INTERVAL \
         '1 second' PRECEDING), u AS (PARTITION BY k, t ORDER BY ts)",
        &[10 * S, S],
    );
    let row = "PARTITION BY k, t ORDER BY _us";
    let newest = format!("array_agg(g) OVER ({row}, _rn ROWS 4 PRECEDING)");
    let places = places.with_stock(&format!(
        "SELECT k, t, array_slice({newest}, -3, -1) AS a, min(g) OVER ({row} RANGE \
         BETWEEN 10000000 PRECEDING AND 1000000 PRECEDING) AS b, count(g) OVER ({row}) AS c, ts \
         FROM (SELECT *, seq - lag(seq, 2) OVER ({row}, _rn) AS g FROM src)"
    ));
    vec![nested, places]
}
