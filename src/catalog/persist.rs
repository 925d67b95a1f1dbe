//! `<home>/catalog.sql`: the definitions as SQL a person can read, `${…}` unexpanded. What SQL
//! has no words for stands in `-- skewless:` comments before each statement; the last one holds
//! a checksum, so that a torn or edited file is noticed. Called by whoever opens a home.
//!
//! ```sql
//! -- skewless catalog, format 1: written by the engine, to be changed with SQL only
//!
//! -- skewless: feature {"name":"f","version":2,"fingerprint":"…","start":null}
//! CREATE FEATURE f AS
//! SELECT …;
//!
//! -- skewless: end {"statements":1,"checksum":"…"}
//! ```

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::catalog::define::{Infer, source_def};
use crate::catalog::define_feature::feature_def;
use crate::catalog::registry::{Catalog, Entry, IfExists};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::sql::ast::Statement;
use crate::sql::expand::Env;
use crate::sql::parser::parse_statements;
use crate::sql::token::line_comments;

/// The file in a home.
pub const CATALOG_FILE: &str = "catalog.sql";
const TEMPORARY_FILE: &str = "catalog.sql.tmp";
const HEADER: &str =
    "-- skewless catalog, format 1: written by the engine, to be changed with SQL only\n";
const MARK: &str = " skewless: ";

#[derive(Serialize, Deserialize)]
struct FeatureLine {
    name: String,
    version: u32,
    fingerprint: String,
    start: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct RetiredLine {
    name: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct EndLine {
    statements: usize,
    checksum: String,
}

/// Reads the catalog of a home; an empty one if the home has none yet.
pub fn load(home: &Path, env: Env<'_>, infer: Infer<'_>) -> Result<Catalog> {
    let path = home.join(CATALOG_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Catalog::default()),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return Err(damaged("it is not UTF-8").context(path.display()));
        }
        Err(error) => return Err(Error::from(error).context(path.display())),
    };
    read(&text, env, infer).map_err(|error| error.context(path.display()))
}

/// Writes the catalog of a home: whole or not at all, also across a crash.
pub fn save(home: &Path, catalog: &Catalog) -> Result<()> {
    let text = write(catalog)?;
    let (path, temporary) = (home.join(CATALOG_FILE), home.join(TEMPORARY_FILE));
    let named = |error: std::io::Error| Error::from(error).context(path.display());
    let prepare = || -> std::io::Result<()> {
        fs::create_dir_all(home)?;
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    let replace = || -> std::io::Result<()> {
        fs::rename(&temporary, &path)?;
        File::open(home)?.sync_all()
    };
    prepare().map_err(named)?;
    failpoint::pass("catalog.mid_replace")?;
    replace().map_err(named)
}

/// The text of a catalog.
pub fn write(catalog: &Catalog) -> Result<String> {
    let mut out = HEADER.to_owned();
    for (name, version) in catalog.retired() {
        let line = RetiredLine { name: name.to_owned(), version };
        out.push_str(&format!("\n--{MARK}retired {}\n", json(&line)?));
    }
    for entry in catalog.entries() {
        out.push('\n');
        if let Entry::Feature(feature) = entry {
            let line = FeatureLine {
                name: feature.def.name.clone(),
                version: feature.def.version,
                fingerprint: feature.def.fingerprint.clone(),
                start: feature.start.clone(),
            };
            out.push_str(&format!("--{MARK}feature {}\n", json(&line)?));
        }
        out.push_str(entry.sql());
        out.push_str(";\n");
    }
    let end = EndLine { statements: catalog.entries().len(), checksum: checksum(&out) };
    out.push_str(&format!("\n--{MARK}end {}\n", json(&end)?));
    Ok(out)
}

fn json(line: &impl Serialize) -> Result<String> {
    serde_json::to_string(line).map_err(|error| Error::internal(error.to_string()))
}

fn checksum(text: &str) -> String {
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

fn damaged(what: &str) -> Error {
    Error::data(format!("the catalog is damaged: {what}")).with_hint(
        "restore the file from a copy; or move it away and apply the definition files again \
         (versions start at 1 then, so give the features another 'offline' place)",
    )
}

/// Reads the text of a catalog.
pub fn read(text: &str, env: Env<'_>, infer: Infer<'_>) -> Result<Catalog> {
    if !text.starts_with(HEADER) {
        return Err(damaged("it does not begin as catalogs of this version do"));
    }
    let statements_expected = check_end(text)?;
    let comments = line_comments(text).map_err(|error| damaged(error.message()))?;
    let marks = comments.iter().filter_map(|(_, comment)| comment.strip_prefix(MARK));
    let statements = parse_statements(text).map_err(|error| damaged(error.message()))?;
    if statements.len() != statements_expected {
        return Err(damaged("statements are missing"));
    }
    let mut catalog = Catalog::default();
    let mut waiting: Vec<FeatureLine> = Vec::new();
    for mark in marks {
        if let Some(line) = mark.strip_prefix("retired ") {
            let line: RetiredLine = parse_line(line)?;
            catalog.retire(&line.name, line.version);
        } else if let Some(line) = mark.strip_prefix("feature ") {
            waiting.push(parse_line(line)?);
        }
    }
    for statement in &statements {
        restore(&mut catalog, statement, &mut waiting, env, infer)?;
    }
    catalog.check_reads().map_err(|error| damaged(error.message()))?;
    Ok(catalog)
}

fn restore(
    catalog: &mut Catalog,
    statement: &Statement,
    waiting: &mut Vec<FeatureLine>,
    env: Env<'_>,
    infer: Infer<'_>,
) -> Result<()> {
    // Spans point into the file of the engine, not into what the user wrote: leave them out.
    let unplaced = |error: Error| {
        let plain = Error::new(error.kind(), error.message());
        match error.hint() {
            Some(hint) => plain.with_hint(hint),
            None => plain,
        }
    };
    match statement {
        Statement::CreateSource(create) => {
            let def = source_def(create, env, infer).map_err(unplaced)?;
            catalog.create_source(def, IfExists::Refuse)?;
        }
        Statement::CreateFeature(create) => {
            let name = &create.name.value;
            let Some(at) = waiting.iter().position(|line| line.name == *name) else {
                return Err(damaged(&format!("feature '{name}' has no version")));
            };
            let line = waiting.remove(at);
            let def = feature_def(create, line.version, line.fingerprint, env).map_err(unplaced)?;
            catalog.restore_feature(def, line.start)?;
        }
        _ => return Err(damaged("it holds a statement that defines nothing")),
    }
    Ok(())
}

fn parse_line<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T> {
    serde_json::from_str(line).map_err(|error| damaged(&error.to_string()))
}

/// Verifies the last line; the number of statements it promises.
fn check_end(text: &str) -> Result<usize> {
    let mark = format!("\n--{MARK}end ");
    let Some(at) = text.rfind(&mark) else { return Err(damaged("its end is missing")) };
    let (before, line) = text.split_at(at);
    let end: EndLine = parse_line(line.trim_start_matches(&mark).trim_end())?;
    if checksum(before) != end.checksum {
        return Err(damaged("its checksum is wrong; was it edited?"));
    }
    Ok(end.statements)
}

#[cfg(test)]
mod tests;
