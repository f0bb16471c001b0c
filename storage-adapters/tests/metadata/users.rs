//! Roles of users, and the directories that know them.

use hallmark_storage::metadata::{NewCredential, NewUser, PasswordSeen, Principal, SystemRole, Vouching};

use crate::harness::{NOW, World, family};

family! {
    a_user_s_role_is_read_back,
    who_was_found_stands_until_something_of_theirs_changes,
    a_directory_knows_a_user_by_one_id,
    a_user_is_given_to_a_directory_and_back,
    users_of_a_directory_page_by_its_ids,
    a_user_of_a_directory_is_held_as_they_stand,
    administrators_with_a_password_here_come_first,
    who_vouched_when_is_told_with_whom_they_vouched_for,
    whom_a_provider_has_not_vouched_for_lately_is_found_by_what_it_gave,
    a_password_of_a_directory_is_told_from_the_one_before,
}

fn known(name: &str, source: &str, subject: &str) -> NewUser {
    let source = Some((source.to_owned(), subject.to_owned()));
    NewUser { name: name.to_owned(), password: None, role: SystemRole::None, source }
}

async fn a_user_s_role_is_read_back(world: World) {
    for role in [SystemRole::Auditor, SystemRole::Administrator, SystemRole::None] {
        world.change((world.alice.clone(), role), |tx, (alice, role)| Box::pin(tx.set_role(alice, *role))).await;
        let principal = world.metadata.principal(world.alice.id).await.unwrap().unwrap();
        assert_eq!(principal.role, role);
        assert_eq!(principal.is_administrator(), role == SystemRole::Administrator);
        assert_eq!(world.metadata.user("alice").await.unwrap().unwrap().principal, principal);
        let others = world.change((), |tx, ()| Box::pin(tx.has_other_administrators())).await;
        assert!(!others, "an auditor is none");
    }
    let new = NewUser { name: "bob".into(), password: None, role: SystemRole::Auditor, source: None };
    assert_eq!(world.try_user(new).await.unwrap().role, SystemRole::Auditor);
    assert_eq!(world.metadata.user("bob").await.unwrap().unwrap().principal.role, SystemRole::Auditor);
}

async fn a_directory_knows_a_user_by_one_id(world: World) {
    let bob = world.try_user(known("bob", "ldap", "17")).await.unwrap();
    assert_eq!(world.try_user(known("bobby", "ldap", "17")).await, None);
    assert_eq!(world.metadata.account("bobby").await.unwrap(), None, "nothing is left of the attempt");
    assert!(world.try_user(known("carol", "oidc", "17")).await.is_some());
    assert!(world.try_user(known("dave", "ldap", "18")).await.is_some());
    let found = world.metadata.user_of_source("ldap", "17").await.unwrap().unwrap();
    assert_eq!((found.principal, found.source.as_deref()), (bob, Some("ldap")));
    assert_eq!(world.metadata.user_of_source("ldap", "19").await.unwrap(), None);
}

async fn a_user_is_given_to_a_directory_and_back(world: World) {
    world.try_user(known("bob", "ldap", "17")).await.unwrap();
    let set = async |subject: Option<&'static str>| {
        let input = (world.alice.clone(), subject);
        world
            .change(input, |tx, (alice, subject)| Box::pin(tx.set_source(alice, subject.map(|id| ("ldap", id)), NOW)))
            .await
    };
    assert!(!set(Some("17")).await, "that is bob");
    assert_eq!(world.metadata.user("alice").await.unwrap().unwrap().source, None);
    for _ in 0..2 {
        assert!(set(Some("18")).await);
        assert_eq!(world.metadata.user("alice").await.unwrap().unwrap().source.as_deref(), Some("ldap"));
        let vouched = Some(Vouching { source: "ldap".to_owned(), at: Some(NOW) });
        let alice = Principal { vouched, ..world.alice.clone() };
        assert_eq!(world.metadata.user_of_source("ldap", "18").await.unwrap().unwrap().principal, alice);
    }
    assert!(set(None).await);
    assert_eq!(world.metadata.user("alice").await.unwrap().unwrap().source, None);
    assert_eq!(world.metadata.user_of_source("ldap", "18").await.unwrap(), None);
}

