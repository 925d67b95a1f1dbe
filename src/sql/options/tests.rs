//! The table itself: complete, consistent, every default readable.

use super::*;

#[test]
fn names_are_unique_and_every_default_is_a_value_of_its_type() {
    for (at, spec) in OPTIONS.iter().enumerate() {
        let twin = OPTIONS
            .iter()
            .skip(at + 1)
            .find(|other| other.name == spec.name && other.applies_to == spec.applies_to);
        assert!(twin.is_none(), "{} twice", spec.name);
        assert!(!spec.doc.is_empty() && !spec.doc.ends_with('.'), "{}", spec.name);
        assert!(!spec.value_type.describe().is_empty());
        if let Some(default) = spec.default {
            let value = spec.value_type.read(default);
            assert!(value.is_ok(), "{}: {value:?}", spec.name);
        }
    }
}

#[test]
fn every_option_of_the_interface_is_in_the_table() {
    let source = "connector path topic properties.* scan.startup.mode scan.startup.timestamp \
        partitioned.by format json.timestamp json.coerce json.nonfinite json.unknown history \
        archive dead_letter dead_letter.max_ratio max_future idle_timeout idle on_gap \
        message.max_bytes";
    let feature = "online online.key offline offline.interval ttl refresh bootstrap freshness.slo \
        log description owner tags";
    for (applies_to, names) in [(AppliesTo::Source, source), (AppliesTo::Feature, feature)] {
        for name in names.split_whitespace() {
            assert!(OPTIONS.iter().any(|o| o.name == name && o.applies_to == applies_to), "{name}");
        }
    }
}

#[test]
fn variables_expand_with_defaults_and_dollars_can_be_kept() {
    let env = |name: &str| match name {
        "A" => Some("x".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    for (text, expected) in [
        ("plain $5 {A}", "plain $5 {A}"),
        ("${A}", "x"),
        ("1${A}2${A}3", "1x2x3"),
        ("${B:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY}", ""),
        ("${B:-}", ""),
        ("${B:-a:-b}", "a:-b"),
        ("$${A}", "${A}"),
    ] {
        assert_eq!(expand(text, &env).unwrap(), expected, "{text}");
    }
}

#[test]
fn sizes_are_read_in_both_kinds_of_units() {
    use crate::sql::option_value::parse_bytes;
    for (text, expected) in [
        ("1048576", Some(1 << 20)),
        ("1 MiB", Some(1 << 20)),
        ("2kb", Some(2_000)),
        ("1 GiB", Some(1 << 30)),
        ("0", None),
        ("", None),
        ("1.5 MiB", None),
        ("-1", None),
        ("99999999999999999999 GB", None),
    ] {
        assert_eq!(parse_bytes(text), expected, "{text}");
    }
}
