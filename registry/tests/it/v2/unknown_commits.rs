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
