//! What the log tells of who was let in and who was not, by each way in: `/api/v1/events`.

use serde_json::json;

use super::exchange::{self, exchange};
use super::passwords::{self, sign_in};
use super::{Browser, Scene};
use crate::harness::stage::{github, merge};
use crate::harness::{Credentials, PASSWORD};

#[tokio::test]
async fn a_workload_s_token_in_the_place_of_a_secret() {
    let (stage, key, world) = exchange::opened().await;
    let by = |changes| Credentials::basic("acme+ci", &key.token(&merge(github(&stage.url), changes)));
    world.get("/token?service=hallmark").by(&by(json!({}))).await.expect(200);
    assert_eq!(world.sign_ins("signed_in").await, ["acme+ci acme+ci workload 1"]);
    assert_eq!(world.sign_ins("sign_in_failed").await, [""; 0]);
    world.get("/token?service=hallmark").by(&by(json!({"repository_id": "75"}))).await.expect(401);
    assert_eq!(world.sign_ins("sign_in_failed").await, ["system acme+ci workload 1"]);
    assert_eq!(world.sign_ins("signed_in").await.len(), 1);
}

#[tokio::test]
async fn a_workload_s_token_that_is_exchanged() {
    let (stage, key, world) = exchange::opened().await;
    let token = |changes| key.token(&merge(github(&stage.url), changes));
    exchange(&world, &token(json!({})), &[]).await.expect(200);
    assert_eq!(world.sign_ins("signed_in").await, ["acme+ci acme+ci exchange 1"]);
    assert_eq!(world.sign_ins("sign_in_failed").await, [""; 0]);
    exchange(&world, &token(json!({"repository_id": "75"})), &[]).await.expect(401);
    exchange(&world, PASSWORD, &[("username", "ann")]).await.expect(401);
    let failed = ["system acme+ci exchange 1", "system ann exchange 1"];
    assert_eq!(world.sign_ins("sign_in_failed").await, failed);
    assert_eq!(world.sign_ins("signed_in").await.len(), 1);
}

#[tokio::test]
async fn a_person_of_a_provider() {
    let scene = Scene::open().await;
    let world = &scene.world;
    scene.sign_in(json!({})).await;
    assert_eq!(world.sign_ins("signed_in").await, ["cora cora provider 1"]);
    assert_eq!(world.sign_ins("sign_in_failed").await, [""; 0]);
    // Whoever an answer is not for has no name.
    let mut browser = Browser::new(world);
    let asked = browser.begin("corp").await;
    scene.vouch("of another sign-in", json!({}));
    browser.come_back("corp", &asked["state"]).await.expect(403);
    assert_eq!(world.sign_ins("sign_in_failed").await, ["system  provider 1"]);
    // Whom the provider vouches for and nobody lets in has one.
    world.disable("cora").await;
    scene.sign_in_again(&mut Browser::new(world), json!({})).await.expect(403);
    assert_eq!(world.sign_ins("sign_in_failed").await, ["system  provider 1", "system cora provider 1"]);
    assert_eq!(world.sign_ins("signed_in").await.len(), 1);
}

#[tokio::test]
async fn the_form_of_the_page() {
    let world = passwords::opened().await;
    sign_in(&mut Browser::new(&world), "ann", PASSWORD).await.expect(303);
    assert_eq!(world.sign_ins("signed_in").await, ["ann ann form 1"]);
    assert_eq!(world.sign_ins("sign_in_failed").await, [""; 0]);
    sign_in(&mut Browser::new(&world), "ann", "wrong").await.expect(403);
    sign_in(&mut Browser::new(&world), "nobody", "wrong").await.expect(403);
    let failed = ["system ann form 1", "system nobody form 1"];
    assert_eq!(world.sign_ins("sign_in_failed").await, failed);
    assert_eq!(world.sign_ins("signed_in").await.len(), 1);
}
