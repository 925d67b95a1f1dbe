//! Scalar functions in ad-hoc SQL, by values worked out elsewhere.

use arrow::util::pretty::pretty_format_batches;

use super::*;
use crate::plan::checked::ErrorCounter;
use crate::plan::session::{SessionOptions, session, sql};

/// The one value of an expression, and how many rows failed.
async fn value(expression: &str) -> (String, u64) {
    let errors = ErrorCounter::default();
    let options = SessionOptions { errors: errors.clone(), ..SessionOptions::default() };
    let context = session(vec![], &options);
    // Not a constant: it runs as it does over rows.
    let text = format!("SELECT {expression} AS x FROM (VALUES (1.0, 'b')) AS t (one, b)");
    let batches = sql(&context, &text).await.unwrap().collect().await.unwrap();
    let table = pretty_format_batches(&batches).unwrap().to_string();
    let cell = table.lines().nth(3).unwrap().trim_matches('|').trim().to_owned();
    (cell, errors.get())
}

async fn is(expression: &str, expected: &str) {
    assert_eq!(value(expression).await, (expected.to_owned(), 0), "{expression}");
}

async fn fails(expression: &str) {
    assert_eq!(value(expression).await, (String::new(), 1), "{expression}");
}

#[test]
fn names_are_unique_and_new() {
    let stock = crate::plan::session::functions();
    for (i, function) in FUNCTIONS.iter().enumerate() {
        assert!(FUNCTIONS[..i].iter().all(|other| other.name != function.name));
        let known = &stock.scalar_functions()[function.name];
        assert!(known.inner().downcast_ref::<Scalar>().is_some(), "{}", function.name);
    }
}

#[tokio::test]
async fn distances_are_those_of_the_sphere() {
    // A quarter and a half of the circumference 2 π 6371.0088 km, and one degree of the equator.
    is("round(haversine(0, 0, 90 * one, 0) * 1000)", "10007557.0").await;
    is("round(haversine(0, 0, 0, 180 * one) * 1000)", "20015114.0").await;
    is("round(haversine(0, 0, 0, one) * 1000)", "111195.0").await;
    is("haversine(52.5 * one, 13.4, 52.5, 13.4)", "0.0").await;
    // Paris to London, 343.6 km.
    is("round(haversine(48.8566 * one, 2.3522, 51.5074, -0.1278) * 10)", "3436.0").await;
    fails("haversine(91 * one, 0, 0, 0)").await;
    is("haversine(NULL, one, 0, 0)", "").await;
}

#[tokio::test]
async fn geohashes_are_those_of_the_reference() {
    is("geohash(57.64911 * one, 10.40744, 11)", "u4pruydqqvj").await;
    is("geohash(42.6 * one, -5.6, 5)", "ezs42").await;
    is("geohash(-90 * one, -180, 3)", "000").await;
    fails("geohash(one, one, 13)").await;
}

#[tokio::test]
async fn numbers_are_scaled_clipped_and_put_in_buckets() {
    is("zscore(7 * one, 5, 4)", "0.5").await;
    is("zscore(one, 5, 0)", "").await;
    is("min_max_scale(5 * one, 0, 20)", "0.25").await;
    is("min_max_scale(one, 2, 2)", "").await;
    is("clip(7, 0, 5)", "5").await;
    is("clip(-7 * one, -1.5, 5)", "-1.5").await;
    is("clip(CAST('NaN' AS DOUBLE) * one, 0, 5)", "5.0").await;
    fails("clip(one, 5, 0)").await;
    is("bucketize(one, 1, 2, 3)", "1").await;
    is("bucketize(one - 0.5, 1, 2, 3)", "0").await;
    is("bucketize(one * 9, 1, 2, 3)", "3").await;
    fails("bucketize(one, 2, 1)").await;
    is("one_hot(b, 'a', 'b', 'c')", "[0, 1, 0]").await;
    is("one_hot(CAST(NULL AS VARCHAR), 'a', b)", "[0, 0]").await;
    is("hash_bucket(b, 1)", "0").await;
    // The same number whatever the width of the integer, and for ever.
    is(
        "hash_bucket(CAST(7 * one AS BIGINT), 1000) = hash_bucket(CAST(7 AS SMALLINT), 1000)",
        "true",
    )
    .await;
    is("hash_bucket(b, 1000000)", "179061").await;
    fails("hash_bucket(b, 0)").await;
}

#[tokio::test]
async fn parts_of_times_are_in_utc_and_round_down() {
    // 2024-02-29 was a Thursday, 1969-12-28 a Sunday.
    for (call, expected) in [
        ("hour_of_day(TIMESTAMP '2024-02-29T13:05:00Z')", "13"),
        ("minute_of_day(TIMESTAMP '2024-02-29T13:05:00Z')", "785"),
        ("day_of_week(TIMESTAMP '2024-02-29T13:05:00Z')", "4"),
        ("hour_of_week(TIMESTAMP '2024-02-29T13:05:00Z')", "85"),
        ("is_weekend(TIMESTAMP '2024-02-29T13:05:00Z')", "false"),
        ("day_of_week(TIMESTAMP '1969-12-28T23:00:00Z')", "7"),
        ("hour_of_week(TIMESTAMP '1969-12-28T23:00:00Z')", "167"),
        ("is_weekend(TIMESTAMP '1969-12-28T23:00:00Z')", "true"),
        ("hour_of_week(TIMESTAMP '2024-03-04T00:00:00Z')", "0"),
        ("day_of_week(DATE '2024-03-04')", "1"),
    ] {
        is(call, expected).await;
    }
}

#[tokio::test]
async fn json_is_read_along_a_path() {
    let json = r#"b || '' || '{"a": {"b": [1, 2.5, "x", null, true]}, "n": 12345678901234567}'"#;
    let json = json.replacen("b || '' || ", "substr(b, 2) || ", 1);
    for (call, expected) in [
        ("json_get(J, 'a', 'b', 2)", "x"),
        ("json_get(J, 'a', 'b', 1)", "2.5"),
        ("json_get(J, 'a', 'b', 3)", ""),
        ("json_get(J, 'a', 'b')", r#"[1, 2.5, "x", null, true]"#),
        ("json_get(J, 'c')", ""),
        ("json_get(J, 0)", ""),
        ("json_get_str(J, 'a', 'b', 2)", "x"),
        ("json_get_str(J, 'n')", ""),
        ("json_get_int(J, 'n')", "12345678901234567"),
        ("json_get_int(J, 'a', 'b', 1)", ""),
        ("json_get_float(J, 'a', 'b', 1)", "2.5"),
        ("json_get_float(J, 'a', 'b', 0)", "1.0"),
        ("json_get_bool(J, 'a', 'b', 4)", "true"),
        ("json_get_json(J, 'a', 'b', 2)", r#""x""#),
        ("json_contains(J, 'a', 'b', 3)", "true"),
        ("json_contains(J, 'a', 'x')", "false"),
        ("json_length(J, 'a', 'b')", "5"),
        ("json_length(J)", "2"),
        ("json_length(J, 'n')", ""),
    ] {
        is(&call.replace('J', &json), expected).await;
    }
    fails("json_get(b, 'a')").await;
    fails("json_get('{\"a\": ' || b, 'a')").await;
}
