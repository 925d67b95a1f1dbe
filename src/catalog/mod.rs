//! Definitions: sources, features, their versions and dependencies.
//!
//! | file | what is in it |
//! |---|---|
//! | `source` | [`source::SourceDef`]: columns, watermark, options of a log |
//! | `feature` | [`feature::FeatureDef`]: the SQL of a feature and its options |

pub mod feature;
pub mod source;
