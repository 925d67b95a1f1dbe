//! Paths → calls of the engine, and what holds for every request: who asks, how much at once, in
//! what form. Every answer but metrics and Arrow streams is JSON; every error has kind, message
//! and hint.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::model::time::EventTime;
use crate::online::text::shown;
use crate::serve::engine::{Engine, Keys, no_such_feature};
use crate::serve::exposition::{self, Exposition};
use crate::serve::guard::Guard;
use crate::serve::token::{Right, Tokens, Verdict};
use crate::serve::traffic::{Route, Traffic};
use crate::serve::{feast, json, sql};

/// Largest request body.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// The content type of Arrow streams.
pub const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";
/// Entities in one GET.
const ENTITIES_MAX: usize = 1_000;
/// Requests under way at a time; one more is told 503.
const REQUESTS_MAX: usize = 1_024;
/// Submissions of SQL under way at a time: each may use all cores and much memory.
const SQL_MAX: usize = 4;
/// How long the engine may take for values.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long statements may take.
const SQL_TIMEOUT: Duration = Duration::from_secs(60);
/// A change of definitions takes a checkpoint; it is made also if nobody waits for it.
pub(super) const DEFINE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// What answers need.
pub struct Service {
    pub engine: Arc<dyn Engine>,
    pub guard: Guard,
    pub tokens: Tokens,
    pub traffic: Arc<Traffic>,
    pub body_timeout: Duration,
    requests: Semaphore,
    submissions: Semaphore,
}

impl Service {
    pub fn new(
        engine: Arc<dyn Engine>,
        guard: Guard,
        tokens: Tokens,
        traffic: Arc<Traffic>,
    ) -> Self {
        let (requests, submissions) = (Semaphore::new(REQUESTS_MAX), Semaphore::new(SQL_MAX));
        let body_timeout = BODY_TIMEOUT;
        Self { engine, guard, tokens, traffic, body_timeout, requests, submissions }
    }
}

type Shared = Arc<Service>;
type Pairs = Vec<(String, String)>;

/// The whole service.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/features/{feature}/{key}", get(feature_by_key))
        .route("/features/{feature}", get(feature_by_columns))
        .route("/health", get(|| async { ok("{\"status\":\"ok\"}".to_owned()) }))
        .route("/ready", get(ready))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .route("/get-online-features", post(online_features))
        .route("/sql", post(submission))
        .route("/online/{feature}/rebuild", post(rebuild))
        .fallback(|request: Request| async move {
            let what = format!("no such path: {}", shown(request.uri().path()));
            let hint = "GET /features/{feature}/{key}, /health, /ready, /status or /metrics; \
                        POST /get-online-features, /sql or /online/{feature}/rebuild";
            failed(StatusCode::NOT_FOUND, &Error::usage(what).with_hint(hint))
        })
        .method_not_allowed_fallback(|request: Request| async move {
            let path = shown(request.uri().path());
            let error = Error::usage(format!("{path} is not for {}", request.method()));
            failed(StatusCode::METHOD_NOT_ALLOWED, &error)
        })
        .layer(from_fn_with_state(service.clone(), admit))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(service)
}

fn route_of(path: &str) -> Route {
    match path {
        "/get-online-features" => Route::OnlineFeatures,
        "/sql" => Route::Sql,
        path if path.starts_with("/features/") => Route::Features,
        _ => Route::Other,
    }
}

/// What holds for every request: who asks, how many at once, how much is sent, and as what.
async fn admit(State(service): State<Shared>, request: Request, next: Next) -> Response {
    let began = clock::monotonic();
    let route = route_of(request.uri().path());
    // Whoever watches the engine must get an answer when it is busiest.
    let watched = matches!(request.uri().path(), "/health" | "/ready" | "/metrics");
    let slot = match watched {
        true => None,
        false => Some(service.requests.try_acquire()),
    };
    let response = match (slot, objection(&service, &request)) {
        (_, Some(response)) => response,
        (Some(Err(_)), None) => {
            service.traffic.turned_away.fetch_add(1, Relaxed);
            busy("requests")
        }
        // The slot is held until the head of the answer is there.
        (_slot, None) => next.run(request).await,
    };
    service.traffic.count(route, response.status().as_u16(), began.elapsed());
    response
}

