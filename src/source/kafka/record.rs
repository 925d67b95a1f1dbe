//! A record of a topic → a message: value, key, timestamp, headers as a JSON text. Called by
//! `kafka` for every record; must not allocate per record.

use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::model::text::write_json_string;
use crate::model::time::EventTime;
use crate::source::records::Messages;

/// Copies a record. Ours are the first 120 bytes of what is oversize.
pub(super) fn take(messages: &mut Messages, message: &BorrowedMessage<'_>, bytes_max: usize) {
    messages.push(message.offset(), message.payload(), bytes_max);
    messages.set_key(message.key());
    let ms = message.timestamp().to_millis();
    messages.set_timestamp(ms.filter(|ms| *ms >= 0).map(|ms| EventTime(ms.saturating_mul(1_000))));
    if let Some(headers) = message.headers() {
        messages.set_headers(&headers_json(headers));
    }
}

/// `[["name", "text"], …]` in the order of the record (names may repeat); a value that is not
/// text is `{"base64": "…"}`.
pub(super) fn headers_json(headers: &impl Headers) -> Vec<u8> {
    use base64::Engine as _;
    let mut out = vec![b'['];
    for header in headers.iter() {
        if out.len() > 1 {
            out.push(b',');
        }
        out.push(b'[');
        write_json_string(header.key, &mut out);
        out.push(b',');
        match header.value.map(|value| (value, std::str::from_utf8(value))) {
            None => out.extend_from_slice(b"null"),
            Some((_, Ok(text))) => write_json_string(text, &mut out),
            Some((bytes, Err(_))) => {
                out.extend_from_slice(b"{\"base64\":");
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                write_json_string(&text, &mut out);
                out.push(b'}');
            }
        }
        out.push(b']');
    }
    out.push(b']');
    out
}
