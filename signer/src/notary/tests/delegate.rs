//! What is vouched for, as the registry writes it into the delegations that name its key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use crate::notary::delegate::{Concerned, Meant, Next, StandingFile, Stands, Unreadable, Vouched, plan};
use crate::notary::publish::Refused;
use crate::notary::{FileMeta, KeyDocument, Signed, Targets};

use super::keys::Key;
use super::kit::{Draft, Keys, NOW, RELEASES, delegation, key_map};
use super::swizzler::Scene as Swizzled;

pub(super) const OWN: &str = "targets/hallmark";
pub(super) const ANN: &str = "targets/ann";
const YEAR: i64 = 365 * 86_400_000;

/// A collection whose owner has made the registry and ann signers, as Docker's client does.
pub(super) struct Scene {
    keys: Keys,
    ours: Arc<Key>,
    /// Another one of ours.
    next: Arc<Key>,
    pub(super) ann: Arc<Key>,
    targets: Draft,
    /// Each file with its version and how often its role began anew.
    delegations: BTreeMap<&'static str, StandingFile>,
    held: BTreeMap<String, KeyDocument>,
}

impl Scene {
    pub(super) fn new() -> Self {
        let (keys, ours, next, ann) = (Keys::make(), Key::ecdsa(), Key::ecdsa(), Key::ecdsa());
        let held = [&ours, &next].map(|key| (key.id(), key.document.clone())).into();
        let mut targets = keys.targets(2);
        targets.signed["targets"] = json!({});
        let mut scene = Self { keys, ours, next, ann, targets, delegations: BTreeMap::new(), held };
        scene.delegates(&[
            (OWN, &["ours"], 1, &[""]),
            (ANN, &["ann"], 1, &[""]),
            (RELEASES, &["ours", "ann"], 1, &[""]),
        ]);
        scene
    }

    /// Lets `targets` name these roles: their keys, their threshold and their paths.
    pub(super) fn delegates(&mut self, roles: &[(&str, &[&str], i64, &[&str])]) {
        let key = |name: &&str| match *name {
            "ours" => &self.ours,
            "next" => &self.next,
            _ => &self.ann,
        };
        let roles: Vec<Json> = roles
            .iter()
            .map(|(role, names, threshold, paths)| {
                let keys: Vec<&Arc<Key>> = names.iter().map(key).collect();
                delegation(role, &keys, *threshold, paths)
            })
            .collect();
        self.targets.signed["delegations"] =
            json!({"keys": key_map([&self.ours, &self.next, &self.ann]), "roles": roles});
    }

    /// Lets these tags stand in a delegation, signed by this key.
    pub(super) fn stands(&mut self, role: &'static str, version: u64, by: &Arc<Key>, tags: &[(&str, u8)]) {
        let targets: serde_json::Map<_, _> =
            tags.iter().map(|(tag, byte)| ((*tag).to_owned(), target(*byte))).collect();
        self.stands_as(
            role,
            version,
            by,
            &json!({
                "_type": "Targets", "expires": "2029-12-01T00:00:00Z", "version": version, "targets": targets,
                "delegations": {"keys": {}, "roles": []},
            }),
        );
    }

    fn stands_as(&mut self, role: &'static str, version: u64, by: &Arc<Key>, signed: &Json) {
        let bytes = Draft { signed: signed.clone(), signers: vec![Arc::clone(by)] }.seal();
        assert_eq!(Signed::<Targets>::parse(&bytes).unwrap().version, version);
        self.delegations
            .insert(role, StandingFile { role: role.parse().unwrap(), lives: 0, before: 0, bytes: Some(bytes) });
    }

    fn next(&self, vouched: &[(&str, u8)]) -> Vec<Next> {
        self.next_at(vouched, NOW).unwrap()
    }

    fn next_at(&self, vouched: &[(&str, u8)], now: i64) -> Result<Vec<Next>, Unreadable> {
        self.next_of(vouched.iter().map(|(tag, byte)| ((*tag).to_owned(), meant(*byte))).collect(), now)
    }

