//! Repaired dead letters back into their topic: appended to the partition they came from, under
//! their own key, with a header that names the place of the broken record. That header makes a
//! second replay send nothing twice: the topic itself says what is there. Called by
//! `skewless dead-letters --replay`; never decides what may be replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::catalog::source::SourceDef;
use crate::error::{Error, Result};
use crate::limits::BATCH_ROWS;
use crate::model::batch::Position;

use super::broker::{BrokerContext, broker_error, client_config};
use super::kafka::KafkaSource;
use super::produce::{Deliveries, ensure_topic};
use super::source::Source;

/// Header of a replayed message: `topic/partition/offset` of the record that it replaces.
pub const ORIGIN_HEADER: &str = "skewless.origin";

const POLL_TIMEOUT: Duration = Duration::from_millis(100);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);
/// One message after the other: an error leaves a prefix, never a hole.
const DEFAULTS: [(&str, &str); 3] =
    [("enable.idempotence", "true"), ("linger.ms", "5"), ("message.timeout.ms", "50000")];

/// A repaired message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// Where the broken record stands.
    pub origin: Position,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
}

fn topic(def: &SourceDef) -> Result<&str> {
    let missing = || Error::internal(format!("source '{}' has no topic", def.name));
    def.options.topic.as_deref().ok_or_else(missing)
}

/// Which of these origins have a replayed message in the topic already. Reads each partition
/// from its first origin to its end. Blocks.
pub fn replayed(
    def: &SourceDef,
    origins: impl Iterator<Item = Position>,
) -> Result<BTreeSet<Position>> {
    let mut first: BTreeMap<u32, i64> = BTreeMap::new();
    for Position { partition, offset } in origins {
        let from = first.entry(partition).or_insert(offset);
        *from = (*from).min(offset);
    }
    let mut log = KafkaSource::new(def, None)?;
    let oldest = log.oldest()?;
    let mut left: Vec<Position> = log.ends()?;
    left.retain(|end| first.contains_key(&end.partition));
    let mut from = Vec::new();
    for (partition, offset) in first {
        let Some(low) = oldest.iter().find(|p| p.partition == partition) else {
            let name = &def.name;
            return Err(Error::data(format!("source '{name}' has no partition {partition}")));
        };
        from.push(Position { partition, offset: offset.max(low.offset) });
    }
    left.retain(|end| !from.contains(end));
    log.seek(&from)?;
    let prefix = format!("{}/", topic(def)?);
    let mut found = BTreeSet::new();
    while !left.is_empty() {
        let polled = log.poll(BATCH_ROWS, POLL_TIMEOUT)?;
        for chunk in &polled.chunks {
            let headers = (0..chunk.records.len()).filter_map(|at| chunk.records.headers(at));
            found.extend(headers.filter_map(|headers| origin_of(headers, &prefix)));
            left.retain(|end| end.partition != chunk.partition || chunk.next_offset < end.offset);
        }
        if let Some(why) = log.trouble() {
            return Err(Error::unavailable(why));
        }
    }
    Ok(found)
}

/// The origin in the headers (JSON text) of a replayed message.
fn origin_of(headers: &str, prefix: &str) -> Option<Position> {
    if !headers.contains(ORIGIN_HEADER) {
        return None;
    }
    let headers: Vec<(String, serde_json::Value)> = serde_json::from_str(headers).ok()?;
    let (_, value) = headers.iter().find(|(name, _)| name == ORIGIN_HEADER)?;
    let (partition, offset) = value.as_str()?.strip_prefix(prefix)?.split_once('/')?;
    Some(Position { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
}

/// Appends the messages; back when the brokers have all of them. After an error some may be
/// there: [`replayed`] tells which. Blocks.
pub fn send(def: &SourceDef, messages: &[Repaired]) -> Result<()> {
    let topic = topic(def)?;
    let bytes_max = (def.options.message_bytes_max + (64 << 10)).max(1_000_000).to_string();
    let mut defaults = DEFAULTS.to_vec();
    defaults.push(("message.max.bytes", &bytes_max));
    let config = client_config(&def.options.properties, &defaults, &[])?;
    ensure_topic(&config, topic, None)?;
    let producer = BaseProducer::from_config_and_context(&config, Deliveries::default())
        .map_err(|e| broker_error(&e, "cannot use Kafka", &BrokerContext::default()))?;
    for message in messages {
        let Position { partition, offset } = message.origin;
        let origin = format!("{topic}/{partition}/{offset}");
        let header = Header { key: ORIGIN_HEADER, value: Some(origin.as_str()) };
        let mut record = BaseRecord::<[u8], [u8]>::to(topic)
            .partition(partition.cast_signed())
            .headers(OwnedHeaders::new().insert(header))
            .payload(&message.value);
        if let Some(key) = &message.key {
            record = record.key(key);
        }
        loop {
            match producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    producer.poll(POLL_TIMEOUT);
                    record = back;
                }
                Err((error, _)) => {
                    let what = format!("sending to topic '{topic}'");
                    return Err(broker_error(&error, &what, &BrokerContext::default()));
                }
            }
        }
    }
    let flushed = producer.flush(FLUSH_TIMEOUT);
    let (done, first_error) = producer.context().taken();
    if flushed.is_ok() && done == messages.len() {
        return Ok(());
    }
    let reason = first_error.unwrap_or_else(|| "no answer".to_owned());
    let failed = messages.len() - done;
    Err(Error::unavailable(format!(
        "{failed} of {} messages were not taken by topic '{topic}': {reason}",
        messages.len()
    ))
    .with_hint("replay the same file again: what is there already is not sent twice"))
}

#[cfg(test)]
mod tests;
