//! Tests of udaf.