    pub(super) fn next_of(&self, vouched: Vouched, now: i64) -> Result<Vec<Next>, Unreadable> {
        let stands = Stands {
            root: self.keys.root(1).seal(),
            targets: self.targets.seal(),
            delegations: self.delegations.values().cloned().collect(),
        };
        Ok(plan(&stands, &vouched, &self.held, now)?.next)
    }

    /// Which roles have a next file, each with the tags that it names.
    pub(super) fn says(&self, vouched: &[(&str, u8)]) -> Vec<(String, Vec<(String, u8)>)> {
        self.next(vouched)
            .into_iter()
            .map(|next| (next.role.to_string(), named(&self.sealed(next).content.targets)))
            .collect()
    }

    fn sealed(&self, next: Next) -> Signed<Targets> {
        Signed::parse(&self.bytes(next)).unwrap()
    }

    fn bytes(&self, next: Next) -> Vec<u8> {
        let version = next.after + 1;
        let signing: Vec<_> =
            [&self.ours, &self.next].into_iter().filter(|key| next.keys.contains(&key.id())).collect();
        assert_eq!(signing.len(), next.keys.len());
        let draft = next.draft(version);
        let signatures: Vec<_> = signing.iter().map(|key| key.sign(draft.message())).collect();
        draft.sealed(&signatures)
    }

    /// Publishes what is next.
    pub(super) fn publish(&mut self, vouched: &[(&str, u8)]) {
        self.store(self.next(vouched));
    }

    pub(super) fn store(&mut self, next: Vec<Next>) {
        for next in next {
            let name = [OWN, RELEASES].into_iter().find(|name| *name == next.role.as_str()).unwrap();
            let (role, lives) = (next.role.clone(), next.lives);
            let bytes = self.bytes(next);
            self.delegations.insert(name, StandingFile { role, lives, before: 0, bytes: Some(bytes) });
        }
    }

    pub(super) fn held(&self, role: &str) -> Vec<(String, u8)> {
        let file = self.delegations.get(role);
        file.map_or(Vec::new(), |file| {
            named(&Signed::<Targets>::parse(file.bytes.as_ref().unwrap()).unwrap().content.targets)
        })
    }
}

/// The same as it is vouched for.
pub(super) fn meant(byte: u8) -> Meant {
    Meant { length: 1_234, sha256: [byte; 32], signed_at: 1 }
}

/// What a tag means whose digest has this byte all over.
fn target(byte: u8) -> Json {
    json!({"hashes": {"sha256": STANDARD.encode([byte; 32])}, "length": 1_234})
}

/// The tags of a file, each with the byte of its digest.
fn named(targets: &BTreeMap<String, FileMeta>) -> Vec<(String, u8)> {
    let byte = |meta: &FileMeta| STANDARD.decode(&meta.hashes["sha256"]).unwrap()[0];
    targets.iter().map(|(tag, meta)| (tag.clone(), byte(meta))).collect()
}

pub(super) fn tags(tags: &[(&str, u8)]) -> Vec<(String, u8)> {
    tags.iter().map(|(tag, byte)| ((*tag).to_owned(), *byte)).collect()
}

#[test]
fn what_is_vouched_for_begins_both_delegations() {
    let scene = Scene::new();
    let both = tags(&[("1", 1), ("2", 2)]);
    assert_eq!(scene.says(&[("1", 1), ("2", 2)]), [(OWN.to_owned(), both.clone()), (RELEASES.to_owned(), both)]);
    let file = scene.sealed(scene.next(&[("1", 1)]).remove(0));
    assert_eq!((file.version, file.expires), (1, NOW + 3 * YEAR));
    assert!(file.content.delegations.roles.is_empty() && file.content.delegations.keys.is_empty());
    assert_eq!(file.content.targets["1"].length, 1_234);
    assert_eq!(scene.says(&[]), [], "nothing was vouched for");
}

