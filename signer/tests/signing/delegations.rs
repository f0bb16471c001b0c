//! The registry as one of the signers of a collection: by which keys, under which versions, and what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hallmark_oci::{ServerRole, TrustRole};
use hallmark_signer::notary::delegate::{Meant, StandingFile, Stands, Vouched};
use hallmark_signer::notary::{FileState, KeyDocument, Signed, Targets};
use hallmark_signer::wire::{Request, Unserved};
use hallmark_signer::{DelegationChange, NotaryChange, SignRefused, SnapshotOf};
use serde_json::json;

use crate::world::{COLLECTION, ClientKey, NOW, World};

const HOLDER: &str = "notary1/7";
const OWN: &str = "targets/hallmark";
const RELEASES: &str = "targets/releases";

/// A collection whose owner has made the registry a signer.
struct Scene {
    world: World,
    owner: ClientKey,
    given: KeyDocument,
    timestamp: KeyDocument,
    /// What is published of the delegations.
    published: BTreeMap<String, Vec<u8>>,
    targets: u64,
}

impl Scene {
    async fn open() -> Self {
        let world = World::open().await;
        let given = world.signer.delegation_key(HOLDER, &[], false, NOW).await.unwrap();
        let timestamp = world.key(ServerRole::Timestamp, &[]).await;
        Self { world, owner: ClientKey::make(), given, timestamp, published: BTreeMap::new(), targets: 1 }
    }

    fn root(&self) -> Vec<u8> {
        let (owner, timestamp) = (self.owner.document(), &self.timestamp);
        let role = |key: &KeyDocument| json!({"keyids": [key.id()], "threshold": 1});
        self.owner.seals(&json!({
            "_type": "Root", "expires": "2030-01-01T00:00:00Z", "version": 1, "consistent_snapshot": false,
            "keys": {owner.id(): owner, timestamp.id(): timestamp},
            "roles": {"root": role(&owner), "targets": role(&owner), "snapshot": role(&owner), "timestamp": role(timestamp)},
        }))
    }

    fn change(&self, tags: &[&str]) -> DelegationChange {
        let id = self.given.id();
        let role = |name: &str| json!({"name": name, "keyids": [id], "threshold": 1, "paths": [""]});
        let targets = self.owner.seals(&json!({
            "_type": "Targets", "expires": "2030-01-01T00:00:00Z", "version": self.targets, "targets": {},
            "delegations": {"keys": {id.clone(): self.given}, "roles": [role(OWN), role(RELEASES)]},
        }));
        let file = |(role, bytes): (&String, &Vec<u8>)| StandingFile {
            role: role.parse().unwrap(),
            lives: 0,
            before: 0,
            bytes: Some(bytes.clone()),
        };
        DelegationChange {
            collection: COLLECTION.to_owned(),
            holder: HOLDER.to_owned(),
            keys: vec![id],
            caller: "publisher".to_owned(),
            stands: Stands { root: self.root(), targets, delegations: self.published.iter().map(file).collect() },
            vouched: vouched(tags),
        }
    }

    async fn delegate(&self, tags: &[&str]) -> Result<Vec<(TrustRole, Vec<u8>)>, SignRefused> {
        self.world.signer.delegate(self.change(tags), NOW).await
    }

    /// Publishes what is next, and gives the versions that it has.
    async fn publish(&mut self, tags: &[&str]) -> Vec<u64> {
        let files = self.delegate(tags).await.unwrap();
        let versions = files.iter().map(|(_, bytes)| version(bytes)).collect();
        self.published.extend(files.into_iter().map(|(role, bytes)| (role.to_string(), bytes)));
        versions
    }

    /// A client's publish, on top of what is published by then.
    async fn client_publishes(&self) -> Result<(), SignRefused> {
        let states =
            self.published.iter().map(|(role, bytes)| FileState::of(role.parse().unwrap(), version(bytes), bytes));
        let targets = FileState::of(TrustRole::targets(), self.targets, b"targets");
        let base: Vec<_> = states.chain([FileState::of(TrustRole::root(), 1, b"root"), targets]).collect();
        let standing = FileState::of(ServerRole::Snapshot.role(), 1, b"snapshot");
        let change = NotaryChange {
            collection: COLLECTION.to_owned(),
            caller: "alice r-1".to_owned(),
            root: self.root(),
            base,
            snapshot: SnapshotOf::Standing(standing),
        };
        self.world.sign(change).await.map(drop)
    }
}

