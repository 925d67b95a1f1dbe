//! Proves online = offline = recomputed.
