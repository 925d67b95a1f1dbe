//! Registered functions are planned and computed like any other; wrong ones are refused.

use arrow::array::{AsArray, Float64Array, Int64Array, ListArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::logical_expr::create_udf;

use super::*;
use crate::aggregate::own::tests::{Breaks, Total};
use crate::aggregate::udaf;
use crate::model::time::EventTime;
use crate::operator::answer::tests::{Event, SECOND, batch};
use crate::operator::build;
use crate::operator::operator::Bound;
use crate::operator::trial::{Random, cases};
use crate::plan::dataflow::FeaturePlan;
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

/// Windows as (what stands behind the call, what is selected from, what ends the query).
fn windows() -> Vec<(String, String, String)> {
    let over = |frame: &str| {
        let window = format!("OVER (PARTITION BY user_id ORDER BY event_time {frame})");
        (window, "transactions".to_owned(), String::new())
    };
    let group = |call: &str| {
        let by = "GROUP BY user_id, window_start, window_end".to_owned();
        (String::new(), call.to_owned(), by)
    };
    let source = "transactions, event_time, INTERVAL";
    vec![
        over("RANGE BETWEEN INTERVAL '10 seconds' PRECEDING AND CURRENT ROW"),
        over("RANGE BETWEEN INTERVAL '20 seconds' PRECEDING AND INTERVAL '3 seconds' PRECEDING"),
        over("ROWS BETWEEN 3 PRECEDING AND CURRENT ROW"),
        over(""),
        over("RANGE INTERVAL '10 seconds' PRECEDING EXCLUDE CURRENT ROW"),
        over("RANGE INTERVAL '10 seconds' PRECEDING MAXSIZE 2"),
        group(&format!("TUMBLE({source} '10 seconds')")),
        group(&format!("HOP({source} '3 seconds', INTERVAL '10 seconds')")),
        group(&format!("CUMULATE({source} '2 seconds', INTERVAL '10 seconds')")),
        group(&format!("SESSION({source} '4 seconds')")),
    ]
}

/// The same column twice: by the registered aggregate and by SUM.
fn same(plan: &FeaturePlan, results: &[RecordBatch], seen: &mut usize) {
    for batch in results {
        let rows = plan.output.evaluate(batch).unwrap();
        let (a, b) = (rows.column_by_name("a").unwrap(), rows.column_by_name("b").unwrap());
        assert_eq!(a, b, "{:?}", plan.window);
        *seen += rows.num_rows();
    }
}

#[test]
fn an_incremental_aggregate_is_in_every_window_what_sum_is() {
    let total = Total { name: "total_of_test", breaks: Breaks::Nothing };
    register_incremental(total).unwrap();
    for (over, from, by) in windows() {
        let call = |name: &str| {
            format!("{name}(CAST(amount AS BIGINT)) FILTER (WHERE amount <> 7) {over}")
        };
        let (ours, sum) = (call("total_of_test"), call("SUM"));
        let plan = plan(&format!("SELECT user_id, {ours} AS a, {sum} AS b FROM {from} {by}"));
        let plan = plan.unwrap();
        let mut seen = 0;
        for seed in 0..cases() {
            let random = &mut Random::new(seed);
            let event = |random: &mut Random| Event {
                user: random.below(3) as i64,
                second: random.below(60) as i64,
                amount: (!random.one_in(8)).then(|| random.below(20) as f64),
            };
            let events: Vec<Event> = (0..40).map(|_| event(random)).collect();
            let step = plan.preparation.evaluate(&batch(&events)).unwrap();
            let (mut operator, mut out) = (build(&plan.window, true).unwrap(), Vec::new());
            let mut at = 0;
            while at < step.num_rows() {
                let count = (1 + random.below(9) as usize).min(step.num_rows() - at);
                operator.on_batch(&step.slice(at, count)).unwrap();
                at += count;
                if random.one_in(3) {
                    let snapshot = operator.snapshot().unwrap();
                    operator = build(&plan.window, true).unwrap();
                    operator.restore(&snapshot).unwrap();
                }
                if let Some(current) = operator.drain_current().unwrap() {
                    same(&plan, &[current.rows], &mut seen);
                }
                let keys: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 2]));
                let times = [0, 30, 60].map(|second| EventTime(second * SECOND));
                let probed = operator.probe(&[keys], &times, Bound::Inclusive).unwrap();
                same(&plan, &[probed.rows], &mut seen);
            }
            for watermark in [10, 35, 36] {
                operator.on_watermark(EventTime(watermark * SECOND), &mut out).unwrap();
            }
            operator.on_watermark(EventTime::INFINITY, &mut out).unwrap();
            same(&plan, &out, &mut seen);
        }
        assert!(seen > 100, "{from} {over}");
    }
}

#[test]
fn an_incremental_aggregate_takes_what_it_says_and_a_name_that_is_free() {
    let total = |name| Total { name, breaks: Breaks::Nothing };
    register_incremental(total("strict_of_test")).unwrap();
    for (call, expected) in [
        ("strict_of_test(category)", "strict_of_test takes one BIGINT"),
        (
            "strict_of_test(DISTINCT CAST(amount AS BIGINT))",
            "DISTINCT has no meaning in STRICT_OF_TEST",
        ),
    ] {
        let over = "OVER (PARTITION BY user_id ORDER BY event_time)";
        let error = plan(&format!("SELECT user_id, {call} {over} AS a FROM transactions"));
        let error = error.unwrap_err();
        assert!(error.message().contains(expected), "{error}");
    }
    let ordered = "SELECT user_id, strict_of_test(CAST(amount AS BIGINT) ORDER BY amount) AS a FROM \
                   TUMBLE(transactions, event_time, INTERVAL '1 hour') GROUP BY user_id, \
                   window_start, window_end";
    let error = plan(ordered).unwrap_err();
    assert!(
        error.message().contains("not supported: STRICT_OF_TEST(… ORDER BY amount)"),
        "{error}"
    );
    for taken in ["sum", "strict_of_test", "haversine", "Big"] {
        assert!(register_incremental(total(taken)).is_err(), "{taken}");
    }
}

#[test]
fn an_incremental_aggregate_is_known_to_plain_queries() {
    register_incremental(Total { name: "plain_of_test", breaks: Breaks::Nothing }).unwrap();
    let sql = "SELECT plain_of_test(x) AS a, sum(x) AS b, plain_of_test(x) FILTER (WHERE x > 50) \
               AS c FROM (SELECT CAST(value AS BIGINT) AS x FROM generate_series(1, 100))";
    let context = session::session(udaf::all(), &session::SessionOptions::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rows = runtime
        .block_on(async { session::sql(&context, sql).await.unwrap().collect().await.unwrap() });
    for (column, expected) in [("a", 5050), ("b", 5050), ("c", 3775)] {
        assert_eq!(rows[0][column].as_primitive::<Int64Type>().value(0), expected, "{column}");
    }
}
