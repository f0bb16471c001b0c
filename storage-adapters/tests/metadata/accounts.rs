//! Accounts and users.

use hallmark_oci::RepositoryName;
use hallmark_storage::metadata::{AccountId, AccountKind, Error, NameRange, NewCredential, UserRemoval};

use crate::harness::{NOW, World, family};

family! {
    a_user_owns_the_account_of_their_name,
    the_systems_name_is_no_path_component,
    users_and_organizations_share_one_name,
    an_account_with_repositories_is_not_removed,
    a_removed_user_leaves_nothing_behind,
    a_name_taken_again_is_another_principal,
    a_changed_password_voids_what_was_given_before,
    a_disabled_user_is_told_so_and_comes_back,
    users_page_in_byte_order,
    the_last_administrator_is_known_to_be_the_last,
}

async fn a_user_owns_the_account_of_their_name(world: World) {
    let account = world.metadata.account("alice").await.unwrap().unwrap();
    assert_eq!((account.id, account.owner), (world.alice.account_id, Some(world.alice.id)));
    let held: Result<_, Error> = world.metadata.write((), |tx, ()| Box::pin(tx.account("alice"))).await;
    assert_eq!(held.unwrap(), Some(account));
}

async fn the_systems_name_is_no_path_component(world: World) {
    let account = world.metadata.account("_system").await.unwrap().unwrap();
    assert_eq!((account.id, account.kind, account.owner), (AccountId::SYSTEM, AccountKind::System, None));
    assert!("_system/app".parse::<RepositoryName>().is_err());
}

async fn users_and_organizations_share_one_name(world: World) {
    world.meddle("INSERT INTO accounts (id, name, kind, created_at) VALUES (-7, 'acme', 'organization', 0)").await;
    for name in ["acme", "alice"] {
        let new = hallmark_storage::metadata::NewUser {
            name: name.into(),
            password: None,
            role: hallmark_storage::metadata::SystemRole::Administrator,
            source: None,
        };
        let made: Result<_, Error> = world.metadata.write(new, |tx, new| Box::pin(tx.create_user(new, NOW))).await;
        assert_eq!(made.unwrap(), None, "{name}");
    }
    assert_eq!(world.metadata.account("acme").await.unwrap().unwrap().kind, AccountKind::Organization);
}

async fn remove(world: &World, name: &'static str) -> UserRemoval {
    let removed: Result<_, Error> = world.metadata.write(name, |tx, name| Box::pin(tx.remove_user(name, NOW))).await;
    removed.unwrap()
}

async fn an_account_with_repositories_is_not_removed(world: World) {
    let repository = world.repository("alice/app").await;
    assert_eq!(remove(&world, "alice").await, UserRemoval::AccountHasRepositories);
    assert_eq!(world.metadata.repository(&repository.name).await.unwrap(), Some(repository));
    assert!(world.metadata.user("alice").await.unwrap().is_some());
    assert_eq!(remove(&world, "nobody").await, UserRemoval::Unknown);
}

async fn a_removed_user_leaves_nothing_behind(world: World) {
    let repository = world.repository("library").await;
    world.upload(&repository, 1).await;
    let held = world.blob(&repository, b"x").await;
    world.meddle(&format!("INSERT INTO account_blobs SELECT {}, id FROM blobs", world.alice.account_id)).await;
    give_credential(&world, "one", NOW + 10).await;
    assert_eq!(remove(&world, "alice").await, UserRemoval::Removed);
    assert_eq!(world.metadata.principal(world.alice.id).await.unwrap(), None);
    assert_eq!(world.metadata.account("alice").await.unwrap(), None);
    assert_eq!(world.metadata.credential("one").await.unwrap(), None);
    assert_eq!(world.count("SELECT COUNT(*) FROM uploads").await, 0);
    assert_eq!(world.count("SELECT COUNT(*) FROM key_deletions").await, 1);
    assert_eq!(world.count("SELECT COUNT(*) FROM candidates WHERE kind = 'blob'").await, 1);
    assert!(world.metadata.blob(repository.id, &held).await.unwrap().is_some(), "what they pushed elsewhere stays");
}

async fn a_name_taken_again_is_another_principal(world: World) {
    assert_eq!(remove(&world, "alice").await, UserRemoval::Removed);
    let again = world.user("alice").await;
    assert!(again.id != world.alice.id && again.account_id != world.alice.account_id);
}

async fn give_credential(world: &World, selector: &'static str, expires_at: i64) {
    let given: Result<(), Error> = world
        .metadata
        .write((world.alice.id, selector, expires_at), |tx, (principal, selector, expires_at)| {
            Box::pin(async move {
                let new = NewCredential {
                    principal: *principal,
                    kind: "refresh",
                    selector,
                    secret_hash: b"hash",
                    service: "registry",
                    scopes: "",
                    epoch: 0,
                    expires_at: *expires_at,
                    name: "",
                    rolls: true,
                };
                tx.insert_credential(&new, NOW).await.map(drop)
            })
        })
        .await;
    given.unwrap();
}

async fn a_changed_password_voids_what_was_given_before(world: World) {
    let changed: Result<bool, Error> = world
        .metadata
        .write(world.alice.clone(), |tx, alice| Box::pin(tx.set_password(alice, Some("another hash"))))
        .await;
    assert!(changed.unwrap());
    let user = world.metadata.user("alice").await.unwrap().unwrap();
    assert_eq!(user.password.as_deref(), Some("another hash"));
    assert_eq!(user.principal.credential_epoch, world.alice.credential_epoch + 1);
}

async fn a_disabled_user_is_told_so_and_comes_back(world: World) {
    for at in [Some(NOW), None] {
        let set: Result<bool, Error> = world
            .metadata
            .write((world.alice.clone(), at), |tx, (alice, at)| Box::pin(tx.set_disabled(alice, *at)))
            .await;
        assert!(set.unwrap());
        let alice = world.metadata.principal(world.alice.id).await.unwrap().unwrap();
        assert_eq!(alice.disabled, at.is_some());
    }
}

async fn users_page_in_byte_order(world: World) {
    for name in ["bob", "a-b", "a.b", "ab", "a"] {
        world.user(name).await;
    }
    let names = |users: Vec<hallmark_storage::metadata::User>| -> Vec<String> {
        users.into_iter().map(|user| user.principal.name).collect()
    };
    assert_eq!(names(world.metadata.users(&NameRange::after(None), 3).await.unwrap()), ["a", "a-b", "a.b"]);
    assert_eq!(names(world.metadata.users(&NameRange::after(Some("a.b")), 9).await.unwrap()), ["ab", "alice", "bob"]);
    assert_eq!(names(world.metadata.users(&NameRange::of("a", Some("a-b")), 9).await.unwrap()), ["a.b", "ab", "alice"]);
    assert_eq!(names(world.metadata.users(&NameRange::of("alice", None), 9).await.unwrap()), ["alice"]);
    assert_eq!(names(world.metadata.users(&NameRange::of("alice-", None), 9).await.unwrap()), [""; 0]);
}

async fn the_last_administrator_is_known_to_be_the_last(world: World) {
    for (name, others) in [("root", false), ("toor", true)] {
        let new = hallmark_storage::metadata::NewUser {
            name: name.into(),
            password: None,
            role: hallmark_storage::metadata::SystemRole::Administrator,
            source: None,
        };
        let made: Result<bool, Error> = world
            .metadata
            .write(new, |tx, new| {
                Box::pin(async move {
                    tx.create_user(new, NOW).await?;
                    tx.has_other_administrators().await
                })
            })
            .await;
        assert_eq!(made.unwrap(), others, "{name}");
    }
}
