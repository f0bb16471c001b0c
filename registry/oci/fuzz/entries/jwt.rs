//! `Compact::parse` over the token of a workload or of a provider; when the input is none, over ones whose header or claims are the
//! input. What is accepted has one spelling, a key's name, and nothing that would have to be understood.
//! The files are the registry's own, read by their path: the program is not linked.

#[path = "../../../src/auth/oidc/jwt.rs"]
mod compact;
#[path = "../../../src/auth/oidc/json.rs"]
mod json;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A header that is taken.
const HEADER: &str = r#"{"alg":"RS256","kid":"one","typ":"JWT"}"#;

pub(crate) fn run(input: &str) {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    check(input);
    check(&format!("{}.{}.{}", part(input), part("{}"), part("signature")));
    check(&format!("{}.{}.{}", part(HEADER), part(input), part("signature")));
}

fn check(text: &str) {
    let Ok(token) = compact::Compact::parse(text) else { return };
    assert!(text.len() <= compact::TOKEN_BYTES);
    assert_eq!(format!("{}.{}", token.signed, URL_SAFE_NO_PAD.encode(&token.signature)), text);
    assert!(compact::is_key_id(&token.kid));
    let (header, claims) = token.signed.split_once('.').expect("what is signed has two parts");
    let read = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("a part is base64url");
        serde_json::from_slice::<serde_json::Map<_, _>>(&bytes).expect("a part is an object")
    };
    let header = read(header);
    assert!(!header.contains_key("crit"));
    assert_eq!(header["kid"], token.kid);
    assert_eq!(header["alg"].as_str().and_then(compact::Algorithm::named), Some(token.algorithm));
    assert_eq!(read(claims), token.claims, "both read the same, so no claim is there twice");
}
