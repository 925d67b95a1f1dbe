//! Looking up, adding, replacing and dropping definitions.

use super::*;
use crate::catalog::define::source_def;
use crate::catalog::define::tests::{env, infer};
use crate::catalog::define_feature::feature_def;
use crate::sql::ast::Statement;
use crate::sql::parser::parse_statements;

/// A file source with a column per name.
pub(crate) fn source(name: &str, columns: &str, more: &str) -> SourceDef {
    let text = format!(
        "CREATE SOURCE {name} ({columns}, ts TIMESTAMP, WATERMARK FOR ts AS ts)
         WITH ('connector'='file', 'path'='d/'{more})"
    );
    match parse_statements(&text).unwrap().remove(0) {
        Statement::CreateSource(create) => source_def(&create, &env, &infer).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A feature whose fingerprint is given.
pub(crate) fn feature(name: &str, query: &str, fingerprint: &str, options: &str) -> FeatureDef {
    let text = format!("CREATE FEATURE {name} WITH ({options}) AS {query}");
    match parse_statements(&text).unwrap().remove(0) {
        Statement::CreateFeature(create) => {
            feature_def(&create, 1, fingerprint.to_owned(), &env).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    catalog.create_source(source("transactions", "a INT", ""), IfExists::Refuse).unwrap();
    catalog
        .create_feature(feature("spend", "SELECT a FROM transactions", "x", ""), IfExists::Refuse)
        .unwrap();
    catalog
}

fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn lookups_say_what_there_is_instead() {
    let catalog = catalog();
    assert_eq!(catalog.source("transactions").unwrap().name, "transactions");
    assert_eq!(catalog.feature("spend").unwrap().version, 1);
    assert_eq!(
        message(catalog.source("transaction")),
        "there is no source 'transaction' (hint: did you mean 'transactions'?)"
    );
    assert_eq!(message(catalog.source("spend")), "'spend' is a feature, not a source");
    assert_eq!(
        message(catalog.feature("transactions")),
        "'transactions' is a source, not a feature"
    );
    assert_eq!(
        message(catalog.feature("zzz")),
        "there is no feature 'zzz' (hint: there is: spend)"
    );
    assert_eq!(
        message(Catalog::default().feature("zzz")),
        "there is no feature 'zzz' (hint: CREATE FEATURE makes one)"
    );
    assert_eq!(catalog.dependents("transactions"), ["spend"]);
}

#[test]
fn create_refuses_keeps_or_replaces_an_existing_name() {
    let mut catalog = catalog();
    let again = || source("transactions", "a INT", "");
    assert_eq!(
        message(catalog.create_source(again(), IfExists::Refuse)),
        "the source 'transactions' exists already \
         (hint: CREATE OR REPLACE SOURCE, or IF NOT EXISTS)"
    );
    let other = source("transactions", "b INT", "");
    assert_eq!(catalog.create_source(other.clone(), IfExists::Keep).unwrap(), Created::Unchanged);
    assert_eq!(catalog.create_source(again(), IfExists::Replace).unwrap(), Created::Unchanged);
    assert_eq!(
        message(catalog.create_source(source("spend", "a INT", ""), IfExists::Replace)),
        "'spend' is a feature already (hint: sources and features share their names)"
    );
    let moved = source("transactions", "a INT", ", 'history'='h/'");
    assert_eq!(
        catalog.create_source(moved, IfExists::Replace).unwrap(),
        Created::Changed("'history'".to_owned())
    );
    assert_eq!(
        message(catalog.create_source(other.clone(), IfExists::Replace)),
        "the columns of source 'transactions' cannot change while spend reads it \
         (hint: create a new source, and features that read it)"
    );
    catalog.drop_object(ObjectKind::Feature, "spend", false, false).unwrap();
    assert_eq!(
        catalog.create_source(other, IfExists::Replace).unwrap(),
        Created::Restarted("the columns".to_owned())
    );
}

#[test]
fn a_feature_keeps_its_version_with_its_fingerprint_and_never_uses_one_twice() {
    let mut catalog = catalog();
    let query = "SELECT a FROM transactions";
    let mut replace = |fingerprint: &str, options: &str| {
        catalog.create_feature(feature("spend", query, fingerprint, options), IfExists::Replace)
    };
    assert_eq!(replace("x", "").unwrap(), Created::Unchanged);
    assert_eq!(replace("x", "'online'='none'").unwrap(), Created::Changed("'online'".to_owned()));
    assert_eq!(replace("y", "").unwrap(), Created::Restarted("what it computes".to_owned()));
    assert_eq!(catalog.feature("spend").unwrap().version, 2);
    catalog.set_start("spend", "p0@5".to_owned()).unwrap();
    catalog.drop_object(ObjectKind::Feature, "spend", false, false).unwrap();
    assert_eq!(catalog.retired().collect::<Vec<_>>(), [("spend", 2)]);
    catalog.create_feature(feature("spend", query, "y", ""), IfExists::Refuse).unwrap();
    let entry = catalog.feature_entry("spend").unwrap();
    assert_eq!((entry.def.version, entry.start.as_deref()), (3, None));
}

#[test]
fn a_feature_must_read_what_exists_and_never_itself() {
    let mut catalog = catalog();
    let mut create = |name: &str, query: &str| {
        message(catalog.create_feature(feature(name, query, "z", ""), IfExists::Replace))
    };
    assert_eq!(
        create("f", "SELECT * FROM transactons"),
        "there is no source or feature 'transactons' (hint: did you mean 'transactions'?)"
    );
    assert_eq!(create("f", "SELECT * FROM f"), "feature 'f' reads itself");
    let top = feature("top", "SELECT a FROM spend", "t", "");
    catalog.create_feature(top, IfExists::Refuse).unwrap();
    let back = feature("spend", "SELECT a FROM top", "t", "");
    assert_eq!(
        message(catalog.create_feature(back, IfExists::Replace)),
        "feature 'spend' reads 'top', which reads it"
    );
}

#[test]
fn drop_is_refused_while_something_depends_unless_it_cascades() {
    let mut catalog = catalog();
    let top = feature("top", "SELECT a FROM spend", "t", "");
    catalog.create_feature(top, IfExists::Refuse).unwrap();
    assert_eq!(
        message(catalog.drop_object(ObjectKind::Source, "transactions", false, false)),
        "source 'transactions' is read by spend \
         (hint: drop what reads it first, or DROP SOURCE transactions CASCADE)"
    );
    assert_eq!(
        message(catalog.drop_object(ObjectKind::Source, "spend", true, false)),
        "'spend' is a feature, not a source"
    );
    assert_eq!(catalog.drop_object(ObjectKind::Source, "no", true, false).unwrap(), []);
    let dropped = catalog.drop_object(ObjectKind::Source, "transactions", false, true).unwrap();
    let names: Vec<&str> = dropped.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["top", "spend", "transactions"]);
    assert!(catalog.entries().is_empty());
}
