//! A token service for the peers: what a registry's own login would have handed out, signed with ES256.
//! Never used for Hallmark, which has a token endpoint of its own.
//! Start at `Issuer::token`.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hallmark_conformance::{Failure, Outcome};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};

/// The `kid` of the only key.
const KEY_ID: &str = "bench";
/// The `service` of the registries it speaks for, and the tokens' audience.
pub(crate) const SERVICE: &str = "bench-registry";
/// The tokens' issuer.
pub(crate) const ISSUER: &str = "bench-issuer";
/// A token's life in seconds: longer than a whole benchmark.
const LIFE: i64 = 4 * 3600;
/// How far the beginning of a token's life lies back, so that no clock can be behind it.
const BACKDATED: i64 = 60;

/// Something a token gives access to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access<'a> {
    /// Pull from and push to the repository of this name.
    Repository(&'a str),
    /// Read the catalog.
    Catalog,
}

impl Access<'_> {
    /// The scope as a query spells it.
    pub(crate) fn scope(self) -> String {
        match self {
            Self::Repository(name) => format!("repository:{name}:pull,push"),
            Self::Catalog => "registry:catalog:*".to_owned(),
        }
    }

    fn claim(self) -> Value {
        match self {
            Self::Repository(name) => json!({"type": "repository", "name": name, "actions": ["pull", "push"]}),
            Self::Catalog => json!({"type": "registry", "name": "catalog", "actions": ["*"]}),
        }
    }
}

/// Signs tokens with a key made at its start.
#[derive(Debug)]
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    /// An issuer with a fresh P-256 key.
    ///
    /// # Errors
    /// The system has no randomness to give.
    #[expect(clippy::disallowed_methods, reason = "a key of this run alone, in a process that takes no randomness")]
    pub(crate) fn new() -> Outcome<Self> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document =
            EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| Failure::new("cannot make a key"))?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)
            .map_err(|_| Failure::new("cannot use the key that was made"))?;
        Ok(Self { key, random })
    }

    /// The public key as a JSON Web Key Set.
    pub(crate) fn key_set(&self) -> String {
        // An uncompressed point: one byte 4, then x and y of 32 bytes each.
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let key = json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        });
        json!({ "keys": [key] }).to_string()
    }

    /// A bearer token for all of `access`, valid at `now` (seconds since the epoch).
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub(crate) fn token(&self, access: &[Access<'_>], now: i64) -> Outcome<String> {
        let header = json!({"typ": "JWT", "alg": "ES256", "kid": KEY_ID});
        let claims = json!({
            "iss": ISSUER, "sub": "admin", "aud": SERVICE, "jti": "bench",
            "iat": now - BACKDATED, "nbf": now - BACKDATED, "exp": now + LIFE,
            "access": access.iter().map(|access| access.claim()).collect::<Vec<_>>(),
        });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut token = format!("{}.{}", encode(&header), encode(&claims));
        let signature =
            self.key.sign(&self.random, token.as_bytes()).map_err(|_| Failure::new("cannot sign a token"))?;
        // Writing to a string cannot fail.
        let _ = write!(token, ".{}", URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }
}
