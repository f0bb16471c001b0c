//! Damages of roots: who signed them, which version they are, and the certificates around their keys.

use std::sync::Arc;

use serde_json::json;

use super::keys::{Key, bundle, is_authority, named, short, weak};
use super::kit::GUN;
use super::swizzler::{Row, Scene, refuses};

/// The first publish with this root key.
fn with_root(scene: &mut Scene, root: Arc<Key>) {
    scene.keys.root = root;
    scene.uploads.insert("root", scene.keys.root(1));
}

fn certified_for(scene: &mut Scene, common_name: &str) {
    with_root(scene, Key::certified(|parameters| named(parameters, common_name)));
}

#[test]
fn a_root_that_too_few_have_signed_is_refused() {
    let table: &[Row] = &[
        (
            "by the new key only",
            Scene::rotation,
            |s| s.uploads.get_mut("root").unwrap().signers.truncate(1),
            "Root: root: 0 valid signatures where 1 are needed",
        ),
        (
            "by the old key only",
            Scene::rotation,
            |s| drop(s.uploads.get_mut("root").unwrap().signers.remove(0)),
            "Root: root: 0 valid signatures where 1 are needed",
        ),
        (
            "by nobody",
            Scene::rotation,
            |s| s.uploads.get_mut("root").unwrap().signers.clear(),
            "Root: root: 0 valid signatures where 1 are needed",
        ),
        (
            "by a stranger who is root elsewhere",
            Scene::first,
            |s| s.uploads.get_mut("root").unwrap().signers = vec![Key::certified(|_| ())],
            "Root: root: 0 valid signatures where 1 are needed",
        ),
        (
            "by one where the old root asks for two",
            Scene::rotation,
            |s| {
                let old = s.published.get_mut("root").unwrap();
                let second = Key::certified(|_| ());
                old.signed["keys"][second.id()] = json!(second.document);
                let first = old.signed["roles"]["root"]["keyids"][0].clone();
                old.signed["roles"]["root"] = json!({"keyids": [first, second.id()], "threshold": 2});
            },
            "Root: root: 1 valid signatures where 2 are needed",
        ),
        (
            "a lower threshold, by one where the old root asks for more than it has",
            Scene::rotation,
            |s| s.published.get_mut("root").unwrap().signed["roles"]["root"]["threshold"] = json!(2),
            "Root: root: the threshold 2 cannot be met by 1 keys",
        ),
    ];
    refuses(table);
}

#[test]
fn a_root_whose_version_does_not_follow_is_refused() {
    fn version(s: &mut Scene, version: u64) {
        s.edit("root", move |f| f["version"] = json!(version));
    }
    let table: &[Row] = &[
        ("one skipped", Scene::rotation, |s| version(s, 3), "Root: root version 3 does not follow version 1"),
        ("far ahead", Scene::rotation, |s| version(s, 9_007_199_254_740_991), "Root: root version 9007199254740991"),
        (
            "the same",
            Scene::rotation,
            |s| version(s, 1),
            "Version: version 1 of root is not newer than the published version 1",
        ),
        ("the first is the second", Scene::first, |s| version(s, 2), "Root: root version 2 does not follow version 0"),
        (
            "lower",
            Scene::rotation,
            |s| {
                s.published.get_mut("root").unwrap().signed["version"] = json!(7);
                version(s, 5);
            },
            "Root: root version 5 does not follow version 7",
        ),
    ];
    refuses(table);
}

