//! A catalog written is the catalog read, whatever the names; a damaged one is noticed.

use super::*;
use crate::catalog::define::tests::{env, infer};
use crate::catalog::registry::tests::{feature, source};
use crate::sql::ast::ObjectKind;

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let refuse = IfExists::Refuse;
    let history = ", 'history'='${HOST}/h'";
    catalog
        .create_source(source("\"My \"\"Source\"\"\"", "\"select\" INT", history), refuse)
        .unwrap();
    catalog.create_source(source("s2", "a INT, b AS (a * 2)", ""), refuse).unwrap();
    let query = "SELECT \"select\" AS \"A b\", 'x -- skewless: end {}; ''q''' AS c
        FROM \"My \"\"Source\"\"\" /* gone */";
    catalog.create_feature(feature("f1", query, "aa", "'owner'='o''hara'"), refuse).unwrap();
    catalog.create_feature(feature("gone", "SELECT a FROM s2", "g", ""), refuse).unwrap();
    catalog.drop_object(ObjectKind::Feature, "gone", false, false).unwrap();
    catalog.set_start("f1", "{\"0\":12}".to_owned()).unwrap();
    catalog
}

#[test]
fn a_catalog_survives_a_round_trip_through_its_file() {
    let home = tempfile::tempdir().unwrap();
    let nested = home.path().join("a/b");
    assert_eq!(load(&nested, &env, &infer).unwrap(), Catalog::default());
    let mut catalog = catalog();
    save(&nested, &catalog).unwrap();
    let text = fs::read_to_string(nested.join(CATALOG_FILE)).unwrap();
    assert!(text.contains("${HOST}/h") && !text.contains("broker"), "{text}");
    let read = load(&nested, &env, &infer).unwrap();
    assert_eq!(read, catalog);
    assert_eq!(
        read.source("My \"Source\"").unwrap().options.history.as_deref(),
        Some("broker:9092/h")
    );
    // Replaced so that it reads what was created after it: order in the file does not matter.
    let top = feature("top", "SELECT a FROM s2", "t", "");
    catalog.create_feature(top, IfExists::Refuse).unwrap();
    let f1 = feature("f1", "SELECT a FROM top", "bb", "");
    catalog.create_feature(f1, IfExists::Replace).unwrap();
    save(&nested, &catalog).unwrap();
    let read = load(&nested, &env, &infer).unwrap();
    assert_eq!(read, catalog);
    assert_eq!(read.feature("f1").unwrap().version, 2);
    assert_eq!(read.next_version("gone", "g"), 2);
    assert!(!nested.join(TEMPORARY_FILE).exists());
}

#[test]
fn an_empty_catalog_can_be_stored() {
    let text = write(&Catalog::default()).unwrap();
    assert_eq!(read(&text, &env, &infer).unwrap(), Catalog::default());
}

#[test]
fn every_damage_is_noticed() {
    let text = write(&catalog()).unwrap();
    assert_eq!(read(&text, &env, &infer).unwrap(), catalog());
    for cut in (0..text.len() - 1).step_by(7).filter(|at| text.is_char_boundary(*at)) {
        let error = read(&text[..cut], &env, &infer).expect_err("a cut file");
        assert!(error.message().starts_with("the catalog is damaged: "), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
    let edited = text.replace("s2", "s3");
    let error = read(&edited, &env, &infer).unwrap_err();
    assert_eq!(error.message(), "the catalog is damaged: its checksum is wrong; was it edited?");
    let error = read("CREATE SOURCE", &env, &infer).unwrap_err();
    assert!(error.message().contains("does not begin"), "{error}");
}

#[test]
fn an_unset_variable_is_named_with_the_file() {
    let home = tempfile::tempdir().unwrap();
    save(home.path(), &catalog()).unwrap();
    let error = load(home.path(), &|_| None, &infer).unwrap_err();
    assert!(error.message().ends_with("the environment variable 'HOST' is not set"), "{error}");
    assert!(error.message().contains(CATALOG_FILE) && error.span().is_none());
}
