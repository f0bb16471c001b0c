//! Blobs on their way out (distribution-spec, end-2), through their repository only.

use hallmark_oci::Digest;
use insta::assert_snapshot;

use crate::harness::{Credentials, World, sha256};

/// A world with the blob `0123456789` in `ann/app`, and its path.
async fn pushed() -> (World, Credentials, Digest, String) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let digest = world.blob(&ann, "ann/app", "0123456789").await;
    let path = format!("/v2/ann/app/blobs/{digest}");
    (world, ann, digest, path)
}

#[tokio::test]
async fn a_blob_is_pulled_whole() {
    let (world, ann, _, path) = pushed().await;
    assert_snapshot!(world.get(&path).by(&ann).await, @r#"
    200 OK
    accept-ranges: bytes
    cache-control: private, max-age=31536000, immutable
    content-length: 10
    content-type: application/octet-stream
    docker-content-digest: {0123456789}
    etag: "{0123456789}"

    0123456789
    "#);
}

#[tokio::test]
async fn a_head_has_the_headers_of_the_get_and_no_body() {
    let (world, ann, _, path) = pushed().await;
    let (get, head) = (world.get(&path).by(&ann).await, world.head(&path).by(&ann).await);
    assert_eq!((head.visible().0, head.visible().1), (get.visible().0, get.visible().1));
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn a_blob_that_the_client_holds_is_not_sent_again() {
    let (world, ann, digest, path) = pushed().await;
    let held = format!("\"{digest}\"");
    assert_snapshot!(world.get(&path).by(&ann).header("if-none-match", held).await, @r#"
    304 Not Modified
    cache-control: private, max-age=31536000, immutable
    docker-content-digest: {0123456789}
    etag: "{0123456789}"
    "#);
}

#[tokio::test]
async fn an_unknown_blob_is_refused_as_such() {
    let (world, ann, ..) = pushed().await;
    let path = format!("/v2/ann/app/blobs/{}", sha256("absent"));
    assert_snapshot!(world.get(&path).by(&ann).await, @r#"
    404 Not Found
    content-length: 94
    content-type: application/json

    {"errors":[{"code":"BLOB_UNKNOWN","detail":null,"message":"the repository has no such blob"}]}
    "#);
    world.head(&path).by(&ann).await.expect(404);
}

#[tokio::test]
async fn in_a_repository_that_is_not_there_the_repository_is_unknown() {
    let (world, _, digest, _) = pushed().await;
    let ann = world.all_of("ann", "ann/none").await;
    let answer = world.get(&format!("/v2/ann/none/blobs/{digest}")).by(&ann).await;
    assert_eq!(answer.gist(), (404, "NAME_UNKNOWN".into()));
}

#[tokio::test]
async fn a_malformed_digest_is_refused() {
    let (world, ann, ..) = pushed().await;
    let upper = format!("sha256:{}", "A".repeat(64));
    for digest in ["latest", "sha256:", "sha256:abc", &upper, "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        let answer = world.get(&format!("/v2/ann/app/blobs/{digest}")).by(&ann).await;
        assert_eq!(answer.gist(), (400, "DIGEST_INVALID".into()), "{digest}");
    }
}

/// I6: a blob of one repository is not there in another one, not even of the same owner.
#[tokio::test]
async fn i6_a_blob_is_seen_only_through_a_repository_that_holds_it() {
    let (world, _, digest, _) = pushed().await;
    let other = world.all_of("ann", "ann/other").await;
    world.blob(&other, "ann/other", "something else").await;
    let answer = world.get(&format!("/v2/ann/other/blobs/{digest}")).by(&other).await;
    assert_eq!(answer.gist(), (404, "BLOB_UNKNOWN".into()));
}

/// I6: knowing a digest gives nothing, whichever of the write paths is tried.
#[tokio::test]
async fn i6_a_known_digest_gives_nobody_the_bytes() {
    let (world, _, digest, _) = pushed().await;
    let bob = world.token("bob", "repository:bob/app:pull,push repository:ann/app:pull").await;
    let mount = world.post(&format!("/v2/bob/app/blobs/uploads/?mount={digest}&from=ann/app")).by(&bob).await;
    let anywhere = world.post(&format!("/v2/bob/app/blobs/uploads/?mount={digest}")).by(&bob).await;
    let whole = world.post(&format!("/v2/bob/app/blobs/uploads/?digest={digest}")).by(&bob).await;
    let upload = world.post("/v2/bob/app/blobs/uploads/").by(&bob).await.location();
    let finish = world.put(&format!("{upload}?digest={digest}")).by(&bob).await;
    let statuses = [&mount, &anywhere, &whole, &finish].map(|answer| answer.status.as_u16());
    assert_eq!(statuses, [202, 202, 400, 400]);
    world.get(&format!("/v2/bob/app/blobs/{digest}")).by(&bob).await.expect(404);
}

#[tokio::test]
async fn two_repositories_of_two_owners_share_the_bytes_and_know_nothing_of_each_other() {
    let (world, _, digest, _) = pushed().await;
    let bob = world.all_of("bob", "bob/app").await;
    world.blob(&bob, "bob/app", "0123456789").await;
    world.get(&format!("/v2/bob/app/blobs/{digest}")).by(&bob).await.expect(200);
    assert_eq!(world.look("SELECT COUNT(*) FROM blobs").await, ["1"]);
}

#[tokio::test]
async fn a_large_blob_is_streamed_whole_and_in_part() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let content: String = (0..200_000).map(|number| format!("{number:08x}")).collect();
    let digest = sha256(&content);
    world.post(&format!("/v2/ann/app/blobs/uploads/?digest={digest}")).by(&ann).body(content.clone()).await.expect(201);
    let path = format!("/v2/ann/app/blobs/{digest}");
    assert!(world.get(&path).by(&ann).await.expect(200).body == content);
    let part = world.get(&path).by(&ann).header("range", "bytes=100000-1200000").await.expect(206);
    assert!(part.body == content.as_bytes()[100_000..=1_200_000]);
}