fn objection(service: &Service, request: &Request) -> Option<Response> {
    if let Err(error) = service.guard.check(request) {
        return Some(failed(StatusCode::FORBIDDEN, &error));
    }
    if !matches!(request.uri().path(), "/health" | "/ready")
        && let Some(response) = unauthorized(service, request.headers(), Right::Read)
    {
        return Some(response);
    }
    let header = |name| request.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let length = header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Some(too_large());
    }
    if request.method() == Method::POST {
        let kind = header(header::CONTENT_TYPE).and_then(|kind| kind.split(';').next());
        if !kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
            let error = Error::usage("POST without content-type: application/json");
            return Some(failed(StatusCode::UNSUPPORTED_MEDIA_TYPE, &error));
        }
    }
    None
}

/// The answer to somebody without the right.
fn unauthorized(service: &Service, headers: &HeaderMap, right: Right) -> Option<Response> {
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    match service.tokens.judge(given, right) {
        Verdict::Allowed => None,
        Verdict::Unknown => {
            let error = Error::usage("no token, or an unknown one")
                .with_hint("send authorization: Bearer <token>; the commands read SKEWLESS_TOKEN");
            let mut response = failed(StatusCode::UNAUTHORIZED, &error);
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
            Some(response)
        }
        Verdict::TooWeak => {
            let error = Error::usage("the token may read, not change definitions")
                .with_hint("use an admin token");
            Some(failed(StatusCode::FORBIDDEN, &error))
        }
    }
}

async fn feature_by_key(
    State(service): State<Shared>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<Pairs>, QueryRejection>,
) -> Response {
    let Path((feature, key)) = match path {
        Ok(path) => path,
        Err(rejection) => return refused(&Error::usage(rejection.body_text())),
    };
    let asked = pairs(query).and_then(|(named, at)| match named.first() {
        None => Ok((Keys::single(key), at)),
        Some((name, _)) => Err(Error::usage(format!("`{}` beside a key in the path", shown(name)))
            .with_hint("use /features/{feature}/{key} or /features/{feature}?column=value")),
    });
    probe(&service, &feature, asked).await
}

async fn feature_by_columns(
    State(service): State<Shared>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Pairs>, QueryRejection>,
) -> Response {
    let Path(feature) = match path {
        Ok(path) => path,
        Err(rejection) => return refused(&Error::usage(rejection.body_text())),
    };
    let asked = pairs(query).and_then(|(named, at)| {
        let mut columns: Vec<(String, Vec<String>)> = Vec::new();
        for (name, value) in named {
            match columns.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => columns.push((name, vec![value])),
            }
        }
        Ok((Keys::named(columns)?, at))
    });
    probe(&service, &feature, asked).await
}

/// Key columns and the time asked for; `at` is never a key column here.
fn pairs(query: Result<Query<Pairs>, QueryRejection>) -> Result<(Pairs, Option<EventTime>)> {
    let Query(mut named) = query.map_err(|e| Error::usage(e.body_text()))?;
    let mut time = None;
    if let Some(found) = named.iter().position(|(name, _)| name == "at") {
        let (_, text) = named.remove(found);
        if text != "now" {
            let parsed = EventTime::parse(&text).filter(|time| time.in_range());
            time = Some(parsed.ok_or_else(|| {
                Error::usage(format!("at=`{}` is no time", shown(&text)))
                    .with_hint("write RFC 3339, for example 2026-01-31T12:00:00Z, or now")
            })?);
        }
    }
    if named.iter().any(|(name, _)| name == "at") {
        return Err(Error::usage("`at` is given twice"));
    }
    Ok((named, time))
}

async fn probe(
    service: &Service,
    feature: &str,
    asked: Result<(Keys, Option<EventTime>)>,
) -> Response {
    let engine = service.engine.as_ref();
    let (keys, at) = match asked {
        Ok(asked) => asked,
        Err(error) => return refused(&error),
    };
    if !engine.serves(feature) {
        return failed(StatusCode::NOT_FOUND, &no_such_feature(&engine.features(), feature));
    }
    let rows = keys.rows();
    if rows > ENTITIES_MAX {
        let error = Error::usage(format!("{rows} entities in one request"));
        let hint = format!("ask for at most {ENTITIES_MAX}, or POST /get-online-features");
        return refused(&error.with_hint(hint));
    }
    let answers = within(ANSWER_TIMEOUT, engine.read(feature, keys, at)).await;
    let body = answers.and_then(|answers| {
        let mut out = String::with_capacity(256 * rows);
        if rows == 1 {
            json::answer(&answers, 0, &mut out)?;
            return Ok(out);
        }
        for row in 0..rows {
            out.push(if row == 0 { '[' } else { ',' });
            json::answer(&answers, row, &mut out)?;
        }
        out.push_str(if rows == 0 { "[]" } else { "]" });
        Ok(out)
    });
    match body {
        Ok(body) => ok(body),
        Err(error) => refused(&error),
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::unavailable("the engine did not answer in time")
            .with_hint("it is busy: ask again, or for less")),
    }
}

