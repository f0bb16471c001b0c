//! A registry that is read-only for now: pulls go on, and whoever writes is asked to come back.

use bytes::Bytes;
use futures_util::FutureExt as _;
use hallmark_oci::Digest;
use insta::assert_snapshot;
use tokio::sync::mpsc;

use crate::harness::{Call, Credentials, OCI_MANIFEST, PASSWORD, World, image, sha256};

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

/// `docker login` asks for a refresh token. To keep one is a write, so that it gets none, and the client goes on by its password.
#[tokio::test]
async fn a_login_goes_on_without_a_refresh_token() {
    let (world, _, digest, _) = switched().await;
    let scope = "service=hallmark&scope=repository:ann/app:pull";
    let before = world.rows().await;
    let got = world.get(&format!("/token?{scope}&offline_token=true")).by(&Credentials::basic("ann", PASSWORD)).await;
    let password = PASSWORD.replace(' ', "+");
    let form =
        format!("grant_type=password&client_id=docker&access_type=offline&username=ann&password={password}&{scope}");
    let posted = world.post("/token").header("content-type", "application/x-www-form-urlencoded").body(form).await;
    assert_eq!(world.rows().await, before);
    for answer in [got, posted] {
        let answer = answer.expect(200).json();
        assert_eq!(answer.get("refresh_token"), None, "{answer}");
        let token = Credentials::bearer(answer["access_token"].as_str().unwrap());
        world.get(&format!("/v2/ann/app/manifests/{digest}")).by(&token).await.expect(200);
    }
}

/// One that was had before opens the door as it did.
#[tokio::test]
async fn a_refresh_token_from_before_goes_on() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "1", "layer").await;
    let login = world.get("/token?service=hallmark&offline_token=true").by(&Credentials::basic("ann", PASSWORD)).await;
    let refresh = login.expect(200).json()["refresh_token"].as_str().unwrap().to_owned();
    world.app.set_readonly(true).await.unwrap();
    let form = format!(
        "grant_type=refresh_token&client_id=docker&service=hallmark&scope=repository:ann/app:pull&refresh_token={refresh}"
    );
    let posted = world.post("/token").header("content-type", "application/x-www-form-urlencoded").body(form).await;
    let token = posted.expect(200).json()["access_token"].as_str().unwrap().to_owned();
    world.get("/v2/ann/app/manifests/1").by(&Credentials::bearer(&token)).await.expect(200);
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

/// Turns the switch in the middle of a body of which no more comes; the write is refused and was waited for.
async fn refused_in_the_middle(world: &World, call: Call<'_>) {
    let (feed, body) = mpsc::channel(1);
    let switching = async {
        feed.send(Bytes::from("01234")).await.unwrap();
        feed.send(Bytes::from("56789")).await.unwrap();
        // There is room again when the second piece was taken.
        drop(feed.reserve().await.unwrap());
        world.app.set_readonly(true).await.unwrap();
        assert!(world.app.readonly.settled().await, "nobody waits for the rest of a body");
        let events = world.events().await;
        drop(feed);
        events
    };
    let (answer, events) = tokio::join!(call.fed(body).into_future(), switching);
    assert_eq!(answer.gist(), (503, "UNAVAILABLE".into()));
    assert_eq!(answer.header("retry-after"), "60");
    assert_eq!(world.events().await, events, "what is there when the switch has turned is all there is");
}

#[tokio::test]
async fn a_manifest_that_is_on_its_way_is_asked_to_come_back() {
    let (world, ann, ..) = switched().await;
    world.app.set_readonly(false).await.unwrap();
    let put = world.put("/v2/ann/app/manifests/2").by(&ann).header("content-type", OCI_MANIFEST);
    refused_in_the_middle(&world, put).await;
}

#[tokio::test]
async fn a_layer_that_is_on_its_way_is_asked_to_come_back_and_goes_on_later() {
    let (world, ann, _, upload) = switched().await;
    world.app.set_readonly(false).await.unwrap();
    refused_in_the_middle(&world, world.patch(&upload).by(&ann)).await;
    world.app.set_readonly(false).await.unwrap();
    let standing = world.get(&upload).by(&ann).await.expect(204);
    assert_eq!(standing.header("range"), "0-9", "what came is kept");
    let path = format!("{upload}?digest={}", sha256("0123456789"));
    refused_in_the_middle(&world, world.put(&path).by(&ann)).await;
    let whole = format!("/v2/ann/app/blobs/uploads/?digest={}", sha256("0123456789"));
    world.app.set_readonly(false).await.unwrap();
    refused_in_the_middle(&world, world.post(&whole).by(&ann)).await;
}

#[tokio::test]
async fn the_switch_waits_for_what_began_before_it_and_for_nothing_else() {
    let (world, ann, ..) = switched().await;
    world.app.set_readonly(false).await.unwrap();
    let before = world.app.readonly.begin_change();
    world.app.set_readonly(true).await.unwrap();
    assert!(world.app.readonly.settled().now_or_never().is_none());
    let mut asked_again = std::pin::pin!(world.app.readonly.settled());
    assert!(asked_again.as_mut().now_or_never().is_none());
    let _later = world.app.readonly.begin_change();
    world.delete("/v2/ann/app/manifests/1").by(&ann).await.expect(503);
    drop(before);
    assert!(asked_again.await, "the first wait was given up, the second one is not shorter for it");
}
