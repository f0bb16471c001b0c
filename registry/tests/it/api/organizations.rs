//! `/organizations` and their members.

use insta::assert_snapshot;
use serde_json::json;

use super::{admin, basic, pages, records, refuses};
use crate::harness::{Acme, World};

#[tokio::test]
async fn an_organization_is_made_shown_changed_and_removed() {
    let world = World::open().await;
    let new = json!({"name": "acme", "owner": "ann"});
    let (made, event) = records(&world, world.sends("POST", "/organizations", &admin(), &new)).await;
    assert_snapshot!(made, @r#"
    201 Created
    cache-control: no-store
    content-length: 58
    content-type: application/json
    etag: {tag}

    {"name":"acme","create_on_push":false,"writers_sign":true}
    "#);
    assert_eq!(event, r#"admin organization_created acme {"owner":"ann"}"#);
    assert_snapshot!(world.api("GET", "/organizations/acme", &basic("ann")).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 58
    content-type: application/json
    etag: {tag}

    {"name":"acme","create_on_push":false,"writers_sign":true}
    "#);
    let change = json!({"create_on_push": true});
    let (changed, event) = records(&world, world.sends("PATCH", "/organizations/acme", &basic("ann"), &change)).await;
    assert_snapshot!(changed, @r#"
    200 OK
    cache-control: no-store
    content-length: 57
    content-type: application/json
    etag: {tag}

    {"name":"acme","create_on_push":true,"writers_sign":true}
    "#);
    assert_eq!(event, r#"ann organization_changed acme {"create_on_push":true}"#);
    let (removed, event) = records(&world, world.api("DELETE", "/organizations/acme", &basic("ann"))).await;
    assert_snapshot!(removed, @r"
    204 No Content
    cache-control: no-store
    ");
    assert_eq!(event, "ann organization_removed acme {}");
    assert_snapshot!(world.api("GET", "/organizations/acme", &admin()).await, @r#"
    404 Not Found
    cache-control: no-store
    content-length: 114
    content-type: application/json

    {"errors":[{"code":"NOT_FOUND","detail":null,"message":"there is no organization of this name that you may see"}]}
    "#);
}

#[tokio::test]
async fn an_organization_that_cannot_be_is_refused() {
    let world = World::open().await;
    for name in ["", "Acme", "a/b", "a\u{0}", "library", "admin", "_system", &"a".repeat(256)] {
        refuses(&world, world.sends("POST", "/organizations", &admin(), &json!({"name": name})), 400, "INVALID").await;
    }
    refuses(&world, world.sends("POST", "/organizations", &admin(), &json!({"name": "ann"})), 409, "CONFLICT").await;
    for owner in ["eve", "Ann", "a\u{0}", "acme+ci"] {
        let new = json!({"name": "acme", "owner": owner});
        refuses(&world, world.sends("POST", "/organizations", &admin(), &new), 400, "INVALID").await;
    }
}

#[tokio::test]
async fn organizations_are_listed_to_those_who_belong_to_them() {
    let world = World::open().await;
    for (name, owner) in [("acme", "ann"), ("bolt", "bob"), ("cord", "ann")] {
        world.organization(name, owner).await;
    }
    world.member("cord", "bob", "member").await;
    assert_snapshot!(world.api("GET", "/organizations?limit=1", &basic("bob")).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 84
    content-type: application/json
    etag: {tag}
    link: </api/v1/organizations?limit=1&after=bolt>; rel="next"

    {"items":[{"name":"bolt","create_on_push":false,"writers_sign":true}],"next":"bolt"}
    "#);
    assert_eq!(pages(&world, "/organizations", &basic("bob"), 1, "name").await, [["bolt"], ["cord"]]);
    assert_eq!(pages(&world, "/organizations", &basic("ann"), 5, "name").await, [["acme", "cord"]]);
    assert_eq!(pages(&world, "/organizations", &admin(), 2, "name").await, [vec!["acme", "bolt"], vec!["cord"]]);
}

#[tokio::test]
async fn an_organization_that_has_something_stays() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let remove = || world.api("DELETE", "/organizations/acme", &basic("olga"));
    refuses(world, remove(), 409, "CONFLICT").await;
    for name in ["acme%2Fweb", "acme%2Fsite"] {
        world.api("DELETE", &format!("/repositories/{name}"), &basic("olga")).await.expect(204);
    }
    refuses(world, remove(), 409, "CONFLICT").await;
    world.api("DELETE", "/organizations/acme/teams/dev", &basic("olga")).await.expect(204);
    remove().await.expect(204);
}

#[tokio::test]
async fn members_are_put_listed_and_removed() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let put = |user: &str, role: &str| {
        let path = format!("/organizations/acme/members/{user}");
        (path, json!({"role": role}))
    };
    let (path, document) = put("ann", "member");
    let (answer, event) = records(world, world.sends("PUT", &path, &basic("olga"), &document)).await;
    assert_snapshot!(answer, @r#"
    200 OK
    cache-control: no-store
    content-length: 30
    content-type: application/json

    {"user":"ann","role":"member"}
    "#);
    assert_eq!(event, r#"olga member_put ann {"role":"member"}"#);
    let page = world.api("GET", "/organizations/acme/members?limit=2", &basic("ann")).await.expect(200).json();
    let items = json!([{"user": "ann", "role": "member"}, {"user": "mia", "role": "member"}]);
    assert_eq!(page, json!({"items": items, "next": "mia"}));
    let all = [["ann", "mia"], ["olga", "tim"]];
    assert_eq!(pages(world, "/organizations/acme/members", &basic("aud"), 2, "user").await, all);
    let (answer, event) = records(world, world.api("DELETE", &path, &basic("olga"))).await;
    assert_snapshot!(answer, @r"
    204 No Content
    cache-control: no-store
    ");
    assert_eq!(event, "olga member_removed ann {}");
    refuses(world, world.api("DELETE", &path, &basic("olga")), 404, "NOT_FOUND").await;
    for user in ["eve", "Ann", "acme+ci", "a%00"] {
        let (path, document) = put(user, "member");
        refuses(world, world.sends("PUT", &path, &basic("olga"), &document), 400, "INVALID").await;
        refuses(world, world.api("DELETE", &path, &basic("olga")), 404, "NOT_FOUND").await;
    }
    let (path, document) = put("ann", "king");
    refuses(world, world.sends("PUT", &path, &basic("olga"), &document), 400, "INVALID").await;
}

#[tokio::test]
async fn one_owner_is_left_at_least() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let (path, member) = ("/organizations/acme/members/olga", json!({"role": "member"}));
    for by in [basic("olga"), admin()] {
        refuses(world, world.sends("PUT", path, &by, &member), 409, "CONFLICT").await;
        refuses(world, world.api("DELETE", path, &by), 409, "CONFLICT").await;
    }
    world.member("acme", "mia", "owner").await;
    world.sends("PUT", path, &basic("mia"), &member).await.expect(200);
    refuses(world, world.sends("PUT", path, &basic("olga"), &json!({"role": "owner"})), 403, "DENIED").await;
}

/// Whoever leaves takes along nothing: not the teams, not what was granted to them.
#[tokio::test]
async fn who_is_taken_out_loses_everything_in_the_organization_at_the_next_request() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.grant("acme/*", "user:tim", "read").await;
    world.grant("acme/web", "user:tim", "admin").await;
    let token = world.all_of("tim", "acme/web").await;
    world.get("/v2/acme/web/tags/list").by(&token).await.expect(200);
    world.api("DELETE", "/organizations/acme/members/tim", &basic("tim")).await.expect(204);
    world.get("/v2/acme/web/tags/list").by(&token).await.expect(401);
    world.api("GET", "/organizations/acme", &basic("tim")).await.expect(404);
    world.member("acme", "tim", "member").await;
    world.get("/v2/acme/web/tags/list").by(&token).await.expect(401);
    assert_eq!(world.api("GET", "/me", &basic("tim")).await.json()["teams"], json!([]));
}

#[tokio::test]
async fn an_owner_owns_from_the_next_request_on_and_no_longer() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let token = world.all_of("mia", "acme/web").await;
    world.get("/v2/acme/web/tags/list").by(&token).await.expect(401);
    world.member("acme", "mia", "owner").await;
    let token = world.all_of("mia", "acme/web").await;
    world.get("/v2/acme/web/tags/list").by(&token).await.expect(200);
    world.member("acme", "mia", "member").await;
    world.get("/v2/acme/web/tags/list").by(&token).await.expect(401);
    world.api("GET", "/repositories/acme%2Fweb", &basic("mia")).await.expect(404);
}
