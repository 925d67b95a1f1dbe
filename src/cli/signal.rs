//! Ctrl-C and SIGTERM: the first asks for a stop (with a checkpoint, where there is work that has
//! one), the second ends the process at once.

use tokio::sync::watch;

use crate::error::{Error, Kind};

/// Exit code of a process that was told twice.
const INTERRUPTED: i32 = 130;

/// Whether the user wants the work to stop; cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens for signals from here on. Needs a Tokio runtime.
    pub fn on_signals() -> Self {
        let (sender, receiver) = watch::channel(false);
        // Both are listened for all the time: a second signal right behind the first counts too.
        let mut signals = Signals::listen();
        tokio::spawn(async move {
            signals.next().await;
            tracing::info!("stopping; once more to stop at once");
            sender.send_replace(true);
            signals.next().await;
            crate::cli::progress::clear_line();
            std::process::exit(INTERRUPTED);
        });
        Self(receiver)
    }

    /// A stop that the holder of the sender asks for.
    pub fn manual() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    pub fn requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once a stop is asked for; never, if nobody can ask any more.
    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The error of work that has nothing to save when it is stopped.
    pub fn interrupted() -> Error {
        Error::new(Kind::Interrupted, "interrupted")
    }
}

/// Ctrl-C and SIGTERM.
struct Signals {
    #[cfg(unix)]
    both: [Option<tokio::signal::unix::Signal>; 2],
}

impl Signals {
    /// From here on no signal is missed.
    #[cfg(unix)]
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self {
            both: [SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok()),
        }
    }

    #[cfg(not(unix))]
    fn listen() -> Self {
        Self {}
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.both;
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The next signal; never, where none can be listened for.
#[cfg(unix)]
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await.is_some(),
        None => false,
    };
    if !came {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_when_a_stop_is_asked_for() {
        let (sender, stop) = Stop::manual();
        assert!(!stop.requested());
        let waiting = tokio::spawn({
            let stop = stop.clone();
            async move { stop.wait().await }
        });
        sender.send_replace(true);
        waiting.await.unwrap();
        assert!(stop.requested());
    }
}
