//! ASOF JOIN against a naive recomputation per row of the left side: features, the history of a
//! source, other relations; what is refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

use crate::batch::adhoc::{CurrentValues, Known, KnownFeature, KnownSource};
use crate::batch::reference::resolve;
use crate::batch::training_set::tests::{Asked, asked, history, plans};
use crate::catalog::feature::{FeatureDef, FeatureOptions, OfflineStoreDef, OnlineStoreDef};
use crate::error::{Error, Result};
use crate::operator::answer::tests::{Event, SECOND, Shape, Trial, int, line, naive, trial};
use crate::operator::operator::Bound;
use crate::operator::oracle::Val;
use crate::operator::trial::{Random, cases};
use crate::plan::session::{SessionOptions, session};
use crate::sql::parser::parse_query;

struct Nobody;

#[async_trait]
impl CurrentValues for Nobody {
    async fn current(&self, feature: &str) -> Result<Vec<RecordBatch>> {
        Err(Error::internal(format!("an ASOF JOIN reads current values of {feature}")))
    }
}

/// A home with `transactions` and a feature `f0`, `f1`, … per shape.
pub async fn known(directory: &Path, events: &[Event], shapes: &[(Shape, Option<i64>)]) -> Known {
    let arrived: Vec<i64> = events.iter().map(|event| event.second).collect();
    let def = history(directory, events, &arrived).await.def;
    let source =
        KnownSource { def, compute: None, dead_letters: String::new(), floors: Default::default() };
    let mut features = BTreeMap::new();
    for plan in plans(shapes) {
        let options = FeatureOptions {
            online: OnlineStoreDef::Embedded,
            online_key: String::new(),
            offline: OfflineStoreDef::None,
            offline_interval_us: 1,
            ttl_us: plan.ttl_us,
            bootstrap: false,
            refresh_us: 60_000_000,
            log_share: None,
            description: None,
            owner: None,
            tags: None,
        };
        let def = FeatureDef {
            name: plan.feature.clone(),
            version: 1,
            query: String::new(),
            options,
            sql: String::new(),
            fingerprint: String::new(),
        };
        let feature = KnownFeature { def: Arc::new(def), plan, final_rows: None };
        features.insert(feature.def.name.clone(), feature);
    }
    let sources = BTreeMap::from([("transactions".to_owned(), source)]);
    Known { sources, features, current: Arc::new(Nobody) }
}

async fn rows(known: &Known, sql: &str) -> Result<Vec<RecordBatch>> {
    let mut query = *parse_query(sql)?;
    let references = resolve(&mut query)?;
    let options = SessionOptions { target_partitions: 3, ..SessionOptions::default() };
    let context = session(crate::aggregate::udaf::all(), &options);
    let statement = DfStatement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
    let frame = known.frame(&context, &references, statement).await?;
    Ok(frame.collect().await?)
}

pub async fn lines(known: &Known, sql: &str) -> Vec<Vec<Val>> {
    let found = rows(known, sql).await.unwrap_or_else(|e| panic!("{sql}\n{e:?}"));
    found.iter().flat_map(|rows| (0..rows.num_rows()).map(|row| line(rows, row))).collect()
}

fn time(second: i64) -> String {
    format!("TIMESTAMP '{}'", crate::model::time::EventTime(second * SECOND))
}

/// `labels` as a relation: number, user, time.
fn values(asked: &Asked) -> String {
    let null = || "NULL".to_owned();
    let row = |(i, (user, second)): (usize, (&Option<i64>, &Option<i64>))| {
        let user = user.map_or_else(null, |user| user.to_string());
        let time = second.map_or_else(null, time);
        format!("({i}, CAST({user} AS BIGINT), CAST({time} AS TIMESTAMP))")
    };
    let rows: Vec<String> = asked.users.iter().zip(&asked.seconds).enumerate().map(row).collect();
    format!("(VALUES {}) AS l (id, n, label_time)", rows.join(", "))
}

