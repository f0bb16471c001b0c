//! What holds for every request of the API: who is let in, what a request must look like, and how failures read.

use insta::assert_snapshot;
use serde_json::json;

use super::endpoints::Furnished;
use super::{admin, basic, refuses, tag_of};
use crate::harness::{Acme, Credentials, PASSWORD, World};

#[tokio::test]
async fn nobody_in_particular_is_asked_for_a_name_and_password() {
    let world = World::open().await;
    assert_snapshot!(world.api("GET", "/me", &Credentials::none()).await, @r#"
    401 Unauthorized
    content-length: 128
    content-type: application/json
    www-authenticate: Basic realm="hallmark", charset="UTF-8"

    {"errors":[{"code":"UNAUTHORIZED","detail":null,"message":"sign in with a name and password, or with a personal access token"}]}
    "#);
    let wrong = world.api("GET", "/me", &Credentials::basic("ann", "wrong password")).await;
    assert_snapshot!(wrong, @r#"
    401 Unauthorized
    content-length: 96
    content-type: application/json
    www-authenticate: Basic realm="hallmark", charset="UTF-8"

    {"errors":[{"code":"UNAUTHORIZED","detail":null,"message":"the name or the password is wrong"}]}
    "#);
    for header in ["Basic", "Basic !", "Digest x", "Bearer", "Basic YW5u", "Bearer bad"] {
        let answer = world.api("GET", "/me", &Credentials(Some(header.to_owned()))).await;
        assert_eq!(answer.gist(), (401, "UNAUTHORIZED".into()), "{header}");
    }
    let anonymous = world.get("/token?service=hallmark").await.json();
    let anonymous = Credentials::bearer(anonymous["token"].as_str().unwrap());
    assert_eq!(world.api("GET", "/me", &anonymous).await.gist(), (401, "UNAUTHORIZED".into()));
}

/// A token of the token endpoint names images only, whoever asked for it.
#[tokio::test]
async fn a_bearer_token_for_images_opens_nothing() {
    let furnished = Furnished::open().await;
    let world = &furnished.acme.world;
    let token = world.token("admin", "registry:catalog:* repository:acme/web:*").await;
    for endpoint in furnished.endpoints() {
        refuses(world, endpoint.call(world, &token), 403, "DENIED").await;
    }
}

#[tokio::test]
async fn a_path_that_is_none_and_a_method_that_is_none_are_refused() {
    let world = World::open().await;
    for path in ["/nothing", "/", "/users/", "/users/ann/x", "/repositories/a/b", "/users/%FF", "/me/tokens/x"] {
        let answer = world.api("GET", path, &admin()).await;
        assert!(matches!(answer.gist(), (404, code) if code == "NOT_FOUND") || path == "/me/tokens/x", "{path}");
    }
    let answer = world.api("DELETE", "/me/tokens/x", &admin()).await;
    assert_eq!(answer.gist(), (404, "NOT_FOUND".into()));
    assert_snapshot!(world.api("PUT", "/me", &admin()).await, @r#"
    405 Method Not Allowed
    allow: GET,HEAD
    cache-control: no-store
    content-length: 93
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"this operation is not supported"}]}
    "#);
    assert_eq!(world.get("/api/v2/me").by(&admin()).await.gist(), (404, "NOT_FOUND".into()));
}

/// A body of whichever endpoint is one JSON object with known members of the right kinds, and nothing else.
#[tokio::test]
async fn a_body_that_is_not_what_is_taken_changes_nothing() {
    let furnished = Furnished::open().await;
    let world = &furnished.acme.world;
    for endpoint in furnished.endpoints() {
        let Some(document) = &endpoint.document else { continue };
        let mut unknown = document.clone();
        unknown["unknown"] = json!(true);
        let text = document.to_string();
        let twice = format!("{{\"name\":\"a\",\"name\":\"b\",{}", &text[1..]);
        for body in [
            "",
            "{",
            "[]",
            "[\"a\"]",
            "\"text\"",
            "null",
            "\u{0}",
            &unknown.to_string(),
            &format!("{text} {text}"),
            &twice,
        ] {
            let call = world.api(endpoint.method, &endpoint.path, &admin()).header("content-type", "application/json");
            refuses(world, call.body(body.to_owned()), 400, "INVALID").await;
        }
    }
    let broken = world.api("POST", "/users", &admin()).header("content-type", "application/json").body("{\"name\":");
    assert_snapshot!(broken.await, @r#"
    400 Bad Request
    cache-control: no-store
    content-length: 135
    content-type: application/json

    {"errors":[{"code":"INVALID","detail":null,"message":"the body is not what this takes: EOF while parsing a value at line 1 column 8"}]}
    "#);
}

/// A page of another site can send whatever is not JSON without asking first, and a browser adds the password it knows.
#[tokio::test]
async fn a_body_that_is_not_called_json_is_refused() {
    let world = World::open().await;
    let text = json!({"name": "eve", "password": PASSWORD}).to_string();
    let without = world.api("POST", "/users", &admin()).body(text.clone());
    refuses(&world, without, 415, "INVALID").await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "text/plain; application/json"]
    {
        let call = world.api("POST", "/users", &admin()).header("content-type", kind).body(text.clone());
        refuses(&world, call, 415, "INVALID").await;
    }
    let call =
        world.api("POST", "/users", &admin()).header("content-type", "Application/JSON; charset=utf-8").body(text);
    call.await.expect(201);
}

