//! Window arithmetic, and nothing else: grids, panes, frames.
