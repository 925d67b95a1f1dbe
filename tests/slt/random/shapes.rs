//! The list of query shapes: every aggregate over every type in every kind of window, and the
//! combinations people write. Adding an aggregate or a window kind means a line here.

use super::data::{AT, B, D, DAY, F, I, J, K, R, S as TEXT, SEQ, T, W};
use super::shape::{S, Shape, distinct, filtered, plain};
use crate::harness::model::{Call, Condition, Except, Frame, Model, Row, Windows};
use crate::harness::value::Val;

/// All shapes.
pub fn all() -> Vec<Shape> {
    let mut all = typed();
    all.extend(windows());
    all.extend(keys());
    all.extend(filters());
    all.extend(written());
    all.extend(expressions());
    all.extend(super::kept::shapes());
    all.extend(super::families::shapes());
    all.extend(super::chained::shapes());
    all
}

const NUMERIC: [&str; 9] =
    ["count", "sum", "avg", "min", "max", "var_pop", "var_samp", "stddev_pop", "stddev_samp"];

/// Every aggregate that a column's type allows.
fn calls(column: usize, frame: usize) -> Vec<Call> {
    let names: &[&'static str] = match column {
        I | J | F | R | D | W => &NUMERIC,
        _ => &["count", "min", "max"],
    };
    // VAR and STDDEV of decimals are not in the contract.
    let decimal = matches!(column, D | W);
    let kept =
        names.iter().filter(|n| !(decimal && (n.starts_with("var") || n.starts_with("std"))));
    let mut calls: Vec<Call> = kept.map(|n| plain(n, Some(column), frame)).collect();
    calls.push(plain("count", None, frame));
    calls.push(distinct("count", column, frame));
    calls.push(plain("first_value", Some(column), frame));
    calls.push(plain("last_value", Some(column), frame));
    calls.push(Call { ignore_nulls: true, ..plain("first_value", Some(column), frame) });
    calls.push(Call { ignore_nulls: true, ..plain("last_value", Some(column), frame) });
    if matches!(column, I | F | D) {
        calls.push(distinct("sum", column, frame));
        calls.push(distinct("avg", column, frame));
    }
    calls
}

fn typed() -> Vec<Shape> {
    let types = [
        ("bigint", I),
        ("int", J),
        ("double", F),
        ("real", R),
        ("decimal", D),
        ("wide_decimal", W),
        ("text", TEXT),
        ("boolean", B),
        ("timestamp", AT),
        ("date", DAY),
    ];
    let kinds = [
        ("range", Windows::Trailing(vec![Frame::Range(Some(10 * S)), Frame::Range(Some(3 * S))])),
        ("rows", Windows::Trailing(vec![Frame::Rows(Some(3), None)])),
        ("unbounded", Windows::Trailing(vec![Frame::Range(None), Frame::Rows(None, Some(SEQ))])),
        ("tumble", Windows::Group { size: 10 * S, slide: 10 * S, offset: 0 }),
        ("hop", Windows::Group { size: 10 * S, slide: 3 * S, offset: 0 }),
        ("session", Windows::Session { gap: 4 * S }),
        ("cumulate", Windows::Cumulate { step: 2 * S, size: 10 * S }),
        (
            "lag",
            Windows::Trailing(vec![Frame::Lag(Some(10 * S), 2 * S), Frame::RowsLag(None, 2, None)]),
        ),
        (
            "except",
            Windows::Trailing(vec![
                Frame::Except(Some(10 * S), Except::CurrentRow),
                Frame::Except(None, Except::Ties),
            ]),
        ),
        ("newest", Windows::Trailing(vec![Frame::Newest(Some(10 * S), 3)])),
        ("count", Windows::Count(3)),
    ];
    let mut all = Vec::new();
    for (kind, windows) in kinds {
        for (name, column) in types {
            let mut calls = calls(column, 0);
            if let Windows::Trailing(frames) = &windows
                && frames.len() > 1
            {
                calls.extend(self::calls(column, 1).into_iter().step_by(2));
            }
            let model = Model { keys: vec![K], calls, windows: windows.clone(), condition: None };
            all.push(Shape::structured(&format!("{kind}_{name}"), model));
        }
    }
    all
}

