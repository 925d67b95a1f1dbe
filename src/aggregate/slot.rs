//! Accumulators as operators use them: built from specifications, moved over the rows of a frame
//! or over panes, giving result columns. A slot never sees keys, time or watermarks; operators
//! tell it which rows a result covers.
//!
//! | file | what is in it |
//! |---|---|
//! | `slot/rows` | how rows, runs and panes are described to a slot |
//! | `slot/value` | single values: words, ordered values, result columns |
//! | `slot/codec` | arrays to words and back, for every type |
//! | `slot/accumulate` | what a kind of accumulator does, and the loops over rows and panes |
//! | `slot/count`, `sum`, `best`, `unique`, `edge` | the kinds that most features use |
//! | `slot/ranked`, `joint`, `bits`, `tallies` | ranks, exact sums of products, bits, sketches |
//! | `slot/own` | aggregates that the program around has registered |
//! | `slot/series` | everything that is computed from the rows as they are |
//! | `slot/sliding`, `slot/paned` | states for trailing frames, and for panes |
//! | `slot/build` | from specifications to slots; what shares a state |

mod accumulate;
mod best;
mod bits;
mod build;
mod codec;
mod count;
mod edge;
mod joint;
mod own;
mod paned;
mod ranked;
mod rows;
mod series;
mod sliding;
mod sum;
mod tallies;
mod unique;
mod value;

pub use accumulate::{Place, place_of};
pub use build::{Argument, paned, sliding};
pub use codec::Codec;
pub use paned::PaneSlot;
pub use rows::{FrameOrder, Lens, PaneRun, Rows, Run, is_valid};
pub use sliding::Slot;
pub use value::{Column, Physical, Values};
