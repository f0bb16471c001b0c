//! A registry that is read-only for now: pulls go on, and whoever writes is asked to come back.

use hallmark_oci::Digest;
use insta::assert_snapshot;

use crate::harness::{Credentials, OCI_MANIFEST, World, image, sha256};

async fn switched() -> (World, Credentials, Digest, String) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    let digest = world.image(&ann, "ann/app", "1", "layer").await;
    let upload = world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.location();
    world.app.set_readonly(true).await.unwrap();
    (world, ann, digest, upload)
}

#[tokio::test]
async fn a_write_is_asked_to_come_back() {
    let (world, ann, ..) = switched().await;
    let put = world.put("/v2/ann/app/manifests/2").by(&ann).header("content-type", OCI_MANIFEST);
    assert_snapshot!(put.body(image("{}", &["layer"])).await, @r#"
    503 Service Unavailable
    content-length: 131
    content-type: application/json
    retry-after: 60

    {"errors":[{"code":"UNAVAILABLE","detail":{"request_id":"{request}"},"message":"the registry is read-only for now; pulls go on"}]}
    "#);
}

#[tokio::test]
async fn every_write_waits_and_nothing_changes() {
    let (world, ann, digest, upload) = switched().await;
    let before = world.events().await;
    let finish = format!("{upload}?digest={}", sha256(""));
    let writes = [
        ("PUT", "/v2/ann/app/manifests/2".to_owned()),
        ("DELETE", "/v2/ann/app/manifests/1".to_owned()),
        ("DELETE", format!("/v2/ann/app/blobs/{digest}")),
        ("POST", "/v2/ann/app/blobs/uploads/".to_owned()),
        ("PATCH", upload.clone()),
        ("PUT", finish),
        ("DELETE", upload.clone()),
    ];
    for (method, path) in writes {
        let answer = world.call(method, &path).by(&ann).await;
        assert_eq!(answer.gist(), (503, "UNAVAILABLE".into()), "{method} {path}");
    }
    assert_eq!(world.events().await, before);
    world.get(&upload).by(&ann).await.expect(204);
}

#[tokio::test]
async fn reads_go_on() {
    let (world, ann, ..) = switched().await;
    for path in
        ["manifests/1", "tags/list", &format!("blobs/{}", sha256("layer")), &format!("referrers/{}", sha256("x"))]
    {
        world.get(&format!("/v2/ann/app/{path}")).by(&ann).await.expect(200);
    }
    let again = world.all_of("ann", "ann/app").await;
    world.get("/v2/").by(&again).await.expect(200);
}

#[tokio::test]
async fn who_may_not_write_learns_nothing_of_it() {
    let (world, ..) = switched().await;
    world.put("/v2/ann/app/manifests/1").await.expect(401);
}

#[tokio::test]
async fn the_switch_holds_over_a_restart_and_is_turned_back() {
    let (world, ann, ..) = switched().await;
    let world = world.restarted().await;
    world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(503);
    world.app.set_readonly(false).await.unwrap();
    world.post("/v2/ann/app/blobs/uploads/").by(&ann).await.expect(202);
}
