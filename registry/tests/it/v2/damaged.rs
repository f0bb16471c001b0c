//! I1: bytes that are missing or damaged count as absent, are told at once, and come back with the next push.

use std::fs::{self, File};
use std::path::PathBuf;

use hallmark_oci::Digest;
use insta::assert_snapshot;

use crate::harness::{Credentials, Log, OCI_MANIFEST, World, image, sha256};

/// A world with an image of the layer `0123456789` in `ann/app`; the layer's digest, its path and its file.
async fn pushed() -> (World, Credentials, Digest, String, PathBuf) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.blob_in_a_file(&ann, "ann/app", "0123456789").await;
    world.blob(&ann, "ann/app", "{}").await;
    world.manifest(&ann, ("ann/app", "1"), OCI_MANIFEST, &image("{}", &["0123456789"]), "image").await;
    let digest = sha256("0123456789");
    let file = world.paths().into_iter().find(|path| fs::read(path).unwrap() == b"0123456789").unwrap();
    let path = format!("/v2/ann/app/blobs/{digest}");
    (world, ann, digest, path, file)
}

async fn quarantined(world: &World) -> Vec<String> {
    world.look("SELECT digest FROM blobs WHERE quarantined_at IS NOT NULL").await
}

async fn recorded(world: &World) -> Vec<String> {
    world.look("SELECT kind, subject FROM events WHERE kind = 'blob_quarantined'").await
}

#[tokio::test]
async fn i1_a_pull_that_finds_the_bytes_missing_is_told_that_there_is_no_such_blob() {
    let (world, ann, _, path, file) = pushed().await;
    fs::remove_file(file).unwrap();
    assert_snapshot!(world.get(&path).by(&ann).await, @r#"
    404 Not Found
    content-length: 94
    content-type: application/json

    {"errors":[{"code":"BLOB_UNKNOWN","detail":null,"message":"the repository has no such blob"}]}
    "#);
    assert_eq!(quarantined(&world).await, ["{0123456789}"]);
    assert_eq!(recorded(&world).await, ["blob_quarantined {0123456789}"]);
}

#[tokio::test]
async fn bytes_that_are_too_few_are_quarantined_too() {
    let (world, ann, _, path, file) = pushed().await;
    File::options().write(true).open(file).unwrap().set_len(9).unwrap();
    assert_eq!(world.get(&path).by(&ann).await.gist(), (404, "BLOB_UNKNOWN".into()));
    assert_eq!(quarantined(&world).await, ["{0123456789}"]);
}

#[tokio::test]
async fn quarantined_bytes_are_absent_to_everybody_from_then_on_and_found_once() {
    let (world, ann, digest, path, file) = pushed().await;
    world.get(&path).by(&ann).await.expect(200);
    fs::remove_file(file).unwrap();
    world.get(&path).by(&ann).await.expect(404);
    for _ in 0..2 {
        world.get(&path).by(&ann).await.expect(404);
        world.head(&path).by(&ann).await.expect(404);
    }
    let mount = format!("/v2/ann/other/blobs/uploads/?mount={digest}");
    let other = world.token("ann", "repository:ann/other:pull,push repository:ann/app:pull").await;
    world.post(&mount).by(&other).await.expect(202);
    let again = world.put("/v2/ann/app/manifests/2").by(&ann).header("content-type", OCI_MANIFEST);
    assert_eq!(again.body(image("{}", &["0123456789"])).await.gist(), (400, "MANIFEST_BLOB_UNKNOWN".into()));
    world.get("/v2/ann/app/manifests/1").by(&ann).await.expect(200);
    assert_eq!(recorded(&world).await.len(), 1);
}

/// What a client does that finds the blob absent: it sends the bytes, and every image that names them is whole again.
#[tokio::test]
async fn a_push_heals_the_blob() {
    let (world, ann, _, path, file) = pushed().await;
    fs::remove_file(file).unwrap();
    world.get(&path).by(&ann).await.expect(404);
    world.head(&path).by(&ann).await.expect(404);
    world.blob(&ann, "ann/app", "0123456789").await;
    assert_eq!(world.get(&path).by(&ann).await.expect(200).body, "0123456789");
    assert_eq!(quarantined(&world).await, [""; 0]);
}

/// The bytes of a small blob stand with its facts, where they can be too few, too many or others as well as in a file.
#[tokio::test]
async fn damaged_bytes_of_a_small_blob_are_quarantined_and_healed_too() {
    for damaged in ["", "012345678", "0123456789x", "0123456780"] {
        let world = World::open().await;
        let ann = world.all_of("ann", "ann/app").await;
        let path = format!("/v2/ann/app/blobs/{}", world.blob(&ann, "ann/app", "0123456789").await);
        world.meddle(&format!("UPDATE small_blobs SET body = CAST('{damaged}' AS BLOB)")).await;
        world.head(&path).by(&ann).await.expect(404);
        assert_eq!(world.get(&path).by(&ann).await.gist(), (404, "BLOB_UNKNOWN".into()), "{damaged}");
        assert_eq!(quarantined(&world).await, ["{0123456789}"]);
        assert_eq!(recorded(&world).await, ["blob_quarantined {0123456789}"]);
        world.head(&path).by(&ann).await.expect(404);
        world.blob(&ann, "ann/app", "0123456789").await;
        assert_eq!(world.get(&path).by(&ann).await.expect(200).body, "0123456789");
    }
}

#[tokio::test]
async fn a_file_heals_a_small_blob() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let path = format!("/v2/ann/app/blobs/{}", world.blob(&ann, "ann/app", "0123456789").await);
    world.meddle("UPDATE small_blobs SET body = CAST('012345678' AS BLOB)").await;
    world.get(&path).by(&ann).await.expect(404);
    world.blob_in_a_file(&ann, "ann/app", "0123456789").await;
    assert_eq!(world.get(&path).by(&ann).await.expect(200).body, "0123456789");
    assert_eq!(world.files(), 1);
}

