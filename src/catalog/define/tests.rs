//! Definitions that hold, and each way in which one can be wrong.

use std::sync::Arc;

use super::*;
use crate::catalog::define_feature::feature_def;
use crate::catalog::feature::{FeatureDef, OfflineStoreDef, OnlineStoreDef};
use crate::sql::ast::Statement;
use crate::sql::diagnostic::render;
use crate::sql::parser::parse_statements;

/// Types the few expressions of these tests; the planner's does it in full.
pub(crate) fn infer(expr: &Expr, schema: &Schema) -> Result<(DataType, bool)> {
    Ok(match expr {
        Expr::Identifier(ident) => {
            let field = schema.field_with_name(&ident.value)?;
            (field.data_type().clone(), field.is_nullable())
        }
        Expr::BinaryOp { left, op, .. } => {
            let (data_type, nullable) = infer(left, schema)?;
            match op {
                sqlparser::ast::BinaryOperator::Gt => (DataType::Boolean, nullable),
                _ => (data_type, nullable),
            }
        }
        Expr::Function(_) => (DataType::Utf8View, true),
        Expr::Interval(_) => (DataType::Interval(arrow::datatypes::IntervalUnit::DayTime), false),
        other => return Err(Error::usage(format!("cannot type {other}"))),
    })
}

/// The environment of these tests.
pub(crate) fn env(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("broker:9092".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn define(text: &str) -> Result<SourceDef> {
    match parse_statements(text)?.remove(0) {
        Statement::CreateSource(create) => source_def(&create, &env, &infer),
        other => panic!("{other:?}"),
    }
}

fn define_feature(text: &str) -> Result<FeatureDef> {
    match parse_statements(text)?.remove(0) {
        Statement::CreateFeature(create) => feature_def(&create, 1, "f".to_owned(), &env),
        other => panic!("{other:?}"),
    }
}

/// A source over the given columns and options, valid but for them.
fn text_of(columns: &str, options: &str) -> String {
    format!("CREATE SOURCE s ({columns}, ts TIMESTAMP, WATERMARK FOR ts AS ts) WITH ({options})")
}

const KAFKA: &str = "'connector'='kafka','topic'='t','properties.bootstrap.servers'='h:1'";
const FILE: &str = "'connector'='file','path'='d/'";

#[test]
fn the_source_of_the_interface_becomes_a_definition() {
    let text = "CREATE SOURCE transactions (
        txn_id BIGINT, user_id BIGINT NOT NULL, category VARCHAR, amount DOUBLE,
        event_time TIMESTAMP NOT NULL, is_big BOOLEAN AS (amount > 1000),
        part INT METADATA FROM 'partition',
        WATERMARK FOR event_time AS event_time - INTERVAL '30 seconds'
    ) WITH ('connector' = 'kafka', 'topic' = 'transactions',
        'properties.bootstrap.servers' = '${HOST}', 'properties.group.id' = '${G:-g1}',
        'format' = 'json', 'history' = 's3://lake/transactions/', 'archive' = 'true',
        'partitioned.by' = 'user_id', 'max_future' = '5 min', 'message.max_bytes' = '64 KiB')";
    let def = define(text).unwrap();
    let names: Vec<&str> = def.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["txn_id", "user_id", "category", "amount", "event_time", "is_big", "part"]);
    assert_eq!(def.columns[5].kind, ColumnKind::Computed("amount > 1000".to_owned()));
    assert_eq!(
        (def.columns[5].data_type.clone(), def.columns[5].nullable),
        (DataType::Boolean, true)
    );
    assert_eq!(def.columns[6].kind, ColumnKind::Metadata(MetadataField::Partition));
    assert_eq!(def.watermark.delay_us, 30_000_000);
    let options = &def.options;
    assert_eq!(
        options.properties,
        [
            ("bootstrap.servers".to_owned(), "broker:9092".to_owned()),
            ("group.id".to_owned(), "g1".to_owned())
        ]
    );
    assert_eq!(options.partitioned_by, ["user_id"]);
    assert_eq!((options.max_future_us, options.idle_timeout_us), (300_000_000, 60_000_000));
    assert_eq!(options.message_bytes_max, 65_536);
    assert!(options.archive && options.startup == StartupMode::Earliest);
    assert!(def.sql.contains("'${HOST}'") && !def.sql.contains("broker"));
}

