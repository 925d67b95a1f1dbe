//! Dead letters of a source: listed, summarised, and replayed once they are repaired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use crate::catalog::source::{Connector, SourceDef};
use crate::cli::engine::{
    DeadLetterOptions, DeadLetterView, Engine, Output, ReplayOptions, ReplaySummary,
};
use crate::cli::local::LocalEngine;
use crate::cli::local::repair::{Letter, Line, repair_lines};
use crate::clock;
use crate::error::{Error, Result};
use crate::format::rejection::quote;
use crate::model::batch::Position;
use crate::runtime::saved;
use crate::source::admit::{AdmissionState, Judgement};
use crate::source::intake::Intake;
use crate::source::records::{Messages, Records};
use crate::source::replay::{Repaired, replayed, send};
use crate::source::source::Chunk;
use crate::sql::parser::parse_statements;

/// Characters of a record shown in a table.
const SHOWN_CHARS: usize = 80;
/// Refused lines named in an error.
const REFUSED_SHOWN: usize = 10;

impl LocalEngine {
    pub(super) async fn list_dead_letters(&self, options: &DeadLetterOptions) -> Result<Output> {
        let catalog = self.catalog()?;
        let source = &catalog.source(&options.source)?.name;
        let from = format!("FROM DEAD_LETTERS(\"{}\")", source.replace('"', "\"\""));
        let only = match options.reason {
            Some(reason) => format!("WHERE reason = '{reason}'"),
            None => String::new(),
        };
        let limit = options.limit.map_or(String::new(), |limit| format!("LIMIT {limit}"));
        if options.view == DeadLetterView::Summary {
            return self
                .select(&format!(
                    "SELECT reason, count(*) AS letters,
                     count(DISTINCT \"partition\") AS partitions,
                     min(\"timestamp\") AS oldest, max(\"timestamp\") AS newest,
                     min(message) AS example {from} {only}
                     GROUP BY reason ORDER BY letters DESC, reason {limit}"
                ))
                .await;
        }
        let columns = match options.view {
            DeadLetterView::People => "\"partition\", \"offset\", reason, message, event_time, raw",
            _ => "*",
        };
        let order = "ORDER BY \"partition\", \"offset\"";
        let rows = self.select(&format!("SELECT {columns} {from} {only} {order} {limit}")).await?;
        let Output::Rows(rows) = rows else { return Ok(rows) };
        let view = options.view;
        let schema = readable(&RecordBatch::new_empty(rows.schema()), view)?.schema();
        let rows = rows.map(move |batch| Ok(readable(&batch?, view)?));
        Ok(Output::Rows(Box::pin(RecordBatchStreamAdapter::new(schema, rows))))
    }

    async fn select(&self, text: &str) -> Result<Output> {
        match parse_statements(text)?.as_slice() {
            [statement] => self.execute(statement).await,
            _ => Err(Error::internal("one statement")),
        }
    }

    pub(super) async fn replay_letters(&self, options: &ReplayOptions) -> Result<ReplaySummary> {
        let catalog = self.catalog()?;
        let def = catalog.source(&options.source)?.clone();
        if def.options.connector != Connector::Kafka {
            return Err(Error::not_supported(format!(
                "replay into source '{}': it is no Kafka topic",
                def.name
            ))
            .with_hint(
                "repair the file itself, under a new --home: a file is judged in its order",
            ));
        }
        let letters = self.letters(&def).await?;
        let lines = repair_lines(&options.text, &def.name, &letters)?;
        let manifest = self.last_manifest().await?;
        let state = match &manifest {
            Some(manifest) => saved::admission(manifest, &def.name)?,
            None => None,
        };
        let (dry_run, def) = (options.dry_run, def);
        let work = tokio::task::spawn_blocking(move || replay(&def, lines, state, dry_run));
        work.await.map_err(|e| Error::internal(format!("replay: {e}")))?
    }

    /// Every dead letter of a source by its place.
    async fn letters(&self, def: &SourceDef) -> Result<BTreeMap<Position, Letter>> {
        let name = def.name.replace('"', "\"\"");
        let columns = "\"partition\", \"offset\", key";
        let rows = self.select(&format!("SELECT {columns} FROM DEAD_LETTERS(\"{name}\")")).await?;
        let Output::Rows(mut rows) = rows else { return Ok(BTreeMap::new()) };
        let mut letters = BTreeMap::new();
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let partitions = batch["partition"].as_primitive::<Int32Type>();
            let offsets = batch["offset"].as_primitive::<Int64Type>();
            let keys = arrow::compute::cast(&batch["key"], &DataType::Binary)?;
            let keys = keys.as_binary::<i32>();
            for row in 0..batch.num_rows() {
                let place = Position {
                    partition: partitions.value(row).cast_unsigned(),
                    offset: offsets.value(row),
                };
                let key = keys.is_valid(row).then(|| keys.value(row).to_vec());
                letters.insert(place, Letter { key });
            }
        }
        Ok(letters)
    }
}

/// Bytes as text: `key` and `raw` where they are UTF-8, else `key_base64` and `raw_base64`; in a
/// table the beginning of the record.
fn readable(batch: &RecordBatch, view: DeadLetterView) -> Result<RecordBatch> {
    use base64::Engine as _;
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if !matches!(field.name().as_str(), "key" | "raw") {
            fields.push(field.as_ref().clone());
            columns.push(column.clone());
            continue;
        }
        let bytes = arrow::compute::cast(column, &DataType::Binary)?;
        let bytes: &BinaryArray = bytes.as_binary();
        fields.push(Field::new(field.name(), DataType::Utf8, true));
        if view == DeadLetterView::People {
            let shown = bytes.iter().map(|bytes| bytes.map(beginning));
            columns.push(Arc::new(shown.collect::<StringArray>()));
            continue;
        }
        let text = bytes.iter().map(|bytes| std::str::from_utf8(bytes?).ok());
        columns.push(Arc::new(text.collect::<StringArray>()));
        let encoded = bytes.iter().map(|bytes| {
            let bytes = bytes.filter(|bytes| std::str::from_utf8(bytes).is_err())?;
            Some(base64::engine::general_purpose::STANDARD.encode(bytes))
        });
        fields.push(Field::new(format!("{}_base64", field.name()), DataType::Utf8, true));
        columns.push(Arc::new(encoded.collect::<StringArray>()));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn beginning(bytes: &[u8]) -> String {
    let text = quote(bytes);
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Sends what is not there yet, unless any line would be a dead letter again.
fn replay(
    def: &Arc<SourceDef>,
    lines: Vec<Line>,
    state: Option<AdmissionState>,
    dry_run: bool,
) -> Result<ReplaySummary> {
    let origins = lines.iter().map(|line| line.message.origin);
    let there: BTreeSet<Position> =
        if lines.is_empty() { BTreeSet::new() } else { replayed(def, origins)? };
    let all = lines.len();
    let rest: Vec<Line> =
        lines.into_iter().filter(|line| !there.contains(&line.message.origin)).collect();
    refuse_dead(def, &rest, state)?;
    let messages: Vec<Repaired> = rest.into_iter().map(|line| line.message).collect();
    if !dry_run && !messages.is_empty() {
        send(def, &messages)?;
    }
    let topic = def.options.topic.clone().unwrap_or_default();
    Ok(ReplaySummary { sent: messages.len(), there: all - messages.len(), topic })
}

/// Judges the messages as the next ones of their partitions, from the last checkpoint on: what
/// would be a dead letter again is refused, all of it together.
fn refuse_dead(def: &Arc<SourceDef>, lines: &[Line], state: Option<AdmissionState>) -> Result<()> {
    let compute = super::definitions::compute(def)?;
    let mut unlimited = SourceDef::clone(def);
    // Broken records among the repaired ones are reported one by one.
    unlimited.options.dead_letter_max_ratio = None;
    let mut intake = Intake::new(Arc::new(unlimited), Judgement::Stream, compute)?;
    if let Some(state) = &state {
        intake.admission_mut().restore(state);
    }
    let positions = intake.positions();
    let mut next: BTreeMap<u32, i64> = positions.iter().map(|p| (p.partition, p.offset)).collect();
    let (mut refused, mut late) = (Vec::new(), false);
    for line in lines {
        let Repaired { origin, key, value } = &line.message;
        let partition = origin.partition;
        let offset = next.entry(partition).or_insert(0);
        let mut messages = Messages::default();
        messages.push(*offset, Some(value), def.options.message_bytes_max);
        messages.set_key(key.as_deref());
        messages.set_timestamp(Some(clock::wall_now()));
        *offset += 1;
        let records = Records::Messages(messages);
        let mut judged = Vec::new();
        intake.take(&Chunk { partition, records, next_offset: *offset }, &mut judged)?;
        for dead in judged.iter().filter_map(|admitted| admitted.dead.as_ref()) {
            let reason = dead["reason"].as_string::<i32>().value(0);
            let message = dead["message"].as_string::<i32>().value(0);
            late |= reason == "late";
            refused.push(format!("line {}: {reason}: {message}", line.number));
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let count = refused.len();
    refused.truncate(REFUSED_SHOWN);
    let hint = match late {
        true => {
            "a late record cannot enter the stream again: what it would change is final. It can \
             be computed with in a batch: add its row to complete history (Parquet without \
             _partition and _offset columns), make a source with that 'history', and backfill"
        }
        false => "repair these lines, or leave them out",
    };
    Err(Error::data(format!(
        "{count} of {} messages would be dead letters again; nothing was sent\n  {}",
        lines.len(),
        refused.join("\n  ")
    ))
    .with_hint(hint))
}
