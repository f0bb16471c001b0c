//! The drills of docs/signer.md: a lost master key, a stolen key of a role, keys that are all stolen.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use hallmark::trust::tuf;
use hallmark_signer::tuf::{Fetch, HeldKey, find, with_signature};
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

/// Every file of `ann/web` that a client may ask for.
async fn files(world: &World) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut bring = async |name: String| {
        let body = world.get(&format!("/tuf/ann/web/{name}")).by(&basic("ann")).await.expect(200).body.to_vec();
        files.insert(name, body.clone());
        serde_json::from_slice::<Value>(&body).unwrap()["signed"].clone()
    };
    for version in 1..=3 {
        bring(format!("{version}.root.json")).await;
    }
    let timestamp = bring("timestamp.json".to_owned()).await;
    let snapshot = bring(format!("{}.snapshot.json", timestamp["meta"]["snapshot.json"]["version"])).await;
    for (name, line) in snapshot["meta"].as_object().unwrap() {
        bring(format!("{}.{name}", line["version"])).await;
    }
    files
}

#[tokio::test]
async fn people_who_hold_the_root_give_a_signer_that_lost_every_key_new_ones_and_old_pins_go_on() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/web").await;
    let digest = world.image(&ann, "ann/web", "1", "layer").await;
    let document = json!({"tag": "1", "digest": digest});
    world.sends("POST", "/repositories/ann%2Fweb/signatures", &basic("ann"), &document).await.expect(201);
    while tuf::follow(&world.app).await.unwrap() {}
    let pinned = world.get("/tuf/ann/web/1.root.json").by(&basic("ann")).await.expect(200).body.to_vec();
    let people: Vec<HeldKey> = (0..3).map(|_| HeldKey::read(&HeldKey::generate().unwrap()).unwrap()).collect();
    let keys: Vec<Value> = people.iter().map(HeldKey::public).collect();
    let draft =
        async |world: &World, asked: Value| world.sends("POST", "/trust/root/drafts", &basic("admin"), &asked).await;
    let publish = async |world: &World, draft: Value, signers: &[usize]| {
        let signed = signers.iter().fold(draft["document"].as_str().unwrap().as_bytes().to_vec(), |root, who| {
            let (id, signature) = people[*who].sign_root(&root).unwrap();
            with_signature(&root, &id, &signature).unwrap()
        });
        let root = json!({"document": String::from_utf8(signed).unwrap()});
        world.sends("POST", "/trust/root", &basic("admin"), &root).await
    };
    let taken = draft(&world, json!({"keys": keys, "threshold": 2})).await.expect(201).json();
    publish(&world, taken, &[0, 1]).await.expect(201);
    let abandoned: Result<u64, Error> = world.app.metadata.write((), |tx, ()| Box::pin(tx.abandon_sealed_keys())).await;
    assert!(abandoned.unwrap() > 0);
    let world = world.restarted().await;

    let answer = draft(&world, json!({"rotate": ["snapshot"]})).await;
    assert_eq!(answer.status, 400, "a root under which nothing can be published: {answer}");
    let asked = json!({"rotate": ["targets", "snapshot", "timestamp"]});
    let first = draft(&world, asked.clone()).await.expect(201).json();
    let drafted = draft(&world, asked).await.expect(201).json();
    let roles = |draft: &Value| {
        serde_json::from_str::<Value>(draft["document"].as_str().unwrap()).unwrap()["signed"]["roles"].clone()
    };
    assert_eq!(roles(&first), roles(&drafted), "who drafts twice is given the same keys");
    let answer = publish(&world, drafted.clone(), &[1]).await;
    assert_eq!(answer.status, 400, "one of three: {answer}");
    publish(&world, drafted, &[1, 2]).await.expect(201);
    while tuf::follow(&world.app).await.unwrap() {}
    while tuf::renew_due(&world.app).await.unwrap() {}

    let files = Arc::new(files(&world).await);
    let fetch: Fetch = Arc::new(move |name, _| {
        let found = files.get(&name).cloned();
        Box::pin(async move { Ok(found) })
    });
    let memory = tempfile::tempdir().unwrap();
    let found = find(&pinned, "ann/web/1", fetch, (memory.path(), world.now())).await.unwrap();
    assert_eq!(found.expect("it is still vouched for").hashes["sha256"], digest.hex());
}
