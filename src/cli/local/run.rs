//! Runs the engine of a home until told to stop: progress, HTTP, Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;

use crate::cli::engine::{Counts, HttpOptions, RunOptions, RunSummary, Until};
use crate::cli::local::LocalEngine;
use crate::cli::local::served::Served;
use crate::cli::local::start::Started;
use crate::cli::progress::{ProgressLine, ProgressNow};
use crate::cli::signal::Stop;
use crate::error::Result;
use crate::model::time::EventTime;
use crate::runtime::committer;
use crate::runtime::progress::Progress;
use crate::serve::server::{ServeOptions, Server};
use crate::serve::token::{Right, Tokens};

/// Tokens beside those of files.
const READ_TOKEN_VARIABLE: &str = "SKEWLESS_READ_TOKEN";
const ADMIN_TOKEN_VARIABLE: &str = "SKEWLESS_ADMIN_TOKEN";
/// Between two looks at progress and signals.
const LOOK: Duration = Duration::from_millis(50);

impl LocalEngine {
    pub(super) async fn run_until_stopped(
        &self,
        options: &RunOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<RunSummary> {
        let server = match &options.http {
            Some(http) => Some(Server::bind(serve_options(http)?).await?),
            None => None,
        };
        let certificate = options.http.as_ref().and_then(|http| http.tls.as_ref());
        let certificate = certificate.map(|(path, _)| std::path::absolute(path)).transpose()?;
        let Started { running, lock, warnings } = self.start(options).await?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let (stop_http, http_stopped) = watch::channel(false);
        let address = server.as_ref().map(|server| server.address().to_string());
        lock.announce(address.clone(), certificate)?;
        let http = match server {
            Some(server) => {
                let served = Served::new(running.clone(), self)?;
                Some(tokio::spawn(server.run(Arc::new(served), http_stopped)))
            }
            None => None,
        };
        if let Some(address) = address {
            tracing::info!("serving on http://{address}");
        }
        let mut asked = false;
        while !running.is_finished() {
            progress.report(&now(&running.progress));
            if stop.requested() && !asked {
                asked = true;
                running.stop(committer::Stop::Checkpoint).await?;
            }
            tokio::time::sleep(LOOK).await;
        }
        progress.report(&now(&running.progress));
        let ended = running.wait().await;
        stop_http.send_replace(true);
        if let Some(http) = http {
            // It drains its connections; a panic there is no reason to lose the summary.
            let _ = http.await;
        }
        drop(lock);
        let epoch = ended?;
        let features = running.progress.features.iter();
        Ok(RunSummary {
            counts: counts(&running.progress),
            final_rows: features.map(|f| f.final_rows.load(Relaxed)).sum(),
            epoch: epoch.0,
            ended: options.until == Some(Until::End) && !asked,
        })
    }
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
