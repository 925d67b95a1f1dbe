//! What an engine sees in a simulation: a log that grows, files in memory that may die with the
//! process, a store of current values that forgets, refuses and remembers what it was given.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::array_value_to_string;
use async_trait::async_trait;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::catalog::define::source_def;
use crate::catalog::define_feature::{feature_def, feature_options};
use crate::catalog::feature::FeatureDef;
use crate::catalog::source::SourceDef;
use crate::checkpoint::store::CheckpointStore;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::format::dead_letter::dead_letter_schema;
use crate::model::batch::{AS_OF_COLUMN, Position};
use crate::model::time::EventTime;
use crate::offline::archive;
use crate::offline::faulty::Fuse;
use crate::offline::layout::{DayOf, engine, is_published};
use crate::offline::store::{Location, Stores};
use crate::offline::writer::{DatedSpec, DatedWriter, abort_after};
use crate::online::store::{Basis, Mark, OnlineFeature, OnlineRow, OnlineStore, Version, Written};
use crate::plan::bind::plan_feature;
use crate::plan::dataflow::FeaturePlan;
use crate::plan::fixture::One;
use crate::runtime::assemble::{OpenSource, Opening, Start};
use crate::runtime::online::Target;
use crate::runtime::outputs::{DeadLetters, Output, Outputs};
use crate::runtime::pipeline::{Pipeline, Planned};
use crate::runtime::resume::{Owner, Resume, resume};
use crate::runtime::saved;
use crate::source::records::{Messages, Records};
use crate::source::source::{Chunk, Polled, Source};
use crate::sql::ast::Statement;
use crate::sql::guard::on_big_stack;
use crate::sql::parser::{parse_query, parse_statements};

/// A log: per partition, messages with their timestamps (µs).
#[derive(Debug, Default)]
pub struct Log {
    pub partitions: Vec<Vec<(Vec<u8>, i64)>>,
    /// How many messages of each partition are there by now.
    pub visible: Vec<usize>,
}

impl Log {
    pub fn show_all(&mut self) {
        self.visible = self.partitions.iter().map(Vec::len).collect();
    }
}

struct LogReader {
    log: Arc<Mutex<Log>>,
    next: Vec<usize>,
    /// Decides how much each poll gives.
    dice: u64,
}

impl LogReader {
    fn positions(counts: &[usize]) -> Vec<Position> {
        let numbered = counts.iter().enumerate();
        numbered.map(|(p, n)| Position { partition: p as u32, offset: *n as i64 }).collect()
    }
}

impl Source for LogReader {
    fn partitions(&self) -> Vec<u32> {
        (0..self.next.len() as u32).collect()
    }

    fn starts(&mut self) -> Result<Vec<Position>> {
        Ok(Self::positions(&vec![0; self.next.len()]))
    }

    fn ends(&mut self) -> Result<Vec<Position>> {
        Ok(Self::positions(&self.log.lock().unwrap().visible))
    }

    fn seek(&mut self, positions: &[Position]) -> Result<()> {
        for position in positions {
            self.next[position.partition as usize] = position.offset.max(0) as usize;
        }
        Ok(())
    }

    fn poll(&mut self, _: usize, _: Duration) -> Result<Polled> {
        let log = self.log.lock().unwrap();
        let mut chunks = Vec::new();
        for (partition, next) in self.next.iter_mut().enumerate() {
            self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let most = (self.dice >> 33) as usize % 9;
            let end = log.visible[partition].min(*next + most);
            if end <= *next {
                continue;
            }
            let mut messages = Messages::default();
            for (at, (value, timestamp)) in
                log.partitions[partition].iter().enumerate().take(end).skip(*next)
            {
                messages.push(at as i64, Some(value), 1 << 20);
                messages.set_timestamp(Some(EventTime(*timestamp)));
            }
            *next = end;
            let (partition, next_offset) = (partition as u32, end as i64);
            let records = Records::Messages(messages);
            chunks.push(Chunk { partition, records, next_offset });
        }
        Ok(Polled { chunks, gaps: Vec::new(), end_of_input: false })
    }
}

/// Values of one entity as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub version: Version,
    pub as_of: i64,
    pub values: String,
}

/// A write on its way.
#[derive(Clone, Debug)]
struct Command {
    feature: OnlineFeature,
    rows: RecordBatch,
    version: Version,
    basis: Basis,
}

