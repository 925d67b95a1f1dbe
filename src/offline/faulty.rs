//! Files that die at the N-th change, as a process does: the change is left undone, half done or
//! done, and nothing works afterwards. For tests of what survives.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::offline::store::{FileEntry, Files, Location};

/// What is left of the change that dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    Before,
    /// A put leaves half of its bytes; the atomic ones leave nothing.
    Halfway,
    After,
}

/// Counts the changes of all the files that share it.
#[derive(Clone, Debug)]
pub(crate) struct Fuse {
    left: Arc<AtomicI64>,
    death: Death,
}

impl Fuse {
    /// Dies at change number `at`, counted from 0 over every location wrapped with it.
    pub(crate) fn new(at: usize, death: Death) -> Self {
        Self { left: Arc::new(AtomicI64::new(at as i64)), death }
    }

    pub(crate) fn wrap(&self, location: Location) -> Location {
        let inner = location.clone();
        location.with_files(Arc::new(FaultyFiles { inner, fuse: self.clone() }))
    }

    pub(crate) fn blown(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }

    /// `None`: go on. `Some(death)`: this change is the last.
    fn change(&self) -> Result<Option<Death>> {
        match self.left.fetch_sub(1, Ordering::SeqCst) {
            left if left > 0 => Ok(None),
            0 => Ok(Some(self.death)),
            _ => Err(dead()),
        }
    }
}

fn dead() -> Error {
    Error::unavailable("the test killed this process here")
}

#[derive(Debug)]
struct FaultyFiles {
    inner: Location,
    fuse: Fuse,
}

#[async_trait]
impl Files for FaultyFiles {
    async fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        let files = self.inner.files();
        match self.fuse.change()? {
            None => return files.put(path, bytes).await,
            Some(Death::Before) => {}
            Some(Death::Halfway) => files.put(path, bytes.slice(..bytes.len() / 2)).await?,
            Some(Death::After) => files.put(path, bytes).await?,
        }
        Err(dead())
    }

    async fn create(&self, path: &str, bytes: Bytes) -> Result<()> {
        match self.fuse.change()? {
            None => return self.inner.files().create(path, bytes).await,
            Some(Death::After) => self.inner.files().create(path, bytes).await?,
            Some(Death::Before | Death::Halfway) => {}
        }
        Err(dead())
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let files = self.inner.files();
        match self.fuse.change()? {
            None => return files.rename(from, to).await,
            Some(Death::Before) => {}
            // An object store copies first: both are there.
            Some(Death::Halfway) => {
                if let Some(bytes) = files.get(from).await? {
                    files.put(to, bytes).await?;
                }
            }
            Some(Death::After) => files.rename(from, to).await?,
        }
        Err(dead())
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        if self.fuse.blown() { Err(dead()) } else { self.inner.files().get(path).await }
    }

    async fn length(&self, path: &str) -> Result<Option<u64>> {
        if self.fuse.blown() { Err(dead()) } else { self.inner.files().length(path).await }
    }

    async fn list(&self, folder: &str) -> Result<Vec<FileEntry>> {
        if self.fuse.blown() { Err(dead()) } else { self.inner.files().list(folder).await }
    }

    async fn delete(&self, path: &str) -> Result<()> {
        match self.fuse.change()? {
            None => return self.inner.files().delete(path).await,
            Some(Death::After) => self.inner.files().delete(path).await?,
            Some(Death::Before | Death::Halfway) => {}
        }
        Err(dead())
    }
}
