//! Refresh tokens: what a login keeps instead of a password, and what ends them.

use insta::assert_snapshot;

use crate::harness::{Answer, Credentials, NOW, PASSWORD, World};

async fn issued(world: &World, user: &str) -> String {
    let answer = world.get("/token?service=hallmark&offline_token=true").by(&Credentials::basic(user, PASSWORD)).await;
    answer.expect(200).json()["refresh_token"].as_str().unwrap().to_owned()
}

async fn used(world: &World, token: &str, more: &str) -> Answer {
    let form = format!("grant_type=refresh_token&service=hallmark&client_id=test&refresh_token={token}{more}");
    world.post("/token").header("content-type", "application/x-www-form-urlencoded").body(form).await
}

async fn is_refused(world: &World, token: &str) {
    assert_eq!(used(world, token, "").await.gist(), (401, "UNAUTHORIZED".into()), "{token}");
}

#[tokio::test]
async fn a_refresh_token_is_good_for_any_scope_of_its_user_and_is_given_back() {
    let world = World::open().await;
    let token = issued(&world, "ann").await;
    let answer =
        used(&world, &token, "&scope=repository:ann/app:pull+repository:bob/app:pull").await.expect(200).json();
    assert_eq!(
        (answer["scope"].as_str(), answer["refresh_token"].as_str()),
        (Some("repository:ann/app:pull"), Some(&*token))
    );
    world.get("/v2/").by(&Credentials::bearer(answer["access_token"].as_str().unwrap())).await.expect(200);
}

#[tokio::test]
async fn a_refresh_token_is_no_bearer_token_and_no_password() {
    let world = World::open().await;
    let token = issued(&world, "ann").await;
    world.get("/v2/").by(&Credentials::bearer(&token)).await.expect(401);
    world.get("/v2/").by(&Credentials::basic("ann", &token)).await.expect(401);
    world.get("/v2/").by(&Credentials::basic("<token>", &token)).await.expect(401);
}

/// Threat 14: a dump of the database holds nothing that can be used.
#[tokio::test]
async fn the_database_holds_the_hash_of_a_refresh_token_and_not_its_secret() {
    let world = World::open().await;
    let token = issued(&world, "ann").await;
    let secret = &token["hmr_".len() + 12..];
    assert_eq!(secret.len(), 43, "256 bits");
    let stored = world.look("SELECT selector, hex(secret_hash), service, scopes FROM credentials").await;
    let hash = hallmark_oci::Digest::of(hallmark_oci::Algorithm::Sha256, secret.as_bytes()).hex().to_uppercase();
    assert_eq!(stored, [format!("{} {hash} hallmark ", &token[4..15])]);
}

#[tokio::test]
async fn a_token_that_is_not_quite_it_is_refused() {
    let world = World::open().await;
    let token = issued(&world, "ann").await;
    let other = issued(&world, "bob").await;
    let swapped = format!("{}{}", &token[..16], &other[16..]);
    let cut = &token[..token.len() - 1];
    let longer = format!("{token}A");
    let prefix = token.replacen("hmr_", "hmx_", 1);
    let mut told = Vec::new();
    for wrong in ["", "hmr_", "hmr_éééééé_x", cut, &longer, &prefix, &swapped, &token.to_uppercase(), "nonsense"]
    {
        told.push(used(&world, wrong, "").await.to_string());
    }
    told.dedup();
    assert_snapshot!(told.join("\n---\n"), @r#"
    401 Unauthorized
    content-length: 98
    content-type: application/json
    www-authenticate: Basic realm="hallmark", charset="UTF-8"

    {"errors":[{"code":"UNAUTHORIZED","detail":null,"message":"the refresh token is not valid here"}]}
    "#);
    used(&world, &token, "").await.expect(200);
}

#[tokio::test]
async fn a_changed_password_ends_every_refresh_token_and_token_of_the_user_and_no_other() {
    let world = World::open().await;
    let (ann, bob) = (issued(&world, "ann").await, issued(&world, "bob").await);
    let bearer = world.token("ann", "").await;
    world.set_password("ann", "another long password").await;
    is_refused(&world, &ann).await;
    world.get("/v2/").by(&bearer).await.expect(401);
    used(&world, &bob, "").await.expect(200);
}

#[tokio::test]
async fn a_user_who_is_gone_or_disabled_is_refused_from_the_next_request_on() {
    for way in ["removed", "disabled"] {
        let world = World::open().await;
        let refresh = issued(&world, "ann").await;
        let bearer = world.token("ann", "").await;
        world.get("/v2/").by(&bearer).await.expect(200);
        if way == "removed" {
            world.remove_user("ann").await;
        } else {
            world.disable("ann").await;
        }
        let answer = world.get("/v2/").by(&bearer).await.expect(401);
        assert!(answer.header("www-authenticate").ends_with("error=\"invalid_token\""), "{way}");
        world.get("/v2/").by(&Credentials::basic("ann", PASSWORD)).await.expect(401);
        is_refused(&world, &refresh).await;
    }
}

/// Threat 8: who takes a name again inherits nothing.
#[tokio::test]
async fn a_name_that_is_taken_again_inherits_no_token() {
    let world = World::open().await;
    let refresh = issued(&world, "ann").await;
    let bearer = world.all_of("ann", "ann/app").await;
    world.remove_user("ann").await;
    world.add_user("ann").await;
    is_refused(&world, &refresh).await;
    world.get("/v2/").by(&bearer).await.expect(401);
    world.get("/v2/").by(&Credentials::basic("ann", PASSWORD)).await.expect(200);
}

#[tokio::test]
async fn a_refresh_token_ends_after_its_lifetime() {
    let world = World::open().await;
    let token = issued(&world, "ann").await;
    let days = 24 * 60 * 60;
    world.pass(30 * days - 1);
    used(&world, &token, "").await.expect(200);
    world.pass(1);
    is_refused(&world, &token).await;
    assert_eq!(world.now(), NOW + 30 * days * 1000);
}

/// Threat 14: what another service gave out in the same database, for the same user, opens nothing here.
#[tokio::test]
async fn a_refresh_token_of_another_service_is_refused() {
    let world = World::open().await;
    let (token, other) = (issued(&world, "ann").await, issued(&world, "ann").await);
    let set = format!("UPDATE credentials SET service = 'another' WHERE selector = '{}'", &other[4..15]);
    world.meddle(&set).await;
    is_refused(&world, &other).await;
    used(&world, &token, "").await.expect(200);
    let back = set.replace("another", "hallmark");
    world.meddle(&back).await;
    used(&world, &other, "").await.expect(200);
}
