//! Window arithmetic, and nothing else: grids, panes, frames.
//!
//! | file | what is in it |
//! |---|---|
//! | `frame` | which rows the frames of consecutive rows cover |
//! | `grid` | [`grid::Grid`]: windows and panes of TUMBLE, HOP and CUMULATE |
//! | `calendar` | days and months of a time zone |

pub mod calendar;
pub mod frame;
pub mod grid;
