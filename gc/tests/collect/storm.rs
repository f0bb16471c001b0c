//! A storm: pushers, mounters, deleters, those who push again the very digests that are being collected, those who bring back,
//! and collectors, all at once on graces of milliseconds. Afterwards nothing that lives misses a byte, and after a drain
//! nothing is left that nothing needs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hallmark_gc::{Collected, clean, fold_usage};
use hallmark_oci::{Digest, Reference};
use hallmark_storage::metadata::{Graces, PutRefused, Repository, Scope, Undeleted};

use crate::harness::images::{image, index};
use crate::harness::{Dice, NOW, World, is_crowded, suite};

suite! {
    nothing_that_lives_is_lost_and_all_garbage_goes,
}

/// How long the storm lasts.
const LASTS: Duration = Duration::from_secs(4);
/// So few contents that all meet on them.
const CONTENTS: u64 = 16;
const GRACES: Graces = Graces { shown: 2, margin: 1, bytes: 2, window: 12 };
const PUSHERS: u64 = 4;
const DELETERS: u64 = 2;
const COLLECTORS: u64 = 3;
const FOLDERS: u64 = 2;

/// What all share.
struct Storm {
    world: World,
    repositories: [Repository; 2],
    now: AtomicI64,
    ends: Instant,
    pushed: AtomicU64,
    refused: AtomicU64,
    deleted: AtomicU64,
    revived: AtomicU64,
    collected: AtomicU64,
}

impl Storm {
    /// Time goes on with everything that anybody does.
    fn now(&self) -> i64 {
        self.now.fetch_add(1, Ordering::Relaxed)
    }

    fn goes_on(&self) -> bool {
        Instant::now() < self.ends
    }

    fn repository(&self, dice: &mut Dice) -> &Repository {
        &self.repositories[usize::from(dice.below(2) == 1)]
    }
}

fn content(number: u64) -> Vec<u8> {
    format!("content {number}").into_bytes()
}

async fn push(storm: Arc<Storm>, seed: u64) {
    let mut dice = Dice(seed);
    while storm.goes_on() {
        let repository = storm.repository(&mut dice);
        let (one, two) = (content(dice.below(CONTENTS)), content(dice.below(CONTENTS)));
        for content in [&one, &two] {
            let now = storm.now();
            // As clients do: what is shown is not sent again.
            if dice.below(2) == 0 && storm.world.shows(repository, content, now).await {
                continue;
            }
            let other = &storm.repositories[usize::from(storm.repositories[0].id == repository.id)];
            let pushed = match dice.below(4) {
                0 if matches!(storm.world.mount((other, repository), content, now).await, Ok(true)) => Ok(()),
                1 => storm.world.push_small(repository, content, now).await,
                _ => storm.world.push(repository, content, now).await.map(drop),
            };
            assert!(pushed.as_ref().err().is_none_or(is_crowded), "{pushed:?}");
        }
        let body = image(&one, &[&two], None);
        let tag = format!("t{}", dice.below(6));
        let tags = if dice.below(3) == 0 { Vec::new() } else { vec![tag.as_str()] };
        match storm.world.put(repository, &body, &tags, storm.now()).await {
            Ok(_) => drop(storm.pushed.fetch_add(1, Ordering::Relaxed)),
            Err(PutRefused::UnknownBlobs(_)) => drop(storm.refused.fetch_add(1, Ordering::Relaxed)),
            Err(PutRefused::Failed(error)) if is_crowded(&error) => {}
            Err(refused) => panic!("{refused:?}"),
        }
        if dice.below(4) == 0 {
            let put = storm.world.put(repository, &index(&[&body]), &["index"], storm.now()).await;
            let expected = matches!(&put, Ok(_) | Err(PutRefused::UnknownChildren(_)))
                || matches!(&put, Err(PutRefused::Failed(error)) if is_crowded(error));
            assert!(expected, "{put:?}");
        }
    }
}

async fn delete(storm: Arc<Storm>, seed: u64) {
    let mut dice = Dice(seed);
    while storm.goes_on() {
        let repository = storm.repository(&mut dice);
        let manifests = manifests(&storm.world, repository).await;
        if manifests.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        let digest = &manifests[usize::try_from(dice.below(manifests.len() as u64)).unwrap()];
        match storm.world.delete(repository, digest, storm.now()).await {
            Ok(_) => drop(storm.deleted.fetch_add(1, Ordering::Relaxed)),
            Err(error) => assert!(is_crowded(&error), "{error:?}"),
        }
        if dice.below(3) == 0 {
            storm.world.delete_blob(repository, &content(dice.below(CONTENTS)), storm.now()).await;
        }
    }
}

