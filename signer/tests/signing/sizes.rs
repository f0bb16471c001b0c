//! How long the files are that every client reads, at a million tags.

use std::collections::BTreeMap;

use hallmark_signer::tuf::{Standing, Target, naming};
use hallmark_signer::{TufChange, TufMode};
use serde_json::Value;

use crate::world::{NOW, World};

const DOMAIN: &str = "tuf1/registry";
const TAGS: usize = 1_000_000;
/// The longest that a snapshot may be, in bytes.
const SNAPSHOT_BYTES: usize = 2_000_000;
/// The longest timestamp: what a client reads each time.
const TIMESTAMP_BYTES: usize = 1_000;

#[tokio::test]
async fn the_snapshot_of_a_million_tags_is_shorter_than_2_megabytes() {
    let world = World::open().await;
    let root = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let change = |standing, changes, expected, mode| TufChange {
        domain: DOMAIN.to_owned(),
        collection: "tuf1/repository/1".to_owned(),
        repository: "acme/web".to_owned(),
        caller: "publisher".to_owned(),
        root: root.clone(),
        standing,
        changes,
        expected,
        mode,
    };
    // Grown to it from a few: bins of every layout before are named on.
    let mut standing: Option<Standing> = None;
    for expected in [1_001, 16_001, 64_001, 256_001, TAGS as u64] {
        let laid_out = change(standing.take(), BTreeMap::new(), expected, TufMode::Anew);
        let made = world.signer.publish(laid_out, NOW).await.unwrap().unwrap();
        let mut files: BTreeMap<String, Vec<u8>> = made.files.into_iter().collect();
        files.remove("timestamp");
        standing = Some(Standing { snapshot: files.remove("snapshot").unwrap(), files });
    }
    let standing = standing.unwrap();
    // One bin as full as it is of a million: the line of each has as many digits.
    let tags: Vec<String> = (0..TAGS).map(|tag| format!("v{tag}")).collect();
    let roles = naming(&standing.snapshot, "acme/web", tags.iter().map(String::as_str)).unwrap();
    let bin = roles[0].clone();
    let target = Target {
        sha256: [1; 32],
        length: 1_000,
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        signer: "robot:acme+ci".to_owned(),
        signed_at: "2027-01-15T08:00:00Z".to_owned(),
        source: "signature".to_owned(),
    };
    let in_bin = tags.into_iter().zip(roles).filter(|(_, role)| *role == bin);
    let full: BTreeMap<_, _> = in_bin.map(|(tag, _)| (tag, Some(target.clone()))).collect();
    assert!((800..1_200).contains(&full.len()), "{} of a million tags in one bin", full.len());
    let upon = change(Some(standing), full, TAGS as u64, TufMode::Upon);
    let files: BTreeMap<String, Vec<u8>> =
        world.signer.publish(upon, NOW).await.unwrap().unwrap().files.into_iter().collect();
    let snapshot: Value = serde_json::from_slice(&files["snapshot"]).unwrap();
    let lines = snapshot["signed"]["meta"].as_object().unwrap();
    let digits = |line: &Value| line["length"].to_string().len();
    let longer: usize = lines.values().map(|line| digits(&lines[&format!("{bin}.json")]) - digits(line).min(6)).sum();
    let (snapshot, timestamp) = (files["snapshot"].len() + longer, files["timestamp"].len());
    println!("a million tags: {} roles, snapshot {snapshot} bytes, timestamp {timestamp} bytes", lines.len());
    assert!(snapshot < SNAPSHOT_BYTES, "{snapshot}");
    assert!(timestamp < TIMESTAMP_BYTES, "{timestamp}");
}
