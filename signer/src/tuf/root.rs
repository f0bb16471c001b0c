//! The root of a trust domain: which keys hold for which role, and how one root follows from the one before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::meta::{self, Checked, Flaw};
use super::update::{self, Root};
use super::write::{File, SPEC, Signature, canonical, later};
use super::{BuildError, Held, document};

const DAY: i64 = 24 * 60 * 60;
/// For how long a root of keys that are held online holds, in days.
pub(crate) const ROOT_DAYS: i64 = 10 * 365;

/// The most keys that a root names for a role.
const KEYS: usize = 64;

/// The roles that a root names keys for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is the role of its name")]
pub enum RootRole {
    Root,
    Targets,
    Snapshot,
    Timestamp,
}

impl RootRole {
    pub(crate) const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    /// Its name in metadata.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }
}

/// The keys of a role, each as metadata holds it, and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyholders {
    /// Public keys.
    pub keys: Vec<Value>,
    /// How many of them.
    pub threshold: u64,
}

/// Why people cannot hold a root by these keys; each is told by its place among them, from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoldersRefused {
    /// A key that no client could use.
    #[error("key {0} cannot be used")]
    Unusable(usize),
    /// A point in a form that some clients do not read.
    #[error("key {0} is a compressed point on P-256, which not every client reads")]
    Compressed(usize),
    /// The same key once more, however it is written down: it would stand for two people.
    #[error("each key is named once, and key {0} is one of those before it")]
    Twice(usize),
}

impl Keyholders {
    /// Refuses keys that are no keys of so many people.
    ///
    /// # Errors
    /// [`HoldersRefused`]
    pub fn check(&self) -> Result<(), HoldersRefused> {
        let mut known = BTreeSet::new();
        for (document, place) in self.keys.iter().zip(1..) {
            let key = key_id(document).ok().and_then(|id| meta::read_key(&id, document));
            let identity = key.as_ref().and_then(|key| Some((meta::identity(key)?, meta::is_short(key))));
            let (identity, is_short) = identity.ok_or(HoldersRefused::Unusable(place))?;
            if is_short {
                return Err(HoldersRefused::Compressed(place));
            }
            if !known.insert(identity) {
                return Err(HoldersRefused::Twice(place));
            }
        }
        Ok(())
    }
}

/// Whether two documents hold the same key, however it is written down.
pub(super) fn is_same(one: &Value, other: &Value) -> bool {
    let identity = |document: &Value| meta::identity(&meta::read_key(&key_id(document).ok()?, document)?);
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// What a root says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootContent {
    /// Its version.
    pub version: u64,
    /// When it expires, in milliseconds since 1970.
    pub expires: i64,
    /// Who holds for each role.
    pub roles: BTreeMap<RootRole, Keyholders>,
}

#[derive(Serialize)]
struct Document<'d> {
    #[serde(rename = "_type")]
    kind: &'static str,
    consistent_snapshot: bool,
    expires: String,
    keys: BTreeMap<String, &'d Value>,
    roles: BTreeMap<&'static str, Role>,
    spec_version: &'static str,
    version: u64,
}

#[derive(Serialize)]
struct Role {
    keyids: Vec<String>,
    threshold: u64,
}

/// The public half of a key of this signer, as metadata holds it.
pub(crate) fn public(public: &[u8]) -> Result<Value, BuildError> {
    Ok(serde_json::to_value(document(public))?)
}

/// The id of a public key: the hash of what it says.
///
/// # Errors
/// [`BuildError`] when it cannot be written in canonical form.
pub fn key_id(key: &Value) -> Result<String, BuildError> {
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical(key)?.as_bytes());
    Ok(crate::hex(sum.as_ref()))
}

impl RootContent {
    /// Reads a root that is signed as it says itself.
    ///
    /// # Errors
    /// [`Flaw`]
    pub fn read(root: &[u8]) -> Result<Self, Flaw> {
        Self::of(&update::pinned(root)?)
    }

    /// Reads a draft, whoever has signed it.
    ///
    /// # Errors
    /// [`Flaw`]
    pub fn read_draft(root: &[u8]) -> Result<Self, Flaw> {
        Self::of(&meta::Envelope::read(root)?.content("root")?)
    }

    fn of(root: &Checked<Root>) -> Result<Self, Flaw> {
        let told = &root.body.roles;
        let each = [&told.root, &told.targets, &told.snapshot, &told.timestamp];
        let holders = |(role, by): (RootRole, &meta::RoleKeys)| {
            let distinct: BTreeSet<&String> = by.keyids.iter().collect();
            if by.keyids.len() > KEYS || distinct.len() < by.keyids.len() {
                let why = format!("{} names a key twice, or more than {KEYS} keys", role.as_str());
                return Err(Flaw::Form(why));
            }
            let key = |id: &String| {
                let key = root.body.keys.get(id).filter(|key| meta::read_key(id, key).is_some());
                key.cloned().ok_or_else(|| Flaw::Form(format!("the key {id} of {} cannot be used", role.as_str())))
            };
            let keys: Vec<Value> = by.keyids.iter().map(key).collect::<Result<_, _>>()?;
            Ok((role, Keyholders { keys, threshold: by.threshold }))
        };
        let roles = RootRole::ALL.into_iter().zip(each).map(holders).collect::<Result<_, Flaw>>()?;
        Ok(Self { version: root.head.version, expires: root.head.expires, roles })
    }

