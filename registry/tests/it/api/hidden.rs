//! Who may not see an organization or a repository cannot tell it from one that is not there (I13, threat 3).

use super::basic;
use super::endpoints::{Endpoint, Furnished};
use super::matrix::callers;
use crate::harness::{Answer, Credentials, World};

/// The same endpoint of what is not there; its names are as long.
fn of_nothing(endpoint: &Endpoint) -> Endpoint {
    let text = endpoint.document.as_ref().map(|document| document.to_string().replace("acme", "none"));
    let document = text.map(|text| serde_json::from_str(&text).unwrap());
    Endpoint { path: endpoint.path.replace("acme", "none"), document, ..*endpoint }
}

/// All that can be seen of an answer, and how often the database was asked for it.
async fn seen(world: &World, endpoint: &Endpoint, by: &Credentials) -> (String, u64) {
    // Who asks, and what they ask about, is in memory by then if it ever is.
    endpoint.call(world, by).await;
    let before = world.app.metadata.statistics().reads;
    let answer: Answer = endpoint.call(world, by).await;
    let reads = world.app.metadata.statistics().reads - before;
    let (status, mut headers, body) = answer.visible();
    // It is worked out from the names in the body.
    headers.retain(|(name, _)| name != "etag");
    (format!("{status} {headers:?} {}", String::from_utf8_lossy(&body)), reads)
}

#[tokio::test]
async fn an_organization_is_hidden_from_strangers() {
    let furnished = Furnished::open().await;
    let world = &furnished.acme.world;
    let robot = world.robot("ann", "bot", None).await;
    let token = Credentials::bearer(&world.personal("bob", "admin api:write").await.1);
    let before = world.rows().await;
    for by in [basic("ann"), robot, token] {
        for endpoint in furnished.endpoints() {
            let other = of_nothing(&endpoint);
            if other.path == endpoint.path && other.document == endpoint.document {
                continue;
            }
            let (hidden, reads) = seen(world, &endpoint, &by).await;
            let (absent, others) = seen(world, &other, &by).await;
            assert!(hidden.starts_with("404") || hidden.starts_with("403"), "{}: {hidden}", endpoint.path);
            let place = format!("{} {}", endpoint.method, endpoint.path);
            assert_eq!((hidden.replace("acme", "none"), reads), (absent, others), "{place}");
        }
    }
    assert_eq!(world.rows().await, before);
}

#[tokio::test]
async fn a_repository_is_hidden_from_whoever_holds_nothing_on_it() {
    let furnished = Furnished::open().await;
    let world = &furnished.acme.world;
    let own = Credentials::bearer(&world.personal("tim", "read api:write on:acme/site").await.1);
    let mut hidden_from = vec![("of site", own)];
    for (who, by) in callers(&furnished.acme).await {
        let status = world.api("GET", "/repositories/acme%2Fweb", &by).await.status;
        if matches!(status.as_u16(), 401 | 404) {
            hidden_from.push((who, by));
        }
    }
    let names: Vec<_> = hidden_from.iter().map(|(who, _)| *who).collect();
    assert_eq!(names, ["of site", "nobody", "stranger", "member"]);
    for (who, by) in &hidden_from {
        for endpoint in furnished.endpoints_about("acme/web") {
            let (hidden, reads) = seen(world, &endpoint, by).await;
            let absent = seen(world, &endpoint.about("acme/nix"), by).await;
            assert_eq!((hidden.replace("web", "nix"), reads), absent, "{} {} by {who}", endpoint.method, endpoint.path);
        }
    }
}

/// An account of a user is as hidden as one that nobody has.
#[tokio::test]
async fn the_account_of_another_user_is_hidden() {
    let world = World::open().await;
    let bob = world.all_of("bob", "bob/app").await;
    world.image(&bob, "bob/app", "1", "layer").await;
    world.robot("bob", "ci", None).await;
    for path in [
        "/accounts/bob/robots",
        "/accounts/bob/robots/ci",
        "/accounts/bob/grants",
        "/users/bob",
        "/events?account=bob",
        "/events?account=ann&repository=bob/app",
        "/events?account=ann&actor=bob",
        "/events?account=ann&actor=robot:bob%2Bci",
        "/explain?action=pull&repository=bob/app",
        "/explain?action=push&repository=bob/app",
        "/explain?action=pull&repository=bob/app&subject=user:ann",
        "/repositories/bob%2Fapp",
    ] {
        let ask = async |path: String| {
            let endpoint = Endpoint { method: "GET", path, document: None, event: "-" };
            seen(&world, &endpoint, &basic("ann")).await
        };
        let (hidden, _) = ask(path.to_owned()).await;
        let (absent, _) = ask(path.replace("bob", "eve")).await;
        assert_eq!(hidden.replace("bob", "eve"), absent, "{path}");
    }
}
