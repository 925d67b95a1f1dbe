//! The published files of a directory, and the table they make: for HISTORY(feature),
//! DEAD_LETTERS(source) and whoever reads an archive. Must never show a prepared file.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::prelude::SessionContext;

use crate::error::Result;
use crate::offline::layout::is_published;
use crate::offline::store::{FileEntry, Location};

/// The published files below a location, in byte order of path; none if it does not exist.
pub async fn files(location: &Location) -> Result<Vec<FileEntry>> {
    let mut found = location.files().list("").await?;
    found.retain(|file| is_published(&file.path));
    Ok(found)
}

/// A table of the files that are published now; an empty one where there are none.
pub async fn table(
    context: &SessionContext,
    location: &Location,
    schema: SchemaRef,
) -> Result<Arc<dyn TableProvider>> {
    location.register(&context.runtime_env())?;
    let mut urls = Vec::new();
    for file in files(location).await? {
        urls.push(ListingTableUrl::try_new(location.file_url(&file.path)?, None)?);
    }
    if urls.is_empty() {
        return Ok(Arc::new(MemTable::try_new(schema, vec![Vec::new()])?));
    }
    let options =
        ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// Registers [`table`] under a name.
pub async fn register(
    context: &SessionContext,
    name: &str,
    location: &Location,
    schema: SchemaRef,
) -> Result<()> {
    let table = table(context, location, schema).await?;
    let name = datafusion::common::TableReference::bare(name);
    context.register_table(name, table)?;
    Ok(())
}
