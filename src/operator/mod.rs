//! How one step works: synchronous, pure state machines. No clock, socket, file or Tokio here.
//!
//! | file | what is in it |
//! |---|---|
//! | `operator` | the [`operator::Operator`] trait and its contract |

#[expect(clippy::module_inception, reason = "the room is named for the trait it is about")]
pub mod operator;
