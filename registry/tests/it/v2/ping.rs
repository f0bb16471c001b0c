//! `/v2/`: is this a registry, and am I known to it (distribution-spec, end-1).

use insta::assert_snapshot;

use crate::harness::{Credentials, PASSWORD, World};

#[tokio::test]
async fn a_ping_by_nobody_is_challenged_without_a_scope_or_an_error() {
    let world = World::open().await;
    assert_snapshot!(world.get("/v2/").await, @r#"
    401 Unauthorized
    content-length: 86
    content-type: application/json
    www-authenticate: Bearer realm="http://registry.test/token",service="hallmark"

    {"errors":[{"code":"UNAUTHORIZED","detail":null,"message":"authentication required"}]}
    "#);
}

#[tokio::test]
async fn a_ping_by_nobody_is_challenged_although_there_are_public_repositories() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "1", "layer").await;
    world.publish("ann/app").await;
    world.get("/v2/").await.expect(401);
}

#[tokio::test]
async fn a_ping_with_a_token_is_answered() {
    let world = World::open().await;
    let ann = world.token("ann", "").await;
    assert_snapshot!(world.get("/v2/").by(&ann).await, @r"
    200 OK
    content-length: 2
    content-type: application/json

    {}
    ");
}

#[tokio::test]
async fn a_ping_with_a_name_and_password_is_answered() {
    let world = World::open().await;
    world.get("/v2/").by(&Credentials::basic("ann", PASSWORD)).await.expect(200);
}

#[tokio::test]
async fn a_ping_without_its_last_slash_is_answered_and_not_redirected() {
    let world = World::open().await;
    let ann = world.token("ann", "").await;
    world.get("/v2").by(&ann).await.expect(200);
}

#[tokio::test]
async fn a_ping_by_head_has_the_headers_of_get_and_no_body() {
    let world = World::open().await;
    let ann = world.token("ann", "").await;
    assert_snapshot!(world.head("/v2/").by(&ann).await, @r"
    200 OK
    content-length: 2
    content-type: application/json
    ");
}

#[tokio::test]
async fn a_ping_with_a_bad_token_names_the_error() {
    let world = World::open().await;
    assert_snapshot!(world.get("/v2/").by(&Credentials::bearer("not.a.token")).await, @r#"
    401 Unauthorized
    content-length: 107
    content-type: application/json
    www-authenticate: Bearer realm="http://registry.test/token",service="hallmark",error="invalid_token"

    {"errors":[{"code":"UNAUTHORIZED","detail":null,"message":"the token is not valid here: it is malformed"}]}
    "#);
}

#[tokio::test]
async fn a_ping_with_a_wrong_password_is_challenged_without_an_error() {
    let world = World::open().await;
    assert_snapshot!(world.get("/v2/").by(&Credentials::basic("ann", "wrong password")).await, @r#"
    401 Unauthorized
    content-length: 96
    content-type: application/json
    www-authenticate: Bearer realm="http://registry.test/token",service="hallmark"

    {"errors":[{"code":"UNAUTHORIZED","detail":null,"message":"the name or the password is wrong"}]}
    "#);
}

#[tokio::test]
async fn an_unknown_user_gets_the_answer_of_a_wrong_password() {
    let world = World::open().await;
    let wrong = world.get("/v2/").by(&Credentials::basic("ann", "wrong password")).await;
    let unknown = world.get("/v2/").by(&Credentials::basic("nobody", "wrong password")).await;
    assert_eq!(wrong.visible(), unknown.visible());
}

#[tokio::test]
async fn credentials_of_no_known_shape_are_refused_and_not_ignored() {
    let world = World::open().await;
    let shapes: [&[u8]; 8] =
        [b"Digest x", b"Bearer", b"Basic", b"Basic ????", b"Basic YW5u", b"basic:ann", b"Bearer \xff", b""];
    for shape in shapes {
        let answer = world.get("/v2/").header("authorization", shape).await;
        assert_eq!(answer.gist(), (401, "UNAUTHORIZED".into()), "{shape:?}");
    }
}

#[tokio::test]
async fn an_authorization_over_its_limit_is_refused() {
    let world = World::open().await;
    let long = format!("Basic {}", "A".repeat(17 * 1024));
    assert_eq!(world.get("/v2/").header("authorization", long).await.gist(), (401, "UNAUTHORIZED".into()));
}

#[tokio::test]
async fn a_ping_by_another_method_names_the_allowed_ones() {
    let world = World::open().await;
    assert_snapshot!(world.post("/v2/").await, @r#"
    405 Method Not Allowed
    allow: GET, HEAD
    content-length: 100
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"this path is served for GET, HEAD only"}]}
    "#);
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_its_own() {
    let world = World::open().await;
    let (one, other) = (world.get("/v2/").await, world.get("/v2/").await);
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
}

#[tokio::test]
async fn the_upstream_that_a_client_names_is_echoed_when_it_is_a_host() {
    let world = World::open().await;
    let namespace = async |query: &str| {
        let answer = world.get(&format!("/v2/{query}")).await;
        answer.headers.get("oci-namespace").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(namespace("?ns=docker.io").await.as_deref(), Some("docker.io"));
    assert_eq!(namespace("?ns=r.test:5000").await.as_deref(), Some("r.test:5000"));
    assert_eq!(namespace("?ns=a%0d%0ab").await, None);
    assert_eq!(namespace("").await, None);
}
