//! What is vouched for: signed through the API, published by the job, read by any client of TUF 1.0.

use hallmark::trust::tuf;
use hallmark_oci::Digest;
use serde_json::{Value, json};

use crate::harness::{Answer, Credentials, PASSWORD, World};

fn basic(name: &str) -> Credentials {
    Credentials::basic(name, PASSWORD)
}

/// `ann/web:1` with an image, and its digest.
async fn world() -> (World, Digest) {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/web").await;
    let digest = world.image(&ann, "ann/web", "1", "layer").await;
    (world, digest)
}

async fn signs(world: &World, who: &str, tag: &str, digest: &Digest) -> Answer {
    let document = json!({"tag": tag, "digest": digest});
    world.sends("POST", "/repositories/ann%2Fweb/signatures", &basic(who), &document).await
}

/// What the job does each second, until it has nothing left to do.
async fn publish(world: &World) {
    while tuf::follow(&world.app).await.unwrap() {}
}

async fn file(world: &World, name: &str) -> Answer {
    world.get(&format!("/tuf/ann/web/{name}")).by(&basic("ann")).await
}

async fn signed(world: &World, name: &str) -> Value {
    let answer = file(world, name).await;
    assert_eq!(answer.status, 200, "{name}: {answer}");
    answer.json()["signed"].take()
}

