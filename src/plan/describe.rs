//! A plan in words: the texts that EXPLAIN prints and fingerprints hash, and the notes.

use datafusion::common::Column;
use datafusion::logical_expr::Expr;

use super::assemble::Parts;
use super::dataflow::{
    Exclude, FrameExtent, FrameSpec, GroupSpec, SlotSpec, TIME_COLUMN, WindowSpec,
};
use super::expression::any;
use super::text::text;
use crate::aggregate::datum::Datum;
use crate::aggregate::kind::Direction;
use crate::model::time::format_duration;
use crate::sql::printer::name_text;
use crate::sql::types::type_name;
use crate::sql::window::{CalendarUnit, WindowShape};

/// The texts of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    pub source: String,
    /// `event_time - 30 seconds`
    pub watermark: String,
    pub filter: Option<String>,
    pub having: Option<String>,
    pub keys: Vec<String>,
    /// `v0`, `v1`, … over the columns of the source.
    pub values: Vec<String>,
    /// One per frame of a trailing window, or the one group window.
    pub frames: Vec<String>,
    /// `a0`, `a1`, …
    pub slots: Vec<String>,
    /// (name, type, expression in the words of the query)
    pub outputs: Vec<(String, String, String)>,
    /// Of the windows that a window over windows reads.
    pub inner: Option<Box<Description>>,
}

impl Description {
    /// Equal for features that can share one state group.
    pub fn sharing(&self) -> String {
        let filter = self.filter.as_deref().unwrap_or("TRUE");
        format!("source {} where {filter} key ({})", name_text(&self.source), self.keys.join(", "))
    }
}

/// The text of an expression over the row.
pub fn row_text(expr: &Expr) -> String {
    text(expr, &|_| None)
}

pub fn describe(
    parts: &Parts<'_>,
    window: &WindowSpec,
    posts: &[(String, Expr)],
    having: Option<&Expr>,
) -> Description {
    let source = &parts.checked.source;
    let watermark = &source.watermark;
    let delay = match watermark.delay_us {
        0 => String::new(),
        us => format!(" - {}", format_duration(us)),
    };
    let values: Vec<String> = parts.values.iter().map(row_text).collect();
    let (frames, slots) = match window {
        WindowSpec::Trailing(spec) => {
            let time = name_text(&watermark.column);
            let frames = spec.frames.iter().map(|f| frame_text(f, &time, &values));
            (frames.collect::<Vec<_>>(), &spec.slots)
        }
        WindowSpec::Group(spec) => (vec![shape_text(&spec.shape)], &spec.slots),
        WindowSpec::Chain(spec) => (Vec::new(), &spec.second.slots),
    };
    let over = matches!(window, WindowSpec::Trailing(_));
    let slots: Vec<String> = slots
        .iter()
        .map(|slot| {
            let call = slot_text(slot, &values);
            if over { format!("{call} OVER ({})", frames[slot.frame]) } else { call }
        })
        .collect();
    let keys: Vec<String> = parts.keys.iter().map(row_text).collect();
    let known = |column: &Column| known_column(column, parts, &keys, &values, &slots);
    let outputs = posts
        .iter()
        .zip(super::assemble::output_types(posts, window))
        .map(|((name, expr), data_type)| (name.clone(), type_name(&data_type), text(expr, &known)))
        .collect();
    Description {
        source: source.name.clone(),
        watermark: format!("{}{delay}", name_text(&watermark.column)),
        filter: parts.filter.as_ref().map(row_text),
        having: having.map(|condition| text(condition, &known)),
        keys,
        values,
        frames,
        slots,
        outputs,
        inner: None,
    }
}

/// A column of the result batch in the words of the query.
fn known_column(
    column: &Column,
    parts: &Parts<'_>,
    keys: &[String],
    values: &[String],
    slots: &[String],
) -> Option<String> {
    if column.name == TIME_COLUMN {
        return Some(name_text(&parts.checked.source.watermark.column));
    }
    let (kind, index) = column.name.split_at_checked(1)?;
    let index: usize = index.parse().ok()?;
    match kind {
        "k" => keys.get(index).cloned(),
        "v" => values.get(index).cloned(),
        "a" => slots.get(index).cloned(),
        _ => None,
    }
}

