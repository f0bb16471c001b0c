//! The challenge of a 401 (protocols: token authentication): exact, for that very request, and never a thief's.

use crate::harness::{Answer, Credentials, World};

const UPLOAD: &str = "0123456789abcdef0123456789abcdef";
const DIGEST: &str = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

fn challenge(answer: &Answer) -> String {
    assert_eq!(answer.status.as_u16(), 401, "{answer}");
    answer.header("www-authenticate").to_owned()
}

async fn realm(world: &World, headers: &[(&str, &str)], peer: [u8; 4]) -> String {
    let call = headers.iter().fold(world.get("/v2/"), |call, (name, value)| call.header(name, value));
    let challenge = challenge(&call.sent_from(peer).await);
    challenge.split('"').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_challenge_names_the_scope_of_that_very_request() {
    let world = World::open().await;
    let table = [
        ("GET", "ann/app/manifests/1".to_owned(), "pull"),
        ("HEAD", "ann/app/manifests/1".to_owned(), "pull"),
        ("PUT", "ann/app/manifests/1".to_owned(), "pull,push"),
        ("DELETE", "ann/app/manifests/1".to_owned(), "delete"),
        ("GET", format!("ann/app/blobs/{DIGEST}"), "pull"),
        ("HEAD", format!("ann/app/blobs/{DIGEST}"), "pull"),
        ("DELETE", format!("ann/app/blobs/{DIGEST}"), "delete"),
        ("POST", "ann/app/blobs/uploads/".to_owned(), "pull,push"),
        ("GET", format!("ann/app/blobs/uploads/{UPLOAD}"), "pull,push"),
        ("PATCH", format!("ann/app/blobs/uploads/{UPLOAD}"), "pull,push"),
        ("PUT", format!("ann/app/blobs/uploads/{UPLOAD}?digest={DIGEST}"), "pull,push"),
        ("DELETE", format!("ann/app/blobs/uploads/{UPLOAD}"), "pull,push"),
        ("GET", "ann/app/tags/list".to_owned(), "pull"),
        ("GET", format!("ann/app/referrers/{DIGEST}"), "pull"),
    ];
    for (method, path, actions) in table {
        let found = challenge(&world.call(method, &format!("/v2/{path}")).await);
        let realm = r#"Bearer realm="http://registry.test/token",service="hallmark""#;
        assert_eq!(found, format!(r#"{realm},scope="repository:ann/app:{actions}""#), "{method} {path}");
    }
}

#[tokio::test]
async fn a_challenge_for_a_mount_names_its_source_too() {
    let world = World::open().await;
    let path = format!("/v2/ann/app/blobs/uploads/?mount={DIGEST}&from=bob/base");
    let found = challenge(&world.post(&path).await);
    assert!(found.ends_with(r#",scope="repository:ann/app:pull,push repository:bob/base:pull""#), "{found}");
}

#[tokio::test]
async fn a_challenge_for_the_catalog_names_its_scope() {
    let world = World::open().await;
    assert!(challenge(&world.get("/v2/_catalog").await).ends_with(r#",scope="registry:catalog:*""#));
}

#[tokio::test]
async fn a_token_that_lacks_a_right_is_told_so_and_one_that_is_bad_is_told_so() {
    let world = World::open().await;
    let ann = world.token("ann", "repository:ann/app:pull").await;
    let lacking = challenge(&world.put("/v2/ann/app/manifests/1").by(&ann).await);
    assert!(lacking.ends_with(r#",scope="repository:ann/app:pull,push",error="insufficient_scope""#), "{lacking}");
    let bad = challenge(&world.put("/v2/ann/app/manifests/1").by(&Credentials::bearer("bad")).await);
    assert!(bad.ends_with(r#",scope="repository:ann/app:pull,push",error="invalid_token""#), "{bad}");
}

#[tokio::test]
async fn a_refusal_lists_what_is_missing() {
    let world = World::open().await;
    let answer = world.put("/v2/ann/app/manifests/1").await;
    let detail = serde_json::json!([
        {"Type": "repository", "Class": "", "Name": "ann/app", "Action": "pull"},
        {"Type": "repository", "Class": "", "Name": "ann/app", "Action": "push"},
    ]);
    assert_eq!(answer.json()["errors"][0]["detail"], detail);
}

#[tokio::test]
async fn without_a_public_url_the_host_of_the_request_names_the_realm() {
    let world = World::open().await;
    assert_eq!(realm(&world, &[("host", "Other.Test:5000")], [192, 0, 2, 7]).await, "http://other.test:5000/token");
}

#[tokio::test]
async fn a_host_that_is_none_cannot_get_into_the_challenge() {
    let world = World::open().await;
    for host in ["a\"b", "a,b", "a/b", "user@thief.test", "a b", "a\\b", "", &"a".repeat(256)] {
        assert_eq!(realm(&world, &[("host", host)], [192, 0, 2, 7]).await, "http://127.0.0.1:5000/token", "{host:?}");
    }
}

#[tokio::test]
async fn a_public_url_stands_against_a_poisoned_host() {
    let world = World::with(|config| config.public_url = Some("https://images.test".parse().unwrap())).await;
    for headers in [
        &[("host", "thief.test")][..],
        &[("host", "thief.test"), ("x-forwarded-host", "thief.test"), ("x-forwarded-proto", "http")],
        &[("host", "images.test:8443")],
    ] {
        assert_eq!(realm(&world, headers, [192, 0, 2, 7]).await, "https://images.test/token", "{headers:?}");
    }
}

#[tokio::test]
async fn an_alias_names_the_realm_when_the_request_comes_by_it() {
    let world = World::with(|config| {
        config.public_url = Some("https://images.test".parse().unwrap());
        config.aliases = vec!["mirror.test:8443".parse().unwrap()];
    })
    .await;
    assert_eq!(realm(&world, &[("host", "mirror.test:8443")], [192, 0, 2, 7]).await, "https://mirror.test:8443/token");
    assert_eq!(realm(&world, &[("host", "mirror.test")], [192, 0, 2, 7]).await, "https://images.test/token");
}

#[tokio::test]
async fn what_a_stranger_says_was_forwarded_is_ignored() {
    let world = World::with(|config| config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]).await;
    let forwarded =
        [("x-forwarded-host", "thief.test"), ("x-forwarded-proto", "https"), ("x-forwarded-for", "10.0.0.1")];
    assert_eq!(realm(&world, &forwarded, [192, 0, 2, 7]).await, "http://registry.test/token");
}

#[tokio::test]
async fn what_a_trusted_proxy_says_was_forwarded_is_believed() {
    let world = World::with(|config| config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]).await;
    let forwarded = [("x-forwarded-host", "images.test"), ("x-forwarded-proto", "https")];
    assert_eq!(realm(&world, &forwarded, [10, 1, 2, 3]).await, "https://images.test/token");
}

#[tokio::test]
async fn of_several_proxies_the_one_farthest_away_tells_what_was_asked_for() {
    let world = World::with(|config| config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]).await;
    let (host, proto) = (("x-forwarded-host", "images.test, inner.test"), ("x-forwarded-proto", "https, http"));
    let way = ("x-forwarded-for", "192.0.2.7, 10.9.9.9");
    assert_eq!(realm(&world, &[host, proto, way], [10, 1, 2, 3]).await, "https://images.test/token");
    // Of two that are trusted one alone says it.
    let once = [("x-forwarded-host", "images.test"), ("x-forwarded-proto", "https"), way];
    assert_eq!(realm(&world, &once, [10, 1, 2, 3]).await, "https://images.test/token");
}

/// A proxy that puts what it was asked behind what it was sent passes a stranger's words on in front.
#[tokio::test]
async fn what_a_stranger_wrote_before_a_proxy_is_not_believed() {
    let world = World::with(|config| config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]).await;
    let (host, proto) = (("x-forwarded-host", "thief.test, images.test"), ("x-forwarded-proto", "http, https"));
    for way in ["192.0.2.7", "10.9.9.9, 192.0.2.7", "10.9.9.9", ""] {
        let forwarded = [host, proto, ("x-forwarded-for", way)];
        assert_eq!(realm(&world, &forwarded, [10, 1, 2, 3]).await, "https://images.test/token", "{way}");
    }
    assert_eq!(realm(&world, &[host, proto], [10, 1, 2, 3]).await, "https://images.test/token");
}
