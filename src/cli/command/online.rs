//! `skewless online rebuild`: fills the online store of a feature from state.

use crate::cli::args::{OnlineArgs, OnlineCommand};
use crate::cli::command::Session;
use crate::cli::engine::Rebuilt;
use crate::cli::progress::grouped;
use crate::cli::script::Failure;

pub async fn run(args: &OnlineArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let OnlineCommand::Rebuild { feature } = &args.command;
    let message = match session.engine.rebuild(feature).await? {
        Rebuilt::Begun => format!("the running engine writes every value of '{feature}' anew"),
        Rebuilt::Written(entities) => {
            format!(
                "{} entities of '{feature}' written from the last checkpoint",
                grouped(entities)
            )
        }
    };
    session.console.message(&message);
    Ok(())
}
