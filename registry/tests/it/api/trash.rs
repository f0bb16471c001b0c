//! What was deleted is brought back by who may, and the collector is the administrators'.

use serde_json::json;

use super::{admin, basic, refuses};
use crate::harness::{World, sha256};

const WEB: &str = "/repositories/ann%2Fweb";

async fn with_image() -> (World, String) {
    let world = World::open().await;
    let digest = world.image(&world.all_of("ann", "ann/web").await, "ann/web", "1", "layer").await;
    (world, digest.to_string())
}

async fn deletes(world: &World, reference: &str) {
    let token = world.all_of("ann", "ann/web").await;
    world.delete(&format!("/v2/ann/web/manifests/{reference}")).by(&token).await.expect(202);
}

#[tokio::test]
async fn a_deleted_manifest_and_its_tag_come_back() {
    let (world, digest) = with_image().await;
    deletes(&world, &digest).await;
    let trash = world.api("GET", &format!("{WEB}/trash"), &basic("ann")).await.expect(200).json();
    assert_eq!((&trash["items"][0]["digest"], &trash["items"][0]["tags"]), (&json!(digest), &json!(["1"])));
    let wish = json!({"digest": digest});
    refuses(&world, world.sends("POST", &format!("{WEB}/undelete"), &basic("bob"), &wish), 404, "NOT_FOUND").await;
    let back = world.sends("POST", &format!("{WEB}/undelete"), &basic("ann"), &wish).await.expect(200).json();
    assert_eq!(back, json!({"digest": digest, "tags": ["1"]}));
    let token = world.all_of("ann", "ann/web").await;
    world.get("/v2/ann/web/manifests/1").by(&token).await.expect(200);
    refuses(&world, world.sends("POST", &format!("{WEB}/undelete"), &basic("ann"), &json!({})), 400, "INVALID").await;
}

#[tokio::test]
async fn an_overwritten_tag_goes_back_and_its_history_is_told() {
    let (world, first) = with_image().await;
    world.pass(60);
    let token = world.all_of("ann", "ann/web").await;
    let second = world.image(&token, "ann/web", "1", "other").await.to_string();
    let history = world.api("GET", &format!("{WEB}/tags/1/history"), &basic("ann")).await.expect(200).json();
    let told: Vec<_> = history["items"].as_array().unwrap().iter().map(|moved| moved["digest"].clone()).collect();
    assert_eq!(told, [json!(second), json!(first)]);
    let at = history["items"][1]["at"].as_str().unwrap();
    let then = world.api("GET", &format!("{WEB}/tags/1/history?at={at}"), &basic("ann")).await.expect(200).json();
    assert_eq!((then["items"].as_array().unwrap().len(), &then["items"][0]["digest"]), (1, &json!(first)));
    let back = world.sends("POST", &format!("{WEB}/undelete"), &basic("ann"), &json!({"tag": "1"})).await.expect(200);
    assert_eq!(back.json(), json!({"digest": first, "tags": ["1"]}));
    deletes(&world, "1").await;
    let wish = json!({"tag": "1", "at": at});
    let back = world.sends("POST", &format!("{WEB}/undelete"), &basic("ann"), &wish).await.expect(200).json();
    assert_eq!(back["digest"], json!(first));
    let never = json!({"tag": "never"});
    refuses(&world, world.sends("POST", &format!("{WEB}/undelete"), &basic("ann"), &never), 404, "NOT_FOUND").await;
}

#[tokio::test]
async fn a_deleted_repository_comes_back_for_who_governs_its_account() {
    let (world, _) = with_image().await;
    world.api("DELETE", WEB, &basic("ann")).await.expect(204);
    let gone = world.api("GET", "/accounts/ann/trash", &basic("ann")).await.expect(200).json();
    assert_eq!(gone["items"][0]["name"], json!("ann/web"));
    let wish = json!({"repository": "ann/web"});
    refuses(&world, world.sends("POST", "/accounts/ann/undelete", &basic("bob"), &wish), 404, "NOT_FOUND").await;
    refuses(&world, world.api("GET", "/accounts/ann/trash", &basic("bob")), 404, "NOT_FOUND").await;
    world.sends("POST", "/accounts/ann/undelete", &basic("ann"), &wish).await.expect(204);
    let token = world.all_of("ann", "ann/web").await;
    world.get("/v2/ann/web/manifests/1").by(&token).await.expect(200);
    refuses(&world, world.sends("POST", "/accounts/ann/undelete", &basic("ann"), &wish), 409, "CONFLICT").await;
}

#[tokio::test]
async fn the_collector_is_paused_run_and_explained_by_who_may() {
    let (world, digest) = with_image().await;
    for (method, path, body) in [("POST", "/gc/run", json!({})), ("PATCH", "/gc", json!({"paused": true}))] {
        refuses(&world, world.sends(method, path, &basic("ann"), &body), 403, "DENIED").await;
    }
    refuses(&world, world.api("GET", "/gc", &basic("ann")), 403, "DENIED").await;
    let paused = world.sends("PATCH", "/gc", &admin(), &json!({"paused": true})).await.expect(200).json();
    assert_eq!(paused["paused"], json!(true));
    refuses(&world, world.sends("POST", "/gc/run", &admin(), &json!({})), 409, "CONFLICT").await;
    world.sends("PATCH", "/gc", &admin(), &json!({"paused": false})).await.expect(200);
    let run = world.sends("POST", "/gc/run", &admin(), &json!({})).await.expect(200).json();
    assert_eq!((&run["blobs"], &run["keys"]), (&json!(0), &json!(0)));
    let path = format!("/gc/explain?account=ann&digest={digest}");
    let reasons = world.api("GET", &path, &basic("ann")).await.expect(200).json();
    assert_eq!(reasons, json!([{"repository": "ann/web", "reason": "the tag 1 points to it"}]));
    refuses(&world, world.api("GET", &path, &basic("bob")), 404, "NOT_FOUND").await;
    let kinds = world.look("SELECT kind FROM events WHERE subject = 'gc' ORDER BY id").await;
    assert_eq!(kinds, ["gc_paused", "gc_resumed", "gc_run_asked_for"]);
}

