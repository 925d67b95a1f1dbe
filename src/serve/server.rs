//! Accepts connections, bounds what each may cost, and drains them at the end.
//!
//! An accept loop of our own, because `axum::serve` installs no timer and so has no header
//! timeout. hyper's timeout runs from the accept and between keep-alive requests, so a client
//! that connects and stays silent, or sends a byte a minute, is gone after [`HEADER_TIMEOUT`].
//! Must never be reachable from other machines without being told to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::error::{Error, Result};
use crate::serve::engine::Engine;
use crate::serve::guard::Guard;
use crate::serve::routes::{Service, router};
use crate::serve::tls;
use crate::serve::token::Tokens;
use crate::serve::traffic::Traffic;

/// How long a client may take to send the head of a request, and to stay idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at a time; one more is told 503 and closed.
const CONNECTIONS_MAX: usize = 2_048;
/// How long running requests may take to end when the server stops.
const DRAIN: Duration = Duration::from_secs(10);
/// The largest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Where to listen, and to whom.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    pub address: SocketAddr,
    /// Listen beyond loopback although there is no authentication.
    pub insecure: bool,
    pub tokens: Tokens,
    /// Certificate and private key, PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl ServeOptions {
    /// Listens without tokens and TLS.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, insecure: false, tokens: Tokens::default(), tls: None }
    }
}

/// A bound listener, not serving yet: the address is known and announced before the first answer.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
    tokens: Tokens,
    tls: Option<TlsAcceptor>,
    header_timeout: Duration,
    /// Another than usual for the body of a request.
    body_timeout: Option<Duration>,
    connections_max: usize,
    drain: Duration,
}

impl Server {
    /// Binds; port 0 takes a free one. Fails if the port is taken, the certificate cannot be used,
    /// or beyond loopback without tokens and without `insecure`.
    pub async fn bind(options: ServeOptions) -> Result<Self> {
        let loopback = options.address.ip().is_loopback();
        if !loopback && options.tokens.is_empty() && !options.insecure {
            let what = format!("listening on {} without authentication", options.address);
            return Err(Error::not_supported(what).with_hint(
                "listen on 127.0.0.1, give tokens (--read-tokens FILE), or add --insecure if the \
                 network is trusted",
            ));
        }
        let tls = match &options.tls {
            Some((certificate, key)) => Some(tls::acceptor(certificate, key)?),
            None => None,
        };
        let listener = TcpListener::bind(options.address).await.map_err(|e| {
            Error::unavailable(format!("cannot listen on {}: {e}", options.address))
                .with_hint("choose another address with --http, or --no-http")
        })?;
        let address = listener.local_addr()?;
        let guard = if loopback { Guard::Loopback } else { Guard::Open };
        Ok(Self {
            listener,
            address,
            guard,
            tokens: options.tokens,
            tls,
            header_timeout: HEADER_TIMEOUT,
            body_timeout: None,
            connections_max: CONNECTIONS_MAX,
            drain: DRAIN,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is true (or its sender is gone), then lets running requests end.
    pub async fn run(self, engine: Arc<dyn Engine>, mut stop: watch::Receiver<bool>) {
        let traffic = Arc::new(Traffic::default());
        let mut service = Service::new(engine, self.guard, self.tokens, traffic.clone());
        service.body_timeout = self.body_timeout.unwrap_or(service.body_timeout);
        let router = router(Arc::new(service));
        let slots = Arc::new(Semaphore::new(self.connections_max));
        let (cut, cut_off) = watch::channel(false);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stopped(&mut stop) => break,
            };
            match accepted {
                Ok((stream, _)) => match slots.clone().try_acquire_owned() {
                    Ok(slot) => {
                        let connection = Connection {
                            router: router.clone(),
                            header_timeout: self.header_timeout,
                            stop: stop.clone(),
                            cut_off: cut_off.clone(),
                        };
                        let (tls, traffic) = (self.tls.clone(), traffic.clone());
                        tokio::spawn(async move {
                            traffic.connections.fetch_add(1, Relaxed);
                            connection.serve(stream, tls).await;
                            traffic.connections.fetch_sub(1, Relaxed);
                            drop(slot);
                        });
                    }
                    Err(_) => {
                        traffic.turned_away.fetch_add(1, Relaxed);
                        // A TLS client could not read it; closing says enough.
                        if self.tls.is_none() {
                            turn_away(&stream);
                        }
                    }
                },
                Err(error) => {
                    // Out of descriptors: the others need a moment to end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        drop(self.listener);
        let all = u32::try_from(self.connections_max).unwrap_or(u32::MAX);
        if tokio::time::timeout(self.drain, slots.acquire_many(all)).await.is_err() {
            tracing::warn!("requests were still running when the server stopped");
            cut.send_replace(true);
        }
    }
}

/// Ends when the server is told to stop, or nobody is left who could tell it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await.map(drop);
}

/// One connection, until the client leaves, is too slow, or the server stops.
struct Connection {
    router: Router,
    header_timeout: Duration,
    stop: watch::Receiver<bool>,
    /// The time to end in an orderly way is over.
    cut_off: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.answer(stream).await };
        match tokio::time::timeout(self.header_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.answer(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn answer(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = TowerToHyperService::new(self.router);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut self.stop) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    () = stopped(&mut self.cut_off) => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended badly");
        }
    }
}

/// Says 503 if the socket takes it at once; closing says the rest.
fn turn_away(stream: &TcpStream) {
    let text = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\
                connection: close\r\n\r\n";
    let _ = stream.try_write(text.as_bytes());
}

#[cfg(test)]
mod tests;
