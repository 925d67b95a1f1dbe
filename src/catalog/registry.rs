//! What is defined: sources and features in the order of their creation, who reads from whom,
//! and the versions that names have had. Plain data without I/O; `persist` stores it, `apply`
//! changes a copy, everyone else looks names up.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::change::{Difference, feature_difference, source_difference};
use crate::catalog::feature::FeatureDef;
use crate::catalog::source::SourceDef;
use crate::error::{Error, Result};
use crate::sql::ast::ObjectKind;
use crate::sql::diagnostic::{quoted, suggestion};
use crate::sql::parser::parse_query;
use crate::sql::relations::relations;

/// A feature and what the catalog knows beyond its definition.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureEntry {
    pub def: Arc<FeatureDef>,
    /// Names of the sources and features it reads.
    pub reads: Vec<String>,
    /// Where its input starts, one line written by the runtime; `None` until it first ran.
    pub start: Option<String>,
}

/// One definition.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Source(Arc<SourceDef>),
    Feature(FeatureEntry),
}

impl Entry {
    pub fn name(&self) -> &str {
        match self {
            Self::Source(def) => &def.name,
            Self::Feature(feature) => &feature.def.name,
        }
    }

    pub fn kind(&self) -> ObjectKind {
        match self {
            Self::Source(_) => ObjectKind::Source,
            Self::Feature(_) => ObjectKind::Feature,
        }
    }

    /// The statement as stored, secrets included.
    pub fn sql(&self) -> &str {
        match self {
            Self::Source(def) => &def.sql,
            Self::Feature(feature) => &feature.def.sql,
        }
    }

    fn reads(&self, name: &str) -> bool {
        match self {
            Self::Source(_) => false,
            Self::Feature(feature) => feature.reads.iter().any(|read| read == name),
        }
    }
}

/// What CREATE does when the name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// An error, as in SQL.
    Refuse,
    /// IF NOT EXISTS.
    Keep,
    /// OR REPLACE.
    Replace,
}

impl IfExists {
    /// Of the clauses of a CREATE statement.
    pub fn of(or_replace: bool, if_not_exists: bool) -> Self {
        match (or_replace, if_not_exists) {
            (true, _) => Self::Replace,
            (false, true) => Self::Keep,
            (false, false) => Self::Refuse,
        }
    }
}

/// What a CREATE did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    Added,
    /// The name exists and was kept (IF NOT EXISTS), or the definitions are equal.
    Unchanged,
    /// Replaced; state stays valid.
    Changed(String),
    /// Replaced; state starts anew.
    Restarted(String),
}

/// The definitions of a home.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    entries: Vec<Entry>,
    /// The highest version each feature name ever had, dropped ones included: directories of
    /// final rows are never written by two definitions.
    versions: BTreeMap<String, u32>,
}