#[test]
fn defaults_are_those_of_the_limits() {
    let options = define(&text_of("a INT", KAFKA)).unwrap().options;
    assert_eq!(options.max_future_us, crate::limits::MAX_FUTURE_US);
    assert_eq!(options.idle_timeout_us, crate::limits::IDLE_TIMEOUT_US);
    assert_eq!(options.message_bytes_max, crate::limits::MESSAGE_BYTES_MAX);
    assert_eq!(options.json, JsonOptions::default());
    let feature = define_feature("CREATE FEATURE f AS SELECT 1 AS a FROM s").unwrap();
    assert_eq!(feature.options.offline_interval_us, crate::limits::OFFLINE_INTERVAL_US);
}

#[test]
fn a_computed_column_of_another_type_than_declared_is_cast() {
    let def = define(&text_of("a DOUBLE, b BIGINT AS (a * 2), c AS (upper(a)), d AS (a)", FILE));
    let def = def.unwrap();
    let kind = |at: usize| def.columns[at].kind.clone();
    assert_eq!(kind(1), ColumnKind::Computed("CAST((a * 2) AS BIGINT)".to_owned()));
    assert_eq!(def.columns[1].data_type, DataType::Int64);
    assert_eq!(def.columns[2].data_type, DataType::Utf8);
    assert_eq!(def.columns[3].data_type, DataType::Float64);
}

#[test]
fn startup_json_and_datagen_options_are_typed() {
    let with = |options: &str| define(&text_of("a INT", options)).unwrap().options;
    let kafka = with(&format!(
        "{KAFKA}, 'scan.startup.mode'='timestamp', 'scan.startup.timestamp'='1970-01-01T00:00:02Z',
         'json.timestamp'='epoch_ms', 'json.coerce'='TRUE', json.nonfinite='accept',
         'json.unknown'='reject', 'idle'='wait', 'on_gap'='fail', 'dead_letter'='/tmp/dl'"
    ));
    assert_eq!(kafka.startup, StartupMode::Timestamp(2_000));
    assert!(!kafka.skip_gaps && kafka.dead_letter_topic().is_none());
    assert_eq!(kafka.dead_letter_max_ratio, None);
    let faults = with(&format!(
        "{KAFKA}, 'on_gap'='SKIP', 'dead_letter'='kafka:t.dead', 'dead_letter.max_ratio'='0.05'"
    ));
    assert!(faults.skip_gaps);
    assert_eq!(faults.dead_letter_topic(), Some("t.dead"));
    assert_eq!(faults.dead_letter_max_ratio, Some(0.05));
    let json = JsonOptions {
        timestamp: JsonTimestamp::EpochMillis,
        coerce: true,
        nonfinite: true,
        reject_unknown: true,
    };
    assert_eq!(kafka.json, json);
    for generator in Generator::NEXMARK {
        let Some(Statement::CreateSource(create)) =
            parse_statements(&generator.statement().unwrap()).unwrap().pop()
        else {
            panic!("{generator:?}")
        };
        let def = source_def(&create, &|_| None, &infer).unwrap();
        assert_eq!(def.options.generator, generator);
    }
    let made = with("connector = 'datagen', rows = 5, 'rate'='10', 'seed'='7'");
    assert_eq!((made.datagen_rows, made.datagen_rate, made.datagen_seed), (Some(5), Some(10), 7));
    assert_eq!(with(&format!("{FILE}, 'format'='parquet'")).format, Format::Parquet);
}

