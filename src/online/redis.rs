//! Current values in Redis: one hash per entity, a field per value column and, per feature,
//! `_as_of:<feature>` and `_v:<feature>`.
//!
//! A script compares version and `_as_of` and writes an entity in one atomic step; a call carries
//! a few dozen entities, a pipeline several calls. Commands that failed on the way are sent again
//! with growing pauses until [`RETRY_FOR`] is over: writes are safe to repeat. Must never print a
//! password, and never hold more than one pipeline of rendered commands.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, Cmd, ErrorKind, Pipeline, RedisError, Script, ServerErrorKind};
use arrow::array::{Array, ArrayRef, RecordBatch};
use async_trait::async_trait;
use url::Url;

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::model::time::EventTime;
use crate::online::store::{
    OnlineFeature, OnlineRow, OnlineStore, Version, Written, as_of_column, column,
};
use crate::online::text::{read_text, shown, write_text};

/// How long a command is tried again before the error is reported.
const RETRY_FOR: Duration = Duration::from_secs(10);
/// How long Redis may take to answer a pipeline.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause before trying again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Entities in one call of the script: long enough to pay for the call, short enough (well under
/// a millisecond) not to make readers wait.
const ENTITIES_PER_CALL: usize = 32;
/// Values in one call of the script.
const VALUES_PER_CALL: usize = 4_096;
/// Calls in one pipeline.
const CALLS_PER_PIPELINE: usize = 16;
/// Hashes read in one pipeline.
const READS_PER_PIPELINE: usize = 256;

/// KEYS: the hashes. ARGV: version field, version, as-of field, number of columns n, the columns,
/// then per hash: as-of, n marks (`1` value, `0` NULL), n values. Returns how many were applied.
/// Numbers are compared as digits (a Lua number holds 53 bits), times as text of equal length.
const WRITE: &str = r"
local version_field, version, as_of_field, n = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local function newer(a, b)
  local next_a, next_b = string.gmatch(a, '%d+'), string.gmatch(b, '%d+')
  for _ = 1, 3 do
    local x, y = next_a() or '0', next_b() or '0'
    if #x ~= #y then return #x > #y end
    if x ~= y then return x > y end
  end
  return false
