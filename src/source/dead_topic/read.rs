//! The dead letters of a topic, read back as rows: every letter once, although it may have been
//! sent more than once. Called by plain queries.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::array::RecordBatch;
use base64::Engine as _;
use serde_json::Value;

use crate::catalog::source::{SourceDef, StartupMode};
use crate::error::{Error, Result};
use crate::format::dead_letter::{DeadLetter, DeadLetterBuilder};
use crate::format::rejection::{Reason, Rejection};
use crate::limits::BATCH_ROWS;
use crate::model::time::EventTime;
use crate::source::kafka::KafkaSource;
use crate::source::records::Records;
use crate::source::source::Source;

const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// The letters of `def` in its topic as it ends now; other sources' letters and messages of
/// anybody else are left out. Blocks.
pub fn read(def: &SourceDef) -> Result<Vec<RecordBatch>> {
    let Some(topic) = def.options.dead_letter_topic() else { return Ok(Vec::new()) };
    let mut letters = def.clone();
    letters.options.topic = Some(topic.to_owned());
    letters.options.startup = StartupMode::Earliest;
    let mut log = KafkaSource::new(&letters, None)?;
    let (starts, ends) = (log.starts()?, log.ends()?);
    log.seek(&starts)?;
    let mut left: Vec<_> = ends.into_iter().filter(|end| !starts.contains(end)).collect();
    let mut builder = DeadLetterBuilder::new(def.options.message_bytes_max);
    let (mut seen, mut batches) = (BTreeSet::new(), Vec::new());
    while !left.is_empty() {
        let polled = log.poll(BATCH_ROWS, POLL_TIMEOUT)?;
        for chunk in &polled.chunks {
            for at in 0..chunk.records.len() {
                push(&mut builder, &mut seen, &def.name, &chunk.records, at);
            }
            left.retain(|end| end.partition != chunk.partition || chunk.next_offset < end.offset);
        }
        if let Some(why) = log.trouble() {
            return Err(Error::unavailable(why));
        }
        batches.extend(builder.finish()?);
    }
    Ok(batches)
}

fn push(
    builder: &mut DeadLetterBuilder,
    seen: &mut BTreeSet<(u32, i64)>,
    source: &str,
    records: &Records,
    at: usize,
) -> Option<()> {
    let key = std::str::from_utf8(records.key(at)?).ok()?;
    let (place, offset) = key.rsplit_once('/')?;
    let (name, partition) = place.rsplit_once('/')?;
    let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
    let headers: Vec<(String, Value)> = serde_json::from_str(records.headers(at)?).ok()?;
    let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, v)| v);
    let text = |name: &str| header(name).and_then(Value::as_str);
    let reason = Reason::of(text("reason")?)?;
    if name != source || !seen.insert((partition, offset)) {
        return None;
    }
    let message = text("message").unwrap_or_default().to_owned();
    let origin_key = header("key").and_then(|value| match value.get("base64") {
        Some(encoded) => base64::engine::general_purpose::STANDARD.decode(encoded.as_str()?).ok(),
        None => Some(value.as_str()?.as_bytes().to_vec()),
    });
    let raw = records.raw(at);
    builder.push(&DeadLetter {
        source,
        partition,
        offset,
        timestamp: text("timestamp").and_then(EventTime::parse),
        rejection: &Rejection { reason, message },
        event_time: text("event_time").and_then(EventTime::parse),
        key: origin_key.as_deref(),
        headers: text("headers"),
        raw: raw.as_deref(),
    });
    Some(())
}
