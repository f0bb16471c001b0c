//! Teams of an organization and who is in them.

use hallmark_storage::metadata::{Error, ErrorKind, NameRange, OrganizationChange, TeamMember};

use crate::harness::people::{on_prefix, on_repository};
use crate::harness::{World, family};

family! {
    a_team_is_unique_in_its_organization,
    only_members_of_the_organization_are_in_its_teams,
    a_hand_and_a_directory_take_back_their_own,
    who_is_in_a_team_twice_is_shown_twice,
    teams_page_in_byte_order,
    a_removed_team_takes_its_grants_along,
    a_team_is_described,
}

async fn a_team_is_unique_in_its_organization(world: World) {
    let (acme, other) =
        (world.organization("acme", &world.alice).await, world.organization("other", &world.alice).await);
    let team = world.team(&acme, "web").await;
    assert_eq!(world.try_team(&acme, "web").await, None);
    let elsewhere = world.team(&other, "web").await;
    assert_ne!(elsewhere.id, team.id);
    assert_eq!(world.metadata.team(acme.id, "web").await.unwrap(), Some(team));
    assert_eq!(world.metadata.team(acme.id, "Web").await.unwrap(), None);
    assert_eq!(world.count("SELECT COUNT(*) FROM principals WHERE kind = 'team'").await, 2);
}

async fn only_members_of_the_organization_are_in_its_teams(world: World) {
    let (acme, other) =
        (world.organization("acme", &world.alice).await, world.organization("other", &world.alice).await);
    let (team, bob) = (world.team(&acme, "web").await, world.user("bob").await);
    world.member(&other, &bob, true).await;
    let refused: Error = world.try_join(&team, &bob, "").await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Constraint | ErrorKind::Contended), "{refused}");
    assert_eq!(world.metadata.team_members(team.id, "", None, 9).await.unwrap(), []);
    assert_eq!(world.member(&acme, &bob, false).await, OrganizationChange::Made);
    assert!(world.try_join(&team, &bob, "").await.unwrap());
    assert!(!world.try_join(&team, &bob, "").await.unwrap(), "they are in it");
}

async fn a_hand_and_a_directory_take_back_their_own(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let team = world.team(&acme, "web").await;
    for source in ["", "ldap"] {
        assert!(world.try_join(&team, &world.alice, source).await.unwrap());
    }
    let from = async |source: &'static str| {
        world
            .change((world.alice.id, source), |tx, (user, source)| Box::pin(tx.teams_from(*user, source)))
            .await
            .into_iter()
            .map(|(id, organization, team)| format!("{id} {organization}/{team}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(from("ldap").await, [format!("{} acme/web", team.id)]);
    assert!(!world.leave(&team, &world.alice, "oidc").await);
    assert!(world.leave(&team, &world.alice, "ldap").await);
    assert_eq!(from("ldap").await, [""; 0]);
    assert_eq!(world.metadata.teams_of(world.alice.id).await.unwrap().len(), 1, "a hand put them there too");
    assert!(world.leave(&team, &world.alice, "").await);
    assert_eq!(world.metadata.teams_of(world.alice.id).await.unwrap(), []);
}

async fn who_is_in_a_team_twice_is_shown_twice(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let team = world.team(&acme, "web").await;
    for name in ["bob", "ab", "a-b"] {
        let user = world.user(name).await;
        world.member(&acme, &user, false).await;
        for source in ["ldap", "", "oidc"] {
            world.try_join(&team, &user, source).await.unwrap();
        }
    }
    assert_eq!(world.metadata.teams_of(world.user("zoe").await.id).await.unwrap(), []);
    let all = ["a-b:", "a-b:ldap", "a-b:oidc", "ab:", "ab:ldap", "ab:oidc", "bob:", "bob:ldap", "bob:oidc"];
    for (prefix, limit) in [("", 1), ("", 2), ("", 100), ("a", 2), ("ab", 1), ("b", 2), ("A", 2), ("é", 2)] {
        let (mut seen, mut after) = (Vec::new(), None::<(String, String)>);
        loop {
            let from = after.as_ref().map(|(name, source)| (name.as_str(), source.as_str()));
            let page: Vec<TeamMember> = world.metadata.team_members(team.id, prefix, from, limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = Some((last.name.clone(), last.source.clone()));
            seen.extend(page.into_iter().map(|member| format!("{}:{}", member.name, member.source)));
        }
        let expected: Vec<_> = all.into_iter().filter(|member| member.starts_with(prefix)).collect();
        assert_eq!(seen, expected, "{prefix:?}, {limit} at a time");
    }
    let from = Some(("a", "ldap"));
    assert_eq!(
        world.metadata.team_members(team.id, "b", from, 9).await.unwrap().len(),
        3,
        "a cursor before the prefix"
    );
}

async fn teams_page_in_byte_order(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    for name in ["ab", "a.b", "a-b"] {
        world.team(&acme, name).await;
    }
    let names = async |after| -> Vec<String> {
        let page = world.metadata.teams(acme.id, &NameRange::after(after), 2).await.unwrap();
        page.into_iter().map(|team| team.name).collect()
    };
    assert_eq!(names(None).await, ["a-b", "a.b"]);
    assert_eq!(names(Some("a.b")).await, ["ab"]);
    let begun = world.metadata.teams(acme.id, &NameRange::of("a-", None), 9).await.unwrap();
    assert_eq!(begun.into_iter().map(|team| team.name).collect::<Vec<_>>(), ["a-b"]);
}

async fn a_removed_team_takes_its_grants_along(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let (team, kept) = (world.team(&acme, "web").await, world.team(&acme, "kept").await);
    let repository = world.named("acme/app").await;
    for team in [&team, &kept] {
        world.join(team, &world.alice).await;
        world.give(on_repository(&repository, team.id), "read").await;
        world.give(on_prefix(&acme, "acme/", team.id), "read").await;
    }
    world.remove_team(&acme, &team).await;
    assert_eq!(world.metadata.team(acme.id, "web").await.unwrap(), None);
    assert_eq!(world.metadata.teams_of(world.alice.id).await.unwrap(), [("acme".to_owned(), "kept".to_owned())]);
    for table in ["team_members", "repository_grants", "prefix_grants", "teams"] {
        assert_eq!(world.count(&format!("SELECT COUNT(*) FROM {table}")).await, 1, "{table}");
    }
    assert_eq!(world.metadata.holder(team.id).await.unwrap(), None);
    assert_ne!(world.team(&acme, "web").await.id, team.id);
}

async fn a_team_is_described(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let team = world.team(&acme, "web").await;
    let held = world
        .change((acme.id, team), |tx, (acme, team)| {
            Box::pin(async move {
                tx.describe_team(team, "other words").await?;
                tx.team(*acme, "web").await
            })
        })
        .await;
    assert_eq!(held.unwrap().description, "other words");
}
