//! Commits epochs, in this order and no other:
//!
//! 1. output is already prepared: durable under invisible names (`offline::writer`)
//! 2. state files are written and durable
//! 3. the manifest is created, whole and durable: **the commit point**
//! 4. prepared output is published (repeatable)
//! 5. a mark says that it is published
//! 6. what the last [`KEPT`] epochs do not need is collected
//!
//! ```text
//! <checkpoints>/manifest-0000000042.json
//! <checkpoints>/published-0000000042
//! <checkpoints>/state-0000000042-g3/<group>-<part>.state
//! ```
//! Called by `runtime`, one commit at a time. Two invariants: nothing visible without a manifest,
//! and no manifest without its files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::checkpoint::manifest::{
    self, FORMAT, GroupState, Manifest, SourceState, StateFile, checksum,
};
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::model::epoch::Epoch;
use crate::offline::layout::segment;
use crate::offline::store::{Location, Stores};
use crate::offline::writer::{PreparedFile, any_published, publish};

/// Checkpoints kept.
pub const KEPT: usize = 3;

/// The state of one part of a group, as bytes ([`super::state_file`] for snapshots).
#[derive(Clone, Debug)]
pub struct StateDraft {
    pub group: String,
    pub part: String,
    pub bytes: Bytes,
    /// It comes on top of what `Draft::kept` has of this part.
    pub adds: bool,
}

/// An epoch about to be committed.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub epoch: Epoch,
    pub generation: u64,
    pub sources: BTreeMap<String, SourceState>,
    pub groups: BTreeMap<String, GroupState>,
    pub state: Vec<StateDraft>,
    /// Files of earlier epochs that hold state of this one.
    pub kept: Vec<StateFile>,
    pub prepared: Vec<PreparedFile>,
    pub extra: serde_json::Value,
}

/// The checkpoints of one home.
#[derive(Debug)]
pub struct CheckpointStore {
    pub(super) location: Location,
    pub(super) stores: Arc<Stores>,
    /// The newest epoch known to be committed.
    committed: Option<Epoch>,
    /// A commit ended in doubt: only recovery can tell what is on disk.
    doubtful: bool,
}

impl CheckpointStore {
    /// The checkpoints at `url`; `stores` resolves where output is published. Call
    /// [`Self::latest`] before the first commit.
    pub fn open(url: &str, stores: Arc<Stores>) -> Result<Self> {
        Ok(Self::at(stores.resolve(url)?, stores))
    }

    pub fn at(location: Location, stores: Arc<Stores>) -> Self {
        Self { location, stores, committed: None, doubtful: false }
    }

    /// The newest epoch known to be committed.
    pub fn committed(&self) -> Option<Epoch> {
        self.committed
    }

    pub(super) fn set_committed(&mut self, epoch: Option<Epoch>) {
        self.committed = epoch;
    }

    /// Commits an epoch and publishes its output. An error of kind `Unavailable` or `Exhausted`
    /// before the commit point leaves the last epoch in force, and the same or a later epoch may
    /// be tried again; [`Self::in_doubt`] tells when only a restart helps. Gives back the state
    /// files written now, in the order of the draft.
    pub async fn commit(&mut self, draft: Draft) -> Result<Vec<StateFile>> {
        assert!(!self.doubtful, "after a commit in doubt the engine must recover");
        assert!(self.committed.is_none_or(|last| draft.epoch > last), "epochs only grow");
        assert!(draft.epoch > Epoch(0), "the first epoch is 1");
        let (epoch, generation) = (draft.epoch, draft.generation);
        match self.commit_alone(draft).await {
            Err(error) if error.kind() == Kind::Fenced => Err(error),
            Err(error) => {
                let error = error.context(format!("checkpoint {}", epoch.0));
                Err(self.overtaken_or(error, generation).await)
            }
            written => written,
        }
    }

