//! Runs the engine of a home until told to stop: progress, HTTP, Ctrl-C.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::checkpoint::home::HomeLock;
use crate::cli::engine::{
    Answer, At, Counts, GetOptions, HttpOptions, RunOptions, RunSummary, Until, assign_keys,
};
use crate::cli::local::LocalEngine;
use crate::cli::local::live::{Behind, Live, Work};
use crate::cli::local::start::Resumed;
use crate::cli::progress::{ProgressLine, ProgressNow};
use crate::cli::signal::Stop;
use crate::clock;
use crate::error::{Error, Result};
use crate::model::time::EventTime;
use crate::runtime::progress::Progress;
use crate::serve::engine::{Answers, Desired, Engine, Keys, no_such_feature};
use crate::serve::server::{ServeOptions, Server};
use crate::serve::token::{Right, Tokens};
use crate::sql::ast::Statement;

/// Tokens beside those of files.
const READ_TOKEN_VARIABLE: &str = "SKEWLESS_READ_TOKEN";
const ADMIN_TOKEN_VARIABLE: &str = "SKEWLESS_ADMIN_TOKEN";
/// Between two looks at progress and signals.
const LOOK: Duration = Duration::from_millis(50);

/// An engine under way, with its HTTP.
pub(crate) struct Active {
    live: Arc<Live>,
    pub(crate) address: Option<SocketAddr>,
    http: Option<(watch::Sender<bool>, JoinHandle<()>)>,
    lock: HomeLock,
}

impl LocalEngine {
    /// Starts the engine of the home, and its HTTP.
    pub(crate) async fn begin(&self, options: &RunOptions) -> Result<Active> {
        let server = match &options.http {
            Some(http) => Some(Server::bind(serve_options(http)?).await?),
            None => None,
        };
        let certificate = options.http.as_ref().and_then(|http| http.tls.as_ref());
        let certificate = certificate.map(|(path, _)| std::path::absolute(path)).transpose()?;
        let lock = self.home.lock()?;
        let checkpoints = self.checkpoint_url()?;
        if checkpoints != self.home.checkpoints().display().to_string() {
            lock.remember_checkpoints(&checkpoints)?;
        }
        let Resumed { running, warnings, notes } = self.resume(options).await?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        for note in notes {
            tracing::info!("{note}");
        }
        let address = server.as_ref().map(Server::address);
        lock.announce(address.map(|address| address.to_string()), certificate)?;
        let live = Arc::new(Live::new(running, self, options)?);
        let http = server.map(|server| {
            let (stop, stopped) = watch::channel(false);
            let behind = Arc::new(Behind(live.clone()));
            (stop, tokio::spawn(server.run(behind, stopped)))
        });
        if let Some(address) = address {
            tracing::info!("serving on {address}");
        }
        Ok(Active { live, address, http, lock })
    }

    pub(super) async fn run_until_stopped(
        &self,
        options: &RunOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<RunSummary> {
        let active = self.begin(options).await?;
        let mut asked = None;
        while !active.live.is_finished() {
            progress.report(&now(&active.live.now().running().progress));
            if stop.requested() && asked.is_none() {
                asked = Some(clock::monotonic());
                active.stop().await?;
            }
            if asked.is_some_and(|asked| asked.elapsed() >= options.stop_timeout) {
                return Err(too_slow(options, &active.live.now().running().progress));
            }
            tokio::time::sleep(LOOK).await;
        }
        let last = active.live.now().running().progress.clone();
        progress.report(&now(&last));
        let left =
            asked.map_or(Duration::MAX, |a| options.stop_timeout.saturating_sub(a.elapsed()));
        let Ok(summary) = tokio::time::timeout(left, active.finished()).await else {
            return Err(too_slow(options, &last));
        };
        Ok(RunSummary { ended: options.until == Some(Until::End) && asked.is_none(), ..summary? })
    }
}

impl Active {
    /// Begins to stop, with a checkpoint.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.live.stop().await
    }

