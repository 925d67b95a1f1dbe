//! Shapes of aggregates that keep their rows and of numbering functions, each with the SQL that
//! stock DataFusion computes exactly. Called by `shapes`.

use super::shape::{S, Shape};

/// The columns of a shape as (feature, stock) SQL.
type Columns<'a> = &'a [(&'a str, &'a str)];

pub fn shapes() -> Vec<Shape> {
    vec![tumble(), hop(), rows(), numbered(), lists()]
}

fn list(columns: Columns, stock: bool) -> String {
    let one = |(i, (ours, theirs)): (usize, &(&str, &str))| {
        format!("{} AS c{i}", if stock { theirs } else { ours })
    };
    columns.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}

/// What groups compute, in the total order where there is one.
const GROUPED: [(&str, &str); 18] = [
    ("BOOL_AND(b)", "bool_and(b)"),
    ("BOOL_OR(b) FILTER (WHERE i > 0)", "bool_or(b) FILTER (WHERE i > 0)"),
    ("BIT_AND(i)", "bit_and(i)"),
    ("BIT_OR(j)", "bit_or(j)"),
    ("BIT_XOR(i)", "bit_xor(i)"),
    ("MEDIAN(j)", "median(j)"),
    ("MEDIAN(DISTINCT j)", "median(DISTINCT j)"),
    ("ARRAY_AGG(i)", "array_agg(i ORDER BY _rn)"),
    ("ARRAY_AGG(s ORDER BY j DESC, seq)", "array_agg(s ORDER BY j DESC, seq, _rn)"),
    ("ARRAY_AGG(f) FILTER (WHERE b)", "array_agg(f ORDER BY _rn) FILTER (WHERE b)"),
    ("STRING_AGG(t, '|')", "CAST(string_agg(t, '|' ORDER BY _rn) AS VARCHAR)"),
    ("NTH_VALUE(s, 2)", "nth_value(s, 2 ORDER BY _rn)"),
    ("NTH_VALUE(i, -1)", "nth_value(i, -1 ORDER BY _rn)"),
    ("FIRST_VALUE(s ORDER BY seq DESC)", "first_value(s ORDER BY seq DESC, _rn)"),
    ("LAST_VALUE(i ORDER BY j, t)", "last_value(i ORDER BY j, t, _rn)"),
    ("count_if(b)", "count(*) FILTER (WHERE b)"),
    ("max_where(s, i > 0)", "max(s) FILTER (WHERE i > 0)"),
    ("REGR_COUNT(i, j)", "regr_count(i, j)"),
];

fn grouped(name: &str, from: &str, slide: i64, size: i64) -> Shape {
    let query = format!(
        "SELECT k, {}, window_start, window_end FROM {from} GROUP BY k, window_start, window_end",
        list(&GROUPED, false)
    );
    let at = |us: &str| format!("arrow_cast({us}, 'Timestamp(Microsecond, Some(\"UTC\"))')");
    let stock = format!(
        "SELECT k, {}, {} AS window_start, {} AS window_end FROM (SELECT *, unnest(range(_us - \
         (_us % {slide} + {slide}) % {slide}, _us - {size}, -{slide})) AS _w FROM src) WHERE _w > \
         _us - {size} GROUP BY k, _w",
        list(&GROUPED, true),
        at("_w"),
        at(&format!("_w + {size}")),
    );
    Shape::sql(name, &query, &[size, slide]).with_stock(&stock)
}

fn tumble() -> Shape {
    grouped("tumble_kept", "TUMBLE(src, ts, INTERVAL '10 seconds')", 10 * S, 10 * S)
}

fn hop() -> Shape {
    let from = "HOP(src, ts, INTERVAL '4 seconds', INTERVAL '10 seconds')";
    grouped("hop_kept", from, 4 * S, 10 * S)
}

fn over(name: &str, columns: Columns, ours: &str, theirs: &str) -> Shape {
    let query = format!("SELECT k, {}, ts FROM src WINDOW w AS ({ours})", list(columns, false));
    let stock = format!("SELECT k, {}, ts FROM src WINDOW w AS ({theirs})", list(columns, true));
    Shape::sql(name, &query, &[10 * S]).with_stock(&stock)
}

/// Frames of places: stock lists are in order, so what they hold can be read from them.
fn rows() -> Shape {
    over(
        "rows_kept",
        &[
            ("ARRAY_AGG(f) OVER w", "array_agg(f) OVER w"),
            ("LAST_N(i, 2) OVER w", "array_slice(array_agg(i) OVER w, -2, -1)"),
            ("FIRST_N(s, 2) OVER w", "array_slice(array_agg(s) OVER w, 1, 2)"),
            ("NTH_VALUE(s, 3) OVER w", "array_element(array_agg(s) OVER w, 3)"),
            ("NTH_VALUE(s, -2) OVER w", "array_element(array_agg(s) OVER w, -2)"),
            // Stock BIT_XOR of a frame that only NULLs are left in is 0.
            ("BIT_XOR(i) OVER w", "CASE WHEN count(i) OVER w > 0 THEN bit_xor(i) OVER w END"),
            (
                "STRING_AGG(t, ',') OVER w",
                "array_to_string(array_agg(t) FILTER (WHERE t IS NOT NULL) OVER w, ',')",
            ),
            ("BOOL_AND(b) OVER w", "min(b) OVER w"),
        ],
        "PARTITION BY k ORDER BY ts, seq ROWS BETWEEN 4 PRECEDING AND CURRENT ROW",
        "PARTITION BY k ORDER BY _us, seq, _rn ROWS BETWEEN 4 PRECEDING AND CURRENT ROW",
    )
}

fn numbered() -> Shape {
    let all = "PARTITION BY k ORDER BY _us, _rn";
    let peers = "PARTITION BY k ORDER BY _us";
    let columns = [
        ("LAG(f) OVER w", format!("lag(f) OVER ({all})")),
        ("LAG(s, 2) OVER w", format!("lag(s, 2) OVER ({all})")),
        ("LAG(i, 3, 7) OVER w", format!("lag(i, 3, 7) OVER ({all})")),
        (
            "LAG(j) OVER (PARTITION BY k ORDER BY ts, seq DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
            "lag(j) OVER (PARTITION BY k ORDER BY _us, seq DESC, _rn)".to_owned(),
        ),
        ("ROW_NUMBER() OVER w", format!("row_number() OVER ({all})")),
        ("RANK() OVER w", format!("rank() OVER ({peers})")),
        ("DENSE_RANK() OVER w", format!("dense_rank() OVER ({peers})")),
    ];
    let columns: Vec<(&str, &str)> = columns.iter().map(|(a, b)| (*a, b.as_str())).collect();
    over("numbered", &columns, "PARTITION BY k ORDER BY ts", peers)
}

/// Frames of time that never lose a row: restored from their own state.
fn lists() -> Shape {
    over(
        "rows_unbounded_kept",
        &[
            ("ARRAY_AGG(s) OVER w", "array_agg(s) OVER w"),
            ("LAST_N(i, 3) OVER w", "array_slice(array_agg(i) OVER w, -3, -1)"),
            ("MEDIAN(j) OVER w", "median(j) OVER w"),
            ("BIT_XOR(j) OVER w", "bit_xor(j) OVER w"),
            ("BIT_AND(i) OVER w", "bit_and(i) OVER w"),
            ("BOOL_OR(b) OVER w", "bool_or(b) OVER w"),
        ],
        "PARTITION BY k ORDER BY ts, seq ROWS UNBOUNDED PRECEDING",
        "PARTITION BY k ORDER BY _us, seq, _rn ROWS UNBOUNDED PRECEDING",
    )
}
