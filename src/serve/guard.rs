//! Which requests may ask at all: on loopback, only those that name this machine. A web page
//! elsewhere that makes the browser ask (cross-site request, DNS rebinding) names another Host or
//! Origin and is refused.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header;
use url::Url;

use crate::error::{Error, Kind};

/// The rule of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Host and Origin must be this machine by a loopback name.
    Loopback,
    /// Any Host; an Origin must be the Host asked.
    Open,
}

impl Guard {
    /// `Err` says what was foreign; the answer is 403.
    pub fn check(self, request: &Request) -> Result<(), Error> {
        let text = |name| Some(request.headers().get(name)?.to_str().unwrap_or(""));
        let foreign = |what: &str, value: &str| {
            let shown = crate::online::text::shown(value);
            Err(Error::new(Kind::Usage, format!("requests with {what} `{shown}` are refused"))
                .with_hint("ask http://localhost or http://127.0.0.1 from this machine"))
        };
        let host = text(header::HOST).or_else(|| Some(request.uri().authority()?.as_str()));
        // Browsers always send a Host; only plain tools leave it out (HTTP/1.0).
        if let (Self::Loopback, Some(host)) = (self, host)
            && !is_loopback(without_port(host))
        {
            return foreign("Host", host);
        }
        if let Some(origin) = text(header::ORIGIN) {
            let parsed = Url::parse(origin).ok();
            let own =
                parsed.as_ref().and_then(|url| url.host_str()).is_some_and(|name| match self {
                    Self::Loopback => is_loopback(name),
                    Self::Open => host.is_some_and(|h| without_port(h) == name),
                });
            if !own {
                return foreign("Origin", origin);
            }
        }
        Ok(())
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // An IPv6 address without a port ends in its bracket.
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

fn is_loopback(name: &str) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn allowed(guard: Guard, host: Option<&str>, origin: Option<&str>) -> bool {
        let mut request = Request::builder().uri("/health");
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        guard.check(&request.body(Body::empty()).unwrap()).is_ok()
    }

    #[test]
    fn only_loopback_names_may_ask_a_loopback_listener() {
        for host in ["localhost", "LOCALHOST:6566", "127.0.0.1:6566", "[::1]:6566", "[::1]"] {
            assert!(allowed(Guard::Loopback, Some(host), None), "{host}");
        }
        for host in ["evil.example", "evil.example:6566", "127.0.0.1.evil.example", "10.0.0.1", ""]
        {
            assert!(!allowed(Guard::Loopback, Some(host), None), "{host}");
        }
        let host = Some("localhost:6566");
        assert!(allowed(Guard::Loopback, host, Some("http://127.0.0.1:8080")));
        for origin in ["https://evil.example", "null", "http://localhost.evil.example", "x"] {
            assert!(!allowed(Guard::Loopback, host, Some(origin)), "{origin}");
        }
    }

    #[test]
    fn an_open_listener_takes_any_host_but_only_its_own_origin() {
        let host = Some("features.example:6566");
        assert!(allowed(Guard::Open, host, None));
        assert!(allowed(Guard::Open, host, Some("http://features.example")));
        assert!(!allowed(Guard::Open, host, Some("http://evil.example")));
    }
}