    /// Waits for the end; then HTTP drains its connections.
    pub(crate) async fn finished(self) -> Result<RunSummary> {
        let ended = self.live.wait().await;
        if let Some((stop, http)) = self.http {
            stop.send_replace(true);
            // A panic there is no reason to lose the summary.
            let _ = http.await;
        }
        self.live.now().close().await;
        drop(self.lock);
        let epoch = ended?;
        let Work { counts, final_rows } = self.live.work();
        Ok(RunSummary { counts, final_rows, epoch: epoch.0, ended: false })
    }

    pub(crate) fn counts(&self) -> Counts {
        self.live.work().counts
    }

    /// Changes the definitions under way: the statements are what is desired.
    pub(crate) async fn define(&self, statements: &[Statement]) -> Result<Vec<String>> {
        Behind(self.live.clone()).define(statements, Some(Desired::default())).await
    }

    /// The values of one entity, from the lanes of this engine.
    pub(crate) async fn get(&self, options: &GetOptions) -> Result<Answer> {
        let feature = &options.feature;
        let engine = Behind(self.live.clone());
        let shape = engine.shape(feature);
        let shape = shape.ok_or_else(|| no_such_feature(&engine.features(), feature))?;
        let texts = assign_keys(&shape.key_columns, &options.keys)?;
        let columns = shape.key_columns.into_iter().zip(texts.into_iter().map(|text| vec![text]));
        let at = match options.at {
            At::Now => None,
            At::Time(time) => Some(time),
        };
        let answers = engine.read(feature, Keys::named(columns.collect())?, at).await?;
        let (as_of, status) = (answers.as_of[0], answers.status[0].name());
        let Answers { feature, keys, values, .. } = answers;
        Ok(Answer { feature, key: keys, as_of, values, status })
    }
}

/// The process ends although something does not; the last checkpoint stands.
fn too_slow(options: &RunOptions, progress: &Progress) -> Error {
    let (seconds, epoch) = (options.stop_timeout.as_secs_f64(), progress.epoch.load(Relaxed));
    let waiting = progress.sources.iter().find_map(|source| source.note());
    let waiting = waiting.map_or_else(String::new, |note| format!(" ({note})"));
    Error::unavailable(format!(
        "not stopped within {seconds} s{waiting}; checkpoint {epoch} is the last"
    ))
    .with_hint("the next run goes on from there; --stop-timeout gives it longer")
}

/// Reads tokens from files and environment.
fn serve_options(http: &HttpOptions) -> Result<ServeOptions> {
    let mut tokens = Tokens::default();
    for (right, files, variable) in [
        (Right::Read, &http.read_tokens, READ_TOKEN_VARIABLE),
        (Right::Admin, &http.admin_tokens, ADMIN_TOKEN_VARIABLE),
    ] {
        for file in files {
            tokens.add_file(right, file)?;
        }
        if let Ok(text) = std::env::var(variable) {
            tokens.add(right, variable, &text)?;
        }
    }
    let (address, insecure, tls) = (http.address, http.insecure, http.tls.clone());
    Ok(ServeOptions { address, insecure, tokens, tls })
}

/// What all sources read in this run.
pub(super) fn counts(progress: &Progress) -> Counts {
    let totals = progress.totals();
    assert!(totals.conserved(), "every record read has one verdict: {totals:?}");
    Counts {
        read: totals.read,
        admitted: totals.admitted,
        late: totals.late,
        future: totals.future,
        rejected: totals.rejected,
    }
}

fn now(progress: &Progress) -> ProgressNow {
    let time = |us: i64| (us != i64::MIN).then_some(EventTime(us));
    let sources = || progress.sources.iter();
    ProgressNow {
        rows: progress.sources.iter().map(|s| s.read.load(Relaxed)).sum(),
        behind: None,
        newest_event: sources().filter_map(|s| time(s.newest_event.load(Relaxed))).max(),
        watermark: sources().map(|s| s.watermark.load(Relaxed)).min().and_then(time),
        note: sources().find_map(|s| s.note()),
    }
}
