//! Windows of days and months of a time zone, counted from January 1970 and laid side by side.
//! A window begins at the first moment of its first day there: where midnight comes twice, at the
//! first one; where it is skipped, when the clock has jumped. So a day is 23 to 25 hours long, and
//! one that a zone left out altogether (Apia, 30 December 2011) has no length and no rows. Rules
//! are those of the time-zone database in `chrono-tz`. Called by `window::grid`.

use std::cell::Cell;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Offset, TimeZone};
use chrono_tz::{GapInfo, Tz};

use crate::error::{Error, Result};
use crate::sql::window::CalendarUnit;

/// Days or months, some at a time.
#[derive(Clone, Debug)]
pub struct Calendar {
    unit: CalendarUnit,
    count: i64,
    zone: Tz,
    /// The pane found last, its start and its end: the next time is mostly in it too.
    last: Cell<(i64, i64, i64)>,
}

/// Beyond every event time and every window of a calendar, and inside what can be a date.
const FAR: i64 = 1 << 55;

impl Calendar {
    /// # Errors
    /// `Usage` if the count is not positive or the zone is unknown.
    pub fn new(unit: CalendarUnit, count: i64, zone: &str) -> Result<Self> {
        let zone: Tz =
            zone.parse().map_err(|_| Error::usage(format!("no such time zone: {zone}")))?;
        if !(1..=12_000).contains(&count) {
            return Err(Error::usage(format!("windows of {count} days or months")));
        }
        Ok(Self { unit, count, zone, last: Cell::new((0, 0, 0)) })
    }

    /// The pane that a time falls into.
    #[inline]
    pub fn pane_of(&self, time: i64) -> i64 {
        let (pane, start, end) = self.last.get();
        if start <= time && time < end {
            return pane;
        }
        self.find(time.clamp(-FAR, FAR))
    }

    #[cold]
    fn find(&self, time: i64) -> i64 {
        let utc = DateTime::from_timestamp_micros(time).unwrap_or_default().naive_utc();
        let offset = self.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
        let local = utc + chrono::TimeDelta::seconds(offset.into());
        let number = match self.unit {
            CalendarUnit::Day => (local.date() - NaiveDate::default()).num_days(),
            CalendarUnit::Month => {
                (i64::from(local.year()) - 1970) * 12 + i64::from(local.month0())
            }
        };
        // Where a clock was set back over midnight the date alone does not tell.
        let mut pane = number.div_euclid(self.count);
        while self.start(pane) > time {
            pane -= 1;
        }
        while self.start(pane + 1) <= time {
            pane += 1;
        }
        self.last.set((pane, self.start(pane), self.start(pane + 1)));
        pane
    }

    /// The first moment of a pane, µs since the epoch.
    pub fn start(&self, pane: i64) -> i64 {
        let (last, start, end) = self.last.get();
        if start < end && pane == last {
            return start;
        }
        if start < end && pane == last + 1 {
            return end;
        }
        let number = pane * self.count;
        let epoch = NaiveDate::default();
        let date = match self.unit {
            CalendarUnit::Day => epoch.checked_add_signed(chrono::TimeDelta::days(number)),
            CalendarUnit::Month => {
                let months = Months::new(number.unsigned_abs() as u32);
                match number {
                    0.. => epoch.checked_add_months(months),
                    _ => epoch.checked_sub_months(months),
                }
            }
        };
        let midnight = date.unwrap_or(epoch).and_time(NaiveTime::MIN);
        let first = match self.zone.from_local_datetime(&midnight).earliest() {
            Some(first) => Some(first),
            None => GapInfo::new(&midnight, &self.zone).and_then(|gap| gap.end),
        };
        // A gap without an end is none.
        first.map_or_else(|| midnight.and_utc().timestamp_micros(), |t| t.timestamp_micros())
    }

    /// The least start of a pane after `time`.
    pub fn end_after(&self, time: i64) -> i64 {
        self.start(self.pane_of(time) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    fn days(zone: &str, count: i64) -> Calendar {
        Calendar::new(CalendarUnit::Day, count, zone).unwrap()
    }

    /// The window that holds a moment.
    fn around(calendar: &Calendar, text: &str) -> (i64, i64) {
        let pane = calendar.pane_of(micros(text));
        (calendar.start(pane), calendar.start(pane + 1))
    }

    #[test]
    fn days_have_23_and_25_hours_when_clocks_change() {
        let paris = days("Europe/Paris", 1);
        for (moment, start, hours) in [
            ("2024-03-31T12:00:00Z", "2024-03-30T23:00:00Z", 23),
            ("2024-10-27T12:00:00Z", "2024-10-26T22:00:00Z", 25),
            ("2024-07-01T21:59:59.999999Z", "2024-06-30T22:00:00Z", 24),
            ("2024-07-01T22:00:00Z", "2024-07-01T22:00:00Z", 24),
            ("1960-01-01T12:00:00Z", "1959-12-31T23:00:00Z", 24),
        ] {
            let (from, to) = around(&paris, moment);
            assert_eq!(from, micros(start), "{moment}");
            assert_eq!(to - from, hours * 3_600_000_000, "{moment}");
        }
    }

    #[test]
    fn a_midnight_that_is_skipped_begins_when_the_clock_has_jumped() {
        // 2018-11-04 began at 01:00 in São Paulo.
        let (from, to) = around(&days("America/Sao_Paulo", 1), "2018-11-04T12:00:00Z");
        assert_eq!((from, to), (micros("2018-11-04T03:00:00Z"), micros("2018-11-05T02:00:00Z")));
        // 30 December 2011 did not happen in Apia.
        let apia = days("Pacific/Apia", 1);
        let (from, to) = around(&apia, "2011-12-30T10:00:00Z");
        assert_eq!(from, micros("2011-12-30T10:00:00Z"));
        assert_eq!(to, micros("2011-12-31T10:00:00Z"));
        assert_eq!(around(&apia, "2011-12-30T09:59:59Z").1, from);
    }

    #[test]
    fn months_have_their_lengths_and_windows_leave_no_gap() {
        for zone in ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"] {
            for (unit, count) in
                [(CalendarUnit::Month, 1), (CalendarUnit::Month, 5), (CalendarUnit::Day, 7)]
            {
                let calendar = Calendar::new(unit, count, zone).unwrap();
                for pane in -200..400 {
                    let (start, end) = (calendar.start(pane), calendar.start(pane + 1));
                    assert!(start < end, "{zone} {pane}");
                    assert_eq!(calendar.pane_of(start), pane, "{zone}");
                    assert_eq!(calendar.pane_of(end - 1), pane, "{zone}");
                }
            }
        }
        let utc = Calendar::new(CalendarUnit::Month, 1, "UTC").unwrap();
        let february = around(&utc, "2024-02-29T23:59:59Z");
        assert_eq!(february, (micros("2024-02-01T00:00:00Z"), micros("2024-03-01T00:00:00Z")));
        assert_eq!(around(&utc, "1969-12-31T00:00:00Z").1, 0);
    }

    #[test]
    fn infinities_are_far_away() {
        let utc = Calendar::new(CalendarUnit::Month, 12_000, "UTC").unwrap();
        assert!(utc.start(utc.pane_of(i64::MAX)) > micros("2262-01-01T00:00:00Z"));
        assert!(utc.start(utc.pane_of(i64::MIN)) < micros("1678-01-01T00:00:00Z"));
    }
}
