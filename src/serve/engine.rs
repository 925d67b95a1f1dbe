//! What HTTP needs from a running engine; `cli::local` implements it. All calls come from many
//! connections at once and must not wait for anything but the state itself.

use std::fmt;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;

use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::sql::ast::Statement;
use crate::sql::diagnostic::{quoted, suggestion};

/// The keys of entities as text, column by column; the engine knows the types
/// (`online::text::read_text`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// `None` as a name: the only key column, whatever it is called.
    columns: Vec<(Option<String>, Vec<String>)>,
    rows: usize,
}

impl Keys {
    /// One entity by the value of the only key column.
    pub fn single(value: String) -> Self {
        Self { columns: vec![(None, vec![value])], rows: 1 }
    }

    /// Entities by named columns, each with one value per entity; without columns the one entity
    /// of a feature that has no key. Columns of different lengths are an error.
    pub fn named(columns: Vec<(String, Vec<String>)>) -> Result<Self> {
        let rows = columns.first().map_or(1, |(_, values)| values.len());
        if let Some((name, values)) = columns.iter().find(|(_, values)| values.len() != rows) {
            let first = columns.first().map_or("", |(name, _)| name.as_str());
            return Err(Error::usage(format!(
                "{} has {} values and {} has {rows}",
                quoted(name),
                values.len(),
                quoted(first)
            ))
            .with_hint("give every key column one value per entity"));
        }
        let columns = columns.into_iter().map(|(name, values)| (Some(name), values)).collect();
        Ok(Self { columns, rows })
    }

    /// How many entities.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns in the order of the key of a feature. Missing, unknown and repeated columns
    /// are errors that say what the key is.
    pub fn in_order(mut self, key_columns: &[String]) -> Result<Vec<Vec<String>>> {
        let hint = || match key_columns {
            [] => "the feature has one global entity: leave the key away".to_owned(),
            all => format!("the key is ({})", all.join(", ")),
        };
        if let ([(None, _)], [_]) = (self.columns.as_slice(), key_columns) {
            return Ok(self.columns.drain(..).map(|(_, values)| values).collect());
        }
        let mut ordered = Vec::with_capacity(key_columns.len());
        for wanted in key_columns {
            let found = self.columns.iter().position(|(name, _)| name.as_ref() == Some(wanted));
            let Some(found) = found else {
                let message = format!("no value for the key column {}", quoted(wanted));
                return Err(Error::usage(message).with_hint(hint()));
            };
            ordered.push(self.columns.swap_remove(found).1);
        }
        match self.columns.first() {
            None => Ok(ordered),
            Some((name, _)) => {
                let message = match name {
                    Some(name) => format!("{} is not a key column", quoted(name)),
                    None => "a value that no key column takes".to_owned(),
                };
                Err(Error::usage(message).with_hint(hint()))
            }
        }
    }
}

/// What is known of an entity at the time asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Present,
    NotFound,
    Expired,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Present => "PRESENT",
            Self::NotFound => "NOT_FOUND",
            Self::Expired => "EXPIRED",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A feature's values for some entities at one time, one row per entity in the order asked.
#[derive(Clone, Debug)]
pub struct Answers {
    pub feature: String,
    /// The key columns.
    pub keys: RecordBatch,
    /// The value columns.
    pub values: RecordBatch,
    /// The time each row was computed for; `None` while nothing is known.
    pub as_of: Vec<Option<EventTime>>,
    /// The newest event (or closed window) each row rests on.
    pub event_time: Vec<Option<EventTime>>,
    pub status: Vec<Status>,
}

/// What a feature looks like to those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    pub key_columns: Vec<String>,
    pub value_columns: Vec<String>,
}

/// What one SQL statement answers.
pub enum SqlAnswer {
    Rows(SendableRecordBatchStream),
    /// Text that is the result itself: EXPLAIN, SHOW CREATE.
    Text(String),
    /// What was done, one line.
    Done(String),
}

/// What statements that define are to a catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Desired {
    /// Also make changes that begin a new version with fresh state.
    #[serde(default)]
    pub replace: bool,
    /// Drop what the statements do not name.
    #[serde(default)]
    pub prune: bool,
}

