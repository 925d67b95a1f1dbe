//! Tests of the parent file.
