//! Proves online = offline = recomputed.
//!
//! | file | what is in it |
//! |---|---|
//! | `parity` | [`parity::compare`]: two sets of rows as multisets of raw bits |

pub mod parity;
