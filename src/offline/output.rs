//! What a command writes for its user (backfill, training sets): one Parquet file or a directory
//! of them, whole or not at all. Existing output is replaced only when told to, and never a
//! directory that holds anything but Parquet. Must never hold more than a row group per part.

use std::path::{Path as FsPath, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use object_store::buffered::BufWriter;
use parquet::arrow::AsyncArrowWriter;
use parquet::arrow::async_writer::AsyncFileWriter;
use tokio::task::JoinSet;

use crate::error::{Error, Result};
use crate::offline::layout::STAGING;
use crate::offline::parquet_file::{Metadata, properties};
use crate::offline::store::Location;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputSummary {
    pub rows: u64,
    pub files: u64,
    pub bytes: u64,
}

/// Where a command writes, checked before it starts to work.
#[derive(Clone, Debug)]
pub struct OutputTarget {
    location: Location,
    /// The URL ends in `.parquet`.
    single: bool,
    overwrite: bool,
}

type Sink = Box<dyn AsyncFileWriter>;

/// A part being written: its writer, and what is known when it ends.
struct Part {
    writer: AsyncArrowWriter<Sink>,
    /// Below the output directory; empty for a single file.
    name: String,
    /// On this machine's disk.
    local: Option<PathBuf>,
}

impl OutputTarget {
    /// A URL that ends in `.parquet` is one file, any other a directory. Refuses existing output
    /// unless `overwrite`, and what cannot be output at all.
    pub async fn open(url: &str, overwrite: bool) -> Result<Self> {
        let single = url.ends_with(".parquet");
        let target = Self { location: Location::resolve(url)?, single, overwrite };
        target.check().await?;
        Ok(target)
    }

    pub fn url(&self) -> &str {
        self.location.url()
    }

    /// Writes every stream to its end and makes the output appear. The parts of a directory
    /// follow the streams (`part-00000.parquet` …; a stream without rows has none); in a single
    /// file one stream keeps its order, several are merged as they come.
    pub async fn write(
        &self,
        schema: SchemaRef,
        streams: Vec<SendableRecordBatchStream>,
        metadata: &Metadata,
    ) -> Result<OutputSummary> {
        let pending = Pending::new(self)?;
        let parts = match self.single {
            true => pending.place.single(&schema, streams, metadata).await,
            false => pending.place.directory(&schema, streams, metadata).await,
        };
        let parts = parts?;
        let replaced = self.check().await?;
        let names: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
        let summary = close(parts).await?;
        pending.appear(self).await?;
        if self.location.local().is_none() && !self.single {
            // Objects of the same name were replaced; the other old ones go.
            for old in replaced.iter().filter(|old| !names.contains(old)) {
                self.location.files().delete(old).await?;
            }
        }
        Ok(summary)
    }

    /// Whether what is there may be replaced; gives its paths.
    async fn check(&self) -> Result<Vec<String>> {
        let url = self.location.url();
        let files = self.location.files();
        let old = match (self.location.local(), self.single) {
            (Some(path), true) if path.is_dir() => {
                return Err(Error::usage(format!("{url} is a directory"))
                    .with_hint("name a file, or a directory that does not end in .parquet"));
            }
            (Some(path), false) if path.is_file() => {
                return Err(Error::usage(format!("{url} is a file"))
                    .with_hint("end the name in .parquet to write one file"));
            }
            (Some(path), true) => path.exists().then(String::new).into_iter().collect(),
            (None, true) => files.length("").await?.map(|_| String::new()).into_iter().collect(),
            (_, false) => {
                let found = files.list("").await?;
                found.into_iter().map(|file| file.path).collect::<Vec<_>>()
            }
        };
        let own = |p: &String| self.single || p.ends_with(".parquet") || p.starts_with(STAGING);
        if let Some(foreign) = old.iter().find(|path| !own(path)) {
            let what = format!("{url} holds `{foreign}`, which is not Parquet output");
            return Err(Error::usage(what).with_hint("choose an empty or a new directory"));
        }
        if !old.is_empty() && !self.overwrite {
            return Err(Error::usage(format!("{url} exists already"))
                .with_hint("add --overwrite to replace it"));
        }
        Ok(old)
    }
}

/// Where the parts are until the output appears.
#[derive(Clone)]
enum Place {
    /// A hidden sibling on the same disk.
    Local(PathBuf),
    /// Uploads become visible one by one when they are completed, all after the last row.
    Remote(Location),
}

/// An output on its way; dropped early, it removes what it can.
struct Pending {
    place: Place,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Place::Local(hidden) = &self.place {
            // Nothing is left after the rename; after an error nothing should stay.
            let _ = std::fs::remove_file(hidden);
            let _ = std::fs::remove_dir_all(hidden);
        }
    }
}

impl Pending {
    fn new(target: &OutputTarget) -> Result<Self> {
        let Some(path) = target.location.local() else {
            return Ok(Self { place: Place::Remote(target.location.clone()) });
        };
        let hidden = sibling(path, "partial")?;
        let named = |e: std::io::Error| Error::from(e).context(target.url());
        if let Some(parent) = hidden.parent() {
            std::fs::create_dir_all(parent).map_err(named)?;
        }
        // Left by a command that was killed.
        if hidden.is_dir() {
            std::fs::remove_dir_all(&hidden).map_err(named)?;
        }
        if !target.single {
            std::fs::create_dir(&hidden).map_err(named)?;
        }
        Ok(Self { place: Place::Local(hidden) })
    }

