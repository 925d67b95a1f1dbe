//! The only reader of wall time. Operators, plans and sources never call it: they get times as
//! data. Drivers (`runtime`, `serve`, `cli`) use it for timeouts, rates and serving time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::time::EventTime;

/// Wall time now, µs since the epoch.
#[expect(clippy::disallowed_methods, reason = "this is the room that may read wall time")]
pub fn wall_now() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    EventTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// A monotonic instant, for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "this is the room that may read wall time")]
pub fn monotonic() -> Instant {
    Instant::now()
}
