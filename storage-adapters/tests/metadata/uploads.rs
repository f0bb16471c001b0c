//! Uploads: whose they are, who writes, how far they came, and that every key has an owner at every moment (I3).

use hallmark_oci::UploadId;
use hallmark_storage::StorageKey;
use hallmark_storage::metadata::{
    Checkpoint, Error, Lease, NewUpload, OPEN_UPLOADS, PrincipalId, Repository, RepositoryId, Upload, UploadPart,
};

use crate::harness::{NOW, World, family};

family! {
    an_upload_belongs_to_its_user_and_repository,
    a_second_writer_waits_for_the_lease,
    a_writer_at_another_offset_is_told_where_the_upload_stands,
    a_lease_puts_the_expiry_off_and_never_forward,
    a_released_lease_is_free_at_once,
    a_fenced_writer_records_nothing,
    a_fenced_writer_ends_nothing,
    progress_and_parts_are_read_back,
    a_tail_always_has_one_owner,
    a_tail_that_was_never_announced_is_refused,
    a_cancelled_upload_dooms_its_keys,
    nobody_has_more_uploads_open_than_a_stated_number,
}

type Which = (UploadId, RepositoryId, PrincipalId);

async fn lease(world: &World, which: &Which, start: Option<u64>, now: i64) -> Lease {
    let leased: Result<_, Error> = world
        .metadata
        .write((which.clone(), start, now), |tx, ((id, repository, principal), start, now)| {
            Box::pin(tx.lease_upload((id, *repository, *principal), *start, *now, (*now + 1_000, *now + 90_000)))
        })
        .await;
    leased.unwrap()
}

async fn leased(world: &World, which: &Which, start: Option<u64>, now: i64) -> Upload {
    match lease(world, which, start, now).await {
        Lease::Leased(upload) => *upload,
        other => panic!("{other:?}"),
    }
}

async fn checkpoint(world: &World, id: &UploadId, fence: i64, received: u64, tail: Option<&StorageKey>) -> bool {
    let parts = vec![UploadPart { number: 1, size: 5, etag: Some("e".into()) }];
    let input = (id.clone(), fence, received, tail.cloned(), parts);
    let recorded: Result<bool, Error> = world
        .metadata
        .write(input, |tx, (id, fence, received, tail, parts)| {
            Box::pin(async move {
                let checkpoint = Checkpoint {
                    id,
                    fence: *fence,
                    received: *received,
                    hash_state: b"state",
                    multipart_id: Some("multipart"),
                    parts,
                    tail_key: tail.as_ref(),
                    leased_until: NOW + 5_000,
                    expires_at: NOW + 9_000,
                    now: NOW,
                };
                tx.checkpoint_upload(&checkpoint).await
            })
        })
        .await;
    recorded.unwrap()
}

async fn begin(world: &World) -> (Repository, Which) {
    let repository = world.repository("alice/app").await;
    let (id, _) = world.upload(&repository, 1).await;
    (repository.clone(), (id, repository.id, world.alice.id))
}

async fn an_upload_belongs_to_its_user_and_repository(world: World) {
    let (_, (id, repository, alice)) = begin(&world).await;
    let other = world.repository("alice/other").await.id;
    let bob = world.user("bob").await.id;
    assert!(world.metadata.upload(&id, repository, alice).await.unwrap().is_some());
    for stranger in
        [(id.clone(), other, alice), (id.clone(), repository, bob), (UploadId::from_bytes([9; 16]), repository, alice)]
    {
        assert_eq!(world.metadata.upload(&stranger.0, stranger.1, stranger.2).await.unwrap(), None);
        assert_eq!(lease(&world, &stranger, None, NOW + 2_000).await, Lease::Unknown);
        let cancelled: Result<bool, Error> = world
            .metadata
            .write(stranger, |tx, (id, repository, principal)| {
                Box::pin(tx.cancel_upload((id, *repository, *principal), None, NOW))
            })
            .await;
        assert!(!cancelled.unwrap());
    }
}

