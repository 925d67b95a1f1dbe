//! A Kafka topic as a log. Reads with positions of our own (never the consumer group's), only
//! committed records, and never jumps: an offset that is gone is an error that names the gap.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::catalog::source::{SourceDef, StartupMode};
use crate::error::{Error, Result};
use crate::format::render::write_text;
use crate::model::batch::Position;
use crate::model::time::{EventTime, format_duration};

use super::broker::{
    BrokerContext, OnStatus, SourceStatus, broker_error, client_config, is_passing, servers,
    topic_settings,
};
use super::records::{Messages, Records};
use super::source::{Chunk, Polled, Source};

/// How long a question to the brokers may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes taken in one poll.
const POLL_BYTES: usize = 32 << 20;
const DEFAULTS: [(&str, &str); 8] = [
    ("group.id", "skewless"),
    ("isolation.level", "read_committed"),
    ("queued.max.messages.kbytes", "131072"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.error.backoff.ms", "200"),
    ("fetch.wait.max.ms", "50"),
    ("reconnect.backoff.max.ms", "2000"),
    ("topic.metadata.refresh.interval.ms", "60000"),
];
const FORCED: [(&str, &str); 4] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
];

/// What is known of a partition that is read.
#[derive(Clone, Copy, Debug)]
struct Track {
    next: i64,
    /// The end as `ends` saw it last.
    end: i64,
    at_end: bool,
    /// Read again from here to make sure that nothing visible is left before `end`.
    rechecked: Option<i64>,
}

/// Reads one topic.
pub struct KafkaSource {
    topic: String,
    startup: StartupMode,
    bytes_max: usize,
    max_future_us: i64,
    config: ClientConfig,
    consumer: BaseConsumer<BrokerContext>,
    partitions: Vec<u32>,
    tracks: BTreeMap<u32, Track>,
    on_status: Option<OnStatus>,
    down: bool,
}

impl KafkaSource {
    /// Connects; an error within seconds if no broker answers or the topic does not exist.
    pub fn new(def: &SourceDef, on_status: Option<OnStatus>) -> Result<Self> {
        Self::connect(def, on_status, ANSWER_TIMEOUT)
    }

    fn connect(def: &SourceDef, on_status: Option<OnStatus>, timeout: Duration) -> Result<Self> {
        let options = &def.options;
        let topic = options.topic.clone().ok_or_else(|| {
            Error::usage(format!("source '{}' needs the option 'topic'", def.name))
        })?;
        let config = client_config(&options.properties, &DEFAULTS, &FORCED)?;
        let context = BrokerContext::default();
        let consumer = BaseConsumer::from_config_and_context(&config, context)
            .map_err(|e| broker_error(&e, "cannot use Kafka", &BrokerContext::default()))?;
        let mut source = Self {
            topic,
            startup: options.startup,
            bytes_max: options.message_bytes_max,
            max_future_us: options.max_future_us,
            config,
            consumer,
            partitions: Vec::new(),
            tracks: BTreeMap::new(),
            on_status,
            down: false,
        };
        source.discover(timeout)?;
        Ok(source)
    }

    /// A warning if the future guard cannot help on this topic (semantics §1): its timestamps are
    /// the producers' own, and the broker accepts any of them.
    pub fn timestamp_warning(&self) -> Result<Option<String>> {
        let names = ["message.timestamp.type", "message.timestamp.after.max.ms"];
        let settings = topic_settings(&self.config, &self.topic, &names)?;
        let value = |name: &str| settings.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        if value("message.timestamp.type") == Some("LogAppendTime") {
            return Ok(None);
        }
        let after_ms = value("message.timestamp.after.max.ms").and_then(|v| v.parse::<i64>().ok());
        if after_ms.is_some_and(|ms| ms <= self.max_future_us / 1_000) {
            return Ok(None);
        }
        let (topic, guard) = (&self.topic, format_duration(self.max_future_us));
        Ok(Some(format!(
            "topic '{topic}' keeps the producers' own timestamps (message.timestamp.type = \
             CreateTime) and accepts any of them: 'max_future' = {guard} cannot catch a producer \
             with a wrong clock. Set message.timestamp.type = LogAppendTime, or a small \
             message.timestamp.after.max.ms, on the topic."
        )))
    }

