//! Robots of an account or of a repository.

use hallmark_storage::metadata::{
    Error, NameRange, NewCredential, NewRobot, NewUpload, PrincipalKind, Robot, UserRemoval,
};

use crate::harness::people::{on_prefix, on_repository};
use crate::harness::{NOW, WINDOW, World, family};

family! {
    a_robot_is_unique_in_its_account,
    robots_page_in_byte_order,
    a_removed_robot_leaves_nothing_behind,
    a_robot_of_a_repository_goes_with_it,
    robots_too_many_for_one_change_go_before_the_repository_does,
    a_thousand_robots_go_by_as_many_statements_as_one,
    a_user_with_robots_is_not_removed,
    a_robot_is_described_and_disabled,
    a_robot_of_a_disabled_user_is_disabled_for_as_long,
}

async fn a_robot_is_unique_in_its_account(world: World) {
    let repository = world.repository("alice/app").await;
    world.organization("acme", &world.alice).await;
    let robot = world.robot("alice", Some(&repository), "ci").await;
    assert_eq!(world.try_robot("alice", None, "ci").await, None);
    assert_ne!(world.robot("acme", None, "ci").await.id, robot.id);
    assert_eq!(robot.repository_name.as_deref(), Some("alice/app"));
    assert_eq!(world.metadata.robot(world.alice.account_id, "ci").await.unwrap(), Some(robot.clone()));
    let principal = world.metadata.principal(robot.id).await.unwrap().unwrap();
    assert_eq!((principal.name.as_str(), principal.kind), ("alice+ci", PrincipalKind::Robot));
    assert_eq!(principal.account_id, world.alice.account_id);
}

async fn robots_page_in_byte_order(world: World) {
    world.organization("acme", &world.alice).await;
    world.robot("acme", None, "aa").await;
    for name in ["ab", "a.b", "a-b"] {
        world.robot("alice", None, name).await;
    }
    let names = async |after| -> Vec<String> {
        let page = world.metadata.robots(world.alice.account_id, &NameRange::after(after), 2).await.unwrap();
        page.into_iter().map(|robot| robot.name).collect()
    };
    assert_eq!(names(None).await, ["a-b", "a.b"]);
    assert_eq!(names(Some("a.b")).await, ["ab"]);
    let begun = world.metadata.robots(world.alice.account_id, &NameRange::of("a.", None), 9).await.unwrap();
    assert_eq!(begun.into_iter().map(|robot| robot.name).collect::<Vec<_>>(), ["a.b"]);
}

/// Gives a robot an upload in a repository of alice's, a credential, a rule, a certificate and grants.
async fn equip(world: &World, robot: &Robot) {
    let acme = world.try_organization("acme", &world.alice).await;
    let acme = match acme {
        Some(made) => made,
        None => world.metadata.organization("acme").await.unwrap().unwrap(),
    };
    let into = world.repository("alice/pushed").await;
    world.give(on_repository(&into, robot.id), "write").await;
    world.give(on_prefix(&acme, "acme/", robot.id), "read").await;
    let input = (robot.id, into.id, robot.name.clone());
    world
        .change(input, |tx, (robot, into, name)| {
            Box::pin(async move {
                let id = hallmark_oci::UploadId::from_bytes(u128::try_from(robot.0).unwrap().to_be_bytes());
                let key = hallmark_storage::StorageKey::random();
                tx.begin_upload(&NewUpload {
                    id: &id,
                    repository: *into,
                    principal: *robot,
                    key: &key,
                    hash_state: b"empty",
                    leased_until: 0,
                    expires_at: NOW + 1,
                })
                .await?;
                let new = NewCredential {
                    principal: *robot,
                    kind: "robot",
                    selector: name,
                    secret_hash: b"hash",
                    service: "",
                    scopes: "",
                    epoch: 0,
                    expires_at: NOW + 10,
                    name: "secret",
                    rolls: false,
                };
                tx.insert_credential(&new, NOW).await?;
                tx.add_workload_rule(*robot, ("https://issuer", "hallmark", "{}"), NOW).await?;
                tx.add_certificate_rule(*robot, (hallmark_storage::metadata::CertificateKind::Dns, name), NOW)
                    .await
                    .map(drop)
            })
        })
        .await;
}

