//! Against a real Redis, started on a socket in a temporary directory; a missing `redis-server`
//! fails the test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use arrow::array::{AsArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::*;
use crate::model::batch::timestamp_type;

/// A Redis of its own for one test; stopped when dropped.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Self::spawn(&folder.path().join("redis.sock"));
        let server = Self { child, folder };
        server.wait().await;
        server
    }

    fn spawn(socket: &PathBuf) -> Child {
        Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be installed for this test")
    }

    async fn wait(&self) {
        let store = RedisStore::open(&self.url()).unwrap();
        let began = clock::monotonic();
        while store.ping().await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "redis-server did not come up");
            tokio::task::yield_now().await;
        }
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn restart(&mut self) {
        self.kill();
        self.child = Self::spawn(&self.folder.path().join("redis.sock"));
    }

    async fn run(&self, words: &[&str]) -> ::redis::Value {
        let mut connection =
            Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
        let mut cmd = ::redis::cmd(words[0]);
        for word in &words[1..] {
            cmd.arg(*word);
        }
        cmd.query_async(&mut connection).await.unwrap()
    }

    /// Milliseconds until a key expires; -1: never.
    async fn ttl(&self, key: &str) -> i64 {
        ::redis::FromRedisValue::from_redis_value(self.run(&["PTTL", key]).await).unwrap()
    }

    async fn hash(&self, key: &str) -> std::collections::BTreeMap<String, String> {
        ::redis::FromRedisValue::from_redis_value(self.run(&["HGETALL", key]).await).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn feature() -> OnlineFeature {
    let schema = Schema::new(vec![
        Field::new("user_id", DataType::Int64, true),
        Field::new("n", DataType::Int64, true),
        Field::new("mean", DataType::Float64, true),
        Field::new("last", DataType::Utf8, true),
    ]);
    let names = |n: &[&str]| n.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let (keys, values) = (names(&["user_id"]), names(&["n", "mean", "last"]));
    OnlineFeature::new("spend", "{feature}:{key}", &keys, &values, &schema).unwrap()
}

type Row = (Option<i64>, Option<i64>, Option<f64>, Option<&'static str>, i64);

fn batch(rows: &[Row]) -> RecordBatch {
    let fields = vec![
        Field::new("user_id", DataType::Int64, true),
        Field::new("n", DataType::Int64, true),
        Field::new("mean", DataType::Float64, true),
        Field::new("last", DataType::Utf8, true),
        Field::new("_as_of", timestamp_type(), false),
    ];
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.4));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.0))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.1))),
        Arc::new(Float64Array::from_iter(rows.iter().map(|r| r.2))),
        Arc::new(StringArray::from_iter(rows.iter().map(|r| r.3))),
        Arc::new(times.with_timezone("UTC")),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn version(generation: u64, epoch: u64, sequence: u64) -> Version {
    Version { generation, epoch, sequence }
}

/// Claims, then writes.
async fn put(
    store: &RedisStore,
    feature: &OnlineFeature,
    rows: &RecordBatch,
    version: Version,
) -> Result<Written> {
    store.claim(feature, version.generation).await?;
    store.write(feature, rows, version, &Basis::default()).await
}

#[tokio::test]
async fn values_are_readable_text_nulls_are_absent_and_null_keys_are_counted() {
    let server = Server::start().await;
    let store = RedisStore::open(&server.url()).unwrap();
    let rows = batch(&[
        (Some(7), Some(9_007_199_254_740_993), Some(0.1), Some("a b"), 1_500_000),
        (None, Some(1), Some(1.0), None, 0),
    ]);
    let written = put(&store, &feature(), &rows, version(1, 2, 3)).await.unwrap();
    assert_eq!(written, Written { applied: 1, null_keys: 1, ..Written::default() });
    let hash = server.hash("spend:7").await;
    let fields: Vec<_> = hash.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        fields,
        [
            ("_as_of:spend", "1970-01-01T00:00:01.500Z"),
            ("_v:spend", "1.2.3"),
            ("last", "a b"),
            ("mean", "0.1"),
            ("n", "9007199254740993"),
        ]
    );
    // A NULL removes the field.
    let rows = batch(&[(Some(7), None, Some(f64::NAN), None, 2_000_000)]);
    put(&store, &feature(), &rows, version(1, 2, 4)).await.unwrap();
    let hash = server.hash("spend:7").await;
    assert_eq!(hash.keys().collect::<Vec<_>>(), ["_as_of:spend", "_v:spend", "mean"]);
    let keys: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![Some(8), Some(7), None]))];
    let read = store.read(&feature(), &keys).await.unwrap();
    assert!(read[0].is_none() && read[2].is_none());
    let row = read[1].as_ref().unwrap();
    assert_eq!((row.version, row.as_of), (version(1, 2, 4), EventTime(2_000_000)));
    assert!(row.values.column(0).is_null(0) && row.values.column(2).is_null(0));
}

