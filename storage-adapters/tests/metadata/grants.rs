//! Grants on repositories and on prefixes of names.

use hallmark_storage::metadata::{GrantLine, Holder, PREFIXES, PrincipalId, Rights};

use crate::harness::people::{Holding, grant, on_prefix, on_repository};
use crate::harness::{NOW, WINDOW, World, family};

family! {
    a_grant_is_put_replaced_and_taken,
    a_holder_has_so_many_prefixes_in_an_account,
    grants_on_a_repository_page_by_holder,
    grants_on_prefixes_page_by_prefix_and_holder,
    a_holder_is_told_by_name,
    grants_of_a_deleted_repository_are_seen_by_nobody,
    a_renamed_repository_keeps_its_grants,
    what_a_holder_has_is_listed,
}

async fn held(world: &World, holding: &Holding) -> Option<Rights> {
    world.change(holding.clone(), |tx, holding| Box::pin(async move { tx.grant(&grant(holding)).await })).await
}

async fn a_grant_is_put_replaced_and_taken(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    let repository = world.named("acme/app").await;
    for holding in [on_repository(&repository, bob.id), on_prefix(&acme, "acme/web-", bob.id)] {
        assert_eq!(held(&world, &holding).await, None);
        for rights in ["read", "write+delete"] {
            assert!(world.give(holding.clone(), rights).await);
            assert_eq!(held(&world, &holding).await, Some(rights.parse().unwrap()), "{holding:?}");
        }
        assert_eq!(world.metadata.grants_of(bob.id, 9).await.unwrap().len(), 1);
        assert!(world.take(holding.clone()).await);
        assert!(!world.take(holding.clone()).await);
        assert_eq!(held(&world, &holding).await, None);
    }
}

async fn a_holder_has_so_many_prefixes_in_an_account(world: World) {
    let (acme, other) =
        (world.organization("acme", &world.alice).await, world.organization("other", &world.alice).await);
    let bob = world.user("bob").await;
    for number in 0..PREFIXES {
        assert!(world.give(on_prefix(&acme, &format!("acme/{number}-"), bob.id), "read").await);
    }
    assert!(!world.give(on_prefix(&acme, "acme/more", bob.id), "read").await);
    assert!(world.give(on_prefix(&acme, "acme/0-", bob.id), "admin").await, "one that is there is replaced");
    assert!(world.give(on_prefix(&other, "other/", bob.id), "read").await, "another account");
    assert!(world.give(on_prefix(&acme, "acme/more", world.alice.id), "read").await, "another holder");
    assert!(world.take(on_prefix(&acme, "acme/1-", bob.id)).await);
    assert!(world.give(on_prefix(&acme, "acme/more", bob.id), "read").await);
    let count = format!("SELECT COUNT(*) FROM prefix_grants WHERE principal_id = {}", bob.id);
    assert_eq!(world.count(&count).await, i64::from(PREFIXES) + 1);
}

async fn grants_on_a_repository_page_by_holder(world: World) {
    world.organization("acme", &world.alice).await;
    let (repository, other) = (world.named("acme/app").await, world.named("acme/other").await);
    let mut holders = Vec::new();
    for number in 0..7 {
        let holder = world.user(&format!("user-{number}")).await.id;
        world.give(on_repository(&repository, holder), "read").await;
        holders.push(holder);
    }
    world.give(on_repository(&other, world.alice.id), "read").await;
    holders.sort_unstable();
    for limit in [1, 2, 3, 9] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page: Vec<GrantLine> = world.metadata.grants_on(repository.id, after, limit).await.unwrap();
            assert!(page.iter().all(|line| line.on == "acme/app" && !line.is_prefix));
            seen.extend(page.iter().filter_map(|line| line.holder.as_ref()).map(|(id, _)| *id));
            let Some(last) = page.last().and_then(|line| line.holder.as_ref()) else { break };
            after = Some(last.0);
        }
        assert_eq!(seen, holders, "{limit}");
    }
}

