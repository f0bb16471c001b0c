//! A token of a trusted issuer in the place of a robot's secret (threat 19).

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{BEGINNING, Seen, acme, api, granted, trust, wrong_password};
use crate::harness::stage::{
    AUDIENCE, Answer as Script, DISCOVERY, JWKS, Signer, Stage, github, gitlab, kubernetes, merge,
};
use crate::harness::{Credentials, World};

struct Trusted {
    stage: Stage,
    key: Signer,
    world: World,
    /// What a wrong password is answered.
    refused: Seen,
}

impl Trusted {
    /// A registry that trusts one issuer, with a rule of the robot `acme+ci` for these claims.
    async fn open(claims: Value) -> Self {
        let key = Signer::new("RS256", "one");
        let stage = Stage::open(&[&key]).await;
        let world = World::with(|config| trust(config, &stage, true)).await;
        acme(&world).await;
        let refused = wrong_password(&world).await;
        let trusted = Self { stage, key, world, refused };
        trusted.rule(json!({"claims": claims})).await.expect(201);
        trusted
    }

    async fn rule(&self, changes: Value) -> crate::harness::Answer {
        let rule = json!({"issuer": self.stage.url, "audience": AUDIENCE, "claims": {"repository_id": "74"}});
        api(&self.world, "POST", "/accounts/acme/robots/ci/rules", merge(rule, changes)).await
    }

    fn github(&self, changes: Value) -> Credentials {
        robot(&self.key.token(&merge(github(&self.stage.url), changes)))
    }

    async fn is_refused(&self, by: &Credentials, why: &str) {
        let answer = self.world.get("/token?service=hallmark").by(by).await;
        assert_eq!(answer.visible(), self.refused, "{why}");
    }
}

fn robot(token: &str) -> Credentials {
    Credentials::basic("acme+ci", token)
}

fn repository() -> Value {
    json!({"repository_id": "74"})
}

#[tokio::test]
async fn workloads_of_each_kind_pull_and_push_as_their_robot() {
    type Shape = fn(&str) -> Value;
    let shapes: [(Shape, Value); 3] = [
        (github, json!({"repository_id": "74", "ref": "refs/heads/main"})),
        (gitlab, json!({"project_id": "20", "ref": "main"})),
        (kubernetes, json!({"/kubernetes.io/namespace": "builds", "/kubernetes.io/serviceaccount/name": "pusher"})),
    ];
    for (shape, claims) in shapes {
        let trusted = Trusted::open(claims.clone()).await;
        let world = &trusted.world;
        let by = robot(&trusted.key.token(&shape(&trusted.stage.url)));
        let scope = "repository:acme/app:pull,push";
        let answer = world.get(&format!("/token?service=hallmark&scope={scope}")).by(&by).await.expect(200).json();
        assert_eq!(answer["scope"], scope, "{claims}");
        let bearer = Credentials::bearer(answer["token"].as_str().unwrap());
        let digest = world.image(&bearer, "acme/app", "1", "layer").await;
        world.get(&format!("/v2/acme/app/manifests/{digest}")).by(&bearer).await.expect(200);
        // A client asks for each scope anew, with the same token.
        assert_eq!(granted(world, &by).await, scope);
        let elsewhere = world.get("/token?service=hallmark&scope=repository:ann/app:pull").by(&by).await.expect(200);
        assert_eq!(elsewhere.json()["scope"], "", "the robot's rights and no more");
    }
}

