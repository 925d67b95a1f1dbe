//! The server over real sockets, in front of an engine that knows one feature.

use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::error::Kind;
use crate::model::time::EventTime;
use crate::serve::client::{feature_path, get};
use crate::serve::engine::{Answer, KeyText, Status};

/// Answers with the key and the time it was asked for.
#[derive(Default)]
struct Echo {
    behind: AtomicBool,
}

#[async_trait]
impl Engine for Echo {
    fn has_feature(&self, feature: &str) -> bool {
        feature == "user spend/é"
    }

    async fn get(&self, feature: &str, key: KeyText, at: Option<EventTime>) -> Result<Answer> {
        let text = match key {
            KeyText::Single(text) => text,
            KeyText::Named(pairs) => {
                pairs.iter().map(|(name, value)| format!("{name}{value}")).collect()
            }
        };
        let id: i64 =
            text.parse().map_err(|_| Error::usage(format!("`{text}` is not a BIGINT")))?;
        let key: ArrayRef = Arc::new(Int64Array::from(vec![id]));
        let mean: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN]));
        let status = if id == 0 { Status::NotFound } else { Status::Present };
        Ok(Answer {
            feature: feature.to_owned(),
            key: RecordBatch::try_from_iter([("id", key)])?,
            as_of: at,
            values: RecordBatch::try_from_iter([("mean", mean)])?,
            status,
        })
    }

    fn status(&self) -> serde_json::Value {
        serde_json::json!({"features": ["user spend/é"]})
    }

    fn ready(&self) -> Result<()> {
        if self.behind.load(Ordering::SeqCst) {
            return Err(Error::unavailable("partition 3 has not reached its end"));
        }
        Ok(())
    }

    fn metrics(&self) -> String {
        "skewless_rows 1\n".to_owned()
    }
}

