//! Several replicas on one PostgreSQL: what one began another finishes.

use std::sync::Arc;

use hallmark::app::App;
use hallmark_storage::metadata::DatabaseConfig;
use serde_json::json;

use super::devices::{Device, decide};
use super::{Browser, Scene};
use crate::harness::Postgres;

#[tokio::test]
async fn a_sign_in_and_a_device_go_from_one_replica_to_another() {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 4 };
    let mut scene = Scene::with(|config| config.database = database).await;
    let first = Arc::clone(&scene.world.app);
    let second = App::open(first.config.clone(), first.clock.clone()).await.unwrap();

    let device = Device::begin(&scene.world).await;
    let mut browser = Browser::new(&scene.world);
    let asked = browser.begin("corp").await;
    let cookies = browser.cookies;
    scene.vouch(&asked["nonce"], json!({}));

    scene.world.app = Arc::clone(&second);
    let mut browser = Browser { world: &scene.world, cookies };
    assert_eq!(device.poll(&scene.world).await.expect(400).json()["error"], "authorization_pending");
    browser.come_back("corp", &asked["state"]).await.expect(303);
    browser.come_back("corp", &asked["state"]).await.expect(400);
    let cookies = browser.cookies;

    scene.world.app = first;
    let mut browser = Browser { world: &scene.world, cookies };
    assert_eq!(device.poll(&scene.world).await.expect(400).json()["error"], "slow_down");
    decide(&mut browser, &device.user_code, "approve").await.expect(200);

    scene.world.app = Arc::clone(&second);
    device.poll(&scene.world).await.expect(200);
    assert_eq!(device.poll(&scene.world).await.expect(400).json()["error"], "expired_token");
    second.metadata.close().await;
}
