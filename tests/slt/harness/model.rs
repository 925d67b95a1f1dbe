//! The naive model of a whole feature: for every row (or window) look at every row. An oracle of
//! its own beside `stock`: it shares no code with the engine and none with DataFusion. Called by
//! the random trials.

use super::exact::{Input, aggregate};
use super::families::{self, Asked, Line};
use super::value::{Val, order};

/// An admitted row: its place in the total order, and the source's columns.
#[derive(Clone, Debug)]
pub struct Row {
    pub us: i64,
    pub partition: i32,
    pub offset: i64,
    pub values: Vec<Val>,
}

#[derive(Clone, Copy, Debug)]
pub enum Frame {
    Range(Option<i64>),
    /// The rows before the current one; column that breaks ties (ascending, NULLs last).
    Rows(Option<usize>, Option<usize>),
    /// From this long before the row to that long before it.
    Lag(Option<i64>, i64),
    /// From so many rows before the row to so many before it; as `Rows`.
    RowsLag(Option<usize>, usize, Option<usize>),
    /// `Range` without some of the rows of the current row's time.
    Except(Option<i64>, Except),
    /// The newest rows of `Range`.
    Newest(Option<i64>, usize),
    /// The newest rows of `Except`.
    NewestExcept(Option<i64>, Except, usize),
}

/// What EXCLUDE leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Except {
    CurrentRow,
    Group,
    Ties,
}

/// A condition, as SQL and as Rust.
#[derive(Clone, Copy, Debug)]
pub struct Condition {
    pub sql: &'static str,
    pub test: fn(&Row) -> Option<bool>,
}

/// One aggregate call; `column` `None` is `*`.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub name: &'static str,
    pub column: Option<usize>,
    /// Column arguments after the first.
    pub more: &'static [usize],
    pub constants: &'static [f64],
    pub distinct: bool,
    pub ignore_nulls: bool,
    pub filter: Option<Condition>,
    pub frame: usize,
}

#[derive(Clone, Debug)]
pub enum Windows {
    Trailing(Vec<Frame>),
    Group {
        size: i64,
        slide: i64,
        offset: i64,
    },
    Cumulate {
        step: i64,
        size: i64,
    },
    Session {
        gap: i64,
    },
    /// Calendar months, UTC, so many at a time.
    Months(i64),
    /// Days of a place.
    Days {
        zone: &'static str,
    },
    /// So many rows at a time, in the total order.
    Count(usize),
}

/// A feature: SELECT keys, calls, time columns FROM source WHERE condition.
#[derive(Clone, Debug)]
pub struct Model {
    pub keys: Vec<usize>,
    pub calls: Vec<Call>,
    pub windows: Windows,
    pub condition: Option<Condition>,
}

impl Model {
    /// The final rows over the admitted rows.
    pub fn rows(&self, admitted: &[Row], inputs: &[Input]) -> Vec<Vec<Val>> {
        let passes = |r: &&Row| self.condition.is_none_or(|c| (c.test)(r) == Some(true));
        let mut rows: Vec<&Row> = admitted.iter().filter(passes).collect();
        rows.sort_by_key(|r| (r.us, r.partition, r.offset));
        match &self.windows {
            Windows::Trailing(frames) => rows
                .iter()
                .map(|at| {
                    let peers: Vec<&Row> =
                        rows.iter().filter(|r| self.same(r, at)).copied().collect();
                    let calls = self.calls.iter();
                    let values =
                        calls.map(|c| call(c, inputs, &framed(frames[c.frame], &peers, at)));
                    self.key(at).into_iter().chain(values).chain([Val::Time(at.us)]).collect()
                })
                .collect(),
            Windows::Count(size) => self.counted(&rows, inputs, *size),
            windows => self.groups(&rows, inputs, windows),
        }
    }

    /// Whole windows of `size` rows of a key; `rows` are in the total order.
    fn counted(&self, rows: &[&Row], inputs: &[Input], size: usize) -> Vec<Vec<Val>> {
        let mut out: Vec<Vec<Val>> = Vec::new();
        for (place, at) in rows.iter().enumerate() {
            if rows[..place].iter().any(|r| self.same(r, at)) {
                continue;
            }
            let own: Vec<&Row> = rows.iter().filter(|r| self.same(r, at)).copied().collect();
            for window in own.chunks_exact(size) {
                let values = self.calls.iter().map(|c| call(c, inputs, window));
                let bounds = [Val::Time(window[0].us), Val::Time(window[size - 1].us + 1)];
                out.push(self.key(at).into_iter().chain(values).chain(bounds).collect());
            }
        }
        out
    }

