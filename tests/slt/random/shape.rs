//! What a random trial asks: a feature as SQL, with the naive model where its structure is plain,
//! and the lengths its windows care about. Called by `shapes` (the list) and `trial`.

use super::data::{COLUMNS, TS};
use crate::harness::model::{Call, Condition, Except, Frame, Model, Windows};

pub const S: i64 = 1_000_000;

/// One query shape.
#[derive(Clone, Debug)]
pub struct Shape {
    pub name: String,
    /// The SELECT of the feature.
    pub query: String,
    /// Hand-written stock SQL where the rewriting oracle does not know the contract's NULLs.
    pub stock: Option<String>,
    pub model: Option<Model>,
    /// Whether the SQL oracle can judge it too.
    pub in_stock: bool,
    /// µs.
    pub edges: Vec<i64>,
}

impl Shape {
    /// A shape judged by the SQL oracle alone.
    pub fn sql(name: &str, query: &str, edges: &[i64]) -> Self {
        Self {
            name: name.into(),
            query: query.into(),
            stock: None,
            model: None,
            in_stock: true,
            edges: edges.into(),
        }
    }

    pub fn with_stock(mut self, stock: &str) -> Self {
        self.stock = Some(stock.into());
        self
    }

    /// A shape from its structure: both oracles judge it where stock SQL has its windows.
    pub fn structured(name: &str, model: Model) -> Self {
        let (edges, in_stock) = (edges(&model), in_stock(&model));
        let query = sql_of(&model);
        Self { name: name.into(), query, stock: None, model: Some(model), in_stock, edges }
    }
}

fn edges(model: &Model) -> Vec<i64> {
    match &model.windows {
        Windows::Group { size, slide, offset } => vec![*size, *slide, (*offset).max(1)],
        Windows::Cumulate { step, size } => vec![*step, *size],
        Windows::Session { gap } => vec![*gap, gap / 2 + 1],
        Windows::Months(count) => vec![count * 30 * 86_400 * S, 86_400 * S],
        Windows::Days { .. } => vec![86_400 * S, 3_600 * S, 31 * 86_400 * S],
        Windows::Count(_) => vec![10 * S, S],
        Windows::Trailing(frames) => {
            let lengths = frames.iter().filter_map(|f| match f {
                Frame::Range(Some(p)) | Frame::Lag(Some(p), _) => Some((*p).max(1)),
                Frame::Except(Some(p), _) | Frame::Newest(Some(p), _) => Some((*p).max(1)),
                Frame::NewestExcept(Some(p), ..) => Some((*p).max(1)),
                Frame::Lag(None, until) => Some((*until).max(1)),
                _ => None,
            });
            let all: Vec<i64> = lengths.collect();
            if all.is_empty() { vec![10 * S] } else { all }
        }
    }
}

/// The SELECT of a structured shape.
fn sql_of(model: &Model) -> String {
    let name = |c: usize| format!("\"{}\"", COLUMNS[c].0);
    let keys: Vec<String> = model.keys.iter().map(|k| name(*k)).collect();
    let calls = model.calls.iter().enumerate().map(|(i, c)| format!("{} AS c{i}", call(c, model)));
    let items: Vec<String> = keys.iter().cloned().chain(calls).collect();
    let filter = model.condition.map_or(String::new(), |c| format!(" WHERE {}", c.sql));
    let items = items.join(", ");
    match &model.windows {
        Windows::Trailing(frames) => {
            let windows: Vec<String> = frames
                .iter()
                .enumerate()
                .map(|(i, f)| format!("w{i} AS ({})", frame(*f, &keys)))
                .collect();
            format!("SELECT {items}, ts FROM src{filter} WINDOW {}", windows.join(", "))
        }
        windows => {
            let relation = relation(windows);
            let by: Vec<String> =
                keys.into_iter().chain(["window_start".into(), "window_end".into()]).collect();
            format!(
                "SELECT {items}, window_start, window_end FROM {relation}{filter} GROUP BY {}",
                by.join(", ")
            )
        }
    }
}

fn relation(windows: &Windows) -> String {
    match windows {
        Windows::Trailing(_) => "src".to_owned(),
        Windows::Group { size, slide, offset } => {
            let offset = match offset {
                0 => String::new(),
                o => format!(", {}", interval(*o)),
            };
            match size == slide {
                true => format!("TUMBLE(src, ts, {}{offset})", interval(*size)),
                false => format!("HOP(src, ts, {}, {}{offset})", interval(*slide), interval(*size)),
            }
        }
        Windows::Cumulate { step, size } => {
            format!("CUMULATE(src, ts, {}, {})", interval(*step), interval(*size))
        }
        Windows::Session { gap } => format!("SESSION(src, ts, {})", interval(*gap)),
        Windows::Months(count) => format!("TUMBLE(src, ts, INTERVAL '{count}' MONTH)"),
        Windows::Days { zone } => format!("TUMBLE(src, ts, INTERVAL '1 day', '{zone}')"),
        Windows::Count(rows) => format!("COUNT_WINDOW(src, ts, {rows})"),
    }
}

