//! parse∘print = identity over a corpus, with odd identifiers put in everywhere; redaction.

use proptest::prelude::*;

use super::*;
use crate::sql::parser::{parse_expr, parse_query, parse_statements};
use crate::sql::token::tokenize;

/// Queries whose `n` is put in place of a name.
const QUERIES: [&str; 36] = [
    "SELECT 1 AS N",
    "SELECT N FROM t",
    "SELECT t.N, N.* FROM t, N",
    "SELECT -1, - -1, 1 - -N, 2-3, -N, -(N), +1, a*-1, (1)-1, 'x'-1 FROM t",
    "SELECT 1.5e3, .5, 1., N.a.b FROM N",
    "SELECT 'it''s', E'a\\nb', U&'\\0061', N'nat', $$dollar ' quote$$, X'ff' FROM t",
    "SELECT CASE WHEN N > 1 THEN 'a' ELSE 'b' END AS N FROM t",
    "SELECT CASE N WHEN 1 THEN 2 END FROM t",
    "SELECT CAST(N AS BIGINT), N::DOUBLE, TRY_CAST(N AS DECIMAL(10, 2)) FROM t",
    "SELECT N IS NULL, N IS NOT NULL, N IS DISTINCT FROM 1, NOT N FROM t",
    "SELECT N BETWEEN 1 AND 2 AND N IN (1, 2) OR N LIKE 'a%' FROM t",
    "SELECT count(*), COUNT(DISTINCT N), sum(N) FILTER (WHERE N > 0) FROM t GROUP BY N",
    "SELECT sum(x) OVER (PARTITION BY N ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND \
     CURRENT ROW) FROM t",
    "SELECT sum(x) OVER w FROM t WINDOW w AS (PARTITION BY N ORDER BY ts, N ROWS BETWEEN 9 \
     PRECEDING AND CURRENT ROW), v AS (w)",
    "SELECT avg(N) OVER (ORDER BY ts ROWS UNBOUNDED PRECEDING) FROM t",
    "SELECT first_value(N) IGNORE NULLS OVER (ORDER BY ts DESC NULLS LAST) FROM t",
    "SELECT last_value(N ORDER BY ts) FROM t",
    "SELECT * FROM TUMBLE(t, ts, INTERVAL '1' MINUTE)",
    "SELECT * FROM TABLE(TUMBLE(TABLE N, DESCRIPTOR(ts), INTERVAL '1' MINUTES))",
    "SELECT N, TUMBLE_START(ts, INTERVAL '1' DAY) FROM t GROUP BY N, TUMBLE(ts, INTERVAL '1' DAY)",
    "SELECT * FROM HOP(t, ts, INTERVAL '5 minutes', INTERVAL '1 hour') AS N",
    "SELECT * FROM a ASOF JOIN b MATCH_CONDITION (a.t >= b.t) ON a.N = b.N",
    "SELECT * FROM a LEFT JOIN b USING (N) JOIN c ON a.x = c.y CROSS JOIN d",
    "SELECT * FROM (SELECT N FROM t) AS N WHERE EXISTS (SELECT 1 FROM u)",
    "WITH N AS (SELECT 1 AS a), b AS (SELECT 2) SELECT * FROM N, b",
    "SELECT 1 UNION ALL SELECT 2 UNION SELECT 3 EXCEPT SELECT 4 ORDER BY 1 DESC LIMIT 5 OFFSET 2",
    "SELECT EXTRACT(YEAR FROM ts), EXTRACT(DOW FROM N), date_trunc('day', ts) FROM t",
    "SELECT [1, 2, 3][1], make_array(N)[1:2], {'a': N}, a[1]['b'] FROM t",
    "SELECT DATE '2020-01-01', TIMESTAMP '2020-01-01 00:00:00', ts AT TIME ZONE 'UTC' FROM t",
    "SELECT a || b, a % b, a & b, a | b, a << 2, a >> 2, a <> b, a != b, ~a, a ^ b FROM t",
    "SELECT substring(N FROM 1 FOR 2), trim(BOTH ' ' FROM N), position('a' IN N) FROM t",
    "SELECT DISTINCT N FROM t HAVING count(*) > 1 QUALIFY row_number() OVER (ORDER BY N) = 1",
    "SELECT * EXCEPT (N), * EXCLUDE (N) FROM t",
    "SELECT a AS row, b AS range, c AS first, \"group\", \"FROM\" FROM t WHERE \"order\" = 1",
    "SELECT lead(a, 1) OVER (PARTITION BY N, b ORDER BY c) AS \"x y\" FROM \"s p\" AS \"a\"\"b\"",
    "VALUES (1, 'a'), (2, 'b')",
];

