//! Errors as a person sees them: the message, the line of SQL with a caret, the hint. Also "did
//! you mean". `cli` and `serve` render; every room that looks names up uses [`closest`].

use crate::error::{Error, Span};
use crate::limits::ERROR_VALUE_BYTES;
use crate::sql::token::Lines;

/// Longest stretch of one line that is shown around a caret, in columns of the terminal.
const SHOWN_COLUMNS_MAX: usize = 160;
/// Columns kept before the caret when a line is cut.
const SHOWN_BEFORE: usize = 60;
const TAB_COLUMNS: usize = 4;

/// Renders `error`, whose span (if any) points into `text`:
///
/// ```text
/// error: there is no column 'amont'
///   --> 3:8
///    |
///  3 | SUM(amont) OVER w1h
///    |     ^^^^^
///    = hint: did you mean 'amount'?
/// ```
pub fn render(error: &Error, text: &str) -> String {
    let mut out = format!("error: {}\n", error.message());
    let mut gutter = 2;
    if let Some(span) = error.span() {
        gutter = span.start.0.to_string().len() + 2;
        out.push_str(&excerpt(span, text, gutter));
    }
    if let Some(hint) = error.hint() {
        out.push_str(&format!("{:gutter$}= hint: {hint}\n", ""));
    }
    out
}

fn excerpt(span: Span, text: &str, gutter: usize) -> String {
    let (line, column) = span.start;
    let shown = Lines::new(text).line(line);
    let from = usize::try_from(column.saturating_sub(1)).unwrap_or(0);
    let to = match span.end {
        (end, column) if end == line => usize::try_from(column.saturating_sub(1)).unwrap_or(0),
        _ => shown.chars().count(),
    };
    let cells: Vec<(String, usize)> = shown.chars().map(cell).collect();
    let width = |cells: &[(String, usize)]| cells.iter().map(|(_, w)| w).sum::<usize>();
    let (before, rest) = cells.split_at(from.min(cells.len()));
    let marked = rest.get(..to.saturating_sub(from).min(rest.len())).unwrap_or_default();
    let (mut indent, mut carets) = (width(before), width(marked).max(1));
    let mut line_text: String = cells.iter().map(|(shown, _)| shown.as_str()).collect();
    if width(&cells) > SHOWN_COLUMNS_MAX {
        (line_text, indent) = cut(&cells, from);
        carets = carets.min(SHOWN_COLUMNS_MAX - SHOWN_BEFORE);
    }
    format!(
        "{:w$}--> {line}:{column}\n{:gutter$}|\n {line} | {line_text}\n{:gutter$}| {:indent$}{}\n",
        "",
        "",
        "",
        "",
        "^".repeat(carets),
        w = gutter - 1,
    )
}

/// The stretch of a long line around character `from`, and the columns before it.
fn cut(cells: &[(String, usize)], from: usize) -> (String, usize) {
    let (mut start, mut before) = (from.min(cells.len()), 0);
    while let Some((_, width)) = start.checked_sub(1).and_then(|at| cells.get(at)) {
        if before + width > SHOWN_BEFORE {
            break;
        }
        (start, before) = (start - 1, before + width);
    }
    let mut out = String::from(if start > 0 { "…" } else { "" });
    let indent = before + usize::from(start > 0);
    let mut columns = 0;
    for (shown, width) in cells.iter().skip(start) {
        columns += width;
        if columns > SHOWN_COLUMNS_MAX {
            out.push('…');
            break;
        }
        out.push_str(shown);
    }
    (out, indent)
}

/// A character as shown, and the columns it takes. Tabs become spaces; what a terminal would
/// obey or reorder is shown as `·`.
fn cell(c: char) -> (String, usize) {
    match c {
        '\t' => (" ".repeat(TAB_COLUMNS), TAB_COLUMNS),
        c if c.is_control() || is_direction(c) => ("·".to_owned(), 1),
        c => (c.to_string(), columns(c)),
    }
}

fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns of a character on a terminal: 0 for marks that combine, 2 for East Asian wide ones
/// and emoji (the ranges of Unicode TR 11 that matter, not the whole table).
fn columns(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0x33ff
        | 0x3400..=0x4dbf
        | 0x4e00..=0x9fff
        | 0xa000..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// The candidate nearest to `word`, if near enough to be meant.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let allowed = match lower.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        n => n / 3,
    };
    candidates
        .into_iter()
        .map(|c| (strsim::damerau_levenshtein(&lower, &c.to_lowercase()), c))
        .filter(|(distance, candidate)| *distance <= allowed && *candidate != word)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `did you mean 'x'?`, or the list of what there is, or nothing when there is nothing.
pub fn suggestion<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(near) = closest(word, candidates.clone()) {
        return Some(format!("did you mean '{near}'?"));
    }
    let all: Vec<&str> = candidates.into_iter().collect();
    match all.len() {
        0 => None,
        1..=12 => Some(format!("there is: {}", all.join(", "))),
        n => {
            let first: Vec<&str> = all.into_iter().take(12).collect();
            Some(format!("there is: {}, … ({n} in all)", first.join(", ")))
        }
    }
}

/// A value as it is quoted in messages: in `'…'`, cut to 120 bytes.
pub fn quoted(value: &str) -> String {
    if value.len() <= ERROR_VALUE_BYTES {
        return format!("'{value}'");
    }
    let mut end = ERROR_VALUE_BYTES;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    format!("'{}…'", value.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests;