#[test]
fn every_wrong_column_is_named_with_the_reason() {
    for (columns, expected) in [
        ("a INT, A INT", "column 'a' is declared twice"),
        ("_a INT", "the column name '_a' begins with '_', as the engine's own columns do"),
        ("\"date\" DATE", "the column name 'date' is that of the partitions of the files written"),
        ("\"a\u{7}b\" INT", "the column name 'a\u{7}b' holds a control character"),
        ("a INT, b INT AS (c)", "there is no column 'c'"),
        ("a INT, b INT AS (d), d INT", "column 'd' is declared later"),
        ("a INT, b AS (a), c AS (b)", "'b' is computed itself"),
        (
            "a INT, b INT NOT NULL AS (a)",
            "whether a computed column can be NULL follows from its expression",
        ),
        ("a INT, b AS ((SELECT 1))", "not supported: a sub-query in a computed column"),
        ("a INT, b AS (sum(a) OVER ())", "not supported: a window in a computed column"),
        (
            "a INT, b AS (INTERVAL '1' DAY)",
            "not supported: a computed column of type Interval(DayTime)",
        ),
        ("a METADATA FROM 'offset'", "column 'a' needs a type"),
        ("a BIGINT METADATA FROM 'ofset'", "records have no metadata 'ofset'"),
        ("a VARCHAR METADATA FROM 'offset'", "the metadata 'offset' is BIGINT, not VARCHAR"),
        ("a VARCHAR METADATA FROM 'key'", "only Kafka records have a key"),
        ("a BIGINT METADATA FROM 'offset', b INT METADATA FROM 'partition'", ""),
    ] {
        let result = define(&text_of(columns, FILE));
        match result {
            Ok(_) => assert_eq!(expected, "", "{columns}"),
            Err(error) => {
                let message = error.message();
                assert_eq!(message, expected, "{columns}");
                assert!(error.span().is_some(), "{columns}");
            }
        }
    }
}

const WRONG_OPTIONS: &[(&str, &str)] = &[
    ("", "a source needs the option 'connector'"),
    ("'connector'='kafka'", "a source needs the option 'topic'"),
    ("'connector'='kafka','topic'='t'", "a source needs the option 'properties.bootstrap.servers'"),
    ("'connector'='file'", "a source needs the option 'path'"),
    (
        "'connector'='kafak'",
        "option 'connector' is 'kafak', expected kafka, file, datagen, redis_stream (not yet)",
    ),
    ("'connector'='redis_stream'", "not supported yet: 'connector' = 'redis_stream'"),
    (
        "'connector'='file','path'='d','topic'='t'",
        "option 'topic' is for 'connector' = 'kafka', not 'file'",
    ),
    (
        "'connector'='datagen','format'='json'",
        "option 'format' is for 'connector' = 'kafka' or 'file', not 'datagen'",
    ),
    ("'connector'='datagen','rate'='0'", "'rate' must be at least 1"),
    (
        "'connector'='datagen','generator'='nexmark'",
        "option 'generator' is 'nexmark', expected names, nexmark_person, nexmark_auction, \
         nexmark_bid",
    ),
    ("'connector'='datagen','generator'='nexmark_bid'", "nexmark_bid makes no column 'a'"),
    (
        "'connector'='file','path'='d/x.parquet'",
        "the path ends in .parquet, but 'format' is json, the default",
    ),
    ("'connector'='file','path'='gs://b/x'", "not supported yet: 'path': gs:// locations"),
    ("'connector'='file','path'='ftp://b/x'", "option 'path': unknown kind of location 'ftp'"),
    (
        "'connector'='file','path'='d','format'='csv','json.coerce'='true'",
        "option 'json.coerce' is for 'format' = 'json'",
    ),
    ("KAFKA,'archive'='true'", "'archive' = 'true' needs 'history', the URL to write to"),
    ("KAFKA,'format'='avro'", "not supported yet: 'format' = 'avro'"),
    ("KAFKA,'format'='parquet'", "not supported: Parquet in Kafka messages"),
    ("KAFKA,'format'='csv'", "not supported yet: CSV in Kafka messages"),
    ("KAFKA,'scan.startup.mode'='timestamp'", "'scan.startup.mode' = 'timestamp' needs a time"),
    (
        "KAFKA,'scan.startup.timestamp'='5'",
        "option 'scan.startup.timestamp' needs 'scan.startup.mode' = 'timestamp'",
    ),
    ("KAFKA,'partitioned.by'='b'", "option 'partitioned.by': there is no column 'b'"),
    (
        "KAFKA,'partitioned.by'='a b'",
        "option 'partitioned.by' is 'a b', expected column names, separated by commas",
    ),
    ("KAFKA,'idle'='jump'", "option 'idle' is 'jump', expected wait, advance"),
    ("KAFKA,'on_gap'='leap'", "option 'on_gap' is 'leap', expected fail, skip"),
    ("KAFKA,'dead_letter'='kafka:t'", "dead letters cannot go to the topic they come from"),
    (
        "'connector'='file','path'='d','dead_letter'='kafka:dl'",
        "'dead_letter' = 'kafka:…' is for 'connector' = 'kafka'",
    ),
    (
        "KAFKA,'dead_letter'='kafka:a b'",
        "option 'dead_letter' is 'kafka:a b', expected kafka: and the name of a topic",
    ),
    (
        "KAFKA,'dead_letter.max_ratio'='1'",
        "option 'dead_letter.max_ratio' is '1', expected a share from 0 to below 1, as in '0.05'",
    ),
    ("KAFKA,'history'='kafka:h'", "not supported yet: 'history': a Kafka topic ('kafka:…') here"),
    (
        "KAFKA,'max_future'='-1 s'",
        "option 'max_future' is '-1 s', expected a duration, as in '30 seconds'",
    ),
    (
        "KAFKA,'message.max_bytes'='0'",
        "option 'message.max_bytes' is '0', expected a size, as in '1 MiB'",
    ),
    ("KAFKA,'archive'='yes'", "option 'archive' is 'yes', expected true or false"),
    ("KAFKA,'topics'='t'", "a source has no option 'topics'"),
    ("KAFKA,'online'='none'", "a source has no option 'online'"),
    ("KAFKA,'properties.'='x'", "a source has no option 'properties.'"),
    ("KAFKA,'history'='${NOPE}'", "the environment variable 'NOPE' is not set"),
    ("KAFKA,'history'='${NOPE'", "'${' without its '}'"),
    ("KAFKA,'history'='${a b}'", "'a b' is no name of an environment variable"),
];

