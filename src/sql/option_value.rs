//! The types of option values: text → typed value, with an error that says what was expected.
//! Called by `options`; `catalog::define` reads the values.

use crate::error::{Error, Result};
use crate::model::time::{EventTime, parse_duration};
use crate::sql::diagnostic::{closest, quoted};

/// What kind of value an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionType {
    Text,
    Boolean,
    /// `30 seconds`; longer than zero.
    Duration,
    /// A whole number, 0 or more.
    Count,
    /// `1 MiB`; more than zero.
    Bytes,
    /// RFC 3339, or ms since the epoch.
    Timestamp,
    /// Column names, separated by commas.
    Columns,
    /// A place for files: a path, `file://…`, `s3://…`.
    Url,
    /// A [`Self::Url`], or one of these words.
    UrlOr(&'static [&'static str]),
    /// A [`Self::Url`], or `kafka:topic`.
    UrlOrTopic,
    /// A share: 0 or more, less than 1.
    Ratio,
    /// `embedded`, `none`, or a Redis URL.
    OnlineStore,
    /// The key of a hash in Redis: text with `{feature}`, `{key}` or `{column}`.
    KeyTemplate,
    /// One of these words; the second ones are not built yet.
    Choice(&'static [&'static str], &'static [&'static str]),
    /// A share of what happens, `sample 1%`: more than 0, at most all. Read as parts per million.
    Sample,
}

/// A checked value.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    Text(String),
    Boolean(bool),
    /// µs.
    Duration(i64),
    Count(u64),
    Bytes(usize),
    Timestamp(EventTime),
    Columns(Vec<String>),
    Ratio(f64),
}

impl OptionType {
    /// Reads an expanded value; the error has no span and does not quote it (the caller knows
    /// whether it may be shown).
    pub fn read(self, text: &str) -> Result<OptionValue> {
        let trimmed = text.trim();
        let lower = trimmed.to_ascii_lowercase();
        Ok(match self {
            Self::Text => OptionValue::Text(text.to_owned()),
            Self::Boolean => match lower.as_str() {
                "true" => OptionValue::Boolean(true),
                "false" => OptionValue::Boolean(false),
                _ => return Err(self.wrong()),
            },
            Self::Duration => match parse_duration(trimmed) {
                Some(us) if us > 0 => OptionValue::Duration(us),
                _ => return Err(self.wrong()),
            },
            Self::Count => OptionValue::Count(trimmed.parse().map_err(|_| self.wrong())?),
            Self::Bytes => OptionValue::Bytes(parse_bytes(trimmed).ok_or_else(|| self.wrong())?),
            Self::Timestamp => {
                OptionValue::Timestamp(parse_time(trimmed).ok_or_else(|| self.wrong())?)
            }
            Self::Columns => OptionValue::Columns(parse_columns(trimmed)?),
            Self::Url => OptionValue::Text(checked_url(trimmed)?),
            Self::UrlOr(words) if words.contains(&lower.as_str()) => OptionValue::Text(lower),
            Self::UrlOr(_) => OptionValue::Text(checked_url(trimmed)?),
            Self::UrlOrTopic => OptionValue::Text(match trimmed.strip_prefix("kafka:") {
                Some(topic) => format!("kafka:{}", checked_topic(topic)?),
                None => checked_url(trimmed)?,
            }),
            Self::Ratio => match trimmed.parse::<f64>() {
                Ok(share) if (0.0..1.0).contains(&share) => OptionValue::Ratio(share),
                _ => return Err(self.wrong()),
            },
            Self::OnlineStore => OptionValue::Text(checked_store(trimmed, &lower)?),
            Self::KeyTemplate => {
                check_template(text)?;
                OptionValue::Text(text.to_owned())
            }
            Self::Choice(built, later) => {
                if later.contains(&lower.as_str()) {
                    return Err(Error::not_yet(format!("'{lower}'"))
                        .with_hint(format!("{} can be used", built.join(", "))));
                }
                if !built.contains(&lower.as_str()) {
                    let error = self.wrong();
                    let near = closest(&lower, built.iter().chain(later).copied());
                    return Err(match near {
                        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                        None => error,
                    });
                }
                OptionValue::Text(lower)
            }
            Self::Sample => OptionValue::Count(parse_sample(&lower).ok_or_else(|| self.wrong())?),
        })
    }