    fn groups(&self, rows: &[&Row], inputs: &[Input], windows: &Windows) -> Vec<Vec<Val>> {
        let mut out: Vec<Vec<Val>> = Vec::new();
        let mut seen: Vec<(&Row, (i64, i64))> = Vec::new();
        for at in rows {
            let times = rows.iter().filter(|r| self.same(r, at)).map(|r| r.us);
            for window in covering(windows, at.us, &times.collect::<Vec<_>>()) {
                if seen.iter().any(|(r, w)| *w == window && self.same(r, at)) {
                    continue;
                }
                seen.push((at, window));
                let within = |r: &&&Row| self.same(r, at) && window.0 <= r.us && r.us < window.1;
                let inside: Vec<&Row> = rows.iter().filter(within).copied().collect();
                let values = self.calls.iter().map(|c| call(c, inputs, &inside));
                let bounds = [Val::Time(window.0), Val::Time(window.1)];
                out.push(self.key(at).into_iter().chain(values).chain(bounds).collect());
            }
        }
        out
    }

    fn key(&self, row: &Row) -> Vec<Val> {
        self.keys.iter().map(|k| row.values[*k].clone()).collect()
    }

    fn same(&self, a: &Row, b: &Row) -> bool {
        self.keys.iter().all(|k| order(&a.values[*k], &b.values[*k]).is_eq())
    }
}

/// The windows `[start, end)` that hold a time; `times` are those of its key, ascending.
fn covering(windows: &Windows, us: i64, times: &[i64]) -> Vec<(i64, i64)> {
    match *windows {
        Windows::Trailing(_) | Windows::Count(_) => Vec::new(),
        Windows::Days { zone } => vec![day_of(zone, us)],
        Windows::Group { size, slide, offset } => {
            let newest = (us - offset).div_euclid(slide) * slide + offset;
            let starts = (0..).map(|i| newest - i * slide).take_while(|start| start + size > us);
            starts.map(|start| (start, start + size)).collect()
        }
        Windows::Cumulate { step, size } => {
            let start = us.div_euclid(size) * size;
            let ends = (1..=size / step).map(|j| start + j * step);
            ends.filter(|end| *end > us).map(|end| (start, end)).collect()
        }
        Windows::Session { gap } => {
            let (mut first, mut last) = (us, us);
            for _ in times {
                let near = times.iter().filter(|t| **t > first - gap && **t < last + gap);
                let near: Vec<i64> = near.copied().collect();
                first = first.min(near[0]);
                last = last.max(near[near.len() - 1]);
            }
            vec![(first, last + gap)]
        }
        Windows::Months(count) => {
            let month = month_of(us.div_euclid(86_400_000_000)).div_euclid(count) * count;
            let start = |month: i64| first_day(month) * 86_400_000_000;
            vec![(start(month), start(month + count))]
        }
    }
}

/// The day of a place that holds a time: from the first moment that has its date there to the
/// first that has a later one, found by halving. Written for zones that change by at most some
/// hours.
fn day_of(zone: &str, us: i64) -> (i64, i64) {
    use chrono::{DateTime, Datelike, Offset, TimeZone};
    let zone: chrono_tz::Tz = zone.parse().unwrap();
    let date = |us: i64| {
        let utc = DateTime::from_timestamp_micros(us).unwrap().naive_utc();
        let offset = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
        (utc + chrono::TimeDelta::seconds(offset.into())).num_days_from_ce()
    };
    let day = date(us);
    // The first time of which `late` holds, between one of which it does not and one of which it
    // does.
    let first = |mut before: i64, mut after: i64, late: &dyn Fn(i64) -> bool| {
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if late(middle) { after = middle } else { before = middle }
        }
        after
    };
    let two_days = 2 * 86_400_000_000;
    (
        first(us - two_days, us, &|time| date(time) >= day),
        first(us, us + two_days, &|time| date(time) > day),
    )
}

