//! Keys in a file, and back: on a fresh database they sign on where they were, and nothing is lowered or replaced.

use std::collections::BTreeMap;

use hallmark_oci::ServerRole;
use hallmark_signer::keys::{MasterKey, Masters};
use hallmark_signer::tuf::{RootContent, RootRole};
use hallmark_signer::{BackupRefused, RootPlan, SignRefused, Signer, TufChange, TufMode, backup, restore};
use hallmark_storage::metadata::{Error, Metadata};

use crate::world::{COLLECTION, MASTER, NOW, World, first, state};

const WORDS: &str = "correct horse battery staple";
const OTHER: [u8; 32] = [3; 32];
const DOMAIN: &str = "tuf1/registry";

fn masters(bytes: [u8; 32]) -> Masters {
    Masters::of(MasterKey::new(&bytes))
}

async fn copy(world: &World) -> Vec<u8> {
    backup(&world.metadata, &masters(MASTER), WORDS, NOW).await.unwrap()
}

async fn floor(metadata: &Metadata, role: &'static str) -> i64 {
    let floor: Result<i64, Error> = metadata.write(role, |tx, role| Box::pin(tx.signer_floor(COLLECTION, role))).await;
    floor.unwrap()
}

/// A signer on a database of its own, under another master key.
async fn fresh() -> World {
    let folder = tempfile::tempdir().unwrap();
    let metadata = World::metadata(&folder).await;
    let signer = Signer::open(metadata.clone(), &MasterKey::new(&OTHER), NOW).await.unwrap();
    World { metadata, signer, folder }
}

#[tokio::test]
async fn on_a_fresh_database_the_keys_sign_on_above_what_they_signed() {
    let world = World::open().await;
    let roles = world.roles().await;
    for _ in 0..3 {
        world.sign(roles.change(&[], &first())).await.unwrap();
    }
    world.signer.first_root("tuf1/registry", "test", NOW).await.unwrap();
    let file = copy(&world).await;
    let fresh = fresh().await;
    let restored = restore(&fresh.metadata, &masters(OTHER), WORDS, &file).await.unwrap();
    assert_eq!((restored.keys, restored.known), (6, 0), "all but the key of the tags");
    let signer = fresh.another(OTHER).await.unwrap();
    let signed = signer.sign(roles.change(&[], &first()), NOW).await.unwrap();
    assert_eq!((signed.timestamp.0.version, signed.snapshot.unwrap().0.version), (4, 4));
    let root = |bytes: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()["signed"]["keys"].clone();
    let (one, other) =
        (world.signer.first_root("tuf1/registry", "test", NOW), signer.first_root("tuf1/registry", "test", NOW));
    assert_eq!(root(one.await.unwrap()), root(other.await.unwrap()));
    // Again is no failure, and changes nothing.
    let again = restore(&fresh.metadata, &masters(OTHER), WORDS, &file).await.unwrap();
    assert_eq!((again.keys, again.known), (0, 6));
    assert_eq!(floor(&fresh.metadata, "timestamp").await, 4);
}

/// What the signer publishes of one tag in the domain, on nothing.
async fn published(signer: &Signer, root: &[u8]) -> Vec<u8> {
    let change = TufChange {
        domain: DOMAIN.to_owned(),
        collection: "tuf1/repository/1".to_owned(),
        repository: "ann/web".to_owned(),
        caller: "publisher".to_owned(),
        root: root.to_vec(),
        standing: None,
        changes: BTreeMap::new(),
        expected: 0,
        mode: TufMode::Anew,
    };
    let made = signer.publish(change, NOW).await.unwrap().unwrap();
    made.files.into_iter().find(|(role, _)| role == "targets").unwrap().1
}

