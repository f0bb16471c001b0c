//! The files of a repository: built from what was published last and what changed since, signed role by role.
//!
//! `targets` names nothing itself: it hands everything below `<repository>/` to the role `tags`, for good, so that metadata of
//! another repository names nothing here.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tough::TargetName;
use tough::editor::signed::SignedRole;
use tough::key_source::KeySource;
use tough::schema::key::Key;
use tough::schema::{
    DelegatedRole, DelegatedTargets, Delegations, Hashes, KeyHolder, Metafile, PathPattern, PathSet, RoleKeys,
    RoleType, Root, Signed, Snapshot, Target as TufTarget, Targets, Timestamp,
};

use super::{Held, TAGS};

/// The version of the specification that metadata names.
const SPEC: &str = "1.0.31";
const DAY: i64 = 24 * 60 * 60;
/// For how long each role's files hold, in seconds.
const ROOT_LIFE: i64 = 10 * 365 * DAY;
const TARGETS_LIFE: i64 = 3 * 365 * DAY;
/// How long before their end targets are made anew, in seconds.
const TARGETS_BEFORE: i64 = 90 * DAY;
const SNAPSHOT_LIFE: i64 = 30 * DAY;
const TIMESTAMP_LIFE: i64 = 7 * DAY;

/// What a tag means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// SHA-256 of the manifest.
    #[serde(with = "crate::wire::base64_bytes")]
    pub sha256: [u8; 32],
    /// The manifest's size in bytes.
    pub length: u64,
    /// The manifest's media type.
    pub media_type: String,
    /// Who vouched for it.
    pub signer: String,
    /// When, as RFC 3339.
    pub signed_at: String,
    /// By what: `signature`, or the rule that signed.
    pub source: String,
}

/// A role of a repository, as files are named for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each variant is the role of its name")]
pub enum Role {
    Targets,
    Tags,
    Snapshot,
    Timestamp,
}

impl Role {
    /// Its name in metadata and in file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Targets => "targets",
            Self::Tags => TAGS,
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }
}

/// New files of a repository, in the order in which they may appear: the timestamp last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Each role with its version and bytes.
    #[serde(with = "crate::wire::tuf_files")]
    pub files: Vec<(Role, u64, Vec<u8>)>,
    /// When the timestamp expires, in milliseconds since 1970.
    pub expires: i64,
    /// How many tags are named.
    pub targets: usize,
}

/// The path of a tag's target.
#[must_use]
pub fn target_path(repository: &str, tag: &str) -> String {
    format!("{repository}/{tag}")
}

/// Why files cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// What was published cannot be read, or is not signed by the keys that the root names.
    #[error("what was published for {0} is not what this signer signed")]
    Previous(&'static str),
    /// Signing failed.
    #[error("metadata could not be signed")]
    Sign(#[source] Box<tough::error::Error>),
    /// It could not be written down.
    #[error("metadata could not be written")]
    Write(#[from] serde_json::Error),
    /// A time or a version outside of what metadata can say.
    #[error("a time or a version is out of range")]
    Range,
}

impl From<tough::error::Error> for BuildError {
    fn from(error: tough::error::Error) -> Self {
        Self::Sign(Box::new(error))
    }
}

/// The keys of a trust domain that are held online, opened, and the root that names them.
pub(crate) struct Authors {
    pub(crate) root: Root,
    pub(crate) tags: Key,
    pub(crate) keys: Vec<Held>,
}

impl Authors {
    fn sources(&self) -> Vec<Box<dyn KeySource>> {
        self.keys.iter().map(|key| Box::new(key.clone()) as Box<dyn KeySource>).collect()
    }

    fn delegations(&self, repository: &str) -> Result<Delegations, BuildError> {
        let id = self.tags.key_id().map_err(|_| BuildError::Range)?;
        let role = DelegatedRole {
            name: TAGS.to_owned(),
            keyids: vec![id.clone()],
            threshold: one(),
            paths: PathSet::Paths(vec![pattern(repository)?]),
            terminating: true,
            targets: None,
        };
        Ok(Delegations { keys: HashMap::from([(id, self.tags.clone())]), roles: vec![role] })
    }
}

fn pattern(repository: &str) -> Result<PathPattern, BuildError> {
    PathPattern::new(format!("{repository}/*")).map_err(|_| BuildError::Range)
}

/// What holds before a change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Previous {
    pub(crate) targets: Option<Vec<u8>>,
    pub(crate) tags: Option<Vec<u8>>,
    pub(crate) snapshot: Option<Vec<u8>>,
}

/// A change of a repository's tags; `None` takes a tag out.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) repository: String,
    pub(crate) tags: BTreeMap<String, Option<Target>>,
}