#[test]
fn what_is_said_already_is_not_said_again() {
    let mut scene = Scene::new();
    scene.stands(RELEASES, 4, &scene.ann.clone(), &[("a", 9)]);
    scene.publish(&[("1", 1)]);
    assert_eq!(scene.held(RELEASES), tags(&[("1", 1), ("a", 9)]));
    assert_eq!(scene.says(&[("1", 1)]), []);
    let version = |file: &StandingFile| Signed::<Targets>::parse(file.bytes.as_ref().unwrap()).unwrap().version;
    let versions: Vec<_> = scene.delegations.values().map(version).collect();
    assert_eq!(versions, [1, 5], "each one above what stood");
}

#[test]
fn a_tag_that_means_something_else_takes_the_place_of_what_was_released() {
    let mut scene = Scene::new();
    scene.stands(RELEASES, 1, &scene.ann.clone(), &[("1", 9), ("2", 9)]);
    scene.publish(&[("1", 1)]);
    assert_eq!(scene.held(RELEASES), tags(&[("1", 1), ("2", 9)]));
    scene.publish(&[("1", 3)]);
    assert_eq!((scene.held(OWN), scene.held(RELEASES)), (tags(&[("1", 3)]), tags(&[("1", 3), ("2", 9)])));
}

#[test]
fn what_is_vouched_for_no_more_leaves_what_is_released() {
    let mut scene = Scene::new();
    scene.stands(RELEASES, 1, &scene.ann.clone(), &[("a", 9)]);
    scene.publish(&[("1", 1), ("2", 2)]);
    scene.publish(&[("2", 2)]);
    assert_eq!((scene.held(OWN), scene.held(RELEASES)), (tags(&[("2", 2)]), tags(&[("2", 2), ("a", 9)])));
    scene.publish(&[]);
    assert_eq!((scene.held(OWN), scene.held(RELEASES)), (tags(&[]), tags(&[("a", 9)])));
}

#[test]
fn what_another_signs_as_well_stays() {
    let mut scene = Scene::new();
    scene.publish(&[("1", 1), ("2", 2)]);
    scene.stands(ANN, 1, &scene.ann.clone(), &[("1", 1), ("2", 9)]);
    scene.publish(&[]);
    assert_eq!(scene.held(RELEASES), tags(&[("1", 1)]), "ann signs 1, and another 2");
    let mut scene = Scene::new();
    scene.publish(&[("1", 1)]);
    scene.stands(ANN, 1, &Key::ecdsa(), &[("1", 1)]);
    scene.publish(&[]);
    assert_eq!(scene.held(RELEASES), [], "what ann has not signed is not hers");
}

#[test]
fn what_somebody_has_withdrawn_or_replaced_since_is_left_alone() {
    let mut scene = Scene::new();
    scene.publish(&[("1", 1), ("2", 2)]);
    scene.stands(RELEASES, 2, &scene.ann.clone(), &[("2", 9)]);
    assert_eq!(scene.says(&[("1", 1), ("2", 2)]), []);
    assert_eq!(scene.says(&[("1", 1)]), [(OWN.to_owned(), tags(&[("1", 1)]))], "2 is ann's by now");
    let again = [("1", 3), ("2", 2)];
    assert_eq!(
        scene.says(&again)[1],
        (RELEASES.to_owned(), tags(&[("1", 3), ("2", 9)])),
        "until it is vouched for anew"
    );
}

