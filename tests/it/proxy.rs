//! A bad network between a client and a server: passes everything on, or refuses, cuts, delays and
//! swallows. Before a Kafka broker it also tears frames in two; the broker tells clients its own
//! address, which the proxy replaces, so that they stay with the proxy.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::poll;

/// How bad it is.
#[derive(Default)]
struct State {
    refuse: AtomicBool,
    /// Answers to pass on before one is torn in two; 0 = none is.
    tear_after: AtomicUsize,
    delay_ms: AtomicU64,
    /// Answers go nowhere, and connections stay open.
    swallow: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
}

/// A proxy on a free loopback port, as long as the process runs.
pub struct Proxy {
    pub address: String,
    state: Arc<State>,
}

impl Proxy {
    /// Before the broker at `host:port`, an IPv4 address.
    pub fn before(broker: &str) -> Self {
        Self::start(broker, true)
    }

    /// Before any other server.
    pub fn plain(server: &str) -> Self {
        Self::start(server, false)
    }

    fn start(broker: &str, kafka: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let (shared, broker) = (state.clone(), broker.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.refuse.load(SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&broker) else { continue };
                shared.accepted.fetch_add(1, SeqCst);
                let own = [client.try_clone().unwrap(), server.try_clone().unwrap()];
                shared.connections.lock().unwrap().extend(own);
                let swap = Swap::new(&broker, port);
                let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || copy(up, down));
                let shared = shared.clone();
                std::thread::spawn(move || match kafka {
                    true => answers(server, client, &swap, &shared),
                    false => pass(server, client, &shared),
                });
            }
        });
        Self { address: format!("127.0.0.1:{port}"), state }
    }

    /// From now on a black hole: it takes everything and answers nothing.
    pub fn hold(&self) {
        self.state.swallow.store(true, SeqCst);
    }

    /// No new connections, and none of the old ones.
    pub fn down(&self) {
        self.state.refuse.store(true, SeqCst);
        self.cut();
    }

    pub fn up(&self) {
        self.state.refuse.store(false, SeqCst);
    }

    /// Ends every connection.
    pub fn cut(&self) {
        for connection in self.state.connections.lock().unwrap().drain(..) {
            // It may be gone already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// After so many more answers one ends in its middle, with its connection.
    pub fn tear_after(&self, answers: usize) {
        self.state.tear_after.store(answers, SeqCst);
    }

    /// Every answer takes so much longer.
    pub fn delay(&self, time: Duration) {
        self.state.delay_ms.store(time.as_millis() as u64, SeqCst);
    }

    /// Connections made through it so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(SeqCst)
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

/// Passes answers on as they come.
fn pass(mut from: TcpStream, mut to: TcpStream, state: &State) {
    let mut bytes = [0; 4096];
    while let Ok(length) = from.read(&mut bytes)
        && length > 0
    {
        if !state.swallow.load(SeqCst) && to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Passes answers on, frame by frame.
fn answers(mut from: TcpStream, mut to: TcpStream, swap: &Swap, state: &State) {
    let mut pass = || -> std::io::Result<()> {
        loop {
            let mut length = [0; 4];
            from.read_exact(&mut length)?;
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            from.read_exact(&mut frame)?;
            swap.apply(&mut frame);
            let delay = Duration::from_millis(state.delay_ms.load(SeqCst));
            if !delay.is_zero() {
                poll::pause(delay);
            }
            to.write_all(&length)?;
            let left = state.tear_after.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1));
            if left == Ok(1) {
                to.write_all(&frame[..frame.len() / 2])?;
                return Ok(());
            }
            to.write_all(&frame)?;
        }
    };
    let _ = pass();
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// The broker's address in an answer: the host as text, then the port as a 32-bit number.
struct Swap {
    address: Vec<u8>,
    host_bytes: usize,
    port: [u8; 4],
}

impl Swap {
    fn new(broker: &str, port: u16) -> Self {
        let (host, broker_port) = broker.split_once(':').unwrap();
        let broker_port: u32 = broker_port.parse().unwrap();
        let address = [host.as_bytes(), &broker_port.to_be_bytes()].concat();
        Self { address, host_bytes: host.len(), port: u32::from(port).to_be_bytes() }
    }

    fn apply(&self, frame: &mut [u8]) {
        let mut at = 0;
        while let Some(found) =
            frame[at..].windows(self.address.len()).position(|bytes| bytes == self.address)
        {
            let port = at + found + self.host_bytes;
            frame[port..port + 4].copy_from_slice(&self.port);
            at = port + 4;
        }
    }
}
