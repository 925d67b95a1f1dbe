//! `skewless apply`: the CREATE statements of files are the desired definitions; what has to
//! change for the catalog to hold them, all or nothing. Pure: it works on a copy of the catalog
//! and prints, stores and starts nothing. Called by `cli` and by `run FILE…`.

use crate::catalog::change::{Difference, feature_difference, source_difference};
use crate::catalog::define::{Infer, source_def};
use crate::catalog::define_feature::feature_def;
use crate::catalog::feature::FeatureDef;
use crate::catalog::registry::{Catalog, Entry, IfExists, in_use};
use crate::error::{Error, Result};
use crate::sql::ast::{CreateFeature, Name, ObjectKind, Statement};
use crate::sql::diagnostic::quoted;
use crate::sql::expand::Env;
use crate::sql::relations::relations;

/// Fingerprint of the bound plan of a feature; the catalog already holds what it reads. An error
/// is what `plan` finds wrong with the query.
pub type Fingerprint<'a> = &'a dyn Fn(&CreateFeature, &Catalog) -> Result<String>;

/// What becomes of one definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Added,
    Unchanged,
    /// State is kept; what changes.
    Changed(String),
    /// Only with `replace`: state starts anew (features: as a new version); what changes.
    Replaced(String),
    /// By DROP, or not in the files and `prune`.
    Dropped,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ObjectKind,
    pub name: String,
    pub verdict: Verdict,
}

/// The catalog as it will be, and how it differs.
#[derive(Clone, Debug)]
pub struct Plan {
    pub changes: Vec<Change>,
    pub catalog: Catalog,
}

impl Plan {
    /// Whether nothing is added, changed or dropped. (The catalog may still differ in its text:
    /// store it if it is unequal.)
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|change| change.verdict == Verdict::Unchanged)
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct ApplyOptions {
    /// Incompatible changes are made instead of refused.
    pub replace: bool,
    /// What the files do not define is dropped.
    pub prune: bool,
}

/// What is wrong, and with which statement (so that the caller finds its file).
#[derive(Clone, Debug)]
pub struct ApplyError {
    pub statement: usize,
    pub error: Error,
}

impl From<ApplyError> for Error {
    fn from(failed: ApplyError) -> Self {
        failed.error
    }
}

/// How definitions are checked.
#[derive(Clone, Copy)]
pub struct Checks<'a> {
    pub env: Env<'a>,
    pub infer: Infer<'a>,
    pub fingerprint: Fingerprint<'a>,
}

/// Plans the changes. DROP statements come first, then sources, then features in the order of
/// their dependencies, whatever the order of the statements.
pub fn plan(
    current: &Catalog,
    statements: &[Statement],
    options: ApplyOptions,
    checks: Checks<'_>,
) -> std::result::Result<Plan, ApplyError> {
    check_names(statements)?;
    let mut plan = Plan { changes: Vec::new(), catalog: current.clone() };
    for (at, statement) in statements.iter().enumerate() {
        plan.drop_named(statement).map_err(|error| located(at, statement, error))?;
    }
    for (at, statement) in statements.iter().enumerate() {
        plan.source(statement, options, checks).map_err(|error| located(at, statement, error))?;
    }
    for at in feature_order(statements)? {
        let Some(statement) = statements.get(at) else { continue };
        plan.feature(statement, options, checks).map_err(|error| located(at, statement, error))?;
    }
    if options.prune {
        plan.prune(statements).map_err(|error| ApplyError { statement: 0, error })?;
    }
    Ok(plan)
}

fn located(at: usize, statement: &Statement, error: Error) -> ApplyError {
    let span = defined(statement).map_or(statement.span(), |(_, name)| name.span);
    ApplyError { statement: at, error: error.with_span(span) }
}

/// Kind and name of what a statement defines.
fn defined(statement: &Statement) -> Option<(ObjectKind, &Name)> {
    match statement {
        Statement::CreateSource(create) => Some((ObjectKind::Source, &create.name)),
        Statement::CreateFeature(create) => Some((ObjectKind::Feature, &create.name)),
        _ => None,
    }
}

/// Only definitions and DROP, each name once.
fn check_names(statements: &[Statement]) -> std::result::Result<(), ApplyError> {
    let mut names: Vec<&str> = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        let name = match (statement, defined(statement)) {
            (_, Some((_, name))) => name,
            (Statement::Drop(drop), _) => &drop.name,
            _ => {
                let error = Error::usage("a definition file holds CREATE and DROP statements")
                    .with_hint("run queries with skewless sql -f FILE");
                return Err(located(at, statement, error));
            }
        };
        if names.contains(&name.value.as_str()) {
            let error = Error::usage(format!("{} is named twice", quoted(&name.value)));
            return Err(located(at, statement, error));
        }
        names.push(&name.value);
    }
    Ok(())
}

