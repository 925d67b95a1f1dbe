//! Keyed columnar state and its snapshot.
//!
//! | file | what is in it |
//! |---|---|
//! | `snapshot` | [`snapshot::Snapshot`]: state as Arrow tables |

pub mod snapshot;
