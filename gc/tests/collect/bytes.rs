//! Bytes that rot, and bytes that nothing names.

use hallmark_gc::{Compared, Schedule, Scrubbed, compare, scrub};
use hallmark_storage::StorageKey;

use crate::harness::images::{digest, image};
use crate::harness::{NOW, TINY, World, suite};

suite! {
    rot_is_found_and_healed_by_the_next_push,
    bytes_are_read_again_in_their_time_and_at_their_rate,
    bytes_that_nothing_names_are_found_and_deleted,
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

/// A key in this part of the store.
fn key(part: u8, number: u8) -> StorageKey {
    let mut bytes = [number; 16];
    bytes[0] = part;
    StorageKey::from_bytes(bytes)
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
    let young = compare(&world.metadata, &world.blobs, written + 1, 10).await.unwrap().unwrap();
    assert_eq!((young.keys >= 2, young.orphans), (true, 0), "an upload may be about to name it");
    let mut now = written + 8 * DAY;
    let mut found = Compared::default();
    for _ in 0..256 {
        let part = compare(&world.metadata, &world.blobs, now, 10).await.unwrap().unwrap();
        found = Compared { keys: found.keys + part.keys, orphans: found.orphans + part.orphans };
        assert_eq!(compare(&world.metadata, &world.blobs, now, 10).await.unwrap(), None, "not before its time");
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
        let (one, other) = tokio::join!(
            compare(&world.metadata, &world.blobs, now, 10),
            compare(&world.metadata, &world.blobs, now, 10)
        );
        let compared = [one.unwrap(), other.unwrap()].into_iter().flatten().count();
        assert_eq!(compared, 1, "round {round}");
    }
}