async fn users_of_a_directory_page_by_its_ids(world: World) {
    for (name, source, subject) in [("a", "ldap", "c"), ("b", "ldap", "B"), ("c", "ldap", "a"), ("d", "oidc", "b")] {
        world.try_user(known(name, source, subject)).await.unwrap();
    }
    let subjects = async |after| -> Vec<String> {
        let page = world.metadata.subjects("ldap", after, 2).await.unwrap();
        page.into_iter().map(|(_, subject)| subject).collect()
    };
    assert_eq!(subjects(None).await, ["B", "a"]);
    assert_eq!(subjects(Some("a")).await, ["c"]);
}

async fn a_user_of_a_directory_is_held_as_they_stand(world: World) {
    let bob = world.try_user(known("bob", "ldap", "17")).await.unwrap();
    let look = async || {
        world
            .change(bob.id, |tx, id| {
                Box::pin(async move {
                    let found = tx.user_of_source("ldap", "17").await?.map(|user| user.principal);
                    Ok((found, tx.user_of_source("oidc", "17").await?.is_some(), tx.credential_epoch(*id).await?))
                })
            })
            .await
    };
    assert_eq!(look().await, (Some(bob.clone()), false, Some(0)));
    world.change(bob.id, |tx, id| Box::pin(tx.set_principal_disabled(*id, Some(NOW)))).await;
    let (found, _, epoch) = look().await;
    assert_eq!((found.map(|bob| bob.disabled), epoch), (Some(true), Some(1)));
}

async fn who_was_found_stands_until_something_of_theirs_changes(world: World) {
    let stands = async |found: &Principal, credential, now| {
        let found = (found.clone(), credential, now);
        world.change(found, |tx, (found, credential, now)| Box::pin(tx.stands(found, *credential, *now))).await
    };
    let found = world.alice.clone();
    assert!(stands(&found, None, NOW).await);
    assert!(!stands(&found, Some(1), NOW).await, "no such credential");
    let id = world
        .change(found.clone(), |tx, alice| {
            Box::pin(async move {
                let new = NewCredential {
                    principal: alice.id,
                    kind: "personal",
                    selector: "selector",
                    secret_hash: b"hash",
                    service: "hallmark",
                    scopes: "admin",
                    epoch: alice.credential_epoch,
                    expires_at: NOW + 10,
                    name: "laptop",
                    rolls: false,
                };
                tx.insert_credential(&new, NOW).await
            })
        })
        .await;
    assert!(stands(&found, Some(id), NOW + 9).await);
    assert!(!stands(&found, Some(id), NOW + 10).await, "it has ended");
    let bob = world.user("bob").await;
    assert!(!stands(&bob, Some(id), NOW).await, "it is somebody else's");
    world.change((id, found.id), |tx, (id, alice)| Box::pin(tx.revoke_credential_of(*id, *alice, NOW))).await;
    assert!(!stands(&found, Some(id), NOW).await, "it was revoked");
    world.change(found.clone(), |tx, alice| Box::pin(tx.set_role(alice, SystemRole::Auditor))).await;
    assert!(!stands(&found, None, NOW).await, "another role");
    let found = world.metadata.principal(found.id).await.unwrap().unwrap();
    assert!(stands(&found, None, NOW).await);
    world.change(found.clone(), |tx, alice| Box::pin(tx.void_tokens(alice))).await;
    assert!(!stands(&found, None, NOW).await, "other credentials");
    let found = world.metadata.principal(found.id).await.unwrap().unwrap();
    world.change(found.clone(), |tx, alice| Box::pin(tx.set_disabled(alice, Some(NOW)))).await;
    let found = world.metadata.principal(found.id).await.unwrap().unwrap();
    assert!(!stands(&found, None, NOW).await, "disabled");
}

