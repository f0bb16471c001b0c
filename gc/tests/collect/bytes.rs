//! Bytes that rot, and bytes that nothing names.

use std::sync::atomic::{AtomicU64, Ordering};

use hallmark_gc::{
    Compared, Error, Held, Schedule, Scrubbed, adopt_store, clean, compare, compare_held, held_comparison,
    is_another_store, owns_store, scrub,
};
use hallmark_storage::StorageKey;

use crate::harness::images::{digest, image};
use crate::harness::{NOW, TINY, World, suite};

suite! {
    rot_is_found_and_healed_by_the_next_push,
    bytes_are_read_again_in_their_time_and_at_their_rate,
    a_blob_that_cannot_be_read_holds_up_no_other,
    reading_ends_when_it_is_told_to,
    bytes_that_nothing_names_are_found_and_deleted,
    the_store_of_another_database_is_left_alone,
    nothing_is_deleted_from_or_lost_in_a_store_that_is_another,
    a_mark_that_was_changed_by_half_is_known_again,
    a_comparison_that_would_delete_too_much_waits_for_an_operator,
    two_replicas_compare_a_part_once,
}

const DAY: i64 = 24 * 60 * 60 * 1_000;
const SCHEDULE: Schedule = Schedule { interval: DAY, bytes: 1_000 };

async fn read_again(world: &World, now: i64) -> Scrubbed {
    scrub(&world.metadata, &world.blobs, (now, SCHEDULE), || true).await.unwrap()
}

async fn rot_is_found_and_healed_by_the_next_push(world: World) {
    let repository = world.repository("alice/app").await;
    let whole = world.push(&repository, b"whole", NOW).await.unwrap();
    let rotten = world.push(&repository, b"rotten", NOW).await.unwrap();
    let gone = world.push(&repository, b"gone", NOW).await.unwrap();
    world.push_small(&repository, b"fact", NOW).await.unwrap();
    world.put(&repository, &image(b"whole", &[b"rotten", b"gone", b"fact"], None), &["v1"], NOW).await.unwrap();
    assert_eq!(read_again(&world, NOW + DAY - 1).await, Scrubbed::default(), "what was just written is whole");
    std::fs::write(world.file(&rotten), b"Rotten").unwrap();
    std::fs::remove_file(world.file(&gone)).unwrap();
    assert_eq!(read_again(&world, NOW + DAY).await, Scrubbed { blobs: 4, bytes: 19, damaged: 2 });
    let shown = async |content: &[u8]| world.shows(&repository, content, NOW + DAY).await;
    assert!(shown(b"whole").await && shown(b"fact").await, "what is whole is served");
    assert!(!shown(b"rotten").await && !shown(b"gone").await, "clients are told to push it again (I1)");
    let told = world.look("SELECT subject FROM events WHERE kind = 'blob_quarantined'").await;
    assert_eq!(told.len(), 2);
    let healed = world.push(&repository, b"rotten", NOW + DAY).await.unwrap();
    assert!(shown(b"rotten").await && world.has_bytes(&healed).await);
    let blob = world.metadata.blob(repository.id, &digest(b"rotten")).await.unwrap().unwrap();
    assert_eq!(blob.key, healed);
    assert_eq!(read_again(&world, NOW + 2 * DAY).await.damaged, 0);
    assert!(world.has_bytes(&whole).await);
}

async fn bytes_are_read_again_in_their_time_and_at_their_rate(world: World) {
    let repository = world.repository("alice/app").await;
    for number in 0..20_u8 {
        world.push(&repository, &[number; 200], NOW).await.unwrap();
    }
    let first = read_again(&world, NOW + DAY).await;
    assert_eq!((first.blobs, first.bytes), (8, 1_600), "a batch passes the limit, and ends the run");
    assert_eq!(read_again(&world, NOW + DAY).await.blobs, 8);
    assert_eq!(read_again(&world, NOW + DAY).await.blobs, 4);
    assert_eq!(read_again(&world, NOW + DAY).await.blobs, 0, "each was read once");
    assert_eq!(read_again(&world, NOW + 2 * DAY).await.blobs, 8);
}

async fn a_blob_that_cannot_be_read_holds_up_no_other(world: World) {
    let repository = world.repository("alice/app").await;
    let stuck = world.push(&repository, b"cannot be read", NOW).await.unwrap();
    let rotten = world.push(&repository, b"rotten", NOW + 1).await.unwrap();
    // A folder in its place is no file that is gone or cut short.
    std::fs::remove_file(world.file(&stuck)).unwrap();
    std::fs::create_dir(world.file(&stuck)).unwrap();
    std::fs::write(world.file(&rotten), b"Rotten").unwrap();
    let read = scrub(&world.metadata, &world.blobs, (NOW + 1 + DAY, SCHEDULE), || true).await;
    let Err(Error::Unreadable { unread, scrubbed, .. }) = read else { panic!("{read:?}") };
    assert_eq!((unread, scrubbed.damaged), (1, 1));
    assert_eq!(read_again(&world, NOW + 2 + DAY).await.blobs, 0, "it is left alone for an hour");
}

