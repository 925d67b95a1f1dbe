//! Where files are kept: a URL or path becomes a [`Location`], whose [`Files`] know the few
//! operations that exactly-once output needs. Used by the writers here and by `checkpoint`.
//! Must never report success before the bytes are durable.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use url::Url;

use crate::error::{Error, Result};
use crate::offline::local::LocalFiles;
use crate::offline::object::ObjectFiles;

/// One file of a listing; `path` is relative to the location, segments joined by `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileEntry {
    pub path: String,
    pub bytes: u64,
}

/// Durable operations on the files below one directory. Paths are relative, joined by `/`.
#[async_trait]
pub trait Files: Send + Sync + fmt::Debug {
    /// Writes a file, replacing an older one. Durable on return; after an error or a crash a part
    /// of the file may be there.
    async fn put(&self, path: &str, bytes: Bytes) -> Result<()>;

    /// Writes a file that did not exist: whole or not at all, durable on return. An existing
    /// file is an error and stays.
    async fn create(&self, path: &str, bytes: Bytes) -> Result<()>;

    /// Moves a file, replacing what is there. Durable on return.
    async fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// The bytes of a file; `None` if there is none.
    async fn get(&self, path: &str) -> Result<Option<Bytes>>;

    /// The length of a file; `None` if there is none.
    async fn length(&self, path: &str) -> Result<Option<u64>>;

    /// Every file below `folder` (empty = all), in byte order of path. A missing folder is empty.
    async fn list(&self, folder: &str) -> Result<Vec<FileEntry>>;

    /// Removes a file; a missing one is fine.
    async fn delete(&self, path: &str) -> Result<()>;
}

/// A directory (or file) at a URL.
#[derive(Clone, Debug)]
pub struct Location {
    /// Absolute, without secrets: resolves to the same place again.
    url: String,
    files: Arc<dyn Files>,
    object: Arc<dyn ObjectStore>,
    prefix: Path,
    local: Option<PathBuf>,
}

