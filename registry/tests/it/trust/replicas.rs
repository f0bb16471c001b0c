//! Several replicas on one PostgreSQL, and rows that are damaged: what is to be signed is signed once, and nobody waits for others.

use std::sync::Arc;
use std::time::Duration;

use hallmark::app::App;
use hallmark::trust::tuf;
use hallmark_oci::Digest;
use hallmark_storage::metadata::{DatabaseConfig, Event, PrincipalId};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::harness::{Credentials, PASSWORD, Postgres, World};

fn basic(name: &str) -> Credentials {
    Credentials::basic(name, PASSWORD)
}

/// Two replicas, and `ann/web:1`, which is not signed.
async fn two() -> (Postgres, World, Arc<App>, Digest) {
    let postgres = Postgres::start();
    let database = DatabaseConfig::Postgres { url: postgres.url.clone(), max_connections: 4 };
    let world = World::with(|config| config.database = database).await;
    let second = App::open(world.app.config.clone(), world.app.clock.clone()).await.unwrap();
    let digest = world.image(&world.all_of("ann", "ann/web").await, "ann/web", "1", "layer").await;
    (postgres, world, second, digest)
}

async fn signs(world: &World, repository: &str, tag: &str, digest: &Digest) {
    let path = format!("/repositories/{}/signatures", repository.replace('/', "%2F"));
    let (who, _) = repository.split_once('/').unwrap();
    world.sends("POST", &path, &basic(who), &json!({"tag": tag, "digest": digest})).await.expect(201);
}

/// How many timestamps were signed for repositories.
async fn timestamps(app: &App) -> usize {
    let log = app.metadata.signer_log_page(i64::MAX, 1_000).await.unwrap();
    log.iter().filter(|line| line.role == "timestamp" && line.collection.starts_with("tuf1/repository/")).count()
}

async fn follow(app: &Arc<App>) {
    while tuf::follow(app).await.unwrap() {}
}

async fn renew(app: &Arc<App>) {
    while tuf::renew_due(app).await.unwrap() {}
}

async fn number(world: &World) {
    while world.app.metadata.write((), |tx, ()| Box::pin(tx.number_events(100))).await.unwrap() > 0 {}
}

#[tokio::test]
async fn of_two_replicas_one_publishes_and_one_renews() {
    let (_postgres, world, second, digest) = two().await;
    signs(&world, "ann/web", "1", &digest).await;
    number(&world).await;
    tokio::join!(follow(&world.app), follow(&second));
    assert_eq!(timestamps(&second).await, 1);
    for turn in 2..6 {
        world.pass(4 * 24 * 60 * 60);
        tokio::join!(renew(&world.app), renew(&second));
        assert_eq!(timestamps(&second).await, turn, "each is renewed once");
    }
    second.metadata.close().await;
}

#[tokio::test]
async fn whoever_holds_the_lease_publishes_alone_until_it_ends() {
    let (_postgres, world, second, digest) = two().await;
    signs(&world, "ann/web", "1", &digest).await;
    number(&world).await;
    let lease = format!("another {}", world.now() + 60_000);
    let held: Result<(), hallmark_storage::metadata::Error> =
        second.metadata.write(lease, |tx, lease| Box::pin(tx.set_setting("tuf_lease", Some(lease)))).await;
    held.unwrap();
    follow(&second).await;
    assert_eq!(timestamps(&second).await, 0, "it may be at it");
    world.pass(61);
    follow(&second).await;
    assert_eq!(timestamps(&second).await, 1, "it is dead");
    second.metadata.close().await;
}

/// Until when the lease is held; 0 when nobody holds it.
async fn held_until(app: &App) -> i64 {
    let lease = app.metadata.setting("tuf_lease").await.unwrap().unwrap_or_default();
    lease.split_once(' ').map_or(0, |(_, until)| until.parse().unwrap())
}

