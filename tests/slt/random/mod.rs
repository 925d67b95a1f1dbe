//! Random parity: query shapes, each planned once and run over random logs, batchings, lanes,
//! layouts and restores; final rows compared bit by bit with the oracles.
//!
//! | file | what is in it |
//! |---|---|
//! | `shape` | a query shape: SQL, naive model, edges |
//! | `shapes` | all of them |
//! | `data` | random logs of one source |
//! | `chained` | shapes of windows over windows |
//! | `families` | every family of aggregates in every kind of window |
//! | `kept` | shapes of aggregates that keep their rows |
//! | `trial` | one shape over many cases |

mod chained;
pub mod data;
mod families;
mod kept;
pub mod shape;
pub mod shapes;
pub mod trial;