#[test]
fn only_delegations_whose_keys_are_all_ours_say_what_is_vouched_for() {
    let vouched = [("1", 1)];
    let says = |roles: &[(&str, &[&str], i64, &[&str])]| {
        let mut scene = Scene::new();
        scene.delegates(roles);
        scene.says(&vouched).into_iter().map(|(role, _)| role).collect::<Vec<_>>()
    };
    assert_eq!(says(&[(OWN, &["ours", "ann"], 1, &[""]), (RELEASES, &["ours"], 1, &[""])]), [""; 0]);
    assert_eq!(says(&[(RELEASES, &["ours"], 1, &[""])]), [""; 0], "nobody is named as a signer");
    assert_eq!(says(&[(OWN, &["ann"], 1, &[""]), (RELEASES, &["ann"], 1, &[""])]), [""; 0]);
    assert_eq!(says(&[(OWN, &["ours"], 2, &[""]), (RELEASES, &["ours"], 1, &[""])]), [""; 0], "two must sign");
    assert_eq!(says(&[(OWN, &["ours"], 1, &[""]), (RELEASES, &["ours", "ann"], 2, &[""])]), [OWN]);
    assert_eq!(says(&[(OWN, &["ours"], 1, &[""]), (RELEASES, &["ann"], 1, &[""])]), [OWN]);
    assert_eq!(says(&[(OWN, &["ours"], 1, &[""])]), [OWN]);
    assert_eq!(says(&[("targets/other", &["ours"], 1, &[""])]), ["targets/other"], "whatever the owner calls it");
    assert_eq!(says(&[("targets/releases/deep", &["ours"], 1, &[""]), ("releases", &["ours"], 1, &[""])]), [""; 0]);
}

#[test]
fn a_delegation_names_what_is_within_its_paths() {
    let mut scene = Scene::new();
    scene.delegates(&[(OWN, &["ours"], 1, &["v", "w"]), (RELEASES, &["ours"], 1, &["v1"])]);
    let says = scene.says(&[("v1", 1), ("v2", 2), ("w", 3), ("x", 4)]);
    let own = (OWN.to_owned(), tags(&[("v1", 1), ("v2", 2), ("w", 3)]));
    assert_eq!(says, [own, (RELEASES.to_owned(), tags(&[("v1", 1)]))]);
}

#[test]
fn what_its_signers_did_not_sign_names_nothing() {
    let mut scene = Scene::new();
    scene.stands(OWN, 7, &Key::ecdsa(), &[("1", 1)]);
    scene.stands(RELEASES, 8, &Key::ecdsa(), &[("1", 1), ("a", 9)]);
    let next = scene.next(&[("1", 1)]);
    assert_eq!(next.iter().map(|next| next.after).collect::<Vec<_>>(), [7, 8]);
    scene.publish(&[("1", 1)]);
    assert_eq!((scene.held(OWN), scene.held(RELEASES)), (tags(&[("1", 1)]), tags(&[("1", 1)])));
}

/// What ann has released.
fn of_ann(targets: &Json, delegations: &Json) -> Json {
    json!({
        "_type": "Targets", "expires": "2029-12-01T00:00:00Z", "version": 3, "targets": targets, "note": "ann's",
        "delegations": delegations,
    })
}

#[test]
fn what_others_have_written_stays_as_it_is() {
    let mut scene = Scene::new();
    let custom = json!({"hashes": {"sha256": STANDARD.encode([9; 32])}, "length": 7, "custom": {"a": [1, "b"]}});
    // The form that is signed has a control character as it is, and JSON has not.
    let signed = of_ann(&json!({"a": custom, "\u{1}\n": target(9)}), &Json::Null);
    scene.stands_as(RELEASES, 3, &scene.ann.clone(), &signed);
    scene.publish(&[("1", 1)]);
    let written: Json = serde_json::from_slice(scene.delegations[RELEASES].bytes.as_ref().unwrap()).unwrap();
    let mut expected = signed;
    expected["targets"]["1"] = target(1);
    expected["version"] = json!(4);
    expected["expires"] = written["signed"]["expires"].clone();
    assert_eq!(written["signed"], expected);
    assert_eq!(scene.says(&[("1", 1)]), [], "readers take it");
}

#[test]
fn what_hands_something_on_to_others_is_not_signed() {
    let mut scene = Scene::new();
    let deep = delegation("targets/releases/deep", &[&scene.ann], 1, &["v1."]);
    let signed = of_ann(&json!({"1": target(9)}), &json!({"keys": key_map([&scene.ann]), "roles": [deep]}));
    scene.stands_as(RELEASES, 3, &scene.ann.clone(), &signed);
    assert_eq!(scene.says(&[("1", 1)]), [(OWN.to_owned(), tags(&[("1", 1)]))]);
    scene.publish(&[("1", 1)]);
    scene.stands(RELEASES, 4, &scene.ann.clone(), &[("1", 9)]);
    assert_eq!(scene.says(&[("1", 1)])[1], (RELEASES.to_owned(), tags(&[("1", 1)])), "until it does so no more");
}

