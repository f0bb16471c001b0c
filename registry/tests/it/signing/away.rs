//! A signer that is away: images come and go, what needs it says so, and everything is caught up with when it is back.

use hallmark::trust::tuf;
use http::StatusCode;
use serde_json::{Value, json};

use super::notary::{Client, server_keys};
use super::{Site, basic};
use crate::harness::World;

#[tokio::test]
async fn images_are_pushed_and_pulled_and_what_needs_the_signer_asks_to_come_back() {
    let site = Site::open().await;
    let client = Client::new();
    let keys = server_keys(&site.world).await;
    client.publish(&site.world, &keys, 1).await.expect(200);
    let (world, stopped) = site.without_signer().await;
    let ann = world.all_of("ann", "ann/web").await;
    world.image(&ann, "ann/web", "1", "layer").await;
    world.get("/v2/ann/web/manifests/1").by(&ann).await.expect(200);
    Client::file(&world, "timestamp").await.expect(200);
    for answer in [
        client.publish(&world, &keys, 2).await,
        Client::server_key(&world, "timestamp").await,
        world.delete("/v2/registry.test/ann/web/_trust/tuf/").by(&basic("ann")).await,
    ] {
        assert_eq!(answer.gist(), (503, "UNAVAILABLE".to_owned()), "{answer}");
        assert_eq!(answer.header("retry-after"), "5");
        let message = answer.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("the signer does not answer"), "{message}");
        assert!(!answer.to_string().contains("127.0.0.1"), "nothing of the inside: {answer}");
    }
    let signer = stopped.start().await;
    let keys = server_keys(&world).await;
    // A deletion that was refused has deleted nothing.
    client.publish(&world, &keys, 2).await.expect(200);
    signer.stop().await;
}

#[tokio::test]
async fn what_was_signed_meanwhile_is_published_when_it_is_back() {
    let (world, stopped) = Site::open().await.without_signer().await;
    let ann = world.all_of("ann", "ann/web").await;
    let digest = world.image(&ann, "ann/web", "1", "layer").await;
    let document = json!({"tag": "1", "digest": digest});
    world.sends("POST", "/repositories/ann%2Fweb/signatures", &basic("ann"), &document).await.expect(201);
    follow(&world).await;
    world.get("/tuf/ann/web/timestamp.json").by(&basic("ann")).await.expect(404);
    let signer = stopped.start().await;
    world.pass(61);
    follow(&world).await;
    world.get("/tuf/ann/web/timestamp.json").by(&basic("ann")).await.expect(200);
    signer.stop().await;
}

#[tokio::test]
async fn what_waits_is_published_with_what_happens_before_its_time() {
    let (world, stopped) = Site::open().await.without_signer().await;
    let ann = world.all_of("ann", "ann/web").await;
    let signed = async |tag: &str| {
        let digest = world.image(&ann, "ann/web", tag, tag).await;
        let document = json!({"tag": tag, "digest": digest});
        world.sends("POST", "/repositories/ann%2Fweb/signatures", &basic("ann"), &document).await.expect(201);
        follow(&world).await;
    };
    signed("1").await;
    let signer = stopped.start().await;
    // Within the minute that the first waits.
    signed("2").await;
    let file = async |name: &str| -> Value {
        world.get(&format!("/tuf/ann/web/{name}")).by(&basic("ann")).await.expect(200).json()["signed"].take()
    };
    let timestamp = file("timestamp.json").await;
    let snapshot = file(&format!("{}.snapshot.json", timestamp["meta"]["snapshot.json"]["version"])).await;
    let tags = file(&format!("{}.tags.json", snapshot["meta"]["tags.json"]["version"])).await;
    let named: Vec<&String> = tags["targets"].as_object().unwrap().keys().collect();
    assert_eq!(named, ["ann/web/1", "ann/web/2"]);
    signer.stop().await;
}

#[tokio::test]
async fn a_signer_that_is_away_is_asked_once_a_look_and_those_behind_wait_no_longer() {
    let (world, stopped) = Site::open().await.without_signer().await;
    for name in ["ann/one", "ann/two", "ann/six"] {
        let by = world.all_of("ann", name).await;
        let digest = world.image(&by, name, "1", name).await;
        let path = format!("/repositories/{}/signatures", name.replace('/', "%2F"));
        world.sends("POST", &path, &basic("ann"), &json!({"tag": "1", "digest": digest})).await.expect(201);
    }
    follow(&world).await;
    let signer = stopped.start().await;
    let published = async |name: &str| world.get(&format!("/tuf/{name}/timestamp.json")).by(&basic("ann")).await.status;
    follow(&world).await;
    assert_eq!((published("ann/two").await, published("ann/six").await), (StatusCode::OK, StatusCode::OK));
    assert_eq!(published("ann/one").await, 404, "which was asked for");
    world.pass(61);
    follow(&world).await;
    assert_eq!(published("ann/one").await, 200);
    signer.stop().await;
}

#[tokio::test]
async fn a_registry_starts_before_its_signer() {
    let (world, stopped) = Site::open().await.without_signer().await;
    let remote = world.app.config.signer.remote.clone();
    let fresh = World::with(|config| config.signer.remote = remote).await;
    fresh.get("/v2/").by(&basic("ann")).await.expect(200);
    let ann = fresh.all_of("ann", "ann/web").await;
    let digest = fresh.image(&ann, "ann/web", "1", "layer").await;
    let signer = stopped.start().await;
    let document = json!({"tag": "1", "digest": digest});
    fresh.sends("POST", "/repositories/ann%2Fweb/signatures", &basic("ann"), &document).await.expect(201);
    follow(&fresh).await;
    fresh.get("/tuf/ann/web/1.root.json").by(&basic("ann")).await.expect(200);
    signer.stop().await;
}

async fn follow(world: &World) {
    while tuf::follow(&world.app).await.unwrap() {}
}
