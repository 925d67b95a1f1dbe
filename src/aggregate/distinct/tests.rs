//! Tests of `distinct` against a sorted map.

use std::collections::BTreeMap;

use super::*;
use crate::aggregate::oracle::{Random, for_seeds};

fn random_set(random: &mut Random) -> Distinct<u64> {
    let mut set = Distinct::new();
    for _ in 0..random.below(20) {
        set.add(random.below(15));
    }
    set
}

#[test]
fn values_are_told_when_they_appear_and_when_they_are_gone() {
    for_seeds(|random| {
        let (mut set, mut model) = (Distinct::new(), BTreeMap::<u64, u64>::new());
        for _ in 0..200 {
            let value = random.below(12);
            let there = model.get(&value).copied().unwrap_or(0);
            if there > 0 && random.below(2) == 0 {
                assert_eq!(set.sub(&value), there == 1);
                if there == 1 {
                    model.remove(&value);
                } else {
                    model.insert(value, there - 1);
                }
            } else {
                assert_eq!(set.add(value), there == 0);
                model.insert(value, there + 1);
            }
            assert_eq!(set.len(), model.len());
            assert_eq!(set.count_of(&value), model.get(&value).copied().unwrap_or(0));
        }
        assert!(set.sorted().into_iter().map(|(v, n)| (*v, n)).eq(model));
    });
}

#[test]
fn merging_and_unmerging_report_exactly_the_change_of_the_set() {
    for_seeds(|random| {
        let (mut set, other) = (random_set(random), random_set(random));
        let before: Vec<u64> = set.sorted().iter().map(|entry| *entry.0).collect();
        let (mut appeared, mut gone) = (Vec::new(), Vec::new());
        set.merge(&other, |value| appeared.push(*value));
        assert!(appeared.iter().all(|value| !before.contains(value)));
        assert_eq!(set.len(), before.len() + appeared.len());
        set.unmerge(&other, |value| gone.push(*value));
        appeared.sort_unstable();
        gone.sort_unstable();
        assert_eq!(appeared, gone);
        assert!(set.sorted().iter().map(|entry| *entry.0).eq(before));
    });
}

#[test]
fn text_is_copied_only_when_it_is_new() {
    let mut set = Distinct::<Box<str>>::new();
    assert!(set.add_ref("a"));
    assert!(!set.add_ref("a"));
    assert!(!set.sub("a"));
    assert!(set.sub("a"));
    assert!(set.is_empty());
}

#[test]
#[should_panic(expected = "never added")]
fn taking_away_what_was_never_added_is_a_bug() {
    Distinct::<u64>::new().sub(&1);
}