    /// Gives the output its name, replacing what was there.
    async fn appear(&self, target: &OutputTarget) -> Result<()> {
        let (Place::Local(hidden), Some(path)) = (&self.place, target.location.local()) else {
            return Ok(());
        };
        let (hidden, path, single) = (hidden.clone(), path.to_owned(), target.single);
        let moved = tokio::task::spawn_blocking(move || swap(&hidden, &path, single));
        let moved = moved.await.map_err(|e| Error::internal(e.to_string()))?;
        moved.map_err(|e| Error::from(e).context(target.url()))
    }
}

impl Place {
    /// Opens a part; `name` is empty for a single file.
    async fn part(&self, name: &str, schema: &SchemaRef, metadata: &Metadata) -> Result<Part> {
        let (sink, local): (Sink, Option<PathBuf>) = match self {
            Self::Local(hidden) => {
                let path = if name.is_empty() { hidden.clone() } else { hidden.join(name) };
                (Box::new(tokio::fs::File::create(&path).await?), Some(path))
            }
            Self::Remote(location) => {
                let at = if name.is_empty() { location.clone() } else { location.child(name)? };
                let upload = BufWriter::new(at.object_store().clone(), at.prefix().clone());
                (Box::new(upload), None)
            }
        };
        let settings = properties(schema, metadata).as_ref().clone();
        let writer = AsyncArrowWriter::try_new(sink, schema.clone(), Some(settings))?;
        Ok(Part { writer, name: name.to_owned(), local })
    }

    async fn single(
        &self,
        schema: &SchemaRef,
        mut streams: Vec<SendableRecordBatchStream>,
        metadata: &Metadata,
    ) -> Result<Vec<Part>> {
        let mut part = self.part("", schema, metadata).await?;
        if streams.len() == 1 {
            let mut only = streams.remove(0);
            while let Some(batch) = only.next().await {
                part.writer.write(&batch?).await?;
            }
            return Ok(vec![part]);
        }
        // Every stream has a task, so that none waits for the others' rows to be written.
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<Result<RecordBatch>>(4);
        let mut tasks = JoinSet::new();
        for mut stream in streams {
            let sender = sender.clone();
            tasks.spawn(async move {
                while let Some(batch) = stream.next().await {
                    if sender.send(batch.map_err(Error::from)).await.is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        while let Some(batch) = receiver.recv().await {
            part.writer.write(&batch?).await?;
        }
        joined(tasks).await?;
        Ok(vec![part])
    }

    async fn directory(
        &self,
        schema: &SchemaRef,
        streams: Vec<SendableRecordBatchStream>,
        metadata: &Metadata,
    ) -> Result<Vec<Part>> {
        let mut tasks = JoinSet::new();
        for (number, stream) in streams.into_iter().enumerate() {
            let (place, schema, metadata) = (self.clone(), schema.clone(), metadata.clone());
            tasks.spawn(async move { place.fill(number, stream, &schema, &metadata).await });
        }
        let mut parts = Vec::new();
        for part in joined(tasks).await? {
            parts.extend(part?);
        }
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        if parts.is_empty() {
            // A directory without rows still says what its columns are.
            parts.push(self.part(&part_name(0), schema, metadata).await?);
        }
        Ok(parts)
    }

    /// Drains a stream into its part, which is opened with the first row.
    async fn fill(
        &self,
        number: usize,
        mut stream: SendableRecordBatchStream,
        schema: &SchemaRef,
        metadata: &Metadata,
    ) -> Result<Option<Part>> {
        let mut part = None;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            if part.is_none() {
                part = Some(self.part(&part_name(number), schema, metadata).await?);
            }
            if let Some(part) = &mut part {
                part.writer.write(&batch).await?;
            }
        }
        Ok(part)
    }
}

fn part_name(number: usize) -> String {
    format!("part-{number:05}.parquet")
}

/// `.name.<suffix>` beside a path.
fn sibling(path: &FsPath, suffix: &str) -> Result<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        Error::usage(format!("`{}` cannot be written as a whole", path.display()))
            .with_hint("name a new directory or a file that ends in .parquet")
    })?;
    Ok(path.with_file_name(format!(".{name}.{suffix}")))
}

/// Puts the finished output in place; the old one goes only after the new one is there.
fn swap(hidden: &FsPath, path: &FsPath, single: bool) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or(FsPath::new("/"));
    if single || !path.exists() {
        std::fs::rename(hidden, path)?;
    } else {
        let old = sibling(path, "old").map_err(std::io::Error::other)?;
        std::fs::rename(path, &old)?;
        if let Err(e) = std::fs::rename(hidden, path) {
            std::fs::rename(&old, path)?;
            return Err(e);
        }
        std::fs::remove_dir_all(&old)?;
    }
    std::fs::File::open(parent)?.sync_all()
}

async fn joined<T: 'static>(mut tasks: JoinSet<T>) -> Result<Vec<T>> {
    let mut done = Vec::with_capacity(tasks.len());
    while let Some(result) = tasks.join_next().await {
        done.push(result.map_err(|e| Error::internal(format!("a part did not finish: {e}")))?);
    }
    Ok(done)
}

/// Ends every part; local files are durable afterwards.
async fn close(parts: Vec<Part>) -> Result<OutputSummary> {
    let mut summary = OutputSummary::default();
    for mut part in parts {
        let footer = part.writer.finish().await?;
        summary.rows += footer.file_metadata().num_rows() as u64;
        summary.files += 1;
        summary.bytes += part.writer.bytes_written() as u64;
        if let Some(path) = &part.local {
            tokio::fs::File::open(path).await?.sync_all().await?;
        }
    }
    Ok(summary)
}

#[cfg(test)]
mod tests;
