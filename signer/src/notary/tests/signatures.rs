//! Damages of who has signed, and of what keys are.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::keys::{Key, Pair};
use super::kit::{RELEASES, key_map};
use super::swizzler::{Row, Scene, refuses};

/// Lets these keys sign targets, and so many of them be needed, with a root that is uploaded along.
fn signed_by(scene: &mut Scene, keys: &[Arc<Key>], threshold: i64, signers: &[&Arc<Key>]) {
    let root = scene.uploads.get_mut("root").unwrap();
    root.signed["keys"].as_object_mut().unwrap().extend(key_map(keys).as_object().unwrap().clone());
    let ids: Vec<_> = keys.iter().map(|key| key.id()).collect();
    root.signed["roles"]["targets"] = json!({"keyids": ids, "threshold": threshold});
    scene.uploads.get_mut("targets").unwrap().signers = signers.iter().map(|key| Arc::clone(key)).collect();
}

fn signers(scene: &mut Scene, role: &str, signers: &[&Arc<Key>]) {
    scene.uploads.get_mut(role).unwrap().signers = signers.iter().map(|key| Arc::clone(key)).collect();
}

/// Replaces the signatures of a file, which are given its message.
fn forge(scene: &mut Scene, role: &'static str, with: impl FnOnce(&Json, &mut Vec<Json>) + 'static) {
    scene.damage(role, move |bytes| {
        let mut file: Json = serde_json::from_slice(bytes).unwrap();
        let mut signatures = file["signatures"].as_array().unwrap().clone();
        with(&file["signed"], &mut signatures);
        file["signatures"] = signatures.into();
        *bytes = file.to_string().into_bytes();
    });
}

/// The signature of a key under a method that is not its own, or spelled otherwise.
fn by_method(scene: &mut Scene, method: &'static str) {
    forge(scene, "targets", move |_, signatures| signatures[0]["method"] = json!(method));
}

#[test]
fn too_few_signatures_are_refused() {
    let table: &[Row] = &[
        (
            "none",
            Scene::next,
            |s| signers(s, "targets", &[]),
            "Targets: targets: 0 valid signatures where 1 are needed",
        ),
        (
            "a stranger's",
            Scene::next,
            |s| signers(s, "targets", &[&s.keys.stranger.clone()]),
            "Targets: targets: 0 valid signatures where 1",
        ),
        (
            "a child's",
            Scene::next,
            |s| signers(s, "targets", &[&s.keys.releases.clone()]),
            "Targets: targets: 0 valid signatures where 1",
        ),
        (
            "a parent's",
            Scene::next,
            |s| signers(s, RELEASES, &[&s.keys.targets.clone()]),
            "Targets: targets/releases: 0 valid signatures where 1",
        ),
        (
            "a stranger's in the name of the key",
            Scene::next,
            |s| {
                let id = s.keys.targets.id();
                signers(s, "targets", &[&s.keys.stranger.clone()]);
                forge(s, "targets", move |_, signatures| signatures[0]["keyid"] = json!(id));
            },
            "Targets: targets: 0 valid signatures where 1",
        ),
        (
            "over something else",
            Scene::next,
            |s| s.replace("targets", "\"length\":1234", "\"length\":1235"),
            "Targets: targets: 0 valid signatures where 1",
        ),
        (
            "no base64",
            Scene::next,
            |s| forge(s, "targets", |_, signatures| signatures[0]["sig"] = json!("*")),
            "Targets: targets: 0 valid signatures where 1",
        ),
        (
            "in upper case of the key's id",
            Scene::next,
            |s| {
                let id = s.keys.targets.id().to_ascii_uppercase();
                forge(s, "targets", move |_, signatures| signatures[0]["keyid"] = json!(id));
            },
            "Targets: targets: 0 valid signatures where 1",
        ),
        (
            "a stranger's on a snapshot",
            Scene::with_snapshot,
            |s| s.keys.snapshot = Key::ecdsa(),
            "Snapshot: snapshot: 0 valid signatures where 1 are needed",
        ),
    ];
    refuses(table);
}

