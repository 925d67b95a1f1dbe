//! The task that writes current values to their stores: one per engine, fed by all lanes over a
//! bounded queue, so a slow store slows the sources down instead of growing memory. A store that
//! does not answer is retried with back-off for as long as the engine runs; nothing is dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::error::Kind;
use crate::online::store::{OnlineFeature, OnlineStore, Version};
use crate::runtime::progress::Progress;
use crate::runtime::task::CurrentRows;

/// Where the values of one feature go.
pub struct Target {
    pub feature: OnlineFeature,
    pub store: Arc<dyn OnlineStore>,
}

/// Everything the task needs.
pub struct OnlineTask {
    /// By number of the feature.
    pub targets: HashMap<usize, Target>,
    pub rows: mpsc::Receiver<CurrentRows>,
    pub progress: Arc<Progress>,
    /// Grows with every start of the engine on a home.
    pub generation: u64,
    /// Set when the engine stops: no more retries of a store that is down.
    pub stopping: tokio::sync::watch::Receiver<bool>,
}

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

impl OnlineTask {
    /// Runs until every lane has closed its end of the queue.
    pub async fn run(mut self) {
        let mut sequence = 0;
        while let Some(current) = self.rows.recv().await {
            sequence += 1;
            let epoch = self.progress.epoch.load(Relaxed);
            let version = Version { generation: self.generation, epoch, sequence };
            self.write(&current, version).await;
        }
    }

    async fn write(&self, current: &CurrentRows, version: Version) {
        let Some(target) = self.targets.get(&current.feature) else { return };
        let mut wait = BACKOFF_FIRST;
        loop {
            match target.store.write(&target.feature, &current.rows, version).await {
                Ok(written) => {
                    let feature = &self.progress.features[current.feature];
                    feature.current_writes.fetch_add(written.applied, Relaxed);
                    self.progress.null_keys.fetch_add(written.null_keys, Relaxed);
                    return;
                }
                Err(error) => {
                    self.progress.online_errors.fetch_add(1, Relaxed);
                    let name = &target.feature.name;
                    if error.kind() != Kind::Unavailable {
                        tracing::error!(feature = %name, %error, "current values not written");
                        return;
                    }
                    tracing::warn!(feature = %name, %error, "online store unavailable, retrying");
                    if *self.stopping.borrow() && wait >= BACKOFF_MAX {
                        tracing::error!(feature = %name, "its last values are not written");
                        return;
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(BACKOFF_MAX);
                }
            }
        }
    }
}
