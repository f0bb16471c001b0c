//! The collector of a registry from end to end: what its jobs do and leave, on one replica and on two, and what is counted of it.

use std::sync::Arc;

use hallmark::app::App;
use hallmark::retention::{turn, write_down_pulls};
use hallmark_storage::metadata::DatabaseConfig;
use serde_json::json;

use super::retention::{DAY, path, removes, rules, tags};
use super::{admin, basic};
use crate::harness::{Credentials, OCI_INDEX, OCI_MANIFEST, Postgres, World, image, index, sha256};

/// Two replicas on one PostgreSQL and one folder.
async fn two() -> (World, World, Postgres) {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 6 };
    let world = World::with(|config| config.database = database).await;
    let second = world.replica().await;
    (world, second, postgres)
}

async fn pauses(world: &World, paused: bool) {
    world.sends("PATCH", "/gc", &admin(), &json!({"paused": paused})).await.expect(200);
}

async fn collects(world: &World) -> serde_json::Value {
    // Somebody says that the clock is right.
    pauses(world, false).await;
    world.sends("POST", "/gc/run", &admin(), &json!({})).await.expect(200).json()
}

/// Somebody pulls, the job writes that down, and a rule on pulls keeps what was pulled.
#[tokio::test]
async fn what_is_pulled_is_written_down_by_the_job_and_kept_by_the_rule() {
    let world = World::open().await;
    let token = world.all_of("ann", "ann/web").await;
    for tag in ["pulled", "idle"] {
        world.image(&token, "ann/web", tag, tag).await;
    }
    rules(&world, "web", &removes("*", &[("in use", json!({"pulled_within_days": 14}))])).await;
    write_down_pulls(&world.app).await.unwrap();
    world.pass(10 * DAY);
    let token = world.all_of("ann", "ann/web").await;
    world.get("/v2/ann/web/manifests/pulled").by(&token).await.expect(200);
    let jobs = world.jobs();
    let pulls = "SELECT t.name FROM last_pulls p JOIN tags t ON t.manifest_id = p.manifest_id";
    jobs.until("the pull is written down", async || world.look(pulls).await == ["pulled"]).await;
    jobs.stop().await;
    // The process that served it is gone: what is known is what was written.
    let world = world.restarted().await;
    world.pass(5 * DAY);
    pauses(&world, false).await;
    let jobs = world.jobs();
    jobs.until("the rules are applied", async || tags(&world, "web").await == ["pulled"]).await;
    jobs.stop().await;
}

/// While the collector is paused no job of it does anything, after a restart too; then they go on.
#[tokio::test]
async fn while_it_is_paused_its_jobs_rest() {
    let world = World::open().await;
    let token = world.all_of("ann", "ann/web").await;
    let gone = world.image(&token, "ann/web", "gone", "gone").await;
    world.image(&token, "ann/web", "old", "old").await;
    rules(&world, "web", &removes("old", &[])).await;
    world.delete(&format!("/v2/ann/web/manifests/{gone}")).by(&token).await.expect(202);
    world.sends("PUT", "/accounts/ann/quota", &admin(), &json!({"soft": 1})).await.expect(200);
    world.pass(30 * DAY);
    pauses(&world, true).await;
    let world = world.restarted().await;
    world.app.refresh().await.unwrap();
    assert_eq!(world.metrics().await.of("collector_paused"), 1.0);
    let happened =
        async |kind: &str| !world.look(&format!("SELECT 1 FROM events WHERE kind = '{kind}'")).await.is_empty();
    let jobs = world.jobs();
    // Folding is no part of the collector, and begins when the rules do, three seconds after it.
    jobs.until("a look at a soft limit", async || happened("quota_exceeded").await).await;
    jobs.stop().await;
    assert!(!happened("manifest_purged").await && tags(&world, "web").await == ["old"]);
    pauses(&world, false).await;
    let jobs = world.jobs();
    jobs.until("the end of a window", async || happened("manifest_purged").await).await;
    jobs.until("the rules are applied", async || tags(&world, "web").await.is_empty()).await;
    jobs.stop().await;
    assert_eq!(world.metrics().await.of("collector_paused"), 0.0);
}

/// What a preview says is what is free once the rules were applied and the collector came: an index with its children, of which one
/// has a tag of its own and one shares a layer with what stays.
#[tokio::test]
async fn a_preview_says_the_bytes_that_are_freed_in_the_end() {
    let world = World::open().await;
    let token = world.all_of("ann", "ann/web").await;
    let layers = ["amd64", "arm64 is longer", "shared by two", "of a child that stays"];
    for layer in layers.iter().chain(&["{}"]) {
        world.blob(&token, "ann/web", layer).await;
    }
    let children = [&layers[..1], &layers[1..3], &layers[3..]].map(|layers| image("{}", layers));
    for (child, tag) in children.iter().zip(["", "", "stays"]) {
        let digest = sha256(child).to_string();
        let reference = if tag.is_empty() { digest.as_str() } else { tag };
        world.manifest(&token, ("ann/web", reference), OCI_MANIFEST, child, "a child").await;
    }
    let all = index(&[&children[0], &children[1], &children[2]]);
    world.manifest(&token, ("ann/web", "old-1"), OCI_INDEX, &all, "an index").await;
    world.image(&token, "ann/web", "kept", "shared by two").await;
    rules(&world, "web", &removes("old-*", &[])).await;
    let preview = format!("{}/retention/preview", path("web"));
    let told = world.sends("POST", &preview, &basic("ann"), &json!({})).await.expect(200).json();
    assert_eq!(told["bytes"], json!(layers[0].len() + layers[1].len()), "{told}");
    let before = world.look("SELECT COALESCE(SUM(size), 0) FROM blobs").await[0].parse::<u64>().unwrap();
    turn(&world.app, || true).await.unwrap();
    assert_eq!(tags(&world, "web").await, ["kept", "stays"]);
    let mut freed = 0;
    for _ in 0..4 {
        world.pass(20 * DAY);
        freed += collects(&world).await["bytes"].as_u64().unwrap();
    }
    let after = world.look("SELECT COALESCE(SUM(size), 0) FROM blobs").await[0].parse::<u64>().unwrap();
    assert_eq!((json!(freed), json!(before - after)), (told["bytes"].clone(), told["bytes"].clone()));
}

