//! `POST /get-online-features`: the request and response JSON of Feast's Python feature server, so
//! that its clients (`online_store: type: remote`) can be pointed here.
//!
//! ```text
//! {"features": ["user_spend:txn_count_30m"], "entities": {"user_id": [1, 2]},
//!  "full_feature_names": false}
//! {"metadata": {"feature_names": ["user_id", "txn_count_30m"]},
//!  "results": [{"values": [1, 2], "statuses": ["PRESENT", "PRESENT"], "event_timestamps": […]},
//!              {"values": [7, 0], "statuses": ["PRESENT", "NOT_FOUND"], "event_timestamps": […]}]}
//! ```
//! Entity columns come first, in the order given, then the features: views in order of their first
//! mention, columns in order of mention. As there: non-finite floats are `NaN`, `Infinity`,
//! `-Infinity`, timestamps whole seconds since the epoch, a NULL of a known entity is PRESENT, and
//! the time of what was not found is the epoch. Unlike there, a row that is not found still has
//! the value of the empty frame (a count is 0), as training sets have. What has no meaning here
//! (`feature_service`) is refused.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, TimeUnit, TimestampMicrosecondType};

use crate::error::{Error, Result};
use crate::model::text::{write_json, write_json_string};
use crate::model::time::{EventTime, SECOND_US};
use crate::online::text::split_json_list;
use crate::serve::engine::{Answers, Engine, Keys, Status, no_such_feature};
use crate::serve::json;
use crate::sql::diagnostic::{quoted, suggestion};

/// Entities in one request, and values in one answer.
const ENTITIES_MAX: usize = 10_000;
const VALUES_MAX: usize = 1_000_000;

/// A request, checked for its form only.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// (feature, column) in order.
    features: Vec<(String, String)>,
    /// Column by column, values as text.
    entities: Vec<(String, Vec<String>)>,
    full_names: bool,
}

/// The columns asked of one feature.
struct View {
    feature: String,
    columns: Vec<String>,
}

/// The answer to a request body. Malformed and contradictory requests are of kind `Usage`.
pub async fn online_features(engine: &dyn Engine, body: &[u8]) -> Result<String> {
    let asked = read(body)?;
    let views = views(&asked)?;
    let rows = asked.entities.first().map_or(0, |(_, values)| values.len());
    if rows > ENTITIES_MAX || rows.saturating_mul(asked.features.len()) > VALUES_MAX {
        return Err(Error::usage(format!(
            "{rows} entities of {} features in one request",
            asked.features.len()
        ))
        .with_hint(format!("ask for at most {ENTITIES_MAX} entities and {VALUES_MAX} values")));
    }
    let mut read = Vec::with_capacity(views.len());
    let mut used = vec![false; asked.entities.len()];
    for view in &views {
        let keys = keys_of(engine, view, &asked.entities, &mut used)?;
        read.push(engine.read(&view.feature, keys, None).await?);
    }
    if let Some(unused) = used.iter().position(|used| !used) {
        let (name, _) = &asked.entities[unused];
        return Err(Error::usage(format!(
            "the entity {} is of no feature asked for",
            quoted(name)
        ))
        .with_hint("leave it away, or ask for a feature with that key column"));
    }
    respond(&asked, &views, &read, rows)
}

/// Groups the columns by feature; a name that would come twice needs full names.
fn views(asked: &Asked) -> Result<Vec<View>> {
    let mut views: Vec<View> = Vec::new();
    for (feature, column) in &asked.features {
        match views.iter_mut().find(|view| view.feature == *feature) {
            Some(view) if view.columns.contains(column) => {
                return Err(Error::usage(format!("'{feature}:{column}' is asked for twice")));
            }
            Some(view) => view.columns.push(column.clone()),
            None => views.push(View { feature: feature.clone(), columns: vec![column.clone()] }),
        }
    }
    if !asked.full_names {
        let mut names: Vec<&str> = asked.features.iter().map(|(_, c)| c.as_str()).collect();
        names.extend(asked.entities.iter().map(|(name, _)| name.as_str()));
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::usage(format!("two columns are called {}", quoted(twice[0])))
                .with_hint("set full_feature_names to true"));
        }
    }
    Ok(views)
}

