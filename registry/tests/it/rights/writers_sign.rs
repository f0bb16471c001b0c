//! Where an organization does not let writers sign: who pushes and who signs may be others.

use hallmark_oci::Digest;
use serde_json::json;

use crate::harness::{Credentials, PASSWORD, World};

fn basic(name: &str) -> Credentials {
    Credentials::basic(name, PASSWORD)
}

/// How a request to sign `acme/web:1` ends, through the API and on Notary's wire.
async fn signs(world: &World, who: &str, digest: &Digest) -> (u16, u16) {
    let document = json!({"tag": "1", "digest": digest});
    let by_api = world.sends("POST", "/repositories/acme%2Fweb/signatures", &basic(who), &document).await.status;
    let key = world.get("/v2/registry.test/acme/web/_trust/tuf/timestamp.key").by(&basic(who)).await.status;
    (by_api.as_u16(), key.as_u16())
}

async fn allowed(world: &World, who: &str) -> (bool, String) {
    let asked = format!("/explain?subject=user%3A{who}&action=sign&repository=acme%2Fweb");
    let told = world.api("GET", &asked, &basic("ann")).await.json();
    (told["allowed"].as_bool().unwrap(), told["missing"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn write_signs_nothing_where_the_organization_says_so_and_sign_does() {
    let world = World::open().await;
    world.add_user("cleo").await;
    world.organization("acme", "ann").await;
    let digest = world.image(&world.all_of("ann", "acme/web").await, "acme/web", "1", "layer").await;
    world.grant("acme/web", "user:bob", "write").await;
    assert_eq!(signs(&world, "bob", &digest).await, (201, 200), "by default");
    let change = json!({"writers_sign": false});
    let count = world.count_events().await;
    let changed = world.sends("PATCH", "/organizations/acme", &basic("ann"), &change).await;
    assert_eq!(changed.json()["writers_sign"], json!(false), "{changed}");
    let event = r#"ann organization_changed acme {"writers_sign":false}"#;
    assert_eq!(world.events_after(count).await, [event]);
    assert_eq!(signs(&world, "bob", &digest).await.0, 403);
    assert_ne!(signs(&world, "bob", &digest).await.1, 200);
    let (may, missing) = allowed(&world, "bob").await;
    assert!(!may && missing.contains("`sign`"), "{missing}");
    let bob = world.all_of("bob", "acme/web").await;
    world.image(&bob, "acme/web", "2", "bob still pushes").await;
    world.grant("acme/web", "user:cleo", "read+sign").await;
    assert_eq!(signs(&world, "cleo", &digest).await, (201, 200), "who signs and does not push");
    world.grant("acme/web", "user:bob", "write+sign").await;
    assert_eq!(signs(&world, "bob", &digest).await, (201, 200), "who was given both");
    assert_eq!(allowed(&world, "bob").await, (true, String::new()));
    assert_eq!(signs(&world, "ann", &digest).await, (201, 200), "an owner");
}

/// The other way to be given `write`: by a team, or on a prefix of the name.
#[tokio::test]
async fn a_grant_of_sign_counts_wherever_it_comes_from() {
    let world = World::open().await;
    world.organization("acme", "ann").await;
    let digest = world.image(&world.all_of("ann", "acme/web").await, "acme/web", "1", "layer").await;
    world.member("acme", "bob", "member").await;
    world.team("acme", "dev", &["bob"]).await;
    world.sends("PATCH", "/organizations/acme", &basic("ann"), &json!({"writers_sign": false})).await.expect(200);
    world.grant("acme/*", "team:acme/dev", "write").await;
    assert_eq!(signs(&world, "bob", &digest).await.0, 403);
    world.grant("acme/*", "user:bob", "sign").await;
    assert_eq!(signs(&world, "bob", &digest).await, (201, 200));
}