/// The versions that new files get; a role without one stays as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Versions {
    pub(crate) targets: Option<u64>,
    pub(crate) tags: Option<u64>,
    pub(crate) snapshot: u64,
    pub(crate) timestamp: u64,
}

/// What a change comes to: which roles become others.
#[derive(Debug, Clone)]
pub(crate) struct Differences {
    pub(crate) targets: bool,
    pub(crate) tags: bool,
    /// The version of the snapshot that the change rests on; 0 before the first.
    pub(crate) base: u64,
    after: HashMap<TargetName, TufTarget>,
    meta: BTreeMap<String, Metafile>,
    delegations: Delegations,
}

/// The first root of a chain: one key for each role, and the root's own signature.
pub(crate) async fn first_root(keys: &[(RoleType, Held)], now: i64) -> Result<Vec<u8>, BuildError> {
    use tough::sign::Sign as _;
    let mut root = Root {
        spec_version: SPEC.to_owned(),
        consistent_snapshot: true,
        version: one(),
        expires: later(now, ROOT_LIFE)?,
        keys: HashMap::new(),
        roles: HashMap::new(),
        _extra: HashMap::new(),
    };
    for (role, key) in keys {
        let key = key.tuf_key();
        let id = key.key_id().map_err(|_| BuildError::Range)?;
        root.keys.insert(id.clone(), key);
        root.roles.insert(*role, RoleKeys { keyids: vec![id], threshold: one(), _extra: HashMap::new() });
    }
    let sources: Vec<Box<dyn KeySource>> =
        keys.iter().map(|(_, key)| Box::new(key.clone()) as Box<dyn KeySource>).collect();
    let holder = KeyHolder::Root(root.clone());
    let signed = SignedRole::new(root, &holder, &sources, &random()).await?;
    written(signed.signed())
}

impl Change {
    /// Compares the change with what was published, every file of which must be one that these keys have signed.
    pub(crate) fn compare(&self, authors: &Authors, previous: &Previous, now: i64) -> Result<Differences, BuildError> {
        let delegations = authors.delegations(&self.repository)?;
        let ends = |targets: &Targets| targets.expires.as_millisecond() - now < TARGETS_BEFORE * 1_000;
        let mut tags_end = false;
        let mut after = match &previous.tags {
            Some(bytes) => {
                let tags: Signed<Targets> = read(bytes, TAGS)?;
                delegations.verify_role(&tags, TAGS).map_err(|_| BuildError::Previous(TAGS))?;
                tags_end = ends(&tags.signed);
                tags.signed.targets
            }
            None => HashMap::new(),
        };
        let before = after.clone();
        // Of a name that the repository has no more: nobody is sent there.
        let below = target_path(&self.repository, "");
        after.retain(|name, _| name.raw().starts_with(&below));
        for (tag, target) in &self.tags {
            let name = TargetName::new(target_path(&self.repository, tag)).map_err(|_| BuildError::Range)?;
            match target {
                Some(target) => after.insert(name, target.described()),
                None => after.remove(&name),
            };
        }
        let (base, meta): (u64, BTreeMap<String, Metafile>) = match &previous.snapshot {
            Some(bytes) => {
                let snapshot: Signed<Snapshot> = read(bytes, "snapshot")?;
                authors.root.verify_role(&snapshot).map_err(|_| BuildError::Previous("snapshot"))?;
                (snapshot.signed.version.get(), snapshot.signed.meta.into_iter().collect())
            }
            None => (0, BTreeMap::new()),
        };
        // The files belong together: each is the one that the snapshot names.
        for (name, bytes) in [(TAGS, &previous.tags), ("targets", &previous.targets)] {
            let named = meta.get(&format!("{name}.json"));
            let stands = match (bytes, named) {
                (Some(bytes), Some(named)) => described(bytes, named.version.get())? == *named,
                (None, None) => true,
                _ => false,
            };
            if !stands {
                return Err(BuildError::Previous(name));
            }
        }
        let handed_over = match &previous.targets {
            Some(bytes) => Some(read::<Targets>(bytes, "targets")?.signed),
            None => None,
        };
        let targets = handed_over
            .is_none_or(|handed_over| handed_over.delegations.as_ref() != Some(&delegations) || ends(&handed_over));
        Ok(Differences {
            targets,
            tags: tags_end || after != before || previous.tags.is_none(),
            base,
            after,
            meta,
            delegations,
        })
    }
}

