//! The drills of docs/signer.md: a lost master key, a stolen key of a role, keys that are all stolen.

use std::fs;

use hallmark::trust::tuf;
use hallmark_storage::metadata::Error;
use serde_json::{Value, json};

use super::binary::{Program, told};
use super::notary::{Client, server_keys};
use super::{Site, basic};
use crate::harness::World;

#[test]
fn without_its_master_key_a_registry_starts_again_once_the_keys_are_abandoned() {
    let program = Program::new();
    let master = program.data().join("master.key");
    program.serve().unwrap().stop();
    fs::remove_file(&master).unwrap();
    let refused = program.serve().err().expect("nothing opens");
    assert!(refused.contains("does not open"), "{refused}");
    let asked = program.run(&["signer", "abandon"]);
    assert_eq!(asked.status.code(), Some(2), "it is not done by mistake: {}", told(&asked));
    let said = program.does(&["signer", "abandon", "--yes", "--new-root"]);
    assert!(said.starts_with("keys deleted: 5"), "{said}");
    let serving = program.serve().unwrap();
    let busy = program.run(&["signer", "abandon", "--yes"]);
    assert!(told(&busy).contains("in use"), "{}", told(&busy));
    assert_eq!(program.does(&["signer", "keys", "--output", "json"]).lines().count(), 5);
    serving.stop();
}

#[tokio::test]
async fn a_collection_of_notary_goes_on_with_new_keys_that_its_owner_names_in_a_new_root() {
    let world = World::open().await;
    let (client, keys) = (Client::new(), server_keys(&world).await);
    client.publish(&world, &keys, 1).await.expect(200);
    let before = Client::file(&world, "timestamp").await.expect(200).json();
    world.meddle("DELETE FROM signer_keys").await;
    assert_eq!(client.publish(&world, &keys, 2).await.status, 400, "the keys of the old root are gone");
    let fresh = server_keys(&world).await;
    assert_ne!(fresh[1].1, keys[1].1);
    client.publish(&world, &fresh, 2).await.expect(200);
    let after = Client::file(&world, "timestamp").await.expect(200).json();
    assert_eq!(after["signatures"][0]["keyid"], json!(fresh[1].1.id()));
    let version = |file: &Value| file["signed"]["version"].as_i64().unwrap();
    assert!(version(&after) > version(&before), "no version is given twice");
}

#[tokio::test]
async fn a_stolen_key_of_a_role_is_replaced_by_a_new_root_and_signs_nothing_any_more() {
    let site = Site::open().await;
    let world = &site.world;
    let (client, keys) = (Client::new(), server_keys(world).await);
    client.publish(world, &keys, 1).await.expect(200);
    let rotated = Client::rotate(world, "timestamp").await;
    assert_ne!(rotated.id(), keys[1].1.id());
    client.publish(world, &[keys[0].clone(), ("timestamp", rotated.clone())], 2).await.expect(200);
    let signed = Client::file(world, "timestamp").await.expect(200).json();
    assert_eq!(signed["signatures"].as_array().unwrap().len(), 1);
    assert_eq!(signed["signatures"][0]["keyid"], json!(rotated.id()));
}

#[tokio::test]
async fn after_a_new_root_everything_that_is_vouched_for_is_published_anew_above_what_was() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/web").await;
    let digest = world.image(&ann, "ann/web", "1", "layer").await;
    let document = json!({"tag": "1", "digest": digest});
    world.sends("POST", "/repositories/ann%2Fweb/signatures", &basic("ann"), &document).await.expect(201);
    let publish = async |world: &World| while tuf::follow(&world.app).await.unwrap() {};
    let file = async |world: &World, name: &str| {
        world.get(&format!("/tuf/ann/web/{name}")).by(&basic("ann")).await.expect(200).json()
    };
    publish(&world).await;
    let (root, timestamp) = (file(&world, "1.root.json").await, file(&world, "timestamp.json").await);
    let anew: Result<(), Error> = world
        .app
        .metadata
        .write((), |tx, ()| {
            Box::pin(async move {
                tx.abandon_sealed_keys().await?;
                tx.forget_trust_roots().await?;
                tx.set_setting("tuf_anew", Some("0")).await
            })
        })
        .await;
    anew.unwrap();
    // However long ago it was vouched for: what is told of that time is forgotten.
    world.meddle("DELETE FROM events").await;
    let world = world.restarted().await;
    world.get("/tuf/ann/web/timestamp.json").by(&basic("ann")).await.expect(404);
    publish(&world).await;
    let (new_root, new_timestamp) = (file(&world, "1.root.json").await, file(&world, "timestamp.json").await);
    assert_ne!(root["signed"]["keys"], new_root["signed"]["keys"]);
    let version = |file: &Value| file["signed"]["version"].as_i64().unwrap();
    assert!(version(&new_timestamp) > version(&timestamp));
}
