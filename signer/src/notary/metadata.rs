//! The four kinds of metadata files, read from bytes that are kept as they came (I7).

use std::collections::{BTreeMap, BTreeSet};

use hallmark_oci::TrustRole;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::members::lookalike;
use super::{CanonicalInvalid, KeyDocument, Signature, Value};

/// The most keys, roles, or paths of a role that one file may name: whoever reads it does work for each.
const ENTRIES: usize = 1_024;
/// The most signatures of one file: for each of them the whole file is hashed.
pub(super) const SIGNATURES: usize = 64;

/// What a role's file says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the kind of its name")]
pub enum Kind {
    Root,
    Targets,
    Snapshot,
    Timestamp,
}

impl Kind {
    /// The kind of a role's file: delegations are targets.
    #[must_use]
    pub fn of(role: &TrustRole) -> Self {
        match role.as_str() {
            "root" => Self::Root,
            "snapshot" => Self::Snapshot,
            "timestamp" => Self::Timestamp,
            _ => Self::Targets,
        }
    }

    /// The word in `_type`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Root => "Root",
            Self::Targets => "Targets",
            Self::Snapshot => "Snapshot",
            Self::Timestamp => "Timestamp",
        }
    }
}

/// Why bytes are no metadata of a kind.
#[derive(Debug, thiserror::Error)]
pub enum MetadataInvalid {
    /// Not JSON, or JSON with two meanings.
    #[error(transparent)]
    Json(#[from] CanonicalInvalid),
    /// Not of the shape that the kind has.
    #[error("not of the shape that {kind} metadata has: {source}", kind = .kind.word())]
    Shape {
        /// The kind.
        kind: Kind,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The file says that it is of another kind.
    #[error("the file says that it is {found:?} and not {}", .wanted.word())]
    Type {
        /// What it was read as.
        wanted: Kind,
        /// What it says.
        found: String,
    },
    /// The version is not a whole number above zero.
    #[error("the version is a whole number above 0")]
    Version,
    /// The expiry is no time of RFC 3339.
    #[error("expires is a time as RFC 3339 writes it")]
    Expires,
    /// A key stands under an id that is not its own.
    #[error("a key stands under an id that is not its own: {0}")]
    KeyId(String),
    /// A key with its private half, which must never be published.
    #[error("a key holds a private half: {0}")]
    Private(String),
    /// A member that some readers take for another.
    #[error("the member {0:?} differs from one that is read in case only")]
    Lookalike(String),
    /// A threshold below one, or a key named twice.
    #[error("the role {0:?} needs a threshold above 0 and each key once")]
    Threshold(String),
    /// More keys, roles, signatures or paths than are read.
    #[error("the file names more than {SIGNATURES} signatures, or {ENTRIES} keys, roles or paths")]
    TooMany,
}

/// A file whose signatures nobody has verified yet.
#[derive(Debug, Clone)]
pub struct Signed<T> {
    /// What it says.
    pub content: T,
    /// Its version.
    pub version: u64,
    /// When it expires, in milliseconds since 1970.
    pub expires: i64,
    /// What the signatures were made over.
    pub message: Vec<u8>,
    /// The signatures.
    pub signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    signed: &'a RawValue,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Head {
    _type: String,
    version: i64,
    expires: String,
}

/// A document that is one of the four kinds.
pub trait Content: DeserializeOwned {
    /// Which.
    const KIND: Kind;

    /// Refuses what reads well and means nothing good.
    ///
    /// # Errors
    /// [`MetadataInvalid`]
    fn check(&self) -> Result<(), MetadataInvalid> {
        Ok(())
    }
}

impl<T: Content> Signed<T> {
    /// Reads a file.
    ///
    /// # Errors
    /// [`MetadataInvalid`], each as it says.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataInvalid> {
        let kind = T::KIND;
        let shape = |source| MetadataInvalid::Shape { kind, source };
        let whole = Value::parse(bytes)?;
        let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(shape)?;
        let head: Head = serde_json::from_str(envelope.signed.get()).map_err(shape)?;
        if head._type != kind.word() {
            return Err(MetadataInvalid::Type { wanted: kind, found: head._type.chars().take(64).collect() });
        }
        let version =
            u64::try_from(head.version).ok().filter(|version| *version > 0).ok_or(MetadataInvalid::Version)?;
        let expires = expiry(&head.expires)?;
        if envelope.signatures.len() > SIGNATURES {
            return Err(MetadataInvalid::TooMany);
        }
        let content: T = serde_json::from_str(envelope.signed.get()).map_err(shape)?;
        content.check()?;
        if let Some(member) = lookalike(kind, &whole) {
            return Err(MetadataInvalid::Lookalike(member.chars().take(64).collect()));
        }
        let Value::Object(members) = whole else { return Err(MetadataInvalid::Version) };
        let message = members.get("signed").map(Value::canonical).unwrap_or_default();
        Ok(Self { content, version, expires, message, signatures: envelope.signatures })
    }
}

fn expiry(text: &str) -> Result<i64, MetadataInvalid> {
    let time: jiff::Timestamp = text.parse().map_err(|_| MetadataInvalid::Expires)?;
    Ok(time.as_millisecond())
}

/// The keys of a role and how many of them must sign.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RoleKeys {
    /// Ids of keys.
    #[serde(deserialize_with = "or_empty")]
    pub keyids: Vec<String>,
    /// How many.
    pub threshold: i64,
}