end
local function wide(t)
  t = string.sub(t, 1, -2)
  if #t == 19 then t = t .. '.' end
  return t .. string.rep('0', 26 - #t)
end
local function before(a, b)
  if #a ~= #b then a, b = wide(a), wide(b) end
  return a < b
end
local applied, at = 0, 5 + n
for k = 1, #KEYS do
  local key, as_of, marks = KEYS[k], ARGV[at], ARGV[at + 1]
  local old = redis.call('HMGET', key, version_field, as_of_field)
  if (not old[1] or newer(version, old[1])) and not (old[2] and before(as_of, old[2])) then
    local set, gone = {version_field, version, as_of_field, as_of}, {}
    for i = 1, n do
      if string.byte(marks, i) == 49 then
        set[#set + 1] = ARGV[4 + i]
        set[#set + 1] = ARGV[at + 1 + i]
      else
        gone[#gone + 1] = ARGV[4 + i]
      end
    end
    for i = 1, #set, 1000 do
      redis.call('HSET', key, unpack(set, i, math.min(i + 999, #set)))
    end
    for i = 1, #gone, 1000 do
      redis.call('HDEL', key, unpack(gone, i, math.min(i + 999, #gone)))
    end
    applied = applied + 1
  end
  at = at + 2 + n
end
return applied
";

/// A Redis server.
pub struct RedisStore {
    connection: ConnectionManager,
    script: Script,
    /// The URL without secrets, for messages.
    shown_url: String,
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").field("url", &self.shown_url).finish_non_exhaustive()
    }
}

/// The URL with user and password replaced by `***`.
pub fn redacted(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return "redis://***".to_owned() };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        // A URL with credentials has a host, so these cannot fail; if they did, show nothing.
        if parsed.set_password(None).and_then(|()| parsed.set_username("***")).is_err() {
            return "redis://***".to_owned();
        }
    }
    if parsed.query().is_some() {
        parsed.set_query(Some("***"));
    }
    parsed.to_string()
}

impl RedisStore {
    /// A store at `redis://[user:password@]host[:port][/db]` or `redis+unix:///path`. Connects
    /// with the first command; must be called within a Tokio runtime.
    pub fn open(url: &str) -> Result<Self> {
        let shown_url = redacted(url);
        if url.starts_with("rediss:") {
            return Err(Error::not_yet(format!("TLS to Redis ({shown_url})"))
                .with_hint("use redis:// through a local TLS proxy"));
        }
        let wrong = |_: RedisError| {
            Error::usage(format!("`{shown_url}` is not the URL of a Redis server"))
                .with_hint("write redis://host:6379/0")
        };
        let client = Client::open(url).map_err(wrong)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECTION_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_min_delay(PAUSE_MIN)
            .set_max_delay(PAUSE_MAX)
            .set_number_of_retries(1);
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(wrong)?;
        Ok(Self { connection, script: Script::new(WRITE), shown_url })
    }

    /// Sends a pipeline until it is answered, it fails for good, or time is up.
    async fn send<T: ::redis::FromRedisValue>(&self, pipeline: &Pipeline) -> Result<Vec<T>> {
        let began = clock::monotonic();
        let mut pause = PAUSE_MIN;
        loop {
            let mut connection = self.connection.clone();
            let error = match pipeline.query_async::<Vec<T>>(&mut connection).await {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            let no_script = error.kind() == ErrorKind::Server(ServerErrorKind::NoScript);
            if no_script {
                // Never fails for good by itself: the pipeline is sent again either way.
                let loaded = self.script.load_async(&mut connection).await;
                if loaded.is_ok() && began.elapsed() < RETRY_FOR {
                    continue;
                }
            }
            if !(no_script || passing(&error)) || began.elapsed() >= RETRY_FOR {
                return Err(self.report(&error));
            }
            tracing::debug!(url = %self.shown_url, %error, "redis did not answer, trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn report(&self, error: &RedisError) -> Error {
        let text = error.to_string();
        let message = format!("redis {}: {}", self.shown_url, shown(&text));
        let says = |word: &str| text.contains(word);
        if says("WRONGTYPE") {
            Error::data(message).with_hint(
                "another program keeps a different type under this key: set 'online.key'",
            )
        } else if says("OOM") {
            Error::new(Kind::Unavailable, message)
                .with_hint("raise maxmemory or let Redis evict; writing goes on when there is room")
        } else if says("READONLY") {
            Error::unavailable(message).with_hint("the URL names a replica: use the primary")
        } else if says("NOAUTH") || says("WRONGPASS") || says("AUTH") {
            Error::unavailable(message).with_hint("put user and password into the URL")
        } else {
            Error::unavailable(message).with_hint("is the server up, and the URL right?")
        }
    }

    /// One call of the write script for some of the rows.
    fn call(&self, head: &Head, entities: &[Entity]) -> Cmd {
        let mut cmd = ::redis::cmd("EVALSHA");
        cmd.arg(self.script.get_hash()).arg(entities.len());
        for entity in entities {
            cmd.arg(&entity.key);
        }
        cmd.arg(&head.version_field).arg(&head.version).arg(&head.as_of_field);
        cmd.arg(head.columns.len());
        for column in &head.columns {
            cmd.arg(column);
        }
        for entity in entities {
            cmd.arg(&entity.as_of).arg(&entity.marks);
            let mut start = 0;
            for end in &entity.ends {
                cmd.arg(entity.texts.get(start..*end).unwrap_or_default());
                start = *end;
            }
        }
        cmd
    }
}

/// Whether the error may be gone on the next try.
fn passing(error: &RedisError) -> bool {
    use ServerErrorKind as S;
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => true,
        ErrorKind::Server(kind) => {
            matches!(kind, S::BusyLoading | S::TryAgain | S::ClusterDown | S::MasterDown)
        }
        _ => error.is_connection_dropped() || error.is_timeout(),
    }
}

/// What all rows of a write share.
struct Head {
    version_field: String,
    version: String,
    as_of_field: String,
    columns: Vec<String>,
}

/// One row, rendered. `texts` holds the values one after the other, ending at `ends`.
struct Entity {
    key: String,
    as_of: String,
    marks: String,
    texts: String,
    ends: Vec<usize>,
}

fn as_of_field(feature: &str) -> String {
    format!("_as_of:{feature}")
}

fn version_field(feature: &str) -> String {
    format!("_v:{feature}")
}

fn render(key: String, as_of: i64, values: &[&ArrayRef], row: usize) -> Result<Entity> {
    let mut entity = Entity {
        key,
        as_of: EventTime(as_of).to_string(),
        marks: String::with_capacity(values.len()),
        texts: String::with_capacity(values.len() * 8),
        ends: Vec::with_capacity(values.len()),
    };
    for column in values {
        if column.is_null(row) {
            entity.marks.push('0');
        } else {
            entity.marks.push('1');
            write_text(column.as_ref(), row, &mut entity.texts)?;
        }
        entity.ends.push(entity.texts.len());
    }
    Ok(entity)
}

#[async_trait]
impl OnlineStore for RedisStore {
    async fn write(
        &self,
        feature: &OnlineFeature,
        rows: &RecordBatch,
        version: Version,
    ) -> Result<Written> {
        let by_name = |name: &String| column(rows, name);
        let keys = feature.key_columns.iter().map(by_name).map(|c| c.cloned());
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let names: Vec<String> =
            feature.values.fields().iter().map(|field| field.name().clone()).collect();
        let values = names.iter().map(by_name).collect::<Result<Vec<_>>>()?;
        let times = as_of_column(rows)?;
        let per_call = (VALUES_PER_CALL / names.len().max(1)).clamp(1, ENTITIES_PER_CALL);
        let head = Head {
            version_field: version_field(&feature.name),
            version: version.to_string(),
            as_of_field: as_of_field(&feature.name),
            columns: names,
        };
        let mut written = Written::default();
        let mut row = 0;
        while row < rows.num_rows() {
            let (mut pipeline, mut sent) = (Pipeline::new(), 0);
            while row < rows.num_rows() && pipeline.len() < CALLS_PER_PIPELINE {
                let mut entities = Vec::with_capacity(per_call);
                while row < rows.num_rows() && entities.len() < per_call {
                    match feature.key.render(&keys, row)? {
                        Some(key) => entities.push(render(key, times[row], &values, row)?),
                        None => written.null_keys += 1,
                    }
                    row += 1;
                }
                if !entities.is_empty() {
                    sent += entities.len() as u64;
                    pipeline.add_command(self.call(&head, &entities));
                }
            }
            if !pipeline.is_empty() {
                let applied: u64 = self.send::<u64>(&pipeline).await?.iter().sum();
                written.applied += applied;
                written.stale += sent - applied.min(sent);
            }
        }
        Ok(written)
    }

    async fn read(
        &self,
        feature: &OnlineFeature,
        keys: &[ArrayRef],
    ) -> Result<Vec<Option<OnlineRow>>> {
        let rows = keys.first().map_or(1, |column| column.len());
        let rendered =
            (0..rows).map(|row| feature.key.render(keys, row)).collect::<Result<Vec<_>>>()?;
        let mut answers = vec![None; rows];
        let wanted: Vec<usize> = (0..rows).filter(|row| rendered[*row].is_some()).collect();
        for chunk in wanted.chunks(READS_PER_PIPELINE) {
            let mut pipeline = Pipeline::new();
            for key in chunk.iter().filter_map(|row| rendered[*row].as_ref()) {
                let mut cmd = ::redis::cmd("HMGET");
                cmd.arg(key).arg(version_field(&feature.name)).arg(as_of_field(&feature.name));
                for field in feature.values.fields() {
                    cmd.arg(field.name());
                }
                pipeline.add_command(cmd);
            }
            let fields = self.send::<Vec<Option<String>>>(&pipeline).await?;
            decode(feature, chunk, fields, &mut answers)?;
        }
        Ok(answers)
    }

    async fn ping(&self) -> Result<()> {
        let mut connection = self.connection.clone();
        let answer = ::redis::cmd("PING").query_async::<String>(&mut connection).await;
        answer.map(|_| ()).map_err(|error| self.report(&error))
    }
}

/// Turns the fields of the hashes that exist into rows; `chunk` says where each belongs.
fn decode(
    feature: &OnlineFeature,
    chunk: &[usize],
    fields: Vec<Vec<Option<String>>>,
    answers: &mut [Option<OnlineRow>],
) -> Result<()> {
    let columns = feature.values.fields().len();
    let (mut found, mut texts) = (Vec::new(), vec![Vec::new(); columns]);
    for (row, fields) in chunk.iter().zip(fields) {
        let mut fields = fields.into_iter();
        let (Some(Some(version)), Some(Some(as_of))) = (fields.next(), fields.next()) else {
            continue;
        };
        let as_of = EventTime::parse(&as_of).ok_or_else(|| {
            Error::data(format!("`{}` in `_as_of:{}` is no time", shown(&as_of), feature.name))
        })?;
        found.push((*row, version.parse::<Version>()?, as_of));
        for column in &mut texts {
            column.push(fields.next().flatten());
        }
    }
    let arrays = texts.iter().zip(feature.values.fields());
    let arrays = arrays
        .map(|(texts, field)| {
            read_text(texts, field.data_type())
                .map_err(|e| e.context(format!("field `{}`", field.name())))
        })
        .collect::<Result<Vec<_>>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(found.len()));
    let batch = RecordBatch::try_new_with_options(feature.values.clone(), arrays, &options)?;
    for (at, (row, version, as_of)) in found.into_iter().enumerate() {
        answers[row] = Some(OnlineRow { as_of, version, values: batch.slice(at, 1) });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