#[tokio::test]
async fn the_key_of_the_tags_that_was_replaced_after_a_backup_signs_no_more() {
    let world = World::open().await;
    let root = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let of_tags = async |metadata: &Metadata| metadata.signer_keys(DOMAIN, "tags").await.unwrap();
    let old = of_tags(&world.metadata).await.remove(0).id;
    let file = copy(&world).await;
    world.signer.rotate_tags(DOMAIN, NOW).await.unwrap();
    world.signer.retire(DOMAIN, &root).await.unwrap();
    let restored = restore(&world.metadata, &masters(MASTER), WORDS, &file).await.unwrap();
    assert_eq!(restored.keys, 0, "and nothing stands against another that is here");
    let fresh = fresh().await;
    restore(&fresh.metadata, &masters(OTHER), WORDS, &file).await.unwrap();
    assert!(of_tags(&fresh.metadata).await.is_empty());
    for (signer, metadata) in [(world.signer, world.metadata), (fresh.another(OTHER).await.unwrap(), fresh.metadata)] {
        let targets: serde_json::Value = serde_json::from_slice(&published(&signer, &root).await).unwrap();
        let named = &targets["signed"]["delegations"]["roles"][0]["keyids"];
        let new: Vec<String> = of_tags(&metadata).await.into_iter().map(|key| key.id).collect();
        assert_eq!(*named, serde_json::json!(new));
        assert!(new.len() == 1 && new[0] != old, "{new:?}");
    }
}

#[tokio::test]
async fn a_key_that_a_backup_brings_back_waits_no_more() {
    let world = World::open().await;
    let root = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let plan = || RootPlan { rotate: vec![RootRole::Snapshot], ..RootPlan::default() };
    let draft = async |signer: &Signer| {
        let drafted = signer.next_root(DOMAIN, &root, plan(), ("test", NOW)).await.unwrap();
        RootContent::read(&drafted).unwrap().ids(RootRole::Snapshot).remove(0)
    };
    let waiting = draft(&world.signer).await;
    assert_eq!(draft(&world.signer).await, waiting, "the same until a root names it");
    let first = world.key(ServerRole::Timestamp, &[]).await;
    let file = copy(&world).await;
    let fresh = fresh().await;
    restore(&fresh.metadata, &masters(OTHER), WORDS, &file).await.unwrap();
    let signer = fresh.another(OTHER).await.unwrap();
    // Whoever replaced it meanwhile has left no trace here: what the root names is lost as well.
    let named = RootContent::read(&root).unwrap().ids(RootRole::Snapshot).remove(0);
    let gone: Result<(), Error> = fresh.metadata.write(named, |tx, named| Box::pin(tx.destroy_signer_key(named))).await;
    gone.unwrap();
    assert_ne!(draft(&signer).await, waiting);
    let now = signer.public_key(COLLECTION, ServerRole::Timestamp, &[], NOW).await.unwrap();
    assert_ne!(now.id(), first.id(), "so it is with a collection of Notary's");
    let again = signer.public_key(COLLECTION, ServerRole::Timestamp, &[first.id()], NOW).await.unwrap();
    assert_eq!(again.id(), first.id(), "where a root names it, it is there");
}

#[tokio::test]
async fn a_version_is_never_lowered() {
    let world = World::open().await;
    let roles = world.roles().await;
    world.sign(roles.change(&[state("root", 5)], &[state("root", 5), state("targets", 5)])).await.unwrap();
    let file = copy(&world).await;
    for _ in 0..4 {
        world.sign(roles.change(&[state("root", 7)], &[state("root", 7), state("targets", 7)])).await.unwrap();
    }
    let before = (floor(&world.metadata, "timestamp").await, floor(&world.metadata, "root").await);
    restore(&world.metadata, &masters(MASTER), WORDS, &file).await.unwrap();
    assert_eq!((floor(&world.metadata, "timestamp").await, floor(&world.metadata, "root").await), before);
    let refused = world.sign(roles.change(&[state("root", 5)], &first())).await.unwrap_err();
    assert!(matches!(refused, SignRefused::Falling { from: 7, to: 5, .. }), "{refused:?}");
}

