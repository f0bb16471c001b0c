//! What is not damaged passes.

use std::sync::Arc;

use serde_json::json;

use crate::notary::FileState;
use crate::notary::publish::{NewFile, Plan};

use super::keys::{Key, bundle, is_authority, named};
use super::kit::{DEEP, RELEASES, key_map};
use super::swizzler::Scene;

fn taken(scene: Scene) -> Plan {
    scene.check().unwrap()
}

/// The files of a plan: their roles and versions.
fn files(plan: &Plan) -> Vec<(&str, u64)> {
    plan.files.iter().map(|file| (file.state.role.as_str(), file.state.version)).collect()
}

#[test]
fn a_collection_begins_with_a_root_and_targets() {
    let plan = taken(Scene::first());
    assert_eq!(files(&plan), [("root", 1), ("targets", 1)]);
    assert!(plan.makes_snapshot);
    assert_eq!(plan.root, plan.files[0].bytes, "the root that holds is the one uploaded");
    for NewFile { state, bytes, .. } in &plan.files {
        assert_eq!(*state, FileState::of(state.role.clone(), 1, bytes));
    }
}

#[test]
fn every_role_of_targets_is_published_at_once() {
    assert_eq!(files(&taken(Scene::next())), [("targets", 2), (RELEASES, 2), (DEEP, 2)]);
}

#[test]
fn targets_are_published_alone() {
    let mut scene = Scene::next();
    scene.uploads.retain(|role, _| *role == "targets");
    assert_eq!(files(&taken(scene)), [("targets", 2)]);
}

#[test]
fn a_delegation_is_published_alone_by_the_word_of_its_published_parents() {
    assert_eq!(files(&taken(Scene::one_delegation())), [(RELEASES, 2)]);
    let mut scene = Scene::next();
    scene.uploads.retain(|role, _| *role == DEEP);
    assert_eq!(files(&taken(scene)), [(DEEP, 2)]);
}

#[test]
fn a_root_is_followed_by_one_that_both_have_signed() {
    let plan = taken(Scene::rotation());
    assert_eq!(files(&plan), [("root", 2)]);
    assert!(plan.makes_snapshot, "the snapshot names the new root");
}

#[test]
fn another_targets_key_comes_with_targets_that_it_signed() {
    let mut scene = Scene::rotation();
    scene.keys.targets = Key::ecdsa();
    let old = scene.uploads["root"].signers.clone();
    let mut root = scene.keys.root(2);
    root.signers = old;
    scene.uploads = [("root", root), ("targets", scene.keys.targets(2))].into();
    assert_eq!(files(&taken(scene)), [("root", 2), ("targets", 2)]);
}

#[test]
fn a_snapshot_of_the_client_s_is_taken_as_it_is() {
    let plan = taken(Scene::with_snapshot());
    assert_eq!(files(&plan), [("targets", 2), (RELEASES, 2), (DEEP, 2), ("snapshot", 2)]);
    assert!(!plan.makes_snapshot);
}

#[test]
fn a_timestamp_of_the_client_s_is_left_out() {
    let mut scene = Scene::next();
    let mut timestamp = scene.keys.deep(7);
    timestamp.signed["_type"] = json!("Timestamp");
    scene.uploads.insert("timestamp", timestamp);
    assert_eq!(files(&taken(scene)), [("targets", 2), (RELEASES, 2), (DEEP, 2)]);
}

#[test]
fn a_certificate_may_be_made_out_to_the_beginning_of_the_name() {
    for common_name in ["registry.example:5000/team/*", "registry.example:5000/*"] {
        let mut scene = Scene::first();
        scene.keys.root = Key::certified(|parameters| named(parameters, common_name));
        scene.uploads.insert("root", scene.keys.root(1));
        assert_eq!(files(&taken(scene)).len(), 2, "{common_name}");
    }
}

#[test]
fn a_root_key_may_be_rsa_or_bring_the_authority_above_it() {
    for root in [Key::certified_rsa(), bundle(is_authority)] {
        let mut scene = Scene::first();
        scene.keys.root = root;
        scene.uploads.insert("root", scene.keys.root(1));
        assert_eq!(files(&taken(scene)).len(), 2);
    }
}

#[test]
fn targets_keys_may_be_of_every_kind() {
    for key in [Key::rsa(), Key::ed25519(), Key::certified(|_| ()), Key::certified(is_authority)] {
        let mut scene = Scene::first();
        scene.keys.targets = key;
        scene.uploads = [("root", scene.keys.root(1)), ("targets", scene.keys.targets(1))].into();
        assert_eq!(files(&taken(scene)).len(), 2);
    }
}

#[test]
fn two_of_three_suffice_where_two_are_asked_for() {
    for chosen in [[0, 1], [0, 2], [1, 2], [2, 0]] {
        let mut scene = Scene::first();
        let three: [Arc<Key>; 3] = std::array::from_fn(|_| Key::ecdsa());
        let root = scene.uploads.get_mut("root").unwrap();
        root.signed["keys"].as_object_mut().unwrap().extend(key_map(&three).as_object().unwrap().clone());
        root.signed["roles"]["targets"] = json!({"keyids": three.each_ref().map(|key| key.id()), "threshold": 2});
        scene.uploads.get_mut("targets").unwrap().signers = chosen.map(|one| Arc::clone(&three[one])).to_vec();
        assert_eq!(files(&taken(scene)).len(), 2, "{chosen:?}");
    }
}

#[test]
fn what_is_published_may_have_expired() {
    let mut scene = Scene::one_delegation();
    for draft in scene.published.values_mut() {
        draft.signed["expires"] = json!("2020-01-01T00:00:00Z");
    }
    assert_eq!(files(&taken(scene)), [(RELEASES, 2)]);
}

#[test]
fn times_are_read_with_their_offset() {
    let mut scene = Scene::first();
    scene.edit("targets", |signed| signed["expires"] = json!("2027-01-15T00:00:00.423870533-09:00"));
    assert_eq!(files(&taken(scene)).len(), 2);
}