/// A running engine.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Names of the features that can be read, sorted.
    fn features(&self) -> Vec<String>;

    /// Whether a feature of this name can be read.
    fn serves(&self, feature: &str) -> bool {
        self.shape(feature).is_some()
    }

    /// Keys and values of a feature; `None` if there is no such feature.
    fn shape(&self, feature: &str) -> Option<Shape>;

    /// `f(key, at)` for each key; without `at`, at serving time. A key that does not fit the
    /// feature and a time before the horizon are errors of kind `Usage`; an unknown entity is an
    /// answer.
    async fn read(&self, feature: &str, keys: Keys, at: Option<EventTime>) -> Result<Answers>;

    /// Runs one statement that reads (SELECT, SHOW, DESCRIBE, EXPLAIN) over what the engine knows
    /// now. Statements that write are refused.
    async fn query(&self, statement: &Statement) -> Result<SqlAnswer>;

    /// Changes the definitions of the engine while it runs (CREATE, DROP), all or nothing. The
    /// one place where a change arrives from outside: what the statements say must hold for every
    /// row from some position on, or the call fails and nothing has changed. With `desired` the
    /// statements are what shall be defined, as `skewless apply` takes files; without, each does
    /// what it says. Returns one line per change. A caller that goes away does not stop it.
    async fn define(
        &self,
        statements: &[Statement],
        desired: Option<Desired>,
    ) -> Result<Vec<String>>;

    /// Begins to write every current value of a feature to its online store.
    async fn rebuild(&self, feature: &str) -> Result<()>;

    /// What `skewless status` prints.
    fn status(&self) -> serde_json::Value;

    /// Whether answers are as fresh as promised; the error says what is missing.
    fn ready(&self) -> Result<()>;

    /// Prometheus text.
    fn metrics(&self) -> String;
}

/// The error for a feature that nobody knows, with the one that was meant.
pub fn no_such_feature(names: &[String], feature: &str) -> Error {
    let error = Error::usage(format!("no feature {} is served", quoted(feature)));
    match suggestion(feature, names.iter().map(String::as_str)) {
        Some(hint) => error.with_hint(hint),
        None => error.with_hint("GET /status lists the features"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    fn named(columns: &[(&str, &[&str])]) -> Result<Keys> {
        Keys::named(columns.iter().map(|(name, v)| ((*name).to_owned(), own(v))).collect())
    }

    #[test]
    fn keys_come_in_the_order_of_the_feature() {
        let keys = named(&[("b", &["2", "4"]), ("a", &["1", "3"])]).unwrap();
        assert_eq!(keys.rows(), 2);
        assert_eq!(keys.in_order(&own(&["a", "b"])).unwrap(), [["1", "3"], ["2", "4"]]);
        let single = Keys::single("x=y".to_owned());
        assert_eq!(single.in_order(&own(&["path"])).unwrap(), [["x=y"]]);
        assert!(named(&[]).unwrap().in_order(&[]).unwrap().is_empty());
    }

    #[test]
    fn keys_that_do_not_fit_say_what_the_key_is() {
        for (keys, says) in [
            (named(&[("a", &["1"])]), "no value for the key column 'b'"),
            (named(&[("a", &["1"]), ("b", &["1"]), ("c", &["1"])]), "'c' is not a key column"),
            (named(&[("a", &["1"]), ("a", &["1"]), ("b", &["1"])]), "'a' is not a key column"),
            (Ok(Keys::single("1".to_owned())), "no value for the key column 'a'"),
        ] {
            let error = keys.unwrap().in_order(&own(&["a", "b"])).unwrap_err();
            assert_eq!(error.message(), says);
            assert_eq!(error.hint(), Some("the key is (a, b)"));
        }
        let error = named(&[("a", &["1"]), ("b", &[])]).unwrap_err();
        assert_eq!(error.message(), "'b' has 0 values and 'a' has 1");
        let error = Keys::single("1".to_owned()).in_order(&[]).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("global entity")), "{error}");
    }
}
