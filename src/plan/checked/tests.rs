//! Rows on which an expression fails are NULL and counted; others are as without the wrapping.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Decimal128Type, Float64Type, Int32Type, Int64Type};

use crate::plan::dataflow::FeaturePlan;
use crate::plan::fixture::{ROWS, admitted, floats, ints, longs, plan, prices, texts};

/// The value column of LAST_VALUE(`expression`), and how many rows failed.
fn evaluate(expression: &str, columns: Vec<(&str, ArrayRef)>) -> (ArrayRef, u64) {
    let sql = format!(
        "SELECT user_id, LAST_VALUE({expression}) OVER (PARTITION BY user_id ORDER BY event_time) \
         AS x FROM transactions"
    );
    let plan = plan(&sql).unwrap_or_else(|error| panic!("{expression}: {error}"));
    value_column(&plan, columns)
}

fn value_column(plan: &FeaturePlan, columns: Vec<(&str, ArrayRef)>) -> (ArrayRef, u64) {
    let step = plan.preparation.evaluate(&admitted(columns)).unwrap();
    (step.column_by_name("v0").unwrap().clone(), plan.errors.get())
}

fn as_longs(array: &ArrayRef) -> Vec<Option<i64>> {
    array.as_primitive::<Int64Type>().iter().collect()
}

#[test]
fn division_by_zero_is_null_for_that_row_and_counted() {
    let small = ints([Some(6), Some(0), None, Some(-3)]);
    let (found, errors) = evaluate("12 / small", vec![("small", small.clone())]);
    assert_eq!(as_longs(&found), [Some(2), None, None, Some(-4)]);
    assert_eq!(errors, 1);
    let (found, errors) = evaluate("7 % small", vec![("small", small)]);
    assert_eq!(as_longs(&found), [Some(1), None, None, Some(1)]);
    assert_eq!(errors, 1);
}

#[test]
fn integer_overflow_is_null_for_that_row_and_counted() {
    let big = longs([Some(i64::MAX), Some(1), Some(i64::MIN), None]);
    for (expression, expected) in [
        ("txn_id + 1", [None, Some(2), Some(i64::MIN + 1), None]),
        ("txn_id - 2", [Some(i64::MAX - 2), Some(-1), None, None]),
        ("txn_id * 2", [None, Some(2), None, None]),
        ("-txn_id", [Some(-i64::MAX), Some(-1), None, None]),
        ("txn_id / -1", [Some(-i64::MAX), Some(-1), None, None]),
        ("abs(txn_id)", [Some(i64::MAX), Some(1), None, None]),
    ] {
        let (found, errors) = evaluate(expression, vec![("txn_id", big.clone())]);
        assert_eq!(as_longs(&found), expected, "{expression}");
        let failed = expected.iter().take(3).filter(|value| value.is_none()).count();
        assert_eq!(errors, failed as u64, "{expression}");
    }
}

#[test]
fn arithmetic_on_two_columns_fails_row_by_row() {
    let (found, errors) = evaluate(
        "txn_id / \"Mixed Case\"",
        vec![
            ("txn_id", longs([Some(10), Some(10), Some(i64::MIN), Some(9)])),
            ("Mixed Case", longs([Some(0), Some(5), Some(-1), Some(2)])),
        ],
    );
    assert_eq!(as_longs(&found), [None, Some(2), None, Some(4)]);
    assert_eq!(errors, 2);
}

#[test]
fn bad_casts_are_null_and_counted_but_null_is_not_a_failure() {
    let category = texts([Some("12"), Some("x"), None, Some(" ")]);
    let (found, errors) =
        evaluate("CAST(category AS BIGINT)", vec![("category", category.clone())]);
    assert_eq!(as_longs(&found), [Some(12), None, None, None]);
    assert_eq!(errors, 2);
    let (_, errors) = evaluate("TRY_CAST(category AS BIGINT)", vec![("category", category)]);
    assert_eq!(errors, 0, "who writes TRY_CAST expects NULL");
    let amount = floats([Some(1e30), Some(f64::NAN), Some(-2.9), Some(f64::INFINITY)]);
    let (found, errors) = evaluate("CAST(amount AS INT)", vec![("amount", amount)]);
    let found: Vec<_> = found.as_primitive::<Int32Type>().iter().collect();
    assert_eq!(found, [None, None, Some(-2), None]);
    assert_eq!(errors, 3);
}

#[test]
fn decimals_beyond_their_precision_are_null() {
    let price = prices([Some(150), Some(0), Some(9_999_999_999), None]);
    let (found, errors) = evaluate("price / price", vec![("price", price.clone())]);
    assert_eq!((found.is_null(1), found.is_null(0)), (true, false));
    assert_eq!(errors, 1);
    // DECIMAL(38, 0) + DECIMAL(38, 0) is DECIMAL(38, 0): 39 digits do not fit.
    let nines = "CAST('99999999999999999999999999999999999999' AS DECIMAL(38, 0))";
    let expression = format!("CAST(price AS DECIMAL(38, 0)) + {nines}");
    let (found, errors) = evaluate(&expression, vec![("price", price)]);
    let found: Vec<_> = found.as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!((found[0], found[1].is_some(), found[2]), (None, true, None));
    assert_eq!(errors, 2);
}

