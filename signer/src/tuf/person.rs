//! Keys that people hold, in files or on tokens: what signs the root of a domain that is not left to the registry.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::root::{RootContent, RootRole, is_same, key_id, payload};
use super::{BuildError, Flaw};
use crate::hex;

const SECRET: (&str, &str) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
const SHOWN: (&str, &str) = ("-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----");
/// What the PKIX form of an Ed25519 key (RFC 8410) and of an uncompressed point on P-256 (RFC 5480) begin with.
const ED25519_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// And of a compressed one.
const SHORT_HEAD: [u8; 26] = [
    0x30, 0x39, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x22, 0x00,
];

/// A secret key of a person.
pub struct HeldKey(Pair);

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(Box<EcdsaKeyPair>),
}

/// Why a key of a person cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeldKeyError {
    /// Not a secret key in PEM.
    #[error("it is no secret key in PEM (PKCS #8, without a passphrase)")]
    Form,
    /// Not a public key.
    #[error("it is no public key: name what `hallmark trust root key` wrote beside the secret one, or one in PEM")]
    Public,
    /// A secret key where a public one belongs.
    #[error("it is a secret key; name the public one, and show this one to nobody")]
    Secret,
    /// A point in the form that some clients do not read.
    #[error(
        "it is a compressed point, which not every client reads: write it with `openssl ec -pubin -conv_form uncompressed`"
    )]
    Compressed,
    /// A key of another kind.
    #[error("it is neither an Ed25519 nor a P-256 key")]
    Kind,
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    Random,
    /// What was to be signed is no root.
    #[error("the root is refused: {0}")]
    Root(#[from] Flaw),
    /// It could not be written down.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl std::fmt::Debug for HeldKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeldKey([secret])")
    }
}

impl HeldKey {
    /// A new Ed25519 key as a text to be kept, which [`HeldKey::read`] reads.
    ///
    /// # Errors
    /// [`HeldKeyError::Random`]
    pub fn generate() -> Result<Zeroizing<String>, HeldKeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| HeldKeyError::Random)?;
        // The first version of the format: others, as OpenSSL 3.0, read no later one.
        let document = pair.to_pkcs8v1().map_err(|_| HeldKeyError::Random)?;
        Ok(Zeroizing::new(pem(document.as_ref(), SECRET)))
    }

    /// Reads a secret key: Ed25519 or P-256, in PEM (PKCS #8).
    ///
    /// # Errors
    /// [`HeldKeyError::Form`], [`HeldKeyError::Kind`]
    pub fn read(text: &str) -> Result<Self, HeldKeyError> {
        let der = Zeroizing::new(of_pem(text, SECRET).ok_or(HeldKeyError::Form)?);
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            return Ok(Self(Pair::Ed25519(pair)));
        }
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der);
        pair.map(|pair| Self(Pair::P256(Box::new(pair)))).map_err(|_| HeldKeyError::Kind)
    }

    /// The public half, as metadata holds it.
    #[must_use]
    pub fn public(&self) -> Value {
        match &self.0 {
            Pair::Ed25519(pair) => ed25519(pair.public_key().as_ref()),
            Pair::P256(pair) => p256(&pem(&[P256_HEAD.as_slice(), pair.public_key().as_ref()].concat(), SHOWN)),
        }
    }

    /// A signature over a root, and the id under which the root knows the key: its public half may stand there in another layout.
    ///
    /// # Errors
    /// [`HeldKeyError::Root`]
    pub fn sign_root(&self, root: &[u8]) -> Result<(String, Vec<u8>), HeldKeyError> {
        let (message, content) = (payload(root)?, RootContent::read_draft(root)?);
        let own = self.public();
        let named = content.roles.get(&RootRole::Root).map(|holders| holders.keys.as_slice()).unwrap_or_default();
        let document = named.iter().find(|known| is_same(known, &own)).unwrap_or(&own);
        Ok((key_id(document)?, self.sign(&message)?))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, HeldKeyError> {
        match &self.0 {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| HeldKeyError::Random)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

/// Reads a public key: as metadata holds it, or in PEM.
///
/// # Errors
/// [`HeldKeyError::Public`], [`HeldKeyError::Secret`], [`HeldKeyError::Compressed`], [`HeldKeyError::Kind`]
pub fn public_key(text: &str) -> Result<Value, HeldKeyError> {
    if text.contains("PRIVATE KEY") {
        return Err(HeldKeyError::Secret);
    }
    let Some(der) = of_pem(text, SHOWN) else {
        let document: Value = serde_json::from_str(text).map_err(|_| HeldKeyError::Public)?;
        let id = key_id(&document)?;
        let key = super::meta::read_key(&id, &document).ok_or(HeldKeyError::Kind)?;
        return if super::meta::is_short(&key) { Err(HeldKeyError::Compressed) } else { Ok(document) };
    };
    if der.starts_with(&SHORT_HEAD) {
        return Err(HeldKeyError::Compressed);
    }
    if let Some(public) = der.strip_prefix(&ED25519_HEAD) {
        return Ok(ed25519(public));
    }
    let is_p256 = der.starts_with(&P256_HEAD) && der.len() == P256_HEAD.len() + 65;
    if is_p256 { Ok(p256(&pem(&der, SHOWN))) } else { Err(HeldKeyError::Kind) }
}

fn ed25519(public: &[u8]) -> Value {
    json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex(public)}})
}

fn p256(pem: &str) -> Value {
    json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem}})
}

/// A public key in PEM.
pub(crate) fn shown(der: &[u8]) -> String {
    pem(der, SHOWN)
}

fn pem(der: &[u8], (head, foot): (&str, &str)) -> String {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = format!("{head}\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).unwrap_or_default());
        text.push('\n');
    }
    text.push_str(foot);
    text.push('\n');
    text
}

fn of_pem(text: &str, (head, foot): (&str, &str)) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(head)?;
    let (body, _) = rest.split_once(foot)?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    STANDARD.decode(body.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_shows_the_same_public_half() {
        let text = HeldKey::generate().unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[lines.len() - 1]), SECRET);
        let der = of_pem(&text, SECRET).unwrap();
        assert_eq!(
            (der.len(), &der[..5]),
            (48, [0x30, 0x2e, 0x02, 0x01, 0x00].as_slice()),
            "version 1, without public half"
        );
        let (one, other) = (HeldKey::read(&text).unwrap().public(), HeldKey::read(&text).unwrap().public());
        assert_eq!(one, other);
        assert_eq!(public_key(&one.to_string()).unwrap(), one);
    }

    #[test]
    fn a_public_key_in_pem_is_the_one_that_the_secret_key_shows() {
        for (secret, public) in [
            (include_str!("../../tests/data/person/ed25519.key"), include_str!("../../tests/data/person/ed25519.pub")),
            (include_str!("../../tests/data/person/p256.key"), include_str!("../../tests/data/person/p256.pub")),
        ] {
            assert_eq!(HeldKey::read(secret).unwrap().public(), public_key(public).unwrap());
            assert!(matches!(public_key(secret), Err(HeldKeyError::Secret)));
            assert!(matches!(HeldKey::read(public), Err(HeldKeyError::Form)));
        }
        let rsa = include_str!("../../tests/data/person/rsa.key");
        assert!(matches!(HeldKey::read(rsa), Err(HeldKeyError::Kind)));
        for text in ["", "{}", "x", "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"] {
            public_key(text).unwrap_err();
        }
    }
}
