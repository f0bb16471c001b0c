//! A collection that the first Notary wrote is read and verified as its own clients did.

#![expect(clippy::unwrap_used, reason = "a file that is not read fails the test")]

use std::collections::BTreeSet;

use hallmark_oci::Gun;
use hallmark_signer::notary::publish::{Published, Refused, Upload, check};
use hallmark_signer::notary::{
    FileState, Held, KeyDocument, PublicKey, Root, Signed, Snapshot, Targets, Timestamp, verify,
};

const ROOT: &[u8] = include_bytes!("data/notary0.3/root.json");
const TARGETS: &[u8] = include_bytes!("data/notary0.3/targets.json");
const SNAPSHOT: &[u8] = include_bytes!("data/notary0.3/snapshot.json");
const TIMESTAMP: &[u8] = include_bytes!("data/notary0.3/timestamp.json");
const GUN: &str = "docker.com/notary0.3/samplerepo";
/// 1 January 2017, while the certificate of the root held.
const NOW: i64 = 1_483_228_800_000;
/// 1 January 2027, when it did no more.
const LATER: i64 = 1_798_761_600_000;

fn root() -> Root {
    Signed::<Root>::parse(ROOT).unwrap().content
}

#[test]
fn every_file_verifies_by_the_keys_that_the_root_names() {
    let root = root();
    let roles = &root.roles;
    let verified = verify(Signed::<Root>::parse(ROOT).unwrap(), &roles["root"], &root.keys).unwrap();
    assert_eq!(verified.get().version, 1);
    let verified = verify(Signed::<Targets>::parse(TARGETS).unwrap(), &roles["targets"], &root.keys).unwrap();
    assert_eq!(verified.get().content.targets["LICENSE"].length, 11_309);
    let snapshot = verify(Signed::<Snapshot>::parse(SNAPSHOT).unwrap(), &roles["snapshot"], &root.keys).unwrap();
    let timestamp = verify(Signed::<Timestamp>::parse(TIMESTAMP).unwrap(), &roles["timestamp"], &root.keys).unwrap();
    let named = [
        ("root", ROOT, &snapshot.get().content.meta["root"]),
        ("targets", TARGETS, &snapshot.get().content.meta["targets"]),
        ("snapshot", SNAPSHOT, &timestamp.get().content.meta["snapshot"]),
    ];
    for (role, bytes, meta) in named {
        assert!(FileState::of(role.parse().unwrap(), 1, bytes).is(meta), "{role}");
    }
}

#[test]
fn every_key_has_the_id_that_it_stands_under() {
    let keys = root().keys;
    assert_eq!(keys.len(), 4);
    for (id, key) in &keys {
        assert_eq!(KeyDocument::id(key), *id);
    }
    let id = &root().roles["root"].keyids[0];
    let key = PublicKey::parse(&keys[id]).unwrap();
    let leaf = key.leaf().unwrap();
    assert_eq!((leaf.common_name.as_str(), &leaf.fault), (GUN, &None));
}

#[test]
fn a_changed_byte_of_what_is_signed_breaks_the_signature() {
    let root = root();
    let text = String::from_utf8(TARGETS.to_vec()).unwrap();
    let changed = Signed::<Targets>::parse(text.replace("11309", "11308").as_bytes()).unwrap();
    assert!(verify(changed, &root.roles["targets"], &root.keys).is_err());
}

/// The collection as its client would publish it, whose snapshot key was its own.
fn publish(now: i64) -> Result<Vec<(String, u64)>, Refused> {
    let gun: Gun = GUN.parse().unwrap();
    let upload = |(role, bytes): (&str, &[u8])| Upload { role: role.parse().unwrap(), bytes: bytes.to_vec() };
    let uploads = [("root", ROOT), ("targets", TARGETS), ("snapshot", SNAPSHOT), ("timestamp", TIMESTAMP)].map(upload);
    let held = Held { timestamp: root().roles["timestamp"].keyids.iter().cloned().collect(), ..Held::default() };
    let plan = check(&gun, uploads.to_vec(), &Published::default(), (&held, &BTreeSet::new()), now)?;
    Ok(plan.files.into_iter().map(|file| (file.state.role.to_string(), file.state.version)).collect())
}

#[test]
fn the_collection_is_taken_as_its_client_publishes_it() {
    let expected = [("root", 1), ("targets", 2), ("snapshot", 2)].map(|(role, version)| (role.to_owned(), version));
    assert_eq!(publish(NOW).unwrap(), expected);
    assert_eq!(publish(LATER).unwrap_err().to_string(), "a root certificate does not hold now");
}