    fn context(&self) -> &BrokerContext {
        self.consumer.client().context()
    }

    fn no_answer(&self, error: &KafkaError) -> Error {
        let servers = servers(&self.config);
        let what = format!("Kafka at '{servers}' does not answer");
        broker_error(error, &what, self.context())
            .with_hint("is the broker running, and 'properties.bootstrap.servers' right?")
    }

    /// Looks up the partitions of the topic.
    fn discover(&mut self, timeout: Duration) -> Result<()> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(&self.topic), timeout)
            .map_err(|e| self.no_answer(&e))?;
        let topic = metadata.topics().iter().find(|t| t.name() == self.topic);
        let mut partitions: Vec<u32> = topic
            .map(|t| t.partitions().iter().filter_map(|p| u32::try_from(p.id()).ok()).collect())
            .unwrap_or_default();
        if partitions.is_empty() {
            let error = topic.and_then(|t| t.error()).map(RDKafkaErrorCode::from);
            return Err(self.no_topic(error));
        }
        partitions.sort_unstable();
        self.partitions = partitions;
        Ok(())
    }

    fn no_topic(&self, code: Option<RDKafkaErrorCode>) -> Error {
        let (topic, servers) = (&self.topic, servers(&self.config));
        match code {
            Some(code) if is_passing(code) => {
                Error::unavailable(format!("topic '{topic}' at '{servers}': {code}"))
            }
            Some(code)
                if !matches!(
                    code,
                    RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition
                ) =>
            {
                Error::usage(format!("topic '{topic}' at '{servers}': {code}"))
            }
            _ => Error::data(format!("there is no topic '{topic}' at '{servers}'")).with_hint(
                format!("create it, for example: skewless produce FILE --topic {topic}"),
            ),
        }
    }

    /// (first offset that is still there, end)
    fn watermarks(&self, partition: u32) -> Result<(i64, i64)> {
        self.consumer
            .fetch_watermarks(&self.topic, partition.cast_signed(), ANSWER_TIMEOUT)
            .map_err(|e| self.no_answer(&e))
    }

    fn starts_at(&self, ms: i64) -> Result<Vec<Position>> {
        let mut wanted = TopicPartitionList::new();
        for partition in &self.partitions {
            let at = Offset::Offset(ms);
            wanted
                .add_partition_offset(&self.topic, partition.cast_signed(), at)
                .map_err(|e| self.no_answer(&e))?;
        }
        let found = self
            .consumer
            .offsets_for_times(wanted, ANSWER_TIMEOUT)
            .map_err(|e| self.no_answer(&e))?;
        let mut positions = Vec::with_capacity(self.partitions.len());
        for element in found.elements() {
            element.error().map_err(|e| self.no_answer(&e))?;
            let partition = element.partition().cast_unsigned();
            let offset = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => self.watermarks(partition)?.1,
            };
            positions.push(Position { partition, offset });
        }
        positions.sort();
        Ok(positions)
    }

    fn report(&mut self, status: SourceStatus) {
        let down = matches!(status, SourceStatus::Down(_));
        if down || self.down {
            self.down = down;
            if let Some(report) = &self.on_status {
                report(status);
            }
        }
    }

    /// An event of the consumer that is not a record.
    fn event(&mut self, error: &KafkaError, polled: &mut Polled) -> Result<()> {
        use RDKafkaErrorCode as C;
        if let KafkaError::PartitionEOF(partition) = error {
            return self.end_of_partition(partition.cast_unsigned(), polled);
        }
        match error.rdkafka_error_code() {
            Some(C::AutoOffsetReset | C::OffsetOutOfRange) => Err(self.gap()),
            Some(code @ (C::UnknownTopic | C::UnknownTopicOrPartition | C::UnknownPartition)) => {
                Err(self.no_topic(Some(code)))
            }
            Some(code) if is_passing(code) => {
                let text = self.no_answer(error).message().to_owned();
                self.report(SourceStatus::Down(text));
                Ok(())
            }
            _ => {
                let what = format!("reading topic '{}'", self.topic);
                Err(broker_error(error, &what, self.context()))
            }
        }
    }

    /// Which records are gone.
    fn gap(&self) -> Error {
        let topic = &self.topic;
        for (partition, track) in &self.tracks {
            let Ok((low, high)) = self.watermarks(*partition) else { continue };
            let next = track.next;
            if next < low {
                return Error::data(format!(
                    "topic '{topic}', partition {partition}: offsets {next} to {} are gone; the \
                     oldest record left has offset {low}",
                    low - 1
                ))
                .with_hint("the topic's retention removed them before they were read");
            }
            if next > high {
                return Error::data(format!(
                    "topic '{topic}', partition {partition}: offset {next} was read before, but \
                     the log ends at {high}"
                ))
                .with_hint("was the topic deleted and made anew? Then start with a fresh home");
            }
        }
        Error::data(format!("topic '{topic}': the next offset of a partition is gone"))
    }

    /// The consumer stands at the end of a partition. What lies between our position and the end
    /// seen before can only be markers and aborted records, but the news may be older than that
    /// end: so it is asked for again once.
    fn end_of_partition(&mut self, partition: u32, polled: &mut Polled) -> Result<()> {
        let Some(track) = self.tracks.get_mut(&partition) else { return Ok(()) };
        if track.next >= track.end {
            track.at_end = true;
        } else if track.rechecked == Some(track.next) {
            (track.next, track.at_end) = (track.end, true);
            let records = Records::Messages(Messages::default());
            polled.chunks.push(Chunk { partition, records, next_offset: track.end });
        } else {
            track.rechecked = Some(track.next);
            let at = Offset::Offset(track.next);
            let again =
                self.consumer.seek(&self.topic, partition.cast_signed(), at, ANSWER_TIMEOUT);
            again.map_err(|e| self.no_answer(&e))?;
        }
        Ok(())
    }
}

