//! Files as they are written: `signed` in canonical form, so that what is signed and what is sent are the same bytes and nobody
//! has to make them again.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::KeyPair as _;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{BuildError, Held};

/// The version of the specification that metadata names.
pub(super) const SPEC: &str = "1.0.31";

/// A file, whose `signed` is read where it is needed.
#[derive(Serialize, Deserialize)]
pub(super) struct File<'a> {
    pub(super) signatures: Vec<Signature>,
    #[serde(borrow)]
    pub(super) signed: &'a RawValue,
}

/// Who signed.
#[derive(Serialize, Deserialize)]
pub(super) struct Signature {
    pub(super) keyid: String,
    pub(super) sig: String,
}

/// The line of a file in a snapshot or a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) hashes: Sums,
    pub(super) length: u64,
    pub(super) version: u64,
}

impl Meta {
    /// Whether it can be written as it stands: its sum is one, and its version a number that every reader of JSON knows.
    pub(super) fn is_plain(&self) -> bool {
        let sum = self.hashes.sha256.as_bytes();
        self.version < 1 << 53
            && sum.len() == 64
            && sum.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
    }
}

/// The sums by which a file is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sums {
    pub(super) sha256: String,
}

/// A snapshot or a timestamp. The fields of these three stand in the order of their names, as the canonical form wants it.
#[derive(Serialize, Deserialize)]
pub(super) struct Lines {
    #[serde(rename = "_type")]
    pub(super) kind: String,
    pub(super) expires: String,
    pub(super) meta: BTreeMap<String, Meta>,
    pub(super) spec_version: String,
    pub(super) version: u64,
}

/// A role that names targets, or hands them on. Each part that is kept from one version to the next stays as it was written.
#[derive(Serialize, Deserialize)]
pub(super) struct Names {
    #[serde(rename = "_type")]
    pub(super) kind: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) delegations: Option<Box<RawValue>>,
    pub(super) expires: String,
    pub(super) spec_version: String,
    pub(super) targets: BTreeMap<String, Box<RawValue>>,
    pub(super) version: u64,
}

impl Names {
    pub(super) fn new(
        version: u64,
        expires: String,
        targets: BTreeMap<String, Box<RawValue>>,
        delegations: Option<Box<RawValue>>,
    ) -> Self {
        Self { kind: "targets".to_owned(), delegations, expires, spec_version: SPEC.to_owned(), targets, version }
    }
}

impl Lines {
    pub(super) fn new(kind: &str, version: u64, expires: String, meta: BTreeMap<String, Meta>) -> Self {
        Self { kind: kind.to_owned(), expires, meta, spec_version: SPEC.to_owned(), version }
    }
}

/// The canonical form of anything: members by name, no spaces, and nothing escaped but the quote and the backslash. Letters stay as
/// they came: who composes them, as `tough` does, verifies other bytes than were signed.
///
/// # Errors
/// [`BuildError::Write`] for a number that is not whole.
pub(super) fn canonical(value: &impl Serialize) -> Result<String, BuildError> {
    let mut text = String::new();
    lay_out(&serde_json::to_value(value)?, &mut text)?;
    Ok(text)
}

/// As deep as `serde_json` reads, which is not deep.
fn lay_out(value: &Value, text: &mut String) -> Result<(), serde_json::Error> {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(truth) => text.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) if number.is_f64() => return Err(serde_json::Error::custom("a number is not whole")),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(string) => quote(string, text),
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                text.push_str(if place > 0 { "," } else { "" });
                lay_out(item, text)?;
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (place, (name, member)) in members.into_iter().enumerate() {
                text.push_str(if place > 0 { "," } else { "" });
                quote(name, text);
                text.push(':');
                lay_out(member, text)?;
            }
            text.push('}');
        }
    }
    Ok(())
}

fn quote(string: &str, text: &mut String) {
    text.push('"');
    for one in string.chars() {
        if matches!(one, '"' | '\\') {
            text.push('\\');
        }
        text.push(one);
    }
    text.push('"');
}

/// The file of a role, signed by all of these keys. Its parts are in canonical form, and their names need no escapes: the
/// common form of `serde_json` is then the canonical one.
pub(super) fn sealed<'k>(
    signed: &impl Serialize,
    keys: impl IntoIterator<Item = &'k Held>,
) -> Result<Vec<u8>, BuildError> {
    let signed = serde_json::value::to_raw_value(signed)?;
    let signature = |key: &Held| {
        let sig = crate::hex(key.0.sign(signed.get().as_bytes()).as_ref());
        Ok(Signature { keyid: key.id()?, sig })
    };
    let signatures: Vec<Signature> = keys.into_iter().map(signature).collect::<Result<_, BuildError>>()?;
    Ok(serde_json::to_vec(&File { signatures, signed: &signed })?)
}

/// What of a file that [`sealed`] made is signed.
///
/// # Errors
/// [`BuildError`] when it is no such file.
pub(crate) fn message(file: &[u8]) -> Result<&[u8], BuildError> {
    let file: File<'_> = serde_json::from_slice(file)?;
    Ok(file.signed.get().as_bytes())
}

/// How a file is known where it is named.
pub(super) fn described(bytes: &[u8], version: u64) -> Meta {
    let sha256 = crate::hex(digest(&SHA256, bytes).as_ref());
    Meta { hashes: Sums { sha256 }, length: bytes.len() as u64, version }
}

/// A time as metadata says it.
pub(super) fn later(now: i64, seconds: i64) -> Result<String, BuildError> {
    let time = jiff::Timestamp::from_second(now.div_euclid(1_000) + seconds).map_err(|_| BuildError::Range)?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

impl Held {
    /// The id of its public half.
    pub(crate) fn id(&self) -> Result<String, BuildError> {
        let id = super::document(self.0.public_key().as_ref()).key_id().map_err(|_| BuildError::Range)?;
        Ok(crate::hex(&id))
    }

    /// Whether it signed this.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let public = self.0.public_key().as_ref();
        aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, public)
            .verify(message, signature)
            .is_ok()
    }
}
