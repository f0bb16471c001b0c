//! Which bytes are read again, and which keys nothing names.

use hallmark_storage::StorageKey;
use hallmark_storage::metadata::{Error, ToScrub};

use crate::harness::{NOW, World, family};

family! {
    a_blob_is_claimed_once_and_comes_up_again_when_nobody_read_it,
    damaged_blobs_stand_in_nobody_s_way,
    a_key_that_has_an_owner_is_no_orphan,
    a_mark_is_moved_once,
}

async fn claim(world: &World, before: i64) -> Vec<ToScrub> {
    let claimed: Result<_, Error> = world
        .metadata
        .write(before, |tx, before| Box::pin(async move { tx.claim_to_scrub(*before, before + 10, 9).await }))
        .await;
    claimed.unwrap()
}

async fn a_blob_is_claimed_once_and_comes_up_again_when_nobody_read_it(world: World) {
    let repository = world.repository("alice/app").await;
    let digest = world.blob(&repository, b"layer").await;
    assert!(claim(&world, NOW - 1).await.is_empty());
    let claimed = claim(&world, NOW).await;
    assert_eq!((claimed.len(), &claimed[0].digest, claimed[0].blob.size), (1, &digest, 5));
    assert!(claim(&world, NOW).await.is_empty());
    let claimed = claim(&world, NOW + 10).await;
    assert_eq!(claimed.len(), 1, "whoever claimed it first died");
    let read: Result<(), Error> =
        world.metadata.write(claimed, |tx, claimed| Box::pin(tx.scrubbed(&claimed[0].blob, NOW + 100))).await;
    read.unwrap();
    assert!(claim(&world, NOW + 99).await.is_empty());
    world.meddle("UPDATE blobs SET quarantined_at = 1").await;
    assert!(claim(&world, NOW + 100).await.is_empty(), "what is known to be damaged is read when it is whole again");
}

async fn damaged_blobs_stand_in_nobody_s_way(world: World) {
    let repository = world.repository("alice/app").await;
    for number in 0..9_u8 {
        world.blob(&repository, &[number]).await;
    }
    world.meddle("UPDATE blobs SET quarantined_at = 1, scrubbed_at = 1").await;
    let whole = world.blob(&repository, b"whole").await;
    let claimed = claim(&world, NOW).await;
    assert_eq!(claimed.iter().map(|claim| &claim.digest).collect::<Vec<_>>(), [&whole]);
}

async fn a_key_that_has_an_owner_is_no_orphan(world: World) {
    let repository = world.repository("alice/app").await;
    let (_, open) = world.upload(&repository, 1).await;
    let upload = world.upload(&repository, 2).await;
    let held = upload.1.clone();
    world.finish(&repository, upload, b"layer").await.unwrap().unwrap();
    let nobodys = StorageKey::from_bytes([9; 16]);
    let keys = vec![open.clone(), held, nobodys.clone()];
    let doom = async || -> Vec<StorageKey> {
        let doomed: Result<_, Error> =
            world.metadata.write(keys.clone(), |tx, keys| Box::pin(tx.doom_orphans(keys, NOW + 5))).await;
        doomed.unwrap()
    };
    assert!(world.metadata.is_orphan(&nobodys).await.unwrap() && !world.metadata.is_orphan(&open).await.unwrap());
    assert_eq!(doom().await, [nobodys]);
    assert!(doom().await.is_empty(), "the collector has it now");
    assert_eq!(world.count("SELECT due_at FROM key_deletions").await, NOW + 5);
    world.is_sound().await;
}

async fn a_mark_is_moved_once(world: World) {
    let moved = async |from: Option<&'static str>, to: &'static str| -> bool {
        let moved: Result<bool, Error> =
            world.metadata.write((from, to), |tx, (from, to)| Box::pin(tx.move_mark("mark", *from, to))).await;
        moved.unwrap()
    };
    assert!(moved(None, "1").await && !moved(None, "1").await);
    assert!(moved(Some("1"), "2").await && !moved(Some("1"), "2").await);
    assert_eq!(world.metadata.setting("mark").await.unwrap().as_deref(), Some("2"));
}
