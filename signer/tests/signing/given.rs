//! Versions of TUF 1.0 files: each is given once, and what is written down is what leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use hallmark_signer::tuf::{Files, Standing, Target};
use hallmark_signer::{TufChange, TufMode, TufRefused};
use serde_json::Value;

use crate::world::{NOW, World};

const DOMAIN: &str = "tuf1/registry";
const REPOSITORY: &str = "tuf1/repository/1";

/// A change by which this tag is named, anew or upon what stands.
fn change(root: &[u8], standing: Option<Standing>, tag: &str) -> TufChange {
    let target = Target {
        sha256: [1; 32],
        length: 1,
        media_type: "m".to_owned(),
        signer: "user:ann".to_owned(),
        signed_at: "2027-01-15T08:00:00Z".to_owned(),
        source: "signature".to_owned(),
    };
    let mode = if standing.is_some() { TufMode::Upon } else { TufMode::Anew };
    TufChange {
        domain: DOMAIN.to_owned(),
        collection: REPOSITORY.to_owned(),
        repository: "ann/web".to_owned(),
        caller: "publisher".to_owned(),
        root: root.to_vec(),
        standing,
        changes: BTreeMap::from([(tag.to_owned(), Some(target))]),
        expected: 0,
        mode,
    }
}

/// The versions and hashes that are written down of a role.
async fn written(world: &World, role: &str) -> BTreeSet<(i64, Vec<u8>)> {
    let lines = world.metadata.signer_log(REPOSITORY, role, 99).await.unwrap();
    let count = lines.len();
    let lines: BTreeSet<_> = lines.into_iter().map(|line| (line.version, line.sha256)).collect();
    assert_eq!(lines.len(), count, "no line twice");
    lines
}

/// What must be written down of these files, whose own bytes tell their version.
fn told(files: &Files, role: &str) -> (i64, Vec<u8>) {
    let (_, bytes) = files.files.iter().find(|(named, _)| named == role).unwrap();
    let document: Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(document["signed"]["version"], files.version);
    // What is signed, which stands in the file in its canonical form.
    let signed = document["signed"].to_string();
    (i64::try_from(files.version).unwrap(), digest(&SHA256, signed.as_bytes()).as_ref().to_vec())
}

/// The files that hold after these.
fn standing(files: &Files) -> Standing {
    let mut held: BTreeMap<String, Vec<u8>> = files.files.iter().cloned().collect();
    Standing { snapshot: held.remove("snapshot").unwrap(), files: held }
}

#[tokio::test]
async fn a_version_that_was_given_is_not_given_again_whatever_is_guessed() {
    let world = World::open().await;
    let root = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let ahead = NOW / 1_000 + 7;
    let lifted: Result<(), hallmark_storage::metadata::Error> =
        world.metadata.write(ahead, |tx, ahead| Box::pin(tx.lift_signer_floor(REPOSITORY, "version", *ahead))).await;
    lifted.unwrap();
    for (last, tag) in (ahead..).zip(["1", "2"]) {
        let made = world.signer.publish(change(&root, None, tag), NOW).await.unwrap().unwrap();
        assert_eq!(made.version, u64::try_from(last).unwrap() + 1, "the next one, and none is lost");
        for role in ["targets", "tags", "snapshot", "timestamp"] {
            assert!(written(&world, role).await.contains(&told(&made, role)), "{role}");
        }
    }
    assert_eq!(written(&world, "timestamp").await.len(), 2, "nothing is written down of what did not leave");
}

#[tokio::test]
async fn who_publishes_at_once_gets_a_version_alone() {
    let world = Arc::new(World::open().await);
    let root = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let publish = |number: usize| {
        let (world, change) = (Arc::clone(&world), change(&root, None, &number.to_string()));
        tokio::spawn(async move { world.signer.publish(change, NOW).await.unwrap().unwrap() })
    };
    let mut made = Vec::new();
    for publishing in (0..12).map(publish).collect::<Vec<_>>() {
        made.push(publishing.await.unwrap());
    }
    let versions: BTreeSet<u64> = made.iter().map(|files| files.version).collect();
    assert_eq!(versions.len(), made.len());
    let told: BTreeSet<_> = made.iter().map(|files| told(files, "timestamp")).collect();
    assert_eq!(written(&world, "timestamp").await, told);
}

#[tokio::test]
async fn what_rests_on_less_than_one_before_it_is_refused_and_leaves_no_trace() {
    let world = World::open().await;
    let root = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let first = world.signer.publish(change(&root, None, "1"), NOW).await.unwrap().unwrap();
    let second = world.signer.publish(change(&root, Some(standing(&first)), "2"), NOW).await.unwrap().unwrap();
    // What an update does not write anew stands on from before it.
    let mut upon = standing(&second);
    for (role, bytes) in standing(&first).files {
        upon.files.entry(role).or_insert(bytes);
    }
    world.signer.publish(change(&root, Some(upon), "3"), NOW).await.unwrap().unwrap();
    let seen = async || {
        let floors = world.metadata.signer_floor_page(("", ""), 99).await.unwrap();
        (floors, written(&world, "timestamp").await, written(&world, "tags").await)
    };
    let before = seen().await;
    let refused = world.signer.publish(change(&root, Some(standing(&first)), "4"), NOW).await;
    let (from, to) = (i64::try_from(second.version).unwrap(), i64::try_from(first.version).unwrap());
    assert!(
        matches!(&refused, Err(TufRefused::Falling { from: last, to: fallen }) if (*last, *fallen) == (from, to)),
        "{refused:?}"
    );
    assert_eq!(seen().await, before);
}
