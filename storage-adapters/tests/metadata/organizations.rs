//! Organizations and their members.

use hallmark_storage::metadata::{
    AccountKind, Error, Member, NameRange, Organization, OrganizationChange, Rights, UserRemoval, Viewer,
};

use crate::harness::people::{on_prefix, on_repository};
use crate::harness::{NOW, WINDOW, World, family};

family! {
    an_organization_takes_a_name_that_no_account_has,
    who_makes_an_organization_owns_it,
    an_organization_keeps_one_owner,
    members_page_by_their_names,
    members_of_the_release_before_have_their_names,
    organizations_page_in_byte_order,
    who_leaves_an_organization_leaves_its_teams_and_grants_only,
    an_organization_that_holds_something_is_not_removed,
    a_removed_organization_leaves_nothing_behind,
    a_user_who_owns_alone_is_known,
    its_settings_are_what_was_set,
    who_is_gone_becomes_no_member,
    a_membership_tells_which_directory_made_it,
    what_rests_is_held_by_nobody_until_it_is_woken,
    who_a_source_brought_is_taken_out_when_it_vouches_no_more,
}

async fn an_organization_takes_a_name_that_no_account_has(world: World) {
    world.organization("acme", &world.alice).await;
    for taken in ["acme", "alice", "_system"] {
        assert_eq!(world.try_organization(taken, &world.alice).await, None, "{taken}");
    }
    let user = hallmark_storage::metadata::NewUser {
        name: "acme".into(),
        password: None,
        role: hallmark_storage::metadata::SystemRole::None,
        source: None,
    };
    assert_eq!(world.try_user(user).await, None);
    assert_eq!(world.metadata.account("acme").await.unwrap().unwrap().kind, AccountKind::Organization);
}

async fn who_makes_an_organization_owns_it(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    assert_eq!(world.metadata.organization("acme").await.unwrap(), Some(acme.clone()));
    assert_eq!(world.metadata.organization("alice").await.unwrap(), None, "a user's account is none");
    let bob = world.user("bob").await;
    for (name, user, expected) in [
        ("acme", world.alice.id, Some((acme.clone(), Some(true)))),
        ("acme", bob.id, Some((acme.clone(), None))),
        ("alice", world.alice.id, None),
    ] {
        let input = (name, user);
        let seen = world.change(input, |tx, (name, user)| Box::pin(tx.glance_at_organization(name, *user))).await;
        assert_eq!(seen, expected, "{name}");
    }
    assert_eq!(world.metadata.membership(acme.id, world.alice.id).await.unwrap(), Some(true));
    assert_eq!(world.metadata.organizations_of(world.alice.id).await.unwrap(), [(acme, true)]);
}

async fn an_organization_keeps_one_owner(world: World) {
    let (acme, bob, alice) = (world.organization("acme", &world.alice).await, world.user("bob").await, &world.alice);
    assert_eq!(world.remove_member(&acme, &bob).await, OrganizationChange::Unknown);
    assert_eq!(world.member(&acme, &bob, false).await, OrganizationChange::Made);
    assert_eq!(world.member(&acme, alice, false).await, OrganizationChange::LastOwner);
    assert_eq!(world.remove_member(&acme, alice).await, OrganizationChange::LastOwner);
    assert_eq!(world.metadata.membership(acme.id, alice.id).await.unwrap(), Some(true));
    assert_eq!(world.member(&acme, &bob, true).await, OrganizationChange::Made);
    assert_eq!(world.member(&acme, alice, false).await, OrganizationChange::Made);
    assert_eq!(world.metadata.membership(acme.id, alice.id).await.unwrap(), Some(false));
    assert_eq!(world.remove_member(&acme, &bob).await, OrganizationChange::LastOwner);
    assert_eq!(world.remove_member(&acme, alice).await, OrganizationChange::Made);
    assert_eq!(world.metadata.membership(acme.id, alice.id).await.unwrap(), None);
}

async fn members_page_by_their_names(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let other = world.organization("other", &world.alice).await;
    for name in ["a-b", "a.b", "ab", "a"] {
        let user = world.user(name).await;
        world.member(&acme, &user, false).await;
    }
    let zoe = world.user("zoe").await;
    world.member(&other, &zoe, false).await;
    let page = async |prefix: &str, after: Option<&str>, owners, limit| -> Vec<(String, bool)> {
        let names = NameRange::of(prefix, after);
        let page: Vec<Member> = world.metadata.members(acme.id, &names, owners, limit).await.unwrap();
        page.into_iter().map(|member| (member.name, member.owner)).collect()
    };
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let found = page("", after.as_deref(), None, 2).await;
        let Some((last, _)) = found.last() else { break };
        after = Some(last.clone());
        seen.extend(found);
    }
    let named = |expected: &[(&str, bool)]| -> Vec<_> {
        expected.iter().map(|(name, owner)| ((*name).to_owned(), *owner)).collect()
    };
    assert_eq!(seen, named(&[("a", false), ("a-b", false), ("a.b", false), ("ab", false), ("alice", true)]));
    assert_eq!(page("al", None, None, 9).await, named(&[("alice", true)]));
    assert_eq!(page("a", Some("a.b"), Some(false), 9).await, named(&[("ab", false)]));
    assert_eq!(page("", None, Some(true), 9).await, named(&[("alice", true)]));
    assert_eq!(page("a-", None, Some(true), 9).await, []);
    assert_eq!(page("z", None, None, 9).await, [], "of another organization");
}

