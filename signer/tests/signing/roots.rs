//! Roots of trust domains as the signer remembers them, and which keys it destroys.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use hallmark_signer::tuf::{RootContent, RootRole, check_successor};
use hallmark_signer::{RootPlan, TufRefused};
use serde_json::{Value, json};

use crate::world::{NOW, World};

const DOMAIN: &str = "tuf1/registry";

/// The root that rotates these roles, on top of `current`.
async fn rotated(world: &World, current: &[u8], roles: &[RootRole]) -> Vec<u8> {
    let plan = RootPlan { rotate: roles.to_vec(), ..RootPlan::default() };
    let root = world.signer.next_root(DOMAIN, current, plan, ("test", NOW)).await.unwrap();
    check_successor(current, &root).unwrap();
    root
}

async fn held(world: &World, role: RootRole) -> Vec<String> {
    let keys = world.metadata.signer_keys(DOMAIN, role.as_str()).await.unwrap();
    keys.into_iter().map(|key| key.id).collect()
}

/// That the signer holds every key that a root names.
async fn holds_all(world: &World, root: &[u8]) {
    let content = RootContent::read(root).unwrap();
    for role in [RootRole::Root, RootRole::Targets, RootRole::Snapshot, RootRole::Timestamp] {
        let held = held(world, role).await;
        assert!(content.ids(role).iter().all(|id| held.contains(id)), "{role:?}");
    }
}

fn is_other<T: std::fmt::Debug>(refused: &Result<T, TufRefused>, versions: (i64, i64)) -> bool {
    matches!(refused, Err(TufRefused::OtherRoot { known, told }) if (*known, *told) == versions)
}

#[tokio::test]
async fn who_retires_late_destroys_no_key_of_a_newer_root() {
    let world = World::open().await;
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let second = rotated(&world, &first, &[RootRole::Targets]).await;
    // The third is made and may hold before the second's old keys are destroyed.
    let third = rotated(&world, &second, &[RootRole::Root, RootRole::Timestamp]).await;
    assert_eq!(world.signer.retire(DOMAIN, &second).await.unwrap(), 1);
    holds_all(&world, &third).await;
    assert_eq!(world.signer.retire(DOMAIN, &third).await.unwrap(), 2);
    holds_all(&world, &third).await;
    let refused = world.signer.retire(DOMAIN, &second).await;
    assert!(is_other(&refused, (3, 2)), "{refused:?}");
    holds_all(&world, &rotated(&world, &third, &[RootRole::Snapshot]).await).await;
}

#[tokio::test]
async fn keys_of_a_draft_that_people_sign_outlive_another_rotation() {
    let world = World::open().await;
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let draft = rotated(&world, &first, &[RootRole::Snapshot]).await;
    let second = rotated(&world, &first, &[RootRole::Timestamp]).await;
    world.signer.retire(DOMAIN, &second).await.unwrap();
    let waiting = RootContent::read(&draft).unwrap().ids(RootRole::Snapshot);
    assert!(held(&world, RootRole::Snapshot).await.contains(&waiting[0]));
    let again = rotated(&world, &second, &[RootRole::Snapshot]).await;
    assert_eq!(RootContent::read(&again).unwrap().ids(RootRole::Snapshot), waiting, "drafted anew with the same");
}

#[tokio::test]
async fn a_root_that_holds_no_more_and_another_of_its_version_are_refused_also_after_a_restart() {
    let world = World::open().await;
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let second = rotated(&world, &first, &[RootRole::Timestamp]).await;
    let other = rotated(&world, &first, &[RootRole::Snapshot]).await;
    world.signer.retire(DOMAIN, &second).await.unwrap();
    let world = world.restart().await;
    for (current, versions) in [(&first, (2, 1)), (&other, (2, 2))] {
        let drafted = world.signer.next_root(DOMAIN, current, RootPlan::default(), ("test", NOW)).await;
        assert!(is_other(&drafted, versions), "{drafted:?}");
        let retired = world.signer.retire(DOMAIN, current).await;
        assert!(is_other(&retired, versions), "{retired:?}");
    }
    let endorsed = world.signer.endorse_root(DOMAIN, &first, &second, ("test", NOW)).await;
    assert!(is_other(&endorsed, (2, 1)), "{endorsed:?}");
    holds_all(&world, &second).await;
    let log = world.metadata.signer_log(DOMAIN, "root", 99).await.unwrap();
    assert_eq!(log.len(), 3, "nothing more is signed");
    world.signer.next_root("tuf1/organization/7", &first, RootPlan::default(), ("test", NOW)).await.unwrap_err();
}