#[tokio::test]
async fn only_a_greater_version_with_no_smaller_as_of_is_applied() {
    let server = Server::start().await;
    let store = RedisStore::open(&server.url()).unwrap();
    let big = 9_007_199_254_740_992;
    // (version, as_of µs, applied)
    let steps = [
        (version(1, 9, 0), 1_000_000, true),
        (version(1, 9, 0), 1_000_000, false),
        (version(1, 10, 0), 1_000_000, true),
        (version(1, 9, 99), 9_000_000, false),
        (version(1, 11, 0), 999_999, false),
        (version(1, 11, 0), 1_000_001, true),
        (version(1, 12, 0), 1_000_000, false),
        (version(1, 12, 0), 1_500_000, true),
        (version(1, 12, big), 1_500_000, true),
        (version(1, 12, big + 1), 1_500_000, true),
        (version(1, 12, big), 1_500_000, false),
        (version(2, 1, 0), 1_500_000, true),
    ];
    for (at, (version, as_of, applies)) in steps.into_iter().enumerate() {
        let rows = batch(&[(Some(1), Some(at as i64), None, None, as_of)]);
        let before = server.hash("spend:1").await;
        let written = put(&store, &feature(), &rows, version).await.unwrap();
        assert_eq!(written.applied, u64::from(applies), "step {at}");
        if !applies {
            assert_eq!(server.hash("spend:1").await, before, "step {at}");
        }
    }
}

#[tokio::test]
async fn a_large_batch_arrives_whole_and_repeating_it_changes_nothing() {
    let server = Server::start().await;
    let store = RedisStore::open(&server.url()).unwrap();
    let rows: Vec<Row> =
        (0..20_000).map(|i| (Some(i), Some(i * 3), Some(i as f64 / 7.0), Some("x"), i)).collect();
    let rows = batch(&rows);
    let began = clock::monotonic();
    let first = put(&store, &feature(), &rows, version(1, 1, 1)).await.unwrap();
    let rate = 20_000.0 / began.elapsed().as_secs_f64();
    eprintln!("{rate:.0} entities/s");
    assert_eq!(first, Written { applied: 20_000, ..Written::default() });
    let again = put(&store, &feature(), &rows, version(1, 1, 1)).await.unwrap();
    assert_eq!(again, Written { stale: 20_000, ..Written::default() });
    let keys: Vec<ArrayRef> = vec![rows.column(0).clone()];
    let read = store.read(&feature(), &keys).await.unwrap();
    for (i, row) in read.iter().enumerate() {
        let n = row.as_ref().unwrap().values.column(0).as_primitive::<Int64Type>().value(0);
        assert_eq!(n, i as i64 * 3);
    }
}

#[tokio::test]
async fn a_write_survives_a_restart_of_redis_and_a_flushed_script() {
    let mut server = Server::start().await;
    let store = RedisStore::open(&server.url()).unwrap();
    let rows = batch(&[(Some(1), Some(1), None, None, 0)]);
    put(&store, &feature(), &rows, version(1, 1, 0)).await.unwrap();
    server.run(&["SCRIPT", "FLUSH"]).await;
    let written = put(&store, &feature(), &rows, version(1, 1, 1)).await.unwrap();
    assert_eq!(written.applied, 1);
    server.restart().await;
    // The server may still be starting: the claim is tried again until it answers.
    let written = put(&store, &feature(), &rows, version(1, 1, 2)).await.unwrap();
    assert_eq!(written.applied, 1);
    assert_eq!(server.hash("spend:1").await.len(), 3);
}

