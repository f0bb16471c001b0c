//! Our own client on every case.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hallmark_signer::tuf::{Fetch, Named, UpdateError, find};
use serde_json::{Value, json};

use crate::cases::{Expected, all};
use crate::forge::{Files, Forge, NOW, PATH, Pair, next, sum};

pub(crate) fn fetch(files: Files) -> Fetch {
    let files = Arc::new(files);
    Arc::new(move |name, most| {
        let found = files.get(&name).map(|bytes| bytes[..bytes.len().min(most as usize + 1)].to_vec());
        Box::pin(async move { Ok(found) })
    })
}

async fn update(root: &[u8], files: Files, memory: &Path) -> Result<Option<Named>, UpdateError> {
    find(root, PATH, fetch(files), (memory, NOW)).await
}

#[tokio::test]
async fn every_case_is_taken_or_refused_with_its_reason() {
    let mut wrong = Vec::new();
    for case in all() {
        let memory = tempfile::tempdir().unwrap();
        for (number, (files, expected)) in case.steps.into_iter().enumerate() {
            let came = update(&case.root, files, memory.path()).await;
            let is_right = match (&came, &expected) {
                (Ok(Some(named)), Expected::Named(number)) => named.hashes["sha256"] == sum(*number),
                (Ok(None), Expected::Unnamed) => true,
                (Err(error @ UpdateError::Refused { .. }), Expected::Refused(why)) => error.to_string().contains(why),
                _ => false,
            };
            if !is_right {
                wrong.push(format!("{}, step {number}: {came:?} where {expected:?} was expected", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_was_refused_is_not_remembered() {
    let mut forge = Forge::new();
    let memory = tempfile::tempdir().unwrap();
    let root = forge.file("1.root.json");
    let whole = forge.files.clone();
    forge.snapshot["meta"]["targets.json"]["version"] = serde_json::json!(0);
    forge.publish_snapshot();
    forge.files.insert("2.snapshot.json".to_owned(), whole["1.snapshot.json"].clone());
    update(&root, forge.files.clone(), memory.path()).await.unwrap_err();
    let stored = std::fs::read(memory.path().join("snapshot.json"));
    assert_eq!(stored.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_file_that_could_not_be_brought_is_told_from_one_that_is_not_there() {
    let forge = Forge::new();
    for broken in ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json", "1.tags.json"] {
        let (inner, memory) = (fetch(forge.files.clone()), tempfile::tempdir().unwrap());
        let failing: Fetch = Arc::new(move |name, most| {
            if name == broken { Box::pin(async { Err("the line is cut".to_owned()) }) } else { inner(name, most) }
        });
        let came = find(&forge.file("1.root.json"), PATH, failing, (memory.path(), NOW)).await;
        assert!(matches!(came, Err(UpdateError::Unreachable(_))), "{broken}: {came:?}");
    }
}

#[tokio::test]
async fn only_the_roles_on_the_way_are_loaded() {
    let mut forge = Forge::new();
    for number in 0..300 {
        forge.delegate("targets", &format!("other{number}"), serde_json::json!({"paths": ["else/*"]}), false);
    }
    forge.publish();
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (inner, memory, told) = (fetch(forge.files.clone()), tempfile::tempdir().unwrap(), Arc::clone(&asked));
    let counting: Fetch = Arc::new(move |name, most| {
        told.lock().unwrap().push(name.clone());
        inner(name, most)
    });
    let found = find(&forge.file("1.root.json"), PATH, counting, (memory.path(), NOW)).await.unwrap();
    assert!(found.is_some());
    let expected = ["2.root.json", "timestamp.json", "2.snapshot.json", "1.targets.json", "1.tags.json"];
    assert_eq!(*asked.lock().unwrap(), expected);
}

/// Two publishes: the first by keys that the second root takes from everybody, the second by others.
fn rotated() -> (Forge, Files) {
    let mut forge = Forge::new();
    let first = forge.files.clone();
    for (number, role) in (50_u8..).zip(["targets", "snapshot", "timestamp"]) {
        forge.keys.insert(role.to_owned(), vec![Pair::ed25519(number)]);
    }
    next(&mut forge.root);
    forge.root["keys"] = serde_json::json!({});
    forge.name_keys();
    forge.seal_root();
    forge.publish();
    (forge, first)
}

#[tokio::test]
async fn a_root_that_was_seen_is_not_given_up_when_nobody_brings_it_any_more() {
    let (forge, first) = rotated();
    let (memory, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = forge.file("1.root.json");
    update(&root, forge.files.clone(), memory.path()).await.unwrap().unwrap();
    let came = update(&root, first.clone(), memory.path()).await;
    assert!(came.as_ref().is_err_and(|error| error.to_string().contains("0 valid signatures")), "{came:?}");
    update(&root, first.clone(), fresh.path()).await.unwrap().unwrap();
    // The file that says so belongs to this pinned root alone.
    let second = forge.file("2.root.json");
    update(&second, forge.files.clone(), memory.path()).await.unwrap().unwrap();
    let without = forge.files.iter().filter(|(name, _)| !name.ends_with(".root.json"));
    let without: Files = without.map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
    update(&root, without, memory.path()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_timestamp_that_has_expired_in_the_memory_counts_still() {
    const DAY: i64 = 24 * 60 * 60 * 1_000;
    let mut forge = Forge::new();
    let (root, memory) = (forge.file("1.root.json"), tempfile::tempdir().unwrap());
    let find_at = async |files: &Files, now| find(&root, PATH, fetch(files.clone()), (memory.path(), now)).await;
    let first = forge.files.clone();
    (forge.timestamp["version"], forge.timestamp["expires"]) = (json!(2), json!("2027-01-16T00:00:00Z"));
    forge.seal_timestamp();
    find_at(&forge.files, NOW).await.unwrap().unwrap();
    let came = find_at(&forge.files, NOW + DAY).await;
    assert!(came.as_ref().is_err_and(|error| error.to_string().contains("expired")), "{came:?}");
    let came = find_at(&first, NOW + DAY).await;
    assert!(came.as_ref().is_err_and(|error| error.to_string().contains("falls from version 2 to 1")), "{came:?}");
    (forge.timestamp["version"], forge.timestamp["expires"]) = (json!(3), expires_of(&first));
    forge.seal_timestamp();
    find_at(&forge.files, NOW + DAY).await.unwrap().unwrap();
}

/// New keys for snapshots begin a new count once: whoever holds the timestamp's key and keeps the newest snapshot away leads nobody
/// back to an older one that the new keys have signed.
#[tokio::test]
async fn a_new_count_begins_once_also_while_no_snapshot_of_it_was_brought() {
    for with in [&["snapshot"][..], &["snapshot", "timestamp"]] {
        let mut forge = Forge::new();
        let (root, memory) = (forge.file("1.root.json"), tempfile::tempdir().unwrap());
        forge.snapshot["version"] = json!(1_000_000);
        forge.publish_snapshot();
        update(&root, forge.files.clone(), memory.path()).await.unwrap().unwrap();
        for (number, role) in (50_u8..).zip(with) {
            forge.keys.insert((*role).to_owned(), vec![Pair::ed25519(number)]);
        }
        forge.name_keys();
        next(&mut forge.root);
        forge.seal_root();
        forge.snapshot["version"] = json!(1);
        forge.publish_snapshot();
        let older = forge.timestamp["meta"].clone();
        forge.publish_snapshot();
        let newest = forge.timestamp["meta"].clone();
        let kept_away: Files = forge
            .files
            .iter()
            .filter(|(name, _)| *name != "3.snapshot.json")
            .map(|(n, b)| (n.clone(), b.clone()))
            .collect();
        let came = update(&root, kept_away, memory.path()).await;
        assert!(came.as_ref().is_err_and(|error| error.to_string().contains("not there")), "{with:?}: {came:?}");
        forge.timestamp["meta"] = older;
        forge.publish_timestamp();
        let came = update(&root, forge.files.clone(), memory.path()).await;
        let falls = |error: &UpdateError| error.to_string().contains("falls from version 3 to 2");
        assert!(came.as_ref().is_err_and(falls), "{with:?}: {came:?}");
        forge.timestamp["meta"] = newest;
        forge.publish_timestamp();
        update(&root, forge.files.clone(), memory.path()).await.unwrap().unwrap();
    }
}

/// When the timestamp of these files expires.
fn expires_of(files: &Files) -> Value {
    serde_json::from_slice::<Value>(&files["timestamp.json"]).unwrap()["signed"]["expires"].clone()
}

#[tokio::test]
async fn a_chain_that_breaks_off_is_remembered_as_far_as_it_was_seen() {
    let (mut forge, first) = rotated();
    let memory = tempfile::tempdir().unwrap();
    let root = forge.file("1.root.json");
    forge.files.insert("3.root.json".to_owned(), b"{}".to_vec());
    update(&root, forge.files.clone(), memory.path()).await.unwrap_err();
    let came = update(&root, first, memory.path()).await;
    assert!(came.as_ref().is_err_and(|error| error.to_string().contains("0 valid signatures")), "{came:?}");
}

#[tokio::test]
async fn a_memory_that_cannot_be_read_is_no_empty_one() {
    let (forge, _) = rotated();
    let root = forge.file("1.root.json");
    let memory = tempfile::tempdir().unwrap();
    update(&root, forge.files.clone(), memory.path()).await.unwrap();
    let mut files = 0;
    for entry in std::fs::read_dir(memory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        files += 1;
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let came = update(&root, forge.files.clone(), memory.path()).await;
        assert!(matches!(&came, Err(UpdateError::Memory { path: told, .. }) if *told == path), "{came:?}");
        std::fs::write(&path, &whole).unwrap();
    }
    assert_eq!(files, 3, "a root, a timestamp, and a snapshot");
    // A root that its own keys have not signed was never written: it does not stand for the pinned one.
    let is_root = |path: &PathBuf| path.to_string_lossy().ends_with(".root.json");
    let mut entries = std::fs::read_dir(memory.path()).unwrap().map(|entry| entry.unwrap().path());
    let path = entries.find(is_root).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut unsigned: Value = serde_json::from_slice(&whole).unwrap();
    unsigned["signatures"] = json!([]);
    std::fs::write(&path, unsigned.to_string()).unwrap();
    let came = update(&root, forge.files.clone(), memory.path()).await;
    assert!(matches!(&came, Err(UpdateError::Memory { path: told, .. }) if *told == path), "{came:?}");
    std::fs::write(&path, &whole).unwrap();
    update(&root, forge.files.clone(), memory.path()).await.unwrap();
}

/// Half of them see the publish before the other half's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_who_verify_at_once_share_a_memory() {
    let mut forge = Forge::new();
    let mut steps = vec![forge.files.clone()];
    for _ in 0..7 {
        forge.publish();
        steps.push(forge.files.clone());
    }
    let memory = Arc::new(tempfile::tempdir().unwrap());
    let root = forge.file("1.root.json");
    for _ in 0..10 {
        let all = steps.iter().chain([steps.last().unwrap(); 8]).map(|files| {
            let (root, files, memory) = (root.clone(), files.clone(), Arc::clone(&memory));
            tokio::spawn(async move { update(&root, files, memory.path()).await })
        });
        for task in all.collect::<Vec<_>>() {
            match task.await.unwrap() {
                Ok(named) => assert!(named.is_some()),
                Err(error) => assert!(error.to_string().contains("falls from version"), "{error}"),
            }
        }
    }
    let last = update(&root, steps[7].clone(), memory.path()).await.unwrap();
    assert!(last.is_some(), "the newest is remembered");
    let drafts = std::fs::read_dir(memory.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "new"));
    assert_eq!(drafts.count(), 0);
}

/// All of them write the first timestamp at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn whoever_remembers_at_the_same_moment_disturbs_nobody() {
    const AT_ONCE: usize = 8;
    let forge = Forge::new();
    let root = forge.file("1.root.json");
    for _ in 0..100 {
        let memory = Arc::new(tempfile::tempdir().unwrap());
        let together = Arc::new(tokio::sync::Barrier::new(AT_ONCE));
        let all = (0..AT_ONCE).map(|_| {
            let (root, memory, together) = (root.clone(), Arc::clone(&memory), Arc::clone(&together));
            let inner = fetch(forge.files.clone());
            let waiting: Fetch = Arc::new(move |name, most| {
                let (found, together) = (inner(name.clone(), most), Arc::clone(&together));
                Box::pin(async move {
                    let found = found.await;
                    if name == "timestamp.json" {
                        together.wait().await;
                    }
                    found
                })
            });
            tokio::spawn(async move { find(&root, PATH, waiting, (memory.path(), NOW)).await })
        });
        for task in all.collect::<Vec<_>>() {
            assert!(task.await.unwrap().unwrap().is_some());
        }
    }
}
