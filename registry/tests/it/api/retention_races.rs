//! What happens beside rules that are applied: they hold up nobody, and take nothing that would stay by what is there by then.

use std::cell::Cell;

use hallmark::retention::{Went, turn};
use serde_json::{Value, json};

use super::retention::{DAY, path, removes, rules, tags, while_it_runs};
use super::{basic, refuses};
use crate::harness::{OCI_MANIFEST, World, descriptor};

async fn tagged(world: &World, repository: &str, named: &[&str]) {
    let token = world.all_of("ann", &format!("ann/{repository}")).await;
    for tag in named {
        world.image(&token, &format!("ann/{repository}"), tag, &format!("{repository} {tag}")).await;
        world.pass(1);
    }
}

#[tokio::test]
async fn what_became_one_of_the_newest_while_rules_are_applied_stays() {
    for keep in [json!({"newest": {"count": 1}}), json!({"newest_versions": {"count": 1}})] {
        let world = World::open().await;
        tagged(&world, "web", &["1.0.0", "1.1.0", "1.2.0"]).await;
        rules(&world, "web", &removes("*", &[("newest", keep.clone())])).await;
        let went = while_it_runs(&world, 1, "DELETE FROM tags WHERE name = '1.2.0'").await;
        assert_eq!(went, Went { manifests: 1, tags: 1, through: true }, "{keep}");
        assert_eq!(tags(&world, "web").await, ["1.1.0"], "{keep}");
    }
}

#[tokio::test]
async fn what_was_decided_is_gone_on_with_in_the_next_turn() {
    let world = World::with(|config| config.gc.retention_rate = 2).await;
    tagged(&world, "web", &["a", "b", "c"]).await;
    rules(&world, "web", &removes("*", &[])).await;
    let one = Went { manifests: 1, tags: 1, through: false };
    assert_eq!(turn(&world.app, || true).await.unwrap(), one);
    tagged(&world, "web", &["d"]).await;
    // The same rules again are no change.
    rules(&world, "web", &removes("*", &[])).await;
    assert_eq!(world.look("SELECT COUNT(*) FROM events WHERE kind = 'policy_changed'").await, ["1"]);
    assert_eq!(turn(&world.app, || true).await.unwrap(), one);
    assert_eq!(turn(&world.app, || true).await.unwrap(), Went { through: true, ..one });
    assert_eq!(tags(&world, "web").await, ["d"], "it came after the repository was read");
    world.pass(DAY);
    assert_eq!(turn(&world.app, || true).await.unwrap(), Went { through: true, ..one });
}

#[tokio::test]
async fn what_was_decided_hours_ago_is_decided_on_anew() {
    let world = World::with(|config| config.gc.retention_rate = 2).await;
    tagged(&world, "web", &["a", "b"]).await;
    rules(&world, "web", &removes("*", &[])).await;
    turn(&world.app, || true).await.unwrap();
    tagged(&world, "web", &["d"]).await;
    world.pass(3_600);
    turn(&world.app, || true).await.unwrap();
    turn(&world.app, || true).await.unwrap();
    assert_eq!(tags(&world, "web").await, [""; 0]);
}

/// Whoever changes rules again and again holds up no other repository.
#[tokio::test]
async fn rules_that_never_stand_still_wait_for_the_next_round() {
    let world = World::open().await;
    tagged(&world, "web", &["a", "b"]).await;
    tagged(&world, "zoo", &["a"]).await;
    rules(&world, "web", &removes("*", &[])).await;
    rules(&world, "zoo", &removes("*", &[])).await;
    let asked = Cell::new(0);
    let goes_on = || {
        let number = asked.replace(asked.get() + 1);
        let web = "UPDATE repositories SET policy = replace(policy, 'old', 'old ') WHERE name = 'ann/web'";
        if number > 0 {
            world.meddle_at_once(web);
        }
        true
    };
    assert_eq!(turn(&world.app, goes_on).await.unwrap(), Went { manifests: 1, tags: 1, through: true });
    assert_eq!((tags(&world, "web").await.len(), tags(&world, "zoo").await.len()), (2, 0));
    // Changed in each turn and not within one, it is the same.
    let world = World::with(|config| config.gc.retention_rate = 2).await;
    tagged(&world, "web", &["a", "b", "c", "d", "e"]).await;
    for (number, left) in [4, 3, 2, 2].into_iter().enumerate() {
        let mut policy = removes("*", &[]);
        policy["retention"]["rules"][0]["name"] = json!(format!("old {number}"));
        rules(&world, "web", &policy).await;
        let went = turn(&world.app, || true).await.unwrap();
        assert_eq!((tags(&world, "web").await.len(), went.through), (left, left == 2 && number == 3), "{number}");
    }
}