impl Differences {
    /// Builds and signs the files that are new.
    pub(crate) async fn build(self, authors: &Authors, versions: Versions, now: i64) -> Result<Files, BuildError> {
        let Self { after, mut meta, delegations, .. } = self;
        let sources = authors.sources();
        let root = KeyHolder::Root(authors.root.clone());
        let (count, mut files) = (after.len(), Vec::new());
        if let Some(version) = versions.tags {
            let tags = DelegatedTargets { name: TAGS.to_owned(), targets: of_targets(version, now, after, None)? };
            let holder = KeyHolder::Delegations(delegations.clone());
            let signed = written(SignedRole::new(tags, &holder, &sources, &random()).await?.signed())?;
            meta.insert(format!("{TAGS}.json"), described(&signed, version)?);
            files.push((Role::Tags, version, signed));
        }
        if let Some(version) = versions.targets {
            let targets = of_targets(version, now, HashMap::new(), Some(delegations))?;
            let signed = written(SignedRole::new(targets, &root, &sources, &random()).await?.signed())?;
            meta.insert("targets.json".to_owned(), described(&signed, version)?);
            files.push((Role::Targets, version, signed));
        }
        let snapshot = Snapshot {
            spec_version: SPEC.to_owned(),
            version: number(versions.snapshot)?,
            expires: later(now, SNAPSHOT_LIFE)?,
            meta: meta.into_iter().collect(),
            _extra: HashMap::new(),
        };
        let snapshot = written(SignedRole::new(snapshot, &root, &sources, &random()).await?.signed())?;
        let expires = later(now, TIMESTAMP_LIFE)?;
        let timestamp = Timestamp {
            spec_version: SPEC.to_owned(),
            version: number(versions.timestamp)?,
            expires,
            meta: HashMap::from([("snapshot.json".to_owned(), described(&snapshot, versions.snapshot)?)]),
            _extra: HashMap::new(),
        };
        let timestamp = written(SignedRole::new(timestamp, &root, &sources, &random()).await?.signed())?;
        files.push((Role::Snapshot, versions.snapshot, snapshot));
        files.push((Role::Timestamp, versions.timestamp, timestamp));
        Ok(Files { files, expires: expires.as_millisecond(), targets: count })
    }
}

fn of_targets(
    version: u64,
    now: i64,
    targets: HashMap<TargetName, TufTarget>,
    delegations: Option<Delegations>,
) -> Result<Targets, BuildError> {
    Ok(Targets {
        spec_version: SPEC.to_owned(),
        version: number(version)?,
        expires: later(now, TARGETS_LIFE)?,
        targets,
        delegations,
        _extra: HashMap::new(),
    })
}

impl Target {
    fn described(&self) -> TufTarget {
        let custom = json!({
            "media_type": self.media_type,
            "signer": self.signer,
            "signed_at": self.signed_at,
            "source": self.source,
        });
        TufTarget {
            length: self.length,
            hashes: Hashes { sha256: self.sha256.to_vec().into(), _extra: HashMap::new() },
            custom: HashMap::from([("hallmark".to_owned(), custom)]),
            _extra: HashMap::new(),
        }
    }
}

/// The bytes of a file. They are stored as they are made here and never made again.
fn written(file: &impl Serialize) -> Result<Vec<u8>, BuildError> {
    Ok(serde_json::to_vec(file)?)
}

fn read<T: DeserializeOwned>(bytes: &[u8], role: &'static str) -> Result<Signed<T>, BuildError> {
    serde_json::from_slice(bytes).map_err(|_| BuildError::Previous(role))
}

fn described(bytes: &[u8], version: u64) -> Result<Metafile, BuildError> {
    Ok(Metafile {
        length: Some(bytes.len() as u64),
        hashes: Some(Hashes { sha256: digest(&SHA256, bytes).as_ref().to_vec().into(), _extra: HashMap::new() }),
        version: number(version)?,
        _extra: HashMap::<String, Value>::new(),
    })
}

fn one() -> NonZeroU64 {
    NonZeroU64::MIN
}

fn number(version: u64) -> Result<NonZeroU64, BuildError> {
    NonZeroU64::new(version).ok_or(BuildError::Range)
}

fn later(now: i64, seconds: i64) -> Result<jiff::Timestamp, BuildError> {
    jiff::Timestamp::from_second(now.div_euclid(1_000) + seconds).map_err(|_| BuildError::Range)
}

/// Ed25519 needs none; the interface asks for it.
fn random() -> SystemRandom {
    SystemRandom::new()
}