async fn nothing_is_left_of_robots(world: &World) {
    for table in [
        "robots",
        "uploads",
        "credentials",
        "workload_rules",
        "certificate_rules",
        "repository_grants",
        "prefix_grants",
    ] {
        assert_eq!(world.count(&format!("SELECT COUNT(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(world.count("SELECT COUNT(*) FROM principals WHERE kind = 'robot'").await, 0);
    world.is_sound().await;
}

async fn a_removed_robot_leaves_nothing_behind(world: World) {
    let robot = world.robot("alice", None, "ci").await;
    equip(&world, &robot).await;
    world.remove_robot(&robot).await;
    nothing_is_left_of_robots(&world).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM key_deletions").await, 1, "what it uploaded is doomed");
    assert_eq!(world.metadata.principal(robot.id).await.unwrap(), None);
    assert_ne!(world.robot("alice", None, "ci").await.id, robot.id);
}

async fn a_robot_of_a_repository_goes_with_it(world: World) {
    let repository = world.repository("alice/app").await;
    let robot = world.robot("alice", Some(&repository), "ci").await;
    equip(&world, &robot).await;
    assert!(world.delete_repository(&repository).await);
    nothing_is_left_of_robots(&world).await;
    while world.change((), |tx, ()| Box::pin(tx.empty_deleted_repository(NOW + WINDOW, 9))).await {}
    assert_eq!(world.count("SELECT COUNT(*) FROM repositories").await, 1, "the other one");
}

async fn robots_too_many_for_one_change_go_before_the_repository_does(world: World) {
    let repository = world.repository("alice/app").await;
    let (account, id) = (world.alice.account_id, repository.id);
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1003)";
    world.meddle(&format!("INSERT INTO principals (id, kind) {numbers} SELECT -i, 'robot' FROM n")).await;
    let robots = format!(
        "INSERT INTO robots (principal_id, account_id, repository_id, name, created_at)
         {numbers} SELECT -i, {account}, {id}, CAST(i AS TEXT), 0 FROM n"
    );
    world.meddle(&robots).await;
    assert!(world.delete_repository(&repository).await);
    assert_eq!(world.count("SELECT COUNT(*) FROM robots").await, 3);
    let mut batches = 0;
    while world.change((), |tx, ()| Box::pin(tx.empty_deleted_repository(NOW + WINDOW, 2))).await {
        batches += 1;
    }
    assert_eq!(batches, 2 + 1);
    let told = "SELECT COUNT(*) FROM events WHERE kind = 'robot_removed' AND subject LIKE 'alice+%'";
    assert_eq!(world.count(told).await, 3, "who deletes the repository tells of the others");
    assert_eq!(world.count("SELECT COUNT(*) FROM robots").await, 0);
    assert_eq!(world.count("SELECT COUNT(*) FROM repositories").await, 0);
}

async fn a_thousand_robots_go_by_as_many_statements_as_one(world: World) {
    let mut counts = Vec::new();
    for (number, robots) in [1, 1_000].into_iter().enumerate() {
        let repository = world.repository(&format!("alice/app-{number}")).await;
        let names: Vec<String> = (0..robots).map(|robot| format!("{number}-{robot}")).collect();
        for names in names.chunks(200) {
            let input = (repository.clone(), names.to_vec());
            world
                .change(input, |tx, (repository, names)| {
                    Box::pin(async move {
                        let account = &tx.account("alice").await?.unwrap();
                        for name in names {
                            let new = NewRobot { account, repository: Some(repository), name, description: "" };
                            tx.create_robot(&new, NOW).await?.unwrap();
                        }
                        Ok(())
                    })
                })
                .await;
        }
        let count = world
            .change(repository, |tx, repository| {
                Box::pin(async move {
                    assert!(tx.delete_repository(repository, NOW).await?);
                    Ok(tx.statements())
                })
            })
            .await;
        counts.push(count);
        assert_eq!(world.count("SELECT COUNT(*) FROM robots").await, 0);
    }
    assert_eq!(counts[0], counts[1]);
}

async fn a_user_with_robots_is_not_removed(world: World) {
    let robot = world.robot("alice", None, "ci").await;
    let remove = async || {
        let removed: Result<_, Error> = world.metadata.write((), |tx, ()| Box::pin(tx.remove_user("alice", NOW))).await;
        removed.unwrap()
    };
    assert_eq!(remove().await, UserRemoval::AccountHasRobots);
    assert!(world.metadata.user("alice").await.unwrap().is_some());
    world.remove_robot(&robot).await;
    assert_eq!(remove().await, UserRemoval::Removed);
}

async fn a_robot_is_described_and_disabled(world: World) {
    let robot = world.robot("alice", None, "ci").await;
    let principal = world.metadata.principal(robot.id).await.unwrap().unwrap();
    let held = world
        .change((world.alice.account_id, robot, principal), |tx, (account, robot, principal)| {
            Box::pin(async move {
                tx.describe_robot(robot, "other words").await?;
                tx.set_disabled(principal, Some(NOW)).await?;
                tx.robot(*account, "ci").await
            })
        })
        .await
        .unwrap();
    assert_eq!((held.description.as_str(), held.disabled), ("other words", true));
    let principal = world.metadata.principal(held.id).await.unwrap().unwrap();
    assert_eq!((principal.disabled, principal.credential_epoch), (true, 1));
}

async fn a_robot_of_a_disabled_user_is_disabled_for_as_long(world: World) {
    world.organization("acme", &world.alice).await;
    let (own, of_acme) = (world.robot("alice", None, "ci").await, world.robot("acme", None, "ci").await);
    let name = "alice/app".parse().unwrap();
    let before = world.metadata.principal(own.id).await.unwrap().unwrap();
    for at in [Some(NOW), None] {
        let alice = world.alice.clone();
        world.change((alice, at), |tx, (alice, at)| Box::pin(tx.set_disabled(alice, *at))).await;
        let disabled = at.is_some();
        for (robot, expected) in [(&own, disabled), (&of_acme, false)] {
            let principal = world.metadata.principal(robot.id).await.unwrap().unwrap();
            let seen = world.metadata.seen(robot.id, None, &name, None).await.unwrap().principal.unwrap();
            assert_eq!((principal.disabled, seen.disabled), (expected, expected), "{} at {at:?}", principal.name);
        }
        let found = world.metadata.principal(own.id).await.unwrap().unwrap();
        assert!(found.credential_epoch > before.credential_epoch, "what it has is void");
        for (robot, expected) in [(before.clone(), false), (found, !disabled)] {
            let stands = world.change(robot, |tx, robot| Box::pin(tx.stands(robot, None, NOW))).await;
            assert_eq!(stands, expected);
        }
        let robot = world.metadata.robot(world.alice.account_id, "ci").await.unwrap().unwrap();
        assert!(!robot.disabled, "it is shown as it was set itself");
    }
    assert_eq!(world.metadata.principal(of_acme.id).await.unwrap().unwrap().credential_epoch, 0);
}
