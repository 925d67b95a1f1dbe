//! Where files are: a path, directory or glob, local or on S3. Lists files in byte order of path
//! and opens them for reading. Remote reads run on a thread with a small runtime of its own, so
//! that everything above sees plain blocking readers and batches.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::arrow_reader::{ArrowReaderBuilder, ParquetRecordBatchReaderBuilder};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::error::{Error, Result};

/// Pieces read ahead of the consumer.
const READ_AHEAD: usize = 4;

/// One file that exists.
#[derive(Clone, Debug)]
pub struct FileEntry {
    /// As shown in errors; local path or URL. Files are ordered by its bytes.
    pub name: String,
    pub bytes: u64,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Local(PathBuf),
    Remote(Arc<dyn ObjectStore>, object_store::path::Path),
}

/// Batches of a Parquet file, in order.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Which rows and columns of a Parquet file to read.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    pub columns: &'a [String],
    pub skip_rows: usize,
    pub batch_rows: usize,
}

/// The files at `path` (a file, a directory with everything below it, or a glob; local, `file://`
/// or `s3://`), by bytes of their path. Names starting with `.` or `_` below a directory are not
/// data. Nothing there at all is an error.
pub fn list_files(path: &str) -> Result<Vec<FileEntry>> {
    let mut files = match path.split_once("://") {
        None => list_local(Path::new(path), path)?,
        Some(("file", _)) => {
            let local = url::Url::parse(path).ok().and_then(|url| url.to_file_path().ok());
            let local = local.ok_or_else(|| {
                Error::usage(format!("'{path}' is not a file URL"))
                    .with_hint("write file:///absolute/path, or a plain path")
            })?;
            list_local(&local, path)?
        }
        Some(("s3" | "s3a", rest)) => list_s3(path, rest)?,
        Some((scheme, _)) => {
            return Err(Error::not_supported(format!("files at {scheme}:// ('{path}')"))
                .with_hint("use a local path, file:// or s3://"));
        }
    };
    files.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Ok(files)
}

fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn is_data(name: &str) -> bool {
    !name.starts_with(['.', '_'])
}

fn missing(path: &str) -> Error {
    Error::data(format!("there is no file at '{path}'"))
        .with_hint("check the option 'path'; relative paths start at the current directory")
}

fn list_local(path: &Path, shown: &str) -> Result<Vec<FileEntry>> {
    let mut files = Vec::new();
    let text = path.to_string_lossy();
    if path.is_dir() {
        walk(path, &mut files)?;
    } else if path.exists() {
        files.push(local_entry(path)?);
    } else if is_glob(&text) {
        let paths = glob::glob(&text)
            .map_err(|error| Error::usage(format!("'{shown}' is not a glob: {error}")))?;
        for found in paths {
            let found = found.map_err(|error| Error::unavailable(error.to_string()))?;
            if found.is_file() {
                files.push(local_entry(&found)?);
            }
        }
        if files.is_empty() {
            return Err(missing(shown));
        }
    } else {
        return Err(missing(shown));
    }
    Ok(files)
}

fn local_entry(path: &Path) -> Result<FileEntry> {
    let name = path.to_string_lossy().into_owned();
    let bytes = path.metadata().map_err(|e| Error::from(e).context(&name))?.len();
    Ok(FileEntry { name, bytes, place: Place::Local(path.to_path_buf()) })
}

fn walk(directory: &Path, files: &mut Vec<FileEntry>) -> Result<()> {
    let named = |e: std::io::Error| Error::from(e).context(directory.display());
    for entry in directory.read_dir().map_err(named)? {
        let entry = entry.map_err(named)?;
        if !is_data(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(local_entry(&path)?);
        }
    }
    Ok(())
}

fn list_s3(path: &str, rest: &str) -> Result<Vec<FileEntry>> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let store: Arc<dyn ObjectStore> =
        Arc::new(AmazonS3Builder::from_env().with_bucket_name(bucket).build()?);
    let pattern = match is_glob(key) {
        false => None,
        true => Some(
            glob::Pattern::new(key)
                .map_err(|error| Error::usage(format!("'{path}' is not a glob: {error}")))?,
        ),
    };
    // Prefixes are whole path segments: up to the one with the first wildcard.
    let fixed = key.split('/').take_while(|part| !is_glob(part)).collect::<Vec<_>>().join("/");
    let prefix = object_store::path::Path::from(fixed.trim_end_matches('/'));
    let listing = Arc::clone(&store);
    let found = on_runtime(async move {
        let mut objects: Vec<_> = listing.list(Some(&prefix)).try_collect().await?;
        if objects.is_empty()
            && let Ok(object) = listing.head(&prefix).await
        {
            objects.push(object);
        }
        Ok(objects)
    })?;
    let options =
        glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    let wanted = |location: &str| match &pattern {
        Some(pattern) => pattern.matches_with(location, options),
        None => {
            let below = location.strip_prefix(&fixed).unwrap_or(location);
            below.split('/').all(is_data)
        }
    };
    let files: Vec<_> = found
        .into_iter()
        .filter(|object| wanted(object.location.as_ref()))
        .map(|object| FileEntry {
            name: format!("s3://{bucket}/{}", object.location),
            bytes: object.size,
            place: Place::Remote(Arc::clone(&store), object.location),
        })
        .collect();
    if files.is_empty() { Err(missing(path)) } else { Ok(files) }
}

