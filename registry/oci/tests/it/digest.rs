//! Digests: one spelling, a closed list of algorithms, the right length (image-spec, "Digests").

use hallmark_oci::{Algorithm, Digest, DigestInvalid};
use proptest::prelude::*;

use crate::model::{DIGEST, Grammar};
use crate::strategies::{digest, digest_text, nearly};

fn refused(text: &str) -> DigestInvalid {
    text.parse::<Digest>().unwrap_err()
}

#[test]
fn a_digest_is_an_algorithm_a_colon_and_lower_case_hex_of_its_length() {
    for (text, expected) in [
        (String::new(), DigestInvalid::Malformed),
        ("sha256".to_owned(), DigestInvalid::Malformed),
        ("sha256:".to_owned(), DigestInvalid::Malformed),
        (":abc".to_owned(), DigestInvalid::Malformed),
        ("sha256:totallywrong".to_owned(), DigestInvalid::Length { expected: 64 }),
        (format!("sha256:{}", "a".repeat(63)), DigestInvalid::Length { expected: 64 }),
        (format!("sha256:{}", "a".repeat(65)), DigestInvalid::Length { expected: 64 }),
        (format!("sha512:{}", "a".repeat(64)), DigestInvalid::Length { expected: 128 }),
        (format!("sha256:{}", "a".repeat(128)), DigestInvalid::Length { expected: 64 }),
        (format!("sha256:{}", "A".repeat(64)), DigestInvalid::Case),
        (format!("sha256:{}F", "a".repeat(63)), DigestInvalid::Case),
        (format!("sha256:{}g", "a".repeat(63)), DigestInvalid::Malformed),
        (format!("sha256:{}:", "a".repeat(63)), DigestInvalid::Malformed),
        (format!("sha256:{} ", "a".repeat(63)), DigestInvalid::Malformed),
        (format!("sha256:{}é", "a".repeat(62)), DigestInvalid::Malformed),
        (format!("SHA256:{}", "a".repeat(64)), DigestInvalid::Malformed),
        (format!("sha-256:{}", "a".repeat(64)), DigestInvalid::UnsupportedAlgorithm),
        (format!("sha1:{}", "a".repeat(40)), DigestInvalid::UnsupportedAlgorithm),
        (format!("sha384:{}", "a".repeat(96)), DigestInvalid::UnsupportedAlgorithm),
        (format!("md5:{}", "a".repeat(32)), DigestInvalid::UnsupportedAlgorithm),
        (format!("blake3:{}", "a".repeat(64)), DigestInvalid::UnsupportedAlgorithm),
        (format!("sha256+b64u:{}", "a".repeat(64)), DigestInvalid::UnsupportedAlgorithm),
        (format!("sha256+:{}", "a".repeat(64)), DigestInvalid::Malformed),
        (format!("+sha256:{}", "a".repeat(64)), DigestInvalid::Malformed),
    ] {
        assert_eq!(refused(&text), expected, "{text}");
    }
}

#[test]
fn a_digest_of_nothing_is_the_known_one() {
    assert_eq!(
        Digest::of(Algorithm::Sha256, b"").as_str(),
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(
        Digest::of(Algorithm::Sha256, b"{}").as_str(),
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
    let sha512 = Digest::of(Algorithm::Sha512, b"");
    assert!(sha512.as_str().starts_with("sha512:cf83e1357eefb8bdf1542850d66d8007"), "{sha512}");
    assert_eq!(sha512.hex().len(), 128);
}

#[test]
fn a_fallback_tag_holds_at_most_64_digits() {
    let sha256 = Digest::of(Algorithm::Sha256, b"x");
    assert_eq!(sha256.fallback_tag().as_str(), format!("sha256-{}", sha256.hex()));
    let sha512 = Digest::of(Algorithm::Sha512, b"x");
    assert_eq!(sha512.fallback_tag().as_str(), format!("sha512-{}", &sha512.hex()[..64]));
}

#[test]
fn a_digest_travels_through_json_and_refuses_what_is_none() {
    let digest = Digest::of(Algorithm::Sha512, b"x");
    let json = serde_json::to_string(&digest).unwrap();
    assert_eq!(json, format!("\"{digest}\""));
    assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    assert!(serde_json::from_str::<Digest>("\"sha256:abc\"").is_err());
}

#[test]
fn a_digest_is_accepted_exactly_when_the_pattern_matches() {
    let grammar = Grammar::new(DIGEST);
    proptest!(|(text in nearly(digest_text()))| {
        let parsed = text.parse::<Digest>();
        prop_assert_eq!(parsed.is_ok(), grammar.matches(&text), "{}", text);
        if let Ok(digest) = parsed {
            prop_assert_eq!(digest.to_string(), text);
        }
    });
}

proptest! {
    #[test]
    fn a_digest_is_its_parts(digest in digest()) {
        prop_assert_eq!(format!("{}:{}", digest.algorithm(), digest.hex()), digest.as_str());
        prop_assert_eq!(digest.hex().len(), digest.algorithm().hex_len());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = text.parse::<Digest>();
    }
}