#[test]
fn a_key_counts_once() {
    let table: &[Row] = &[
        (
            "one of two",
            Scene::first,
            |s| {
                let keys = [Key::ecdsa(), Key::ecdsa()];
                signed_by(s, &keys, 2, &[&keys[0]]);
            },
            "Targets: targets: 1 valid signatures where 2 are needed",
        ),
        (
            "the same signature twice",
            Scene::first,
            |s| {
                let keys = [Key::ecdsa(), Key::ecdsa()];
                signed_by(s, &keys, 2, &[&keys[0]]);
                forge(s, "targets", |_, signatures| signatures.push(signatures[0].clone()));
            },
            "Targets: targets: 1 valid signatures where 2 are needed",
        ),
        (
            "two signatures of one key",
            Scene::first,
            |s| {
                let keys = [Key::ecdsa(), Key::ecdsa()];
                signed_by(s, &keys, 2, &[&keys[0], &keys[0]]);
            },
            "Targets: targets: 1 valid signatures where 2 are needed",
        ),
        (
            "a signature under the other key's id",
            Scene::first,
            |s| {
                let keys = [Key::ecdsa(), Key::ecdsa()];
                signed_by(s, &keys, 2, &[&keys[0], &keys[0]]);
                let other = keys[1].id();
                forge(s, "targets", move |_, signatures| signatures[1]["keyid"] = json!(other));
            },
            "Targets: targets: 1 valid signatures where 2 are needed",
        ),
        (
            "one key bare and in a certificate",
            Scene::first,
            |s| {
                let made = rcgen::KeyPair::generate().unwrap();
                let bare = Key::of("ecdsa", &rcgen::PublicKeyData::subject_public_key_info(&made), &made);
                let certified = Key::of("ecdsa-x509", super::keys::certificate(&made, |_| ()).as_bytes(), &made);
                signed_by(s, &[Arc::clone(&bare), Arc::clone(&certified)], 2, &[&bare, &certified]);
            },
            "Targets: targets: 1 valid signatures where 2 are needed",
        ),
        (
            "one key in two certificates",
            Scene::first,
            |s| {
                let made = rcgen::KeyPair::generate().unwrap();
                let twice = ["a", "b"].map(|name| {
                    let pem = super::keys::certificate(&made, |parameters| super::keys::named(parameters, name));
                    Key::of("ecdsa-x509", pem.as_bytes(), &made)
                });
                signed_by(s, &twice, 2, &[&twice[0], &twice[1]]);
            },
            "Targets: targets: 1 valid signatures where 2 are needed",
        ),
        (
            "one key twice in the role",
            Scene::first,
            |s| {
                let key = Key::ecdsa();
                signed_by(s, &[Arc::clone(&key), Arc::clone(&key)], 2, &[&key, &key]);
            },
            "Root: root: the role \"targets\" needs a threshold above 0 and each key once",
        ),
    ];
    refuses(table);
}

#[test]
fn a_threshold_that_cannot_be_or_is_nothing_is_refused() {
    fn threshold(s: &mut Scene, role: &'static str, threshold: i64) {
        s.edit("root", move |f| f["roles"][role]["threshold"] = json!(threshold));
    }
    const NEEDS: &str = "Root: root: the role ";
    let table: &[Row] = &[
        ("0 for targets", Scene::first, |s| threshold(s, "targets", 0), NEEDS),
        ("-1 for targets", Scene::first, |s| threshold(s, "targets", -1), NEEDS),
        ("0 for root", Scene::first, |s| threshold(s, "root", 0), NEEDS),
        ("0 for snapshot", Scene::first, |s| threshold(s, "snapshot", 0), NEEDS),
        ("0 for timestamp", Scene::first, |s| threshold(s, "timestamp", 0), NEEDS),
        (
            "0 for a role that is unknown",
            Scene::first,
            |s| {
                s.edit("root", |f| f["roles"]["other"] = json!({"keyids": [], "threshold": 0}));
            },
            NEEDS,
        ),
        (
            "above for root",
            Scene::first,
            |s| threshold(s, "root", 2),
            "Root: root: the threshold 2 cannot be met by 1 keys",
        ),
        (
            "above for targets",
            Scene::first,
            |s| threshold(s, "targets", 2),
            "Targets: targets: the threshold 2 cannot be met by 1 keys",
        ),
        ("above for snapshot", Scene::first, |s| threshold(s, "snapshot", 2), "Hierarchy: the snapshot is missing"),
        ("above for timestamp", Scene::first, |s| threshold(s, "timestamp", 2), "Root: the root names a timestamp key"),
        (
            "the largest number",
            Scene::first,
            |s| threshold(s, "targets", 9_007_199_254_740_991),
            "Targets: targets: the thr",
        ),
        (
            "0 for a delegation",
            Scene::next,
            |s| s.edit("targets", |f| f["delegations"]["roles"][0]["threshold"] = json!(0)),
            "Targets: targets: the role \"targets/releases\" needs a threshold above 0",
        ),
        (
            "-1 for a delegation",
            Scene::next,
            |s| s.edit("targets", |f| f["delegations"]["roles"][0]["threshold"] = json!(-1)),
            "Targets: targets: the role \"targets/releases\" needs",
        ),
        (
            "above for a delegation",
            Scene::next,
            |s| s.edit("targets", |f| f["delegations"]["roles"][0]["threshold"] = json!(2)),
            "Targets: targets/releases: the threshold 2 cannot be met by 1 keys",
        ),
    ];
    refuses(table);
}