/// A store of current values.
#[derive(Debug, Default)]
pub struct Values {
    /// By (feature, key).
    pub held: BTreeMap<(String, String), Held>,
    pub marks: BTreeMap<String, Mark>,
    /// The next writes fail.
    pub failures: usize,
    /// The next writes come a second time, later.
    pub echoes: usize,
    late: Vec<Command>,
    /// Everything that must never happen.
    pub complaints: Vec<String>,
    /// By (feature, key): the greatest `_as_of` ever shown since the store was last emptied.
    shown: BTreeMap<(String, String), i64>,
    /// Rows that were known when the newest value of that `_as_of` was shown.
    counts: BTreeMap<(String, String), (i64, i64)>,
}

impl Values {
    pub fn forget(&mut self) {
        // A store that restarts empty has closed its connections.
        self.late.clear();
        self.held.clear();
        self.marks.clear();
        self.shown.clear();
        self.counts.clear();
    }
}

#[derive(Debug)]
pub struct ValueStore(pub Arc<Mutex<Values>>);

#[async_trait]
impl OnlineStore for ValueStore {
    async fn write(
        &self,
        feature: &OnlineFeature,
        rows: &RecordBatch,
        version: Version,
        basis: &Basis,
    ) -> Result<Written> {
        let mut values = self.0.lock().unwrap();
        if values.failures > 0 {
            values.failures -= 1;
            return Err(Error::unavailable("the store does not answer"));
        }
        let command =
            Command { feature: feature.clone(), rows: rows.clone(), version, basis: basis.clone() };
        if values.echoes > 0 {
            values.echoes -= 1;
            values.late.push(command.clone());
        }
        values.write(&command)
    }

    async fn mark(&self, feature: &OnlineFeature) -> Result<Option<Mark>> {
        Ok(self.0.lock().unwrap().marks.get(&feature.mark_key()).cloned())
    }

    async fn claim(&self, feature: &OnlineFeature, generation: u64) -> Result<()> {
        let mut values = self.0.lock().unwrap();
        let mark = values.marks.entry(feature.mark_key()).or_default();
        if mark.generation > generation {
            return Err(Error::new(Kind::Fenced, "taken over"));
        }
        mark.generation = generation;
        Ok(())
    }

    async fn read(&self, _: &OnlineFeature, _: &[ArrayRef]) -> Result<Vec<Option<OnlineRow>>> {
        Err(Error::internal("nobody reads here"))
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}

impl Values {
    /// A command that was sent twice, on two connections, comes for the second time.
    pub fn arrive(&mut self, at: usize) {
        if !self.late.is_empty() {
            let command = self.late.remove(at % self.late.len());
            // Nobody waits for this answer.
            let _ = self.write(&command);
        }
    }

    fn write(&mut self, command: &Command) -> Result<Written> {
        let Command { feature, rows, version, basis } = command;
        let (version, values) = (*version, self);
        let mut written = Written::default();
        let Some(mark) = values.marks.get_mut(&feature.mark_key()) else {
            return Ok(Written { lost: true, ..written });
        };
        if mark.generation > version.generation {
            return Err(Error::new(Kind::Fenced, "taken over"));
        }
        for (partition, offset) in &basis.positions {
            let known = mark.positions.entry(*partition).or_insert(*offset);
            *known = (*known).max(*offset);
        }
        mark.refreshed = mark.refreshed.max(basis.refreshed);
        let times = rows.column_by_name(AS_OF_COLUMN).unwrap();
        let times = times.as_primitive::<TimestampMicrosecondType>().values();
        for row in 0..rows.num_rows() {
            let text = |name: &String| {
                array_value_to_string(rows.column_by_name(name).unwrap(), row).unwrap()
            };
            let key: Vec<String> = feature.key_columns.iter().map(text).collect();
            let names: Vec<String> =
                feature.values.fields().iter().map(|f| f.name().clone()).collect();
            let shown: Vec<String> = names.iter().map(text).collect();
            let id = (feature.name.clone(), key.join(","));
            let new = Held { version, as_of: times[row], values: shown.join(",") };
            let backwards = failpoint::broken("write older values over newer ones");
            let applies = backwards
                || values
                    .held
                    .get(&id)
                    .is_none_or(|old| new.version > old.version && new.as_of >= old.as_of);
            if !applies {
                written.stale += 1;
                continue;
            }
            values.watch(&id, &new);
            values.held.insert(id, new);
            written.applied += 1;
        }
        Ok(written)
    }

