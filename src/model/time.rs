//! Event time and durations: `i64` microseconds since the Unix epoch, UTC.

use std::fmt;

/// A moment in event time, µs since 1970-01-01T00:00:00Z; negative before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;
/// Microseconds in a day.
pub const DAY_US: i64 = 86_400 * SECOND_US;

impl EventTime {
    /// Before every record: the watermark of a partition without one.
    pub const NEG_INFINITY: Self = Self(i64::MIN);
    /// After every record: the watermark at the end of input.
    pub const INFINITY: Self = Self(i64::MAX);
    /// 1678-01-01T00:00:00Z, the earliest event time a source admits.
    pub const EARLIEST: Self = Self(-9_214_560_000_000_000);
    /// 2262-01-01T00:00:00Z, the first event time too late to be admitted.
    pub const END: Self = Self(9_214_646_400_000_000);

    /// Whether a source may admit this event time.
    pub fn in_range(self) -> bool {
        Self::EARLIEST <= self && self < Self::END
    }

    /// `self - duration_us`, staying at the infinities.
    pub fn saturating_sub(self, duration_us: i64) -> Self {
        if self == Self::INFINITY { self } else { Self(self.0.saturating_sub(duration_us)) }
    }

    /// The UTC day as `YYYY-MM-DD`.
    pub fn date(self) -> String {
        let (year, month, day) = civil(self.0.div_euclid(DAY_US));
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// Reads RFC 3339 with `T` or a space, any number of fraction digits (floored to µs), an
    /// offset or none (UTC), or a bare date. `None` if the text is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        parse_rfc3339(text.as_bytes())
    }
}

impl fmt::Display for EventTime {
    /// RFC 3339 with `Z` and the shortest fraction of 0, 3 or 6 digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEG_INFINITY {
            return f.write_str("-infinity");
        }
        if *self == Self::INFINITY {
            return f.write_str("infinity");
        }
        let (year, month, day) = civil(self.0.div_euclid(DAY_US));
        let in_day = self.0.rem_euclid(DAY_US);
        let (seconds, micros) = (in_day / SECOND_US, in_day % SECOND_US);
        let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}")?;
        if micros % 1000 != 0 {
            write!(f, ".{micros:06}")?;
        } else if micros != 0 {
            write!(f, ".{:03}", micros / 1000)?;
        }
        f.write_str("Z")
    }
}

/// Days since the epoch → (year, month, day), proleptic Gregorian.
/// Algorithm: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// (year, month, day) → days since the epoch; the inverse of [`civil`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = year - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

fn digits(bytes: &[u8], from: usize, count: usize) -> Option<i64> {
    let mut value = 0i64;
    for b in bytes.get(from..from + count)? {
        if !b.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(b - b'0');
    }
    Some(value)
}

fn parse_rfc3339(bytes: &[u8]) -> Option<EventTime> {
    let (year, month, day) = (digits(bytes, 0, 4)?, digits(bytes, 5, 2)?, digits(bytes, 8, 2)?);
    if bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > days_in_month {
        return None;
    }
    let midnight = days_from_civil(year, month, day).checked_mul(DAY_US)?;
    if bytes.len() == 10 {
        return Some(EventTime(midnight));
    }
    if !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let (h, m, s) = (digits(bytes, 11, 2)?, digits(bytes, 14, 2)?, digits(bytes, 17, 2)?);
    if bytes.get(13) != Some(&b':') || bytes.get(16) != Some(&b':') || h > 23 || m > 59 || s > 59 {
        return None;
    }
    let (micros, at) = fraction(bytes, 19)?;
    let offset_us = zone(bytes.get(at..)?)?;
    Some(EventTime(midnight + (h * 3600 + m * 60 + s) * SECOND_US + micros - offset_us))
}

/// The optional `.ddd…` at `at`: (µs, floored; where it ends).
fn fraction(bytes: &[u8], mut at: usize) -> Option<(i64, usize)> {
    if bytes.get(at) != Some(&b'.') {
        return Some((0, at));
    }
    at += 1;
    let (start, mut micros, mut unit) = (at, 0i64, 100_000i64);
    while let Some(b) = bytes.get(at).filter(|b| b.is_ascii_digit()) {
        micros += i64::from(b - b'0') * unit;
        unit /= 10;
        at += 1;
    }
    (at > start).then_some((micros, at))
}

