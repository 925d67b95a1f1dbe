//! EXPLAIN of a feature: four sections of stable text (golden-tested).

use arrow::datatypes::DataType;
use xxhash_rust::xxh3::xxh3_64;

use super::dataflow::{
    ChainSpec, FeaturePlan, FirstSpec, FrameExtent, GroupSpec, TimeColumns, TrailingSpec,
    WindowSpec,
};
use super::describe::Description;
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
    if let Some(inner) = &words.inner {
        let results = inner.outputs.iter().map(|(name, _, expression)| {
            let name = name_text(name);
            if *expression == name { name } else { format!("{name} = {expression}") }
        });
        lines.push(format!(
            "from {}: {}",
            name_text(&words.source),
            list(&results.collect::<Vec<_>>())
        ));
    }
    let words = words.inner.as_deref().unwrap_or(words);
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
    let mut lines = Vec::new();
    if let Some(inner) = &words.inner {
        let trailing = |chain: &ChainSpec| matches!(chain.first, FirstSpec::Trailing(_));
        let first = matches!(&plan.window, WindowSpec::Chain(chain) if trailing(chain));
        steps(inner, first, &mut lines);
    }
    steps(words, !matches!(plan.window, WindowSpec::Group(_)), &mut lines);
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

/// The lines of one operator and what it reads.
fn steps(words: &Description, trailing: bool, lines: &mut Vec<String>) {
    let source = name_text(&words.source);
    lines.push(format!("source {source}: watermark {}", words.watermark));
    let values: Vec<String> =
        words.values.iter().enumerate().map(|(i, text)| format!("v{i} = {text}")).collect();
    let filter = words.filter.as_ref().map_or_else(String::new, |f| format!("where {f}; "));
    lines.push(format!("prepare: {filter}values {}", list(&values)));
    let (key, frames) = (list(&words.keys), list(&words.frames));
    let having = words.having.as_ref().map_or_else(String::new, |h| format!("; having {h}"));
    lines.push(match trailing {
        true => format!("trailing window: key {key}; frames {frames}"),
        false => format!("group window: key {key}; {frames}{having}"),
    });
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
        WindowSpec::Trailing(spec) => trailing_state(spec, per_key(plan), &mut lines),
        WindowSpec::Group(spec) => group_state(spec, per_key(plan), &mut lines),
        WindowSpec::Chain(spec) => {
            match &spec.first {
                FirstSpec::Group(first) => group_state(first, per_key(plan), &mut lines),
                FirstSpec::Trailing(first) => trailing_state(first, per_key(plan), &mut lines),
            }
            trailing_state(&spec.second, per_key(plan), &mut lines);
        }
    }
    lines
}

fn trailing_state(spec: &TrailingSpec, per_key: usize, lines: &mut Vec<String>) {
    let fronts = spec.frames.len() * 2;
    lines.push(format!("fronts {fronts}: final and current for each frame"));
    lines.push(format!(
        "about {} bytes per key, {} bytes per buffered row; rows are kept {}",
        per_key + 2 * spec.slots.len() * SLOT_BYTES + fronts * 8,
        ROW_BYTES + spec.value_types.iter().map(width).sum::<usize>(),
        kept(spec)
    ));
}

fn group_state(spec: &GroupSpec, per_key: usize, lines: &mut Vec<String>) {
    lines.push("fronts 1: final".to_owned());
    let pane = SLOT_BYTES * spec.slots.len() + 16;
    lines.push(match &spec.shape {
        WindowShape::Grid { slide_us: step_us, size_us, .. }
        | WindowShape::Cumulate { step_us, size_us, .. } => {
            let open = (size_us + step_us - 1) / step_us;
            let are = if open == 1 { "window is" } else { "windows are" };
            format!(
                "about {per_key} bytes per key and {pane} bytes per key and open pane; {open} \
                 {are} open at a time"
            )
        }
        WindowShape::Calendar { .. } | WindowShape::Session { .. } => format!(
            "about {per_key} bytes per key and {pane} bytes per key and open pane; 1 window is \
             open at a time"
        ),
        WindowShape::Count { rows } => format!(
            "about {per_key} bytes per key and {pane} bytes per row; up to {} rows of a key are \
             kept",
            2 * rows
        ),
    });
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
