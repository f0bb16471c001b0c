//! What becomes of trust metadata when its repository is handed over to another account: nothing of the old name is left, and the new one
//! is published by the domain that it is in from then on.

use hallmark::trust::tuf;
use serde_json::{Value, json};

use crate::harness::{Answer, Credentials, PASSWORD, World};
use crate::signing::notary::{Client, GUN, server_keys, tuf as collection};

fn basic(name: &str) -> Credentials {
    Credentials::basic(name, PASSWORD)
}

async fn publish(world: &World) {
    while tuf::follow(&world.app).await.unwrap() {}
}

/// `ann/web:1`, signed and not published yet, and the organization `beta` of ann's with a domain of its own.
async fn world() -> World {
    let world = World::open().await;
    world.organization("beta", "ann").await;
    world.sends("POST", "/organizations/beta/trust", &basic("ann"), &json!({})).await.expect(201);
    let digest = world.image(&world.all_of("ann", "ann/web").await, "ann/web", "1", "layer").await;
    let signature = json!({"tag": "1", "digest": digest});
    world.sends("POST", "/repositories/ann%2Fweb/signatures", &basic("ann"), &signature).await.expect(201);
    world
}

async fn hands_over(world: &World, from: &str, to: &str) {
    let path = format!("/repositories/{}/transfer", from.replace('/', "%2F"));
    world.sends("POST", &path, &basic("ann"), &json!({"to": to})).await.expect(200);
}

async fn file(world: &World, repository: &str, name: &str) -> Answer {
    world.get(&format!("/tuf/{repository}/{name}")).by(&basic("ann")).await
}

/// The targets that a repository publishes, and the key of its timestamp.
async fn published(world: &World, repository: &str) -> (Vec<String>, Value) {
    let timestamp = file(world, repository, "timestamp.json").await.expect(200).json();
    let version = |of: &Value, role: &str| of["signed"]["meta"][format!("{role}.json")]["version"].clone();
    let snapshot = format!("{}.snapshot.json", version(&timestamp, "snapshot"));
    let snapshot = file(world, repository, &snapshot).await.expect(200).json();
    let tags = format!("{}.tags.json", version(&snapshot, "tags"));
    let tags = file(world, repository, &tags).await.expect(200).json();
    let named = tags["signed"]["targets"].as_object().unwrap().keys().cloned().collect();
    (named, timestamp["signatures"][0]["keyid"].clone())
}

/// The key by which a domain signs timestamps.
async fn key_of(world: &World, root: &str) -> Value {
    let root = world.api("GET", root, &basic("ann")).await.expect(200).json();
    let content: Value = serde_json::from_str(root["document"].as_str().unwrap()).unwrap();
    content["signed"]["roles"]["timestamp"]["keyids"][0].clone()
}

#[tokio::test]
async fn the_new_name_is_published_anew_by_its_domain_and_the_old_one_is_gone() {
    let world = world().await;
    publish(&world).await;
    let (registry, beta) =
        (key_of(&world, "/trust/root").await, key_of(&world, "/organizations/beta/trust/root").await);
    assert_ne!(registry, beta);
    assert_eq!(published(&world, "ann/web").await, (vec!["ann/web/1".to_owned()], registry.clone()));
    hands_over(&world, "ann/web", "beta/web").await;
    for repository in ["ann/web", "beta/web"] {
        for name in ["timestamp.json", "1.snapshot.json", "1.targets.json", "1.tags.json"] {
            assert_eq!(file(&world, repository, name).await.status, 404, "{repository} {name}");
        }
    }
    publish(&world).await;
    assert_eq!(published(&world, "beta/web").await, (vec!["beta/web/1".to_owned()], beta));
    assert_eq!(file(&world, "ann/web", "timestamp.json").await.status, 404);
    let signature = world.api("GET", "/repositories/beta%2Fweb/signatures", &basic("ann")).await.expect(200).json();
    assert_eq!(signature["items"][0]["signer"], json!("user:ann"), "who vouched is told on");
    // And back, into the registry's own domain.
    hands_over(&world, "beta/web", "ann/web").await;
    assert_eq!(file(&world, "ann/web", "timestamp.json").await.status, 404);
    publish(&world).await;
    assert_eq!(published(&world, "ann/web").await, (vec!["ann/web/1".to_owned()], registry));
}

/// Whatever was being published when the repository went is not the new name's.
#[tokio::test]
async fn a_publish_that_is_under_way_is_begun_again() {
    let world = world().await;
    publish(&world).await;
    let (mut from, mut to) = ("ann/web", "beta/web");
    let keys = [key_of(&world, "/trust/root").await, key_of(&world, "/organizations/beta/trust/root").await];
    for turn in 0..10 {
        world.pass(400);
        // As if nothing of it had ever been published: then only the name and the domain tell that it went.
        if turn % 2 == 0 {
            world.meddle("DELETE FROM trust_collections").await;
        }
        let moved = world.image(&world.all_of("ann", from).await, from, "1", &format!("turn {turn}")).await;
        let path = format!("/repositories/{}/signatures", from.replace('/', "%2F"));
        world.sends("POST", &path, &basic("ann"), &json!({"tag": "1", "digest": moved})).await.expect(201);
        tokio::join!(hands_over(&world, from, to), publish(&world));
        let name = |tag: &str| vec![format!("{to}/{tag}")];
        if file(&world, to, "timestamp.json").await.status == 200 {
            assert_eq!(published(&world, to).await.0, name("1"), "turn {turn}");
        }
        publish(&world).await;
        let key = if to == "beta/web" { &keys[1] } else { &keys[0] };
        assert_eq!(published(&world, to).await, (name("1"), key.clone()), "turn {turn}");
        std::mem::swap(&mut from, &mut to);
    }
}

/// A collection of Notary v1 is signed under its name, so that it cannot come along.
#[tokio::test]
async fn a_collection_of_notary_s_is_deleted_with_its_keys_and_its_event() {
    let world = world().await;
    let keys = server_keys(&world).await;
    let client = Client::new();
    client.publish(&world, &keys, 1).await.expect(200);
    let root = world.get(&format!("{}root.json", collection(GUN))).by(&basic("ann")).await.expect(200);
    let root = crate::harness::sha256(&root.body);
    let before = world.count_events().await;
    hands_over(&world, "ann/web", "beta/web").await;
    let events = world.events_after(before).await;
    let expected = format!(r#"ann trust_deleted {GUN} {{"root_sha256":"{}","sha256":"","version":0}}"#, root.hex());
    assert!(events.contains(&expected), "{events:#?}");
    for gun in [GUN, "registry.test/beta/web"] {
        for role in ["root", "targets", "snapshot", "timestamp"] {
            let answer = world.get(&format!("{}{role}.json", collection(gun))).by(&basic("ann")).await;
            assert_eq!(answer.status, 404, "{gun} {role}: {answer}");
        }
    }
    assert_eq!(world.look("SELECT COUNT(*) FROM signer_keys WHERE collection LIKE 'notary1/%'").await, ["0"]);
    // Back under the old name it begins as one that nobody has signed.
    hands_over(&world, "beta/web", "ann/web").await;
    let again = server_keys(&world).await;
    assert_ne!(again[0].1.id(), keys[0].1.id());
    client.publish(&world, &again, 1).await.expect(200);
}
