//! Uploads from their opening to their end, in one piece (distribution-spec, end-4, end-6, end-13, end-14).

use futures_util::FutureExt as _;
use hallmark_oci::Digest;
use hallmark_storage::metadata::OPEN_UPLOADS;
use insta::assert_snapshot;

use crate::harness::{Credentials, PASSWORD, World, pieces, sha256, sha512};

const UPLOADS: &str = "/v2/ann/app/blobs/uploads/";

async fn world() -> (World, Credentials) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    (world, ann)
}

/// Opens an upload; its path.
async fn opened(world: &World, ann: &Credentials) -> String {
    world.post(UPLOADS).by(ann).await.expect(202).location()
}

/// What the repository serves under this digest.
async fn pulled(world: &World, ann: &Credentials, digest: &Digest) -> Vec<u8> {
    world.get(&format!("/v2/ann/app/blobs/{digest}")).by(ann).await.expect(200).body.to_vec()
}

#[tokio::test]
async fn an_upload_is_opened() {
    let (world, ann) = world().await;
    assert_snapshot!(world.post(UPLOADS).by(&ann).await, @r"
    202 Accepted
    content-length: 0
    docker-upload-uuid: {upload}
    location: /v2/ann/app/blobs/uploads/{upload}
    range: 0-0
    ");
    assert_eq!(world.events().await, ["repository_created ann/app"]);
}

#[tokio::test]
async fn an_upload_is_opened_without_the_last_slash_and_whatever_the_content_type() {
    let (world, ann) = world().await;
    let call = world.post("/v2/ann/app/blobs/uploads").by(&ann).header("content-type", "application/json");
    call.await.expect(202);
}

#[tokio::test]
async fn a_status_tells_how_far_an_upload_is() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).body("0123456789").await.expect(202);
    assert_snapshot!(world.get(&upload).by(&ann).await, @r"
    204 No Content
    docker-upload-uuid: {upload}
    location: /v2/ann/app/blobs/uploads/{upload}
    range: 0-9
    ");
}

#[tokio::test]
async fn bytes_are_streamed_in_and_acknowledged() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    assert_snapshot!(world.patch(&upload).by(&ann).chunked(pieces(b"0123456789", 3)).await, @r"
    202 Accepted
    content-length: 0
    docker-upload-uuid: {upload}
    location: /v2/ann/app/blobs/uploads/{upload}
    range: 0-9
    ");
}

#[tokio::test]
async fn a_finished_upload_is_a_blob_of_the_repository() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).chunked(pieces(b"0123456789", 3)).await.expect(202);
    let digest = sha256("0123456789");
    world.show_as(&digest, "digest");
    assert_snapshot!(world.put(&format!("{upload}?digest={digest}")).by(&ann).await, @r"
    201 Created
    content-length: 0
    docker-content-digest: {digest}
    location: /v2/ann/app/blobs/{digest}
    ");
    assert_eq!(pulled(&world, &ann, &digest).await, b"0123456789");
    assert_eq!(world.look("SELECT COUNT(*) FROM uploads").await, ["0"]);
    assert_eq!(world.events().await, ["repository_created ann/app", "blob_pushed {digest}"]);
}

#[tokio::test]
async fn the_whole_may_come_with_the_request_that_finishes() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    let digest = sha256("0123456789");
    world.put(&format!("{upload}?digest={digest}")).by(&ann).body("0123456789").await.expect(201);
    assert_eq!(pulled(&world, &ann, &digest).await, b"0123456789");
}

