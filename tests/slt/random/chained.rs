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

pub fn shapes() -> Vec<Shape> {
    let last = over("RANGE BETWEEN 60000000 PRECEDING AND CURRENT ROW");
    let before = over("ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING");
    let minute = "RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW";
    let tumble = Shape::sql(
        "chained_tumble",
        &format!(
            "SELECT k, n, AVG(n) OVER m AS a, MAX(x) OVER m AS b, SUM(x) OVER r AS c, \
             n - LAG(n) OVER m AS d FROM (SELECT k, COUNT(*) AS n, SUM(f) AS x, window_end FROM \
             TUMBLE(src, ts, INTERVAL '10 seconds') GROUP BY k, window_start, window_end) AS w \
             WINDOW m AS (PARTITION BY k ORDER BY window_end {minute}), r AS (PARTITION BY k \
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
             COUNT(*) > 1) AS w WHERE n < 5 WINDOW m AS (PARTITION BY k, t ORDER BY w_end {minute})"
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
