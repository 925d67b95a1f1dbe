//! Epochs: what is durable, and how a home is recovered.
