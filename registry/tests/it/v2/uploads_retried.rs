//! A change that could not be committed: the client is asked to come again, and finds the upload free and where it was.

use crate::harness::{Call, Credentials, World, sha256};

async fn opened() -> (World, Credentials, String) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    // A deferred foreign key fails where a full disk does: in the COMMIT.
    world.look("CREATE TABLE fails (id INTEGER REFERENCES blobs(id) DEFERRABLE INITIALLY DEFERRED)").await;
    (world, ann, upload)
}

/// Sends a request whose COMMIT fails when it comes to `change`, then the same again, which succeeds.
async fn fails_once_on<'w>(change: &str, world: &'w World, request: impl Fn() -> Call<'w>, status: u16) {
    let trigger = format!("CREATE TRIGGER fails_at_commit AFTER {change} BEGIN INSERT INTO fails VALUES (998); END");
    world.look(&trigger).await;
    let failed = request().await;
    assert!(failed.status.is_server_error(), "{failed}");
    world.look("DROP TRIGGER fails_at_commit").await;
    request().await.expect(status);
}

#[tokio::test]
async fn a_finish_that_could_not_be_committed_is_repeated_at_once() {
    let (world, ann, upload) = opened().await;
    let finish = format!("{upload}?digest={}", sha256("0123456789"));
    fails_once_on("INSERT ON blobs", &world, || world.put(&finish).by(&ann).body("0123456789"), 201).await;
}

#[tokio::test]
async fn a_chunk_that_could_not_be_committed_is_repeated_at_once() {
    let (world, ann, upload) = opened().await;
    let append = || world.patch(&upload).by(&ann).header("content-range", "0-4").body("01234");
    fails_once_on("UPDATE OF received ON uploads", &world, append, 202).await;
}

#[tokio::test]
async fn a_broken_chunk_that_could_not_be_committed_is_repeated_at_once() {
    let (world, ann, upload) = opened().await;
    world.look("CREATE TRIGGER fails_at_commit AFTER UPDATE OF received ON uploads BEGIN INSERT INTO fails VALUES (998); END").await;
    world.patch(&upload).by(&ann).cut(b"01234").await;
    world.look("DROP TRIGGER fails_at_commit").await;
    world.patch(&upload).by(&ann).header("content-range", "0-4").body("01234").await.expect(202);
}

#[tokio::test]
async fn a_blob_in_one_request_that_could_not_be_committed_leaves_no_upload() {
    let (world, ann, _) = opened().await;
    let path = format!("/v2/ann/app/blobs/uploads/?digest={}", sha256("0123456789"));
    fails_once_on("INSERT ON blobs", &world, || world.post(&path).by(&ann).body("0123456789"), 201).await;
    assert_eq!(world.look("SELECT COUNT(*) FROM uploads").await, ["1"], "the one that was opened and told");
}
