//! A feature as it was declared: its SELECT and where its values go.

/// Where current values are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OnlineStoreDef {
    /// The engine's own state.
    Embedded,
    /// A `redis://` or `rediss://` URL.
    Redis(String),
    None,
}

/// Where final rows are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OfflineStoreDef {
    /// `<home>/offline/`.
    Home,
    Url(String),
    None,
}

/// The options of a feature, checked and typed. `${…}` is already expanded.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureOptions {
    pub online: OnlineStoreDef,
    /// Template of the online key, for example `{feature}:{key}` or `user:{user_id}`.
    pub online_key: String,
    pub offline: OfflineStoreDef,
    pub offline_interval_us: i64,
    /// Values of entities without rows for so long are NULL when read, µs > 0.
    pub ttl_us: Option<i64>,
    /// A new feature starts with what its source admitted before.
    pub bootstrap: bool,
    /// Values in a store follow rows that leave their frames within this time, µs.
    pub refresh_us: i64,
    /// Share of the values served that is logged, parts per million; `None` = no log.
    pub log_share: Option<u32>,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub tags: Option<String>,
}

/// A feature: name, version, SELECT, options.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureDef {
    pub name: String,
    /// 1, 2, …: grows when the fingerprint changes; also the directory of its final rows.
    pub version: u32,
    /// The SELECT, normalised by the printer.
    pub query: String,
    pub options: FeatureOptions,
    /// The whole statement as printed by SHOW CREATE, `${…}` unexpanded.
    pub sql: String,
    /// Of the bound plan (see `plan::fingerprint`).
    pub fingerprint: String,
}