/// Statements whose N is put in place of a name.
const DEFINITIONS: [&str; 8] = [
    "CREATE SOURCE N (N BIGINT NOT NULL, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ()",
    "CREATE SOURCE s (N TIMESTAMP WITH TIME ZONE, WATERMARK FOR N AS N - INTERVAL '90' SECOND)",
    "CREATE SOURCE s (N INT, c AS (N + 1), d BOOLEAN AS (coalesce(N, 2) > 1 AND 'x''y' = 'z'),
        k BYTEA METADATA FROM 'key', partition INT METADATA, WATERMARK FOR ts AS ts)
        WITH ('connector' = 'kafka', properties.group.id = 'g', 'archive' = TRUE, rows = 5)",
    "CREATE SOURCE s (a BOOLEAN, b TINYINT, c SMALLINT UNSIGNED, d INT UNSIGNED, e BIGINT UNSIGNED,
        f REAL, g FLOAT, h DOUBLE PRECISION, i DECIMAL(38, 10), j NUMERIC(5), k TEXT, l STRING,
        m BYTEA, n DATE, o TIMESTAMPTZ, p ARRAY<BIGINT>, q VARCHAR[], r TINYINT UNSIGNED)",
    "CREATE OR REPLACE FEATURE N AS SELECT N FROM N",
    "CREATE FEATURE VIEW N WITH ('online' = 'redis://u:p@h', 'owner' = 'o''h') AS
        SELECT k, count(*) AS N FROM t GROUP BY k",
    "CREATE FEATURE IF NOT EXISTS view AS (SELECT 1 AS a FROM t)",
    "CREATE FEATURE f AS WITH N AS (SELECT 1) SELECT * FROM N -- end",
];

fn quoted_everywhere(text: &str, name: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('N').enumerate() {
        let whole =
            |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '\'');
        let stands_alone = whole(out.chars().last()) && whole(part.chars().next());
        if at > 0 {
            out.push_str(if stands_alone { name } else { "N" });
        }
        out.push_str(part);
    }
    out
}

fn printed(statement: &Statement) -> String {
    match statement {
        Statement::CreateSource(source) => create_source(source),
        Statement::CreateFeature(feature) => create_feature(feature),
        other => panic!("{other:?}"),
    }
}

