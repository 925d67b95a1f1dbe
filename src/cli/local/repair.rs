//! The file of repaired dead letters: one JSON object per line, as
//! `skewless dead-letters … --format ndjson` prints them. `partition` and `offset` say which
//! letter it is, `raw` is the repaired message: a text, or an object that is written as JSON.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::model::batch::Position;
use crate::source::replay::Repaired;

/// What is known of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub key: Option<Vec<u8>>,
}

/// A repaired message and the line it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub number: usize,
    pub message: Repaired,
}

/// Reads the lines; each must name one of `letters`, once.
pub(super) fn repair_lines(
    text: &str,
    source: &str,
    letters: &BTreeMap<Position, Letter>,
) -> Result<Vec<Line>> {
    let (mut lines, mut seen) = (Vec::new(), BTreeSet::new());
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let message = repaired(line, source, letters);
        let message = message.map_err(|e| e.context(format!("line {number}")))?;
        if !seen.insert(message.origin) {
            let Position { partition, offset } = message.origin;
            return Err(Error::data(format!(
                "line {number}: partition {partition}, offset {offset} stands in the file twice"
            )));
        }
        lines.push(Line { number, message });
    }
    Ok(lines)
}

fn repaired(line: &str, source: &str, letters: &BTreeMap<Position, Letter>) -> Result<Repaired> {
    let object: Map<String, Value> = serde_json::from_str(line).map_err(|e| {
        Error::data(format!("not a JSON object: {e}")).with_hint(
            "one object per line, as `skewless dead-letters SOURCE --format ndjson` prints them",
        )
    })?;
    let number = |name: &str| {
        let value = object.get(name).and_then(Value::as_i64).filter(|n| *n >= 0);
        value.ok_or_else(|| Error::data(format!("'{name}' must be a number, 0 or more")))
    };
    let partition = u32::try_from(number("partition")?)
        .map_err(|_| Error::data("'partition' is too large".to_owned()))?;
    let origin = Position { partition, offset: number("offset")? };
    let Some(letter) = letters.get(&origin) else {
        return Err(Error::data(format!(
            "source '{source}' has no dead letter at partition {partition}, offset {}",
            origin.offset
        )));
    };
    let key = bytes(&object, "key")?.or_else(|| letter.key.clone());
    let value = bytes(&object, "raw")?.ok_or_else(|| {
        Error::data("'raw' is missing: the repaired message, as a text or as an object")
    })?;
    Ok(Repaired { origin, key, value })
}

/// A text, an object as JSON text, or bytes in base64 under the name with `_base64`.
fn bytes(object: &Map<String, Value>, name: &str) -> Result<Option<Vec<u8>>> {
    match object.get(name) {
        Some(Value::String(text)) => return Ok(Some(text.clone().into_bytes())),
        Some(value @ Value::Object(_)) => return Ok(Some(value.to_string().into_bytes())),
        None | Some(Value::Null) => {}
        Some(_) => {
            return Err(Error::data(format!("'{name}' must be a text or an object")));
        }
    }
    let encoded = format!("{name}_base64");
    match object.get(&encoded) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .map(Some)
            .map_err(|e| Error::data(format!("'{encoded}': {e}"))),
        Some(_) => Err(Error::data(format!("'{encoded}' must be a text"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters() -> BTreeMap<Position, Letter> {
        let letter = |key: Option<&[u8]>| Letter { key: key.map(<[u8]>::to_vec) };
        let at = |offset| Position { partition: 1, offset };
        BTreeMap::from([(at(5), letter(Some(b"\xff"))), (at(6), letter(None))])
    }

    fn read(text: &str) -> Result<Vec<Line>> {
        repair_lines(text, "s", &letters())
    }

    #[test]
    fn a_message_is_a_text_an_object_or_base64_and_keeps_its_key() {
        let text = "{\"partition\":1,\"offset\":5,\"raw\":\"{\\\"a\\\":1}\",\"reason\":\"decode\"}\n\n\
                    {\"partition\":1,\"offset\":6,\"raw\":{\"b\":2.50},\"key\":\"k\"}\n";
        let lines = read(text).unwrap();
        assert_eq!(lines[0].message.value, b"{\"a\":1}");
        assert_eq!(lines[0].message.key.as_deref(), Some(b"\xff".as_slice()));
        assert_eq!((lines[1].number, lines[1].message.value.as_slice()), (3, &b"{\"b\":2.5}"[..]));
        assert_eq!(lines[1].message.key.as_deref(), Some(b"k".as_slice()));
        let encoded = "{\"partition\":1,\"offset\":6,\"raw\":null,\"raw_base64\":\"/w==\"}";
        assert_eq!(read(encoded).unwrap()[0].message.value, b"\xff");
    }

    #[test]
    fn lines_that_name_no_letter_are_refused_with_their_number() {
        let line = |rest: &str| format!("\n{{\"partition\":1,{rest}}}");
        for (text, part) in [
            ("\nnonsense".to_owned(), "line 2: not a JSON object"),
            (line("\"offset\":7,\"raw\":\"\""), "line 2: source 's' has no dead letter at"),
            (line("\"offset\":5"), "line 2: 'raw' is missing"),
            (line("\"offset\":5,\"raw\":5"), "line 2: 'raw' must be a text or an object"),
            (line("\"offset\":-1,\"raw\":\"\""), "line 2: 'offset' must be a number"),
            (line("\"offset\":5,\"raw_base64\":\"?\""), "line 2: 'raw_base64'"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.message().starts_with(part), "{text}: {error}");
        }
        let twice = "{\"partition\":1,\"offset\":5,\"raw\":\"a\"}\n".repeat(2);
        assert!(read(&twice).unwrap_err().message().contains("line 2: partition 1, offset 5"));
    }
}
