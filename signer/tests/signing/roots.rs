//! Roots of trust domains as the signer remembers them, and which keys it destroys.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallmark_oci::ServerRole;
use hallmark_signer::tuf::{
    BuildError, HeldKey, Keyholders, RootContent, RootRole, Standing, Target, check_successor, naming, public_key,
    with_signature,
};
use hallmark_signer::wire::{Refusal, Request, Unserved};
use hallmark_signer::{Rates, RootPlan, TufChange, TufMode, TufRefused};
use hallmark_storage::metadata;
use serde_json::{Value, json};

use crate::world::{COLLECTION, NOW, World};

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

/// A key that somebody else holds, and its document.
fn stranger(seed: u8) -> (Ed25519KeyPair, Value) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    let hex: String = pair.public_key().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    (pair, json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex}}))
}

/// The root with this one's signature.
fn signed_by(root: &[u8], (pair, key): &(Ed25519KeyPair, Value)) -> Vec<u8> {
    let message = hallmark_signer::tuf::payload(root).unwrap();
    let id = hallmark_signer::tuf::key_id(key).unwrap();
    with_signature(root, &id, pair.sign(&message).as_ref()).unwrap()
}

/// The draft of a root that hands the domain over to these.
async fn handed_to(world: &World, current: &[u8], key: &Value) -> Vec<u8> {
    let holders = Keyholders { keys: vec![key.clone()], threshold: 1 };
    let plan = RootPlan { holders: Some(holders), ..RootPlan::default() };
    world.signer.next_root(DOMAIN, current, plan, ("test", NOW)).await.unwrap()
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
    let endorsed = world.signer.endorse_root(DOMAIN, &first, &other, ("test", NOW)).await;
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
async fn a_person_may_hold_the_root_with_a_key_in_pem_on_the_curve_p_256() {
    let world = World::open().await;
    let person = HeldKey::read(include_str!("../data/person/p256.key")).unwrap();
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let draft = handed_to(&world, &first, &person.public()).await;
    let (id, signature) = person.sign_root(&draft).unwrap();
    let second = with_signature(&draft, &id, &signature).unwrap();
    let second = world.signer.endorse_root(DOMAIN, &first, &second, ("test", NOW)).await.unwrap();
    let held = check_successor(&first, &second).unwrap();
    assert_eq!(held.roles[&RootRole::Root].keys, [person.public()]);
    let third = rotated_by(&world, &second, &person).await;
    check_successor(&second, &third).unwrap();
}

/// The root that gives the timestamp a new key, signed by the person who holds it.
async fn rotated_by(world: &World, current: &[u8], person: &HeldKey) -> Vec<u8> {
    let plan = RootPlan { rotate: vec![RootRole::Timestamp], ..RootPlan::default() };
    let draft = world.signer.next_root(DOMAIN, current, plan, ("test", NOW)).await.unwrap();
    let (id, signature) = person.sign_root(&draft).unwrap();
    let signed = with_signature(&draft, &id, &signature).unwrap();
    world.signer.endorse_root(DOMAIN, current, &signed, ("test", NOW)).await.unwrap()
}

/// Whoever lost every key but an old backup's: what that brings back may have been replaced.
#[tokio::test]
async fn where_every_named_key_is_lost_one_that_has_signed_comes_back_by_no_root() {
    let world = World::open().await;
    let person = stranger(9);
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let second = signed_by(&handed_to(&world, &first, &person.1).await, &person);
    let second = world.signer.endorse_root(DOMAIN, &first, &second, ("test", NOW)).await.unwrap();
    let old = world.metadata.signer_keys(DOMAIN, "timestamp").await.unwrap().remove(0);
    let plan =
        RootPlan { rotate: vec![RootRole::Targets, RootRole::Snapshot, RootRole::Timestamp], ..RootPlan::default() };
    let third = world.signer.next_root(DOMAIN, &second, plan.clone(), ("test", NOW)).await.unwrap();
    let third = signed_by(&third, &person);
    assert_eq!(world.signer.retire(DOMAIN, &third).await.unwrap(), 4, "also the root's, which people hold now");
    let lost: Result<u64, metadata::Error> =
        world.metadata.write((), |tx, ()| Box::pin(tx.destroy_signer_keys(DOMAIN))).await;
    assert_eq!(lost.unwrap(), 4, "those of the working roles, and the tags'");
    let rotate = async |plan: RootPlan| {
        let draft = world.signer.next_root(DOMAIN, &third, plan, ("test", NOW)).await.unwrap();
        RootContent::read_draft(&draft).unwrap().ids(RootRole::Timestamp)
    };
    let named = rotate(plan.clone()).await;
    assert_eq!(rotate(plan.clone()).await, named, "drafted anew with the same");
    let brought: Result<(), metadata::Error> = world
        .metadata
        .write((named, old.clone()), |tx, (named, old)| {
            Box::pin(async move {
                tx.destroy_signer_key(&named[0]).await?;
                tx.add_signer_key(old).await?;
                tx.use_signer_key(&old.id, NOW).await
            })
        })
        .await;
    brought.unwrap();
    assert_ne!(rotate(plan).await, [old.id], "it has signed before");
}

#[tokio::test]
async fn a_key_is_newer_than_the_one_it_replaces_whatever_the_clock_says() {
    let world = World::open().await;
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let plan = RootPlan { rotate: vec![RootRole::Timestamp], ..RootPlan::default() };
    let second = world.signer.next_root(DOMAIN, &first, plan, ("test", NOW - 600_000)).await.unwrap();
    world.signer.retire(DOMAIN, &second).await.unwrap();
    assert_eq!(held(&world, RootRole::Timestamp).await, RootContent::read(&second).unwrap().ids(RootRole::Timestamp));
    let tags = async || world.metadata.signer_keys(DOMAIN, "tags").await.unwrap();
    let before = tags().await;
    world.signer.rotate_tags(DOMAIN, NOW - 600_000).await.unwrap();
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
    let root = with_signature(&root, &id, pair.sign(&message).as_ref()).unwrap();
    let drafted = world.signer.next_root("tuf1/organization/7", &root, RootPlan::default(), ("test", NOW)).await;
    assert!(matches!(drafted, Err(TufRefused::Root(_))), "{drafted:?}");
    let endorsed = world.signer.endorse_root("tuf1/organization/7", &root, &root, ("test", NOW)).await;
    assert!(matches!(endorsed, Err(TufRefused::Root(_))), "{endorsed:?}");
    check_successor(&root, &root).unwrap_err();
}

#[tokio::test]
async fn a_root_that_follows_from_none_that_is_known_is_not_taken_for_a_later_one() {
    let world = World::open().await;
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    // Anybody can make a root of any version that their own key has signed, also one that names the signer's keys.
    for own in [true, false] {
        let mut root: Value = serde_json::from_slice(&first).unwrap();
        let mallory = stranger(9);
        let id = hallmark_signer::tuf::key_id(&mallory.1).unwrap();
        root["signatures"] = json!([]);
        root["signed"]["version"] = json!(7);
        root["signed"]["keys"][&id] = mallory.1.clone();
        let roles = if own { &["root"][..] } else { &["root", "targets", "snapshot", "timestamp"] };
        for role in roles {
            root["signed"]["roles"][role]["keyids"] = json!([id]);
        }
        let root = signed_by(&serde_json::to_vec(&root).unwrap(), &mallory);
        let retired = world.signer.retire(DOMAIN, &root).await;
        assert!(is_other(&retired, (1, 7)), "{retired:?}");
        let drafted = world.signer.next_root(DOMAIN, &root, RootPlan::default(), ("test", NOW)).await;
        assert!(is_other(&drafted, (1, 7)), "{drafted:?}");
        let elsewhere = world.signer.retire("tuf1/organization/7", &root).await;
        assert!(matches!(elsewhere, Err(TufRefused::NoKey(_))), "{elsewhere:?}");
    }
    holds_all(&world, &rotated(&world, &first, &[RootRole::Snapshot]).await).await;
}

#[tokio::test]
async fn of_roots_by_which_a_domain_changes_hands_one_is_signed() {
    let world = World::open().await;
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let (ann, mallory) = (stranger(1), stranger(9));
    let endorse = async |root: Vec<u8>| world.signer.endorse_root(DOMAIN, &first, &root, ("test", NOW)).await;
    let draft = handed_to(&world, &first, &ann.1).await;
    let log = async || world.metadata.signer_log(DOMAIN, "root", 99).await.unwrap().len();
    let refused = endorse(draft.clone()).await;
    assert!(matches!(refused, Err(TufRefused::Root(_))), "it is not whole yet: {refused:?}");
    assert_eq!(log().await, 1, "and nothing was signed for it");
    let second = endorse(signed_by(&draft, &ann)).await.unwrap();
    check_successor(&first, &second).unwrap();
    let other = signed_by(&handed_to(&world, &first, &mallory.1).await, &mallory);
    let refused = endorse(other).await;
    assert!(matches!(&refused, Err(TufRefused::Plan(why)) if why.contains("other holders")), "{refused:?}");
    assert_eq!(endorse(signed_by(&draft, &ann)).await.unwrap(), second, "the same once more");
    // Who has rotated a key instead begins from there.
    let rotated = rotated(&world, &first, &[RootRole::Timestamp]).await;
    let third = signed_by(&handed_to(&world, &rotated, &mallory.1).await, &mallory);
    let third = world.signer.endorse_root(DOMAIN, &rotated, &third, ("test", NOW)).await.unwrap();
    check_successor(&rotated, &third).unwrap();
}

#[tokio::test]
async fn a_domain_has_one_first_root() {
    let world = World::open().await;
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    assert_eq!(world.signer.first_root(DOMAIN, "test", NOW + 1_000).await.unwrap(), first);
    let second = rotated(&world, &first, &[RootRole::Timestamp]).await;
    world.signer.retire(DOMAIN, &second).await.unwrap();
    let again = world.signer.first_root(DOMAIN, "test", NOW).await;
    assert!(is_other(&again, (2, 1)), "{again:?}");
}

#[tokio::test]
async fn a_registry_that_was_set_back_by_one_root_publishes_it_again() {
    let world = World::open().await;
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let second = rotated(&world, &first, &[RootRole::Timestamp]).await;
    world.signer.retire(DOMAIN, &second).await.unwrap();
    let signed = world.metadata.signer_log(DOMAIN, "root", 99).await.unwrap().len();
    let again = world.signer.endorse_root(DOMAIN, &first, &second, ("test", NOW)).await.unwrap();
    assert_eq!(again, second);
    assert_eq!(
        world.metadata.signer_log(DOMAIN, "root", 99).await.unwrap().len(),
        signed,
        "nothing is signed for that"
    );
}

#[tokio::test]
async fn one_key_is_not_two_people_however_it_is_written_down() {
    let world = World::open().await;
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let pem = include_str!("../data/person/p256.pub");
    let own = public_key(pem).unwrap();
    let written = |public: &str| {
        let mut document = own.clone();
        document["keyval"]["public"] = json!(public);
        document
    };
    let hexadecimal = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let body: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
    let der = STANDARD.decode(body).unwrap();
    let point = hexadecimal(&der[26..]);
    let mut by_the_old_name = own.clone();
    by_the_old_name["keytype"] = json!("ecdsa-sha2-nistp256");
    let mut with_more = own.clone();
    with_more["x"] = json!(1);
    let refused = async |keys: Vec<Value>| {
        let plan = RootPlan { holders: Some(Keyholders { keys, threshold: 2 }), ..RootPlan::default() };
        let drafted = world.signer.next_root(DOMAIN, &first, plan, ("test", NOW)).await;
        match drafted {
            Err(TufRefused::Plan(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    for other in [
        written(&pem.replace('\n', "\r\n")),
        written(pem.trim_end()),
        written(&point),
        written(&point.to_uppercase()),
        by_the_old_name,
        with_more,
    ] {
        let why = refused(vec![own.clone(), other.clone()]).await;
        assert!(why.contains("key 2 is one of those before it"), "{other}: {why}");
    }
    let short = [&[2 + (der[90] & 1)], &der[27..59]].concat();
    let why = refused(vec![stranger(1).1, written(&hexadecimal(&short))]).await;
    assert!(why.contains("key 2 is a compressed point"), "{why}");
    let why = refused(vec![stranger(1).1, written(&hexadecimal(&der))]).await;
    assert!(why.contains("key 2 cannot be used"), "{why}");
}

#[tokio::test]
async fn drafts_and_roots_are_counted() {
    let mut world = World::open().await;
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    world.signer = world.signer.bounded(Rates { collection: 2, caller: 600 });
    let later = NOW + 60_000;
    let draft = async || world.signer.next_root(DOMAIN, &first, RootPlan::default(), ("test", later)).await;
    let drafted = draft().await.unwrap();
    world.signer.endorse_root(DOMAIN, &first, &drafted, ("test", later)).await.unwrap();
    let busy = |refused: &TufRefused| matches!(refused, TufRefused::Unserved(Unserved::Busy { .. }));
    let refused = draft().await.unwrap_err();
    assert!(busy(&refused), "{refused:?}");
    let refused = world.signer.endorse_root(DOMAIN, &first, &drafted, ("test", later)).await.unwrap_err();
    assert!(busy(&refused), "{refused:?}");
    assert!(busy(&world.signer.rotate_tags(DOMAIN, later).await.unwrap_err()));
    assert!(busy(&world.signer.first_root(DOMAIN, "test", later).await.unwrap_err()));
}

#[tokio::test]
async fn neither_kind_of_request_reaches_the_keys_of_the_other() {
    let world = World::open().await;
    let notary = json!({"collection": DOMAIN, "role": "timestamp", "named": []});
    let domain = json!({"domain": COLLECTION, "caller": "test"});
    for request in [
        json!({"public_key": notary}),
        json!({"next_key": notary}),
        json!({"held": {"collection": DOMAIN}}),
        json!({"destroy": {"collection": "tuf1/repository/1"}}),
        json!({"first_root": domain}),
        json!({"rotate_tags": {"domain": COLLECTION}}),
    ] {
        let asked: Request = serde_json::from_value(request.clone()).unwrap();
        let failed = world.signer.serve(asked, "registry", NOW).await.unwrap_err();
        assert!(matches!(failed.refusal(), Refusal::Unserved(Unserved::NotAllowed(_))), "{request}: {failed:?}");
    }
    // A key of the other kind that is there all the same is nobody's choice.
    let key = world.signer.public_key(DOMAIN, ServerRole::Timestamp, &[], NOW).await.unwrap();
    let first = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    assert!(!RootContent::read(&first).unwrap().ids(RootRole::Timestamp).contains(&key.id()));
}

#[tokio::test]
async fn parts_of_one_change_are_not_refused_for_a_crowded_role() {
    let world = World::open().await;
    let root = world.signer.first_root(DOMAIN, "test", NOW).await.unwrap();
    let change = |standing, changes, expected, mode| TufChange {
        domain: DOMAIN.to_owned(),
        collection: "tuf1/repository/1".to_owned(),
        repository: "ann/web".to_owned(),
        caller: "publisher".to_owned(),
        root: root.clone(),
        standing,
        changes,
        expected,
        mode,
    };
    let laid_out = change(None, BTreeMap::new(), 16_000, TufMode::Anew);
    let made = world.signer.publish(laid_out, NOW).await.unwrap().unwrap();
    let mut files: BTreeMap<String, Vec<u8>> = made.files.into_iter().collect();
    let snapshot = files.remove("snapshot").unwrap();
    let tags: Vec<String> = (0..40_000).map(|tag| tag.to_string()).collect();
    let roles = naming(&snapshot, "ann/web", tags.iter().map(String::as_str)).unwrap();
    let target = Target {
        sha256: [1; 32],
        length: 1,
        media_type: "m".to_owned(),
        signer: "user:ann".to_owned(),
        signed_at: "2027-01-15T08:00:00Z".to_owned(),
        source: "signature".to_owned(),
    };
    let ground = tags.into_iter().zip(roles).filter(|(_, role)| role == "bin-7").take(2_001);
    let ground: BTreeMap<_, _> = ground.map(|(tag, _)| (tag, Some(target.clone()))).collect();
    assert_eq!(ground.len(), 2_001);
    let standing = Some(Standing { snapshot, files });
    let alone = world.signer.publish(change(standing.clone(), ground.clone(), 0, TufMode::Upon), NOW).await;
    assert!(matches!(alone, Err(TufRefused::Build(BuildError::Anew(_)))), "a role that has grown is split");
    let part = world.signer.publish(change(standing, ground, 16_000, TufMode::Upon), NOW).await.unwrap();
    assert!(part.is_some());
}
