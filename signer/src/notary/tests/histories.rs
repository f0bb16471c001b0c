//! Random histories of a collection that the registry and a person sign in.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::notary::delegate::{Meant, Vouched};

use super::delegate::{ANN, OWN, Scene, meant, tags};
use super::kit::{NOW, RELEASES};

/// What may happen to a collection.
#[derive(Debug, Clone)]
enum Step {
    /// The registry vouches for exactly this.
    Vouch(BTreeMap<u8, u8>),
    /// Ann signs a tag, or what she released of it goes.
    Ann(u8, Option<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        proptest::collection::btree_map(0..4_u8, 1..4_u8, 0..4).prop_map(Step::Vouch),
        (0..4_u8, proptest::option::of(1..4_u8)).prop_map(|(tag, byte)| Step::Ann(tag, byte)),
    ]
}

proptest! {
    /// After each step: what is vouched for stands in the registry's own delegation and nothing else; what is released is what was
    /// said last of each tag; and there is nothing more to do.
    #[test]
    fn whatever_happens_what_is_released_is_what_was_said_last(steps in proptest::collection::vec(step(), 1..12)) {
        const NAMES: [&str; 4] = ["0", "1", "2", "3"];
        let mut scene = Scene::new();
        let (mut vouched, mut of_ann, mut released) = (BTreeMap::<u8, u8>::new(), BTreeMap::new(), BTreeMap::new());
        let mut version = 100;
        for step in steps {
            match step {
                Step::Vouch(now) => {
                    for (tag, byte) in &vouched {
                        let is_said = now.get(tag) == Some(byte) || of_ann.get(tag) == Some(byte);
                        if !is_said && released.get(tag) == Some(byte) {
                            released.remove(tag);
                        }
                    }
                    for (tag, byte) in &now {
                        if vouched.get(tag) != Some(byte) {
                            released.insert(*tag, *byte);
                        }
                    }
                    vouched = now;
                }
                Step::Ann(tag, byte) => {
                    match byte {
                        Some(byte) => drop((of_ann.insert(tag, byte), released.insert(tag, byte))),
                        None => drop((of_ann.remove(&tag), released.remove(&tag))),
                    }
                    let ann = scene.ann.clone();
                    for (role, tags) in [(ANN, &of_ann), (RELEASES, &released)] {
                        version += 1;
                        let tags: Vec<_> = tags.iter().map(|(tag, byte)| (NAMES[usize::from(*tag)], *byte)).collect();
                        scene.stands(role, version, &ann, &tags);
                    }
                }
            }
            let named = |tags: &BTreeMap<u8, u8>| -> Vec<(&str, u8)> {
                tags.iter().map(|(tag, byte)| (NAMES[usize::from(*tag)], *byte)).collect()
            };
            let all = named(&vouched);
            scene.publish(&all);
            prop_assert_eq!(scene.held(OWN), tags(&all));
            prop_assert_eq!(scene.held(RELEASES), tags(&named(&released)));
            prop_assert_eq!(scene.says(&all), []);
        }
    }
}

/// What may happen to a collection whose owner changes who signs for what.
#[derive(Debug, Clone)]
enum Turn {
    /// The registry vouches for exactly this: each tag with a digest and the time of that word.
    Vouch(BTreeMap<u8, (u8, i64)>),
    /// Ann releases a tag, or what is released of it goes; what else is there she takes along.
    Ann(u8, Option<u8>),
    /// What is released names the registry's key, does not, or is a role no more.
    Names(u8),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => proptest::collection::btree_map(0..3_u8, (1..3_u8, 1..3_i64), 0..3).prop_map(Turn::Vouch),
        2 => (0..3_u8, proptest::option::of(1..3_u8)).prop_map(|(tag, byte)| Turn::Ann(tag, byte)),
        2 => (0..3_u8).prop_map(Turn::Names),
    ]
}

proptest! {
    /// However often the owner lets the registry sign there and not: what it vouches for no more is released no more, unless ann
    /// has released just that, and what ann has released goes only where the registry has said something of the tag.
    #[test]
    fn nothing_that_is_withdrawn_stays_released(turns in proptest::collection::vec(turn(), 1..16)) {
        const NAMES: [&str; 3] = ["0", "1", "2"];
        let own: (&str, &[&str], i64, &[&str]) = (OWN, &["ours"], 1, &[""]);
        let mut scene = Scene::new();
        let (mut vouched, mut names, mut version) = (BTreeMap::<u8, (u8, i64)>::new(), 0, 100);
        let (mut by_ann, mut said) = (BTreeSet::new(), BTreeSet::new());
        for turn in turns.into_iter().chain([Turn::Names(0)]) {
            let before = scene.held(RELEASES);
            match turn {
                Turn::Vouch(now) => vouched = now,
                Turn::Names(which) => {
                    names = which;
                    match which {
                        0 => scene.delegates(&[own, (RELEASES, &["ours", "ann"], 1, &[""])]),
                        1 => scene.delegates(&[own, (RELEASES, &["ann"], 1, &[""])]),
                        _ => scene.delegates(&[own]),
                    }
                }
                Turn::Ann(..) if names == 2 => {}
                Turn::Ann(tag, byte) => {
                    let tag = NAMES[usize::from(tag)];
                    let mut all: BTreeMap<String, u8> = before.iter().cloned().collect();
                    match byte {
                        Some(byte) => {
                            by_ann.insert((tag.to_owned(), byte));
                            all.insert(tag.to_owned(), byte);
                        }
                        None => drop(all.remove(tag)),
                    }
                    version += 1;
                    let all: Vec<_> = all.iter().map(|(tag, byte)| (tag.as_str(), *byte)).collect();
                    scene.stands(RELEASES, version, &scene.ann.clone(), &all);
                }
            }
            said.extend(vouched.keys().map(|tag| NAMES[usize::from(*tag)].to_owned()));
            let before = scene.held(RELEASES);
            let all: Vouched = vouched
                .iter()
                .map(|(tag, (byte, at))| (NAMES[usize::from(*tag)].to_owned(), Meant { signed_at: *at, ..meant(*byte) }))
                .collect();
            let next = scene.next_of(all.clone(), NOW).unwrap();
            scene.store(next);
            prop_assert_eq!(scene.next_of(all.clone(), NOW).unwrap().len(), 0, "it settles");
            let means: Vec<(String, u8)> = all.iter().map(|(tag, meant)| (tag.clone(), meant.sha256[0])).collect();
            prop_assert_eq!(&scene.held(OWN), &means);
            let after = scene.held(RELEASES);
            for gone in before.iter().filter(|one| !after.contains(one)) {
                prop_assert!(said.contains(&gone.0), "{gone:?} was ann's");
            }
            if names == 0 {
                for one in &after {
                    prop_assert!(means.contains(one) || by_ann.contains(one), "{one:?} stays");
                }
            } else {
                prop_assert_eq!(before, after);
            }
        }
    }
}
