//! What an operator's tools ask for: probes and metrics.

use std::collections::BTreeSet;
use std::fs;

use bytes::Bytes;
use insta::assert_snapshot;
use tokio::sync::mpsc;

use crate::harness::metrics::family;
use crate::harness::{Credentials, Log, PASSWORD, World, sha256};

#[tokio::test]
async fn the_process_says_that_it_lives() {
    let world = World::open().await;
    assert_snapshot!(world.get("/livez").await, @r"
    200 OK
    content-length: 3
    content-type: text/plain; charset=utf-8

    ok
    ");
}

#[tokio::test]
async fn the_registry_says_that_it_is_ready() {
    let world = World::open().await;
    assert_snapshot!(world.get("/readyz").await, @r#"
    200 OK
    content-length: 55
    content-type: application/json

    {"checks":{"database":"ok","store":"ok"},"status":"ok"}
    "#);
}

/// Anybody may ask, and the store is asked by a file that is written and deleted.
#[tokio::test]
async fn the_stores_are_asked_once_a_second_whether_they_are_ready() {
    let world = World::open().await;
    let looks = || world.app.metadata.statistics().reads;
    let before = looks();
    for _ in 0..10 {
        world.get("/readyz").await.expect(200);
    }
    assert_eq!(looks() - before, 1);
    world.pass(1);
    let together = futures_util::future::join_all((0..10).map(|_| world.get("/readyz").into_future())).await;
    assert!(together.iter().all(|answer| answer.status == 200));
    assert_eq!(looks() - before, 2);
    world.app.metadata.close().await;
    world.pass(1);
    world.get("/readyz").await.expect(503);
}

#[tokio::test]
async fn a_registry_without_its_database_is_not_ready() {
    let world = World::open().await;
    world.app.metadata.close().await;
    assert_snapshot!(world.get("/readyz").await, @r#"
    503 Service Unavailable
    content-length: 117
    content-type: application/json
    retry-after: 5

    {"errors":[{"code":"UNAVAILABLE","detail":{"database":"failed","store":"ok"},"message":"the registry is not ready"}]}
    "#);
}

#[tokio::test]
async fn a_request_that_finds_no_database_is_asked_to_come_back_and_told_nothing_of_the_inside() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.app.metadata.close().await;
    assert_snapshot!(world.post("/v2/ann/app/blobs/uploads/").by(&ann).await, @r#"
    503 Service Unavailable
    content-length: 141
    content-type: application/json
    retry-after: 5

    {"errors":[{"code":"UNAVAILABLE","detail":{"request_id":"{request}"},"message":"the registry's database does not take part at the moment"}]}
    "#);
}

#[tokio::test]
async fn requests_are_counted_by_operation_and_status() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "1", "layer").await;
    world.get("/v2/ann/app/manifests/1").by(&ann).await.expect(200);
    world.get("/v2/ann/app/manifests/2").by(&ann).await.expect(404);
    let metrics = world.get("/metrics").await.expect(200);
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    for (operation, status) in [("pull_manifest", 200), ("pull_manifest", 404), ("put_manifest", 201)] {
        let line = metrics.lines().find(|line| {
            line.contains(&format!("operation=\"{operation}\"")) && line.contains(&format!("status=\"{status}\""))
        });
        assert!(line.is_some_and(|line| line.ends_with(" 1")), "{operation} {status} in\n{metrics}");
    }
    assert!(!metrics.contains("ann"), "names of users and repositories are no labels");
}

#[tokio::test]
async fn a_registry_without_a_part_of_its_blob_folder_is_not_ready() {
    let world = World::open().await;
    let folder = world.data().join("blobs/blobs/4f");
    fs::remove_dir(&folder).unwrap();
    assert_snapshot!(world.get("/readyz").await, @r#"
    503 Service Unavailable
    content-length: 117
    content-type: application/json
    retry-after: 5

    {"errors":[{"code":"UNAVAILABLE","detail":{"database":"ok","store":"failed"},"message":"the registry is not ready"}]}
    "#);
    fs::create_dir(&folder).unwrap();
    world.pass(1);
    world.get("/readyz").await.expect(200);
}

#[tokio::test]
async fn durations_and_bytes_are_counted_in_both_directions() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let digest = world.blob(&ann, "ann/app", "0123456789").await;
    let before = world.metrics().await;
    world.get(&format!("/v2/ann/app/blobs/{digest}")).by(&ann).await.expect(200);
    world.head(&format!("/v2/ann/app/blobs/{digest}")).by(&ann).await.expect(200);
    let after = world.metrics().await;
    let moved = |series: &str| after.of(series) - before.of(series);
    assert_eq!((moved("sent_bytes_total"), moved("received_bytes_total")), (10.0, 0.0));
    assert_eq!(moved("request_duration_seconds_count{operation=\"pull_blob\"}"), 2.0);
    assert!(moved("request_duration_seconds_sum{operation=\"pull_blob\"}") > 0.0);
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.location();
    world.patch(&upload).by(&ann).body("01234").await.expect(202);
    let form = format!("grant_type=password&username=ann&password={}", PASSWORD.replace(' ', "+"));
    world.post("/token").body(form.clone()).await.expect(200);
    let received = world.metrics().await.of("received_bytes_total") - after.of("received_bytes_total");
    assert_eq!(received, 5.0 + form.len() as f64, "a form counts like any other body");
}

#[tokio::test]
async fn an_upload_is_counted_while_its_body_is_received_and_until_it_ends() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    let whole = format!("/v2/ann/app/blobs/uploads/?digest={}", sha256("0123456789"));
    let open = async || world.metrics().await.of("uploads_open");
    assert_eq!(open().await, 1.0);
    let finish = format!("{upload}?digest={}", sha256("01234567890123456789"));
    for (method, path) in [("POST", whole), ("PATCH", upload.clone()), ("PUT", finish)] {
        assert_eq!(world.metrics().await.of("uploads_receiving"), 0.0, "{method}");
        let (feed, body) = mpsc::channel(1);
        let meanwhile = async {
            // The second piece has room once the first was taken.
            for piece in ["01234", "56789"] {
                feed.send(Bytes::from(piece)).await.unwrap();
            }
            feed.reserve().await.unwrap();
            assert_eq!(world.metrics().await.of("uploads_receiving"), 1.0, "{method}");
            drop(feed);
        };
        let (answer, ()) = tokio::join!(world.call(method, &path).by(&ann).fed(body).into_future(), meanwhile);
        assert!(answer.status.is_success(), "{answer}");
    }
    assert_eq!(world.metrics().await.of("uploads_receiving"), 0.0);
    assert_eq!(open().await, 0.0, "it is finished");
    let cancelled = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202).location();
    assert_eq!(open().await, 1.0);
    world.delete(&cancelled).by(&ann).await.expect(204);
    assert_eq!(open().await, 0.0, "it is cancelled");
}