#[test]
fn what_cannot_be_withdrawn_at_once_is_not_forgotten() {
    type Change = fn(&mut Scene);
    let nested: Change = |scene| {
        let deep = delegation("targets/releases/deep", &[&scene.ann], 1, &["v1."]);
        let delegations = json!({"keys": key_map([&scene.ann]), "roles": [deep]});
        let signed = of_ann(&json!({"1": target(1), "2": target(2), "a": target(9)}), &delegations);
        scene.stands_as(RELEASES, 3, &scene.ann.clone(), &signed);
    };
    let untold: Change = |scene| scene.delegations.get_mut(RELEASES).unwrap().bytes = None;
    let unnamed: Change = |scene| scene.delegates(&[(OWN, &["ours"], 1, &[""]), (RELEASES, &["ann"], 1, &[""])]);
    for change in [nested, untold, unnamed] {
        let mut scene = Scene::new();
        scene.publish(&[("1", 1), ("2", 2)]);
        change(&mut scene);
        scene.publish(&[("2", 2), ("3", 3)]);
        assert_eq!(scene.held(OWN), tags(&[("2", 2), ("3", 3)]));
        assert_eq!(scene.says(&[("2", 2), ("3", 3)]), []);
        scene.delegates(&[(OWN, &["ours"], 1, &[""]), (RELEASES, &["ours", "ann"], 1, &[""])]);
        scene.stands(RELEASES, 4, &scene.ann.clone(), &[("1", 1), ("2", 2), ("a", 9)]);
        scene.publish(&[("2", 2), ("3", 3)]);
        assert_eq!(scene.held(RELEASES), tags(&[("2", 2), ("3", 3), ("a", 9)]));
        assert_eq!(scene.says(&[("2", 2), ("3", 3)]), []);
        let own = scene.delegations[OWN].bytes.clone().unwrap();
        assert!(!String::from_utf8(own).unwrap().contains("withdrawn"), "it is done");
    }
}

#[test]
fn what_is_put_into_one_life_of_a_role_is_put_into_the_next() {
    let mut scene = Scene::new();
    scene.publish(&[("1", 1), ("2", 2)]);
    scene.stands(RELEASES, 1, &scene.ann.clone(), &[("a", 9), ("2", 9)]);
    scene.delegations.get_mut(RELEASES).unwrap().lives = 1;
    let says = scene.says(&[("1", 1)]);
    assert_eq!(says[1], (RELEASES.to_owned(), tags(&[("1", 1), ("2", 9), ("a", 9)])));
}

#[test]
fn a_key_that_is_named_and_not_there_is_none() {
    let mut scene = Scene::new();
    scene.delegates(&[(OWN, &["ours", "next"], 1, &[""]), (RELEASES, &["ours", "next", "ann"], 1, &[""])]);
    let next = scene.next.id();
    scene.targets.signed["delegations"]["keys"].as_object_mut().unwrap().remove(&next).unwrap();
    assert_eq!(scene.says(&[("1", 1)]), [], "somebody else's, for all that is known");
    scene.delegates(&[(OWN, &["ours"], 1, &[""]), (RELEASES, &["ours", "next", "ann"], 1, &[""])]);
    scene.targets.signed["delegations"]["keys"].as_object_mut().unwrap().remove(&next).unwrap();
    scene.publish(&[("1", 1)]);
    assert_eq!(scene.held(RELEASES), tags(&[("1", 1)]));
    assert_eq!(scene.says(&[("1", 1)]), []);
}