/// The digests of the tags that are published, along the files as a client reads them.
async fn published(world: &World) -> Vec<(String, String)> {
    let timestamp = signed(world, "timestamp.json").await;
    let snapshot = signed(world, &format!("{}.snapshot.json", timestamp["meta"]["snapshot.json"]["version"])).await;
    let version = |role: &str| snapshot["meta"][format!("{role}.json")]["version"].clone();
    let targets = signed(world, &format!("{}.targets.json", version("targets"))).await;
    assert_eq!(targets["targets"], json!({}));
    let handed_over = &targets["delegations"]["roles"][0];
    let expected = (json!("tags"), json!(["ann/web/*"]), json!(true));
    assert_eq!(
        (&handed_over["name"], &handed_over["paths"], &handed_over["terminating"]),
        (&expected.0, &expected.1, &expected.2)
    );
    let tags = signed(world, &format!("{}.tags.json", version("tags"))).await;
    let named = tags["targets"].as_object().unwrap().iter();
    named.map(|(path, target)| (path.clone(), target["hashes"]["sha256"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test]
async fn a_signed_tag_is_published_with_who_vouches_for_it() {
    let (world, digest) = world().await;
    let answer = signs(&world, "ann", "1", &digest).await;
    assert_eq!(answer.status, 201, "{answer}");
    assert_eq!((answer.json()["signer"].as_str(), answer.json()["holds"].as_bool()), (Some("user:ann"), Some(true)));
    assert_eq!(file(&world, "timestamp.json").await.gist(), (404, "METADATA_NOT_FOUND".to_owned()));
    publish(&world).await;
    assert_eq!(published(&world).await, [("ann/web/1".to_owned(), digest.hex().to_owned())]);
    let target = file(&world, &format!("targets/ann/web/{}.1", digest.hex())).await;
    let pulled = world.get("/v2/ann/web/manifests/1").by(&world.all_of("ann", "ann/web").await).await;
    assert_eq!(target.body, pulled.body);
}

#[tokio::test]
async fn a_tag_that_moved_since_is_not_signed() {
    let (world, digest) = world().await;
    let ann = world.all_of("ann", "ann/web").await;
    let moved = world.image(&ann, "ann/web", "1", "another layer").await;
    let before = world.rows().await;
    let answer = signs(&world, "ann", "1", &digest).await;
    assert_eq!(answer.gist(), (409, "CONFLICT".to_owned()));
    assert!(answer.json()["errors"][0]["message"].as_str().unwrap().contains(moved.as_str()), "{answer}");
    assert_eq!(world.rows().await, before);
}

#[tokio::test]
async fn a_moved_or_deleted_tag_leaves_the_targets_and_does_not_come_back_by_being_set_back() {
    let (world, first) = world().await;
    let ann = world.all_of("ann", "ann/web").await;
    let second = world.image(&ann, "ann/web", "2", "second").await;
    for (tag, digest) in [("1", &first), ("2", &second)] {
        assert_eq!(signs(&world, "ann", tag, digest).await.status, 201);
    }
    publish(&world).await;
    assert_eq!(published(&world).await.len(), 2);
    let manifest = world.get("/v2/ann/web/manifests/1").by(&ann).await;
    world.image(&ann, "ann/web", "1", "moved").await;
    assert_eq!(world.delete("/v2/ann/web/manifests/2").by(&ann).await.status, 202);
    publish(&world).await;
    assert_eq!(published(&world).await, []);
    let back = world.put("/v2/ann/web/manifests/1").by(&ann).header("content-type", manifest.header("content-type"));
    assert_eq!(back.body(manifest.body.clone()).await.status, 201);
    publish(&world).await;
    assert_eq!(published(&world).await, [], "set back to what was signed once");
}

#[tokio::test]
async fn a_burst_of_signatures_and_moves_is_one_publish() {
    const BURST: usize = 30;
    const MOVED: usize = 5;
    let (world, digest) = world().await;
    let ann = world.all_of("ann", "ann/web").await;
    signs(&world, "ann", "1", &digest).await;
    publish(&world).await;
    let timestamps = "SELECT COUNT(*) FROM signer_log WHERE role = 'timestamp' AND collection LIKE 'tuf1/rep%'";
    assert_eq!(world.look(timestamps).await, ["1"]);
    for number in 0..BURST {
        let tag = format!("b{number}");
        let pushed = world.image(&ann, "ann/web", &tag, &tag).await;
        assert_eq!(signs(&world, "ann", &tag, &pushed).await.status, 201);
    }
    for number in 0..MOVED {
        world.image(&ann, "ann/web", &format!("b{number}"), "moved").await;
    }
    world.pass(2);
    publish(&world).await;
    assert_eq!(world.look(timestamps).await, ["2"]);
    assert_eq!(published(&world).await.len(), 1 + BURST - MOVED);
}

#[tokio::test]
async fn a_withdrawn_signature_leaves_the_targets() {
    let (world, digest) = world().await;
    signs(&world, "ann", "1", &digest).await;
    publish(&world).await;
    let path = "/repositories/ann%2Fweb/signatures/1";
    assert_eq!(world.api("DELETE", path, &basic("bob")).await.status, 404);
    assert_eq!(world.api("DELETE", path, &basic("ann")).await.status, 204);
    assert_eq!(world.api("DELETE", path, &basic("ann")).await.status, 404);
    publish(&world).await;
    assert_eq!(published(&world).await, []);
}

#[tokio::test]
async fn signing_needs_the_right_to_sign_and_nothing_more() {
    let (world, digest) = world().await;
    assert_eq!(signs(&world, "bob", "1", &digest).await.status, 404, "who may not see it");
    world.grant("ann/web", "user:bob", "read").await;
    assert_eq!(signs(&world, "bob", "1", &digest).await.status, 403, "who may only read it");
    let before = world.rows().await;
    for (tag, digest, status) in
        [("none", digest.to_string(), 404), ("1", "sha256:0".to_owned(), 400), ("-", digest.to_string(), 400)]
    {
        let document = json!({"tag": tag, "digest": digest});
        let answer = world.sends("POST", "/repositories/ann%2Fweb/signatures", &basic("ann"), &document).await;
        assert_eq!(answer.status, status, "{tag} {digest}");
    }
    assert_eq!(world.rows().await, before);
    world.grant("ann/web", "user:bob", "read+sign").await;
    assert_eq!(signs(&world, "bob", "1", &digest).await.status, 201);
    let push = world.post("/v2/ann/web/blobs/uploads/").by(&basic("bob")).await;
    assert_eq!(push.status, 403, "who may sign may not push");
}

#[tokio::test]
async fn metadata_is_shown_to_whoever_may_pull_and_to_nobody_else() {
    let (world, digest) = world().await;
    signs(&world, "ann", "1", &digest).await;
    publish(&world).await;
    let begun = world.now() / 1000;
    let of_role = |role: &str| format!("{begun}.{role}.json");
    let names = ["1.root.json".to_owned(), "timestamp.json".to_owned()];
    for name in names.into_iter().chain(["snapshot", "targets", "tags"].map(of_role)) {
        let name = name.as_str();
        let path = format!("/tuf/ann/web/{name}");
        let (private, absent) = (world.get(&path).await, world.get(&path.replace("web", "none")).await);
        assert_eq!((private.status, absent.status), (http::StatusCode::UNAUTHORIZED, http::StatusCode::UNAUTHORIZED));
        assert_eq!(world.get(&path).by(&basic("bob")).await.status, 403, "{name}");
        let token = world.token("ann", "repository:ann/web:pull").await;
        assert_eq!(world.get(&path).by(&token).await.status, 200, "{name}");
        let caching = file(&world, name).await.header("cache-control").to_owned();
        assert_eq!(caching.contains("immutable"), name != "timestamp.json", "{name}: {caching}");
    }
    world.publish("ann/web").await;
    assert_eq!(world.get("/tuf/ann/web/timestamp.json").await.status, 200);
    for name in ["2.root.json", "9.tags.json", "1.other.json", "root.json", "0.root.json", "1.tags.json.json"] {
        assert_eq!(file(&world, name).await.status, 404, "{name}");
    }
    assert_eq!(world.put("/tuf/ann/web/timestamp.json").by(&basic("ann")).await.status, 405);
}

#[tokio::test]
async fn a_timestamp_is_made_anew_before_it_expires_and_never_with_a_version_of_before() {
    let (world, digest) = world().await;
    signs(&world, "ann", "1", &digest).await;
    publish(&world).await;
    let before = signed(&world, "timestamp.json").await;
    assert!(!tuf::renew_due(&world.app).await.unwrap());
    assert_eq!(signed(&world, "timestamp.json").await, before, "not due yet");
    world.pass(4 * 24 * 60 * 60);
    let world = world.restarted().await;
    tuf::renew_due(&world.app).await.unwrap();
    let after = signed(&world, "timestamp.json").await;
    assert!(after["version"].as_i64() > before["version"].as_i64(), "{after}");
    assert!(after["expires"].as_str() > before["expires"].as_str(), "{after}");
    assert_eq!(published(&world).await.len(), 1);
}

#[tokio::test]
async fn targets_are_made_anew_before_they_expire() {
    let (world, digest) = world().await;
    signs(&world, "ann", "1", &digest).await;
    publish(&world).await;
    world.pass((3 * 365 - 80) * 24 * 60 * 60);
    tuf::renew_due(&world.app).await.unwrap();
    let snapshot = signed(&world, "timestamp.json").await["meta"]["snapshot.json"]["version"].clone();
    let meta = signed(&world, &format!("{snapshot}.snapshot.json")).await["meta"].clone();
    for role in ["targets", "tags"] {
        let file = signed(&world, &format!("{}.{role}.json", meta[format!("{role}.json")]["version"])).await;
        assert!(file["expires"].as_str() > Some("2032"), "{role}: {}", file["expires"]);
    }
    assert_eq!(published(&world).await.len(), 1);
}

#[tokio::test]
async fn signatures_go_with_a_repository_to_its_new_name() {
    let (world, digest) = world().await;
    signs(&world, "ann", "1", &digest).await;
    publish(&world).await;
    let renamed = world.sends("PATCH", "/repositories/ann%2Fweb", &basic("ann"), &json!({"name": "ann/shop"})).await;
    assert_eq!(renamed.status, 200, "{renamed}");
    publish(&world).await;
    let timestamp = world.get("/tuf/ann/shop/timestamp.json").by(&basic("ann")).await.json();
    let file =
        |role: &str, version: &Value| world.get(&format!("/tuf/ann/shop/{version}.{role}.json")).by(&basic("ann"));
    let snapshot = file("snapshot", &timestamp["signed"]["meta"]["snapshot.json"]["version"]).await.json();
    let tags = file("tags", &snapshot["signed"]["meta"]["tags.json"]["version"]).await.json();
    let named: Vec<_> = tags["signed"]["targets"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(named, ["ann/shop/1"]);
}

#[tokio::test]
async fn versions_go_on_when_a_repository_is_made_anew_under_its_name() {
    let (world, digest) = world().await;
    signs(&world, "ann", "1", &digest).await;
    publish(&world).await;
    let before = signed(&world, "timestamp.json").await["version"].as_i64();
    assert_eq!(world.api("DELETE", "/repositories/ann%2Fweb", &basic("ann")).await.status, 204);
    world.pass(60);
    let again = world.image(&world.all_of("ann", "ann/web").await, "ann/web", "1", "again").await;
    signs(&world, "ann", "1", &again).await;
    publish(&world).await;
    assert!(signed(&world, "timestamp.json").await["version"].as_i64() > before);
}

#[tokio::test]
async fn what_was_signed_goes_with_its_repository() {
    let (world, digest) = world().await;
    signs(&world, "ann", "1", &digest).await;
    publish(&world).await;
    assert_eq!(world.api("DELETE", "/repositories/ann%2Fweb", &basic("ann")).await.status, 204);
    publish(&world).await;
    // It waits to be brought back for a while.
    world.pass(15 * 24 * 60 * 60);
    hallmark_gc::empty_deleted_repositories(&world.app.metadata, world.now(), || true).await.unwrap();
    for table in ["vouches", "trust_collections", "trust_metadata", "trust_current"] {
        assert_eq!(world.look(&format!("SELECT COUNT(*) FROM {table}")).await, ["0"], "{table}");
    }
}

#[tokio::test]
async fn a_repository_that_cannot_be_published_holds_no_other_up_and_is_tried_again() {
    let (world, digest) = world().await;
    signs(&world, "ann", "1", &digest).await;
    publish(&world).await;
    world
        .meddle(
            "CREATE TRIGGER broken BEFORE INSERT ON trust_metadata
               WHEN NEW.collection_id = (SELECT MIN(id) FROM trust_collections) BEGIN SELECT RAISE(ABORT, 'broken'); END",
        )
        .await;
    let ann = world.all_of("ann", "ann/web").await;
    let second = world.image(&ann, "ann/web", "2", "second").await;
    signs(&world, "ann", "2", &second).await;
    let other = world.image(&world.all_of("bob", "bob/app").await, "bob/app", "1", "other").await;
    let document = json!({"tag": "1", "digest": other});
    assert_eq!(world.sends("POST", "/repositories/bob%2Fapp/signatures", &basic("bob"), &document).await.status, 201);
    publish(&world).await;
    assert_eq!(world.get("/tuf/bob/app/timestamp.json").by(&basic("bob")).await.status, 200, "the other is published");
    world.meddle("DROP TRIGGER broken").await;
    publish(&world).await;
    assert_eq!(published(&world).await.len(), 1, "it waits a minute");
    world.pass(60);
    publish(&world).await;
    assert_eq!(published(&world).await.len(), 2);
}

#[tokio::test]
async fn files_that_were_damaged_are_published_anew_from_what_is_vouched_for() {
    let (world, digest) = world().await;
    signs(&world, "ann", "1", &digest).await;
    publish(&world).await;
    for role in ["snapshot", "targets", "targets/tags"] {
        world.meddle(&format!("UPDATE trust_metadata SET body = X'7B7D' WHERE role = '{role}'")).await;
        let ann = world.all_of("ann", "ann/web").await;
        let another = world.image(&ann, "ann/web", "2", role).await;
        world.pass(2);
        assert_eq!(signs(&world, "ann", "2", &another).await.status, 201);
        publish(&world).await;
        let expected = [("ann/web/1", digest.hex()), ("ann/web/2", another.hex())];
        assert_eq!(published(&world).await, expected.map(|(path, sum)| (path.to_owned(), sum.to_owned())), "{role}");
    }
}

#[tokio::test]
async fn a_tag_that_is_set_back_by_its_history_leaves_the_targets_until_it_is_signed() {
    let (world, first) = world().await;
    let ann = world.all_of("ann", "ann/web").await;
    signs(&world, "ann", "1", &first).await;
    let second = world.image(&ann, "ann/web", "1", "second").await;
    signs(&world, "ann", "1", &second).await;
    publish(&world).await;
    assert_eq!(published(&world).await, [("ann/web/1".to_owned(), second.hex().to_owned())]);
    let undelete = async |what: &Value| {
        world.sends("POST", "/repositories/ann%2Fweb/undelete", &basic("ann"), what).await.expect(200);
    };
    world.pass(2);
    undelete(&json!({"tag": "1"})).await;
    publish(&world).await;
    assert_eq!(published(&world).await, [], "it means the first again, and nobody vouches for that now");
    signs(&world, "ann", "1", &first).await;
    world.pass(2);
    publish(&world).await;
    assert_eq!(published(&world).await, [("ann/web/1".to_owned(), first.hex().to_owned())]);
    // Deleted whole and brought back: also its tags are back, and have to be signed.
    world.delete(&format!("/v2/ann/web/manifests/{first}")).by(&ann).await.expect(202);
    undelete(&json!({"digest": first})).await;
    world.pass(2);
    publish(&world).await;
    assert_eq!(published(&world).await, []);
    signs(&world, "ann", "1", &first).await;
    world.pass(2);
    publish(&world).await;
    assert_eq!(published(&world).await.len(), 1);
}

#[tokio::test]
async fn a_repository_that_is_brought_back_is_published_again() {
    let (world, digest) = world().await;
    signs(&world, "ann", "1", &digest).await;
    publish(&world).await;
    let before = signed(&world, "timestamp.json").await["version"].as_i64();
    assert_eq!(world.api("DELETE", "/repositories/ann%2Fweb", &basic("ann")).await.status, 204);
    world.pass(8 * 24 * 60 * 60);
    let path = "/accounts/ann/undelete";
    world.sends("POST", path, &basic("ann"), &json!({"repository": "ann/web"})).await.expect(204);
    publish(&world).await;
    assert!(signed(&world, "timestamp.json").await["version"].as_i64() > before);
    assert_eq!(published(&world).await, [("ann/web/1".to_owned(), digest.hex().to_owned())]);
}

#[tokio::test]
async fn what_is_purged_takes_the_tags_of_its_signatures_out_of_the_targets() {
    let (world, digest) = world().await;
    let ann = world.all_of("ann", "ann/web").await;
    let tag = format!("sha256-{}.sig", digest.hex());
    let of_it = world.image(&ann, "ann/web", &tag, "a signature").await;
    signs(&world, "ann", &tag, &of_it).await;
    publish(&world).await;
    assert_eq!(published(&world).await.len(), 1);
    world.delete(&format!("/v2/ann/web/manifests/{digest}")).by(&ann).await.expect(202);
    publish(&world).await;
    assert_eq!(published(&world).await.len(), 1, "it can be brought back, and its signature with it");
    world.pass(20 * 24 * 60 * 60);
    hallmark_gc::clean(&world.app.metadata, &world.app.blobs, world.now(), || true).await.unwrap();
    assert_eq!(world.look(&format!("SELECT name FROM tags WHERE name = '{tag}'")).await, [""; 0]);
    publish(&world).await;
    while tuf::renew_due(&world.app).await.unwrap() {}
    assert_eq!(published(&world).await, []);
}

#[tokio::test]
async fn a_tag_moved_away_and_back_before_anybody_looked_is_signed_no_more() {
    let (world, first) = world().await;
    let ann = world.all_of("ann", "ann/web").await;
    signs(&world, "ann", "1", &first).await;
    publish(&world).await;
    assert_eq!(published(&world).await.len(), 1);
    let manifest = world.get("/v2/ann/web/manifests/1").by(&ann).await;
    world.image(&ann, "ann/web", "1", "moved").await;
    let back = world.put("/v2/ann/web/manifests/1").by(&ann).header("content-type", manifest.header("content-type"));
    assert_eq!(back.body(manifest.body.clone()).await.status, 201);
    publish(&world).await;
    assert_eq!(published(&world).await, []);
}

/// As many tags as that, all of them signed.
async fn many(world: &World, tags: usize) {
    world
        .meddle(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {tags})
             INSERT INTO tags (repository_id, name, manifest_id, version, moved_at)
               SELECT t.repository_id, 'b' || n.i, t.manifest_id, 1, t.moved_at FROM tags t, n WHERE t.name = '1'"
        ))
        .await;
    world
        .meddle(
            "INSERT INTO vouches (repository_id, tag, digest, size, media_type, signer_id, signer, source, at)
               SELECT v.repository_id, t.name, v.digest, v.size, v.media_type, v.signer_id, v.signer, v.source, v.at
                 FROM vouches v, tags t WHERE t.repository_id = v.repository_id AND t.name LIKE 'b%'",
        )
        .await;
}

#[tokio::test]
async fn very_many_tags_are_signed_in_parts_and_appear_at_once() {
    let (world, digest) = world().await;
    signs(&world, "ann", "1", &digest).await;
    many(&world, 41_000).await;
    publish(&world).await;
    let version = signed(&world, "timestamp.json").await["meta"]["snapshot.json"]["version"].clone();
    let snapshot = signed(&world, &format!("{version}.snapshot.json")).await;
    let mut named = 0;
    for (bin, line) in snapshot["meta"].as_object().unwrap().iter().filter(|(name, _)| name.starts_with("bin-")) {
        named += signed(&world, &format!("{}.{bin}", line["version"])).await["targets"].as_object().unwrap().len();
    }
    assert_eq!(named, 41_000);
    let parts =
        world.look("SELECT version FROM signer_log WHERE role = 'snapshot' AND collection LIKE 'tuf1/rep%'").await;
    assert_eq!(parts.len(), 3, "every role, and the tags in two parts");
    let current = world.look("SELECT COUNT(*) FROM trust_metadata WHERE role = 'timestamp'").await;
    assert_eq!(current, ["1"], "nobody saw the others");
    world.pass(2);
    let ann = world.all_of("ann", "ann/web").await;
    let moved = world.image(&ann, "ann/web", "b7", "moved").await;
    assert_eq!(signs(&world, "ann", "b7", &moved).await.status, 201);
    let before = world.rows().await["trust_metadata"].len();
    publish(&world).await;
    assert_eq!(world.rows().await["trust_metadata"].len(), before + 3, "it is built on");
}

#[tokio::test]
async fn more_than_a_thousand_tags_are_served_in_bins() {
    let (world, digest) = world().await;
    signs(&world, "ann", "1", &digest).await;
    many(&world, 1_500).await;
    publish(&world).await;
    let timestamp = signed(&world, "timestamp.json").await;
    let line = &timestamp["meta"]["snapshot.json"]["version"];
    let snapshot = signed(&world, &format!("{line}.snapshot.json")).await;
    let bins: Vec<&String> =
        snapshot["meta"].as_object().unwrap().keys().filter(|name| name.starts_with("bin-")).collect();
    assert_eq!(bins.len(), 16);
    let mut named = 0;
    for bin in bins {
        let file = signed(&world, &format!("{line}.{bin}")).await;
        named += file["targets"].as_object().unwrap().len();
    }
    assert_eq!(named, 1_500);
    let ann = world.all_of("ann", "ann/web").await;
    let moved = world.image(&ann, "ann/web", "b7", "moved").await;
    assert_eq!(signs(&world, "ann", "b7", &moved).await.status, 201);
    let before = world.rows().await["trust_metadata"].len();
    world.pass(2);
    publish(&world).await;
    assert_eq!(world.rows().await["trust_metadata"].len(), before + 3, "a bin, the snapshot, the timestamp");
}