#[tokio::test]
async fn the_whole_may_come_with_the_request_that_opens() {
    let (world, ann) = world().await;
    let digest = sha256("0123456789");
    world.show_as(&digest, "digest");
    let path = format!("{UPLOADS}?digest={digest}");
    assert_snapshot!(world.post(&path).by(&ann).body("0123456789").await, @r"
    201 Created
    content-length: 0
    docker-content-digest: {digest}
    location: /v2/ann/app/blobs/{digest}
    ");
    assert_eq!(pulled(&world, &ann, &digest).await, b"0123456789");
}

#[tokio::test]
async fn a_whole_of_another_digest_leaves_no_upload_behind() {
    let (world, ann) = world().await;
    let path = format!("{UPLOADS}?digest={}", sha256("other"));
    world.show_as(sha256("0123456789"), "actual");
    assert_snapshot!(world.post(&path).by(&ann).body("0123456789").await, @r#"
    400 Bad Request
    content-length: 300
    content-type: application/json

    {"errors":[{"code":"DIGEST_INVALID","detail":{"actual":"{actual}"},"message":"the content has the digest {actual}, not the one that was asked for; the upload was given up"}]}
    "#);
    assert_eq!(world.look("SELECT COUNT(*) FROM uploads").await, ["0"]);
    assert_eq!(world.look("SELECT COUNT(*) FROM blobs").await, ["0"]);
}

#[tokio::test]
async fn a_whole_that_is_cut_off_leaves_no_upload_behind() {
    let (world, ann) = world().await;
    let path = format!("{UPLOADS}?digest={}", sha256("0123456789"));
    assert_eq!(world.post(&path).by(&ann).cut(b"01234").await.gist(), (400, "SIZE_INVALID".into()));
    assert_eq!(world.look("SELECT COUNT(*) FROM uploads").await, ["0"]);
}

#[tokio::test]
async fn the_empty_blob_is_uploaded_in_each_way() {
    let (world, ann) = world().await;
    let empty = sha256("");
    let upload = opened(&world, &ann).await;
    world.put(&format!("{upload}?digest={empty}")).by(&ann).await.expect(201);
    let upload = opened(&world, &ann).await;
    let patched = world.patch(&upload).by(&ann).chunked(Vec::new()).await.expect(202);
    assert_eq!(patched.header("range"), "0-0");
    world.put(&format!("{upload}?digest={empty}")).by(&ann).chunked(Vec::new()).await.expect(201);
    world.post(&format!("{UPLOADS}?digest={empty}")).by(&ann).await.expect(201);
    assert_eq!(pulled(&world, &ann, &empty).await, b"");
}

#[tokio::test]
async fn a_digest_that_does_not_match_gives_the_upload_up() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).body("0123456789").await.expect(202);
    world.show_as(sha256("0123456789"), "actual");
    assert_snapshot!(world.put(&format!("{upload}?digest={}", sha256("other"))).by(&ann).await, @r#"
    400 Bad Request
    content-length: 300
    content-type: application/json

    {"errors":[{"code":"DIGEST_INVALID","detail":{"actual":"{actual}"},"message":"the content has the digest {actual}, not the one that was asked for; the upload was given up"}]}
    "#);
    assert_eq!(world.get(&upload).by(&ann).await.gist(), (404, "BLOB_UPLOAD_UNKNOWN".into()));
    world.get(&format!("/v2/ann/app/blobs/{}", sha256("other"))).by(&ann).await.expect(404);
    world.get(&format!("/v2/ann/app/blobs/{}", sha256("0123456789"))).by(&ann).await.expect(404);
}

#[tokio::test]
async fn without_a_digest_or_with_a_bad_one_the_upload_is_kept() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).body("0123456789").await.expect(202);
    for query in ["", "?digest=", "?digest=sha256:abc", "?digest=md5:d41d8cd98f00b204e9800998ecf8427e"] {
        let answer = world.put(&format!("{upload}{query}")).by(&ann).await;
        assert_eq!(answer.gist(), (400, "DIGEST_INVALID".into()), "{query}");
    }
    world.put(&format!("{upload}?digest={}", sha256("0123456789"))).by(&ann).await.expect(201);
}

#[tokio::test]
async fn an_upload_is_finished_by_sha512_although_it_was_hashed_by_sha256() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).body("0123456789").await.expect(202);
    let digest = sha512("0123456789");
    world.put(&format!("{upload}?digest={digest}")).by(&ann).await.expect(201);
    assert_eq!(pulled(&world, &ann, &digest).await, b"0123456789");
}

