//! Statements as users write them, good and bad, with what exactly is answered.

use super::*;
use crate::sql::ast::{ColumnOrigin, CreateFeature, CreateSource};
use crate::sql::diagnostic::render;

/// The example of the interface.
pub(crate) const TRANSACTIONS: &str = "\
CREATE OR REPLACE SOURCE transactions (
    txn_id      BIGINT,
    user_id     BIGINT NOT NULL,
    category    VARCHAR,
    amount      DOUBLE,
    event_time  TIMESTAMP NOT NULL,                          -- µs, UTC
    is_big      BOOLEAN AS (amount > 1000),                  -- computed column
    part        INT     METADATA FROM 'partition',           -- also: offset
    WATERMARK FOR event_time AS event_time - INTERVAL '30 seconds'
) WITH (
    'connector' = 'kafka',
    'topic' = 'transactions',
    'properties.bootstrap.servers' = 'localhost:9092',
    'format' = 'json',
    'history' = 's3://lake/transactions/',
    'archive' = 'true'
);
";

pub(crate) const USER_SPEND: &str = "\
CREATE FEATURE VIEW IF NOT EXISTS user_spend
WITH ('online' = 'redis://localhost:6379/0', 'offline' = 's3://lake/features/')
AS
SELECT user_id,
       COUNT(*)                                    OVER w30m AS txn_count_30m,
       SUM(amount) FILTER (WHERE category = 'atm') OVER w1h  AS atm_amount_1h,
       COUNT(DISTINCT category)                    OVER w24h AS categories_24h,
       AVG(amount)                                 OVER w10  AS avg_last_10
FROM transactions
WHERE amount > 0
WINDOW w30m AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND CURRENT ROW),
       w1h  AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW),
       w10  AS (PARTITION BY user_id ORDER BY event_time, txn_id
                ROWS BETWEEN 9 PRECEDING AND CURRENT ROW);
";

