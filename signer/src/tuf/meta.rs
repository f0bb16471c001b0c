//! A file of metadata as a stranger brings it: its form, who has signed it, and what every role says.
//!
//! Signatures are checked over the canonical form of what came, whatever stands in it: fields that are not known here are signed
//! as well. `tough` reads the keys.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tough::schema::key::Key;

use super::build::unhex;
use super::write::canonical;

/// The lengths of public keys in bytes, and how the long form of a point begins (SEC 1, 2.3.3).
const ED25519_BYTES: usize = 32;
const SHORT_POINT_BYTES: usize = 33;
const LONG_POINT_BYTES: usize = 65;
const LONG_POINT: u8 = 4;
/// What a number begins with in DER.
const INTEGER: u8 = 2;

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// It is not what metadata looks like.
    #[error("it is no metadata: {0}")]
    Form(String),
    /// It says that it is of another role.
    #[error("it says that it is of the role {0:?}")]
    Kind(String),
    /// A specification that is not known here.
    #[error("it is written by specification {0:?}, and version 1 is read here")]
    Spec(String),
    /// Too few of the role's keys have signed it.
    #[error("{valid} valid signatures where {threshold} are needed")]
    TooFew {
        /// Distinct keys with a valid signature.
        valid: usize,
        /// How many are needed.
        threshold: u64,
    },
    /// The same key has signed twice.
    #[error("it is signed twice by {0}")]
    Twice(String),
    /// It has another version than the one that was asked for.
    #[error("it has version {found} where {wanted} was named")]
    Version {
        /// What it has.
        found: u64,
        /// What was named.
        wanted: u64,
    },
    /// It is older than one that was seen before.
    #[error("it falls from version {from} to {to}")]
    Rollback {
        /// What was seen.
        from: u64,
        /// What came.
        to: u64,
    },
    /// A role that was there before is not any more.
    #[error("it names the role {0} no more")]
    Vanished(String),
    /// Its time is over.
    #[error("it has expired at {0}")]
    Expired(String),
    /// It has another length or another hash than was named.
    #[error("its length or hash is not the one that was named")]
    Sum,
    /// Nothing says which version of it holds.
    #[error("nothing names it")]
    Unnamed,
    /// It is not there.
    #[error("it is not there")]
    Missing,
    /// There is more to read than a client should have to.
    #[error("there is more of it than {0}")]
    Endless(u64),
    /// More roles would have to be asked for one path than a client should have to.
    #[error("more than {0} roles would have to be asked for the path")]
    Roles(usize),
}

/// The keys of a role, and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct RoleKeys {
    pub(super) keyids: Vec<String>,
    pub(super) threshold: u64,
}

/// A file whose form is right; nothing is known yet of who signed it.
#[derive(Clone)]
pub(super) struct Envelope {
    signatures: BTreeMap<String, Vec<u8>>,
    message: String,
    signed: Value,
}

/// What every role says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Head {
    #[serde(rename = "_type")]
    kind: String,
    spec_version: String,
    pub(super) version: u64,
    #[serde(deserialize_with = "time")]
    pub(super) expires: i64,
}

/// A file that enough keys have signed.
#[derive(Debug, Clone)]
pub(super) struct Checked<T> {
    pub(super) head: Head,
    pub(super) body: T,
}

#[derive(Deserialize)]
struct Raw {
    signatures: Vec<RawSignature>,
    signed: Value,
}

#[derive(Deserialize)]
struct RawSignature {
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Reads the form.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Flaw> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(form)?;
        let mut signatures = BTreeMap::new();
        for RawSignature { keyid, sig } in raw.signatures {
            // A signature that is none counts as none.
            let sig = unhex(&sig).unwrap_or_default();
            if signatures.insert(keyid.clone(), sig).is_some() {
                return Err(Flaw::Twice(keyid));
            }
        }
        let message = canonical(&raw.signed).map_err(|error| Flaw::Form(error.to_string()))?;
        Ok(Self { signatures, message, signed: raw.signed })
    }

    /// What is signed.
    pub(super) fn message(&self) -> &[u8] {
        self.message.as_bytes()
    }

    /// Whether enough keys of a role have signed. A key counts once, whatever ids it has; one that cannot be read, or whose id
    /// is not its own, does not count.
    pub(super) fn is_signed_by(&self, keys: &BTreeMap<String, Value>, role: &RoleKeys) -> Result<(), Flaw> {
        let mut counted = BTreeSet::new();
        // However often an id is named, its signature is verified once.
        for id in role.keyids.iter().collect::<BTreeSet<_>>() {
            let (Some(sig), Some(key)) = (self.signatures.get(id), keys.get(id)) else { continue };
            let Some(key) = read_key(id, key).filter(|key| verifies(key, self.message.as_bytes(), sig)) else {
                continue;
            };
            counted.extend(identity(&key));
        }
        let valid = counted.len();
        if role.threshold >= 1 && valid as u64 >= role.threshold {
            Ok(())
        } else {
            Err(Flaw::TooFew { valid, threshold: role.threshold })
        }
    }

    /// Reads what it says, as a file of the role `kind`.
    pub(super) fn content<T: DeserializeOwned>(self, kind: &str) -> Result<Checked<T>, Flaw> {
        let head: Head = serde_json::from_value(self.signed.clone()).map_err(form)?;
        if head.kind != kind {
            return Err(Flaw::Kind(head.kind));
        }
        if head.spec_version.split('.').next() != Some("1") || head.spec_version.split('.').count() < 2 {
            return Err(Flaw::Spec(head.spec_version));
        }
        if head.version < 1 {
            return Err(Flaw::Form("a version is at least 1".to_owned()));
        }
        let body = serde_json::from_value(self.signed).map_err(form)?;
        Ok(Checked { head, body })
    }
}

