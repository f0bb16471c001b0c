//! Who sets how much an account or a repository may hold, and who is told what it holds.

use serde_json::json;

use super::{admin, basic, records, refuses};
use crate::harness::World;

const WEB: &str = "/repositories/ann%2Fweb";

async fn world() -> World {
    with_image().await.0
}

async fn with_image() -> (World, String) {
    let world = World::open().await;
    let digest = world.image(&world.all_of("ann", "ann/web").await, "ann/web", "v1", "layer").await;
    (world, digest.to_string())
}

#[tokio::test]
async fn nobody_gives_their_own_account_room() {
    let world = world().await;
    let (path, quota) = ("/accounts/ann/quota", json!({"hard": 1_000_000}));
    refuses(&world, world.sends("PUT", path, &basic("ann"), &quota), 403, "DENIED").await;
    refuses(&world, world.sends("PUT", path, &basic("bob"), &quota), 404, "NOT_FOUND").await;
    let (set, event) = records(&world, world.sends("PUT", path, &admin(), &quota)).await;
    assert_eq!(set.json(), json!({"soft": null, "hard": 1_000_000}));
    assert!(event.contains("quota_changed ann"), "{event}");
    refuses(&world, world.api("DELETE", path, &basic("ann")), 403, "DENIED").await;
    assert_eq!(world.api("GET", path, &basic("ann")).await.expect(200).json(), set.json());
    records(&world, world.api("DELETE", path, &admin())).await;
    world.api("DELETE", path, &admin()).await.expect(204);
    assert_eq!(world.look("SELECT COUNT(*) FROM quotas").await, ["0"]);
}

#[tokio::test]
async fn who_governs_the_account_divides_it_and_who_manages_a_repository_only_looks() {
    let world = world().await;
    let (path, quota) = (format!("{WEB}/quota"), json!({"soft": 10, "hard": 20}));
    world.grant("ann/web", "user:bob", "admin").await;
    refuses(&world, world.sends("PUT", &path, &basic("bob"), &quota), 403, "DENIED").await;
    let (_, event) = records(&world, world.sends("PUT", &path, &basic("ann"), &quota)).await;
    assert!(event.contains("quota_changed ann/web"), "{event}");
    assert_eq!(world.api("GET", &path, &basic("bob")).await.expect(200).json(), quota);
    world.api("GET", &format!("{WEB}/sizes"), &basic("bob")).await.expect(200);
    refuses(&world, world.api("GET", "/accounts/ann/sizes", &basic("bob")), 404, "NOT_FOUND").await;
    records(&world, world.api("DELETE", &path, &basic("ann"))).await;
}

#[tokio::test]
async fn a_quota_is_changed_only_as_it_was_read() {
    let world = world().await;
    let path = "/accounts/ann/quota";
    let none = world.api("GET", path, &admin()).await.expect(200).header("etag").to_owned();
    let set = |hard: u64, tag: &str| world.sends("PUT", path, &admin(), &json!({"hard": hard})).header("if-match", tag);
    let first = set(5, &none).await.expect(200).header("etag").to_owned();
    refuses(&world, set(6, &none), 412, "PRECONDITION_FAILED").await;
    set(6, &first).await.expect(200);
    let stale = world.api("DELETE", path, &admin()).header("if-match", &first);
    refuses(&world, stale, 412, "PRECONDITION_FAILED").await;
}

#[tokio::test]
async fn a_quota_that_makes_no_sense_is_refused() {
    let world = world().await;
    for bad in [
        json!({"soft": 2, "hard": 1}),
        json!({"hard": 9_007_199_254_740_992_u64}),
        json!({"hard": -1}),
        json!({"had": 1}),
    ] {
        refuses(&world, world.sends("PUT", "/accounts/ann/quota", &admin(), &bad), 400, "INVALID").await;
    }
}

#[tokio::test]
async fn sizes_are_those_of_a_recount_with_the_time_they_were_counted() {
    let (world, digest) = with_image().await;
    let seen = world.api("GET", &format!("{WEB}/sizes"), &basic("ann")).await.expect(200).json();
    let manifest = world.look("SELECT size FROM manifests").await[0].parse::<u64>().unwrap();
    // The config `{}` and the layer.
    let whole = manifest + 2 + 5;
    assert_eq!(
        seen,
        json!({
            "as_of": seen["as_of"], "logical": whole, "unique": whole, "shared": 0, "reclaimable": 0, "used": whole,
            "reserved": 0, "quota": {"soft": null, "hard": null}
        })
    );
    assert!(seen["as_of"].as_str().unwrap().ends_with('Z'), "{seen}");
    let ann = world.all_of("ann", "ann/web").await;
    world.delete("/v2/ann/web/manifests/v1").by(&ann).await.expect(202);
    world.delete(&format!("/v2/ann/web/manifests/{digest}")).by(&ann).await.expect(202);
    let seen = world.api("GET", "/accounts/ann/sizes", &basic("ann")).await.expect(200).json();
    assert_eq!((&seen["logical"], &seen["reclaimable"], &seen["used"]), (&json!(whole), &json!(whole), &json!(whole)));
}

/// Whoever manages one repository is not told whether others of the account, which they may not see, hold the same.
#[tokio::test]
async fn who_manages_a_repository_alone_is_not_told_what_others_share_with_it() {
    let mut seen = Vec::new();
    for is_shared in [false, true] {
        let world = world().await;
        world.grant("ann/web", "user:bob", "admin").await;
        let ann = world.token("ann", "repository:ann/web:pull,push repository:ann/secret:pull,push").await;
        world.blob(&ann, "ann/web", "not named").await;
        if is_shared {
            for content in ["layer", "not named"] {
                world.blob(&ann, "ann/secret", content).await;
            }
        }
        let sizes = world.api("GET", &format!("{WEB}/sizes"), &basic("bob")).await.expect(200).json();
        assert_eq!(
            (&sizes["unique"], &sizes["shared"], &sizes["reclaimable"]),
            (&json!(null), &json!(null), &json!(9))
        );
        seen.push(sizes);
        let sizes = world.api("GET", &format!("{WEB}/sizes"), &basic("ann")).await.expect(200).json();
        let of_it = if is_shared { (14, 0) } else { (0, 9) };
        assert_eq!((&sizes["shared"], &sizes["reclaimable"]), (&json!(of_it.0), &json!(of_it.1)));
        world.api("GET", &format!("{WEB}/sizes"), &admin()).await.expect(200);
    }
    seen[1]["as_of"] = seen[0]["as_of"].clone();
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_repository_that_comes_back_has_its_quota_and_one_that_takes_its_name_has_none() {
    let world = world().await;
    let (path, quota) = (format!("{WEB}/quota"), json!({"soft": 10, "hard": 20_000}));
    world.sends("PUT", &path, &basic("ann"), &quota).await.expect(200);
    world.api("DELETE", WEB, &basic("ann")).await.expect(204);
    refuses(&world, world.api("GET", &path, &basic("ann")), 404, "NOT_FOUND").await;
    let wish = json!({"repository": "ann/web"});
    world.sends("POST", "/accounts/ann/undelete", &basic("ann"), &wish).await.expect(204);
    assert_eq!(world.api("GET", &path, &basic("ann")).await.expect(200).json(), quota);
    world.api("DELETE", WEB, &basic("ann")).await.expect(204);
    world.image(&world.all_of("ann", "ann/web").await, "ann/web", "v1", "layer").await;
    let none = json!({"soft": null, "hard": null});
    assert_eq!(world.api("GET", &path, &basic("ann")).await.expect(200).json(), none);
}