impl RoleKeys {
    fn check(&self, role: &str) -> Result<(), MetadataInvalid> {
        if self.keyids.len() > ENTRIES {
            return Err(MetadataInvalid::TooMany);
        }
        let distinct: BTreeSet<_> = self.keyids.iter().collect();
        if self.threshold < 1 || distinct.len() != self.keyids.len() {
            return Err(MetadataInvalid::Threshold(role.chars().take(255).collect()));
        }
        Ok(())
    }
}

/// What says whose keys sign what.
#[derive(Debug, Clone, Deserialize)]
pub struct Root {
    /// Keys by id.
    #[serde(deserialize_with = "or_empty")]
    pub keys: BTreeMap<String, KeyDocument>,
    /// Roles by name.
    #[serde(deserialize_with = "or_empty")]
    pub roles: BTreeMap<String, RoleKeys>,
}

impl Content for Root {
    const KIND: Kind = Kind::Root;

    fn check(&self) -> Result<(), MetadataInvalid> {
        if self.keys.len() > ENTRIES || self.roles.len() > ENTRIES {
            return Err(MetadataInvalid::TooMany);
        }
        self.roles.iter().try_for_each(|(name, role)| role.check(name))?;
        check_keys(&self.keys)
    }
}

/// What names tags, and who else may.
#[derive(Debug, Clone, Deserialize)]
pub struct Targets {
    /// Digest and size of what each tag means.
    #[serde(default, deserialize_with = "or_empty")]
    pub targets: BTreeMap<String, FileMeta>,
    /// Who else may name some of them.
    #[serde(default, deserialize_with = "or_empty")]
    pub delegations: Delegations,
}

impl Content for Targets {
    const KIND: Kind = Kind::Targets;

    fn check(&self) -> Result<(), MetadataInvalid> {
        let Delegations { keys, roles } = &self.delegations;
        if keys.len() > ENTRIES || roles.len() > ENTRIES {
            return Err(MetadataInvalid::TooMany);
        }
        let mut names = BTreeSet::new();
        for role in roles {
            if role.paths.len() > ENTRIES {
                return Err(MetadataInvalid::TooMany);
            }
            role.keys().check(&role.name)?;
            if !names.insert(&role.name) {
                return Err(MetadataInvalid::Threshold(role.name.chars().take(255).collect()));
            }
        }
        check_keys(keys)
    }
}

/// Who else may name targets.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Delegations {
    /// Keys by id.
    #[serde(default, deserialize_with = "or_empty")]
    pub keys: BTreeMap<String, KeyDocument>,
    /// The roles, in order of priority.
    #[serde(default, deserialize_with = "or_empty")]
    pub roles: Vec<Delegation>,
}

/// One role below another.
#[derive(Debug, Clone, Deserialize)]
pub struct Delegation {
    /// Its whole name: `targets/releases`.
    pub name: String,
    /// Ids of its keys.
    #[serde(default, deserialize_with = "or_empty")]
    pub keyids: Vec<String>,
    /// How many must sign.
    pub threshold: i64,
    /// How the names of its targets begin; an empty text is every name.
    #[serde(default, deserialize_with = "or_empty")]
    pub paths: Vec<String>,
}

impl Delegation {
    /// Its keys and threshold.
    #[must_use]
    pub fn keys(&self) -> RoleKeys {
        RoleKeys { keyids: self.keyids.clone(), threshold: self.threshold }
    }

    /// Whether a target of this name is within its paths.
    #[must_use]
    pub fn reaches(&self, target: &str) -> bool {
        self.paths.iter().any(|path| target.starts_with(path.as_str()))
    }
}

/// Which metadata files belong together.
#[derive(Debug, Clone, Deserialize)]
pub struct Snapshot {
    /// Each by its role.
    #[serde(deserialize_with = "or_empty")]
    pub meta: BTreeMap<String, FileMeta>,
}

impl Content for Snapshot {
    const KIND: Kind = Kind::Snapshot;

    fn check(&self) -> Result<(), MetadataInvalid> {
        if self.meta.len() > ENTRIES { Err(MetadataInvalid::TooMany) } else { Ok(()) }
    }
}

/// Which snapshot is the newest.
#[derive(Debug, Clone, Deserialize)]
pub struct Timestamp {
    /// One member: `snapshot`.
    #[serde(deserialize_with = "or_empty")]
    pub meta: BTreeMap<String, FileMeta>,
}

impl Content for Timestamp {
    const KIND: Kind = Kind::Timestamp;
}

/// Length and hashes of a file or a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FileMeta {
    /// In bytes.
    pub length: i64,
    /// By the name of the algorithm, in base64.
    #[serde(deserialize_with = "or_empty")]
    pub hashes: BTreeMap<String, String>,
}

/// A key stands under its own id, or it would be counted twice under two.
fn check_keys(keys: &BTreeMap<String, KeyDocument>) -> Result<(), MetadataInvalid> {
    let short = |id: &str| id.chars().take(64).collect();
    for (id, key) in keys {
        if key.keyval.private.is_some() {
            return Err(MetadataInvalid::Private(short(id)));
        }
        if key.id() != *id {
            return Err(MetadataInvalid::KeyId(short(id)));
        }
    }
    Ok(())
}

/// Writers in Go put `null` where there is nothing.
fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
