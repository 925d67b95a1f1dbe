//! Arguments, commands, REPL: the only room that prints or exits.
//!
//! | file | what is in it |
//! |---|---|
//! | `args` | the command line as plain data, with its help |
//! | `engine` | what commands ask of an engine |
//! | `local` | the engine of a home, in this process |
//! | `command` | one file per command |
//! | `repl` | the shell |
//! | `script` | SQL files as one text, errors back to their file and line |
//! | `console` | where results and messages go |
//! | `table` | rows as table, CSV, JSON |
//! | `progress` | the progress line |
//! | `signal` | Ctrl-C |
//! | `log` | logging set-up |

pub mod args;
pub mod command;
pub mod console;
pub mod engine;
pub(crate) mod local;
pub mod log;
pub mod progress;
pub mod repl;
pub mod script;
pub mod signal;
pub mod table;

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::cli::args::{Args, Command, GlobalArgs};
use crate::cli::command::Session;
use crate::cli::console::Console;
use crate::cli::engine::{Engine, HomeOptions};
use crate::cli::script::Failure;
use crate::cli::signal::Stop;
use crate::error::Error;

/// The process: arguments in, exit code out.
pub fn main() -> ExitCode {
    let args = Args::parse();
    log::init(&args.global);
    let mut console = Console::standard(args.global.quiet);
    let code = match start(args, &mut console) {
        Ok(()) => 0,
        Err(failure) => {
            console.complain(failure.rendered());
            failure.error.exit_code()
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn start(args: Args, console: &mut Console) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(Error::from)?;
    let home = home_options(&args.global);
    let result = match args.command {
        None => {
            let engine = runtime.block_on(engine::open(&home))?;
            repl::run(runtime.handle(), &engine, console, &home)
        }
        Some(command) => runtime.block_on(async {
            let stop = Stop::on_signals();
            dispatch(command, &args.global, home, console, stop).await
        }),
    };
    // A blocked thread (a socket, standard input) must not keep the process.
    runtime.shutdown_background();
    result
}

fn home_options(args: &GlobalArgs) -> HomeOptions {
    HomeOptions {
        home: args.home.clone(),
        offline: args.offline.clone(),
        online: args.online.clone(),
        checkpoints: args.checkpoints.clone(),
    }
}

async fn dispatch(
    command: Command,
    global: &GlobalArgs,
    home: HomeOptions,
    console: &mut Console,
    stop: Stop,
) -> Result<(), Failure> {
    if let Command::Demo(args) = command {
        return command::demo::run(&args, &home, global, console, stop).await;
    }
    let engine: Arc<dyn Engine> = engine::open(&home).await?;
    let mut session =
        Session { engine: engine.as_ref(), console, stop: &stop, quiet: global.quiet };
    match command {
        Command::Sql(args) => command::sql::run(&args, &mut session).await,
        Command::Apply(args) => command::apply::run(&args, &mut session).await,
        Command::Run(args) => command::run::run(&args, &mut session).await,
        Command::Backfill(args) => command::backfill::run(&args, &mut session).await,
        Command::TrainingSet(args) => command::training_set::run(&args, &mut session).await,
        Command::Get(args) => command::get::run(&args, &mut session).await,
        Command::Status(args) => command::status::run(&args, &mut session).await,
        Command::DeadLetters(args) => command::dead_letters::run(&args, &mut session).await,
        Command::Online(args) => command::online::run(&args, &mut session).await,
        Command::Produce(args) => command::produce::run(&args, &mut session).await,
        Command::Demo(_) => Err(Error::internal("handled before an engine is opened").into()),
    }
}
