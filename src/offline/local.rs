//! Files on a disk: every byte and every name is fsynced before success is reported.
//!
//! A failed fsync is final: the kernel may have dropped the pages and call them clean
//! (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020), so from
//! then on every operation is refused and the engine has to start again from its checkpoint.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::TempPath;

use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::offline::store::{FileEntry, Files};

/// Is told of every change of the disk once it has been made: tests cut the power with it.
pub trait Watch: Send + Sync + Debug {
    fn folder(&self, path: &Path);
    fn made(&self, path: &Path);
    fn wrote(&self, path: &Path, bytes: &[u8]);
    fn synced(&self, path: &Path);
    fn synced_folder(&self, path: &Path);
    fn renamed(&self, from: &Path, to: &Path);
    fn removed(&self, path: &Path);
}

/// The files below one directory, which is made when the first file is written.
#[derive(Clone, Debug)]
pub struct LocalFiles {
    root: PathBuf,
    poisoned: Arc<AtomicBool>,
    watch: Option<Arc<dyn Watch>>,
}

impl LocalFiles {
    pub fn new(root: PathBuf) -> Self {
        Self { root, poisoned: Arc::new(AtomicBool::new(false)), watch: None }
    }

    #[cfg(test)]
    pub(crate) fn watched(root: PathBuf, watch: Arc<dyn Watch>) -> Self {
        Self { watch: Some(watch), ..Self::new(root) }
    }

    fn watch(&self, tell: impl FnOnce(&dyn Watch)) {
        if let Some(watch) = &self.watch {
            tell(watch.as_ref());
        }
    }

    /// Runs blocking work off the async threads; names the path in errors.
    async fn run<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(&Self, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (this, full) = (self.clone(), self.root.join(path));
        let done = tokio::task::spawn_blocking(move || {
            if this.poisoned.load(Ordering::Acquire) {
                return Err(Error::unavailable(
                    "an fsync failed earlier; what is on disk is unknown",
                )
                .with_hint("check the disk, then start the engine again"));
            }
            work(&this, &full).map_err(|e| {
                match e.kind() {
                    ErrorKind::AlreadyExists => Error::new(Kind::Fenced, "exists already"),
                    _ => Error::from(e),
                }
                .context(full.display())
            })
        });
        done.await.map_err(|e| Error::internal(format!("file work did not finish: {e}")))?
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all().inspect_err(|_| self.poisoned.store(true, Ordering::Release))
    }

    fn sync_file(&self, file: &File, path: &Path) -> io::Result<()> {
        if failpoint::broken("leave files to the cache") {
            return Ok(());
        }
        self.sync(file)?;
        self.watch(|w| w.synced(path));
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        if failpoint::broken("leave names to the cache") {
            return Ok(());
        }
        // A folder that cannot be opened is as unknown as one that cannot be synced.
        let folder_file = File::open(folder);
        let opened = folder_file.inspect_err(|_| self.poisoned.store(true, Ordering::Release))?;
        self.sync(&opened)?;
        self.watch(|w| w.synced_folder(folder));
        Ok(())
    }

    /// Makes the folder of a file, and the names of new folders durable.
    fn make_parent(&self, path: &Path) -> io::Result<PathBuf> {
        let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
        let mut missing: Vec<&Path> = parent.ancestors().take_while(|f| !f.exists()).collect();
        fs::create_dir_all(&parent)?;
        while let Some(made) = missing.pop() {
            self.watch(|w| w.folder(made));
            self.sync_folder(made.parent().unwrap_or(Path::new("/")))?;
        }
        Ok(parent)
    }

    /// Fills a file that was just made.
    fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.watch(|w| w.made(path));
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        self.watch(|w| w.wrote(path, first));
        pass("file.torn")?;
        file.write_all(rest)?;
        self.watch(|w| w.wrote(path, rest));
        pass("file.before_sync")?;
        self.sync_file(file, path)
    }
}

fn pass(place: &'static str) -> io::Result<()> {
    failpoint::pass(place).map_err(io::Error::other)
}

fn missing_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Gives a file a name that was free; unlike a rename it never replaces a file. File systems that
/// cannot do that get a look and a rename: two engines must not share checkpoints on those.
fn name_new(pending: TempPath, path: &Path) -> io::Result<()> {
    let Err(refused) = pending.persist_noclobber(path) else { return Ok(()) };
    match refused.error.kind() {
        ErrorKind::Unsupported | ErrorKind::PermissionDenied => match path.exists() {
            true => Err(ErrorKind::AlreadyExists.into()),
            false => refused.path.persist(path).map_err(|e| e.error),
        },
        _ => Err(refused.error),
    }
}

/// Adds the files below `folder`; `prefix` is its path relative to the root.
fn walk(folder: &Path, prefix: &str, out: &mut Vec<FileEntry>) -> io::Result<()> {
    let Some(entries) = missing_is_none(fs::read_dir(folder))? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        // A file may go away between the listing and the look at it.
        let Some(found) = missing_is_none(fs::metadata(entry.path()))? else { continue };
        if found.is_dir() {
            walk(&entry.path(), &path, out)?;
        } else {
            out.push(FileEntry { path, bytes: found.len() });
        }
    }
    Ok(())
}

#[async_trait]
impl Files for LocalFiles {
    async fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.run(path, move |this, path| {
            let parent = this.make_parent(path)?;
            this.write(&mut File::create(path)?, path, &bytes)?;
            this.sync_folder(&parent)
        })
        .await
    }

    async fn create(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.run(path, move |this, path| {
            let parent = this.make_parent(path)?;
            // A name of its own: another engine may be about to make the same file.
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let mut pending = tempfile::Builder::new()
                .prefix(&format!("{name}."))
                .suffix(".pending")
                // Readable by whom the umask lets, as any other file.
                .permissions(fs::Permissions::from_mode(0o666))
                .tempfile_in(&parent)?;
            let shown = pending.path().to_owned();
            this.write(pending.as_file_mut(), &shown, &bytes)?;
            pass("file.before_link")?;
            name_new(pending.into_temp_path(), path)?;
            this.watch(|w| w.renamed(&shown, path));
            pass("file.after_link")?;
            this.sync_folder(&parent)
        })
        .await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let to = self.root.join(to);
        self.run(from, move |this, from| {
            let parent = this.make_parent(&to)?;
            pass("file.before_rename")?;
            fs::rename(from, &to)?;
            this.watch(|w| w.renamed(from, &to));
            pass("file.after_rename")?;
            this.sync_folder(&parent)?;
            match from.parent() {
                Some(old) if old != parent => this.sync_folder(old),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        self.run(path, |_, path| Ok(missing_is_none(fs::read(path))?.map(Bytes::from))).await
    }

    async fn length(&self, path: &str) -> Result<Option<u64>> {
        self.run(path, |_, path| Ok(missing_is_none(fs::metadata(path))?.map(|m| m.len()))).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<FileEntry>> {
        let prefix = folder.trim_end_matches('/').to_owned();
        self.run(folder, move |_, path| {
            let mut found = Vec::new();
            walk(path, &prefix, &mut found)?;
            found.sort();
            Ok(found)
        })
        .await
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.run(path, |this, path| {
            if missing_is_none(fs::remove_file(path))?.is_some() {
                this.watch(|w| w.removed(path));
            }
            Ok(())
        })
        .await
    }
}