fn one(text: &str) -> Statement {
    let mut all = parse_statements(text).unwrap_or_else(|e| panic!("{}", render(&e, text)));
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

fn source(text: &str) -> CreateSource {
    match one(text) {
        Statement::CreateSource(source) => *source,
        other => panic!("{other:?}"),
    }
}

fn feature(text: &str) -> CreateFeature {
    match one(text) {
        Statement::CreateFeature(feature) => *feature,
        other => panic!("{other:?}"),
    }
}

fn error(text: &str) -> String {
    match parse_statements(text) {
        Err(error) => render(&error, text),
        Ok(statements) => panic!("{text} gave {statements:?}"),
    }
}

#[test]
fn the_source_of_the_interface_is_read_with_all_its_parts() {
    let parsed = source(TRANSACTIONS);
    assert_eq!(parsed.name.value, "transactions");
    assert!(parsed.or_replace && !parsed.if_not_exists);
    let names: Vec<_> = parsed.columns.iter().map(|c| c.name.value.as_str()).collect();
    assert_eq!(names, ["txn_id", "user_id", "category", "amount", "event_time", "is_big", "part"]);
    assert!(parsed.columns[1].not_null && !parsed.columns[0].not_null);
    let ColumnOrigin::Computed { text, .. } = &parsed.columns[5].origin else { panic!() };
    assert_eq!(text, "amount > 1000");
    let ColumnOrigin::Metadata(field) = &parsed.columns[6].origin else { panic!() };
    assert_eq!(field.value, "partition");
    let watermark = parsed.watermark.unwrap();
    assert_eq!((watermark.column.value.as_str(), watermark.delay_us), ("event_time", 30_000_000));
    assert_eq!(parsed.options.len(), 6);
    assert_eq!(parsed.options[2].key.value, "properties.bootstrap.servers");
    assert_eq!(&TRANSACTIONS[parsed.place.range.clone()], TRANSACTIONS.trim_end_matches(";\n"));
}

#[test]
fn the_feature_of_the_interface_is_read_and_its_query_printed() {
    let parsed = feature(USER_SPEND);
    assert_eq!(parsed.name.value, "user_spend");
    assert!(parsed.if_not_exists && !parsed.or_replace);
    let expected = "\
SELECT user_id,
       count(*) OVER w30m AS txn_count_30m,
       sum(amount) FILTER (WHERE category = 'atm') OVER w1h AS atm_amount_1h,
       count(DISTINCT category) OVER w24h AS categories_24h,
       avg(amount) OVER w10 AS avg_last_10
FROM transactions
WHERE amount > 0
WINDOW w30m AS (PARTITION BY user_id ORDER BY event_time \
RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND CURRENT ROW),
       w1h AS (PARTITION BY user_id ORDER BY event_time \
RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY user_id ORDER BY event_time \
RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW),
       w10 AS (PARTITION BY user_id ORDER BY event_time, txn_id \
ROWS BETWEEN 9 PRECEDING AND CURRENT ROW)";
    assert_eq!(parsed.query_text, expected);
}

#[test]
fn every_kind_of_statement_is_told_apart() {
    let text = "show sources; SHOW CREATE x; SHOW CREATE SOURCE source; describe \"A b\";
        DROP FEATURE IF EXISTS f CASCADE; DROP SOURCE s; EXPLAIN SELECT 1; EXPLAIN FEATURE f;
        EXPLAIN FEATURE SELECT 1; EXPLAIN CREATE FEATURE f AS SELECT 1 AS a FROM s;
        COPY (SELECT 1 AS a) TO 'x.parquet'; SELECT 1; /* c */ ;; (SELECT 2); WITH a AS (SELECT 1)
        SELECT * FROM a; VALUES (1, 2); DESCRIBE feature feature;";
    let all = parse_statements(text).unwrap();
    let shown: Vec<String> = all.iter().map(|s| text[s.place().range.clone()].to_owned()).collect();
    assert_eq!(all.len(), 16, "{shown:?}");
    assert_eq!(shown[11], "SELECT 1");
    let Statement::Show(show) = &all[2] else { panic!() };
    let kind = Some(ObjectKind::Source);
    let ShowWhat::Create { kind: found, name } = &show.what else { panic!() };
    assert!(*found == kind && name.value == "source");
    let Statement::Drop(drop) = &all[4] else { panic!() };
    assert!(drop.if_exists && drop.cascade && drop.kind == ObjectKind::Feature);
    let Statement::Explain(explain) = &all[9] else { panic!() };
    assert!(explain.feature);
    let Statement::Copy(copy) = &all[10] else { panic!() };
    assert_eq!(copy.statement.target, "x.parquet");
}

#[test]
fn wrong_statements_are_answered_at_their_place() {
    for (text, expected) in [
        (
            "SELECT a FORM t",
            "error: expected the end of the statement, found t
  --> 1:15
   |
 1 | SELECT a FORM t
   |               ^
",
        ),
        (
            "CREATE FEATURE f AS SELECT a FROM",
            "error: expected identifier, found the end of the text
  --> 1:34
   |
 1 | CREATE FEATURE f AS SELECT a FROM
   |                                  ^
",
        ),
        (
            "SELECT 'abc",
            "error: unterminated string literal
  --> 1:8
   |
 1 | SELECT 'abc
   |        ^
",
        ),
        (
            "CREATE SOURCE s (\n  a BIGINTT,\n  ts TIMESTAMP)",
            "error: there is no type bigintt
  --> 2:5
   |
 2 |   a BIGINTT,
   |     ^^^^^^^
   = hint: did you mean BIGINT?
",
        ),
        (
            "CREATE FEATURE f AS SELECT a FROM t EMIT CHANGES",
            "error: not supported: EMIT
  --> 1:37
   |
 1 | CREATE FEATURE f AS SELECT a FROM t EMIT CHANGES
   |                                     ^^^^
   = hint: leave it out: current values are written at once, final rows at the watermark
",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

/// The message alone, for the many.
fn message(text: &str) -> String {
    match parse_statements(text) {
        Err(error) => {
            let at = if error.span().is_none() { " (nowhere)" } else { "" };
            assert_eq!(error.exit_code(), 2, "{text}");
            error.to_string() + at
        }
        Ok(statements) => panic!("{text} gave {statements:?}"),
    }
}

const REFUSED: &[(&str, &str)] = &[
    ("CREATE TABLE t (a INT)", "not supported yet: tables (CREATE TABLE)"),
    ("DROP TABLE t", "not supported yet: tables (CREATE TABLE)"),
    (
        "CREATE VIEW v AS SELECT 1",
        "not supported: CREATE VIEW (hint: a query that is kept up to date is a feature: \
          CREATE FEATURE x AS …)",
    ),
    (
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION 'x'",
        "not supported: CREATE EXTERNAL TABLE (hint: CREATE SOURCE x (…) \
          WITH ('connector' = 'file', 'path' = '…'))",
    ),
    ("CREATE FUNCTION f", "not supported yet: CREATE FUNCTION"),
    ("CREATE SURCE s", "expected SOURCE or FEATURE, found surce"),
    ("CREATE", "expected SOURCE or FEATURE, found the end of the text"),
    (
        "CREATE OR REPLACE FEATURE IF NOT EXISTS f AS SELECT 1",
        "OR REPLACE and IF NOT EXISTS exclude each other",
    ),
    ("CREATE FEATURE f SELECT 1", "expected WITH (…) or AS, found SELECT"),
    (
        "CREATE FEATURE a.b AS SELECT 1",
        "a name has one part (hint: there are no schemas; a name with a dot is quoted: \"a.b\")",
    ),
    (
        "CREATE FEATURE 'f' AS SELECT 1",
        "expected a name, found 'f' (hint: names are quoted with \", not with ')",
    ),
    ("CREATE FEATURE \"\" AS SELECT 1", "a name cannot be empty"),
    (
        "CREATE FEATURE f AS VALUES (1)",
        "a feature is a SELECT over a source (hint: CREATE FEATURE f AS SELECT …)",
    ),
    (
        "CREATE FEATURE f AS SELECT 1 AS a FROM t WITH ('online' = 'none')",
        "not supported: hints on a table \
          (hint: leave WITH (…) out; the options of a feature stand before AS)",
    ),
    ("CREATE SOURCE s", "expected (, found the end of the text"),
    ("CREATE SOURCE s (a INT", "expected ',' or ')', found the end of the text"),
    ("CREATE SOURCE s (a INT b INT)", "expected ',' or ')', found b"),
    (
        "CREATE SOURCE s (a INT PRIMARY KEY)",
        "not supported: PRIMARY KEY on a source: it is a log, and equal keys may come again \
          (hint: the entity key of a feature is its PARTITION BY or GROUP BY)",
    ),
    (
        "CREATE SOURCE s (a INT, PRIMARY KEY (a))",
        "not supported: PRIMARY KEY on a source: it is a log, and equal keys may come again \
          (hint: the entity key of a feature is its PARTITION BY or GROUP BY)",
    ),
    (
        "CREATE SOURCE s (a INT, UNIQUE (a))",
        "not supported: constraints on a source (hint: filter in the feature: WHERE …)",
    ),
    (
        "CREATE SOURCE s (a INT DEFAULT 5)",
        "not supported: DEFAULT: a missing field is NULL \
          (hint: use COALESCE(column, value), or a computed column)",
    ),
    (
        "CREATE SOURCE s (a INT AS (1) METADATA FROM 'key')",
        "a column is either computed or metadata",
    ),
    (
        "CREATE SOURCE s (a VARCHAR(10))",
        "not supported: a length on text: it would not be enforced (hint: write VARCHAR)",
    ),
    (
        "CREATE SOURCE s (a DECIMAL)",
        "DECIMAL needs its number of digits (hint: for example DECIMAL(18, 2))",
    ),
    (
        "CREATE SOURCE s (a DECIMAL(39, 2))",
        "DECIMAL(39, 2) is out of range \
          (hint: DECIMAL(p, s) has 1 to 38 digits, 0 to p of them after the point)",
    ),
    (
        "CREATE SOURCE s (a DECIMAL(5, 6))",
        "DECIMAL(5, 6) is out of range \
          (hint: DECIMAL(p, s) has 1 to 38 digits, 0 to p of them after the point)",
    ),
    (
        "CREATE SOURCE s (a FLOAT(24))",
        "not supported: a precision on a floating-point type \
          (hint: write REAL (32 bits) or DOUBLE (64 bits))",
    ),
    (
        "CREATE SOURCE s (a UUID)",
        "not supported: a column of type UUID (hint: declare it as VARCHAR: it is kept as text)",
    ),
    ("CREATE SOURCE s (a INT[][])", "not supported yet: arrays of arrays"),
    ("CREATE SOURCE s (a LONG)", "there is no type long (hint: did you mean BIGINT?)"),
    (
        "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts + INTERVAL '1' SECOND)",
        "a watermark is its column, or its column minus a constant INTERVAL \
          (hint: WATERMARK FOR ts AS ts - INTERVAL '30 seconds')",
    ),
    (
        "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS other)",
        "a watermark is its column, or its column minus a constant INTERVAL \
          (hint: WATERMARK FOR ts AS ts - INTERVAL '30 seconds')",
    ),
    (
        "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '-1' SECOND)",
        "the delay of a watermark cannot be negative",
    ),
    (
        "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '1' MONTH)",
        "not supported: an interval in months: they have no fixed length \
          (hint: use days or weeks)",
    ),
    (
        "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts - 5)",
        "expected a constant interval, found 5 (hint: for example INTERVAL '10 minutes')",
    ),
    (
        "CREATE SOURCE s (ts TIMESTAMP, WATERMARK FOR ts AS ts, WATERMARK FOR ts AS ts)",
        "a source has one watermark",
    ),
    ("CREATE SOURCE s (a INT) WITH ('a' = 'b', a = 'c')", "option 'a' is given twice"),
    ("CREATE SOURCE s (a INT) WITH ('a' 'b')", "expected =, found 'b'"),
    (
        "CREATE SOURCE s (a INT) WITH ('a' = b)",
        "expected a value in quotes, as in 'kafka', found b",
    ),
    (
        "CREATE SOURCE s (a INT) WITH (5 = 'b')",
        "expected an option, as in 'connector' = 'kafka', found 5",
    ),
    (
        "SELECT 1 SELECT 2",
        "expected the end of the statement, found SELECT (hint: statements end with ;)",
    ),
    ("SELEC 1", "expected a statement, found 'selec' (hint: did you mean SELECT?)"),
    (
        "FOO",
        "expected a statement, found 'foo' \
          (hint: statements: CREATE, DROP, SHOW, DESCRIBE, EXPLAIN, COPY, SELECT)",
    ),
    ("5", "expected a statement, found 5"),
    (
        "INSERT INTO t VALUES (1)",
        "not supported: INSERT: sources are logs \
          (hint: rows come from the topic or the files of a source)",
    ),
    (
        "ALTER TABLE t ADD COLUMN a INT",
        "not supported: ALTER (hint: write the new definition with CREATE OR REPLACE, \
          or use apply)",
    ),
    (
        "SET x = 1",
        "not supported: SET (hint: options stand in the definition: \
          CREATE … WITH ('option' = 'value'))",
    ),
    (
        "SHOW",
        "expected SOURCES, TABLES, FEATURES, OPTIONS, FUNCTIONS or CREATE name, \
          found the end of the text",
    ),
    ("DROP x", "expected SOURCE or FEATURE, found x"),
    ("EXPLAIN DROP SOURCE x", "EXPLAIN takes a query or CREATE FEATURE"),
    ("EXPLAIN FORMAT TREE SELECT 1", "not supported yet: EXPLAIN FORMAT"),
    ("COPY (SELECT 1)", "missing TO clause in COPY statement"),
    (
        "SELECT sum(x) OVER (ORDER BY t ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) \
          FROM s",
        "not supported yet: EXCLUDE, MAXSIZE and SESSION in a plain query (hint: write a \
          feature, and read its HISTORY(…))",
    ),
    (
        "EXPLAIN FEATURE SELECT sum(x) OVER (ORDER BY t ROWS 1 PRECEDING EXCLUDE ALL) FROM s",
        "EXCLUDE without what it leaves out (hint: EXCLUDE CURRENT ROW, EXCLUDE GROUP, \
          EXCLUDE TIES or EXCLUDE NO OTHERS)",
    ),
    (
        "CREATE FEATURE f AS SELECT sum(x) OVER (ORDER BY t RANGE UNBOUNDED PRECEDING MAXSIZE 3 \
          MAXSIZE 4) FROM s",
        "MAXSIZE 3 is not the end of its window (hint: a frame ends with one EXCLUDE, one \
          MAXSIZE, or both)",
    ),
    (
        "CREATE FEATURE f AS SELECT sum(x) OVER (ORDER BY t RANGE UNBOUNDED PRECEDING MAXSIZE x) \
          FROM s",
        "MAXSIZE without a number of rows (hint: MAXSIZE 100)",
    ),
    (
        "SELECT * FROM s FOR SYSTEM_TIME AS OF x",
        "not supported: FOR SYSTEM_TIME AS OF and other table versions (hint: for the row known \
          at a time use a ASOF JOIN b MATCH_CONDITION (a.t >= b.t) ON …)",
    ),
    (
        "SELECT * FROM s TABLESAMPLE (10)",
        "not supported: TABLESAMPLE (hint: filter by a hash of the key)",
    ),
    ("SELECT * FROM s FOR UPDATE", "not supported: FOR UPDATE and FOR SHARE (hint: leave it out)"),
    ("SELECT * INTO x FROM s", "not supported: SELECT INTO (hint: use COPY (SELECT …) TO '…')"),
    ("FROM s SELECT a", "not supported: FROM before SELECT (hint: write SELECT … FROM …)"),
    ("SELECT \"a FROM t", "expected close delimiter '\"' before EOF."),
    ("SELECT /* x", "unexpected EOF while in a multi-line comment"),
];

#[test]
fn every_wrong_or_refused_statement_has_its_message() {
    let mut wrong = Vec::new();
    for (text, expected) in REFUSED.iter().copied() {
        let found = message(text);
        if found != expected {
            wrong.push(format!("{text}\n  gave     {found}\n  expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_fold_unless_quoted_and_any_quoted_name_works() {
    for (written, name) in [
        ("Abc", "abc"),
        ("\"Abc\"", "Abc"),
        ("\"two words\"", "two words"),
        ("\"select\"", "select"),
        ("\"q\"\"q\"", "q\"q"),
        ("\"名前\"", "名前"),
        ("`b t`", "b t"),
        ("ÄÖ", "ÄÖ"),
    ] {
        let text = format!("CREATE FEATURE {written} AS SELECT {written} AS a FROM {written}");
        let parsed = feature(&text);
        assert_eq!(parsed.name.value, name);
        let reads = crate::sql::relations::relations(&parsed.query);
        assert_eq!(reads[0].value, name);
    }
}

#[test]
fn typing_goes_on_until_the_semicolon_outside_of_quotes() {
    for (text, expected) in [
        ("", true),
        ("SELECT 1", false),
        ("SELECT 1;", true),
        ("SELECT 1; -- done", true),
        ("SELECT ';", false),
        ("SELECT \";", false),
        ("SELECT /* ;", false),
        ("SELECT 1; SELECT", false),
    ] {
        assert_eq!(is_complete(text), expected, "{text}");
    }
}