#[tokio::test]
async fn a_store_that_comes_back_empty_says_so_until_it_is_claimed_again() {
    let mut server = Server::start().await;
    let store = RedisStore::open(&server.url()).unwrap();
    let rows = batch(&[(Some(1), Some(1), None, None, 0)]);
    let unclaimed =
        store.write(&feature(), &rows, version(1, 1, 0), &Basis::default()).await.unwrap();
    assert_eq!(unclaimed, Written { lost: true, ..Written::default() });
    assert_eq!(store.mark(&feature()).await.unwrap(), None);
    store.claim(&feature(), 1).await.unwrap();
    let positions = vec![(0, 17), (3, 1 << 60)];
    let refreshed = Some(EventTime(-5));
    let basis = Basis { positions: positions.clone(), refreshed };
    let written = store.write(&feature(), &rows, version(1, 1, 0), &basis).await.unwrap();
    assert_eq!(written.applied, 1);
    let mark = Mark { generation: 1, positions: positions.into_iter().collect(), refreshed };
    assert_eq!(store.mark(&feature()).await.unwrap(), Some(mark.clone()));
    // A call that was sent twice comes late: what the store knows does not go back.
    let late = Basis { positions: vec![(0, 9), (3, 17)], refreshed: Some(EventTime(-9)) };
    store.write(&feature(), &rows, version(1, 1, 0), &late).await.unwrap();
    assert_eq!(store.mark(&feature()).await.unwrap(), Some(mark));
    server.restart().await;
    let lost = store.write(&feature(), &rows, version(1, 1, 1), &basis).await.unwrap();
    assert!(lost.lost && server.hash("spend:1").await.is_empty());
    assert_eq!(put(&store, &feature(), &rows, version(1, 1, 1)).await.unwrap().applied, 1);
}

#[tokio::test]
async fn an_engine_that_was_taken_over_cannot_write_any_more() {
    let server = Server::start().await;
    let store = RedisStore::open(&server.url()).unwrap();
    let rows = batch(&[(Some(1), Some(1), None, None, 0)]);
    put(&store, &feature(), &rows, version(9, 1, 0)).await.unwrap();
    store.claim(&feature(), 10).await.unwrap();
    let others = batch(&[(Some(2), Some(1), None, None, 0)]);
    let basis = Basis { positions: vec![(0, 5)], refreshed: None };
    let error = store.write(&feature(), &others, version(9, 1, 1), &basis).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced, "{error}");
    assert_eq!(store.claim(&feature(), 9).await.unwrap_err().kind(), Kind::Fenced);
    assert!(server.hash("spend:2").await.is_empty());
    assert_eq!(store.mark(&feature()).await.unwrap().unwrap().positions.len(), 0);
    put(&store, &feature(), &others, version(10, 1, 0)).await.unwrap();
}

/// `batch` with what is known of each entity and its newest row.
fn standing(rows: &RecordBatch, status: Option<&str>, newest: i64) -> RecordBatch {
    let mut fields = rows.schema().fields().to_vec();
    fields.push(Arc::new(Field::new(STATUS_COLUMN, DataType::Utf8, true)));
    fields.push(Arc::new(Field::new(NEWEST_COLUMN, timestamp_type(), true)));
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(StringArray::from(vec![status; rows.num_rows()])));
    let times = TimestampMicrosecondArray::from(vec![newest; rows.num_rows()]);
    columns.push(Arc::new(times.with_timezone("UTC")));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[tokio::test]
