//! Grants: given, changed, listed and taken; and that nobody gives more than they hold (threat 37).

use insta::assert_snapshot;
use serde_json::json;

use super::{admin, basic, pages, records, refuses};
use crate::harness::{Acme, Credentials, World, encoded};

fn path(on: &str, holder: &str) -> String {
    format!("/grants/{}/{}", encoded(on), encoded(holder))
}

#[tokio::test]
async fn a_grant_is_given_changed_listed_and_taken() {
    let acme = Acme::open().await;
    let (world, olga) = (&acme.world, basic("olga"));
    let put = |rights: &str| world.sends("PUT", &path("acme/web", "user:ann"), &olga, &json!({"rights": rights}));
    let (given, event) = records(world, put("sign+read")).await;
    assert_snapshot!(given, @r#"
    200 OK
    cache-control: no-store
    content-length: 119
    content-type: application/json

    {"on":"acme/web","holder":"user:ann","rights":"read+sign","granted_by":"user:olga","granted_at":"2027-01-15T08:00:00Z"}
    "#);
    assert_eq!(event, r#"olga grant_put acme/web {"holder":"user:ann","rights":"read+sign"}"#);
    let (_, event) = records(world, put("delete")).await;
    assert_eq!(event, r#"olga grant_put acme/web {"holder":"user:ann","rights":"delete"}"#);
    assert_snapshot!(world.api("GET", "/repositories/acme%2Fweb/grants", &olga).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 372
    content-type: application/json
    etag: {tag}

    {"items":[{"on":"acme/web","holder":"user:ann","rights":"delete","granted_by":"user:olga","granted_at":"2027-01-15T08:00:00Z"},{"on":"acme/web","holder":"team:acme/dev","rights":"write","granted_by":"user:admin","granted_at":"2027-01-15T08:00:00Z"},{"on":"acme/web","holder":"robot:acme+ci","rights":"write","granted_by":"user:admin","granted_at":"2027-01-15T08:00:00Z"}]}
    "#);
    let all = pages(world, "/repositories/acme%2Fweb/grants", &olga, 1, "holder").await.concat();
    assert_eq!(all.len(), 3);
    let (taken, event) = records(world, world.api("DELETE", &path("acme/web", "user:ann"), &olga)).await;
    assert_snapshot!(taken, @r"
    204 No Content
    cache-control: no-store
    ");
    assert_eq!(event, r#"olga grant_taken acme/web {"holder":"user:ann"}"#);
    refuses(world, world.api("DELETE", &path("acme/web", "user:ann"), &olga), 404, "NOT_FOUND").await;
    refuses(world, world.api("DELETE", &path("acme/web", "user:eve"), &olga), 404, "NOT_FOUND").await;
}

/// A page costs a page (I11): one statement, however many gave what is on it.
#[tokio::test]
async fn a_page_of_grants_is_read_by_one_statement() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let reads = async |path: &str| {
        let before = world.app.metadata.statistics().reads;
        let answer = world.api("GET", path, &basic("aud")).await.expect(200).json();
        (answer["items"].as_array().unwrap().len(), world.app.metadata.statistics().reads - before)
    };
    let paths = ["/repositories/acme%2Fweb/grants", "/accounts/acme/grants"];
    world.grant("acme/*", "user:ann", "read").await;
    for path in paths {
        // Who asks is remembered from here on.
        reads(path).await;
        let (few, cost) = reads(path).await;
        for holder in ["user:ann", "user:bob", "user:mia", "user:tim"] {
            world.grant("acme/web", holder, "read").await;
            world.grant("acme/*", holder, "read").await;
        }
        reads(path).await;
        let (many, more) = reads(path).await;
        assert!(many >= few + 3, "{few} {many}");
        assert_eq!(more, cost, "{path}");
        for holder in ["user:bob", "user:mia", "user:tim"] {
            world.take("acme/web", holder).await;
            world.take("acme/*", holder).await;
        }
    }
}

#[tokio::test]
async fn grants_on_prefixes_are_listed_to_who_governs_the_account() {
    let acme = Acme::open().await;
    let world = &acme.world;
    for (on, holder) in [("acme/*", "user:ann"), ("acme/web-*", "team:acme/dev"), ("acme/web-*", "user:ann")] {
        world.grant(on, holder, "read").await;
    }
    assert_snapshot!(world.api("GET", "/accounts/acme/grants?limit=2", &basic("olga")).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 264
    content-type: application/json
    etag: {tag}
    link: </api/v1/accounts/acme/grants?limit=2&after=acme%2Fweb-+7>; rel="next"

    {"items":[{"on":"acme/*","holder":"user:ann","rights":"read","granted_by":"user:admin","granted_at":"2027-01-15T08:00:00Z"},{"on":"acme/web-*","holder":"user:ann","rights":"read","granted_by":"user:admin","granted_at":"2027-01-15T08:00:00Z"}],"next":"acme/web- 7"}
    "#);
    let on = [["acme/*"], ["acme/web-*"], ["acme/web-*"]];
    for by in [basic("olga"), basic("aud"), admin()] {
        assert_eq!(pages(world, "/accounts/acme/grants", &by, 1, "on").await, on);
    }
    refuses(world, world.api("GET", "/accounts/acme/grants", &basic("mia")), 403, "DENIED").await;
    for cursor in ["x", "x%20", "%20x", "a%20b%20"] {
        let call = world.api("GET", &format!("/accounts/acme/grants?after={cursor}"), &basic("olga"));
        assert_eq!(call.await.gist(), (400, "INVALID".into()), "{cursor}");
    }
    let call = world.api("GET", "/repositories/acme%2Fweb/grants?after=x", &basic("olga"));
    assert_eq!(call.await.gist(), (400, "INVALID".into()));
}

#[tokio::test]
async fn a_grant_that_cannot_be_is_refused() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.team("acme", "ops", &[]).await;
    world.organization("bolt", "bob").await;
    world.team("bolt", "dev", &[]).await;
    world.robot("ann", "bot", None).await;
    let read = json!({"rights": "read"});
    for on in ["*", "acme*", "Acme/x", "acme/**", "acme/-*", "%00"] {
        refuses(
            world,
            world.sends("PUT", &path(on, "user:ann").replace("%2500", "%00"), &admin(), &read),
            400,
            "INVALID",
        )
        .await;
    }
    for holder in [
        "ann",
        "user:",
        "user:Ann",
        "user:eve",
        "group:x",
        "team:dev",
        "team:acme/none",
        "robot:acme+none",
        "team:bolt/dev",
        "robot:ann+bot",
        "robot:acme/ci",
        "user:acme",
    ] {
        refuses(world, world.sends("PUT", &path("acme/web", holder), &admin(), &read), 400, "INVALID").await;
    }
    for rights in ["", "none", "pull", "read,write", "Read", "read+"] {
        let document = json!({"rights": rights});
        refuses(world, world.sends("PUT", &path("acme/web", "user:ann"), &admin(), &document), 400, "INVALID").await;
    }
    for on in ["acme/none", "none/web", "none/*"] {
        refuses(world, world.sends("PUT", &path(on, "user:ann"), &admin(), &read), 404, "NOT_FOUND").await;
    }
    for on in ["acme/site", "acme/*", "acme/web*"] {
        refuses(world, world.sends("PUT", &path(on, "robot:acme+ci"), &admin(), &read), 400, "INVALID").await;
    }
    assert_snapshot!(world.sends("PUT", &path("acme/web", "user:ann"), &admin(), &json!({"rights": "pull"})).await, @r#"
    400 Bad Request
    cache-control: no-store
    content-length: 152
    content-type: application/json

    {"errors":[{"code":"INVALID","detail":{"field":"rights"},"message":"\"pull\" is no right: use read, write, admin, delete or sign, also joined by '+'"}]}
    "#);
}

#[tokio::test]
async fn one_holder_has_grants_on_at_most_sixty_four_prefixes_of_an_account() {
    let acme = Acme::open().await;
    let world = &acme.world;
    for number in 0..64 {
        world.grant(&format!("acme/p{number}-*"), "user:ann", "read").await;
    }
    let read = json!({"rights": "read"});
    refuses(world, world.sends("PUT", &path("acme/more*", "user:ann"), &admin(), &read), 409, "CONFLICT").await;
    world.grant("acme/p1-*", "user:ann", "write").await;
}

/// Every level of somebody who may give something, every target and all that could be given: what is refused changes
/// nothing, and what is not is no more than the giver holds.
#[tokio::test]
async fn nobody_gives_more_than_they_hold() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.organization("bolt", "bob").await;
    world.image(&admin(), "bolt/web", "1", "layer").await;
    for (name, on, rights) in [
        ("reader", "acme/web", "read"),
        ("writer", "acme/web", "write"),
        ("deleter", "acme/web", "delete+write"),
        ("gus", "acme/web", "admin"),
        ("pia", "acme/web-*", "admin"),
        ("pat", "acme/web-*", "write"),
    ] {
        world.add_user(name).await;
        world.grant(on, &format!("user:{name}"), rights).await;
    }
    let token = Credentials::bearer(&world.personal("gus", "write+read api:write").await.1);
    let targets = [
        "acme/web",
        "acme/site",
        "acme/*",
        "acme/web*",
        "acme/web-*",
        "acme/web-shop/*",
        "bolt/web",
        "bolt/*",
        "ann/*",
    ];
    let (mut given, base) = (Vec::new(), &acme.world);
    let givers = ["reader", "writer", "deleter", "gus", "pia", "pat", "mia", "tim", "ann", "aud"];
    let givers = givers.into_iter().map(|name| (name, basic(name)));
    for (name, by) in givers.chain([("robot", acme.robot.clone()), ("token", token)]) {
        let mut world = base.copied().await;
        let mut before = world.rows().await;
        for on in targets {
            for rights in ["read", "write", "admin", "delete", "sign"] {
                let call = world.sends("PUT", &path(on, "user:ann"), &by, &json!({"rights": rights}));
                let status = call.await.status.as_u16();
                if status == 200 {
                    given.push(format!("{name} {rights} {on}"));
                    world = base.copied().await;
                    before = world.rows().await;
                } else {
                    assert!(matches!(status, 403 | 404), "{name} {rights} {on}: {status}");
                    assert_eq!(world.rows().await, before, "{name} {rights} {on}");
                }
            }
        }
    }
    assert_snapshot!(given.join("\n"), @r"
    gus read acme/web
    gus write acme/web
    gus admin acme/web
    gus delete acme/web
    gus sign acme/web
    pia read acme/web-*
    pia write acme/web-*
    pia admin acme/web-*
    pia delete acme/web-*
    pia sign acme/web-*
    pia read acme/web-shop/*
    pia write acme/web-shop/*
    pia admin acme/web-shop/*
    pia delete acme/web-shop/*
    pia sign acme/web-shop/*
    ann read ann/*
    ann write ann/*
    ann admin ann/*
    ann delete ann/*
    ann sign ann/*
    ");
}

/// A grant is told apart from what others hold: who gives themselves more is refused like anybody else.
#[tokio::test]
async fn nobody_raises_themselves() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.grant("acme/web", "user:mia", "write+delete").await;
    for (by, holder) in
        [(basic("mia"), "user:mia"), (basic("tim"), "team:acme/dev"), (acme.robot.clone(), "robot:acme+ci")]
    {
        for on in ["acme/web", "acme/*"] {
            let call = world.sends("PUT", &path(on, holder), &by, &json!({"rights": "admin"}));
            let status = if on == "acme/web" { (403, "DENIED") } else { (404, "NOT_FOUND") };
            refuses(world, call, status.0, status.1).await;
        }
    }
    for (method, path, document) in [
        ("PUT", "/organizations/acme/members/mia", json!({"role": "owner"})),
        ("PUT", "/organizations/acme/teams/dev/members/mia", json!({})),
        ("PATCH", "/users/mia", json!({"role": "administrator"})),
        ("POST", "/accounts/acme/robots", json!({"name": "x"})),
        ("POST", "/accounts/acme/robots/ci/secrets", json!({})),
    ] {
        refuses(world, world.sends(method, path, &basic("mia"), &document), 403, "DENIED").await;
    }
}

#[tokio::test]
async fn a_grant_holds_from_the_next_request_on_and_no_longer() {
    let acme = Acme::open().await;
    let world = &acme.world;
    for on in ["acme/web", "acme/*", "acme/we*"] {
        world.get("/v2/acme/web/manifests/1").by(&basic("ann")).await.expect(403);
        world.grant(on, "user:ann", "write").await;
        world.get("/v2/acme/web/manifests/1").by(&basic("ann")).await.expect(200);
        let token = world.all_of("ann", "acme/web").await;
        let upload = world.post("/v2/acme/web/blobs/uploads/").by(&token).await.expect(202).location();
        world.grant(on, "user:ann", "read").await;
        world.patch(&upload).by(&token).body("layer").await.expect(401);
        world.get("/v2/acme/web/manifests/1").by(&token).await.expect(200);
        world.take(on, "user:ann").await;
        world.get("/v2/acme/web/manifests/1").by(&token).await.expect(401);
        world.api("GET", "/repositories/acme%2Fweb", &basic("ann")).await.expect(404);
    }
}

/// Threat 8: a name that is deleted and taken again inherits nothing.
#[tokio::test]
async fn what_takes_a_name_again_inherits_no_grant() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let pull = async |by: &Credentials| world.get("/v2/acme/web/tags/list").by(by).await.status.as_u16();
    world.grant("acme/web", "user:ann", "read").await;
    world.api("DELETE", "/users/ann", &admin()).await.expect(204);
    world.add_user("ann").await;
    assert_eq!(pull(&basic("ann")).await, 403, "a user");
    world.api("DELETE", "/organizations/acme/teams/dev", &admin()).await.expect(204);
    world.team("acme", "dev", &["tim"]).await;
    assert_eq!(pull(&basic("tim")).await, 403, "a team");
    world.api("DELETE", "/accounts/acme/robots/ci", &admin()).await.expect(204);
    let robot = world.robot("acme", "ci", None).await;
    assert_eq!((pull(&robot).await, pull(&acme.robot).await), (403, 401), "a robot");
    world.grant("acme/web", "user:mia", "admin").await;
    let token = world.all_of("mia", "acme/web").await;
    assert_eq!(pull(&token).await, 200);
    world.api("DELETE", "/repositories/acme%2Fweb", &admin()).await.expect(204);
    world.image(&admin(), "acme/web", "1", "layer").await;
    assert_eq!(pull(&token).await, 401, "a repository");
}

#[tokio::test]
async fn an_organization_that_takes_a_name_again_inherits_nothing() {
    let world = World::open().await;
    world.organization("acme", "ann").await;
    world.member("acme", "bob", "member").await;
    world.grant("acme/*", "user:bob", "admin").await;
    let (owner, holder) = (world.all_of("ann", "acme/web").await, world.all_of("bob", "acme/web").await);
    let (_, token) = world.personal("bob", "admin api:write on:acme/*").await;
    world.api("DELETE", "/organizations/acme", &admin()).await.expect(204);
    world.organization("acme", "admin").await;
    world.image(&admin(), "acme/web", "1", "layer").await;
    for by in [owner, holder, basic("ann"), basic("bob"), Credentials::basic("bob", &token)] {
        assert!(matches!(world.get("/v2/acme/web/tags/list").by(&by).await.status.as_u16(), 401 | 403), "{by:?}");
        if by.0.as_ref().is_some_and(|value| value.starts_with("Basic")) {
            world.api("GET", "/organizations/acme", &by).await.expect(404);
        }
    }
}