/// Indices of the CREATE FEATURE statements, those that others read first.
fn feature_order(statements: &[Statement]) -> std::result::Result<Vec<usize>, ApplyError> {
    let mut waiting: Vec<(usize, &CreateFeature, Vec<String>)> = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        if let Statement::CreateFeature(create) = statement {
            let reads = relations(&create.query).into_iter().map(|name| name.value).collect();
            waiting.push((at, create.as_ref(), reads));
        }
    }
    let mut order = Vec::new();
    while !waiting.is_empty() {
        let names: Vec<&str> = waiting.iter().map(|(_, c, _)| c.name.value.as_str()).collect();
        let free = |reads: &[String]| !reads.iter().any(|read| names.contains(&read.as_str()));
        let (ready, rest): (Vec<_>, Vec<_>) =
            waiting.iter().cloned().partition(|(_, _, reads)| free(reads));
        if ready.is_empty() {
            let at = waiting.first().map_or(0, |(at, _, _)| *at);
            let error = Error::usage(format!("features read each other: {}", names.join(", ")));
            return Err(match statements.get(at) {
                Some(statement) => located(at, statement, error),
                None => ApplyError { statement: at, error },
            });
        }
        order.extend(ready.iter().map(|(at, _, _)| *at));
        waiting = rest;
    }
    Ok(order)
}

impl Plan {
    fn note(&mut self, kind: ObjectKind, name: &str, verdict: Verdict) {
        self.changes.push(Change { kind, name: name.to_owned(), verdict });
    }

    fn drop_named(&mut self, statement: &Statement) -> Result<()> {
        let Statement::Drop(drop) = statement else { return Ok(()) };
        let (name, if_exists) = (&drop.name.value, drop.if_exists);
        for (kind, name) in self.catalog.drop_object(drop.kind, name, if_exists, drop.cascade)? {
            self.note(kind, &name, Verdict::Dropped);
        }
        Ok(())
    }

    fn source(
        &mut self,
        statement: &Statement,
        options: ApplyOptions,
        checks: Checks<'_>,
    ) -> Result<()> {
        let Statement::CreateSource(create) = statement else { return Ok(()) };
        let def = source_def(create, checks.env, checks.infer)?;
        let name = def.name.clone();
        let verdict = match self.catalog.entry(&name) {
            None => Verdict::Added,
            Some(Entry::Source(old)) => match source_difference(old, &def) {
                Difference::None => Verdict::Unchanged,
                Difference::Compatible(what) => Verdict::Changed(what),
                Difference::Incompatible(what) => {
                    let users = self.catalog.dependents(&name);
                    if !users.is_empty() {
                        return Err(in_use(&name, &what, &users));
                    }
                    allowed(options, "source", &name, what)?
                }
            },
            // The registry refuses it and says why.
            Some(Entry::Feature(_)) => Verdict::Added,
        };
        self.catalog.create_source(def, IfExists::Replace)?;
        self.note(ObjectKind::Source, &name, verdict);
        Ok(())
    }

    fn feature(
        &mut self,
        statement: &Statement,
        options: ApplyOptions,
        checks: Checks<'_>,
    ) -> Result<()> {
        let Statement::CreateFeature(create) = statement else { return Ok(()) };
        for read in relations(&create.query) {
            if read.value != create.name.value {
                self.catalog.any(&read.value).map_err(|error| error.with_span(read.span))?;
            }
        }
        let fingerprint = (checks.fingerprint)(create, &self.catalog)?;
        let name = create.name.value.clone();
        let version = self.catalog.next_version(&name, &fingerprint);
        let def: FeatureDef = feature_def(create, version, fingerprint, checks.env)?;
        let verdict = match self.catalog.entry(&name) {
            Some(Entry::Feature(old)) => match feature_difference(&old.def, &def) {
                Difference::None => Verdict::Unchanged,
                Difference::Compatible(what) => Verdict::Changed(what),
                Difference::Incompatible(what) => allowed(options, "feature", &name, what)?,
            },
            _ => Verdict::Added,
        };
        self.catalog.create_feature(def, IfExists::Replace)?;
        self.note(ObjectKind::Feature, &name, verdict);
        Ok(())
    }

    fn prune(&mut self, statements: &[Statement]) -> Result<()> {
        let wanted: Vec<&str> = statements
            .iter()
            .filter_map(|statement| defined(statement).map(|(_, name)| name.value.as_str()))
            .collect();
        let mut unwanted: Vec<(ObjectKind, String)> = self
            .catalog
            .entries()
            .iter()
            .filter(|entry| !wanted.contains(&entry.name()))
            .map(|entry| (entry.kind(), entry.name().to_owned()))
            .collect();
        // What nothing reads goes first; when all that is left is read, the first says by whom.
        while !unwanted.is_empty() {
            let free = |(_, name): &(_, String)| self.catalog.dependents(name).is_empty();
            let (kind, name) = unwanted.remove(unwanted.iter().position(free).unwrap_or(0));
            for (kind, name) in self.catalog.drop_object(kind, &name, true, false)? {
                self.note(kind, &name, Verdict::Dropped);
            }
        }
        Ok(())
    }
}

fn allowed(options: ApplyOptions, word: &str, name: &str, what: String) -> Result<Verdict> {
    if options.replace {
        return Ok(Verdict::Replaced(what));
    }
    Err(Error::usage(format!("{word} {} changes {what}, and its state with it", quoted(name)))
        .with_hint("--replace starts it anew; or give it another name"))
}

#[cfg(test)]
mod tests;
