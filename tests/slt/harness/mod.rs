//! What the `.slt` files and the random trials share. Oracles must not use the engine; only
//! `engine` and `modes` call it.
//!
//! | file | what is in it |
//! |---|---|
//! | `script` | `.slt` files → records |
//! | `render` | result rows → text of `.slt` files |
//! | `value` | values with every bit, multisets of rows, their difference |
//! | `rng` | random choices from a seed |
//! | `exact` | oracle: naive aggregates over exact rationals |
//! | `model` | oracle: naive frames and windows |
//! | `judge` | oracle: naive admission |
//! | `lists` | `exact` as functions over lists, for `stock` |
//! | `rewrite` | a feature's SELECT → stock SQL |
//! | `stock` | oracle: stock DataFusion |

pub mod exact;
pub mod judge;
pub mod lists;
pub mod model;
pub mod render;
pub mod rewrite;
pub mod rng;
pub mod script;
pub mod stock;
pub mod value;
