//! The catalog of a home: loaded for each command, changed under the home's rules, saved whole.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use sqlparser::ast::{Expr, Query};

use crate::catalog::apply::{self, Checks, Verdict};
use crate::catalog::define::source_def;
use crate::catalog::define_feature::feature_def;
use crate::catalog::feature::{FeatureDef, OfflineStoreDef, OnlineStoreDef};
use crate::catalog::persist;
use crate::catalog::registry::{Catalog, Created, IfExists};
use crate::catalog::source::SourceDef;
use crate::cli::engine::{Applied, ApplyOptions, Change, ChangeKind, Names, ObjectNames};
use crate::cli::local::LocalEngine;
use crate::error::{Error, Result};
use crate::online::store::OnlineFeature;
use crate::plan::bind::{SourceLookup, plan_feature};
use crate::plan::computed::{compile_computed, infer};
use crate::plan::dataflow::FeaturePlan;
use crate::serve::engine::Desired;
use crate::source::admit::Compute;
use crate::sql::ast::{CreateFeature, DropObject, ObjectKind, Statement};
use crate::sql::guard::on_big_stack;
use crate::sql::options::OPTIONS;
use crate::sql::parser::parse_query;
use crate::sql::printer::{create_feature, create_source, name_text};

/// The process environment, for `${NAME}`.
pub(super) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn infer_type(expr: &Expr, schema: &Schema) -> Result<(DataType, bool)> {
    infer(expr, schema)
}

/// The catalog as planning sees it.
pub(super) struct Sources<'a>(pub &'a Catalog);

impl SourceLookup for Sources<'_> {
    fn source(&self, name: &str) -> Result<Arc<SourceDef>> {
        if self.0.feature(name).is_ok() {
            return Err(Error::not_yet(format!("a feature over the feature '{name}'"))
                .with_hint("read from its source instead"));
        }
        self.0.source(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.sources().map(|source| source.name.clone()).collect()
    }
}

/// Plans a query as a feature, with everything that depends on its options checked too.
fn plan_checked(
    catalog: &Catalog,
    name: &str,
    version: u32,
    query: &Query,
    options: Option<&crate::catalog::feature::FeatureOptions>,
) -> Result<FeaturePlan> {
    let plan = on_big_stack(|| plan_feature(&Sources(catalog), name, version, query))?;
    let Some(options) = options else { return Ok(plan) };
    if let OnlineStoreDef::Redis(_) = options.online {
        OnlineFeature::of(&plan, &options.online_key)?;
    }
    Ok(match options.ttl_us {
        Some(ttl_us) => plan.with_ttl(ttl_us),
        None => plan,
    })
}

fn fingerprint_of(create: &CreateFeature, catalog: &Catalog) -> Result<String> {
    let options = crate::catalog::define_feature::feature_options(create, &env)?;
    let plan = plan_checked(catalog, &create.name.value, 1, &create.query, Some(&options))?;
    Ok(plan.fingerprint)
}

/// What evaluates the computed columns of a source.
pub(super) fn compute(def: &SourceDef) -> Result<Option<Compute>> {
    let computed = on_big_stack(|| compile_computed(def))?;
    Ok(computed.map(|computed| {
        Arc::new(move |rows: &arrow::array::RecordBatch| computed.projection.evaluate(rows))
            as Compute
    }))
}

/// Why definitions cannot be changed now.
fn while_running(pid: u32) -> Error {
    Error::unavailable(format!("an engine without HTTP runs on this home (pid {pid})"))
        .with_hint("start it without --no-http, or stop it first: its state is kept")
}

/// The catalog as statements make it, and what they do, line by line.
pub(super) struct Changed {
    pub catalog: Catalog,
    pub lines: Vec<String>,
}

impl LocalEngine {
    /// Runs a CREATE or DROP: in this process, or by the engine that runs on the home.
    pub(super) async fn define_or_ask(&self, statement: &Statement) -> Result<String> {
        match self.home.running()? {
            Some(running) if running.http.is_some() => {
                let text = statement_text(statement)?;
                Ok(crate::serve::client::define(&running, &text, None).await?.join("\n"))
            }
            _ => {
                let Changed { catalog, lines } =
                    self.changed(std::slice::from_ref(statement), None)?;
                self.save(&catalog)?;
                Ok(lines.join("\n"))
            }
        }
    }

