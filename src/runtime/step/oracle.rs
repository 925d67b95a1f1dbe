//! What must come out of a simulation, worked out from the log alone by the words of the contract
//! (semantics §1, §2, §4), row by row, with nothing of the engine but the text of times.

use std::collections::BTreeMap;

/// A message as it was made.
#[derive(Clone, Copy, Debug)]
pub enum Made {
    Broken,
    Event { user: i64, amount: i64, time: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub time: i64,
    pub partition: usize,
    pub offset: usize,
    pub user: i64,
    pub amount: i64,
}

pub const SECOND: i64 = 1_000_000;
pub const DELAY: i64 = 5 * SECOND;
pub const FUTURE: i64 = 3_600 * SECOND;
pub const RANGE: i64 = 10 * SECOND;
pub const WINDOW: i64 = 4 * SECOND;
pub const RECENT_TTL: i64 = 13 * SECOND;
pub const BRIEF_TTL: i64 = 5 * SECOND;

#[derive(Debug, Default)]
pub struct Expected {
    /// Admitted, by user in the total order.
    pub users: BTreeMap<i64, Vec<Row>>,
    /// `partition,offset,reason`.
    pub dead: Vec<String>,
    /// `partition,offset`.
    pub archive: Vec<String>,
}

/// Judges a log; each message comes with the timestamp of its record.
pub fn judge(log: &[Vec<(Made, i64)>]) -> Expected {
    let mut expected = Expected::default();
    for (partition, messages) in log.iter().enumerate() {
        let mut newest: Option<i64> = None;
        for (offset, (made, timestamp)) in messages.iter().enumerate() {
            let mut bury = |reason: &str| {
                expected.dead.push(format!("{partition},{offset},{reason}"));
            };
            let Made::Event { user, amount, time } = *made else {
                bury("decode");
                continue;
            };
            if time - timestamp > FUTURE {
                bury("future");
            } else if newest.is_some_and(|newest| time < newest - DELAY) {
                bury("late");
            } else {
                newest = Some(newest.map_or(time, |newest| newest.max(time)));
                expected.archive.push(format!("{partition},{offset}"));
                let row = Row { time, partition, offset, user, amount };
                expected.users.entry(user).or_default().push(row);
            }
        }
    }
    expected.users.values_mut().for_each(|rows| rows.sort());
    expected.dead.sort();
    expected.archive.sort();
    expected
}

impl Expected {
    /// What `paced` shows of a key without rows in its frame.
    pub const PACED_EMPTY: &str = "0,";

    fn recent(rows: &[Row], at: i64) -> String {
        let frame = rows.iter().filter(|row| row.time <= at && row.time >= at - RANGE);
        let amounts: Vec<i64> = frame.map(|row| row.amount).collect();
        let Some(max) = amounts.iter().max() else { return "0,,".to_owned() };
        format!("{},{},{max}", amounts.len(), amounts.iter().sum::<i64>())
    }

    fn ever(rows: &[Row], number: usize) -> String {
        let all = rows.iter().filter(|row| row.time <= rows[number].time).count();
        let last = &rows[number.saturating_sub(3)..=number];
        let sum: i64 = last.iter().map(|row| row.amount).sum();
        format!("{all},{sum}")
    }

    /// What each row adds to the one before it, in the frame at a time.
    fn paced(rows: &[Row], at: i64) -> String {
        let steps = rows.windows(2).map(|pair| (pair[1].time, pair[1].amount - pair[0].amount));
        let frame = steps.filter(|(time, _)| *time <= at && *time >= at - RANGE);
        let steps: Vec<i64> = frame.map(|(_, step)| step).collect();
        match steps.len() {
            0 => Self::PACED_EMPTY.to_owned(),
            n => format!("{n},{}", steps.iter().sum::<i64>()),
        }
    }

    fn windows(rows: &[Row]) -> BTreeMap<i64, (i64, i64)> {
        let mut windows: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for row in rows {
            let window = windows.entry(row.time.div_euclid(WINDOW) * WINDOW + WINDOW).or_default();
            *window = (window.0 + 1, window.1 + row.amount);
        }
        windows
    }

    /// `user,time,n,s,m` of the feature `recent`.
    pub fn recent_rows(&self, text: impl Fn(i64) -> String) -> Vec<String> {
        self.rows(|user, rows, number| {
            let time = rows[number].time;
            format!("{user},{},{}", text(time), Self::recent(rows, time))
        })
    }

    /// `user,time,n,s` of the feature `ever`.
    pub fn ever_rows(&self, text: impl Fn(i64) -> String) -> Vec<String> {
        self.rows(|user, rows, number| {
            format!("{user},{},{}", text(rows[number].time), Self::ever(rows, number))
        })
    }

    /// `user,time,n,s` of the feature `paced`.
    pub fn paced_rows(&self, text: impl Fn(i64) -> String) -> Vec<String> {
        self.rows(|user, rows, number| {
            let time = rows[number].time;
            format!("{user},{},{}", text(time), Self::paced(rows, time))
        })
    }

    fn rows(&self, row: impl Fn(i64, &[Row], usize) -> String) -> Vec<String> {
        let all = self.users.iter();
        let mut all: Vec<String> = all
            .flat_map(|(user, rows)| (0..rows.len()).map(|number| row(*user, rows, number)))
            .collect();
        all.sort();
        all
    }

    /// `user,window_end,n,s` of the feature `windows`.
    pub fn window_rows(&self, text: impl Fn(i64) -> String) -> Vec<String> {
        let mut all = Vec::new();
        for (user, rows) in &self.users {
            for (end, (n, sum)) in Self::windows(rows) {
                all.push(format!("{user},{},{n},{sum}", text(end)));
            }
        }
        all.sort();
        all
    }

    /// (feature, user) → (since when, values) at serving time `at`, once every window is closed.
    pub fn current(&self, at: i64) -> BTreeMap<(String, String), (i64, String)> {
        let mut all = BTreeMap::new();
        for (user, rows) in &self.users {
            let newest = rows.last().unwrap();
            let mut add = |feature: &str, since: i64, values: String| {
                all.insert((feature.to_owned(), user.to_string()), (since, values));
            };
            let now = newest.time.max(at);
            if now - newest.time > RECENT_TTL {
                add("recent", newest.time + RECENT_TTL + 1, ",,".to_owned());
            } else {
                add("recent", newest.time, Self::recent(rows, now));
            }
            add("ever", newest.time, Self::ever(rows, rows.len() - 1));
            add("paced", newest.time, Self::paced(rows, now));
            let (end, (n, sum)) = Self::windows(rows).pop_last().unwrap();
            add("windows", end, format!("{n},{sum}"));
            if at - end > BRIEF_TTL {
                add("brief", end + BRIEF_TTL + 1, ",".to_owned());
            } else {
                add("brief", end, format!("{n},{sum}"));
            }
        }
        all
    }
}