/// The entities of a view, by its key columns; marks the columns it takes.
fn keys_of(
    engine: &dyn Engine,
    view: &View,
    entities: &[(String, Vec<String>)],
    used: &mut [bool],
) -> Result<Keys> {
    let shape = engine
        .shape(&view.feature)
        .ok_or_else(|| no_such_feature(&engine.features(), &view.feature))?;
    for column in &view.columns {
        if !shape.value_columns.contains(column) {
            let error = Error::usage(format!("{} has no column {}", view.feature, quoted(column)));
            let columns = shape.value_columns.iter().map(String::as_str);
            return Err(match suggestion(column, columns) {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
        }
    }
    let mut columns = Vec::with_capacity(shape.key_columns.len());
    for key in &shape.key_columns {
        let found = entities.iter().position(|(name, _)| name == key);
        let Some(found) = found else {
            return Err(Error::usage(format!(
                "no entities {} for the feature {}",
                quoted(key),
                quoted(&view.feature)
            ))
            .with_hint(format!("its key is ({})", shape.key_columns.join(", "))));
        };
        used[found] = true;
        columns.push(entities[found].clone());
    }
    if columns.is_empty() && !entities.is_empty() {
        return Err(Error::not_yet(format!(
            "the feature {} without a key beside entities",
            quoted(&view.feature)
        ))
        .with_hint("ask for it alone, without entities"));
    }
    Keys::named(columns)
}

fn respond(asked: &Asked, views: &[View], read: &[Answers], rows: usize) -> Result<String> {
    // A feature with one global entity has one row and no entity columns.
    let rows = if asked.entities.is_empty() { 1 } else { rows };
    let mut out = String::with_capacity(256 + rows * (asked.features.len() + 1) * 48);
    out.push_str("{\"metadata\":{\"feature_names\":[");
    let mut first = true;
    for (name, _) in &asked.entities {
        next(&mut first, &mut out);
        write_json_string(name, &mut out);
    }
    for view in views {
        for column in &view.columns {
            next(&mut first, &mut out);
            match asked.full_names {
                true => write_json_string(&format!("{}__{column}", view.feature), &mut out),
                false => write_json_string(column, &mut out),
            }
        }
    }
    out.push_str("]},\"results\":[");
    let mut first = true;
    for (name, _) in &asked.entities {
        next(&mut first, &mut out);
        entity(name, read, rows, &mut out)?;
    }
    for (view, answers) in views.iter().zip(read) {
        for column in &view.columns {
            next(&mut first, &mut out);
            feature(answers, column, rows, &mut out)?;
        }
    }
    out.push_str("]}");
    Ok(out)
}

fn next(first: &mut bool, out: &mut String) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

/// An entity column: its typed values, present, without a time.
fn entity(name: &str, read: &[Answers], rows: usize, out: &mut String) -> Result<()> {
    let column = read.iter().find_map(|answers| answers.keys.column_by_name(name));
    let column = column.ok_or_else(|| Error::internal(format!("no key column {name}")))?;
    values(column, rows, out)?;
    out.push_str(",\"statuses\":[");
    list(rows, out, |_, out| out.push_str("\"PRESENT\""));
    out.push_str("],\"event_timestamps\":[");
    list(rows, out, |_, out| json::time(Some(EventTime(0)), out));
    out.push_str("]}");
    Ok(())
}

fn feature(answers: &Answers, column: &str, rows: usize, out: &mut String) -> Result<()> {
    let array = answers.values.column_by_name(column);
    let array = array.ok_or_else(|| Error::internal(format!("no value column {column}")))?;
    values(array, rows, out)?;
    out.push_str(",\"statuses\":[");
    list(rows, out, |row, out| {
        out.push_str(match answers.status[row] {
            Status::Present => "\"PRESENT\"",
            Status::NotFound => "\"NOT_FOUND\"",
            Status::Expired => "\"OUTSIDE_MAX_AGE\"",
        });
    });
    out.push_str("],\"event_timestamps\":[");
    list(rows, out, |row, out| {
        json::time(Some(answers.event_time[row].unwrap_or(EventTime(0))), out);
    });
    out.push_str("]}");
    Ok(())
}

fn list(rows: usize, out: &mut String, mut item: impl FnMut(usize, &mut String)) {
    for row in 0..rows {
        if row > 0 {
            out.push(',');
        }
        item(row, out);
    }
}

/// Opens the object of a result with its values.
fn values(array: &ArrayRef, rows: usize, out: &mut String) -> Result<()> {
    out.push_str("{\"values\":[");
    for row in 0..rows {
        if row > 0 {
            out.push(',');
        }
        value(array.as_ref(), row, out)?;
    }
    out.push(']');
    Ok(())
}

/// One value as Feast writes it.
fn value(array: &dyn Array, row: usize, out: &mut String) -> Result<()> {
    use DataType as T;
    if array.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    let float = match array.data_type() {
        T::Float32 => Some(f64::from(array.as_primitive::<Float32Type>().value(row))),
        T::Float64 => Some(array.as_primitive::<Float64Type>().value(row)),
        _ => None,
    };
    if let Some(float) = float.filter(|float| float.is_infinite()) {
        out.push_str(if float > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
        return Ok(());
    }
    match array.data_type() {
        T::Timestamp(TimeUnit::Microsecond, _) => {
            let at = array.as_primitive::<TimestampMicrosecondType>().value(row);
            out.push_str(&at.div_euclid(SECOND_US).to_string());
        }
        T::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for item in 0..items.len() {
                if item > 0 {
                    out.push(',');
                }
                value(items.as_ref(), item, out)?;
            }
            out.push(']');
        }
        _ => write_json(array, row, out)?,
    }
    Ok(())
}

/// Reads a request body. Fields that are not known are passed over, as there.
fn read(body: &[u8]) -> Result<Asked> {
    let malformed = |e: jiter::JiterError| {
        Error::usage(format!("the body is not JSON as expected: {}", e.error_type))
            .with_hint("send {\"features\": [\"feature:column\"], \"entities\": {\"key\": [1, 2]}}")
    };
    let mut json = jiter::Jiter::new(body);
    let mut asked = Asked { features: Vec::new(), entities: Vec::new(), full_names: false };
    let mut key = json.next_object().map_err(malformed)?.map(str::to_owned);
    while let Some(name) = key {
        match name.as_str() {
            "features" => {
                for text in strings(&mut json, "features").map_err(|e| e.or(malformed))? {
                    asked.features.push(reference(&text)?);
                }
            }
            "entities" => {
                let mut column = json.next_object().map_err(malformed)?.map(str::to_owned);
                while let Some(name) = column {
                    let values = strings(&mut json, &name).map_err(|e| e.or(malformed))?;
                    asked.entities.push((name, values));
                    column = json.next_key().map_err(malformed)?.map(str::to_owned);
                }
            }
            "full_feature_names" => asked.full_names = json.next_bool().map_err(malformed)?,
            "feature_service" => {
                if json.peek().map_err(malformed)? != jiter::Peek::Null {
                    return Err(Error::not_supported("feature services: there are only features")
                        .with_hint("name the features: \"features\": [\"feature:column\"]"));
                }
                json.next_null().map_err(malformed)?;
            }
            _ => json.next_skip().map_err(malformed)?,
        }
        key = json.next_key().map_err(malformed)?.map(str::to_owned);
    }
    json.finish().map_err(malformed)?;
    if asked.features.is_empty() {
        return Err(Error::usage("no features are asked for")
            .with_hint("\"features\": [\"feature:column\", …]"));
    }
    Ok(asked)
}

/// Why a list could not be read.
enum Unread {
    Json(jiter::JiterError),
    Null(String),
}

impl Unread {
    fn or(self, malformed: impl Fn(jiter::JiterError) -> Error) -> Error {
        match self {
            Self::Json(error) => malformed(error),
            Self::Null(what) => Error::usage(what),
        }
    }
}

/// A list of scalars as text; null is refused, it names no entity.
fn strings(json: &mut jiter::Jiter<'_>, name: &str) -> Result<Vec<String>, Unread> {
    // Looks at the kind of what comes, so that the stretch begins at it and not at a space.
    let peek = json.peek().map_err(Unread::Json)?;
    let start = json.current_index();
    json.known_skip(peek).map_err(Unread::Json)?;
    let stretch = std::str::from_utf8(json.slice_to_current(start)).unwrap_or_default();
    let mut items = Vec::new();
    if split_json_list(stretch, &mut items).is_none() {
        return Err(Unread::Null(format!("{} is not a list of values", quoted(name))));
    }
    let place = items.iter().position(Option::is_none);
    if let Some(place) = place {
        return Err(Unread::Null(format!("{}: value {place} is null", quoted(name))));
    }
    Ok(items.into_iter().flatten().collect())
}

/// `feature:column`.
fn reference(text: &str) -> Result<(String, String)> {
    let parts =
        text.split_once(':').filter(|(feature, column)| !feature.is_empty() && !column.is_empty());
    let (feature, column) = parts.ok_or_else(|| {
        Error::usage(format!("{} is not a reference to a feature", quoted(text)))
            .with_hint("write feature:column, for example user_spend:txn_count_30m")
    })?;
    Ok((feature.to_owned(), column.to_owned()))
}

#[cfg(test)]
mod tests;
