//! What the collector finds: uploads that nobody went on with, keys that nothing names.

use hallmark_oci::UploadId;
use hallmark_storage::StorageKey;
use hallmark_storage::metadata::{DoomedKey, Engine, Error};

use crate::harness::{NOW, World, family};

const DAY: i64 = 24 * 60 * 60 * 1_000;

family! {
    the_clock_of_the_database_is_another_machine_s,
    an_expired_upload_is_given_up,
    an_upload_that_somebody_writes_to_is_not_given_up,
    a_key_is_claimed_once,
    a_claim_ends_by_itself,
    a_key_that_a_stalled_write_may_reach_comes_up_again,
    a_key_that_cannot_be_deleted_is_put_off,
    a_key_that_has_an_owner_is_named,
    a_tail_that_the_collector_came_to_is_not_adopted,
}

async fn claim(world: &World, now: i64) -> Vec<DoomedKey> {
    let claimed: Result<_, Error> = world.metadata.write(now, |tx, now| Box::pin(tx.claim_keys(*now, 10))).await;
    claimed.unwrap()
}

async fn expire(world: &World, now: i64) -> u64 {
    let expired: Result<u64, Error> = world.metadata.write(now, |tx, now| Box::pin(tx.expire_uploads(*now, 1))).await;
    expired.unwrap()
}

async fn deleted(world: &World, key: DoomedKey, now: i64) {
    let done: Result<(), Error> =
        world.metadata.write((key, now), |tx, (key, now)| Box::pin(tx.key_deleted(key, *now))).await;
    done.unwrap();
}

/// An upload that was cancelled, and its key.
async fn doomed(world: &World) -> StorageKey {
    let repository = world.repository("alice/app").await;
    let (_, key) = world.upload(&repository, 1).await;
    assert_eq!(expire(world, NOW + 100_000).await, 1);
    key
}

async fn an_expired_upload_is_given_up(world: World) {
    let repository = world.repository("alice/app").await;
    for number in [1, 2] {
        world.upload(&repository, number).await;
    }
    assert_eq!(expire(&world, NOW + 99_999).await, 0);
    for left in [1, 0] {
        assert_eq!(expire(&world, NOW + 100_000).await, 1, "at most as many as asked for");
        assert_eq!(world.count("SELECT COUNT(*) FROM uploads").await, left);
    }
    assert_eq!(expire(&world, NOW + 100_000).await, 0);
    assert_eq!(world.count("SELECT COUNT(*) FROM key_deletions").await, 2);
}

async fn an_upload_that_somebody_writes_to_is_not_given_up(world: World) {
    let repository = world.repository("alice/app").await;
    world.upload(&repository, 1).await;
    world.meddle(&format!("UPDATE uploads SET leased_until = {}", NOW + 200_000)).await;
    assert_eq!(expire(&world, NOW + 100_000).await, 0);
}

async fn a_key_is_claimed_once(world: World) {
    let key = doomed(&world).await;
    assert_eq!(claim(&world, NOW).await, [], "not due yet");
    let claimed = claim(&world, NOW + 100_000).await;
    assert_eq!(claimed, [DoomedKey { key, multipart_id: None, passes: 2 }]);
    assert_eq!(claim(&world, NOW + 100_000).await, []);
}

async fn a_claim_ends_by_itself(world: World) {
    doomed(&world).await;
    assert_eq!(claim(&world, NOW + 100_000).await.len(), 1);
    assert_eq!(claim(&world, NOW + 100_000 + DAY).await.len(), 1, "whoever claimed it first died");
}

async fn a_key_that_a_stalled_write_may_reach_comes_up_again(world: World) {
    doomed(&world).await;
    let now = NOW + 100_000;
    deleted(&world, claim(&world, now).await.remove(0), now).await;
    assert_eq!(claim(&world, now + DAY - 1).await, []);
    let again = claim(&world, now + DAY).await.remove(0);
    assert_eq!(again.passes, 1);
    deleted(&world, again, now + DAY).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM key_deletions").await, 0);
}

async fn a_key_that_cannot_be_deleted_is_put_off(world: World) {
    doomed(&world).await;
    let now = NOW + 100_000;
    let left = claim(&world, now).await.remove(0);
    let put_off: Result<(), Error> =
        world.metadata.write(left.clone(), |tx, key| Box::pin(tx.put_key_off(key, NOW + 100_000))).await;
    put_off.unwrap();
    assert_eq!(claim(&world, now + 29 * 60_000).await, []);
    assert_eq!(claim(&world, now + 30 * 60_000).await, [left]);
}

async fn a_key_that_has_an_owner_is_named(world: World) {
    let repository = world.repository("alice/app").await;
    let (id, uploading) = world.upload(&repository, 1).await;
    let tail = StorageKey::from_bytes([1; 16]);
    world.meddle(&format!("UPDATE uploads SET tail_key = '{tail}' WHERE id = '{id}'")).await;
    let digest = world.blob(&repository, b"x").await;
    let stored = world.metadata.blob(repository.id, &digest).await.unwrap().unwrap().key;
    for key in [uploading, tail, stored] {
        assert!(world.metadata.is_named(&key).await.unwrap());
    }
    assert!(!world.metadata.is_named(&StorageKey::from_bytes([2; 16])).await.unwrap());
}

async fn a_tail_that_the_collector_came_to_is_not_adopted(world: World) {
    let repository = world.repository("alice/app").await;
    let (id, _) = world.upload(&repository, 1).await;
    for (number, end) in [(1, "claimed"), (2, "gone"), (3, "put off")] {
        let tail = StorageKey::from_bytes([number; 16]);
        let reserved: Result<bool, Error> = world
            .metadata
            .write((id.clone(), tail.clone()), |tx, (id, tail)| Box::pin(tx.reserve_tail((id, 1), tail, NOW)))
            .await;
        assert!(reserved.unwrap());
        let claimed = claim(&world, NOW).await.remove(0);
        match end {
            "gone" => deleted(&world, claimed, NOW).await,
            "put off" => {
                let put_off: Result<(), Error> =
                    world.metadata.write(claimed, |tx, key| Box::pin(tx.put_key_off(key, NOW))).await;
                put_off.unwrap();
            }
            _ => {}
        }
        assert!(!checkpoint_at(&world, &id, &tail).await, "{end}: its bytes are going or gone");
    }
}

async fn checkpoint_at(world: &World, id: &UploadId, tail: &StorageKey) -> bool {
    let recorded: Result<bool, Error> = world
        .metadata
        .write((id.clone(), tail.clone()), |tx, (id, tail)| {
            Box::pin(async move {
                let checkpoint = hallmark_storage::metadata::Checkpoint {
                    id,
                    fence: 1,
                    received: 1,
                    hash_state: b"",
                    multipart_id: None,
                    parts: &[],
                    tail_key: Some(tail),
                    leased_until: 0,
                    expires_at: NOW,
                    now: NOW,
                };
                tx.checkpoint_upload(&checkpoint).await
            })
        })
        .await;
    recorded.unwrap()
}

async fn the_clock_of_the_database_is_another_machine_s(world: World) {
    let (one, other) = (world.metadata.database_clock().await.unwrap(), world.metadata.database_clock().await.unwrap());
    match world.metadata.engine() {
        Engine::Sqlite => assert_eq!((one, other), (None, None)),
        // Some time in this century, in milliseconds, and it does not go back.
        Engine::Postgres => assert!(one > Some(1_700_000_000_000) && one <= other && other < Some(4_200_000_000_000)),
    }
}