/// The month since January 1970 of a day since then, by counting.
fn month_of(day: i64) -> i64 {
    let mut month = day.div_euclid(31);
    while first_day(month) > day {
        month -= 1;
    }
    while first_day(month + 1) <= day {
        month += 1;
    }
    month
}

/// The first day of a month: the days of all months between it and January 1970.
fn first_day(month: i64) -> i64 {
    let length = |month: i64| {
        let (year, month) = (1970 + month.div_euclid(12), month.rem_euclid(12));
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize]
    };
    (0..month).map(length).sum::<i64>() - (month..0).map(length).sum::<i64>()
}

fn framed<'a>(frame: Frame, peers: &[&'a Row], at: &Row) -> Vec<&'a Row> {
    match frame {
        Frame::Range(preceding) => {
            let from = preceding.map_or(i64::MIN, |p| at.us - p);
            peers.iter().filter(|r| from <= r.us && r.us <= at.us).copied().collect()
        }
        Frame::Lag(preceding, until) => {
            let from = preceding.map_or(i64::MIN, |p| at.us - p);
            peers.iter().filter(|r| from <= r.us && r.us <= at.us - until).copied().collect()
        }
        Frame::Except(preceding, except) => {
            let is_at = |r: &Row| (r.partition, r.offset) == (at.partition, at.offset);
            let mut rows = framed(Frame::Range(preceding), peers, at);
            rows.retain(|r| match except {
                Except::CurrentRow => !is_at(r),
                Except::Group => r.us != at.us,
                Except::Ties => r.us != at.us || is_at(r),
            });
            rows
        }
        Frame::Newest(preceding, most) => {
            let rows = framed(Frame::Range(preceding), peers, at);
            rows[rows.len().saturating_sub(most)..].to_vec()
        }
        Frame::NewestExcept(preceding, except, most) => {
            let rows = framed(Frame::Except(preceding, except), peers, at);
            rows[rows.len().saturating_sub(most)..].to_vec()
        }
        Frame::Rows(preceding, tie) => framed(Frame::RowsLag(preceding, 0, tie), peers, at),
        Frame::RowsLag(preceding, until, tie) => {
            let mut all = peers.to_vec();
            let rank = |r: &Row| tie.map(|c| (r.values[c].is_null(), r.values[c].clone()));
            all.sort_by(|a, b| {
                let tied = match (rank(a), rank(b)) {
                    (Some((x, v)), Some((y, w))) => x.cmp(&y).then_with(|| order(&v, &w)),
                    _ => std::cmp::Ordering::Equal,
                };
                let places = ((a.partition, a.offset), (b.partition, b.offset));
                a.us.cmp(&b.us).then(tied).then(places.0.cmp(&places.1))
            });
            let is_at = |r: &&Row| (r.partition, r.offset) == (at.partition, at.offset);
            let here = all.iter().position(is_at).unwrap();
            let from = preceding.map_or(0, |p| here.saturating_sub(p));
            all[from..(here + 1).saturating_sub(until).max(from)].to_vec()
        }
    }
}

fn call(c: &Call, inputs: &[Input], rows: &[&Row]) -> Val {
    let kept = rows.iter().filter(|r| c.filter.is_none_or(|f| (f.test)(r) == Some(true)));
    if families::knows(c.name) {
        let columns = || c.column.iter().chain(c.more);
        let line = |r: &&Row| Line {
            us: r.us,
            args: columns().map(|column| r.values[*column].clone()).collect(),
        };
        let input = c.column.map_or(Input::Other, |i| inputs[i]);
        let Call { name, distinct, ignore_nulls, constants, .. } = *c;
        let asked = Asked { name, distinct, ignore_nulls, constants, input };
        return families::evaluate(&asked, &kept.map(line).collect::<Vec<_>>());
    }
    let values = kept.map(|r| c.column.map_or(Val::Int(1), |i| r.values[i].clone()));
    let values: Vec<Val> = values.filter(|v| !(c.ignore_nulls && v.is_null())).collect();
    aggregate(c.name, c.distinct, c.column.map_or(Input::Other, |i| inputs[i]), &values)
}