#[tokio::test]
async fn features_join_as_they_were_at_the_time_of_each_row() {
    for seed in 0..cases() / 4 {
        let mut random = Random::new(seed ^ 0xa50f);
        let Trial { shapes, events } = trial(&mut random);
        let asked = asked(&mut random, &events);
        if asked.users.is_empty() {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let known = known(directory.path(), &events, &shapes).await;
        // One join after the other, each with its own bound; the labels have a column called
        // `n` as the features do.
        let (mut joins, mut bounds) = (String::new(), Vec::new());
        for (feature, (shape, _)) in shapes.iter().enumerate() {
            let f = format!("f{feature}");
            let own = match shape {
                Shape::Tumble(_) if random.one_in(2) => "window_end",
                _ => "event_time",
            };
            let (bound, condition) = match random.below(4) {
                0 => (Bound::Strict, format!("l.label_time > {f}.{own}")),
                1 => (Bound::Inclusive, format!("l.label_time >= {f}.{own}")),
                2 => (Bound::Strict, format!("{f}.{own} < label_time")),
                _ => (Bound::Inclusive, format!("({f}.{own} <= l.label_time)")),
            };
            bounds.push(bound);
            let on = if random.one_in(2) { "l.n = {f}.user_id" } else { "({f}.user_id = l.n)" };
            let on = on.replace("{f}", &f);
            joins.push_str(&format!(" ASOF JOIN {f} MATCH_CONDITION ({condition}) ON {on}"));
        }
        let columns: Vec<String> = (0..shapes.len()).map(|i| format!("f{i}.*")).collect();
        let sql = format!("SELECT l.id, {} FROM {}{joins}", columns.join(", "), values(&asked));
        let found = lines(&known, &sql).await;
        assert_eq!(found.len(), asked.users.len(), "seed {seed}");
        for (row, line) in found.iter().enumerate() {
            let mut expected = vec![int(row as i64)];
            for (shape, bound) in shapes.iter().zip(&bounds) {
                expected.push(asked.users[row].map_or(Val::Null, int));
                let (user, second) = match (asked.users[row], asked.seconds[row]) {
                    (Some(user), Some(second)) => (user, second),
                    _ => (-1, -1_000_000),
                };
                expected.extend(naive(shape.0, shape.1, &events, user, second, *bound).0);
            }
            assert_eq!(*line, expected, "seed {seed}, row {row}: {shapes:?}\n{sql}");
        }
    }
}

/// Events of one user with ties.
fn ties() -> Vec<Event> {
    let event = |second: i64, amount: f64| Event { user: 1, second, amount: Some(amount) };
    vec![event(10, 1.0), event(20, 2.0), event(20, 3.0), event(30, 4.0)]
}

fn float(x: f64) -> Val {
    Val::Float(x.to_bits())
}

async fn amounts(known: &Known, sql: &str) -> Vec<Val> {
    lines(known, sql).await.into_iter().map(|mut line| line.swap_remove(0)).collect()
}

fn labels(rows: &[(i64, i64)]) -> String {
    let asked = Asked {
        users: rows.iter().map(|(user, _)| Some(*user)).collect(),
        seconds: rows.iter().map(|(_, second)| Some(*second)).collect(),
    };
    values(&asked)
}

#[tokio::test]
async fn a_source_gives_its_newest_row_and_of_equal_times_the_last_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let known = known(directory.path(), &ties(), &[]).await;
    let join = |op: &str, what: &str| {
        format!(
            "SELECT {what} FROM {} ASOF JOIN transactions t \
             MATCH_CONDITION (l.label_time {op} t.event_time) ON l.n = t.user_id",
            labels(&[(1, 5), (1, 20), (1, 21), (2, 21), (1, 99)])
        )
    };
    let strict = amounts(&known, &join(">", "t.amount")).await;
    assert_eq!(strict, [Val::Null, float(1.0), float(3.0), Val::Null, float(4.0)]);
    let inclusive = amounts(&known, &join(">=", "t.amount")).await;
    assert_eq!(inclusive, [Val::Null, float(3.0), float(3.0), Val::Null, float(4.0)]);
    // What matched nothing is NULL altogether, also its key.
    let keys = amounts(&known, &join(">", "t.user_id")).await;
    assert_eq!(keys, [Val::Null, int(1), int(1), Val::Null, int(1)]);
}

