//! The progress of long work on standard error: one line that is drawn over on a terminal, a line
//! now and then elsewhere, nothing when quiet. Commands make one and hand it to the engine.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::model::time::EventTime;

/// Between two drawings on a terminal, and between two plain lines.
const REDRAW: Duration = Duration::from_millis(200);
const PLAIN: Duration = Duration::from_secs(10);
/// The rate is that of at least this long a stretch.
const RATE_OVER: Duration = Duration::from_secs(1);
/// Beyond this the lag of the newest event says that old events are replayed, not how far behind
/// the work is.
const LAG_SHOWN_US_MAX: i64 = 7 * crate::model::time::DAY_US;

/// Whether a progress line stands on the terminal now.
static LINE_SHOWN: AtomicBool = AtomicBool::new(false);

/// Where the work is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgressNow {
    /// Rows read so far.
    pub rows: u64,
    /// Rows still to read, where known.
    pub behind: Option<u64>,
    /// Newest event time read.
    pub newest_event: Option<EventTime>,
    pub watermark: Option<EventTime>,
    /// What the work waits for.
    pub note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Quiet,
    Terminal,
    Plain,
}

#[derive(Debug)]
struct State {
    drawn_at: Option<Instant>,
    rate_since: (Instant, u64),
    rows_per_second: Option<f64>,
    last: Option<ProgressNow>,
}

/// Shows how far the work is. Call [`Self::report`] as often as convenient.
#[derive(Debug)]
pub struct ProgressLine {
    mode: Mode,
    started: Instant,
    state: Mutex<State>,
}

impl ProgressLine {
    pub fn new(quiet: bool) -> Self {
        let mode = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Terminal,
            (false, false) => Mode::Plain,
        };
        Self::with_mode(mode)
    }

    fn with_mode(mode: Mode) -> Self {
        let started = clock::monotonic();
        let state =
            State { drawn_at: None, rate_since: (started, 0), rows_per_second: None, last: None };
        Self { mode, started, state: Mutex::new(state) }
    }

    /// Shows `now`, unless something was shown a moment ago.
    pub fn report(&self, now: &ProgressNow) {
        let at = clock::monotonic();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let over = at.duration_since(state.rate_since.0);
        if over >= RATE_OVER {
            let rows = now.rows.saturating_sub(state.rate_since.1);
            state.rows_per_second = Some(rows as f64 / over.as_secs_f64());
            state.rate_since = (at, now.rows);
        }
        let pause = if self.mode == Mode::Terminal { REDRAW } else { PLAIN };
        let since = state.drawn_at.unwrap_or(self.started);
        let due = at.duration_since(since) >= pause;
        if due && state.last.as_ref() != Some(now) {
            state.drawn_at = Some(at);
            self.draw(now, state.rows_per_second);
        }
        state.last = Some(now.clone());
    }

    /// Replaces the line by the last state, with the rate over all the time.
    pub fn finish(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = clock::monotonic().duration_since(self.started).as_secs_f64();
        clear_line();
        if let (Some(last), false) = (&state.last, self.mode == Mode::Quiet) {
            let rate = last.rows as f64 / seconds.max(1e-9);
            eprintln!("{}", line(&ProgressNow { behind: None, ..last.clone() }, Some(rate)));
        }
    }

    fn draw(&self, now: &ProgressNow, rows_per_second: Option<f64>) {
        let text = line(now, rows_per_second);
        match self.mode {
            Mode::Quiet => {}
            Mode::Plain => eprintln!("{text}"),
            Mode::Terminal => {
                // Without wrapping (`?7l`) a line longer than the terminal is cut, not broken.
                let mut stderr = std::io::stderr().lock();
                let _ = write!(stderr, "\r\x1b[?7l{text}\x1b[K\x1b[?7h");
                let _ = stderr.flush();
                LINE_SHOWN.store(true, Relaxed);
            }
        }
    }
}

/// Takes the line off the terminal, before something else is written there.
pub fn clear_line() {
    if LINE_SHOWN.swap(false, Relaxed) {
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "\r\x1b[K");
        let _ = stderr.flush();
    }
}

fn line(now: &ProgressNow, rows_per_second: Option<f64>) -> String {
    let mut parts = vec![format!("{} rows", grouped(now.rows))];
    if let Some(rate) = rows_per_second {
        parts.push(format!("{} rows/s", grouped(rate.round() as u64)));
    }
    if let Some(newest) = now.newest_event {
        let lag_us = (clock::wall_now().0 - newest.0).max(0);
        if lag_us <= LAG_SHOWN_US_MAX {
            parts.push(format!("lag {}", short_duration(lag_us)));
        }
    }
    if let Some(behind) = now.behind.filter(|b| *b > 0) {
        parts.push(format!("{} behind", grouped(behind)));
    }
    if let Some(watermark) = now.watermark {
        parts.push(format!("watermark {watermark}"));
    }
    parts.extend(now.note.clone());
    parts.join("  ")
}

/// `1234567` → `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Two digits are enough to see how late something is: `85 ms`, `1.2 s`, `3.4 min`, `5.0 h`.
pub fn short_duration(micros: i64) -> String {
    let seconds = micros as f64 / 1e6;
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3_600.0 => format!("{:.1} min", s / 60.0),
        s if s < 86_400.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_rows_rate_and_watermark() {
        let now = ProgressNow {
            rows: 1_234_567,
            behind: Some(1_000),
            newest_event: EventTime::parse("2013-01-01T00:00:00Z"),
            watermark: EventTime::parse("2013-01-01T00:00:00Z"),
            note: Some("waiting for partition 3".into()),
        };
        assert_eq!(
            line(&now, Some(99_999.7)),
            "1,234,567 rows  100,000 rows/s  1,000 behind  watermark 2013-01-01T00:00:00Z  \
             waiting for partition 3"
        );
        let live = ProgressNow { newest_event: Some(clock::wall_now()), ..Default::default() };
        assert!(line(&live, None).starts_with("0 rows  lag "), "{}", line(&live, None));
    }

    #[test]
    fn durations_and_numbers_are_short() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(999_999), "999,999");
        assert_eq!(short_duration(85_000), "85 ms");
        assert_eq!(short_duration(90_000_000), "1.5 min");
        assert_eq!(short_duration(2 * 86_400_000_000), "2.0 d");
    }
}
