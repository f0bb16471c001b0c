//! The catalog: what the caller may see, and nothing else (I13).

use insta::assert_snapshot;

use crate::harness::{Credentials, PASSWORD, World};

/// Two repositories each of ann and bob, one of bob's public.
async fn filled() -> World {
    let world = World::open().await;
    for (user, names) in [("ann", ["ann/b", "ann/a"]), ("bob", ["bob/secret", "bob/open"])] {
        for name in names {
            let token = world.all_of(user, name).await;
            world.blob(&token, name, "layer").await;
        }
    }
    world.publish("bob/open").await;
    world
}

async fn catalog(world: &World, by: &Credentials) -> String {
    String::from_utf8(world.get("/v2/_catalog").by(by).await.expect(200).body.to_vec()).unwrap()
}

#[tokio::test]
async fn i13_a_user_sees_their_own_and_what_is_public() {
    let world = filled().await;
    let ann = world.token("ann", "registry:catalog:*").await;
    assert_snapshot!(world.get("/v2/_catalog").by(&ann).await, @r#"
    200 OK
    content-length: 45
    content-type: application/json

    {"repositories":["ann/a","ann/b","bob/open"]}
    "#);
}

#[tokio::test]
async fn an_administrator_sees_all() {
    let world = filled().await;
    let admin = world.token("admin", "registry:catalog:*").await;
    assert_eq!(catalog(&world, &admin).await, r#"{"repositories":["ann/a","ann/b","bob/open","bob/secret"]}"#);
}

#[tokio::test]
async fn a_name_and_password_see_what_their_token_would() {
    let world = filled().await;
    let token = world.token("bob", "registry:catalog:*").await;
    let basic = Credentials::basic("bob", PASSWORD);
    assert_eq!(catalog(&world, &token).await, catalog(&world, &basic).await);
}

#[tokio::test]
async fn nobody_in_particular_sees_no_catalog() {
    let world = filled().await;
    assert_snapshot!(world.get("/v2/_catalog").await, @r#"
    401 Unauthorized
    content-length: 144
    content-type: application/json
    www-authenticate: Bearer realm="http://registry.test/token",service="hallmark",scope="registry:catalog:*"

    {"errors":[{"code":"UNAUTHORIZED","detail":[{"Action":"*","Class":"","Name":"catalog","Type":"registry"}],"message":"authentication required"}]}
    "#);
    let token = world.get("/token?service=hallmark&scope=registry:catalog:*").await.expect(200).json();
    let anonymous = Credentials::bearer(token["token"].as_str().unwrap());
    world.get("/v2/_catalog").by(&anonymous).await.expect(401);
}

#[tokio::test]
async fn a_token_for_a_repository_does_not_reach_the_catalog() {
    let world = filled().await;
    let ann = world.all_of("ann", "ann/a").await;
    assert_eq!(world.get("/v2/_catalog").by(&ann).await.gist(), (401, "UNAUTHORIZED".into()));
}

#[tokio::test]
async fn pages_follow_each_other() {
    let world = filled().await;
    let admin = world.token("admin", "registry:catalog:*").await;
    assert_snapshot!(world.get("/v2/_catalog?n=3").by(&admin).await, @r#"
    200 OK
    content-length: 45
    content-type: application/json
    link: </v2/_catalog?n=3&last=bob%2Fopen>; rel="next"

    {"repositories":["ann/a","ann/b","bob/open"]}
    "#);
    let next = world.get("/v2/_catalog?n=3&last=bob%2Fopen").by(&admin).await;
    assert_eq!(next.body, r#"{"repositories":["bob/secret"]}"#);
    assert!(!next.headers.contains_key("link"));
}

#[tokio::test]
async fn a_page_of_none_is_empty_and_has_no_next_one() {
    let world = filled().await;
    let admin = world.token("admin", "registry:catalog:*").await;
    let page = world.get("/v2/_catalog?n=0").by(&admin).await.expect(200);
    assert_eq!((&page.body[..], page.headers.contains_key("link")), (&br#"{"repositories":[]}"#[..], false));
}

#[tokio::test]
async fn a_negative_number_is_refused() {
    let world = filled().await;
    let admin = world.token("admin", "registry:catalog:*").await;
    let answer = world.get("/v2/_catalog?n=-1").by(&admin).await;
    assert_eq!(answer.gist(), (400, "PAGINATION_NUMBER_INVALID".into()));
}
