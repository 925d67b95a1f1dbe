//! A Kafka topic as a log. Reads with positions of our own (never the consumer group's), only
//! committed records, and never jumps: an offset that is gone is an error that names the gap.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::catalog::source::{SourceDef, StartupMode};
use crate::error::{Error, Kind, Result};
use crate::model::batch::Position;
use crate::model::time::format_duration;

use super::admit::Gap;
use super::broker::{
    BrokerContext, OnStatus, SourceStatus, broker_error, client_config, is_passing, servers,
    topic_settings,
};
use super::records::{Messages, Records};
use super::source::{Chunk, Polled, Source};
use record::take;

mod record;

/// How long a question to the brokers may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes taken in one poll.
const POLL_BYTES: usize = 32 << 20;
const DEFAULTS: [(&str, &str); 9] = [
    ("group.id", "skewless"),
    ("isolation.level", "read_committed"),
    ("queued.max.messages.kbytes", "131072"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.error.backoff.ms", "200"),
    ("fetch.wait.max.ms", "50"),
    ("reconnect.backoff.max.ms", "2000"),
    // How soon partitions that appear are noticed.
    ("topic.metadata.refresh.interval.ms", "10000"),
    // How often `ends_heard` has news.
    ("statistics.interval.ms", "1000"),
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
    /// What `ends` said last, also before anything is read.
    ends: BTreeMap<u32, i64>,
    on_status: Option<OnStatus>,
    skip_gaps: bool,
    /// Why nothing comes, while that is so.
    trouble: Option<String>,
    /// A question to the brokers was not answered: everything is assigned anew and asked again.
    reassign: bool,
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
            ends: BTreeMap::new(),
            on_status,
            skip_gaps: options.skip_gaps,
            trouble: None,
            reassign: false,
        };
        source.partitions = source.discover(timeout)?;
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
    fn discover(&self, timeout: Duration) -> Result<Vec<u32>> {
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
        Ok(partitions)
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
        let trouble = match &status {
            SourceStatus::Down(why) => Some(why.clone()),
            SourceStatus::Up => None,
        };
        if trouble.is_some() || self.trouble.is_some() {
            self.trouble = trouble;
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
            Some(C::AutoOffsetReset | C::OffsetOutOfRange) => self.gap(polled),
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

    /// Records are gone that were to be read next: an error that says which, or, with `on_gap`
    /// skip, the next ones that are still there.
    fn gap(&mut self, polled: &mut Polled) -> Result<()> {
        let topic = &self.topic;
        let mut found = Vec::new();
        for (partition, track) in &self.tracks {
            let (low, high) = self.watermarks(*partition)?;
            let next = track.next;
            if next > high {
                return Err(Error::data(format!(
                    "topic '{topic}', partition {partition}: offset {next} was read before, but \
                     the log ends at {high}"
                ))
                .with_hint("was the topic deleted and made anew? Then start with a fresh home"));
            }
            if next < low {
                found.push(Gap { partition: *partition, from: next, to: low });
            }
        }
        let Some(Gap { partition, from, to }) = found.first().filter(|_| !self.skip_gaps) else {
            return self.skip(found, polled);
        };
        Err(Error::data(format!(
            "topic '{topic}', partition {partition}: offset {from} is wanted, but the earliest \
             one left is {to}: {} offsets were deleted before they were read",
            to - from
        ))
        .with_hint(
            "the topic's retention is shorter than the engine was away; 'on_gap' = 'skip' goes on \
             at the earliest one and records the gap",
        ))
    }

    /// Goes on behind the gaps.
    fn skip(&mut self, gaps: Vec<Gap>, polled: &mut Polled) -> Result<()> {
        for gap in gaps {
            let Gap { partition, from, to } = gap;
            tracing::warn!(
                "topic '{}', partition {partition}: offsets {from} to {} were deleted before they \
                 were read; skipped",
                self.topic,
                to - 1
            );
            if let Some(track) = self.tracks.get_mut(&partition) {
                track.next = to;
            }
            let records = Records::Messages(Messages::default());
            polled.chunks.push(Chunk { partition, records, next_offset: to });
            polled.gaps.push(gap);
        }
        // The consumer has given up on these partitions.
        self.assign_anew()
    }

    /// Goes on in one partition with everything fetched ahead forgotten, so that its end is
    /// announced again.
    fn fetch_anew(&self, partition: u32, next: i64) -> Result<()> {
        let mut one = TopicPartitionList::new();
        one.add_partition_offset(&self.topic, partition.cast_signed(), Offset::Offset(next))
            .and_then(|()| self.consumer.incremental_unassign(&one))
            .and_then(|()| self.consumer.incremental_assign(&one))
            .map_err(|e| self.no_answer(&e))
    }

    /// Goes on from where reading is, with everything fetched ahead forgotten.
    fn assign_anew(&mut self) -> Result<()> {
        self.reassign = false;
        let positions = self
            .tracks
            .iter()
            .map(|(partition, track)| Position { partition: *partition, offset: track.next });
        self.seek(&positions.collect::<Vec<_>>())
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
            let next = track.next;
            self.fetch_anew(partition, next)?;
        }
        Ok(())
    }
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
        let mut positions = Vec::with_capacity(self.partitions.len());
        for partition in self.partitions.clone() {
            let (_, end) = self.watermarks(partition)?;
            self.ends.insert(partition, end);
            if let Some(track) = self.tracks.get_mut(&partition) {
                track.end = track.end.max(end);
                if track.next < track.end && track.at_end {
                    // The end was announced before; it has to be announced again.
                    track.at_end = false;
                    track.rechecked = Some(track.next);
                    let next = track.next;
                    self.fetch_anew(partition, next)?;
                }
            }
            positions.push(Position { partition, offset: end });
        }
        Ok(positions)
    }

    fn seek(&mut self, positions: &[Position]) -> Result<()> {
        let mut assignment = TopicPartitionList::new();
        self.tracks.clear();
        for Position { partition, offset } in positions {
            let id = partition.cast_signed();
            assignment
                .add_partition_offset(&self.topic, id, Offset::Offset(*offset))
                .map_err(|e| self.no_answer(&e))?;
            let end = self.ends.get(partition).copied().unwrap_or(0);
            let track = Track { next: *offset, end, at_end: false, rechecked: None };
            self.tracks.insert(*partition, track);
        }
        self.consumer.assign(&assignment).map_err(|e| self.no_answer(&e))
    }

    fn poll(&mut self, rows_max: usize, timeout: Duration) -> Result<Polled> {
        if self.reassign {
            self.assign_anew()?;
        }
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
            match self.event(&failure, &mut polled) {
                Err(error) if error.kind() == Kind::Unavailable => {
                    self.report(SourceStatus::Down(error.message().to_owned()));
                    self.reassign = true;
                    break;
                }
                done => done?,
            }
            wait = Duration::ZERO;
            if self.tracks.values().all(|track| track.at_end) {
                break;
            }
        }
        self.hand_over(&mut taken, &mut polled);
        polled.end_of_input = self.tracks.values().all(|track| track.at_end);
        if !polled.chunks.is_empty() && !self.reassign {
            self.report(SourceStatus::Up);
        }
        Ok(polled)
    }

    fn oldest(&mut self) -> Result<Vec<Position>> {
        let each = self.partitions.iter().map(|partition| {
            let (low, _) = self.watermarks(*partition)?;
            Ok(Position { partition: *partition, offset: low })
        });
        each.collect()
    }

    fn ends_heard(&self) -> Vec<Position> {
        let heard = self.context().heard();
        let read = heard.into_iter().filter(|(partition, _)| self.tracks.contains_key(partition));
        read.filter_map(|(partition, end)| Some(Position { partition, offset: end? })).collect()
    }

    fn at_end(&self, partition: u32) -> bool {
        self.tracks.get(&partition).is_some_and(|track| track.at_end)
    }

    fn gained(&mut self) -> Result<Vec<Position>> {
        let heard = self.context().heard();
        let new = heard.into_keys().filter(|partition| !self.partitions.contains(partition));
        let mut gained = Vec::new();
        for partition in new.collect::<Vec<_>>() {
            let (offset, _) = self.watermarks(partition)?;
            gained.push(Position { partition, offset });
        }
        Ok(gained)
    }

    fn add(&mut self, gained: &[Position]) -> Result<()> {
        let mut more = TopicPartitionList::new();
        for Position { partition, offset } in gained {
            let id = partition.cast_signed();
            more.add_partition_offset(&self.topic, id, Offset::Offset(*offset))
                .map_err(|e| self.no_answer(&e))?;
        }
        self.consumer.incremental_assign(&more).map_err(|e| self.no_answer(&e))?;
        for Position { partition, offset } in gained {
            let track = Track { next: *offset, end: *offset, at_end: false, rechecked: None };
            self.tracks.insert(*partition, track);
            self.partitions.push(*partition);
        }
        self.partitions.sort_unstable();
        Ok(())
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.clone()
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
