//! The key of an entity in an online store, from the template `online.key`.
//!
//! `{feature}` is the feature's name, `{key}` all key columns in order, joined by `:`, `{column}`
//! one key column (a column called `feature` or `key` is reached through `{key}`). Parts are the
//! text of `model::text` with `%`, `:`, `{`, `}`, space and control characters percent-encoded,
//! so two entities never share a key: the template must contain every key column, and two parts
//! must be kept apart by a literal with a `:`. A feature without key columns has one entity, whose
//! `{key}` is empty. An entity with a NULL in its key has no key.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef};

use crate::error::{Error, Result};
use crate::model::text::write_text;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// Index among the key columns.
    Column(usize),
}

/// A checked template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate {
    parts: Vec<Part>,
    columns: usize,
}

impl KeyTemplate {
    /// Reads a template for a feature with these key columns.
    pub fn parse(template: &str, feature: &str, key_columns: &[String]) -> Result<Self> {
        let wrong = |what: String| {
            let all = key_columns.iter().map(|c| format!(" {{{c}}}")).collect::<String>();
            Error::usage(format!("online.key '{template}': {what}")).with_hint(format!(
                "use {{feature}}, {{key}}{all}, for example '{{feature}}:{{key}}'"
            ))
        };
        let mut reading = Reading { parts: Vec::new(), literal: String::new(), apart: true };
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            reading.literal(before);
            let Some(end) = from.strip_prefix('{').and_then(|inner| inner.find('}')) else {
                return Err(wrong("a brace without its partner".to_owned()));
            };
            let (name, after) = (&from[1..=end], &from[end + 2..]);
            if !reading.placeholder(name, feature, key_columns) {
                return Err(wrong(format!("`{{{name}}}` is not a key column")));
            }
            if !reading.apart {
                return Err(wrong(format!(
                    "`{{{name}}}` touches the part before it, so two entities could share a key; \
                     put a ':' between them"
                )));
            }
            reading.apart = false;
            rest = after;
        }
        reading.literal(rest);
        let parts = reading.finish();
        let missing = (0..key_columns.len()).find(|c| !parts.contains(&Part::Column(*c)));
        if let Some(missing) = missing {
            return Err(wrong(format!("the key column `{}` is missing", key_columns[missing])));
        }
        Ok(Self { parts, columns: key_columns.len() })
    }

    /// The key of the entity in row `row` of the key columns; `None` if one of them is NULL.
    pub fn render(&self, keys: &[ArrayRef], row: usize) -> Result<Option<String>> {
        assert!(keys.len() == self.columns, "as many key columns as the template was made for");
        if keys.iter().any(|column| column.is_null(row)) {
            return Ok(None);
        }
        let (mut out, mut text) = (String::with_capacity(48), String::new());
        for part in &self.parts {
            match part {
                Part::Literal(literal) => out.push_str(literal),
                Part::Column(column) => {
                    text.clear();
                    write_text(keys[*column].as_ref(), row, &mut text)?;
                    encode(&text, &mut out);
                }
            }
        }
        Ok(Some(out))
    }
}

/// The parts read so far; `literal` is the text since the last column.
struct Reading {
    parts: Vec<Part>,
    literal: String,
    /// A ':' (or the beginning) lies between the last placeholder and here.
    apart: bool,
}

impl Reading {
    fn literal(&mut self, text: &str) {
        self.apart |= text.contains(':');
        self.literal.push_str(text);
    }

    fn column(&mut self, column: usize) {
        if !self.literal.is_empty() {
            self.parts.push(Part::Literal(std::mem::take(&mut self.literal)));
        }
        self.parts.push(Part::Column(column));
    }

    fn placeholder(&mut self, name: &str, feature: &str, key_columns: &[String]) -> bool {
        match name {
            "feature" => encode(feature, &mut self.literal),
            "key" => {
                for column in 0..key_columns.len() {
                    if column > 0 {
                        self.literal.push(':');
                    }
                    self.column(column);
                }
            }
            name => match key_columns.iter().position(|column| column == name) {
                Some(column) => self.column(column),
                None => return false,
            },
        }
        true
    }

    fn finish(mut self) -> Vec<Part> {
        if !self.literal.is_empty() {
            self.parts.push(Part::Literal(self.literal));
        }
        self.parts
    }
}

/// Percent-encodes what has a meaning in keys or cannot be typed.
fn encode(text: &str, out: &mut String) {
    for c in text.chars() {
        if matches!(c, '%' | ':' | '{' | '}' | ' ') || c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    fn keys() -> Vec<ArrayRef> {
        vec![
            Arc::new(Int64Array::from(vec![Some(42), None])),
            Arc::new(StringArray::from(vec![Some("a:b {%}\n\u{85}é"), Some("x")])),
        ]
    }

    #[test]
    fn the_default_template_joins_feature_and_every_key_column() {
        let template =
            KeyTemplate::parse("{feature}:{key}", "user spend", &columns(&["user_id", "shop"]))
                .unwrap();
        let key = template.render(&keys(), 0).unwrap();
        assert_eq!(key.as_deref(), Some("user%20spend:42:a%3Ab%20%7B%25%7D%0A%C2%85é"));
        assert_eq!(template.render(&keys(), 1).unwrap(), None);
    }

    #[test]
    fn single_columns_can_be_named_and_the_global_entity_has_an_empty_key() {
        let template = KeyTemplate::parse("user:{user_id}:v", "f", &columns(&["user_id"])).unwrap();
        assert_eq!(template.render(&keys()[..1], 0).unwrap().as_deref(), Some("user:42:v"));
        let global = KeyTemplate::parse("{feature}:{key}", "f", &[]).unwrap();
        assert_eq!(global.render(&[], 0).unwrap().as_deref(), Some("f:"));
    }

    #[test]
    fn templates_under_which_entities_could_collide_are_refused() {
        let two = columns(&["a", "b"]);
        for (bad, says) in [
            ("{feature}", "`a` is missing"),
            ("x:{a}", "`b` is missing"),
            ("{a}{b}", "touches"),
            ("{a}-{b}", "touches"),
            ("{feature}{key}", "touches"),
            ("{c}:{key}", "not a key column"),
            ("{a", "brace"),
            ("a}:{key}", "brace"),
        ] {
            let error = KeyTemplate::parse(bad, "f", &two).unwrap_err();
            assert!(error.message().contains(says), "{bad}: {error}");
        }
    }
}
