//! Definitions: sources, features, their versions and dependencies.
//!
//! | file | what is in it |
//! |---|---|
//! | `source` | [`source::SourceDef`]: columns, watermark, options of a log |
//! | `feature` | [`feature::FeatureDef`]: the SQL of a feature and its options |
//! | `define` | CREATE SOURCE → [`source::SourceDef`], checked completely |
//! | `define_feature` | CREATE FEATURE → [`feature::FeatureDef`] |
//! | `generator` | what the connector datagen makes |
//! | `registry` | [`registry::Catalog`]: what is defined, who depends on whom |
//! | `change` | what a new definition changes of an old one, and whether state survives |
//! | `apply` | desired definitions against a catalog: added, changed, unchanged, pruned |
//! | `persist` | `<home>/catalog.sql`, written atomically |

pub mod apply;
pub mod change;
pub mod define;
pub mod define_feature;
pub mod feature;
pub mod generator;
pub mod persist;
pub mod registry;
pub mod source;
