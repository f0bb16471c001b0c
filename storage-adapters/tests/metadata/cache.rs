//! What is kept in memory on SQLite is never older than what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hallmark_oci::{Algorithm, Digest, Reference};
use hallmark_storage::metadata::{Engine, Error, Repository};
use proptest::prelude::*;

use crate::harness::images::{image, index, named};
use crate::harness::{NOW, World, run};

/// A change to a small world, so that changes meet.
#[derive(Clone, Debug)]
enum Op {
    Put { note: u8, tag: Option<u8> },
    PutIndex { note: u8 },
    DeleteManifest { note: u8 },
    DeleteTag { tag: u8 },
    Push { blob: u8 },
    DeleteBlob { blob: u8 },
    Open { public: bool },
    DeleteRepository,
    Password,
    Disable { on: bool },
    RemoveUser,
}

fn ops() -> impl Strategy<Value = Vec<(bool, Op)>> {
    let op = prop_oneof![
        4 => (0..3_u8, proptest::option::of(0..3_u8)).prop_map(|(note, tag)| Op::Put { note, tag }),
        1 => (0..3_u8).prop_map(|note| Op::PutIndex { note }),
        2 => (0..3_u8).prop_map(|note| Op::DeleteManifest { note }),
        2 => (0..3_u8).prop_map(|tag| Op::DeleteTag { tag }),
        2 => (0..2_u8).prop_map(|blob| Op::Push { blob }),
        2 => (0..2_u8).prop_map(|blob| Op::DeleteBlob { blob }),
        1 => any::<bool>().prop_map(|public| Op::Open { public }),
        1 => Just(Op::DeleteRepository),
        1 => Just(Op::Password),
        1 => any::<bool>().prop_map(|on| Op::Disable { on }),
        1 => Just(Op::RemoveUser),
    ];
    proptest::collection::vec((any::<bool>(), op), 1..40)
}

const CONFIG: &[u8] = b"config";

fn body(note: u8) -> String {
    image(&named(Algorithm::Sha256, CONFIG), &[], &note.to_string())
}

fn digest(note: u8) -> Digest {
    named(Algorithm::Sha256, body(note).as_bytes())
}

async fn apply(world: &World, repository: &Repository, op: &Op) {
    match *op {
        Op::Put { note, tag } => {
            let tag = tag.map(|tag| tag.to_string());
            let tags: Vec<&str> = tag.iter().map(String::as_str).collect();
            drop(world.try_put(repository, Algorithm::Sha256, &body(note), &tags).await);
        }
        Op::PutIndex { note } => {
            drop(world.try_put(repository, Algorithm::Sha256, &index(&[&digest(note)]), &["0"]).await);
        }
        Op::DeleteManifest { note } => drop(world.delete_manifest(repository, &digest(note)).await),
        Op::DeleteTag { tag } => drop(world.delete_tag(repository, &tag.to_string()).await),
        Op::Push { blob } => {
            let content = if blob == 0 { CONFIG } else { b"other" };
            let current = world.repository(repository.name.as_str()).await;
            world.blob(&current, content).await;
        }
        Op::DeleteBlob { blob } => {
            let content = if blob == 0 { CONFIG } else { b"other" };
            world.delete_blob(repository, &Digest::of(Algorithm::Sha256, content)).await;
        }
        Op::Open { public } => {
            let set: Result<bool, Error> = world
                .metadata
                .write((repository.clone(), public), |tx, (at, public)| Box::pin(tx.set_public(at, *public)))
                .await;
            set.unwrap();
        }
        Op::DeleteRepository => {
            let deleted: Result<bool, Error> =
                world.metadata.write(repository.clone(), |tx, gone| Box::pin(tx.delete_repository(gone, NOW))).await;
            deleted.unwrap();
        }
        Op::Password => {
            let changed: Result<bool, Error> = world
                .metadata
                .write(world.alice.clone(), |tx, alice| Box::pin(tx.set_password(alice, Some("new"))))
                .await;
            changed.unwrap();
        }
        Op::Disable { on } => {
            let set: Result<bool, Error> = world
                .metadata
                .write((world.alice.clone(), on.then_some(NOW)), |tx, (alice, at)| {
                    Box::pin(tx.set_disabled(alice, *at))
                })
                .await;
            set.unwrap();
        }
        Op::RemoveUser => {
            world.user_if_free("bob").await;
            let removed: Result<_, Error> =
                world.metadata.write((), |tx, ()| Box::pin(tx.remove_user("bob", NOW))).await;
            removed.unwrap();
        }
    }
}