async fn bring_back(storm: Arc<Storm>, seed: u64) {
    let mut dice = Dice(seed);
    while storm.goes_on() {
        let repository = storm.repository(&mut dice);
        let Ok(trash) = storm.world.metadata.trash(repository.id, "", 50).await else { continue };
        if trash.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        let digest = &trash[usize::try_from(dice.below(trash.len() as u64)).unwrap()].digest;
        match storm.world.undelete(repository, digest, storm.now()).await {
            Ok(Undeleted::Back(..)) => drop(storm.revived.fetch_add(1, Ordering::Relaxed)),
            Ok(_) => {}
            Err(error) => assert!(is_crowded(&error), "{error:?}"),
        }
    }
}

async fn collect(storm: Arc<Storm>) {
    while storm.goes_on() {
        let now = storm.now.fetch_add(3, Ordering::Relaxed);
        let report = clean(&storm.world.metadata, &storm.world.blobs, now, || true).await;
        // What could not be looked at, since others were in the way, is looked at later.
        match report {
            // With so few contents hardly a blob is unneeded for long; what leaves the trash is collected too.
            Ok(report) => {
                let Collected { purged, manifests, blobs, .. } = report.collected;
                storm.collected.fetch_add(purged + manifests + blobs, Ordering::Relaxed);
            }
            Err(hallmark_gc::Error::Metadata(error) | hallmark_gc::Error::Unseen { first: error, .. }) => {
                assert!(is_crowded(&error), "{error:?}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Adds up what is in use, with others at the same time.
async fn fold(storm: Arc<Storm>) {
    while storm.goes_on() {
        let folded = fold_usage(&storm.world.metadata, storm.now(), || storm.goes_on()).await;
        assert!(folded.as_ref().err().is_none_or(is_crowded), "{folded:?}");
        tokio::task::yield_now().await;
    }
}

async fn manifests(world: &World, repository: &Repository) -> Vec<Digest> {
    let rows = world.look(&format!("SELECT digest FROM manifests WHERE repository_id = {}", repository.id)).await;
    rows.iter().map(|digest| digest.parse().unwrap()).collect()
}

async fn nothing_that_lives_is_lost_and_all_garbage_goes(world: World) {
    world.metadata.set_graces(GRACES);
    let repositories = [world.repository("alice/one").await, world.repository("alice/two").await];
    let storm = Arc::new(Storm {
        world,
        repositories,
        now: AtomicI64::new(NOW),
        ends: Instant::now() + LASTS,
        pushed: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        deleted: AtomicU64::new(0),
        revived: AtomicU64::new(0),
        collected: AtomicU64::new(0),
    });
    let mut tasks = Vec::new();
    tasks.extend((0..PUSHERS).map(|seed| tokio::spawn(push(Arc::clone(&storm), seed))));
    tasks.extend((0..DELETERS).map(|seed| tokio::spawn(delete(Arc::clone(&storm), 100 + seed))));
    tasks.push(tokio::spawn(bring_back(Arc::clone(&storm), 1_000)));
    tasks.extend((0..COLLECTORS).map(|_| tokio::spawn(collect(Arc::clone(&storm)))));
    tasks.extend((0..FOLDERS).map(|_| tokio::spawn(fold(Arc::clone(&storm)))));
    for task in tasks {
        task.await.unwrap();
    }
    let counts = [&storm.pushed, &storm.deleted, &storm.revived, &storm.collected];
    let counts = counts.map(|counter| counter.load(Ordering::Relaxed));
    assert!(
        counts.iter().all(|count| *count > 0),
        "the storm was a calm: {counts:?} pushed, deleted, revived, collected"
    );
    is_whole(&storm.world, &storm.repositories).await;
    is_counted(&storm.world, &storm.repositories).await;
    drain(&storm).await;
    is_whole(&storm.world, &storm.repositories).await;
    is_counted(&storm.world, &storm.repositories).await;
    has_no_garbage(&storm.world).await;
}

/// What is charged is what a count of all of it finds, by the tables and by hand; and once nothing is to be folded any more too.
async fn is_counted(world: &World, repositories: &[Repository]) {
    for _ in 0..2 {
        let mut manifests = 0;
        for Repository { id, account_id, name, .. } in repositories {
            let of_manifests = sum(world, &format!("SELECT size FROM manifests WHERE repository_id = {id}")).await
                + sum(world, &format!("SELECT size FROM trash WHERE repository_id = {id}")).await;
            let blobs = format!(
                "SELECT b.size FROM blobs b WHERE b.id IN (SELECT blob_id FROM repository_blobs WHERE repository_id = {id})
                    OR b.id IN (SELECT n.blob_id FROM trash_blobs n, trash t WHERE t.id = n.trash_id AND t.repository_id = {id})"
            );
            let held = sum(world, &blobs).await + of_manifests;
            let used = world.metadata.usage(Scope::Repository(*id)).await.unwrap().used;
            assert_eq!(used, held, "what {name} is charged");
            assert_eq!(world.metadata.sizes_of_repository(*id, *account_id).await.unwrap().logical, held, "{name}");
            manifests += of_manifests;
        }
        let account = world.alice.account_id;
        let blobs =
            format!("SELECT b.size FROM blobs b, account_blobs a WHERE a.blob_id = b.id AND a.account_id = {account}");
        let held = sum(world, &blobs).await + manifests;
        assert_eq!(world.metadata.usage(Scope::Account(account)).await.unwrap().used, held, "what alice is charged");
        assert_eq!(world.metadata.sizes_of_account(account).await.unwrap().logical, held, "alice");
        fold_usage(&world.metadata, NOW, || true).await.unwrap();
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM usage_entries").await, 0);
}

async fn sum(world: &World, query: &str) -> u64 {
    world.look(query).await.iter().map(|size| size.parse::<u64>().unwrap()).sum()
}

/// Every manifest that lives has every blob it names, shown, with the bytes of its digest; and every key has one owner.
async fn is_whole(world: &World, repositories: &[Repository]) {
    let owned_twice = "SELECT k FROM (SELECT storage_key AS k FROM blobs UNION ALL SELECT storage_key FROM uploads
         UNION ALL SELECT storage_key FROM key_deletions) AS keys GROUP BY k HAVING COUNT(*) > 1";
    assert_eq!(world.look(owned_twice).await, [""; 0], "a key with two owners");
    for repository in repositories {
        for manifest in manifests(world, repository).await {
            let stored = world.metadata.manifest(repository.id, &Reference::Digest(manifest.clone())).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&stored.unwrap().body).unwrap();
            let named = body["layers"].as_array().into_iter().flatten().chain(body.get("config"));
            for named in named {
                let digest: Digest = named["digest"].as_str().unwrap().parse().unwrap();
                let blob = world.metadata.without_cache().shown_blob(repository.id, &digest, i64::MAX).await.unwrap();
                let blob = blob.unwrap_or_else(|| panic!("{manifest} misses {digest}"));
                match &blob.body {
                    Some(body) => assert!(matches!(body, hallmark_storage::metadata::Body::Whole(_)), "{digest}"),
                    None => {
                        let found = world.blobs.hash(&blob.key, digest.algorithm()).await.unwrap();
                        assert_eq!(found.map(|(found, _)| found), Some(digest), "{manifest}");
                    }
                }
            }
        }
    }
}

/// Lets every grace run out, again and again.
async fn drain(storm: &Storm) {
    // A claim that nobody came back for ends after ten minutes, and a key that could not be deleted rests for half an hour.
    for day in 1..12 {
        let now = storm.now.load(Ordering::Relaxed) + day * 24 * 60 * 60 * 1_000;
        clean(&storm.world.metadata, &storm.world.blobs, now, || true).await.unwrap();
    }
    storm.now.fetch_add(20 * 24 * 60 * 60 * 1_000, Ordering::Relaxed);
}

/// What is left is needed: by a manifest, which needs no tag.
async fn has_no_garbage(world: &World) {
    for table in ["trash", "trash_blobs", "trash_children", "candidates", "key_deletions", "uploads"] {
        assert_eq!(world.count(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
    let unnamed = "SELECT COUNT(*) FROM repository_blobs l WHERE NOT EXISTS
         (SELECT 1 FROM manifest_blobs e WHERE e.repository_id = l.repository_id AND e.blob_id = l.blob_id)";
    assert_eq!(world.count(unnamed).await, 0, "a link that nothing needs");
    let unlinked = "SELECT COUNT(*) FROM account_blobs a WHERE NOT EXISTS
         (SELECT 1 FROM repository_blobs l WHERE l.account_id = a.account_id AND l.blob_id = a.blob_id)";
    assert_eq!(world.count(unlinked).await, 0, "an account's blob that nothing needs");
    let unheld = "SELECT COUNT(*) FROM blobs b WHERE NOT EXISTS (SELECT 1 FROM account_blobs a WHERE a.blob_id = b.id)";
    assert_eq!(world.count(unheld).await, 0, "a blob that nothing needs");
    let keys: BTreeSet<String> = world.look("SELECT storage_key FROM blobs").await.into_iter().collect();
    assert_eq!(world.keys().difference(&keys).collect::<Vec<_>>(), Vec::<&String>::new(), "bytes that nothing names");
}
