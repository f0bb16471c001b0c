//! Damages of snapshots that clients sign: what they name, and what they leave out.

use serde_json::{Value as Json, json};

use super::kit::{DEEP, RELEASES};
use super::swizzler::{Row, Scene, refuses};

fn meta(scene: &mut Scene, role: &'static str, change: impl FnOnce(&mut Json) + 'static) {
    scene.edit("snapshot", move |signed| change(&mut signed["meta"][role]));
}

#[test]
fn a_snapshot_that_does_not_name_every_file_as_it_stands_is_refused() {
    fn without(s: &mut Scene, role: &'static str) {
        s.edit("snapshot", move |f| drop(f["meta"].as_object_mut().unwrap().remove(role)));
    }
    const TARGETS: &str = "Snapshot: the snapshot does not name targets as it stands";
    let table: &[Row] = &[
        ("another length", Scene::with_snapshot, |s| meta(s, "targets", |m| m["length"] = json!(1)), TARGETS),
        ("a length below nought", Scene::with_snapshot, |s| meta(s, "targets", |m| m["length"] = json!(-1)), TARGETS),
        (
            "another SHA-256",
            Scene::with_snapshot,
            |s| meta(s, "targets", |m| m["hashes"]["sha256"] = json!(HASH)),
            TARGETS,
        ),
        (
            "another SHA-512",
            Scene::with_snapshot,
            |s| meta(s, "targets", |m| m["hashes"]["sha512"] = json!(HASH)),
            TARGETS,
        ),
        ("no base64", Scene::with_snapshot, |s| meta(s, "targets", |m| m["hashes"]["sha256"] = json!("*")), TARGETS),
        (
            "hashes in upper case",
            Scene::with_snapshot,
            |s| {
                meta(s, "targets", |m| m["hashes"] = json!({"SHA256": m["hashes"]["sha256"]}));
            },
            TARGETS,
        ),
        (
            "SHA-512 alone",
            Scene::with_snapshot,
            |s| {
                meta(s, "targets", |m| drop(m["hashes"].as_object_mut().unwrap().remove("sha256")));
            },
            TARGETS,
        ),
        ("no hashes", Scene::with_snapshot, |s| meta(s, "targets", |m| m["hashes"] = json!(null)), TARGETS),
        ("targets missing", Scene::with_snapshot, |s| without(s, "targets"), TARGETS),
        (
            "a file that is not uploaded missing",
            Scene::with_snapshot,
            |s| without(s, "root"),
            "Snapshot: the snapshot does not name root as it stands",
        ),
        (
            "a delegation missing",
            Scene::with_snapshot,
            |s| without(s, DEEP),
            "Snapshot: the snapshot does not name targets/releases/deep as it stands",
        ),
        (
            "nothing",
            Scene::with_snapshot,
            |s| s.edit("snapshot", |f| f["meta"] = json!(null)),
            "Snapshot: the snapshot does",
        ),
        (
            "no meta",
            Scene::with_snapshot,
            |s| {
                s.edit("snapshot", |f| drop(f.as_object_mut().unwrap().remove("meta")));
            },
            "Snapshot: snapshot: not of the shape",
        ),
        (
            "names with an ending",
            Scene::with_snapshot,
            |s| {
                s.edit("snapshot", |f| {
                    f["meta"]["targets.json"] = f["meta"].as_object_mut().unwrap().remove("targets").unwrap()
                });
            },
            TARGETS,
        ),
        (
            "another's meta",
            Scene::with_snapshot,
            |s| {
                s.edit("snapshot", |f| f["meta"]["targets"] = f["meta"][RELEASES].clone());
            },
            TARGETS,
        ),
    ];
    refuses(table);
}

const HASH: &str = "k5W6xvzLJry1XvsIPRtLD+cqHCX5WfBWwBYSCzu1amI=";

/// Older targets than those that are uploaded, and newer ones than those that are published.
#[test]
fn a_snapshot_that_mixes_versions_is_refused() {
    let mut scene = Scene::with_snapshot();
    let older = scene.keys.targets(1).seal();
    scene.edit("snapshot", move |signed| {
        let state = crate::notary::FileState::of(hallmark_oci::TrustRole::targets(), 1, &older);
        let of_older = crate::notary::snapshot([&state], 1, 0);
        let of_older: Json = serde_json::from_slice(of_older.message()).unwrap();
        signed["meta"]["targets"] = of_older["meta"]["targets"].clone();
    });
    assert_eq!(scene.check().unwrap_err().to_string(), "the snapshot does not name targets as it stands");

    let mut scene = Scene::with_snapshot();
    scene.uploads.remove("targets");
    let newer = scene.keys.targets(2).seal();
    scene.edit("snapshot", move |signed| signed["meta"]["targets"]["length"] = json!(newer.len()));
    scene.edit("snapshot", |signed| signed["meta"]["targets"]["hashes"] = json!({"sha256": HASH}));
    assert_eq!(scene.check().unwrap_err().to_string(), "the snapshot does not name targets as it stands");
}

#[test]
fn a_snapshot_that_nobody_can_make_is_missed() {
    let mut scene = Scene::next();
    scene.held.snapshot.clear();
    let refused = scene.check().unwrap_err();
    assert!(matches!(refused, crate::notary::publish::Refused::Hierarchy { missing: "snapshot", .. }), "{refused:?}");
}

#[test]
fn a_snapshot_may_name_roles_that_nobody_knows() {
    let mut scene = Scene::with_snapshot();
    scene.edit("snapshot", |signed| signed["meta"]["targets/old"] = signed["meta"]["targets"].clone());
    assert!(scene.check().is_ok());
}
