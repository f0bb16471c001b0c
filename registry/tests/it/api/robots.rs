//! Robots of an account, their secrets and rules.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{admin, basic, pages, records, refuses};
use crate::harness::{Acme, Credentials, World};

const ROBOTS: &str = "/accounts/acme/robots";

#[tokio::test]
async fn a_robot_is_made_shown_changed_and_removed() {
    let acme = Acme::open().await;
    let (world, olga) = (&acme.world, basic("olga"));
    let new = json!({"name": "cd", "repository": "acme/site", "description": "delivers"});
    let (made, event) = records(world, world.sends("POST", ROBOTS, &olga, &new)).await;
    assert_snapshot!(made, @r#"
    201 Created
    cache-control: no-store
    content-length: 151
    content-type: application/json
    etag: {tag}

    {"account":"acme","name":"cd","login":"acme+cd","repository":"acme/site","description":"delivers","disabled":false,"created_at":"2027-01-15T08:00:00Z"}
    "#);
    assert_eq!(event, "olga robot_created acme+cd {}");
    let path = format!("{ROBOTS}/cd");
    let (changed, event) = records(world, world.sends("PATCH", &path, &olga, &json!({"disabled": true}))).await;
    assert_snapshot!(changed, @r#"
    200 OK
    cache-control: no-store
    content-length: 150
    content-type: application/json
    etag: {tag}

    {"account":"acme","name":"cd","login":"acme+cd","repository":"acme/site","description":"delivers","disabled":true,"created_at":"2027-01-15T08:00:00Z"}
    "#);
    assert_eq!(event, r#"olga robot_changed acme+cd {"disabled":true}"#);
    let before = world.rows().await;
    for nothing in [json!({}), json!({"disabled": true}), json!({"description": "delivers"})] {
        world.sends("PATCH", &path, &olga, &nothing).await.expect(200);
    }
    assert_eq!(world.rows().await, before);
    assert_snapshot!(world.api("GET", &format!("{ROBOTS}?limit=1"), &olga).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 174
    content-type: application/json
    etag: {tag}
    link: </api/v1/accounts/acme/robots?limit=1&after=cd>; rel="next"

    {"items":[{"account":"acme","name":"cd","login":"acme+cd","repository":"acme/site","description":"delivers","disabled":true,"created_at":"2027-01-15T08:00:00Z"}],"next":"cd"}
    "#);
    assert_eq!(pages(world, ROBOTS, &olga, 1, "name").await, [["cd"], ["ci"]]);
    let (removed, event) = records(world, world.api("DELETE", &path, &olga)).await;
    assert_snapshot!(removed, @r"
    204 No Content
    cache-control: no-store
    ");
    assert_eq!(event, "olga robot_removed acme+cd {}");
    assert_snapshot!(world.api("GET", &path, &olga).await, @r#"
    404 Not Found
    cache-control: no-store
    content-length: 107
    content-type: application/json

    {"errors":[{"code":"NOT_FOUND","detail":null,"message":"there is no robot of this name that you may see"}]}
    "#);
}

#[tokio::test]
async fn a_user_has_robots_of_their_own() {
    let world = World::open().await;
    let new = json!({"name": "ci"});
    world.sends("POST", "/accounts/ann/robots", &basic("ann"), &new).await.expect(201);
    refuses(&world, world.sends("POST", "/accounts/bob/robots", &basic("ann"), &new), 404, "NOT_FOUND").await;
    refuses(&world, world.sends("POST", "/accounts/_system/robots", &admin(), &new), 404, "NOT_FOUND").await;
}

#[tokio::test]
async fn a_robot_that_cannot_be_is_refused() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.image(&basic("ann"), "ann/app", "1", "layer").await;
    for name in ["", "Ci", "a/b", "a+b", "a\u{0}", "api", &"a".repeat(256)] {
        refuses(world, world.sends("POST", ROBOTS, &admin(), &json!({"name": name})), 400, "INVALID").await;
    }
    for repository in ["acme/none", "ann/app", "acme/*", "", "a\u{0}"] {
        let new = json!({"name": "cd", "repository": repository});
        refuses(world, world.sends("POST", ROBOTS, &admin(), &new), 400, "INVALID").await;
    }
    refuses(world, world.sends("POST", ROBOTS, &admin(), &json!({"name": "ci"})), 409, "CONFLICT").await;
}

/// The repository that a robot is bound to may be one that a member may not know of.
#[tokio::test]
async fn members_see_robots_and_not_what_they_are_bound_to() {
    let acme = Acme::open().await;
    let (world, path) = (&acme.world, format!("{ROBOTS}/ci"));
    for by in [basic("olga"), basic("aud"), admin()] {
        assert_eq!(world.api("GET", &path, &by).await.json()["repository"], "acme/web");
    }
    assert_eq!(world.api("GET", &path, &basic("mia")).await.json()["repository"], Value::Null);
    assert_eq!(world.api("GET", ROBOTS, &basic("mia")).await.json()["items"][0]["repository"], Value::Null);
    for of in ["secrets", "rules"] {
        world.api("GET", &format!("{path}/{of}"), &basic("mia")).await.expect(403);
    }
}

#[tokio::test]
async fn a_secret_is_made_listed_and_revoked() {
    let acme = Acme::open().await;
    let (world, olga, secrets) = (&acme.world, basic("olga"), format!("{ROBOTS}/ci/secrets"));
    let rotation = json!({"expires_at": "2027-02-01T00:00:00Z", "overlap_seconds": 60});
    let (made, event) = records(world, world.sends("POST", &secrets, &olga, &rotation)).await;
    let made = made.expect(201).json();
    assert_eq!(
        event,
        r#"olga robot_secret_made acme+ci {"expires_at":"2027-02-01T00:00:00Z","others_end_at":"2027-01-15T08:01:00Z"}"#
    );
    assert_eq!((&made["login"], &made["expires_at"]), (&json!("acme+ci"), &json!("2027-02-01T00:00:00Z")));
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("hmb_"));
    for row in world.rows().await.values().flatten() {
        assert!(!row.contains(&secret[15..47]), "the secret is kept: {row}");
    }
    let listed = world.api("GET", &secrets, &olga).await.expect(200).json();
    let lines: Vec<_> = listed.as_array().unwrap().iter().map(|line| (&line["expires_at"], &line["active"])).collect();
    assert_eq!(lines, [(&json!("2027-01-15T08:01:00Z"), &json!(true)), (&json!("2027-02-01T00:00:00Z"), &json!(true))]);
    let id = listed[1]["id"].clone();
    let (answer, event) = records(world, world.api("DELETE", &format!("{secrets}/{id}"), &olga)).await;
    assert_eq!((answer.status.as_u16(), &*event), (204, "olga robot_secret_revoked acme+ci {}"));
    refuses(world, world.api("DELETE", &format!("{secrets}/{id}"), &olga), 404, "NOT_FOUND").await;
    world.get("/v2/").by(&Credentials::basic("acme+ci", secret)).await.expect(401);
    world.get("/v2/").by(&acme.robot).await.expect(200);
}

#[tokio::test]
async fn a_void_secret_neither_stands_nor_counts() {
    let acme = Acme::open().await;
    let (world, olga, secrets) = (&acme.world, basic("olga"), format!("{ROBOTS}/ci/secrets"));
    let rotation = json!({"overlap_seconds": 3600});
    for _ in 0..7 {
        world.sends("POST", &secrets, &olga, &rotation).await.expect(201);
    }
    refuses(world, world.sends("POST", &secrets, &olga, &rotation), 409, "CONFLICT").await;
    for disabled in [true, false] {
        let robot = format!("{ROBOTS}/ci");
        world.sends("PATCH", &robot, &olga, &json!({"disabled": disabled})).await.expect(200);
    }
    let stand = async || {
        let listed = world.api("GET", &secrets, &olga).await.expect(200).json();
        listed.as_array().unwrap().iter().filter(|line| line["active"] == true).count()
    };
    assert_eq!(stand().await, 0);
    world.sends("POST", &secrets, &olga, &rotation).await.expect(201);
    assert_eq!(stand().await, 1);
}

/// Ids are looked up within what the caller governs (threat 37).
#[tokio::test]
async fn the_secret_of_another_robot_or_user_is_revoked_through_none() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.robot("ann", "bot", None).await;
    world.robot("acme", "cd", None).await;
    let (token, _) = world.personal("ann", "read").await;
    for id in world
        .look("SELECT id FROM credentials WHERE principal_id <> (SELECT principal_id FROM robots WHERE name = 'ci')")
        .await
    {
        refuses(world, world.api("DELETE", &format!("{ROBOTS}/ci/secrets/{id}"), &basic("olga")), 404, "NOT_FOUND")
            .await;
        if id != token.to_string() {
            refuses(world, world.api("DELETE", &format!("/me/tokens/{id}"), &basic("ann")), 404, "NOT_FOUND").await;
        }
    }
}

#[tokio::test]
async fn a_rotation_that_cannot_be_is_refused() {
    let acme = Acme::open().await;
    let (world, secrets) = (&acme.world, format!("{ROBOTS}/ci/secrets"));
    for rotation in [
        json!({"expires_at": "2027-01-15T08:00:00Z"}),
        json!({"expires_at": "soon"}),
        json!({"overlap_seconds": 30 * 24 * 60 * 60 + 1}),
        json!({"overlap_seconds": -1}),
    ] {
        refuses(world, world.sends("POST", &secrets, &admin(), &rotation), 400, "INVALID").await;
    }
    refuses(world, world.sends("POST", &format!("{ROBOTS}/none/secrets"), &admin(), &json!({})), 404, "NOT_FOUND")
        .await;
    for _ in 1..8 {
        world.sends("POST", &secrets, &admin(), &json!({})).await.expect(201);
    }
    refuses(world, world.sends("POST", &secrets, &admin(), &json!({})), 409, "CONFLICT").await;
    world.sends("POST", &secrets, &admin(), &json!({"overlap_seconds": 0})).await.expect(201);
}

#[tokio::test]
async fn a_robot_governs_nothing() {
    let acme = Acme::open().await;
    let world = &acme.world;
    world.grant("acme/web", "robot:acme+ci", "admin").await;
    for (method, path) in [("POST", ROBOTS.to_owned()), ("POST", format!("{ROBOTS}/ci/secrets"))] {
        let call = world.sends(method, &path, &acme.robot, &json!({"name": "cd"}));
        let answer = call.await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {answer}");
    }
    refuses(world, world.sends("POST", &format!("{ROBOTS}/ci/secrets"), &acme.robot, &json!({})), 404, "NOT_FOUND")
        .await;
    refuses(
        world,
        world.sends("PATCH", &format!("{ROBOTS}/ci"), &acme.robot, &json!({"description": "x"})),
        404,
        "NOT_FOUND",
    )
    .await;
    for path in ["/organizations/acme", "/accounts/acme/robots", "/accounts/acme/grants"] {
        refuses(world, world.api("GET", path, &acme.robot), 404, "NOT_FOUND").await;
    }
    refuses(world, world.api("GET", "/events?account=acme", &acme.robot), 404, "NOT_FOUND").await;
}

/// Whoever finds a token must not make of it what goes on when it has ended.
#[tokio::test]
async fn a_secret_that_a_token_makes_ends_with_the_token() {
    let acme = Acme::open().await;
    let (world, secrets) = (&acme.world, format!("{ROBOTS}/cd/secrets"));
    world.sends("POST", ROBOTS, &basic("olga"), &json!({"name": "cd"})).await.expect(201);
    let (_, token) = world.personal("olga", "admin api:write").await;
    let by = Credentials::basic("olga", &token);
    let ends = world.api("GET", "/me/tokens", &by).await.expect(200).json()[0]["expires_at"].clone();
    let made = world.sends("POST", &secrets, &by, &json!({})).await.expect(201).json();
    assert_eq!(made["expires_at"], ends);
    let earlier = json!({"expires_at": "2027-01-16T00:00:00Z"});
    let made = world.sends("POST", &secrets, &by, &earlier).await.expect(201).json();
    assert_eq!(made["expires_at"], earlier["expires_at"]);
    let later = json!({"expires_at": "2031-01-01T00:00:00Z"});
    refuses(world, world.sends("POST", &secrets, &by, &later), 403, "DENIED").await;
    let made = world.sends("POST", &secrets, &basic("olga"), &later).await.expect(201).json();
    assert_eq!(made["expires_at"], later["expires_at"]);
    let never = world.sends("POST", &secrets, &basic("olga"), &json!({})).await.expect(201).json();
    assert_eq!(never.get("expires_at"), None);
}

/// Nobody ends a secret that goes on for good by the way: the machines that have it would be cut off with the token of a context.
#[tokio::test]
async fn a_token_that_ends_sooner_replaces_no_secret_without_saying_how_long() {
    let acme = Acme::open().await;
    let (world, secrets) = (&acme.world, format!("{ROBOTS}/ci/secrets"));
    let by = Credentials::bearer(&world.personal("olga", "admin api:write").await.1);
    let answer = refuses(world, world.sends("POST", &secrets, &by, &json!({})), 400, "INVALID").await;
    assert_snapshot!(answer, @r#"
    400 Bad Request
    cache-control: no-store
    content-length: 218
    content-type: application/json

    {"errors":[{"code":"INVALID","detail":{"field":"expires_at"},"message":"your token ends at 2028-01-15T08:00:00Z, and the new secret with it, before one that it replaces; say when it ends, or sign in with a password"}]}
    "#);
    let said = json!({"expires_at": "2027-06-01T00:00:00Z"});
    world.sends("POST", &secrets, &by, &said).await.expect(201);
    // What was replaced ends in a day, and what was made before the token does: there is nothing left to be cut short.
    let made = world.sends("POST", &secrets, &by, &json!({})).await.expect(201).json();
    assert_eq!(made["expires_at"], "2028-01-15T08:00:00Z");
}
