//! Disks that fail and files that rot, under a whole engine: every change that can fail does, once;
//! every byte of a manifest is cut off, every bit of it and many of the state are flipped.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::oracle::{Made, SECOND};
use super::tests::{Dice, SQL, differences, messages, runtime};
use super::world::World;
use super::{Move, Steps};
use crate::checkpoint::manifest::{self, Manifest};
use crate::checkpoint::store::CheckpointStore;
use crate::error::Kind;
use crate::offline::faulty::{Death, Fuse};
use crate::offline::store::Stores;

/// Two partitions, two days; a late one, a broken one.
pub(super) fn small_log() -> Vec<Vec<(Made, i64)>> {
    let midnight = 1_772_064_000 * SECOND;
    let mut log = vec![Vec::new(); 2];
    for i in 0..28 {
        let now = midnight + (i - 14) * SECOND;
        let made = match i {
            9 => Made::Broken,
            21 => Made::Event { user: 1, amount: 1, time: now - 60 * SECOND },
            _ => Made::Event { user: i % 3, amount: i * 7 % 11, time: now - i % 4 * SECOND },
        };
        log[i as usize % 2].push((made, now));
    }
    log
}

pub(super) fn small_world() -> World {
    let mut log = messages(&small_log());
    log.show_all();
    World::new(&SQL.replace(" PARTITIONED", ""), log, 1)
}

/// One life to the end of everything: the time that values were refreshed to.
pub(super) fn live(world: &World, fuse: &Fuse) -> crate::error::Result<i64> {
    let runtime = runtime();
    let start = runtime.block_on(world.start(fuse, 2, &mut || {}))?;
    let mut steps = Steps::new(start, runtime)?;
    let ends = world.log.lock().unwrap().visible.clone();
    steps.read_to(&ends)?;
    steps.finish()?;
    Ok(steps.refreshed(0))
}

#[test]
fn every_change_of_a_file_that_fails_stops_the_engine_and_costs_nothing() {
    // No space, before a byte or after half of them; an I/O error, also one after the fact.
    let ways = [
        (Death::Before, Kind::Exhausted),
        (Death::Halfway, Kind::Exhausted),
        (Death::Halfway, Kind::Unavailable),
        (Death::After, Kind::Unavailable),
    ];
    let (made, mut runs, mut stops) = (small_log(), 0, 0);
    for (death, kind) in ways {
        for at in 0.. {
            let world = small_world();
            let fuse = Fuse::failing(at, death, kind);
            let mut lives = 0;
            let refreshed = loop {
                let error = match live(&world, &fuse) {
                    Ok(refreshed) => break refreshed,
                    Err(error) => error,
                };
                lives += 1;
                assert!(fuse.blown() && lives == 1, "{death:?} at {at}: {error}");
                assert_eq!(error.kind(), kind, "{death:?} at {at}: {error}");
            };
            (runs, stops) = (runs + usize::from(fuse.blown()), stops + lives);
            let wrong = runtime().block_on(differences(&world, &made, refreshed));
            assert!(wrong.is_empty(), "{death:?} at {at}: {wrong:?}");
            if !fuse.blown() {
                assert!(at > 50, "only {at} changes were tried");
                break;
            }
        }
    }
    println!("{runs} failed changes, {stops} stops of the engine, 0 outputs differ");
    assert!(stops > runs / 2);
}

/// The checkpoints of an engine that died with rows read and not yet final.
struct Rotten {
    world: World,
    /// Every file by path.
    files: BTreeMap<String, Bytes>,
}

impl Rotten {
    /// `silent`: the newest epochs have published nothing, so older ones may be taken.
    fn new(silent: bool) -> Self {
        let world = small_world();
        let tokio = runtime();
        let fuse = Fuse::new(usize::MAX >> 1, Death::Before);
        let start = tokio.block_on(world.start(&fuse, 2, &mut || {})).unwrap();
        let mut steps = Steps::new(start, tokio).unwrap();
        let ends = world.log.lock().unwrap().visible.clone();
        steps.read_to(&ends).unwrap();
        // Epochs that hold everything and publish nothing, or up to the first that publishes.
        for _ in 0..6 {
            let files = runtime().block_on(Self::read(&world));
            let newest = Manifest::decode(Self::newest(&files).1).unwrap();
            if !silent && !newest.prepared.is_empty() {
                break;
            }
            for chosen in [Move::Tick, Move::Ingest(0), Move::Lane(0), Move::Lane(1)] {
                steps.step(chosen).unwrap();
            }
            for _ in 0..40 {
                steps.step(Move::Lane(0)).unwrap();
                steps.step(Move::Lane(1)).unwrap();
                steps.step(Move::Collect).unwrap();
            }
            steps.step(Move::Write).unwrap();
        }
        drop(steps);
        let files = runtime().block_on(Self::read(&world));
        Self { world, files }
    }

