//! The one table of WITH options. SHOW OPTIONS, `--help` and the documentation are printed from
//! it; [`Options::check`] reads the options of a definition with it. What is not in the table is
//! an error, what is in it and not built is refused: no option is accepted and ignored.

use crate::error::{Error, Result, Span};
use crate::sql::ast::RawOption;
use crate::sql::diagnostic::{closest, quoted};
use crate::sql::expand::{Env, expand};
use crate::sql::option_value::{OptionType, OptionValue};
use crate::sql::printer::is_secret;

/// What an option is an option of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppliesTo {
    Source,
    Feature,
}

impl AppliesTo {
    pub fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Feature => "feature",
        }
    }
}

/// One option. A name that ends in `*` stands for all that begin so.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    pub name: &'static str,
    pub applies_to: AppliesTo,
    /// The connectors that know it; empty = all.
    pub connectors: &'static [&'static str],
    pub value_type: OptionType,
    /// As it would be written; `None` = nothing unless given (`doc` says what that means).
    pub default: Option<&'static str>,
    pub doc: &'static str,
    /// `Some(what)`: named by the interface, refused until built.
    pub not_yet: Option<&'static str>,
}

use OptionType as T;

const fn source(name: &'static str, value_type: T, doc: &'static str) -> OptionSpec {
    let applies_to = AppliesTo::Source;
    OptionSpec { name, applies_to, connectors: &[], value_type, default: None, doc, not_yet: None }
}

const fn feature(name: &'static str, value_type: T, doc: &'static str) -> OptionSpec {
    OptionSpec { applies_to: AppliesTo::Feature, ..source(name, value_type, doc) }
}

impl OptionSpec {
    const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn only(self, connectors: &'static [&'static str]) -> Self {
        Self { connectors, ..self }
    }

    const fn not_yet(self, what: &'static str) -> Self {
        Self { not_yet: Some(what), ..self }
    }

    fn matches(&self, key: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => key.len() > prefix.len() && key.starts_with(prefix),
            None => self.name == key,
        }
    }

    /// `built`, or `not yet`.
    pub fn status(&self) -> &'static str {
        if self.not_yet.is_some() { "not yet" } else { "built" }
    }
}

const KAFKA: &[&str] = &["kafka"];
/// Sources that are not files already.
const STREAMS: &[&str] = &["kafka", "datagen"];
const DATAGEN: &[&str] = &["datagen"];
const DECODING: &[&str] = &["kafka", "file"];

