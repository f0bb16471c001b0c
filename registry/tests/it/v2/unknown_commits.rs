//! Changes that were committed and whose answer was lost: they are read back, so that what happened is not told as failed.

use hallmark_storage::metadata::DatabaseConfig;

use crate::harness::{Credentials, OCI_MANIFEST, Postgres, World, image, sha256};

async fn opened() -> (World, Credentials, Postgres) {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 4 };
    let world = World::with(|config| config.database = database).await;
    let ann = world.all_of("ann", "ann/app").await;
    (world, ann, postgres)
}

#[tokio::test]
async fn a_blob_whose_commit_was_not_answered_is_stored() {
    let (world, ann, postgres) = opened().await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    postgres.lose_the_answer_to("INSERT INTO blobs");
    let digest = sha256("0123456789");
    world.put(&format!("{upload}?digest={digest}")).by(&ann).body("0123456789").await.expect(201);
    assert!(postgres.has_lost_it());
    world.head(&format!("/v2/ann/app/blobs/{digest}")).by(&ann).await.expect(200);
}

#[tokio::test]
async fn a_manifest_whose_commit_was_not_answered_is_stored() {
    let (world, ann, postgres) = opened().await;
    world.blob(&ann, "ann/app", "{}").await;
    world.blob(&ann, "ann/app", "layer").await;
    postgres.lose_the_answer_to("INSERT INTO manifests");
    world.manifest(&ann, ("ann/app", "1"), OCI_MANIFEST, &image("{}", &["layer"]), "image").await;
    assert!(postgres.has_lost_it());
    world.head("/v2/ann/app/manifests/1").by(&ann).await.expect(200);
}

/// A COMMIT may reach the server after the connection that brought it is gone: whoever reads back waits for it.
#[tokio::test]
async fn a_blob_whose_commit_comes_late_is_stored() {
    for length in [10, 9_000] {
        let (world, ann, postgres) = opened().await;
        let content = "x".repeat(length);
        let digest = sha256(&content);
        let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
        postgres.delay_the_commit_of("INSERT INTO blobs");
        world.put(&format!("{upload}?digest={digest}")).by(&ann).body(content).await.expect(201);
        assert!(postgres.has_lost_it());
        world.head(&format!("/v2/ann/app/blobs/{digest}")).by(&ann).await.expect(200);
    }
}

#[tokio::test]
async fn a_small_blob_that_comes_with_the_first_request_and_whose_commit_comes_late_is_stored() {
    for repository in ["ann/app", "ann/new"] {
        let (world, ann, postgres) = opened().await;
        let ann = if repository == "ann/app" { ann } else { world.all_of("ann", repository).await };
        postgres.delay_the_commit_of("INSERT INTO blobs");
        let digest = world.blob(&ann, repository, "0123456789").await;
        assert!(postgres.has_lost_it());
        world.head(&format!("/v2/{repository}/blobs/{digest}")).by(&ann).await.expect(200);
    }
}