/// A few aggregates over several types.
fn some(frame: usize) -> Vec<Call> {
    vec![
        plain("count", None, frame),
        plain("sum", Some(F), frame),
        plain("avg", Some(I), frame),
        plain("max", Some(TEXT), frame),
        plain("min", Some(F), frame),
        plain("last_value", Some(SEQ), frame),
    ]
}

fn windows() -> Vec<Shape> {
    let group = |name: &str, size: i64, slide: i64, offset: i64| {
        let windows = Windows::Group { size, slide, offset };
        let model = Model { keys: vec![K], calls: some(0), windows, condition: None };
        Shape::structured(name, model)
    };
    let of = |name: &str, windows: Windows| {
        let model = Model { keys: vec![K], calls: some(0), windows, condition: None };
        Shape::structured(name, model)
    };
    let frames = |name: &str, frames: Vec<Frame>| {
        let calls = (0..frames.len()).flat_map(some).collect();
        let windows = Windows::Trailing(frames);
        Shape::structured(name, Model { keys: vec![K], calls, windows, condition: None })
    };
    vec![
        group("tumble_offset", 10 * S, 10 * S, 3 * S),
        group("tumble_one_microsecond", 1, 1, 0),
        group("tumble_day", 86_400 * S, 86_400 * S, 0),
        group("hop_divisible", 12 * S, 4 * S, 0),
        group("hop_offset", 10 * S, 4 * S, S),
        group("hop_with_gaps", 2 * S, 5 * S, 0),
        group("hop_with_gaps_offset", 2 * S, 5 * S, 4 * S),
        group("hop_coprime", 7 * S + 1, 3 * S, 0),
        group("hop_many_panes", 20 * S, S, 0),
        group("hop_milliseconds", 1500, 1000, 0),
        frames(
            "range_three_lengths",
            vec![Frame::Range(Some(S)), Frame::Range(Some(10 * S)), Frame::Range(Some(60 * S))],
        ),
        frames("lag_one_microsecond", vec![Frame::Lag(Some(10 * S), 1), Frame::Lag(None, 1)]),
        frames("lag_long", vec![Frame::Lag(Some(60 * S), 50 * S), Frame::Lag(None, 3 * S)]),
        frames(
            "lag_of_rows",
            vec![
                Frame::RowsLag(Some(4), 1, Some(SEQ)),
                Frame::RowsLag(Some(9), 9, None),
                Frame::RowsLag(None, 1, None),
            ],
        ),
        frames(
            "except_everything",
            vec![
                Frame::Except(Some(10 * S), Except::Group),
                Frame::Except(Some(10 * S), Except::CurrentRow),
                Frame::Except(Some(0), Except::Ties),
                Frame::Except(None, Except::Group),
                Frame::Rows(Some(3), Some(I)),
            ],
        ),
        frames(
            "newest_of_others",
            vec![
                Frame::NewestExcept(Some(10 * S), Except::CurrentRow, 3),
                Frame::NewestExcept(Some(3 * S), Except::Ties, 2),
                Frame::NewestExcept(None, Except::CurrentRow, 1),
                Frame::NewestExcept(None, Except::Group, 5),
            ],
        ),
        frames("newest_unbounded", vec![Frame::Newest(None, 5), Frame::Newest(Some(3 * S), 1)]),
        of("session_one_microsecond", Windows::Session { gap: 1 }),
        of("session_long", Windows::Session { gap: 60 * S }),
        of("cumulate_one_step", Windows::Cumulate { step: 10 * S, size: 10 * S }),
        of("cumulate_many_steps", Windows::Cumulate { step: S, size: 30 * S }),
        of("months", Windows::Months(1)),
        of("quarters", Windows::Months(3)),
        of("days", Windows::Days { zone: "Europe/Paris" }),
        of("days_without_midnight", Windows::Days { zone: "America/Sao_Paulo" }),
        of("count_one", Windows::Count(1)),
        of("count_four", Windows::Count(4)),
        frames("range_zero", vec![Frame::Range(Some(0))]),
        frames("range_one_microsecond", vec![Frame::Range(Some(1))]),
        frames("rows_current_only", vec![Frame::Rows(Some(0), None)]),
        frames("rows_tie_breaker", vec![Frame::Rows(Some(4), Some(SEQ))]),
        frames("rows_nullable_tie_breaker", vec![Frame::Rows(Some(2), Some(I))]),
        frames("rows_text_tie_breaker", vec![Frame::Rows(Some(2), Some(TEXT))]),
        frames(
            "range_rows_unbounded_together",
            vec![
                Frame::Range(Some(5 * S)),
                Frame::Rows(Some(2), None),
                Frame::Rows(Some(5), Some(SEQ)),
                Frame::Range(None),
            ],
        ),
    ]
}

