//! Drives the same operators over history.
