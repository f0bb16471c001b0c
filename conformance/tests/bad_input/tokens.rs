//! Tokens that are forged, expired, borrowed, or signed as nobody should sign.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hallmark_conformance::{
    Failure, Outcome,
    check::{holds, refused},
    failure::While,
    http::{Request, encode},
    server::{PASSWORD, Plan, Server},
};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::scene::{REPOSITORY, Scene};

/// Shifts a program's clock; Debian's package of this name brings it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

fn scope() -> String {
    format!("repository:{REPOSITORY}:pull,push")
}

/// The admin's token, without the word before it.
fn token(server: &Server) -> Outcome<String> {
    let value = server.admin().authorization(&[&scope()])?;
    Ok(value.trim_start_matches("Bearer ").to_owned())
}

/// Holds that a token opens nothing, that the refusal says why, and that nothing changed.
fn opens_nothing(scene: &Scene, token: &str) -> Outcome<()> {
    let before = scene.look()?;
    let verbs = [("GET", "manifests/1"), ("DELETE", "manifests/1"), ("POST", "blobs/uploads/")];
    for (method, rest) in verbs {
        let request = Request::new(method, format!("/v2/{REPOSITORY}/{rest}"));
        let answer = scene.server.anonymous();
        let answer = answer.send_plain(&request.header("Authorization", format!("Bearer {token}")))?;
        refused(&answer, &[401], &["UNAUTHORIZED"]).or_fail(format!("{method} {rest} with {token}"))?;
        let challenge = answer.required("www-authenticate")?;
        holds(challenge.starts_with("Bearer realm=\"") && challenge.contains("error=\"invalid_token\""), || {
            format!("the challenge does not say that the token is bad: {challenge}")
        })?;
    }
    scene.is_still(&before)
}

/// The parts of a compact token: header, claims, signature.
fn parts(token: &str) -> Outcome<[&str; 3]> {
    let parts: Vec<&str> = token.split('.').collect();
    <[&str; 3]>::try_from(parts).map_err(|_| Failure::new(format!("{token} has not three parts")))
}

fn decode(part: &str) -> Outcome<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(part).or_fail("a part of the token is not base64url")?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn encode_part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A key of a stranger, with its public half as a JWK.
#[expect(clippy::disallowed_methods, reason = "a stranger's key of this test alone")]
fn stranger() -> Outcome<(EcdsaKeyPair, Value)> {
    let random = SystemRandom::new();
    let broken = |_| Failure::new("no key could be made");
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).map_err(broken)?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
    let key = key.map_err(|_| Failure::new("the key cannot be read"))?;
    let point = key.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
    Ok((key, json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })))
}

#[expect(clippy::disallowed_methods, reason = "a stranger's key of this test alone")]
fn signed_by(key: &EcdsaKeyPair, header: &Value, claims: &str) -> Outcome<String> {
    let text = format!("{}.{claims}", encode_part(header));
    let signature = key.sign(&SystemRandom::new(), text.as_bytes());
    let signature = signature.map_err(|_| Failure::new("the stranger's key cannot sign"))?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
}

#[test]
fn a_token_whose_claims_or_signature_were_changed_opens_nothing() -> Outcome<()> {
    let scene = Scene::new()?;
    let good = token(&scene.server)?;
    let [header, claims, signature] = parts(&good)?;
    let mut more = decode(claims)?;
    more["exp"] = json!(4_000_000_000_u64);
    let mut raw = URL_SAFE_NO_PAD.decode(signature).or_fail("the signature is not base64url")?;
    raw[0] ^= 1;
    let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
    for forged in [
        format!("{header}.{}.{signature}", encode_part(&more)),
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(&raw)),
        format!("{header}.{claims}.{zeros}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        format!("{good}.x"),
        format!("{good}="),
        "x".to_owned(),
        "..".to_owned(),
        "a".repeat(16_000),
    ] {
        opens_nothing(&scene, &forged)?;
    }
    Ok(())
}

#[test]
fn a_token_signed_by_a_stranger_opens_nothing_wherever_its_key_is_told() -> Outcome<()> {
    let scene = Scene::new()?;
    let good = token(&scene.server)?;
    let [header, claims, _] = parts(&good)?;
    let header = decode(header)?;
    let (key, jwk) = stranger()?;
    for (name, value) in [
        ("kid", header["kid"].clone()),
        ("kid", json!("../../../../dev/null")),
        ("kid", json!("' OR 1=1 --")),
        ("kid", json!(7)),
        ("jwk", jwk),
        ("jku", json!("http://localhost:1/keys")),
        ("x5c", json!(["MII="])),
        ("crit", json!(["exp"])),
    ] {
        let mut forged = header.clone();
        forged[name] = value;
        opens_nothing(&scene, &signed_by(&key, &forged, claims)?)?;
    }
    Ok(())
}