fn vouched(tags: &[&str]) -> Vouched {
    tags.iter().map(|tag| ((*tag).to_owned(), Meant { length: 1, sha256: [1; 32], signed_at: NOW })).collect()
}

fn version(bytes: &[u8]) -> u64 {
    Signed::<Targets>::parse(bytes).unwrap().version
}

#[tokio::test]
async fn a_repository_has_a_key_of_its_own_until_the_next_is_asked_for() {
    let world = World::open().await;
    let key = async |holder: &str, given: &[&KeyDocument], next| {
        let given: Vec<String> = given.iter().map(|key| key.id()).collect();
        world.signer.delegation_key(holder, &given, next, NOW).await.unwrap()
    };
    let first = key(HOLDER, &[], false).await;
    assert!(first.to_pem().unwrap().starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert_eq!(key(HOLDER, &[&first], false).await, first);
    assert_eq!(key(HOLDER, &[&first], true).await, first, "it has never signed");
    assert_ne!(key("notary1/8", &[], false).await, first);
    let mut scene = Scene { given: first.clone(), world, ..Scene::open().await };
    scene.timestamp = scene.world.key(ServerRole::Timestamp, &[]).await;
    scene.publish(&["1"]).await;
    let key = async |given: &[&KeyDocument], next| {
        let given: Vec<String> = given.iter().map(|key| key.id()).collect();
        scene.world.signer.delegation_key(HOLDER, &given, next, NOW).await.unwrap()
    };
    assert_eq!(key(&[&first], false).await, first);
    let second = key(&[&first], true).await;
    assert_ne!(second, first);
    assert_eq!(key(&[&first, &second], false).await, second, "the newest of those that were given");
    assert_eq!(key(&[&first], false).await, first);
    assert_eq!(key(&[], false).await, second, "to whoever was given none, none that has signed");
}

#[tokio::test]
async fn each_version_is_given_once_and_written_down() {
    let mut scene = Scene::open().await;
    assert_eq!(scene.publish(&["1"]).await, [1, 1]);
    assert_eq!(scene.publish(&["1"]).await, [0; 0]);
    // What another was faster than is not published, and its version is nobody's.
    scene.delegate(&["1", "2"]).await.unwrap();
    assert_eq!(scene.publish(&["1", "2"]).await, [3, 3]);
    let lines = scene.world.log(OWN).await;
    let told: Vec<_> = lines.iter().map(|line| (line.version, line.caller.as_str(), line.key_id.clone())).collect();
    let id = scene.given.id();
    assert_eq!(told, [(1, "publisher", id.clone()), (2, "publisher", id.clone()), (3, "publisher", id)]);
    assert_eq!(scene.world.log(RELEASES).await.len(), 3);
    scene.world = scene.world.restart().await;
    assert_eq!(scene.publish(&["2"]).await, [4, 4], "also after a restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_signers_give_no_version_twice() {
    let scene = Arc::new(Scene::open().await);
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let scene = Arc::clone(&scene);
            tokio::spawn(async move {
                let signer = scene.world.another([7; 32]).await.unwrap();
                let mut given = Vec::new();
                for _ in 0..20 {
                    let files = signer.delegate(scene.change(&["1"]), NOW).await.unwrap();
                    given.extend(files.iter().map(|(role, bytes)| (role.to_string(), version(bytes))));
                }
                given
            })
        })
        .collect();
    let mut given = Vec::new();
    for task in tasks {
        given.extend(task.await.unwrap());
    }
    let distinct: BTreeSet<_> = given.iter().cloned().collect();
    assert_eq!((given.len(), distinct.len()), (80, 80));
}