#[tokio::test]
async fn the_algorithm_to_come_may_be_named_at_the_opening() {
    let (world, ann) = world().await;
    for (hint, digest) in
        [("sha512", sha512("0123456789")), ("sha512", sha256("0123456789")), ("sha256", sha512("0123456789"))]
    {
        let upload = world.post(&format!("{UPLOADS}?digest-algorithm={hint}")).by(&ann).await.expect(202).location();
        world.patch(&upload).by(&ann).body("0123456789").await.expect(202);
        world.put(&format!("{upload}?digest={digest}")).by(&ann).await.expect(201);
    }
}

#[tokio::test]
async fn an_unknown_algorithm_is_refused_at_the_opening() {
    let (world, ann) = world().await;
    let answer = world.post(&format!("{UPLOADS}?digest-algorithm=md5")).by(&ann).await;
    assert_eq!(answer.gist(), (400, "DIGEST_INVALID".into()));
}

#[tokio::test]
async fn an_upload_is_given_up() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).body("0123456789").await.expect(202);
    assert_snapshot!(world.delete(&upload).by(&ann).await, @r"
    204 No Content
    docker-upload-uuid: {upload}
    ");
    assert_snapshot!(world.get(&upload).by(&ann).await, @r#"
    404 Not Found
    content-length: 110
    content-type: application/json

    {"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","detail":null,"message":"there is no such upload; begin a new one"}]}
    "#);
    let digest = sha256("0123456789");
    for (method, path) in [("PATCH", upload.clone()), ("PUT", format!("{upload}?digest={digest}")), ("DELETE", upload)]
    {
        let answer = world.call(method, &path).by(&ann).await;
        assert_eq!(answer.gist(), (404, "BLOB_UPLOAD_UNKNOWN".into()), "{method}");
    }
}

/// What comes whole with one request and is small needs no file, whichever way it comes, and is a blob like any other.
#[tokio::test]
async fn small_blobs_are_facts_and_large_ones_are_files() {
    let (world, ann) = world().await;
    for (length, files) in [(1, 0), (8 * 1024, 0), (8 * 1024 + 1, 1)] {
        let content = "x".repeat(length);
        let path = format!("/v2/ann/app/blobs/{}", sha256(&content));
        let upload = opened(&world, &ann).await;
        world.put(&format!("{upload}?digest={}", sha256(&content))).by(&ann).body(content.clone()).await.expect(201);
        assert_eq!(world.files(), files, "{length} bytes");
        assert_eq!(world.get(&path).by(&ann).await.expect(200).body, content);
        let part = world.get(&path).by(&ann).header("range", "bytes=-1").await.expect(206);
        assert_eq!(part.body, "x");
        world.get(&upload).by(&ann).await.expect(404);
        world
            .post(&format!("/v2/ann/app/blobs/uploads/?digest={}", sha256(&content)))
            .by(&ann)
            .body(content)
            .await
            .expect(201);
    }
}

/// An upload that has bytes goes on, whatever the size of its last chunk, and a wrong digest ends it.
#[tokio::test]
async fn a_small_end_of_an_upload_is_no_small_blob() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).body("01234").await.expect(202);
    let digest = sha256("0123456789");
    world.put(&format!("{upload}?digest={digest}")).by(&ann).body("56789").await.expect(201);
    assert_eq!(world.get(&format!("/v2/ann/app/blobs/{digest}")).by(&ann).await.expect(200).body, "0123456789");
    // The digest is of the last chunk alone, so that only where the upload stands tells the two apart.
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).body("01234").await.expect(202);
    let refused = world.put(&format!("{upload}?digest={}", sha256("tail"))).by(&ann).body("tail").await;
    assert_eq!(refused.gist(), (400, "DIGEST_INVALID".into()));
    let upload = opened(&world, &ann).await;
    let refused = world.put(&format!("{upload}?digest={digest}")).by(&ann).body("other").await;
    assert_eq!(refused.gist(), (400, "DIGEST_INVALID".into()));
    world.get(&upload).by(&ann).await.expect(404);
}

