//! The protocol under death at every step, and under damage of every file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::*;
use crate::checkpoint::recover::Recovered;
use crate::error::Kind;
use crate::offline::faulty::{Death, Fuse};
use crate::offline::layout::{published, staged};
use crate::offline::local::LocalFiles;
use crate::offline::power::{Disk, Journal, restore};
use crate::offline::writer::abort_after;
use crate::operator::trial::Random;

/// A home with one output directory; values in it are counted to prove exactly-once.
struct World {
    _folder: Option<tempfile::TempDir>,
    checkpoints: Location,
    output: Location,
}

impl World {
    fn on_disk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = Self::at(folder.path(), |location| location);
        Self { _folder: Some(folder), ..world }
    }

    fn at(root: &Path, with: impl Fn(Location) -> Location) -> Self {
        let place = |name: &str| with(Location::at_path(&root.join(name)).unwrap());
        Self { checkpoints: place("checkpoints"), output: place("output"), _folder: None }
    }

    fn in_memory() -> Self {
        let memory = Arc::new(object_store::memory::InMemory::new());
        let place = |name: &str| Location::on_object_store(memory.clone(), "s3://b", name.into());
        Self { checkpoints: place("checkpoints"), output: place("output"), _folder: None }
    }

    fn open(&self, fuse: Option<&Fuse>) -> CheckpointStore {
        let wrap = |location: &Location| match fuse {
            Some(fuse) => fuse.wrap(location.clone()),
            None => location.clone(),
        };
        let stores = Stores::default();
        stores.insert(wrap(&self.output));
        CheckpointStore::at(wrap(&self.checkpoints), Arc::new(stores))
    }

    /// What a reader of the output sees: the published values, sorted.
    async fn visible(&self) -> Vec<u64> {
        let mut values = Vec::new();
        for file in self.output.files().list("").await.unwrap() {
            if crate::offline::layout::is_published(&file.path) {
                let bytes = self.output.files().get(&file.path).await.unwrap().unwrap();
                let text = std::str::from_utf8(&bytes).unwrap();
                values.extend(text.split_whitespace().map(|word| word.parse::<u64>().unwrap()));
            }
        }
        values.sort_unstable();
        values
    }

    async fn damage(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.checkpoints.files().get(path).await.unwrap().unwrap().to_vec();
        change(&mut bytes);
        self.checkpoints.files().put(path, bytes.into()).await.unwrap();
    }
}

/// A toy engine: the log is 0, 1, 2, …; an epoch reads two values, its state is their sum.
/// `silent` epochs write nothing, so they carry their values to the next one.
async fn run_epoch(
    world: &World,
    store: &mut CheckpointStore,
    epoch: u64,
    carried: &mut Vec<u64>,
) -> Result<()> {
    let position = epoch * 2;
    carried.extend([position - 2, position - 1]);
    let mut prepared = Vec::new();
    if !epoch.is_multiple_of(3) {
        let text = carried.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
        let target = published(Some(0), Epoch(epoch), "l0", 0);
        let file = PreparedFile {
            base: world.output.url().to_owned(),
            staged: staged(&target),
            target,
            bytes: text.len() as u64,
            rows: carried.len() as u64,
        };
        let output = store.stores.resolve(&file.base)?;
        output.files().put(&file.staged, text.into()).await?;
        prepared.push(file);
        carried.clear();
    }
    let state = StateDraft {
        adds: false,
        group: "SELECT a /* \"x\" */".to_owned(),
        part: "lane-0".to_owned(),
        bytes: format!("{carried:?}").into(),
    };
    let source = SourceState {
        partitions: 1,
        positions: BTreeMap::from([(0, position as i64)]),
        admission: serde_json::Value::Null,
        watermark: None,
        ended: false,
        read_at: None,
    };
    store
        .commit(Draft {
            epoch: Epoch(epoch),
            generation: 1,
            sources: BTreeMap::from([("log".to_owned(), source)]),
            state: vec![state],
            prepared,
            ..Draft::default()
        })
        .await
        .map(|_| ())
}

/// Recovers and reads the toy engine's state: (next epoch, carried values).
async fn recover(world: &World, store: &mut CheckpointStore) -> Result<(u64, Vec<u64>)> {
    let Some(found) = store.latest().await? else {
        let output = store.stores.resolve(world.output.url())?;
        abort_after(&output, Epoch(0), 1).await?;
        return Ok((1, Vec::new()));
    };
    let output = store.stores.resolve(world.output.url())?;
    abort_after(&output, found.epoch(), 1).await?;
    let carried = carried(&found).await?;
    assert_eq!(found.manifest.sources["log"].positions[&0], found.manifest.epoch as i64 * 2);
    Ok((found.manifest.epoch + 1, carried))
}