    /// What statements make of the definitions as they are stored now; nothing is stored.
    pub(super) fn changed(
        &self,
        statements: &[Statement],
        desired: Option<Desired>,
    ) -> Result<Changed> {
        if let Some(Desired { replace, prune }) = desired {
            let options = ApplyOptions { dry_run: true, replace, prune };
            let plan = self.plan_changes(statements, options)?;
            let lines = plan.changes.into_iter().map(|c| change(c).to_string()).collect();
            return Ok(Changed { catalog: plan.catalog, lines });
        }
        let mut catalog = self.catalog()?;
        let done = statements.iter().map(|statement| define(&mut catalog, statement));
        let lines = done.collect::<Result<_>>()?;
        Ok(Changed { catalog, lines })
    }

    /// The definitions as they are stored now.
    pub(super) fn catalog(&self) -> Result<Catalog> {
        on_big_stack(|| persist::load(self.home.path(), &env, &infer_type))
    }

    /// Saves definitions; refused while an engine runs on the home, which would not see them.
    fn save(&self, catalog: &Catalog) -> Result<()> {
        if let Some(running) = self.home.running()? {
            return Err(while_running(running.pid));
        }
        persist::save(self.home.path(), catalog)
    }

    /// The plan of a stored feature, under the stores that `--online` and `--offline` set.
    pub(super) fn plan_of(&self, catalog: &Catalog, feature: &FeatureDef) -> Result<FeaturePlan> {
        let query = parse_query(&feature.query)?;
        let options = Some(&feature.options);
        let plan = plan_checked(catalog, &feature.name, feature.version, &query, options);
        plan.map_err(|error| error.context(format!("feature '{}'", feature.name)))
    }

    /// The plan of a feature that is no longer defined, as a checkpoint knows it.
    pub(super) fn plan_retired(
        &self,
        catalog: &Catalog,
        name: &str,
        version: u32,
        query: &str,
    ) -> Result<FeaturePlan> {
        let query = parse_query(query)?;
        let plan = plan_checked(catalog, name, version, &query, None);
        plan.map_err(|error| error.context(format!("feature '{name}' as last run")))
    }

    /// Plans a query that is not stored (EXPLAIN).
    pub(super) fn plan_query(&self, name: &str, query: &Query) -> Result<FeaturePlan> {
        plan_checked(&self.catalog()?, name, 1, query, None)
    }

    /// A feature with the stores that the command line sets instead of its own.
    pub(super) fn effective(&self, feature: &Arc<FeatureDef>) -> Arc<FeatureDef> {
        let mut def = FeatureDef::clone(feature);
        if let Some(online) = &self.options.online {
            def.options.online = match online.as_str() {
                "embedded" => OnlineStoreDef::Embedded,
                "none" => OnlineStoreDef::None,
                url => OnlineStoreDef::Redis(url.to_owned()),
            };
        }
        if let Some(offline) = &self.options.offline {
            def.options.offline = match offline.as_str() {
                "none" => OfflineStoreDef::None,
                url => OfflineStoreDef::Url(url.to_owned()),
            };
        }
        Arc::new(def)
    }

    /// All definitions of some files, all or nothing: stored in this process, or made by the
    /// engine that runs on the home.
    pub(super) async fn apply_all(
        &self,
        statements: &[Statement],
        options: ApplyOptions,
    ) -> Result<Applied> {
        // What is wrong is said here, where the files are.
        let plan = self.plan_changes(statements, options)?;
        let mut notes = Vec::new();
        if !options.dry_run && plan.catalog != self.catalog()? {
            match self.home.running()? {
                Some(running) if running.http.is_some() => {
                    let texts =
                        statements.iter().map(statement_text).collect::<Result<Vec<_>>>()?;
                    let ApplyOptions { replace, prune, .. } = options;
                    let desired = Some(Desired { replace, prune });
                    let text = texts.join(";\n");
                    notes = crate::serve::client::define(&running, &text, desired).await?;
                    notes.drain(..plan.changes.len().min(notes.len()));
                }
                _ => self.save(&plan.catalog)?,
            }
        }
        Ok(Applied { changes: plan.changes.into_iter().map(change).collect(), notes })
    }

    fn plan_changes(&self, statements: &[Statement], options: ApplyOptions) -> Result<apply::Plan> {
        let checks = Checks { env: &env, infer: &infer_type, fingerprint: &fingerprint_of };
        let wanted = apply::ApplyOptions { replace: options.replace, prune: options.prune };
        apply::plan(&self.catalog()?, statements, wanted, checks).map_err(Error::from)
    }

