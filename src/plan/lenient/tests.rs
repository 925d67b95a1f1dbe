//! Names stay, infallible casts stay, everything fallible is wrapped.

use arrow::datatypes::{DataType, TimeUnit};

use super::cast_never_fails;
use crate::plan::session::{SessionOptions, session, sql};

#[test]
fn only_casts_that_hold_every_value_stay_plain() {
    use DataType as T;
    let micros = T::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for (from, to) in [
        (T::Int32, T::Int64),
        (T::UInt32, T::Int64),
        (T::Int64, T::Float64),
        (T::Float32, T::Float64),
        (T::Int64, T::Decimal128(19, 0)),
        (T::Int64, T::Utf8),
        (micros.clone(), T::Timestamp(TimeUnit::Microsecond, None)),
        (T::Boolean, T::Int32),
    ] {
        assert!(cast_never_fails(&from, &to), "{from} to {to}");
    }
    for (from, to) in [
        (T::Int64, T::Int32),
        (T::Int64, T::UInt64),
        (T::UInt64, T::Int64),
        (T::UInt32, T::Int32),
        (T::Float64, T::Int64),
        (T::Float64, T::Float32),
        (T::Utf8, T::Int64),
        (T::Utf8, micros.clone()),
        (T::Int64, T::Decimal128(18, 0)),
        (T::Int32, T::Decimal128(12, 4)),
        (micros, T::Timestamp(TimeUnit::Nanosecond, None)),
        (T::Decimal128(10, 2), T::Decimal128(9, 2)),
    ] {
        assert!(!cast_never_fails(&from, &to), "{from} to {to}");
    }
}

#[tokio::test]
async fn column_names_of_a_select_stay_as_the_user_wrote() {
    let context = session(vec![], &SessionOptions::default());
    let text = "SELECT a + 1, CAST(b AS INT), -a, abs(a) AS x, sum(a + 1) FROM \
                (VALUES (1, '2'), (3, 'x')) AS t(a, b) GROUP BY a, b";
    let frame = sql(&context, text).await.unwrap();
    let names: Vec<String> =
        frame.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["t.a + Int64(1)", "t.b", "(- t.a)", "x", "sum(t.a + Int64(1))"]);
    assert_eq!(frame.collect().await.unwrap().iter().map(|b| b.num_rows()).sum::<usize>(), 2);
}
