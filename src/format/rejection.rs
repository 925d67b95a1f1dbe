//! Why a record was not admitted: the reason (what is counted) and the message (what a person
//! reads). Made by the decoders and by `source::admit`, kept in dead letters.

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};

use crate::limits::ERROR_VALUE_BYTES;

/// The verdicts that keep a record out, in the order in which they are tried (semantics §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Undecodable, wrong type, NULL in NOT NULL, null or empty value, oversize.
    Decode,
    /// The event time is missing, unparsable or out of range.
    EventTime,
    /// The event time is too far after the record's own timestamp.
    Future,
    /// Older than the watermark of its own partition.
    Late,
}

impl Reason {
    /// The reason of this text.
    pub fn of(text: &str) -> Option<Self> {
        let all = [Self::Decode, Self::EventTime, Self::Future, Self::Late];
        all.into_iter().find(|reason| reason.as_str() == text)
    }

    /// The text in dead letters, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::EventTime => "event_time",
            Self::Future => "future",
            Self::Late => "late",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The verdict on one record that is not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: Reason,
    pub message: String,
}

impl Rejection {
    pub fn decode(message: impl Into<String>) -> Self {
        Self { reason: Reason::Decode, message: message.into() }
    }

    pub fn event_time(message: impl Into<String>) -> Self {
        Self { reason: Reason::EventTime, message: message.into() }
    }
}

/// What is wrong with a value; the column, the text and the place are added by the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Another kind of value than the column's type.
    Type,
    /// A number beyond the range of the column's type.
    Overflow,
    /// A fraction in an integer column, or more fraction digits than the scale.
    Fraction,
    /// An integer written as a float beyond ±2^53, where floats are no longer exact.
    Inexact,
    /// NaN or an infinity where only finite numbers are accepted.
    NonFinite,
    /// NULL in a NOT NULL column.
    Null,
    Timestamp,
    Date,
    Base64,
    /// Outside the years that the column can hold.
    Range,
}

/// Why reading stopped: broken syntax, or a well-formed value that does not fit its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// (byte offset, what was expected or forbidden there)
    Syntax(usize, &'static str),
    Value(Problem),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Value(problem)
    }
}

impl Problem {
    /// `expected BIGINT, found "x"` and the like.
    pub(crate) fn describe(self, data_type: &DataType, value: &[u8]) -> String {
        let (name, value) = (sql_type(data_type), quote(value));
        match self {
            Self::Type => format!("expected {name}, found {value}"),
            Self::Overflow => format!("expected {name}, found {value}, which is out of its range"),
            Self::Fraction => format!("expected {name}, found {value}, which has more digits"),
            Self::Inexact => {
                format!("expected {name}, found {value}: beyond 2^53 only plain digits are exact")
            }
            Self::NonFinite => format!("expected a finite {name}, found {value}"),
            Self::Null => format!("expected {name} NOT NULL, found NULL"),
            Self::Timestamp => {
                format!("expected a timestamp (see json.timestamp), found {value}")
            }
            Self::Date => format!("expected a date YYYY-MM-DD, found {value}"),
            Self::Base64 => format!("expected base64 text, found {value}"),
            Self::Range => format!("found {value}, which is out of range for {name}"),
        }
    }
}

/// A foreign value for an error message: at most 120 bytes, control characters escaped.
pub fn quote(value: &[u8]) -> String {
    let cut = value.get(..ERROR_VALUE_BYTES).unwrap_or(value);
    let mut text = String::with_capacity(cut.len());
    for c in String::from_utf8_lossy(cut).chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    if cut.len() < value.len() {
        text.push('…');
    }
    text
}

/// The SQL name of a canonical column type.
pub fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "TINYINT UNSIGNED".to_owned(),
        DataType::UInt16 => "SMALLINT UNSIGNED".to_owned(),
        DataType::UInt32 => "INT UNSIGNED".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 => "VARCHAR".to_owned(),
        DataType::Binary => "BYTEA".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => "TIMESTAMP".to_owned(),
        DataType::List(item) => format!("{}[]", sql_type(item.data_type())),
        other => other.to_string(),
    }
}
