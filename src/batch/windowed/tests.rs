//! Which SELECTs are taken, and that what they give is what is worked out here row by row.

use sqlparser::ast::Statement as SqlStatement;

use super::*;
use crate::batch::asof::tests::{known, lines};
use crate::operator::answer::tests::{Event, SECOND};
use crate::operator::oracle::Val;
use crate::operator::trial::{Random, cases};

fn taken(text: &str) -> (String, Vec<String>) {
    let query = parse_query(text).unwrap();
    let mut statement = Statement::Statement(Box::new(SqlStatement::Query(query)));
    let found = take(&mut statement);
    (statement.to_string(), found.iter().map(|w| w.query.to_string()).collect())
}

#[test]
fn selects_over_windows_that_are_not_in_datafusion_become_tables() {
    let (query, found) = taken(
        "SELECT * FROM (SELECT count(*), k FROM SESSION(t, ts, INTERVAL '1 hour') GROUP BY k, \
         window_start, window_end) AS x WHERE k > 1 ORDER BY k LIMIT 3",
    );
    assert_eq!(
        query,
        "SELECT * FROM (SELECT * FROM \"__windows_0\") AS x WHERE k > 1 ORDER BY k LIMIT 3"
    );
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("SELECT count(*) AS \"count(*)\", k, k AS \"key 0\" FROM session("),
        "{found:?}"
    );
}

#[test]
fn other_selects_stay() {
    for text in [
        "SELECT k, COUNT(*) FROM TUMBLE(t, ts, INTERVAL '1 hour') GROUP BY k, window_start",
        "SELECT SUM(x) OVER (PARTITION BY k ORDER BY ts) FROM t",
        "SELECT 1",
    ] {
        assert!(taken(text).1.is_empty(), "{text}");
    }
    let odd = "SELECT SUM(x) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '1 hour' \
               PRECEDING AND CURRENT ROW EXCLUDE GROUP) FROM t";
    assert_eq!(taken(odd).1.len(), 1);
}

fn events(random: &mut Random) -> Vec<Event> {
    let mut second = 0;
    let event = |_| {
        second += random.below(9) as i64;
        let (user, amount) = (random.below(3) as i64, Some(random.below(50) as f64));
        Event { user, second, amount }
    };
    (0..40).map(event).collect()
}

/// Sessions of a user by a gap of five seconds: start, end, sum.
fn sessions(events: &[Event], user: i64) -> Vec<(i64, i64, f64)> {
    let mut all: Vec<(i64, i64, f64)> = Vec::new();
    for event in events.iter().filter(|event| event.user == user) {
        let amount = event.amount.unwrap();
        match all.last_mut() {
            Some(last) if event.second < last.1 => {
                *last = (last.0, event.second + 5, last.2 + amount);
            }
            _ => all.push((event.second, event.second + 5, amount)),
        }
    }
    all
}

fn time(second: i64) -> Val {
    Val::Int((second * SECOND).into())
}

fn float(x: f64) -> Val {
    Val::Float(x.to_bits())
}

#[tokio::test]
async fn sessions_and_chosen_rows_are_in_plain_queries() {
    for seed in 0..cases() / 8 {
        let random = &mut Random::new(seed);
        let events = events(random);
        let directory = tempfile::tempdir().unwrap();
        let known = known(directory.path(), &events, &[]).await;
        let found = lines(
            &known,
            "SELECT user_id, window_start, window_end, total FROM (SELECT SUM(amount) AS total, \
             window_start, window_end, user_id FROM SESSION(transactions, event_time, INTERVAL '5 \
             seconds') GROUP BY user_id, window_start, window_end) AS s WHERE total > 10 ORDER BY \
             user_id, window_start",
        )
        .await;
        let expected: Vec<Vec<Val>> = (0..3)
            .flat_map(|user| {
                let all = sessions(&events, user).into_iter().filter(|s| s.2 > 10.0);
                all.map(move |(start, end, sum)| {
                    vec![Val::Int(user.into()), time(start), time(end), float(sum)]
                })
            })
            .collect();
        assert_eq!(found, expected, "seed {seed}");
        let found = lines(
            &known,
            "SELECT event_time, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time RANGE \
             BETWEEN INTERVAL '10 seconds' PRECEDING AND CURRENT ROW EXCLUDE GROUP), SUM(amount) \
             OVER (PARTITION BY user_id ORDER BY event_time RANGE BETWEEN INTERVAL '10 seconds' \
             PRECEDING AND CURRENT ROW MAXSIZE 2) FROM transactions ORDER BY 1, 2, 3",
        )
        .await;
        let mut expected: Vec<Vec<Val>> = Vec::new();
        for event in &events {
            let own = |other: &&Event| other.user == event.user;
            let near: Vec<&Event> = events
                .iter()
                .filter(own)
                .filter(|e| event.second - 10 <= e.second && e.second <= event.second)
                .collect();
            let before = near.iter().filter(|e| e.second < event.second).count();
            let newest = &near[near.len().saturating_sub(2)..];
            let sum = newest.iter().map(|e| e.amount.unwrap()).sum::<f64>();
            expected.push(vec![time(event.second), Val::Int(before as i128), float(sum)]);
        }
        expected.sort();
        assert_eq!(found, expected, "seed {seed}");
    }
}