#[test]
fn one_delegation_is_our_own() {
    let mut scene = Scene::new();
    let names: Vec<String> = (0..3).map(|number| format!("targets/h{number}")).collect();
    let roles: Vec<_> = names.iter().map(|name| (name.as_str(), &["ours"] as &[&str], 1, &[""] as &[&str])).collect();
    scene.delegates(&roles);
    assert_eq!(scene.says(&[("1", 1)]), [("targets/h0".to_owned(), tags(&[("1", 1)]))]);
    let keys = scene.held.keys().cloned().collect();
    let all = |concerned: &Concerned| [&concerned.own, &concerned.released, &concerned.beside].map(BTreeSet::len);
    assert_eq!(all(&Concerned::of(&scene.targets.seal(), &keys).unwrap()), [1, 0, 2]);
    let scene = Scene::new();
    assert_eq!(all(&Concerned::of(&scene.targets.seal(), &keys).unwrap()), [0, 0, 3], "another repository's");
    let keys = scene.held.keys().cloned().collect();
    assert_eq!(all(&Concerned::of(&scene.targets.seal(), &keys).unwrap()), [1, 1, 1]);
}

#[test]
fn what_is_said_once_more_and_withdrawn_while_it_cannot_be_removed_is_not_forgotten() {
    let unsigned: &[(&str, &[&str], i64, &[&str])] = &[(OWN, &["ours"], 1, &[""]), (RELEASES, &["ann"], 1, &[""])];
    let removed: &[(&str, &[&str], i64, &[&str])] = &[(OWN, &["ours"], 1, &[""])];
    for roles in [unsigned, removed] {
        let mut scene = Scene::new();
        scene.publish(&[("1", 1), ("2", 2)]);
        scene.delegates(roles);
        let again = BTreeMap::from([("1".to_owned(), Meant { signed_at: 2, ..meant(1) })]);
        let next = scene.next_of(again, NOW).unwrap();
        scene.store(next);
        scene.publish(&[]);
        scene.delegates(&[(OWN, &["ours"], 1, &[""]), (RELEASES, &["ours", "ann"], 1, &[""])]);
        assert_eq!(scene.held(RELEASES), tags(&[("1", 1), ("2", 2)]));
        scene.publish(&[]);
        assert_eq!((scene.held(OWN), scene.held(RELEASES)), (tags(&[]), tags(&[])));
        assert_eq!(scene.says(&[]), []);
    }
}

#[test]
fn what_is_released_only_later_comes_to_be_named_then() {
    let mut scene = Scene::new();
    scene.delegates(&[(OWN, &["ours"], 1, &[""]), (RELEASES, &["ann"], 1, &[""])]);
    scene.stands(RELEASES, 1, &scene.ann.clone(), &[("a", 9)]);
    scene.publish(&[("1", 1)]);
    assert_eq!(scene.held(RELEASES), tags(&[("a", 9)]));
    scene.delegates(&[(OWN, &["ours"], 1, &[""]), (RELEASES, &["ours", "ann"], 1, &[""])]);
    scene.publish(&[("1", 1)]);
    assert_eq!(scene.held(RELEASES), tags(&[("1", 1), ("a", 9)]));
    // And not again when we sign there no more for a while.
    scene.delegates(&[(OWN, &["ours"], 1, &[""]), (RELEASES, &["ann"], 1, &[""])]);
    scene.publish(&[("1", 1), ("2", 2)]);
    scene.stands(RELEASES, 5, &scene.ann.clone(), &[("a", 9)]);
    scene.delegates(&[(OWN, &["ours"], 1, &[""]), (RELEASES, &["ours", "ann"], 1, &[""])]);
    scene.publish(&[("1", 1), ("2", 2)]);
    assert_eq!(scene.held(RELEASES), tags(&[("2", 2), ("a", 9)]), "1 was withdrawn by ann");
}