async fn grants_on_prefixes_page_by_prefix_and_holder(world: World) {
    let (acme, other) =
        (world.organization("acme", &world.alice).await, world.organization("other", &world.alice).await);
    world.give(on_prefix(&other, "other/", world.alice.id), "read").await;
    let mut given: Vec<(String, PrincipalId)> = Vec::new();
    for number in 0..3 {
        let holder = world.user(&format!("user-{number}")).await.id;
        for prefix in ["acme/", "acme/a", "acme/a-", "acme/a.b"] {
            world.give(on_prefix(&acme, prefix, holder), "read").await;
            given.push((prefix.to_owned(), holder));
        }
    }
    given.sort_unstable();
    for limit in [1, 2, 5, 20] {
        let mut seen: Vec<(String, PrincipalId)> = Vec::new();
        loop {
            let after = seen.last().map(|(prefix, holder)| (prefix.as_str(), *holder));
            let page: Vec<GrantLine> = world.metadata.prefix_grants(acme.id, after, limit).await.unwrap();
            if page.is_empty() {
                break;
            }
            seen.extend(page.into_iter().map(|line| (line.on, line.holder.unwrap().0)));
        }
        assert_eq!(seen, given, "{limit}");
    }
}

async fn a_holder_is_told_by_name(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let (team, robot) = (world.team(&acme, "web").await, world.robot("alice", None, "ci").await);
    let repository = world.named("acme/app").await;
    let holders = [
        (world.alice.id, Holder::User("alice".into())),
        (team.id, Holder::Team("acme".into(), "web".into())),
        (robot.id, Holder::Robot("alice".into(), "ci".into())),
    ];
    for (id, holder) in &holders {
        world.give(on_repository(&repository, *id), "read").await;
        world.give(on_prefix(&acme, "acme/", *id), "sign").await;
        assert_eq!(world.metadata.holder(*id).await.unwrap().as_ref(), Some(holder));
    }
    let mut told = holders.to_vec();
    told.sort_by_key(|(id, _)| *id);
    let by = |lines: Vec<GrantLine>| lines.into_iter().map(|line| line.holder.unwrap()).collect::<Vec<_>>();
    assert_eq!(by(world.metadata.grants_on(repository.id, None, 9).await.unwrap()), told);
    let prefixes = world.metadata.prefix_grants(acme.id, None, 9).await.unwrap();
    let line = prefixes.first().unwrap();
    assert_eq!((line.granted_by, line.granted_at, line.rights), (world.alice.id, NOW, Rights::SIGN));
    assert_eq!(line.giver, Some(Holder::User("alice".to_owned())));
    assert_eq!(by(prefixes), told);
    assert_eq!(world.metadata.holder(PrincipalId::SYSTEM).await.unwrap(), None);
}

async fn grants_of_a_deleted_repository_are_seen_by_nobody(world: World) {
    let repository = world.repository("alice/app").await;
    let bob = world.user("bob").await;
    world.give(on_repository(&repository, bob.id), "admin").await;
    world.delete_repository(&repository).await;
    assert_eq!(world.metadata.grants_of(bob.id, 9).await.unwrap(), []);
    assert_eq!(world.metadata.grants_on(repository.id, None, 9).await.unwrap(), []);
    let again = world.repository("alice/app").await;
    assert_eq!(world.metadata.facts(Some(bob.id), &again.name).await.unwrap().0.grants, []);
    while world.change((), |tx, ()| Box::pin(tx.empty_deleted_repository(NOW + WINDOW, 9))).await {}
    assert_eq!(world.count("SELECT COUNT(*) FROM repository_grants").await, 0);
}

async fn a_renamed_repository_keeps_its_grants(world: World) {
    let repository = world.repository("alice/app").await;
    let bob = world.user("bob").await;
    world.give(on_repository(&repository, bob.id), "write").await;
    assert!(world.rename(&repository, "alice/web").await);
    let grants = world.metadata.grants_of(bob.id, 9).await.unwrap();
    assert_eq!((grants[0].on.as_str(), grants[0].rights), ("alice/web", Rights::WRITE));
    let (facts, _) = world.metadata.facts(Some(bob.id), &"alice/web".parse().unwrap()).await.unwrap();
    assert_eq!(facts.grants.len(), 1);
}

async fn what_a_holder_has_is_listed(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let bob = world.user("bob").await;
    for name in ["acme/a", "acme/b", "acme/c"] {
        let repository = world.named(name).await;
        world.give(on_repository(&repository, bob.id), "read").await;
        world.give(on_prefix(&acme, name, bob.id), "read").await;
    }
    let of = async |limit| world.metadata.grants_of(bob.id, limit).await.unwrap();
    assert_eq!((of(9).await.len(), of(2).await.len()), (6, 4));
    assert!(of(9).await[..3].iter().all(|line| line.is_prefix && line.holder.is_none()));
    assert_eq!(world.metadata.grants_of(world.alice.id, 9).await.unwrap(), []);
}
