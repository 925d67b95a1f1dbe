//! The object stores that a plain query may name: `FROM 's3://bucket/file.parquet'` and
//! `COPY … TO 's3://…'` find theirs by the URL, as [`Location::resolve`] does.

use std::sync::Arc;

use datafusion::common::Result as DfResult;
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use object_store::ObjectStore;
use url::Url;

use crate::offline::store::Location;

/// Those registered, and those that are found by their URL.
#[derive(Debug, Default)]
pub struct FoundStores {
    known: DefaultObjectStoreRegistry,
}

impl ObjectStoreRegistry for FoundStores {
    fn register_store(
        &self,
        url: &Url,
        store: Arc<dyn ObjectStore>,
    ) -> Option<Arc<dyn ObjectStore>> {
        self.known.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> DfResult<Arc<dyn ObjectStore>> {
        if let Ok(known) = self.known.get_store(url) {
            return Ok(known);
        }
        let found = Location::resolve(url.as_str())?.object_store().clone();
        self.known.register_store(url, found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    #[test]
    fn stores_are_found_by_their_url_once() {
        let stores = FoundStores::default();
        let url = |text: &str| Url::parse(text).unwrap();
        let first = stores.get_store(&url("s3://bucket/a/b.parquet")).unwrap();
        let again = stores.get_store(&url("s3://bucket/c.parquet")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let other = stores.get_store(&url("s3://other/a/b.parquet")).unwrap();
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(stores.get_store(&url("file:///a")).is_ok());
        let error = Error::from(stores.get_store(&url("gs://bucket/a")).unwrap_err());
        assert_eq!(error.kind(), Kind::NotSupported);
        assert!(error.message().contains("`gs:`"), "{error}");
    }
}