#[test]
fn what_reaches_further_than_our_own_is_not_put_there() {
    // What it may not name any more nobody would take.
    let mut scene = Scene::new();
    scene.stands(RELEASES, 1, &scene.ann.clone(), &[("a", 9), ("v1", 9)]);
    scene.delegates(&[(OWN, &["ours"], 1, &[""]), (RELEASES, &["ours", "ann"], 1, &["v"])]);
    scene.publish(&[("v2", 2), ("w", 3)]);
    assert_eq!(scene.held(RELEASES), tags(&[("v1", 9), ("v2", 2)]));

    let mut scene = Scene::new();
    scene.delegates(&[(OWN, &["ours"], 1, &["v"]), (RELEASES, &["ours"], 1, &[""])]);
    scene.publish(&[("v1", 1), ("w", 2)]);
    assert_eq!((scene.held(OWN), scene.held(RELEASES)), (tags(&[("v1", 1)]), tags(&[("v1", 1)])));
    scene.publish(&[]);
    assert_eq!((scene.held(OWN), scene.held(RELEASES)), (tags(&[]), tags(&[])));
}

#[test]
fn what_is_signed_once_more_is_put_back() {
    let mut scene = Scene::new();
    scene.publish(&[("1", 1)]);
    scene.stands(RELEASES, 2, &scene.ann.clone(), &[]);
    assert_eq!(scene.says(&[("1", 1)]), []);
    let again = Meant { signed_at: 2, ..meant(1) };
    let next = scene.next_of(BTreeMap::from([("1".to_owned(), again)]), NOW).unwrap();
    scene.store(next);
    assert_eq!((scene.held(OWN), scene.held(RELEASES)), (tags(&[("1", 1)]), tags(&[("1", 1)])));
}

#[test]
fn a_key_takes_the_place_of_another() {
    const BOTH: &[&str] = &["ours", "next"];
    let mut scene = Scene::new();
    let vouched = [("1", 1), ("2", 2)];
    scene.publish(&vouched);
    scene.delegates(&[(OWN, BOTH, 1, &[""]), (RELEASES, &["ours", "next", "ann"], 1, &[""])]);
    let roles: Vec<_> = scene.says(&vouched).into_iter().map(|(role, _)| role).collect();
    assert_eq!(roles, [OWN, RELEASES], "both are signed by both");
    scene.publish(&vouched);
    assert_eq!(scene.says(&vouched), []);
    scene.delegates(&[(OWN, &["next"], 1, &[""]), (RELEASES, &["next", "ann"], 1, &[""])]);
    assert_eq!(scene.says(&vouched), [], "so that either may go");
    // Where it is replaced at once, what was said by it is known still.
    let mut scene = Scene::new();
    scene.publish(&vouched);
    scene.stands(RELEASES, 2, &scene.ann.clone(), &[("1", 1), ("a", 9)]);
    scene.delegates(&[(OWN, &["next"], 1, &[""]), (RELEASES, &["next", "ann"], 1, &[""])]);
    scene.publish(&[("2", 2)]);
    assert_eq!(
        (scene.held(OWN), scene.held(RELEASES)),
        (tags(&[("2", 2)]), tags(&[("a", 9)])),
        "2 was ann's to withdraw"
    );
}

#[test]
fn what_has_expired_names_nothing() {
    let mut scene = Scene::new();
    scene.publish(&[("1", 1), ("2", 2)]);
    scene.stands(ANN, 1, &scene.ann.clone(), &[("1", 1)]);
    scene.stands(RELEASES, 2, &scene.ann.clone(), &[("1", 1), ("2", 2), ("a", 9)]);
    let after = 1_893_456_000_000;
    let next = scene.next_at(&[("2", 2)], after).unwrap();
    scene.store(next);
    assert_eq!(scene.held(RELEASES), tags(&[("2", 2)]), "neither what ann signed nor what she released");
}

