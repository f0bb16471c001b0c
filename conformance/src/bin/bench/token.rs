//! A token service for the peers: what a registry's own login would have handed out, signed as each of them takes it.
//! Never used for Hallmark, which has a token endpoint of its own.
//! Start at `Issuer::token`.

use std::{fmt::Write as _, process::Command};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hallmark_conformance::{
    Failure, Outcome,
    failure::While,
    process::{run, run_with_input},
    tools,
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
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

/// How a token is signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// RSA of 2,048 bits with SHA-256, for who takes nothing else.
    Rs256,
}

/// Signs tokens with keys made at its start.
#[derive(Debug)]
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    rsa: RsaKeyPair,
    /// Its public part, as PEM.
    rsa_public: String,
    random: SystemRandom,
}

impl Issuer {
    /// An issuer with a fresh P-256 key and a fresh RSA key.
    ///
    /// # Errors
    /// The system has no randomness to give, or no openssl, which makes the RSA key.
    #[expect(clippy::disallowed_methods, reason = "a key of this run alone, in a process that takes no randomness")]
    pub(crate) fn new() -> Outcome<Self> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document =
            EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| Failure::new("cannot make a key"))?;
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)
            .map_err(|_| Failure::new("cannot use the key that was made"))?;
        let (rsa, rsa_public) = rsa_key()?;
        Ok(Self { key, rsa, rsa_public, random })
    }

    /// The RSA key's public part as PEM.
    pub(crate) fn rsa_public(&self) -> &str {
        &self.rsa_public
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
    pub(crate) fn token(&self, algorithm: Algorithm, access: &[Access<'_>], now: i64) -> Outcome<String> {
        let name = match algorithm {
            Algorithm::Es256 => "ES256",
            Algorithm::Rs256 => "RS256",
        };
        let header = json!({"typ": "JWT", "alg": name, "kid": KEY_ID});
        let claims = json!({
            "iss": ISSUER, "sub": "admin", "aud": SERVICE, "jti": "bench",
            "iat": now - BACKDATED, "nbf": now - BACKDATED, "exp": now + LIFE,
            "access": access.iter().map(|access| access.claim()).collect::<Vec<_>>(),
        });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut token = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.sign(algorithm, token.as_bytes()).map_err(|_| Failure::new("cannot sign a token"))?;
        // Writing to a string cannot fail.
        let _ = write!(token, ".{}", URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }

    fn sign(&self, algorithm: Algorithm, bytes: &[u8]) -> Result<Vec<u8>, ring::error::Unspecified> {
        match algorithm {
            Algorithm::Es256 => self.key.sign(&self.random, bytes).map(|signature| signature.as_ref().to_vec()),
            Algorithm::Rs256 => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa.sign(&RSA_PKCS1_SHA256, &self.random, bytes, &mut signature)?;
                Ok(signature)
            }
        }
    }
}

/// A key that openssl makes, and its public part as PEM.
fn rsa_key() -> Outcome<(RsaKeyPair, String)> {
    let openssl = || Ok::<_, Failure>(Command::new(tools::locate("openssl")?));
    let pem = run(openssl()?.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]))?;
    let public = run_with_input(openssl()?.args(["pkey", "-pubout"]), &pem)?;
    let lines: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let document = STANDARD.decode(lines).or_fail("openssl made no PEM")?;
    let key = RsaKeyPair::from_pkcs8(&document).map_err(|_| Failure::new("cannot use the RSA key that was made"))?;
    Ok((key, public))
}
