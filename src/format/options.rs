//! How JSON (and CSV) oddities are judged: the `json.*` options, as plain data. `catalog::source`
//! re-exports them as part of a source's options.

/// How a timestamp column is written in a message (`json.timestamp`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JsonTimestamp {
    #[default]
    Rfc3339,
    EpochSeconds,
    EpochMillis,
    EpochMicros,
}

impl JsonTimestamp {
    /// Decimal digits between the unit written and the µs stored; `None` for text.
    pub fn scale(self) -> Option<i32> {
        match self {
            Self::Rfc3339 => None,
            Self::EpochSeconds => Some(6),
            Self::EpochMillis => Some(3),
            Self::EpochMicros => Some(0),
        }
    }
}

/// How JSON oddities are judged (`json.*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct JsonOptions {
    pub timestamp: JsonTimestamp,
    /// `"5"` is read as 5 and `5` as text.
    pub coerce: bool,
    /// `"NaN"`, `"inf"`, `1e999` are read as floats instead of rejected.
    pub nonfinite: bool,
    /// Undeclared fields reject the record instead of being ignored.
    pub reject_unknown: bool,
}
