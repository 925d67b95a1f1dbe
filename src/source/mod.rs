//! Partitions, positions and admission: from raw records to admitted batches and dead letters.
//!
//! | file | what is in it |
//! |---|---|
//! | `source` | [`source::Source`]: the contract of a log |
//! | `records` | messages and typed rows as they were read |
//! | `file` | [`file::FileSource`]: ndjson, CSV and Parquet files |
//! | `kafka` | [`kafka::KafkaSource`]: a topic |
//! | `datagen` | [`datagen::DatagenSource`]: generated rows |
//! | `open` | [`open::open_source`]: the log that a definition names |
//! | `produce` | [`produce::produce`]: rows → messages of a topic |
//! | `dead_topic` | [`dead_topic::DeadTopic`]: dead letters → a topic |
//! | `replay` | repaired dead letters → their topic |
//! | `broker` | what Kafka's consumer and producer share |
//! | `location` | paths, globs and S3: listing and opening files |
//! | `admit` | [`admit::Admission`]: the verdict on every record |
//! | `growth` | partitions that a log gains |
//! | `ratio` | [`ratio::Recent`]: the share of dead letters among the newest records |
//! | `metadata` | columns that come from the record around the message |
//! | `intake` | [`intake::Intake`]: chunks → admitted batches and dead letters |
//! | `conformance` | the contract of a log as tests |
//! | `poison` | what broken records become, at every place of a batch, as tests |

pub mod admit;
pub mod broker;
#[cfg(test)]
pub(crate) mod conformance;
pub mod datagen;
pub mod dead_topic;
pub mod file;
pub mod growth;
pub mod intake;
pub mod kafka;
pub mod location;
pub(crate) mod metadata;
pub mod open;
#[cfg(test)]
mod poison;
pub mod produce;
pub mod ratio;
pub mod records;
pub mod replay;
#[expect(clippy::module_inception, reason = "the room and its central noun share the name")]
pub mod source;
