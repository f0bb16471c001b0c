//! What an operator's tools ask for: probes and metrics.

use insta::assert_snapshot;

use crate::harness::World;

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
    content-length: 118
    content-type: application/json
    retry-after: 5

    {"errors":[{"code":"UNAVAILABLE","detail":null,"message":"the registry's database does not take part at the moment"}]}
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
