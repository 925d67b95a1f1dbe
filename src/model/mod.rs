//! The words everyone shares: newtypes without I/O.
//!
//! | file | what is in it |
//! |---|---|
//! | `time` | [`time::EventTime`], durations, RFC 3339 |
//! | `key` | key groups, [`key::Shard`], the canonical key hash |
//! | `batch` | positions, the system columns, layouts of record batches |
//! | `text` | one value as text and as JSON |
//! | `epoch` | [`epoch::Epoch`] of a checkpoint |

pub mod batch;
pub mod epoch;
pub mod key;
pub mod text;
pub mod time;
