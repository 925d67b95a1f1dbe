//! What a new definition changes of an old one, and whether what was computed stays valid.
//! Called by `registry` (OR REPLACE) and `apply`.

use crate::catalog::feature::FeatureDef;
use crate::catalog::source::SourceDef;

/// The difference between two definitions of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    None,
    /// State and positions stay valid; what changed, for people.
    Compatible(String),
    /// What was computed does not follow from the new definition; what changed, for people.
    Incompatible(String),
}

/// Compares two definitions of a source. Whatever decides which records are admitted, and with
/// which values, is incompatible; where things are written and how Kafka is reached is not.
pub fn source_difference(old: &SourceDef, new: &SourceDef) -> Difference {
    let (was, is) = (&old.options, &new.options);
    let breaking = [
        (old.watermark != new.watermark, "the watermark"),
        (old.columns != new.columns, "the columns"),
        (was.connector != is.connector, "'connector'"),
        (was.topic != is.topic, "'topic'"),
        (was.path != is.path, "'path'"),
        (was.format != is.format, "'format'"),
        (was.json != is.json, "'json.*'"),
        (was.startup != is.startup, "'scan.startup.*'"),
        // Dropping it only merges what partitions kept apart.
        (
            was.partitioned_by != is.partitioned_by && !is.partitioned_by.is_empty(),
            "'partitioned.by'",
        ),
        (was.max_future_us != is.max_future_us, "'max_future'"),
        (was.message_bytes_max != is.message_bytes_max, "'message.max_bytes'"),
        (was.generator != is.generator, "'generator'"),
        (was.datagen_rows != is.datagen_rows, "'rows'"),
        (was.datagen_seed != is.datagen_seed, "'seed'"),
    ];
    let compatible = [
        (was.properties != is.properties, "'properties.*'"),
        (was.partitioned_by != is.partitioned_by, "'partitioned.by'"),
        (was.history != is.history, "'history'"),
        (was.archive != is.archive, "'archive'"),
        (was.dead_letter != is.dead_letter, "'dead_letter'"),
        (was.dead_letter_max_ratio != is.dead_letter_max_ratio, "'dead_letter.max_ratio'"),
        (was.skip_gaps != is.skip_gaps, "'on_gap'"),
        (was.idle_timeout_us != is.idle_timeout_us, "'idle_timeout'"),
        (was.advance_idle != is.advance_idle, "'idle'"),
        (was.datagen_rate != is.datagen_rate, "'rate'"),
    ];
    judge(&breaking, &compatible)
}

/// Compares two definitions of a feature: the fingerprint says whether it computes the same.
pub fn feature_difference(old: &FeatureDef, new: &FeatureDef) -> Difference {
    let (was, is) = (&old.options, &new.options);
    let breaking = [(old.fingerprint != new.fingerprint, "what it computes")];
    let compatible = [
        (was.online != is.online, "'online'"),
        (was.online_key != is.online_key, "'online.key'"),
        (was.offline != is.offline, "'offline'"),
        (was.offline_interval_us != is.offline_interval_us, "'offline.interval'"),
        (was.log_share != is.log_share, "'log'"),
        (was.bootstrap != is.bootstrap, "'bootstrap'"),
        (was.description != is.description, "'description'"),
        (was.owner != is.owner, "'owner'"),
        (was.tags != is.tags, "'tags'"),
    ];
    judge(&breaking, &compatible)
}

fn judge(breaking: &[(bool, &str)], compatible: &[(bool, &str)]) -> Difference {
    let changed = |list: &[(bool, &str)]| {
        let names: Vec<&str> = list.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    match (changed(breaking), changed(compatible)) {
        (Some(what), _) => Difference::Incompatible(what),
        (None, Some(what)) => Difference::Compatible(what),
        (None, None) => Difference::None,
    }
}
