//! Bytes ↔ rows: one message gives one row or one dead letter.
