//! Final rows and the archive as Parquet.