async fn carried(found: &Recovered) -> Result<Vec<u64>> {
    let bytes = found.state(&found.manifest.state[0]).await?;
    Ok(serde_json::from_slice(&bytes).unwrap())
}

async fn run_to(world: &World, store: &mut CheckpointStore, last: u64) -> Result<()> {
    let (mut epoch, mut carried) = recover(world, store).await?;
    while epoch <= last {
        run_epoch(world, store, epoch, &mut carried).await?;
        epoch += 1;
    }
    Ok(())
}

#[tokio::test]
async fn dying_at_every_step_and_again_while_recovering_loses_and_repeats_nothing() {
    let wanted: Vec<u64> = (0..10).collect();
    for death in [Death::Before, Death::Halfway, Death::After] {
        for at in 0.. {
            let mut first_died = false;
            for again in 0.. {
                let world = World::in_memory();
                let fuse = Fuse::new(at, death);
                let first = run_to(&world, &mut world.open(Some(&fuse)), 5).await;
                first_died = fuse.blown();
                assert!(first.is_ok() || first_died);
                let fuse = Fuse::new(again, death);
                let _ = run_to(&world, &mut world.open(Some(&fuse)), 5).await;
                let second_died = fuse.blown();
                run_to(&world, &mut world.open(None), 5).await.unwrap();
                assert_eq!(world.visible().await, wanted, "{death:?} at {at}, then {again}");
                if !second_died {
                    break;
                }
            }
            if !first_died {
                assert!(at >= 20, "only {at} steps were tried");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_power_cut_at_any_moment_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let journal = Arc::new(Journal::default());
    let watched = World::at(root, |location| {
        let files = LocalFiles::watched(location.local().unwrap().to_owned(), journal.clone());
        location.with_files(Arc::new(files))
    });
    let mut store = watched.open(None);
    let (mut epoch, mut carried) = recover(&watched, &mut store).await.unwrap();
    while epoch <= 5 {
        run_epoch(&watched, &mut store, epoch, &mut carried).await.unwrap();
        journal.told(epoch);
        epoch += 1;
    }
    let changes = journal.changes();
    let mut random = Random::new(1);
    let mut dice = |n: usize| random.below(n as u64) as usize;
    for at in 0..=changes.len() {
        for _ in 0..3 {
            let disk = Disk::after(&changes[..at]);
            let told = disk.told;
            restore(root, &disk.cut(&mut dice));
            let world = World::at(root, |location| location);
            let mut store = world.open(None);
            let found = store.latest().await;
            let found = found.unwrap_or_else(|e| panic!("cut after change {at}: {e}"));
            let found = found.map_or(0, |found| found.epoch().0);
            assert!(found >= told, "cut after change {at}: epoch {found}, {told} was committed");
            run_to(&world, &mut store, 5).await.unwrap();
            let wanted: Vec<u64> = (0..10).collect();
            assert_eq!(world.visible().await, wanted, "cut after change {at}");
        }
    }
    assert!(changes.len() > 60, "only {} changes", changes.len());
}

#[tokio::test]
async fn an_engine_that_was_overtaken_leaves_the_files_of_its_successor_alone() {
    let world = World::on_disk();
    let mut sleeper = world.open(None);
    run_to(&world, &mut sleeper, 4).await.unwrap();
    // The sleeper has begun epoch 5, and is about to commit it: recovery removes nothing.
    let begun = "state-0000000005-g1/of-the-sleeper.state";
    world.checkpoints.files().put(begun, "state".into()).await.unwrap();
    let mut successor = world.open(None);
    let found = successor.latest().await.unwrap().unwrap();
    assert_eq!(found.epoch(), Epoch(4));
    assert!(world.checkpoints.files().length(begun).await.unwrap().is_some());
    let draft = |generation, bytes: &'static str| Draft {
        epoch: Epoch(5),
        generation,
        state: vec![StateDraft {
            group: "g".to_owned(),
            part: "lane-0".to_owned(),
            bytes: bytes.into(),
            adds: false,
        }],
        ..Draft::default()
    };
    successor.commit(draft(2, "the successor's")).await.unwrap();
    let error = sleeper.commit(draft(1, "the sleeper's")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced);
    let found = world.open(None).latest().await.unwrap().unwrap();
    assert_eq!((found.epoch(), found.warnings.len()), (Epoch(5), 0));
    let bytes = found.state(&found.manifest.state[0]).await.unwrap();
    assert_eq!(bytes, "the successor's");
    // Now that it cannot be committed any more, what was begun has gone.
    assert!(world.checkpoints.files().length(begun).await.unwrap().is_none());
}

#[tokio::test]
async fn an_engine_that_slept_while_its_epoch_was_collected_cannot_commit_it_again() {
    let world = World::in_memory();
    let mut sleeper = world.open(None);
    run_to(&world, &mut sleeper, 3).await.unwrap();
    run_to(&world, &mut world.open(None), 8).await.unwrap();
    let error = run_epoch(&world, &mut sleeper, 4, &mut vec![4, 5]).await;
    assert_eq!(error.map_err(|e| e.kind()), Err(Kind::Fenced));
    run_to(&world, &mut world.open(None), 10).await.unwrap();
    assert_eq!(world.visible().await, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn whatever_fails_once_another_has_taken_over_the_error_names_that() {
    // The state file, and the manifest.
    for at in 0..2 {
        let world = World::on_disk();
        let mut overtaken = world.open(None);
        run_to(&world, &mut overtaken, 4).await.unwrap();
        let mut successor = world.open(None);
        let found = successor.latest().await.unwrap().unwrap();
        let takeover = Draft { epoch: found.epoch().next(), generation: 2, ..Draft::default() };
        successor.commit(takeover).await.unwrap();
        // It finds its files gone: the successor has removed them.
        let fuse = Fuse::failing(at, Death::Before, Kind::Unavailable);
        let mut overtaken = CheckpointStore {
            location: fuse.wrap(overtaken.location.clone()),
            ..CheckpointStore::at(world.checkpoints.clone(), overtaken.stores.clone())
        };
        overtaken.set_committed(Some(Epoch(4)));
        let error = run_epoch(&world, &mut overtaken, 5, &mut Vec::new()).await.unwrap_err();
        assert!(fuse.blown(), "change {at} was not tried");
        assert_eq!(error.kind(), Kind::Fenced, "change {at}: {error}");
        assert!(error.message().contains("another engine has committed epoch 5"), "{error}");
    }
}

/// Takes over and does no more, as an engine whose online store does not answer.
async fn take_over(world: &World) {
    let mut store = world.open(None);
    let found = store.latest().await.unwrap().unwrap();
    let Manifest { sources, state, generation, .. } = found.manifest.clone();
    let (epoch, generation) = (found.epoch().next(), generation + 1);
    let draft = Draft { epoch, generation, sources, kept: state, ..Draft::default() };
    store.commit(draft).await.unwrap();
}

#[tokio::test]
async fn an_engine_that_sleeps_while_many_take_over_removes_nothing_that_they_need() {
    for at in 0.. {
        let world = Arc::new(World::in_memory());
        run_to(&world, &mut world.open(None), 3).await.unwrap();
        let (others, slept) = (world.clone(), Arc::new(AtomicBool::new(false)));
        let flag = slept.clone();
        let fuse = Fuse::pausing(at, move || {
            flag.store(true, Relaxed);
            let others = others.clone();
            let all = async move {
                for _ in 0..KEPT + 1 {
                    take_over(&others).await;
                }
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            std::thread::spawn(move || runtime.block_on(all)).join().unwrap();
        });
        let mut sleeper = world.open(Some(&fuse));
        sleeper.set_committed(Some(Epoch(3)));
        let mut carried = vec![4, 5];
        for epoch in [4, 5] {
            if let Err(error) = run_epoch(&world, &mut sleeper, epoch, &mut carried).await {
                assert_eq!(error.kind(), Kind::Fenced, "asleep at {at}: {error}");
                break;
            }
        }
        let found = world.open(None).latest().await;
        let found = found.unwrap_or_else(|e| panic!("asleep at {at}: {e}")).unwrap();
        assert!(found.warnings.is_empty(), "asleep at {at}: {:?}", found.warnings);
        if !slept.load(Relaxed) {
            assert!(at > 15, "only {at} steps were tried");
            break;
        }
    }
}

#[tokio::test]
async fn recovery_beside_an_engine_that_goes_on_finds_a_whole_epoch() {
    for at in 0.. {
        let world = Arc::new(World::in_memory());
        run_to(&world, &mut world.open(None), 6).await.unwrap();
        let other = world.clone();
        let fuse = Fuse::pausing(at, move || {
            let other = other.clone();
            let go_on = async move { run_to(&other, &mut other.open(None), 11).await.unwrap() };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            std::thread::spawn(move || runtime.block_on(go_on)).join().unwrap();
        });
        let found = world.open(Some(&fuse)).latest().await.unwrap().unwrap();
        assert!(found.warnings.is_empty(), "step {at}: {:?}", found.warnings);
        let slept = world.open(None).latest().await.unwrap().unwrap().epoch() == Epoch(11);
        // Epoch 6 writes nothing.
        assert_eq!(world.visible().await, (0..if slept { 22 } else { 10 }).collect::<Vec<_>>());
        if !slept {
            assert!(at > 3, "only {at} steps were tried");
            break;
        }
    }
}

#[tokio::test]
async fn the_last_three_are_kept_and_nothing_else() {
    let world = World::on_disk();
    run_to(&world, &mut world.open(None), 5).await.unwrap();
    let listed = world.checkpoints.files().list("").await.unwrap();
    let names: Vec<_> = listed.iter().map(|file| file.path.as_str()).collect();
    let state = |epoch| {
        format!("state-000000000{epoch}-g1/SELECT%20a%20%2F%2A%20%22x%22%20%2A%2F-lane-0.state")
    };
    assert_eq!(
        names,
        [
            "manifest-0000000003.json",
            "manifest-0000000004.json",
            "manifest-0000000005.json",
            "published-0000000003",
            "published-0000000004",
            "published-0000000005",
            &state(3),
            &state(4),
            &state(5),
        ]
    );
}

#[tokio::test]
async fn a_damaged_newest_manifest_is_refused_whatever_byte_is_wrong() {
    let world = World::on_disk();
    run_to(&world, &mut world.open(None), 5).await.unwrap();
    let name = "manifest-0000000005.json";
    let whole = world.checkpoints.files().get(name).await.unwrap().unwrap();
    for length in (0..whole.len()).step_by(7) {
        world.damage(name, |bytes| *bytes = whole[..length].to_vec()).await;
        let error = world.open(None).latest().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Data, "cut at {length}");
        assert!(error.message().contains("checkpoint 5") && error.hint().is_some(), "{error}");
    }
    world.damage(name, |bytes| *bytes = whole.to_vec()).await;
    let found = world.open(None).latest().await.unwrap().unwrap();
    assert_eq!((found.epoch(), found.warnings.len()), (Epoch(5), 0));
}

#[tokio::test]
async fn damaged_state_is_passed_over_only_when_nothing_of_its_epoch_is_visible() {
    // Epoch 5 has published: going back would repeat its rows.
    let world = World::on_disk();
    run_to(&world, &mut world.open(None), 5).await.unwrap();
    let path = world.checkpoints.files().list("state-0000000005-g1").await.unwrap()[0].path.clone();
    world.damage(&path, |bytes| bytes[0] ^= 1).await;
    let error = world.open(None).latest().await.unwrap_err();
    assert!(error.message().contains("twice"), "{error}");
    // Epoch 6 writes nothing: epoch 5 can be taken, and the rows come once.
    let world = World::on_disk();
    run_to(&world, &mut world.open(None), 6).await.unwrap();
    let path = world.checkpoints.files().list("state-0000000006-g1").await.unwrap()[0].path.clone();
    for change in [0, 1, 2] {
        world
            .damage(&path, |bytes| match change {
                0 => bytes[0] ^= 1,
                1 => bytes.truncate(1),
                _ => bytes.push(0),
            })
            .await;
    }
    let mut store = world.open(None);
    let found = store.latest().await.unwrap().unwrap();
    assert_eq!((found.epoch(), found.warnings.len()), (Epoch(5), 1));
    run_to(&world, &mut store, 7).await.unwrap();
    assert_eq!(world.visible().await, (0..14).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_swapped_manifest_and_a_missing_state_file_are_detected() {
    let world = World::on_disk();
    run_to(&world, &mut world.open(None), 5).await.unwrap();
    let older = world.checkpoints.files().get("manifest-0000000004.json").await.unwrap().unwrap();
    world.damage("manifest-0000000005.json", |bytes| *bytes = older.to_vec()).await;
    let error = world.open(None).latest().await.unwrap_err();
    assert!(error.message().contains("is the manifest of 4"), "{error}");
    let world = World::on_disk();
    run_to(&world, &mut world.open(None), 5).await.unwrap();
    let path = world.checkpoints.files().list("state-0000000005-g1").await.unwrap()[0].path.clone();
    world.checkpoints.files().delete(&path).await.unwrap();
    let error = world.open(None).latest().await.unwrap_err();
    assert!(error.message().contains("is gone"), "{error}");
}

#[tokio::test]
async fn output_that_somebody_tidied_away_does_not_stop_a_restart() {
    let world = World::on_disk();
    run_to(&world, &mut world.open(None), 5).await.unwrap();
    for file in world.output.files().list("").await.unwrap() {
        world.output.files().delete(&file.path).await.unwrap();
    }
    run_to(&world, &mut world.open(None), 7).await.unwrap();
    assert_eq!(world.visible().await, (10..14).collect::<Vec<_>>());
}