#[tokio::test]
async fn a_token_that_is_not_the_workloads_is_refused_like_a_wrong_password() {
    let trusted = Trusted::open(json!({"repository_id": "74", "ref": "refs/heads/main"})).await;
    let stranger = Signer::new("RS256", "one");
    let claims = github(&trusted.stage.url);
    for (why, changes) in [
        ("another repository", json!({"repository_id": "75"})),
        ("an id that begins like it", json!({"repository_id": "741"})),
        ("a missing claim", json!({"repository_id": null})),
        ("another branch", json!({"ref": "refs/heads/other"})),
        ("another audience", json!({"aud": "https://other.example"})),
        ("several audiences, of which one is not ours", json!({"aud": [AUDIENCE, "https://other.example"]})),
        ("another issuer", json!({"iss": "https://issuer.example"})),
        ("an issuer with a slash more", json!({"iss": format!("{}/", trusted.stage.url)})),
        ("expired", json!({"exp": BEGINNING - 61, "iat": BEGINNING - 900})),
        ("of the future", json!({"nbf": BEGINNING + 120})),
        ("a pull request", json!({"event_name": "pull_request"})),
        ("a pull request of a fork that runs here", json!({"event_name": "pull_request_target"})),
        ("a fork", json!({"repository": "eve/web", "repository_id": "666", "repository_owner": "eve"})),
    ] {
        trusted.is_refused(&trusted.github(changes), why).await;
    }
    trusted.is_refused(&robot(&stranger.token(&claims)), "another key under the id").await;
    let token = trusted.key.token(&claims);
    trusted.is_refused(&Credentials::basic("acme+cd", &token), "no such robot").await;
    trusted.is_refused(&Credentials::basic("ann", &token), "no robot").await;
    trusted.is_refused(&robot(&token[..token.len() - 4]), "a cut signature").await;
    assert_eq!(granted(&trusted.world, &robot(&token)).await, "repository:acme/app:pull,push");
}

#[tokio::test]
async fn a_pull_request_is_let_in_by_a_rule_that_names_it() {
    let trusted = Trusted::open(json!({"repository_id": "74", "event_name": "pull_request"})).await;
    let by = trusted.github(json!({"event_name": "pull_request"}));
    assert_eq!(granted(&trusted.world, &by).await, "repository:acme/app:pull,push");
}

#[tokio::test]
async fn a_token_shown_from_another_address_is_refused() {
    let trusted = Trusted::open(repository()).await;
    let by = trusted.github(json!({}));
    granted(&trusted.world, &by).await;
    let stolen = trusted.world.get("/token?service=hallmark").by(&by).sent_from([198, 51, 100, 9]).await;
    assert_eq!(stolen.visible(), trusted.refused);
    granted(&trusted.world, &by).await;
    let another = trusted.github(json!({"jti": "two"}));
    let from = trusted.world.get("/token?service=hallmark").by(&another).sent_from([198, 51, 100, 9]).await;
    from.expect(200);
}

#[tokio::test]
async fn one_of_two_who_show_a_token_at_once_is_the_first() {
    let trusted = Trusted::open(repository()).await;
    let by = trusted.github(json!({}));
    let show = |last| trusted.world.get("/token?service=hallmark").by(&by).sent_from([198, 51, 100, last]);
    let answers = futures_util::future::join_all((1..=8).map(|last| show(last).into_future())).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
}

#[tokio::test]
async fn pods_of_a_cluster_may_move_where_the_settings_say_so() {
    let key = Signer::new("ES256", "one");
    let stage = Stage::open(&[&key]).await;
    let world = World::with(|config| trust(config, &stage, false)).await;
    acme(&world).await;
    let rule = json!({
        "issuer": stage.url, "audience": AUDIENCE, "claims": {"sub": "system:serviceaccount:builds:pusher"},
    });
    api(&world, "POST", "/accounts/acme/robots/ci/rules", rule).await.expect(201);
    let by = robot(&key.token(&kubernetes(&stage.url)));
    for last in [1, 2] {
        world.get("/token?service=hallmark").by(&by).sent_from([192, 0, 2, last]).await.expect(200);
    }
}