async fn a_hash_expires_with_its_ttl_and_an_entity_that_is_not_present_says_so() {
    let server = Server::start().await;
    let store = RedisStore::open(&server.url()).unwrap();
    let brief = feature().with_ttl(Some(600_000_000));
    let ttl = async || server.ttl("spend:1").await;
    let second = 1_000_000;
    // The newest row is 100 s older than the value: 500 s are left.
    let rows = batch(&[(Some(1), Some(5), None, None, 1_000 * second)]);
    let rows = standing(&rows, None, 900 * second);
    put(&store, &brief, &rows, version(1, 1, 0)).await.unwrap();
    assert!((490_000..=500_001).contains(&ttl().await), "{}", ttl().await);
    let key: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1]))];
    let read = store.read(&brief, &key).await.unwrap().remove(0).unwrap();
    assert_eq!(read.status, Status::Present);
    // What is left of an expired entity says that it is, for as long again.
    let gone = batch(&[(Some(1), None, None, None, 1_501 * second)]);
    let gone = standing(&gone, Some("EXPIRED"), 900 * second);
    put(&store, &brief, &gone, version(1, 1, 1)).await.unwrap();
    let hash = server.hash("spend:1").await;
    assert_eq!(hash.get("n"), None);
    assert_eq!(hash["_status:spend"], "EXPIRED");
    assert!((590_000..=600_001).contains(&ttl().await), "{}", ttl().await);
    let read = store.read(&brief, &key).await.unwrap().remove(0).unwrap();
    assert_eq!(read.status, Status::Expired);
    // An event brings it back; without a ttl it stays.
    let back = batch(&[(Some(1), Some(1), None, None, 1_600 * second)]);
    put(&store, &feature(), &back, version(1, 1, 2)).await.unwrap();
    assert_eq!(ttl().await, -1);
    assert_eq!(server.hash("spend:1").await.get("_status:spend"), None);
    // Serving time waits for the clock where events are ahead of it.
    let ahead = clock::wall_now().0 + 3_600 * second;
    let early = batch(&[(Some(1), Some(1), None, None, ahead)]);
    put(&store, &brief, &early, version(1, 1, 3)).await.unwrap();
    assert!((4_190_000..=4_200_001).contains(&ttl().await), "{}", ttl().await);
}

#[tokio::test]
async fn a_hash_that_features_share_never_expires_as_a_whole() {
    let server = Server::start().await;
    let store = RedisStore::open(&server.url()).unwrap();
    let key = ["user_id".to_owned()];
    let rows = batch(&[(Some(1), Some(5), None, None, 0)]);
    let shared = OnlineFeature::new("a", "user:{user_id}", &key, &["n".to_owned()], &rows.schema());
    let shared = shared.unwrap().with_ttl(Some(1_000_000));
    put(&store, &shared, &rows, version(1, 1, 0)).await.unwrap();
    assert_eq!(server.ttl("user:1").await, -1);
}

#[tokio::test]
async fn two_features_share_a_hash_without_seeing_each_other() {
    let server = Server::start().await;
    let store = RedisStore::open(&server.url()).unwrap();
    let schema = Schema::new(vec![
        Field::new("user_id", DataType::Int64, true),
        Field::new("n", DataType::Int64, true),
        Field::new("last", DataType::Utf8, true),
    ]);
    let key = ["user_id".to_owned()];
    let make = |name: &str, value: &str| {
        OnlineFeature::new(name, "user:{user_id}", &key, &[value.to_owned()], &schema).unwrap()
    };
    let (a, b) = (make("a", "n"), make("b", "last"));
    let rows = batch(&[(Some(1), Some(5), None, Some("z"), 0)]);
    put(&store, &a, &rows, version(1, 5, 0)).await.unwrap();
    assert_eq!(put(&store, &b, &rows, version(1, 1, 0)).await.unwrap().applied, 1);
    let hash = server.hash("user:1").await;
    assert_eq!((hash["n"].as_str(), hash["last"].as_str()), ("5", "z"));
    assert_eq!((hash["_v:a"].as_str(), hash["_v:b"].as_str()), ("1.5.0", "1.1.0"));
}

#[tokio::test]
async fn errors_name_the_server_and_the_reason_but_no_secret() {
    let server = Server::start().await;
    let store = RedisStore::open(&server.url()).unwrap();
    server.run(&["SET", "spend:1", "mine"]).await;
    let rows = batch(&[(Some(1), Some(1), None, None, 0)]);
    let error = put(&store, &feature(), &rows, version(1, 1, 0)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.message().contains("WRONGTYPE"), "{error}");
    let shown = redacted("redis://bob:canary-secret@host:6379/0");
    assert_eq!(shown, "redis://***@host:6379/0");
    assert_eq!(redacted("redis://:canary-secret@host/1"), "redis://***@host/1");
    let store = RedisStore::open("rediss://bob:canary-secret@host/0").unwrap();
    assert!(!format!("{store:?}").contains("canary"), "{store:?}");
    let error = RedisStore::open("http://bob:canary-secret@host/0").unwrap_err();
    assert!(!error.to_string().contains("canary"), "{error}");
}