/// A replica of the release before knows of no names, and writes none.
async fn members_of_the_release_before_have_their_names(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    let team = world.team(&acme, "web").await;
    let (account, user) = (acme.id, bob.id);
    let rows = format!("INSERT INTO members (account_id, user_id, owner) VALUES ({account}, {user}, 0)");
    world.meddle(&rows).await;
    let rows =
        format!("INSERT INTO team_members (team_id, account_id, user_id) VALUES ({}, {account}, {user})", team.id);
    world.meddle(&rows).await;
    let begun = NameRange::of("bo", None);
    let names = async || world.metadata.members(acme.id, &begun, None, 9).await.unwrap().len();
    assert_eq!((names().await, world.metadata.team_members(team.id, "bo", None, 9).await.unwrap().len()), (1, 1));
    let again = format!("{rows} ON CONFLICT (team_id, user_id, source) DO UPDATE SET account_id = {account}");
    world.meddle(&again).await;
    assert_eq!(world.member(&acme, &bob, true).await, OrganizationChange::Made);
    assert_eq!((names().await, world.metadata.team_members(team.id, "bo", None, 9).await.unwrap().len()), (1, 1));
}

async fn organizations_page_in_byte_order(world: World) {
    for name in ["ab", "a.b", "a-b"] {
        world.organization(name, &world.alice).await;
    }
    let names = async |after| -> Vec<String> {
        let page = world.metadata.organizations(&NameRange::after(after), 2).await.unwrap();
        page.into_iter().map(|organization| organization.name).collect()
    };
    assert_eq!(names(None).await, ["a-b", "a.b"]);
    assert_eq!(names(Some("a.b")).await, ["ab"]);
    assert_eq!(names(Some("ab")).await, [""; 0]);
    let begun = world.metadata.organizations(&NameRange::of("a", None), 9).await.unwrap();
    assert_eq!(begun.len(), 3, "users and their accounts are none");
    let begun = world.metadata.organizations(&NameRange::of("a.", None), 9).await.unwrap();
    assert_eq!(begun.iter().map(|organization| organization.name.as_str()).collect::<Vec<_>>(), ["a.b"]);
}

async fn who_leaves_an_organization_leaves_its_teams_and_grants_only(world: World) {
    let bob = world.user("bob").await;
    for name in ["acme", "other"] {
        let organization = world.organization(name, &world.alice).await;
        world.member(&organization, &bob, false).await;
        let team = world.team(&organization, "web").await;
        world.join(&team, &bob).await;
        let repository = world.named(&format!("{name}/app")).await;
        world.give(on_repository(&repository, bob.id), "read").await;
        world.give(on_repository(&repository, world.alice.id), "read").await;
        world.give(on_prefix(&organization, &format!("{name}/web-"), bob.id), "read").await;
        world.give(on_repository(&repository, team.id), "write").await;
    }
    let acme = world.metadata.organization("acme").await.unwrap().unwrap();
    assert_eq!(world.remove_member(&acme, &bob).await, OrganizationChange::Made);
    assert_eq!(world.metadata.teams_of(bob.id).await.unwrap(), [("other".to_owned(), "web".to_owned())]);
    let left = world.metadata.grants_of(bob.id, 9).await.unwrap();
    assert_eq!(left.iter().map(|grant| grant.on.as_str()).collect::<Vec<_>>(), ["other/web-", "other/app"]);
    assert_eq!(world.metadata.grants_of(world.alice.id, 9).await.unwrap().len(), 2, "nobody else loses any");
    let team = world.metadata.team(acme.id, "web").await.unwrap().unwrap();
    assert_eq!(world.metadata.team_members(team.id, "", None, 9).await.unwrap(), []);
    assert_eq!(world.metadata.grants_of(team.id, 9).await.unwrap()[0].rights, Rights::WRITE);
}