    /// What a value looks like, for messages and SHOW OPTIONS.
    pub fn describe(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Duration => "a duration, as in '30 seconds'".to_owned(),
            Self::Count => "a whole number".to_owned(),
            Self::Bytes => "a size, as in '1 MiB'".to_owned(),
            Self::Timestamp => "a time in RFC 3339, or ms since the epoch".to_owned(),
            Self::Columns => "column names, separated by commas".to_owned(),
            Self::Url => "a path or URL".to_owned(),
            Self::UrlOr(words) => format!("a path or URL, or {}", words.join(", ")),
            Self::UrlOrTopic => "a path or URL, or kafka:topic".to_owned(),
            Self::Ratio => "a share from 0 to below 1, as in '0.05'".to_owned(),
            Self::OnlineStore => "embedded, none, or redis://…".to_owned(),
            Self::KeyTemplate => "text with {feature}, {key} or {column}".to_owned(),
            Self::Choice(built, later) => {
                let soon = later.iter().map(|word| format!("{word} (not yet)"));
                let all: Vec<String> = built.iter().map(|w| (*w).to_owned()).chain(soon).collect();
                all.join(", ")
            }
            Self::Sample => "a share, as in 'sample 1%' or '0.01'".to_owned(),
        }
    }

    fn wrong(self) -> Error {
        Error::usage(format!("expected {}", self.describe()))
    }
}

/// `1048576`, `1 MiB`, `512KB`: bytes, more than zero.
pub fn parse_bytes(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let unit: usize = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" | "byte" | "bytes" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

fn parse_time(text: &str) -> Option<EventTime> {
    match text.parse::<i64>() {
        Ok(ms) => ms.checked_mul(1_000).map(EventTime),
        Err(_) => EventTime::parse(text),
    }
}

/// Names separated by commas, folded as in SQL: `user_id, "Card No"`.
fn parse_columns(text: &str) -> Result<Vec<String>> {
    use sqlparser::tokenizer::Token;
    let wrong = || OptionType::Columns.wrong();
    let tokens = crate::sql::token::tokenize(text).map_err(|_| wrong())?;
    let mut columns: Vec<String> = Vec::new();
    for part in tokens.split(|t| t.token == Token::Comma) {
        match part {
            [one] => match &one.token {
                Token::Word(word) if columns.contains(&word.value) => {
                    return Err(Error::usage(format!("column {} twice", quoted(&word.value))));
                }
                Token::Word(word) => columns.push(word.value.clone()),
                _ => return Err(wrong()),
            },
            _ => return Err(wrong()),
        }
    }
    Ok(columns)
}

fn checked_url(text: &str) -> Result<String> {
    if text.is_empty() {
        return Err(OptionType::Url.wrong());
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        None if text.starts_with("kafka:") => Err(Error::not_yet("a Kafka topic ('kafka:…') here")
            .with_hint("give a directory or s3://…")),
        None | Some("file" | "s3") => Ok(text.to_owned()),
        Some(scheme @ ("gs" | "gcs" | "az" | "abfs" | "abfss" | "hdfs" | "http" | "https")) => {
            Err(Error::not_yet(format!("{scheme}:// locations"))
                .with_hint("use a path, file:// or s3://"))
        }
        Some(scheme) => Err(Error::usage(format!("unknown kind of location {}", quoted(scheme)))
            .with_hint("use a path, file:// or s3://")),
    }
}

/// `sample 1%`, `1%` or `0.01` as parts per million, 1 to all.
fn parse_sample(text: &str) -> Option<u64> {
    let text = text.strip_prefix("sample").unwrap_or(text).trim();
    let (number, parts) = match text.strip_suffix('%') {
        Some(number) => (number.trim(), 10_000.0),
        None => (text, 1_000_000.0),
    };
    let plain = |c: char| c.is_ascii_digit() || c == '.';
    let share = number.chars().all(plain).then(|| number.parse::<f64>().ok())??;
    let parts = (share * parts).round();
    (1.0..=1_000_000.0).contains(&parts).then_some(parts as u64)
}

/// A name that Kafka accepts for a topic.
fn checked_topic(name: &str) -> Result<&str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 249 || matches!(name, "." | "..") || !name.bytes().all(fits)
    {
        return Err(Error::usage("expected kafka: and the name of a topic")
            .with_hint("letters, digits, '.', '_' and '-', as in 'kafka:transactions.dead'"));
    }
    Ok(name)
}

fn checked_store(text: &str, lower: &str) -> Result<String> {
    if matches!(lower, "embedded" | "none") {
        return Ok(lower.to_owned());
    }
    let rest = lower.strip_prefix("redis://").or_else(|| lower.strip_prefix("rediss://"));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
        _ => {
            let error = OptionType::OnlineStore.wrong();
            Err(match closest(lower, ["embedded", "none"]) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error.with_hint("redis://host:6379/0, or rediss:// with TLS"),
            })
        }
    }
}

/// Braces are paired and hold names.
fn check_template(text: &str) -> Result<()> {
    let error = |what: &str| {
        Err(Error::usage(format!("{what} in the template")).with_hint("{feature}:{key}"))
    };
    let mut rest = text;
    let mut names = 0;
    while let Some(at) = rest.find(['{', '}']) {
        let (_, tail) = rest.split_at(at);
        let Some(body) = tail.strip_prefix('{') else { return error("'}' without its '{'") };
        let Some((name, after)) = body.split_once('}') else {
            return error("'{' without its '}'");
        };
        if name.is_empty() || name.contains('{') {
            return error("'{' without a name");
        }
        (names, rest) = (names + 1, after);
    }
    if names == 0 { error("no {key}") } else { Ok(()) }
}
