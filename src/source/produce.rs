//! Rows → JSON messages → a Kafka topic: files (ndjson lines as they are, even broken ones; CSV
//! and Parquet rows as JSON objects) or generated rows. Keyed messages go where Kafka's own Java
//! clients would put them. Nothing is lost silently: every message is delivered or counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Message};

use crate::clock::monotonic;
use crate::error::{Error, Result};
use crate::format::csv::csv_to_json;
use crate::format::json::find_field;
use crate::limits::BATCH_ROWS;
use crate::model::text::write_json_row;
use crate::model::time::EventTime;

use super::broker::{BrokerContext, admin, broker_error, client_config, servers};
use super::records::{CsvHeader, Records};
use super::source::Source;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last messages may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULTS: [(&str, &str); 6] = [
    ("partitioner", "murmur2_random"),
    ("enable.idempotence", "true"),
    ("linger.ms", "20"),
    ("batch.num.messages", "100000"),
    ("queue.buffering.max.messages", "500000"),
    ("message.timeout.ms", "60000"),
];

/// How fast rows are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Pace {
    #[default]
    Unlimited,
    /// Rows per second.
    Rate(u64),
    /// Event time passes this many times faster than the clock.
    Speed(f64),
}

/// Where and how to send.
#[derive(Clone, Debug)]
pub struct ProduceOptions {
    pub topic: String,
    /// Column whose value is the message key; rows without it are sent without a key.
    pub key: Option<String>,
    /// Make the topic with so many partitions if there is none.
    pub partitions: Option<u32>,
    pub pace: Pace,
    /// Column that [`Pace::Speed`] follows.
    pub event_time: Option<String>,
    /// For librdkafka, `bootstrap.servers` among them.
    pub properties: Vec<(String, String)>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Produced {
    /// Messages that the brokers acknowledged.
    pub rows: u64,
    /// Messages that they did not.
    pub errors: u64,
    pub first_error: Option<String>,
}

/// Counts what the brokers answer.
#[derive(Default)]
pub(super) struct Deliveries {
    done: AtomicU64,
    failed: AtomicU64,
    first_error: Mutex<Option<String>>,
    broker: BrokerContext,
}

impl Deliveries {
    /// Begins to count again.
    pub(super) fn reset(&self) {
        self.done.store(0, Ordering::Relaxed);
        self.failed.store(0, Ordering::Relaxed);
        if let Ok(mut first) = self.first_error.lock() {
            *first = None;
        }
    }

    /// Messages acknowledged, and why the first one that was not, was not.
    pub(super) fn taken(&self) -> (usize, Option<String>) {
        let first = self.first_error.lock().ok().and_then(|first| first.clone());
        (self.done.load(Ordering::Relaxed) as usize, first)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.broker.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.broker.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => drop(self.done.fetch_add(1, Ordering::Relaxed)),
            Err((error, message)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                if let Ok(mut first) = self.first_error.lock()
                    && first.is_none()
                {
                    let partition = message.partition();
                    let last = self.broker.last_error().unwrap_or_default();
                    *first = Some(format!("partition {partition}: {error} {last}"));
                }
            }
        }
    }
}

/// Sends every row of `input` from its start. `progress` hears now and then how many were handed
/// over; when it returns `false`, sending stops after the messages already handed over.
pub fn produce(
    input: &mut dyn Source,
    options: &ProduceOptions,
    mut progress: impl FnMut(u64) -> bool,
) -> Result<Produced> {
    let config = client_config(&options.properties, &DEFAULTS, &[])?;
    ensure_topic(&config, &options.topic, options.partitions)?;
    let producer = BaseProducer::from_config_and_context(&config, Deliveries::default())
        .map_err(|e| broker_error(&e, "cannot use Kafka", &BrokerContext::default()))?;
    let mut sender = Sender { producer, options, sent: 0, pacer: Pacer::new(options.pace) };
    let starts = input.starts()?;
    input.seek(&starts)?;
    let rows_max = sender.pacer.step_rows();
    loop {
        let polled = input.poll(rows_max, Duration::from_millis(100))?;
        for chunk in &polled.chunks {
            sender.send_records(&chunk.records)?;
        }
        if !progress(sender.sent) || polled.end_of_input {
            break;
        }
    }
    sender.finish(&config)
}

/// Makes the topic if it is missing, with one partition unless a number is given.
pub(super) fn ensure_topic(
    config: &ClientConfig,
    topic: &str,
    partitions: Option<u32>,
) -> Result<()> {
    let servers = servers(config);
    let admin = admin(config)?;
    let context = || admin.inner().context();
    let unreachable = |e: &KafkaError| {
        broker_error(e, &format!("Kafka at '{servers}' does not answer"), context())
            .with_hint("is the broker running, and 'bootstrap.servers' right?")
    };
    let metadata =
        admin.inner().fetch_metadata(None, ANSWER_TIMEOUT).map_err(|e| unreachable(&e))?;
    let found = metadata.topics().iter().find(|t| t.name() == topic).map(|t| t.partitions().len());
    match (found, partitions) {
        (Some(found), Some(wanted)) if found != wanted as usize => {
            Err(Error::usage(format!("topic '{topic}' has {found} partitions, not {wanted}"))
                .with_hint("leave out the number of partitions, or use another topic"))
        }
        (Some(_), _) => Ok(()),
        (None, wanted) => {
            let partitions = wanted.unwrap_or(1).cast_signed();
            let new = [NewTopic::new(topic, partitions, TopicReplication::Fixed(-1))];
            let limits = AdminOptions::new()
                .request_timeout(Some(ANSWER_TIMEOUT))
                .operation_timeout(Some(ANSWER_TIMEOUT));
            let answer = futures::executor::block_on(admin.create_topics(new.iter(), &limits))
                .map_err(|e| unreachable(&e))?;
            for result in answer {
                match result {
                    Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                    Err((_, code)) => {
                        return Err(Error::unavailable(format!(
                            "cannot create topic '{topic}' at '{servers}': {code}"
                        )));
                    }
                }
            }
            Ok(())
        }
    }
}

