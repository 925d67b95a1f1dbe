//! Statements made to overflow something are errors with a place, at once.

use super::*;
use crate::sql::parser::parse_statements;

fn refused(text: &str) -> Error {
    let error = match parse_statements(text) {
        Err(error) => error,
        Ok(_) => panic!("{}… was accepted", text.chars().take(60).collect::<String>()),
    };
    assert_eq!(error.exit_code(), 2);
    error
}

fn repeated(one: &str, separator: &str, count: usize) -> String {
    vec![one; count].join(separator)
}

#[test]
fn texts_that_would_overflow_the_planner_are_refused_with_a_place() {
    let chain = "more than 256 terms in one chain of operators";
    let depth = "more than 50 levels of nesting";
    for (text, expected) in [
        (format!("SELECT {}", repeated("a = 0", " OR ", 15_000)), "more than 50000 tokens"),
        (format!("SELECT {}", repeated("a", " OR ", 20_000)), chain),
        (format!("SELECT {}", repeated("1", "+", 20_000)), chain),
        (format!("SELECT {}1", "- ".repeat(20_000)), chain),
        (format!("SELECT {} a", "NOT ".repeat(20_000)), chain),
        (format!("SELECT a{}", "::INT".repeat(12_000)), chain),
        (format!("SELECT a{}", "[1]".repeat(12_000)), chain),
        (format!("SELECT {}", repeated("on", "+", 5_000)), chain),
        (format!("SELECT {}", repeated("from", "*", 5_000)), chain),
        (format!("SELECT {}", repeated("else", " OR ", 5_000)), chain),
        (format!("SELECT a {}", "IS NULL ".repeat(12_000)), chain),
        (format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000)), depth),
        (format!("SELECT {}", "(".repeat(49_000)), depth),
        (format!("SELECT {}", "f(".repeat(20_000)), depth),
        (format!("SELECT {}", "CASE WHEN ".repeat(20_000)), depth),
        (format!("SELECT {}", "[".repeat(20_000)), depth),
        (repeated("SELECT 1", " UNION ALL ", 5_000), "more than 64 arms of UNION in one query"),
        (repeated("SELECT 1", " EXCEPT ", 5_000), "more than 64 arms of UNION in one query"),
        (
            format!("SELECT 1 FROM {}", repeated("t", ",", 5_000)),
            "more than 256 tables in one FROM",
        ),
        (
            format!("SELECT 1 FROM {}", repeated("t", " JOIN ", 5_000)),
            "more than 256 tables in one FROM",
        ),
        (format!("CREATE FEATURE f AS SELECT {}", repeated("a", " AND ", 300)), chain),
        (format!("CREATE SOURCE s (a INT AS ({}))", repeated("a", "*", 300)), chain),
    ] {
        let error = refused(&text);
        assert!(error.message().starts_with(expected), "{}: {error}", &text[..40]);
        assert!(error.span().is_some(), "{error}");
    }
    let long = "x".repeat(SQL_TEXT_BYTES_MAX + 1);
    assert!(refused(&long).message().starts_with("the SQL text has 1048577 bytes"));
    let deep = format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(refused(&deep).span().is_some());
}

#[test]
fn what_a_person_writes_passes() {
    for text in [
        format!("SELECT {}", repeated("a", " OR ", 256)),
        format!("SELECT {}", repeated("a", ", ", 2_000)),
        format!("SELECT {}", repeated("a + 1", ", ", 2_000)),
        format!("SELECT 1 FROM t WHERE a IN ({})", repeated("1", ", ", 5_000)),
        repeated("SELECT 1", " UNION ALL ", 64),
        format!("SELECT {}1{}", "(".repeat(40), ")".repeat(40)),
        format!("SELECT CASE {} END", "WHEN a = 1 THEN 2 ".repeat(300)),
        format!("{};", repeated("SELECT 1", ";", 500)),
    ] {
        assert!(parse_statements(&text).is_ok(), "{}…", text.chars().take(60).collect::<String>());
    }
}

#[test]
fn a_panic_while_planning_is_an_internal_error() {
    let error = on_big_stack::<()>(|| panic!("boom {}", 1)).unwrap_err();
    assert_eq!(error.kind(), Kind::Internal);
    assert_eq!(error.message(), "planning failed: boom 1");
}