#[tokio::test]
async fn any_relation_can_stand_on_the_right_and_duplicates_stay() {
    let directory = tempfile::tempdir().unwrap();
    let known = known(directory.path(), &ties(), &[]).await;
    let left = labels(&[(1, 20), (1, 20), (2, 5)]);
    // Rows without a key or a time match nothing; of equal times the later row counts.
    let prices = format!(
        "SELECT * FROM (VALUES (1, 'a', {}), (1, 'b', {}), (1, 'c', {}), (NULL, 'd', {}), \
         (2, 'e', NULL)) AS p (k, name, since)",
        time(10),
        time(15),
        time(15),
        time(1)
    );
    let name = |text: &str| Val::Bytes(text.into());
    let expected = [name("c"), name("c"), Val::Null];
    let derived = format!(
        "SELECT p.name FROM {left} ASOF JOIN ({prices}) p \
         MATCH_CONDITION (l.label_time >= p.since) ON l.n = p.k"
    );
    assert_eq!(amounts(&known, &derived).await, expected);
    let cte = format!(
        "WITH prices AS ({prices}) SELECT p.name FROM {left} ASOF JOIN prices AS p \
         MATCH_CONDITION (p.since < l.label_time) ON p.k = l.n"
    );
    assert_eq!(amounts(&known, &cte).await, expected);
    // The time asked for is any expression; a join goes on after it; the left side may be one.
    let shifted = format!(
        "SELECT p.name, o.x FROM {left} JOIN (VALUES (1, 7), (2, 8)) AS o (y, x) ON o.y = l.n \
         ASOF JOIN ({prices}) p \
         MATCH_CONDITION (l.label_time - INTERVAL '8 seconds' > p.since) ON l.n = p.k \
         JOIN (VALUES (1)) AS q (z) ON q.z = l.n WHERE o.x = 7"
    );
    assert_eq!(amounts(&known, &shifted).await, [name("a"), name("a")]);
    // Without ON every row is a version of the same thing.
    let global = format!(
        "SELECT p.name FROM {left} ASOF JOIN ({prices}) p MATCH_CONDITION (l.label_time > p.since)"
    );
    let all = amounts(&known, &global).await;
    assert_eq!(all, [name("c"), name("c"), name("d")]);
}

#[tokio::test]
async fn what_an_asof_join_cannot_be_is_refused_with_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let shapes = [(Shape::Range(10), None)];
    let known = known(directory.path(), &ties(), &shapes).await;
    let join = |condition: &str, on: &str| {
        format!(
            "SELECT * FROM {} ASOF JOIN f0 f MATCH_CONDITION ({condition}) {on}",
            labels(&[(1, 20)])
        )
    };
    let on = "ON l.n = f.user_id";
    let time = "l.label_time > f.event_time";
    for (condition, on, expected) in [
        ("l.label_time < f.event_time", on, "looks ahead"),
        ("l.label_time = f.event_time", on, "MATCH_CONDITION compares a time"),
        ("l.label_time > f.n", on, "MATCH_CONDITION compares a time"),
        ("l.nothing > f.event_time", on, "no such column: nothing"),
        (time, "", "ON does not say what 'user_id' is"),
        (time, "ON l.n = f.n", "ON does not say what 'user_id' is"),
        (time, "ON l.n = f.user_id AND l.n = f.n", "not needed to find an entity"),
        (time, "ON l.n > f.user_id", "ON of an ASOF JOIN takes equalities"),
        (time, "USING (user_id)", "USING in an ASOF JOIN"),
        (time, "ON 'x' = f.user_id", "is VARCHAR, the key is BIGINT"),
    ] {
        let error = rows(&known, &join(condition, on)).await.expect_err(on);
        assert!(error.message().contains(expected), "{condition} {on}: {}", error.message());
        assert!(error.hint().is_some(), "{condition} {on}: no hint");
    }
}