async fn online_features(State(service): State<Shared>, request: Request) -> Response {
    let body = match body_of(&service, request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let answer = feast::online_features(service.engine.as_ref(), &body);
    match within(ANSWER_TIMEOUT, answer).await {
        Ok(body) => ok(body),
        Err(error) => refused(&error),
    }
}

async fn submission(State(service): State<Shared>, request: Request) -> Response {
    let Ok(_slot) = service.submissions.try_acquire() else {
        service.traffic.turned_away.fetch_add(1, Relaxed);
        return busy("submissions of SQL");
    };
    let headers = request.headers().clone();
    let body = match body_of(&service, request).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let submitted = match sql::submitted(&body) {
        Ok(submitted) => submitted,
        Err(error) => return refused(&error),
    };
    let statements = &submitted.statements;
    let defines = submitted.desired.is_some() || statements.iter().any(sql::defines);
    if defines && let Some(response) = unauthorized(&service, &headers, Right::Admin) {
        return response;
    }
    let engine = service.engine.as_ref();
    let accepted = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    if accepted.is_some_and(|kinds| kinds.contains(ARROW_STREAM)) {
        return match within(SQL_TIMEOUT, sql::as_arrow(engine, statements)).await {
            Ok(body) => ([(header::CONTENT_TYPE, ARROW_STREAM)], body).into_response(),
            Err(error) => refused(&error),
        };
    }
    let limit = if defines { DEFINE_TIMEOUT } else { SQL_TIMEOUT };
    match within(limit, sql::as_json(engine, &submitted)).await {
        Ok(body) => ok(body),
        Err(error) => refused(&error),
    }
}

async fn rebuild(
    State(service): State<Shared>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    if let Some(response) = unauthorized(&service, &headers, Right::Admin) {
        return response;
    }
    let Path(feature) = match path {
        Ok(path) => path,
        Err(rejection) => return refused(&Error::usage(rejection.body_text())),
    };
    match within(ANSWER_TIMEOUT, service.engine.rebuild(&feature)).await {
        Ok(()) => ok("{\"status\":\"begun\"}".to_owned()),
        Err(error) => refused(&error),
    }
}

/// The whole body, within bytes and time; else the answer that says so.
async fn body_of(service: &Service, request: Request<Body>) -> Result<Bytes, Response> {
    let limit = service.body_timeout;
    match tokio::time::timeout(limit, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(BytesRejection::FailedToBufferBody(reason)))
            if reason.status() == StatusCode::PAYLOAD_TOO_LARGE =>
        {
            Err(too_large())
        }
        Ok(Err(reason)) => Err(refused(&Error::usage(reason.body_text()))),
        Err(_) => {
            let error = Error::usage(format!("no whole body within {limit:?}"));
            Err(failed(StatusCode::REQUEST_TIMEOUT, &error))
        }
    }
}

async fn ready(State(service): State<Shared>) -> Response {
    match service.engine.ready() {
        Ok(()) => ok("{\"status\":\"ready\"}".to_owned()),
        Err(error) => failed(StatusCode::SERVICE_UNAVAILABLE, &error),
    }
}

async fn status(State(service): State<Shared>) -> Response {
    ok(service.engine.status().to_string())
}

async fn metrics(State(service): State<Shared>) -> Response {
    let mut out = Exposition::default();
    service.traffic.write(&mut out);
    let text = service.engine.metrics() + &out.finish();
    ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response()
}

fn ok(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn busy(what: &str) -> Response {
    let error = Error::unavailable(format!("too many {what} at once")).with_hint("ask again");
    failed(StatusCode::SERVICE_UNAVAILABLE, &error)
}

fn too_large() -> Response {
    let error = Error::usage(format!("a body of more than {BODY_BYTES_MAX} bytes"));
    failed(StatusCode::PAYLOAD_TOO_LARGE, &error)
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