#[test]
fn a_file_that_is_full_is_put_nothing_into_and_relieved() {
    let mut scene = Scene::new();
    scene.publish(&[("1", 1), ("2", 2)]);
    let names: Vec<String> = (0..62_000).map(|number| format!("a{number}")).collect();
    let own = [("1", 1), ("2", 2)];
    let all: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 9)).chain(own).collect();
    scene.stands(RELEASES, 2, &scene.ann.clone(), &all);
    let count =
        |vouched: &[(&str, u8)]| -> Vec<usize> { scene.says(vouched).iter().map(|(_, tags)| tags.len()).collect() };
    assert_eq!(count(&[("1", 1), ("2", 2), ("3", 3)]), [3], "our own alone");
    let note: Vec<u32> = vec![0; 250_000];
    let mut full = of_ann(&json!({"2": target(2)}), &Json::Null);
    full["note"] = json!(note);
    let mut other = Scene::new();
    other.publish(&[("1", 1), ("2", 2)]);
    other.stands_as(RELEASES, 3, &other.ann.clone(), &full);
    other.publish(&[("3", 3)]);
    assert_eq!((other.held(OWN), other.held(RELEASES)), (tags(&[("3", 3)]), tags(&[])), "whatever it is full of");
    assert_eq!(count(&[("1", 1), ("3", 3)]), [2, 62_001]);
    scene.publish(&[("1", 1), ("3", 3)]);
    scene.stands(RELEASES, 4, &scene.ann.clone(), &[("1", 1)]);
    scene.publish(&[("1", 1), ("3", 3)]);
    assert_eq!(scene.held(RELEASES), tags(&[("1", 1), ("3", 3)]), "once there is room");
}

#[test]
fn a_role_that_began_anew_is_counted_on_and_expires_later_than_all_before() {
    let mut scene = Scene::new();
    scene.stands(OWN, 5, &scene.ours.clone(), &[]);
    scene.delegations.get_mut(OWN).unwrap().lives = 3;
    scene.delegations.get_mut(OWN).unwrap().before = NOW + 4 * YEAR;
    let next = scene.next(&[("1", 1)]).remove(0);
    assert_eq!((next.after, next.lives), ((3 << 32) + 5, 3));
    let draft = next.draft(6);
    let file = Signed::<Targets>::parse(&draft.clone().sealed(&[scene.ours.sign(draft.message())])).unwrap();
    assert_eq!((file.version, file.expires), (6, NOW + 4 * YEAR + 1_000));
}

#[test]
fn what_the_registry_signs_comes_from_nobody_else_s_hands() {
    let mut scene = Swizzled::one_delegation();
    scene.registry = [scene.keys.releases.id()].into();
    let refused = scene.check().unwrap_err();
    assert!(
        matches!(&refused, Refused::Targets(why) if why.contains("publishes what needs its keys by itself")),
        "{refused}"
    );
    // Beside a key of somebody's it does not count, and what stands by it does.
    let mut scene = Swizzled::one_delegation();
    scene.uploads = [("targets", scene.keys.targets(2))].into();
    scene.registry = [scene.keys.releases.id()].into();
    scene.check().unwrap();
}

#[test]
fn a_file_is_written_anew_a_year_before_its_end_where_all_of_it_is_ours() {
    let mut scene = Scene::new();
    scene.publish(&[("1", 1)]);
    let roles = |scene: &Scene, now| {
        let next = scene.next_at(&[("1", 1)], now).unwrap();
        next.into_iter().map(|next| next.role.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(roles(&scene, NOW + 2 * YEAR), [""; 0]);
    assert_eq!(roles(&scene, NOW + 2 * YEAR + 1_000), [OWN, RELEASES]);
    scene.stands(RELEASES, 2, &scene.ann.clone(), &[("1", 1), ("a", 9)]);
    assert_eq!(roles(&scene, NOW + 2 * YEAR + 1_000), [OWN], "what ann has released she lets hold for longer");
}

#[test]
fn nothing_is_signed_where_targets_is_not_the_root_s() {
    let mut scene = Scene::new();
    scene.targets.signers = vec![Key::ecdsa()];
    assert!(matches!(scene.next_at(&[("1", 1)], NOW), Err(Unreadable::Unsigned)));
    scene.targets.signers.clear();
    assert!(matches!(scene.next_at(&[("1", 1)], NOW), Err(Unreadable::Unsigned)));
    scene.targets.signed["_type"] = json!("Root");
    assert!(matches!(scene.next_at(&[("1", 1)], NOW), Err(Unreadable::Invalid(_))));
}