    /// Commits, as if nobody else were there.
    async fn commit_alone(&mut self, draft: Draft) -> Result<Vec<StateFile>> {
        let epoch = draft.epoch;
        let kept = draft.kept.len();
        let mut manifest = self.write_state(draft).await?;
        let bytes = manifest.encode()?;
        let name = manifest::file_name(epoch);
        failpoint::pass("manifest.before")?;
        if failpoint::broken("publish before the manifest") {
            publish(&self.stores, &manifest.prepared).await?;
        }
        if let Err(error) = self.location.files().create(&name, bytes.into()).await {
            self.doubtful = true;
            if error.kind() == Kind::Fenced {
                return Err(taken(&self.location, epoch));
            }
            return Err(error.with_hint("start the engine again: it recovers by itself"));
        }
        self.refuse_overtaken(epoch, &name).await?;
        failpoint::pass("manifest.after")?;
        self.committed = Some(epoch);
        self.finish(&manifest).await?;
        Ok(manifest.state.split_off(kept))
    }

    /// What an engine of `generation` says of an error: once overtaken it finds files gone that
    /// its successor has removed, and what matters is that another engine goes on from here.
    pub async fn overtaken_or(&self, error: Error, generation: u64) -> Error {
        match self.newest().await {
            Ok(Some(newest)) if newest.generation > generation && error.kind() != Kind::Fenced => {
                taken(&self.location, Epoch(newest.epoch))
            }
            _ => error,
        }
    }

    /// The newest manifest, whatever has become of the files it names.
    pub async fn newest(&self) -> Result<Option<Manifest>> {
        let Some((_, name)) = self.manifests().await?.into_iter().next() else { return Ok(None) };
        match self.location.files().get(&name).await? {
            Some(bytes) => Ok(Some(Manifest::decode(&bytes)?)),
            None => Ok(None),
        }
    }

    /// Whether the last commit may or may not have happened, or is not published: no further
    /// commit is possible, the engine has to start again from [`Self::latest`].
    pub fn in_doubt(&self) -> bool {
        self.doubtful
    }

    /// An engine that slept while another went on far enough to collect the manifest of `epoch`
    /// could create it once more.
    async fn refuse_overtaken(&mut self, epoch: Epoch, name: &str) -> Result<()> {
        let newest = match self.manifests().await {
            Ok(manifests) => manifests.first().map(|(newest, _)| *newest),
            Err(error) => {
                self.doubtful = true;
                return Err(error);
            }
        };
        if newest == Some(epoch) || failpoint::broken("commit behind the newest epoch") {
            return Ok(());
        }
        self.doubtful = true;
        // Left behind it would only be collected later: recovery begins with the newest.
        self.location.files().delete(name).await?;
        Err(taken(&self.location, epoch))
    }

    /// After the commit point: publishes and collects.
    async fn finish(&mut self, manifest: &Manifest) -> Result<()> {
        if let Err(e) = self.publish(manifest).await {
            self.doubtful = true;
            return Err(e.context("committed, but not published"));
        }
        // The epoch stands; what could not be collected is collected the next time.
        if let Err(error) = self.collect(Epoch(manifest.epoch)).await {
            tracing::warn!(%error, "old checkpoints could not be removed");
        }
        Ok(())
    }

    /// Publishes an epoch's output once and marks it; repeatable.
    pub(super) async fn publish(&self, manifest: &Manifest) -> Result<()> {
        let mark = manifest::mark_name(Epoch(manifest.epoch));
        if self.location.files().length(&mark).await?.is_some() {
            return Ok(());
        }
        publish(&self.stores, &manifest.prepared).await?;
        failpoint::pass("sink.before_mark")?;
        self.location.files().put(&mark, Bytes::new()).await
    }

    /// Whether output of an epoch is or was visible.
    pub(super) async fn visible(&self, manifest: &Manifest) -> Result<bool> {
        let mark = manifest::mark_name(Epoch(manifest.epoch));
        let marked = self.location.files().length(&mark).await?.is_some();
        Ok(!manifest.prepared.is_empty()
            && (marked || any_published(&self.stores, &manifest.prepared).await?))
    }

