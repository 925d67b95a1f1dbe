//! Epochs: what is durable, and how a home is recovered.
//!
//! | file | what is in it |
//! |---|---|
//! | `manifest` | [`manifest::Manifest`]: one epoch, and the bytes that prove it whole |
//! | `state_file` | [`crate::state::snapshot::Snapshot`] ↔ bytes |
//! | `store` | [`store::CheckpointStore`]: commit in order, then publish, then collect |
//! | `recover` | the newest epoch that verifies, or a refusal |
//! | `home` | [`home::Home`]: the directory of one engine, its lock, who runs in it |

pub mod home;
pub mod manifest;
pub mod recover;
pub mod state_file;
pub mod store;
