//! What `clean` deletes and what it leaves, on a real database and folder.

#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

use bytes::Bytes;
use hallmark_gc::{Report, clean};
use hallmark_oci::{Algorithm, UploadId};
use hallmark_storage::StorageKey;
use hallmark_storage::blobs::{Blobs, StorageConfig, UploadState};
use hallmark_storage::metadata::{DatabaseConfig, Error, Metadata, NewUpload, NewUser};
use tempfile::TempDir;

const EXPIRES: i64 = 1_000;
const DAY: i64 = 24 * 60 * 60 * 1_000;
const CONTENT: Bytes = Bytes::from_static(b"bytes that nobody went on with");

struct World {
    metadata: Metadata,
    blobs: Blobs,
    key: StorageKey,
    _folder: TempDir,
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
                let user = NewUser { name: "ann".to_owned(), password: None, system_admin: false };
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
    World { metadata, blobs, key, _folder: folder }
}

impl World {
    async fn clean(&self, now: i64) -> Report {
        clean(&self.metadata, &self.blobs, now).await.unwrap()
    }

    async fn holds_bytes(&self) -> bool {
        self.blobs.size(&self.key).await.unwrap().is_some()
    }
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
    assert_eq!(world.clean(EXPIRES).await, Report { uploads: 1, keys: 1 });
    assert!(!world.holds_bytes().await);
}

#[tokio::test]
async fn a_key_that_a_stalled_write_may_reach_is_deleted_once_more_a_day_later() {
    let world = world(0).await;
    world.clean(EXPIRES).await;
    assert!(world.clean(EXPIRES + DAY - 1).await.is_empty());
    assert_eq!(world.clean(EXPIRES + DAY).await, Report { uploads: 0, keys: 1 });
    assert!(world.clean(EXPIRES + 10 * DAY).await.is_empty());
}
