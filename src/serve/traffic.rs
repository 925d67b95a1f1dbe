//! Counts requests and how long they took, for `/metrics`. Counting is a few relaxed additions:
//! it is on the path of every request.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::serve::exposition::Exposition;

/// What requests are told apart by; paths would be without bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Features,
    OnlineFeatures,
    Sql,
    Other,
}

const ROUTES: [(Route, &str); 4] = [
    (Route::Features, "features"),
    (Route::OnlineFeatures, "get-online-features"),
    (Route::Sql, "sql"),
    (Route::Other, "other"),
];

/// Upper bounds of the histogram, µs: powers of two around the millisecond that is the goal.
const BOUNDS_US: [u64; 14] = [
    125, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 125_000, 250_000, 1_000_000,
    4_000_000,
];
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

#[derive(Debug, Default)]
struct PerRoute {
    classes: [AtomicU64; CLASSES.len()],
    /// One more than bounds: the rest.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// The counters of a server.
#[derive(Debug, Default)]
pub struct Traffic {
    routes: [PerRoute; ROUTES.len()],
    /// Connections that found no slot.
    pub turned_away: AtomicU64,
    /// Connections open now.
    pub connections: AtomicU64,
}

impl Traffic {
    /// Counts an answer.
    pub fn count(&self, route: Route, status: u16, took: Duration) {
        let route = &self.routes[route as usize];
        let class = usize::from(status / 100).clamp(2, 5) - 2;
        route.classes[class].fetch_add(1, Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS_US.len());
        route.buckets[bucket].fetch_add(1, Relaxed);
        route.sum_us.fetch_add(us, Relaxed);
    }

    pub fn write(&self, out: &mut Exposition) {
        out.family(
            "skewless_http_requests_total",
            "counter",
            "Answers by path and class of status.",
        );
        for (route, name) in ROUTES {
            for (class, count) in CLASSES.iter().zip(&self.routes[route as usize].classes) {
                out.sample(&[("path", name), ("status", class)], count.load(Relaxed));
            }
        }
        out.family(
            "skewless_http_request_duration_seconds",
            "histogram",
            "From the head of a request to the head of its answer.",
        );
        for (route, name) in ROUTES {
            let route = &self.routes[route as usize];
            let mut below = 0;
            for (bucket, bound) in route.buckets.iter().zip(BOUNDS_US) {
                below += bucket.load(Relaxed);
                let le = (bound as f64 / 1e6).to_string();
                out.suffixed("_bucket", &[("path", name), ("le", &le)], below);
            }
            below += route.buckets[BOUNDS_US.len()].load(Relaxed);
            out.suffixed("_bucket", &[("path", name), ("le", "+Inf")], below);
            let sum = route.sum_us.load(Relaxed) as f64 / 1e6;
            out.suffixed("_sum", &[("path", name)], sum);
            out.suffixed("_count", &[("path", name)], below);
        }
        let (open, away) = (self.connections.load(Relaxed), self.turned_away.load(Relaxed));
        out.single("skewless_http_connections", "gauge", "Connections open now.", open);
        out.single(
            "skewless_http_turned_away_total",
            "counter",
            "Connections and requests refused because too many were under way.",
            away,
        );
    }
}