fn call(c: &Call, model: &Model) -> String {
    let columns = c.column.iter().chain(c.more).map(|i| format!("\"{}\"", COLUMNS[*i].0));
    let constants = c.constants.iter().map(ToString::to_string);
    let separator = (c.name == "string_agg").then(|| "','".to_owned());
    let argument = columns.chain(constants).chain(separator).collect::<Vec<_>>().join(", ");
    let argument = if c.name == "count" && c.column.is_none() { "*".into() } else { argument };
    let distinct = if c.distinct { "DISTINCT " } else { "" };
    let nulls = if c.ignore_nulls { " IGNORE NULLS" } else { "" };
    let filter = c.filter.map_or(String::new(), |f| format!(" FILTER (WHERE {})", f.sql));
    let over = match model.windows {
        Windows::Trailing(_) => format!(" OVER w{}", c.frame),
        _ => String::new(),
    };
    format!("{}({distinct}{argument}){filter}{nulls}{over}", c.name)
}

fn frame(frame: Frame, keys: &[String]) -> String {
    let by = match keys {
        [] => String::new(),
        keys => format!("PARTITION BY {} ", keys.join(", ")),
    };
    let ts = COLUMNS[TS].0;
    match frame {
        Frame::Range(preceding) => {
            let from = preceding.map_or("UNBOUNDED".into(), interval);
            format!("{by}ORDER BY {ts} RANGE BETWEEN {from} PRECEDING AND CURRENT ROW")
        }
        Frame::Lag(preceding, until) => {
            let from = preceding.map_or("UNBOUNDED".into(), interval);
            let to = interval(until);
            format!("{by}ORDER BY {ts} RANGE BETWEEN {from} PRECEDING AND {to} PRECEDING")
        }
        Frame::Except(preceding, except) => {
            let what = match except {
                Except::CurrentRow => "CURRENT ROW",
                Except::Group => "GROUP",
                Except::Ties => "TIES",
            };
            let range = self::frame(Frame::Range(preceding), keys);
            format!("{range} EXCLUDE {what}")
        }
        Frame::Newest(preceding, most) => {
            format!("{} MAXSIZE {most}", self::frame(Frame::Range(preceding), keys))
        }
        Frame::NewestExcept(preceding, except, most) => {
            format!("{} MAXSIZE {most}", self::frame(Frame::Except(preceding, except), keys))
        }
        Frame::Rows(preceding, tie) => {
            let from = preceding.map_or("UNBOUNDED".into(), |n| n.to_string());
            let tie = tie.map_or(String::new(), |c| format!(", \"{}\"", COLUMNS[c].0));
            format!("{by}ORDER BY {ts}{tie} ROWS BETWEEN {from} PRECEDING AND CURRENT ROW")
        }
        Frame::RowsLag(preceding, until, tie) => {
            let from = preceding.map_or("UNBOUNDED".into(), |n| n.to_string());
            let tie = tie.map_or(String::new(), |c| format!(", \"{}\"", COLUMNS[c].0));
            format!("{by}ORDER BY {ts}{tie} ROWS BETWEEN {from} PRECEDING AND {until} PRECEDING")
        }
    }
}

/// Whether stock DataFusion has the windows of a model.
fn in_stock(model: &Model) -> bool {
    match &model.windows {
        Windows::Trailing(frames) => {
            let ours = |f: &Frame| {
                matches!(f, Frame::Except(..) | Frame::Newest(..) | Frame::NewestExcept(..))
            };
            !frames.iter().any(ours)
        }
        windows => matches!(windows, Windows::Group { .. }),
    }
}

/// An INTERVAL literal.
pub fn interval(us: i64) -> String {
    match us {
        us if us % S == 0 => format!("INTERVAL '{} seconds'", us / S),
        us if us % 1000 == 0 => format!("INTERVAL '{} milliseconds'", us / 1000),
        us => format!("INTERVAL '{us} microseconds'"),
    }
}

pub fn plain(name: &'static str, column: Option<usize>, frame: usize) -> Call {
    let (more, constants): (&[_], &[_]) = (&[], &[]);
    Call {
        name,
        column,
        more,
        constants,
        distinct: false,
        ignore_nulls: false,
        filter: None,
        frame,
    }
}

pub fn distinct(name: &'static str, column: usize, frame: usize) -> Call {
    Call { distinct: true, ..plain(name, Some(column), frame) }
}

pub fn filtered(name: &'static str, column: Option<usize>, frame: usize, c: Condition) -> Call {
    Call { filter: Some(c), ..plain(name, column, frame) }
}
