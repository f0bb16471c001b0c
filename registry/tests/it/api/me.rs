//! `/me` and one's own tokens.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{basic, records, refuses};
use crate::harness::{Acme, Credentials, PASSWORD, World, encoded};

const ENDS: &str = "2027-06-01T00:00:00Z";

fn token(scopes: &str) -> Value {
    json!({"name": "laptop", "scopes": scopes, "expires_at": ENDS})
}

#[tokio::test]
async fn everybody_is_told_who_they_are_and_where_they_belong() {
    let acme = Acme::open().await;
    let world = &acme.world;
    assert_snapshot!(world.api("GET", "/me", &basic("tim")).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 88
    content-type: application/json
    etag: {tag}

    {"name":"tim","kind":"user","role":"user","organizations":["acme"],"teams":["acme/dev"]}
    "#);
    assert_snapshot!(world.api("GET", "/me", &acme.robot).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 77
    content-type: application/json
    etag: {tag}

    {"name":"acme+ci","kind":"robot","role":"user","organizations":[],"teams":[]}
    "#);
    let limited = Credentials::bearer(&world.personal("aud", "read api:read on:acme/web-*").await.1);
    assert_snapshot!(world.api("GET", "/me", &limited).await, @r#"
    200 OK
    cache-control: no-store
    content-length: 114
    content-type: application/json
    etag: {tag}

    {"name":"aud","kind":"user","role":"auditor","scopes":"read api:read on:acme/web-*","organizations":[],"teams":[]}
    "#);
}

#[tokio::test]
async fn a_token_is_made_and_its_secret_is_shown_once() {
    let world = World::open().await;
    let call = world.sends("POST", "/me/tokens", &basic("ann"), &token("api:write  admin on:ann/*"));
    let (made, event) = records(&world, call).await;
    let made = made.expect(201).json();
    assert_eq!(
        event,
        r#"ann token_created laptop {"expires_at":"2027-06-01T00:00:00Z","scopes":"admin api:write on:ann/*"}"#
    );
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("hmp_") && secret.len() == 53, "{secret}");
    let listed = world.api("GET", "/me/tokens", &basic("ann")).await.expect(200);
    assert!(!String::from_utf8_lossy(&listed.body).contains(&secret[4..]), "{listed}");
    let mut line = listed.json()[0].clone();
    assert_eq!(line["id"].take(), made["id"]);
    assert_snapshot!(line, @r#"
    {"active":true,"created_at":"2027-01-15T08:00:00Z","expires_at":"2027-06-01T00:00:00Z","id":null,"name":"laptop","scopes":"admin api:write on:ann/*"}
    "#);
    assert_eq!(world.api("GET", "/me/tokens", &basic("bob")).await.json(), json!([]));
    for row in world.rows().await.values().flatten() {
        assert!(!row.contains(&secret[15..47]), "the secret is kept: {row}");
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_is_refused() {
    let world = World::open().await;
    let wrong = [
        json!({"name": "", "scopes": "read", "expires_at": ENDS}),
        json!({"name": "x".repeat(129), "scopes": "read", "expires_at": ENDS}),
        json!({"name": "a\nb", "scopes": "read", "expires_at": ENDS}),
        json!({"name": "a", "scopes": "", "expires_at": ENDS}),
        json!({"name": "a", "scopes": "on:ann/*", "expires_at": ENDS}),
        json!({"name": "a", "scopes": "pull", "expires_at": ENDS}),
        json!({"name": "a", "scopes": "read on:*", "expires_at": ENDS}),
        json!({"name": "a", "scopes": "read on:ann/../*", "expires_at": ENDS}),
        json!({"name": "a", "scopes": "read", "expires_at": "2027-01-15T08:00:00Z"}),
        json!({"name": "a", "scopes": "read", "expires_at": "2028-01-17T08:00:01Z"}),
        json!({"name": "a", "scopes": "read", "expires_at": "tomorrow"}),
        json!({"name": "a", "scopes": "read", "expires_at": "-999999-01-01T00:00:00Z"}),
        json!({"name": "a", "scopes": format!("read {}", "on:ann/* ".repeat(33)), "expires_at": ENDS}),
    ];
    for new in wrong {
        refuses(&world, world.sends("POST", "/me/tokens", &basic("ann"), &new), 400, "INVALID").await;
    }
    let answer = world.sends("POST", "/me/tokens", &basic("ann"), &token("pull")).await;
    assert_snapshot!(answer, @r#"
    400 Bad Request
    cache-control: no-store
    content-length: 198
    content-type: application/json

    {"errors":[{"code":"INVALID","detail":{"field":"scopes"},"message":"\"pull\" is no scope of a token: use read, write, admin, delete, sign, api:read, api:write, or on:PATTERN, at most 32 patterns"}]}
    "#);
}

/// Escalation by tokens: a token makes none that could do more, or lives longer, than itself.
#[tokio::test]
async fn a_token_makes_no_wider_token() {
    let world = World::open().await;
    for scopes in ["read api:write", "write api:write", "admin api:write on:ann/*", "admin api:read"] {
        let by = Credentials::bearer(&world.personal("ann", scopes).await.1);
        for wanted in ["read", "admin", "admin api:write", "read on:ann/app"] {
            refuses(&world, world.sends("POST", "/me/tokens", &by, &token(wanted)), 403, "DENIED").await;
        }
    }
    let by = Credentials::bearer(&world.personal("ann", "admin api:write").await.1);
    let longer = json!({"name": "a", "scopes": "admin api:write", "expires_at": "2028-01-15T08:00:01Z"});
    refuses(&world, world.sends("POST", "/me/tokens", &by, &longer), 403, "DENIED").await;
    world.sends("POST", "/me/tokens", &by, &token("admin api:write")).await.expect(201);
}

#[tokio::test]
async fn a_robot_has_no_personal_token() {
    let acme = Acme::open().await;
    refuses(&acme.world, acme.world.sends("POST", "/me/tokens", &acme.robot, &token("read")), 403, "DENIED").await;
}

#[tokio::test]
async fn a_hundred_tokens_stand_at_once() {
    let world = World::open().await;
    for _ in 0..100 {
        world.sends("POST", "/me/tokens", &basic("ann"), &token("read")).await.expect(201);
    }
    refuses(&world, world.sends("POST", "/me/tokens", &basic("ann"), &token("read")), 409, "CONFLICT").await;
    let id = world.api("GET", "/me/tokens", &basic("ann")).await.json()[0]["id"].clone();
    world.api("DELETE", &format!("/me/tokens/{id}"), &basic("ann")).await.expect(204);
    world.sends("POST", "/me/tokens", &basic("ann"), &token("read")).await.expect(201);
}

/// What was made before a change of credentials opens nothing any more: it is not listed as if it did, and makes no room scarce.
#[tokio::test]
async fn a_void_token_neither_stands_nor_counts() {
    let world = World::open().await;
    for _ in 0..100 {
        world.sends("POST", "/me/tokens", &basic("ann"), &token("read")).await.expect(201);
    }
    let ann = world.app.metadata.user("ann").await.unwrap().unwrap().principal;
    let void: Result<bool, hallmark_storage::metadata::Error> =
        world.app.metadata.write(ann, |tx, ann| Box::pin(tx.void_tokens(ann))).await;
    assert!(void.unwrap());
    let (_, secret) = world.personal("ann", "read api:read").await;
    world.api("GET", "/me", &Credentials::bearer(&secret)).await.expect(200);
    let listed = world.api("GET", "/me/tokens", &basic("ann")).await.json();
    let active: Vec<_> = listed.as_array().unwrap().iter().filter(|line| line["active"] == true).collect();
    assert_eq!((listed.as_array().unwrap().len(), active.len()), (101, 1));
}

#[tokio::test]
async fn a_token_is_revoked_by_its_owner_only() {
    let world = World::open().await;
    let (id, secret) = world.personal("ann", "read api:read").await;
    let path = format!("/me/tokens/{id}");
    for by in [basic("bob"), basic("admin")] {
        refuses(&world, world.api("DELETE", &path, &by), 404, "NOT_FOUND").await;
    }
    let (other, reader) = (world.personal("ann", "read").await.0, Credentials::bearer(&secret));
    refuses(&world, world.api("DELETE", &format!("/me/tokens/{other}"), &reader), 403, "DENIED").await;
    let (answer, event) = records(&world, world.api("DELETE", &path, &reader)).await;
    answer.expect(204);
    assert_eq!(event, format!("ann token_revoked {id} {{}}"), "a token may always end itself");
    world.api("GET", "/me", &reader).await.expect(401);
    refuses(&world, world.api("DELETE", &path, &basic("ann")), 404, "NOT_FOUND").await;
    let listed = world.api("GET", "/me/tokens", &basic("ann")).await.json();
    let active: Vec<_> = listed.as_array().unwrap().iter().map(|line| line["active"].as_bool().unwrap()).collect();
    assert_eq!(active, [false, true]);
}

/// A token bound to some repositories manages nothing else, whatever its user may.
#[tokio::test]
async fn a_limited_token_reaches_what_it_names() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let web = Credentials::bearer(&world.personal("olga", "admin api:write on:acme/web").await.1);
    let grant = |on: &str| format!("/grants/{}/user:ann", encoded(on));
    let read = json!({"rights": "read"});
    world.sends("PUT", &grant("acme/web"), &web, &read).await.expect(200);
    refuses(world, world.sends("PUT", &grant("acme/site"), &web, &read), 404, "NOT_FOUND").await;
    refuses(world, world.sends("PUT", &grant("acme/*"), &web, &read), 404, "NOT_FOUND").await;
    refuses(world, world.sends("PUT", &grant("acme/web*"), &web, &read), 404, "NOT_FOUND").await;
    refuses(world, world.api("GET", "/repositories", &web), 403, "DENIED").await;
    refuses(world, world.sends("POST", "/repositories", &web, &json!({"name": "acme/new"})), 403, "DENIED").await;
    refuses(world, world.sends("PATCH", "/repositories/acme%2Fweb", &web, &json!({"name": "acme/new"})), 403, "DENIED")
        .await;
    let writer = Credentials::bearer(&world.personal("olga", "write api:write").await.1);
    refuses(world, world.sends("PUT", &grant("acme/web"), &writer, &read), 403, "DENIED").await;
    refuses(world, world.api("DELETE", "/repositories/acme%2Fweb", &writer), 403, "DENIED").await;
    let prefix = Credentials::bearer(&world.personal("olga", "admin api:write on:acme/web-*").await.1);
    world.sends("PUT", &grant("acme/web-shop*"), &prefix, &read).await.expect(200);
    for wider in ["acme/web*", "acme/*"] {
        refuses(world, world.sends("PUT", &grant(wider), &prefix, &read), 404, "NOT_FOUND").await;
    }
}

/// Whoever finds a token that is bound to some repositories ends nothing else of its user's.
#[tokio::test]
async fn a_limited_token_ends_no_other_and_leaves_no_organization() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let other = world.personal("tim", "read").await.0;
    for scopes in ["write api:write", "admin api:write on:acme/web"] {
        let by = Credentials::bearer(&world.personal("tim", scopes).await.1);
        refuses(world, world.api("DELETE", &format!("/me/tokens/{other}"), &by), 403, "DENIED").await;
        refuses(world, world.api("POST", "/users/tim/logout", &by), 403, "DENIED").await;
        refuses(world, world.api("DELETE", "/organizations/acme/members/tim", &by), 403, "DENIED").await;
    }
}

#[tokio::test]
async fn a_token_changes_no_password() {
    let world = World::open().await;
    let by = Credentials::basic("ann", &world.personal("ann", "admin api:write").await.1);
    let password = json!({"password": "another long password"});
    refuses(&world, world.sends("PUT", "/users/ann/password", &by, &password), 403, "DENIED").await;
    let admin = Credentials::bearer(&world.personal("admin", "admin api:write").await.1);
    refuses(&world, world.sends("PUT", "/users/ann/password", &admin, &password), 403, "DENIED").await;
    world.api("GET", "/me", &Credentials::basic("ann", PASSWORD)).await.expect(200);
}
