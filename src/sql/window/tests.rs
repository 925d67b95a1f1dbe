//! Each spelling of a window gives the same canonical query; wrong ones say what is wrong.

use sqlparser::ast::SetExpr;

use super::*;
use crate::sql::parser::{parse_expr, parse_query};

fn normalised(text: &str) -> String {
    let mut query = parse_query(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    normalise(&mut query).unwrap_or_else(|e| panic!("{text}: {e}"));
    query.to_string()
}

fn call(text: &str) -> Result<Option<WindowCall>> {
    let query = parse_query(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let SetExpr::Select(select) = query.body.as_ref() else { panic!("{text}") };
    window_call(&select.from[0].relation)
}

fn error(text: &str) -> String {
    match parse_query(text).and_then(|mut query| normalise(&mut query)) {
        Err(error) => error.to_string(),
        Ok(()) => panic!("{text} was accepted"),
    }
}

#[test]
fn every_spelling_of_tumble_becomes_the_canonical_one() {
    let canonical = "SELECT user_id, window_start, window_end, count(*) AS n \
        FROM tumble(tx, ts, INTERVAL '1' MINUTE) GROUP BY user_id, window_start, window_end";
    let froms = [
        "TUMBLE(tx, ts, INTERVAL '1 minute')",
        "tumble(tx, ts, INTERVAL '60' SECONDS)",
        "TUMBLE(TABLE tx, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
        "TABLE(TUMBLE(TABLE tx, DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
        "TABLE(TUMBLE(tx, ts, INTERVAL 1 MINUTE))",
        "TUMBLE(DATA => TABLE tx, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' MINUTE)",
        "TUMBLE(tx, ts, INTERVAL '1 minute', INTERVAL '0' SECOND)",
    ];
    let groups = [
        "user_id, window_start, window_end",
        "window_end, user_id",
        "user_id, window_start",
        "1, 2, 3",
    ];
    for from in froms {
        for group in groups {
            let select = "SELECT user_id, window_start, window_end, COUNT(*) AS n";
            let text = format!("{select} FROM {from} GROUP BY {group}");
            let expected = canonical.replace(
                "GROUP BY user_id",
                if group.starts_with('1') { "GROUP BY 1" } else { "GROUP BY user_id" },
            );
            assert_eq!(normalised(&text), expected, "{text}");
        }
    }
}

#[test]
fn the_group_by_form_becomes_the_canonical_one() {
    let expected = "SELECT user_id, window_start AS s, window_end, count(*) AS n \
        FROM tumble(tx, ts, INTERVAL '1' MINUTE) WHERE x > 1 \
        GROUP BY user_id, window_start, window_end HAVING window_end > 0";
    for text in [
        "SELECT user_id, TUMBLE_START(ts, INTERVAL '1' MINUTE) AS s,
            TUMBLE_END(ts, INTERVAL '1' MINUTE), COUNT(*) AS n FROM tx WHERE x > 1
            GROUP BY user_id, TUMBLE(ts, INTERVAL '1' MINUTE)
            HAVING TUMBLE_END(ts, INTERVAL '1' MINUTE) > 0",
        "SELECT user_id, window_start AS s, window_end, COUNT(*) AS n FROM tx WHERE x > 1
            GROUP BY TUMBLE(tx.ts, INTERVAL '1 minute'), user_id HAVING window_end > 0",
        "SELECT user_id, TUMBLE_START(ts, INTERVAL '1' MINUTE) AS s, window_end, COUNT(*) AS n
            FROM tx WHERE x > 1
            GROUP BY user_id, s HAVING window_end > 0",
    ] {
        assert_eq!(normalised(text), expected, "{text}");
    }
    assert_eq!(
        normalised(
            "SELECT count(*) AS n FROM tx AS t \
             GROUP BY HOP(ts, INTERVAL '1' HOUR, INTERVAL '1' DAY)"
        ),
        "SELECT count(*) AS n FROM hop(tx, ts, INTERVAL '1' HOUR, INTERVAL '1' DAY) AS t \
         GROUP BY window_start, window_end"
    );
}

#[test]
fn every_spelling_of_the_other_windows_becomes_the_canonical_one() {
    let select = "SELECT k, window_start, window_end, COUNT(*) AS n";
    let by = "GROUP BY k, window_start, window_end";
    let minute = "INTERVAL '1' MINUTE";
    for (window, froms) in [
        (
            "session(t, ts, INTERVAL '1' MINUTE)",
            vec![
                format!("SESSION(t, ts, {minute})"),
                format!("SESSION(t PARTITION BY k, ts, {minute})"),
                format!("SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), {minute})"),
                format!("TABLE(SESSION(TABLE t PARTITION BY (k), DESCRIPTOR(ts), {minute}))"),
                format!("SESSION(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), GAP => {minute})"),
            ],
        ),
        (
            "cumulate(t, ts, INTERVAL '1' MINUTE, INTERVAL '1' HOUR)",
            vec![
                format!("CUMULATE(t, ts, {minute}, INTERVAL '60' MINUTE)"),
                format!("CUMULATE(TABLE t, DESCRIPTOR(ts), {minute}, INTERVAL '1 hour')"),
                format!(
                    "TABLE(CUMULATE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), \
                     STEP => {minute}, SIZE => INTERVAL '1' HOUR))"
                ),
            ],
        ),
        (
            "tumble(t, ts, INTERVAL '3' MONTH, 'UTC')",
            vec![
                "TUMBLE(t, ts, INTERVAL '3 months')".to_owned(),
                "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' QUARTER, 'UTC')".to_owned(),
            ],
        ),
        (
            "tumble(t, ts, INTERVAL '7' DAY, 'Europe/Paris')",
            vec![
                "TUMBLE(t, ts, INTERVAL '1 week', 'Europe/Paris')".to_owned(),
                "TUMBLE(t, ts, INTERVAL '7' DAY, 'Europe/Paris')".to_owned(),
            ],
        ),
    ] {
        let expected =
            format!("SELECT k, window_start, window_end, count(*) AS n FROM {window} {by}");
        for from in froms {
            let text = format!("{select} FROM {from} {by}");
            assert_eq!(normalised(&text), expected, "{text}");
            assert_eq!(normalised(&expected), expected, "{text}");
        }
    }
    assert_eq!(
        normalised(
            "SELECT k, SESSION_START(ts, INTERVAL '1' MINUTE) AS s, COUNT(*) AS n FROM t \
             GROUP BY k, SESSION(ts, INTERVAL '1' MINUTE)"
        ),
        "SELECT k, window_start AS s, count(*) AS n FROM session(t, ts, INTERVAL '1' MINUTE) \
         GROUP BY k, window_start, window_end"
    );
}

#[test]
fn normalising_twice_changes_nothing_and_plain_queries_are_left_alone() {
    for text in [
        "SELECT a, count(*) FROM t GROUP BY a",
        "SELECT a, count(*) FROM t GROUP BY 1",
        "SELECT * FROM hop(t, ts, INTERVAL '1' HOUR, INTERVAL '1' DAY) AS w",
        "SELECT x FROM (SELECT window_end AS x FROM tumble(t, ts, INTERVAL '1' HOUR) \
         GROUP BY window_start, window_end)",
    ] {
        assert_eq!(normalised(text), text);
    }
}

#[test]
fn a_call_is_read_with_slide_before_size_and_the_offset_within_the_slide() {
    let text = "SELECT * FROM HOP(\"Big T\", ts, INTERVAL '5' MINUTE, INTERVAL '1' HOUR, \
                INTERVAL '-1' MINUTE) AS w";
    let found = call(text).unwrap().unwrap();
    assert_eq!(found.kind, WindowKind::Hop);
    assert_eq!(found.table.0[0].as_ident().unwrap().value, "Big T");
    assert_eq!(found.time.value, "ts");
    let (slide_us, size_us, offset_us) = (300_000_000, 3_600_000_000, 240_000_000);
    assert_eq!(found.shape, WindowShape::Grid { slide_us, size_us, offset_us });
    assert_eq!(found.alias.unwrap().name.value, "w");
    assert_eq!(call("SELECT * FROM t").unwrap(), None);
    assert_eq!(call("SELECT * FROM tumble").unwrap(), None);
    assert_eq!(call("SELECT * FROM history(t)").unwrap(), None);
}

#[test]
fn constant_intervals_are_read_in_every_spelling() {
    for (text, expected) in [
        ("INTERVAL '1' MINUTE", 60_000_000),
        ("INTERVAL '10 minutes'", 600_000_000),
        ("INTERVAL '10' MINUTES", 600_000_000),
        ("INTERVAL 2 HOUR", 7_200_000_000),
        ("INTERVAL '1.5' HOUR", 5_400_000_000),
        ("INTERVAL '1 hour 30 minutes'", 5_400_000_000),
        ("INTERVAL '500' MILLISECOND", 500_000),
        ("INTERVAL '7' DAY", 604_800_000_000),
        ("INTERVAL '1' WEEK", 604_800_000_000),
        ("INTERVAL '-3 seconds'", -3_000_000),
        ("-INTERVAL '3' SECOND", -3_000_000),
        ("(INTERVAL '3s')", 3_000_000),
        ("INTERVAL '0' SECOND", 0),
    ] {
        let expr = parse_expr(text).unwrap();
        assert_eq!(interval_us(&expr).unwrap(), expected, "{text}");
        if expected > 0 {
            assert_eq!(interval_us(&interval(expected)).unwrap(), expected);
        }
    }
}

#[test]
fn what_is_no_window_or_no_constant_interval_is_refused_with_the_reason() {
    let group = "GROUP BY window_start, window_end";
    for (from, expected) in [
        ("SESSION(t, ts, INTERVAL '0' MINUTE)", "the gap of a session must be longer than zero"),
        (
            "SESSION(t, ts, INTERVAL '1' MONTH)",
            "not supported: an interval in months: they have no fixed length \
             (hint: use days or weeks)",
        ),
        (
            "SESSION(t PARTITION BY k, ts, INTERVAL '1' MINUTE)",
            "not supported: sessions per k in groups of no key: sessions are formed per key of \
             the GROUP BY (hint: write the same columns in PARTITION BY and in GROUP BY)",
        ),
        (
            "SESSION(t, ts)",
            "too few arguments of a window (hint: SESSION(table [PARTITION BY key], time, gap))",
        ),
        (
            "CUMULATE(t, ts, INTERVAL '7' MINUTE, INTERVAL '1' HOUR)",
            "the size of CUMULATE is not a multiple of its step \
             (hint: CUMULATE takes the step first, then the greatest size)",
        ),
        (
            "HOP(t, ts, INTERVAL '1' DAY, INTERVAL '1' MONTH)",
            "not supported: an interval in months: they have no fixed length \
             (hint: use days or weeks)",
        ),
        (
            "TUMBLE(t, ts, INTERVAL '1' DAY, 'Europe/Pariss')",
            "no such time zone: Europe/Pariss (hint: did you mean 'Europe/Paris'?)",
        ),
        (
            "TUMBLE(t, ts, INTERVAL '1' HOUR, 'Europe/Paris')",
            "not supported: a time zone for windows that are no whole days \
             (hint: leave the zone out; an offset moves windows)",
        ),
        (
            "TUMBLE(t, ts, INTERVAL '1' MONTH, INTERVAL '1' DAY)",
            "not supported: an offset for windows of months \
             (hint: the last argument is a time zone, for example 'Europe/Paris')",
        ),
        (
            "TUMBLE(t, ts, INTERVAL '1:30' HOUR TO MINUTE)",
            "not supported: an interval of several fields (… TO …) \
             (hint: write it in one unit, for example INTERVAL '90' MINUTE)",
        ),
        ("TUMBLE(t, ts, INTERVAL '0' SECOND)", "the size of a window must be longer than zero"),
        (
            "HOP(t, ts, INTERVAL '-1' SECOND, INTERVAL '1' HOUR)",
            "the slide of a window must be longer than zero",
        ),
        (
            "HOP(t, ts, INTERVAL '1' SECOND, INTERVAL '10081' SECOND)",
            "a window may hold at most 10080 slides \
             (hint: HOP takes the slide first, then the size)",
        ),
        (
            "TUMBLE(t, ts)",
            "too few arguments of a window (hint: TUMBLE(table, time, size [, offset or zone]))",
        ),
        (
            "TUMBLE(t, ts, 5)",
            "expected a constant interval, found 5 (hint: for example INTERVAL '10 minutes')",
        ),
        ("TUMBLE(t, ts + 1, INTERVAL '1' HOUR)", "expected the event-time column, found ts + 1"),
    ] {
        assert_eq!(error(&format!("SELECT count(*) FROM {from} {group}")), expected, "{from}");
    }
}

#[test]
fn a_window_in_group_by_that_does_not_fit_is_refused_with_the_reason() {
    for (text, expected) in [
        (
            "SELECT TUMBLE_START(ts, INTERVAL '2' MINUTE) FROM t \
             GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE)",
            "tumble_start(ts, INTERVAL '2' MINUTE) is not the window of GROUP BY \
             (hint: repeat the arguments, or write window_start and window_end)",
        ),
        (
            "SELECT TUMBLE(ts, INTERVAL '2' MINUTE) FROM t",
            "not supported: tumble(ts, INTERVAL '2' MINUTE) as a value \
             (hint: write window_start and window_end)",
        ),
        (
            "SELECT count(*) FROM t, u GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE)",
            "not supported: TUMBLE or HOP in GROUP BY over anything but one source \
             (hint: FROM TUMBLE(source, time, size) … GROUP BY key, window_start, window_end)",
        ),
        (
            "SELECT count(*) FROM t GROUP BY TUMBLE(ts, INTERVAL '1' MINUTE), \
             HOP(ts, INTERVAL '1' MINUTE, INTERVAL '1' HOUR)",
            "not supported: two windows in one GROUP BY",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}