#[test]
fn every_wrong_option_is_named_with_the_reason() {
    for (options, expected) in WRONG_OPTIONS.iter().copied() {
        let text = text_of("a INT", &options.replace("KAFKA", KAFKA));
        let error = define(&text).expect_err(options);
        assert_eq!(error.message(), expected, "{options}");
        assert!(error.span().is_some(), "{options}");
        assert_eq!(error.exit_code(), 2, "{options}");
    }
}

#[test]
fn a_watermark_is_needed_and_must_name_a_timestamp() {
    let text = |watermark: &str| {
        format!("CREATE SOURCE s (a INT, t TIMESTAMP, u AS (t){watermark}) WITH ({FILE})")
    };
    for (watermark, expected) in [
        ("", "a source needs a watermark: which column is its event time"),
        (", WATERMARK FOR b AS b", "there is no column 'b'"),
        (", WATERMARK FOR a AS a", "the event time must be a TIMESTAMP, 'a' is INT"),
        (", WATERMARK FOR u AS u", "not supported: a computed column as the event time"),
    ] {
        let error = define(&text(watermark)).expect_err(watermark);
        assert_eq!(error.message(), expected);
        assert!(error.span().is_some() && error.hint().is_some());
    }
    let metadata = format!(
        "CREATE SOURCE s (a INT, t TIMESTAMP METADATA FROM 'timestamp', WATERMARK FOR t AS t) \
         WITH ({KAFKA})"
    );
    assert_eq!(define(&metadata).unwrap().watermark.column, "t");
}