fn keys() -> Vec<Shape> {
    let with = |name: &str, keys: Vec<usize>, windows: Windows| {
        Shape::structured(name, Model { keys, calls: some(0), windows, condition: None })
    };
    let range = || Windows::Trailing(vec![Frame::Range(Some(10 * S))]);
    let tumble = || Windows::Group { size: 10 * S, slide: 10 * S, offset: 0 };
    vec![
        with("range_no_key", vec![], range()),
        with("tumble_no_key", vec![], tumble()),
        with("rows_no_key", vec![], Windows::Trailing(vec![Frame::Rows(Some(5), None)])),
        with("session_no_key", vec![], Windows::Session { gap: 5 * S }),
        with("session_two_keys", vec![T, K], Windows::Session { gap: 5 * S }),
        with("range_text_key", vec![T], range()),
        with("tumble_text_key", vec![T], tumble()),
        with("range_two_keys", vec![K, T], range()),
        with("tumble_two_keys", vec![T, K], tumble()),
        with("range_float_key", vec![F], range()),
        with("tumble_float_key", vec![F], tumble()),
        with("range_decimal_key", vec![D], range()),
        with("range_boolean_key", vec![B], range()),
        with("tumble_timestamp_key", vec![AT], tumble()),
        with("range_date_key", vec![DAY], range()),
        with(
            "hop_three_keys",
            vec![B, K, J],
            Windows::Group { size: 10 * S, slide: 5 * S, offset: 0 },
        ),
    ]
}

fn int(row: &Row, column: usize) -> Option<i128> {
    match row.values[column] {
        Val::Int(x) => Some(x),
        _ => None,
    }
}

const I_POSITIVE: Condition = Condition { sql: "i > 0", test: |r| int(r, I).map(|x| x > 0) };
const B_TRUE: Condition = Condition {
    sql: "b",
    test: |r| match r.values[B] {
        Val::Bool(b) => Some(b),
        _ => None,
    },
};
const S_IS_A: Condition = Condition {
    sql: "s = 'a' OR s IS NULL",
    test: |r| match &r.values[TEXT] {
        Val::Text(s) => Some(s == "a"),
        _ => Some(true),
    },
};
const NEVER: Condition = Condition { sql: "i > 5 AND i < 3", test: |_| Some(false) };

fn filters() -> Vec<Shape> {
    let calls = |frame| {
        vec![
            plain("count", None, frame),
            filtered("count", None, frame, I_POSITIVE),
            filtered("sum", Some(F), frame, B_TRUE),
            filtered("avg", Some(D), frame, S_IS_A),
            filtered("max", Some(TEXT), frame, I_POSITIVE),
            filtered("first_value", Some(I), frame, B_TRUE),
            filtered("last_value", Some(F), frame, S_IS_A),
            Call { ignore_nulls: true, ..filtered("last_value", Some(I), frame, B_TRUE) },
            Call { distinct: true, ..filtered("count", Some(TEXT), frame, I_POSITIVE) },
            filtered("sum", Some(I), frame, NEVER),
            filtered("count", Some(I), frame, NEVER),
        ]
    };
    let shape = |name: &str, windows: Windows, condition: Option<Condition>| {
        let n = match &windows {
            Windows::Trailing(frames) => frames.len(),
            _ => 1,
        };
        let calls = (0..n).flat_map(calls).collect();
        Shape::structured(name, Model { keys: vec![K], calls, windows, condition })
    };
    let range = || Windows::Trailing(vec![Frame::Range(Some(10 * S))]);
    let rows = || Windows::Trailing(vec![Frame::Rows(Some(4), Some(SEQ))]);
    let tumble = || Windows::Group { size: 10 * S, slide: 10 * S, offset: 0 };
    let hop = || Windows::Group { size: 9 * S, slide: 4 * S, offset: 0 };
    vec![
        shape("range_filter", range(), None),
        shape("rows_filter", rows(), None),
        shape("tumble_filter", tumble(), None),
        shape("hop_filter", hop(), None),
        shape("range_where", range(), Some(B_TRUE)),
        shape("rows_where", rows(), Some(I_POSITIVE)),
        shape("tumble_where", tumble(), Some(S_IS_A)),
        shape("hop_where", hop(), Some(I_POSITIVE)),
        shape("session_where", Windows::Session { gap: 5 * S }, Some(I_POSITIVE)),
        shape("cumulate_filter", Windows::Cumulate { step: 3 * S, size: 9 * S }, None),
        shape("range_where_never", range(), Some(NEVER)),
    ]
}

