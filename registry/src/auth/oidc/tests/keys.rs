//! How keys are learned, kept and forgotten.

use std::sync::Arc;

use serde_json::{Value, json};

use super::stage::{Answer, DISCOVERY, JWKS, NOW, Signer, Stage, merge, provider};
use crate::auth::oidc::cached::{BETWEEN, FRESH, KEPT};
use crate::auth::oidc::jwk::KeySet;
use crate::auth::oidc::{IssuerSettings, KeySetInvalid, Provider, ProviderError, Refused};

/// A token that holds at `now`.
fn token(stage: &Stage, key: &Signer, now: i64) -> String {
    let seconds = now / 1000;
    key.token(&stage.claims(json!({"iat": seconds, "nbf": seconds, "exp": seconds + 300})))
}

async fn accepts(provider: &Provider, stage: &Stage, key: &Signer, now: i64) -> bool {
    match provider.verify(&token(stage, key, now), now).await {
        Ok(_) => true,
        Err(Refused::UnknownKey | Refused::Signature | Refused::Unavailable(_)) => false,
        Err(other) => panic!("{other:?}"),
    }
}

#[track_caller]
fn unavailable(refused: Result<impl std::fmt::Debug, Refused>) -> Arc<ProviderError> {
    match refused {
        Err(Refused::Unavailable(Some(cause))) => cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_new_key_is_learned_when_it_is_shown_and_an_old_one_is_dropped() {
    let (first, second) = (Signer::new("ES256", "first"), Signer::new("ES256", "second"));
    let stage = Stage::open(&[&first]).await;
    let provider = stage.provider();
    assert!(accepts(&provider, &stage, &first, NOW).await);
    stage.publish(&[&second]);
    assert!(!accepts(&provider, &stage, &second, NOW + BETWEEN - 1).await, "not so soon");
    assert!(accepts(&provider, &stage, &first, NOW + BETWEEN - 1).await);
    assert!(accepts(&provider, &stage, &second, NOW + BETWEEN).await);
    assert!(!accepts(&provider, &stage, &first, NOW + BETWEEN).await);
}

#[tokio::test]
async fn keys_are_fetched_again_when_they_are_old() {
    let key = Signer::new("ES256", "first");
    let stage = Stage::open(&[&key]).await;
    let provider = stage.provider();
    assert!(accepts(&provider, &stage, &key, NOW).await);
    assert!(accepts(&provider, &stage, &key, NOW + FRESH - 1).await);
    assert_eq!(stage.asked(), 2);
    stage.publish(&[&Signer::new("ES256", "second")]);
    assert!(!accepts(&provider, &stage, &key, NOW + FRESH).await, "a key that was revoked is not used once more");
    assert_eq!(stage.asked(), 4);
}

#[tokio::test]
async fn unknown_key_ids_cannot_make_the_registry_ask_often() {
    let (key, unknown) = (Signer::new("ES256", "known"), Signer::new("ES256", "unknown"));
    let stage = Stage::open(&[&key]).await;
    let provider = stage.provider();
    for round in 0..3 {
        let now = NOW + round * BETWEEN;
        let shown: Vec<_> = (0..50).map(|_| token(&stage, &unknown, now)).collect();
        let refused = shown.iter().map(|token| provider.verify(token, now));
        for refused in futures_join(refused).await {
            assert!(matches!(refused, Err(Refused::UnknownKey)), "{refused:?}");
        }
        assert_eq!(stage.asked(), usize::try_from(round).unwrap() * 2 + 2, "a description and a key set each time");
    }
}

/// Polls all futures together.
async fn futures_join<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Somebody who shows a token and hangs up must not keep the keys from being fetched.
#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_the_fetch() {
    let key = Signer::new("ES256", "key");
    let stage = Stage::open(&[&key]).await;
    let provider = stage.provider();
    let token = token(&stage, &key, NOW);
    {
        let mut verifying = Box::pin(provider.verify(&token, NOW));
        let first = std::future::poll_fn(|context| std::task::Poll::Ready(verifying.as_mut().poll(context))).await;
        assert!(first.is_pending());
    }
    provider.verify(&token, NOW).await.unwrap();
    assert_eq!(stage.asked(), 2);
}

#[tokio::test]
async fn known_keys_serve_while_the_issuer_is_away_but_not_for_ever() {
    let key = Signer::new("ES256", "key");
    let stage = Stage::open(&[&key]).await;
    let provider = stage.provider();
    assert!(accepts(&provider, &stage, &key, NOW).await);
    stage.set(DISCOVERY, Answer::Status(503));
    assert!(accepts(&provider, &stage, &key, NOW + FRESH).await);
    let later = NOW + KEPT;
    assert!(accepts(&provider, &stage, &key, later - BETWEEN).await);
    let cause = unavailable(provider.verify(&token(&stage, &key, later), later).await);
    assert_eq!(cause.to_string(), format!("{}{DISCOVERY} answers 503", stage.url));
    stage.describe(json!({}));
    assert!(!accepts(&provider, &stage, &key, later + BETWEEN - 1).await);
    assert!(accepts(&provider, &stage, &key, later + BETWEEN).await);
}

#[tokio::test]
async fn a_clock_that_was_set_back_stops_nobody() {
    let (key, next) = (Signer::new("ES256", "key"), Signer::new("ES256", "next"));
    let stage = Stage::open(&[&key]).await;
    let provider = stage.provider();
    assert!(accepts(&provider, &stage, &key, NOW).await);
    stage.publish(&[&next]);
    assert!(accepts(&provider, &stage, &next, NOW - 3_600_000).await);
}

/// Threat 19: after a rotation, whoever holds the place of the key set serves another key under an id that is trusted.
#[tokio::test]
async fn a_foreign_key_under_a_known_id_is_refused() {
    let (first, second) = (Signer::new("ES256", "first"), Signer::new("ES256", "second"));
    let foreign = Signer::new("ES256", "second");
    let stage = Stage::open(&[&first]).await;
    let provider = stage.provider();
    assert!(accepts(&provider, &stage, &first, NOW).await);
    stage.publish(&[&first, &second]);
    let rotated = NOW + BETWEEN;
    assert!(accepts(&provider, &stage, &second, rotated).await);
    stage.publish(&[&foreign]);
    for at in [rotated + 1, rotated + BETWEEN, rotated + FRESH, rotated + KEPT - 1] {
        assert!(!accepts(&provider, &stage, &foreign, at).await, "the foreign key at {at}");
        assert!(accepts(&provider, &stage, &second, at).await, "the true key at {at}");
    }
    let stranger = token(&stage, &Signer::new("ES256", "third"), rotated + 2 * FRESH);
    assert!(matches!(provider.verify(&stranger, rotated + 2 * FRESH).await, Err(Refused::UnknownKey)));
    provider.forget();
    assert!(accepts(&provider, &stage, &foreign, rotated + KEPT).await, "the operator said that it is meant");
}

#[tokio::test]
async fn a_pinned_key_set_is_the_only_place_asked() {
    let key = Signer::new("ES256", "key");
    let stage = Stage::open(&[&key]).await;
    stage.set(DISCOVERY, Answer::Silence);
    let pinned = IssuerSettings { jwks_uri: Some(format!("{}{JWKS}", stage.url)), ..stage.settings() };
    assert!(accepts(&provider(pinned), &stage, &key, NOW).await);
    assert_eq!(stage.asked(), 1);
}

#[tokio::test]
async fn a_description_must_be_of_the_very_issuer() {
    let key = Signer::new("ES256", "key");
    let stage = Stage::open(&[&key]).await;
    for issuer in [json!(format!("{}/", stage.url)), json!("https://evil.example"), json!(null), json!([stage.url])] {
        stage.describe(json!({ "issuer": issuer }));
        let cause = unavailable(stage.provider().verify(&token(&stage, &key, NOW), NOW).await);
        assert!(matches!(*cause, ProviderError::OtherIssuer), "{cause}");
    }
    let url = &stage.url;
    stage.set(DISCOVERY, Answer::Text(format!(r#"{{"issuer":"x","issuer":"{url}","jwks_uri":"{url}{JWKS}"}}"#)));
    let cause = unavailable(stage.provider().verify(&token(&stage, &key, NOW), NOW).await);
    assert!(matches!(*cause, ProviderError::Json(_)), "{cause}");
}

#[tokio::test]
async fn a_description_points_to_its_own_host_or_a_listed_one() {
    let (key, foreign) = (Signer::new("ES256", "key"), Signer::new("ES256", "key"));
    let (stage, other) = (Stage::open(&[&key]).await, Stage::open(&[&foreign]).await);
    for name in ["jwks_uri", "token_endpoint", "authorization_endpoint"] {
        stage.describe(json!({ name: format!("{}{JWKS}", other.url) }));
        let cause = unavailable(stage.provider().metadata(NOW).await);
        assert!(matches!(&*cause, ProviderError::Elsewhere { name: found, .. } if *found == name), "{cause}");
    }
    for place in
        ["ftp://127.0.0.1/jwks", "file:///etc/passwd", "http://169.254.169.254/jwks", "/jwks", "http://u:p@127.0.0.1/"]
    {
        stage.describe(json!({ "jwks_uri": place }));
        unavailable(stage.provider().verify(&token(&stage, &key, NOW), NOW).await);
    }
    assert_eq!(other.asked(), 0);
    stage.describe(json!({ "jwks_uri": format!("{}{JWKS}", other.url) }));
    let listed = vec![other.url.trim_start_matches("http://").to_owned()];
    let provider = provider(IssuerSettings { further_hosts: listed, ..stage.settings() });
    assert!(accepts(&provider, &stage, &foreign, NOW).await);
}

fn set(keys: &[Value]) -> Result<KeySet, KeySetInvalid> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

#[test]
fn keys_that_must_not_verify_are_left_out() {
    let good = Signer::new("ES256", "good").jwk();
    let (rsa, ed) = (Signer::new("RS256", "bad").jwk(), Signer::new("EdDSA", "bad").jwk());
    let ec = merge(good.clone(), json!({"kid": "bad"}));
    let weak = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, [0xff; 128]);
    let almost = base64::Engine::encode(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD,
        [vec![0x7f], vec![0xff; 255]].concat(),
    );
    let huge = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, vec![0xff; 1025]);
    for (key, change) in [
        (&ec, json!({"use": "enc"})),
        (&ec, json!({"use": ["sig"]})),
        (&ec, json!({"key_ops": ["sign"]})),
        (&ec, json!({"key_ops": "verify"})),
        (&ec, json!({"d": "AQAB"})),
        (&ec, json!({"kty": "oct", "k": "c2VjcmV0"})),
        (&ec, json!({"crv": "secp256k1"})),
        (&ec, json!({"crv": "P-521"})),
        (&ec, json!({"crv": "P-384"})),
        (&ec, json!({"alg": "RS256"})),
        (&ec, json!({"alg": "HS256"})),
        (&ec, json!({"alg": "none"})),
        (&ec, json!({"alg": 1})),
        (&ec, json!({"x": "AA"})),
        (&ec, json!({"x": null})),
        (&rsa, json!({"alg": "ES256"})),
        (&rsa, json!({"alg": "RS1"})),
        (&rsa, json!({ "n": weak })),
        (&rsa, json!({ "n": almost })),
        (&rsa, json!({ "n": huge })),
        (&rsa, json!({"n": ""})),
        (&ed, json!({"crv": "X25519"})),
        (&ed, json!({"x": "AA"})),
    ] {
        let set = set(&[good.clone(), merge(key.clone(), change.clone())]).unwrap();
        assert!(set.key("good").is_some() && set.key("bad").is_none(), "{change}");
    }
    for kid in [json!(null), json!(""), json!(7), json!("a\nb")] {
        let key = merge(ec.clone(), json!({ "kid": kid }));
        assert!(matches!(set(&[key]), Err(KeySetInvalid::Empty)), "{kid}");
    }
    assert!(set(&[merge(rsa, json!({"alg": null})), merge(ec, json!({"kid": "2", "alg": null}))]).is_ok());
}

#[test]
fn a_key_set_is_unambiguous_and_bounded() {
    let keys = [Signer::new("ES256", "one").jwk(), Signer::new("RS256", "one").jwk()];
    assert!(matches!(set(&keys), Err(KeySetInvalid::Twice(kid)) if kid == "one"));
    let many: Vec<_> = (0..65).map(|n| merge(keys[0].clone(), json!({"kid": n.to_string()}))).collect();
    assert!(set(&many[1..]).is_ok());
    assert!(matches!(set(&many), Err(KeySetInvalid::TooMany)));
    for shape in [r#"{"keys":{}}"#, r#"{"keys":[1]}"#, "{}", r#"{"Keys":[]}"#] {
        assert_eq!(KeySet::parse(shape.as_bytes()).err(), Some(KeySetInvalid::Shape), "{shape}");
    }
    assert_eq!(KeySet::parse(br#"{"keys":[]}"#).err(), Some(KeySetInvalid::Empty));
    assert!(matches!(KeySet::parse(br#"{"keys":[],"keys":[]}"#), Err(KeySetInvalid::Json(_))));
}