/// The bytes of what was given up are deleted later, by the collector, and nothing else is.
#[tokio::test]
async fn the_bytes_of_an_upload_that_was_given_up_are_deleted_in_time() {
    let (world, ann) = world().await;
    let kept = world.blob_in_a_file(&ann, "ann/app", "kept").await;
    // What no manifest names would fade meanwhile.
    world.image(&ann, "ann/app", "1", "kept").await;
    let upload = opened(&world, &ann).await;
    world.patch(&upload).by(&ann).body("0123456789").await.expect(202);
    assert_eq!(world.files(), 2);
    world.delete(&upload).by(&ann).await.expect(204);
    for _ in 0..4 {
        world.pass(24 * 60 * 60);
        hallmark_gc::clean(&world.app.metadata, &world.app.blobs, world.now(), || true).await.unwrap();
    }
    assert_eq!(world.files(), 1);
    let ann = world.all_of("ann", "ann/app").await;
    assert_eq!(pulled(&world, &ann, &kept).await, b"kept");
}

#[tokio::test]
async fn an_upload_that_rests_too_long_is_given_up() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    let expiry = i64::try_from(world.app.config.uploads.expiry.as_secs()).unwrap();
    for (seconds, status) in [(expiry - 1, 204), (1, 404)] {
        world.pass(seconds);
        hallmark_gc::clean(&world.app.metadata, &world.app.blobs, world.now(), || true).await.unwrap();
        let ann = world.all_of("ann", "ann/app").await;
        world.get(&upload).by(&ann).await.expect(status);
    }
}

#[tokio::test]
async fn a_token_to_push_is_enough_to_give_an_upload_up() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    let pusher = world.token("ann", "repository:ann/app:pull,push").await;
    world.delete(&upload).by(&pusher).await.expect(204);
}

/// The upload of a user is nobody else's, not even an administrator's.
#[tokio::test]
async fn an_upload_is_unknown_to_every_other_user() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    let admin = Credentials::basic("admin", PASSWORD);
    let finish = format!("{upload}?digest={}", sha256(""));
    for (method, path) in [("GET", &upload), ("PATCH", &upload), ("PUT", &finish), ("DELETE", &upload)] {
        let answer = world.call(method, path).by(&admin).await;
        assert_eq!(answer.gist(), (404, "BLOB_UPLOAD_UNKNOWN".into()), "{method}");
    }
    assert_eq!(world.get(&upload).by(&ann).await.expect(204).header("range"), "0-0");
}

#[tokio::test]
async fn an_upload_is_unknown_in_every_other_repository() {
    let (world, ann) = world().await;
    let upload = opened(&world, &ann).await;
    let other = world.all_of("ann", "ann/other").await;
    world.blob(&other, "ann/other", "there is such a repository").await;
    let elsewhere = upload.replace("ann/app", "ann/other");
    let finish = format!("{elsewhere}?digest={}", sha256(""));
    for (method, path) in [("GET", &elsewhere), ("PATCH", &elsewhere), ("PUT", &finish), ("DELETE", &elsewhere)] {
        let answer = world.call(method, path).by(&other).await;
        assert_eq!(answer.gist(), (404, "BLOB_UPLOAD_UNKNOWN".into()), "{method}");
    }
    world.get(&upload).by(&ann).await.expect(204);
}

#[tokio::test]
async fn ids_that_no_upload_has_are_unknown() {
    let (world, ann) = world().await;
    opened(&world, &ann).await;
    for id in ["x", "0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789ABCDEF", "..", "a.b"] {
        let answer = world.get(&format!("{UPLOADS}{id}")).by(&ann).await;
        assert!(answer.status.is_client_error(), "{id}");
    }
}

#[tokio::test]
async fn pushing_what_is_there_already_succeeds_again() {
    let (world, ann) = world().await;
    for _ in 0..2 {
        world.blob(&ann, "ann/app", "0123456789").await;
    }
    assert_eq!(world.look("SELECT COUNT(*) FROM blobs").await, ["1"]);
}

