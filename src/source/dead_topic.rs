//! Dead letters to a Kafka topic (`'dead_letter' = 'kafka:topic'`): at least once, before the
//! checkpoint that holds their positions commits. The message is the record as it was, its key
//! says where it stood, headers say why it was not admitted. Called by `runtime::outputs`.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::catalog::source::SourceDef;
use crate::error::{Error, Result};
use crate::model::time::EventTime;

use super::broker::{BrokerContext, broker_error, client_config, servers};
use super::produce::{Deliveries, ensure_topic};

/// How long the brokers may take to acknowledge the letters of a checkpoint.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULTS: [(&str, &str); 4] = [
    ("partitioner", "murmur2_random"),
    ("enable.idempotence", "true"),
    ("linger.ms", "5"),
    ("message.timeout.ms", "50000"),
];

/// The topic that takes the dead letters of a source.
#[derive(Clone)]
pub struct DeadTopic(Arc<Inner>);

struct Inner {
    topic: String,
    config: ClientConfig,
    producer: BaseProducer<Deliveries>,
}

impl std::fmt::Debug for DeadTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration holds secrets.
        f.debug_tuple("DeadTopic").field(&self.0.topic).finish()
    }
}

impl DeadTopic {
    /// Connects with the source's own `properties.*`; makes the topic, with one partition, if
    /// there is none. `None` if the source's dead letters are files. Blocks.
    pub fn open(def: &SourceDef) -> Result<Option<Self>> {
        let Some(topic) = def.options.dead_letter_topic() else { return Ok(None) };
        // A letter is as large as its message, and headers.
        let bytes_max = (def.options.message_bytes_max + (64 << 10)).max(1_000_000).to_string();
        let mut defaults = DEFAULTS.to_vec();
        defaults.push(("message.max.bytes", &bytes_max));
        let config = client_config(&def.options.properties, &defaults, &[])?;
        ensure_topic(&config, topic, None)?;
        let producer = BaseProducer::from_config_and_context(&config, Deliveries::default())
            .map_err(|e| broker_error(&e, "cannot use Kafka", &BrokerContext::default()))?;
        Ok(Some(Self(Arc::new(Inner { topic: topic.to_owned(), config, producer }))))
    }

    /// Sends batches of `dead_letter_schema`; back when the brokers have acknowledged every
    /// letter. After an error any of them may have arrived: send all of them again. Blocks.
    pub fn send(&self, batches: &[RecordBatch]) -> Result<()> {
        let counts = self.0.producer.context();
        counts.reset();
        let mut sent = 0;
        for letters in batches {
            for row in 0..letters.num_rows() {
                self.send_one(letters, row)?;
                sent += 1;
            }
        }
        let flushed = self.0.producer.flush(FLUSH_TIMEOUT);
        let (done, first_error) = counts.taken();
        if flushed.is_ok() && done == sent {
            return Ok(());
        }
        let topic = &self.0.topic;
        let reason = first_error.unwrap_or_else(|| "no answer".to_owned());
        Err(Error::unavailable(format!(
            "{} of {sent} dead letters were not taken by topic '{topic}' at '{}': {reason}",
            sent - done,
            servers(&self.0.config),
        ))
        .with_hint("nothing was committed; the next run sends them again"))
    }

    fn send_one(&self, letters: &RecordBatch, row: usize) -> Result<()> {
        let key = letter_key(letters, row);
        let headers = letter_headers(letters, row);
        let raw = letters["raw"].as_binary::<i32>();
        let mut record =
            BaseRecord::<str, [u8]>::to(&self.0.topic).key(key.as_str()).headers(headers);
        if raw.is_valid(row) {
            record = record.payload(raw.value(row));
        }
        loop {
            match self.0.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.0.producer.poll(Duration::from_millis(100));
                    record = back;
                }
                Err((error, _)) => {
                    let what = format!("sending a dead letter to topic '{}'", self.0.topic);
                    return Err(broker_error(&error, &what, &BrokerContext::default()));
                }
            }
        }
    }
}

/// `source/partition/offset`: equal for the same record, however often it is sent.
fn letter_key(letters: &RecordBatch, row: usize) -> String {
    let source = letters["source"].as_string::<i32>().value(row);
    let partition = letters["partition"].as_primitive::<Int32Type>().value(row);
    let offset = letters["offset"].as_primitive::<Int64Type>().value(row);
    format!("{source}/{partition}/{offset}")
}

/// The other columns, under their names; NULL ones are left out.
fn letter_headers(letters: &RecordBatch, row: usize) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new();
    for name in ["reason", "message", "headers"] {
        let column = letters[name].as_string::<i32>();
        if column.is_valid(row) {
            headers = headers.insert(Header { key: name, value: Some(column.value(row)) });
        }
    }
    for name in ["timestamp", "event_time"] {
        let column = letters[name].as_primitive::<TimestampMicrosecondType>();
        if column.is_valid(row) {
            let time = EventTime(column.value(row)).to_string();
            headers = headers.insert(Header { key: name, value: Some(time.as_str()) });
        }
    }
    let key = letters["key"].as_binary::<i32>();
    if key.is_valid(row) {
        headers = headers.insert(Header { key: "key", value: Some(key.value(row)) });
    }
    headers
}

pub mod read;
#[cfg(test)]
mod tests;
