//! What `clean` deletes and what it leaves, on a real database and folder.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hallmark_gc::{Report, clean};
use hallmark_oci::{Algorithm, UploadId};
use hallmark_storage::StorageKey;
use hallmark_storage::blobs::{Blobs, StorageConfig, UploadState};
use hallmark_storage::metadata::{DatabaseConfig, Error, Metadata, NewUpload, NewUser, RepositoryId, SystemRole};
use tempfile::TempDir;

const EXPIRES: i64 = 1_000;
const MINUTE: i64 = 60 * 1_000;
const DAY: i64 = 24 * 60 * 60 * 1_000;
const CONTENT: Bytes = Bytes::from_static(b"bytes that nobody went on with");

struct World {
    metadata: Metadata,
    blobs: Blobs,
    key: StorageKey,
    folder: TempDir,
}

/// A registry with one upload that holds bytes, expires at [`EXPIRES`] and is written to until `leased_until`.
async fn world(leased_until: i64) -> World {
    let folder = tempfile::tempdir().unwrap();
    let metadata =
        Metadata::open(&DatabaseConfig::Sqlite { path: folder.path().join("hallmark.db") }, 0).await.unwrap();
    let blobs = Blobs::open(&StorageConfig::Folder { path: folder.path().join("blobs") }).await.unwrap();
    let state = UploadState::new(StorageKey::from_bytes([7; 16]), Algorithm::Sha256);
    let key = state.key.clone();
    let opening = (key.clone(), state.hasher_state.clone(), leased_until);
    metadata
        .write(opening, |tx, (key, hash_state, leased_until)| {
            Box::pin(async move {
                let user = NewUser { name: "ann".to_owned(), password: None, role: SystemRole::None, source: None };
                let ann = tx.create_user(&user, 0).await?.expect("the name is free");
                let name = "ann/app".parse().expect("a repository's name");
                let repository = tx.create_repository(&name, ann.account_id, 0).await?;
                let id = UploadId::from_bytes([1; 16]);
                let (repository, principal) = (repository.id, ann.id);
                let (leased_until, expires_at) = (*leased_until, EXPIRES);
                tx.begin_upload(&NewUpload {
                    id: &id,
                    repository,
                    principal,
                    key,
                    hash_state,
                    leased_until,
                    expires_at,
                })
                .await?;
                Ok::<_, Error>(())
            })
        })
        .await
        .unwrap();
    let mut appender = blobs.append(state, 1).await.unwrap();
    appender.write(CONTENT).await.unwrap();
    appender.checkpoint(&StorageKey::from_bytes([8; 16])).await.unwrap();
    World { metadata, blobs, key, folder }
}

impl World {
    async fn clean(&self, now: i64) -> Report {
        clean(&self.metadata, &self.blobs, now, || true).await.unwrap()
    }

    /// Opens so many uploads more, without a byte, that expire at [`EXPIRES`].
    async fn open_uploads(&self, count: u8) {
        let opened = self.metadata.write(count, |tx, count| {
            Box::pin(async move {
                let repository = tx.repository(&"ann/app".parse().expect("a name")).await?.expect("it was made");
                for number in 0..*count {
                    let mut id = [9; 16];
                    id[0] = number;
                    tx.begin_upload(&NewUpload {
                        id: &UploadId::from_bytes(id),
                        repository: repository.id,
                        principal: repository.owner.expect("ann"),
                        key: &StorageKey::from_bytes(id),
                        hash_state: b"",
                        leased_until: 0,
                        expires_at: EXPIRES,
                    })
                    .await?;
                }
                Ok::<_, Error>(())
            })
        });
        opened.await.unwrap();
    }

    async fn holds_bytes(&self) -> bool {
        self.blobs.size(&self.key).await.unwrap().is_some()
    }
}

impl World {
    /// Where a key's bytes are; a folder in that place cannot be deleted as a file can.
    fn file(&self, key: &StorageKey) -> PathBuf {
        self.folder.path().join("blobs/blobs").join(&key.as_str()[..2]).join(key.as_str())
    }

    /// Gives these keys, which hold nothing, to the collector.
    async fn doom(&self, keys: Vec<StorageKey>, due_at: i64) {
        let doomed: Result<(), Error> = self
            .metadata
            .write((keys, due_at), |tx, (keys, due_at)| {
                Box::pin(async move {
                    for key in keys {
                        assert!(tx.reserve_tail((&UploadId::from_bytes([1; 16]), 1), key, *due_at).await?);
                    }
                    Ok(())
                })
            })
            .await;
        doomed.unwrap();
    }

    async fn left(&self, now: i64) -> (u64, u64) {
        match clean(&self.metadata, &self.blobs, now, || true).await {
            Err(hallmark_gc::Error::Left { failed, swept, .. }) => (failed, swept),
            other => panic!("{other:?}"),
        }
    }
}

fn keys(numbers: std::ops::Range<u8>) -> Vec<StorageKey> {
    numbers.map(|number| StorageKey::from_bytes([number; 16])).collect()
}

#[tokio::test]
async fn a_key_that_cannot_be_deleted_holds_up_no_other() {
    let world = world(EXPIRES).await;
    let stuck = keys(20..21).remove(0);
    std::fs::create_dir(world.file(&stuck)).unwrap();
    world.doom(vec![stuck.clone()], 1).await;
    world.doom(keys(21..24), 2).await;
    assert_eq!(world.left(10).await, (1, 3));
    assert!(
        world.clean(10 + 29 * MINUTE).await == Report { uploads: 1, keys: 1, ..Report::default() },
        "it is left alone for a while"
    );
    std::fs::remove_dir(world.file(&stuck)).unwrap();
    assert_eq!(world.clean(10 + 30 * MINUTE).await, Report { uploads: 0, keys: 1, ..Report::default() });
}