impl Location {
    /// Reads a path (`lake/x`, `/data/x`), `file:` URL or `s3://bucket/prefix` (credentials and
    /// endpoint from the `AWS_*` environment).
    pub fn resolve(url: &str) -> Result<Self> {
        if url.is_empty() {
            return Err(Error::usage("an empty path").with_hint("write a directory or a URL"));
        }
        if let Some(path) = local_path(url)? {
            return Self::at_path(&path);
        }
        let wrong = |why: String| Error::usage(format!("`{url}`: {why}"));
        let parsed = Url::parse(url).map_err(|e| wrong(e.to_string()))?;
        if parsed.scheme() != "s3" {
            return Err(Error::not_supported(format!("the URL scheme `{}:`", parsed.scheme()))
                .with_hint("use a path, file:///… or s3://bucket/…"));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(Error::usage("credentials in an s3:// URL")
                .with_hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"));
        }
        let bucket = parsed.host_str().ok_or_else(|| wrong("no bucket".to_owned()))?;
        let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build()?;
        let prefix = Path::from_url_path(parsed.path()).map_err(|e| wrong(e.to_string()))?;
        Ok(Self::on_object_store(Arc::new(store), &format!("s3://{bucket}"), prefix))
    }

    /// A directory on this machine, which need not exist.
    pub fn at_path(path: &FsPath) -> Result<Self> {
        let path = std::path::absolute(path)?;
        let shown = || Error::usage(format!("`{}` is not a path in UTF-8", path.display()));
        let url = Url::from_file_path(&path).map_err(|()| shown())?;
        let prefix = Path::from_url_path(url.path()).map_err(|e| shown().context(e))?;
        Ok(Self {
            url: url.to_string(),
            files: Arc::new(LocalFiles::new(path.clone())),
            object: Arc::new(LocalFileSystem::new()),
            prefix,
            local: Some(path),
        })
    }

    /// A prefix in an object store; `root` is its `scheme://bucket`.
    pub fn on_object_store(store: Arc<dyn ObjectStore>, root: &str, prefix: Path) -> Self {
        Self {
            url: format!("{root}/{prefix}"),
            files: Arc::new(ObjectFiles::new(store.clone(), prefix.clone())),
            object: store,
            prefix,
            local: None,
        }
    }

    /// The same place with other operations: tests inject faults with it.
    #[cfg(test)]
    pub(crate) fn with_files(mut self, files: Arc<dyn Files>) -> Self {
        self.files = files;
        self
    }

    /// A directory (or file) below; segments are joined by `/` and already safe
    /// (`layout::segment`).
    pub fn child(&self, path: &str) -> Result<Self> {
        let wrong = |e: object_store::path::Error| Error::usage(format!("`{path}`: {e}"));
        let below = Path::parse(path).map_err(wrong)?;
        match &self.local {
            Some(local) => Self::at_path(&local.join(below.as_ref())),
            None => {
                let prefix = Path::from_iter(self.prefix.parts().chain(below.parts()));
                let root = self.url.split('/').take(3).collect::<Vec<_>>().join("/");
                Ok(Self::on_object_store(self.object.clone(), &root, prefix))
            }
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn files(&self) -> &dyn Files {
        self.files.as_ref()
    }

    /// The path, if this is on a disk of this machine.
    pub fn local(&self) -> Option<&FsPath> {
        self.local.as_deref()
    }

    /// The object store that [`Self::prefix`] is in.
    pub fn object_store(&self) -> &Arc<dyn ObjectStore> {
        &self.object
    }

    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The URL DataFusion knows a file of this location by.
    pub fn file_url(&self, path: &str) -> Result<Url> {
        let child = self.child(path)?;
        Url::parse(&child.url).map_err(|e| Error::internal(format!("`{}`: {e}", child.url)))
    }

    /// Makes the store known to DataFusion.
    pub fn register(&self, env: &RuntimeEnv) -> Result<()> {
        if self.local.is_none() {
            let root = self.url.split('/').take(3).collect::<Vec<_>>().join("/");
            let root = Url::parse(&root).map_err(|e| Error::internal(e.to_string()))?;
            env.register_object_store(&root, self.object.clone());
        }
        Ok(())
    }

    /// Fails early where a file could not be written later.
    pub async fn check_writable(&self) -> Result<()> {
        const PROBE: &str = "_staging/probe.pending";
        let name = |e: Error| e.context(format!("cannot write below {}", self.url));
        self.files.put(PROBE, Bytes::new()).await.map_err(name)?;
        self.files.delete(PROBE).await.map_err(name)
    }
}

/// The path meant by a text without a scheme or with `file:`.
fn local_path(url: &str) -> Result<Option<PathBuf>> {
    if let Some(rest) = url.strip_prefix("file:") {
        if !rest.starts_with("//") {
            return Ok(Some(PathBuf::from(rest)));
        }
        let parsed = Url::parse(url).ok().and_then(|url| url.to_file_path().ok());
        return parsed.map(Some).ok_or_else(|| {
            Error::usage(format!("`{url}` is not the URL of a file"))
                .with_hint("write file:///absolute/path or a plain path")
        });
    }
    Ok((!url.contains("://")).then(|| PathBuf::from(url)))
}

/// Locations by URL, each resolved once, so that connections are shared.
#[derive(Debug, Default)]
pub struct Stores(Mutex<BTreeMap<String, Location>>);

impl Stores {
    pub fn resolve(&self, url: &str) -> Result<Location> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(location) = known.get(url) {
            return Ok(location.clone());
        }
        let location = Location::resolve(url)?;
        known.insert(url.to_owned(), location.clone());
        Ok(location)
    }

    /// Puts a location in place of what its URL would resolve to.
    #[cfg(test)]
    pub(crate) fn insert(&self, location: Location) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(location.url().to_owned(), location);
    }
}

#[cfg(test)]
mod tests;