/// The offset from UTC in µs: nothing, `Z`, `+hh:mm`, `+hhmm` or `+hh`.
fn zone(bytes: &[u8]) -> Option<i64> {
    let sign = match bytes {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    let (h, m) = match bytes.len() {
        3 => (digits(bytes, 1, 2)?, 0),
        5 => (digits(bytes, 1, 2)?, digits(bytes, 3, 2)?),
        6 if bytes.get(3) == Some(&b':') => (digits(bytes, 1, 2)?, digits(bytes, 4, 2)?),
        _ => return None,
    };
    (h <= 23 && m <= 59).then_some(sign * (h * 3600 + m * 60) * SECOND_US)
}

/// Reads `30 seconds`, `1 hour`, `500 ms`, `1.5 min`, `2d`, `1 hour 30 minutes`: µs, >= 0.
pub fn parse_duration(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = 0i64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let tail = tail.trim_start();
        let end = tail.find(|c: char| !c.is_ascii_alphabetic() && c != 'µ').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        total = total.checked_add(scaled(number, unit_us(unit)?)?)?;
        rest = tail.trim_start();
    }
    Some(total)
}

/// A decimal number of units in µs; `None` unless it is a whole number of µs.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: i64 = whole.parse().ok()?;
    let mut total = whole.checked_mul(unit)?;
    if !part.is_empty() {
        let scale = 10i64.checked_pow(u32::try_from(part.len()).ok()?)?;
        let micros = part.parse::<i64>().ok()?.checked_mul(unit)?;
        if micros % scale != 0 {
            return None;
        }
        total = total.checked_add(micros / scale)?;
    }
    Some(total)
}

fn unit_us(unit: &str) -> Option<i64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "us" | "µs" | "microsecond" | "microseconds" => 1,
        "ms" | "millisecond" | "milliseconds" => 1_000,
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND_US,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND_US,
        "h" | "hour" | "hours" => 3_600 * SECOND_US,
        "d" | "day" | "days" => DAY_US,
        "w" | "week" | "weeks" => 7 * DAY_US,
        _ => return None,
    })
}

/// Writes a duration the way [`parse_duration`] reads it, in its largest whole unit.
pub fn format_duration(duration_us: i64) -> String {
    let units = [
        (DAY_US, "day"),
        (3_600 * SECOND_US, "hour"),
        (60 * SECOND_US, "minute"),
        (SECOND_US, "second"),
        (1_000, "millisecond"),
    ];
    for (unit, name) in units {
        if duration_us != 0 && duration_us % unit == 0 {
            let n = duration_us / unit;
            return format!("{n} {name}{}", if n == 1 { "" } else { "s" });
        }
    }
    match duration_us {
        0 => "0 seconds".to_owned(),
        1 => "1 microsecond".to_owned(),
        n => format!("{n} microseconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_is_read_with_every_spelling_and_floored_to_micros() {
        let at = |s| EventTime::parse(s).map(|t| t.0);
        assert_eq!(at("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(at("1970-01-01 00:00:01.5"), Some(1_500_000));
        assert_eq!(at("1970-01-01T00:00:00.000000999Z"), Some(0));
        assert_eq!(at("1969-12-31T23:59:59.999999999Z"), Some(-1));
        assert_eq!(at("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(at("1970-01-01T01:00:00+0100"), Some(0));
        assert_eq!(at("2024-02-29"), Some(1_709_164_800_000_000));
        for bad in ["2023-02-29", "1970-13-01", "1970-01-01T24:00:00", "1970-01-01T00:00", "x", ""]
        {
            assert_eq!(at(bad), None, "{bad}");
        }
        assert_eq!(at("1678-01-01T00:00:00Z"), Some(EventTime::EARLIEST.0));
        assert_eq!(at("2262-01-01T00:00:00Z"), Some(EventTime::END.0));
    }

    #[test]
    fn display_is_read_back_unchanged() {
        for us in [0, -1, 1, 1_500_000, 1_767_225_600_000_001, EventTime::EARLIEST.0] {
            assert_eq!(EventTime::parse(&EventTime(us).to_string()), Some(EventTime(us)));
        }
        assert_eq!(EventTime(1_000).to_string(), "1970-01-01T00:00:00.001Z");
        assert_eq!(EventTime(-1).date(), "1969-12-31");
    }

    #[test]
    fn durations_are_read_and_written() {
        assert_eq!(parse_duration("30 seconds"), Some(30 * SECOND_US));
        assert_eq!(parse_duration("1.5 h"), Some(5_400 * SECOND_US));
        assert_eq!(parse_duration("1 hour 30 minutes"), Some(5_400 * SECOND_US));
        assert_eq!(parse_duration("0 s"), Some(0));
        for bad in ["", "5", "-1 s", "1 fortnight", "0.3 us"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        for us in [0, 1, 1_500, SECOND_US, 90 * SECOND_US, 2 * DAY_US] {
            assert_eq!(parse_duration(&format_duration(us)), Some(us));
        }
    }
}