/// Runs a future to its end on a thread of its own, because the caller may be on a runtime.
fn on_runtime<T: Send>(future: impl Future<Output = Result<T>> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| runtime()?.block_on(future));
        thread.join().unwrap_or_else(|_| Err(Error::internal("the reading thread panicked")))
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

impl FileEntry {
    /// The bytes of the file, from the start.
    pub fn open(&self) -> Result<Box<dyn Read + Send>> {
        match &self.place {
            Place::Local(path) => {
                let file = File::open(path).map_err(|e| Error::from(e).context(&self.name))?;
                Ok(Box::new(file))
            }
            Place::Remote(store, path) => {
                let (store, path) = (Arc::clone(store), path.clone());
                let pieces = read_ahead(move |sender| async move {
                    let mut stream = store.get(&path).await?.into_stream();
                    while let Some(piece) = stream.next().await {
                        if sender.send(Ok(piece?)).is_err() {
                            break;
                        }
                    }
                    Ok(())
                });
                Ok(Box::new(Pieces { pieces, current: Bytes::new() }))
            }
        }
    }

    /// The rows of a Parquet file, and how many it has in all.
    pub fn open_parquet(&self, selection: &Selection<'_>) -> Result<(Batches, u64)> {
        let named = |e: Error| e.context(&self.name);
        match &self.place {
            Place::Local(path) => {
                let file = File::open(path).map_err(|e| named(Error::from(e)))?;
                let builder = ParquetRecordBatchReaderBuilder::try_new(file)
                    .map_err(|e| named(Error::from(e)))?;
                let rows = row_count(&builder);
                let reader =
                    select(builder, selection).build().map_err(|e| named(Error::from(e)))?;
                let name = self.name.clone();
                let batches = reader.map(move |b| b.map_err(|e| Error::from(e).context(&name)));
                Ok((Box::new(batches), rows))
            }
            Place::Remote(store, path) => {
                let (store, path) = (Arc::clone(store), path.clone());
                let reader = ObjectReader { store, path, bytes: self.bytes };
                let builder =
                    on_runtime(
                        async move { Ok(ParquetRecordBatchStreamBuilder::new(reader).await?) },
                    )
                    .map_err(named)?;
                let rows = row_count(&builder);
                let stream = select(builder, selection).build().map_err(Error::from)?;
                let batches = read_ahead(move |sender| async move {
                    let mut stream = stream;
                    while let Some(batch) = stream.next().await {
                        if sender.send(Ok(batch?)).is_err() {
                            break;
                        }
                    }
                    Ok(())
                });
                Ok((Box::new(batches.into_iter()), rows))
            }
        }
    }
}

fn row_count<T>(builder: &ArrowReaderBuilder<T>) -> u64 {
    u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0)
}

fn select<T>(builder: ArrowReaderBuilder<T>, selection: &Selection<'_>) -> ArrowReaderBuilder<T> {
    let schema = builder.parquet_schema();
    let wanted = schema.root_schema().get_fields().iter().enumerate();
    let roots = wanted
        .filter(|(_, field)| selection.columns.iter().any(|name| name == field.name()))
        .map(|(at, _)| at);
    let mask = ProjectionMask::roots(schema, roots.collect::<Vec<_>>());
    builder
        .with_projection(mask)
        .with_batch_size(selection.batch_rows)
        .with_offset(selection.skip_rows)
}

/// Runs `work` on a thread with a runtime; what it sends can be received here, and its error
/// comes last.
fn read_ahead<T, F>(
    work: impl FnOnce(SyncSender<Result<T>>) -> F + Send + 'static,
) -> Receiver<Result<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<()>>,
{
    let (sender, receiver) = sync_channel(READ_AHEAD);
    std::thread::spawn(move || {
        let last = sender.clone();
        let done = runtime().and_then(|runtime| runtime.block_on(work(sender)));
        if let Err(error) = done {
            // Nobody listens any more: then the error is of no interest either.
            let _ = last.send(Err(error));
        }
    });
    receiver
}

/// Pieces of a remote file as a reader.
struct Pieces {
    pieces: Receiver<Result<Bytes>>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.recv() {
                Ok(Ok(piece)) => self.current = piece,
                Ok(Err(error)) => return Err(std::io::Error::other(error.to_string())),
                Err(_) => return Ok(0),
            }
        }
        let count = self.current.len().min(out.len());
        let piece = self.current.split_to(count);
        if let Some(room) = out.get_mut(..count) {
            room.copy_from_slice(&piece);
        }
        Ok(count)
    }
}

/// Random access to a remote Parquet file of known size.
struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    path: object_store::path::Path,
    bytes: u64,
}

fn foreign(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.store.get_range(&self.path, range).map_err(foreign).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(foreign) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let bytes = self.bytes;
            let metadata = ParquetMetaDataReader::new().load_and_finish(self, bytes).await?;
            Ok(Arc::new(metadata))
        }
        .boxed()
    }
}