async fn a_second_writer_waits_for_the_lease(world: World) {
    let (_, which) = begin(&world).await;
    let second = lease(&world, &which, Some(0), NOW).await;
    assert_eq!(second, Lease::NotAtOffset { received: 0, leased_until: NOW + 1_000 });
    assert_eq!(leased(&world, &which, Some(0), NOW + 1_000).await.fence, 2, "it has lapsed");
}

async fn a_writer_at_another_offset_is_told_where_the_upload_stands(world: World) {
    let (_, which) = begin(&world).await;
    for start in [1, u64::MAX] {
        let refused = lease(&world, &which, Some(start), NOW + 1_000).await;
        assert_eq!(refused, Lease::NotAtOffset { received: 0, leased_until: NOW + 1_000 });
    }
}

async fn a_lease_puts_the_expiry_off_and_never_forward(world: World) {
    let (_, which) = begin(&world).await;
    assert_eq!(leased(&world, &which, None, NOW + 1_000).await.expires_at, NOW + 100_000);
    assert_eq!(leased(&world, &which, None, NOW + 99_000).await.expires_at, NOW + 189_000);
}

async fn a_released_lease_is_free_at_once(world: World) {
    let (_, which) = begin(&world).await;
    let released: Result<bool, Error> =
        world.metadata.write(which.0.clone(), |tx, id| Box::pin(tx.release_upload(id, 1))).await;
    assert!(released.unwrap());
    assert_eq!(leased(&world, &which, None, NOW).await.fence, 2);
}

async fn a_fenced_writer_records_nothing(world: World) {
    let (_, which) = begin(&world).await;
    leased(&world, &which, None, NOW + 1_000).await;
    assert!(!checkpoint(&world, &which.0, 1, 5, None).await);
    let stale: Result<_, Error> = world
        .metadata
        .write(which.0.clone(), |tx, id| {
            Box::pin(async move {
                let tail = tx.reserve_tail((id, 1), &StorageKey::from_bytes([1; 16]), NOW).await?;
                Ok((tail, tx.release_upload(id, 1).await?))
            })
        })
        .await;
    assert_eq!(stale.unwrap(), (false, false));
    let upload = world.metadata.upload(&which.0, which.1, which.2).await.unwrap().unwrap();
    assert_eq!((upload.received, upload.fence), (0, 2));
}

async fn a_fenced_writer_ends_nothing(world: World) {
    let (_, which) = begin(&world).await;
    leased(&world, &which, None, NOW + 1_000).await;
    for (fence, expected) in [(1, false), (2, true)] {
        let cancelled: Result<bool, Error> = world
            .metadata
            .write((which.clone(), fence), |tx, ((id, repository, principal), fence)| {
                Box::pin(tx.cancel_upload((id, *repository, *principal), Some(*fence), NOW))
            })
            .await;
        assert_eq!(cancelled.unwrap(), expected);
    }
}

async fn progress_and_parts_are_read_back(world: World) {
    let (_, which) = begin(&world).await;
    assert!(checkpoint(&world, &which.0, 1, 5, None).await);
    assert!(checkpoint(&world, &which.0, 1, 6, None).await, "parts that are recorded are passed over");
    let upload = world.metadata.upload(&which.0, which.1, which.2).await.unwrap().unwrap();
    assert_eq!((upload.received, upload.hash_state.as_slice()), (6, b"state".as_slice()));
    assert_eq!(upload.multipart_id.as_deref(), Some("multipart"));
    assert_eq!(upload.parts, [UploadPart { number: 1, size: 5, etag: Some("e".into()) }]);
    assert_eq!((upload.leased_until, upload.expires_at), (NOW + 5_000, NOW + 9_000));
    let taken = leased(&world, &which, Some(6), NOW + 5_000).await;
    assert_eq!(taken.parts, upload.parts);
}

async fn reserve_tail(world: &World, id: &UploadId, key: &StorageKey) {
    let reserved: Result<bool, Error> = world
        .metadata
        .write((id.clone(), key.clone()), |tx, (id, key)| Box::pin(tx.reserve_tail((id, 1), key, NOW + 77)))
        .await;
    assert!(reserved.unwrap());
}