#[test]
fn a_token_that_says_its_own_algorithm_opens_nothing() -> Outcome<()> {
    let scene = Scene::new()?;
    let good = token(&scene.server)?;
    let [header, claims, signature] = parts(&good)?;
    let keys = scene.server.anonymous().send_plain(&Request::new("GET", "/.well-known/jwks.json"))?;
    let keys = keys.expect(200)?;
    let jwk = keys.json()?["keys"][0].clone();
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap_or_default()).unwrap_or_default();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    // The public key is known to all: as a secret for HMAC it must not work, in whatever form it is taken.
    for secret in [point, keys.body.clone(), jwk.to_string().into_bytes(), Vec::new()] {
        let mut forged = decode(header)?;
        forged["alg"] = json!("HS256");
        let text = format!("{}.{claims}", encode_part(&forged));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), text.as_bytes());
        opens_nothing(&scene, &format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref())))?;
    }
    for algorithm in ["none", "None", "NONE", "", "ES384", "RS256", "EdDSA", "es256"] {
        let mut forged = decode(header)?;
        forged["alg"] = json!(algorithm);
        opens_nothing(&scene, &format!("{}.{claims}.{signature}", encode_part(&forged)))?;
        opens_nothing(&scene, &format!("{}.{claims}.", encode_part(&forged)))?;
    }
    Ok(())
}

#[test]
fn a_token_of_another_registry_opens_nothing() -> Outcome<()> {
    let scene = Scene::new()?;
    let other = Server::fresh()?;
    opens_nothing(&scene, &token(&other)?)
}

#[test]
fn a_token_for_another_service_is_not_given() -> Outcome<()> {
    let scene = Scene::new()?;
    let target = format!("/token?service=elsewhere.example&scope={}", encode(&scope()));
    let basic = hallmark_conformance::http::Credentials { user: "admin".into(), password: PASSWORD.into() };
    let request = Request::new("GET", target).header("Authorization", basic.basic());
    let answer = scene.server.anonymous().send_plain(&request)?;
    holds(answer.status == 400, || format!("a token for elsewhere was given: {answer}"))
}

#[test]
fn an_expired_token_opens_nothing() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    holds(std::path::Path::new(FAKETIME).exists(), || {
        format!("{FAKETIME} is not there: run `apt-get install --no-install-recommends libfaketime`")
    })?;
    let mut past = Plan::default()
        .data(&data)
        .variable("LD_PRELOAD", FAKETIME)
        .variable("FAKETIME", "-1h")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start()?;
    let old = token(&past)?;
    past.stop()?;
    let scene = Scene::with(Plan::default().data(&data))?;
    opens_nothing(&scene, &old)
}

#[test]
fn a_token_for_one_repository_does_not_open_another() -> Outcome<()> {
    let scene = Scene::new()?;
    let token = scene.server.admin().authorization(&["repository:admin/else:pull,push"])?;
    let request = Request::new("GET", format!("/v2/{REPOSITORY}/manifests/1")).header("Authorization", token);
    let answer = scene.server.anonymous().send_plain(&request)?;
    refused(&answer, &[401], &["UNAUTHORIZED", "DENIED"])?;
    let challenge = answer.required("www-authenticate")?;
    holds(challenge.contains("error=\"insufficient_scope\""), || format!("the challenge says {challenge}"))
}

#[test]
fn a_wrong_password_gets_no_token_and_a_password_is_no_token() -> Outcome<()> {
    let scene = Scene::new()?;
    for (user, password) in [("admin", "wrong password"), ("nobody", PASSWORD), ("", ""), ("admin", "")] {
        let client = scene.server.client(user, password);
        let challenge = scene.server.anonymous().send_plain(&Request::new("GET", "/v2/"))?;
        let answer = client.ask_token(challenge.required("www-authenticate")?, &[&scope()])?;
        holds(answer.status == 401, || format!("{user:?} with {password:?} was answered {answer}"))?;
    }
    opens_nothing(&scene, &encode(PASSWORD))
}