#[test]
fn a_key_under_another_id_or_with_a_private_half_is_refused() {
    fn keyed(s: &mut Scene, change: fn(&mut Json)) {
        let id = s.keys.targets.id();
        s.edit("root", move |f| change(&mut f["keys"][&id]));
    }
    const OTHER: &str = "Root: root: a key stands under an id that is not its own";
    const PRIVATE: &str = "Root: root: a key holds a private half";
    let table: &[Row] = &[
        ("another type", Scene::first, |s| keyed(s, |key| key["keytype"] = json!("ecdsa-x509")), OTHER),
        ("another key", Scene::first, |s| keyed(s, |key| key["keyval"]["public"] = json!("AAAA")), OTHER),
        ("a private half", Scene::first, |s| keyed(s, |key| key["keyval"]["private"] = json!("c2VjcmV0")), PRIVATE),
        ("an empty private half", Scene::first, |s| keyed(s, |key| key["keyval"]["private"] = json!("")), PRIVATE),
        (
            "a private half of a key that nobody uses, under its own id",
            Scene::first,
            |s| {
                let mut document = Key::ecdsa().document.clone();
                document.keyval.private = Some("c2VjcmV0".to_owned());
                s.edit("root", move |f| f["keys"][document.id()] = json!(document));
            },
            PRIVATE,
        ),
        (
            "a private half of a delegation's",
            Scene::next,
            |s| {
                let mut document = s.keys.releases.document.clone();
                document.keyval.private = Some("c2VjcmV0".to_owned());
                s.edit("targets", move |f| f["delegations"]["keys"][document.id()] = json!(document));
            },
            "Targets: targets: a key holds a private half",
        ),
        (
            "a delegation's under another id",
            Scene::next,
            |s| {
                let document = Key::ecdsa().document.clone();
                s.edit("targets", move |f| f["delegations"]["keys"]["00"] = json!(document));
            },
            "Targets: targets: a key stands under an id that is not its own: 00",
        ),
    ];
    refuses(table);
}

#[test]
fn a_method_that_is_not_the_key_s_is_refused() {
    const FEW: &str = "Targets: targets: 0 valid signatures where 1";
    let table: &[Row] = &[
        ("rsapss", Scene::next, |s| by_method(s, "rsapss"), FEW),
        ("RSAPSS", Scene::next, |s| by_method(s, "RSAPSS"), FEW),
        ("eddsa", Scene::next, |s| by_method(s, "eddsa"), FEW),
        ("none", Scene::next, |s| by_method(s, "none"), FEW),
        ("no name", Scene::next, |s| by_method(s, ""), FEW),
        ("a key's type", Scene::next, |s| by_method(s, "ecdsa-x509"), FEW),
    ];
    refuses(table);
    for method in ["ecdsa", "ECDSA", "EcDsA"] {
        let mut scene = Scene::next();
        by_method(&mut scene, method);
        assert!(scene.check().is_ok(), "{method}");
    }
}

/// Every key with every method: a signature is taken where it was made by that method, and nowhere else.
#[test]
fn a_signature_is_verified_by_its_own_method_only() {
    let methods = ["ecdsa", "rsapss", "pycrypto-pkcs#1 pss", "rsapkcs1v15", "eddsa", "ed25519"];
    for key in [Key::ecdsa(), Key::rsa(), Key::ed25519(), Key::certified_rsa()] {
        let public = crate::notary::PublicKey::parse(&key.document).unwrap();
        for made in methods {
            for named in methods {
                let mut signature = key.sign_by(made, b"message");
                named.clone_into(&mut signature.method);
                let is_its = match &key.pair {
                    Pair::P256(_) => named == "ecdsa",
                    Pair::Rsa(_) if made == "rsapkcs1v15" => named == made,
                    Pair::Rsa(_) => matches!(named, "rsapss" | "pycrypto-pkcs#1 pss"),
                    Pair::Ed25519(_) => matches!(named, "eddsa" | "ed25519"),
                };
                assert_eq!(public.verifies(&signature, b"message"), is_its, "{made} as {named}");
                assert!(!public.verifies(&signature, b"massage"), "{made} as {named}");
            }
        }
    }
}