    async fn write_state(&self, draft: Draft) -> Result<Manifest> {
        let mut state = draft.kept;
        let mut paths: BTreeSet<String> = state.iter().map(|file| file.path.clone()).collect();
        failpoint::pass("state.before_write")?;
        for part in draft.state {
            let name = format!("{}-{}", segment(&part.group), segment(&part.part));
            // Group names are SQL text: kept short by their hash where they would not fit.
            let name = match name.len() {
                0..=120 => name,
                _ => checksum(name.as_bytes()),
            };
            let file = StateFile {
                // The generation keeps an engine that has been overtaken off its successor's files.
                path: format!("state-{:010}-g{}/{name}.state", draft.epoch.0, draft.generation),
                group: part.group,
                part: part.part,
                bytes: part.bytes.len() as u64,
                checksum: checksum(&part.bytes),
            };
            assert!(paths.insert(file.path.clone()), "each part of a group comes once");
            self.location.files().put(&file.path, part.bytes).await?;
            state.push(file);
            failpoint::pass("state.mid_write")?;
        }
        Ok(Manifest {
            format: FORMAT,
            epoch: draft.epoch.0,
            generation: draft.generation,
            sources: draft.sources,
            groups: draft.groups,
            state,
            prepared: draft.prepared,
            extra: draft.extra,
        })
    }

    /// Every manifest by epoch, newest first.
    pub(super) async fn manifests(&self) -> Result<Vec<(Epoch, String)>> {
        let listed = self.location.files().list("").await?;
        let mut found: Vec<_> = listed
            .into_iter()
            .filter_map(|file| Some((manifest::epoch_of(&file.path)?, file.path)))
            .collect();
        found.sort_by(|a, b| b.cmp(a));
        Ok(found)
    }

    /// Removes manifests beyond the last [`KEPT`] and state files that no kept one names, as of
    /// `committed`. Nothing of later epochs is touched: they belong to an engine that has taken
    /// over since.
    pub(super) async fn collect(&self, committed: Epoch) -> Result<()> {
        let files = self.location.files();
        let until = match failpoint::broken("collect what a successor has begun") {
            true => Epoch(u64::MAX),
            false => committed,
        };
        let mut manifests = self.manifests().await?;
        manifests.retain(|(epoch, _)| *epoch <= committed);
        if manifests.first().map(|(newest, _)| *newest) != Some(committed) {
            // A successor that is far ahead has removed it: what it needs is not known here. While
            // it is there, it names whatever later epochs need of these files.
            return Ok(());
        }
        let (kept, old) = manifests.split_at(manifests.len().min(KEPT));
        let mut needed = BTreeSet::new();
        for (epoch, name) in kept {
            needed.insert(manifest::mark_name(*epoch));
            // Removed since it was listed: likewise.
            let Some(bytes) = files.get(name).await? else { return Ok(()) };
            // A kept manifest that cannot be read needs somebody's eyes, not a broom.
            needed.extend(Manifest::decode(&bytes)?.state.into_iter().map(|file| file.path));
        }
        // Manifests go first: while the machine stays up none is left without its files.
        for (_, name) in old {
            files.delete(name).await?;
            failpoint::pass("gc.mid")?;
        }
        for file in files.list("").await? {
            let over = manifest::over_with(&file.path).is_some_and(|epoch| epoch <= until);
            if over && !needed.contains(&file.path) {
                files.delete(&file.path).await?;
            }
        }
        Ok(())
    }
}

fn taken(location: &Location, epoch: Epoch) -> Error {
    Error::new(
        Kind::Fenced,
        format!("another engine has committed epoch {} to {}", epoch.0, location.url()),
    )
    .with_hint("one engine per checkpoint directory: stop the other, or give this one its own")
}

#[cfg(test)]
mod tests;