struct Running {
    address: String,
    engine: Arc<Echo>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

async fn start() -> Running {
    start_with(HEADER_TIMEOUT).await
}

async fn start_with(header_timeout: Duration) -> Running {
    let options = ServeOptions { address: ([127, 0, 0, 1], 0).into(), insecure: false };
    let mut server = Server::bind(options).await.unwrap();
    server.header_timeout = header_timeout;
    let (stop, stopped) = watch::channel(false);
    let engine = Arc::new(Echo::default());
    let address = server.address().to_string();
    let task = tokio::spawn(server.run(engine.clone(), stopped));
    Running { address, engine, stop, task }
}

/// Sends bytes as they are and gives the whole answer.
async fn raw(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn values_are_asked_by_path_or_by_columns_at_any_time() {
    let server = start().await;
    let name = "user spend/é";
    let path = feature_path(name, &KeyText::Single("-7".to_owned()), None);
    let body = get(&server.address, &path).await.unwrap();
    assert_eq!(
        body,
        "{\"feature\":\"user spend/é\",\"key\":{\"id\":-7},\"as_of\":null,\
         \"values\":{\"mean\":\"NaN\"},\"status\":\"PRESENT\"}"
    );
    let named = KeyText::Named(vec![(String::new(), "0".to_owned())]);
    let path = feature_path(name, &named, Some("1970-01-01T00:00:01+00:00"));
    let body = get(&server.address, &path).await.unwrap();
    assert!(body.contains("\"as_of\":\"1970-01-01T00:00:01Z\""), "{body}");
    assert!(body.contains("\"status\":\"NOT_FOUND\""), "{body}");
    for (path, kind, says) in [
        ("/features/user%20spend%2F%C3%A9/x", Kind::Usage, "`x` is not a BIGINT"),
        ("/features/user%20spend%2F%C3%A9/1?at=noon", Kind::Usage, "is no time"),
        ("/features/user%20spend%2F%C3%A9/1?id=2", Kind::Usage, "beside a key"),
        ("/features/user%20spend%2F%C3%A9?a=2&a=3", Kind::Usage, "given twice"),
        ("/features/other/1", Kind::Usage, "no feature `other`"),
        ("/nothing", Kind::Usage, "no such path"),
        ("/sql", Kind::Usage, "is not for GET"),
    ] {
        let error = get(&server.address, path).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{path}");
        assert!(error.message().contains(says), "{path}: {error}");
    }
}

#[tokio::test]
async fn health_readiness_status_and_metrics_are_told() {
    let server = start().await;
    assert_eq!(get(&server.address, "/health").await.unwrap(), "{\"status\":\"ok\"}");
    assert_eq!(get(&server.address, "/ready").await.unwrap(), "{\"status\":\"ready\"}");
    server.engine.behind.store(true, Ordering::SeqCst);
    let error = get(&server.address, "/ready").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let status = get(&server.address, "/status").await.unwrap();
    assert_eq!(status, "{\"features\":[\"user spend/é\"]}");
    assert_eq!(get(&server.address, "/metrics").await.unwrap(), "skewless_rows 1\n");
}

#[tokio::test]
async fn foreign_hosts_large_bodies_and_wrong_types_are_refused_and_the_unbuilt_says_so() {
    let server = start().await;
    let close = "connection: close\r\n";
    let json = "content-type: application/json\r\n";
    let local = "host: localhost\r\n";
    for (request, status) in [
        (format!("GET /health HTTP/1.1\r\nhost: evil.example\r\n{close}\r\n"), 403),
        (format!("GET /health HTTP/1.1\r\n{local}origin: http://evil.example\r\n{close}\r\n"), 403),
        (format!("POST /sql HTTP/1.1\r\n{local}content-length: 0\r\n{close}\r\n"), 415),
        (format!("POST /sql HTTP/1.1\r\n{local}{json}content-length: 0\r\n{close}\r\n"), 501),
        (format!("POST /sql HTTP/1.1\r\n{local}{json}content-length: 2000000\r\n{close}\r\n"), 413),
        (
            format!(
                "POST /get-online-features HTTP/1.1\r\n{local}{json}content-length: 0\r\n\
                 {close}\r\n"
            ),
            501,
        ),
        (format!("DELETE /health HTTP/1.1\r\n{local}{close}\r\n"), 405),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET /{} HTTP/1.1\r\n{local}\r\n", "x".repeat(100_000)), 414),
    ] {
        let answer = raw(&server.address, &request).await;
        let shown = &request[..request.len().min(60)];
        // hyper answers an overlong head with 414 or 431.
        let got: u16 = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        assert!(got == status || (status == 414 && got == 431), "{shown}: {answer}");
        if [403, 405, 413, 415, 501].contains(&status) {
            assert!(answer.contains("{\"error\":{"), "{answer}");
        }
    }
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_frees_the_port() {
    let server = start().await;
    let mut idle = TcpStream::connect(&server.address).await.unwrap();
    let request = format!("GET /health HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0u8; 15];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    server.stop.send(true).unwrap();
    server.task.await.unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    let error = get(&server.address, "/health").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[tokio::test]
async fn silent_and_slow_clients_are_sent_away() {
    let server = start_with(Duration::from_millis(50)).await;
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    let mut slow = TcpStream::connect(&server.address).await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: loc").await.unwrap();
    // Both ends are seen only because the server closes.
    let mut left = Vec::new();
    silent.read_to_end(&mut left).await.unwrap();
    slow.read_to_end(&mut left).await.unwrap();
}

#[tokio::test]
async fn other_machines_are_let_in_only_when_told() {
    let everywhere = |insecure| ServeOptions { address: ([0, 0, 0, 0], 0).into(), insecure };
    let error = Server::bind(everywhere(false)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotSupported);
    assert_eq!(Server::bind(everywhere(true)).await.unwrap().guard, Guard::Open);
    let server = start().await;
    let taken = server.address.parse().unwrap();
    let error = Server::bind(ServeOptions { address: taken, insecure: false }).await.unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("--no-http")), "{error}");
}
