//! Workloads, certificates and tokens of other issuers.

use std::sync::Arc;

use hallmark_storage::metadata::{CertificateKind, PrincipalId, RULES};

use crate::harness::{NOW, World, family};

family! {
    a_robot_has_so_many_rules,
    a_rule_is_read_back_and_removed_by_its_robot_only,
    a_token_is_shown_by_one,
    a_token_shown_at_once_is_shown_by_one,
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

async fn show(world: &World, (issuer, jti): (&str, &str), by: &str, expires_at: i64) -> bool {
    let input = (issuer.to_owned(), jti.to_owned(), by.to_owned(), expires_at);
    world.change(input, |tx, (issuer, jti, by, at)| Box::pin(tx.show_token((issuer, jti), by, *at))).await
}

async fn a_token_is_shown_by_one(world: World) {
    assert!(show(&world, ("one", "jti"), "a", NOW).await);
    assert!(show(&world, ("one", "jti"), "a", NOW + 9).await, "its client asks for one scope after another");
    assert!(!show(&world, ("one", "jti"), "b", NOW + 9).await);
    assert!(show(&world, ("other", "jti"), "b", NOW).await, "each issuer has its own");
    assert!(show(&world, ("one", "JTI"), "b", NOW).await);
}

async fn a_token_shown_at_once_is_shown_by_one(world: World) {
    let world = Arc::new(world);
    for round in 0..20 {
        let tasks: Vec<_> = (0..4)
            .map(|client| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { show(&world, ("one", &round.to_string()), &client.to_string(), NOW).await })
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
        show(&world, ("one", &number.to_string()), "a", NOW + number).await;
    }
    let forget = async |before: i64, limit: u32| {
        world.change((before, limit), |tx, (before, limit)| Box::pin(tx.forget_shown_tokens(*before, *limit))).await
    };
    assert_eq!(forget(NOW, 9).await, 0);
    assert_eq!((forget(NOW + 3, 2).await, forget(NOW + 3, 2).await, forget(NOW + 3, 2).await), (2, 1, 0));
    assert_eq!(world.look("SELECT jti FROM shown_tokens ORDER BY jti").await, ["3", "4"]);
}

async fn add_certificate(world: &World, of: PrincipalId, kind: CertificateKind, pattern: &str) -> Option<i64> {
    let input = (of, kind, pattern.to_owned());
    world.change(input, |tx, (of, kind, pattern)| Box::pin(tx.add_certificate_rule(*of, (*kind, pattern), NOW))).await
}

async fn a_certificate_is_one_principal_s(world: World) {
    use CertificateKind::{Dns, Uri};
    let (alice, robot) = (world.alice.id, world.robot("alice", None, "ci").await.id);
    let id = add_certificate(&world, alice, Dns, "a.example").await.unwrap();
    assert_eq!(add_certificate(&world, robot, Dns, "a.example").await, None);
    let other = add_certificate(&world, robot, Uri, "a.example").await.expect("another kind of name");
    let asked = ["*.example", "a.example"].map(str::to_owned);
    let found = world.metadata.certificate_rules_for(Dns, &asked).await.unwrap();
    let [rule] = &found[..] else { panic!("{found:?}") };
    assert_eq!((rule.id, rule.principal, rule.kind, rule.created_at), (id, alice, Dns, NOW));
    assert_eq!(world.metadata.certificate_rules_for(Dns, &["A.example".to_owned()]).await.unwrap(), []);
    let page = async |after, limit| {
        let rules = world.metadata.certificate_rules(after, limit).await.unwrap();
        rules.into_iter().map(|rule| rule.id).collect::<Vec<_>>()
    };
    let all = [id.min(other), id.max(other)];
    assert_eq!(
        (page(i64::MIN, 9).await, page(i64::MIN, 1).await, page(all[0], 9).await),
        (all.to_vec(), vec![all[0]], vec![all[1]])
    );
    let remove = async || world.change(id, |tx, id| Box::pin(tx.remove_certificate_rule(*id))).await;
    assert!(remove().await);
    assert!(!remove().await);
    assert!(add_certificate(&world, robot, Dns, "a.example").await.is_some());
}

async fn somebody_has_so_many_certificates(world: World) {
    for number in 0..RULES {
        let name = number.to_string();
        assert!(add_certificate(&world, world.alice.id, CertificateKind::Dns, &name).await.is_some());
    }
    assert_eq!(add_certificate(&world, world.alice.id, CertificateKind::Dns, "more").await, None);
}
