//! Window arithmetic, and nothing else: grids, panes, frames.
//!
//! | file | what is in it |
//! |---|---|
//! | `frame` | which rows the frames of consecutive rows cover |
//! | `grid` | [`grid::Grid`]: windows and panes of TUMBLE and HOP |

pub mod frame;
pub mod grid;