fn check_query(text: &str) {
    let query = parse_query(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    for print in [query_text, line_text] {
        let shown = print(&tokenize(text).unwrap());
        let again = parse_query(&shown).unwrap_or_else(|e| panic!("{shown}: {e}"));
        assert_eq!(query, again, "{shown}");
        assert_eq!(print(&tokenize(&shown).unwrap()), shown);
    }
}

fn check_definition(text: &str) {
    let mut first = parse_statements(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let shown = printed(&first[0]);
    let again = parse_statements(&shown).unwrap_or_else(|e| panic!("{shown}: {e}"));
    // How to define (OR REPLACE, IF NOT EXISTS) is not printed.
    match &mut first[0] {
        Statement::CreateSource(s) => (s.or_replace, s.if_not_exists) = (false, false),
        Statement::CreateFeature(f) => (f.or_replace, f.if_not_exists) = (false, false),
        _ => {}
    }
    assert_eq!(first, again, "{shown}");
    assert_eq!(printed(&again[0]), shown);
}

const ODD_NAMES: [&str; 12] = [
    "n",
    "\"n\"",
    "\"Two words\"",
    "\"q\"\"q\"",
    "\"\"\"\"",
    "\"a\"\"\"\"b\"",
    "\"back\\\"\"slash\"",
    "\"select\"",
    "\"Ünïcødé 名前\"",
    "`tick \"quote`",
    "\"'; DROP SOURCE s; --\"",
    "\"/* x\"",
];

#[test]
fn what_is_printed_reads_back_the_same() {
    for name in ODD_NAMES {
        for text in QUERIES {
            check_query(&quoted_everywhere(text, name));
        }
        for text in DEFINITIONS {
            check_definition(&quoted_everywhere(text, name));
        }
    }
}

proptest! {
    #[test]
    fn any_name_and_any_text_read_back_the_same(name in "\\PC{1,12}", text in "\\PC{0,20}") {
        let quoted = name_text(&name);
        let feature = format!(
            "CREATE FEATURE {quoted} WITH ('owner' = {0}) AS SELECT {quoted} AS {quoted}, {0} AS t \
             FROM {quoted}", string_text(&text));
        check_definition(&feature);
        let Ok(statements) = parse_statements(&feature) else { panic!("{feature}") };
        let Statement::CreateFeature(parsed) = &statements[0] else { panic!("{feature}") };
        prop_assert_eq!(&parsed.name.value, &name);
        prop_assert_eq!(&parsed.options[0].value.value, &text);
    }

    #[test]
    fn random_expressions_read_back_the_same(tokens in prop::collection::vec(0usize..24, 1..30)) {
        const PIECES: [&str; 24] = [
            "a", "\"B c\"", "1", "2.5", "'s'", "(", ")", "+", "-", "*", "/", "AND", "OR", "NOT",
            "IS NULL", ",", "f(", "::BIGINT", "=", "<", "CASE WHEN", "THEN", "END", "||",
        ];
        let text: String = tokens.iter().map(|t| format!("{} ", PIECES[*t])).collect();
        if let Ok(expr) = parse_expr(&text) {
            let shown = line_text(&tokenize(&text).unwrap());
            prop_assert_eq!(parse_expr(&shown).ok(), Some(expr), "{}", shown);
        }
    }
}

#[test]
fn names_are_quoted_only_when_they_must_be() {
    for (name, expected) in [
        ("amount", "amount"),
        ("_x1", "_x1"),
        ("Amount", "\"Amount\""),
        ("1a", "\"1a\""),
        ("select", "\"select\""),
        ("watermark", "\"watermark\""),
        ("a\"b", "\"a\"\"b\""),
        ("", "\"\""),
        ("value", "value"),
    ] {
        assert_eq!(name_text(name), expected);
    }
}

#[test]
fn a_source_is_printed_in_one_spelling() {
    let text = "create source S (A integer not null, b string, c as (A+1),
        d int metadata, watermark for T as t - interval '1 hour 30 minutes', t timestamptz)
        with (connector='kafka', 'note' = 'it''s')";
    let text = text.replace("d int metadata", "d int metadata from 'offset'");
    let statements = parse_statements(&text).unwrap();
    assert_eq!(
        printed(&statements[0]),
        "CREATE SOURCE s (
    a INT NOT NULL,
    b VARCHAR,
    c AS (a + 1),
    d INT METADATA FROM 'offset',
    t TIMESTAMP,
    WATERMARK FOR t AS t - INTERVAL '90 minutes'
) WITH (
    'connector' = 'kafka',
    'note' = 'it''s'
)"
    );
}

#[test]
fn secrets_are_not_shown() {
    for (key, value, expected) in [
        ("online", "redis://u:hunter2@h:6379/0", "redis://***@h:6379/0"),
        ("online", "redis://:hun/ter@2@h:6379/0?x=1", "redis://***@h:6379/0?x=1"),
        ("online", "redis://h:6379/0", "redis://h:6379/0"),
        ("online", "redis://h/0?password=hunter2&db=1", "redis://h/0?password=***&db=1"),
        ("online", "embedded", "embedded"),
        ("path", "s3://bucket/a@b", "s3://bucket/a@b"),
        ("properties.sasl.password", "hunter2", "***"),
        ("properties.sasl.password", "${PW}", "${PW}"),
        ("properties.sasl.password", "${PW:-hunter2}", "***"),
        ("properties.ssl.key.pem", "hunter2", "***"),
        ("properties.sasl.oauthbearer.client.secret", "hunter2", "***"),
        ("properties.sasl.jaas.config", "hunter2", "***"),
        ("properties.bootstrap.servers", "h:1", "h:1"),
    ] {
        assert_eq!(redacted_value(key, value), expected, "{key} = {value}");
    }
    let text = "CREATE FEATURE f WITH ('online' = 'redis://u:hunter2@h') AS SELECT 1 AS a FROM t";
    let shown = shown_definition(text).unwrap();
    assert!(shown.contains("redis://***@h") && !shown.contains("hunter2"), "{shown}");
}
