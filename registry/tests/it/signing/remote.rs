//! What a registry does with a signer that is elsewhere is what it does with its own.

use hallmark::trust::tuf;
use serde_json::{Value, json};

use super::notary::{Client, server_keys};
use super::{Site, basic, holds_no_key};

#[tokio::test]
async fn a_collection_of_notary_is_published_and_no_key_is_the_registry_s() {
    let site = Site::open().await;
    let (world, client) = (&site.world, Client::new());
    let keys = server_keys(world).await;
    let published = client.publish(world, &keys, 1).await;
    assert_eq!(published.status, 200, "{published}");
    let timestamp = Client::file(world, "timestamp").await.expect(200).json();
    assert_eq!(timestamp["signatures"][0]["keyid"], json!(keys[1].1.id()));
    let again = client.publish(world, &keys, 2).await;
    assert_eq!(again.status, 200, "{again}");
    let stale = client.publish(world, &keys, 1).await;
    assert_eq!(stale.status, 400, "as embedded: {stale}");
    holds_no_key(world).await;
    let callers = site.look("SELECT DISTINCT caller FROM signer_log WHERE role <> 'root'").await;
    assert_eq!(callers.len(), 2, "{callers:?}");
    assert!(callers.iter().all(|caller| caller.contains("CN=registry for ")), "{callers:?}");
    // The same publish again and again gets versions of its own: none is signed twice.
    let versions = site.look("SELECT role, version, COUNT(*) FROM signer_log GROUP BY 1, 2 HAVING COUNT(*) > 1").await;
    assert_eq!(versions, [""; 0]);
}

#[tokio::test]
async fn a_signed_tag_is_published_as_tuf() {
    let site = Site::open().await;
    let world = &site.world;
    let ann = world.all_of("ann", "ann/web").await;
    let digest = world.image(&ann, "ann/web", "1", "layer").await;
    let document = json!({"tag": "1", "digest": digest});
    world.sends("POST", "/repositories/ann%2Fweb/signatures", &basic("ann"), &document).await.expect(201);
    while tuf::follow(&world.app).await.unwrap() {}
    let file = async |name: &str| -> Value {
        world.get(&format!("/tuf/ann/web/{name}")).by(&basic("ann")).await.expect(200).json()["signed"].take()
    };
    let timestamp = file("timestamp.json").await;
    let snapshot = file(&format!("{}.snapshot.json", timestamp["meta"]["snapshot.json"]["version"])).await;
    let tags = file(&format!("{}.tags.json", snapshot["meta"]["tags.json"]["version"])).await;
    assert_eq!(tags["targets"]["ann/web/1"]["hashes"]["sha256"], json!(digest.hex()));
    assert_eq!(file("1.root.json").await["_type"], "root");
    holds_no_key(world).await;
}

#[tokio::test]
async fn deleting_a_collection_destroys_its_keys_where_they_are() {
    let site = Site::open().await;
    let world = &site.world;
    let (client, keys) = (Client::new(), server_keys(world).await);
    client.publish(world, &keys, 1).await.expect(200);
    let held = "SELECT role FROM signer_keys WHERE collection LIKE 'notary1/%' ORDER BY role";
    assert_eq!(site.look(held).await, ["snapshot", "timestamp"]);
    world.delete("/v2/registry.test/ann/web/_trust/tuf/").by(&basic("ann")).await.expect(200);
    assert_eq!(site.look(held).await, [""; 0]);
}

#[tokio::test]
async fn a_registry_that_was_set_back_is_refused_as_by_its_own_signer() {
    let site = Site::open().await;
    let world = &site.world;
    let (client, keys) = (Client::new(), server_keys(world).await);
    client.publish(world, &keys, 1).await.expect(200);
    client.publish(world, &keys, 2).await.expect(200);
    // The signer has seen more than what the registry remembers.
    let database = site.data.path().join("hallmark.db");
    let lift = "UPDATE signer_floors SET version = 9 WHERE role = 'root'";
    assert_eq!(crate::harness::rows::look(&database, lift).await, [""; 0]);
    let answer = client.publish(world, &keys, 3).await;
    assert_eq!(answer.gist(), (400, "VERSION".to_owned()), "{answer}");
}
