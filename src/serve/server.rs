//! Accepts connections, bounds what each may cost, and drains them at the end.
//!
//! An accept loop of our own, because `axum::serve` installs no timer and so has no header
//! timeout. hyper's timeout runs from the accept and between keep-alive requests, so a client
//! that connects and stays silent, or sends a byte a minute, is gone after [`HEADER_TIMEOUT`].
//! Must never be reachable from other machines without being told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::error::{Error, Result};
use crate::serve::engine::Engine;
use crate::serve::guard::Guard;
use crate::serve::routes::router;

/// How long a client may take to send the head of a request, and to stay idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at a time; one more is told 503 and closed.
const CONNECTIONS_MAX: usize = 2_048;
/// How long running requests may take to end when the server stops.
const DRAIN: Duration = Duration::from_secs(10);
/// The largest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    pub address: SocketAddr,
    /// Listen beyond loopback although there is no authentication.
    pub insecure: bool,
}

/// A bound listener, not serving yet: the address is known and announced before the first answer.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    guard: Guard,
    header_timeout: Duration,
}

impl Server {
    /// Binds; port 0 takes a free one. Fails if the port is taken, or beyond loopback without
    /// `insecure`.
    pub async fn bind(options: ServeOptions) -> Result<Self> {
        let loopback = options.address.ip().is_loopback();
        if !loopback && !options.insecure {
            let what = format!("listening on {} without authentication", options.address);
            return Err(Error::not_supported(what)
                .with_hint("listen on 127.0.0.1, or add --insecure if the network is trusted"));
        }
        let listener = TcpListener::bind(options.address).await.map_err(|e| {
            Error::unavailable(format!("cannot listen on {}: {e}", options.address))
                .with_hint("choose another address with --http, or --no-http")
        })?;
        let address = listener.local_addr()?;
        let guard = if loopback { Guard::Loopback } else { Guard::Open };
        Ok(Self { listener, address, guard, header_timeout: HEADER_TIMEOUT })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is true (or its sender is gone), then lets running requests end.
    pub async fn run(self, engine: Arc<dyn Engine>, mut stop: watch::Receiver<bool>) {
        let router = router(engine, self.guard);
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stopped(&mut stop) => break,
            };
            match accepted {
                Ok((stream, _)) => match slots.clone().try_acquire_owned() {
                    Ok(slot) => {
                        let (router, stop) = (router.clone(), stop.clone());
                        let timeout = self.header_timeout;
                        tokio::spawn(async move {
                            serve(stream, router, timeout, stop).await;
                            drop(slot);
                        });
                    }
                    Err(_) => turn_away(&stream),
                },
                Err(error) => {
                    // Out of descriptors: the others need a moment to end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        drop(self.listener);
        let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
        if tokio::time::timeout(DRAIN, slots.acquire_many(all)).await.is_err() {
            tracing::warn!("requests were still running when the server stopped");
        }
    }
}

/// Ends when the server is told to stop, or nobody is left who could tell it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stopped| *stopped).await.map(drop);
}

/// One connection, until the client leaves, is too slow, or the server stops.
async fn serve(
    stream: TcpStream,
    router: Router,
    header_timeout: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
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
