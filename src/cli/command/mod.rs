//! The commands, one file each: arguments in, calls to the engine, results out. No command
//! computes anything itself.
//!
//! | file | what is in it |
//! |---|---|
//! | `sql` | statements from files, arguments or standard input |
//! | `apply` | definitions from files |
//! | `run` | streaming |
//! | `backfill` | final rows over history |
//! | `training_set` | features at the times of labels |
//! | `get` | the values of one entity |
//! | `status` | sources, features, checkpoint |
//! | `dead_letters` | what a source did not admit |
//! | `online` | online stores from state |
//! | `produce` | rows to Kafka |
//! | `demo` | the whole path on generated data |

pub mod apply;
pub mod backfill;
pub mod dead_letters;
pub mod demo;
pub mod get;
pub mod online;
pub mod produce;
pub mod run;
pub mod sql;
pub mod status;
pub mod training_set;

use crate::cli::console::Console;
use crate::cli::engine::{Counts, Engine};
use crate::cli::progress::{ProgressLine, grouped};
use crate::cli::signal::Stop;

/// What every command works with.
pub struct Session<'a> {
    pub engine: &'a dyn Engine,
    pub console: &'a mut Console,
    pub stop: &'a Stop,
    pub quiet: bool,
}

impl Session<'_> {
    fn progress(&self) -> ProgressLine {
        ProgressLine::new(self.quiet)
    }
}

/// What became of the records, in words.
fn counts_in_words(counts: &Counts) -> String {
    format!(
        "{} read = {} admitted + {} late + {} future + {} rejected",
        grouped(counts.read),
        grouped(counts.admitted),
        grouped(counts.late),
        grouped(counts.future),
        grouped(counts.rejected),
    )
}
