//! Power cuts: everything a disk may hold when the power fails in the middle of a journal of
//! changes. What was not fsynced is there, half there or not there, name and content each by
//! itself; only a rename is one step (the model of Pillai et al., "All File Systems Are Not
//! Created Equal", OSDI 2014). For tests of what survives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::offline::local::Watch;

/// One change of a file or folder.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Folder(PathBuf),
    Made(PathBuf),
    Wrote(PathBuf, Vec<u8>),
    Synced(PathBuf),
    SyncedFolder(PathBuf),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
    /// Somebody was told that so much is done.
    Told(u64),
}

/// Every change so far, of all the files that share it.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Vec<Change>>);

impl Journal {
    fn add(&self, change: Change) {
        self.0.lock().unwrap().push(change);
    }

    pub(crate) fn told(&self, done: u64) {
        self.add(Change::Told(done));
    }

    pub(crate) fn changes(&self) -> Vec<Change> {
        self.0.lock().unwrap().clone()
    }
}

impl Watch for Journal {
    fn folder(&self, path: &Path) {
        self.add(Change::Folder(path.to_owned()));
    }

    fn made(&self, path: &Path) {
        self.add(Change::Made(path.to_owned()));
    }

    fn wrote(&self, path: &Path, bytes: &[u8]) {
        self.add(Change::Wrote(path.to_owned(), bytes.to_vec()));
    }

    fn synced(&self, path: &Path) {
        self.add(Change::Synced(path.to_owned()));
    }

    fn synced_folder(&self, path: &Path) {
        self.add(Change::SyncedFolder(path.to_owned()));
    }

    fn renamed(&self, from: &Path, to: &Path) {
        self.add(Change::Renamed(from.to_owned(), to.to_owned()));
    }

    fn removed(&self, path: &Path) {
        self.add(Change::Removed(path.to_owned()));
    }
}

/// Contents of one file.
#[derive(Clone, Debug, Default)]
struct Content {
    safe: Vec<u8>,
    now: Vec<u8>,
}

/// A change of names that is not safe yet.
#[derive(Clone, Debug)]
enum Naming {
    Put(PathBuf, Option<usize>),
    Move(PathBuf, PathBuf, Option<usize>),
    Remove(PathBuf),
}

impl Naming {
    fn is_in(&self, folder: &Path) -> bool {
        let within = |path: &PathBuf| path.parent() == Some(folder);
        match self {
            Self::Put(path, _) | Self::Remove(path) => within(path),
            Self::Move(from, to, _) => within(from) || within(to),
        }
    }

    fn apply(self, names: &mut BTreeMap<PathBuf, Option<usize>>) {
        match self {
            Self::Put(path, content) => {
                names.insert(path, content);
            }
            Self::Move(from, to, content) => {
                names.remove(&from);
                names.insert(to, content);
            }
            Self::Remove(path) => {
                names.remove(&path);
            }
        }
    }
}

/// A disk with a cache; names lead to the number of a content, or to none for a folder.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    contents: Vec<Content>,
    now: BTreeMap<PathBuf, Option<usize>>,
    safe: BTreeMap<PathBuf, Option<usize>>,
    unsafe_names: Vec<Naming>,
    /// The most that somebody was told.
    pub(crate) told: u64,
}

impl Disk {
    pub(crate) fn after(changes: &[Change]) -> Self {
        let mut disk = Self::default();
        changes.iter().for_each(|change| disk.apply(change));
        disk
    }

    fn name(&mut self, naming: Naming) {
        naming.clone().apply(&mut self.now);
        self.unsafe_names.push(naming);
    }

    fn content(&mut self, path: &Path) -> &mut Content {
        &mut self.contents[self.now[path].expect("a file")]
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Folder(path) => self.name(Naming::Put(path.clone(), None)),
            Change::Made(path) if self.now.contains_key(path) => self.content(path).now.clear(),
            Change::Made(path) => {
                self.contents.push(Content::default());
                self.name(Naming::Put(path.clone(), Some(self.contents.len() - 1)));
            }
            Change::Wrote(path, bytes) => self.content(path).now.extend(bytes),
            Change::Synced(path) => {
                let content = self.content(path);
                content.safe = content.now.clone();
            }
            Change::SyncedFolder(folder) => {
                let all = std::mem::take(&mut self.unsafe_names);
                let (safe, rest) = all.into_iter().partition(|naming| naming.is_in(folder));
                self.unsafe_names = rest;
                let safe: Vec<Naming> = safe;
                safe.into_iter().for_each(|naming| naming.apply(&mut self.safe));
            }
            Change::Renamed(from, to) => {
                let content = self.now[from];
                self.name(Naming::Move(from.clone(), to.clone(), content));
            }
            Change::Removed(path) => self.name(Naming::Remove(path.clone())),
            Change::Told(done) => self.told = *done,
        }
    }

    /// The power fails; `dice` gives a number below its argument. The files that are left.
    pub(crate) fn cut(
        mut self,
        dice: &mut dyn FnMut(usize) -> usize,
    ) -> BTreeMap<PathBuf, Vec<u8>> {
        for naming in std::mem::take(&mut self.unsafe_names) {
            if dice(2) == 0 {
                naming.apply(&mut self.safe);
            }
        }
        let mut left = BTreeMap::new();
        for (path, content) in &self.safe {
            let reachable = |folder: &Path| match self.now.get(folder) {
                // A folder that was there before the journal began.
                None => true,
                Some(_) => self.safe.contains_key(folder),
            };
            let Some(content) = content else { continue };
            if !path.ancestors().skip(1).all(reachable) {
                continue;
            }
            let Content { safe, now } = &self.contents[*content];
            let bytes = match dice(3) {
                0 => safe.clone(),
                1 => now.clone(),
                _ if safe == now => safe.clone(),
                _ => now[..now.len() / 2].to_vec(),
            };
            left.insert(path.clone(), bytes);
        }
        left
    }
}

/// Makes a folder hold these files and nothing else.
pub(crate) fn restore(root: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    std::fs::remove_dir_all(root).unwrap();
    std::fs::create_dir_all(root).unwrap();
    for (path, bytes) in files {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}
