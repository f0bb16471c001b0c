//! Which key is given to whom, and for how long.

use std::collections::BTreeSet;
use std::sync::Arc;

use hallmark_oci::ServerRole::{Snapshot, Timestamp};
use hallmark_signer::SignRefused;
use hallmark_signer::notary::{Held, PublicKey};

use crate::world::{COLLECTION, NOW, World, first, state};

#[tokio::test]
async fn a_key_is_the_same_until_a_root_names_it_and_after_that() {
    let world = World::open().await;
    let key = world.key(Timestamp, &[]).await;
    assert_eq!(key.keytype, "ecdsa");
    assert!(PublicKey::parse(&key).is_ok());
    for _ in 0..3 {
        assert_eq!(world.key(Timestamp, &[]).await, key);
    }
    assert_eq!(world.key(Timestamp, &[&key]).await, key);
    let world = world.restart().await;
    assert_eq!(world.key(Timestamp, &[]).await, key);
    assert_ne!(world.key(Snapshot, &[]).await, key, "a key is for one role");
    let other = world.signer.public_key("notary1/8/registry.example/team/app", Timestamp, &[], NOW).await.unwrap();
    assert_ne!(other, key, "a key is for one collection");
}

#[tokio::test]
async fn a_key_that_a_client_holds_gets_one_of_the_signer_s_beside_it() {
    let world = World::open().await;
    let foreign = crate::world::ClientKey::make().document();
    let key = world.key(Snapshot, &[&foreign]).await;
    assert_ne!(key, foreign);
    assert_eq!(world.key(Snapshot, &[&foreign]).await, key);
}

#[tokio::test]
async fn the_next_key_is_one_that_no_root_names_and_the_same_until_one_does() {
    let world = World::open().await;
    let roles = world.roles().await;
    let old = roles.timestamp.0[0].clone();
    assert_eq!(world.next_key(Timestamp, &[]).await, old, "it waits to be named");
    world.sign(roles.change(&[], &first())).await.unwrap();
    let new = world.next_key(Timestamp, &[&old]).await;
    assert_ne!(new, old);
    for _ in 0..3 {
        assert_eq!(world.next_key(Timestamp, &[&old]).await, new);
    }
    assert_eq!(world.key(Timestamp, &[&old]).await, old, "the old one signs until a root names the new one");
    assert_eq!(world.key(Timestamp, &[&new]).await, new);
    let third = world.next_key(Timestamp, &[&new]).await;
    assert!(third != new && third != old, "a key that has signed waits for nothing");
    assert_eq!(world.rows().await.len(), 4);
}

#[tokio::test]
async fn whoever_asks_at_once_is_given_one_key() {
    let world = Arc::new(World::open().await);
    let tasks: Vec<_> = (0..32)
        .map(|number| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                if number % 2 == 0 { world.key(Timestamp, &[]).await } else { world.next_key(Timestamp, &[]).await }
            })
        })
        .collect();
    let mut given = BTreeSet::new();
    for task in tasks {
        given.insert(task.await.unwrap().id());
    }
    assert_eq!(given.len(), 1);
    assert_eq!(world.rows().await.len(), 1, "what was made in vain is not kept");
}

#[tokio::test]
async fn held_are_all_keys_of_the_collection() {
    let world = World::open().await;
    assert_eq!(world.signer.held(COLLECTION).await.unwrap(), Held::default());
    let roles = world.roles().await;
    let next = world.next_key(Timestamp, &[&roles.timestamp.0[0]]).await;
    let held = world.signer.held(COLLECTION).await.unwrap();
    assert_eq!(held.snapshot, [roles.snapshot.0[0].id()].into());
    assert_eq!(held.timestamp, [roles.timestamp.0[0].id(), next.id()].into());
    assert_eq!(world.signer.held("notary1/8/registry.example/team/app").await.unwrap(), Held::default());
}

#[tokio::test]
async fn destroyed_keys_sign_no_more_and_versions_go_on() {
    let world = World::open().await;
    let roles = world.roles().await;
    let files = [state("root", 1), state("targets", 9)];
    world.sign(roles.change(&files, &files)).await.unwrap();
    assert_eq!(world.signer.destroy(COLLECTION.to_owned()).await.unwrap(), 2);
    assert_eq!(world.signer.destroy(COLLECTION.to_owned()).await.unwrap(), 0);
    assert_eq!(world.signer.held(COLLECTION).await.unwrap(), Held::default());
    let refused = world.sign(roles.change(&[], &first())).await;
    assert!(matches!(refused, Err(SignRefused::NoKey(Timestamp))), "{refused:?}");
    let anew = world.roles().await;
    assert_ne!(anew.timestamp.0, roles.timestamp.0);
    assert_ne!(anew.snapshot.0, roles.snapshot.0);
    let signed = world.sign(anew.change(&[], &first())).await.unwrap();
    assert_eq!(signed.timestamp.0.version, 2, "no version is signed twice, not even by other keys");
    assert_eq!(signed.snapshot.unwrap().0.version, 2);
    assert_eq!(world.log("timestamp").await.len(), 2, "the log stays");
}
