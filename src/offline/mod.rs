//! Final rows, the archive and dead letters as Parquet: written whole, published once.
//!
//! | file | what is in it |
//! |---|---|
//! | `store` | [`store::Location`]: a URL → files that can be put, renamed, listed durably |
//! | `local` | those operations on a disk, with every fsync they need |
//! | `object` | those operations on an object store |
//! | `found` | the object stores that a plain query names |
//! | `layout` | directories, file names, the day of a row |
//! | `parquet_file` | record batches → the bytes of one file, and its settings |
//! | `writer` | [`writer::DatedWriter`]: rows by day; prepare, publish, abort |
//! | `archive` | the directory of admitted rows: its schema, its mark, who may begin it |
//! | `output` | what a command writes: one file or a directory, whole or not at all |
//! | `reader` | the published files of a directory, as a table |

pub mod archive;
pub mod found;
pub mod layout;
pub mod local;
pub mod object;
pub mod output;
pub mod parquet_file;
pub mod reader;
pub mod store;
pub mod writer;

#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
pub(crate) mod power;
