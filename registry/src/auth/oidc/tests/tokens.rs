//! Forged, borrowed and stale tokens (threats 12 and 19).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::stage::{
    AUDIENCE, Answer, JWKS, NOW, SECONDS, Signer, Stage, github, gitlab, kubernetes, merge, signed_text,
};
use crate::auth::oidc::{ClaimsRefused, Issuers, JsonInvalid, Refused, TokenInvalid, Verified};

async fn stage() -> (Stage, Signer) {
    let key = Signer::new("ES256", "key-1");
    (Stage::open(&[&key]).await, key)
}

async fn verify(stage: &Stage, token: &str) -> Result<Verified, Refused> {
    stage.shared().verify(token, NOW).await
}

#[track_caller]
fn malformed(refused: Result<Verified, Refused>, expected: TokenInvalid) {
    match refused {
        Err(Refused::Malformed(why)) => assert_eq!(why, expected),
        other => panic!("{other:?}, not {expected:?}"),
    }
}

#[track_caller]
fn claims(refused: Result<Verified, Refused>, expected: ClaimsRefused) {
    match refused {
        Err(Refused::Claims(why)) => assert_eq!(why, expected),
        other => panic!("{other:?}, not {expected:?}"),
    }
}

#[tokio::test]
async fn tokens_of_all_algorithms_verify_with_the_key_of_their_kind() {
    let keys = ["RS256", "PS256", "ES256", "ES384", "EdDSA"].map(|algorithm| Signer::new(algorithm, algorithm));
    let stage = Stage::open(&keys.each_ref()).await;
    let provider = stage.provider();
    for key in &keys {
        let token = provider.verify(&key.token(&stage.claims(json!({}))), NOW).await.unwrap();
        assert_eq!((token.issuer(), token.subject()), (&*stage.url, "repo:acme/web:ref:refs/heads/main"));
        assert_eq!((token.jti(), token.replay_id()), (Some("one"), "one"));
        assert_eq!((token.expires_at(), token.audience()), (NOW + 300_000, &[AUDIENCE.to_owned()][..]));
    }
    assert_eq!(stage.asked(), 2, "one description and one key set for all of them");
}

#[tokio::test]
async fn tokens_in_the_shapes_of_real_issuers_verify() {
    let (stage, key) = stage().await;
    let issuers = Issuers::new(vec![stage.provider()]);
    for shape in [github(&stage.url), gitlab(&stage.url), kubernetes(&stage.url)] {
        let token = issuers.verify(&key.token(&shape), NOW).await.unwrap();
        assert_eq!(Value::Object(token.claims().clone()), shape);
    }
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let (stage, key) = stage().await;
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = key.header(json!({ "alg": alg })).to_string();
        let bare = format!("{}.", signed_text(&header, &stage.claims(json!({})).to_string()));
        malformed(verify(&stage, &bare).await, TokenInvalid::Algorithm);
        malformed(
            verify(&stage, &key.sign(&header, &stage.claims(json!({})).to_string())).await,
            TokenInvalid::Algorithm,
        );
    }
    let unsigned =
        format!("{}.", signed_text(&key.header(json!({})).to_string(), &stage.claims(json!({})).to_string()));
    assert!(matches!(verify(&stage, &unsigned).await, Err(Refused::Signature)));
    assert!(matches!(verify(&stage, unsigned.trim_end_matches('.')).await, Err(Refused::Malformed(_))));
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    for algorithm in ["ES256", "RS256"] {
        let key = Signer::new(algorithm, "key-1");
        let stage = Stage::open(&[&key]).await;
        let secrets = [key.public_bytes(), key.jwk().to_string().into_bytes(), pem(&key.public_bytes()), Vec::new()];
        for (secret, alg) in secrets.iter().flat_map(|secret| ["HS256", algorithm].map(|alg| (secret, alg))) {
            let signed =
                signed_text(&key.header(json!({"alg": alg})).to_string(), &stage.claims(json!({})).to_string());
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
            match verify(&stage, &token).await {
                Err(Refused::Malformed(TokenInvalid::Algorithm)) if alg == "HS256" => {}
                Err(Refused::Signature) if alg == algorithm => {}
                other => panic!("{alg}: {other:?}"),
            }
        }
    }
}

fn pem(bytes: &[u8]) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n").into_bytes()
}

