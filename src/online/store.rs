//! What an online store does: takes current values in, each entity atomically and only forwards,
//! and gives them back. Called by `runtime` (writes) and `serve`/`cli` (reads).
//! An implementation must never let an older version replace a newer one.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::model::batch::AS_OF_COLUMN;
use crate::model::text::has_text;
use crate::model::time::EventTime;
use crate::online::key_layout::KeyTemplate;
use crate::operator::answer::Status;
use crate::plan::dataflow::FeaturePlan;

/// Orders the writes of one home: generation (grows with every start of the engine), epoch,
/// sequence within the epoch. As text `generation.epoch.sequence`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub generation: u64,
    pub epoch: u64,
    pub sequence: u64,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.generation, self.epoch, self.sequence)
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::data(format!("`{text}` is not a version generation.epoch.sequence"));
        let mut parts = text.split('.').map(|part| part.parse::<u64>().map_err(|_| wrong()));
        let mut next = || parts.next().unwrap_or_else(|| Err(wrong()));
        let version = Self { generation: next()?, epoch: next()?, sequence: next()? };
        if version.to_string() == text { Ok(version) } else { Err(wrong()) }
    }
}

/// What a store needs to know about a feature.
#[derive(Clone, Debug)]
pub struct OnlineFeature {
    pub name: String,
    pub key: KeyTemplate,
    pub key_columns: Vec<String>,
    /// The value columns, all nullable.
    pub values: SchemaRef,
    /// Values of an entity without rows for so long are NULL, µs.
    pub ttl_us: Option<i64>,
    /// `online.key` as written: with the name, what tells one writer's hashes from another's.
    template: String,
}

impl OnlineFeature {
    /// `schema` is that of the final rows; keys and values are found in it by name.
    pub fn new(
        name: &str,
        template: &str,
        key_columns: &[String],
        value_columns: &[String],
        schema: &Schema,
    ) -> Result<Self> {
        let mut fields = Vec::with_capacity(value_columns.len());
        for column in value_columns {
            let field = schema.field_with_name(column)?;
            if !has_text(field.data_type()) {
                return Err(Error::not_yet(format!(
                    "the column `{column}` of type {} in an online store",
                    field.data_type()
                ))
                .with_hint("set 'online' = 'none' or 'embedded'"));
            }
            fields.push(Field::new(column, field.data_type().clone(), true));
        }
        Ok(Self {
            name: name.to_owned(),
            key: KeyTemplate::parse(template, name, key_columns)?,
            key_columns: key_columns.to_vec(),
            values: Arc::new(Schema::new(fields)),
            ttl_us: None,
            template: template.to_owned(),
        })
    }

    /// The key under which a store keeps the [`Mark`] of the feature.
    pub fn mark_key(&self) -> String {
        format!("_skewless:{}:{}", self.name, self.template)
    }

    /// The online side of a plan; `template` is the feature's `online.key`.
    pub fn of(plan: &FeaturePlan, template: &str) -> Result<Self> {
        let schema = plan.schema();
        let feature =
            Self::new(&plan.feature, template, &plan.key_columns, &plan.value_columns, schema)?;
        Ok(feature.with_ttl(plan.ttl_us))
    }

    /// The same feature with another `ttl` (µs).
    pub fn with_ttl(self, ttl_us: Option<i64>) -> Self {
        Self { ttl_us, ..self }
    }

    /// Whether the entities of this feature share their hashes with no other feature, so that a
    /// whole hash may expire.
    pub fn owns_hashes(&self) -> bool {
        self.template.contains("{feature}")
    }
}

/// What became of the rows of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Entities replaced.
    pub applied: u64,
    /// Entities that already held this version or a newer one, or a later `_as_of`.
    pub stale: u64,
    /// Rows with a NULL in the key: never written.
    pub null_keys: u64,
    /// The store no longer knows who writes the feature: it has come back empty. Nothing was
    /// written; [`OnlineStore::claim`] it and write every entity anew.
    pub lost: bool,
}