    /// The version of the root that may follow.
    ///
    /// # Errors
    /// [`Flaw::Form`] when there is none.
    pub(crate) fn next_version(&self) -> Result<u64, Flaw> {
        meta::following(self.version)
    }

    /// The ids of the keys of a role.
    #[must_use]
    pub fn ids(&self, role: RootRole) -> Vec<String> {
        let keys = self.roles.get(&role).map(|holders| holders.keys.as_slice()).unwrap_or_default();
        keys.iter().filter_map(|key| key_id(key).ok()).collect()
    }

    /// `signed` in canonical form: what each signature is made over.
    fn message(&self) -> Result<String, BuildError> {
        let mut keys = BTreeMap::new();
        let mut roles = BTreeMap::new();
        for (role, holders) in &self.roles {
            let ids: Vec<String> = holders.keys.iter().map(key_id).collect::<Result<_, _>>()?;
            keys.extend(ids.iter().cloned().zip(&holders.keys));
            roles.insert(role.as_str(), Role { keyids: ids, threshold: holders.threshold });
        }
        let document = Document {
            kind: "root",
            consistent_snapshot: true,
            expires: later(self.expires, 0)?,
            keys,
            roles,
            spec_version: SPEC,
            version: self.version,
        };
        canonical(&document)
    }

    /// Whether a draft says this and nothing else: consistent snapshots, and no field that nobody knows.
    pub(crate) fn is_all_of(&self, draft: &[u8]) -> Result<bool, BuildError> {
        let said = payload(draft).map_err(|_| BuildError::anew("the root cannot be read"))?;
        Ok(said == self.message()?.as_bytes())
    }

    /// The file of a root, signed by these keys.
    pub(crate) fn sealed(&self, keys: &[Held]) -> Result<Vec<u8>, BuildError> {
        let signed = RawValue::from_string(as_json(&self.message()?))?;
        endorsed(&serde_json::to_vec(&File { signatures: Vec::new(), signed: &signed })?, keys)
    }
}

/// The canonical form as JSON, which it is not where a string has control characters: the ends of lines of a key in PEM.
fn as_json(canonical: &str) -> String {
    let mut text = String::with_capacity(canonical.len());
    for one in canonical.chars() {
        match one {
            '\n' => text.push_str("\\n"),
            '\0'..='\x1f' => text.push_str(&format!("\\u{:04x}", u32::from(one))),
            _ => text.push(one),
        }
    }
    text
}

/// Whether `next` is a root that follows from `before`: one version on, signed by enough keys of both.
///
/// # Errors
/// [`Flaw`], why not.
pub fn check_successor(before: &[u8], next: &[u8]) -> Result<RootContent, Flaw> {
    RootContent::of(&update::follows(&update::pinned(before)?, next)?)
}

/// What of a root is signed, to be signed elsewhere: in canonical form.
///
/// # Errors
/// [`Flaw`] when it is no metadata.
pub fn payload(root: &[u8]) -> Result<Vec<u8>, Flaw> {
    Ok(meta::Envelope::read(root)?.message().to_vec())
}

/// The root with one signature more, in the place of one by the same key.
///
/// # Errors
/// [`Flaw`] when it is no metadata.
pub fn with_signature(root: &[u8], key_id: &str, signature: &[u8]) -> Result<Vec<u8>, Flaw> {
    let form = |error: serde_json::Error| Flaw::Form(error.to_string());
    let mut file: File<'_> = serde_json::from_slice(root).map_err(form)?;
    file.signatures.retain(|one| one.keyid != key_id);
    file.signatures.push(Signature { keyid: key_id.to_owned(), sig: crate::hex(signature) });
    serde_json::to_vec(&file).map_err(form)
}

/// The root with the signatures of those keys that sign it.
pub(crate) fn endorsed(root: &[u8], keys: &[Held]) -> Result<Vec<u8>, BuildError> {
    let damaged = |_| BuildError::anew("the root cannot be read");
    let message = payload(root).map_err(damaged)?;
    let mut root = root.to_vec();
    for key in keys {
        root = with_signature(&root, &key.id()?, key.0.sign(&message).as_ref()).map_err(damaged)?;
    }
    Ok(root)
}

/// When a root that is made now expires, in milliseconds since 1970.
pub(crate) fn expires(now: i64, days: i64) -> i64 {
    now.saturating_add(days.saturating_mul(DAY * 1_000))
}
