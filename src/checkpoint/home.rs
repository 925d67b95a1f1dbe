//! The directory of one engine: where its things are, the lock that keeps a second engine out,
//! and how commands find the engine that runs in it.
//!
//! ```text
//! <home>/catalog.sql  engine.json  lock  checkpoints/  offline/  dead_letter/  log/  demo/
//!        checkpoints.url (instead of checkpoints/)
//! ```
//! The lock is the operating system's, so it goes away with the process; `engine.json` may
//! outlive a crash and counts only while somebody holds the lock.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// Paths below one directory; making one touches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

/// What a running engine says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    pub pid: u32,
    /// `127.0.0.1:6566`; `None` with `--no-http`.
    pub http: Option<String>,
    /// The certificate it serves with: PEM; `None` = without TLS.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
}

/// The right to run an engine in a home; given back when dropped.
#[derive(Debug)]
pub struct HomeLock {
    home: Home,
    // Held open: closing it ends the lock.
    _file: File,
}

impl Home {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn catalog(&self) -> PathBuf {
        self.path.join("catalog.sql")
    }

    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Where the checkpoints are, if not in the home.
    pub fn checkpoints_elsewhere(&self) -> Result<Option<String>> {
        match std::fs::read_to_string(self.elsewhere()) {
            Ok(url) => Ok(Some(url.trim().to_owned())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.named(e)),
        }
    }

    fn elsewhere(&self) -> PathBuf {
        self.path.join("checkpoints.url")
    }

    pub fn offline(&self) -> PathBuf {
        self.path.join("offline")
    }

    pub fn dead_letter(&self) -> PathBuf {
        self.path.join("dead_letter")
    }

    /// Values served, of features with the option `log`.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub fn demo(&self) -> PathBuf {
        self.path.join("demo")
    }

    fn engine(&self) -> PathBuf {
        self.path.join("engine.json")
    }

    fn lock_file(&self) -> PathBuf {
        self.path.join("lock")
    }

    fn named(&self, error: std::io::Error) -> Error {
        Error::from(error).context(format!("the home {}", self.path.display()))
    }

    /// Makes the directory and takes it for an engine. Another engine in it: kind `Fenced`, with
    /// its pid.
    pub fn lock(&self) -> Result<HomeLock> {
        std::fs::create_dir_all(&self.path).map_err(|e| self.named(e))?;
        let open = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.lock_file());
        let mut file = open.map_err(|e| self.named(e))?;
        match patient_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::Error(e)) => return Err(self.named(e)),
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                let who = match pid.trim() {
                    "" => "another engine".to_owned(),
                    pid => format!("another engine (pid {pid})"),
                };
                let message = format!("{who} runs in {}", self.path.display());
                return Err(
                    Error::new(Kind::Fenced, message).with_hint("stop it, or use another --home")
                );
            }
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())?;
            file.sync_all()
        };
        write(&mut file).map_err(|e| self.named(e))?;
        let lock = HomeLock { home: self.clone(), _file: file };
        // Left by an engine that was killed.
        lock.remove_info();
        Ok(lock)
    }

    /// The engine that runs here now, if any. A stale `engine.json` is not believed.
    pub fn running(&self) -> Result<Option<EngineInfo>> {
        let Ok(file) = File::open(self.lock_file()) else { return Ok(None) };
        match file.try_lock_shared() {
            Ok(()) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(self.named(e)),
            Err(TryLockError::WouldBlock) => {}
        }
        let text = match std::fs::read(self.engine()) {
            Ok(text) => text,
            // It is just starting or stopping.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.named(e)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|e| {
            Error::data(format!("{}: {e}", self.engine().display()))
                .with_hint("stop the engine and start it again")
        })
    }
}

/// Tries for a tenth of a second: a command that looks for the engine holds the lock for a moment.
fn patient_lock(file: &File) -> std::result::Result<(), TryLockError> {
    for _ in 0..20 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
            decided => return decided,
        }
    }
    file.try_lock()
}

impl HomeLock {
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Tells commands where the engine listens.
    pub fn announce(&self, http: Option<String>, certificate: Option<PathBuf>) -> Result<()> {
        let info = EngineInfo { pid: std::process::id(), http, certificate };
        let text =
            serde_json::to_vec(&info).map_err(|e| Error::internal(format!("engine.json: {e}")))?;
        let pending = self.home.path.join(".engine.json.pending");
        std::fs::write(&pending, text).map_err(|e| self.home.named(e))?;
        std::fs::rename(&pending, self.home.engine()).map_err(|e| self.home.named(e))
    }

    /// Remembers that the checkpoints are not in the home: a later run without the option would
    /// begin anew and write everything twice.
    pub fn remember_checkpoints(&self, url: &str) -> Result<()> {
        let (path, pending) = (self.home.elsewhere(), self.home.path.join(".checkpoints.pending"));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&pending)?;
            writeln!(file, "{url}")?;
            file.sync_all()?;
            std::fs::rename(&pending, &path)?;
            File::open(&self.home.path)?.sync_all()
        };
        write().map_err(|e| self.home.named(e))
    }

    fn remove_info(&self) {
        // Without it, or with a stale one, commands see the same: no engine.
        let _ = std::fs::remove_file(self.home.engine());
    }
}

impl Drop for HomeLock {
    fn drop(&mut self) {
        self.remove_info();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_engine_is_refused_with_the_pid_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("new/home"));
        assert_eq!(home.running().unwrap(), None);
        let lock = home.lock().unwrap();
        let error = home.lock().unwrap_err();
        assert_eq!(error.kind(), Kind::Fenced);
        assert!(error.message().contains(&std::process::id().to_string()), "{error}");
        drop(lock);
        home.lock().unwrap();
    }

    #[test]
    fn the_engine_is_found_while_it_runs_and_a_stale_file_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        let lock = home.lock().unwrap();
        assert_eq!(home.running().unwrap(), None);
        lock.announce(Some("127.0.0.1:1".to_owned()), None).unwrap();
        let info = home.running().unwrap().unwrap();
        assert_eq!((info.pid, info.http.as_deref()), (std::process::id(), Some("127.0.0.1:1")));
        drop(lock);
        assert_eq!(home.running().unwrap(), None);
        std::fs::write(home.engine(), br#"{"pid":1,"http":"127.0.0.1:1"}"#).unwrap();
        assert_eq!(home.running().unwrap(), None);
        let lock = home.lock().unwrap();
        assert_eq!(home.running().unwrap(), None);
        drop(lock);
    }
}
