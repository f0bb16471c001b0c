//! The two files that a server makes: which files belong together, and which snapshot is the newest.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallmark_oci::TrustRole;
use ring::digest::{SHA256, SHA512, digest};
use serde::{Deserialize, Serialize};

use super::{Kind, Signature, Value};

/// What is known of a file: what a snapshot says of it, and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileState {
    /// Its role.
    #[serde(with = "crate::forms::grammar")]
    pub role: TrustRole,
    /// Its version.
    pub version: u64,
    /// In bytes.
    pub length: u64,
    /// SHA-256 of its bytes.
    #[serde(with = "crate::forms::base64_bytes")]
    pub sha256: [u8; 32],
    /// SHA-512 of its bytes.
    #[serde(with = "crate::forms::base64_bytes")]
    pub sha512: [u8; 64],
}

impl FileState {
    /// The state of these bytes.
    #[must_use]
    pub fn of(role: TrustRole, version: u64, bytes: &[u8]) -> Self {
        let (mut sha256, mut sha512) = ([0; 32], [0; 64]);
        sha256.copy_from_slice(digest(&SHA256, bytes).as_ref());
        sha512.copy_from_slice(digest(&SHA512, bytes).as_ref());
        Self { role, version, length: bytes.len() as u64, sha256, sha512 }
    }

    fn meta(&self) -> Value {
        let text = |bytes: &[u8]| Value::Text(STANDARD.encode(bytes));
        let hashes =
            BTreeMap::from([("sha256".to_owned(), text(&self.sha256)), ("sha512".to_owned(), text(&self.sha512))]);
        Value::Object(BTreeMap::from([
            ("hashes".to_owned(), Value::Object(hashes)),
            ("length".to_owned(), Value::Integer(i64::try_from(self.length).unwrap_or(i64::MAX))),
        ]))
    }
}

/// A file that waits for its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    message: Vec<u8>,
}

impl Draft {
    fn new(kind: Kind, version: u64, expires: i64, meta: BTreeMap<String, Value>) -> Self {
        let text = |text: String| Value::Text(text);
        let members = BTreeMap::from([
            ("_type".to_owned(), text(kind.word().to_owned())),
            ("expires".to_owned(), text(time(expires))),
            ("meta".to_owned(), Value::Object(meta)),
            ("version".to_owned(), Value::Integer(i64::try_from(version).unwrap_or(i64::MAX))),
        ]);
        Self::of(&Value::Object(members))
    }

    /// What is signed of a file, as a whole.
    pub(super) fn of(signed: &Value) -> Self {
        Self { message: signed.canonical() }
    }

    /// What is to be signed.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The file with its signatures.
    #[must_use]
    pub fn sealed(self, signatures: &[Signature]) -> Vec<u8> {
        let list = serde_json::Value::from_iter(signatures.iter().map(
            |signature| serde_json::json!({"keyid": signature.keyid, "method": signature.method, "sig": signature.sig}),
        ));
        let mut file = b"{\"signed\":".to_vec();
        for byte in self.message {
            // What is signed has them as they are, and JSON has not.
            match byte {
                b'\n' => file.extend_from_slice(b"\\n"),
                b'\r' => file.extend_from_slice(b"\\r"),
                b'\t' => file.extend_from_slice(b"\\t"),
                0..b' ' => file.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => file.push(byte),
            }
        }
        file.extend_from_slice(format!(",\"signatures\":{list}}}").as_bytes());
        file
    }
}

/// The snapshot of these files.
#[must_use]
pub fn snapshot<'a>(files: impl IntoIterator<Item = &'a FileState>, version: u64, expires: i64) -> Draft {
    let meta = files.into_iter().map(|file| (file.role.as_str().to_owned(), file.meta())).collect();
    Draft::new(Kind::Snapshot, version, expires, meta)
}

/// The timestamp of this snapshot.
#[must_use]
pub fn timestamp(snapshot: &FileState, version: u64, expires: i64) -> Draft {
    let meta = BTreeMap::from([("snapshot".to_owned(), snapshot.meta())]);
    Draft::new(Kind::Timestamp, version, expires, meta)
}

/// Whole seconds in UTC: every reader takes them.
pub(super) fn time(milliseconds: i64) -> String {
    let time = jiff::Timestamp::from_second(milliseconds.div_euclid(1_000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.to_string()
}