#[tokio::test]
async fn changes_of_the_database_and_their_waiting_are_counted() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let before = world.metrics().await;
    let calls = (0..20).map(|_| world.post("/v2/ann/app/blobs/uploads/").by(&ann).into_future());
    for answer in futures_util::future::join_all(calls).await {
        answer.expect(202);
    }
    let after = world.metrics().await;
    assert_eq!(after.of("database_writes") - before.of("database_writes"), 20.0);
    assert!(after.of("database_wait_seconds") > before.of("database_wait_seconds"));
    assert!(after.of("database_wal_bytes") > 0.0);
}

#[tokio::test]
async fn every_metric_is_described_and_none_that_is_not_there() {
    let world = World::open().await;
    let text = include_str!("../../../docs/operating.md").split_once("\n## Metrics\n").unwrap().1;
    let text = text.split_once("\n## ").unwrap().0;
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let named: Vec<&str> = rows.flat_map(|names| names.split("`, `")).map(|name| name.trim_end_matches('`')).collect();
    let described: BTreeSet<&str> = named.iter().map(|name| family(name)).collect();
    assert_eq!(described, world.metrics().await.families());
}

#[tokio::test]
async fn failures_of_the_store_and_of_the_database_are_counted_apart() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let digest = world.blob_in_a_file(&ann, "ann/app", "0123456789").await;
    let file = world.paths().remove(0);
    let errors = async || {
        let metrics = world.metrics().await;
        (metrics.of("store_errors_total"), metrics.of("database_errors_total"))
    };
    assert_eq!(errors().await, (0.0, 0.0));
    fs::remove_file(file).unwrap();
    world.get(&format!("/v2/ann/app/blobs/{digest}")).by(&ann).await.expect(404);
    assert_eq!(errors().await, (1.0, 0.0));
    world.app.metadata.close().await;
    world.get("/v2/ann/app/tags/list").by(&ann).await.expect(503);
    assert_eq!(errors().await, (1.0, 1.0));
}

