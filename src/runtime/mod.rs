//! Drives operators over streams.