/// Copies a record. Ours are the first 120 bytes of what is oversize.
fn take(messages: &mut Messages, message: &BorrowedMessage<'_>, bytes_max: usize) {
    messages.push(message.offset(), message.payload(), bytes_max);
    messages.set_key(message.key());
    let ms = message.timestamp().to_millis();
    messages.set_timestamp(ms.filter(|ms| *ms >= 0).map(|ms| EventTime(ms.saturating_mul(1_000))));
    if let Some(headers) = message.headers() {
        messages.set_headers(&headers_json(headers));
    }
}

/// `[["name", "text"], …]` in the order of the record (names may repeat); a value that is not
/// text is `{"base64": "…"}`.
fn headers_json(headers: &impl Headers) -> Vec<u8> {
    use base64::Engine as _;
    let mut out = vec![b'['];
    for header in headers.iter() {
        if out.len() > 1 {
            out.push(b',');
        }
        out.push(b'[');
        write_text(header.key, &mut out);
        out.push(b',');
        match header.value.map(|value| (value, std::str::from_utf8(value))) {
            None => out.extend_from_slice(b"null"),
            Some((_, Ok(text))) => write_text(text, &mut out),
            Some((bytes, Err(_))) => {
                out.extend_from_slice(b"{\"base64\":");
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                write_text(&text, &mut out);
                out.push(b'}');
            }
        }
        out.push(b']');
    }
    out.push(b']');
    out
}

impl Source for KafkaSource {
    fn partitions(&self) -> Vec<u32> {
        self.partitions.clone()
    }

    fn starts(&mut self) -> Result<Vec<Position>> {
        if let StartupMode::Timestamp(ms) = self.startup {
            return self.starts_at(ms);
        }
        let mut positions = Vec::with_capacity(self.partitions.len());
        for partition in self.partitions.clone() {
            let (low, high) = self.watermarks(partition)?;
            let offset = if self.startup == StartupMode::Latest { high } else { low };
            positions.push(Position { partition, offset });
        }
        Ok(positions)
    }

