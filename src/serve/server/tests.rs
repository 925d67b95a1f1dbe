//! The server over real sockets, in front of an engine that knows two features.

use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::checkpoint::home::EngineInfo;
use crate::error::Kind;
use crate::serve::client::{current_values, define, feature_path, get};
use crate::serve::engine::Desired;
use crate::serve::fixture::{Fixture, ODD};
use crate::serve::token::Right;

struct Running {
    address: String,
    info: EngineInfo,
    engine: Arc<Fixture>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

async fn start() -> Running {
    start_with(Fixture::default(), options(), |_| {}).await
}

fn options() -> ServeOptions {
    ServeOptions::plain(([127, 0, 0, 1], 0).into())
}

async fn start_with(
    engine: Fixture,
    options: ServeOptions,
    change: impl FnOnce(&mut Server),
) -> Running {
    let certificate = options.tls.as_ref().map(|(certificate, _)| certificate.clone());
    let mut server = Server::bind(options).await.unwrap();
    change(&mut server);
    let (stop, stopped) = watch::channel(false);
    let engine = Arc::new(engine);
    let address = server.address().to_string();
    let info = EngineInfo { pid: 1, http: Some(address.clone()), certificate };
    let task = tokio::spawn(server.run(engine.clone(), stopped));
    Running { address, info, engine, stop, task }
}

/// Sends bytes as they are and gives the whole answer.
async fn raw(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The status of an answer.
fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// A POST of JSON.
fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json; charset=utf-8\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn own(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn values_are_asked_by_path_or_by_columns_at_any_time() {
    let server = start().await;
    let odd = "/features/user%20spend%2F%C3%A9";
    let body = get(&server.info, &format!("{odd}/-7")).await.unwrap();
    assert_eq!(
        body,
        "{\"feature\":\"user spend/é\",\"key\":{\"id\":-7},\"as_of\":null,\
         \"values\":{\"mean\":\"NaN\"},\"status\":\"EXPIRED\"}"
    );
    let path = feature_path(ODD, &own(&[("id", "0")]), Some("1970-01-01T00:00:01+00:00"));
    let body = get(&server.info, &path).await.unwrap();
    assert!(body.contains("\"as_of\":\"1970-01-01T00:00:01Z\""), "{body}");
    assert!(body.contains("\"status\":\"NOT_FOUND\""), "{body}");
    let shop = "a/b ?&=#%+é\"\\";
    let path = feature_path("pair", &own(&[("shop", shop), ("id", "3")]), None);
    let body: serde_json::Value =
        serde_json::from_str(&get(&server.info, &path).await.unwrap()).unwrap();
    assert_eq!(body["key"], serde_json::json!({ "id": 3, "shop": shop }));
    assert_eq!(body["values"]["n"], 6);
}

#[tokio::test]
async fn repeated_columns_ask_for_several_entities_in_order() {
    let server = start().await;
    let path = "/features/pair?id=3&shop=a&id=0&shop=b";
    let body: serde_json::Value =
        serde_json::from_str(&get(&server.info, path).await.unwrap()).unwrap();
    let list = body.as_array().unwrap();
    let told: Vec<_> = list.iter().map(|e| (&e["key"]["shop"], &e["status"])).collect();
    assert_eq!(
        format!("{told:?}"),
        r#"[(String("a"), String("PRESENT")), (String("b"), String("NOT_FOUND"))]"#
    );
    let many = vec!["id=1&shop=x"; 1_001].join("&");
    let error = get(&server.info, &format!("/features/pair?{many}")).await.unwrap_err();
    assert!(error.message().contains("1001 entities"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_asked_says_why_and_what_was_meant() {
    let server = start().await;
    let odd = "/features/user%20spend%2F%C3%A9";
    for (path, says) in [
        (format!("{odd}/x"), "'x' is not a BIGINT"),
        (format!("{odd}/1?at=noon"), "is no time"),
        (format!("{odd}/1?at=1500-01-01T00:00:00Z"), "is no time"),
        (format!("{odd}/1?at=now&at=now"), "given twice"),
        (format!("{odd}/1?id=2"), "beside a key"),
        ("/features/pair?id=2&id=3&shop=s".to_owned(), "'shop' has 1 values"),
        ("/features/pair?id=2".to_owned(), "no value for the key column 'shop'"),
        ("/features/pair?id=2&shop=s&x=1".to_owned(), "'x' is not a key column"),
        ("/features/pair/2".to_owned(), "no value for the key column 'id'"),
        ("/features/pear/1".to_owned(), "no feature 'pear'"),
        ("/features/..%2f..%2fetc%2fpasswd/1".to_owned(), "no feature '../../etc/passwd'"),
        ("/features/pair%00/1".to_owned(), "no feature"),
        ("/features/%ff%fe/1".to_owned(), "UTF-8"),
        ("/features//".to_owned(), "no such path"),
        ("/../features/pair/1".to_owned(), "no such path"),
        ("/nothing".to_owned(), "no such path"),
        ("/sql".to_owned(), "is not for GET"),
    ] {
        let error = get(&server.info, &path).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{path}");
        assert!(error.message().contains(says), "{path}: {error}");
    }
    let error = get(&server.info, "/features/pear/1").await.unwrap_err();
    assert_eq!(error.hint(), Some("did you mean 'pair'?"));
}

#[tokio::test]
async fn statements_answer_as_json_and_as_an_arrow_stream() {
    let server = start().await;
    let sql = |text: &str| post("/sql", &serde_json::json!({ "sql": text }).to_string());
    let answer = raw(&server.address, &sql("SELECT 1;\nSHOW FEATURES")).await;
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(
        body,
        "{\"results\":[{\"columns\":[{\"name\":\"a\",\"type\":\"BIGINT\"},\
         {\"name\":\"b\",\"type\":\"VARCHAR\"}],\"rows\":[{\"a\":9223372036854775807,\
         \"b\":\"x\\\"y\"},{\"a\":null,\"b\":\"é\"}]},{\"text\":\"line 2\\n\"}]}"
    );
    let batches = current_values(&server.info, ODD).await.unwrap();
    assert_eq!(batches.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), 2);
    let done = define(&server.info, "DROP FEATURE a;\nDROP SOURCE b", None).await.unwrap();
    assert_eq!(done, ["defined at line 1", "defined at line 2"]);
    let desired = Some(Desired { replace: true, prune: false });
    let done = define(&server.info, "DROP FEATURE a", desired).await.unwrap();
    assert_eq!(done, ["defined at line 1 to replace"]);
    for (text, status_wanted, says) in [
        ("SELECT 1; DROP SOURCE b", 400, "definitions and queries"),
        ("SELEKT 1", 400, "(line 1, column 1)"),
        ("", 400, "no statement"),
        ("COPY (SELECT 1) TO '/tmp/x.csv'", 501, "COPY over HTTP"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO '/tmp/x.csv'", 400, "\"usage\""),
    ] {
        let answer = raw(&server.address, &sql(text)).await;
        assert_eq!(status(&answer), status_wanted, "{text}: {answer}");
        assert!(answer.contains(says), "{text}: {answer}");
    }
}

#[tokio::test]
async fn malformed_bodies_are_told_apart_from_large_and_foreign_ones() {
    let server = start().await;
    let close = "connection: close\r\n";
    let json = "content-type: application/json\r\n";
    let local = "host: localhost\r\n";
    let large = "x".repeat(1 << 20);
    let chunked = format!(
        "POST /sql HTTP/1.1\r\n{local}{json}{close}transfer-encoding: chunked\r\n\r\n\
         100001\r\n{large}x\r\n0\r\n\r\n"
    );
    for (request, wanted) in [
        (format!("GET /health HTTP/1.1\r\nhost: evil.example\r\n{close}\r\n"), 403),
        (format!("GET /health HTTP/1.1\r\n{local}origin: http://evil.example\r\n{close}\r\n"), 403),
        (format!("POST /sql HTTP/1.1\r\n{local}content-length: 0\r\n{close}\r\n"), 415),
        (post("/sql", "{\"sql\""), 400),
        (post("/sql", "{\"sql\": 1}"), 400),
        (post("/sql", "{\"sql\": \"SELECT 1\", \"x\": 1}"), 400),
        (post("/get-online-features", "{"), 400),
        (format!("POST /sql HTTP/1.1\r\n{local}{json}content-length: 2000000\r\n{close}\r\n"), 413),
        (chunked, 413),
        (format!("DELETE /health HTTP/1.1\r\n{local}{close}\r\n"), 405),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET /features/{}/1 HTTP/1.1\r\n{local}{close}\r\n", "x".repeat(30_000)), 404),
        (format!("GET /{} HTTP/1.1\r\n{local}\r\n", "x".repeat(100_000)), 414),
    ] {
        let answer = raw(&server.address, &request).await;
        let shown = &request[..request.len().min(60)];
        let got = status(&answer);
        // hyper answers an overlong head with 414 or 431.
        assert!(got == wanted || (wanted == 414 && got == 431), "{shown}: {answer}");
        if wanted != 414 && !request.starts_with("nonsense") {
            assert!(answer.contains("{\"error\":{"), "{answer}");
            assert!(answer.len() < 2_000, "{}", answer.len());
        }
    }
}

#[tokio::test]
async fn health_readiness_status_and_metrics_are_told() {
    let server = start().await;
    assert_eq!(get(&server.info, "/health").await.unwrap(), "{\"status\":\"ok\"}");
    assert_eq!(get(&server.info, "/ready").await.unwrap(), "{\"status\":\"ready\"}");
    server.engine.behind.store(true, Ordering::SeqCst);
    let error = get(&server.info, "/ready").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    let status = get(&server.info, "/status").await.unwrap();
    assert_eq!(status, "{\"features\":[\"pair\",\"user spend/é\"]}");
    get(&server.info, "/features/pair?id=1&shop=x").await.unwrap();
    get(&server.info, "/features/pair?id=1").await.unwrap_err();
    let metrics = get(&server.info, "/metrics").await.unwrap();
    for line in [
        "skewless_rows_total 1",
        "skewless_http_requests_total{path=\"features\",status=\"2xx\"} 1",
        "skewless_http_requests_total{path=\"features\",status=\"4xx\"} 1",
        "skewless_http_requests_total{path=\"other\",status=\"5xx\"} 1",
        "skewless_http_request_duration_seconds_count{path=\"features\"} 2",
        "skewless_http_request_duration_seconds_bucket{path=\"features\",le=\"+Inf\"} 2",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn tokens_open_what_they_are_for() {
    let (read, admin) = ("read-0123456789abcdef", "admin-0123456789abcdef");
    let mut options = options();
    options.tokens.add(Right::Read, "r", read).unwrap();
    options.tokens.add(Right::Admin, "a", admin).unwrap();
    let server = start_with(Fixture::default(), options, |_| {}).await;
    let ask = |request: String, token: &str| {
        let (first, rest) = request.split_once("\r\n").unwrap();
        format!("{first}\r\nauthorization: Bearer {token}\r\n{rest}")
    };
    let page = "GET /features/pair?id=1&shop=x HTTP/1.1\r\nhost: localhost\r\n\
                connection: close\r\n\r\n";
    let page = || page.to_owned();
    let health = "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let query = || post("/sql", "{\"sql\": \"SELECT 1\"}");
    let definition = || post("/sql", "{\"sql\": \"DROP FEATURE x\"}");
    for (request, wanted) in [
        (page(), 401),
        (ask(page(), "wrong-0123456789abcdef"), 401),
        (ask(page(), read), 200),
        (ask(page(), admin), 200),
        (health.to_owned(), 200),
        (query(), 401),
        (ask(query(), read), 200),
        (ask(definition(), read), 403),
        (ask(definition(), admin), 200),
        ("GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".to_owned(), 401),
    ] {
        let answer = raw(&server.address, &request).await;
        assert_eq!(status(&answer), wanted, "{request}\n{answer}");
        assert!(!answer.contains("0123456789"), "a token was shown: {answer}");
        assert_eq!(answer.contains("www-authenticate: Bearer"), wanted == 401, "{answer}");
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
    let error = get(&server.info, "/health").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}

fn gated(permits: usize) -> Fixture {
    Fixture { gate: Some(tokio::sync::Semaphore::new(permits)), ..Fixture::default() }
}

const PAGE: &str = "GET /features/pair?id=1&shop=x HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_server_ends() {
    let server = start_with(gated(0), options(), |_| {}).await;
    let mut asking = TcpStream::connect(&server.address).await.unwrap();
    asking.write_all(PAGE.as_bytes()).await.unwrap();
    let gate = server.engine.gate.as_ref().unwrap();
    // Answered by another connection: the first one has been read by then, or is read later.
    get(&server.info, "/health").await.unwrap();
    server.stop.send(true).unwrap();
    gate.add_permits(1);
    let mut answer = String::new();
    asking.read_to_string(&mut answer).await.unwrap();
    server.task.await.unwrap();
    // Either it was read before the stop and is answered whole, or the connection just ended.
    assert!(answer.is_empty() || answer.ends_with("\"status\":\"PRESENT\"}"), "{answer}");
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_when_the_time_to_drain_is_over() {
    let short = |server: &mut Server| server.drain = Duration::from_millis(50);
    let server = start_with(gated(0), options(), short).await;
    let mut asking = TcpStream::connect(&server.address).await.unwrap();
    asking.write_all(PAGE.as_bytes()).await.unwrap();
    server.stop.send(true).unwrap();
    server.task.await.unwrap();
    let mut answer = Vec::new();
    if let Err(error) = asking.read_to_end(&mut answer).await {
        // Cut off before the request was taken from the socket.
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    assert!(answer.is_empty());
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_closed() {
    let server = start_with(gated(0), options(), |server| server.connections_max = 1).await;
    let mut first = TcpStream::connect(&server.address).await.unwrap();
    first.write_all(PAGE.as_bytes()).await.unwrap();
    let mut second = TcpStream::connect(&server.address).await.unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    server.engine.gate.as_ref().unwrap().add_permits(1);
    let mut found = [0u8; 15];
    first.read_exact(&mut found).await.unwrap();
    assert_eq!(&found, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn silent_and_slow_clients_are_sent_away() {
    let quick = |server: &mut Server| server.header_timeout = Duration::from_millis(50);
    let server = start_with(Fixture::default(), options(), quick).await;
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    let mut slow = TcpStream::connect(&server.address).await.unwrap();
    slow.write_all(b"GET /health HTTP/1.1\r\nhost: loc").await.unwrap();
    // Both ends are seen only because the server closes.
    let mut left = Vec::new();
    silent.read_to_end(&mut left).await.unwrap();
    slow.read_to_end(&mut left).await.unwrap();
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_in_time() {
    let quick = |server: &mut Server| server.body_timeout = Some(Duration::from_millis(50));
    let server = start_with(Fixture::default(), options(), quick).await;
    for path in ["/sql", "/get-online-features"] {
        let mut slow = TcpStream::connect(&server.address).await.unwrap();
        let head = post(path, "{\"features\": [\"pair:n\"], \"entities\": {}}");
        slow.write_all(&head.as_bytes()[..head.len() - 10]).await.unwrap();
        let mut answer = String::new();
        slow.read_to_string(&mut answer).await.unwrap();
        assert_eq!(status(&answer), 408, "{path}: {answer}");
        assert!(answer.contains("no whole body within 50ms"), "{answer}");
    }
    // Others are not held up by those.
    assert_eq!(get(&server.info, "/health").await.unwrap(), "{\"status\":\"ok\"}");
}

#[tokio::test]
async fn other_machines_are_let_in_only_with_tokens_or_when_told() {
    let everywhere = || ServeOptions::plain(([0, 0, 0, 0], 0).into());
    let error = Server::bind(everywhere()).await.err().unwrap();
    assert_eq!(error.kind(), Kind::NotSupported);
    let told = ServeOptions { insecure: true, ..everywhere() };
    assert_eq!(Server::bind(told).await.unwrap().guard, Guard::Open);
    let mut guarded = everywhere();
    guarded.tokens.add(Right::Read, "r", "read-0123456789abcdef").unwrap();
    assert_eq!(Server::bind(guarded).await.unwrap().guard, Guard::Open);
    let server = start().await;
    let taken = ServeOptions::plain(server.address.parse().unwrap());
    let error = Server::bind(taken).await.err().unwrap();
    assert!(error.hint().is_some_and(|hint| hint.contains("--no-http")), "{error}");
}

/// A new certificate and its key, by the program `openssl`.
fn certificate(directory: &std::path::Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "1", "-subj", "/CN=features.example", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

#[tokio::test]
async fn tls_is_spoken_and_only_the_announced_certificate_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(directory.path());
    let secure = ServeOptions { tls: Some((cert.clone(), key)), ..options() };
    let quick = |server: &mut Server| server.header_timeout = Duration::from_millis(200);
    let server = start_with(Fixture::default(), secure, quick).await;
    assert_eq!(get(&server.info, "/health").await.unwrap(), "{\"status\":\"ok\"}");
    let other = tempfile::tempdir().unwrap();
    let (foreign, foreign_key) = certificate(other.path());
    let distrustful = EngineInfo { certificate: Some(foreign), ..server.info.clone() };
    assert_eq!(get(&distrustful, "/health").await.unwrap_err().kind(), Kind::Unavailable);
    let plain = EngineInfo { certificate: None, ..server.info.clone() };
    assert_eq!(get(&plain, "/health").await.unwrap_err().kind(), Kind::Unavailable);
    // Says nothing at all: the handshake has a deadline too.
    let mut silent = TcpStream::connect(&server.address).await.unwrap();
    silent.read_to_end(&mut Vec::new()).await.unwrap();
    for (cert, key, says) in [
        (cert.clone(), foreign_key, "is it the key of this certificate?"),
        (cert.clone(), cert.clone(), "unencrypted key"),
        (directory.path().join("none.pem"), cert, "PEM file"),
    ] {
        let wrong = ServeOptions { tls: Some((cert, key)), ..options() };
        let error = Server::bind(wrong).await.err().unwrap();
        assert!(error.hint().is_some_and(|hint| hint.contains(says)), "{error}");
    }
}
