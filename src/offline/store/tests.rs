//! The contract of [`Files`], on a disk and on an object store in memory.

use object_store::memory::InMemory;

use super::*;
use crate::error::Kind;

fn places(folder: &FsPath) -> Vec<Location> {
    let memory = Arc::new(InMemory::new());
    vec![
        Location::at_path(&folder.join("new folder/100%")).unwrap(),
        Location::on_object_store(memory, "s3://bucket", Path::from("some/prefix")),
    ]
}

#[tokio::test]
async fn files_are_put_created_moved_listed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    for place in places(folder.path()) {
        let files = place.files();
        assert_eq!(files.list("").await.unwrap(), []);
        assert_eq!(files.get("a/x").await.unwrap(), None);
        files.put("a/x", Bytes::from("one")).await.unwrap();
        files.put("a/x", Bytes::from("2")).await.unwrap();
        files.create("b", Bytes::from("three")).await.unwrap();
        assert!(files.create("b", Bytes::from("four")).await.is_err());
        assert_eq!(files.get("b").await.unwrap().unwrap(), "three");
        files.rename("a/x", "date=2026-01-01/y é.parquet").await.unwrap();
        assert_eq!(files.length("a/x").await.unwrap(), None);
        assert_eq!(files.length("date=2026-01-01/y é.parquet").await.unwrap(), Some(1));
        let listed = files.list("").await.unwrap();
        let names: Vec<_> = listed.iter().map(|f| (f.path.as_str(), f.bytes)).collect();
        assert_eq!(names, [("b", 5), ("date=2026-01-01/y é.parquet", 1)]);
        assert_eq!(files.list("date=2026-01-01").await.unwrap().len(), 1);
        assert_eq!(files.list("date=2026").await.unwrap(), []);
        files.delete("b").await.unwrap();
        files.delete("b").await.unwrap();
        assert!(files.rename("b", "c").await.is_err());
        place.check_writable().await.unwrap();
        assert_eq!(files.list("").await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_create_one_file_one_does_and_the_file_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    for place in places(folder.path()) {
        for round in 0..20 {
            let path = format!("manifest-{round}.json");
            let create = |by: u8| {
                let (place, path) = (place.clone(), path.clone());
                tokio::spawn(async move {
                    place.files().create(&path, Bytes::from(vec![by; 300_000])).await
                })
            };
            let mut made = Vec::new();
            for (by, task) in (0..8).map(|by| (by, create(by))).collect::<Vec<_>>() {
                match task.await.unwrap() {
                    Ok(()) => made.push(by),
                    Err(error) => assert_eq!(error.kind(), Kind::Fenced, "{error}"),
                }
            }
            assert_eq!(made.len(), 1);
            let bytes = place.files().get(&path).await.unwrap().unwrap();
            assert!(bytes.len() == 300_000 && bytes.iter().all(|byte| *byte == made[0]));
        }
        assert_eq!(place.files().list("").await.unwrap().len(), 20, "nothing is left over");
    }
}

#[tokio::test]
async fn a_child_is_the_same_place_as_the_longer_path() {
    let folder = tempfile::tempdir().unwrap();
    for place in places(folder.path()) {
        let child = place.child("f%20x/v1").unwrap();
        child.files().put("p", Bytes::from("1")).await.unwrap();
        assert_eq!(place.files().get("f%20x/v1/p").await.unwrap().unwrap(), "1");
        assert_eq!(place.files().list("").await.unwrap()[0].path, "f%20x/v1/p");
        assert!(place.child("../up").is_err());
    }
}

#[test]
fn urls_and_paths_are_resolved_and_the_rest_is_refused() {
    let here = std::env::current_dir().unwrap();
    for text in ["lake/x", "file:lake/x", "./lake/x/"] {
        let location = Location::resolve(text).unwrap();
        assert_eq!(location.local(), Some(here.join("lake/x").as_path()), "{text}");
        let again = Location::resolve(location.url()).unwrap();
        assert_eq!(again.local(), location.local());
    }
    let spaces = Location::resolve("file:///tmp/a%20b").unwrap();
    assert_eq!(spaces.local(), Some(FsPath::new("/tmp/a b")));
    for (bad, kind) in
        [("", Kind::Usage), ("gs://x/y", Kind::NotSupported), ("s3://k:v@b/y", Kind::Usage)]
    {
        assert_eq!(Location::resolve(bad).unwrap_err().kind(), kind, "{bad}");
    }
}