#[test]
fn a_root_that_names_too_little_is_refused() {
    fn without(s: &mut Scene, role: &'static str) {
        s.edit("root", move |f| drop(f["roles"].as_object_mut().unwrap().remove(role)));
    }
    const UNHELD: &str = "Root: the root names a key for targets that it does not hold";
    let table: &[Row] = &[
        ("no root", Scene::first, |s| without(s, "root"), "Root: the root does not name the role root"),
        ("no targets", Scene::first, |s| without(s, "targets"), "Root: the root does not name the role targets"),
        ("no snapshot", Scene::first, |s| without(s, "snapshot"), "Root: the root does not name the role snapshot"),
        ("no timestamp", Scene::first, |s| without(s, "timestamp"), "Root: the root does not name the role timestamp"),
        (
            "no roles",
            Scene::first,
            |s| s.edit("root", |f| f["roles"] = json!(null)),
            "Root: the root does not name the role",
        ),
        (
            "no keys",
            Scene::first,
            |s| s.edit("root", |f| f["keys"] = json!(null)),
            "Root: the root names a key for root",
        ),
        (
            "a key that is absent",
            Scene::first,
            |s| s.edit("root", |f| f["roles"]["targets"]["keyids"] = json!(["00"])),
            UNHELD,
        ),
        (
            "one of two keys that is absent",
            Scene::first,
            |s| {
                let id = s.keys.targets.id();
                s.edit("root", move |f| f["roles"]["targets"]["keyids"] = json!([id, "00"]));
            },
            UNHELD,
        ),
        (
            "a role without keys",
            Scene::first,
            |s| s.edit("root", |f| f["roles"]["targets"]["keyids"] = json!([])),
            "Targets: targets: the threshold 1 cannot be met by 0 keys",
        ),
        (
            "a timestamp key of the client's",
            Scene::first,
            |s| s.held.timestamp.clear(),
            "Root: the root names a timestamp key that the server does not hold",
        ),
        (
            "the server's snapshot key for its timestamps",
            Scene::first,
            |s| {
                let id = s.keys.snapshot.id();
                s.edit("root", move |f| f["roles"]["timestamp"]["keyids"] = json!([id]));
            },
            "Root: the root names a timestamp key that the server does not hold",
        ),
    ];
    refuses(table);
}

#[test]
fn a_root_key_without_a_good_certificate_is_refused() {
    const FOREIGN: &str = "Root: a root certificate is not made out to registry.example:5000/team/app";
    const NOT_NOW: &str = "Root: a root certificate does not hold now";
    const BUNDLE: &str = "Root: a root key: the certificates are not one leaf followed by its intermediates";
    let table: &[Row] = &[
        ("none", Scene::first, |s| with_root(s, Key::ecdsa()), "Root: the keys of the root role are certificates"),
        ("another collection", Scene::first, |s| certified_for(s, "registry.example:5000/team/other"), FOREIGN),
        ("another port", Scene::first, |s| certified_for(s, "registry.example/team/app"), FOREIGN),
        ("another case", Scene::first, |s| certified_for(s, "Registry.example:5000/team/app"), FOREIGN),
        ("the beginning without a star", Scene::first, |s| certified_for(s, "registry.example:5000/team/"), FOREIGN),
        ("a star within a component", Scene::first, |s| certified_for(s, "registry.example:5000/te*"), FOREIGN),
        ("a star for everything", Scene::first, |s| certified_for(s, "*"), FOREIGN),
        ("a slash and a star", Scene::first, |s| certified_for(s, "/*"), FOREIGN),
        ("a star in the middle", Scene::first, |s| certified_for(s, "registry.example:5000/*/app"), FOREIGN),
        ("another's star", Scene::first, |s| certified_for(s, "registry.example:5000/other/*"), FOREIGN),
        ("more than the name", Scene::first, |s| certified_for(s, &format!("{GUN}/*")), FOREIGN),
        ("no name", Scene::first, |s| certified_for(s, ""), FOREIGN),
        (
            "expired",
            Scene::first,
            |s| with_root(s, Key::certified(|c| c.not_after = rcgen::date_time_ymd(2027, 1, 14))),
            NOT_NOW,
        ),
        (
            "not yet",
            Scene::first,
            |s| with_root(s, Key::certified(|c| c.not_before = rcgen::date_time_ymd(2027, 1, 17))),
            NOT_NOW,
        ),
        ("an authority", Scene::first, |s| with_root(s, Key::certified(is_authority)), BUNDLE),
        ("two leaves", Scene::first, |s| with_root(s, bundle(|_| ())), BUNDLE),
        (
            "SHA-1",
            Scene::first,
            |s| with_root(s, weak(5)),
            "Root: a root key: a certificate is signed with SHA-1 or MD5",
        ),
        ("MD5", Scene::first, |s| with_root(s, weak(4)), "Root: a root key: a certificate is signed with SHA-1 or MD5"),
        (
            "RSA of 1,024 bits",
            Scene::first,
            |s| with_root(s, short()),
            "Root: a root key: an RSA key has at least 2048 bits",
        ),
        ("P-384", Scene::first, |s| with_root(s, of_curve()), "Root: a root key: an ECDSA key is on the curve P-256"),
        (
            "a type that is unknown",
            Scene::first,
            |s| with_root(s, typed("dsa-x509")),
            "Root: a root key: the key type \"dsa-x",
        ),
        (
            "a type that is not its",
            Scene::first,
            |s| with_root(s, typed("rsa-x509")),
            "Root: a root key: the public half is not",
        ),
        ("bytes after the certificate", Scene::first, |s| with_root(s, trailing()), BUNDLE),
        ("no PEM", Scene::first, |s| with_root(s, public(b"nothing")), BUNDLE),
        (
            "no certificate in it",
            Scene::first,
            |s| with_root(s, public(super::keys::pem(b"nothing").as_bytes())),
            BUNDLE,
        ),
        (
            "one of two root keys without",
            Scene::first,
            |s| {
                let second = Key::ecdsa();
                let first = s.keys.root.id();
                s.edit("root", move |f| {
                    f["keys"][second.id()] = json!(second.document);
                    f["roles"]["root"]["keyids"] = json!([first, second.id()]);
                });
            },
            "Root: the keys of the root role are certificates",
        ),
    ];
    refuses(table);
}