/// As cosign lays signatures down in a repository of their own.
#[tokio::test]
async fn an_image_whose_subject_never_was_here_is_judged_by_its_tags_and_stays_without() {
    let world = World::open().await;
    tagged(&world, "web", &["v1"]).await;
    let token = world.all_of("ann", "ann/web").await;
    let about = |note: &str| {
        let config = descriptor("application/vnd.oci.image.config.v1+json", "{}");
        let subject = descriptor(OCI_MANIFEST, "elsewhere");
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{config},"layers":[],"subject":{subject},"annotations":{{"note":"{note}"}}}}"#
        )
    };
    let body = about("tagged");
    world.manifest(&token, ("ann/web", "v2"), OCI_MANIFEST, &body, "tagged").await;
    let lone = about("lone");
    let digest = hallmark_oci::Digest::of(hallmark_oci::Algorithm::Sha256, lone.as_bytes()).to_string();
    world.manifest(&token, ("ann/web", &digest), OCI_MANIFEST, &lone, "lone").await;
    world.pass(31 * DAY);
    let everything = json!({"retention": {"rules": [{"name": "all", "do": "remove", "when": {"all": []}}]}});
    rules(&world, "web", &everything).await;
    let preview = format!("{}/retention/preview", path("web"));
    let told = world.sends("POST", &preview, &basic("ann"), &json!({})).await.expect(200).json();
    let mut gone: Vec<&Value> = told["victims"].as_array().unwrap().iter().map(|victim| &victim["tags"][0]).collect();
    gone.sort_by_key(|tag| tag.to_string());
    assert_eq!(gone, [&json!("v1"), &json!("v2")]);
    assert_eq!(turn(&world.app, || true).await.unwrap(), Went { manifests: 2, tags: 2, through: true });
    let token = world.all_of("ann", "ann/web").await;
    world.head(&format!("/v2/ann/web/manifests/{digest}")).by(&token).await.expect(200);
}

#[tokio::test]
async fn what_changed_in_rules_is_told_by_their_names() {
    let world = World::open().await;
    tagged(&world, "web", &["v1"]).await;
    for path in [format!("{}/policy", path("web")), "/accounts/ann/policy".to_owned()] {
        let long = "x".repeat(4_000);
        let policy = removes("*", &[(&long, json!({"tag": "young"}))]);
        for policy in [&policy, &policy, &removes("v*", &[]), &json!({})] {
            world.sends("PUT", &path, &basic("ann"), policy).await.expect(200);
        }
        let told =
            world.look("SELECT payload FROM events WHERE kind = 'policy_changed' ORDER BY id DESC LIMIT 3").await;
        assert_eq!(
            told,
            [
                r#"{"added":[],"changed":[],"immutable":true,"removed":["old"]}"#.to_owned(),
                format!(r#"{{"added":[],"changed":["old"],"immutable":false,"removed":["{}"]}}"#, &long[..64]),
                format!(r#"{{"added":["old","{}"],"changed":[],"immutable":true,"removed":[]}}"#, &long[..64]),
            ]
        );
    }
    assert_eq!(world.look("SELECT COUNT(*) FROM events WHERE kind = 'policy_changed'").await, ["6"]);
    refuses(&world, world.sends("PUT", "/accounts/ann/policy", &basic("bob"), &json!({})), 404, "NOT_FOUND").await;
}