    /// Readers must never see time go back, nor, at one time, fewer rows than before: the first
    /// value of every feature of a simulation is a count over all rows of the key so far.
    fn watch(&mut self, id: &(String, String), new: &Held) {
        let shown = self.shown.entry(id.clone()).or_insert(i64::MIN);
        if new.as_of < *shown {
            self.complaints.push(format!("{id:?}: as of {} after {shown}", new.as_of));
        }
        *shown = (*shown).max(new.as_of);
        let count = new.values.split(',').next().and_then(|n| n.parse::<i64>().ok()).unwrap_or(0);
        let known = self.counts.entry(id.clone()).or_insert((i64::MIN, 0));
        // What a window with a `ttl` shows at a serving time may be a later, smaller window.
        if id.0 != "brief" && known.0 == new.as_of && count < known.1 {
            self.complaints.push(format!("{id:?}: {count} rows after {} at one time", known.1));
        }
        *known = (new.as_of, count);
    }
}

/// Everything around the engine.
pub struct World {
    pub log: Arc<Mutex<Log>>,
    pub values: Arc<Mutex<Values>>,
    disk: Arc<object_store::memory::InMemory>,
    pub source: Arc<SourceDef>,
    pub features: Vec<Arc<FeatureDef>>,
    dice: AtomicU64,
}

/// Definitions are planned with their options, as the command line does it.
fn with_ttl(plan: FeaturePlan, ttl_us: Option<i64>) -> FeaturePlan {
    match ttl_us {
        Some(ttl_us) => plan.with_ttl(ttl_us),
        None => plan,
    }
}

fn no_env(_: &str) -> Option<String> {
    None
}

impl World {
    /// `sql` holds one source over Kafka and features over it.
    pub fn new(sql: &str, log: Log, seed: u64) -> Self {
        let (mut source, mut features) = (None, Vec::new());
        for statement in parse_statements(sql).unwrap() {
            match statement {
                Statement::CreateSource(create) => {
                    let infer = &crate::plan::computed::infer;
                    source = Some(Arc::new(source_def(&create, &no_env, infer).unwrap()));
                }
                Statement::CreateFeature(create) => {
                    let lookup = One(source.clone().unwrap());
                    let name = &create.name.value;
                    let plan =
                        on_big_stack(|| plan_feature(&lookup, name, 1, &create.query)).unwrap();
                    let options = feature_options(&create, &no_env).unwrap();
                    let plan = with_ttl(plan, options.ttl_us);
                    let def = feature_def(&create, 1, plan.fingerprint, &no_env).unwrap();
                    features.push(Arc::new(def));
                }
                other => panic!("{other:?}"),
            }
        }
        Self {
            log: Arc::new(Mutex::new(log)),
            values: Arc::default(),
            disk: Arc::default(),
            source: source.unwrap(),
            features,
            dice: AtomicU64::new(seed),
        }
    }

    pub fn place(&self, path: &str) -> Location {
        Location::on_object_store(self.disk.clone(), "s3://world", path.into())
    }

    fn planned(&self, manifest: Option<&crate::checkpoint::manifest::Manifest>) -> Vec<Planned> {
        let plan = |def: &Arc<FeatureDef>| {
            let lookup = One(self.source.clone());
            let query = parse_query(&def.query).unwrap();
            let plan = on_big_stack(|| plan_feature(&lookup, &def.name, 1, &query)).unwrap();
            Planned {
                plan: with_ttl(plan, def.options.ttl_us),
                query: def.query.clone(),
                source: self.source.clone(),
                start: saved::start_of(manifest, &def.name, 1, false),
                feature: Some(def.clone()),
            }
        };
        self.features.iter().map(plan).collect()
    }

    fn output(&self, place: &str, fuse: &Fuse, stores: &Stores) -> Location {
        let location = fuse.wrap(self.place(place));
        stores.insert(location.clone());
        location
    }

    /// The places of outputs: features in the order of a pipeline, then archive and dead letters.
    pub fn outputs(&self) -> Vec<String> {
        let folder = |name: &String| format!("offline/{}", Self::feature_folder(name));
        let mut places: Vec<String> = self.features.iter().map(|f| folder(&f.name)).collect();
        places.sort();
        places.extend(["history".to_owned(), "dead".to_owned()]);
        places
    }

    fn feature_folder(name: &str) -> String {
        crate::offline::layout::feature_folder(name, 1)
    }

