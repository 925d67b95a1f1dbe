//! The naive model of a whole feature: for every row (or window) look at every row. An oracle of
//! its own beside `stock`: it shares no code with the engine and none with DataFusion. Called by
//! the random trials.

use super::exact::{Input, aggregate};
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
    pub distinct: bool,
    pub ignore_nulls: bool,
    pub filter: Option<Condition>,
    pub frame: usize,
}

#[derive(Clone, Debug)]
pub enum Windows {
    Trailing(Vec<Frame>),
    Group { size: i64, slide: i64, offset: i64 },
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
            Windows::Group { size, slide, offset } => {
                self.groups(&rows, inputs, *size, *slide, *offset)
            }
        }
    }

    fn groups(
        &self,
        rows: &[&Row],
        inputs: &[Input],
        size: i64,
        slide: i64,
        offset: i64,
    ) -> Vec<Vec<Val>> {
        let mut out: Vec<Vec<Val>> = Vec::new();
        let mut seen: Vec<(&Row, i64)> = Vec::new();
        for at in rows {
            let mut start = (at.us - offset).div_euclid(slide) * slide + offset;
            while start + size > at.us {
                if !seen.iter().any(|(r, s)| *s == start && self.same(r, at)) {
                    seen.push((at, start));
                    let within =
                        |r: &&&Row| self.same(r, at) && start <= r.us && r.us < start + size;
                    let inside: Vec<&Row> = rows.iter().filter(within).copied().collect();
                    let values = self.calls.iter().map(|c| call(c, inputs, &inside));
                    let bounds = [Val::Time(start), Val::Time(start + size)];
                    out.push(self.key(at).into_iter().chain(values).chain(bounds).collect());
                }
                start -= slide;
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

fn framed<'a>(frame: Frame, peers: &[&'a Row], at: &Row) -> Vec<&'a Row> {
    match frame {
        Frame::Range(preceding) => {
            let from = preceding.map_or(i64::MIN, |p| at.us - p);
            peers.iter().filter(|r| from <= r.us && r.us <= at.us).copied().collect()
        }
        Frame::Rows(preceding, tie) => {
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
            all[preceding.map_or(0, |p| here.saturating_sub(p))..=here].to_vec()
        }
    }
}

fn call(c: &Call, inputs: &[Input], rows: &[&Row]) -> Val {
    let kept = rows.iter().filter(|r| c.filter.is_none_or(|f| (f.test)(r) == Some(true)));
    let values = kept.map(|r| c.column.map_or(Val::Int(1), |i| r.values[i].clone()));
    let values: Vec<Val> = values.filter(|v| !(c.ignore_nulls && v.is_null())).collect();
    aggregate(c.name, c.distinct, c.column.map_or(Input::Other, |i| inputs[i]), &values)
}
