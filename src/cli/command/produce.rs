//! `skewless produce`: rows of a file, or generated ones, to a Kafka topic.

use crate::catalog::generator::Generator;
use crate::cli::args::ProduceArgs;
use crate::cli::command::Session;
use crate::cli::engine::{ProduceInput, ProduceOptions};
use crate::cli::progress::grouped;
use crate::cli::script::Failure;

pub async fn run(args: &ProduceArgs, session: &mut Session<'_>) -> Result<(), Failure> {
    let input = match args.input.as_str() {
        "datagen" => ProduceInput::Datagen { generator: Generator::Names, seed: args.seed },
        name => match Generator::of(name).filter(|of| Generator::NEXMARK.contains(of)) {
            Some(generator) => ProduceInput::Datagen { generator, seed: args.seed },
            None => ProduceInput::File(name.to_owned()),
        },
    };
    let options = ProduceOptions {
        input,
        topic: args.topic.clone(),
        brokers: args.brokers.clone(),
        key: args.key.clone(),
        partitions: args.partitions,
        pace: args.pace(),
        rows: args.rows,
        properties: args.properties.clone(),
    };
    let progress = session.progress();
    let result = session.engine.produce(&options, &progress, session.stop).await;
    progress.finish();
    let sent = result?;
    session.console.message(&format!(
        "{} messages to topic {} at {}",
        grouped(sent.rows),
        args.topic,
        args.brokers,
    ));
    Ok(())
}