#[tokio::test]
async fn a_rule_without_an_audience_or_of_an_unknown_issuer_is_not_made() {
    let trusted = Trusted::open(repository()).await;
    for (field, changes) in [
        ("audience", json!({"audience": "https://other.example"})),
        ("issuer", json!({"issuer": "https://issuer.example"})),
        ("issuer", json!({"issuer": format!("{}/", trusted.stage.url)})),
        ("claims", json!({"claims": {}})),
        ("claims", json!({"claims": {"repository": "*"}})),
        ("claims", json!({"audience": ""})),
        ("claims", json!({"audience": " "})),
    ] {
        let refused = trusted.rule(changes.clone()).await.expect(400).json();
        assert_eq!(refused["errors"][0]["detail"]["field"], field, "{changes}");
    }
    trusted.rule(json!({"audience": null})).await.expect(400);
    assert_eq!(trusted.world.look("SELECT COUNT(*) FROM workload_rules").await, ["1"]);
}

#[tokio::test]
async fn a_robot_without_its_rule_takes_no_token_any_more() {
    let trusted = Trusted::open(repository()).await;
    let by = trusted.github(json!({}));
    granted(&trusted.world, &by).await;
    let id = trusted.world.look("SELECT id FROM workload_rules").await.remove(0);
    api(&trusted.world, "DELETE", &format!("/accounts/acme/robots/ci/rules/{id}"), json!({})).await.expect(204);
    trusted.is_refused(&by, "no rule").await;
}

#[tokio::test]
async fn keys_of_an_issuer_rotate() {
    let trusted = Trusted::open(repository()).await;
    granted(&trusted.world, &trusted.github(json!({}))).await;
    let next = Signer::new("ES256", "two");
    let by = robot(&next.token(&merge(github(&trusted.stage.url), json!({"jti": "two"}))));
    trusted.is_refused(&by, "a key that nobody published").await;
    trusted.stage.publish(&[&next]);
    trusted.world.pass(31);
    granted(&trusted.world, &by).await;
    trusted.is_refused(&trusted.github(json!({"jti": "three"})), "a key that was withdrawn").await;
}

#[tokio::test]
async fn an_issuer_that_is_away_is_told_and_keeps_no_secret_out() {
    let trusted = Trusted::open(repository()).await;
    let made = api(&trusted.world, "POST", "/accounts/acme/robots/ci/secrets", json!({})).await.expect(201).json();
    for path in [DISCOVERY, JWKS] {
        trusted.stage.set(path, Script::Status(500));
    }
    let answer = trusted.world.get("/token?service=hallmark").by(&trusted.github(json!({}))).await;
    assert_snapshot!(answer, @r#"
    503 Service Unavailable
    content-length: 145
    content-type: application/json
    retry-after: 5

    {"errors":[{"code":"UNAVAILABLE","detail":{"request_id":"{request}"},"message":"the issuer of this token does not answer; try again shortly"}]}
    "#);
    assert_eq!(
        granted(&trusted.world, &robot(made["secret"].as_str().unwrap())).await,
        "repository:acme/app:pull,push"
    );
    assert_eq!(trusted.world.look("SELECT COUNT(*) FROM shown_tokens").await, ["0"]);
}

/// What `docker login` asks for: it would hold for a month, from anywhere, where the job's token ends in minutes.
#[tokio::test]
async fn a_workload_gets_no_refresh_token() {
    let trusted = Trusted::open(repository()).await;
    let token = trusted.key.token(&github(&trusted.stage.url));
    let path = "/token?service=hallmark&offline_token=true";
    let answer = trusted.world.get(path).by(&robot(&token)).await.expect(200).json();
    assert_eq!(answer["refresh_token"], json!(null));
    let fields = [
        ("grant_type", "password"),
        ("service", "hallmark"),
        ("username", "acme+ci"),
        ("password", &token),
        ("access_type", "offline"),
    ];
    let answer = trusted.world.post("/token").body(super::form(&fields)).await.expect(200).json();
    assert_eq!(answer["refresh_token"], json!(null));
    assert_eq!(trusted.world.look("SELECT COUNT(*) FROM credentials").await, ["0"]);
}
