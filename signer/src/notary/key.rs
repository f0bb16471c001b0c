//! Public keys and single signatures, as Notary v1 writes them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::Value;
use crate::hex;

/// The object identifiers of what a key may be.
const EC: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const RSA: &str = "1.2.840.113549.1.1.1";
/// The object identifiers of signatures over SHA-1 and MD5 digests, which no certificate may have.
const WEAK: [&str; 4] = ["1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1", "1.2.840.10040.4.3"];
/// The fewest bits of an RSA key.
const RSA_BITS: usize = 2048;
/// An ECDSA P-256 point, uncompressed, in bytes.
const POINT_BYTES: usize = 65;
/// The most certificates that a key may bring.
const CERTIFICATES: usize = 8;

/// A key as metadata holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDocument {
    /// `ecdsa`, `rsa`, `ed25519`, `ecdsa-x509` or `rsa-x509`.
    pub keytype: String,
    /// Its halves.
    pub keyval: KeyValue,
}

/// The halves of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// Always `null` in metadata, and part of what the key's id is made from.
    #[serde(default)]
    pub private: Option<String>,
    /// Base64 of PKIX DER, of 32 bytes for `ed25519`, or of PEM for `*-x509`.
    pub public: String,
}

/// One signature of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Which key made it.
    pub keyid: String,
    /// `ecdsa`, `rsapss`, `rsapkcs1v15` or `eddsa`.
    pub method: String,
    /// Base64.
    pub sig: String,
}

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyInvalid {
    /// A type that is not known here.
    #[error("the key type {0:?} is not known")]
    Type(String),
    /// Not what the type says.
    #[error("the public half is not what its type says")]
    Public,
    /// A private half, which must never be published.
    #[error("the key holds a private half")]
    Private,
    /// An RSA key of too few bits.
    #[error("an RSA key has at least 2048 bits")]
    Short,
    /// Another curve than P-256.
    #[error("an ECDSA key is on the curve P-256")]
    Curve,
    /// Certificates that do not read as one leaf followed by its intermediates.
    #[error("the certificates are not one leaf followed by its intermediates")]
    Certificates,
    /// A certificate signed over a broken digest.
    #[error("a certificate is signed with SHA-1 or MD5")]
    WeakCertificate,
}

impl KeyDocument {
    /// A public key of `keytype` whose public half is these bytes.
    #[must_use]
    pub fn of(keytype: &str, public: &[u8]) -> Self {
        Self { keytype: keytype.to_owned(), keyval: KeyValue { private: None, public: STANDARD.encode(public) } }
    }

    /// The key in PEM, where it is one as PKIX writes them.
    #[must_use]
    pub fn to_pem(&self) -> Option<String> {
        let der = STANDARD.decode(&self.keyval.public).ok()?;
        matches!(self.keytype.as_str(), "ecdsa" | "rsa").then(|| crate::tuf::shown(&der))
    }

    /// The key's id: SHA-256 over the canonical form of this object, in lower-case hex.
    #[must_use]
    pub fn id(&self) -> String {
        let text = |text: &str| Value::Text(text.to_owned());
        let private = self.keyval.private.as_deref().map_or(Value::Null, text);
        let halves =
            BTreeMap::from([("private".to_owned(), private), ("public".to_owned(), text(&self.keyval.public))]);
        let object =
            BTreeMap::from([("keytype".to_owned(), text(&self.keytype)), ("keyval".to_owned(), Value::Object(halves))]);
        hex(digest(&SHA256, &Value::Object(object).canonical()).as_ref())
    }
}

/// A key that can check signatures.
#[derive(Debug, Clone)]
pub struct PublicKey {
    material: Material,
    leaf: Option<Leaf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    P256(Vec<u8>),
    Rsa(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// The certificate around a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The subject's common name: the collection, or the beginning of its name with `*` after the last slash.
    pub common_name: String,
    /// The last second in which it holds, since 1970.
    pub not_after: i64,
    /// The first one.
    pub not_before: i64,
    /// Why it can be no key of a root: it is an authority's, or what follows it is not, or it is signed over a broken digest.
    pub fault: Option<KeyInvalid>,
}

impl PublicKey {
    /// Reads a key of metadata.
    ///
    /// # Errors
    /// [`KeyInvalid`], each as it says.
    pub fn parse(document: &KeyDocument) -> Result<Self, KeyInvalid> {
        if document.keyval.private.is_some() {
            return Err(KeyInvalid::Private);
        }
        let public = STANDARD.decode(&document.keyval.public).map_err(|_| KeyInvalid::Public)?;
        match document.keytype.as_str() {
            "ecdsa" | "rsa" => {
                let (rest, information) = SubjectPublicKeyInfo::from_der(&public).map_err(|_| KeyInvalid::Public)?;
                if !rest.is_empty() {
                    return Err(KeyInvalid::Public);
                }
                let material = material(&information)?;
                let is_named = matches!(
                    (&material, document.keytype.as_str()),
                    (Material::P256(_), "ecdsa") | (Material::Rsa(_), "rsa")
                );
                if is_named { Ok(Self { material, leaf: None }) } else { Err(KeyInvalid::Public) }
            }
            "ed25519" if public.len() == 32 => Ok(Self { material: Material::Ed25519(public), leaf: None }),
            "ed25519" => Err(KeyInvalid::Public),
            "ecdsa-x509" | "rsa-x509" => certified(&public, document.keytype.as_str()),
            other => Err(KeyInvalid::Type(other.chars().take(64).collect())),
        }
    }

