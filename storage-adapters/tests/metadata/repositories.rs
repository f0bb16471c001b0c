//! Repositories and the catalog.

use hallmark_storage::metadata::{
    AccountId, Error, NameRange, PrincipalId, Repository, RepositoryId, UserRemoval, Viewer, Visibility,
};

use crate::harness::images::{image, index};
use crate::harness::people::{on_prefix, on_repository};
use crate::harness::{NOW, WINDOW, World, family};

family! {
    a_repository_is_private_until_it_is_opened,
    making_a_repository_twice_gives_the_same_one,
    a_repository_of_one_component_belongs_to_the_system,
    a_push_into_a_deleted_repository_is_refused,
    a_name_taken_again_is_another_repository,
    a_deleted_repository_is_emptied_in_batches_and_its_owner_can_go,
    the_catalog_shows_what_the_viewer_may_see,
    the_catalog_pages_in_byte_order,
    the_catalog_is_narrowed_by_prefix_and_visibility,
    a_page_counts_what_is_seen_twice_once,
    prefixes_that_reach_nothing_are_passed_by_a_few_statements,
    a_repository_takes_a_name_that_is_free,
    a_repository_that_is_gone_is_not_changed,
    a_repository_is_described,
    a_name_is_told_by_its_id_while_it_is_the_repository_s,
}

async fn open(world: &World, repository: &Repository, public: bool) {
    let set: Result<bool, Error> = world
        .metadata
        .write((repository.clone(), public), |tx, (repository, public)| Box::pin(tx.set_public(repository, *public)))
        .await;
    assert!(set.unwrap());
}

async fn delete(world: &World, repository: &Repository) -> bool {
    let deleted: Result<bool, Error> = world
        .metadata
        .write(repository.clone(), |tx, repository| Box::pin(tx.delete_repository(repository, NOW)))
        .await;
    deleted.unwrap()
}

async fn a_repository_is_private_until_it_is_opened(world: World) {
    let repository = world.repository("alice/app").await;
    assert!(!repository.public);
    open(&world, &repository, true).await;
    assert!(world.metadata.repository(&repository.name).await.unwrap().unwrap().public);
    open(&world, &repository, false).await;
    assert!(!world.metadata.repository(&repository.name).await.unwrap().unwrap().public);
}

async fn making_a_repository_twice_gives_the_same_one(world: World) {
    let first = world.repository("alice/app").await;
    assert_eq!(world.repository("alice/app").await, first);
    assert_eq!((first.account_name.as_deref(), first.owner), (Some("alice"), Some(world.alice.id)));
}

async fn a_repository_of_one_component_belongs_to_the_system(world: World) {
    let repository = world.repository("library").await;
    assert_eq!((repository.account_id, repository.account_name, repository.owner), (AccountId::SYSTEM, None, None));
}

async fn a_push_into_a_deleted_repository_is_refused(world: World) {
    let repository = world.repository("alice/app").await;
    let upload = world.upload(&repository, 1).await;
    assert!(delete(&world, &repository).await);
    assert!(!delete(&world, &repository).await, "it no longer lives");
    assert_eq!(world.metadata.repository(&repository.name).await.unwrap(), None);
    assert_eq!(world.finish(&repository, upload, b"x").await.unwrap(), None);
    assert_eq!(world.count("SELECT COUNT(*) FROM repository_blobs").await, 0);
    let removed: Result<_, Error> = world.metadata.write((), |tx, ()| Box::pin(tx.remove_user("alice", NOW))).await;
    assert_eq!(removed.unwrap(), UserRemoval::GivesUpDeleted, "until the collector has emptied it");
}

async fn a_deleted_repository_is_emptied_in_batches_and_its_owner_can_go(world: World) {
    let (gone, kept) = (world.repository("alice/app").await, world.repository("library").await);
    let layers = [world.blob(&gone, b"a").await, world.blob(&gone, b"b").await];
    world.blob(&kept, b"a").await;
    let child = world.put(&gone, &image(&layers[0], &[&layers[1]], "1"), &["1", "2", "3"]).await;
    let middle = world.put(&gone, &index(&[&child]), &["4"]).await;
    world.put(&gone, &index(&[&middle]), &[]).await;
    world.upload(&gone, 77).await;
    world.delete_tag(&gone, "4").await;
    assert!(delete(&world, &gone).await);
    let empty = async || -> bool {
        let emptied: Result<_, Error> =
            world.metadata.write((), |tx, ()| Box::pin(tx.empty_deleted_repository(NOW + WINDOW, 2))).await;
        emptied.unwrap()
    };
    let mut batches = 0;
    while empty().await {
        batches += 1;
        world.is_sound().await;
    }
    // An upload; three tags; three manifests, each naming the next; two links; the histories of four names; the row.
    assert_eq!(batches, 1 + 2 + 3 + 1 + 2 + 1);
    let left = "SELECT COUNT(*) FROM repositories WHERE name IS NULL";
    assert_eq!(world.count(left).await, 0);
    assert_eq!(world.count("SELECT COUNT(*) FROM manifests").await, 0);
    assert_eq!(world.count("SELECT COUNT(*) FROM repository_blobs").await, 1, "another repository keeps its own");
    assert_eq!(world.count("SELECT COUNT(*) FROM candidates WHERE kind = 'account'").await, 2);
    let removed: Result<_, Error> = world.metadata.write((), |tx, ()| Box::pin(tx.remove_user("alice", NOW))).await;
    assert_eq!(removed.unwrap(), UserRemoval::Removed);
}

