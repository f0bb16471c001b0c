//! The compatibility samples of Notary 0.1 and 0.3 load and verify, every role by the word of the one above it.

#![expect(clippy::unwrap_used, reason = "a file that is not read fails the test")]

use hallmark_signer::notary::{FileState, Root, Signed, Snapshot, Targets, Timestamp, verify};

/// A collection's files: root, targets, snapshot, timestamp, and its delegation `targets/releases`.
struct Sample {
    root: &'static [u8],
    targets: &'static [u8],
    snapshot: &'static [u8],
    timestamp: &'static [u8],
    releases: Option<&'static [u8]>,
}

const OLDEST: Sample = Sample {
    root: include_bytes!("data/notary0.1/root.json"),
    targets: include_bytes!("data/notary0.1/targets.json"),
    snapshot: include_bytes!("data/notary0.1/snapshot.json"),
    timestamp: include_bytes!("data/notary0.1/timestamp.json"),
    releases: None,
};
const DELEGATED: Sample = Sample {
    root: include_bytes!("data/notary0.3-delegated/root.json"),
    targets: include_bytes!("data/notary0.3-delegated/targets.json"),
    snapshot: include_bytes!("data/notary0.3-delegated/snapshot.json"),
    timestamp: include_bytes!("data/notary0.3-delegated/timestamp.json"),
    releases: Some(include_bytes!("data/notary0.3-delegated/targets/releases.json")),
};

/// The names of the targets of every role, after everything was verified from the root down and held against the snapshot.
fn targets(sample: &Sample) -> Vec<String> {
    let root = Signed::<Root>::parse(sample.root).unwrap();
    let (roles, keys) = (root.content.roles.clone(), root.content.keys.clone());
    verify(root, &roles["root"], &keys).unwrap();
    let targets = verify(Signed::<Targets>::parse(sample.targets).unwrap(), &roles["targets"], &keys).unwrap();
    let snapshot = verify(Signed::<Snapshot>::parse(sample.snapshot).unwrap(), &roles["snapshot"], &keys).unwrap();
    let timestamp = Signed::<Timestamp>::parse(sample.timestamp).unwrap();
    let timestamp = verify(timestamp, &roles["timestamp"], &keys).unwrap();
    let meta = &snapshot.get().content.meta;
    let mut files = vec![
        ("snapshot", sample.snapshot, &timestamp.get().content.meta["snapshot"]),
        ("root", sample.root, &meta["root"]),
        ("targets", sample.targets, &meta["targets"]),
    ];
    let top = &targets.get().content;
    let mut names: Vec<String> = top.targets.keys().cloned().collect();
    if let Some(bytes) = sample.releases {
        let role = top.delegations.roles.iter().find(|role| role.name == "targets/releases").unwrap();
        let releases = Signed::<Targets>::parse(bytes).unwrap();
        let releases = verify(releases, &role.keys(), &top.delegations.keys).unwrap();
        assert!(releases.get().content.targets.keys().all(|name| role.reaches(name)));
        names.extend(releases.get().content.targets.keys().cloned());
        files.push(("targets/releases", bytes, &meta["targets/releases"]));
    }
    for (role, bytes, meta) in files {
        assert!(FileState::of(role.parse().unwrap(), 1, bytes).is(meta), "{role}");
    }
    names
}

#[test]
fn a_collection_of_notary_0_1_verifies() {
    assert_eq!(targets(&OLDEST), ["LICENSE"]);
}

#[test]
fn a_collection_of_notary_0_3_verifies_with_its_delegation() {
    assert_eq!(targets(&DELEGATED), ["LICENSE", "change", "hello"]);
}

#[test]
fn another_collection_s_keys_verify_nothing() {
    let root = Signed::<Root>::parse(OLDEST.root).unwrap().content;
    let targets = Signed::<Targets>::parse(DELEGATED.targets).unwrap();
    assert!(verify(targets, &root.roles["targets"], &root.keys).is_err());
}