    /// The certificate around it, when there is one.
    #[must_use]
    pub fn leaf(&self) -> Option<&Leaf> {
        self.leaf.as_ref()
    }

    /// Whether it is the same key, whatever the certificates around it: the two have different ids.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.material == other.material
    }

    /// Whether `signature` was made over `message` with the private half.
    #[must_use]
    pub fn verifies(&self, signature: &Signature, message: &[u8]) -> bool {
        let Ok(bytes) = STANDARD.decode(&signature.sig) else { return false };
        let method = signature.method.to_ascii_lowercase();
        let (algorithm, key): (&'static dyn VerificationAlgorithm, &[u8]) = match (&self.material, method.as_str()) {
            (Material::P256(point), "ecdsa") => (&ECDSA_P256_SHA256_FIXED, point),
            (Material::Rsa(key), "rsapss" | "pycrypto-pkcs#1 pss") => (&RSA_PSS_2048_8192_SHA256, key),
            (Material::Rsa(key), "rsapkcs1v15") => (&RSA_PKCS1_2048_8192_SHA256, key),
            (Material::Ed25519(key), "eddsa" | "ed25519") => (&ED25519, key),
            _ => return false,
        };
        UnparsedPublicKey::new(algorithm, key).verify(message, &bytes).is_ok()
    }
}

fn material(information: &SubjectPublicKeyInfo<'_>) -> Result<Material, KeyInvalid> {
    let bits = information.subject_public_key.data.to_vec();
    match information.algorithm.algorithm.to_id_string().as_str() {
        EC => {
            let curve = information.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
            if curve.is_none_or(|curve| curve.to_id_string() != P256) || bits.len() != POINT_BYTES {
                return Err(KeyInvalid::Curve);
            }
            Ok(Material::P256(bits))
        }
        RSA => match information.parsed() {
            Ok(x509_parser::public_key::PublicKey::RSA(key)) if key.key_size() >= RSA_BITS => Ok(Material::Rsa(bits)),
            Ok(x509_parser::public_key::PublicKey::RSA(_)) => Err(KeyInvalid::Short),
            _ => Err(KeyInvalid::Public),
        },
        other => Err(KeyInvalid::Type(other.to_owned())),
    }
}

/// The key of the first certificate. What else stands there matters for the keys of root roles alone: people sign for delegations
/// with self-signed certificates of every kind.
fn certified(pem: &[u8], keytype: &str) -> Result<PublicKey, KeyInvalid> {
    let mut found = None;
    let mut fault = None;
    for (index, block) in x509_parser::pem::Pem::iter_from_buffer(pem).enumerate() {
        let block = block.map_err(|_| KeyInvalid::Certificates)?;
        if index == CERTIFICATES || block.label != "CERTIFICATE" {
            return Err(KeyInvalid::Certificates);
        }
        let (rest, certificate) = X509Certificate::from_der(&block.contents).map_err(|_| KeyInvalid::Certificates)?;
        if !rest.is_empty() {
            return Err(KeyInvalid::Certificates);
        }
        if WEAK.contains(&certificate.signature_algorithm.algorithm.to_id_string().as_str()) {
            fault = Some(KeyInvalid::WeakCertificate);
        }
        if certificate.is_ca() == (index == 0) {
            fault = fault.or(Some(KeyInvalid::Certificates));
        }
        if index == 0 {
            found = Some(first(&certificate)?);
        }
    }
    let (material, mut leaf) = found.ok_or(KeyInvalid::Certificates)?;
    leaf.fault = fault.or(leaf.fault);
    let is_named = matches!((&material, keytype), (Material::P256(_), "ecdsa-x509") | (Material::Rsa(_), "rsa-x509"));
    if is_named { Ok(PublicKey { material, leaf: Some(leaf) }) } else { Err(KeyInvalid::Public) }
}

fn first(certificate: &X509Certificate<'_>) -> Result<(Material, Leaf), KeyInvalid> {
    let mut names = certificate.subject().iter_common_name();
    let common_name = names.next().and_then(|name| name.as_str().ok()).unwrap_or_default().to_owned();
    let fault = names.next().map(|_| KeyInvalid::Certificates);
    let validity = certificate.validity();
    let (not_before, not_after) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Ok((material(certificate.public_key())?, Leaf { common_name, not_before, not_after, fault }))
}
