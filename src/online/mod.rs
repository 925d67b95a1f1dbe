//! Current values: Redis and the embedded store.
