//! Damages of delegations: whom they name, and how far they reach.

use serde_json::json;

use super::keys::Key;
use super::kit::{DEEP, RELEASES, delegation, key_map};
use super::swizzler::{Row, Scene, refuses};

/// Lets a role name one more delegation.
fn delegates(scene: &mut Scene, role: &'static str, name: &'static str) {
    scene.edit(role, move |signed| {
        let key = Key::ecdsa();
        signed["delegations"]["keys"][key.id()] = json!(key.document);
        signed["delegations"]["roles"].as_array_mut().unwrap().push(delegation(name, &[&key], 1, &["v"]));
    });
}

#[test]
fn a_role_delegates_its_own_children_only() {
    const FOREIGN: &str = "Targets: targets: it delegates to a role that is not directly below it";
    let table: &[Row] = &[
        ("a grandchild", Scene::next, |s| delegates(s, "targets", "targets/other/deep"), FOREIGN),
        ("itself", Scene::next, |s| delegates(s, "targets", "targets"), FOREIGN),
        ("the root", Scene::next, |s| delegates(s, "targets", "root"), FOREIGN),
        ("the snapshot", Scene::next, |s| delegates(s, "targets", "snapshot"), FOREIGN),
        ("the timestamp", Scene::next, |s| delegates(s, "targets", "timestamp"), FOREIGN),
        ("upwards", Scene::next, |s| delegates(s, "targets", "targets/../root"), FOREIGN),
        ("nobody", Scene::next, |s| delegates(s, "targets", "targets/"), FOREIGN),
        ("no name", Scene::next, |s| delegates(s, "targets", ""), FOREIGN),
        ("in upper case", Scene::next, |s| delegates(s, "targets", "targets/Releases"), FOREIGN),
        (
            "another's child",
            Scene::next,
            |s| delegates(s, RELEASES, "targets/other/deep"),
            "Targets: targets/releases: it delegates to a role that is not directly below it",
        ),
        (
            "a sibling",
            Scene::next,
            |s| delegates(s, RELEASES, "targets/other"),
            "Targets: targets/releases: it delegates to a role that is not directly below it",
        ),
        (
            "its parent",
            Scene::next,
            |s| delegates(s, RELEASES, "targets"),
            "Targets: targets/releases: it delegates to a role that is not directly below it",
        ),
        (
            "itself, from a delegation",
            Scene::next,
            |s| delegates(s, RELEASES, RELEASES),
            "Targets: targets/releases: it delegates to a role that is not directly below it",
        ),
        (
            "one child twice",
            Scene::next,
            |s| delegates(s, "targets", RELEASES),
            "Targets: targets: the role \"targets/releases\" needs",
        ),
    ];
    refuses(table);
}

#[test]
fn a_role_that_its_parent_does_not_name_is_refused() {
    const UNNAMED: &str = "Targets: targets/releases: its parent does not name it";
    let table: &[Row] = &[
        (
            "named no more",
            Scene::next,
            |s| s.edit("targets", |f| f["delegations"] = json!({"keys": {}, "roles": []})),
            UNNAMED,
        ),
        ("nothing delegated", Scene::next, |s| s.edit("targets", |f| f["delegations"] = json!(null)), UNNAMED),
        (
            "never named",
            Scene::next,
            |s| drop(s.uploads.insert("targets/other", s.keys.releases(1))),
            "Targets: targets/other: its parent does not name it",
        ),
        (
            "named by a parent that is not there",
            Scene::next,
            |s| drop(s.uploads.insert("targets/other/deep", s.keys.releases(1))),
            "Targets: targets/other: its parent does not name it",
        ),
        (
            "named, and its parent never published",
            Scene::next,
            |s| {
                s.uploads.remove(RELEASES);
                s.published.remove(RELEASES);
            },
            "Targets: targets/releases: nothing is published under this name",
        ),
        (
            "before the collection",
            Scene::first,
            |s| {
                s.uploads.remove("targets");
                s.uploads.insert(RELEASES, s.keys.releases(1));
            },
            "Targets: targets: nothing is published under this name",
        ),
    ];
    refuses(table);
}

