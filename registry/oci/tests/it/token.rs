//! Tokens and their claims: one spelling, one algorithm, and no key from inside (RFC 7515, 7518, 7519).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallmark_oci::limits::TOKEN_BYTES;
use hallmark_oci::{
    Claims, ClaimsInvalid, ClaimsRefused, CompactToken, JsonInvalid, Scopes, SigningAlgorithm, TokenHeader,
    TokenInvalid,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn encoded(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

fn token(header: &str) -> String {
    format!("{}.{}.{}", encoded(header), encoded("{}"), encoded([7; 64]))
}

fn header_refused(header: &str) -> TokenInvalid {
    CompactToken::parse(&token(header), TOKEN_BYTES).expect_err(header)
}

#[test]
fn a_token_is_three_parts_of_which_two_are_signed() {
    let text = token(r#"{"typ":"JWT","alg":"ES256","kid":"k-1"}"#);
    let parsed = CompactToken::parse(&text, TOKEN_BYTES).unwrap();
    assert_eq!(parsed.header, TokenHeader::es256("k-1"));
    assert_eq!(parsed.header.alg, SigningAlgorithm::Es256);
    assert_eq!(parsed.claims_json, b"{}");
    assert_eq!(parsed.signature, [7; 64]);
    assert_eq!(CompactToken::assemble(parsed.signed, &parsed.signature), text);
}

#[test]
fn any_algorithm_but_es256_is_refused() {
    for alg in [
        r#""none""#,
        r#""None""#,
        r#""""#,
        r#""HS256""#,
        r#""RS256""#,
        r#""ES384""#,
        r#""es256""#,
        r#""ES256 ""#,
        r#""EdDSA""#,
        "null",
        "0",
        r#"["ES256"]"#,
        r#"{"x":"ES256"}"#,
    ] {
        assert_eq!(header_refused(&format!(r#"{{"alg":{alg},"kid":"k"}}"#)), TokenInvalid::Algorithm, "{alg}");
    }
    assert_eq!(header_refused(r#"{"kid":"k"}"#), TokenInvalid::Algorithm);
    let twice = header_refused(r#"{"alg":"ES256","kid":"k","alg":"none"}"#);
    assert_eq!(twice, TokenInvalid::Json(JsonInvalid::DuplicateKey("alg".to_owned())));
}

#[test]
fn a_key_is_named_and_never_brought() {
    for kid in
        [r#""""#, "null", "1", r#""a b""#, r#""../k""#, r#""k\u0000""#, r#""k'""#, &format!("{:?}", "k".repeat(129))]
    {
        assert_eq!(header_refused(&format!(r#"{{"alg":"ES256","kid":{kid}}}"#)), TokenInvalid::KeyId, "{kid}");
    }
    assert_eq!(header_refused(r#"{"alg":"ES256"}"#), TokenInvalid::KeyId);
    assert_eq!(header_refused(r#"{"alg":"ES256","jwk":{"kty":"EC"}}"#), TokenInvalid::KeyId);
    let text = token(r#"{"alg":"ES256","kid":"k","jwk":{"kid":"evil"},"jku":"https://evil","x5c":["evil"]}"#);
    assert_eq!(CompactToken::parse(&text, TOKEN_BYTES).unwrap().header.kid, "k");
}

#[test]
fn extensions_and_other_types_are_refused() {
    for crit in [r#"["exp"]"#, "[]", "null", r#""b64""#] {
        let header = format!(r#"{{"alg":"ES256","kid":"k","crit":{crit}}}"#);
        assert_eq!(header_refused(&header), TokenInvalid::Critical, "{crit}");
    }
    for typ in [r#""JWE""#, r#""dpop+jwt""#, r#""""#, "1", "[]"] {
        let header = format!(r#"{{"alg":"ES256","kid":"k","typ":{typ}}}"#);
        assert_eq!(header_refused(&header), TokenInvalid::Type, "{typ}");
    }
    for typ in [r#""JWT""#, r#""jwt""#, "null"] {
        let text = token(&format!(r#"{{"alg":"ES256","kid":"k","typ":{typ}}}"#));
        assert!(CompactToken::parse(&text, TOKEN_BYTES).is_ok(), "{typ}");
    }
}

#[test]
fn a_header_is_one_small_json_object() {
    for header in ["[]", "null", "\"x\"", "1"] {
        assert_eq!(header_refused(header), TokenInvalid::Header);
    }
    for header in ["", "{", "{}{}", "\u{feff}{}"] {
        assert!(matches!(header_refused(header), TokenInvalid::Json(JsonInvalid::Syntax { .. })), "{header}");
    }
    let deep = format!(r#"{{"alg":"ES256","kid":"k","x":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
    assert_eq!(header_refused(&deep), TokenInvalid::Json(JsonInvalid::TooDeep));
}

#[test]
fn a_token_has_exactly_three_parts_of_unpadded_base64url() {
    let header = encoded(r#"{"alg":"ES256","kid":"k"}"#);
    let (claims, signature) = (encoded("{}"), encoded([7; 64]));
    for (text, expected) in [
        (String::new(), TokenInvalid::Parts),
        (header.clone(), TokenInvalid::Parts),
        (format!("{header}.{claims}"), TokenInvalid::Parts),
        (format!("{header}.{claims}.{signature}.{claims}"), TokenInvalid::Base64),
        (format!("{header}.{claims}.{claims}.{claims}.{claims}"), TokenInvalid::Base64),
        (format!(".{claims}.{signature}"), TokenInvalid::Json(JsonInvalid::Syntax { line: 1, column: 0 })),
        (format!("{header}.{claims}."), TokenInvalid::Signature),
        (format!("{header}.{claims}.{}", encoded([7; 63])), TokenInvalid::Signature),
        (format!("{header}.{claims}.{}", encoded([7; 72])), TokenInvalid::Signature),
        (format!("{header}.{claims}.{signature}=="), TokenInvalid::Base64),
        (format!("{header}=.{claims}.{signature}"), TokenInvalid::Base64),
        (format!("{header}. {claims}.{signature}"), TokenInvalid::Base64),
        (format!("{header}.{claims}.{signature}\n"), TokenInvalid::Base64),
        (format!("{header}.+/+/.{signature}"), TokenInvalid::Base64),
        (format!("{header}.e31.{signature}"), TokenInvalid::Base64),
    ] {
        assert_eq!(CompactToken::parse(&text, TOKEN_BYTES), Err(expected), "{text}");
    }
}

#[test]
fn a_long_token_is_not_looked_at() {
    let text = token(r#"{"alg":"ES256","kid":"k"}"#);
    assert!(CompactToken::parse(&text, text.len()).is_ok());
    assert_eq!(CompactToken::parse(&text, text.len() - 1), Err(TokenInvalid::TooLong));
}

fn claims() -> Claims {
    Claims {
        iss: "https://r.example".to_owned(),
        sub: "ann".to_owned(),
        aud: vec!["r.example".to_owned()],
        exp: 1_300,
        nbf: 990,
        iat: 1_000,
        jti: "1".to_owned(),
        access: Scopes::parse(["repository:a/b:pull,push registry:catalog:*"]),
        principal_id: Some(7),
        credential_epoch: Some(3),
        credential_id: Some(4),
        certificate: Some(5),
    }
}

fn claims_json() -> Value {
    serde_json::to_value(claims()).unwrap()
}

#[test]
fn claims_are_written_as_clients_and_other_registries_read_them() {
    let expected = json!({
        "iss": "https://r.example", "sub": "ann", "aud": "r.example", "exp": 1300, "nbf": 990, "iat": 1000, "jti": "1",
        "access": [
            {"type": "registry", "name": "catalog", "actions": ["*"]},
            {"type": "repository", "name": "a/b", "actions": ["pull", "push"]},
        ],
        "hid": 7, "hep": 3, "hcr": 4, "hct": 5,
    });
    assert_eq!(claims_json(), expected);
    assert_eq!(Claims::parse(expected.to_string().as_bytes()).unwrap(), claims());
}

#[test]
fn anonymous_claims_have_no_principal() {
    let anonymous = Claims {
        sub: String::new(),
        principal_id: None,
        credential_epoch: None,
        credential_id: None,
        certificate: None,
        ..claims()
    };
    let json = serde_json::to_value(&anonymous).unwrap();
    assert_eq!((json.get("hid"), json.get("hep"), &json["sub"]), (None, None, &json!("")));
    assert_eq!(Claims::parse(json.to_string().as_bytes()).unwrap(), anonymous);
}

#[test]
fn an_audience_is_one_or_many() {
    for (audience, expected) in [(json!("a"), &["a"][..]), (json!(["a", "b"]), &["a", "b"]), (json!([]), &[])] {
        let mut json = claims_json();
        json["aud"] = audience;
        assert_eq!(Claims::parse(json.to_string().as_bytes()).unwrap().aud, expected);
    }
}

#[test]
fn malformed_claims_are_refused() {
    for key in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"] {
        let mut json = claims_json();
        json.as_object_mut().unwrap().remove(key);
        assert_eq!(Claims::parse(json.to_string().as_bytes()), Err(ClaimsInvalid::Missing(key)), "{key}");
    }
    for (key, value) in [
        ("iss", json!(1)),
        ("sub", json!(["ann"])),
        ("aud", json!({})),
        ("aud", json!(["a", 1])),
        ("exp", json!("1300")),
        ("exp", json!(-1)),
        ("exp", json!(1300.5)),
        ("nbf", json!(u64::MAX)),
        ("hid", json!("7")),
        ("hep", json!(-1)),
        ("access", json!({})),
        ("access", json!(["repository:a:pull"])),
        ("access", json!([{"type": "repository", "name": "a"}])),
        ("access", json!([{"type": "repository", "name": "a\"b", "actions": ["pull"]}])),
        ("access", json!([{"type": "repository", "class": 1, "name": "a", "actions": ["pull"]}])),
        ("access", json!([{"name": "a", "actions": ["pull"]}])),
        ("access", json!(vec![json!({"type": "repository", "name": "a", "actions": ["pull"]}); 129])),
    ] {
        let mut json = claims_json();
        json[key] = value;
        let error = Claims::parse(json.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, ClaimsInvalid::Member { key: refused, .. } if refused == key), "{json}: {error}");
    }
    assert_eq!(Claims::parse(b"[]"), Err(ClaimsInvalid::NotAnObject));
    assert!(matches!(
        Claims::parse(br#"{"iss":"a","iss":"b"}"#),
        Err(ClaimsInvalid::Json(JsonInvalid::DuplicateKey(_)))
    ));
}

#[test]
fn a_word_that_is_no_action_grants_nothing() {
    let mut json = claims_json();
    json["access"] = json!([
        {"type": "repository", "name": "a", "actions": ["pull", "scan", 1, null]},
        {"type": "repository", "name": "b", "actions": ["scan"]},
        {"type": "repository", "name": "c", "actions": []},
    ]);
    assert_eq!(Claims::parse(json.to_string().as_bytes()).unwrap().access.to_string(), "repository:a:pull");
}

#[test]
fn claims_hold_for_their_issuer_and_service_within_a_minute_of_their_time() {
    let claims = claims();
    for (issuer, service, seconds, expected) in [
        ("https://r.example", "r.example", 1_000, Ok(())),
        ("https://r.example", "r.example", 930, Ok(())),
        ("https://r.example", "r.example", 929, Err(ClaimsRefused::NotYet)),
        ("https://r.example", "r.example", 1_359, Ok(())),
        ("https://r.example", "r.example", 1_360, Err(ClaimsRefused::Expired)),
        ("https://r.example/", "r.example", 1_000, Err(ClaimsRefused::Issuer)),
        ("https://R.example", "r.example", 1_000, Err(ClaimsRefused::Issuer)),
        ("https://r.example", "r.example.evil", 1_000, Err(ClaimsRefused::Audience)),
        ("https://r.example", "", 1_000, Err(ClaimsRefused::Audience)),
    ] {
        assert_eq!(claims.check(issuer, service, seconds * 1000), expected, "{issuer} {service} {seconds}");
    }
    let nobodys = Claims { aud: Vec::new(), ..claims.clone() };
    assert_eq!(nobodys.check("https://r.example", "r.example", 1_000_000), Err(ClaimsRefused::Audience));
    let endless = Claims { exp: i64::MAX, nbf: i64::MAX, ..claims };
    assert_eq!(endless.check("https://r.example", "r.example", 1_000_000), Err(ClaimsRefused::NotYet));
}

#[test]
fn what_is_signed_is_what_is_read() {
    let signed = TokenHeader::es256("k").signing_input(&claims());
    let text = CompactToken::assemble(&signed, &[9; 64]);
    let parsed = CompactToken::parse(&text, TOKEN_BYTES).unwrap();
    assert_eq!(parsed.signed, signed);
    assert_eq!(Claims::parse(&parsed.claims_json).unwrap(), claims());
}

proptest! {
    #[test]
    fn a_token_is_what_was_assembled(kid in "[A-Za-z0-9_.:-]{1,128}", sub in any::<String>(), signature in prop::array::uniform32(any::<u16>())) {
        let claims = Claims { sub, ..claims() };
        let signature: Vec<u8> = signature.iter().flat_map(|pair| pair.to_be_bytes()).collect();
        let text = CompactToken::assemble(&TokenHeader::es256(&kid).signing_input(&claims), &signature);
        let parsed = CompactToken::parse(&text, TOKEN_BYTES * 4).unwrap();
        prop_assert_eq!(&parsed.header.kid, &kid);
        prop_assert_eq!(&parsed.signature, &signature);
        prop_assert_eq!(Claims::parse(&parsed.claims_json).unwrap(), claims);
    }

    /// One text to one token: changing any character changes what is signed or the signature, or refuses the token.
    #[test]
    fn no_two_texts_are_the_same_token(at in any::<prop::sample::Index>(), character in "[A-Za-z0-9_.=+/ -]") {
        let text = CompactToken::assemble(&TokenHeader::es256("k").signing_input(&claims()), &[9; 64]);
        let at = at.index(text.len());
        let changed = format!("{}{character}{}", &text[..at], &text[at + 1..]);
        prop_assume!(changed != text);
        if let Ok(parsed) = CompactToken::parse(&changed, TOKEN_BYTES) {
            let original = CompactToken::parse(&text, TOKEN_BYTES).unwrap();
            prop_assert!(parsed.signed != original.signed || parsed.signature != original.signature);
        }
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = CompactToken::parse(&text, TOKEN_BYTES);
        let _ = CompactToken::parse(&token(&text), TOKEN_BYTES);
        let _ = Claims::parse(&bytes);
        let _ = Claims::parse(text.as_bytes());
    }
}
