//! Runs the engine of a home until told to stop: progress, HTTP, Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::watch;

use crate::cli::engine::{Counts, RunOptions, RunSummary, Until};
use crate::cli::local::LocalEngine;
use crate::cli::local::get::Served;
use crate::cli::local::start::Started;
use crate::cli::progress::{ProgressLine, ProgressNow};
use crate::cli::signal::Stop;
use crate::error::Result;
use crate::model::time::EventTime;
use crate::runtime::committer;
use crate::runtime::progress::Progress;
use crate::serve::server::{ServeOptions, Server};

/// Between two looks at progress and signals.
const LOOK: Duration = Duration::from_millis(50);

impl LocalEngine {
    pub(super) async fn run_until_stopped(
        &self,
        options: &RunOptions,
        progress: &ProgressLine,
        stop: &Stop,
    ) -> Result<RunSummary> {
        let server = match options.http {
            Some(address) => {
                Some(Server::bind(ServeOptions { address, insecure: false }).await?)
            }
            None => None,
        };
        let Started { running, lock, warnings } = self.start(options).await?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let (stop_http, http_stopped) = watch::channel(false);
        let address = server.as_ref().map(|server| server.address().to_string());
        lock.announce(address.clone())?;
        let http = server.map(|server| {
            let served = Served::new(running.clone(), self.home.path().display().to_string());
            tokio::spawn(server.run(Arc::new(served), http_stopped))
        });
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