#[tokio::test]
async fn a_store_that_deletes_nothing_ends_the_run_and_the_next_begins_behind() {
    let world = world(EXPIRES).await;
    for stuck in keys(20..45) {
        std::fs::create_dir(world.file(&stuck)).unwrap();
    }
    world.doom(keys(20..45), 1).await;
    world.doom(keys(45..46), 2).await;
    assert_eq!(world.left(10).await, (10, 0));
    assert!(world.clean(11).await.is_empty(), "what was claimed with them waits a little too");
    let minutes = 11 * MINUTE;
    assert_eq!(world.left(minutes).await.0, 10);
    assert_eq!(world.left(2 * minutes).await, (5, 2), "the last key and that of the upload, which has expired");
}

#[tokio::test]
async fn uploads_that_cannot_be_given_up_do_not_keep_keys() {
    let world = world(1).await;
    // The upload's key has an owner already, which no server brings about: to give the upload up fails.
    world.doom(vec![world.key.clone()], 10 * EXPIRES).await;
    world.doom(keys(20..21), 1).await;
    std::fs::write(world.file(&keys(20..21)[0]), b"bytes").unwrap();
    assert!(clean(&world.metadata, &world.blobs, EXPIRES, || true).await.is_err());
    assert!(!world.file(&keys(20..21)[0]).exists());
}

#[tokio::test]
async fn a_repository_that_cannot_be_emptied_holds_up_no_other() {
    let world = world(1).await;
    // The key of its upload has an owner already, which no server brings about.
    world.doom(vec![world.key.clone()], 10 * DAY).await;
    let deleted: Result<(), Error> = world
        .metadata
        .write((), |tx, ()| {
            Box::pin(async move {
                let stuck = tx.repository(&"ann/app".parse().expect("a name")).await?.expect("it was made");
                let other = tx.create_repository(&"ann/other".parse().expect("a name"), stuck.account_id, 0).await?;
                tx.delete_repository(&stuck, 1).await?;
                tx.delete_repository(&other, 2).await?;
                Ok(())
            })
        })
        .await;
    deleted.unwrap();
    let (now, left) = (20 * DAY, world.metadata.clone());
    assert!(clean(&world.metadata, &world.blobs, now, || true).await.is_err());
    let account = left.account("ann").await.unwrap().unwrap().id;
    let rows = |now| left.deleted_repositories(account, now, RepositoryId(0), 9);
    assert_eq!(rows(-1).await.unwrap().len(), 1, "the other one is gone");
    hallmark_gc::empty_deleted_repositories(&world.metadata, now + 59 * MINUTE, || true).await.unwrap();
    hallmark_gc::empty_deleted_repositories(&world.metadata, now + 60 * MINUTE, || true).await.unwrap_err();
}

#[tokio::test]
async fn an_upload_is_left_alone_until_it_expires() {
    let world = world(0).await;
    assert!(world.clean(EXPIRES - 1).await.is_empty());
    assert!(world.holds_bytes().await);
}

#[tokio::test]
async fn an_expired_upload_that_is_written_to_is_left_alone() {
    let world = world(EXPIRES + 10).await;
    assert!(world.clean(EXPIRES + 5).await.is_empty());
    assert!(world.holds_bytes().await);
}

#[tokio::test]
async fn an_expired_upload_goes_with_its_bytes() {
    let world = world(0).await;
    assert_eq!(world.clean(EXPIRES).await, Report { uploads: 1, keys: 1, ..Report::default() });
    assert!(!world.holds_bytes().await);
}

#[tokio::test]
async fn a_key_that_a_stalled_write_may_reach_is_deleted_once_more_a_day_later() {
    let world = world(0).await;
    world.clean(EXPIRES).await;
    assert!(world.clean(EXPIRES + DAY - 1).await.is_empty());
    assert_eq!(world.clean(EXPIRES + DAY).await, Report { keys: 1, ..Report::default() });
    assert!(world.clean(EXPIRES + 10 * DAY).await.is_empty());
}

/// A process that is told to stop must not wait until everything that is due is gone.
#[tokio::test]
async fn a_run_that_is_told_to_stop_ends_between_two_batches_and_the_next_one_goes_on() {
    let world = world(0).await;
    world.open_uploads(200).await;
    let asked = AtomicU64::new(0);
    let stops_after = |batches: u64| {
        let asked = &asked;
        asked.store(0, Ordering::Relaxed);
        move || asked.fetch_add(1, Ordering::Relaxed) < batches
    };
    // The first question is whether to look for deleted repositories.
    let stopped = clean(&world.metadata, &world.blobs, EXPIRES, stops_after(2)).await.unwrap();
    assert_eq!(stopped, Report { uploads: 100, keys: 0, ..Report::default() });
    // Two batches end the uploads, two questions find nothing to collect, and one batch is the first of the keys, before each of
    // which is asked too.
    let stopped = clean(&world.metadata, &world.blobs, EXPIRES, stops_after(106)).await.unwrap();
    assert_eq!(stopped, Report { uploads: 101, keys: 100, ..Report::default() });
    assert_eq!(world.clean(EXPIRES).await, Report { uploads: 0, keys: 101, ..Report::default() });
}
