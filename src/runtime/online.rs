//! The task that writes current values to their stores: one per engine, fed by all lanes over a
//! bounded queue, so a slow store slows the sources down instead of growing memory. A store that
//! does not answer is retried with back-off for as long as the engine runs; nothing is dropped. A
//! store that has come back empty is claimed again and filled from the state of the lanes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use tokio::sync::mpsc;

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::model::time::EventTime;
use crate::online::store::{Basis, OnlineFeature, OnlineStore, Version};
use crate::runtime::ingest::Control;
use crate::runtime::progress::Progress;
use crate::runtime::task::{CommitMessage, CurrentRows};

/// Where the values of one feature go.
pub struct Target {
    pub feature: OnlineFeature,
    pub store: Arc<dyn OnlineStore>,
}

/// Everything the task needs.
pub struct OnlineTask {
    /// By number of the feature.
    pub targets: BTreeMap<usize, Target>,
    pub rows: mpsc::Receiver<CurrentRows>,
    pub progress: Arc<Progress>,
    /// Grows with every start of the engine.
    pub generation: u64,
    /// Set when the engine stops: a store that does not answer is given up.
    pub stopping: tokio::sync::watch::Receiver<bool>,
    /// Where failures go.
    pub commit: mpsc::WeakSender<CommitMessage>,
    /// By feature, the positions its store remembers.
    pub written: HashMap<usize, BTreeMap<u32, i64>>,
    /// By feature, the serving time its store remembers.
    pub refreshed: HashMap<usize, EventTime>,
    pub reseed: Reseed,
    /// Writes so far.
    pub sequence: u64,
    /// Values are dropped from here on: after the next start everything is written once more.
    pub given_up: bool,
}

/// Fills stores from the state of the lanes.
pub struct Reseed {
    ingest: Vec<Sender<Control>>,
    /// When every key was last asked for.
    last: Option<Instant>,
    /// Asked for again since, and too soon.
    again: bool,
    pause: Duration,
}

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long an engine that stops waits for one batch to be written.
const GRACE: Duration = Duration::from_secs(3);
/// How often a quiet engine looks whether its stores still know it.
const LOOK: Duration = Duration::from_secs(2);
/// Between two rewrites of everything: a store that evicts what it is given would otherwise be
/// filled without end.
const RESEED_PAUSE: Duration = Duration::from_secs(10);

