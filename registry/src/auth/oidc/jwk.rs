//! The public keys of an issuer (RFC 7517). A key has one algorithm, which its type decides, not the token.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde_json::{Map, Value};

use super::json::{self, JsonInvalid};
use super::jwt::{Algorithm, is_key_id};

/// The most keys that one set may have.
const KEYS: usize = 64;
/// The bits of an RSA modulus that is neither too weak nor too slow.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key that verifies with one algorithm.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    algorithm: Algorithm,
    material: Material,
}

#[derive(Debug, PartialEq, Eq)]
enum Material {
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// A point on a curve: uncompressed for P-256 and P-384, 32 bytes for Ed25519.
    Point(Vec<u8>),
}

impl PublicKey {
    /// Whether `signature` over `message` is of this key and of its own algorithm.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        algorithm == self.algorithm
            && match (&self.material, algorithm) {
                (Material::Rsa { n, e }, Algorithm::Rs256) => {
                    rsa(n, e, &RSA_PKCS1_2048_8192_SHA256, message, signature)
                }
                (Material::Rsa { n, e }, Algorithm::Ps256) => rsa(n, e, &RSA_PSS_2048_8192_SHA256, message, signature),
                (Material::Point(point), Algorithm::Es256) => on(&ECDSA_P256_SHA256_FIXED, point, message, signature),
                (Material::Point(point), Algorithm::Es384) => on(&ECDSA_P384_SHA384_FIXED, point, message, signature),
                (Material::Point(point), Algorithm::EdDsa) => on(&ED25519, point, message, signature),
                (Material::Rsa { .. }, Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa)
                | (Material::Point(_), Algorithm::Rs256 | Algorithm::Ps256) => false,
            }
    }

    /// Reads one key, or nothing when it cannot or must not verify tokens.
    fn read(key: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let bytes = |name: &str| text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let verifies = |operations: &Value| {
            operations.as_array().is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
        };
        // A key with its private half in public is everybody's key.
        if key.get("use").is_some_and(|use_| use_ != "sig")
            || key.get("key_ops").is_some_and(|operations| !verifies(operations))
            || key.contains_key("d")
        {
            return None;
        }
        let (natural, material) = match (text("kty")?, text("crv")) {
            ("RSA", _) => (Algorithm::Rs256, rsa_material(bytes("n")?, bytes("e")?)?),
            ("EC", Some("P-256")) => (Algorithm::Es256, point(32, &bytes("x")?, &bytes("y")?)?),
            ("EC", Some("P-384")) => (Algorithm::Es384, point(48, &bytes("x")?, &bytes("y")?)?),
            ("OKP", Some("Ed25519")) => {
                (Algorithm::EdDsa, Material::Point(bytes("x").filter(|point| point.len() == 32)?))
            }
            _ => return None,
        };
        let algorithm = match key.get("alg") {
            None => natural,
            Some(name) => Algorithm::named(name.as_str()?)?,
        };
        let fits = algorithm == natural || (natural, algorithm) == (Algorithm::Rs256, Algorithm::Ps256);
        fits.then_some(Self { algorithm, material })
    }
}

fn rsa(n: &[u8], e: &[u8], parameters: &'static RsaParameters, message: &[u8], signature: &[u8]) -> bool {
    RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
}

fn on(algorithm: &'static dyn VerificationAlgorithm, point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
}

fn rsa_material(n: Vec<u8>, e: Vec<u8>) -> Option<Material> {
    let first = n.first()?;
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    (*first != 0 && RSA_BITS.contains(&bits)).then_some(Material::Rsa { n, e })
}

fn point(width: usize, x: &[u8], y: &[u8]) -> Option<Material> {
    (x.len() == width && y.len() == width).then(|| Material::Point([&[4], x, y].concat()))
}

/// The usable keys of an issuer, by key id.
#[derive(Debug, Default)]
pub(super) struct KeySet(HashMap<String, Arc<PublicKey>>);

impl KeySet {
    /// Reads a key set. Keys without an id, for encryption, of unsupported kinds or too weak are left out.
    pub(super) fn parse(document: &[u8]) -> Result<Self, KeySetInvalid> {
        let document = json::parse(document)?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or(KeySetInvalid::Shape)?;
        if keys.len() > KEYS {
            return Err(KeySetInvalid::TooMany);
        }
        let mut usable = HashMap::new();
        for key in keys {
            let key = key.as_object().ok_or(KeySetInvalid::Shape)?;
            let Some(kid) = key.get("kid").and_then(Value::as_str).filter(|kid| is_key_id(kid)) else { continue };
            let Some(public) = PublicKey::read(key) else { continue };
            if usable.insert(kid.to_owned(), Arc::new(public)).is_some() {
                return Err(KeySetInvalid::Twice(kid.to_owned()));
            }
        }
        if usable.is_empty() {
            return Err(KeySetInvalid::Empty);
        }
        Ok(Self(usable))
    }

    /// The key of this id.
    pub(super) fn key(&self, kid: &str) -> Option<&Arc<PublicKey>> {
        self.0.get(kid)
    }

    /// A key id that names another key here than in `later`.
    pub(super) fn changed_in(&self, later: &Self) -> Option<&str> {
        let changed = |(kid, key): &(&String, &Arc<PublicKey>)| later.key(kid).is_some_and(|other| other != *key);
        self.0.iter().find(changed).map(|(kid, _)| kid.as_str())
    }
}

/// Why a document is not a key set that is used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetInvalid {
    /// Not JSON that is read here.
    #[error("the key set is refused: {0}")]
    Json(#[from] JsonInvalid),
    /// Not an object with a list of objects `keys`.
    #[error("the key set has no list of keys")]
    Shape,
    /// More than 64 keys.
    #[error("the key set has more than {KEYS} keys")]
    TooMany,
    /// Two usable keys have one id.
    #[error("two keys have the id {0:?}")]
    Twice(String),
    /// No key can verify tokens.
    #[error("no key of the set can verify tokens")]
    Empty,
    /// A key id that was known came back with another key.
    #[error("the key id {0:?} names another key than before; forget the issuer's keys if that is meant")]
    Changed(String),
}