#[tokio::test]
async fn two_uploads_of_one_blob_both_succeed() {
    let (world, ann) = world().await;
    let (one, other) = (opened(&world, &ann).await, opened(&world, &ann).await);
    let digest = sha256("0123456789");
    let finish = |upload: String| world.put(&format!("{upload}?digest={digest}")).by(&ann).body("0123456789");
    let (one, other) = tokio::join!(finish(one).into_future(), finish(other).into_future());
    assert_eq!((one.status.as_u16(), other.status.as_u16()), (201, 201));
}

#[tokio::test]
async fn where_nobody_has_the_account_no_upload_is_opened() {
    let world = World::open().await;
    let admin = Credentials::basic("admin", PASSWORD);
    assert_snapshot!(world.post("/v2/nobody/app/blobs/uploads/").by(&admin).await, @r#"
    404 Not Found
    content-length: 171
    content-type: application/json

    {"errors":[{"code":"NAME_UNKNOWN","detail":null,"message":"there is no account \"nobody\" to hold this repository; the first part of its name must be an account's name"}]}
    "#);
    assert!(world.repository("nobody/app").await.is_none());
}

#[tokio::test]
async fn an_administrator_pushes_to_anybody_and_to_the_system() {
    let world = World::open().await;
    let admin = Credentials::basic("admin", PASSWORD);
    for name in ["ann/app", "busybox", "admin/app"] {
        world.image(&admin, name, "1", "layer").await;
    }
    let owners = "SELECT a.name, r.name FROM repositories r JOIN accounts a ON a.id = r.account_id ORDER BY r.name";
    assert_eq!(world.look(owners).await, ["admin admin/app", "ann ann/app", "_system busybox"]);
}

/// Threat 9: abandoned uploads are bounded for each user.
#[tokio::test]
async fn who_has_too_many_uploads_open_is_asked_to_finish_some() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let first = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    // All but one of the others are there by a stroke of the pen.
    let pen = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {OPEN_UPLOADS} - 2)
         INSERT INTO uploads (id, repository_id, principal_id, storage_key, hash_state, expires_at)
         SELECT printf('%032x', i), repository_id, principal_id, printf('%032x', i), hash_state, expires_at
           FROM n, uploads WHERE fence = 0"
    );
    world.look(&pen).await;
    world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202);
    assert_snapshot!(world.post("/v2/ann/app/blobs/uploads/").by(&ann).await, @r#"
    429 Too Many Requests
    content-length: 142
    content-type: application/json
    retry-after: 60

    {"errors":[{"code":"TOOMANYREQUESTS","detail":null,"message":"you have 4000 uploads open; finish or cancel some, or wait until they expire"}]}
    "#);
    let new = world.all_of("ann", "ann/new").await;
    // What is small and whole opens no upload.
    let layer = "layer".repeat(2_000);
    let whole = format!("/v2/ann/new/blobs/uploads/?digest={}", sha256(&layer));
    world.post(&whole).by(&new).body(layer).await.expect(429);
    assert!(world.repository("ann/new").await.is_none(), "nothing was made for a refused upload");
    let bob = world.all_of("bob", "bob/app").await;
    world.post("/v2/bob/app/blobs/uploads/").by(&bob).await.expect(202);
    world.delete(&first).by(&ann).await.expect(204);
    world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202);
}

/// Threat 11: a client that takes its requests back frees its streams at once, but not what they began.
#[tokio::test]
async fn requests_that_are_taken_back_while_they_wait_leave_nothing() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let all = u32::try_from(hallmark::app::CHANGES).unwrap();
    let held = std::sync::Arc::clone(&world.app.places).acquire_many_owned(all).await.unwrap();
    for _ in 0..100 {
        let begun = world.post("/v2/ann/app/blobs/uploads/").by(&ann).into_future();
        assert!(begun.now_or_never().is_none());
    }
    assert_eq!(world.app.changes.len(), 0);
    drop(held);
    world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202);
    assert_eq!(world.look("SELECT COUNT(*) FROM uploads").await, ["1"]);
}