async fn reading_ends_when_it_is_told_to(world: World) {
    let repository = world.repository("alice/app").await;
    for number in 0..3_u8 {
        world.push(&repository, &vec![number; 2 << 20], NOW).await.unwrap();
    }
    let asked = AtomicU64::new(0);
    let goes_on = || asked.fetch_add(1, Ordering::Relaxed) < 3;
    let schedule = Schedule { bytes: u64::MAX, ..SCHEDULE };
    let stopped = scrub(&world.metadata, &world.blobs, (NOW + DAY, schedule), goes_on).await.unwrap();
    assert_eq!(stopped, Scrubbed::default(), "in the middle of the first");
    assert_eq!(
        asked.load(Ordering::Relaxed),
        5,
        "before the batch, before the blob, and twice within it; then it ends"
    );
    let later = scrub(&world.metadata, &world.blobs, (NOW + 2 * DAY, schedule), || true).await.unwrap();
    assert_eq!(later.blobs, 3);
}

/// A key in this part of the store.
fn key(part: u8, number: u8) -> StorageKey {
    let mut bytes = [number; 16];
    bytes[0] = part;
    StorageKey::from_bytes(bytes)
}

async fn compare_at(world: &World, now: i64) -> Result<Option<Compared>, Error> {
    compare(&world.metadata, &world.blobs, (now, 10), || true).await
}

/// Writes files of so many keys of part 0, which nothing names; a time at which they are old.
async fn litter(world: &World, count: u8) -> i64 {
    for number in 1..=count {
        std::fs::write(world.file(&key(0, number)), b"bytes without facts").unwrap();
    }
    let written = world.file(&key(0, 1)).metadata().unwrap().modified().unwrap();
    written.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64 + 8 * DAY
}

/// Staging, set up from a backup of the database beside it and on the same store, must not take the store's newer bytes for left over.
async fn the_store_of_another_database_is_left_alone(world: World) {
    let now = litter(&world, 3).await;
    assert!(owns_store(&world.metadata, &world.blobs).await.unwrap());
    let mark = world.blobs.mark().await.unwrap().unwrap();
    let foreign = async |now| assert!(matches!(compare_at(&world, now).await, Err(Error::Foreign)));
    assert!(world.blobs.change_mark(Some(&mark), "another's").await.unwrap());
    foreign(now).await;
    assert!(!owns_store(&world.metadata, &world.blobs).await.unwrap());
    assert_eq!(world.count("SELECT COUNT(*) FROM key_deletions").await, 0);
    // A copy of the database compares first: it has changed the mark since.
    assert!(world.blobs.change_mark(Some("another's"), &mark).await.unwrap());
    let before = world.look("SELECT value FROM settings WHERE name = 'store_mark'").await.remove(0);
    assert_eq!(compare_at(&world, now + 10).await.unwrap().unwrap().orphans, 0, "another part");
    world.look(&format!("UPDATE settings SET value = '{before}' WHERE name = 'store_mark'")).await;
    foreign(now + 20).await;
}

/// A copy of a database has the keys of uploads that the other has made images of since; and a disk may not be mounted.
async fn nothing_is_deleted_from_or_lost_in_a_store_that_is_another(world: World) {
    let repository = world.repository("alice/app").await;
    let kept = world.push(&repository, b"kept", NOW).await.unwrap();
    world.put(&repository, &image(b"kept", &[], None), &["v1"], NOW).await.unwrap();
    let doomed = world.push(&repository, b"doomed", NOW).await.unwrap();
    let now = NOW + 2 * DAY;
    world.delete_blob(&repository, b"doomed", NOW).await;
    world.clean(NOW + TINY.shown + TINY.margin).await;
    let mark = world.blobs.mark().await.unwrap().unwrap();
    let cleaned = async || clean(&world.metadata, &world.blobs, now, || true).await;
    let read = async || scrub(&world.metadata, &world.blobs, (now, SCHEDULE), || true).await;
    let is_foreign = async || {
        assert!(matches!(cleaned().await, Err(Error::Foreign)));
        assert!(matches!(read().await, Err(Error::Foreign)));
        assert!(is_another_store(&world.metadata, &world.blobs).await.unwrap());
        assert!(world.has_bytes(&doomed).await);
        assert_eq!(world.count("SELECT COUNT(*) FROM events WHERE kind = 'blob_quarantined'").await, 0);
    };
    assert!(world.blobs.change_mark(Some(&mark), "another's").await.unwrap());
    is_foreign().await;
    // An empty folder bears no mark, and gets none by itself.
    let file = world.file(&kept);
    let file = file.ancestors().find_map(|folder| Some(folder.join(".mark")).filter(|mark| mark.exists())).unwrap();
    std::fs::remove_file(file).unwrap();
    is_foreign().await;
    let adopted: Result<(), hallmark_storage::metadata::Error> =
        world.metadata.write((), |tx, ()| Box::pin(adopt_store(tx))).await;
    adopted.unwrap();
    cleaned().await.unwrap();
    assert_eq!((read().await.unwrap().damaged, world.has_bytes(&doomed).await), (0, false));
    assert!(world.has_bytes(&kept).await && !is_another_store(&world.metadata, &world.blobs).await.unwrap());
}

