//! Current values: Redis and the embedded store.
//!
//! | file | what is in it |
//! |---|---|
//! | `text` | values read back from their text |
//! | `key_layout` | [`key_layout::KeyTemplate`]: `online.key` → the key of an entity |
//! | `store` | the [`store::OnlineStore`] trait, [`store::Version`], [`store::OnlineFeature`] |
//! | `redis` | one hash per entity, written atomically and only forwards |
//!
//! The embedded store has no code here: it is the engine's own state, read by probe (`runtime`
//! answers `serve`), so there is nothing to write and nothing that could disagree.

pub mod key_layout;
pub mod redis;
pub mod store;
pub mod text;
