//! `CompactToken::parse` over a token; when the input is none, over one whose header is the input.
//! What is accepted has one spelling, one algorithm and a signature of its length.

use base64_of_header::encode;
use hallmark_oci::limits::{KEY_ID_BYTES, TOKEN_BYTES};
use hallmark_oci::{Claims, CompactToken, SigningAlgorithm};

pub(crate) fn run(input: &str) {
    check(input);
    check(&format!("{}.e30.{}", encode(input.as_bytes()), "A".repeat(86)));
}

fn check(text: &str) {
    let Ok(token) = CompactToken::parse(text, TOKEN_BYTES) else { return };
    assert!(text.len() <= TOKEN_BYTES);
    assert_eq!(token.header.alg, SigningAlgorithm::Es256);
    assert!((1..=KEY_ID_BYTES).contains(&token.header.kid.len()));
    assert_eq!(token.signature.len(), 64);
    assert_eq!(CompactToken::assemble(token.signed, &token.signature), text);
    if let Ok(claims) = Claims::parse(&token.claims_json) {
        let signed = token.header.signing_input(&claims);
        let again = CompactToken::assemble(&signed, &token.signature);
        let again = CompactToken::parse(&again, usize::MAX).expect("what was assembled is a token");
        assert_eq!(again.header, token.header);
        assert_eq!(Claims::parse(&again.claims_json), Ok(claims));
    }
}

/// base64url without padding, written once more so that the target does not ask the code under test.
mod base64_of_header {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    pub(crate) fn encode(bytes: &[u8]) -> String {
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let number =
                chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            for digit in 0..=chunk.len() {
                text.push(char::from(DIGITS[(number >> (18 - 6 * digit)) as usize & 63]));
            }
        }
        text
    }
}