#[tokio::test]
async fn no_key_takes_the_place_of_another() {
    let world = World::open().await;
    world.roles().await;
    let file = copy(&world).await;
    let fresh = fresh().await;
    fresh.key(ServerRole::Timestamp, &[]).await;
    let (rows, floors) = (fresh.rows().await, fresh.metadata.signer_floor_page(("", ""), 99).await.unwrap());
    let refused = restore(&fresh.metadata, &masters(OTHER), WORDS, &file).await.unwrap_err();
    let BackupRefused::OtherKey { collection, role } = &refused else { panic!("{refused:?}") };
    assert_eq!((collection.as_str(), role.as_str()), (COLLECTION, "timestamp"));
    assert!(fresh.rows().await == rows, "nothing is written before it is refused");
    assert_eq!(fresh.metadata.signer_floor_page(("", ""), 99).await.unwrap(), floors);
    assert_eq!(fresh.metadata.signer_data_keys().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_that_was_changed_anywhere_is_refused_and_brings_nothing_back() {
    let world = World::open().await;
    world.roles().await;
    let file = copy(&world).await;
    let fresh = fresh().await;
    let head = file.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
    let places =
        [0, 20, 24, 30, 40, head - 2, head, head + 1, head + 5, head + 12, head + 30, file.len() / 2, file.len() - 1];
    for place in places {
        let mut forged = file.clone();
        forged[place] ^= 1;
        let refused = restore(&fresh.metadata, &masters(OTHER), WORDS, &forged).await;
        assert!(refused.is_err(), "{place}");
    }
    for cut in [0, 10, 25, head, head + 1, head + 20, file.len() - 1] {
        assert!(restore(&fresh.metadata, &masters(OTHER), WORDS, &file[..cut]).await.is_err(), "{cut}");
    }
    let wrong = restore(&fresh.metadata, &masters(OTHER), "correct horse battery stable", &file).await;
    assert!(matches!(wrong, Err(BackupRefused::Closed)), "{wrong:?}");
    assert!(fresh.rows().await.is_empty());
}

/// Whoever writes a file may not make the signer take all of the memory before it is known to be ours.
#[tokio::test]
async fn a_file_that_asks_for_absurd_costs_is_refused() {
    let world = World::open().await;
    for costs in ["4294967295,\"passes\":1,\"lanes\":1", "65536,\"passes\":4294967295,\"lanes\":4"] {
        let line = format!("{{\"salt\":\"AAAAAAAAAAAAAAAAAAAAAA==\",\"costs\":{{\"memory_kib\":{costs}}}}}");
        let file = format!("hallmark signer backup 1\n{line}\n{}", "x".repeat(99));
        let refused = restore(&world.metadata, &masters(MASTER), WORDS, file.as_bytes()).await;
        assert!(matches!(refused, Err(BackupRefused::Passphrase(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn nothing_in_the_file_can_be_read_without_the_passphrase() {
    let world = World::open().await;
    world.roles().await;
    let file = copy(&world).await;
    let id = world.rows().await[0].id.clone();
    for hidden in [id.as_bytes(), COLLECTION.as_bytes(), b"timestamp"] {
        assert!(!file.windows(hidden.len()).any(|window| window == hidden));
    }
    let short = backup(&world.metadata, &masters(MASTER), "short", NOW).await;
    assert!(matches!(short, Err(BackupRefused::Passphrase(_))));
}

#[tokio::test]
async fn a_backup_is_taken_after_a_rewrap_too() {
    let world = World::open().await;
    let roles = world.roles().await;
    let holding = masters(MASTER);
    hallmark_signer::rewrap(&world.metadata, &holding, (MasterKey::new(&[9; 32]), None), NOW).await.unwrap();
    let file = backup(&world.metadata, &holding, WORDS, NOW).await.unwrap();
    let fresh = fresh().await;
    restore(&fresh.metadata, &masters(OTHER), WORDS, &file).await.unwrap();
    fresh.another(OTHER).await.unwrap().sign(roles.change(&[], &first()), NOW).await.unwrap();
}
