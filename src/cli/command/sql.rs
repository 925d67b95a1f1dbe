//! `skewless sql`: runs statements one after the other and stops at the first error.

use crate::cli::args::SqlArgs;
use crate::cli::command::Session;
use crate::cli::script::{Failure, Script};
use crate::cli::signal::Stop;

pub async fn run(args: &SqlArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let mut script = Script::read(&args.file)?;
    for text in &args.execute {
        script.add(None, text.clone());
    }
    if args.file.is_empty() && args.execute.is_empty() {
        script.add_stdin()?;
    }
    let statements = script.statements().map_err(|e| script.failure(e))?;
    for statement in &statements {
        let answer = tokio::select! {
            answer = session.engine.execute(statement) => answer,
            () = session.stop.wait() => Err(Stop::interrupted()),
        };
        let output = answer.map_err(|e| script.failure(e))?;
        let printed = session.console.output(output, args.format, session.stop).await;
        printed.map_err(|e| script.failure(e))?;
    }
    Ok(())
}