fn trailing() -> Arc<Key> {
    let made = rcgen::KeyPair::generate().unwrap();
    let pem = super::keys::certificate(&made, |_| ());
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    Key::of("ecdsa-x509", super::keys::pem(&[&block.contents[..], b"more"].concat()).as_bytes(), &made)
}

fn of_curve() -> Arc<Key> {
    let made = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let pem = super::keys::certificate(&made, |_| ());
    Key::of("ecdsa-x509", pem.as_bytes(), &rcgen::KeyPair::generate().unwrap())
}

fn typed(keytype: &str) -> Arc<Key> {
    let made = rcgen::KeyPair::generate().unwrap();
    Key::of(keytype, super::keys::certificate(&made, |_| ()).as_bytes(), &made)
}

fn public(public: &[u8]) -> Arc<Key> {
    Key::of("ecdsa-x509", public, &rcgen::KeyPair::generate().unwrap())
}

#[test]
fn a_root_that_leaves_published_targets_unsigned_is_refused() {
    let mut scene = Scene::rotation();
    scene.keys.targets = Key::ecdsa();
    let mut root = scene.keys.root(2);
    root.signers = scene.uploads["root"].signers.clone();
    scene.uploads.insert("root", root);
    let refused = scene.check().unwrap_err().to_string();
    assert_eq!(refused, "targets: 0 valid signatures where 1 are needed");
}

#[test]
fn what_a_collection_cannot_begin_with_is_refused() {
    let table: &[Row] = &[
        ("nothing", Scene::first, |s| s.uploads.clear(), "Validation: no root is published, and none is uploaded"),
        ("no root", Scene::first, |s| drop(s.uploads.remove("root")), "Validation: no root is published, and none"),
        ("no targets", Scene::first, |s| drop(s.uploads.remove("targets")), "Hierarchy: a collection needs targets"),
        (
            "a published root that is no root",
            Scene::next,
            |s| {
                s.published.get_mut("root").unwrap().signed["_type"] = json!("Targets");
            },
            "Validation: root: the file says that it is \"Targets\"",
        ),
        (
            "another collection's root",
            Scene::first,
            |s| s.gun = "registry.example:5000/team/other",
            "Root: a root certificate",
        ),
    ];
    refuses(table);
}