fn shape_text(shape: &WindowShape) -> String {
    let (mut text, offset_us) = match shape {
        WindowShape::Grid { slide_us, size_us, offset_us } if slide_us == size_us => {
            (format!("TUMBLE {}", format_duration(*size_us)), *offset_us)
        }
        WindowShape::Grid { slide_us, size_us, offset_us } => {
            let (slide, size) = (format_duration(*slide_us), format_duration(*size_us));
            (format!("HOP every {slide} of {size}"), *offset_us)
        }
        WindowShape::Cumulate { step_us, size_us, offset_us } => {
            let (step, size) = (format_duration(*step_us), format_duration(*size_us));
            (format!("CUMULATE by {step} up to {size}"), *offset_us)
        }
        WindowShape::Calendar { unit, count, zone } => {
            let unit = match unit {
                CalendarUnit::Day => "day",
                CalendarUnit::Month => "month",
            };
            let plural = if *count == 1 { "" } else { "s" };
            (format!("TUMBLE {count} {unit}{plural} of {zone}"), 0)
        }
        WindowShape::Session { gap_us } => (format!("SESSION gap {}", format_duration(*gap_us)), 0),
        WindowShape::Count { rows } => (format!("COUNT_WINDOW of {rows} rows"), 0),
    };
    if offset_us != 0 {
        text.push_str(&format!(" offset {}", format_duration(offset_us)));
    }
    text
}

fn frame_text(frame: &FrameSpec, time: &str, values: &[String]) -> String {
    let mut order = vec![time.to_owned()];
    for tie in &frame.ties {
        let direction = if tie.descending { " DESC" } else { "" };
        let (descending, nulls_first) = (tie.descending, tie.nulls_first);
        let nulls = nulls_text(Direction { descending, nulls_first });
        order.push(format!("{}{direction}{nulls}", values[tie.column]));
    }
    match frame.extent {
        FrameExtent::Range { preceding_us, until_us } => {
            let from = preceding_us.map_or("UNBOUNDED".to_owned(), format_duration);
            let mut text = format!("RANGE {from}");
            if until_us != 0 {
                text.push_str(&format!(" TO {} PRECEDING", format_duration(until_us)));
            }
            text.push_str(match frame.exclude {
                Exclude::NoOthers => "",
                Exclude::CurrentRow => " EXCLUDE CURRENT ROW",
                Exclude::Ties => " EXCLUDE TIES",
            });
            if let Some(most) = frame.rows_max {
                text.push_str(&format!(" MAXSIZE {most}"));
            }
            text
        }
        FrameExtent::Rows { preceding, until } => {
            let from = preceding.map_or("UNBOUNDED".to_owned(), |rows| match until {
                0 => format!("{rows} PRECEDING"),
                _ => rows.to_string(),
            });
            let to = if until == 0 { String::new() } else { format!(" TO {until} PRECEDING") };
            format!("ROWS {from}{to} ORDER BY {}", order.join(", "))
        }
    }
}

fn slot_text(slot: &SlotSpec, values: &[String]) -> String {
    let aggregate = &slot.aggregate;
    let distinct = if aggregate.distinct { "DISTINCT " } else { "" };
    let mut arguments = vec![aggregate.argument.map_or("*", |index| values[index].as_str())];
    let columns = aggregate.more.len() - aggregate.order.len();
    let (more, order) = aggregate.more.split_at(columns);
    arguments.extend(more.iter().map(|index| values[*index].as_str()));
    let constants: Vec<String> = aggregate.constants.iter().map(constant_text).collect();
    arguments.extend(constants.iter().map(String::as_str));
    let sorts = order.iter().zip(&aggregate.order).map(|(index, direction)| {
        let way = if direction.descending { " DESC" } else { "" };
        format!("{}{way}{}", values[*index], nulls_text(*direction))
    });
    let sorts: Vec<String> = sorts.collect();
    let order = match sorts.is_empty() {
        true => String::new(),
        false => format!(" ORDER BY {}", sorts.join(", ")),
    };
    let nulls = if aggregate.ignore_nulls { " IGNORE NULLS" } else { "" };
    let filter = aggregate
        .filter
        .map_or_else(String::new, |index| format!(" FILTER (WHERE {})", values[index]));
    let arguments = arguments.join(", ");
    format!("{aggregate}({distinct}{arguments}{order}){nulls}{filter}")
}