/// The collector cannot delete a key, and then no job finds the database.
#[tokio::test]
async fn failures_that_jobs_meet_are_counted_too() {
    let world = World::open().await;
    let key = "dd".repeat(16);
    let place = world.data().join("blobs/blobs/dd").join(&key);
    fs::create_dir(&place).unwrap();
    world.meddle(&format!("INSERT INTO key_deletions (storage_key, due_at, passes) VALUES ('{key}', 0, 1)")).await;
    let errors = async |what: &str| world.metrics().await.of(&format!("{what}_errors_total"));
    let jobs = world.jobs();
    jobs.until("a failure of the store is counted", async || errors("store").await == 1.0).await;
    assert_eq!(errors("database").await, 0.0);
    world.app.metadata.close().await;
    jobs.until("a failure of the database is counted", async || errors("database").await > 0.0).await;
    jobs.stop().await;
    assert_eq!(errors("store").await, 1.0);
    fs::remove_dir(place).unwrap();
}

/// What was served or stored is in the log by its digest, also where the request line does not say it.
#[tokio::test]
async fn the_log_names_the_digest_of_what_was_pushed_mounted_and_pulled() {
    let world = World::open().await;
    let ann = world.token("ann", "repository:ann/app:* repository:ann/other:*").await;
    let log = Log::begin();
    let image = world.image(&ann, "ann/app", "1", "layer").await;
    assert_eq!(log.last()["digest"], image.as_str(), "a put by tag");
    world.get("/v2/ann/app/manifests/1").by(&ann).await.expect(200);
    let line = log.last();
    assert_eq!((&line["digest"], &line["reference"]), (&image.as_str().into(), &"1".into()), "a pull by tag");
    let layer = sha256("layer");
    world.blob(&ann, "ann/app", "layer").await;
    assert_eq!(log.last()["digest"], layer.as_str(), "a push in one request");
    let mount = format!("/v2/ann/other/blobs/uploads/?mount={layer}&from=ann/app");
    world.post(&mount).by(&ann).await.expect(201);
    assert_eq!(log.last()["digest"], layer.as_str(), "a mount");
    world.get("/v2/ann/app/manifests/2").by(&ann).await.expect(404);
    assert!(log.last().get("digest").is_none());
}

/// One failure, one line: with the request that met it and what lies behind it.
#[tokio::test]
async fn a_failure_is_logged_once_with_its_cause() {
    let world = World::open().await;
    let ann = Credentials::basic("ann", PASSWORD);
    world.app.metadata.close().await;
    let log = Log::begin();
    let answer = world.get("/v2/ann/app/tags/list").by(&ann).await.expect(503);
    let lines = log.requests();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0]["level"], &lines[0]["status"]), (&"ERROR".into(), &503.into()));
    assert_eq!(lines[0]["request.id"], answer.header("x-request-id"));
    assert!(lines[0]["cause"].is_string(), "{}", lines[0]);
}