/// Every option there is.
pub static OPTIONS: &[OptionSpec] = &[
    source(
        "connector",
        T::Choice(&["kafka", "file", "datagen"], &["redis_stream"]),
        "where the records come from; required",
    ),
    source("path", T::Url, "URL, directory or glob of the files; required").only(&["file"]),
    source("topic", T::Text, "the Kafka topic; required").only(KAFKA),
    source(
        "properties.*",
        T::Text,
        "given to librdkafka as it is; properties.bootstrap.servers is required",
    )
    .only(KAFKA),
    source(
        "scan.startup.mode",
        T::Choice(&["earliest-offset", "latest-offset", "timestamp"], &[]),
        "where reading starts the first time",
    )
    .only(KAFKA)
    .default("earliest-offset"),
    source(
        "scan.startup.timestamp",
        T::Timestamp,
        "with mode 'timestamp': start at the first record at or after it",
    )
    .only(KAFKA),
    source(
        "partitioned.by",
        T::Columns,
        "equal values of these columns are always in one partition; no exchange is needed then",
    ),
    source(
        "format",
        T::Choice(&["json", "csv", "parquet"], &["avro", "protobuf"]),
        "how records are written",
    )
    .only(DECODING)
    .default("json"),
    source(
        "json.timestamp",
        T::Choice(&["rfc3339", "epoch_s", "epoch_ms", "epoch_us"], &[]),
        "how timestamps are written",
    )
    .only(DECODING)
    .default("rfc3339"),
    source("json.coerce", T::Boolean, "\"5\" is read as 5, and 5 as text")
        .only(DECODING)
        .default("false"),
    source(
        "json.nonfinite",
        T::Choice(&["reject", "accept"], &[]),
        "whether \"NaN\", \"inf\" and 1e999 are read as floats",
    )
    .only(DECODING)
    .default("reject"),
    source(
        "json.unknown",
        T::Choice(&["ignore", "reject"], &[]),
        "what happens to records with undeclared fields",
    )
    .only(DECODING)
    .default("ignore"),
    source(
        "history",
        T::Url,
        "URL of Parquet history, read by backfill and training sets; files: their path",
    ),
    source("archive", T::Boolean, "write the admitted rows to 'history'")
        .only(STREAMS)
        .default("false"),
    source(
        "dead_letter",
        T::UrlOrTopic,
        "URL or kafka:topic for what is not admitted; else <home>/dead_letter/",
    ),
    source(
        "dead_letter.max_ratio",
        T::Ratio,
        "stop when a larger share of a partition's last 1,000 records is not admitted",
    ),
    source(
        "max_future",
        T::Duration,
        "records whose event time is further ahead of their Kafka timestamp are dead letters",
    )
    .only(KAFKA)
    .default("1 hour"),
    source("idle_timeout", T::Duration, "a partition without records for so long is named")
        .default("1 minute"),
    source(
        "idle",
        T::Choice(&["wait", "advance"], &[]),
        "an idle partition holds time back, or time goes on without it",
    )
    .default("wait"),
    source(
        "on_gap",
        T::Choice(&["fail", "skip"], &[]),
        "what happens when records were deleted before they were read",
    )
    .only(KAFKA)
    .default("fail"),
    source("message.max_bytes", T::Bytes, "longer messages are dead letters")
        .only(DECODING)
        .default("1 MiB"),
    source(
        "generator",
        T::Choice(&["names", "nexmark_person", "nexmark_auction", "nexmark_bid"], &[]),
        "what is made: values by the names and types of the columns, or a stream of Nexmark",
    )
    .only(DATAGEN)
    .default("names"),
    source("rows", T::Count, "how many rows to make; else without end").only(DATAGEN),
    source("rate", T::Count, "rows per second; else as fast as possible").only(DATAGEN),
    source("seed", T::Count, "equal seeds make equal rows").only(DATAGEN).default("0"),
    feature("online", T::OnlineStore, "where current values are kept").default("embedded"),
    feature("online.key", T::KeyTemplate, "key of an entity in Redis").default("{feature}:{key}"),
    feature("offline", T::UrlOr(&["none"]), "where final rows go; else <home>/offline/"),
    feature("offline.interval", T::Duration, "how often final rows are written")
        .default("5 minutes"),
    feature("ttl", T::Duration, "values of entities without rows for so long are NULL"),
    feature("refresh", T::Duration, "how soon values in Redis follow rows that leave a frame")
        .default("1 minute"),
    feature(
        "bootstrap",
        T::Choice(&["none", "history"], &[]),
        "a new feature starts with what its source admitted before",
    )
    .default("none"),
    feature("freshness.slo", T::Text, "how old values may be before an alarm")
        .not_yet("freshness alarms"),
    feature("log", T::Sample, "share of the values served that is kept in <home>/log/"),
    feature("description", T::Text, "what it is, for people"),
    feature("owner", T::Text, "who answers for it"),
    feature("tags", T::Text, "words to find it by"),
];

/// The options of one definition, checked one by one; combinations are the caller's.
#[derive(Debug)]
pub struct Options {
    applies_to: AppliesTo,
    given: Vec<Given>,
}

#[derive(Debug)]
struct Given {
    spec: &'static OptionSpec,
    raw: RawOption,
    value: OptionValue,
}

impl Options {
    /// Checks names and values; `${…}` is expanded with `env`.
    pub fn check(applies_to: AppliesTo, raw: &[RawOption], env: Env<'_>) -> Result<Self> {
        let given = raw.iter().map(|option| check_one(applies_to, option, env));
        Ok(Self { applies_to, given: given.collect::<Result<_>>()? })
    }

    /// The value of an option, its default if not given.
    pub fn value(&self, name: &str) -> Option<OptionValue> {
        match self.given(name) {
            Some(given) => Some(given.value.clone()),
            None => {
                let spec = find(self.applies_to, name)?;
                spec.default.and_then(|text| spec.value_type.read(text).ok())
            }
        }
    }