struct Sender<'a> {
    producer: BaseProducer<Deliveries>,
    options: &'a ProduceOptions,
    sent: u64,
    pacer: Pacer,
}

impl Sender<'_> {
    fn send_records(&mut self, records: &Records) -> Result<()> {
        let mut text = Vec::new();
        for at in 0..records.len() {
            text.clear();
            match records {
                Records::Rows(rows) => write_json_row(&rows.batch, at, &mut text)?,
                Records::Messages(messages) => {
                    if let Some(length) = messages.oversize(at) {
                        return Err(Error::data(format!(
                            "row {} has {length} bytes, too large for a message",
                            records.offset(at)
                        )));
                    }
                    let value = messages.value(at).unwrap_or_default();
                    match &messages.header {
                        Some(header) => csv_row(header, value, records.offset(at), &mut text)?,
                        None => text.extend_from_slice(value),
                    }
                }
            }
            self.pacer.wait(self.options.event_time.as_deref(), &text, self.sent, || {
                self.producer.poll(Duration::ZERO);
            });
            self.send(&text)?;
        }
        Ok(())
    }

    fn send(&mut self, text: &[u8]) -> Result<()> {
        let key = self.options.key.as_deref().and_then(|name| find_field(text, name));
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.options.topic).payload(text);
        if let Some(key) = key.as_deref() {
            record = record.key(key);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(Duration::from_millis(100));
                    record = back;
                }
                Err((error, _)) => {
                    let what = format!("sending to topic '{}'", self.options.topic);
                    return Err(broker_error(&error, &what, &self.producer.context().broker));
                }
            }
        }
        self.sent += 1;
        if self.sent.is_multiple_of(1_000) {
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    /// Waits for the last answers. What is not answered by then counts as an error.
    fn finish(self, config: &ClientConfig) -> Result<Produced> {
        // A failed flush leaves messages without an answer; they are counted below.
        let flushed = self.producer.flush(FLUSH_TIMEOUT);
        let counts = self.producer.context();
        let rows = counts.done.load(Ordering::Relaxed);
        let first = counts.first_error.lock().ok().and_then(|first| first.clone());
        let reason = flushed.err().map(|e| {
            let what = format!("Kafka at '{}' does not answer", servers(config));
            broker_error(&e, &what, &counts.broker).message().to_owned()
        });
        Ok(Produced { rows, errors: self.sent - rows, first_error: first.or(reason) })
    }
}

fn csv_row(header: &Arc<CsvHeader>, record: &[u8], row: i64, out: &mut Vec<u8>) -> Result<()> {
    csv_to_json(&header.line, record, out)
        .map_err(|what| Error::data(format!("{}, row {row}: {what}", header.file)))
}

/// Keeps to the pace asked for.
struct Pacer {
    pace: Pace,
    started: Instant,
    first_event: Option<EventTime>,
}

impl Pacer {
    fn new(pace: Pace) -> Self {
        Self { pace, started: monotonic(), first_event: None }
    }

    /// Rows handled between two looks at the clock and the caller.
    fn step_rows(&self) -> usize {
        match self.pace {
            Pace::Rate(rate) => {
                usize::try_from(rate / 20).unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS)
            }
            Pace::Speed(_) => 256,
            Pace::Unlimited => BATCH_ROWS,
        }
    }

    /// Waits until it is time for the row after `sent` others; `meanwhile` is called often.
    fn wait(&mut self, column: Option<&str>, text: &[u8], sent: u64, meanwhile: impl Fn()) {
        let due = match self.pace {
            Pace::Unlimited => return,
            Pace::Rate(rate) => Duration::from_secs_f64(sent as f64 / rate.max(1) as f64),
            Pace::Speed(factor) => {
                let time = column.and_then(|name| find_field(text, name));
                let Some(time) = time.as_deref().and_then(event_time) else { return };
                let first = *self.first_event.get_or_insert(time);
                let passed_us = time.0.saturating_sub(first.0).max(0) as f64;
                let seconds = passed_us / 1e6 / factor.max(1e-9);
                Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
            }
        };
        loop {
            let left = due.saturating_sub(monotonic().duration_since(self.started));
            if left < Duration::from_millis(1) {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
            meanwhile();
        }
    }
}

/// RFC 3339, or a number of s, ms or µs since the epoch, told apart by its size.
fn event_time(text: &[u8]) -> Option<EventTime> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(number) = text.parse::<i64>() {
        return Some(EventTime(match number.unsigned_abs() {
            0..100_000_000_000 => number.saturating_mul(1_000_000),
            100_000_000_000..100_000_000_000_000 => number.saturating_mul(1_000),
            _ => number,
        }));
    }
    EventTime::parse(text)
}

#[cfg(test)]
mod tests;
