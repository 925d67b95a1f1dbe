//! Opens the log that a definition names.

use crate::catalog::source::{Connector, SourceDef};
use crate::error::Result;

use super::broker::OnStatus;
use super::datagen::DatagenSource;
use super::file::FileSource;
use super::kafka::KafkaSource;
use super::source::Source;

/// The log of `def`. `on_status` hears of passing trouble while it is read.
pub fn open_source(def: &SourceDef, on_status: Option<OnStatus>) -> Result<Box<dyn Source>> {
    Ok(match def.options.connector {
        Connector::Kafka => Box::new(KafkaSource::new(def, on_status)?),
        Connector::File => Box::new(FileSource::new(def)?),
        Connector::Datagen => Box::new(DatagenSource::new(def)?),
    })
}