impl<T> Checked<T> {
    /// Refuses it when its time is over at `now`, in milliseconds since 1970.
    pub(super) fn holds_at(&self, now: i64) -> Result<(), Flaw> {
        let expires = self.head.expires;
        if now < expires {
            return Ok(());
        }
        let told = jiff::Timestamp::from_millisecond(expires).map(|time| time.to_string());
        Err(Flaw::Expired(told.unwrap_or_default()))
    }
}

/// The version after this one.
pub(super) fn following(version: u64) -> Result<u64, Flaw> {
    version.checked_add(1).ok_or_else(|| Flaw::Form(format!("no version follows {version}")))
}

fn form(error: serde_json::Error) -> Flaw {
    Flaw::Form(error.to_string())
}

/// A key whose id is the hash of what it says.
pub(super) fn read_key(id: &str, key: &Value) -> Option<Key> {
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical(key).ok()?.as_bytes());
    let is_own = crate::hex(sum.as_ref()) == id;
    serde_json::from_value(key.clone()).ok().filter(|_| is_own)
}

fn public(key: &Key) -> &[u8] {
    match key {
        Key::Ed25519 { keyval, .. } => &keyval.public,
        Key::Ecdsa { keyval, .. } | Key::EcdsaOld { keyval, .. } => &keyval.public,
        Key::Rsa { keyval, .. } => &keyval.public,
    }
}

/// What tells a key from every other, however it is written down: a point on P-256 in its short form, whichever it came in. `None`
/// for a form that is read by chance only, as a whole document where a point belongs: one key would be as many as it has forms.
pub(super) fn identity(key: &Key) -> Option<Vec<u8>> {
    let public = public(key);
    match key {
        Key::Ed25519 { .. } => (public.len() == ED25519_BYTES).then(|| public.to_vec()),
        Key::Ecdsa { .. } | Key::EcdsaOld { .. } => match (public.first()?, public.len()) {
            (2 | 3, SHORT_POINT_BYTES) => Some(public.to_vec()),
            (&LONG_POINT, LONG_POINT_BYTES) => {
                let parity = 2 + (public.last()? & 1);
                Some([&[parity], &public[1..SHORT_POINT_BYTES]].concat())
            }
            _ => None,
        },
        Key::Rsa { .. } => {
            // A sequence whose first part is a number, and not the document that may stand around it (RFC 8017, A.1.1).
            let length = *public.get(1)?;
            let head = if length < 0x80 { 2 } else { 2 + usize::from(length & 0x7f) };
            (public.get(head) == Some(&INTEGER)).then(|| public.to_vec())
        }
    }
}

/// Whether it is a point on P-256 in the short form, which not every client reads.
pub(super) fn is_short(key: &Key) -> bool {
    matches!(key, Key::Ecdsa { .. } | Key::EcdsaOld { .. }) && public(key).len() == SHORT_POINT_BYTES
}

fn verifies(key: &Key, message: &[u8], signature: &[u8]) -> bool {
    let algorithm: &'static dyn VerificationAlgorithm = match key {
        Key::Ed25519 { .. } => &ED25519,
        Key::Ecdsa { .. } | Key::EcdsaOld { .. } => &ECDSA_P256_SHA256_ASN1,
        Key::Rsa { .. } => &RSA_PSS_2048_8192_SHA256,
    };
    UnparsedPublicKey::new(algorithm, public(key)).verify(message, signature).is_ok()
}

/// `YYYY-MM-DDTHH:MM:SSZ` and nothing else, in milliseconds since 1970.
fn time<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let text = String::deserialize(from)?;
    let is_form = text.len() == "2000-01-01T00:00:00Z".len() && text.ends_with('Z') && text.as_bytes()[10] == b'T';
    let time: Option<jiff::Timestamp> = text.parse().ok().filter(|_| is_form);
    time.map(jiff::Timestamp::as_millisecond)
        .ok_or_else(|| D::Error::custom("a time is written as YYYY-MM-DDTHH:MM:SSZ"))
}