#[tokio::test]
async fn what_is_neither_a_repository_nor_a_prefix_is_refused_with_what_would_be() {
    let world = World::open().await;
    for on in ["Acme%2FWeb", "acme*", "acme%2Fweb*x"] {
        let grant = json!({"rights": "read"});
        let answer = world.sends("PUT", &format!("/grants/{on}/user:ann"), &admin(), &grant).await;
        assert_eq!(answer.gist(), (400, "INVALID".into()), "{on}");
    }
    let answer = world.sends("PUT", "/grants/acme*/user:ann", &admin(), &json!({"rights": "read"})).await;
    assert_snapshot!(answer, @r#"
    400 Bad Request
    cache-control: no-store
    content-length: 160
    content-type: application/json

    {"errors":[{"code":"INVALID","detail":{"field":"on"},"message":"\"acme*\" is neither a repository's name nor a prefix: write acme/web, acme/*, or acme/web-*"}]}
    "#);
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let world = World::open().await;
    for site in ["cross-site", "same-site", "anything"] {
        let call = world.api("POST", "/users/ann/logout", &basic("ann")).header("sec-fetch-site", site);
        refuses(&world, call, 403, "DENIED").await;
    }
    world.api("GET", "/me", &basic("ann")).header("sec-fetch-site", "cross-site").await.expect(200);
    for site in ["same-origin", "none"] {
        world.api("POST", "/users/ann/logout", &basic("ann")).header("sec-fetch-site", site).await.expect(204);
    }
}

#[tokio::test]
async fn a_body_has_a_quarter_of_a_mebibyte() {
    let world = World::open().await;
    let long = json!({"name": "eve", "password": "x".repeat(300 * 1024)});
    refuses(&world, world.sends("POST", "/users", &admin(), &long), 413, "INVALID").await;
}

#[tokio::test]
async fn a_query_has_known_parameters_with_values_that_can_be() {
    let world = World::open().await;
    let lists =
        ["/users", "/organizations", "/repositories", "/accounts/ann/robots", "/accounts/ann/grants", "/events"];
    for list in lists {
        for query in
            ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1&limit=2", "after=%00", "after=%0A", "unknown=1"]
        {
            let answer = world.api("GET", &format!("{list}?{query}"), &admin()).await;
            assert_eq!(answer.gist(), (400, "INVALID".into()), "{list}?{query}: {answer}");
        }
        let long = format!("{list}?after={}", "a".repeat(601));
        assert_eq!(world.api("GET", &long, &admin()).await.gist(), (400, "INVALID".into()), "{list}");
        world.api("GET", &format!("{list}?limit=1000"), &admin()).await.expect(200);
    }
    assert_snapshot!(world.api("GET", "/users?limit=0", &admin()).await, @r#"
    400 Bad Request
    cache-control: no-store
    content-length: 99
    content-type: application/json

    {"errors":[{"code":"INVALID","detail":{"field":"limit"},"message":"a page has 1 to 1000 entries"}]}
    "#);
}

/// The thing is another by now, or the condition cannot be read: nothing is changed.
#[tokio::test]
async fn if_match_lets_a_change_happen_only_to_what_was_read() {
    let acme = Acme::open().await;
    let world = &acme.world;
    let things = [
        ("/users/mia", Some(json!({"role": "auditor"}))),
        ("/organizations/acme", Some(json!({"create_on_push": true}))),
        ("/organizations/acme/teams/dev", Some(json!({"description": "x"}))),
        ("/accounts/acme/robots/ci", Some(json!({"description": "x"}))),
        ("/repositories/acme%2Fweb", Some(json!({"description": "x"}))),
        ("/organizations/acme/teams/dev", None),
        ("/accounts/acme/robots/ci", None),
        ("/repositories/acme%2Fweb", None),
        ("/users/mia", None),
    ];
    for (path, changes) in things {
        let (method, document) = if changes.is_some() { ("PATCH", changes) } else { ("DELETE", None) };
        let call = || match &document {
            Some(document) => world.sends(method, path, &admin(), document),
            None => world.api(method, path, &admin()),
        };
        let tag = tag_of(world, path, &admin()).await;
        let weak = format!("W/{tag}");
        for wrong in [&b"\"00000000000000000000000000000000\""[..], b"", b"\xff\xfe", weak.as_bytes(), b"x, y"] {
            refuses(world, call().header("if-match", wrong), 412, "PRECONDITION_FAILED").await;
        }
        let listed = format!("\"x\", {tag}");
        assert!(call().header("if-match", listed).await.status.is_success(), "{method} {path}");
    }
    world.sends("PATCH", "/organizations/acme", &admin(), &json!({})).header("if-match", "*").await.expect(200);
    let stale = world.sends("PATCH", "/organizations/acme", &admin(), &json!({})).header("if-match", "\"0\"").await;
    assert_snapshot!(stale, @r#"
    412 Precondition Failed
    cache-control: no-store
    content-length: 126
    content-type: application/json

    {"errors":[{"code":"PRECONDITION_FAILED","detail":null,"message":"it was changed meanwhile; read it again, and then decide"}]}
    "#);
}

#[tokio::test]
async fn what_is_shown_is_kept_by_no_browser() {
    let world = World::open().await;
    let answer = world.api("GET", "/me", &basic("ann")).await.expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
}

/// I12: while the registry is read-only everything can be looked at, and nothing changes.
#[tokio::test]
async fn a_registry_that_is_read_only_shows_and_changes_nothing() {
    let furnished = Furnished::open().await;
    let world = &furnished.acme.world;
    world.app.set_readonly(true).await.unwrap();
    for endpoint in furnished.endpoints() {
        if endpoint.method == "GET" {
            endpoint.call(world, &admin()).await.expect(200);
        } else {
            refuses(world, endpoint.call(world, &admin()), 503, "UNAVAILABLE").await;
        }
    }
}

#[tokio::test]
async fn a_failure_inside_names_the_request_and_no_cause() {
    let world = World::open().await;
    world.api("GET", "/me", &basic("ann")).await.expect(200);
    world.app.metadata.close().await;
    assert_snapshot!(world.api("GET", "/me", &basic("ann")).await, @r#"
    503 Service Unavailable
    cache-control: no-store
    content-length: 141
    content-type: application/json
    retry-after: 5

    {"errors":[{"code":"UNAVAILABLE","detail":{"request_id":"{request}"},"message":"the registry's database does not take part at the moment"}]}
    "#);
}

#[tokio::test]
async fn text_with_a_nul_names_nothing_and_is_kept_nowhere() {
    let furnished = Furnished::open().await;
    let world = &furnished.acme.world;
    for endpoint in furnished.endpoints() {
        let paths =
            [("mia", "mi%00"), ("acme%2Fweb", "acme%2Fwe%00"), ("acme", "acm%00"), ("dev", "de%00"), ("ci", "c%00")];
        for (name, nul) in paths.iter().filter(|(name, _)| endpoint.path.contains(name)) {
            let path = endpoint.path.replacen(name, nul, 1);
            let call = match &endpoint.document {
                Some(document) => world.sends(endpoint.method, &path, &admin(), document),
                None => world.api(endpoint.method, &path, &admin()),
            };
            let before = world.rows().await;
            let answer = call.await;
            assert!(matches!(answer.status.as_u16(), 400 | 404), "{} {path}: {answer}", endpoint.method);
            assert_eq!(world.rows().await, before, "{} {path}", endpoint.method);
        }
        let Some(document) = &endpoint.document else { continue };
        for (key, value) in document.as_object().unwrap() {
            if value.is_string() && !matches!(key.as_str(), "password" | "content") {
                let mut document = document.clone();
                document[key] = json!("a\u{0}b");
                refuses(world, world.sends(endpoint.method, &endpoint.path, &admin(), &document), 400, "INVALID").await;
            }
        }
    }
}

/// Whatever is changed: a condition that does not hold, or that cannot be looked at, is never passed over.
#[tokio::test]
async fn no_change_is_made_that_a_condition_was_put_on_in_vain() {
    let furnished = Furnished::open().await;
    let world = &furnished.acme.world;
    for endpoint in furnished.endpoints().iter().filter(|endpoint| endpoint.method != "GET") {
        let call = endpoint.call(world, &admin()).header("if-match", "\"of another\"");
        refuses(world, call, 412, "PRECONDITION_FAILED").await;
    }
}
