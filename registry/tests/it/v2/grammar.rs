//! Request lines that are none: refused before anybody is identified, in the envelope, and never as another name.

use insta::assert_snapshot;

use crate::harness::{Credentials, PASSWORD, World, sha256};

#[tokio::test]
async fn malformed_names_are_refused() {
    let world = World::open().await;
    let admin = Credentials::basic("admin", PASSWORD);
    let long = "a".repeat(256);
    let names = ["UPPER/x", "a..b/x", "-a/x", "a-/x", "a/_b", "a___b/x", "a/.b", "%C3%A9/x", "a%20b/x", "a:b/x", &long];
    let mut told = Vec::new();
    for name in names {
        let answer = world.get(&format!("/v2/{name}/tags/list")).by(&admin).await;
        assert_eq!(answer.gist(), (400, "NAME_INVALID".into()), "{name}");
        told.push(answer.to_string());
    }
    told.dedup();
    assert_snapshot!(told.join("\n---\n"), @r#"
    400 Bad Request
    content-length: 212
    content-type: application/json

    {"errors":[{"code":"NAME_INVALID","detail":null,"message":"a repository name is made of components joined by slashes, each of lower-case letters and digits joined by one dot, one or two underscores, or dashes"}]}

    ---
    400 Bad Request
    content-length: 107
    content-type: application/json

    {"errors":[{"code":"NAME_INVALID","detail":null,"message":"a repository name has at most 255 characters"}]}
    "#);
}

/// What is authorized is what is touched: no path is one name to the one and another name to the other.
#[tokio::test]
async fn path_tricks_are_refused() {
    let world = World::open().await;
    let ann = world.all_of("ann", "ann/app").await;
    world.image(&ann, "ann/app", "1", "layer").await;
    let tricks = [
        "bob/../ann/app",
        "bob/%2e%2e/ann/app",
        "bob/./app",
        "ann%2fapp",
        "ann%2Fapp",
        "ann%252fapp",
        "ann//app",
        "/ann/app",
        "ann/app/",
        "ann/app%00",
        "ann/app%zz",
        "ann/app%",
        "ann\\app",
        "ann/App",
    ];
    let bob = world.token("bob", "repository:bob/app:pull").await;
    for trick in tricks {
        for token in [&ann, &bob] {
            let answer = world.get(&format!("/v2/{trick}/manifests/1")).by(token).await;
            assert!(answer.status.is_client_error(), "{trick}: {answer}");
        }
    }
}

#[tokio::test]
async fn an_encoded_slash_is_refused_with_what_to_do() {
    let world = World::open().await;
    assert_snapshot!(world.get("/v2/ann%2Fapp/manifests/1").await, @r#"
    400 Bad Request
    content-length: 171
    content-type: application/json

    {"errors":[{"code":"NAME_INVALID","detail":null,"message":"the path is not one of plain components; send the repository name unescaped, without empty or dot components"}]}
    "#);
}

#[tokio::test]
async fn an_unknown_path_is_answered_in_the_envelope() {
    let world = World::open().await;
    assert_snapshot!(world.get("/v2/ann/app/nothing").await, @r#"
    404 Not Found
    content-length: 128
    content-type: application/json

    {"errors":[{"code":"NOT_FOUND","detail":null,"message":"nothing is served at this path; the registry's paths begin with /v2/"}]}
    "#);
    for path in ["/", "/v1/", "/v22/", "/v2/x", "/v2/_oci/ext/discover", "/v2/ann/app/blobs/uploads/a/b", "/index.html"]
    {
        assert_eq!(world.get(path).await.gist(), (404, "NOT_FOUND".into()), "{path}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_served_names_those_that_are() {
    let world = World::open().await;
    let digest = sha256("");
    let table = [
        ("POST", "ann/app/manifests/1".to_owned(), "GET, HEAD, PUT, DELETE"),
        ("PUT", format!("ann/app/blobs/{digest}"), "GET, HEAD, DELETE"),
        ("DELETE", "ann/app/tags/list".to_owned(), "GET, HEAD"),
        ("POST", "_catalog".to_owned(), "GET, HEAD"),
        ("PUT", format!("ann/app/referrers/{digest}"), "GET, HEAD"),
        ("GET", "ann/app/blobs/uploads/".to_owned(), "POST"),
        ("POST", "ann/app/blobs/uploads/0123456789abcdef0123456789abcdef".to_owned(), "GET, HEAD, PATCH, PUT, DELETE"),
    ];
    for (method, path, allowed) in table {
        let answer = world.call(method, &format!("/v2/{path}")).await;
        assert_eq!(answer.gist(), (405, "UNSUPPORTED".into()), "{method} {path}");
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn a_get_with_a_body_is_answered() {
    let world = World::open().await;
    let ann = world.token("ann", "").await;
    world.get("/v2/").by(&ann).body("{}").await.expect(200);
}