/// Nobody asks for it: the jobs of a registry end windows, collect, and look at soft limits.
#[tokio::test]
async fn what_a_registry_does_by_itself_is_done_by_its_jobs() {
    let (world, digest) = with_image().await;
    world.image(&world.all_of("ann", "ann/web").await, "ann/web", "2", "another layer").await;
    world.sends("PUT", "/accounts/ann/quota", &admin(), &json!({"soft": 10})).await.expect(200);
    deletes(&world, &digest).await;
    world.pass(16 * 24 * 60 * 60);
    // Somebody says that the clock is right.
    world.sends("PATCH", "/gc", &admin(), &json!({"paused": false})).await.expect(200);
    let jobs = world.jobs();
    let happened =
        async |kind: &str| !world.look(&format!("SELECT 1 FROM events WHERE kind = '{kind}'")).await.is_empty();
    jobs.until("the end of a window", async || happened("manifest_purged").await).await;
    jobs.until("a look at a soft limit", async || happened("quota_exceeded").await).await;
    let layer = sha256("layer");
    jobs.until("a collection", async || {
        world.look(&format!("SELECT 1 FROM blobs WHERE digest = '{layer}'")).await.is_empty()
    })
    .await;
    jobs.stop().await;
    world.get("/v2/ann/web/manifests/2").by(&world.all_of("ann", "ann/web").await).await.expect(200);
}

/// What is explained to go at a time is there until then and gone after it, however long ago it was pushed.
#[tokio::test]
async fn what_is_explained_to_go_goes_then() {
    let (world, digest) = with_image().await;
    let layer = sha256("layer");
    let links = async || {
        let path = format!("/gc/explain?account=ann&digest={layer}");
        let reasons = world.api("GET", &path, &basic("ann")).await.expect(200).json();
        let links = reasons.as_array().unwrap().iter().filter(|reason| !reason["reason"].to_string().contains("trash"));
        links.cloned().collect::<Vec<_>>()
    };
    let collect = async || {
        // Somebody says that the clock is right.
        world.sends("PATCH", "/gc", &admin(), &json!({"paused": false})).await.expect(200);
        world.sends("POST", "/gc/run", &admin(), &json!({})).await.expect(200);
    };
    world.pass(30 * 24 * 60 * 60);
    deletes(&world, &digest).await;
    let told = links().await;
    assert_eq!(told[0]["reason"], json!("no manifest names it any more"), "{told:?}");
    let until: jiff::Timestamp = told[0]["until"].as_str().unwrap().parse().unwrap();
    let left = until.as_millisecond() - world.app.clock.now();
    assert!(left > 0, "{told:?}");
    world.pass(left / 1000 - 2);
    collect().await;
    assert_eq!(links().await.len(), 1, "it is there until then");
    world.pass(4);
    collect().await;
    assert!(links().await.is_empty(), "and gone after it");
}

/// Anybody may pull from a public repository; what was taken away from it is not shown to everybody.
#[tokio::test]
async fn trash_and_history_are_for_those_who_have_a_role() {
    let (world, digest) = with_image().await;
    deletes(&world, &digest).await;
    world.sends("PATCH", WEB, &basic("ann"), &json!({"visibility": "public"})).await.expect(200);
    for path in [format!("{WEB}/trash"), format!("{WEB}/tags/1/history")] {
        refuses(&world, world.api("GET", &path, &basic("bob")), 403, "DENIED").await;
    }
    let grant = "/grants/ann%2Fweb/user:bob";
    world.sends("PUT", grant, &basic("ann"), &json!({"rights": "read"})).await.expect(200);
    let seen = world.api("GET", &format!("{WEB}/trash"), &basic("bob")).await.expect(200).json();
    assert_eq!((&seen["items"][0]["digest"], &seen["items"][0]["deleted_by"]), (&json!(digest), &json!(null)));
    let seen = world.api("GET", &format!("{WEB}/trash"), &basic("ann")).await.expect(200).json();
    assert_eq!(seen["items"][0]["deleted_by"], json!("ann"));
}

/// A clock that jumps must not end every window at once.
#[tokio::test]
async fn a_clock_that_jumps_deletes_nothing_until_somebody_says_that_it_is_right() {
    let (world, digest) = with_image().await;
    deletes(&world, &digest).await;
    world.sends("POST", "/gc/run", &admin(), &json!({})).await.expect(200);
    world.pass(15 * 24 * 60 * 60);
    let refused = world.sends("POST", "/gc/run", &admin(), &json!({})).await.expect(409).json();
    assert!(refused["errors"][0]["message"].as_str().unwrap().contains("the clock has jumped"), "{refused}");
    assert_eq!(world.look("SELECT COUNT(*) FROM trash").await, ["1"]);
    world.sends("PATCH", "/gc", &admin(), &json!({"paused": false})).await.expect(200);
    let run = world.sends("POST", "/gc/run", &admin(), &json!({})).await.expect(200).json();
    assert_eq!(run["purged"], json!(1));
}
