//! What uploads reserve: when it is believed, and what a look at it reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hallmark_oci::{Algorithm, Digest, UploadId};
use hallmark_storage::metadata::{Checkpoint, Engine, Error, Event, Lease, Repository, Room, Scope, Upload, Usage};
use tokio::sync::Notify;

use crate::facts::ended;
use crate::harness::{NOW, World, run, suite};

suite! {
    what_was_reserved_without_a_look_is_given_back_by_the_next_lease,
    however_small_the_steps_are_a_look_reads_one_entry_of_an_upload,
    what_several_entries_reserve_is_one_sum,
    a_change_that_takes_more_ids_than_lie_ready_is_made,
}

/// A request for an upload that nobody holds any more.
const LEASED_AT: i64 = NOW + 2_000;

fn both(bytes: i64) -> Room {
    Room { account: bytes, repository: bytes }
}

async fn reserve(world: &World, repository: &Repository, upload: &UploadId, room: Room) -> bool {
    let input = (upload.clone(), (repository.id, repository.account_id), room);
    world.change(input, |tx, (upload, place, room)| Box::pin(tx.reserve((upload, 1), *place, *room))).await
}

/// Says that so many bytes have come.
async fn receive(world: &World, upload: &UploadId, received: u64) {
    let held = world
        .change((upload.clone(), received), |tx, (id, received)| {
            Box::pin(async move {
                let (fence, received, now) = (1, *received, NOW);
                let (hash_state, multipart_id, parts, tail_key) = (&b"state"[..], None, &[][..], None);
                let (leased_until, expires_at) = (NOW + 1_000, NOW + 100_000);
                let checkpoint = Checkpoint {
                    id,
                    fence,
                    received,
                    hash_state,
                    multipart_id,
                    parts,
                    tail_key,
                    leased_until,
                    expires_at,
                    now,
                };
                tx.checkpoint_upload(&checkpoint).await
            })
        })
        .await;
    assert!(held);
}

async fn lease(world: &World, repository: &Repository, upload: &UploadId) -> Box<Upload> {
    let input = (upload.clone(), repository.id, world.alice.id);
    let leased = world
        .change(input, |tx, (upload, repository, principal)| {
            let ends = (LEASED_AT + 1_000, NOW + 100_000);
            Box::pin(tx.lease_upload((upload, *repository, *principal), None, LEASED_AT, ends))
        })
        .await;
    let Lease::Leased(upload) = leased else { panic!("{leased:?}") };
    upload
}

async fn reserved(world: &World, repository: &Repository) -> [u64; 2] {
    let of = async |scope| {
        let Usage { reserved, .. } = world.metadata.usage(scope).await.unwrap();
        reserved
    };
    [of(Scope::Account(repository.account_id)).await, of(Scope::Repository(repository.id)).await]
}

async fn what_was_reserved_without_a_look_is_given_back_by_the_next_lease(world: World) {
    let repository = world.repository("alice/app").await;
    let (upload, _) = world.upload(&repository, 1).await;
    let (other, _) = world.upload(&repository, 2).await;
    assert!(reserve(&world, &repository, &other, both(7)).await);
    assert!(reserve(&world, &repository, &upload, both(30)).await);
    receive(&world, &upload, 30).await;
    // Whoever reserved this ended before the look.
    assert!(reserve(&world, &repository, &upload, Room { account: 1_030, repository: 32 }).await);
    assert_eq!(reserved(&world, &repository).await, [1_037, 39], "it counts against others all the same");
    assert_eq!(lease(&world, &repository, &upload).await.reserved, both(30));
    assert_eq!(reserved(&world, &repository).await, [37, 37], "and no longer");
    assert!(!reserve(&world, &repository, &upload, both(1)).await, "who reserved it was fenced out");
}

async fn however_small_the_steps_are_a_look_reads_one_entry_of_an_upload(world: World) {
    let repository = world.repository("alice/app").await;
    let (upload, _) = world.upload(&repository, 1).await;
    for bytes in 1..=1_000 {
        assert!(reserve(&world, &repository, &upload, both(bytes)).await);
    }
    assert_eq!(reserved(&world, &repository).await, [1_000; 2]);
    let entries = "SELECT scope, COUNT(*) FROM usage_entries GROUP BY scope ORDER BY scope";
    assert_eq!(world.look(entries).await, ["account 1", "repository 1"]);
    for _ in 0..2 {
        // Twice, as one does it who has not heard that it is done.
        assert!(reserve(&world, &repository, &upload, Room { account: 0, repository: 5 }).await);
        assert_eq!(reserved(&world, &repository).await, [0, 5]);
    }
}

/// As a process wrote them that appends.
async fn what_several_entries_reserve_is_one_sum(world: World) {
    let repository = world.repository("alice/app").await;
    let (upload, _) = world.upload(&repository, 1).await;
    for id in [7_000_001, 7_000_002, 7_000_003] {
        let entry = format!(
            "INSERT INTO usage_entries (scope, scope_id, id, bytes, upload_id)
             VALUES ('account', {}, {id}, 20, '{upload}')",
            repository.account_id.0
        );
        world.meddle(&entry).await;
    }
    assert_eq!(reserved(&world, &repository).await, [60, 0]);
    assert!(reserve(&world, &repository, &upload, Room { account: 64, repository: 0 }).await);
    assert_eq!(reserved(&world, &repository).await, [64, 0]);
    receive(&world, &upload, 10).await;
    assert_eq!(lease(&world, &repository, &upload).await.reserved, Room { account: 10, repository: 0 });
    assert_eq!(reserved(&world, &repository).await, [10, 0]);
}