/// The process may die between the change of the mark in the database and in the store.
async fn a_mark_that_was_changed_by_half_is_known_again(world: World) {
    assert!(owns_store(&world.metadata, &world.blobs).await.unwrap());
    let mark = world.blobs.mark().await.unwrap().unwrap();
    world.look(&format!("UPDATE settings SET value = 'next {mark}' WHERE name = 'store_mark'")).await;
    assert!(owns_store(&world.metadata, &world.blobs).await.unwrap());
    assert!(compare_at(&world, NOW).await.unwrap().is_some());
    assert_ne!(world.blobs.mark().await.unwrap().unwrap(), mark);
    assert!(owns_store(&world.metadata, &world.blobs).await.unwrap());
}

async fn a_comparison_that_would_delete_too_much_waits_for_an_operator(world: World) {
    let now = litter(&world, 17).await;
    let found = compare_at(&world, now).await;
    let told = Held { part: 0, keys: 17, orphans: 17 };
    assert!(matches!(&found, Err(Error::Held(held)) if *held == told), "{found:?}");
    assert_eq!(held_comparison(&world.metadata).await.unwrap(), Some(told));
    assert_eq!(world.count("SELECT COUNT(*) FROM key_deletions").await, 0);
    assert_eq!(world.count("SELECT COUNT(*) FROM events WHERE kind = 'orphans_held'").await, 1);
    assert_eq!(compare_at(&world, now + 10).await.unwrap(), None, "nothing is compared until somebody looked");
    let agree = |agreed| compare_held(&world.metadata, &world.blobs, (now + 10, agreed), || true);
    assert!(matches!(agree(16).await, Err(Error::Held(_))));
    assert_eq!(agree(17).await.unwrap(), Some(Compared { keys: 17, orphans: 17 }));
    assert_eq!((held_comparison(&world.metadata).await.unwrap(), agree(17).await.unwrap()), (None, None));
    assert!(compare_at(&world, now + 10).await.unwrap().is_some());
}

async fn bytes_that_nothing_names_are_found_and_deleted(world: World) {
    let repository = world.repository("alice/app").await;
    let named = world.push(&repository, b"named", NOW).await.unwrap();
    world.put(&repository, &image(b"named", &[], None), &["v1"], NOW).await.unwrap();
    let orphans = [key(0, 1), key(0, 2), key(7, 3)];
    for orphan in &orphans {
        std::fs::write(world.file(orphan), b"bytes without facts").unwrap();
    }
    std::fs::write(world.file(&key(0, 9)).with_file_name("notes.txt"), b"not ours").unwrap();
    // Files are as old as the machine's clock says.
    let written = world.file(&orphans[0]).metadata().unwrap().modified().unwrap();
    let written = written.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let young = compare_at(&world, written + 1).await.unwrap().unwrap();
    assert_eq!((young.keys >= 2, young.orphans), (true, 0), "an upload may be about to name it");
    let mut now = written + 8 * DAY;
    let mut found = Compared::default();
    for _ in 0..256 {
        let part = compare_at(&world, now).await.unwrap().unwrap();
        found = Compared { keys: found.keys + part.keys, orphans: found.orphans + part.orphans };
        assert_eq!(compare_at(&world, now).await.unwrap(), None, "not before its time");
        now += 10;
    }
    assert_eq!(found, Compared { keys: 4, orphans: 3 });
    assert_eq!(world.count("SELECT COUNT(*) FROM events WHERE kind = 'orphan_found'").await, 3);
    assert!(world.has_bytes(&orphans[0]).await, "they wait like all bytes");
    assert_eq!(world.clean(now + TINY.bytes).await.keys, 3);
    assert!(!world.has_bytes(&orphans[0]).await && world.has_bytes(&named).await);
    assert!(!world.metadata.is_orphan(&named).await.unwrap() && world.metadata.is_orphan(&orphans[0]).await.unwrap());
}

async fn two_replicas_compare_a_part_once(world: World) {
    for round in 0..20 {
        let now = NOW + round * 10;
        let (one, other) = tokio::join!(compare_at(&world, now), compare_at(&world, now));
        let compared = [one.unwrap(), other.unwrap()].into_iter().flatten().count();
        assert_eq!(compared, 1, "round {round}");
    }
}