const RANGE: &str = "(PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10 seconds' PRECEDING \
                     AND CURRENT ROW)";

/// Spellings and structures that only the SQL oracle judges.
fn written() -> Vec<Shape> {
    let edges = [10 * S, 3 * S];
    let over = |items: &str| format!("SELECT k, {items}, ts FROM src WINDOW w AS {RANGE}");
    vec![
        Shape::sql(
            "group_by_tumble_call",
            "SELECT k, TUMBLE_START(ts, INTERVAL '10 seconds') AS window_start, \
             TUMBLE_END(ts, INTERVAL '10 seconds') AS window_end, COUNT(*) AS n, AVG(f) AS a \
             FROM src GROUP BY k, TUMBLE(ts, INTERVAL '10 seconds')",
            &edges,
        ),
        Shape::sql(
            "group_by_hop_call",
            "SELECT k, window_start, window_end, SUM(i) AS x, MAX(f) AS m FROM src \
             GROUP BY k, HOP(ts, INTERVAL '3 seconds', INTERVAL '10 seconds')",
            &edges,
        ),
        Shape::sql(
            "window_times_left_out",
            "SELECT k, COUNT(*) AS n FROM TUMBLE(src, ts, INTERVAL '10 seconds') \
             GROUP BY k, window_start, window_end",
            &edges,
        ),
        Shape::sql(
            "event_time_left_out",
            "SELECT k, COUNT(*) OVER w AS n FROM src WINDOW w AS \
             (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND \
             CURRENT ROW)",
            &edges,
        ),
        Shape::sql(
            "inline_windows",
            "SELECT SUM(j) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT \
             ROW) AS x, k, ts, COUNT(*) OVER (PARTITION BY k ORDER BY ts) AS n FROM src",
            &edges,
        ),
        Shape::sql(
            "same_slot_twice",
            &over(
                "AVG(f) OVER w AS a, AVG(f) OVER w AS b, SUM(f) OVER w AS c, COUNT(f) OVER w AS d",
            ),
            &edges,
        ),
        Shape::sql(
            "rows_descending_tie_breaker",
            "SELECT k, seq, SUM(f) OVER w AS x, FIRST_VALUE(seq) OVER w AS y, ts FROM src WINDOW w \
             AS (PARTITION BY k ORDER BY ts, seq DESC, j ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)",
            &edges,
        ),
        Shape::sql(
            "rows_nulls_first_tie_breaker",
            "SELECT k, i, SUM(f) OVER w AS x, FIRST_VALUE(i) OVER w AS y, ts FROM src WINDOW w \
             AS (PARTITION BY k ORDER BY ts, i NULLS FIRST ROWS BETWEEN 3 PRECEDING AND CURRENT \
             ROW)",
            &edges,
        ),
        Shape::sql(
            "rows_float_tie_breaker",
            "SELECT k, f, COUNT(f) OVER w AS x, LAST_VALUE(seq) OVER w AS y, ts FROM src WINDOW w \
             AS (PARTITION BY k ORDER BY ts, f ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
            &edges,
        ),
        Shape::sql(
            "expression_key",
            "SELECT k, t, COUNT(*) OVER w AS n, MIN(ts) OVER w AS first, ts AS ts FROM src \
             WINDOW w AS (PARTITION BY k, t ORDER BY ts RANGE UNBOUNDED PRECEDING)",
            &edges,
        ),
    ]
}