/// Two replicas collect the same garbage at once: each thing goes once, and nothing else does.
#[tokio::test]
async fn two_replicas_share_what_is_to_be_collected() {
    let (world, second, _postgres) = two().await;
    let token = world.all_of("ann", "ann/web").await;
    world.image(&token, "ann/web", "kept", "kept").await;
    for number in 0..40 {
        let digest = world.image(&token, "ann/web", &format!("t{number}"), &format!("layer {number}")).await;
        world.delete(&format!("/v2/ann/web/manifests/{digest}")).by(&token).await.expect(202);
    }
    let (mut blobs, mut bytes) = (0, 0);
    for _ in 0..4 {
        world.pass(20 * DAY);
        pauses(&world, false).await;
        let now = world.now();
        let run = async |app: &Arc<App>| hallmark_gc::clean(&app.metadata, &app.blobs, now, || true).await.unwrap();
        let (one, other) = tokio::join!(run(&world.app), run(&second.app));
        blobs += one.collected.blobs + other.collected.blobs;
        bytes += one.collected.bytes + other.collected.bytes;
    }
    let layers: u64 = (0..40).map(|number| format!("layer {number}").len() as u64).sum();
    assert_eq!((blobs, bytes), (40, layers));
    assert_eq!(second.app.metadata.waiting(world.now()).await.unwrap().keys, (0, 0), "no key is left");
    let token = world.all_of("ann", "ann/web").await;
    world.get("/v2/ann/web/manifests/kept").by(&token).await.expect(200);
    world.get(&format!("/v2/ann/web/blobs/{}", sha256("kept"))).by(&token).await.expect(200);
}

/// What was paused on one replica rests on the other at once for whoever asks, and is seen by its metrics within a second.
#[tokio::test]
async fn a_pause_is_heard_by_another_replica() {
    let (first, second, _postgres) = two().await;
    for (paused, status) in [(true, 409), (false, 200)] {
        pauses(&first, paused).await;
        second.app.refresh().await.unwrap();
        assert_eq!(second.metrics().await.of("collector_paused"), f64::from(u8::from(paused)));
        second.sends("POST", "/gc/run", &admin(), &json!({})).await.expect(status);
    }
}

async fn holds(world: &World, by: &Credentials, digest: &str) {
    let hold = json!({"digest": digest, "kind": "pin", "reason": "x"});
    world.sends("POST", &format!("{}/holds", path("web")), by, &hold).await.expect(201);
    world.api("DELETE", &format!("{}/holds/{digest}/pin", path("web")), by).await.expect(204);
}

/// Each deed of the collector, and of those who undo or forbid it, is counted once.
#[tokio::test]
async fn what_is_collected_brought_back_and_held_is_counted() {
    let world = World::open().await;
    let (ann, token) = (basic("ann"), world.all_of("ann", "ann/web").await);
    let digest = world.image(&token, "ann/web", "a", "layer").await.to_string();
    holds(&world, &ann, &digest).await;
    let undelete = format!("{}/undelete", path("web"));
    for wish in [json!({"digest": digest}), json!({"tag": "a"})] {
        let reference = if wish["tag"].is_null() { digest.as_str() } else { "a" };
        world.delete(&format!("/v2/ann/web/manifests/{reference}")).by(&token).await.expect(202);
        world.sends("POST", &undelete, &ann, &wish).await.expect(200);
    }
    world.api("DELETE", &path("web"), &ann).await.expect(204);
    let wish = json!({"repository": "ann/web"});
    world.sends("POST", "/accounts/ann/undelete", &ann, &wish).await.expect(204);
    rules(&world, "web", &removes("*", &[])).await;
    turn(&world.app, || true).await.unwrap();
    for _ in 0..4 {
        world.pass(20 * DAY);
        collects(&world).await;
    }
    let metrics = world.metrics().await;
    for (series, count) in [
        (r#"holds_total{change="placed",kind="pin"}"#, 1.0),
        (r#"holds_total{change="released",kind="pin"}"#, 1.0),
        (r#"undeleted_total{kind="manifest"}"#, 1.0),
        (r#"undeleted_total{kind="tag"}"#, 1.0),
        (r#"undeleted_total{kind="repository"}"#, 1.0),
        (r#"collected_total{kind="retired_manifest"}"#, 1.0),
        (r#"collected_total{kind="retired_tag"}"#, 1.0),
        (r#"collected_total{kind="trash"}"#, 1.0),
        // The configuration and the layer.
        (r#"collected_total{kind="link"}"#, 2.0),
        (r#"collected_total{kind="account_blob"}"#, 2.0),
        (r#"collected_total{kind="blob"}"#, 2.0),
        ("collected_bytes_total", 7.0),
    ] {
        assert_eq!(metrics.of(series), count, "{series}");
    }
}
