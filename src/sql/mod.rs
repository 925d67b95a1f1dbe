//! Text → typed statements with spans, and back (parse∘print = identity).
