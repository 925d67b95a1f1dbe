//! Keyed columnar state and its snapshot.
//!
//! | file | what is in it |
//! |---|---|
//! | `snapshot` | [`snapshot::Snapshot`]: state as Arrow tables |
//! | `changes` | [`changes::Changes`]: which keys changed since state was taken |
//! | `overlay` | [`overlay::overlay`]: a chain of changes over a whole snapshot |
//! | `key_index` | [`key_index::KeyIndex`]: entity keys to dense slots and back |
//! | `key_column` | canonical key bytes back to arrays |
//! | `intern` | [`intern::Interner`]: byte strings that rows refer to by number |
//! | `row` | [`row::RowLayout`]: rows as fixed-width groups of words |
//! | `buffer` | [`buffer::RowBuffer`]: the rows of one key in the total order |
//! | `timer` | [`timer::Timer`]: which keys are due |

pub mod buffer;
pub mod changes;
pub mod intern;
mod key_column;
pub mod key_index;
pub mod overlay;
pub mod row;
pub mod snapshot;
#[cfg(test)]
pub mod testing;
pub mod timer;
