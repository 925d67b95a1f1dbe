//! `skewless training-set`: named by the interface, not built yet.

use crate::cli::args::TrainingSetArgs;
use crate::cli::script::Failure;
use crate::error::Error;

pub fn run(_: &TrainingSetArgs) -> Result<(), Failure> {
    Err(Error::not_yet("'training-set' (features at the time of each label)")
        .with_hint("`skewless backfill` writes every final row; join on key and time there")
        .into())
}
