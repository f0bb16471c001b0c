//! What the registry signs by itself, and the checks that were reported.

use hallmark_oci::{Digest, Tag};
use hallmark_storage::metadata::{PrincipalId, Reported, Repository, RepositoryId, SignRule};

use crate::harness::images::image;
use crate::harness::{NOW, World, family};

family! {
    a_rule_is_kept_shown_and_removed,
    a_push_is_signed_by_the_rule_of_its_pusher_or_a_team_of_theirs,
    a_check_counts_where_a_rule_names_it_and_who_reports_it,
    rules_and_reports_go_with_who_they_name,
}

async fn rule(world: &World, repository: &Repository, holder: PrincipalId, check: Option<&str>) -> Option<SignRule> {
    let input = (repository.id, holder, check.map(str::to_owned));
    world
        .change(input, |tx, (repository, holder, check)| {
            Box::pin(tx.add_sign_rule(*repository, (*holder, "somebody"), check.as_deref(), (NOW, 3)))
        })
        .await
}

async fn report(world: &World, repository: &Repository, digest: &Digest, by: PrincipalId) -> Reported {
    let input = (repository.id, digest.clone(), by);
    world
        .change(input, |tx, (repository, digest, by)| {
            Box::pin(tx.report_check(*repository, digest, ("tests", *by), NOW))
        })
        .await
}

async fn push(world: &World, repository: &Repository, tags: &[&str]) -> Digest {
    let config = world.blob(repository, b"{}").await;
    world.put(repository, &image(&config, &[], "note"), tags).await
}

async fn a_rule_is_kept_shown_and_removed(world: World) {
    let (app, other) = (world.repository("alice/app").await, world.repository("alice/other").await);
    let first = rule(&world, &app, world.alice.id, None).await.unwrap();
    let second = rule(&world, &app, world.alice.id, Some("tests")).await.unwrap();
    assert_eq!((first.check.clone(), second.check.as_deref()), (None, Some("tests")));
    assert!(rule(&world, &app, world.alice.id, None).await.is_some());
    assert_eq!(rule(&world, &app, world.alice.id, None).await, None, "one more than there may be");
    let page = async |after: i64, limit: u32| world.metadata.sign_rules(app.id, after, limit).await.unwrap();
    assert_eq!(page(0, 2).await, [first.clone(), second.clone()]);
    assert_eq!(page(first.id, 1).await, std::slice::from_ref(&second));
    let ruled = world.metadata.with_sign_rules([app.id, other.id, RepositoryId(-1)]).await.unwrap();
    assert_eq!(ruled, [app.id]);
    let remove = async |repository: RepositoryId, id: i64| {
        world.change((repository, id), |tx, (repository, id)| Box::pin(tx.remove_sign_rule(*repository, *id))).await
    };
    assert!(!remove(other.id, first.id).await, "another's");
    assert!(remove(app.id, first.id).await && !remove(app.id, first.id).await);
}

async fn a_push_is_signed_by_the_rule_of_its_pusher_or_a_team_of_theirs(world: World) {
    let (acme, bob) = (world.organization("acme", &world.alice).await, world.user("bob").await);
    let app = world.named("acme/app").await;
    world.member(&acme, &bob, false).await;
    let team = world.team(&acme, "dev").await;
    let of = async |by: PrincipalId| world.metadata.sign_rule_of_push(app.id, by, NOW).await.unwrap();
    rule(&world, &app, team.id, None).await.unwrap();
    assert_eq!((of(bob.id).await, of(world.alice.id).await), (None, None));
    world.join(&team, &bob).await;
    assert_eq!((of(bob.id).await.as_deref(), of(world.alice.id).await), (Some("somebody"), None));
    rule(&world, &app, world.alice.id, Some("tests")).await.unwrap();
    assert_eq!(of(world.alice.id).await, None, "a rule of a check signs no push");
    rule(&world, &app, world.alice.id, None).await.unwrap();
    assert_eq!(of(world.alice.id).await.as_deref(), Some("somebody"));
    let before = world.metadata.sign_rule_of_push(app.id, world.alice.id, NOW - 1).await.unwrap();
    assert_eq!(before, None, "it was not there then");
}

async fn a_check_counts_where_a_rule_names_it_and_who_reports_it(world: World) {
    let app = world.repository("alice/app").await;
    let digest = push(&world, &app, &["a", "b"]).await;
    let bob = world.user("bob").await;
    let far = NOW + 1_000;
    let of = async || world.metadata.sign_rule_of_check(app.id, &digest, far).await.unwrap();
    rule(&world, &app, world.alice.id, Some("tests")).await.unwrap();
    assert_eq!(report(&world, &app, &digest, bob.id).await, Reported::Unnamed);
    assert_eq!((of().await, world.count("SELECT COUNT(*) FROM checks").await), (None, 0));
    let Reported::Kept { at } = report(&world, &app, &digest, world.alice.id).await else { panic!("a rule names it") };
    let moved = "SELECT CAST(MAX(moved_at) AS BIGINT) FROM tags";
    assert_eq!(at, world.count(moved).await.max(NOW), "never before a tag came to it");
    assert_eq!(of().await, Some(("somebody".to_owned(), "tests".to_owned())));
    assert_eq!(report(&world, &app, &digest, world.alice.id).await, Reported::Known, "nothing has changed since");
    push(&world, &app, &["c"]).await;
    let later = report(&world, &app, &digest, world.alice.id).await;
    let moved = world.count(moved).await;
    let expected = if moved > at { Reported::Kept { at: moved } } else { Reported::Known };
    assert_eq!(later, expected, "a tag came to it");
    assert_eq!(world.metadata.sign_rule_of_check(app.id, &digest, NOW - 1).await.unwrap(), None);
    let tags: Vec<Tag> = world.metadata.tags_of(app.id, &digest, 9).await.unwrap();
    assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(world.metadata.tags_of(app.id, &digest, 1).await.unwrap().len(), 1);
    let absent = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    assert_eq!(report(&world, &app, &absent, world.alice.id).await, Reported::Unknown);
}

async fn rules_and_reports_go_with_who_they_name(world: World) {
    let acme = world.organization("acme", &world.alice).await;
    let app = world.named("acme/app").await;
    let digest = push(&world, &app, &["a"]).await;
    let robot = world.robot("acme", None, "ci").await;
    rule(&world, &app, robot.id, Some("tests")).await.unwrap();
    assert!(matches!(report(&world, &app, &digest, robot.id).await, Reported::Kept { .. }));
    world.remove_robot(&robot).await;
    for table in ["sign_rules", "checks"] {
        assert_eq!(world.count(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table} of {}", acme.name);
    }
}
