//! The archive: every admitted row of a source, once, with its place in the log.
//!
//! Its files carry [`MARK`] in their footers, so that a reader knows the rows were judged already
//! and are never judged again. A directory is of one kind: the engine archives only into an empty
//! one or one it began for the same source.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use object_store::ObjectStoreExt;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{FooterTail, ParquetMetaDataReader};

use crate::catalog::source::SourceDef;
use crate::error::{Error, Result};
use crate::model::batch::system_fields;
use crate::offline::layout::DayOf;
use crate::offline::parquet_file::Metadata;
use crate::offline::reader::files;
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
    let named = |e: Error| e.context(format!("{}/{path}", location.url()));
    let at = location.child(path)?;
    let (store, file) = (at.object_store(), at.prefix());
    let size = store.head(file).await.map_err(|e| named(Error::from(e)))?.size;
    let short = || named(Error::data("too short to be Parquet"));
    let tail_at = size.checked_sub(FOOTER_SIZE as u64).ok_or_else(short)?;
    let tail = store.get_range(file, tail_at..size).await.map_err(|e| named(Error::from(e)))?;
    let tail = FooterTail::try_from(tail.as_ref()).map_err(|e| named(Error::from(e)))?;
    let from = tail_at.checked_sub(tail.metadata_length() as u64).ok_or_else(short)?;
    let footer = store.get_range(file, from..tail_at).await.map_err(|e| named(Error::from(e)))?;
    let footer = ParquetMetaDataReader::decode_metadata(&footer);
    let footer = footer.map_err(|e| named(Error::from(e)))?;
    let pairs = footer.file_metadata().key_value_metadata();
    let pairs = pairs.into_iter().flatten().filter(|pair| pair.key != "ARROW:schema");
    Ok(pairs.map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default())).collect())
}

/// Refuses a directory that the engine did not begin for this source.
pub async fn check_directory(source: &str, location: &Location) -> Result<()> {
    let published = files(location).await?;
    // All files of a directory are of one kind: the first and the last stand for it.
    let ends = [published.first(), published.last()];
    for path in ends.into_iter().flatten().map(|file| file.path.as_str()) {
        let pairs = read_metadata(location, path).await?;
        let refused = |what: String| {
            let url = location.url();
            Error::not_supported(format!("archiving `{source}` into {url}: {what}"))
                .with_hint("set 'history' to an empty directory, or drop 'archive'")
        };
        if !is_archive(&pairs) {
            return Err(refused(format!("`{path}` was not written by this engine")));
        }
        if !pairs.iter().any(|(key, value)| key == SOURCE && value == source) {
            return Err(refused(format!("`{path}` is the archive of another source")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
    use arrow::datatypes::Field;

    use super::*;
    use crate::model::batch::timestamp_type;
    use crate::model::epoch::Epoch;
    use crate::offline::store::Stores;
    use crate::offline::writer::{DatedWriter, publish};

    /// Writes one row, as the archive of `source` or without its mark.
    async fn write(location: &Location, source: Option<&str>) {
        let own = std::iter::once(Arc::new(Field::new("at", timestamp_type(), false)));
        let fields = own.chain(system_fields()).collect::<Vec<_>>();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let time: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"));
        let (partition, offset) = (Int32Array::from(vec![0]), Int64Array::from(vec![7]));
        let columns: Vec<ArrayRef> =
            vec![time.clone(), Arc::new(partition), Arc::new(offset), time];
        let mark = |name: &str| {
            vec![(MARK.to_owned(), FORMAT.to_owned()), (SOURCE.to_owned(), name.to_owned())]
        };
        let mut writer = DatedWriter::new(DatedSpec {
            location: location.clone(),
            day: DayOf::columns(&schema, &["at"], false).unwrap(),
            schema: schema.clone(),
            writer: "s".to_owned(),
            metadata: source.map(mark).unwrap_or_default(),
        });
        writer.write(&RecordBatch::try_new(schema, columns).unwrap()).unwrap();
        let prepared = writer.prepare(Epoch(1)).await.unwrap();
        publish(&Stores::default(), &prepared).await.unwrap();
    }

    #[tokio::test]
    async fn an_archive_begins_only_in_an_empty_directory_or_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| Location::at_path(&folder.path().join(name)).unwrap();
        check_directory("tx", &place("new")).await.unwrap();
        write(&place("own"), Some("tx")).await;
        check_directory("tx", &place("own")).await.unwrap();
        write(&place("other"), Some("clicks")).await;
        let error = check_directory("tx", &place("other")).await.unwrap_err();
        assert!(error.message().contains("another source"), "{error}");
        write(&place("foreign"), None).await;
        let error = check_directory("tx", &place("foreign")).await.unwrap_err();
        assert!(error.message().contains("not written by this engine"), "{error}");
        let own = place("own");
        let pairs = read_metadata(&own, "date=1970-01-01/part-0000000001-s-0.parquet").await;
        assert!(is_archive(&pairs.unwrap()));
    }
}