async fn a_name_taken_again_is_another_repository(world: World) {
    let first = world.repository("alice/app").await;
    let digest = world.blob(&first, b"x").await;
    delete(&world, &first).await;
    let second = world.repository("alice/app").await;
    assert_ne!(second.id, first.id);
    assert_eq!(
        world.metadata.blob(second.id, &digest).await.unwrap(),
        None,
        "a name that is taken again inherits nothing"
    );
}

async fn seen_by(world: &World, principal: PrincipalId) -> Viewer {
    Viewer::Principal(world.metadata.sight(principal).await.unwrap())
}

async fn the_catalog_shows_what_the_viewer_may_see(world: World) {
    let bob = world.user("bob").await;
    world.repository("alice/private").await;
    let public = world.repository("alice/public").await;
    open(&world, &public, true).await;
    world.repository_in("bob/app".parse().unwrap(), bob.account_id).await;
    let see = async |viewer| world.metadata.catalog(&viewer, &NameRange::after(None), None, 10).await.unwrap();
    assert_eq!(see(Viewer::All).await, ["alice/private", "alice/public", "bob/app"]);
    assert_eq!(see(Viewer::Public).await, ["alice/public"]);
    assert_eq!(see(seen_by(&world, bob.id).await).await, ["alice/public", "bob/app"]);
    assert_eq!(see(seen_by(&world, world.alice.id).await).await, ["alice/private", "alice/public"]);
}

async fn the_catalog_is_narrowed_by_prefix_and_visibility(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    let names = ["acme/a", "acme/app", "acme/app-2", "acme/apq", "acme/b", "bob/app", "bob/own"];
    for name in names {
        let repository = match name.starts_with("bob/") {
            true => world.repository_in(name.parse().unwrap(), bob.account_id).await,
            false => world.named(name).await,
        };
        open(&world, &repository, name.ends_with("app")).await;
        if name == "acme/b" {
            world.give(on_repository(&repository, bob.id), "read").await;
        }
    }
    world.give(on_prefix(&acme, "acme/app", bob.id), "read").await;
    let bobs = seen_by(&world, bob.id).await;
    let is_public = |name: &&str| name.ends_with("app");
    let is_bobs = |name: &&str| !["acme/a", "acme/apq"].contains(name);
    for prefix in ["", "acme/", "acme/app", "acme/app-", "b", "bob/own", "bob/owner", "A", "é"] {
        for visibility in [None, Some(Visibility::Public), Some(Visibility::Private)] {
            let wanted = |name: &&str| {
                name.starts_with(prefix)
                    && visibility.is_none_or(|wanted| is_public(name) == (wanted == Visibility::Public))
            };
            for (viewer, sees) in [
                (&Viewer::All, &(|_: &&str| true) as &(dyn Fn(&&str) -> bool + Sync)),
                (&Viewer::Public, &is_public),
                (&bobs, &is_bobs),
            ] {
                let expected: Vec<_> = names.into_iter().filter(|name| wanted(name) && sees(name)).collect();
                for limit in [1, 2, 9] {
                    let (mut seen, mut after) = (Vec::new(), None::<String>);
                    loop {
                        let range = NameRange::of(prefix, after.as_deref());
                        let page = world.metadata.catalog(viewer, &range, visibility, limit).await.unwrap();
                        let Some(last) = page.last() else { break };
                        after = Some(last.clone());
                        seen.extend(page);
                    }
                    assert_eq!(seen, expected, "{viewer:?} {prefix:?} {visibility:?} {limit}");
                }
            }
        }
    }
}

async fn the_catalog_pages_in_byte_order(world: World) {
    let names = ["alice/ab", "alice/a.b", "alice/a-b", "alice/a_b", "alice/a", "alice/a/b"];
    for name in names {
        world.repository(name).await;
    }
    let mut sorted = names;
    sorted.sort_unstable();
    for viewer in [Viewer::All, seen_by(&world, world.alice.id).await] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = world.metadata.catalog(&viewer, &NameRange::after(after.as_deref()), None, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            seen.extend(page);
        }
        assert_eq!(seen, sorted, "{viewer:?}");
    }
}

async fn a_page_counts_what_is_seen_twice_once(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    let teams = [world.team(&acme, "one").await, world.team(&acme, "two").await];
    world.member(&acme, &bob, false).await;
    for team in &teams {
        world.join(team, &bob).await;
        world.try_join(team, &bob, "ldap").await.unwrap();
    }
    let names = ["acme/a", "acme/b", "acme/c", "acme/d", "acme/e"];
    for name in names {
        let repository = world.named(name).await;
        for holder in [bob.id, teams[0].id, teams[1].id] {
            world.give(on_repository(&repository, holder), "read").await;
        }
        open(&world, &repository, name != "acme/b").await;
    }
    world.give(on_prefix(&acme, "acme/d", bob.id), "read").await;
    let viewer = seen_by(&world, bob.id).await;
    for limit in 1..=6 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = world.metadata.catalog(&viewer, &NameRange::after(after.as_deref()), None, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            seen.extend(page);
        }
        assert_eq!(seen, names, "{limit}");
    }
}

