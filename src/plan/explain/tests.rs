//! Golden texts.

use super::{explain, explain_shared};
use crate::plan::fixture::plan;

const EXAMPLE: &str = include_str!("example.sql");

#[test]
fn the_example_of_the_documentation_explains_itself() {
    assert_eq!(explain(&plan(EXAMPLE).unwrap()), include_str!("example.txt"));
}

#[test]
fn a_hopping_window_explains_itself() {
    let sql = "SELECT user_id, COUNT(*) AS n, SUM(amount) / COUNT(*) AS mean FROM HOP(\
               transactions, \
               event_time, INTERVAL '5 minutes', INTERVAL '1 hour') GROUP BY user_id, window_end";
    let sharers = ["other".to_owned()];
    assert_eq!(explain_shared(&plan(sql).unwrap(), &sharers), include_str!("hop.txt"));
}

#[test]
fn fingerprints_follow_meaning_not_spelling() {
    let fingerprint = |sql: &str| plan(sql).unwrap().fingerprint;
    let first = fingerprint(EXAMPLE);
    let spelled = EXAMPLE
        .replace("INTERVAL '30' MINUTE", "INTERVAL '1800 seconds'")
        .replace("amount > 0", "(transactions.amount > 0.0) -- positive");
    assert_ne!(EXAMPLE, spelled);
    assert_eq!(first, fingerprint(&spelled));
    for (from, to) in [
        ("amount > 0", "amount >= 0"),
        ("'30' MINUTE", "'31' MINUTE"),
        ("AS avg_last_10", "AS avg_last_ten"),
        ("DISTINCT category", "category"),
        ("event_time, txn_id", "event_time, txn_id DESC"),
        ("9 PRECEDING", "8 PRECEDING"),
    ] {
        assert_ne!(first, fingerprint(&EXAMPLE.replace(from, to)), "{from}");
    }
    assert_eq!(first.len(), 32);
}

#[test]
fn fingerprints_follow_the_source_but_not_its_options() {
    let source = crate::plan::fixture::transactions();
    let fingerprint = |source: &crate::catalog::source::SourceDef| {
        crate::plan::fixture::plan_over(source, EXAMPLE).unwrap().fingerprint
    };
    let first = fingerprint(&source);
    let mut elsewhere = source.clone();
    elsewhere.options.path = Some("elsewhere".to_owned());
    elsewhere.sql = "CREATE SOURCE".to_owned();
    assert_eq!(first, fingerprint(&elsewhere));
    let mut slower = source.clone();
    slower.watermark.delay_us += 1;
    assert_ne!(first, fingerprint(&slower));
    let mut wider = source.clone();
    wider.columns.pop();
    assert_ne!(first, fingerprint(&wider));
}
