//! Every statement of `statements.sql` gives the plan or the error written under it.

use crate::error::{Error, Result};
use crate::plan::dataflow::FeaturePlan;
use crate::plan::fixture::plan;

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
    for case in text.split("\n\n").map(str::trim).filter(|case| !case.is_empty()) {
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
fn an_error_in_a_later_line_points_into_that_line() {
    let error = plan(
        "SELECT user_id,\n       SUM(amout) OVER (PARTITION BY user_id ORDER BY event_time) AS s\n\
         FROM transactions",
    )
    .unwrap_err();
    assert_eq!(error.span().unwrap().start, (2, 12));
}