/// Every kept kind of answer, asked twice of the memory and once of the database.
async fn agrees(world: &World, repositories: &[Repository]) {
    let (kept, asked) = (&world.metadata, world.metadata.without_cache());
    for _ in 0..2 {
        for name in ["alice", "bob"] {
            assert_eq!(kept.user(name).await.unwrap(), asked.user(name).await.unwrap());
        }
        let alice = world.alice.id;
        assert_eq!(kept.principal(alice).await.unwrap(), asked.principal(alice).await.unwrap());
        for repository in repositories {
            let (id, name) = (repository.id, &repository.name);
            assert_eq!(kept.repository(name).await.unwrap(), asked.repository(name).await.unwrap());
            for number in 0..3_u8 {
                for reference in [number.to_string().parse().unwrap(), Reference::Digest(digest(number))] {
                    let (kept, asked) = (kept.manifest(id, &reference).await, asked.manifest(id, &reference).await);
                    assert_eq!(kept.unwrap(), asked.unwrap());
                }
            }
            for content in [CONFIG, b"other"] {
                let digest = Digest::of(Algorithm::Sha256, content);
                assert_eq!(kept.blob(id, &digest).await.unwrap(), asked.blob(id, &digest).await.unwrap());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_kept_answer_is_the_databases(ops in ops()) {
        run(Engine::Sqlite, async |world: World| {
            let repositories = [world.repository("alice/a").await, world.repository("alice/b").await];
            for (which, op) in &ops {
                apply(&world, &repositories[usize::from(*which)], op).await;
                agrees(&world, &repositories).await;
            }
            assert!(world.metadata.statistics().cache_hits > 0);
        });
    }
}

#[test]
fn an_acknowledged_change_is_seen_by_every_later_read() {
    run(Engine::Sqlite, async |world: World| {
        let stop = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let (metadata, stop, alice) = (world.metadata.clone(), Arc::clone(&stop), world.alice.id);
                tokio::spawn(async move {
                    let mut epoch = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let seen = metadata.principal(alice).await.unwrap().unwrap().credential_epoch;
                        assert!(seen >= epoch, "time runs backwards");
                        epoch = seen;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for told in 1..=200 {
            let changed: Result<bool, Error> = world
                .metadata
                .write(world.alice.clone(), |tx, alice| Box::pin(tx.set_password(alice, Some("new"))))
                .await;
            changed.unwrap();
            let seen = world.metadata.principal(world.alice.id).await.unwrap().unwrap().credential_epoch;
            assert_eq!(seen, told);
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.await.unwrap();
        }
    });
}

#[test]
fn a_manifest_read_again_asks_nobody() {
    run(Engine::Sqlite, async |world: World| {
        let repository = world.repository("alice/a").await;
        world.blob(&repository, CONFIG).await;
        world.put(&repository, &body(0), &["t"]).await;
        let reference: Reference = "t".parse().unwrap();
        for _ in 0..3 {
            world.metadata.manifest(repository.id, &reference).await.unwrap().unwrap();
        }
        let statistics = world.metadata.statistics();
        assert_eq!((statistics.cache_hits, statistics.cache_misses), (2, 1));
    });
}

#[test]
fn replicas_keep_nothing_in_memory() {
    run(Engine::Postgres, async |world: World| {
        let repository = world.repository("alice/a").await;
        for _ in 0..3 {
            world.metadata.repository(&repository.name).await.unwrap().unwrap();
        }
        assert_eq!(world.metadata.statistics().cache_hits, 0, "I12");
    });
}
