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
        tokio::spawn(async move {
            next_signal().await;
            tracing::info!("stopping; once more to stop at once");
            sender.send_replace(true);
            next_signal().await;
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

/// The next Ctrl-C or SIGTERM.
async fn next_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
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
