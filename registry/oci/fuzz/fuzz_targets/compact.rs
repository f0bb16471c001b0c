//! `Compact::parse` over the text of a token of another issuer.
//! What is accepted has three parts of one spelling, a key id, and bounded JSON; nothing else of it is believed.

#![no_main]
#![expect(dead_code, reason = "the rooms are taken whole, and one function of them is asked")]

#[path = "../../../src/auth/oidc/json.rs"]
mod json;
#[path = "../../../src/auth/oidc/jwt.rs"]
mod jwt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt::{Compact, TOKEN_BYTES, is_key_id};
use libfuzzer_sys::fuzz_target;

/// `header NUL claims NUL signature` becomes a token, so that what is tried is mostly JSON; any other text is one as it is.
fn token(input: &str) -> String {
    let parts: Vec<_> = input.split('\0').collect();
    match parts[..] {
        [header, claims, signature] => [header, claims, signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join("."),
        _ => input.to_owned(),
    }
}

fuzz_target!(|input: &str| {
    let token = token(input);
    let Ok(parsed) = Compact::parse(&token) else { return };
    assert!(token.len() <= TOKEN_BYTES && is_key_id(&parsed.kid));
    assert_eq!(token, format!("{}.{}", parsed.signed, URL_SAFE_NO_PAD.encode(&parsed.signature)));
    let (header, claims) = parsed.signed.split_once('.').expect("a header and claims");
    for part in [header, claims] {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        assert_eq!(URL_SAFE_NO_PAD.encode(&bytes), part, "one signed text is one token");
    }
    let header = json::parse(&URL_SAFE_NO_PAD.decode(header).expect("base64url")).expect("a header is JSON");
    assert!(!header.contains_key("crit"));
    assert_ne!(header["alg"], "none");
    let written = serde_json::to_vec(&parsed.claims).expect("claims are JSON");
    assert_eq!(json::parse(&written).as_ref(), Ok(&parsed.claims));
});
