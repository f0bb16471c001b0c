//! What is signed: which versions it has, what it names, and what is written down of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use hallmark_oci::ServerRole;
use hallmark_signer::notary::publish::Life;
use hallmark_signer::notary::{FileState, Signed, Snapshot, Timestamp};
use hallmark_signer::{NotaryFiles, SignRefused, SnapshotOf};
use ring::digest::{SHA256, digest};

use crate::world::{ClientKey, DAY, NOW, Roles, World, first, state};

/// The versions of a snapshot and a timestamp.
fn versions(files: &NotaryFiles) -> (Option<u64>, u64) {
    (files.snapshot.as_ref().map(|(state, _)| state.version), files.timestamp.0.version)
}

#[tokio::test]
async fn a_change_is_answered_with_a_snapshot_of_its_files_and_a_timestamp_of_that() {
    let world = World::open().await;
    let roles = world.roles().await;
    let signed = world.sign(roles.change(&[], &first())).await.unwrap();
    let (snapshot, bytes) = signed.snapshot.as_ref().unwrap();
    assert_eq!(*snapshot, FileState::of(ServerRole::Snapshot.role(), 1, bytes));
    let file = roles.verified("snapshot", Signed::<Snapshot>::parse(bytes).unwrap());
    assert_eq!((file.get().version, file.get().expires), (1, NOW + 3 * 365 * DAY));
    let meta = &file.get().content.meta;
    assert_eq!(meta.keys().collect::<Vec<_>>(), ["root", "targets"]);
    assert!(first().iter().all(|state| state.is(&meta[state.role.as_str()])));
    let (timestamp, bytes) = &signed.timestamp;
    assert_eq!(*timestamp, FileState::of(ServerRole::Timestamp.role(), 1, bytes));
    let file = roles.verified("timestamp", Signed::<Timestamp>::parse(bytes).unwrap());
    assert_eq!((file.get().version, file.get().expires), (1, NOW + 14 * DAY));
    assert_eq!(file.get().content.meta.keys().collect::<Vec<_>>(), ["snapshot"]);
    assert!(snapshot.is(&file.get().content.meta["snapshot"]));
    assert_eq!(signed.expires, NOW + 14 * DAY);
}

/// Half of the signings by each of two signers, some of them beside one another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_never_repeat_or_fall() {
    let world = World::open().await;
    let roles = Arc::new(world.roles().await);
    let tasks: Vec<_> = [world.another([7; 32]).await.unwrap(), world.another([7; 32]).await.unwrap()]
        .into_iter()
        .map(|signer| {
            let roles = Arc::clone(&roles);
            tokio::spawn(async move {
                let mut given = Vec::new();
                for _ in 0..50 {
                    let signed = signer.sign(roles.change(&[], &first()), NOW).await.unwrap();
                    given.push((signed.snapshot.unwrap().0.version, signed.timestamp.0.version));
                }
                given
            })
        })
        .collect();
    let (mut snapshots, mut timestamps) = (BTreeSet::new(), BTreeSet::new());
    for task in tasks {
        let given = task.await.unwrap();
        assert!(given.is_sorted_by(|one, next| one.0 < next.0 && one.1 < next.1), "{given:?}");
        snapshots.extend(given.iter().map(|(snapshot, _)| *snapshot));
        timestamps.extend(given.iter().map(|(_, timestamp)| *timestamp));
    }
    assert_eq!(snapshots, (1..=100).collect());
    assert_eq!(timestamps, (1..=100).collect());
    assert_eq!(world.log("timestamp").await.len(), 100);
    let world = world.restart().await;
    let signed = world.sign(roles.change(&[], &first())).await.unwrap();
    assert_eq!(versions(&signed), (Some(101), 101), "also after a restart");
}

#[tokio::test]
async fn versions_lie_above_those_that_are_published_and_those_that_were_given() {
    let world = World::open().await;
    let roles = world.roles().await;
    let base = |snapshot, timestamp| [state("snapshot", snapshot), state("timestamp", timestamp)];
    let signed = world.sign(roles.change(&base(7, 40), &first())).await.unwrap();
    assert_eq!(versions(&signed), (Some(8), 41));
    let signed = world.sign(roles.change(&base(3, 5), &first())).await.unwrap();
    assert_eq!(versions(&signed), (Some(9), 42), "a registry that was set back gets newer ones all the same");
}

