//! EXPLAIN of a feature: four sections of stable text (golden-tested).

use arrow::datatypes::DataType;
use xxhash_rust::xxh3::xxh3_64;

use super::dataflow::{FeaturePlan, FrameExtent, TimeColumns, TrailingSpec, WindowSpec};
use crate::sql::printer::name_text;
use crate::sql::window::WindowShape;

/// The text of EXPLAIN for a feature that nobody shares state with.
pub fn explain(plan: &FeaturePlan) -> String {
    explain_shared(plan, &[])
}

/// The text of EXPLAIN; `sharers` are the other features of its state group.
pub fn explain_shared(plan: &FeaturePlan, sharers: &[String]) -> String {
    let mut out = String::new();
    section(&mut out, "Logical", &logical(plan));
    section(&mut out, "Dataflow", &dataflow(plan));
    section(&mut out, "State", &state(plan, sharers));
    let none = vec!["none".to_owned()];
    section(&mut out, "Notes", if plan.notes.is_empty() { &none } else { &plan.notes });
    out
}

fn section(out: &mut String, title: &str, lines: &[String]) {
    out.push_str(title);
    out.push('\n');
    for line in lines {
        out.push_str("  ");
        out.push_str(line);
        out.push('\n');
    }
}

fn logical(plan: &FeaturePlan) -> Vec<String> {
    let words = &plan.description;
    let mut lines = Vec::new();
    for (name, data_type, expression) in &words.outputs {
        let name = name_text(name);
        let text = if *expression == name { name } else { format!("{name} = {expression}") };
        lines.push(format!("{text}: {data_type}"));
    }
    lines.push(format!("from {}", name_text(&words.source)));
    if let Some(filter) = &words.filter {
        lines.push(format!("where {filter}"));
    }
    if let Some(having) = &words.having {
        lines.push(format!("having {having}"));
    }
    lines
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

fn dataflow(plan: &FeaturePlan) -> Vec<String> {
    let words = &plan.description;
    let source = name_text(&words.source);
    let mut lines = vec![format!("source {source}: watermark {}", words.watermark)];
    let values: Vec<String> =
        words.values.iter().enumerate().map(|(i, text)| format!("v{i} = {text}")).collect();
    let filter = words.filter.as_ref().map_or_else(String::new, |f| format!("where {f}; "));
    lines.push(format!("prepare: {filter}values {}", list(&values)));
    let key = list(&words.keys);
    lines.push(match &plan.window {
        WindowSpec::Trailing(_) => {
            format!("trailing window: key {key}; frames {}", list(&words.frames))
        }
        WindowSpec::Group(_) => {
            let having =
                words.having.as_ref().map_or_else(String::new, |h| format!("; having {h}"));
            format!("group window: key {key}; {}{having}", list(&words.frames))
        }
    });
    let time = match &plan.time_column {
        TimeColumns::Event(time) => name_text(time),
        TimeColumns::Window { start, end } => {
            format!("{}, {}", name_text(start), name_text(end))
        }
    };
    let names = |names: &[String]| list(&names.iter().map(|n| name_text(n)).collect::<Vec<_>>());
    lines.push(format!(
        "output: key {}; time {time}; values {}",
        names(&plan.key_columns),
        names(&plan.value_columns)
    ));
    lines
}

fn state(plan: &FeaturePlan, sharers: &[String]) -> Vec<String> {
    let words = &plan.description;
    let shared = match sharers {
        [] => "not shared".to_owned(),
        names => format!("shared with {}", names.join(", ")),
    };
    let mut lines = vec![
        format!("group {:016x}: {}; {shared}", xxh3_64(plan.sharing.as_bytes()), plan.sharing),
        format!("slots {}", words.slots.len()),
    ];
    let slots = words.slots.iter().enumerate();
    lines.extend(slots.map(|(index, slot)| format!("  a{index} = {slot}")));
    match &plan.window {
        WindowSpec::Trailing(spec) => {
            let fronts = spec.frames.len() * 2;
            lines.push(format!("fronts {fronts}: final and current for each frame"));
            lines.push(format!(
                "about {} bytes per key, {} bytes per buffered row; rows are kept {}",
                per_key(plan) + 2 * spec.slots.len() * SLOT_BYTES + fronts * 8,
                ROW_BYTES + spec.value_types.iter().map(width).sum::<usize>(),
                kept(spec)
            ));
        }
        WindowSpec::Group(spec) => {
            let open = match &spec.shape {
                WindowShape::Grid { slide_us: step_us, size_us, .. }
                | WindowShape::Cumulate { step_us, size_us, .. } => {
                    (size_us + step_us - 1) / step_us
                }
                WindowShape::Calendar { .. } | WindowShape::Session { .. } => 1,
            };
            lines.push("fronts 1: final".to_owned());
            lines.push(format!(
                "about {} bytes per key and {} bytes per key and open pane; {open} {} open at a \
                 time",
                per_key(plan),
                SLOT_BYTES * spec.slots.len() + 16,
                if open == 1 { "window is" } else { "windows are" }
            ));
        }
    }
    lines
}

/// Estimates: an accumulator, a row without its values, a dictionary entry without its key.
const SLOT_BYTES: usize = 32;
const ROW_BYTES: usize = 20;
const ENTRY_BYTES: usize = 40;

fn per_key(plan: &FeaturePlan) -> usize {
    ENTRY_BYTES + plan.window.key_types().iter().map(width).sum::<usize>()
}

/// Bytes of a value; text and arrays are counted as 16.
fn width(data_type: &DataType) -> usize {
    match data_type {
        DataType::Boolean => 1,
        other => other.primitive_width().unwrap_or(16),
    }
}

/// How long a row is needed.
fn kept(spec: &TrailingSpec) -> String {
    let mut longest_us = 0;
    let mut rows: u64 = 0;
    for frame in &spec.frames {
        match frame.extent {
            // What the accumulators hold already is dropped; what they do not hold yet is kept.
            FrameExtent::Range { preceding_us: None, until_us } => {
                longest_us = longest_us.max(until_us);
                rows = rows.max(frame.rows_max.unwrap_or(0));
            }
            FrameExtent::Range { preceding_us: Some(us), .. } => longest_us = longest_us.max(us),
            FrameExtent::Rows { preceding: None, until } => rows = rows.max(until),
            FrameExtent::Rows { preceding: Some(n), .. } => rows = rows.max(n + 1),
        }
    }
    let time = crate::model::time::format_duration(longest_us);
    match (longest_us, rows) {
        (0, 0) => "until they are final".to_owned(),
        (_, 0) => format!("for {time}"),
        (0, n) => format!("for the last {n} of a key"),
        (_, n) => format!("for {time} and the last {n} of a key"),
    }
}

#[cfg(test)]
mod tests;