#[tokio::test]
async fn a_look_that_takes_longer_than_the_lease_keeps_it_and_its_cursor() {
    let (_postgres, world, second, digest) = two().await;
    signs(&world, "ann/web", "1", &digest).await;
    number(&world).await;
    let (held, let_go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (telling, waiting, other) = (held.clone(), let_go.clone(), second.clone());
    // The publish waits for whoever holds the root.
    let holder = tokio::spawn(async move {
        let done: Result<(), hallmark_storage::metadata::Error> = other
            .metadata
            .write((telling, waiting), |tx, (telling, waiting)| {
                Box::pin(async move {
                    tx.hold_newest_root("tuf1/registry").await?;
                    telling.notify_one();
                    waiting.notified().await;
                    Ok(())
                })
            })
            .await;
        done.unwrap();
    });
    held.notified().await;
    let app = world.app.clone();
    let look = tokio::spawn(async move { tuf::follow(&app).await.unwrap() });
    // The tests' clock runs ahead; whoever works looks at it twice a second.
    for _ in 0..4 {
        let until = world.now() + 60_000;
        timeout(Duration::from_secs(8), async {
            while held_until(&second).await < until {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("the lease is held on");
        world.pass(25);
    }
    assert!(!tuf::follow(&second).await.unwrap());
    assert_eq!(second.metadata.setting("tuf_cursor").await.unwrap(), None, "nobody else has followed anything");
    let_go.notify_one();
    holder.await.unwrap();
    look.await.unwrap();
    assert!(second.metadata.setting("tuf_cursor").await.unwrap().is_some(), "what was followed is kept");
    assert_eq!((timestamps(&second).await, held_until(&second).await), (1, 0));
    second.metadata.close().await;
}

#[tokio::test]
async fn a_damaged_row_of_one_repository_leaves_the_others_their_renewals() {
    let world = World::open().await;
    for repository in ["ann/web", "bob/app"] {
        let (who, _) = repository.split_once('/').unwrap();
        let digest = world.image(&world.all_of(who, repository).await, repository, "1", "layer").await;
        signs(&world, repository, "1", &digest).await;
        follow(&world.app).await;
        world.pass(1);
    }
    let first = "(SELECT MIN(id) FROM trust_collections)";
    world
        .meddle(&format!(
            "UPDATE trust_metadata SET body = X'7B7D' WHERE role = 'snapshot' AND collection_id = {first}"
        ))
        .await;
    world
        .meddle(&format!(
            "UPDATE vouches SET digest = 'x'
              WHERE repository_id = (SELECT repository_id FROM trust_collections WHERE id = {first})"
        ))
        .await;
    let timestamp = async || world.get("/tuf/bob/app/timestamp.json").by(&basic("bob")).await.expect(200).body;
    let before = timestamp().await;
    world.pass(4 * 24 * 60 * 60);
    renew(&world.app).await;
    assert_ne!(timestamp().await, before);
    let waits = world.look(&format!("SELECT renew_at FROM trust_collections WHERE id = {first}")).await;
    assert_eq!(waits, [(world.now() + 60_000).to_string()], "it is tried again in a minute");
}

#[tokio::test]
async fn what_there_is_nothing_to_do_for_is_passed_by_and_written_down_now_and_then() {
    let world = World::open().await;
    let digest = world.image(&world.all_of("ann", "ann/web").await, "ann/web", "1", "layer").await;
    follow(&world.app).await;
    let cursor = async || world.app.metadata.setting("tuf_cursor").await.unwrap();
    let before = cursor().await;
    assert!(before.is_some(), "a push is followed");
    let record = async |count: usize| {
        let recorded: Result<(), hallmark_storage::metadata::Error> = world
            .app
            .metadata
            .write(count, |tx, count| {
                Box::pin(async move {
                    for _ in 0..*count {
                        let event = Event {
                            actor: PrincipalId::SYSTEM,
                            kind: "manifest_pulled",
                            account: None,
                            repository: None,
                            subject: "",
                            payload: "{}",
                            request_id: "",
                            at: 0,
                        };
                        tx.record(&event).await?;
                    }
                    Ok(())
                })
            })
            .await;
        recorded.unwrap();
        follow(&world.app).await;
    };
    for _ in 0..3 {
        record(300).await;
        assert_eq!(cursor().await, before);
    }
    signs(&world, "ann/web", "1", &digest).await;
    follow(&world.app).await;
    assert_eq!(timestamps(&world.app).await, 1, "it is not passed by with them");
    let signed = cursor().await;
    assert_ne!(signed, before);
    for _ in 0..3 {
        record(300).await;
        assert_eq!(cursor().await, signed);
    }
    record(300).await;
    assert_ne!(cursor().await, signed, "else they could never be forgotten");
}