/// Expressions below, above and beside aggregates.
fn expressions() -> Vec<Shape> {
    let edges = [10 * S];
    let over = |items: &str| format!("SELECT k, {items}, ts FROM src WINDOW w AS {RANGE}");
    let group = |items: &str| {
        format!(
            "SELECT k, {items}, window_start, window_end FROM \
                 HOP(src, ts, INTERVAL '4 seconds', INTERVAL '10 seconds') \
                 GROUP BY k, window_start, window_end"
        )
    };
    let sql = |name: &str, query: &str| Shape::sql(name, query, &edges);
    vec![
        sql(
            "case_argument",
            &over(
                "SUM(CASE WHEN i > 0 THEN f WHEN i < 0 THEN -f END) OVER w AS x, \
             COUNT(CASE WHEN s = 'a' THEN 1 END) OVER w AS y, \
             AVG(CASE WHEN b THEN 1.0 ELSE 0.0 END) OVER w AS z",
            ),
        ),
        sql(
            "cast_argument",
            &over(
                "SUM(CAST(j AS DOUBLE)) OVER w AS x, MAX(CAST(s AS BIGINT)) OVER w AS y, \
             SUM(CAST(s AS DOUBLE)) OVER w AS z, MIN(CAST(j AS VARCHAR)) OVER w AS v",
            ),
        ),
        sql(
            "arithmetic_argument",
            &over(
                "SUM(f * 2.0 + 1.0) OVER w AS x, MIN(-f) OVER w AS y, MAX(f - f) OVER w AS z, \
             AVG(ABS(f)) OVER w AS v, COUNT(DISTINCT -f) OVER w AS u, VAR_POP(f / 3.0) OVER w AS q",
            ),
        ),
        sql(
            "arithmetic_over_aggregates",
            &over(
                "SUM(f) OVER w / COUNT(*) OVER w AS x, CAST(MAX(j) OVER w AS BIGINT) - MIN(j) OVER w AS y, \
             AVG(f) OVER w * 100.0 AS z, STDDEV_POP(f) OVER w / NULLIF(AVG(f) OVER w, 0.0) AS v",
            ),
        ),
        sql(
            "current_row_and_aggregates",
            &over(
                "f - AVG(f) OVER w AS x, f > AVG(f) OVER w AS y, s, i, \
             CASE WHEN f = MAX(f) OVER w THEN 'top' ELSE s END AS z",
            ),
        ),
        sql(
            "coalesce_over_aggregates",
            &over(
                "COALESCE(SUM(f) OVER w, 0.0) AS x, COALESCE(MAX(s) OVER w, 'none') AS y, \
             COUNT(f) OVER w = 0 AS z, NULLIF(COUNT(*) OVER w, 1) AS v",
            ),
        ),
        sql(
            "text_functions",
            &over(
                "MAX(UPPER(s)) OVER w AS x, MIN(s || '-' || t) OVER w AS y, \
             SUM(CHARACTER_LENGTH(s)) OVER w AS z, COUNT(DISTINCT SUBSTR(s, 1, 1)) OVER w AS v",
            ),
        ),
        sql(
            "boolean_arguments",
            &over(
                "MAX(b) OVER w AS x, MIN(f > 0.0) OVER w AS y, \
             COUNT(*) FILTER (WHERE b AND i > 0 OR s LIKE '%a%') OVER w AS z, \
             SUM(f) FILTER (WHERE s IN ('a', 'b') AND NOT b) OVER w AS v",
            ),
        ),
        sql(
            "group_expressions",
            &group(
                "SUM(f) / COUNT(*) AS x, CAST(MAX(j) AS BIGINT) - MIN(j) AS y, COALESCE(AVG(d), 0) AS z, \
             COUNT(DISTINCT s) * 2 AS v, CASE WHEN COUNT(f) > 1 THEN STDDEV_SAMP(f) END AS u",
            ),
        ),
        sql(
            "group_arguments",
            &group(
                "SUM(f * j) AS x, MIN(-f) AS y, MAX(LOWER(s)) AS z, AVG(CAST(s AS DOUBLE)) AS v, \
             COUNT(CASE WHEN b THEN 1 END) AS u",
            ),
        ),
        sql(
            "having",
            "SELECT k, COUNT(*) AS n, SUM(f) AS x, window_start, window_end FROM \
             HOP(src, ts, INTERVAL '4 seconds', INTERVAL '10 seconds') \
             GROUP BY k, window_start, window_end HAVING COUNT(*) > 1 AND MAX(j) >= MIN(j) + 1",
        ),
        sql(
            "having_alias_and_key",
            "SELECT k, t, COUNT(*) AS n, window_start, window_end FROM \
             TUMBLE(src, ts, INTERVAL '10 seconds') \
             GROUP BY k, t, window_start, window_end HAVING n < 3 OR k = 1",
        ),
        sql(
            "sub_query",
            "SELECT k, SUM(g) OVER w AS x, MAX(u) OVER w AS y, g, ts FROM \
             (SELECT k, f * 2.0 AS g, UPPER(s) AS u, ts FROM (SELECT * FROM src WHERE f > 0) AS a \
             WHERE i > -10) AS b \
             WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10 seconds' PRECEDING \
             AND CURRENT ROW)",
        )
        .with_stock(&format!(
            "SELECT k, oracle_sum(array_agg(f * 2.0) {FRAME}) AS x, MAX(UPPER(s)) {FRAME} AS y, \
             f * 2.0 AS g, ts FROM src WHERE f > 0 AND i > -10"
        )),
        sql(
            "where_expression",
            "SELECT k, SUM(f) OVER w AS x, COUNT(*) OVER w AS n, ts FROM src \
             WHERE f > 0 AND (s LIKE 'a%' OR i BETWEEN -5 AND 5) AND CAST(t AS BIGINT) IS NULL \
             WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10 seconds' PRECEDING \
             AND CURRENT ROW)",
        ),
        sql(
            "overflow_in_expression",
            &over(
                "SUM(i + 1) OVER w AS x, MAX(i * 2) OVER w AS y, -MIN(i) OVER w AS z, i + i AS v, \
             COUNT(i - 1) OVER w AS u",
            ),
        )
        .with_stock(&overflow_stock()),
        sql(
            "division_by_zero",
            &over(
                "SUM(i / j) OVER w AS x, COUNT(i % j) OVER w AS y, i / j AS z, \
             SUM(j) OVER w / SUM(j) OVER w AS v",
            ),
        )
        .with_stock(&division_stock()),
    ]
}