async fn administrators_with_a_password_here_come_first(world: World) {
    let mut made = Vec::new();
    let administrator = |new: NewUser| NewUser { role: SystemRole::Administrator, ..new };
    for new in
        [known("bob", "ldap", "1"), NewUser { source: None, ..known("carol", "", "") }, known("dave", "ldap", "2")]
    {
        made.push(world.try_user(administrator(new)).await.unwrap());
    }
    world.try_user(NewUser { role: SystemRole::Auditor, ..known("eve", "ldap", "3") }).await.unwrap();
    let [bob, carol, dave] = &made[..] else { panic!("three") };
    let listed = async |limit| world.change(limit, |tx, limit| Box::pin(tx.administrators(*limit))).await;
    assert_eq!(listed(9).await, [carol.id, bob.id, dave.id]);
    assert_eq!(listed(2).await, [carol.id, bob.id]);
    world.change(carol.clone(), |tx, carol| Box::pin(tx.set_disabled(carol, Some(NOW)))).await;
    assert_eq!(listed(9).await, [bob.id, dave.id]);
}

async fn who_vouched_when_is_told_with_whom_they_vouched_for(world: World) {
    let bob = world.try_user(known("bob", "https://issuer.example/a b", "17")).await.unwrap();
    let repository = "bob/app".parse().unwrap();
    for at in [NOW, NOW + 7] {
        world.change((bob.clone(), at), |tx, (bob, at)| Box::pin(tx.renew_vouching(bob, *at))).await;
        let vouched = Some(Vouching { source: "https://issuer.example/a b".to_owned(), at: Some(at) });
        let expected = Principal { vouched, ..bob.clone() };
        assert_eq!(world.metadata.principal(bob.id).await.unwrap(), Some(expected.clone()));
        assert_eq!(world.metadata.user("bob").await.unwrap().unwrap().principal, expected);
        assert_eq!(world.metadata.seen(bob.id, None, &repository, None).await.unwrap().principal, Some(expected));
    }
    assert_eq!(world.metadata.principal(world.alice.id).await.unwrap().unwrap().vouched, None);
}

async fn whom_a_provider_has_not_vouched_for_lately_is_found_by_what_it_gave(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let team = world.team(&acme, "web").await;
    for (name, source, subject, gives) in
        [("a", "oidc", "3", true), ("b", "oidc", "1", true), ("c", "oidc", "2", false), ("d", "ldap", "4", true)]
    {
        let user = world.try_user(known(name, source, subject)).await.unwrap();
        world.member(&acme, &user, false).await;
        world.try_join(&team, &user, if gives { source } else { "" }).await.unwrap();
    }
    let e = world.try_user(known("e", "oidc", "5")).await.unwrap();
    // Of who is in a team by hand there is nothing to take.
    let f = world.try_user(known("f", "oidc", "6")).await.unwrap();
    for user in [&e, &f] {
        let input = (acme.clone(), user.clone());
        world.change(input, |tx, (acme, user)| Box::pin(tx.put_member_from(acme, user, "oidc"))).await;
    }
    world.join(&team, &f).await;
    assert_eq!(world.metadata.sources("", 9).await.unwrap(), ["ldap", "oidc"]);
    assert_eq!(world.metadata.sources("ldap", 9).await.unwrap(), ["oidc"]);
    let found = async |at, after| -> Vec<String> {
        let page = world.metadata.unvouched("oidc", at, after, 2).await.unwrap();
        page.into_iter().map(|(_, subject)| subject).collect()
    };
    assert_eq!(found(NOW - 1, None).await, [""; 0]);
    assert_eq!(found(NOW, None).await, ["1", "3"]);
    assert_eq!(found(NOW, Some("3")).await, ["5"]);
    world.change(e, |tx, e| Box::pin(tx.renew_vouching(e, NOW + 1))).await;
    assert_eq!(found(NOW, Some("3")).await, [""; 0]);
}

async fn a_password_of_a_directory_is_told_from_the_one_before(world: World) {
    let bob = world.try_user(known("bob", "ldap", "17")).await.unwrap();
    let seen = async |at| world.change((bob.id, at), |tx, (bob, at)| Box::pin(tx.set_source_password(*bob, *at))).await;
    assert_eq!((seen(5).await, seen(5).await), (PasswordSeen::First, PasswordSeen::Same));
    assert_eq!((seen(9).await, seen(9).await), (PasswordSeen::Another, PasswordSeen::Same));
    assert_eq!((seen(5).await, seen(9).await), (PasswordSeen::Same, PasswordSeen::Same), "a controller that lags");
}