/// SQL's default: NULLs last ascending, first descending.
fn nulls_text(direction: Direction) -> &'static str {
    match (direction.nulls_first, direction.descending) {
        (true, false) => " NULLS FIRST",
        (false, true) => " NULLS LAST",
        _ => "",
    }
}

fn constant_text(value: &Datum) -> String {
    match value {
        Datum::Null => "NULL".to_owned(),
        Datum::Float(_) => format!("{:?}", value.as_f64()),
        Datum::Bytes(bytes) => {
            format!("'{}'", String::from_utf8_lossy(bytes).replace('\'', "''"))
        }
        other => other.as_i128().unwrap_or(0).to_string(),
    }
}

/// Whether the value depends on which row comes first.
fn positional(slot: &SlotSpec) -> bool {
    slot.aggregate.kind.function().is_ordered()
}

/// Names of calls, each once, in their order.
fn calls<'a>(slots: impl Iterator<Item = &'a SlotSpec>) -> String {
    let mut names: Vec<String> = Vec::new();
    for slot in slots {
        let name = slot.aggregate.kind.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

fn group_notes(parts: &Parts<'_>, spec: &GroupSpec) -> Vec<String> {
    let mut notes = Vec::new();
    let event_time = name_text(&parts.checked.source.watermark.column);
    let untied = |slot: &&SlotSpec| positional(slot) && slot.aggregate.order.is_empty();
    let names = calls(spec.slots.iter().filter(untied));
    if !names.is_empty() {
        notes.push(format!(
            "warning: {names}: events of equal {event_time} are ordered by their place in the log \
             (partition, offset); an ORDER BY in the call decides instead"
        ));
    }
    if parts.keys.is_empty() {
        notes.push("no key: one global entity".to_owned());
    }
    notes
}

/// Warnings and remarks.
pub fn notes(parts: &Parts<'_>, window: &WindowSpec, posts: &[(String, Expr)]) -> Vec<String> {
    let mut notes = Vec::new();
    let spec = match window {
        WindowSpec::Trailing(spec) => spec,
        WindowSpec::Group(spec) => return group_notes(parts, spec),
        WindowSpec::Chain(_) => return notes,
    };
    let event_time = name_text(&parts.checked.source.watermark.column);
    let untied = |slot: &SlotSpec| {
        let frame = &spec.frames[slot.frame];
        frame.ties.is_empty() && (frame.is_rows() || positional(slot))
    };
    if spec.slots.iter().any(untied) {
        notes.push(format!(
            "warning: events of equal {event_time} are ordered by their place in the log \
             (partition, offset); a unique column after {event_time} in the ORDER BY decides \
             instead"
        ));
    }
    let endless = |f: &FrameSpec| {
        matches!(
            f.extent,
            FrameExtent::Rows { preceding: None, .. }
                | FrameExtent::Range { preceding_us: None, .. }
        )
    };
    let chosen = |f: &FrameSpec| f.rows_max.is_some() || f.exclude != Exclude::NoOthers;
    if spec.frames.iter().any(chosen) {
        notes.push(format!(
            "warning: EXCLUDE and MAXSIZE tell events of equal {event_time} apart by their place \
             in the log (partition, offset)"
        ));
    }
    if spec.frames.iter().any(endless) {
        notes.push("warning: UNBOUNDED PRECEDING keeps every key for ever".to_owned());
    } else if spec.frames.iter().any(FrameSpec::is_rows) {
        notes.push("warning: ROWS frames keep every key for ever".to_owned());
    }
    let carried = |part: &Expr| {
        let Expr::Column(column) = part else { return false };
        column.name == TIME_COLUMN
            || column.name.strip_prefix('v').is_some_and(|i| i.parse::<usize>().is_ok())
    };
    let time = |expr: &Expr| matches!(expr, Expr::Column(column) if column.name == TIME_COLUMN);
    let current = posts.iter().filter(|(_, expr)| !time(expr) && any(expr, carried));
    let names: Vec<String> = current.map(|(name, _)| name_text(name)).collect();
    if !names.is_empty() {
        notes.push(format!("as of last event: {}", names.join(", ")));
    }
    if parts.keys.is_empty() {
        notes.push("no key: one global entity".to_owned());
    }
    notes
}
