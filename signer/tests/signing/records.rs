//! What the operator is told of keys and signatures, and how often may be signed.

use hallmark_oci::ServerRole;
use hallmark_signer::wire::{Answer, Request, Unserved};
use hallmark_signer::{Rates, RootPlan, SignRefused};

use crate::world::{COLLECTION, NOW, World, first};

#[tokio::test]
async fn keys_are_listed_with_what_they_are_for_and_when_they_signed() {
    let world = World::open().await;
    let roles = world.roles().await;
    world.sign(roles.change(&[], &first())).await.unwrap();
    world.next_key(ServerRole::Timestamp, &[&roles.timestamp.0[0]]).await;
    let mut records = world.signer.key_records("", 10).await.unwrap();
    records.sort_by(|one, other| (&one.role, one.used_at).cmp(&(&other.role, other.used_at)));
    let told: Vec<_> = records.iter().map(|record| (record.role.as_str(), record.made_at, record.used_at)).collect();
    assert_eq!(told, [("snapshot", NOW, Some(NOW)), ("timestamp", NOW, None), ("timestamp", NOW, Some(NOW))]);
    assert!(records.iter().all(|record| record.collection == COLLECTION && record.algorithm == "ecdsa"));
    let after = world.signer.key_records("", 2).await.unwrap();
    assert_eq!(world.signer.key_records(&after[1].id, 2).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_log_names_the_certificate_and_whom_the_registry_named() {
    let world = World::open().await;
    let roles = world.roles().await;
    let change = Request::Sign(roles.change(&[], &first()));
    let answer = world.signer.serve(change, "CN=registry", NOW).await.unwrap();
    assert!(matches!(answer, Answer::Signed(_)), "{answer:?}");
    let log = world.signer.log_records(None, 10).await.unwrap();
    assert_eq!(log.len(), 2);
    assert!(log.iter().all(|line| line.caller == "CN=registry for alice r-1" && line.collection == COLLECTION));
    assert_eq!(log[0].role, "timestamp", "the newest first");
    assert_eq!(world.signer.log_records(Some(log[1].id), 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_name_that_a_terminal_would_obey_is_not_written_down() {
    let world = World::open().await;
    let roles = world.roles().await;
    let mut change = roles.change(&[], &first());
    change.caller = "alice\u{1b}[2J".to_owned();
    let refused = world.signer.serve(Request::Sign(change), "CN=registry", NOW).await.unwrap_err();
    assert!(refused.to_string().contains("control characters"), "{refused}");
    assert_eq!(world.signer.log_records(None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn who_asks_too_often_is_refused_and_nothing_is_signed() {
    let world = World::open().await;
    let roles = world.roles().await;
    let signer = world.another(crate::world::MASTER).await.unwrap().bounded(Rates { collection: 2, caller: 600 });
    let change = roles.change(&[], &first());
    for _ in 0..2 {
        signer.sign(change.clone(), NOW).await.unwrap();
    }
    let before = world.log("timestamp").await.len();
    let refused = signer.sign(change.clone(), NOW).await.unwrap_err();
    assert!(matches!(refused, SignRefused::Unserved(Unserved::Busy { wait_ms: 1..=30_001 })), "{refused:?}");
    assert_eq!(world.log("timestamp").await.len(), before);
    signer.sign(change, NOW + 31_000).await.unwrap();
}

#[tokio::test]
async fn roots_too_are_logged_with_whom_the_registry_named() {
    let world = World::open().await;
    let domain = "tuf1/organization/7".to_owned();
    let first = Request::FirstRoot { domain: domain.clone(), caller: "7 r-1".to_owned() };
    let Answer::Root(current) = world.signer.serve(first, "CN=registry", NOW).await.unwrap() else { panic!("no root") };
    let plan = RootPlan::default();
    let next = Request::NextRoot { domain: domain.clone(), current: current.clone(), plan, caller: "7 r-2".to_owned() };
    let Answer::Root(next) = world.signer.serve(next, "CN=registry", NOW).await.unwrap() else { panic!("no root") };
    let endorse = Request::EndorseRoot { domain: domain.clone(), current, next, caller: "8 r-3".to_owned() };
    world.signer.serve(endorse, "CN=registry", NOW).await.unwrap();
    let log = world.metadata.signer_log_page(i64::MAX, 9).await.unwrap();
    let callers: Vec<&str> = log.iter().map(|line| line.caller.as_str()).collect();
    assert_eq!(callers, ["CN=registry for 8 r-3", "CN=registry for 7 r-2", "CN=registry for 7 r-1"]);
    let bad = Request::FirstRoot { domain, caller: "7\u{1b}[2J".to_owned() };
    world.signer.serve(bad, "CN=registry", NOW).await.unwrap_err();
}
