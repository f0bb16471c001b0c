//! The compact form of a signed token: three parts, each base64url, of which the first two are signed.
//! Neither keys nor cryptography are here: who holds the key verifies `signature` over `signed`.
//! Start at [`CompactToken::parse`].

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use thiserror::Error;

use crate::json::{self, Object, Value};
use crate::limits::KEY_ID_BYTES;
use crate::{Claims, JsonInvalid};

/// The bytes of an ES256 signature: two numbers of 32 bytes (RFC 7518 section 3.4).
const ES256_SIGNATURE_BYTES: usize = 64;

/// The one algorithm that tokens are signed with. Any other, `none` above all, is not representable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum SigningAlgorithm {
    /// ECDSA over P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}

/// A token's header (RFC 7515 section 4.1). Keys that arrive inside it (`jwk`, `jku`, `x5c`) are never looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenHeader {
    /// How it is signed.
    pub alg: SigningAlgorithm,
    /// Which key signed it: letters, digits, `-`, `_`, `.` and `:`, at most [`KEY_ID_BYTES`].
    pub kid: String,
    /// `JWT`, in any case, when it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typ: Option<String>,
}

impl TokenHeader {
    /// The header of a token that is about to be signed by this key.
    #[must_use]
    pub fn es256(kid: &str) -> Self {
        Self { alg: SigningAlgorithm::Es256, kid: kid.to_owned(), typ: Some("JWT".to_owned()) }
    }

    /// The text to sign: header and claims.
    #[must_use]
    pub fn signing_input(&self, claims: &Claims) -> String {
        format!("{}.{}", encode_json(self), encode_json(claims))
    }

    fn read(document: &Object<'_>) -> Result<Self, TokenInvalid> {
        match document.get("alg") {
            Some(Value::Text(alg)) if alg == "ES256" => {}
            _ => return Err(TokenInvalid::Algorithm),
        }
        // RFC 7515 section 4.1.11: what is listed must be understood, and nothing is. An empty or null one is malformed.
        if document.has("crit") {
            return Err(TokenInvalid::Critical);
        }
        let kid = match document.get("kid") {
            Some(Value::Text(kid)) if is_key_id(kid) => kid.to_string(),
            _ => return Err(TokenInvalid::KeyId),
        };
        let typ = match document.get("typ") {
            None => None,
            Some(Value::Text(typ)) if typ.eq_ignore_ascii_case("JWT") => Some(typ.to_string()),
            Some(_) => return Err(TokenInvalid::Type),
        };
        Ok(Self { alg: SigningAlgorithm::Es256, kid, typ })
    }
}

/// A token whose form is right and whose signature nobody has verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactToken<'a> {
    /// The header.
    pub header: TokenHeader,
    /// The claims as JSON, to be read by [`Claims::parse`] once the signature is verified.
    pub claims_json: Vec<u8>,
    /// The text that was signed.
    pub signed: &'a str,
    /// The signature, 64 bytes.
    pub signature: Vec<u8>,
}

impl<'a> CompactToken<'a> {
    /// Takes a token apart. `limit` is the longest that is looked at, in bytes.
    ///
    /// base64url has one spelling here (no padding, no stray bits), so that one signature belongs to one text.
    ///
    /// # Errors
    /// [`TokenInvalid`], each variant as it says.
    pub fn parse(token: &'a str, limit: usize) -> Result<Self, TokenInvalid> {
        if token.len() > limit {
            return Err(TokenInvalid::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenInvalid::Parts)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenInvalid::Parts)?;
        let header = decode(header)?;
        let Value::Object(header) = json::parse(&header)? else { return Err(TokenInvalid::Header) };
        let header = TokenHeader::read(&header)?;
        let (claims_json, signature) = (decode(claims)?, decode(signature)?);
        if signature.len() != ES256_SIGNATURE_BYTES {
            return Err(TokenInvalid::Signature);
        }
        Ok(Self { header, claims_json, signed, signature })
    }

    /// The compact form of what was signed and its signature.
    #[must_use]
    pub fn assemble(signed: &str, signature: &[u8]) -> String {
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenInvalid> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenInvalid::Base64)
}

fn encode_json(part: &impl Serialize) -> String {
    let json = serde_json::to_vec(part).expect("headers and claims have text keys and write to memory");
    URL_SAFE_NO_PAD.encode(json)
}

fn is_key_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= KEY_ID_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

/// Why a text is not a [`CompactToken`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenInvalid {
    /// Over the limit.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts.
    #[error("a token has three parts")]
    Parts,
    /// A part is not base64url without padding.
    #[error("a part of the token is not base64url")]
    Base64,
    /// The header is not a JSON object.
    #[error("the header of the token is not an object")]
    Header,
    /// The header is not JSON that is read here.
    #[error(transparent)]
    Json(#[from] JsonInvalid),
    /// Any algorithm but ES256.
    #[error("tokens are signed with ES256")]
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
    /// A signature of another length.
    #[error("the signature of the token does not have 64 bytes")]
    Signature,
}