#[tokio::test]
async fn what_is_not_published_keeps_no_client_from_publishing() {
    let mut scene = Scene::open().await;
    scene.publish(&["1"]).await;
    scene.delegate(&["1", "2"]).await.unwrap();
    scene.client_publishes().await.unwrap();
    assert_eq!(scene.publish(&["1", "2"]).await, [3, 3]);
}

#[tokio::test]
async fn what_rests_on_older_files_is_refused() {
    let mut scene = Scene::open().await;
    scene.publish(&["1"]).await;
    let old = scene.published.clone();
    scene.publish(&["1", "2"]).await;
    scene.client_publishes().await.unwrap();
    scene.published = old;
    let refused = scene.delegate(&["1"]).await;
    assert!(matches!(&refused, Ok(files) if files.is_empty()), "nothing is signed that stands: {refused:?}");
    let refused = scene.delegate(&["3"]).await.unwrap_err();
    assert!(matches!(&refused, SignRefused::Falling { role, from: 2, to: 1 } if role == OWN), "{refused:?}");
    // The numbers are those of the files, whatever is said of them.
    let mut scene = Scene::open().await;
    scene.targets = 5;
    scene.publish(&["1"]).await;
    scene.targets = 4;
    let refused = scene.delegate(&["2"]).await.unwrap_err();
    assert!(matches!(&refused, SignRefused::Falling { role, from: 5, to: 4 } if role == "targets"), "{refused:?}");
}

#[tokio::test]
async fn a_collection_that_was_deleted_is_not_remembered_again() {
    let mut scene = Scene::open().await;
    scene.targets = 9;
    scene.world.signer.destroy(COLLECTION.to_owned()).await.unwrap();
    let refused = scene.delegate(&["1"]).await.unwrap_err();
    assert!(matches!(refused, SignRefused::NoKey(ServerRole::Timestamp)), "{refused:?}");
    // Whoever begins it anew begins at 1.
    scene.timestamp = scene.world.key(ServerRole::Timestamp, &[]).await;
    scene.targets = 1;
    scene.client_publishes().await.unwrap();
    assert_eq!(scene.publish(&["1"]).await, [1, 1]);
}

#[tokio::test]
async fn the_keys_of_a_repository_sign_for_no_other_and_only_those_that_were_given() {
    let scene = Scene::open().await;
    for collection in ["notary1/70/registry.example/team/app", "notary1/7", "notary1/8/x", "x", ""] {
        let change = DelegationChange { collection: collection.to_owned(), ..scene.change(&["1"]) };
        let refused = scene.world.signer.delegate(change, NOW).await.unwrap_err();
        assert!(matches!(refused, SignRefused::Unserved(Unserved::NotAllowed(_))), "{collection}: {refused:?}");
    }
    let change = DelegationChange { keys: Vec::new(), ..scene.change(&["1"]) };
    assert!(scene.world.signer.delegate(change, NOW).await.unwrap().is_empty());
    let domain = DelegationChange {
        holder: "tuf1/registry".to_owned(),
        collection: "tuf1/registry/files".to_owned(),
        ..scene.change(&["1"])
    };
    let refused = scene.world.signer.serve(Request::Delegate(domain), "CN=registry", NOW).await.unwrap_err();
    assert!(refused.to_string().contains("belongs to trust domains"), "{refused}");
    let change = DelegationChange { holder: "a\nb".to_owned(), ..scene.change(&["1"]) };
    let refused = scene.world.signer.serve(Request::Delegate(change), "CN=registry", NOW).await.unwrap_err();
    assert!(refused.to_string().contains("control characters"), "{refused}");
}

#[tokio::test]
async fn what_is_asked_too_often_is_refused_whatever_the_collection_is_called() {
    let scene = Scene::open().await;
    let mut refused = 0;
    for number in 0..200 {
        let collection = format!("{HOLDER}/host{number}/team/app");
        let change = DelegationChange { collection, keys: Vec::new(), ..scene.change(&["1"]) };
        match scene.world.signer.delegate(change, NOW).await {
            Ok(_) => {}
            Err(SignRefused::Unserved(Unserved::Busy { .. })) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 80, "120 a minute are not");
    scene.client_publishes().await.unwrap();
}
