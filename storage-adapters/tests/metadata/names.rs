//! Names that rest after they were released.

use hallmark_storage::metadata::{Error, NameKind, RestingName};

use crate::harness::{NOW, World, family};

family! {
    names_rest_by_the_change_that_releases_them,
    a_name_rests_as_long_as_was_said,
    a_name_that_is_released_again_rests_anew,
    names_that_have_rested_are_forgotten,
    whoever_takes_a_name_that_is_just_released_finds_it_resting,
}

/// Fourteen days.
const REST: i64 = 14 * 24 * 60 * 60 * 1_000;

async fn resting(world: &World, kind: NameKind, name: &str, now: i64) -> Option<RestingName> {
    let input = (kind, name.to_owned(), now);
    world.change(input, |tx, (kind, name, now)| Box::pin(tx.resting_name(*kind, name, *now))).await
}

async fn names_rest_by_the_change_that_releases_them(world: World) {
    let (bob, acme) = (world.user("bob").await, world.organization("acme", &world.alice).await);
    let (old, gone) = (world.repository("alice/old").await, world.repository("alice/gone").await);
    for (kind, name) in [(NameKind::Account, "bob"), (NameKind::Account, "acme"), (NameKind::Repository, "alice/old")] {
        assert_eq!(resting(&world, kind, name, NOW).await, None, "{name} is somebody's");
    }
    world.change((), |tx, ()| Box::pin(tx.remove_user("bob", NOW))).await;
    world.remove_organization("acme").await;
    assert!(world.rename(&old, "alice/new").await);
    assert!(world.delete_repository(&gone).await);
    let until = NOW + REST;
    let of = |account, repository| Some(RestingName { account, repository, until });
    assert_eq!(resting(&world, NameKind::Account, "bob", NOW).await, of(bob.account_id, None));
    assert_eq!(resting(&world, NameKind::Account, "acme", NOW).await, of(acme.id, None));
    let alice = world.alice.account_id;
    assert_eq!(resting(&world, NameKind::Repository, "alice/old", NOW).await, of(alice, Some(old.id)));
    assert_eq!(resting(&world, NameKind::Repository, "alice/gone", NOW).await, of(alice, Some(gone.id)));
    assert_eq!(resting(&world, NameKind::Repository, "bob", NOW).await, None, "a repository of the system is another");
}

async fn a_name_rests_as_long_as_was_said(world: World) {
    world.user("bob").await;
    world.change((), |tx, ()| Box::pin(tx.remove_user("bob", NOW))).await;
    assert!(resting(&world, NameKind::Account, "bob", NOW + REST - 1).await.is_some());
    assert_eq!(resting(&world, NameKind::Account, "bob", NOW + REST).await, None);
    world.metadata.let_names_rest(10);
    assert_eq!(resting(&world, NameKind::Account, "bob", NOW + 9).await.map(|rests| rests.until), Some(NOW + 10));
    assert_eq!(resting(&world, NameKind::Account, "bob", NOW + 10).await, None);
    world.metadata.let_names_rest(0);
    assert_eq!(resting(&world, NameKind::Account, "bob", NOW).await, None);
}

async fn a_name_that_is_released_again_rests_anew(world: World) {
    for now in [NOW, NOW + 5] {
        let bob = world.user("bob").await;
        world.change(now, |tx, now| Box::pin(tx.remove_user("bob", *now))).await;
        let expected = RestingName { account: bob.account_id, repository: None, until: now + REST };
        assert_eq!(resting(&world, NameKind::Account, "bob", now).await, Some(expected));
    }
}

async fn names_that_have_rested_are_forgotten(world: World) {
    for (name, now) in [("a", NOW), ("b", NOW + 1), ("c", NOW + 2)] {
        world.user(name).await;
        world.change((name, now), |tx, (name, now)| Box::pin(tx.remove_user(name, *now))).await;
    }
    let forget = async |now| world.change(now, |tx, now| Box::pin(tx.forget_rested_names(*now, 1))).await;
    assert_eq!(forget(NOW + REST - 1).await, 0);
    for forgotten in [1, 1, 0] {
        assert_eq!(forget(NOW + REST + 1).await, forgotten);
    }
    assert_eq!(world.look("SELECT name FROM resting_names").await, ["c"]);
}

/// Asked before the name is taken, it would still be somebody's.
async fn whoever_takes_a_name_that_is_just_released_finds_it_resting(world: World) {
    world.user("bob").await;
    let taken: Result<bool, Error> = {
        let metadata = world.metadata.clone();
        let release = metadata.write((), |tx, ()| Box::pin(tx.remove_user("bob", NOW)));
        let take = async {
            loop {
                let new = hallmark_storage::metadata::NewUser {
                    name: "bob".into(),
                    password: None,
                    role: hallmark_storage::metadata::SystemRole::None,
                    source: None,
                };
                let took: Result<Option<bool>, Error> = world
                    .metadata
                    .write(new, |tx, new| {
                        Box::pin(async move {
                            if tx.create_user(new, NOW).await?.is_none() {
                                return Ok(None);
                            }
                            Ok(Some(tx.resting_name(NameKind::Account, "bob", NOW).await?.is_some()))
                        })
                    })
                    .await;
                match took {
                    Ok(None) => tokio::task::yield_now().await,
                    Ok(Some(rests)) => return Ok(rests),
                    Err(error) => return Err(error),
                }
            }
        };
        let (released, taken): (Result<_, Error>, _) = futures_util::join!(release, take);
        released.unwrap();
        taken
    };
    assert!(taken.unwrap());
}