/// The lease waits for the row of the upload, and what is reserved is what was committed until then.
#[test]
fn on_postgres_a_lease_sees_what_was_reserved_while_it_waited() {
    run(Engine::Postgres, async |world: World| {
        let world = Arc::new(world);
        let repository = world.repository("alice/app").await;
        let (upload, _) = world.upload(&repository, 1).await;
        receive(&world, &upload, 30).await;
        let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let input = (upload.clone(), (repository.id, repository.account_id), Arc::clone(&began), Arc::clone(&go));
        let holder = Arc::clone(&world);
        let holder = tokio::spawn(async move {
            let reserving = holder.change(input, |tx, (upload, place, began, go)| {
                Box::pin(async move {
                    let held = tx.reserve((upload, 1), *place, both(40)).await?;
                    began.notify_one();
                    go.notified().await;
                    Ok(held)
                })
            });
            assert!(reserving.await);
        });
        began.notified().await;
        let leaser = {
            let (world, repository) = (Arc::clone(&world), repository.clone());
            tokio::spawn(async move { lease(&world, &repository, &upload).await })
        };
        let waiting =
            "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let begin = Instant::now();
        while world.count(waiting).await == 0 {
            assert!(begin.elapsed() < Duration::from_secs(8), "the lease does not wait");
        }
        go.notify_one();
        holder.await.unwrap();
        assert_eq!(leaser.await.unwrap().reserved, both(30));
        assert_eq!(reserved(&world, &repository).await, [30; 2]);
    });
}

async fn a_change_that_takes_more_ids_than_lie_ready_is_made(world: World) {
    const MANY: i64 = 2_500;
    let made: Result<(), Error> = world
        .metadata
        .write((), |tx, ()| {
            Box::pin(async move {
                for _ in 0..MANY {
                    tx.record(&Event::of_system("tag_moved", "v1", NOW)).await?;
                }
                Ok(())
            })
        })
        .await;
    made.unwrap();
    assert_eq!(world.count("SELECT COUNT(DISTINCT id) FROM events").await, MANY);
    // With neighbours in the same COMMIT too.
    let world = Arc::new(world);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.repository_in("alice/app".parse().unwrap(), world.alice.account_id).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Many images in the trash of a repository, all on the same layers, none of which is pushed.
const TRASH: u64 = 20_000;

/// A link asks the trash by the blob and the repository, however much is there, and however much of it names the blob.
#[test]
fn on_postgres_a_link_reads_no_more_of_the_trash_than_one_row() {
    run(Engine::Postgres, async |world: World| {
        let (repository, full) = (world.repository("alice/app").await, world.repository("alice/full").await);
        let (id, account) = (repository.id.0, repository.account_id.0);
        // What half of the trash names, and nothing in that of the repository it is pushed to.
        let shared = world.blob(&full, b"content 1").await;
        for statement in [
            format!(
                "INSERT INTO blobs (id, digest, size, storage_key, scrubbed_at, created_at)
                 SELECT 1000000 + i, 'sha256:' || i, 1, 'key ' || i, 0, 0 FROM generate_series(1, {TRASH}) i"
            ),
            format!(
                "INSERT INTO account_blobs (account_id, blob_id)
                 SELECT {account}, 1000000 + i FROM generate_series(1, {TRASH}) i"
            ),
            format!(
                "INSERT INTO trash (id, repository_id, digest, media_type, size, body, tags, deleted_at, deleted_by, purge_at)
                 SELECT 3000000 + i, CASE WHEN i % 2 = 0 THEN {id} ELSE {} END, 'sha256:t' || i, 'm', 1, '\\x00', '[]', 0, 0, 0
                   FROM generate_series(1, {TRASH}) i",
                full.id.0
            ),
            format!(
                "INSERT INTO trash_blobs (trash_id, account_id, blob_id, repository_id)
                 SELECT 3000000 + i, {account}, 1000000 + k, CASE WHEN i % 2 = 0 THEN {id} ELSE {full} END
                   FROM generate_series(1, {TRASH}) i, generate_series(1, 5) k
                 UNION ALL SELECT 3000000 + i, {account}, (SELECT b.id FROM blobs b WHERE b.digest = '{shared}'), {full}
                   FROM generate_series(1, {TRASH}) i WHERE i % 2 = 1",
                full = full.id.0
            ),
            "ANALYZE".to_owned(),
        ] {
            world.meddle(&statement).await;
        }
        let read = async |but: &str| {
            ended(&world, but).await;
            let rows = "SELECT SUM(COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0))::BIGINT
                          FROM pg_stat_user_tables WHERE relname IN ('trash', 'trash_blobs')";
            world.count(rows).await
        };
        let before = read("hallmark").await;
        // Plans that do not know the values are made after the fifth time.
        for number in 0..50 {
            world.blob(&repository, format!("content {number}").as_bytes()).await;
        }
        let digest = |number: u32| Digest::of(Algorithm::Sha256, format!("content {number}").as_bytes());
        for number in 0..50 {
            world.delete_blob(&repository, &digest(number)).await;
        }
        world.metadata.close().await;
        let each = (read("").await - before) / 50;
        assert!(each <= 5, "{each} rows of the trash were read for a link and its end");
    });
}