#[test]
fn a_function_that_fails_on_some_rows_gives_the_others() {
    let category = texts([Some("2024-05-06"), Some("never"), None, Some("1970-01-01")]);
    let (found, errors) =
        evaluate("CAST(to_date(category) AS VARCHAR)", vec![("category", category)]);
    let found: Vec<_> = found.as_string::<i32>().iter().collect();
    assert_eq!(found, [Some("2024-05-06"), None, None, Some("1970-01-01")]);
    assert_eq!(errors, 1);
    let patterns = texts([Some("^a"), Some("("), None, Some("b$")]);
    let (found, errors) = evaluate("'ab' ~ category", vec![("category", patterns)]);
    let found: Vec<_> = found.as_boolean().iter().collect();
    assert_eq!(found, [Some(true), None, None, Some(true)]);
    assert_eq!(errors, 1);
}

#[test]
fn a_constant_that_fails_is_null_and_planning_does_not_fail_on_it() {
    for expression in ["1 / 0", "CAST('abc' AS INT)", "9223372036854775807 + 1"] {
        let sql = format!(
            "SELECT user_id, COUNT({expression}) OVER (PARTITION BY user_id ORDER BY event_time) \
             AS n FROM transactions WHERE amount > 0 OR {expression} IS NULL"
        );
        let plan = plan(&sql).unwrap();
        assert_eq!(plan.errors.get(), 0);
        let step = plan.preparation.evaluate(&admitted(vec![])).unwrap();
        assert_eq!(step.num_rows(), ROWS, "{expression} IS NULL is true");
    }
}

#[test]
fn a_failing_condition_is_not_true() {
    let plan = plan(
        "SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time) AS n \
         FROM transactions WHERE 10 / small > 2",
    )
    .unwrap();
    let small = ints([Some(0), Some(2), Some(5), Some(1)]);
    let step = plan.preparation.evaluate(&admitted(vec![("small", small)])).unwrap();
    let users: Vec<_> = step.column(0).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(users, [2, 4]);
    assert_eq!(plan.errors.get(), 1);
}

#[test]
fn computed_floats_compare_as_one_zero_and_one_nan() {
    let amount = floats([Some(0.0), Some(f64::NAN), Some(f64::INFINITY), Some(1.0)]);
    let negative_nan = "-(amount - amount) / (amount - amount)";
    for (expression, expected) in [
        ("-amount = 0", [Some(true), Some(false), Some(false), Some(false)]),
        ("-amount < 0", [Some(false), Some(false), Some(true), Some(true)]),
        (
            "(0.0 / (amount * 0)) = (-0.0 / (amount * 0))",
            [Some(true), Some(true), Some(true), Some(true)],
        ),
        ("CAST(-amount AS REAL) IN (0, 5)", [Some(true), Some(false), Some(false), Some(false)]),
        ("-amount BETWEEN 0 AND 0", [Some(true), Some(false), Some(false), Some(false)]),
        ("NULLIF(-amount, 0) IS NULL", [Some(true), Some(false), Some(false), Some(false)]),
        (
            "CASE -amount WHEN 0 THEN true ELSE false END",
            [Some(true), Some(false), Some(false), Some(false)],
        ),
    ] {
        let (found, _) = evaluate(expression, vec![("amount", amount.clone())]);
        let found: Vec<_> = found.as_boolean().iter().collect();
        assert_eq!(found, expected, "{expression}");
    }
    let expression = format!("({negative_nan}) > CAST('inf' AS DOUBLE)");
    let (found, _) = evaluate(&expression, vec![("amount", amount)]);
    assert_eq!(found.as_boolean().iter().collect::<Vec<_>>(), [Some(true); 4], "NaN is greatest");
}

#[test]
fn float_results_of_preparations_are_canonical() {
    let amount = floats([Some(0.0), Some(-0.0), Some(f64::NAN), Some(2.0)]);
    let (found, _) = evaluate("amount * -1", vec![("amount", amount)]);
    let bits: Vec<u64> =
        found.as_primitive::<Float64Type>().values().iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits, [0.0f64, 0.0, f64::NAN, -2.0].map(f64::to_bits));
}

#[test]
fn a_guard_in_a_case_keeps_rows_from_failing() {
    let plan = plan(
        "SELECT user_id, CASE WHEN small <> 0 THEN 10 / small ELSE COUNT(*) OVER w END AS x \
         FROM transactions WINDOW w AS (PARTITION BY user_id ORDER BY event_time)",
    )
    .unwrap();
    let small = ints([Some(0), Some(2), Some(0), Some(1)]);
    plan.preparation.evaluate(&admitted(vec![("small", small)])).unwrap();
    assert_eq!(plan.errors.get(), 0, "10 / small is evaluated only where small is not 0");
}
