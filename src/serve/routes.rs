//! Paths → calls of the engine. Every answer but metrics is JSON; every error has kind, message
//! and hint. What the interface names and is not built answers 501.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::error::{Error, Kind, Result};
use crate::model::time::EventTime;
use crate::serve::engine::{Engine, KeyText};
use crate::serve::guard::Guard;
use crate::serve::json;

/// Largest request body.
pub const BODY_BYTES_MAX: u64 = 1 << 20;
/// How long the engine may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

type Shared = Arc<dyn Engine>;
type Pairs = Vec<(String, String)>;

/// The whole service.
pub fn router(engine: Arc<dyn Engine>, guard: Guard) -> Router {
    Router::new()
        .route("/features/{feature}/{key}", get(feature_by_key))
        .route("/features/{feature}", get(feature_by_columns))
        .route("/health", get(|| async { ok("{\"status\":\"ok\"}".to_owned()) }))
        .route("/ready", get(ready))
        .route(
            "/status",
            get(|State(engine): State<Shared>| async move { ok(engine.status().to_string()) }),
        )
        .route("/metrics", get(metrics))
        .route("/get-online-features", post(|| async { not_yet("POST /get-online-features") }))
        .route("/sql", post(|| async { not_yet("POST /sql") }))
        .fallback(|request: Request| async move {
            let what =
                format!("no such path: {}", crate::online::text::shown(request.uri().path()));
            let hint = "GET /features/{feature}/{key}, /health, /ready, /status or /metrics";
            failed(StatusCode::NOT_FOUND, &Error::usage(what).with_hint(hint))
        })
        .method_not_allowed_fallback(|request: Request| async move {
            let error =
                Error::usage(format!("{} is not for {}", request.uri().path(), request.method()));
            failed(StatusCode::METHOD_NOT_ALLOWED, &error)
        })
        .layer(from_fn_with_state(guard, admit))
        .with_state(engine)
}

/// What holds for every request: who asks, how much is sent, and as what.
async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match objection(guard, &request) {
        Some(response) => response,
        None => next.run(request).await,
    }
}

fn objection(guard: Guard, request: &Request) -> Option<Response> {
    if let Err(error) = guard.check(request) {
        return Some(failed(StatusCode::FORBIDDEN, &error));
    }
    let header = |name| request.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let length = header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        let error = Error::usage(format!("a body of more than {BODY_BYTES_MAX} bytes"));
        return Some(failed(StatusCode::PAYLOAD_TOO_LARGE, &error));
    }
    if request.method() == axum::http::Method::POST {
        let kind = header(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next());
        if !kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
            let error = Error::usage("POST without content-type: application/json");
            return Some(failed(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error));
        }
    }
    None
}

async fn feature_by_key(
    State(engine): State<Shared>,
    Path((feature, key)): Path<(String, String)>,
    query: Result<Query<Pairs>, QueryRejection>,
) -> Response {
    let asked = pairs(query).and_then(|(named, at)| match named.first() {
        None => Ok((KeyText::Single(key), at)),
        Some((name, _)) => Err(Error::usage(format!("`{name}` beside a key in the path"))
            .with_hint("use /features/{feature}/{key} or /features/{feature}?column=value")),
    });
    probe(&engine, &feature, asked).await
}

async fn feature_by_columns(
    State(engine): State<Shared>,
    Path(feature): Path<String>,
    query: Result<Query<Pairs>, QueryRejection>,
) -> Response {
    probe(&engine, &feature, pairs(query).map(|(named, at)| (KeyText::Named(named), at))).await
}

/// Key columns and the time asked for; `at` is never a key column here.
fn pairs(query: Result<Query<Pairs>, QueryRejection>) -> Result<(Pairs, Option<EventTime>)> {
    let Query(mut named) = query.map_err(|e| Error::usage(e.body_text()))?;
    let mut time = None;
    if let Some(found) = named.iter().position(|(name, _)| name == "at") {
        let (_, text) = named.remove(found);
        if text != "now" {
            time = Some(EventTime::parse(&text).ok_or_else(|| {
                Error::usage(format!("at=`{}` is no time", crate::online::text::shown(&text)))
                    .with_hint("write RFC 3339, for example 2026-01-31T12:00:00Z, or now")
            })?);
        }
    }
    for (at, (name, _)) in named.iter().enumerate() {
        if named.iter().skip(at + 1).any(|(other, _)| other == name) || name == "at" {
            return Err(Error::usage(format!("`{name}` is given twice")));
        }
    }
    Ok((named, time))
}

async fn probe(
    engine: &Shared,
    feature: &str,
    asked: Result<(KeyText, Option<EventTime>)>,
) -> Response {
    let (key, at) = match asked {
        Ok(asked) => asked,
        Err(error) => return refused(&error),
    };
    if !engine.has_feature(feature) {
        let what = format!("no feature `{}` is served", crate::online::text::shown(feature));
        let error = Error::usage(what).with_hint("GET /status lists the features");
        return failed(StatusCode::NOT_FOUND, &error);
    }
    let answer = match tokio::time::timeout(ANSWER_TIMEOUT, engine.get(feature, key, at)).await {
        Ok(answer) => answer.and_then(|answer| json::answer(&answer)),
        Err(_) => Err(Error::unavailable("the engine did not answer in time")
            .with_hint("it is busy: ask again")),
    };
    match answer {
        Ok(body) => ok(body),
        Err(error) => refused(&error),
    }
}

async fn ready(State(engine): State<Shared>) -> Response {
    match engine.ready() {
        Ok(()) => ok("{\"status\":\"ready\"}".to_owned()),
        Err(error) => failed(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

async fn metrics(State(engine): State<Shared>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], engine.metrics()).into_response()
}

fn not_yet(what: &str) -> Response {
    refused(&Error::not_yet(what))
}

fn ok(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn failed(status: StatusCode, error: &Error) -> Response {
    let mut response =
        (status, [(header::CONTENT_TYPE, "application/json")], json::error(error)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// An error with the status of its kind.
fn refused(error: &Error) -> Response {
    let status = match error.kind() {
        Kind::Usage => StatusCode::BAD_REQUEST,
        Kind::NotSupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Data => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::Unavailable | Kind::Exhausted | Kind::Fenced | Kind::Interrupted => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    failed(status, error)
}
