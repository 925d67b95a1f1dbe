//! The integration tests, one binary: each links the whole engine, so there are no more of them.
//!
//! | file | what is in it |
//! |---|---|
//! | `tidy` | the house rules, read from the sources |
//! | `poll` | waiting for another process: the only place in tests that sleeps |
//! | `process` | a process that ends with its test |
//! | `docs` | the documentation against the program |
//! | `pipeline` | Kafka → Redis and Parquet → backfill, on real services |
//! | `training` | training sets and ASOF joins |
//! | `serving` | HTTP of a running engine |
//! | `refresh` | values in Redis when no event comes |
//! | `faults` | Kafka that misbehaves, records that are broken, dead letters and back |
//! | `stopping` | signals, memory, who may write checkpoints, stores filled again |
//! | `elsewhere` | stores on other machines: S3, Redis with TLS |
//! | `formats` | checkpoints of earlier versions |
//! | `kills` | the program killed at any moment and place |
//! | `proxy` | a bad network between a client and a broker |
//! | `command` | the binary as a person uses it: help, exit codes, statements, piped REPL |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by failing; helpers of tests are tests too"
)]

mod command;
mod docs;
mod elsewhere;
mod faults;
mod formats;
mod kills;
mod live;
mod pipeline;
mod poll;
mod process;
mod proxy;
mod refresh;
mod restart;
mod serving;
mod stopping;
mod tidy;
mod training;