#[test]
fn features_get_their_stores_and_refuse_what_is_not_built() {
    let with = |options: &str| {
        define_feature(&format!("CREATE FEATURE f WITH ({options}) AS SELECT 1 AS a FROM s"))
    };
    let def = with(
        "'online'='redis://h:6379/0', 'online.key'='u:{user_id}', 'offline'='none',
        'offline.interval'='10 s', 'owner'='me', 'tags'='a,b', 'description'='d'",
    )
    .unwrap();
    assert_eq!(def.options.online, OnlineStoreDef::Redis("redis://h:6379/0".to_owned()));
    assert_eq!(def.options.offline, OfflineStoreDef::None);
    assert_eq!(def.options.offline_interval_us, 10_000_000);
    assert_eq!(def.query, "SELECT 1 AS a\nFROM s");
    assert_eq!(with("").unwrap().options.online, OnlineStoreDef::Embedded);
    assert_eq!(with("'ttl'='1 day'").unwrap().options.ttl_us, Some(86_400_000_000));
    let ttl = with("'ttl'='1 day', 'refresh'='5 s', 'online'='redis://h'").unwrap().options;
    assert_eq!((ttl.ttl_us, ttl.refresh_us), (Some(86_400_000_000), 5_000_000));
    assert_eq!(with("").unwrap().options.refresh_us, 60_000_000);
    assert_eq!(with("").unwrap().options.log_share, None);
    for (text, parts) in [("sample 1%", 10_000), ("0.5%", 5_000), ("1", 1_000_000), ("1e-6", 0)] {
        let share = with(&format!("'log'='{text}'")).ok().and_then(|def| def.options.log_share);
        assert_eq!(share, (parts > 0).then_some(parts), "{text}");
    }
    for (options, expected) in [
        ("'ttl'='0 s'", "option 'ttl' is '0 s', expected a duration, as in '30 seconds'"),
        ("'refresh'='1 minute'", "option 'refresh' needs 'online' = 'redis://…'"),
        (
            "'refresh'='99 ms', 'online'='redis://h'",
            "option 'refresh' is shorter than 100 milliseconds",
        ),
        ("'bootstrap'='all'", "option 'bootstrap' is 'all', expected none, history"),
        ("'freshness.slo'='1 s'", "not supported yet: 'freshness.slo' (freshness alarms)"),
        ("'log'='all'", "option 'log' is 'all', expected a share, as in 'sample 1%' or '0.01'"),
        ("'log'='101%'", "option 'log' is '101%', expected a share, as in 'sample 1%' or '0.01'"),
        ("'log'='0'", "option 'log' is '0', expected a share, as in 'sample 1%' or '0.01'"),
        (
            "'online'='memcached'",
            "option 'online' is 'memcached', expected embedded, none, or redis://…",
        ),
        (
            "'online'='redis://h','online.key'='user'",
            "option 'online.key': no {key} in the template",
        ),
        (
            "'online'='redis://h','online.key'='{user'",
            "option 'online.key': '{' without its '}' in the template",
        ),
        ("'online.key'='{key}'", "option 'online.key' needs 'online' = 'redis://…'"),
        ("'connector'='kafka'", "a feature has no option 'connector'"),
    ] {
        let error = with(options).expect_err(options);
        assert_eq!(error.message(), expected, "{options}");
        assert!(error.span().is_some(), "{options}");
    }
}

#[test]
fn a_secret_is_not_quoted_in_an_error() {
    let text = text_of("a INT", &format!("{KAFKA},'properties.sasl.password'='${{NOPE}}hunter2'"));
    let error = define(&text).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn an_error_points_at_the_option() {
    let text = text_of("a INT", &format!("{KAFKA}, 'formt' = 'json'"));
    let shown = render(&define(&text).unwrap_err(), &text);
    let caret = shown.lines().find(|line| line.contains('^')).unwrap();
    assert_eq!(caret.matches('^').count(), "'formt'".len());
    assert!(shown.ends_with("= hint: did you mean 'format'?\n"), "{shown}");
}

#[test]
fn schemas_of_a_definition_leave_out_what_they_should() {
    let def = define(&text_of("a INT, b AS (a), o BIGINT METADATA FROM 'offset'", FILE)).unwrap();
    let names =
        |schema: Arc<Schema>| schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    assert_eq!(names(def.physical_schema()), ["a", "ts"]);
    assert_eq!(names(def.stored_schema()), ["a", "o", "ts"]);
    assert_eq!(names(def.schema()), ["a", "b", "o", "ts"]);
}
