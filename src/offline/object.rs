//! Files in an object store: an object appears whole when its upload ends, so only moving
//! (copy, then delete) takes two steps, and both may be repeated.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::error::{Error, Kind, Result};
use crate::offline::store::{FileEntry, Files};

/// The objects below one prefix.
#[derive(Clone, Debug)]
pub struct ObjectFiles {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl ObjectFiles {
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix }
    }

    fn full(&self, path: &str) -> Result<Path> {
        let below = Path::parse(path)
            .map_err(|e| Error::internal(format!("`{path}` is not an object path: {e}")))?;
        Ok(Path::from_iter(self.prefix.parts().chain(below.parts())))
    }
}

fn missing_is_none<T>(result: object_store::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

#[async_trait]
impl Files for ObjectFiles {
    async fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.store.put(&self.full(path)?, bytes.into()).await?;
        Ok(())
    }

    async fn create(&self, path: &str, bytes: Bytes) -> Result<()> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&self.full(path)?, bytes.into(), options).await {
            Err(object_store::Error::AlreadyExists { path, .. }) => {
                Err(Error::new(Kind::Fenced, format!("{path} exists already")))
            }
            done => done.map(|_| ()).map_err(Error::from),
        }
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.full(from)?, self.full(to)?);
        self.store.copy(&from, &to).await?;
        self.store.delete(&from).await?;
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        match missing_is_none(self.store.get(&self.full(path)?).await)? {
            Some(found) => Ok(Some(found.bytes().await?)),
            None => Ok(None),
        }
    }

    async fn length(&self, path: &str) -> Result<Option<u64>> {
        Ok(missing_is_none(self.store.head(&self.full(path)?).await)?.map(|meta| meta.size))
    }

    async fn list(&self, folder: &str) -> Result<Vec<FileEntry>> {
        let below = self.full(folder)?;
        let found: Vec<_> = self.store.list(Some(&below)).try_collect().await?;
        let mut entries = Vec::with_capacity(found.len());
        for meta in found {
            let Some(parts) = meta.location.prefix_match(&self.prefix) else { continue };
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            entries.push(FileEntry { path: parts.join("/"), bytes: meta.size });
        }
        entries.sort();
        Ok(entries)
    }

    async fn delete(&self, path: &str) -> Result<()> {
        missing_is_none(self.store.delete(&self.full(path)?).await).map(|_| ())
    }
}
