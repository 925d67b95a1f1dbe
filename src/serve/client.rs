//! Asks the engine that runs in a home, for commands: one GET per connection. Must never be
//! pointed at anything but the address the engine announced.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{Error, Result};
use crate::serve::engine::KeyText;
use crate::serve::json::read_error;

/// How long the engine may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest answer read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Everything but letters, digits and these is encoded in paths and queries.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The path of one entity's values; `at` is RFC 3339 or `now`.
pub fn feature_path(feature: &str, key: &KeyText, at: Option<&str>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let mut path = format!("/features/{}", encode(feature));
    let mut query = Vec::new();
    match key {
        // A path segment cannot be empty, nor `.` or `..` for every client in between.
        KeyText::Single(value) => path.push_str(&format!("/{}", encode(value))),
        KeyText::Named(pairs) => {
            query.extend(pairs.iter().map(|(name, v)| format!("{}={}", encode(name), encode(v))));
        }
    }
    query.extend(at.map(|at| format!("at={}", encode(at))));
    if !query.is_empty() {
        path.push('?');
        path.push_str(&query.join("&"));
    }
    path
}

/// The body of the answer; an error answer becomes the error it carries.
pub async fn get(address: &str, path: &str) -> Result<String> {
    let down = |why: String| {
        Error::unavailable(format!("the engine at {address}: {why}"))
            .with_hint("is `skewless run` still up in this home?")
    };
    let exchange = tokio::time::timeout(TIMEOUT, exchange(address, path)).await;
    let bytes = match exchange {
        Ok(bytes) => bytes.map_err(|e| down(e.to_string()))?,
        Err(_) => return Err(down("no answer in time".to_owned())),
    };
    let (status, body) = split(&bytes).ok_or_else(|| down("not an HTTP answer".to_owned()))?;
    if (200..300).contains(&status) { Ok(body) } else { Err(read_error(status, &body)) }
}

async fn exchange(address: &str, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Status and body; the body must be as long as it says (our server always says).
fn split(answer: &[u8]) -> Option<(u16, String)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let body = answer.get(end + 4..)?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length?.1.trim().parse().ok()?;
    if body.len() != length {
        return None;
    }
    Some((status, String::from_utf8(body.to_vec()).ok()?))
}
