//! Current values in Redis: one hash per entity, a field per value column and, per feature,
//! `_as_of:<feature>`, `_v:<feature>` and, for an entity that is not present, `_status:<feature>`.
//! Under a `ttl` a hash of one feature expires with its values, should nobody write any more.
//!
//! A script compares version and `_as_of` and writes an entity in one atomic step; a call carries
//! a few dozen entities, a pipeline several calls. Commands that failed on the way are sent again
//! with growing pauses until [`RETRY_FOR`] is over: writes are safe to repeat. Must never print a
//! password, and never hold more than one pipeline of rendered commands.

use std::collections::BTreeMap;
use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, Cmd, ErrorKind, Pipeline, RedisError, Script, ServerErrorKind};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use async_trait::async_trait;
use url::Url;

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::model::batch::{NEWEST_COLUMN, STATUS_COLUMN};
use crate::model::text::write_text;
use crate::model::time::EventTime;
use crate::online::store::{
    Basis, Mark, OnlineFeature, OnlineRow, OnlineStore, Version, Written, as_of_column, column,
};
use crate::online::text::{read_text, shown};
use crate::operator::answer::Status;

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

/// KEYS: the mark, then the hashes. ARGV: generation, number of notes m, m pairs of a field of the
/// mark and its value, then version field, version, as-of field, status field, number of columns
/// n, the columns, then per hash: as-of, expiry (ms from now, 0 = never, `-` = as it is), status
/// (empty = present), n marks (`1` value, `0` NULL), n values. Returns how many were applied, -1
/// where nobody has claimed the feature, -2 where a later generation has.
/// Positions only grow: a call that was sent twice may come late.
/// Numbers are compared as digits (a Lua number holds 53 bits), times as text of equal length.
const WRITE: &str = r"
local mark = KEYS[1]
local generation = redis.call('HGET', mark, 'generation')
if not generation then return -1 end
local function greater(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end
if greater(generation, ARGV[1]) then return -2 end
local m = tonumber(ARGV[2])
for i = 1, m do
  local partition, offset = ARGV[1 + 2 * i], ARGV[2 + 2 * i]
  local known = redis.call('HGET', mark, partition)
  if not known or greater(offset, known) then redis.call('HSET', mark, partition, offset) end
end
local base = 2 + 2 * m
local version_field, version, as_of_field = ARGV[base + 1], ARGV[base + 2], ARGV[base + 3]
local status_field = ARGV[base + 4]
base = base + 5
local n = tonumber(ARGV[base])
local function newer(a, b)
  local next_a, next_b = string.gmatch(a, '%d+'), string.gmatch(b, '%d+')
  for _ = 1, 3 do
    local x, y = next_a() or '0', next_b() or '0'
    if x ~= y then return greater(x, y) end
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
local applied, at = 0, base + 1 + n
for k = 2, #KEYS do
  local key, as_of, expiry, status = KEYS[k], ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local marks = ARGV[at + 3]
  local old = redis.call('HMGET', key, version_field, as_of_field, status_field)
  if (not old[1] or newer(version, old[1])) and not (old[2] and before(as_of, old[2])) then
    local set, gone = {version_field, version, as_of_field, as_of}, {}
    if status ~= '' then
      set[5], set[6] = status_field, status
    elseif old[3] then
      gone[1] = status_field
    end
    for i = 1, n do
      if string.byte(marks, i) == 49 then
        set[#set + 1] = ARGV[base + i]
        set[#set + 1] = ARGV[at + 3 + i]
      else
        gone[#gone + 1] = ARGV[base + i]
      end
    end
    for i = 1, #set, 1000 do
      redis.call('HSET', key, unpack(set, i, math.min(i + 999, #set)))
    end
    for i = 1, #gone, 1000 do
      redis.call('HDEL', key, unpack(gone, i, math.min(i + 999, #gone)))
    end
    if expiry == '0' then
      redis.call('PERSIST', key)
    elseif expiry ~= '-' then
      redis.call('PEXPIRE', key, expiry)
    end
    applied = applied + 1
  end
  at = at + 4 + n
end
return applied
";

/// KEYS: the mark. ARGV: generation. Returns 1, or -2 where a later one has claimed the feature.
const CLAIM: &str = r"
local generation = redis.call('HGET', KEYS[1], 'generation')
if generation and (#generation > #ARGV[1] or
    (#generation == #ARGV[1] and generation > ARGV[1])) then return -2 end
redis.call('HSET', KEYS[1], 'generation', ARGV[1])
return 1
";
/// What the scripts answer.
const UNCLAIMED: i64 = -1;
const OUTDATED: i64 = -2;

/// A Redis server.
pub struct RedisStore {
    connection: ConnectionManager,
    script: Script,
    claim: Script,
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
    /// A store at `redis://[user:password@]host[:port][/db]`, with TLS at `rediss://…`, or at
    /// `redis+unix:///path`. Connects with the first command; must be called within a Tokio
    /// runtime.
    pub fn open(url: &str) -> Result<Self> {
        let shown_url = redacted(url);
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
        Ok(Self { connection, script: Script::new(WRITE), claim: Script::new(CLAIM), shown_url })
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
                let claim = self.claim.load_async(&mut connection).await;
                if loaded.is_ok() && claim.is_ok() && began.elapsed() < RETRY_FOR {
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
        } else if says("certificate") {
            Error::unavailable(message).with_hint(
                "the server's certificate must be for this host and signed by an authority that \
                 this machine trusts; SSL_CERT_FILE names another file of authorities",
            )
        } else {
            Error::unavailable(message).with_hint("is the server up, and the URL right?")
        }
    }

    /// One call of the write script for some of the rows.
    fn call(&self, head: &Head, entities: &[Entity]) -> Cmd {
        let mut cmd = ::redis::cmd("EVALSHA");
        cmd.arg(self.script.get_hash()).arg(1 + entities.len()).arg(&head.mark);
        for entity in entities {
            cmd.arg(&entity.key);
        }
        cmd.arg(head.generation).arg(head.notes.len());
        for (field, value) in &head.notes {
            cmd.arg(field).arg(value);
        }
        cmd.arg(&head.version_field).arg(&head.version).arg(&head.as_of_field);
        cmd.arg(&head.status_field);
        cmd.arg(head.columns.len());
        for column in &head.columns {
            cmd.arg(column);
        }
        for entity in entities {
            cmd.arg(&entity.as_of).arg(&entity.expiry).arg(&entity.status).arg(&entity.marks);
            let mut start = 0;
            for end in &entity.ends {
                cmd.arg(entity.texts.get(start..*end).unwrap_or_default());
                start = *end;
            }
        }
        cmd
    }
}

fn fenced(feature: &OnlineFeature, url: &str) -> Error {
    Error::new(
        Kind::Fenced,
        format!("another engine has taken over feature '{}' in redis {url}", feature.name),
    )
    .with_hint("stop one of them, or give them different 'online.key' templates")
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
    mark: String,
    generation: u64,
    /// What the mark is to remember; only in the first call.
    notes: Vec<(String, u64)>,
    version_field: String,
    version: String,
    as_of_field: String,
    status_field: String,
    columns: Vec<String>,
}

/// One row, rendered. `texts` holds the values one after the other, ending at `ends`.
struct Entity {
    key: String,
    as_of: String,
    /// As the script takes it.
    expiry: String,
    status: String,
    marks: String,
    texts: String,
    ends: Vec<usize>,
}

/// The field of a mark that holds the serving time of refreshed values (see [`ordered`]).
const REFRESHED: &str = "refreshed";

/// What a mark is to remember, field by field.
fn notes(basis: &Basis) -> Vec<(String, u64)> {
    let positions = basis.positions.iter();
    let positions = positions.map(|(partition, at)| (partition.to_string(), at.unsigned_abs()));
    let refreshed = basis.refreshed.map(|at| (REFRESHED.to_owned(), ordered(at.0)));
    positions.chain(refreshed).collect()
}

/// Times as numbers without a sign, in their order, as the script compares them; and back.
fn ordered(time: i64) -> u64 {
    time.cast_unsigned() ^ 1 << 63
}

fn unordered(number: u64) -> i64 {
    (number ^ 1 << 63).cast_signed()
}

fn as_of_field(feature: &str) -> String {
    format!("_as_of:{feature}")
}

fn version_field(feature: &str) -> String {
    format!("_v:{feature}")
}

fn status_field(feature: &str) -> String {
    format!("_status:{feature}")
}

/// What a batch says of its rows beside their values.
struct Standing<'a> {
    as_of: &'a [i64],
    status: Option<&'a StringArray>,
    newest: Option<&'a TimestampMicrosecondArray>,
    /// `ttl`, µs, where whole hashes may expire by it: `None` = they are not ours to expire.
    ttl: Option<Option<i64>>,
    wall: i64,
}

impl<'a> Standing<'a> {
    fn of(feature: &OnlineFeature, rows: &'a RecordBatch) -> Result<Self> {
        let newest = rows.column_by_name(NEWEST_COLUMN);
        Ok(Self {
            as_of: as_of_column(rows)?,
            status: rows.column_by_name(STATUS_COLUMN).and_then(|c| c.as_string_opt()),
            newest: newest.and_then(|column| column.as_primitive_opt()),
            ttl: feature.owns_hashes().then_some(feature.ttl_us),
            wall: clock::wall_now().0,
        })
    }

    /// The status of an entity that is not present.
    fn status(&self, row: usize) -> &str {
        let status = self.status.filter(|status| status.is_valid(row));
        status.map_or("", |status| status.value(row))
    }

    /// When the hash of an entity expires, as the script takes it: its values when they are older
    /// than `ttl` by serving time, which goes with the clock but waits for it where events are
    /// ahead of it; what is left of expired ones a `ttl` later.
    fn expiry(&self, row: usize) -> String {
        let Some(ttl) = self.ttl else { return "-".to_owned() };
        let Some(ttl) = ttl else { return "0".to_owned() };
        let as_of = self.as_of[row];
        let newest = self.newest.map_or(as_of, |newest| newest.value(row));
        let left = match self.status(row) {
            "" => newest.saturating_add(ttl).saturating_sub(as_of).max(0),
            _ => ttl,
        };
        let ahead = as_of.saturating_sub(self.wall).max(0);
        (left.saturating_add(ahead) / 1_000 + 1).to_string()
    }
}

fn render(key: String, standing: &Standing, values: &[&ArrayRef], row: usize) -> Result<Entity> {
    let mut entity = Entity {
        key,
        as_of: EventTime(standing.as_of[row]).to_string(),
        expiry: standing.expiry(row),
        status: standing.status(row).to_owned(),
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
        basis: &Basis,
    ) -> Result<Written> {
        let by_name = |name: &String| column(rows, name);
        let keys = feature.key_columns.iter().map(by_name).map(|c| c.cloned());
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let names: Vec<String> =
            feature.values.fields().iter().map(|field| field.name().clone()).collect();
        let values = names.iter().map(by_name).collect::<Result<Vec<_>>>()?;
        let standing = Standing::of(feature, rows)?;
        let per_call = (VALUES_PER_CALL / names.len().max(1)).clamp(1, ENTITIES_PER_CALL);
        let mut head = Head {
            mark: feature.mark_key(),
            generation: version.generation,
            notes: notes(basis),
            version_field: version_field(&feature.name),
            version: version.to_string(),
            as_of_field: as_of_field(&feature.name),
            status_field: status_field(&feature.name),
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
                        Some(key) => entities.push(render(key, &standing, &values, row)?),
                        None => written.null_keys += 1,
                    }
                    row += 1;
                }
                if !entities.is_empty() {
                    sent += entities.len() as u64;
                    pipeline.add_command(self.call(&head, &entities));
                    head.notes.clear();
                }
            }
            if !pipeline.is_empty() {
                failpoint::pass("redis.half_pipeline")?;
                let answers = self.send::<i64>(&pipeline).await?;
                if answers.contains(&OUTDATED) {
                    return Err(fenced(feature, &self.shown_url));
                }
                if answers.contains(&UNCLAIMED) {
                    written.lost = true;
                    return Ok(written);
                }
                let applied: u64 = answers.into_iter().map(|n| n.max(0) as u64).sum();
                written.applied += applied;
                written.stale += sent - applied.min(sent);
            }
        }
        Ok(written)
    }

    async fn mark(&self, feature: &OnlineFeature) -> Result<Option<Mark>> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("HGETALL").arg(feature.mark_key());
        let found = self.send::<BTreeMap<String, String>>(&pipeline).await?;
        let Some(fields) = found.into_iter().next().filter(|fields| !fields.is_empty()) else {
            return Ok(None);
        };
        let wrong = || Error::data(format!("`{}` in Redis is not ours", feature.mark_key()));
        let mut mark = Mark::default();
        for (field, value) in fields {
            if field == "generation" {
                mark.generation = value.parse().map_err(|_| wrong())?;
            } else if field == REFRESHED {
                let number = value.parse().map_err(|_| wrong())?;
                mark.refreshed = Some(EventTime(unordered(number)));
            } else {
                let partition = field.parse().map_err(|_| wrong())?;
                mark.positions.insert(partition, value.parse().map_err(|_| wrong())?);
            }
        }
        Ok(Some(mark))
    }

    async fn claim(&self, feature: &OnlineFeature, generation: u64) -> Result<()> {
        let mut pipeline = Pipeline::new();
        let call = pipeline.cmd("EVALSHA").arg(self.claim.get_hash());
        call.arg(1).arg(feature.mark_key()).arg(generation);
        match self.send::<i64>(&pipeline).await?.contains(&OUTDATED) {
            true => Err(fenced(feature, &self.shown_url)),
            false => Ok(()),
        }
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
                cmd.arg(status_field(&feature.name));
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
        let status = match fields.next().flatten() {
            None => Status::Present,
            Some(text) => Status::parse(&text).ok_or_else(|| {
                let (text, name) = (shown(&text), &feature.name);
                Error::data(format!("`{text}` in `_status:{name}` is no status"))
            })?,
        };
        found.push((*row, version.parse::<Version>()?, as_of, status));
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
    for (at, (row, version, as_of, status)) in found.into_iter().enumerate() {
        answers[row] = Some(OnlineRow { as_of, version, status, values: batch.slice(at, 1) });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
