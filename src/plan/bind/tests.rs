//! Every statement of `statements.sql` gives the plan or the error written under it.

use arrow::array::Array;

use crate::error::{Error, Result};
use crate::plan::dataflow::FeaturePlan;
use crate::plan::fixture::{admitted, floats, ints, plan, prices, texts};

/// What is written under a statement: its output columns and condition, or its error.
fn verdict(planned: &Result<FeaturePlan>) -> String {
    match planned {
        Ok(plan) => {
            let words = &plan.description;
            let mut lines = vec![format!(
                "-- key ({}) time {:?}",
                plan.key_columns.join(", "),
                plan.time_column
            )];
            for (name, data_type, expression) in &words.outputs {
                lines.push(format!("--   {name} {data_type} = {expression}"));
            }
            lines.extend(words.filter.iter().map(|filter| format!("-- where {filter}")));
            lines.extend(plan.notes.iter().map(|note| format!("-- note: {note}")));
            lines.join("\n")
        }
        Err(error) => error_text(error),
    }
}

fn error_text(error: &Error) -> String {
    let at = error.span().map_or_else(String::new, |span| {
        format!(" {}:{}-{}:{}", span.start.0, span.start.1, span.end.0, span.end.1)
    });
    let hint = error.hint().map_or_else(String::new, |hint| format!("\n-- hint: {hint}"));
    format!("-- {:?}{at}: {}{hint}", error.kind(), error.message())
}

#[test]
fn every_statement_gives_the_plan_or_the_error_written_under_it() {
    let text = include_str!("statements.sql");
    let (mut cases, mut wrong) = (0, String::new());
    for case in text.split("\n\n").map(str::trim).filter(|case| !case.starts_with("--")) {
        let Some((sql, expected)) = case.split_once("\n--") else { continue };
        let found = verdict(&plan(sql.trim_end_matches(';')));
        cases += 1;
        if found != format!("--{expected}") {
            wrong.push_str(&format!("{sql}\n{found}\n\n"));
        }
    }
    assert!(cases >= 100, "only {cases} statements were read");
    assert!(wrong.is_empty(), "these statements now give:\n\n{wrong}");
}

#[test]
fn a_filter_is_folded_into_the_argument_and_null_is_not_true() {
    let plan = plan(
        "SELECT user_id, COUNT(*) FILTER (WHERE amount > 5) OVER w AS n, SUM(small) FILTER \
         (WHERE amount > 5) OVER w AS s FROM transactions \
         WINDOW w AS (PARTITION BY user_id ORDER BY event_time)",
    )
    .unwrap();
    let columns = vec![
        ("amount", floats([Some(6.0), Some(5.0), None, Some(7.0)])),
        ("small", ints([Some(1), Some(2), Some(3), None])),
    ];
    let step = plan.preparation.evaluate(&admitted(columns)).unwrap();
    let valid = |name: &str| -> Vec<bool> {
        let column = step.column_by_name(name).unwrap();
        (0..column.len()).map(|row| column.is_valid(row)).collect()
    };
    assert_eq!(valid("v0"), [true, false, false, true], "COUNT(*) counts these");
    assert_eq!(valid("v1"), [true, false, false, false], "SUM(small) adds these");
}

#[test]
fn scalar_functions_give_columns_of_the_declared_types() {
    let expressions = [
        "substr(category, 1, 2)",
        "upper(category) || '-' || left(category, 1)",
        "concat(category, small)",
        "replace(category, 'a', 'b')",
        "split_part(category, 'b', 1)",
        "regexp_replace(category, 'a', 'x')",
        "lpad(category, 5, '*')",
        "reverse(trim(category))",
        "md5(category)",
        "encode(sha256(category), 'hex')",
        "sha256(category)",
        "length(category)",
        "strpos(category, 'b')",
        "CAST(amount AS VARCHAR)",
        "date_part('hour', event_time)",
        "EXTRACT(EPOCH FROM event_time)",
        "date_trunc('day', event_time)",
        "date_bin(INTERVAL '1 minute', event_time)",
        "to_timestamp(category)",
        "CAST(event_time AS DATE)",
        "to_char(event_time, '%Y')",
        "round(amount, 1)",
        "power(amount, 2)",
        "sqrt(amount)",
        "ln(amount)",
        "price * 2 / 3",
        "ratio * 2",
        "coalesce(category, 'none')",
        "nvl(small, 1)",
        "ifnull(small, 1)",
        "nvl2(small, 1, 2)",
        "arrow_cast(small, 'Int8')",
        "greatest(amount, 1)",
        "make_array(small, 1)[1]",
        "make_array(category)",
        "flag AND amount > 1",
        "small & 3",
        "CASE category WHEN 'ab' THEN 1 ELSE 2 END",
    ];
    for expression in expressions {
        let sql = format!(
            "SELECT user_id, {expression} AS x, COUNT(*) OVER (PARTITION BY user_id ORDER BY \
             event_time) AS n FROM transactions"
        );
        let plan = plan(&sql).unwrap_or_else(|error| panic!("{expression}: {error}"));
        let columns = vec![
            ("category", texts([Some("ab"), Some("2024-01-01"), None, Some("")])),
            ("amount", floats([Some(6.0), Some(-5.0), None, Some(f64::NAN)])),
            ("small", ints([Some(1), Some(-2), Some(i32::MAX), None])),
            ("price", prices([Some(1), Some(-2), Some(99), None])),
        ];
        let step = plan.preparation.evaluate(&admitted(columns)).unwrap();
        let found = step.column_by_name("v0").unwrap().data_type();
        let declared = plan.schema().field_with_name("x").unwrap().data_type();
        assert_eq!(found, declared, "{expression}");
        let views = ["View", "Dictionary", "Large", "Nanosecond", "ns"];
        assert!(
            !views.iter().any(|view| found.to_string().contains(view)),
            "{expression}: {found}"
        );
    }
}

#[test]
fn an_error_in_a_later_line_points_into_that_line() {
    let error = plan(
        "SELECT user_id,\n       SUM(amout) OVER (PARTITION BY user_id ORDER BY event_time) AS s\n\
         FROM transactions",
    )
    .unwrap_err();
    assert_eq!(error.span().unwrap().start, (2, 12));
}
