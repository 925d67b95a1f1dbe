//! skewless: ML features written once in SQL, computed by the same operators over Kafka for
//! serving and over Parquet for training, equal to the last bit.
//!
//! Rooms, lowest first; a room may use only rooms above it in this list (`tests/it/tidy.rs`).

pub mod error;
pub mod failpoint;
pub mod limits;

pub mod model;

pub mod clock;

pub mod sql;

pub mod aggregate;

pub mod window;

pub mod state;

pub mod format;

pub mod catalog;

pub mod plan;

pub mod operator;

pub mod source;

pub mod online;

pub mod offline;

pub mod checkpoint;

pub mod runtime;

pub mod batch;

pub mod serve;

pub mod verify;

pub mod cli;

pub mod api;
