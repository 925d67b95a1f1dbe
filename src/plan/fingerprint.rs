//! The fingerprint of a definition: equal for equal meaning, whatever stores, comments, aliases
//! of tables or other features there are (semantics §6). A new fingerprint means a new version
//! with fresh state, so what is hashed here changes only together with [`FORMAT`].

use xxhash_rust::xxh3::xxh3_128;

use super::dataflow::FeaturePlan;
use crate::catalog::source::{ColumnKind, SourceDef};
use crate::sql::printer::name_text;
use crate::sql::types::type_name;

/// Version of the text that is hashed.
const FORMAT: u32 = 1;

/// 32 hexadecimal digits.
pub fn fingerprint(plan: &FeaturePlan, source: &SourceDef) -> String {
    format!("{:032x}", xxh3_128(text(plan, source).as_bytes()))
}

/// One line per fact; lists in the order that results depend on.
fn text(plan: &FeaturePlan, source: &SourceDef) -> String {
    let words = &plan.description;
    let mut lines = vec![format!("format {FORMAT}"), format!("source {}", name_text(&source.name))];
    for column in &source.columns {
        let null = if column.nullable { "" } else { " NOT NULL" };
        let kind = match &column.kind {
            ColumnKind::Physical => String::new(),
            ColumnKind::Computed(expression) => format!(" AS ({expression})"),
            ColumnKind::Metadata(field) => format!(" METADATA {field:?}"),
        };
        let name = name_text(&column.name);
        lines.push(format!("column {name} {}{null}{kind}", type_name(&column.data_type)));
    }
    lines.push(format!("watermark {}", words.watermark));
    lines.push(format!("filter {}", words.filter.as_deref().unwrap_or("TRUE")));
    lines.extend(words.having.iter().map(|having| format!("having {having}")));
    lines.extend(words.keys.iter().map(|key| format!("key {key}")));
    lines.extend(plan.key_columns.iter().map(|name| format!("key column {}", name_text(name))));
    lines.push(format!("time {:?}", plan.time_column));
    // Trailing frames are named in the slots; of a group window this is the grid.
    if let super::dataflow::WindowSpec::Group(_) = &plan.window {
        lines.extend(words.frames.iter().map(|frame| format!("window {frame}")));
    }
    for (name, data_type, expression) in &words.outputs {
        lines.push(format!("output {} {data_type} {expression}", name_text(name)));
    }
    lines.join("\n")
}
