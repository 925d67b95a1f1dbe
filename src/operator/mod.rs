//! How one step works: synchronous, pure state machines. No clock, socket, file or Tokio here.
//!
//! | file | what is in it |
//! |---|---|
//! | `operator` | the [`operator::Operator`] trait and its contract |
//! | `answer` | what a feature answers to a probe: reach and `ttl` applied |
//! | `follow` | values that change because time passes |
//! | `trailing_window` | RANGE and ROWS frames that end at the current row |
//! | `group_window` | TUMBLE, HOP, CUMULATE, SESSION and COUNT_WINDOW |
//! | `having` | a condition on their results |
//! | `chain` | trailing windows over their results |
//! | `nested` | trailing windows over the results of trailing windows |
//! | `joined` | what `chain` and `nested` share: state as one, rows between |
//! | `checker` | [`checker::Checker`]: asserts the contract around any operator |

pub mod answer;
pub mod chain;
pub mod checker;
pub mod follow;
pub mod group_window;
pub mod having;
mod joined;
pub mod nested;
#[expect(clippy::module_inception, reason = "the room is named for the trait it is about")]
pub mod operator;
#[cfg(test)]
pub mod oracle;
pub mod trailing_window;
#[cfg(test)]
pub mod trial;

use self::chain::Chain;
use self::group_window::GroupWindow;
use self::having::HavingWindow;
use self::nested::Nested;
use self::operator::Operator;
use self::trailing_window::TrailingWindow;
use crate::error::Result;
use crate::plan::dataflow::{FirstSpec, WindowSpec};

/// The operator of a specification; `current` asks for current values.
///
/// # Errors
/// `NotSupported` for what cannot be kept or computed.
pub fn build(spec: &WindowSpec, current: bool) -> Result<Box<dyn Operator>> {
    Ok(match spec {
        WindowSpec::Trailing(spec) => Box::new(TrailingWindow::new(spec, current)?),
        WindowSpec::Group(spec) => match &spec.having {
            Some(having) => Box::new(HavingWindow::new(spec, having, current)?),
            None => Box::new(GroupWindow::new(spec, current)?),
        },
        WindowSpec::Chain(spec) => match &spec.first {
            FirstSpec::Group(group) => Box::new(Chain::new(spec, group, current)?),
            FirstSpec::Trailing(first) => Box::new(Nested::new(spec, first, current)?),
        },
    })
}
