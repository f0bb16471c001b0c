//! `POST /token` with the grant of token exchange (RFC 8693).

use insta::assert_snapshot;
use serde_json::json;

use super::{acme, api, form, trust};
use crate::harness::stage::{AUDIENCE, Signer, Stage, github, merge};
use crate::harness::{Answer, Credentials, PASSWORD, World};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(super) async fn opened() -> (Stage, Signer, World) {
    let key = Signer::new("ES256", "one");
    let stage = Stage::open(&[&key]).await;
    let world = World::with(|config| trust(config, &stage, true)).await;
    acme(&world).await;
    let rule = json!({"issuer": stage.url, "audience": AUDIENCE, "claims": {"repository_id": "74"}});
    api(&world, "POST", "/accounts/acme/robots/ci/rules", rule).await.expect(201);
    (stage, key, world)
}

/// Asks with these fields in the place of the usual ones; an empty one is left out.
pub(super) async fn exchange(world: &World, token: &str, changes: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("grant_type", GRANT),
        ("subject_token", token),
        ("subject_token_type", JWT),
        ("username", "acme+ci"),
        ("service", "hallmark"),
        ("scope", "repository:acme/app:pull,push"),
    ];
    fields.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    fields.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    world.post("/token").header("content-type", "application/x-www-form-urlencoded").body(form(&fields)).await
}

#[tokio::test]
async fn a_workload_exchanges_its_token_for_one_of_its_robot() {
    let (stage, key, world) = opened().await;
    let token = key.token(&github(&stage.url));
    for kind in [JWT, ID_TOKEN] {
        let answer = exchange(&world, &token, &[("subject_token_type", kind)]).await.expect(200).json();
        assert_eq!(answer["issued_token_type"], ACCESS_TOKEN);
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(900)));
        assert_eq!(answer["scope"], "repository:acme/app:pull,push");
        assert_eq!(answer["refresh_token"], json!(null));
        let bearer = Credentials::bearer(answer["access_token"].as_str().unwrap());
        world.image(&bearer, "acme/app", "1", "layer").await;
    }
}

#[tokio::test]
async fn the_same_is_checked_as_of_a_token_in_the_place_of_a_password() {
    let (stage, key, world) = opened().await;
    let wrong = exchange(&world, "ey.a.b", &[]).await.expect(401).visible();
    assert_eq!(wrong, world.get("/token").by(&Credentials::basic("ann", "wrong, surely")).await.visible());
    let token = |changes| key.token(&merge(github(&stage.url), changes));
    for (why, token, changes) in [
        ("another repository", token(json!({"repository_id": "75"})), &[][..]),
        ("another audience", token(json!({"aud": "https://other.example"})), &[]),
        ("no robot", token(json!({})), &[("username", "ann")]),
        ("another robot", token(json!({})), &[("username", "acme+cd")]),
        // A password is nobody's token, and is not tried as one.
        ("a password", PASSWORD.to_owned(), &[("username", "ann")]),
    ] {
        assert_eq!(exchange(&world, &token, changes).await.visible(), wrong, "{why}");
    }
}

/// Threat 15: issuers that anybody gets a token of make a guesser of everybody, who could count the work.
#[tokio::test]
async fn a_genuine_token_tells_no_robots_apart_by_their_work() {
    let (stage, key, world) = opened().await;
    let token = key.token(&merge(github(&stage.url), json!({"repository_id": "75"})));
    let mut told = Vec::new();
    // One that is there and whose rule is another's, one that is not, and one of an account that is not.
    for name in ["acme+ci", "acme+no", "nobody+ci"] {
        let ways = async || {
            let exchanged = exchange(&world, &token, &[("username", name)]).await;
            [exchanged, world.get("/v2/").by(&Credentials::basic(name, &token)).await]
        };
        // The first asks the issuer for its keys.
        ways().await;
        let reads = world.app.metadata.statistics().reads;
        let answers = ways().await.map(|answer| answer.visible());
        told.push((answers, world.app.metadata.statistics().reads - reads));
    }
    assert_eq!(told[0].0[0].0, 401);
    assert!(told.iter().all(|seen| *seen == told[0]), "{told:#?}");
}

#[tokio::test]
async fn an_exchange_that_is_not_meant_here_is_refused() {
    let (stage, key, world) = opened().await;
    let token = key.token(&github(&stage.url));
    let mut told = Vec::new();
    for changes in [
        [("subject_token_type", "urn:ietf:params:oauth:token-type:saml2")],
        [("subject_token_type", "")],
        [("subject_token", "")],
        [("username", "")],
        [("actor_token", "x")],
        [("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")],
        [("service", "other")],
    ] {
        told.push(exchange(&world, &token, &changes).await.expect(400).to_string());
    }
    told.dedup();
    assert_snapshot!(told.join("\n---\n"), @r#"
    400 Bad Request
    content-length: 120
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"subject_token_type must be that of a JWT or of an ID token"}]}

    ---
    400 Bad Request
    content-length: 130
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"token exchange needs subject_token, and the robot's name in username"}]}

    ---
    400 Bad Request
    content-length: 113
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"nobody acts for another here: leave actor_token out"}]}

    ---
    400 Bad Request
    content-length: 94
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"only access tokens are made here"}]}

    ---
    400 Bad Request
    content-length: 122
    content-type: application/json

    {"errors":[{"code":"UNSUPPORTED","detail":null,"message":"this endpoint makes tokens for the service \"hallmark\" only"}]}
    "#);
    exchange(&world, &token, &[("requested_token_type", ACCESS_TOKEN)]).await.expect(200);
}

#[tokio::test]
async fn a_rule_that_goes_takes_the_tokens_made_by_it_along_and_no_secrets() {
    let (stage, key, world) = opened().await;
    let secret = Credentials::basic("acme+ci", &world.secret("acme", "ci", 0).await);
    let answer = exchange(&world, &key.token(&github(&stage.url)), &[]).await.expect(200).json();
    let bearer = Credentials::bearer(answer["access_token"].as_str().unwrap());
    world.image(&bearer, "acme/app", "1", "layer").await;
    let rule = &world.look("SELECT id FROM workload_rules").await[0];
    let path = format!("/accounts/acme/robots/ci/rules/{rule}");
    world.api("DELETE", &path, &super::admin()).await.expect(204);
    world.get("/v2/acme/app/manifests/1").by(&bearer).await.expect(401);
    world.get("/v2/acme/app/manifests/1").by(&secret).await.expect(200);
}