impl Catalog {
    /// Every definition in the order of creation.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn sources(&self) -> impl Iterator<Item = &Arc<SourceDef>> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Source(def) => Some(def),
            Entry::Feature(_) => None,
        })
    }

    pub fn features(&self) -> impl Iterator<Item = &Arc<FeatureDef>> {
        self.feature_entries().map(|feature| &feature.def)
    }

    pub fn feature_entries(&self) -> impl Iterator<Item = &FeatureEntry> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Feature(feature) => Some(feature),
            Entry::Source(_) => None,
        })
    }

    /// The definition of a name, whatever it is.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name() == name)
    }

    /// A source; an error with a suggestion if there is none of that name.
    pub fn source(&self, name: &str) -> Result<&Arc<SourceDef>> {
        match self.entry(name) {
            Some(Entry::Source(def)) => Ok(def),
            other => Err(self.unknown(ObjectKind::Source, name, other)),
        }
    }

    /// A feature; an error with a suggestion if there is none of that name.
    pub fn feature(&self, name: &str) -> Result<&Arc<FeatureDef>> {
        self.feature_entry(name).map(|feature| &feature.def)
    }

    pub fn feature_entry(&self, name: &str) -> Result<&FeatureEntry> {
        match self.entry(name) {
            Some(Entry::Feature(feature)) => Ok(feature),
            other => Err(self.unknown(ObjectKind::Feature, name, other)),
        }
    }

    /// Any definition; an error with a suggestion if there is none of that name.
    pub fn any(&self, name: &str) -> Result<&Entry> {
        self.entry(name).ok_or_else(|| {
            let error = Error::usage(format!("there is no source or feature {}", quoted(name)));
            match suggestion(name, self.entries.iter().map(Entry::name)) {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        })
    }

    fn unknown(&self, kind: ObjectKind, name: &str, other: Option<&Entry>) -> Error {
        let word = kind.word();
        if let Some(other) = other {
            let is = other.kind().word();
            return Error::usage(format!("{} is a {is}, not a {word}", quoted(name)));
        }
        let error = Error::usage(format!("there is no {word} {}", quoted(name)));
        let names = self.entries.iter().filter(|e| e.kind() == kind).map(Entry::name);
        match suggestion(name, names) {
            Some(hint) => error.with_hint(hint),
            None => error.with_hint(format!("CREATE {} makes one", word.to_ascii_uppercase())),
        }
    }

    /// Names of the features that read `name`, in the order of creation.
    pub fn dependents(&self, name: &str) -> Vec<&str> {
        self.entries.iter().filter(|entry| entry.reads(name)).map(Entry::name).collect()
    }

    /// The version a feature gets: that of an equal fingerprint, else one more than ever used.
    pub fn next_version(&self, name: &str, fingerprint: &str) -> u32 {
        match self.entry(name) {
            Some(Entry::Feature(feature)) if feature.def.fingerprint == fingerprint => {
                feature.def.version
            }
            _ => self.versions.get(name).copied().unwrap_or(0) + 1,
        }
    }

    /// Highest versions of names that are no feature now.
    pub fn retired(&self) -> impl Iterator<Item = (&str, u32)> {
        let kept = |name: &str| matches!(self.entry(name), Some(Entry::Feature(_)));
        self.versions
            .iter()
            .filter(move |(name, _)| !kept(name))
            .map(|(name, version)| (name.as_str(), *version))
    }

    /// Records a version of a dropped feature (when a home is opened).
    pub fn retire(&mut self, name: &str, version: u32) {
        let highest = self.versions.entry(name.to_owned()).or_default();
        *highest = version.max(*highest);
    }

    /// Puts a stored feature back as it was, version included. What it reads may follow later:
    /// [`Self::check_reads`] when all are there.
    pub fn restore_feature(&mut self, def: FeatureDef, start: Option<String>) -> Result<()> {
        self.existing(ObjectKind::Feature, &def.name, IfExists::Refuse)?;
        let names = relations(parse_query(&def.query)?.as_ref());
        let reads = names.into_iter().map(|name| name.value).collect();
        self.retire(&def.name, def.version);
        self.entries.push(Entry::Feature(FeatureEntry { def: Arc::new(def), reads, start }));
        Ok(())
    }

    /// Whether everything that is read exists.
    pub fn check_reads(&self) -> Result<()> {
        for feature in self.feature_entries() {
            for read in &feature.reads {
                let context = || format!("feature {}", quoted(&feature.def.name));
                self.any(read).map_err(|error| error.context(context()))?;
            }
        }
        Ok(())
    }

    /// Records where a feature's input starts.
    pub fn set_start(&mut self, name: &str, start: String) -> Result<()> {
        self.feature_entry(name)?;
        for entry in &mut self.entries {
            if let Entry::Feature(feature) = entry
                && feature.def.name == name
            {
                feature.start = Some(start);
                break;
            }
        }
        Ok(())
    }

    /// CREATE SOURCE. A source that features read keeps its watermark, types and format.
    pub fn create_source(&mut self, def: SourceDef, if_exists: IfExists) -> Result<Created> {
        let name = def.name.clone();
        let Some(old) = self.existing(ObjectKind::Source, &name, if_exists)? else {
            self.entries.push(Entry::Source(Arc::new(def)));
            return Ok(Created::Added);
        };
        let Entry::Source(old) = &old else { return Ok(Created::Unchanged) };
        if if_exists == IfExists::Keep {
            return Ok(Created::Unchanged);
        }
        let created = match source_difference(old, &def) {
            // Equal when expanded; the text, which is kept, may name its variables differently.
            Difference::None => Created::Unchanged,
            Difference::Compatible(what) => Created::Changed(what),
            Difference::Incompatible(what) => {
                let users = self.dependents(&name);
                if !users.is_empty() {
                    return Err(in_use(&name, &what, &users));
                }
                Created::Restarted(what)
            }
        };
        self.put(Entry::Source(Arc::new(def)));
        Ok(created)
    }

    /// CREATE FEATURE. The version is set here: see [`Self::next_version`]. What the query reads
    /// must exist.
    pub fn create_feature(&mut self, mut def: FeatureDef, if_exists: IfExists) -> Result<Created> {
        let name = def.name.clone();
        let old = self.existing(ObjectKind::Feature, &name, if_exists)?;
        if old.is_some() && if_exists == IfExists::Keep {
            return Ok(Created::Unchanged);
        }
        let mut reads = Vec::new();
        for relation in relations(parse_query(&def.query)?.as_ref()) {
            if relation.value == name {
                return Err(Error::usage(format!("feature {} reads itself", quoted(&name))));
            }
            self.any(&relation.value)?;
            reads.push(relation.value);
        }
        if let Some(cycle) = reads.iter().find(|read| self.reaches(read, &name)) {
            let what = format!("feature {} reads {}, which reads it", quoted(&name), quoted(cycle));
            return Err(Error::usage(what));
        }
        def.version = self.next_version(&name, &def.fingerprint);
        self.retire(&name, def.version);
        let Some(Entry::Feature(old)) = old else {
            let entry = FeatureEntry { def: Arc::new(def), reads, start: None };
            self.entries.push(Entry::Feature(entry));
            return Ok(Created::Added);
        };
        let (created, start) = match feature_difference(&old.def, &def) {
            Difference::None => (Created::Unchanged, old.start),
            Difference::Compatible(what) => (Created::Changed(what), old.start),
            Difference::Incompatible(what) => (Created::Restarted(what), None),
        };
        self.put(Entry::Feature(FeatureEntry { def: Arc::new(def), reads, start }));
        Ok(created)
    }

    /// Whether `from` reads `to`, directly or through others.
    fn reaches(&self, from: &str, to: &str) -> bool {
        match self.entry(from) {
            Some(Entry::Feature(feature)) => {
                feature.reads.iter().any(|read| read == to || self.reaches(read, to))
            }
            _ => false,
        }
    }

    /// The entry of a name to be created, if there is one and that is allowed.
    fn existing(&self, kind: ObjectKind, name: &str, if_exists: IfExists) -> Result<Option<Entry>> {
        let Some(entry) = self.entry(name) else { return Ok(None) };
        let word = entry.kind().word();
        if entry.kind() != kind {
            let message = format!("{} is a {word} already", quoted(name));
            return Err(Error::usage(message).with_hint("sources and features share their names"));
        }
        if if_exists == IfExists::Refuse {
            let upper = word.to_ascii_uppercase();
            return Err(Error::usage(format!("the {word} {} exists already", quoted(name)))
                .with_hint(format!("CREATE OR REPLACE {upper}, or IF NOT EXISTS")));
        }
        Ok(Some(entry.clone()))
    }

    /// Puts an entry in the place of that of the same name.
    fn put(&mut self, new: Entry) {
        for entry in &mut self.entries {
            if entry.name() == new.name() {
                *entry = new;
                return;
            }
        }
        self.entries.push(new);
    }

    /// DROP: the names dropped, dependents first; empty if there is none and `if_exists`.
    /// Refused while something depends on it, unless `cascade`.
    pub fn drop_object(
        &mut self,
        kind: ObjectKind,
        name: &str,
        if_exists: bool,
        cascade: bool,
    ) -> Result<Vec<(ObjectKind, String)>> {
        match self.entry(name) {
            None if if_exists => return Ok(Vec::new()),
            Some(entry) if entry.kind() == kind => {}
            other => return Err(self.unknown(kind, name, other)),
        }
        let users: Vec<String> = self.dependents(name).into_iter().map(str::to_owned).collect();
        if !users.is_empty() && !cascade {
            let message =
                format!("{} {} is read by {}", kind.word(), quoted(name), users.join(", "));
            let upper = kind.word().to_ascii_uppercase();
            return Err(Error::usage(message).with_hint(format!(
                "drop what reads it first, or DROP {upper} {} CASCADE",
                crate::sql::printer::name_text(name)
            )));
        }
        let mut dropped = Vec::new();
        for user in users {
            dropped.extend(self.drop_object(ObjectKind::Feature, &user, true, true)?);
        }
        self.entries.retain(|entry| entry.name() != name);
        dropped.push((kind, name.to_owned()));
        Ok(dropped)
    }
}

/// A source cannot change what its features were computed from.
pub fn in_use(name: &str, what: &str, users: &[&str]) -> Error {
    Error::usage(format!(
        "{what} of source {} cannot change while {} {} it",
        quoted(name),
        users.join(", "),
        if users.len() == 1 { "reads" } else { "read" },
    ))
    .with_hint("create a new source, and features that read it")
}

#[cfg(test)]
pub(crate) mod tests;
