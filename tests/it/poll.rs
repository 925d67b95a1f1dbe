//! Waiting for another process: asks again and again until an answer comes or the time is over.
//! The only place in tests that sleeps.

use std::time::Duration;

use skewless::clock;

const PAUSE: Duration = Duration::from_millis(20);

/// Lets time pass: what a slow network does.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// The first answer of `ask`; panics after `limit`, naming `what` was waited for.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = clock::monotonic();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        let waited = clock::monotonic().duration_since(started);
        assert!(waited < limit, "{what}: not within {limit:?}");
        std::thread::sleep(PAUSE);
    }
}
