//! Files that die at the N-th change, as a process does: the change is left undone, half done or
//! done, and nothing works afterwards. Or the N-th change fails, as a full or broken disk makes
//! it, and everything works again. Or the process sleeps before the N-th step while others go on.
//! For tests of what survives.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{Error, Kind, Result};
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
    /// It fails once, with this kind of error, and nobody dies.
    once: Option<Kind>,
    pause: Option<Arc<Pause>>,
}

/// A pause before one step, a look or a change; it lasts as long as the call.
struct Pause {
    left: AtomicI64,
    call: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Pause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pauses in {:?} steps", self.left)
    }
}

impl Fuse {
    /// Dies at change number `at`, counted from 0 over every location wrapped with it.
    pub(crate) fn new(at: usize, death: Death) -> Self {
        Self { left: Arc::new(AtomicI64::new(at as i64)), death, once: None, pause: None }
    }

    /// Nothing fails; before step number `at`, counted from 0 over looks and changes, `call` runs.
    pub(crate) fn pausing(at: usize, call: impl Fn() + Send + Sync + 'static) -> Self {
        let pause = Pause { left: AtomicI64::new(at as i64), call: Box::new(call) };
        Self { pause: Some(Arc::new(pause)), ..Self::new(usize::MAX >> 1, Death::Before) }
    }

    /// Change number `at` fails.
    pub(crate) fn failing(at: usize, death: Death, kind: Kind) -> Self {
        Self { once: Some(kind), ..Self::new(at, death) }
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
        self.pause();
        match self.left.fetch_sub(1, Ordering::SeqCst) {
            left if left > 0 => Ok(None),
            0 => Ok(Some(self.death)),
            _ if self.once.is_some() => Ok(None),
            _ => Err(self.error()),
        }
    }

    fn look(&self) -> Result<()> {
        self.pause();
        if self.blown() && self.once.is_none() { Err(self.error()) } else { Ok(()) }
    }

    fn pause(&self) {
        if let Some(pause) = &self.pause
            && pause.left.fetch_sub(1, Ordering::SeqCst) == 0
        {
            (pause.call)();
        }
    }

    fn error(&self) -> Error {
        match self.once {
            Some(kind) => Error::new(kind, "the test let the disk fail here"),
            None => Error::unavailable("the test killed this process here"),
        }
    }
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
        Err(self.fuse.error())
    }

    async fn create(&self, path: &str, bytes: Bytes) -> Result<()> {
        match self.fuse.change()? {
            None => return self.inner.files().create(path, bytes).await,
            Some(Death::After) => self.inner.files().create(path, bytes).await?,
            Some(Death::Before | Death::Halfway) => {}
        }
        Err(self.fuse.error())
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
        Err(self.fuse.error())
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        self.fuse.look()?;
        self.inner.files().get(path).await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>> {
        self.fuse.look()?;
        self.inner.files().length(path).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<FileEntry>> {
        self.fuse.look()?;
        self.inner.files().list(folder).await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        match self.fuse.change()? {
            None => return self.inner.files().delete(path).await,
            Some(Death::After) => self.inner.files().delete(path).await?,
            Some(Death::Before | Death::Halfway) => {}
        }
        Err(self.fuse.error())
    }
}
