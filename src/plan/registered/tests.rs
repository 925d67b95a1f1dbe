//! Registered functions are planned and computed like any other; wrong ones are refused.

use arrow::array::{AsArray, Float64Array, ListArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::logical_expr::create_udf;

use super::*;
use crate::model::time::EventTime;
use crate::operator::build;
use crate::plan::fixture::{admitted, floats, longs, plan};

/// x → 2 x.
fn double(name: &str, volatility: Volatility) -> ScalarUDF {
    let types = vec![DataType::Float64];
    let run = |args: &[ColumnarValue]| {
        let array = args[0].clone().into_array(1)?;
        let doubled = array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|x| 2.0 * x);
        Ok(ColumnarValue::Array(Arc::new(doubled)))
    };
    create_udf(name, types, DataType::Float64, volatility, Arc::new(run))
}

fn list_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Float64, true)))
}

/// The greatest less the smallest of a list.
fn spread() -> ScalarUDF {
    let run = |args: &[ColumnarValue]| {
        let array = args[0].clone().into_array(1)?;
        let spread = |list: Option<ArrayRef>| {
            let list = list?;
            let values = list.as_primitive::<Float64Type>();
            Some(arrow::compute::max(values)? - arrow::compute::min(values)?)
        };
        let all: Float64Array = array.as_list::<i32>().iter().map(spread).collect();
        Ok(ColumnarValue::Array(Arc::new(all)))
    };
    let (types, volatility) = (vec![list_type()], Volatility::Immutable);
    create_udf("spread_of_list", types, DataType::Float64, volatility, Arc::new(run))
}

#[test]
fn functions_and_aggregates_of_a_program_are_planned_and_computed() {
    register_function(double("twice_of_test", Volatility::Immutable)).unwrap();
    register_aggregate("spread_of_test", spread()).unwrap();
    let plan = plan(
        "SELECT user_id, twice_of_test(SUM(amount) OVER w) AS s, spread_of_test(amount) FILTER \
         (WHERE amount < 100) OVER w AS d FROM transactions WINDOW w AS (PARTITION BY user_id \
         ORDER BY event_time ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
    )
    .unwrap();
    let amounts = floats([Some(1.0), Some(5.0), None, Some(300.0)]);
    let rows = admitted(vec![("user_id", longs([Some(1); 4])), ("amount", amounts)]);
    let mut operator = build(&plan.window, false).unwrap();
    operator.on_batch(&plan.preparation.evaluate(&rows).unwrap()).unwrap();
    let mut out = Vec::new();
    operator.on_watermark(EventTime::INFINITY, &mut out).unwrap();
    let finals = plan.output.evaluate(&out[0]).unwrap();
    let column = |i: usize| -> Vec<Option<f64>> {
        finals.column(i).as_primitive::<Float64Type>().iter().collect()
    };
    assert_eq!(column(1), [Some(2.0), Some(12.0), Some(10.0), Some(600.0)]);
    assert_eq!(column(2), [Some(0.0), Some(4.0), Some(0.0), None]);
    let taken = register_function(double("twice_of_test", Volatility::Immutable)).unwrap_err();
    assert!(taken.message().contains("there is a function called twice_of_test"));
    let taken = register_aggregate("sum", spread()).unwrap_err();
    assert!(taken.message().contains("there is a function called sum"));
}

#[test]
fn a_function_whose_values_change_is_refused() {
    let error = register_function(double("volatile_of_test", Volatility::Volatile)).unwrap_err();
    assert!(error.message().contains("is not Volatility::Immutable"));
    let error = register_function(double("Odd", Volatility::Immutable)).unwrap_err();
    assert!(error.message().contains("a function called Odd"));
}

#[test]
fn the_check_finds_what_breaks_the_contract() {
    let values: ArrayRef =
        Arc::new(Float64Array::from(vec![Some(1.0), None, Some(-3.0), Some(7.5)]));
    check(&double("x", Volatility::Immutable), std::slice::from_ref(&values)).unwrap();
    // A running number of the batch.
    let run = |args: &[ColumnarValue]| {
        let rows = args[0].clone().into_array(1)?.len();
        let numbers = Float64Array::from_iter_values((0..rows).map(|row| row as f64));
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    };
    let (types, volatility) = (vec![DataType::Float64], Volatility::Immutable);
    let numbered = create_udf("numbered", types, DataType::Float64, volatility, Arc::new(run));
    let error = check(&numbered, &[values]).unwrap_err();
    assert_eq!(
        error.message(),
        "function numbered gives another value for row 1 when it is called on 1 rows"
    );
    let lists = vec![Some(vec![Some(1.0), Some(4.0)]), None, Some(vec![])];
    let lists = ListArray::from_iter_primitive::<Float64Type, _, _>(lists);
    check(&spread(), &[Arc::new(lists)]).unwrap();
}
