//! Signing in, and every way of having somebody else's sign-in finished (threat 18).

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    Authentication, ClientSecret, ClientSettings, PATIENCE, Pending, Person, RANDOM_BYTES, SignIn, SignInRefused,
};
use crate::auth::oidc::tests::stage::{Answer, NOW, SECONDS, Signer, Stage, merge};
use crate::auth::oidc::{ClaimsRefused, IssuerSettings, Names, Network, Refused};

const CLIENT: &str = "registry";
const CALLBACK: &str = "https://registry.example/auth/callback";

fn client() -> ClientSettings {
    ClientSettings {
        client_id: CLIENT.to_owned(),
        client_secret: Some(ClientSecret::new("s: +%".to_owned())),
        authentication: Authentication::Basic,
        scopes: vec!["profile".to_owned(), "email".to_owned()],
        groups_claim: Some("groups".parse().unwrap()),
    }
}

fn sign_in(stage: &Stage, client: ClientSettings) -> SignIn {
    SignIn::open(stage.settings(), client, &Network::default()).unwrap()
}

/// A sign-in that has begun: the parameters that the browser carries, and what is kept.
async fn begin(sign_in: &SignIn, random: u8) -> (HashMap<String, String>, Pending) {
    let (url, pending) = sign_in.begin(CALLBACK, &[random; RANDOM_BYTES], NOW).await.unwrap();
    (url.query_pairs().into_owned().collect(), pending)
}

/// Claims of an ID token for a sign-in, with some replaced.
fn id_claims(stage: &Stage, asked: &HashMap<String, String>, changes: Value) -> Value {
    let claims = json!({
        "iss": stage.url, "sub": "7f1c2d", "aud": CLIENT, "nonce": asked["nonce"], "iat": SECONDS, "exp": SECONDS + 300,
        "name": "Ann Example", "preferred_username": "ann", "email": "ann@example.com", "groups": ["engineering"],
    });
    merge(claims, changes)
}

fn give(stage: &Stage, token: &str) {
    stage.set("/token", Answer::Json(json!({"access_token": "a", "token_type": "Bearer", "id_token": token})));
}