async fn prefixes_that_reach_nothing_are_passed_by_a_few_statements(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    world
        .meddle(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 399)
             INSERT INTO prefix_grants (account_id, prefix, principal_id, rights, granted_by, granted_at)
             SELECT {}, 'acme/p' || i || '-', {}, 1, {}, 0 FROM n",
            acme.id.0, bob.id.0, bob.id.0
        ))
        .await;
    // What others have between any two of them, which no page of bob's tells of.
    world
        .meddle(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 399)
             INSERT INTO repositories (id, account_id, name, created_at)
             SELECT 1000000 + i, {}, 'acme/p' || i || 'x', 0 FROM n",
            acme.id.0
        ))
        .await;
    let (mut names, mut private) = (Vec::new(), Vec::new());
    for number in (103..390).step_by(29) {
        for (name, public) in [(format!("acme/p{number}-a"), false), (format!("acme/p{}-b", number + 7), true)] {
            open(&world, &world.named(&name).await, public).await;
            if !public {
                private.push(name.clone());
            }
            names.push(name);
        }
    }
    let viewer = seen_by(&world, bob.id).await;
    for (visibility, expected) in [(None, &names), (Some(Visibility::Private), &private)] {
        for limit in [3, 100] {
            let (mut seen, mut after, mut pages) = (Vec::new(), None::<String>, 0);
            let before = world.metadata.statistics().reads;
            loop {
                let range = NameRange::after(after.as_deref());
                let page = world.metadata.catalog(&viewer, &range, visibility, limit).await.unwrap();
                pages += 1;
                let Some(last) = page.last() else { break };
                after = Some(last.clone());
                seen.extend(page);
            }
            let asked = world.metadata.statistics().reads - before;
            assert_eq!(&seen, expected, "{visibility:?} {limit}");
            // For each page what was granted on single ones, what is public, the first ranges and up to six looks; for each entry its
            // range.
            let most = pages * (2 + 4 + 6) + seen.len() as u64;
            assert!(asked <= most, "{asked} statements for {pages} pages of {}", seen.len());
        }
    }
}

async fn a_repository_takes_a_name_that_is_free(world: World) {
    let (app, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    let digest = world.blob(&app, b"x").await;
    assert!(!world.rename(&app, "alice/other").await);
    assert!(!world.rename(&app, "alice/app").await, "it has that one");
    assert!(world.rename(&app, "alice/web").await);
    let renamed = world.metadata.repository(&"alice/web".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(renamed, Repository { name: "alice/web".parse().unwrap(), ..app.clone() });
    assert_eq!(world.metadata.repository(&app.name).await.unwrap(), None);
    assert!(world.metadata.blob(app.id, &digest).await.unwrap().is_some(), "what it holds stays");
    assert_ne!(world.repository("alice/app").await.id, app.id, "the old name is free");
    delete(&world, &other).await;
    assert!(world.rename(&renamed, "alice/other").await, "and so is that of a deleted one");
}

async fn a_repository_that_is_gone_is_not_changed(world: World) {
    let repository = world.repository("alice/app").await;
    assert!(delete(&world, &repository).await);
    assert!(!world.rename(&repository, "alice/web").await);
    assert!(!world.open_up(&repository, true).await);
    let held = world.change(repository.name, |tx, name| Box::pin(tx.hold_repository(name))).await;
    assert_eq!(held, None);
}

async fn a_repository_is_described(world: World) {
    let repository = world.repository("alice/app").await;
    assert_eq!(world.metadata.description(repository.id).await.unwrap(), Some((String::new(), NOW)));
    let (id, held, said) = world
        .change(repository, |tx, repository| {
            Box::pin(async move {
                tx.describe_repository(repository, "in words").await?;
                let held = tx.hold_repository(&repository.name).await?;
                Ok((repository.id, held.as_ref() == Some(repository), tx.described(repository.id).await?.0))
            })
        })
        .await;
    assert_eq!((held, said.as_str()), (true, "in words"));
    assert_eq!(world.metadata.description(id).await.unwrap(), Some(("in words".to_owned(), NOW)));
}

async fn a_name_is_told_by_its_id_while_it_is_the_repository_s(world: World) {
    let repository = world.repository("alice/app").await;
    let name = async || world.metadata.repository_name(repository.id).await.unwrap();
    assert_eq!(name().await, Some("alice/app".parse().unwrap()));
    assert!(world.rename(&repository, "alice/new").await);
    assert_eq!(name().await, Some("alice/new".parse().unwrap()));
    assert!(world.delete_repository(&Repository { name: "alice/new".parse().unwrap(), ..repository.clone() }).await);
    assert_eq!(name().await, None, "its emptying has not begun");
    assert_eq!(world.metadata.repository_name(RepositoryId(7)).await.unwrap(), None);
}