    async fn read(world: &World) -> BTreeMap<String, Bytes> {
        let location = world.place("checkpoints");
        let mut files = BTreeMap::new();
        for file in location.files().list("").await.unwrap() {
            let bytes = location.files().get(&file.path).await.unwrap().unwrap();
            files.insert(file.path, bytes);
        }
        files
    }

    fn newest_manifest(&self) -> (&String, &Bytes) {
        Self::newest(&self.files)
    }

    fn newest(files: &BTreeMap<String, Bytes>) -> (&String, &Bytes) {
        files.iter().rfind(|(path, _)| manifest::epoch_of(path).is_some()).unwrap()
    }

    /// Recovers with a file replaced, then mends everything. `None`: refused.
    async fn recovered(&self, path: &str, bytes: Vec<u8>) -> Option<(u64, usize)> {
        let location = self.world.place("checkpoints");
        location.files().put(path, bytes.into()).await.unwrap();
        let stores = Arc::new(Stores::default());
        for place in self.world.outputs() {
            stores.insert(self.world.place(&place));
        }
        let found = CheckpointStore::at(location.clone(), stores).latest().await;
        let found = match found {
            Ok(found) => found.map(|found| (found.manifest.epoch, found.warnings.len())),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Data, "{error}");
                None
            }
        };
        for file in location.files().list("").await.unwrap() {
            if !self.files.contains_key(&file.path) {
                location.files().delete(&file.path).await.unwrap();
            }
        }
        for (path, bytes) in &self.files {
            if location.files().get(path).await.unwrap().as_ref() != Some(bytes) {
                location.files().put(path, bytes.clone()).await.unwrap();
            }
        }
        found
    }
}

#[test]
fn every_cut_and_every_flipped_bit_of_a_manifest_is_noticed() {
    let rotten = Rotten::new(true);
    let (name, whole) = rotten.newest_manifest();
    let tokio = runtime();
    let epoch = manifest::epoch_of(name).unwrap().0;
    assert_eq!(tokio.block_on(rotten.recovered(name, whole.to_vec())), Some((epoch, 0)));
    let mut tried = 0;
    let manifests = rotten.files.iter().filter(|(path, _)| manifest::epoch_of(path).is_some());
    for (path, bytes) in manifests {
        for length in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..length]).is_err(), "{path} cut at {length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&flipped).is_err(), "{path}, bit {bit}");
        }
        tried += bytes.len() * 9;
    }
    for length in (0..whole.len()).step_by(13) {
        let found = tokio.block_on(rotten.recovered(name, whole[..length].to_vec()));
        assert_eq!(found, None, "cut at {length}");
    }
    println!("{tried} damaged manifests, 0 unnoticed");
}

#[test]
fn flipped_bits_in_state_are_noticed_and_nothing_panics() {
    let count =
        std::env::var("SKEWLESS_FLIPS").map_or(1_000, |text| text.parse::<usize>().unwrap());
    let (silent, spoken) = (flip(count - count / 4, true), flip(count / 4, false));
    // Files that older epochs stand on too leave none to take.
    assert!(silent.1 > 0 && spoken.1 == 0, "{silent:?} {spoken:?}");
    let (refused, older) = (silent.0 + spoken.0, silent.1);
    println!("{count} flipped bits: {refused} refused, {older} recovered from an older epoch");
}

/// Flips bits of the state of the newest epoch: how often recovery refused, how often it took an
/// older one.
fn flip(count: usize, silent: bool) -> (usize, usize) {
    let rotten = Rotten::new(silent);
    let (name, bytes) = rotten.newest_manifest();
    let newest = Manifest::decode(bytes).unwrap();
    let total: u64 = newest.state.iter().map(|file| file.bytes).sum();
    assert!(total > 1_000, "{name} has {total} bytes of state");
    let (mut dice, tokio) = (Dice(11), runtime());
    let (mut refused, mut older) = (0, 0);
    for _ in 0..count {
        let mut at = dice.below(total as usize);
        let mut files = newest.state.iter();
        let file = files.find(|file| {
            let here = at < file.bytes as usize;
            at -= if here { 0 } else { file.bytes as usize };
            here
        });
        let path = &file.unwrap().path;
        let mut flipped = rotten.files[path].to_vec();
        flipped[at] ^= 1 << dice.below(8);
        match tokio.block_on(rotten.recovered(path, flipped)) {
            None => refused += 1,
            Some((epoch, warnings)) => {
                assert!(epoch < newest.epoch && warnings > 0, "{path}, byte {at}: not noticed");
                older += 1;
            }
        }
    }
    (refused, older)
}
