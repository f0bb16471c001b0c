//! Files that name so much that reading them would take all day.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::notary::{Signed, Targets};

use super::kit::{RELEASES, delegation};
use super::swizzler::Scene;

/// How many of everything.
const MANY: usize = 20_000;
/// A refusal takes less than a second when only lists are read, and hours when each is compared with each; tests run
/// unoptimized, and beside others.
const PATIENCE: Duration = Duration::from_secs(30);

fn refused(scene: Scene, expected: &str) {
    let begin = Instant::now();
    let refused = scene.check().unwrap_err().to_string();
    assert!(begin.elapsed() < PATIENCE, "{expected}: {:?}", begin.elapsed());
    assert_eq!(refused, expected);
}

fn map(of: &Json) -> Json {
    (0..MANY).map(|number| (format!("{number:064x}"), of.clone())).collect::<serde_json::Map<_, _>>().into()
}

const TOO_MANY: &str = "the file names more than 64 signatures, or 1024 keys, roles or paths";

#[test]
fn roots_of_very_many_keys_or_roles_are_refused() {
    let key = json!({"keytype": "ecdsa", "keyval": {"private": null, "public": "AAAA"}});
    let many = [("keys", map(&key)), ("roles", map(&json!({"keyids": [], "threshold": 1})))];
    for (member, value) in many {
        let mut scene = Scene::first();
        scene.edit("root", move |signed| signed[member] = value);
        refused(scene, &format!("root: {TOO_MANY}"));
    }
    let mut scene = Scene::first();
    let ids: Vec<_> = (0..MANY).map(|number| format!("{number:064x}")).collect();
    scene.edit("root", move |signed| signed["roles"]["targets"]["keyids"] = json!(ids));
    refused(scene, &format!("root: {TOO_MANY}"));
}

#[test]
fn targets_of_very_many_keys_roles_or_paths_are_refused() {
    let key = json!({"keytype": "ecdsa", "keyval": {"private": null, "public": "AAAA"}});
    let roles: Vec<_> = (0..MANY).map(|number| delegation(&format!("targets/a{number}"), &[], 1, &[""])).collect();
    for (member, value) in [("keys", map(&key)), ("roles", json!(roles))] {
        let mut scene = Scene::first();
        scene.edit("targets", move |signed| signed["delegations"][member] = value);
        refused(scene, &format!("targets: {TOO_MANY}"));
    }
    let mut scene = Scene::next();
    let paths: Vec<_> = (0..MANY).map(|number| format!("v{number}")).collect();
    scene.edit("targets", move |signed| signed["delegations"]["roles"][0]["paths"] = json!(paths));
    scene.edit(RELEASES, |signed| {
        let meta = json!({"hashes": {}, "length": 1});
        signed["targets"] =
            (0..MANY).map(|number| (format!("v{number}"), meta.clone())).collect::<serde_json::Map<_, _>>().into();
    });
    refused(scene, &format!("targets: {TOO_MANY}"));
}

/// A good signature behind so many that are none.
fn behind(others: usize) -> Scene {
    let mut scene = Scene::first();
    scene.damage("targets", move |bytes| {
        let mut file: Json = serde_json::from_slice(bytes).unwrap();
        let good = file["signatures"][0].clone();
        let mut other = good.clone();
        other["sig"] = json!("AAAA");
        let mut signatures = vec![other; others];
        signatures.push(good);
        file["signatures"] = signatures.into();
        *bytes = file.to_string().into_bytes();
    });
    scene
}

#[test]
fn files_of_very_many_signatures_are_refused() {
    for others in [64, MANY] {
        refused(behind(others), &format!("targets: {TOO_MANY}"));
    }
    assert!(behind(63).check().is_ok(), "signatures that are none do no harm");
}

#[test]
fn snapshots_of_very_many_files_are_refused() {
    let mut scene = Scene::with_snapshot();
    scene.edit("snapshot", |signed| signed["meta"] = map(&json!({"hashes": {}, "length": 1})));
    refused(scene, &format!("snapshot: {TOO_MANY}"));
}

/// As [`Signed::parse`] alone meets them: nobody could sign them before.
#[test]
fn thirty_thousand_of_everything_are_refused_at_once() {
    let many = |one: fn(usize) -> String| (0..30_000).map(one).collect::<Vec<_>>().join(",");
    let head = r#""_type":"Targets","version":1,"expires":"2030-01-01T00:00:00Z","targets":{}"#;
    let roles = many(|number| format!(r#"{{"name":"targets/a{number}","keyids":["00"],"threshold":1,"paths":["v"]}}"#));
    let keys =
        many(|number| format!(r#""{number:064x}":{{"keytype":"ecdsa","keyval":{{"private":null,"public":""}}}}"#));
    let signatures = many(|_| r#"{"keyid":"00","method":"ecdsa","sig":""}"#.to_owned());
    let files = [
        format!(r#"{{"signed":{{{head},"delegations":{{"keys":{{}},"roles":[{roles}]}}}},"signatures":[]}}"#),
        format!(r#"{{"signed":{{{head},"delegations":{{"keys":{{{keys}}},"roles":[]}}}},"signatures":[]}}"#),
        format!(r#"{{"signed":{{{head}}},"signatures":[{signatures}]}}"#),
    ];
    for file in files {
        let begin = Instant::now();
        let refused = Signed::<Targets>::parse(file.as_bytes()).unwrap_err().to_string();
        assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
        assert_eq!(refused, TOO_MANY);
    }
}

/// A value takes a hundred times the bytes that it is written with, whatever document it stands in.
#[test]
fn very_many_values_are_refused_before_any_is_read() {
    for value in [r#"{"":0}"#, "[0]", "0"] {
        let file = format!("[{}]", vec![value; 300_000].join(","));
        let begin = Instant::now();
        let refused = Signed::<Targets>::parse(file.as_bytes()).unwrap_err().to_string();
        assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
        assert_eq!(refused, "not JSON with one meaning: more values than are read");
    }
}

/// Targets are tags, of which a repository may have very many.
#[test]
fn very_many_targets_are_taken() {
    let mut scene = Scene::first();
    scene.edit("targets", |signed| signed["targets"] = map(&json!({"hashes": {}, "length": 1})));
    assert!(scene.check().is_ok());
}