    fn ends(&mut self) -> Result<Vec<Position>> {
        self.discover(ANSWER_TIMEOUT)?;
        let mut positions = Vec::with_capacity(self.partitions.len());
        for partition in self.partitions.clone() {
            let (_, end) = self.watermarks(partition)?;
            if let Some(track) = self.tracks.get_mut(&partition) {
                track.end = track.end.max(end);
                if track.next < track.end && track.at_end {
                    // The end was announced before; it has to be announced again.
                    track.at_end = false;
                    track.rechecked = Some(track.next);
                    let at = Offset::Offset(track.next);
                    let (topic, id) = (&self.topic, partition.cast_signed());
                    let again = self.consumer.seek(topic, id, at, ANSWER_TIMEOUT);
                    again.map_err(|e| self.no_answer(&e))?;
                }
            }
            positions.push(Position { partition, offset: end });
        }
        Ok(positions)
    }

    fn seek(&mut self, positions: &[Position]) -> Result<()> {
        let mut assignment = TopicPartitionList::new();
        let ends: BTreeMap<u32, i64> = self.tracks.iter().map(|(p, t)| (*p, t.end)).collect();
        self.tracks.clear();
        for Position { partition, offset } in positions {
            let id = partition.cast_signed();
            assignment
                .add_partition_offset(&self.topic, id, Offset::Offset(*offset))
                .map_err(|e| self.no_answer(&e))?;
            let end = ends.get(partition).copied().unwrap_or(0);
            let track = Track { next: *offset, end, at_end: false, rechecked: None };
            self.tracks.insert(*partition, track);
        }
        self.consumer.assign(&assignment).map_err(|e| self.no_answer(&e))
    }

    fn poll(&mut self, rows_max: usize, timeout: Duration) -> Result<Polled> {
        let mut polled = Polled::default();
        let mut taken: BTreeMap<u32, Messages> = BTreeMap::new();
        let (mut rows, mut bytes, mut wait) = (0, 0, timeout);
        while rows < rows_max.max(1) && bytes < POLL_BYTES {
            let failure = match self.consumer.poll(wait) {
                None => break,
                Some(Err(error)) => error,
                Some(Ok(message)) => {
                    let partition = message.partition().cast_unsigned();
                    let Some(track) = self.tracks.get_mut(&partition) else { continue };
                    if message.offset() >= track.next {
                        take(taken.entry(partition).or_default(), &message, self.bytes_max);
                        (track.next, track.at_end) = (message.offset() + 1, false);
                        (rows, bytes) = (rows + 1, bytes + message.payload_len());
                    }
                    wait = Duration::ZERO;
                    continue;
                }
            };
            // What was read before the event belongs before it.
            self.hand_over(&mut taken, &mut polled);
            self.event(&failure, &mut polled)?;
            wait = Duration::ZERO;
            if self.tracks.values().all(|track| track.at_end) {
                break;
            }
        }
        self.hand_over(&mut taken, &mut polled);
        polled.end_of_input = self.tracks.values().all(|track| track.at_end);
        if !polled.chunks.is_empty() {
            self.report(SourceStatus::Up);
        }
        Ok(polled)
    }
}

impl KafkaSource {
    fn hand_over(&self, taken: &mut BTreeMap<u32, Messages>, polled: &mut Polled) {
        for (partition, messages) in std::mem::take(taken) {
            let last = messages.len().saturating_sub(1);
            let records = Records::Messages(messages);
            let next_offset = records.offset(last) + 1;
            polled.chunks.push(Chunk { partition, records, next_offset });
        }
    }
}

/// Opens the consumer with a shorter patience, for tests.
#[cfg(test)]
pub(crate) fn connect_within(def: &SourceDef, timeout: Duration) -> Result<KafkaSource> {
    KafkaSource::connect(def, None, timeout)
}

#[cfg(test)]
mod tests;
