//! Tags, manifests and blobs on their way out (distribution-spec, end-9 and end-10); what is still named stays (I1).

use hallmark_oci::Digest;
use insta::assert_snapshot;

use crate::harness::{Credentials, OCI_INDEX, OCI_MANIFEST, World, image, index, sha256};

async fn pushed() -> (World, Credentials, Digest) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let digest = world.image(&ann, "ann/app", "1", "layer").await;
    (world, ann, digest)
}

fn manifest(reference: impl std::fmt::Display) -> String {
    format!("/v2/ann/app/manifests/{reference}")
}

fn blob(content: &str) -> String {
    format!("/v2/ann/app/blobs/{}", sha256(content))
}

#[tokio::test]
async fn deleting_a_tag_leaves_its_manifest() {
    let (world, ann, digest) = pushed().await;
    assert_snapshot!(world.delete(&manifest("1")).by(&ann).await, @r"
    202 Accepted
    content-length: 0
    ");
    world.get(&manifest("1")).by(&ann).await.expect(404);
    world.head(&manifest("1")).by(&ann).await.expect(404);
    world.get(&manifest(&digest)).by(&ann).await.expect(200);
    assert_eq!(world.events().await.last().unwrap(), "tag_deleted 1");
}

#[tokio::test]
async fn deleting_a_manifest_drops_every_tag_of_it_and_no_other() {
    let (world, ann, digest) = pushed().await;
    world.image(&ann, "ann/app", "1-again", "layer").await;
    world.image(&ann, "ann/app", "2", "other").await;
    assert_snapshot!(world.delete(&manifest(&digest)).by(&ann).await, @r"
    202 Accepted
    content-length: 0
    ");
    for reference in [digest.as_str(), "1", "1-again"] {
        assert_eq!(
            world.get(&manifest(reference)).by(&ann).await.gist(),
            (404, "MANIFEST_UNKNOWN".into()),
            "{reference}"
        );
    }
    assert_eq!(world.look("SELECT name FROM tags").await, ["2"]);
    assert_eq!(world.events().await.last().unwrap(), "manifest_deleted {image of layer}");
}

#[tokio::test]
async fn deleting_again_finds_nothing() {
    let (world, ann, digest) = pushed().await;
    world.delete(&manifest(&digest)).by(&ann).await.expect(202);
    assert_snapshot!(world.delete(&manifest(&digest)).by(&ann).await, @r#"
    404 Not Found
    content-length: 102
    content-type: application/json

    {"errors":[{"code":"MANIFEST_UNKNOWN","detail":null,"message":"the repository has no such manifest"}]}
    "#);
    assert_eq!(world.delete(&manifest("1")).by(&ann).await.gist(), (404, "MANIFEST_UNKNOWN".into()));
}

#[tokio::test]
async fn a_deleted_manifest_can_be_pushed_again() {
    let (world, ann, digest) = pushed().await;
    world.delete(&manifest(&digest)).by(&ann).await.expect(202);
    world.image(&ann, "ann/app", "1", "layer").await;
    world.get(&manifest("1")).by(&ann).await.expect(200);
}

#[tokio::test]
async fn a_child_that_an_index_names_stays_and_the_index_is_named() {
    let (world, ann, digest) = pushed().await;
    let body = index(&[&image("{}", &["layer"])]);
    let parent = world.manifest(&ann, ("ann/app", "all"), OCI_INDEX, &body, "index").await;
    assert_snapshot!(world.delete(&manifest(&digest)).by(&ann).await, @r#"
    405 Method Not Allowed
    content-length: 207
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":{"named_by":["{index}"]},"message":"manifests of this repository still name it; delete them first"}]}
    "#);
    world.get(&manifest("1")).by(&ann).await.expect(200);
    world.delete(&manifest(&parent)).by(&ann).await.expect(202);
    world.delete(&manifest(&digest)).by(&ann).await.expect(202);
}

#[tokio::test]
async fn i1_a_blob_that_a_manifest_names_stays_and_the_manifest_is_named() {
    let (world, ann, digest) = pushed().await;
    assert_snapshot!(world.delete(&blob("layer")).by(&ann).await, @r#"
    405 Method Not Allowed
    content-length: 207
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":{"named_by":["{image of layer}"]},"message":"manifests of this repository still name it; delete them first"}]}
    "#);
    world.get(&blob("layer")).by(&ann).await.expect(200);
    world.delete(&manifest(&digest)).by(&ann).await.expect(202);
    assert_snapshot!(world.delete(&blob("layer")).by(&ann).await, @r"
    202 Accepted
    content-length: 0
    ");
    world.get(&blob("layer")).by(&ann).await.expect(404);
    assert_eq!(world.delete(&blob("layer")).by(&ann).await.gist(), (404, "BLOB_UNKNOWN".into()));
    assert_eq!(world.events().await.last().unwrap(), "blob_deleted {layer}");
}

#[tokio::test]
async fn a_blob_deleted_here_stays_in_other_repositories() {
    let (world, _, _) = pushed().await;
    let both = world.token("ann", "repository:ann/app:pull,push,delete repository:ann/other:pull,push,delete").await;
    world.blob(&both, "ann/app", "shared").await;
    world.blob(&both, "ann/other", "shared").await;
    world.delete(&blob("shared")).by(&both).await.expect(202);
    world.get(&blob("shared").replace("app", "other")).by(&both).await.expect(200);
}

#[tokio::test]
async fn a_push_after_a_delete_finds_the_bytes_again() {
    let (world, ann, _) = pushed().await;
    world.blob(&ann, "ann/app", "alone").await;
    world.delete(&blob("alone")).by(&ann).await.expect(202);
    world.blob(&ann, "ann/app", "alone").await;
    assert_eq!(world.get(&blob("alone")).by(&ann).await.expect(200).body, "alone");
}

#[tokio::test]
async fn in_a_repository_that_is_not_there_nothing_is_deleted() {
    let (world, _, _) = pushed().await;
    let ann = world.all_of("ann", "ann/none").await;
    for path in [manifest("1"), manifest(sha256("x")), blob("layer")] {
        let answer = world.delete(&path.replace("app", "none")).by(&ann).await;
        assert_eq!(answer.gist(), (404, "NAME_UNKNOWN".into()), "{path}");
    }
    assert!(world.repository("ann/none").await.is_none());
}

#[tokio::test]
async fn a_token_to_push_does_not_delete() {
    let (world, _, digest) = pushed().await;
    let pusher = world.token("ann", "repository:ann/app:pull,push").await;
    for path in [manifest("1"), manifest(&digest), blob("layer")] {
        let answer = world.delete(&path).by(&pusher).await.expect(401);
        assert!(
            answer
                .header("www-authenticate")
                .contains("scope=\"repository:ann/app:delete\",error=\"insufficient_scope\"")
        );
    }
    world.get(&manifest("1")).by(&pusher).await.expect(200);
}

#[tokio::test]
async fn malformed_references_are_refused() {
    let (world, ann, _) = pushed().await;
    assert_eq!(world.delete(&manifest(".x")).by(&ann).await.gist(), (400, "TAG_INVALID".into()));
    assert_eq!(world.delete(&manifest("sha256:abc")).by(&ann).await.gist(), (400, "DIGEST_INVALID".into()));
    assert_eq!(world.delete("/v2/ann/app/blobs/sha256:abc").by(&ann).await.gist(), (400, "DIGEST_INVALID".into()));
}

#[tokio::test]
async fn an_image_is_whole_as_long_as_it_is_there() {
    let (world, ann, _) = pushed().await;
    world.manifest(&ann, ("ann/app", "2"), OCI_MANIFEST, &image("{}", &[]), "bare").await;
    world.delete(&manifest(sha256(image("{}", &["layer"])))).by(&ann).await.expect(202);
    world.delete(&blob("{}")).by(&ann).await.expect(405);
    world.delete(&blob("layer")).by(&ann).await.expect(202);
}