/// What a store remembers of the engine that writes a feature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Writers of an older generation are refused.
    pub generation: u64,
    /// Of each partition of the feature's source, the offset (exclusive) up to which rows may be
    /// in the values.
    pub positions: BTreeMap<u32, i64>,
    /// Values may hold for serving times up to this one: no later writer may fall behind it.
    pub refreshed: Option<EventTime>,
}

/// What the values of a write rest on: remembered before the first of them is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    /// (partition, next offset) that they may hold rows up to, where that is news.
    pub positions: Vec<(u32, i64)>,
    /// The serving time they may hold for, where that is news.
    pub refreshed: Option<EventTime>,
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.applied += other.applied;
        self.stale += other.stale;
        self.null_keys += other.null_keys;
        self.lost |= other.lost;
    }
}

/// The stored value of one entity.
#[derive(Clone, Debug)]
pub struct OnlineRow {
    pub as_of: EventTime,
    pub version: Version,
    pub status: Status,
    /// One row with the schema [`OnlineFeature::values`].
    pub values: RecordBatch,
}

/// A store of current values.
///
/// # Contract
/// - A row is applied iff its version is greater than the stored one and its `_as_of` is not
///   smaller: all values, the removal of NULLs and both marks in one step, or nothing.
/// - Repeating a write changes nothing. After an error any subset of the rows is applied; the
///   caller repeats the whole write.
/// - What the values rest on is remembered before the first row is applied.
/// - Where the batch says that an entity is not present, the store says so too; under a `ttl`
///   values vanish by themselves when they are due and nobody writes any more.
/// - A writer whose generation is older than the one that claimed the feature gets `Fenced`.
/// - Rows with a NULL key are counted, never written.
#[async_trait]
pub trait OnlineStore: Send + Sync + fmt::Debug {
    /// `rows` holds the feature's output columns (others are ignored), `_as_of` (µs UTC, not NULL)
    /// and perhaps `_status` and `_newest` (`model::batch`), at most one row per entity.
    async fn write(
        &self,
        feature: &OnlineFeature,
        rows: &RecordBatch,
        version: Version,
        basis: &Basis,
    ) -> Result<Written>;

    /// Who writes a feature and how far; `None` if nobody has claimed it.
    async fn mark(&self, feature: &OnlineFeature) -> Result<Option<Mark>>;

    /// Makes `generation` the only one that may write a feature; `Fenced` if a later one has
    /// claimed it.
    async fn claim(&self, feature: &OnlineFeature, generation: u64) -> Result<()>;

    /// The stored values, one per row of the key columns, in order; `None` if there is none.
    async fn read(
        &self,
        feature: &OnlineFeature,
        keys: &[ArrayRef],
    ) -> Result<Vec<Option<OnlineRow>>>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<()>;
}

/// A column of a batch of current values; its absence is our own bug.
pub(crate) fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name)
        .ok_or_else(|| Error::internal(format!("current values without the column `{name}`")))
}

/// The `_as_of` column of a batch of current values, µs.
pub(crate) fn as_of_column(rows: &RecordBatch) -> Result<&[i64]> {
    use arrow::array::AsArray;
    use arrow::datatypes::TimestampMicrosecondType;
    let array = column(rows, AS_OF_COLUMN)?;
    match array.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) if array.null_count() == 0 => Ok(times.values()),
        _ => Err(Error::internal("`_as_of` must be a timestamp in µs without NULLs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number_and_read_back() {
        let version = |text: &str| text.parse::<Version>();
        assert!(version("1.9.9").unwrap() < version("1.10.0").unwrap());
        assert!(version("2.0.0").unwrap() > version("1.18446744073709551615.7").unwrap());
        assert_eq!(version("3.4.5").unwrap().to_string(), "3.4.5");
        for bad in ["", "1.2", "1.2.3.4", "1.2.x", "01.2.3", "-1.2.3"] {
            assert!(version(bad).is_err(), "{bad}");
        }
    }
}
