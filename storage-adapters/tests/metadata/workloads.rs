//! Workloads, certificates and tokens of other issuers.

use std::sync::Arc;

use hallmark_storage::metadata::{PrincipalId, RULES};

use crate::harness::{NOW, World, family};

family! {
    a_robot_has_so_many_rules,
    a_rule_is_read_back_and_removed_by_its_robot_only,
    a_token_is_shown_once,
    a_token_shown_at_once_is_shown_once,
    shown_tokens_are_forgotten_after_they_expired,
    a_certificate_is_one_principal_s,
    somebody_has_so_many_certificates,
}

async fn add_rule(world: &World, of: PrincipalId, claims: &str) -> Option<i64> {
    let input = (of, claims.to_owned());
    world
        .change(input, |tx, (of, claims)| Box::pin(tx.add_workload_rule(*of, ("https://issuer", "hub", claims), NOW)))
        .await
}

async fn a_robot_has_so_many_rules(world: World) {
    let (robot, other) = (world.robot("alice", None, "ci").await, world.robot("alice", None, "cd").await);
    for _ in 0..RULES {
        assert!(add_rule(&world, robot.id, "{}").await.is_some());
    }
    assert_eq!(add_rule(&world, robot.id, "{}").await, None);
    assert!(add_rule(&world, other.id, "{}").await.is_some());
    assert_eq!(world.metadata.workload_rules(robot.id).await.unwrap().len(), RULES as usize);
}

async fn a_rule_is_read_back_and_removed_by_its_robot_only(world: World) {
    let (robot, other) = (world.robot("alice", None, "ci").await, world.robot("alice", None, "cd").await);
    let id = add_rule(&world, robot.id, r#"{"sub":"a"}"#).await.unwrap();
    let rules = world.metadata.workload_rules(robot.id).await.unwrap();
    let [rule] = &rules[..] else { panic!("{rules:?}") };
    assert_eq!((rule.id, rule.principal, rule.created_at), (id, robot.id, NOW));
    assert_eq!(
        (rule.issuer.as_str(), rule.audience.as_str(), rule.claims.as_str()),
        ("https://issuer", "hub", r#"{"sub":"a"}"#)
    );
    let remove = async |of: PrincipalId| {
        world.change((id, of), |tx, (id, of)| Box::pin(tx.remove_workload_rule(*id, *of))).await
    };
    assert!(!remove(other.id).await);
    assert!(remove(robot.id).await);
    assert!(!remove(robot.id).await);
    assert_eq!(world.metadata.workload_rules(robot.id).await.unwrap(), []);
}

async fn show(world: &World, issuer: &str, jti: &str, expires_at: i64) -> bool {
    let input = (issuer.to_owned(), jti.to_owned(), expires_at);
    world.change(input, |tx, (issuer, jti, expires_at)| Box::pin(tx.show_token(issuer, jti, *expires_at))).await
}

async fn a_token_is_shown_once(world: World) {
    assert!(show(&world, "one", "jti", NOW).await);
    assert!(!show(&world, "one", "jti", NOW + 9).await);
    assert!(show(&world, "other", "jti", NOW).await, "each issuer has its own");
    assert!(show(&world, "one", "JTI", NOW).await);
}

async fn a_token_shown_at_once_is_shown_once(world: World) {
    let world = Arc::new(world);
    for round in 0..20 {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { show(&world, "one", &round.to_string(), NOW).await })
            })
            .collect();
        let mut first = 0;
        for task in tasks {
            first += u32::from(task.await.unwrap());
        }
        assert_eq!(first, 1);
    }
}

async fn shown_tokens_are_forgotten_after_they_expired(world: World) {
    for number in 0..5 {
        show(&world, "one", &number.to_string(), NOW + number).await;
    }
    let forget = async |before: i64, limit: u32| {
        world.change((before, limit), |tx, (before, limit)| Box::pin(tx.forget_shown_tokens(*before, *limit))).await
    };
    assert_eq!(forget(NOW, 9).await, 0);
    assert_eq!((forget(NOW + 3, 2).await, forget(NOW + 3, 2).await, forget(NOW + 3, 2).await), (2, 1, 0));
    assert_eq!(world.look("SELECT jti FROM shown_tokens ORDER BY jti").await, ["3", "4"]);
}

async fn add_certificate(world: &World, of: PrincipalId, kind: &'static str, pattern: &str) -> Option<i64> {
    let input = (of, kind, pattern.to_owned());
    world.change(input, |tx, (of, kind, pattern)| Box::pin(tx.add_certificate_rule(*of, (kind, pattern), NOW))).await
}

async fn a_certificate_is_one_principal_s(world: World) {
    let (alice, robot) = (world.alice.id, world.robot("alice", None, "ci").await.id);
    let id = add_certificate(&world, alice, "dns", "a.example").await.unwrap();
    assert_eq!(add_certificate(&world, robot, "dns", "a.example").await, None);
    assert!(add_certificate(&world, robot, "uri", "a.example").await.is_some(), "another kind of name");
    let found = world.metadata.certificate_rule("dns", "a.example").await.unwrap().unwrap();
    assert_eq!((found.id, found.principal, found.created_at), (id, alice, NOW));
    assert_eq!(world.metadata.certificate_rule("dns", "A.example").await.unwrap(), None);
    assert_eq!(world.metadata.certificate_rules(alice).await.unwrap(), [found]);
    let remove = async |of: PrincipalId| {
        world.change((id, of), |tx, (id, of)| Box::pin(tx.remove_certificate_rule(*id, *of))).await
    };
    assert!(!remove(robot).await);
    assert!(remove(alice).await);
    assert!(add_certificate(&world, robot, "dns", "a.example").await.is_some());
}

async fn somebody_has_so_many_certificates(world: World) {
    for number in 0..RULES {
        assert!(add_certificate(&world, world.alice.id, "dns", &number.to_string()).await.is_some());
    }
    assert_eq!(add_certificate(&world, world.alice.id, "dns", "more").await, None);
    assert_eq!(world.metadata.certificate_rules(world.alice.id).await.unwrap().len(), RULES as usize);
}
