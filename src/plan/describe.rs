//! A plan in words: the texts that EXPLAIN prints and fingerprints hash, and the notes.

use datafusion::common::Column;
use datafusion::logical_expr::Expr;

use super::assemble::Parts;
use super::dataflow::{FrameExtent, FrameSpec, SlotSpec, TIME_COLUMN, WindowSpec};
use super::expression::any;
use super::text::text;
use crate::aggregate::datum::Datum;
use crate::aggregate::kind::Direction;
use crate::model::time::format_duration;
use crate::sql::printer::name_text;
use crate::sql::types::type_name;

/// The texts of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    pub source: String,
    /// `event_time - 30 seconds`
    pub watermark: String,
    pub filter: Option<String>,
    pub keys: Vec<String>,
    /// `v0`, `v1`, … over the columns of the source.
    pub values: Vec<String>,
    /// One per frame of a trailing window, or the one group window.
    pub frames: Vec<String>,
    /// `a0`, `a1`, …
    pub slots: Vec<String>,
    /// (name, type, expression in the words of the query)
    pub outputs: Vec<(String, String, String)>,
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

pub fn describe(parts: &Parts<'_>, window: &WindowSpec, posts: &[(String, Expr)]) -> Description {
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
        WindowSpec::Group(spec) => {
            let mut frame = match spec.slide_us == spec.size_us {
                true => format!("TUMBLE {}", format_duration(spec.size_us)),
                false => format!(
                    "HOP every {} of {}",
                    format_duration(spec.slide_us),
                    format_duration(spec.size_us)
                ),
            };
            if spec.offset_us != 0 {
                frame.push_str(&format!(" offset {}", format_duration(spec.offset_us)));
            }
            (vec![frame], &spec.slots)
        }
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
        keys,
        values,
        frames,
        slots,
        outputs,
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

fn frame_text(frame: &FrameSpec, time: &str, values: &[String]) -> String {
    let mut order = vec![time.to_owned()];
    for tie in &frame.ties {
        let direction = if tie.descending { " DESC" } else { "" };
        let (descending, nulls_first) = (tie.descending, tie.nulls_first);
        let nulls = nulls_text(Direction { descending, nulls_first });
        order.push(format!("{}{direction}{nulls}", values[tie.column]));
    }
    match frame.extent {
        FrameExtent::Range { preceding_us: None } => "RANGE UNBOUNDED".to_owned(),
        FrameExtent::Range { preceding_us: Some(us) } => format!("RANGE {}", format_duration(us)),
        FrameExtent::Rows { preceding: None } => {
            format!("ROWS UNBOUNDED ORDER BY {}", order.join(", "))
        }
        FrameExtent::Rows { preceding: Some(rows) } => {
            format!("ROWS {rows} PRECEDING ORDER BY {}", order.join(", "))
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
    format!("{}({distinct}{arguments}{order}){nulls}{filter}", aggregate.kind)
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

/// Warnings and remarks.
pub fn notes(parts: &Parts<'_>, window: &WindowSpec, posts: &[(String, Expr)]) -> Vec<String> {
    let WindowSpec::Trailing(spec) = window else { return Vec::new() };
    let mut notes = Vec::new();
    let event_time = name_text(&parts.checked.source.watermark.column);
    let rows = |frame: &FrameSpec| matches!(frame.extent, FrameExtent::Rows { .. });
    let positional = |slot: &SlotSpec| slot.aggregate.kind.function().is_ordered();
    let untied = |slot: &SlotSpec| {
        let frame = &spec.frames[slot.frame];
        frame.ties.is_empty() && (rows(frame) || positional(slot))
    };
    if spec.slots.iter().any(untied) {
        notes.push(format!(
            "warning: events of equal {event_time} are ordered by their place in the log \
             (partition, offset); a unique column after {event_time} in the ORDER BY decides \
             instead"
        ));
    }
    if spec.frames.iter().any(|f| f.extent == FrameExtent::Rows { preceding: None })
        || spec.frames.iter().any(|f| f.extent == FrameExtent::Range { preceding_us: None })
    {
        notes.push("warning: UNBOUNDED PRECEDING keeps every key for ever".to_owned());
    } else if spec.frames.iter().any(rows) {
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
