//! The compact form of a stranger's token (RFC 7515 section 3.1). Nothing in it is believed before its signature holds.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::json::{self, JsonInvalid};

/// The longest token that is looked at, in bytes.
pub(super) const TOKEN_BYTES: usize = 32 * 1024;

const KEY_ID_BYTES: usize = 256;

/// The algorithms that are verified. `none` and those with a shared secret are not representable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// The algorithm of this name (RFC 7518 section 3.1, RFC 8037, RFC 9864).
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "PS256" => Self::Ps256,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A token whose form is right and whose signature nobody has verified yet.
#[derive(Debug)]
pub(super) struct Compact<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: String,
    pub(super) claims: Map<String, Value>,
    /// The text that was signed.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart. base64url has one spelling here, so that one signed text is one token.
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenInvalid> {
        if token.len() > TOKEN_BYTES {
            return Err(TokenInvalid::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenInvalid::Parts)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenInvalid::Parts)?;
        let (algorithm, kid) = read_header(&json::parse(&decode(header)?).map_err(TokenInvalid::Header)?)?;
        let claims = json::parse(&decode(claims)?).map_err(TokenInvalid::Claims)?;
        Ok(Self { algorithm, kid, claims, signed, signature: decode(signature)? })
    }
}

/// Reads what is needed of a header; keys and addresses of keys in it (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.
fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, String), TokenInvalid> {
    // RFC 7515 section 4.1.11: what is listed must be understood, and nothing is. An empty list is malformed.
    if header.contains_key("crit") {
        return Err(TokenInvalid::Critical);
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if typ.eq_ignore_ascii_case("JWT") => {}
        // `at+jwt` and `logout+jwt` are of the same issuer and say something else.
        Some(_) => return Err(TokenInvalid::Type),
    }
    let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::named);
    let kid = header.get("kid").and_then(Value::as_str).filter(|kid| is_key_id(kid));
    Ok((algorithm.ok_or(TokenInvalid::Algorithm)?, kid.ok_or(TokenInvalid::KeyId)?.to_owned()))
}

/// Whether a text can be a key id. It is compared with those of a set and used for nothing else.
pub(super) fn is_key_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= KEY_ID_BYTES && !text.chars().any(char::is_control)
}

fn decode(part: &str) -> Result<Vec<u8>, TokenInvalid> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenInvalid::Base64)
}

/// Why a text is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenInvalid {
    /// More than 32 KiB.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts.
    #[error("a token has three parts")]
    Parts,
    /// A part is not base64url without padding.
    #[error("a part of the token is not base64url")]
    Base64,
    /// The header is not JSON that is read here.
    #[error("the header of the token is refused: {0}")]
    Header(JsonInvalid),
    /// The claims are not JSON that is read here.
    #[error("the claims of the token are refused: {0}")]
    Claims(JsonInvalid),
    /// `none`, one with a shared secret, or one that is not known.
    #[error("the token is not signed with RS256, PS256, ES256, ES384 or EdDSA")]
    Algorithm,
    /// The header has `crit`.
    #[error("the token requires an extension that is not supported")]
    Critical,
    /// No key id, or one that no key has.
    #[error("the token does not name its key")]
    KeyId,
    /// A `typ` other than JWT.
    #[error("the token is of another type")]
    Type,
}