    pub(super) fn known_names(&self) -> Result<Names> {
        let catalog = self.catalog()?;
        let mut objects = Vec::new();
        for source in catalog.sources() {
            let columns = source.columns.iter().map(|c| c.name.clone()).collect();
            objects.push(ObjectNames { kind: "source", name: source.name.clone(), columns });
        }
        for feature in catalog.features() {
            // A feature whose plan fails now (say, an unset variable) still has a name.
            let columns = self
                .plan_of(&catalog, feature)
                .map(|plan| plan.schema().fields().iter().map(|f| f.name().clone()).collect());
            let columns = columns.unwrap_or_default();
            objects.push(ObjectNames { kind: "feature", name: feature.name.clone(), columns });
        }
        let options = OPTIONS.iter().map(|option| option.name.trim_end_matches('*').to_owned());
        Ok(Names { objects, functions: super::describe::functions(), options: options.collect() })
    }
}

/// One CREATE or DROP, as typed in a shell; what was done, in words.
fn define(catalog: &mut Catalog, statement: &Statement) -> Result<String> {
    Ok(match statement {
        Statement::CreateSource(create) => {
            let def = on_big_stack(|| source_def(create, &env, &infer_type))?;
            let if_exists = IfExists::of(create.or_replace, create.if_not_exists);
            on_big_stack(|| compile_computed(&def).map(|_| ()))?;
            let created = catalog.create_source(def, if_exists);
            created
                .map(|c| created_words("source", &create.name.value, &c))
                .map_err(|error| error.with_span(create.name.span))?
        }
        Statement::CreateFeature(create) => {
            let name = &create.name.value;
            let fingerprint = fingerprint_of(create, catalog)?;
            let version = catalog.next_version(name, &fingerprint);
            let def = feature_def(create, version, fingerprint, &env)?;
            let if_exists = IfExists::of(create.or_replace, create.if_not_exists);
            let created = catalog.create_feature(def, if_exists);
            created
                .map(|c| created_words("feature", name, &c))
                .map_err(|error| error.with_span(create.name.span))?
        }
        Statement::Drop(drop) => {
            let dropped = catalog
                .drop_object(drop.kind, &drop.name.value, drop.if_exists, drop.cascade)
                .map_err(|error| error.with_span(drop.name.span))?;
            match dropped.as_slice() {
                [] => format!("no {} '{}': nothing dropped", drop.kind.word(), drop.name.value),
                all => {
                    let names = all.iter().map(|(k, n)| format!("{} {n}", k.word()));
                    format!("dropped {}", names.collect::<Vec<_>>().join(", "))
                }
            }
        }
        other => return Err(Error::internal(format!("{other:?} defines nothing"))),
    })
}

/// A statement that defines, as it can be sent elsewhere.
fn statement_text(statement: &Statement) -> Result<String> {
    Ok(match statement {
        Statement::CreateSource(create) => {
            create_text("SOURCE", &create_source(create), create.or_replace, create.if_not_exists)
        }
        Statement::CreateFeature(create) => {
            create_text("FEATURE", &create_feature(create), create.or_replace, create.if_not_exists)
        }
        Statement::Drop(drop) => drop_text(drop),
        other => return Err(Error::internal(format!("{other:?} defines nothing"))),
    })
}

/// The printer's CREATE with what says how to define.
fn create_text(word: &str, printed: &str, or_replace: bool, if_not_exists: bool) -> String {
    let rest = printed.strip_prefix(&format!("CREATE {word} ")).unwrap_or(printed);
    let or_replace = if or_replace { "OR REPLACE " } else { "" };
    let if_not_exists = if if_not_exists { "IF NOT EXISTS " } else { "" };
    format!("CREATE {or_replace}{word} {if_not_exists}{rest}")
}

fn drop_text(drop: &DropObject) -> String {
    format!(
        "DROP {} {}{}{}",
        drop.kind.word().to_uppercase(),
        if drop.if_exists { "IF EXISTS " } else { "" },
        name_text(&drop.name.value),
        if drop.cascade { " CASCADE" } else { "" },
    )
}

fn created_words(kind: &str, name: &str, created: &Created) -> String {
    match created {
        Created::Added => format!("created {kind} {name}"),
        Created::Unchanged => format!("{kind} {name} is unchanged"),
        Created::Changed(what) => format!("changed {kind} {name}: {what}"),
        Created::Restarted(what) => format!("replaced {kind} {name}: {what}, state starts anew"),
    }
}

fn change(change: apply::Change) -> Change {
    let (kind, detail) = match change.verdict {
        Verdict::Added => (ChangeKind::Added, None),
        Verdict::Unchanged => (ChangeKind::Unchanged, None),
        Verdict::Changed(what) => (ChangeKind::Changed, Some(what)),
        Verdict::Replaced(what) => (ChangeKind::Changed, Some(format!("{what}, fresh state"))),
        Verdict::Dropped => (ChangeKind::Dropped, None),
    };
    let object = match change.kind {
        ObjectKind::Source => "source",
        ObjectKind::Feature => "feature",
    };
    Change { kind, object, name: change.name, detail }
}
