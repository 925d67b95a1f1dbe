//! Finds the epoch to continue from. Called once, before anything is read or written.
//!
//! The newest manifest decides. If it or a file it names is damaged, an older epoch may be taken
//! only when nothing of the newer one can be visible: replaying what was published would write
//! rows twice. Otherwise recovery refuses and says what can be done; it never guesses.

use bytes::Bytes;

use crate::checkpoint::manifest::{Manifest, StateFile, checksum};
use crate::checkpoint::store::CheckpointStore;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::model::epoch::Epoch;
use crate::offline::store::Location;

/// How often recovery looks anew because somebody commits meanwhile.
const LOOKS: usize = 10;

/// An epoch that verified and whose output is published.
#[derive(Clone, Debug)]
pub struct Recovered {
    pub manifest: Manifest,
    location: Location,
    /// What had to be passed over to get here; to be shown to the user.
    pub warnings: Vec<String>,
}

impl Recovered {
    pub fn epoch(&self) -> Epoch {
        Epoch(self.manifest.epoch)
    }

    /// The bytes of a state file, verified again.
    pub async fn state(&self, file: &StateFile) -> Result<Bytes> {
        read_verified(&self.location, file).await
    }
}

async fn read_verified(location: &Location, file: &StateFile) -> Result<Bytes> {
    let wrong = |what: &str| Error::data(format!("{}/{}: {what}", location.url(), file.path));
    let bytes = location.files().get(&file.path).await?.ok_or_else(|| wrong("is gone"))?;
    if bytes.len() as u64 != file.bytes {
        let found = bytes.len();
        return Err(wrong(&format!("has {found} bytes instead of {}", file.bytes)));
    }
    if checksum(&bytes) != file.checksum && !failpoint::broken("believe every state file") {
        return Err(wrong("does not have the checksum of the manifest"));
    }
    Ok(bytes)
}

/// Why an epoch cannot be taken.
enum Damage {
    /// The manifest itself: nobody knows what it published.
    Manifest(Error),
    State(Box<Manifest>, Error),
}

impl CheckpointStore {
    /// The newest epoch that verifies, its output published; `None` in a new home. Nothing is
    /// removed here: files of an epoch that is not committed may belong to an engine that is about
    /// to commit it. They are collected after the first commit, when it no longer can; what
    /// writers prepared for them is dropped by `offline::writer::abort_after`.
    ///
    /// # Errors
    /// `Data` for damage that cannot be passed over; `Fenced` if another engine commits all the
    /// time; whatever the store says.
    pub async fn latest(&mut self) -> Result<Option<Recovered>> {
        for _ in 0..LOOKS {
            let manifests = self.manifests().await?;
            let found = self.newest_whole(&manifests).await;
            // An engine that goes on meanwhile removes what is being read here.
            if found.is_ok() || self.manifests().await?.first() == manifests.first() {
                return found;
            }
        }
        let message = format!("another engine commits to {} all the time", self.location.url());
        Err(Error::new(Kind::Fenced, message).with_hint("stop it first"))
    }

    async fn newest_whole(&mut self, manifests: &[(Epoch, String)]) -> Result<Option<Recovered>> {
        let mut warnings = Vec::new();
        for (epoch, name) in manifests {
            let epoch = *epoch;
            let manifest = match self.verify(epoch, name).await? {
                Ok(manifest) => manifest,
                Err(Damage::Manifest(error)) => return Err(refused(epoch, &error)),
                Err(Damage::State(manifest, error)) => {
                    if self.visible(&manifest).await? {
                        return Err(refused(epoch, &error));
                    }
                    self.set_aside(name).await?;
                    warnings.push(format!(
                        "checkpoint {} is damaged and nothing of it was published: \
                         going back further ({error})",
                        epoch.0
                    ));
                    continue;
                }
            };
            self.publish(&manifest).await?;
            self.set_committed(Some(epoch));
            return Ok(Some(Recovered { manifest, location: self.location.clone(), warnings }));
        }
        if warnings.is_empty() {
            return Ok(None);
        }
        Err(Error::data(format!("no checkpoint is whole: {}", warnings.join("; ")))
            .with_hint("restore the directory from a backup, or start a new home"))
    }

    /// Reads a manifest and every file it names. The outer error is the world's (retry), the
    /// inner one damage.
    async fn verify(
        &self,
        epoch: Epoch,
        name: &str,
    ) -> Result<std::result::Result<Manifest, Damage>> {
        let gone = || Error::data(format!("{name} is gone"));
        let bytes = self.location.files().get(name).await?.ok_or_else(gone)?;
        let manifest = match Manifest::decode(&bytes) {
            Ok(manifest) => manifest,
            Err(error) if error.kind() == Kind::NotSupported => return Err(error),
            Err(error) => return Ok(Err(Damage::Manifest(error))),
        };
        if manifest.epoch != epoch.0 {
            let error = Error::data(format!("{name} is the manifest of {}", manifest.epoch));
            return Ok(Err(Damage::Manifest(error)));
        }
        for file in &manifest.state {
            match read_verified(&self.location, file).await {
                Ok(_) => {}
                Err(error) if error.kind() == Kind::Data => {
                    return Ok(Err(Damage::State(Box::new(manifest), error)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Ok(manifest))
    }

    /// Takes a damaged manifest out of the line, keeping it for a post-mortem.
    async fn set_aside(&self, name: &str) -> Result<()> {
        self.location.files().rename(name, &format!("damaged-{name}")).await
    }
}

fn refused(epoch: Epoch, error: &Error) -> Error {
    Error::data(format!(
        "checkpoint {} is damaged and its output may be visible, so going back further would \
         write rows twice: {error}",
        epoch.0
    ))
    .with_hint(
        "restore the checkpoint directory from a backup; or start a new home with new stores and \
         run from the beginning",
    )
}