#[tokio::test]
async fn what_was_published_may_not_fall() {
    let world = World::open().await;
    let roles = world.roles().await;
    let base = [state("root", 2), state("targets", 5), state("targets/releases", 3)];
    world.sign(roles.change(&base, &base)).await.unwrap();
    world.sign(roles.change(&base, &base)).await.unwrap();
    let falling = [("root", 2, 1), ("targets", 5, 4), ("targets/releases", 3, 2)];
    for (role, from, to) in falling {
        let mut older = base.clone();
        older.iter_mut().filter(|state| state.role.as_str() == role).for_each(|older| *older = state(role, to));
        let as_base = world.sign(roles.change(&older, &base)).await;
        let as_file = world.sign(roles.change(&base, &older)).await;
        let alone = world.sign(roles.change(&[], &older)).await;
        for refused in [as_base, as_file, alone] {
            let Err(SignRefused::Falling { role: fell, from: last, to: fallen }) = refused else {
                panic!("{role}: {refused:?}")
            };
            assert_eq!((fell.as_str(), last, u64::try_from(fallen).unwrap()), (role, from, to));
        }
    }
    assert_eq!(world.log("timestamp").await.len(), 2, "nothing is signed then");
    let signed = world.sign(roles.change(&base, &base)).await.unwrap();
    assert_eq!(versions(&signed), (Some(3), 3), "and no version is given");
    let world = world.restart().await;
    assert!(matches!(world.sign(roles.change(&first(), &base)).await, Err(SignRefused::Falling { .. })));
}

/// Two publishes at once, one of which lets a delegation begin anew: whichever is signed last, both are signed on what was published.
#[tokio::test]
async fn a_delegation_that_begins_anew_is_above_all_that_it_had_whoever_is_signed_last() {
    let counted = |lives, version| Life { latest: 0, before: 0, lives }.counted(&state("targets/releases", version));
    let files = |releases: FileState| [state("root", 2), state("targets", 5), releases];
    let (base, anew) = (files(counted(0, 5)), files(counted(1, 1)));
    for order in [[&anew, &base], [&base, &anew]] {
        let world = World::open().await;
        let roles = world.roles().await;
        for signed in order {
            world.sign(roles.change(&base, signed)).await.unwrap();
        }
        world.sign(roles.change(&anew, &anew)).await.unwrap();
        let refused = world.sign(roles.change(&base, &base)).await;
        assert!(matches!(refused, Err(SignRefused::Falling { .. })), "{refused:?}");
        world.sign(roles.change(&files(counted(1, 2)), &files(counted(2, 1)))).await.unwrap();
        world.sign(roles.change(&files(counted(2, 1)), &files(counted(2, 2)))).await.unwrap();
    }
    assert_eq!(counted(0, 5), state("targets/releases", 5), "as releases before this one told it");
}

/// A publish whose store lost a race is signed again on what won: its own versions were never published.
#[tokio::test]
async fn what_was_signed_and_not_published_lifts_nothing() {
    let world = World::open().await;
    let roles = world.roles().await;
    let base = first();
    let lost = [state("root", 1), state("targets", 9)];
    world.sign(roles.change(&base, &lost)).await.unwrap();
    let won = [state("root", 1), state("targets", 2)];
    world.sign(roles.change(&base, &won)).await.unwrap();
    world.sign(roles.change(&won, &won)).await.unwrap();
}

#[tokio::test]
async fn every_signature_is_written_down() {
    let world = World::open().await;
    let roles = world.roles().await;
    for round in 1..=3 {
        let signed = world.sign(roles.change(&[], &first())).await.unwrap();
        let made = [
            ("snapshot", &signed.snapshot.as_ref().unwrap().1, &roles.snapshot.0[0]),
            ("timestamp", &signed.timestamp.1, &roles.timestamp.0[0]),
        ];
        for (role, bytes, key) in made {
            let log = world.log(role).await;
            assert_eq!(log.len(), round);
            let line = log.last().unwrap();
            let message = match role {
                "snapshot" => Signed::<Snapshot>::parse(bytes).unwrap().message,
                _ => Signed::<Timestamp>::parse(bytes).unwrap().message,
            };
            assert_eq!(line.sha256, digest(&SHA256, &message).as_ref());
            assert_eq!((line.at, line.caller.as_str(), line.role.as_str()), (NOW, "alice r-1", role));
            assert_eq!((usize::try_from(line.version), &line.key_id), (Ok(round), &key.id()));
        }
    }
    assert!(world.rows().await.iter().all(|key| key.used_at == Some(NOW)));
}

#[tokio::test]
async fn the_standing_snapshot_gets_a_new_timestamp_only() {
    let world = World::open().await;
    let roles = world.roles().await;
    let standing = world.sign(roles.change(&[], &first())).await.unwrap().snapshot.unwrap().0;
    let signed = world.sign(roles.change_of(SnapshotOf::Standing(standing.clone()))).await.unwrap();
    assert_eq!(versions(&signed), (None, 2));
    let file = roles.verified("timestamp", Signed::<Timestamp>::parse(&signed.timestamp.1).unwrap());
    assert!(standing.is(&file.get().content.meta["snapshot"]));
    assert_eq!(world.log("snapshot").await.len(), 1);
}