    /// A new life: recovers from the disk and connects the parts. Changes to files count towards
    /// the fuse, the first of them those of the recovery. `meddle` is what others do between the
    /// look at what is there and the takeover.
    pub async fn start(
        &self,
        fuse: &Fuse,
        lanes: usize,
        meddle: &mut (dyn FnMut() + Send),
    ) -> Result<Start> {
        let stores = Arc::new(Stores::default());
        let places: Vec<Location> =
            self.outputs().iter().map(|place| self.output(place, fuse, &stores)).collect();
        let checkpoints = fuse.wrap(self.place("checkpoints"));
        let mut checkpoints = CheckpointStore::at(checkpoints, stores);
        let recovered = checkpoints.latest().await?;
        let manifest = recovered.as_ref().map(|r| r.manifest.clone());
        let pipeline = Arc::new(Pipeline::build(self.planned(manifest.as_ref()))?);
        let mut targets = BTreeMap::new();
        for (number, feature) in pipeline.features.iter().enumerate() {
            let template = &feature.def.options.online_key;
            let feature = OnlineFeature::of(&feature.plan, template)?;
            targets.insert(number, Target { feature, store: self.store() });
        }
        let dice = self.dice.load(Ordering::Relaxed).wrapping_mul(25).wrapping_add(7);
        self.dice.store(dice, Ordering::Relaxed);
        let (log, def) = (self.log.clone(), self.source.clone());
        let count = log.lock().unwrap().partitions.len();
        let open = async || {
            // A runtime of its own, inside of this one: on a thread of its own.
            let met = std::thread::scope(|scope| scope.spawn(meddle).join());
            met.unwrap_or_else(|panic| std::panic::resume_unwind(panic));

            let source = Box::new(LogReader { log, next: vec![0; count], dice });
            let manifest = manifest.as_ref();
            let opening = Opening { def, compute: None, manifest, until_end: false };
            Ok(vec![OpenSource::open(source, opening)?])
        };
        let features = pipeline.clone();
        let outputs = async |owner| self.open_outputs(&features, &places, owner).await;
        let from = Resume {
            pipeline: pipeline.clone(),
            checkpoints: &mut checkpoints,
            recovered: recovered.as_ref(),
            targets: &targets,
            defined: &|_: &str| true,
        };
        let resumed = resume(from, open, outputs).await?;
        Ok(Start {
            sources: resumed.sources,
            state: resumed.state,
            outputs: resumed.outputs,
            targets,
            checkpoints,
            epoch: resumed.epoch,
            parked: resumed.parked,
            generation: resumed.generation,
            lanes,
            checkpoint_interval: Duration::MAX,
            at_end: None,
            pipeline,
        })
    }

    fn store(&self) -> Arc<dyn OnlineStore> {
        Arc::new(ValueStore(self.values.clone()))
    }

    async fn open_outputs(
        &self,
        pipeline: &Pipeline,
        places: &[Location],
        owner: Owner,
    ) -> Result<Outputs> {
        let writer = engine(owner.generation);
        for place in places {
            abort_after(place, owner.committed, owner.generation).await?;
        }
        // Features write at every checkpoint, the archive never before the end: carried rows.
        let often = Duration::ZERO;
        let seldom = Duration::from_secs(1 << 20);
        let mut places = places.iter();
        let mut features = Vec::new();
        for feature in &pipeline.features {
            let store = self.place("offline");
            let location = places.next().unwrap().clone();
            let spec = DatedSpec { location, ..DatedSpec::of(&feature.plan, &store, &writer)? };
            features.push(Some(Output::new(DatedWriter::new(spec), often)));
        }
        let location = places.next().unwrap().clone();
        let archive = archive::spec(&self.source, location, &writer)?;
        let schema = dead_letter_schema();
        let day = DayOf::columns(&schema, &["event_time", "timestamp"], false)?;
        let location = places.next().unwrap().clone();
        let dead = DatedSpec { location, schema, day, writer, metadata: vec![] };
        Ok(Outputs {
            features,
            archives: vec![Some(Output::new(DatedWriter::new(archive), seldom))],
            dead: vec![DeadLetters::Files(Box::new(Output::new(DatedWriter::new(dead), often)))],
        })
    }

    /// The published rows of an output as text, in the columns given, sorted.
    pub async fn published(&self, place: &str, columns: &[&str]) -> Vec<String> {
        let location = self.place(place);
        let mut rows = Vec::new();
        for file in location.files().list("").await.unwrap() {
            if !is_published(&file.path) {
                continue;
            }
            let bytes: Bytes = location.files().get(&file.path).await.unwrap().unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
            for batch in reader {
                let batch = batch.unwrap();
                for row in 0..batch.num_rows() {
                    let text = |name: &&str| {
                        array_value_to_string(batch.column_by_name(name).unwrap(), row).unwrap()
                    };
                    rows.push(columns.iter().map(text).collect::<Vec<_>>().join(","));
                }
            }
        }
        rows.sort();
        rows
    }

    /// The published final rows of a feature.
    pub async fn finals(&self, feature: &str, columns: &[&str]) -> Vec<String> {
        self.published(&format!("offline/{}", Self::feature_folder(feature)), columns).await
    }

    /// Names and sizes of everything on the disk.
    pub async fn listing(&self) -> String {
        let files = self.place("").files().list("").await.unwrap();
        files.iter().map(|file| format!("{} {}\n", file.path, file.bytes)).collect()
    }
}