    pub fn text(&self, name: &str) -> Option<String> {
        match self.value(name) {
            Some(OptionValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether it is given, default or not.
    pub fn is_given(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// Names and values of the given options that begin with `prefix`, without it.
    pub fn with_prefix(&self, prefix: &str) -> Vec<(String, String)> {
        let matching = self.given.iter().filter_map(|given| {
            let name = given.raw.key.value.strip_prefix(prefix)?;
            match &given.value {
                OptionValue::Text(text) => Some((name.to_owned(), text.clone())),
                _ => None,
            }
        });
        matching.collect()
    }

    /// Where the key of an option stands.
    pub fn key_span(&self, name: &str) -> Option<Span> {
        self.given(name).map(|given| given.raw.key.span)
    }

    /// Where the value of an option stands.
    pub fn value_span(&self, name: &str) -> Option<Span> {
        self.given(name).map(|given| given.raw.value.span)
    }

    /// Refuses options that this connector does not know.
    pub fn check_connector(&self, connector: &str) -> Result<()> {
        for given in &self.given {
            let known = given.spec.connectors;
            if !known.is_empty() && !known.contains(&connector) {
                return Err(Error::usage(format!(
                    "option {} is for 'connector' = '{}', not '{connector}'",
                    quoted(&given.raw.key.value),
                    known.join("' or '"),
                ))
                .with_span(given.raw.key.span));
            }
        }
        Ok(())
    }

    fn given(&self, name: &str) -> Option<&Given> {
        self.given.iter().find(|given| given.raw.key.value == name)
    }
}

fn find(applies_to: AppliesTo, key: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|spec| spec.applies_to == applies_to && spec.matches(key))
}

fn check_one(applies_to: AppliesTo, raw: &RawOption, env: Env<'_>) -> Result<Given> {
    let key = raw.key.value.as_str();
    let spec =
        find(applies_to, key).ok_or_else(|| unknown(applies_to, key).with_span(raw.key.span))?;
    if let Some(what) = spec.not_yet {
        return Err(Error::not_yet(format!("'{key}' ({what})")).with_span(raw.key.span));
    }
    let located = |error: Error| error.with_span(raw.value.span);
    let expanded = expand(&raw.value.value, env).map_err(located)?;
    let value = spec.value_type.read(&expanded).map_err(|error| {
        let shown = if is_secret(key) { "'***'".to_owned() } else { quoted(&raw.value.value) };
        let own = match error.message().strip_prefix("expected ") {
            Some(expected) => {
                let mut own =
                    Error::usage(format!("option '{key}' is {shown}, expected {expected}"));
                if let Some(hint) = error.hint() {
                    own = own.with_hint(hint);
                }
                own
            }
            None if error.kind() == crate::error::Kind::NotSupported => with_option(&error, key),
            None => error.context(format!("option '{key}'")),
        };
        located(own)
    })?;
    Ok(Given { spec, raw: raw.clone(), value })
}

/// `not supported yet: 'avro'` → `not supported yet: 'format' = 'avro'`.
fn with_option(error: &Error, key: &str) -> Error {
    let what = error.message().trim_start_matches("not supported yet: ");
    let equals = if what.starts_with('\'') { " = " } else { ": " };
    let own = Error::not_yet(format!("'{key}'{equals}{what}"));
    match error.hint() {
        Some(hint) => own.with_hint(hint),
        None => own,
    }
}

fn unknown(applies_to: AppliesTo, key: &str) -> Error {
    let error = Error::usage(format!("a {} has no option {}", applies_to.word(), quoted(key)));
    let other = match applies_to {
        AppliesTo::Source => AppliesTo::Feature,
        AppliesTo::Feature => AppliesTo::Source,
    };
    if find(other, key).is_some() {
        return error.with_hint(format!("it is an option of a {}", other.word()));
    }
    let names = OPTIONS.iter().filter(|spec| spec.applies_to == applies_to).map(|spec| spec.name);
    match closest(key, names) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None if key.starts_with("bootstrap") || key.contains("servers") => {
            error.with_hint(format!("did you mean 'properties.{key}'?"))
        }
        None => error.with_hint("SHOW OPTIONS lists them"),
    }
}

#[cfg(test)]
mod tests;
