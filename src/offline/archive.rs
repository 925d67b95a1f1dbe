//! The archive: every admitted row of a source, once, with its place in the log.
//!
//! Its files carry [`MARK`] in their footers, so that a reader knows the rows were judged already
//! and are never judged again. A directory is of one kind: the engine archives only into an empty
//! one or one it began for the same source.

use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::sync::Arc;

use crate::catalog::source::SourceDef;
use crate::error::{Error, Result};
use crate::model::batch::system_fields;
use crate::offline::layout::{DayOf, is_published};
use crate::offline::parquet_file::Metadata;
use crate::offline::store::Location;
use crate::offline::writer::DatedSpec;

/// Footer key of an archive file; the value is the layout's version.
pub const MARK: &str = "skewless.archive";
/// Footer key that names the source.
pub const SOURCE: &str = "skewless.source";
/// Version of the layout.
const FORMAT: &str = "1";

/// Schema of an archive file: declared and metadata columns, then the system columns.
pub fn schema(source: &SourceDef) -> SchemaRef {
    let stored = source.stored_schema();
    let fields = stored.fields().iter().cloned().chain(system_fields());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The footer of an archive file.
pub fn metadata(source: &SourceDef) -> Metadata {
    vec![(MARK.to_owned(), FORMAT.to_owned()), (SOURCE.to_owned(), source.name.clone())]
}

/// Whether a footer is that of an archive.
pub fn is_archive(pairs: &[(String, String)]) -> bool {
    pairs.iter().any(|(key, _)| key == MARK)
}

/// What a writer of the archive writes. Rows are admitted batches projected to [`schema`].
pub fn spec(source: &SourceDef, location: Location, writer: &str) -> Result<DatedSpec> {
    let schema = schema(source);
    let day = DayOf::columns(&schema, &[&source.watermark.column], false)?;
    let writer = writer.to_owned();
    Ok(DatedSpec { location, schema, day, writer, metadata: metadata(source) })
}

/// The key-value pairs in the footer of a Parquet file, without Arrow's own.
pub async fn read_metadata(location: &Location, path: &str) -> Result<Metadata> {
    let bytes = location
        .files()
        .get(path)
        .await?
        .ok_or_else(|| Error::data(format!("no such file: {}/{path}", location.url())))?;
    let named = |e: Error| e.context(format!("{}/{path}", location.url()));
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| named(Error::from(e)))?;
    let pairs = reader.metadata().file_metadata().key_value_metadata();
    let pairs = pairs.into_iter().flatten().filter(|pair| pair.key != "ARROW:schema");
    Ok(pairs.map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default())).collect())
}

/// Refuses a directory that the engine did not begin for this source.
pub async fn check_directory(source: &SourceDef, location: &Location) -> Result<()> {
    let mut published: Vec<String> = location
        .files()
        .list("")
        .await?
        .into_iter()
        .map(|f| f.path)
        .filter(|path| is_published(path))
        .collect();
    // All files of a directory are of one kind: the first and the last stand for it.
    published.dedup();
    let ends = [published.first(), published.last()];
    for path in ends.into_iter().flatten() {
        let pairs = read_metadata(location, path).await?;
        let refused = |what: &str| {
            Error::not_supported(format!(
                "archiving `{}` into {}: {what}",
                source.name,
                location.url()
            ))
            .with_hint("set 'history' to an empty directory, or drop 'archive'")
        };
        if !is_archive(&pairs) {
            return Err(refused(&format!("`{path}` was not written by this engine")));
        }
        let own = |(key, value): &(String, String)| key == SOURCE && *value == source.name;
        if !pairs.iter().any(own) {
            return Err(refused(&format!("`{path}` is the archive of another source")));
        }
    }
    Ok(())
}
