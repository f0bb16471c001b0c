//! Tags that do not move, and manifests that are held.

use serde_json::json;

use super::{admin, basic, refuses};
use crate::harness::World;

const WEB: &str = "/repositories/ann%2Fweb";

async fn with_image() -> (World, String) {
    let world = World::open().await;
    let digest = world.image(&world.all_of("ann", "ann/web").await, "ann/web", "v1", "layer").await;
    (world, digest.to_string())
}

async fn rules(world: &World, path: &str, policy: serde_json::Value) {
    world.sends("PUT", path, &basic("ann"), &policy).await.expect(200);
}

async fn put(world: &World, tag: &str, body: &[u8]) -> u16 {
    let token = world.all_of("ann", "ann/web").await;
    let call = world.call("PUT", &format!("/v2/ann/web/manifests/{tag}")).by(&token);
    let call = call.header("content-type", "application/vnd.oci.image.manifest.v1+json").body(body.to_vec());
    call.await.status.as_u16()
}

#[tokio::test]
async fn an_immutable_tag_stays_where_it_points_and_may_be_pushed_there_again() {
    let (world, first) = with_image().await;
    let token = world.all_of("ann", "ann/web").await;
    let same = world.get("/v2/ann/web/manifests/v1").by(&token).await.expect(200).body.to_vec();
    let other = world.image(&token, "ann/web", "dev", "other").await.to_string();
    let moved = world.get("/v2/ann/web/manifests/dev").by(&token).await.expect(200).body.to_vec();
    rules(&world, &format!("{WEB}/policy"), json!({"immutable": {"tags": ["re:v[0-9]+"]}})).await;
    assert_eq!(put(&world, "v1", &same).await, 201, "the same digest again");
    assert_eq!(put(&world, "v2", &moved).await, 201, "a tag that is new");
    assert_eq!(put(&world, "v1", &moved).await, 412);
    for reference in ["v1", &first] {
        let refused = world.delete(&format!("/v2/ann/web/manifests/{reference}")).by(&token).await.expect(412);
        assert_eq!(refused.json()["errors"][0]["code"], json!("DENIED"));
        let told = refused.json()["errors"][0]["message"].as_str().unwrap().to_owned();
        assert!(told.contains("the tag v1 is immutable by the rule re:v[0-9]+ of the repository"), "{told}");
    }
    let now = world.get("/v2/ann/web/manifests/v1").by(&token).await.expect(200);
    assert_eq!(now.header("docker-content-digest"), first);
    world.delete("/v2/ann/web/manifests/dev").by(&token).await.expect(202);
    let wish = json!({"tag": "dev"});
    world.sends("POST", &format!("{WEB}/undelete"), &basic("ann"), &wish).await.expect(200);
    assert_ne!(first, other);
}

#[tokio::test]
async fn signing_is_never_blocked_and_exemptions_hold_for_the_account_too() {
    let (world, first) = with_image().await;
    let token = world.all_of("ann", "ann/web").await;
    rules(&world, "/accounts/ann/policy", json!({"immutable": {"tags": ["*"]}})).await;
    let signature = format!("{}.sig", first.replacen(':', "-", 1));
    world.image(&token, "ann/web", &signature, "one").await;
    world.image(&token, "ann/web", &signature, "two").await;
    world.image(&token, "ann/web", "other", "three").await;
    let body = world.get("/v2/ann/web/manifests/other").by(&token).await.expect(200).body.to_vec();
    assert_eq!(put(&world, "v1", &body).await, 412, "the account's rule holds in its repositories");
    rules(&world, &format!("{WEB}/policy"), json!({"immutable": {"except": ["v1"]}})).await;
    assert_eq!(put(&world, "v1", &body).await, 201);
    let wish = json!({"tag": "v1"});
    world.sends("POST", &format!("{WEB}/undelete"), &basic("ann"), &wish).await.expect(200);
    rules(&world, &format!("{WEB}/policy"), json!({})).await;
    refuses(&world, world.sends("POST", &format!("{WEB}/undelete"), &basic("ann"), &wish), 409, "CONFLICT").await;
}