#[tokio::test]
async fn a_snapshot_of_the_client_s_is_named_when_its_keys_have_signed_it() {
    let world = World::open().await;
    let (client, stranger) = (ClientKey::make(), ClientKey::make());
    let roles = Roles { snapshot: (vec![client.document()], 1), ..world.roles().await };
    let bytes = client.snapshot(5, &first());
    let signed = world.sign(roles.change_of(SnapshotOf::Client(bytes.clone()))).await.unwrap();
    assert_eq!(versions(&signed), (None, 1));
    let file = roles.verified("timestamp", Signed::<Timestamp>::parse(&signed.timestamp.1).unwrap());
    assert!(FileState::of(ServerRole::Snapshot.role(), 5, &bytes).is(&file.get().content.meta["snapshot"]));

    let changed = String::from_utf8(bytes.clone()).unwrap().replace("\"version\":5", "\"version\":6").into_bytes();
    let two = Roles { snapshot: (vec![client.document(), stranger.document()], 2), ..roles.clone() };
    let unsigned = [
        (&roles, stranger.snapshot(6, &first())),
        (&roles, changed),
        (&two, client.snapshot(6, &first())),
        (&Roles { snapshot: (vec![], 1), ..roles.clone() }, client.snapshot(6, &first())),
    ];
    for (roles, bytes) in unsigned {
        let refused = world.sign(roles.change_of(SnapshotOf::Client(bytes))).await;
        assert!(matches!(refused, Err(SignRefused::Unsigned)), "{refused:?}");
    }
    for bytes in [b"".to_vec(), b"{}".to_vec(), [bytes.as_slice(), b"x"].concat(), roles.root()] {
        let refused = world.sign(roles.change_of(SnapshotOf::Client(bytes))).await;
        assert!(matches!(refused, Err(SignRefused::Invalid(_))), "{refused:?}");
    }
    assert_eq!(world.log("timestamp").await.len(), 1);
    assert_eq!(world.log("snapshot").await.len(), 0);
}

#[tokio::test]
async fn where_two_must_sign_two_keys_do() {
    let world = World::open().await;
    let mut roles = world.roles().await;
    for (role, keys) in [(ServerRole::Snapshot, &mut roles.snapshot), (ServerRole::Timestamp, &mut roles.timestamp)] {
        keys.0.push(world.next_key(role, &[&keys.0[0]]).await);
        keys.1 = 2;
    }
    let signed = world.sign(roles.change(&[], &first())).await.unwrap();
    roles.verified("snapshot", Signed::<Snapshot>::parse(&signed.snapshot.unwrap().1).unwrap());
    let file = roles.verified("timestamp", Signed::<Timestamp>::parse(&signed.timestamp.1).unwrap());
    let signers: BTreeSet<_> = file.get().signatures.iter().map(|signature| signature.keyid.clone()).collect();
    assert_eq!(signers.len(), 2);
    for role in ["snapshot", "timestamp"] {
        let log = world.log(role).await;
        assert_eq!(log.len(), 2, "one line a signature");
        assert_eq!((log[0].version, &log[0].sha256), (log[1].version, &log[1].sha256));
        assert_ne!(log[0].key_id, log[1].key_id);
    }
}

#[tokio::test]
async fn a_root_that_names_too_few_keys_of_the_signer_gets_nothing() {
    let world = World::open().await;
    let roles = world.roles().await;
    let foreign = ClientKey::make().document();
    let (snapshot, timestamp) = (roles.snapshot.0[0].clone(), roles.timestamp.0[0].clone());
    let short = |role, roles: Roles| (role, roles);
    let table = [
        short(ServerRole::Timestamp, Roles { timestamp: (vec![foreign.clone()], 1), ..roles.clone() }),
        short(ServerRole::Timestamp, Roles { timestamp: (vec![timestamp, foreign.clone()], 2), ..roles.clone() }),
        short(ServerRole::Timestamp, Roles { timestamp: (vec![], 1), ..roles.clone() }),
        // A key signs for the role that it was made for.
        short(ServerRole::Timestamp, Roles { timestamp: (vec![snapshot.clone()], 1), ..roles.clone() }),
        short(ServerRole::Snapshot, Roles { snapshot: (vec![foreign.clone()], 1), ..roles.clone() }),
        short(ServerRole::Snapshot, Roles { snapshot: (vec![snapshot, foreign], 2), ..roles.clone() }),
    ];
    for (role, roles) in table {
        let refused = world.sign(roles.change(&[], &first())).await;
        assert!(matches!(&refused, Err(SignRefused::NoKey(found)) if *found == role), "{role}: {refused:?}");
    }
    let mut change = roles.change(&[], &first());
    change.root = b"{}".to_vec();
    assert!(matches!(world.sign(change).await, Err(SignRefused::Invalid(_))));
    let mut change = roles.change(&[], &first());
    "notary1/8/registry.example/team/app".clone_into(&mut change.collection);
    assert!(matches!(world.sign(change).await, Err(SignRefused::NoKey(_))), "another collection's keys");
    assert_eq!(world.log("timestamp").await.len(), 0);
    assert_eq!(versions(&world.sign(roles.change(&[], &first())).await.unwrap()), (Some(1), 1));
}
