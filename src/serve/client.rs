//! Asks the engine that runs in a home, for commands: one request per connection. Must never be
//! pointed at anything but the address the engine announced: it sends the token there.

use std::time::Duration;

use arrow::array::RecordBatch;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::checkpoint::home::EngineInfo;
use crate::error::{Error, Result};
use crate::serve::engine::Desired;
use crate::serve::json::read_error;
use crate::serve::routes::{ARROW_STREAM, DEFINE_TIMEOUT};
use crate::serve::{sql, tls};
use crate::sql::printer::name_text;

/// How long the engine may take to accept a connection and to answer with a head.
const TIMEOUT: Duration = Duration::from_secs(65);
/// The longest answer read.
const ANSWER_BYTES_MAX: usize = 2 << 30;
/// Everything but letters, digits and these is encoded in paths and queries.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The token for an engine that asks for one.
const TOKEN_VARIABLE: &str = "SKEWLESS_TOKEN";

/// The path of one entity's values by its key columns; `at` is RFC 3339 or `now`.
pub fn feature_path(feature: &str, key: &[(String, String)], at: Option<&str>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let mut path = format!("/features/{}", encode(feature));
    let mut query: Vec<String> =
        key.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    query.extend(at.map(|at| format!("at={}", encode(at))));
    if !query.is_empty() {
        path.push('?');
        path.push_str(&query.join("&"));
    }
    path
}

/// The body of the answer to a GET; an error answer becomes the error it carries.
pub async fn get(engine: &EngineInfo, path: &str) -> Result<String> {
    let request = Request::get(path);
    let body = send(engine, request, Body::empty(), TIMEOUT).await?;
    String::from_utf8(body.to_vec()).map_err(|_| Error::data("the engine's answer is not UTF-8"))
}

/// The current values of a feature: its output columns, one row per entity.
pub async fn current_values(engine: &EngineInfo, feature: &str) -> Result<Vec<RecordBatch>> {
    let statement = format!("SELECT * FROM {}", name_text(feature));
    let request = Request::post("/sql").header(header::ACCEPT, ARROW_STREAM);
    let body = send(engine, request, submission(&statement), TIMEOUT).await?;
    Ok(sql::read_arrow(&body)?.1)
}

/// Hands statements that change definitions to the engine; its answer, line by line.
pub async fn define(
    engine: &EngineInfo,
    statements: &str,
    desired: Option<Desired>,
) -> Result<Vec<String>> {
    let mut request = serde_json::json!({ "sql": statements });
    if let Some(desired) = desired {
        request["apply"] = serde_json::json!(desired);
    }
    let limit = DEFINE_TIMEOUT + TIMEOUT;
    let body = Body::from(request.to_string());
    let body = send(engine, Request::post("/sql"), body, limit).await?;
    let answer: serde_json::Value = serde_json::from_slice(&body)
        .map_err(|e| Error::data(format!("the engine's answer: {e}")))?;
    let results = answer.get("results").and_then(|r| r.as_array()).into_iter().flatten();
    let done = results.filter_map(|result| result.get("done")?.as_str());
    Ok(done.map(str::to_owned).collect())
}

/// Has every current value of a feature written to its online store.
pub async fn rebuild(engine: &EngineInfo, feature: &str) -> Result<()> {
    let path = format!("/online/{}/rebuild", utf8_percent_encode(feature, ENCODED));
    send(engine, Request::post(path), Body::from("{}"), TIMEOUT).await.map(|_| ())
}

fn submission(statements: &str) -> Body {
    Body::from(serde_json::json!({ "sql": statements }).to_string())
}

async fn send(
    engine: &EngineInfo,
    request: axum::http::request::Builder,
    body: Body,
    limit: Duration,
) -> Result<Bytes> {
    let Some(address) = &engine.http else {
        return Err(Error::unavailable(format!(
            "the engine of this home (pid {}) serves no HTTP",
            engine.pid
        ))
        .with_hint("start it without --no-http"));
    };
    let down = |why: String| {
        Error::unavailable(format!("the engine at {address}: {why}"))
            .with_hint("is `skewless run` still up in this home?")
    };
    let mut request =
        request.header(header::HOST, address).header(header::CONTENT_TYPE, "application/json");
    if let Ok(token) = std::env::var(TOKEN_VARIABLE) {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request
        .body(body)
        .map_err(|e| Error::usage(format!("a request that HTTP cannot hold: {e}")))?;
    let exchange = async {
        let stream = TcpStream::connect(address).await.map_err(|e| down(e.to_string()))?;
        match &engine.certificate {
            None => exchange(stream, request).await.map_err(down),
            Some(certificate) => {
                let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
                let stream = tls::connector(certificate)?.connect(name, stream).await;
                exchange(stream.map_err(|e| down(e.to_string()))?, request).await.map_err(down)
            }
        }
    };
    let (status, body) = match tokio::time::timeout(limit, exchange).await {
        Ok(answer) => answer?,
        Err(_) => return Err(down("no answer in time".to_owned())),
    };
    if status.is_success() {
        return Ok(body);
    }
    Err(read_error(status.as_u16(), &String::from_utf8_lossy(&body)))
}

/// One request and its whole answer.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Body>,
) -> Result<(StatusCode, Bytes), String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| e.to_string())?;
    // Ends with the exchange: the sender is dropped.
    let driver = tokio::spawn(connection);
    let answer = async {
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = response.status();
        let body = to_bytes(Body::new(response.into_body()), ANSWER_BYTES_MAX).await;
        Ok((status, body.map_err(|e| e.to_string())?))
    };
    let answer = answer.await;
    driver.abort();
    answer
}