const FRAME: &str = "OVER (PARTITION BY k ORDER BY _us RANGE BETWEEN 10000000 PRECEDING AND \
                     CURRENT ROW)";

/// Integer arithmetic in DECIMAL(38), cast back where it fits: NULL where BIGINT overflows.
fn overflow_stock() -> String {
    let big = |e: &str| format!("TRY_CAST({e} AS BIGINT)");
    let wide = "CAST(i AS DECIMAL(20, 0))";
    let sum = format!("CAST({} AS DECIMAL(38, 0))", big(&format!("{wide} + 1")));
    format!(
        "SELECT k, TRY_CAST(SUM({sum}) {FRAME} AS BIGINT) AS x, MAX({}) {FRAME} AS y, \
         TRY_CAST(-CAST(MIN(i) {FRAME} AS DECIMAL(20, 0)) AS BIGINT) AS z, {} AS v, \
         COUNT({}) {FRAME} AS u, ts FROM src",
        big(&format!("{wide} * 2")),
        big(&format!("{wide} + {wide}")),
        big(&format!("{wide} - 1"))
    )
}

/// `x / 0` and MIN / −1 are NULL.
fn division_stock() -> String {
    let safe = "CASE WHEN i = -9223372036854775808 AND j = -1 THEN NULL ELSE i / NULLIF(j, 0) END";
    let rest = "CASE WHEN j = -1 THEN i - i ELSE i % NULLIF(j, 0) END";
    let sum = "SUM(CAST(j AS BIGINT))";
    format!(
        "SELECT k, TRY_CAST(SUM(CAST({safe} AS DECIMAL(38, 0))) {FRAME} AS BIGINT) AS x, \
         COUNT({rest}) {FRAME} AS y, {safe} AS z, \
         {sum} {FRAME} / NULLIF({sum} {FRAME}, 0) AS v, ts FROM src"
    )
}