impl OnlineTask {
    /// Runs until every lane has closed its end of the queue.
    pub async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        look.tick().await;
        loop {
            tokio::select! {
                biased;
                current = self.rows.recv() => {
                    let Some(current) = current else { return };
                    self.put(&current).await;
                }
                _ = look.tick(), if !self.targets.is_empty() && !self.given_up => {
                    let stopping = self.stopping.clone();
                    let looked = tokio::select! {
                        looked = self.look() => looked,
                        () = out_of_time(stopping) => Ok(()),
                    };
                    if let Err(error) = looked {
                        self.fail(error).await;
                    }
                }
            }
        }
    }

    /// Writes one waiting batch; false if there was none.
    pub async fn turn(&mut self) -> bool {
        match self.rows.try_recv() {
            Ok(current) => {
                self.put(&current).await;
                true
            }
            Err(_) => false,
        }
    }

    async fn put(&mut self, current: &CurrentRows) {
        if self.given_up {
            return;
        }
        self.sequence += 1;
        let (generation, sequence) = (self.generation, self.sequence);
        let epoch = self.progress.epoch.load(Relaxed);
        let stopping = self.stopping.clone();
        let written = tokio::select! {
            written = self.write(current, Version { generation, epoch, sequence }) => written,
            () = out_of_time(stopping) => {
                tracing::warn!("a store does not answer: it gets its values at the next start");
                self.given_up = true;
                Ok(())
            }
        };
        if let Err(error) = written {
            self.fail(error).await;
        }
    }

    async fn fail(&self, error: Error) {
        // Gone: the engine is stopping anyway.
        if let Some(commit) = self.commit.upgrade() {
            let who = "current values".to_owned();
            let _ = commit.send(CommitMessage::Failed { who, error }).await;
        }
    }

    async fn write(&mut self, current: &CurrentRows, version: Version) -> Result<()> {
        let number = current.feature;
        let Some(target) = self.targets.get(&number) else { return Ok(()) };
        let mut wait = BACKOFF_FIRST;
        loop {
            let known = self.written.entry(number).or_default();
            let ahead = |(p, at): &&(u32, i64)| known.get(p).is_none_or(|known| known < at);
            let positions: Vec<_> = current.positions.iter().filter(ahead).copied().collect();
            let refreshed = self.refreshed.get(&number);
            let news = refreshed.is_none_or(|known| current.refreshed > *known)
                && current.refreshed > EventTime::NEG_INFINITY;
            let basis = Basis { positions, refreshed: news.then_some(current.refreshed) };
            let written = target.store.write(&target.feature, &current.rows, version, &basis);
            match written.await {
                Ok(written) if written.lost => {
                    let name = &target.feature.name;
                    tracing::warn!(feature = %name, "its online store is empty: filling it again");
                    if let Err(error) = target.store.claim(&target.feature, self.generation).await
                        && error.kind() != Kind::Unavailable
                    {
                        return Err(error);
                    }
                    known.clear();
                    self.refreshed.remove(&number);
                    self.reseed.ask(&self.progress);
                }
                Ok(written) => {
                    known.extend(basis.positions);
                    self.refreshed.extend(basis.refreshed.map(|at| (number, at)));
                    let feature = &self.progress.features[number];
                    feature.current_writes.fetch_add(written.applied, Relaxed);
                    self.progress.null_keys.fetch_add(written.null_keys, Relaxed);
                    return Ok(());
                }
                Err(error) => {
                    self.progress.online_errors.fetch_add(1, Relaxed);
                    let name = &target.feature.name;
                    if error.kind() == Kind::Fenced {
                        return Err(error);
                    }
                    if error.kind() != Kind::Unavailable {
                        tracing::error!(feature = %name, %error, "current values not written");
                        return Ok(());
                    }
                    tracing::warn!(feature = %name, %error, "online store unavailable, retrying");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(BACKOFF_MAX);
                }
            }
        }
    }

    /// Fills stores that came back empty while nothing was written.
    pub async fn look(&mut self) -> Result<()> {
        if self.reseed.again {
            self.reseed.ask(&self.progress);
        }
        for (number, target) in &self.targets {
            match target.store.mark(&target.feature).await {
                Ok(Some(mark)) if mark.generation >= self.generation => {}
                // Empty, or empty and then claimed by an engine that should be gone.
                Ok(_) => {
                    target.store.claim(&target.feature, self.generation).await?;
                    self.written.remove(number);
                    self.refreshed.remove(number);
                    self.reseed.ask(&self.progress);
                }
                // Down: whoever writes next will say so.
                Err(error) if error.kind() == Kind::Unavailable => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Returns a while after the engine has begun to stop.
async fn out_of_time(mut stopping: tokio::sync::watch::Receiver<bool>) {
    // Without a sender the engine is gone.
    let _ = stopping.wait_for(|stopping| *stopping).await;
    tokio::time::sleep(GRACE).await;
}

impl Reseed {
    pub fn new(ingest: Vec<Sender<Control>>) -> Self {
        Self { ingest, last: None, again: false, pause: RESEED_PAUSE }
    }

    /// Without a pause: for drivers that decide themselves when something happens.
    #[cfg(test)]
    pub fn without_pause(&mut self) {
        self.pause = Duration::ZERO;
    }

    /// Asks for every key; later, if that was done a moment ago.
    fn ask(&mut self, progress: &Progress) {
        if failpoint::broken("do not fill an empty store") {
            return;
        }
        self.again = self.last.is_some_and(|at| at.elapsed() < self.pause);
        if self.again {
            return;
        }
        self.last = Some(clock::monotonic());
        progress.reseeds.fetch_add(1, Relaxed);
        for source in &self.ingest {
            // A source that has ended has nothing to give.
            let _ = source.send(Control::Touch);
        }
    }
}
