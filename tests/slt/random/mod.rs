//! Random parity: query shapes, each planned once and run over random logs, batchings, lanes,
//! layouts and restores; final rows compared bit by bit with the oracles.
//!
//! | file | what is in it |
//! |---|---|
//! | `shape` | a query shape: SQL, naive model, edges |
//! | `shapes` | all of them |
//! | `data` | random logs of one source |
//! | `kept` | shapes of aggregates that keep their rows |
//! | `trial` | one shape over many cases |

pub mod data;
mod kept;
pub mod shape;
pub mod shapes;
pub mod trial;