#[tokio::test]
async fn the_algorithm_is_the_keys_and_not_the_tokens() {
    let (rsa, ec) = (Signer::new("RS256", "rsa"), Signer::new("ES256", "ec"));
    let stage = Stage::open(&[&rsa, &ec]).await;
    let claims = stage.claims(json!({})).to_string();
    for (signer, alg, kid) in [
        (&rsa, "PS256", "rsa"),
        (&rsa, "ES256", "rsa"),
        (&rsa, "RS256", "ec"),
        (&ec, "ES256", "rsa"),
        (&ec, "EdDSA", "ec"),
    ] {
        let token = signer.sign(&signer.header(json!({"alg": alg, "kid": kid})).to_string(), &claims);
        assert!(matches!(verify(&stage, &token).await, Err(Refused::Signature)), "{alg} {kid}");
    }
    // A genuine signature, but not of the algorithm that the key is published for.
    let pss = Signer::new("PS256", "rsa");
    for alg in [json!("RS256"), Value::Null] {
        let stage = Stage::open(&[]).await;
        stage.set(JWKS, Answer::Json(json!({"keys": [merge(pss.jwk(), json!({ "alg": alg }))]})));
        let refused = verify(&stage, &pss.token(&stage.claims(json!({})))).await;
        assert!(matches!(refused, Err(Refused::Signature)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_key_id_is_compared_and_used_for_nothing_else() {
    let (stage, key) = stage().await;
    let provider = stage.provider();
    let claims = stage.claims(json!({})).to_string();
    provider.verify(&key.token(&stage.claims(json!({}))), NOW).await.unwrap();
    let asked = stage.asked();
    for kid in ["../../../dev/null", "key-1' OR '1'='1", "key-1\u{202e}", "KEY-1", "key-1 ", "http://127.0.0.1/keys"] {
        let token = key.sign(&key.header(json!({ "kid": kid })).to_string(), &claims);
        assert!(matches!(provider.verify(&token, NOW).await, Err(Refused::UnknownKey)), "{kid}");
    }
    assert_eq!(stage.asked(), asked, "keys that were just fetched are not fetched again");
    for kid in [json!(""), json!("key-1\0"), json!(1), json!(["key-1"]), json!({}), json!("k".repeat(257)), Value::Null]
    {
        let token = key.sign(&key.header(json!({ "kid": kid })).to_string(), &claims);
        malformed(provider.verify(&token, NOW).await, TokenInvalid::KeyId);
    }
}

#[tokio::test]
async fn keys_in_a_header_are_ignored() {
    let (stage, key) = stage().await;
    let foreign = Signer::new("ES256", "key-1");
    let other = Stage::open(&[&foreign]).await;
    let claims = stage.claims(json!({})).to_string();
    let keys = json!({
        "jwk": foreign.jwk(), "jku": format!("{}/jwks", other.url), "x5u": format!("{}/x5u", other.url), "x5c": ["MIIB"],
    });
    let forged = foreign.sign(&foreign.header(keys.clone()).to_string(), &claims);
    assert!(matches!(verify(&stage, &forged).await, Err(Refused::Signature)));
    let honest = key.sign(&key.header(keys).to_string(), &claims);
    verify(&stage, &honest).await.unwrap();
    assert_eq!(other.asked(), 0);
}

#[tokio::test]
async fn what_a_header_demands_is_refused() {
    let (stage, key) = stage().await;
    let claims = stage.claims(json!({})).to_string();
    for crit in [json!(["exp"]), json!([]), json!("b64"), json!(["b64"])] {
        let token = key.sign(&key.header(json!({"crit": crit, "b64": false})).to_string(), &claims);
        malformed(verify(&stage, &token).await, TokenInvalid::Critical);
    }
    let null = r#"{"alg":"ES256","kid":"key-1","crit":null}"#;
    malformed(verify(&stage, &key.sign(null, &claims)).await, TokenInvalid::Critical);
    for typ in ["at+jwt", "logout+jwt", "JOSE", ""] {
        let token = key.sign(&key.header(json!({ "typ": typ })).to_string(), &claims);
        malformed(verify(&stage, &token).await, TokenInvalid::Type);
    }
}

#[tokio::test]
async fn a_text_with_two_meanings_is_refused() {
    let (stage, key) = stage().await;
    let claims = stage.claims(json!({})).to_string();
    let header = key.header(json!({})).to_string();
    let twice = claims.replacen('{', r#"{"sub":"repo:evil/web","#, 1);
    malformed(verify(&stage, &key.sign(&header, &twice)).await, TokenInvalid::Claims(JsonInvalid::DuplicateKey));
    let escaped = claims.replacen('{', r#"{"su\u0062":"repo:evil/web","#, 1);
    malformed(verify(&stage, &key.sign(&header, &escaped)).await, TokenInvalid::Claims(JsonInvalid::DuplicateKey));
    let two_algorithms = header.replacen('{', r#"{"alg":"none","#, 1);
    malformed(
        verify(&stage, &key.sign(&two_algorithms, &claims)).await,
        TokenInvalid::Header(JsonInvalid::DuplicateKey),
    );
    malformed(verify(&stage, &key.sign(&header, "[1]")).await, TokenInvalid::Claims(JsonInvalid::NotAnObject));
    malformed(
        verify(&stage, &key.sign(&header, &format!("{claims} x"))).await,
        TokenInvalid::Claims(JsonInvalid::Syntax),
    );
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    malformed(verify(&stage, &key.sign(&header, &deep)).await, TokenInvalid::Claims(JsonInvalid::TooMuch));
    let many = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(10_000));
    malformed(verify(&stage, &key.sign(&header, &many)).await, TokenInvalid::Claims(JsonInvalid::TooMuch));
}

#[tokio::test]
async fn a_token_has_one_spelling_and_a_bound() {
    let (stage, key) = stage().await;
    let token = key.token(&stage.claims(json!({})));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let padded = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    malformed(verify(&stage, &format!("{signed}.{padded}")).await, TokenInvalid::Base64);
    malformed(verify(&stage, &format!("{token}\n")).await, TokenInvalid::Base64);
    malformed(verify(&stage, &format!("{token}.x")).await, TokenInvalid::Base64);
    malformed(verify(&stage, signed.split_once('.').unwrap().0).await, TokenInvalid::Parts);
    malformed(verify(&stage, "").await, TokenInvalid::Parts);
    let long = key.token(&stage.claims(json!({"fill": "x".repeat(32 * 1024)})));
    malformed(verify(&stage, &long).await, TokenInvalid::TooLong);
}

#[tokio::test]
async fn a_token_is_for_this_registry_alone() {
    let (stage, key) = stage().await;
    for aud in [
        json!(null),
        json!("https://registry.example/"),
        json!("https://REGISTRY.example"),
        json!("https://other.example"),
        json!(""),
        json!([]),
        json!([AUDIENCE, "https://other.example"]),
        json!(["https://other.example", AUDIENCE]),
        json!([format!("{AUDIENCE},https://other.example")]),
        json!(format!("{AUDIENCE} https://other.example")),
    ] {
        claims(verify(&stage, &key.token(&stage.claims(json!({ "aud": aud })))).await, ClaimsRefused::Audience);
    }
    for aud in [json!(1), json!({ "a": AUDIENCE }), json!([[AUDIENCE]]), json!([AUDIENCE, 1]), json!([AUDIENCE, null])]
    {
        let token = key.token(&stage.claims(json!({ "aud": aud })));
        claims(verify(&stage, &token).await, ClaimsRefused::Malformed("aud"));
    }
    for aud in [json!([AUDIENCE]), json!([AUDIENCE, AUDIENCE])] {
        verify(&stage, &key.token(&stage.claims(json!({ "aud": aud })))).await.unwrap();
    }
}

#[tokio::test]
async fn an_issuer_has_one_spelling() {
    let (stage, key) = stage().await;
    let issuers = Issuers::new(vec![stage.provider()]);
    for iss in [
        json!(format!("{}/", stage.url)),
        json!(stage.url.replacen("http", "HTTP", 1)),
        json!(format!("{} ", stage.url)),
        json!(stage.url.replacen("127.0.0.1", "localhost", 1)),
        json!(format!("{}@evil.example", stage.url)),
        json!("https://evil.example"),
        json!(""),
    ] {
        let token = key.token(&stage.claims(json!({ "iss": iss })));
        claims(verify(&stage, &token).await, ClaimsRefused::Issuer);
        assert!(matches!(issuers.verify(&token, NOW).await, Err(Refused::UnknownIssuer)), "{iss}");
    }
    for iss in [json!([stage.url]), json!(1)] {
        claims(verify(&stage, &key.token(&stage.claims(json!({ "iss": iss })))).await, ClaimsRefused::Malformed("iss"));
    }
}

#[tokio::test]
async fn one_issuer_cannot_speak_for_another() {
    let (own, foreign) = (Signer::new("ES256", "key-1"), Signer::new("ES256", "key-2"));
    let (stage, other) = (Stage::open(&[&own]).await, Stage::open(&[&foreign]).await);
    let issuers = Issuers::new(vec![stage.provider(), other.provider()]);
    let as_stage = foreign.token(&stage.claims(json!({})));
    assert!(matches!(issuers.verify(&as_stage, NOW).await, Err(Refused::UnknownKey)));
    claims(other.provider().verify(&as_stage, NOW).await, ClaimsRefused::Issuer);
}

#[tokio::test]
async fn a_token_holds_in_its_time_give_or_take_a_minute() {
    let (stage, key) = stage().await;
    let provider = stage.provider();
    let refused = async |changes: Value, expected: ClaimsRefused| {
        claims(provider.verify(&key.token(&stage.claims(changes)), NOW).await, expected);
    };
    let accepted = async |changes: Value| provider.verify(&key.token(&stage.claims(changes)), NOW).await.unwrap();
    refused(json!({"exp": SECONDS - 60}), ClaimsRefused::Expired).await;
    accepted(json!({"exp": SECONDS - 59})).await;
    refused(json!({"nbf": SECONDS + 61}), ClaimsRefused::NotYet).await;
    accepted(json!({"nbf": SECONDS + 60})).await;
    accepted(json!({"nbf": null})).await;
    refused(json!({"nbf": null, "iat": SECONDS + 61}), ClaimsRefused::NotYet).await;
    refused(json!({"iat": SECONDS + 61}), ClaimsRefused::NotYet).await;
    accepted(json!({"iat": SECONDS + 60})).await;
    refused(json!({"exp": SECONDS + 86_401}), ClaimsRefused::TooLong).await;
    accepted(json!({"exp": SECONDS + 86_400})).await;
    refused(json!({"iat": SECONDS - 86_400, "exp": SECONDS + 300}), ClaimsRefused::TooLong).await;
    for name in ["exp", "iat", "nbf"] {
        for value in
            [json!("1800000000"), json!(1.8e9), json!(-1), json!(1_u64 << 63), json!(1_i64 << 40), json!([SECONDS])]
        {
            refused(json!({ name: value }), ClaimsRefused::Malformed(name)).await;
        }
    }
    refused(json!({"exp": null}), ClaimsRefused::Malformed("exp")).await;
    refused(json!({"iat": null}), ClaimsRefused::Malformed("iat")).await;
}

#[tokio::test]
async fn a_subject_is_one_text() {
    let (stage, key) = stage().await;
    for sub in [json!(null), json!(""), json!(["a"]), json!(1), json!("s".repeat(1025))] {
        claims(verify(&stage, &key.token(&stage.claims(json!({ "sub": sub })))).await, ClaimsRefused::Malformed("sub"));
    }
    claims(verify(&stage, &key.token(&stage.claims(json!({"jti": 1})))).await, ClaimsRefused::Malformed("jti"));
}

/// Two tokens of the same claims are two tokens only when their signed text differs; a second signature makes none.
#[tokio::test]
async fn a_token_without_an_id_is_known_again_by_what_was_signed() {
    let (stage, key) = stage().await;
    let claims = stage.claims(json!({"jti": null}));
    let (first, second) = (key.token(&claims), key.token(&claims));
    assert_ne!(first, second, "ECDSA signs with randomness");
    let (first, second) = (verify(&stage, &first).await.unwrap(), verify(&stage, &second).await.unwrap());
    assert_eq!((first.jti(), first.replay_id()), (None, second.replay_id()));
    let other = verify(&stage, &key.token(&stage.claims(json!({"jti": null, "x": 1})))).await.unwrap();
    assert_ne!(first.replay_id(), other.replay_id());
}

#[tokio::test]
async fn no_single_changed_character_verifies() {
    let (stage, key) = stage().await;
    let provider = stage.provider();
    let token = key.token(&stage.claims(json!({})));
    for place in 0..token.len() {
        let mut damaged = token.clone().into_bytes();
        damaged[place] = if damaged[place] == b'A' { b'B' } else { b'A' };
        let damaged = String::from_utf8(damaged).unwrap();
        assert!(provider.verify(&damaged, NOW).await.is_err(), "{place}");
    }
}

proptest! {
    /// Whatever is shown is answered, with a refusal.
    #[test]
    fn any_text_is_taken_apart_or_refused(header in ".{0,80}", claims in ".{0,80}", text in ".{0,200}") {
        drop(super::super::jwt::Compact::parse(&text));
        let token = format!("{}.AAAA", signed_text(&header, &claims));
        prop_assert!(super::super::jwt::Compact::parse(&token).is_err());
    }
}