#[test]
fn a_role_signs_with_the_keys_that_its_parent_names_now() {
    let table: &[Row] = &[
        (
            "another key in the parent that is uploaded along",
            Scene::next,
            |s| {
                let other = Key::ecdsa();
                s.edit("targets", move |f| {
                    f["delegations"]["keys"] = key_map([&other]);
                    f["delegations"]["roles"][0]["keyids"] = json!([other.id()]);
                });
            },
            "Targets: targets/releases: 0 valid signatures where 1 are needed",
        ),
        (
            "a key that the parent names and does not hold",
            Scene::next,
            |s| s.edit("targets", |f| f["delegations"]["keys"] = json!({})),
            "Targets: targets/releases: 0 valid signatures where 1 are needed",
        ),
        (
            "the keys of the published root for a delegation",
            Scene::one_delegation,
            |s| s.uploads.get_mut(RELEASES).unwrap().signers = vec![s.keys.targets.clone(), s.keys.root.clone()],
            "Targets: targets/releases: 0 valid signatures where 1 are needed",
        ),
        (
            "a grandchild with its parent's key",
            Scene::next,
            |s| s.uploads.get_mut(DEEP).unwrap().signers = vec![s.keys.releases.clone()],
            "Targets: targets/releases/deep: 0 valid signatures where 1 are needed",
        ),
    ];
    refuses(table);
}

#[test]
fn a_target_outside_the_paths_is_refused() {
    fn adds(s: &mut Scene, role: &'static str, target: &'static str) {
        s.edit(role, move |f| f["targets"][target] = json!({"hashes": {"sha256": "AAAA"}, "length": 1}));
    }
    const OUTSIDE: &str = "Targets: targets/releases: it names a target outside the paths of its role";
    const DEEP_OUTSIDE: &str = "Targets: targets/releases/deep: it names a target outside the paths of its role";
    let table: &[Row] = &[
        ("elsewhere", Scene::next, |s| adds(s, RELEASES, "latest"), OUTSIDE),
        ("in upper case", Scene::next, |s| adds(s, RELEASES, "V1"), OUTSIDE),
        ("in the middle", Scene::next, |s| adds(s, RELEASES, "av"), OUTSIDE),
        ("no name", Scene::next, |s| adds(s, RELEASES, ""), OUTSIDE),
        ("within the parent's and not its own", Scene::next, |s| adds(s, DEEP, "v2"), DEEP_OUTSIDE),
        (
            "paths that were taken away",
            Scene::next,
            |s| s.edit("targets", |f| f["delegations"]["roles"][0]["paths"] = json!(["w"])),
            OUTSIDE,
        ),
        (
            "no paths",
            Scene::next,
            |s| s.edit("targets", |f| f["delegations"]["roles"][0]["paths"] = json!(null)),
            OUTSIDE,
        ),
        (
            "paths wider than the parent's",
            Scene::next,
            |s| {
                s.edit(RELEASES, |f| f["delegations"]["roles"][0]["paths"] = json!(["", "w", "v1."]));
                adds(s, DEEP, "w1");
            },
            DEEP_OUTSIDE,
        ),
        (
            "paths shorter than the parent's",
            Scene::next,
            |s| {
                s.edit("targets", |f| f["delegations"]["roles"][0]["paths"] = json!(["v1", "v2"]));
                s.edit(RELEASES, |f| f["delegations"]["roles"][0]["paths"] = json!(["v"]));
            },
            DEEP_OUTSIDE,
        ),
    ];
    refuses(table);
    let mut scene = Scene::next();
    scene.edit("targets", |signed| signed["delegations"]["roles"][0]["paths"] = json!([""]));
    adds(&mut scene, RELEASES, "anything");
    assert!(scene.check().is_ok(), "an empty path is every name");
}
