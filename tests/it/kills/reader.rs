//! Who reads current values while the engine dies and comes back: `_as_of` never goes back, and
//! in the end every entity holds what was expected.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use skewless::model::time::EventTime;

use super::expected::Current;
use super::made::USERS;
use crate::poll;

const FEATURES: [&str; 3] = ["recent", "ever", "windows"];

fn connect(url: &str) -> redis::Connection {
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

fn as_of(fields: &BTreeMap<String, String>, feature: &str) -> Option<i64> {
    let text = fields.get(&format!("_as_of:{feature}"))?;
    Some(EventTime::parse(text).unwrap_or_else(|| panic!("`{text}` is no time")).0)
}

fn hash(
    connection: &mut redis::Connection,
    topic: &str,
    feature: &str,
    user: &str,
) -> BTreeMap<String, String> {
    redis::cmd("HGETALL").arg(format!("{topic}:{feature}:{user}")).query(connection).unwrap()
}

/// Reads until told to stop; how many values were read.
pub fn start(url: &str, topic: &str, stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let (mut connection, topic, stop) = (connect(url), topic.to_owned(), stop.clone());
    std::thread::spawn(move || {
        let mut seen: BTreeMap<(&str, u64), (i64, i64)> = BTreeMap::new();
        let mut reads = 0;
        while !stop.load(Relaxed) {
            for (feature, user) in FEATURES.iter().flat_map(|f| (0..USERS).map(move |u| (*f, u))) {
                let fields = hash(&mut connection, &topic, feature, &user.to_string());
                let Some(time) = as_of(&fields, feature) else {
                    assert!(!seen.contains_key(&(feature, user)), "{feature} {user}: gone");
                    continue;
                };
                // The count over all rows so far grows even while the time stands still.
                let count = match feature {
                    "ever" => fields["n"].parse().unwrap(),
                    _ => 0,
                };
                let before = seen.insert((feature, user), (time, count));
                assert!(
                    before.is_none_or(|before| before <= (time, count)),
                    "{feature} {user}: {:?} after {before:?}",
                    (time, count)
                );
                reads += 1;
            }
            poll::pause(Duration::from_millis(5));
        }
        reads
    })
}

/// The latest time that values which follow it are shown as of; windows are as of their end.
pub fn latest(url: &str, topic: &str) -> i64 {
    let mut connection = connect(url);
    let all = ["recent", "ever"].into_iter().flat_map(|f| (0..USERS).map(move |u| (f, u)));
    let shown = all.filter_map(|(feature, user)| {
        as_of(&hash(&mut connection, topic, feature, &user.to_string()), feature)
    });
    shown.max().unwrap_or(i64::MIN)
}

/// Entities whose hash is not what is expected.
pub fn differences(
    url: &str,
    topic: &str,
    expected: &BTreeMap<(&'static str, String), Current>,
) -> Vec<String> {
    let mut connection = connect(url);
    let mut wrong = Vec::new();
    for ((feature, user), current) in expected {
        let mut fields = hash(&mut connection, topic, feature, user);
        let time = as_of(&fields, feature);
        fields.retain(|name, _| !name.starts_with('_'));
        let kept = current.as_of..=current.until.max(current.as_of);
        if !time.is_some_and(|time| kept.contains(&time)) || fields != current.values {
            wrong.push(format!(
                "{feature} {user}: {fields:?} as of {time:?}, expected {:?} as of {}",
                current.values, current.as_of
            ));
        }
    }
    wrong
}
