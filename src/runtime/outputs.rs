//! What an engine writes at checkpoints: final rows per feature, archive and dead letters per
//! source. Called by `committer` only.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use crate::clock;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::limits::OFFLINE_BYTES_MAX;
use crate::model::epoch::Epoch;
use crate::offline::writer::{DatedWriter, PreparedFile};
use crate::runtime::task::CommitMessage;
use crate::source::dead_topic::DeadTopic;

/// One writer and when its rows are due.
#[derive(Debug)]
pub struct Output {
    writer: DatedWriter,
    interval: Duration,
    written: Instant,
}

impl Output {
    pub fn new(writer: DatedWriter, interval: Duration) -> Self {
        Self { writer, interval, written: clock::monotonic() }
    }

    fn due(&self) -> bool {
        self.written.elapsed() >= self.interval || self.writer.bytes() >= OFFLINE_BYTES_MAX
    }
}

/// All writers of an engine, by number of feature or source; `None` = not kept.
#[derive(Debug)]
pub struct Outputs {
    pub features: Vec<Option<Output>>,
    pub archives: Vec<Option<Output>>,
    pub dead: Vec<DeadLetters>,
}

/// Where the dead letters of a source go.
#[derive(Debug)]
pub enum DeadLetters {
    Files(Box<Output>),
    /// Sent when the next epoch is prepared.
    Topic(DeadTopic, Vec<RecordBatch>),
}

/// Rows of one output that the state of an epoch holds because no file does.
#[derive(Debug)]
pub struct Carried {
    pub id: OutputId,
    /// They come on top of those that the last epoch holds.
    pub adds: bool,
    pub rows: Vec<RecordBatch>,
}

/// An output whose rows are carried from one epoch to the next instead of being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutputId {
    Feature(usize),
    Archive(usize),
    Dead(usize),
}

impl Outputs {
    /// Takes rows in.
    pub fn push(&mut self, message: CommitMessage) -> Result<()> {
        let (id, rows) = match message {
            CommitMessage::Finals { feature, rows, .. } => (OutputId::Feature(feature), rows),
            CommitMessage::Archive { source, rows } => (OutputId::Archive(source), rows),
            CommitMessage::Dead { source, rows } => (OutputId::Dead(source), rows),
            other => panic_free(other)?,
        };
        self.take(id, &rows)
    }

    /// Takes rows in; also rows that an earlier epoch carried.
    pub fn take(&mut self, id: OutputId, rows: &RecordBatch) -> Result<()> {
        if let OutputId::Dead(number) = id
            && let DeadLetters::Topic(_, waiting) = &mut self.dead[number]
        {
            waiting.push(rows.clone());
            return Ok(());
        }
        let Some(output) = self.output(id) else { return Ok(()) };
        if let OutputId::Archive(_) = id {
            return output.writer.write(&archived(output.writer.schema(), rows)?);
        }
        output.writer.write(rows)
    }

    fn output(&mut self, id: OutputId) -> Option<&mut Output> {
        match id {
            OutputId::Feature(number) => self.features[number].as_mut(),
            OutputId::Archive(number) => self.archives[number].as_mut(),
            OutputId::Dead(number) => match &mut self.dead[number] {
                DeadLetters::Files(output) => Some(output.as_mut()),
                DeadLetters::Topic(..) => None,
            },
        }
    }

    fn all(&mut self) -> impl Iterator<Item = (OutputId, &mut Output)> {
        let features = self.features.iter_mut().enumerate();
        let features = features.filter_map(|(i, o)| o.as_mut().map(|o| (OutputId::Feature(i), o)));
        let archives = self.archives.iter_mut().enumerate();
        let archives = archives.filter_map(|(i, o)| o.as_mut().map(|o| (OutputId::Archive(i), o)));
        let dead = self.dead.iter_mut().enumerate().filter_map(|(i, o)| match o {
            DeadLetters::Files(output) => Some((OutputId::Dead(i), output.as_mut())),
            DeadLetters::Topic(..) => None,
        });
        features.chain(archives).chain(dead)
    }

    /// Stages what is due (or everything) for an epoch.
    pub async fn prepare(&mut self, epoch: Epoch, everything: bool) -> Result<Vec<PreparedFile>> {
        failpoint::pass("sink.prepare")?;
        self.send_dead_letters().await?;
        let mut files = Vec::new();
        for (_, output) in self.all() {
            if output.writer.rows() > 0 && (everything || output.due()) {
                files.extend(output.writer.prepare(epoch).await?);
                output.written = clock::monotonic();
            } else {
                files.extend(output.writer.take_staged());
            }
        }
        Ok(files)
    }

    /// Writes what has become large ahead of `epoch`, which prepares it.
    pub async fn stage_large(&mut self, epoch: Epoch) -> Result<()> {
        for (_, output) in self.all() {
            if output.writer.bytes() >= OFFLINE_BYTES_MAX {
                output.writer.stage(epoch).await?;
            }
        }
        Ok(())
    }

    /// Letters on their way to a topic: they are there before the epoch is.
    async fn send_dead_letters(&mut self) -> Result<()> {
        for dead in &mut self.dead {
            let DeadLetters::Topic(topic, waiting) = dead else { continue };
            if waiting.is_empty() {
                continue;
            }
            let (topic, letters) = (topic.clone(), std::mem::take(waiting));
            let sent = tokio::task::spawn_blocking(move || topic.send(&letters)).await;
            sent.map_err(|e| Error::internal(format!("sending dead letters: {e}")))??;
        }
        Ok(())
    }

    /// The rows of one output that no file holds yet.
    pub fn waiting(&mut self, id: OutputId) -> Vec<RecordBatch> {
        let output = self.output(id);
        output.map_or_else(Vec::new, |output| output.writer.carried().cloned().collect())
    }

    /// The rows that stay for a later epoch, for the state of this one: what is new, or all of
    /// them where `whole` says so.
    pub fn carried(&mut self, whole: impl Fn(OutputId) -> bool) -> Vec<Carried> {
        if failpoint::broken("forget carried rows") {
            return Vec::new();
        }
        let carried = self.all().map(|(id, output)| {
            let (adds, rows) = output.writer.save(whole(id));
            Carried { id, adds, rows }
        });
        carried.filter(|carried| carried.adds || !carried.rows.is_empty()).collect()
    }

    /// Estimate of the bytes of the rows that wait to be written.
    pub fn bytes(&self) -> usize {
        let files = self.features.iter().chain(&self.archives).flatten();
        let files = files.map(|output| output.writer.bytes());
        let dead = self.dead.iter().map(|dead| match dead {
            DeadLetters::Files(output) => output.writer.bytes(),
            DeadLetters::Topic(_, waiting) => {
                waiting.iter().map(RecordBatch::get_array_memory_size).sum()
            }
        });
        files.sum::<usize>() + dead.sum::<usize>()
    }
}

/// The columns of an admitted batch that the archive keeps.
fn archived(schema: &arrow::datatypes::SchemaRef, rows: &RecordBatch) -> Result<RecordBatch> {
    if rows.schema_ref().fields().len() == schema.fields().len() {
        return Ok(rows.clone());
    }
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(rows.column(rows.schema_ref().index_of(field.name())?).clone());
    }
    Ok(RecordBatch::try_new(schema.clone(), columns)?)
}

fn panic_free(message: CommitMessage) -> Result<(OutputId, RecordBatch)> {
    Err(Error::internal(format!("{message:?} holds no rows")))
}