async fn an_organization_that_holds_something_is_not_removed(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let team = world.team(&acme, "web").await;
    assert_eq!(world.remove_organization("acme").await, OrganizationChange::Held);
    world.remove_team(&acme, &team).await;
    let robot = world.robot("acme", None, "ci").await;
    assert_eq!(world.remove_organization("acme").await, OrganizationChange::Held);
    world.remove_robot(&robot).await;
    let repository = world.named("acme/app").await;
    assert_eq!(world.remove_organization("acme").await, OrganizationChange::Held);
    assert!(world.delete_repository(&repository).await);
    assert_eq!(world.remove_organization("acme").await, OrganizationChange::GivesUpDeleted, "until it is emptied");
    while world.change((), |tx, ()| Box::pin(tx.empty_deleted_repository(NOW + WINDOW, 9))).await {}
    assert_eq!(world.remove_organization("acme").await, OrganizationChange::Made);
    assert_eq!(world.remove_organization("acme").await, OrganizationChange::Unknown);
}

async fn a_removed_organization_leaves_nothing_behind(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    world.give(on_prefix(&acme, "acme/", world.alice.id), "read").await;
    world.blob(&world.repository("library").await, b"x").await;
    world.meddle(&format!("INSERT INTO account_blobs SELECT {}, id FROM blobs", acme.id)).await;
    assert_eq!(world.remove_organization("acme").await, OrganizationChange::Made);
    assert_eq!(world.metadata.account("acme").await.unwrap(), None);
    for table in ["members", "prefix_grants"] {
        assert_eq!(world.count(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM candidates WHERE kind = 'blob'").await, 1);
    assert!(world.metadata.user("alice").await.unwrap().is_some());
    let again = world.organization("acme", &world.alice).await;
    assert_ne!(again.id, acme.id);
}

async fn a_user_who_owns_alone_is_known(world: World) {
    let bob = world.user("bob").await;
    let alone = async |user| world.change(user, |tx, user| Box::pin(tx.owned_alone(*user))).await;
    assert_eq!(alone(world.alice.id).await, None);
    let (acme, other) =
        (world.organization("acme", &world.alice).await, world.organization("other", &world.alice).await);
    world.member(&acme, &bob, true).await;
    world.member(&other, &bob, false).await;
    assert_eq!(alone(world.alice.id).await.as_deref(), Some("other"));
    assert_eq!(alone(bob.id).await, None);
    world.member(&other, &bob, true).await;
    assert_eq!(alone(world.alice.id).await, None);
    let removed: Result<_, Error> = world.metadata.write((), |tx, ()| Box::pin(tx.remove_user("alice", NOW))).await;
    assert_eq!(removed.unwrap(), UserRemoval::Removed);
    assert_eq!(alone(bob.id).await.as_deref(), Some("acme"));
    assert_eq!(world.metadata.members(acme.id, &NameRange::after(None), None, 9).await.unwrap().len(), 1);
}

async fn its_settings_are_what_was_set(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    world.member(&acme, &bob, false).await;
    assert_eq!((acme.create_on_push, acme.writers_sign), (false, true));
    for (create_on_push, writers_sign) in [(true, true), (false, false), (true, false), (false, true)] {
        let settings = Organization { create_on_push, writers_sign, ..acme.clone() };
        world.change(settings.clone(), |tx, settings| Box::pin(tx.set_organization(settings))).await;
        assert_eq!(world.metadata.organization("acme").await.unwrap(), Some(settings.clone()));
        let (facts, _) = world.metadata.facts(None, &"acme/web".parse().unwrap()).await.unwrap();
        let account = facts.account.clone().unwrap();
        assert_eq!((account.create_on_push, account.writers_sign), (create_on_push, writers_sign));
        assert_eq!(world.metadata.organizations_of(world.alice.id).await.unwrap(), [(settings.clone(), true)]);
        assert_eq!(world.metadata.organizations_of(bob.id).await.unwrap(), [(settings, false)]);
    }
}

async fn who_is_gone_becomes_no_member(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    let removed: Result<_, Error> = world.metadata.write((), |tx, ()| Box::pin(tx.remove_user("bob", NOW))).await;
    assert_eq!(removed.unwrap(), UserRemoval::Removed);
    assert_eq!(world.member(&acme, &bob, true).await, OrganizationChange::Unknown);
    assert!(world.metadata.write((), move |tx, ()| Box::pin(tx.create_organization("b", bob.id, NOW))).await.is_err());
    assert_eq!(world.metadata.organization("b").await.unwrap(), None);
}

async fn a_membership_tells_which_directory_made_it(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    let put = async |user: &hallmark_storage::metadata::Principal| {
        let input = (acme.clone(), user.clone());
        world.change(input, |tx, (acme, user)| Box::pin(tx.put_member_from(acme, user, "ldap"))).await
    };
    let from = async |source: &'static str| {
        world.change((bob.id, source), |tx, (bob, source)| Box::pin(tx.organizations_without_team(*bob, source))).await
    };
    let member = async |user| {
        let members = world.metadata.members(acme.id, &NameRange::after(None), None, 9).await.unwrap();
        members.into_iter().find(|member| member.user == user).map(|member| (member.owner, member.source))
    };
    assert!(put(&bob).await);
    assert!(!put(&bob).await, "they are one");
    assert_eq!(member(bob.id).await, Some((false, Some("ldap".to_owned()))));
    assert_eq!((from("ldap").await, from("oidc").await), (vec!["acme".to_owned()], Vec::new()));
    assert!(!put(&world.alice).await, "an owner stays what they are");
    assert_eq!(member(world.alice.id).await, Some((true, None)));
    let is_in_a_team =
        async || world.change((acme.id, bob.id), |tx, (acme, bob)| Box::pin(tx.is_in_a_team(*acme, *bob))).await;
    assert!(!is_in_a_team().await);
    world.join(&world.team(&acme, "web").await, &bob).await;
    assert!(is_in_a_team().await);
    // What a hand gives is not the directory's any more.
    assert_eq!(world.member(&acme, &bob, false).await, OrganizationChange::Made);
    assert_eq!((member(bob.id).await, from("ldap").await.len()), (Some((false, None)), 0));
    let removed: Result<_, Error> = world.metadata.write((), |tx, ()| Box::pin(tx.remove_user("bob", NOW))).await;
    assert_eq!(removed.unwrap(), UserRemoval::Removed);
    assert!(!put(&bob).await, "they are gone");
}

async fn what_rests_is_held_by_nobody_until_it_is_woken(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    let other = world.organization("other", &world.alice).await;
    let (app, elsewhere) = (world.named("acme/app").await, world.named("other/app").await);
    for (repository, organization) in [(&app, &acme), (&elsewhere, &other)] {
        world.give(on_repository(repository, bob.id), "read+sign").await;
        world.give(on_prefix(organization, &format!("{}/web-", organization.name), bob.id), "admin").await;
    }
    let of_acme = async || {
        let grants = world.change((acme.id, bob.id), |tx, (acme, bob)| Box::pin(tx.grants_in(*acme, *bob))).await;
        let told = |(grant, repository): (hallmark_storage::metadata::GrantLine, _)| {
            (grant.target(), grant.rights.to_string(), grant.rests, repository)
        };
        grants.into_iter().map(told).collect::<Vec<_>>()
    };
    let all = |rests| {
        [
            ("acme/web-*".to_owned(), "admin".to_owned(), rests, None),
            ("acme/app".to_owned(), "read+sign".to_owned(), rests, Some(app.id)),
        ]
    };
    let seen = async || {
        let sight = Viewer::Principal(world.metadata.sight(bob.id).await.unwrap());
        let (facts, _) = world.metadata.facts(Some(bob.id), &"acme/app".parse().unwrap()).await.unwrap();
        (world.metadata.catalog(&sight, &NameRange::after(None), None, 9).await.unwrap(), facts.grants.len())
    };
    let both = vec!["acme/app".to_owned(), "other/app".to_owned()];
    assert_eq!((of_acme().await, seen().await), (all(false).to_vec(), (both.clone(), 1)));
    for _ in 0..2 {
        let input = (acme.clone(), bob.id);
        world.change(input, |tx, (acme, bob)| Box::pin(tx.rest_grants(acme, *bob))).await;
        assert_eq!((of_acme().await, seen().await), (all(true).to_vec(), (vec!["other/app".to_owned()], 0)));
    }
    for _ in 0..2 {
        let input = (acme.clone(), bob.id);
        world.change(input, |tx, (acme, bob)| Box::pin(tx.wake_grants(acme, *bob))).await;
        assert_eq!((of_acme().await, seen().await), (all(false).to_vec(), (both.clone(), 1)));
    }
}

async fn who_a_source_brought_is_taken_out_when_it_vouches_no_more(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    let team = world.team(&acme, "dev").await;
    let part =
        async || world.change((acme.clone(), bob.clone()), |tx, (acme, bob)| Box::pin(tx.part_from(acme, bob))).await;
    let is_in = async |source: &str| world.metadata.is_in_a_team_from(bob.id, source).await.unwrap();
    assert_eq!(part().await, OrganizationChange::Unknown);
    world.member(&acme, &bob, false).await;
    assert_eq!(part().await, OrganizationChange::Unknown, "made a member by hand");
    world
        .meddle(
            "UPDATE members SET source = 'corp' WHERE user_id IN (SELECT principal_id FROM users WHERE name = 'bob')",
        )
        .await;
    world.try_join(&team, &bob, "corp").await.unwrap();
    assert!(is_in("corp").await && !is_in("other").await);
    world.leave(&team, &bob, "corp").await;
    assert_eq!(part().await, OrganizationChange::Made);
    assert_eq!(world.metadata.membership(acme.id, bob.id).await.unwrap(), None);
}