fn query(parameters: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

/// An issuer, its key, and the registry as its client.
struct Scene {
    stage: Stage,
    key: Signer,
    sign_in: SignIn,
}

async fn scene() -> Scene {
    let key = Signer::new("ES256", "key");
    let stage = Stage::open(&[&key]).await;
    let sign_in = sign_in(&stage, client());
    Scene { stage, key, sign_in }
}

impl Scene {
    /// A whole sign-in, at whose end the token has these claims replaced.
    async fn finish_with(&self, changes: Value) -> Result<Person, SignInRefused> {
        let (asked, pending) = begin(&self.sign_in, 1).await;
        give(&self.stage, &self.key.token(&id_claims(&self.stage, &asked, changes)));
        self.sign_in.finish(pending, &query(&[("code", "c"), ("state", &asked["state"])]), NOW).await
    }
}

#[tokio::test]
async fn a_person_signs_in() {
    let scene = scene().await;
    let person = scene.finish_with(json!({})).await.unwrap();
    assert_eq!((&*person.subject, person.name.as_deref()), ("7f1c2d", Some("Ann Example")));
    assert_eq!((person.preferred_username.as_deref(), person.email.as_deref()), (Some("ann"), Some("ann@example.com")));
    assert_eq!(person.groups.unwrap(), ["engineering"]);
}

#[tokio::test]
async fn the_browser_is_sent_with_state_nonce_and_challenge() {
    let stage = Stage::open(&[]).await;
    stage.describe(json!({"authorization_endpoint": format!("{}/authorize?tenant=a", stage.url)}));
    let (url, _) = sign_in(&stage, client()).begin(CALLBACK, &[7; RANDOM_BYTES], NOW).await.unwrap();
    let asked: HashMap<_, _> = url.query_pairs().into_owned().collect();
    let expected = [
        ("tenant", "a"),
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", CALLBACK),
        ("scope", "openid profile email"),
        ("code_challenge_method", "S256"),
        ("state", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"),
    ];
    for (name, value) in expected {
        assert_eq!(asked[name], value, "{name}");
    }
    assert_eq!(asked.len(), expected.len() + 2);
    let mut random = [0; RANDOM_BYTES];
    random.iter_mut().zip(0..).for_each(|(byte, place)| *byte = place);
    let (url, pending) = sign_in(&stage, client()).begin(CALLBACK, &random, NOW).await.unwrap();
    let secrets = [&pending.state, &pending.nonce, &pending.verifier];
    assert!(secrets.iter().all(|secret| secret.len() == 43) && secrets[0] != secrets[1] && secrets[1] != secrets[2]);
    assert!(!url.as_str().contains(&pending.verifier));
    let printed = format!("{pending:?} {:?}", client());
    assert!(secrets.iter().all(|secret| !printed.contains(*secret)) && !printed.contains("s: +%"), "{printed}");
}

#[tokio::test]
async fn the_secret_is_shown_as_the_issuer_wants_it() {
    let key = Signer::new("ES256", "key");
    let secret = Some(ClientSecret::new("s: +%".to_owned()));
    for (authentication, client_secret) in
        [(Authentication::Basic, secret.clone()), (Authentication::Post, secret), (Authentication::Basic, None)]
    {
        let stage = Stage::open(&[&key]).await;
        let sign_in =
            sign_in(&stage, ClientSettings { authentication, client_secret: client_secret.clone(), ..client() });
        let (asked, pending) = begin(&sign_in, 1).await;
        give(&stage, &key.token(&id_claims(&stage, &asked, json!({}))));
        let verifier = pending.verifier.clone();
        sign_in.finish(pending, &query(&[("code", "c ode"), ("state", &asked["state"])]), NOW).await.unwrap();
        let posted = stage.posted().pop().unwrap();
        for (name, value) in [
            ("grant_type", "authorization_code"),
            ("code", "c ode"),
            ("redirect_uri", CALLBACK),
            ("code_verifier", &verifier),
        ] {
            assert_eq!(posted.form[name], value, "{name}");
        }
        let in_form =
            (posted.form.get("client_id").map(String::as_str), posted.form.get("client_secret").map(String::as_str));
        match (authentication, client_secret) {
            (Authentication::Basic, Some(_)) => {
                // "registry:s%3A+%2B%25", as RFC 6749 section 2.3.1 encodes both halves.
                assert_eq!(posted.authorization.as_deref(), Some("Basic cmVnaXN0cnk6cyUzQSslMkIlMjU="));
                assert_eq!(in_form, (None, None));
            }
            (Authentication::Post, Some(_)) => assert_eq!(in_form, (Some(CLIENT), Some("s: +%"))),
            (_, None) => assert_eq!((posted.authorization, in_form), (None, (Some(CLIENT), None))),
        }
    }
}

/// Nothing is exchanged for an answer that does not belong to the sign-in.
async fn unanswered(
    describe: Value,
    answers: impl Fn(&Stage, &str) -> Vec<(Vec<(&'static str, String)>, &'static str)>,
) {
    let key = Signer::new("ES256", "key");
    let stage = Stage::open(&[&key]).await;
    stage.describe(describe);
    let sign_in = sign_in(&stage, client());
    let (asked, pending) = begin(&sign_in, 1).await;
    give(&stage, &key.token(&id_claims(&stage, &asked, json!({}))));
    for (parameters, expected) in answers(&stage, &asked["state"]) {
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let refused = sign_in.finish(pending.clone(), &query(&parameters), NOW).await.unwrap_err();
        assert!(format!("{refused:?}").starts_with(expected), "{parameters:?}: {refused:?}");
    }
    assert!(stage.posted().is_empty(), "no code was shown to anybody");
}

#[tokio::test]
async fn an_answer_with_another_state_is_not_ours() {
    unanswered(json!({}), |_, state| {
        let code = || ("code", "c".to_owned());
        let with = |state: &str| vec![code(), ("state", state.to_owned())];
        vec![
            (vec![code()], "Answer"),
            (with(""), "Answer"),
            (with(&state[1..]), "Answer"),
            (with(&format!("{state}=")), "Answer"),
            (with(&state.to_ascii_lowercase()), "Answer"),
            (vec![code(), ("state", state.to_owned()), ("state", state.to_owned())], "Answer"),
            (vec![code(), code(), ("state", state.to_owned())], "Answer"),
            (vec![("state", state.to_owned())], "Answer"),
            (vec![("state", state.to_owned()), ("code", String::new())], "Answer"),
            (vec![code(), ("error", "access_denied".to_owned()), ("state", state.to_owned())], "Answer"),
            (vec![("error", "access_denied".to_owned())], "Answer"),
            (
                vec![("error", "access_denied\u{1b}[31m".to_owned()), ("state", state.to_owned())],
                "Denied(\"access_denied[31m\")",
            ),
            (vec![code(), ("state", state.to_owned()), ("x", "y".repeat(9000))], "Answer"),
        ]
    })
    .await;
}

/// RFC 9207: another issuer's answer, brought to this sign-in, would give its code to us and ours to it.
#[tokio::test]
async fn an_answer_of_another_issuer_is_refused() {
    let answer = |iss: Option<String>, state: &str| {
        let mut answer = vec![("code", "c".to_owned()), ("state", state.to_owned())];
        answer.extend(iss.map(|iss| ("iss", iss)));
        answer
    };
    let wrong = |stage: &Stage, state: &str| {
        let issuers = ["https://evil.example".to_owned(), format!("{}/", stage.url), String::new()];
        issuers.map(|iss| (answer(Some(iss), state), "OtherIssuer")).to_vec()
    };
    unanswered(json!({}), wrong).await;
    let promised = json!({"authorization_response_iss_parameter_supported": true});
    unanswered(promised, |stage, state| {
        let twice = [answer(Some(stage.url.clone()), state), vec![("iss", stage.url.clone())]].concat();
        [wrong(stage, state), vec![(answer(None, state), "OtherIssuer"), (twice, "Answer")]].concat()
    })
    .await;
}

#[tokio::test]
async fn a_promised_issuer_is_accepted_when_it_is_the_right_one() {
    let key = Signer::new("ES256", "key");
    let stage = Stage::open(&[&key]).await;
    stage.describe(json!({"authorization_response_iss_parameter_supported": true}));
    let sign_in = sign_in(&stage, client());
    let (asked, pending) = begin(&sign_in, 1).await;
    give(&stage, &key.token(&id_claims(&stage, &asked, json!({}))));
    let answer = query(&[("code", "c"), ("state", &asked["state"]), ("iss", &stage.url)]);
    sign_in.finish(pending, &answer, NOW).await.unwrap();
}

#[tokio::test]
async fn a_sign_in_of_one_issuer_is_not_finished_with_another() {
    let key = Signer::new("ES256", "key");
    let (one, other) = (Stage::open(&[&key]).await, Stage::open(&[&key]).await);
    let (asked, pending) = begin(&sign_in(&one, client()), 1).await;
    give(&other, &key.token(&id_claims(&other, &asked, json!({}))));
    let answer = query(&[("code", "c"), ("state", &asked["state"])]);
    let refused = sign_in(&other, client()).finish(pending, &answer, NOW).await;
    assert!(matches!(refused, Err(SignInRefused::OtherIssuer)), "{refused:?}");
    assert!(other.posted().is_empty());
}

#[tokio::test]
async fn a_token_of_another_sign_in_is_refused() {
    let scene = scene().await;
    for nonce in [json!(null), json!(""), json!("x"), json!(["x"]), json!(1)] {
        let refused = scene.finish_with(json!({ "nonce": nonce })).await;
        assert!(matches!(refused, Err(SignInRefused::Nonce)), "{nonce}: {refused:?}");
    }
    let Scene { stage, key, sign_in } = scene;
    let ((victims, _), (own, pending)) = (begin(&sign_in, 1).await, begin(&sign_in, 2).await);
    give(&stage, &key.token(&id_claims(&stage, &victims, json!({}))));
    let refused = sign_in.finish(pending, &query(&[("code", "c"), ("state", &own["state"])]), NOW).await;
    assert!(matches!(refused, Err(SignInRefused::Nonce)), "{refused:?}");
}

#[tokio::test]
async fn a_token_for_another_client_is_refused() {
    let scene = scene().await;
    for aud in [json!("other"), json!([CLIENT, "other"]), json!(null), json!("https://registry.example")] {
        let refused = scene.finish_with(json!({ "aud": aud })).await;
        let token = matches!(refused, Err(SignInRefused::Provider(Refused::Claims(ClaimsRefused::Audience))));
        assert!(token, "{aud}: {refused:?}");
    }
    for (aud, azp) in
        [(json!(CLIENT), json!("other")), (json!([CLIENT]), json!(1)), (json!([CLIENT, CLIENT]), json!(null))]
    {
        let refused = scene.finish_with(json!({ "aud": aud, "azp": azp })).await;
        assert!(matches!(refused, Err(SignInRefused::AuthorizedParty)), "{azp}: {refused:?}");
    }
    scene.finish_with(json!({"azp": CLIENT, "aud": [CLIENT]})).await.unwrap();
    let expired = scene.finish_with(json!({"iat": SECONDS - 500, "exp": SECONDS - 100})).await;
    assert!(matches!(expired, Err(SignInRefused::Provider(Refused::Claims(ClaimsRefused::Expired)))), "{expired:?}");
}

#[tokio::test]
async fn groups_are_listed_or_refused() {
    let scene = scene().await;
    for (groups, expected) in [(json!("one"), vec!["one"]), (json!(["a", "b"]), vec!["a", "b"]), (json!([]), vec![])] {
        assert_eq!(scene.finish_with(json!({ "groups": groups })).await.unwrap().groups.unwrap(), expected);
    }
    assert_eq!(scene.finish_with(json!({ "groups": null })).await.unwrap().groups, None, "nothing is known of them");
    for groups in [json!(1), json!({"a": "b"}), json!(["a", 1])] {
        let refused = scene.finish_with(json!({ "groups": groups })).await;
        assert!(matches!(refused, Err(SignInRefused::Groups(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_token_endpoint_that_gives_no_token_is_told() {
    let key = Signer::new("ES256", "key");
    let stage = Stage::open(&[&key]).await;
    let sign_in = sign_in(&stage, client());
    let (asked, pending) = begin(&sign_in, 1).await;
    let answer = query(&[("code", "c"), ("state", &asked["state"])]);
    for (given, expected) in [
        (Answer::Json(json!({"error": "invalid_grant"})), "invalid_grant (status 200)"),
        (Answer::Status(400), "no_id_token (status 400)"),
        (Answer::Json(json!({"id_token": 1})), "no_id_token (status 200)"),
        (Answer::Text("<html>".to_owned()), "no_id_token (status 200)"),
    ] {
        stage.set("/token", given);
        let refused = sign_in.finish(pending.clone(), &answer, NOW).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("the issuer gave no token: {expected}"));
    }
    stage.set("/token", Answer::Redirect("https://evil.example/token".to_owned()));
    let refused = sign_in.finish(pending, &answer, NOW).await;
    assert!(matches!(refused, Err(SignInRefused::Fetch(_))), "{refused:?}");
}

#[tokio::test]
async fn nobody_signs_in_with_an_issuer_that_has_no_place_for_it() {
    let stage = Stage::open(&[]).await;
    stage.set("/.well-known/openid-configuration", Answer::Json(json!({"issuer": stage.url})));
    let refused = sign_in(&stage, client()).begin(CALLBACK, &[0; RANDOM_BYTES], NOW).await;
    assert!(matches!(refused, Err(SignInRefused::Lacks("authorization_endpoint"))), "{refused:?}");
    let away = IssuerSettings { issuer: "https://issuer.example".to_owned(), ..IssuerSettings::default() };
    let nowhere = Network { names: Names::Fixed(std::sync::Arc::default()), ..Network::default() };
    let refused = SignIn::open(away, client(), &nowhere).unwrap().begin(CALLBACK, &[0; RANDOM_BYTES], NOW).await;
    assert!(matches!(refused, Err(SignInRefused::Provider(Refused::Unavailable(Some(_))))), "{refused:?}");
}

#[tokio::test]
async fn a_sign_in_ends() {
    let key = Signer::new("ES256", "key");
    let stage = Stage::open(&[&key]).await;
    let sign_in = sign_in(&stage, client());
    let (asked, pending) = begin(&sign_in, 1).await;
    let answer = query(&[("code", "c"), ("state", &asked["state"])]);
    for now in [NOW + PATIENCE, NOW - PATIENCE, i64::MAX] {
        let refused = sign_in.finish(pending.clone(), &answer, now).await;
        assert!(matches!(refused, Err(SignInRefused::Late)), "{refused:?}");
    }
    assert!(stage.posted().is_empty());
}

#[tokio::test]
async fn a_sign_in_can_be_written_down() {
    let stage = Stage::open(&[]).await;
    let (_, pending) = begin(&sign_in(&stage, client()), 1).await;
    let written = serde_json::to_string(&pending).unwrap();
    let read: Pending = serde_json::from_str(&written).unwrap();
    assert_eq!((read.state, read.nonce, read.verifier), (pending.state, pending.nonce, pending.verifier));
}

#[test]
fn settings_of_a_client_are_read_strictly() {
    let text =
        json!({"client_id": "a", "client_secret": "b", "authentication": "post", "groups_claim": "/realm/groups"});
    let read: ClientSettings = serde_json::from_value(text.clone()).unwrap();
    assert_eq!((read.authentication, read.groups_claim.unwrap().as_str()), (Authentication::Post, "/realm/groups"));
    assert!(serde_json::from_value::<ClientSettings>(merge(text, json!({"secret": "b"}))).is_err());
}
