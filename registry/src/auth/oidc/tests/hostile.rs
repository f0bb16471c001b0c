//! Tokens, keys and paths that nobody in their senses writes: each is read or refused, within bounds, and what is read is what was
//! written.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestCaseResult};
use serde_json::{Map, Value, json};

use super::stage::{AUDIENCE, NOW, Signer, github, gitlab, kubernetes, signed_text};
use crate::auth::mutated::{CASES, changes, texts};
use crate::auth::oidc::json;
use crate::auth::oidc::jwk::KeySet;
use crate::auth::oidc::jwt::Compact;
use crate::auth::oidc::{ClaimPath, Issuer, IssuerSettings, Verified};

const ISSUER: &str = "https://token.actions.example";
/// An object within an object, as often as is read.
const LEVELS: usize = 17;

static HEADERS: [&str; 3] = [
    r#"{"alg":"ES256","kid":"one"}"#,
    r#"{"typ":"JWT","alg":"RS256","x5t":"eHg","kid":"38826b17-6a30-5f9b-b169-8beb8202f723"}"#,
    r#"{"alg":"EdDSA","kid":"two","crit":["exp"]}"#,
];
static CLAIMS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let shapes = [github(ISSUER), gitlab(ISSUER), kubernetes(ISSUER)].map(|shape| shape.to_string());
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(15), "]".repeat(15));
    shapes
        .into_iter()
        .chain([deep, r#"{"exp":1e300,"iat":-1,"n":18446744073709551615,"s":"\ud83d\ude00"}"#.to_owned()])
        .collect()
});
static TOKENS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let token = |header: &&str| format!("{}.{}", signed_text(header, &CLAIMS[0]), "A".repeat(86));
    HEADERS.iter().map(token).collect()
});
static KEY_SETS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let keys = ["RS256", "ES256", "ES384", "EdDSA"].map(|algorithm| Signer::new(algorithm, algorithm).jwk());
    keys.iter().map(|key| json!({"keys": [key, {"kid": "x", "use": "enc"}]}).to_string()).collect()
});
static PATHS: [&str; 5] = [
    "/kubernetes.io/serviceaccount/name",
    "repository_id",
    "/a~1b/~0c~00/d",
    "/a/b/c/d/e/f/g/h",
    "~1 and / as they stand",
];

/// How deep a value is nested, itself counted.
fn levels(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(levels).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// What the reader of JSON made of a text: bounded, and read again as the same. A fraction may lose its last digit.
fn is_sound(object: &Map<String, Value>) -> TestCaseResult {
    let value = Value::Object(object.clone());
    prop_assert!(levels(&value) <= LEVELS, "{value}");
    let text = value.to_string();
    let again = json::parse(text.as_bytes()).unwrap();
    if !text.contains(['.', 'e', 'E']) {
        prop_assert_eq!(&again, object);
    }
    Ok(())
}

/// The claims of a token, when it is one.
fn of_a_token(text: &str) -> Result<Option<Map<String, Value>>, TestCaseError> {
    let Ok(compact) = Compact::parse(text) else { return Ok(None) };
    is_sound(&compact.claims)?;
    // One spelling: what was read is the whole token.
    let signature = URL_SAFE_NO_PAD.encode(&compact.signature);
    prop_assert_eq!(format!("{}.{signature}", compact.signed), text);
    let (header, claims) = compact.signed.split_once('.').unwrap();
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let header = json::parse(&decoded(header)).unwrap();
    prop_assert_eq!(header["kid"].as_str(), Some(compact.kid.as_str()));
    prop_assert!(!header.contains_key("crit") && header["alg"] != "none");
    prop_assert_eq!(&json::parse(&decoded(claims)).unwrap(), &compact.claims);
    Ok(Some(compact.claims))
}

/// A path that is read finds what stands at it, by a reading of RFC 6901 that is not ours.
fn of_a_path(text: &str, claims: &Map<String, Value>) -> TestCaseResult {
    let Ok(path) = text.parse::<ClaimPath>() else { return Ok(()) };
    prop_assert_eq!(path.as_str(), text);
    prop_assert_eq!(&path.to_string().parse::<ClaimPath>().unwrap(), &path);
    // Whatever there is: one that leads into a list or a text finds nothing.
    let _ = path.find(claims);
    let segments: Vec<_> = match text.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect(),
        None => vec![text.to_owned()],
    };
    prop_assert!(segments.len() <= 8 && text.len() <= 256);
    let nested = segments.iter().rev().fold(json!("found"), |inner, segment| json!({ segment: inner }));
    prop_assert_eq!(path.find(nested.as_object().unwrap()), Some(&json!("found")));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_token_is_taken_apart_or_refused((start, changed) in changes(HEADERS.len())) {
        for token in texts(start.of(&TOKENS), changed) {
            of_a_token(&String::from_utf8_lossy(&token))?;
        }
    }

    /// Behind the wrapping, where most changes of a token do not come.
    #[test]
    fn changed_headers_and_claims_are_read_or_refused(
        (of_header, headers) in changes(HEADERS.len()),
        (of_claims, claims) in changes(CLAIMS.len()),
    ) {
        let settings = IssuerSettings {
            issuer: ISSUER.to_owned(), audiences: vec![AUDIENCE.to_owned()], ..IssuerSettings::default()
        };
        let issuer = Issuer::new(settings).unwrap();
        let headers = texts(of_header.of(&HEADERS), headers).enumerate();
        for ((number, changed), document) in headers.zip(texts(of_claims.of(&CLAIMS), claims)) {
            // With a header that is refused nothing behind it is looked at.
            let header = if number % 4 == 0 { &changed } else { HEADERS[0].as_bytes() };
            let parts = [URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&document), "AAAA".to_owned()];
            let claims = of_a_token(&parts.join("."))?;
            if let Some(Ok(token)) = claims.map(|claims| Verified::check(claims, "", &issuer, NOW)) {
                prop_assert!(token.issuer() == ISSUER && token.audience() == [AUDIENCE] && !token.subject().is_empty());
            }
        }
    }

    #[test]
    fn a_changed_key_set_is_read_or_refused((start, changed) in changes(4)) {
        for document in texts(start.of(&KEY_SETS), changed) {
            if let Ok(keys) = KeySet::parse(&document) {
                let again = KeySet::parse(&document).unwrap();
                prop_assert_eq!(keys.changed_in(&again), None);
                for name in ["RS256", "ES256", "ES384", "EdDSA"] {
                    let key = keys.key(name);
                    // A point that is on no curve, and a modulus of anything, verify nothing.
                    prop_assert!(!key.is_some_and(|key| key.verifies(algorithm(name), b"text", &[0x41; 64])));
                }
            }
        }
    }

    #[test]
    fn a_changed_path_is_read_or_refused((start, changed) in changes(PATHS.len()), shape in 0..3_usize) {
        let claims = json::parse(CLAIMS[shape].as_bytes()).unwrap();
        for path in texts(start.of(&PATHS), changed) {
            of_a_path(&String::from_utf8_lossy(&path), &claims)?;
        }
    }
}

fn algorithm(name: &str) -> crate::auth::oidc::jwt::Algorithm {
    crate::auth::oidc::jwt::Algorithm::named(name).unwrap()
}
