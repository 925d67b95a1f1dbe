//! Partitions, positions and admission: from raw records to admitted batches and dead letters.
//!
//! | file | what is in it |
//! |---|---|
//! | `source` | [`source::Source`]: the contract of a log |
//! | `records` | messages and typed rows as they were read |
//! | `file` | [`file::FileSource`]: ndjson, CSV and Parquet files |
//! | `location` | paths, globs and S3: listing and opening files |
//! | `admit` | [`admit::Admission`]: the verdict on every record |
//! | `metadata` | columns that come from the record around the message |
//! | `intake` | [`intake::Intake`]: chunks → admitted batches and dead letters |

pub mod admit;
pub mod file;
pub mod intake;
pub mod location;
pub(crate) mod metadata;
pub mod records;
#[expect(clippy::module_inception, reason = "the room and its central noun share the name")]
pub mod source;