#[tokio::test]
async fn a_key_that_was_replaced_comes_back_by_no_root() {
    let world = World::open().await;
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let second = rotated(&world, &first, &[RootRole::Timestamp]).await;
    // Nobody has destroyed the first one's key yet.
    let old = RootContent::read(&first).unwrap().ids(RootRole::Timestamp);
    let documents: Value = serde_json::from_slice(&first).unwrap();
    let mut draft: Value = serde_json::from_slice(&second).unwrap();
    draft["signatures"] = json!([]);
    draft["signed"]["version"] = json!(3);
    let now = draft["signed"]["roles"]["timestamp"]["keyids"][0].as_str().unwrap().to_owned();
    draft["signed"]["keys"].as_object_mut().unwrap().remove(&now);
    draft["signed"]["keys"][&old[0]] = documents["signed"]["keys"][&old[0]].clone();
    draft["signed"]["roles"]["timestamp"]["keyids"] = json!(old);
    let refused = world.signer.endorse_root(DOMAIN, &second, &serde_json::to_vec(&draft).unwrap(), ("test", NOW)).await;
    assert!(matches!(&refused, Err(TufRefused::Plan(why)) if why.contains("replaced")), "{refused:?}");
}

#[tokio::test]
async fn a_key_is_newer_than_the_one_it_replaces_whatever_the_clock_says() {
    let world = World::open().await;
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let plan = RootPlan { rotate: vec![RootRole::Timestamp], ..RootPlan::default() };
    let second = world.signer.next_root(DOMAIN, &first, plan, ("test", NOW - 60_000)).await.unwrap();
    world.signer.retire(DOMAIN, &second).await.unwrap();
    assert_eq!(held(&world, RootRole::Timestamp).await, RootContent::read(&second).unwrap().ids(RootRole::Timestamp));
    let tags = async || world.metadata.signer_keys(DOMAIN, "tags").await.unwrap();
    let before = tags().await;
    world.signer.rotate_tags(DOMAIN, NOW - 60_000).await.unwrap();
    world.signer.retire(DOMAIN, &second).await.unwrap();
    assert!(tags().await.len() == 1 && tags().await[0].id != before[0].id, "the new one stays");
}

#[tokio::test]
async fn a_root_of_the_last_version_there_is_has_no_successor() {
    let world = World::open().await;
    world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex(pair.public_key().as_ref())}});
    let id = hallmark_signer::tuf::key_id(&key).unwrap();
    let role = json!({"keyids": [id], "threshold": 1});
    let root = json!({"signatures": [], "signed": {
        "_type": "root", "spec_version": "1.0.31", "version": u64::MAX, "expires": "2030-01-01T00:00:00Z",
        "consistent_snapshot": true, "keys": { id.clone(): key },
        "roles": {"root": role, "targets": role, "snapshot": role, "timestamp": role},
    }});
    let root = serde_json::to_vec(&root).unwrap();
    let message = hallmark_signer::tuf::payload(&root).unwrap();
    let root = hallmark_signer::tuf::with_signature(&root, &id, pair.sign(&message).as_ref()).unwrap();
    let drafted = world.signer.next_root("tuf1/organization/7", &root, RootPlan::default(), ("test", NOW)).await;
    assert!(matches!(drafted, Err(TufRefused::Root(_))), "{drafted:?}");
    let endorsed = world.signer.endorse_root("tuf1/organization/7", &root, &root, ("test", NOW)).await;
    assert!(matches!(endorsed, Err(TufRefused::Root(_))), "{endorsed:?}");
    check_successor(&root, &root).unwrap_err();
}
