//! Single-key reads over HTTP from a running engine, load and engine on the same cores: requests
//! per second and latency, for some numbers of connections. No criterion: it measures one call at
//! a time, and this is about many at once.
//!
//! ```text
//! cargo bench --bench serving
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench stops where it fails"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use skewless::api::{Engine, Run};
use skewless::clock;

const DEFINITIONS: &str = "
CREATE SOURCE transactions (
    txn_id BIGINT NOT NULL, user_id BIGINT NOT NULL, category VARCHAR, amount DOUBLE,
    event_time TIMESTAMP NOT NULL,
    WATERMARK FOR event_time AS event_time - INTERVAL '30 seconds'
) WITH ('connector' = 'datagen', 'rate' = '5000');
CREATE FEATURE user_spend AS
SELECT user_id,
       COUNT(*)            OVER w30m AS txn_count_30m,
       AVG(amount)         OVER w1h  AS avg_amount_1h,
       STDDEV_SAMP(amount) OVER w1h  AS stddev_amount_1h,
       MAX(amount)         OVER w24h AS max_amount_24h
FROM transactions
WINDOW w30m AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND CURRENT ROW),
       w1h  AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW),
       w24h AS (PARTITION BY user_id ORDER BY event_time
                RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW);
";
const SECONDS: u64 = 4;

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let engine = Engine::open(directory.path()).unwrap();
    runtime.block_on(engine.define(DEFINITIONS)).unwrap();
    let http = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let running = runtime.block_on(engine.run(Run { http, ..Run::default() })).unwrap();
    let address = running.http().unwrap();
    while running.counts().admitted < 5_000 {
        std::thread::yield_now();
    }
    println!(
        "{:>11} {:>12} {:>9} {:>9} {:>9}",
        "connections", "requests/s", "p50 µs", "p99 µs", "max µs"
    );
    for connections in [1, 4, 16, 64] {
        let threads: Vec<_> =
            (0..connections).map(|seed| std::thread::spawn(move || ask(address, seed))).collect();
        let mut took: Vec<u32> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
        took.sort_unstable();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        println!(
            "{connections:>11} {:>12} {:>9} {:>9} {:>9}",
            took.len() as u64 / SECONDS,
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    runtime.block_on(running.stop()).unwrap();
}

/// Asks one question after the other on one connection; µs of each.
fn ask(address: SocketAddr, seed: u64) -> Vec<u32> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut user, mut answer, mut took) = (seed, vec![0u8; 4_096], Vec::new());
    let began = clock::monotonic();
    while began.elapsed() < Duration::from_secs(SECONDS) {
        user = (user * 48_271 + 11) % 10_000;
        let request =
            format!("GET /features/user_spend/{user} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let sent = clock::monotonic();
        stream.write_all(request.as_bytes()).unwrap();
        let mut read = 0;
        // The answer ends with its JSON; no value in it holds this text.
        while !answer[..read].ends_with(b"\"}") {
            read += stream.read(&mut answer[read..]).unwrap();
        }
        took.push(u32::try_from(sent.elapsed().as_micros()).unwrap());
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    took
}
