//! Mounts (distribution-spec, end-11): a blob taken over where the caller may read it, and a plain upload otherwise.

use hallmark_oci::Digest;
use insta::assert_snapshot;

use crate::harness::{Credentials, World, sha256};

/// A world with the blob `layer` in `ann/source`; a token of ann for both repositories, and the digest.
async fn pushed() -> (World, Credentials, Digest) {
    let world = World::open().await;
    let ann = world.token("ann", "repository:ann/source:pull,push repository:ann/target:pull,push").await;
    let digest = world.blob(&ann, "ann/source", "layer").await;
    (world, ann, digest)
}

fn mount(target: &str, digest: &Digest, from: &str) -> String {
    let from = if from.is_empty() { String::new() } else { format!("&from={from}") };
    format!("/v2/{target}/blobs/uploads/?mount={digest}{from}")
}

#[tokio::test]
async fn a_blob_is_mounted_from_a_repository_that_the_caller_may_pull_from() {
    let (world, ann, digest) = pushed().await;
    assert_snapshot!(world.post(&mount("ann/target", &digest, "ann/source")).by(&ann).await, @r"
    201 Created
    content-length: 0
    docker-content-digest: {layer}
    location: /v2/ann/target/blobs/{layer}
    ");
    let pulled = world.get(&format!("/v2/ann/target/blobs/{digest}")).by(&ann).await.expect(200);
    assert_eq!(pulled.body, "layer");
    assert_eq!(world.events().await.last().unwrap(), "blob_mounted {layer}");
}

#[tokio::test]
async fn a_source_may_come_percent_encoded() {
    let (world, ann, digest) = pushed().await;
    let path = format!("/v2/ann/target/blobs/uploads/?from=ann%2Fsource&mount={}", digest.as_str().replace(':', "%3A"));
    world.post(&path).by(&ann).await.expect(201);
}

#[tokio::test]
async fn a_blob_is_mounted_without_a_source_from_wherever_the_caller_may_pull() {
    let (world, ann, digest) = pushed().await;
    world.post(&mount("ann/target", &digest, "")).by(&ann).await.expect(201);
}

/// Whatever account the push goes to is looked in first, also by the push that makes the repository.
#[tokio::test]
async fn without_a_source_the_same_account_comes_first() {
    let (world, _, digest) = pushed().await;
    world.organization("acme", "ann").await;
    let names = ["acme/base", "acme/new", "ann/new"].map(|name| format!("repository:{name}:pull,push")).join(" ");
    let ann = world.token("ann", &names).await;
    world.blob(&ann, "acme/base", "layer").await;
    for (target, source) in [("acme/new", "acme/base"), ("ann/new", "ann/source")] {
        world.post(&mount(target, &digest, "")).by(&ann).await.expect(201);
        let from = "SELECT r.name FROM events e JOIN repositories r ON r.id = json_extract(e.payload, '$.source')
                     WHERE e.kind = 'blob_mounted' ORDER BY e.id";
        assert_eq!(world.look(from).await.last().unwrap(), source, "into {target}");
    }
}

#[tokio::test]
async fn a_blob_that_is_nowhere_opens_an_upload() {
    let (world, ann, _) = pushed().await;
    let absent = sha256("absent");
    assert_snapshot!(world.post(&mount("ann/target", &absent, "ann/source")).by(&ann).await, @r"
    202 Accepted
    content-length: 0
    docker-upload-uuid: {upload}
    location: /v2/ann/target/blobs/uploads/{upload}
    range: 0-0
    ");
    world.post(&mount("ann/target", &absent, "")).by(&ann).await.expect(202);
}

#[tokio::test]
async fn whatever_is_wrong_with_the_source_opens_an_upload() {
    let (world, ann, digest) = pushed().await;
    for from in ["ann/none", "UPPER", "a//b", "..", "%2f"] {
        world.post(&mount("ann/target", &digest, from)).by(&ann).await.expect(202);
    }
    world.post("/v2/ann/target/blobs/uploads/?mount=nonsense&from=ann/source").by(&ann).await.expect(202);
}

/// I6: without the right to pull from the source, the answer is that for a blob that is nowhere.
#[tokio::test]
async fn without_a_right_on_the_source_nothing_is_mounted_or_told() {
    let (world, _, digest) = pushed().await;
    let bob = world.token("bob", "repository:bob/app:pull,push repository:ann/source:pull").await;
    let normal = |answer: crate::harness::Answer| answer.to_string();
    let held = world.post(&mount("bob/app", &digest, "ann/source")).by(&bob).await;
    let absent = world.post(&mount("bob/app", &sha256("absent"), "ann/source")).by(&bob).await;
    assert_eq!(normal(held), normal(absent));
    world.post(&mount("bob/app", &digest, "")).by(&bob).await.expect(202);
    world.get(&format!("/v2/bob/app/blobs/{digest}")).by(&bob).await.expect(404);
}

/// A token is an upper bound: its owner's right on a source that it does not name mounts nothing. The owner is told which
/// token would; who has no right there gets an upload, as above.
#[tokio::test]
async fn a_token_that_does_not_reach_the_named_source_is_told_which_one_would() {
    let (world, _, digest) = pushed().await;
    let narrow = world.token("ann", "repository:ann/target:pull,push").await;
    let answer = world.post(&mount("ann/target", &digest, "ann/source")).by(&narrow).await.expect(401);
    let asked = "scope=\"repository:ann/source:pull repository:ann/target:pull,push\",error=\"insufficient_scope\"";
    assert!(answer.header("www-authenticate").ends_with(asked), "{answer}");
    world.post(&mount("ann/target", &digest, "ann/none")).by(&narrow).await.expect(202);
    let missing = world.get(&format!("/v2/ann/target/blobs/{digest}")).by(&narrow).await;
    assert_eq!(missing.gist(), (404, "BLOB_UNKNOWN".into()));
}

/// A documented departure (ARCHITECTURE.md, "Where the plan was left"): a client that names no source could not ask for a
/// token that covers it, so the search goes by what the credential behind the token may pull and not by its scopes.
#[tokio::test]
async fn without_a_source_the_rights_of_the_principal_count_and_not_the_scopes_of_the_token() {
    let (world, _, digest) = pushed().await;
    let narrow = world.token("ann", "repository:ann/target:pull,push").await;
    world.post(&mount("ann/target", &digest, "")).by(&narrow).await.expect(201);
    let stranger = world.token("bob", "repository:bob/app:pull,push").await;
    world.post(&mount("bob/app", &digest, "")).by(&stranger).await.expect(202);
}

#[tokio::test]
async fn a_public_repository_is_a_source_for_everybody_who_asks_for_it() {
    let (world, _, digest) = pushed().await;
    world.publish("ann/source").await;
    let bob = world.token("bob", "repository:bob/app:pull,push repository:ann/source:pull").await;
    world.post(&mount("bob/app", &digest, "ann/source")).by(&bob).await.expect(201);
}

#[tokio::test]
async fn an_account_that_nobody_has_is_told_before_anything_is_mounted() {
    let (world, _, digest) = pushed().await;
    let admin = Credentials::basic("admin", crate::harness::PASSWORD);
    let answer = world.post(&mount("nobody/app", &digest, "ann/source")).by(&admin).await;
    assert_eq!(answer.gist(), (404, "NAME_UNKNOWN".into()));
}

/// I1: a mounted blob stays when its source goes.
#[tokio::test]
async fn i1_a_mounted_blob_outlives_its_source() {
    let (world, ann, digest) = pushed().await;
    world.post(&mount("ann/target", &digest, "ann/source")).by(&ann).await.expect(201);
    let owner = world.all_of("ann", "ann/source").await;
    world.delete(&format!("/v2/ann/source/blobs/{digest}")).by(&owner).await.expect(202);
    world.get(&format!("/v2/ann/target/blobs/{digest}")).by(&ann).await.expect(200);
}
