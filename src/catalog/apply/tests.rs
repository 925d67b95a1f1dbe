//! Definition files against catalogs: what is added, changed, refused.

use super::*;
use crate::catalog::define::tests::{env, infer};
use crate::sql::parser::parse_statements;

const SOURCE: &str = "CREATE SOURCE s (a INT, ts TIMESTAMP, WATERMARK FOR ts AS ts)
    WITH ('connector'='file', 'path'='d/');";

/// Stands for the planner's: the printed query is what is computed.
fn fingerprint(create: &CreateFeature, catalog: &Catalog) -> Result<String> {
    for name in relations(&create.query) {
        catalog.any(&name.value)?;
    }
    Ok(create.query_text.clone())
}

fn planned(
    catalog: &Catalog,
    text: &str,
    options: ApplyOptions,
) -> std::result::Result<Plan, ApplyError> {
    let checks = Checks { env: &env, infer: &infer, fingerprint: &fingerprint };
    plan(catalog, &parse_statements(text).unwrap(), options, checks)
}

fn verdicts(plan: &Plan) -> Vec<(&str, Verdict)> {
    plan.changes.iter().map(|c| (c.name.as_str(), c.verdict.clone())).collect()
}

fn apply(text: &str) -> Catalog {
    planned(&Catalog::default(), text, ApplyOptions::default()).unwrap().catalog
}

#[test]
fn statements_in_any_order_are_added_in_order_of_dependency() {
    let text = format!(
        "CREATE FEATURE c AS SELECT a FROM b; CREATE FEATURE b AS SELECT a FROM s; {SOURCE}"
    );
    let plan = planned(&Catalog::default(), &text, ApplyOptions::default()).unwrap();
    use Verdict::Added;
    assert_eq!(verdicts(&plan), [("s", Added), ("b", Added), ("c", Added)]);
    let again = planned(&plan.catalog, &text, ApplyOptions::default()).unwrap();
    assert!(again.is_empty());
    assert_eq!(again.catalog, plan.catalog);
}

#[test]
fn spelling_alone_is_no_change() {
    let first = apply(&format!("{SOURCE} CREATE FEATURE f AS SELECT a FROM s"));
    let text = "create or replace source S (A integer, TS timestamp(3),
        watermark for ts as ts - interval '0' second) with (connector = 'file', path = 'd/');
        -- the same
        CREATE FEATURE VIEW IF NOT EXISTS F AS select  A from S";
    assert!(planned(&first, text, ApplyOptions::default()).unwrap().is_empty());
}

#[test]
fn options_change_in_place_and_another_query_needs_replace() {
    let first = apply(&format!("{SOURCE} CREATE FEATURE f AS SELECT a FROM s"));
    let options = "CREATE FEATURE f WITH ('online'='none') AS SELECT a FROM s";
    let plan = planned(&first, options, ApplyOptions::default()).unwrap();
    assert_eq!(verdicts(&plan), [("f", Verdict::Changed("'online'".to_owned()))]);
    assert_eq!(plan.catalog.feature("f").unwrap().version, 1);
    let query = "CREATE FEATURE f AS SELECT a + 1 AS a FROM s";
    let failed = planned(&first, query, ApplyOptions::default()).unwrap_err();
    assert_eq!(
        failed.error.to_string(),
        "feature 'f' changes what it computes, and its state with it \
         (hint: --replace starts it anew; or give it another name)"
    );
    assert_eq!(failed.error.span().unwrap().start, (1, 16));
    let replace = ApplyOptions { replace: true, ..ApplyOptions::default() };
    let plan = planned(&first, query, replace).unwrap();
    assert_eq!(verdicts(&plan), [("f", Verdict::Replaced("what it computes".to_owned()))]);
    assert_eq!(plan.catalog.feature("f").unwrap().version, 2);
}

#[test]
fn a_source_in_use_keeps_its_watermark_even_with_replace() {
    let first = apply(&format!("{SOURCE} CREATE FEATURE f AS SELECT a FROM s"));
    let replace = ApplyOptions { replace: true, ..ApplyOptions::default() };
    let later = SOURCE.replace("AS ts)", "AS ts - INTERVAL '1' HOUR)");
    let failed = planned(&first, &later, replace).unwrap_err();
    assert_eq!(
        failed.error.to_string(),
        "the watermark of source 's' cannot change while f reads it \
         (hint: create a new source, and features that read it)"
    );
    let alone = apply(SOURCE);
    assert!(planned(&alone, &later, ApplyOptions::default()).is_err());
    let plan = planned(&alone, &later, replace).unwrap();
    assert_eq!(verdicts(&plan), [("s", Verdict::Replaced("the watermark".to_owned()))]);
    let moved = SOURCE.replace("'path'='d/'", "'path'='d/', 'history'='h/'");
    let plan = planned(&first, &moved, ApplyOptions::default()).unwrap();
    assert_eq!(verdicts(&plan), [("s", Verdict::Changed("'history'".to_owned()))]);
}

#[test]
fn nothing_is_dropped_except_by_drop_and_prune() {
    let first = apply(&format!(
        "{SOURCE} CREATE FEATURE f AS SELECT a FROM s; CREATE FEATURE g AS SELECT a FROM f"
    ));
    assert!(planned(&first, SOURCE, ApplyOptions::default()).unwrap().is_empty());
    let prune = ApplyOptions { prune: true, ..ApplyOptions::default() };
    let plan = planned(&first, SOURCE, prune).unwrap();
    use Verdict::{Dropped, Unchanged};
    assert_eq!(verdicts(&plan), [("s", Unchanged), ("g", Dropped), ("f", Dropped)]);
    let failed = planned(&first, "CREATE FEATURE g AS SELECT a FROM f", prune).unwrap_err();
    assert_eq!(failed.error.message(), "source 's' is read by f");
    let plan = planned(&first, "DROP FEATURE g; DROP FEATURE IF EXISTS x", ApplyOptions::default());
    assert_eq!(verdicts(&plan.unwrap()), [("g", Dropped)]);
}

#[test]
fn what_is_wrong_is_found_with_its_statement_and_nothing_is_done() {
    for (text, at, expected) in [
        ("SELECT 1", 0, "a definition file holds CREATE and DROP statements"),
        (
            "CREATE FEATURE f AS SELECT a FROM s; CREATE FEATURE f AS SELECT a FROM s",
            1,
            "'f' is named twice",
        ),
        (
            "CREATE FEATURE f AS SELECT a FROM g; CREATE FEATURE g AS SELECT a FROM f",
            0,
            "features read each other: f, g",
        ),
        ("CREATE FEATURE f AS SELECT a FROM f", 0, "features read each other: f"),
        ("SOURCE CREATE FEATURE f AS SELECT a FROM t", 1, "there is no source or feature 't'"),
        (
            "SOURCE CREATE FEATURE f WITH ('freshness.slo'='1 s') AS SELECT a FROM s",
            1,
            "not supported yet: 'freshness.slo' (freshness alarms)",
        ),
        ("SOURCE DROP SOURCE x", 1, "there is no source 'x'"),
    ] {
        let text = text.replace("SOURCE CREATE", &format!("{SOURCE} CREATE"));
        let text = text.replace("SOURCE DROP", &format!("{SOURCE} DROP"));
        let failed = planned(&Catalog::default(), &text, ApplyOptions::default()).expect_err(&text);
        assert_eq!((failed.statement, failed.error.message()), (at, expected), "{text}");
        assert!(failed.error.span().is_some());
    }
}
