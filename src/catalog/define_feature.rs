//! CREATE FEATURE → [`FeatureDef`]: name and options. What the query means is `plan`'s to check;
//! it also computes the fingerprint. Called when a statement is submitted, and by `persist`.

use crate::catalog::define::check_name;
use crate::catalog::feature::{FeatureDef, FeatureOptions, OfflineStoreDef, OnlineStoreDef};
use crate::error::{Error, Result};
use crate::sql::ast::CreateFeature;
use crate::sql::expand::Env;
use crate::sql::option_value::OptionValue;
use crate::sql::options::{AppliesTo, Options};
use crate::sql::printer;

/// Sources look at the clock a few dozen times a second.
const REFRESH_MIN_US: i64 = 100_000;

/// Checks name and options and makes the definition. `fingerprint` is that of the bound plan,
/// `version` is kept by the catalog (see [`crate::catalog::registry::Catalog::next_version`]).
pub fn feature_def(
    create: &CreateFeature,
    version: u32,
    fingerprint: String,
    env: Env<'_>,
) -> Result<FeatureDef> {
    check_name("feature", &create.name)?;
    Ok(FeatureDef {
        name: create.name.value.clone(),
        version,
        query: create.query_text.clone(),
        options: feature_options(create, env)?,
        sql: printer::create_feature(create),
        fingerprint,
    })
}

/// The options of a feature, typed. That `online.key` holds every key column is for `plan`.
pub fn feature_options(create: &CreateFeature, env: Env<'_>) -> Result<FeatureOptions> {
    let options = Options::check(AppliesTo::Feature, &create.options, env)?;
    let online = match options.text("online") {
        None => OnlineStoreDef::Embedded,
        Some(text) if text == "embedded" => OnlineStoreDef::Embedded,
        Some(text) if text == "none" => OnlineStoreDef::None,
        Some(url) => OnlineStoreDef::Redis(url),
    };
    for name in ["online.key", "refresh"] {
        if options.is_given(name) && !matches!(online, OnlineStoreDef::Redis(_)) {
            let error = Error::usage(format!("option '{name}' needs 'online' = 'redis://…'"));
            return Err(match options.key_span(name) {
                Some(span) => error.with_span(span),
                None => error,
            });
        }
    }
    let offline = match options.text("offline") {
        None => OfflineStoreDef::Home,
        Some(text) if text == "none" => OfflineStoreDef::None,
        Some(url) => OfflineStoreDef::Url(url),
    };
    let Some(OptionValue::Duration(offline_interval_us)) = options.value("offline.interval") else {
        return Err(Error::internal("option 'offline.interval' has no default"));
    };
    let ttl_us = match options.value("ttl") {
        Some(OptionValue::Duration(ttl_us)) => Some(ttl_us),
        _ => None,
    };
    let Some(OptionValue::Duration(refresh_us)) = options.value("refresh") else {
        return Err(Error::internal("option 'refresh' has no default"));
    };
    if refresh_us < REFRESH_MIN_US {
        let error = Error::usage("option 'refresh' is shorter than 100 milliseconds")
            .with_hint("values of events are written at once; 'refresh' is about silence");
        return Err(match options.key_span("refresh") {
            Some(span) => error.with_span(span),
            None => error,
        });
    }
    let Some(online_key) = options.text("online.key") else {
        return Err(Error::internal("option 'online.key' has no default"));
    };
    Ok(FeatureOptions {
        online,
        online_key,
        offline,
        offline_interval_us,
        ttl_us,
        bootstrap: options.text("bootstrap").as_deref() == Some("history"),
        refresh_us,
        log_share: match options.value("log") {
            Some(OptionValue::Count(parts)) => u32::try_from(parts).ok(),
            _ => None,
        },
        description: options.text("description"),
        owner: options.text("owner"),
        tags: options.text("tags"),
    })
}