#[tokio::test]
async fn rules_are_set_by_who_governs_and_only_when_they_can_be_read() {
    let (world, _) = with_image().await;
    let policy = json!({"immutable": {"tags": ["v*"]}});
    for path in [&format!("{WEB}/policy"), "/accounts/ann/policy"] {
        refuses(&world, world.sends("PUT", path, &basic("bob"), &policy), 404, "NOT_FOUND").await;
        let bad = json!({"immutable": {"tags": ["re:("]}});
        refuses(&world, world.sends("PUT", path, &basic("ann"), &bad), 400, "INVALID").await;
        world.sends("PUT", path, &basic("ann"), &policy).await.expect(200);
        let now = world.api("GET", path, &basic("ann")).await.expect(200).json();
        assert_eq!(now["immutable"]["tags"], json!(["v*"]));
    }
    let changed = world.look("SELECT COUNT(*) FROM events WHERE kind = 'policy_changed'").await;
    assert_eq!(changed, ["2"]);
}

#[tokio::test]
async fn what_is_held_is_deleted_by_nobody_until_it_is_released() {
    let (world, digest) = with_image().await;
    let (token, holds) = (world.all_of("ann", "ann/web").await, format!("{WEB}/holds"));
    let hold = json!({"digest": digest, "kind": "legal", "reason": "case 7"});
    refuses(&world, world.sends("POST", &holds, &basic("bob"), &hold), 404, "NOT_FOUND").await;
    let placed = world.sends("POST", &holds, &basic("ann"), &hold).await.expect(201).json();
    assert_eq!((&placed["kind"], &placed["reason"]), (&json!("legal"), &json!("case 7")));
    refuses(&world, world.sends("POST", &holds, &basic("ann"), &hold), 409, "CONFLICT").await;
    let refused = world.delete(&format!("/v2/ann/web/manifests/{digest}")).by(&token).await.expect(403).json();
    assert!(refused["errors"][0]["message"].as_str().unwrap().contains("legal hold: case 7"), "{refused}");
    refuses(&world, world.api("DELETE", WEB, &admin()), 409, "CONFLICT").await;
    let kept = world.api("GET", &format!("/gc/explain?account=ann&digest={digest}"), &basic("ann")).await.expect(200);
    assert_eq!(kept.json()[0]["reason"], json!("it is held (legal): case 7"));
    let listed = world.api("GET", &holds, &basic("ann")).await.expect(200).json();
    assert_eq!(listed["items"][0]["digest"], json!(digest));
    world.delete("/v2/ann/web/manifests/v1").by(&token).await.expect(202);
    let (legal, pin) = (format!("{holds}/{digest}/legal"), format!("{holds}/{digest}/pin"));
    refuses(&world, world.api("DELETE", &pin, &basic("ann")), 404, "NOT_FOUND").await;
    refuses(&world, world.api("DELETE", &legal, &basic("bob")), 404, "NOT_FOUND").await;
    world.api("DELETE", &legal, &basic("ann")).await.expect(204);
    world.delete(&format!("/v2/ann/web/manifests/{digest}")).by(&token).await.expect(202);
}

#[tokio::test]
async fn retention_says_what_would_go_and_why() {
    let (world, _) = with_image().await;
    let token = world.all_of("ann", "ann/web").await;
    for tag in ["v2", "v3"] {
        world.pass(60);
        world.image(&token, "ann/web", tag, tag).await;
    }
    let rules = json!({"retention": {"rules": [
        {"name": "old", "do": "remove", "when": {"tag": "v*"}},
        {"name": "newest", "do": "keep", "when": {"newest": {"count": 1, "tags": "v*"}}}
    ]}});
    let path = format!("{WEB}/retention/preview");
    let none = world.sends("POST", &path, &basic("ann"), &json!({})).await.expect(200).json();
    assert_eq!((&none["count"], &none["bytes"]), (&json!(0), &json!(0)));
    let tried = world.sends("POST", &path, &basic("ann"), &rules).await.expect(200).json();
    let gone: Vec<_> = tried["victims"].as_array().unwrap().iter().map(|victim| victim["tags"][0].clone()).collect();
    assert_eq!(gone.len(), 2);
    assert!(gone.contains(&json!("v1")) && gone.contains(&json!("v2")), "{tried}");
    assert_eq!((&tried["victims"][0]["rule"], &tried["victims"][0]["whole"]), (&json!("old"), &json!(true)));
    assert!(tried["bytes"].as_u64().unwrap() > 0);
    refuses(&world, world.sends("POST", &path, &basic("bob"), &rules), 404, "NOT_FOUND").await;
    world.sends("PUT", &format!("{WEB}/policy"), &basic("ann"), &rules).await.expect(200);
    let held = world.sends("POST", &path, &basic("ann"), &json!({})).await.expect(200).json();
    assert_eq!(held, tried);
}