#[tokio::test]
async fn the_find_is_an_error_in_the_log_with_its_cause_and_counted() {
    let (world, ann, digest, path, file) = pushed().await;
    fs::remove_file(file).unwrap();
    let log = Log::begin();
    let answer = world.get(&path).by(&ann).await.expect(404);
    let line = log.last();
    assert_eq!((&line["level"], &line["status"]), (&"ERROR".into(), &404.into()), "{line}");
    assert_eq!(line["request.id"], answer.header("x-request-id"));
    let cause = line["cause"].as_str().unwrap();
    assert!(cause.contains(digest.as_str()) && cause.ends_with("nothing is stored there"), "{cause}");
    assert_eq!(world.metrics().await.of("store_errors_total"), 1.0);
    let request = world.look("SELECT request_id FROM events WHERE kind = 'blob_quarantined'").await;
    assert_eq!(request, [answer.header("x-request-id")]);
}

/// A disk that is not mounted has lost nothing: its empty place must not make every blob absent.
#[tokio::test]
async fn a_store_that_does_not_answer_makes_nothing_absent() {
    let (world, ann, _, path, file) = pushed().await;
    let folder = file.parent().unwrap().to_owned();
    let away = world.data().join("away");
    fs::rename(&folder, &away).unwrap();
    assert_snapshot!(world.get(&path).by(&ann).await, @r#"
    503 Service Unavailable
    content-length: 143
    content-type: application/json
    retry-after: 5

    {"errors":[{"code":"UNAVAILABLE","detail":{"request_id":"{request}"},"message":"the registry's blob store does not take part at the moment"}]}
    "#);
    assert_eq!((quarantined(&world).await.len(), recorded(&world).await.len()), (0, 0));
    fs::rename(&away, &folder).unwrap();
    world.get(&path).by(&ann).await.expect(200);
}

/// Read-only means that nothing changes, so that a copy taken meanwhile is whole. It is also the whole answer of a failure
/// inside: a code and the request id, and nothing of what failed.
#[tokio::test]
async fn while_the_registry_is_read_only_the_pull_fails_and_nothing_changes() {
    let (world, ann, _, path, file) = pushed().await;
    world.app.set_readonly(true).await.unwrap();
    fs::remove_file(&file).unwrap();
    assert_snapshot!(world.get(&path).by(&ann).await, @r#"
    500 Internal Server Error
    content-length: 134
    content-type: application/json

    {"errors":[{"code":"UNKNOWN","detail":{"request_id":"{request}"},"message":"the registry failed; tell its operator the request id"}]}
    "#);
    assert_eq!((quarantined(&world).await.len(), recorded(&world).await.len()), (0, 0));
    fs::write(&file, "0123456789").unwrap();
}

/// The head is gone already when a stream breaks off: the connection tells the client, and the log tells the operator.
#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_in_the_log_and_counted() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let content = "x".repeat(8 * 1024 * 1024);
    let digest = sha256(&content);
    world.post(&format!("/v2/ann/app/blobs/uploads/?digest={digest}")).by(&ann).body(content.clone()).await.expect(201);
    let file = world.paths().remove(0);
    let log = Log::begin();
    let cut = || File::options().write(true).open(&file).unwrap().set_len(1024 * 1024).unwrap();
    world.get(&format!("/v2/ann/app/blobs/{digest}")).by(&ann).breaks_off(cut).await;
    let line = log.last();
    assert_eq!((&line["level"], &line["status"]), (&"ERROR".into(), &200.into()), "{line}");
    assert!(line["cause"].as_str().unwrap().contains("does not hold what was stored there"), "{line}");
    assert!((0..content.len() as u64).contains(&line["sent_bytes"].as_u64().unwrap()), "{line}");
    assert_eq!(log.requests().len(), 1);
    assert_eq!(world.metrics().await.of("store_errors_total"), 1.0);
    fs::write(&file, &content).unwrap();
}