async fn a_tail_always_has_one_owner(world: World) {
    let (_, which) = begin(&world).await;
    let (first, second) = (StorageKey::from_bytes([1; 16]), StorageKey::from_bytes([2; 16]));
    let doomed = "SELECT storage_key FROM key_deletions ORDER BY storage_key";
    reserve_tail(&world, &which.0, &first).await;
    assert_eq!(world.look(doomed).await, [first.as_str()], "until a checkpoint names it, the collector has it");
    assert!(checkpoint(&world, &which.0, 1, 5, Some(&first)).await);
    assert_eq!(world.look(doomed).await, [""; 0]);
    reserve_tail(&world, &which.0, &second).await;
    assert!(checkpoint(&world, &which.0, 1, 6, Some(&second)).await);
    assert_eq!(world.look(doomed).await, [first.as_str()], "the one before is deleted");
    world.is_sound().await;
}

async fn a_tail_that_was_never_announced_is_refused(world: World) {
    let (_, which) = begin(&world).await;
    assert!(!checkpoint(&world, &which.0, 1, 5, Some(&StorageKey::from_bytes([1; 16]))).await);
    assert_eq!(world.metadata.upload(&which.0, which.1, which.2).await.unwrap().unwrap().received, 0);
}

async fn a_cancelled_upload_dooms_its_keys(world: World) {
    let (_, which) = begin(&world).await;
    let tail = StorageKey::from_bytes([1; 16]);
    reserve_tail(&world, &which.0, &tail).await;
    assert!(checkpoint(&world, &which.0, 1, 5, Some(&tail)).await);
    for expected in [true, false] {
        let cancelled: Result<bool, Error> = world
            .metadata
            .write(which.clone(), |tx, (id, repository, principal)| {
                Box::pin(tx.cancel_upload((id, *repository, *principal), None, NOW))
            })
            .await;
        assert_eq!(cancelled.unwrap(), expected);
    }
    assert_eq!(world.look("SELECT passes, multipart_id FROM key_deletions ORDER BY multipart_id").await.len(), 2);
    assert_eq!(world.count("SELECT COUNT(*) FROM key_deletions WHERE passes = 2").await, 2);
    assert_eq!(world.count("SELECT COUNT(*) FROM upload_parts").await, 0);
}

/// Threat 9: uploads that nobody finishes hold rows and bytes until they expire.
async fn nobody_has_more_uploads_open_than_a_stated_number(world: World) {
    let repository = world.repository("alice/app").await;
    world.upload(&repository, 1).await;
    let bob = world.user("bob").await.id;
    // One is open; all but one of the rest are there by a stroke of the pen.
    world
        .meddle(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {})
             INSERT INTO uploads (id, repository_id, principal_id, storage_key, hash_state, expires_at)
             SELECT CAST(i AS TEXT), {}, {}, CAST(i AS TEXT), NULL, 0 FROM n",
            OPEN_UPLOADS - 1,
            repository.id,
            world.alice.id
        ))
        .await;
    world.upload(&repository, 2).await;
    let open = async |number: u8, principal: PrincipalId| {
        let input = (UploadId::from_bytes([number; 16]), StorageKey::random(), repository.id, principal);
        let begun: Result<bool, Error> = world
            .metadata
            .write(input, |tx, (id, key, repository, principal)| {
                Box::pin(async move {
                    let (repository, principal) = (*repository, *principal);
                    let hash_state = b"empty";
                    let (leased_until, expires_at) = (0, NOW);
                    let new = NewUpload { id, repository, principal, key, hash_state, leased_until, expires_at };
                    tx.begin_upload(&new).await
                })
            })
            .await;
        begun.unwrap()
    };
    assert!(!open(3, world.alice.id).await);
    assert!(open(4, bob).await, "others are not bounded by hers");
    let all = u64::try_from(OPEN_UPLOADS).unwrap() + 1;
    assert_eq!(world.metadata.open_uploads(10_000).await.unwrap(), all);
    assert_eq!(world.metadata.open_uploads(100).await.unwrap(), 100, "no more is counted");
    world.meddle("DELETE FROM uploads WHERE id = '2'").await;
    assert!(open(5, world.alice.id).await);
}
