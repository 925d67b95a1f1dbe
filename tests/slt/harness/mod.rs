//! What the `.slt` files and the random trials share. Oracles must not use the engine; only
//! `engine`, `modes`, `check` and `run` call it.
//!
//! | file | what is in it |
//! |---|---|
//! | `script` | `.slt` files → records |
//! | `render` | result rows → text of `.slt` files |
//! | `value` | values with every bit, multisets of rows, their difference |
//! | `rng` | random choices from a seed |
//! | `exact` | oracle: naive aggregates over exact rationals |
//! | `families` | oracle: naive ranks, lists, categories, trends, pairs |
//! | `model` | oracle: naive frames and windows |
//! | `judge` | oracle: naive admission |
//! | `lists` | `exact` as functions over lists, for `stock` |
//! | `rewrite` | a feature's SELECT → stock SQL |
//! | `stock` | oracle: stock DataFusion |
//! | `engine` | SQL → sources and feature plans, in memory |
//! | `log` | a log in memory, read in chunks |
//! | `modes` | the drivers: history, and the stream stepped by seeded choices |
//! | `check` | final rows against an oracle |
//! | `layout` | the same records in another layout of the log |
//! | `run` | one `.slt` file in one mode |

pub mod check;
pub mod engine;
pub mod exact;
pub mod families;
pub mod judge;
pub mod layout;
pub mod lists;
pub mod log;
pub mod model;
pub mod modes;
pub mod render;
pub mod rewrite;
pub mod rng;
pub mod run;
pub mod script;
pub mod stock;
pub mod value;
