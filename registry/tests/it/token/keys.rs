//! The keys behind tokens: published, rotated with overlap, and refused once they are retired.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use insta::assert_snapshot;
use serde_json::Value;

use crate::harness::{Credentials, World};

/// Tokens live fifteen minutes; a key is accepted two minutes longer than the last token it signed.
const OVERLAP: i64 = 15 * 60 + 2 * 60;

async fn kids(world: &World) -> Vec<String> {
    let jwks = world.get("/.well-known/jwks.json").await.expect(200).json();
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn header(token: &Credentials) -> Value {
    let header = token.0.as_deref().unwrap().strip_prefix("Bearer ").unwrap().split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
}

#[tokio::test]
async fn the_public_key_is_published_and_nothing_private_with_it() {
    let world = World::open().await;
    let answer = world.get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(answer.header("content-type"), "application/json");
    let key = &answer.json()["keys"][0];
    let members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    for part in ["kid", "x", "y"] {
        world.show_as(key[part].as_str().unwrap(), part);
    }
    assert_snapshot!(world.get("/.well-known/jwks.json").await, @r#"
    200 OK
    cache-control: public, max-age=60
    content-length: 215
    content-type: application/json

    {"keys":[{"alg":"ES256","crv":"P-256","kid":"{kid}","kty":"EC","use":"sig","x":"{x}","y":"{y}"}]}
    "#);
}

#[tokio::test]
async fn a_token_names_its_key() {
    let world = World::open().await;
    let token = world.token("ann", "").await;
    let header = header(&token);
    assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("ES256"), Some("JWT")));
    assert_eq!(kids(&world).await, [header["kid"].as_str().unwrap()]);
}

#[tokio::test]
async fn a_key_id_is_the_thumbprint_of_its_key() {
    let world = World::open().await;
    let key = world.get("/.well-known/jwks.json").await.json()["keys"][0].clone();
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, key["x"], key["y"]);
    let thumbprint = ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes());
    assert_eq!(key["kid"], URL_SAFE_NO_PAD.encode(thumbprint));
}

#[tokio::test]
async fn after_a_rotation_the_new_key_signs_and_the_old_one_still_verifies() {
    let world = World::open().await;
    let old = world.token("ann", "").await;
    let kid = world.app.rotate_token_keys().await.unwrap();
    let new = world.token("ann", "").await;
    assert_eq!(header(&new)["kid"], kid);
    assert_ne!(header(&old)["kid"], kid);
    assert_eq!(kids(&world).await.len(), 2);
    world.get("/v2/").by(&old).await.expect(200);
    world.get("/v2/").by(&new).await.expect(200);
}

#[tokio::test]
async fn every_token_of_the_old_key_lives_out_its_time() {
    let world = World::open().await;
    world.pass(60);
    let old = world.token("ann", "").await;
    world.app.rotate_token_keys().await.unwrap();
    world.pass(15 * 60 + 59);
    world.get("/v2/").by(&old).await.expect(200);
}

#[tokio::test]
async fn a_retired_key_signs_nothing_any_more() {
    let world = World::open().await;
    let stolen = world.app.token_keys.ring();
    world.app.rotate_token_keys().await.unwrap();
    let forged = |claims: &str| {
        let input = format!("{{\"alg\":\"ES256\",\"kid\":\"{}\"}}", stolen.signing_kid());
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(input), URL_SAFE_NO_PAD.encode(claims));
        let signature = stolen.sign(&world.app.random, input.as_bytes()).unwrap();
        Credentials::bearer(&format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    };
    let claims = r#"{"iss":"hallmark","sub":"","aud":"hallmark","exp":9999999999,"nbf":0,"iat":0,"jti":"N"}"#;
    world.pass(OVERLAP - 1);
    let remembered = forged(&claims.replace('N', "1"));
    world.get("/v2/").by(&remembered).await.expect(200);
    world.pass(1);
    world.get("/v2/").by(&remembered).await.expect(401);
    world.get("/v2/").by(&forged(&claims.replace('N', "2"))).await.expect(401);
    assert_eq!(kids(&world).await.len(), 1);
}

#[tokio::test]
async fn a_token_and_its_key_outlive_a_restart() {
    let world = World::open().await;
    let token = world.token("ann", "").await;
    let before = kids(&world).await;
    let world = world.restarted().await;
    world.get("/v2/").by(&token).await.expect(200);
    assert_eq!(kids(&world).await, before);
}

/// I10: the private half lies in the database sealed, never as it is.
#[tokio::test]
async fn i10_the_private_key_is_sealed_in_the_database() {
    let world = World::open().await;
    let stored = world.look("SELECT hex(sealed) FROM token_keys").await;
    // Every PKCS#8 document of a P-256 key holds the object identifier of its curve.
    assert!(!stored[0].contains("2A8648CE3D030107"));
}
