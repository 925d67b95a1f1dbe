//! What a Kafka consumer and producer share: their configuration, log lines and errors. Secrets
//! in `properties.*` never reach a message.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientContext, consumer::ConsumerContext};
use serde::Deserialize;

use crate::error::{Error, Kind, Result};

/// What a source tells about itself while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceStatus {
    /// Records flow (again).
    Up,
    /// Something outside does not answer; reading is retried.
    Down(String),
}

/// Called when the status changes, from the thread that polls.
pub type OnStatus = Arc<dyn Fn(SourceStatus) + Send + Sync>;

/// Receives what librdkafka has to say.
#[derive(Default)]
pub struct BrokerContext {
    last_error: Mutex<Option<String>>,
    heard: Mutex<Heard>,
}

/// Partitions of a topic with their ends (exclusive), as librdkafka's statistics have them;
/// `None` where nothing has been fetched yet.
pub type Heard = BTreeMap<u32, Option<i64>>;

/// The part of the statistics that is read: the partitions of each topic.
#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: BTreeMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: BTreeMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    #[serde(default)]
    unknown: bool,
    /// The end for those who read committed records only; negative = not known.
    #[serde(default)]
    ls_offset: i64,
}

/// The partitions in a text of statistics; they are of one topic, we read no more of them with
/// one consumer.
fn heard(statistics: &[u8]) -> Option<Heard> {
    let statistics: Statistics = serde_json::from_slice(statistics).ok()?;
    let mut heard = Heard::new();
    for topic in statistics.topics.into_values() {
        for (id, partition) in topic.partitions {
            // librdkafka's own partition "-1" is no number of ours.
            let Ok(id) = id.parse() else { continue };
            if !partition.unknown {
                heard.insert(id, (partition.ls_offset >= 0).then_some(partition.ls_offset));
            }
        }
    }
    Some(heard)
}

impl BrokerContext {
    /// The newest trouble reported, for error messages.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().ok().and_then(|last| last.clone())
    }

    /// What the statistics said last; empty before the first ones.
    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for BrokerContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::debug!(target: "kafka", facility, "{message}"),
            _ => tracing::trace!(target: "kafka", facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "kafka", "{error}: {reason}");
        if let Ok(mut last) = self.last_error.lock() {
            *last = Some(reason.to_owned());
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(news) = heard(statistics) {
            *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = news;
        }
    }
}

impl ConsumerContext for BrokerContext {}

/// `properties.*` of a source over our defaults. `forced` pairs may not be set otherwise.
pub fn client_config(
    properties: &[(String, String)],
    defaults: &[(&str, &str)],
    forced: &[(&str, &str)],
) -> Result<ClientConfig> {
    let mut config = ClientConfig::new();
    config.set("client.id", "skewless");
    for (name, value) in defaults {
        config.set(*name, *value);
    }
    for (name, value) in properties {
        if forced.iter().any(|(fixed, to)| fixed == name && to != value) {
            return Err(Error::usage(format!("'properties.{name}' cannot be set to '{value}'"))
                .with_hint("skewless keeps the positions itself; leave the option out"));
        }
        config.set(name, value);
    }
    for (name, value) in forced {
        config.set(*name, *value);
    }
    if config.get("bootstrap.servers").is_none_or(str::is_empty) {
        return Err(Error::usage("the option 'properties.bootstrap.servers' is missing")
            .with_hint("for example 'properties.bootstrap.servers' = 'localhost:9092'"));
    }
    Ok(config)
}

/// The brokers as written, for messages.
pub fn servers(config: &ClientConfig) -> String {
    config.get("bootstrap.servers").unwrap_or_default().to_owned()
}

/// An error of librdkafka while doing `what`.
pub fn broker_error(error: &KafkaError, what: &str, context: &BrokerContext) -> Error {
    if let KafkaError::ClientConfig(_, description, name, _) = error {
        return Error::usage(format!("'properties.{name}': {description}"))
            .with_hint("the names are those of librdkafka's CONFIGURATION.md");
    }
    let reason = match (error.rdkafka_error_code(), context.last_error()) {
        (Some(code), Some(last)) if is_passing(code) => format!("{code} ({last})"),
        (Some(code), _) => code.to_string(),
        (None, _) => error.to_string(),
    };
    let kind = match error.rdkafka_error_code() {
        Some(code) if is_refusal(code) => Kind::Usage,
        _ => Kind::Unavailable,
    };
    Error::new(kind, format!("{what}: {reason}"))
}

/// Trouble that goes away by itself or by somebody repairing the broker.
pub fn is_passing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as C;
    !is_refusal(code)
        && !matches!(
            code,
            C::AutoOffsetReset
                | C::OffsetOutOfRange
                | C::UnknownTopic
                | C::UnknownTopicOrPartition
                | C::UnknownPartition
                | C::Fatal
        )
}

/// The broker answers, and refuses us.
pub fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        code,
        C::Authentication
            | C::SaslAuthenticationFailed
            | C::TopicAuthorizationFailed
            | C::GroupAuthorizationFailed
            | C::ClusterAuthorizationFailed
            | C::UnsupportedSASLMechanism
    )
}

/// An administration client with the connection of `config`.
pub fn admin(config: &ClientConfig) -> Result<AdminClient<BrokerContext>> {
    let mut plain = ClientConfig::new();
    // Consumer or producer settings would be warned about.
    let shared = ["bootstrap.", "security.", "sasl.", "ssl.", "socket.", "client.", "enable.ssl"];
    for (name, value) in config.config_map() {
        if shared.iter().any(|prefix| name.starts_with(prefix)) {
            plain.set(name, value);
        }
    }
    AdminClient::from_config_and_context(&plain, BrokerContext::default())
        .map_err(|e| broker_error(&e, "cannot use the brokers", &BrokerContext::default()))
}

/// Settings of a topic by name; names the topic does not have are left out.
pub fn topic_settings(
    config: &ClientConfig,
    topic: &str,
    names: &[&str],
) -> Result<Vec<(String, String)>> {
    let admin = admin(config)?;
    let what = format!("cannot read the settings of topic '{topic}'");
    let failed = |e: &KafkaError| broker_error(e, &what, admin.inner().context());
    let wanted = [ResourceSpecifier::Topic(topic)];
    let options = AdminOptions::new().request_timeout(Some(std::time::Duration::from_secs(10)));
    let answer = futures::executor::block_on(admin.describe_configs(wanted.iter(), &options))
        .map_err(|e| failed(&e))?;
    let mut settings = Vec::new();
    for resource in answer {
        let resource = resource.map_err(|code| failed(&KafkaError::AdminOp(code)))?;
        for name in names {
            if let Some(value) = resource.get(name).and_then(|entry| entry.value.clone()) {
                settings.push(((*name).to_owned(), value));
            }
        }
    }
    Ok(settings)
}
